"""Which inputs and targets are taken, and as what: lists, integers, and arrays of other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import X32, assert_same_bits, refuse

import xentc

X = X32.astype(np.float64)
TARGET = np.array([0, 2])


class OnlyDLPack:
    """An array of another library, which knows no NumPy."""

    def __init__(self, array: np.ndarray, device: tuple[int, int] = (1, 0)) -> None:
        self.array, self.device = array, device

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


class Frame:
    """As pandas does it: __array__ alone, which may have to copy."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.array, dtype=dtype, copy=copy)


class OldFrame(Frame):
    """Written for NumPy 1: it knows no `copy`."""

    def __array__(self, dtype: Any = None) -> np.ndarray:  # type: ignore[override]
        return self.array if dtype is None else self.array.astype(dtype)


class Subclass(np.ndarray):
    pass


def as_subclass(array: np.ndarray) -> np.ndarray:
    return array.view(Subclass)


CONTAINERS = {"DLPack": OnlyDLPack, "__array__": Frame, "subclass": as_subclass}


def both(input: Any, target: Any, **options: Any) -> tuple:
    return xentc.cross_entropy(input, target, return_grad=True, **options)


NAMES = ["input", "target", "weight", "sample_weight", "grad_output"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_arrays_of_others(dtype: np.dtype, make: Any, name: str) -> None:
    arguments = {"input": X32.astype(dtype), "target": TARGET, "weight": np.array([0.5, 2.0, 1.0])}
    arguments |= {"sample_weight": np.array([0.25, 3.0]), "grad_output": np.array([2.0, 0.5])}
    expected = both(**arguments, reduction="none")
    result = both(**arguments | {name: make(arguments[name])}, reduction="none")
    assert_same_bits(result, expected)
    assert [type(array) for array in result] == [np.ndarray, np.ndarray]
    probabilities = X32.astype(dtype)
    assert_same_bits(both(make(probabilities), make(probabilities)), both(probabilities, probabilities))


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_an_array_method_of_the_first_numpy() -> None:
    assert_same_bits(both(OldFrame(X32), OldFrame(TARGET)), both(X32, TARGET))


def test_dlpack_is_no_copy_and_takes_read_only() -> None:
    input = X32.copy()
    input.flags.writeable = np.lib.NumpyVersion(np.__version__) < "2.1.0"  # before, NumPy exported no other
    assert_same_bits(both(OnlyDLPack(input), TARGET), both(X32, TARGET))


@pytest.mark.parametrize("kind", [*"bhilqBHILQ", "list", "nested tuple"])
def test_promoted_to_float64(kind: str) -> None:
    whole = np.array([[1, 2, 3], [3, 2, 1]])
    given = {"list": whole.tolist(), "nested tuple": tuple(map(tuple, whole.tolist()))}.get(kind)
    result = both(whole.astype(kind) if given is None else given, TARGET)
    assert_same_bits(result, both(X, TARGET))
    assert result[1].dtype == np.float64


def test_a_list_of_floats_and_integers_beyond_them() -> None:
    assert_same_bits(both([[0.5, 2], [1, -3.25]], [0, 1]), both(np.array([[0.5, 2.0], [1.0, -3.25]]), [0, 1]))
    huge = np.array([[2**64 - 1, 2**63]], np.uint64)
    assert_same_bits(both(huge, [0]), both(huge.astype(np.float64), [0]))


NO_INPUT = {
    "bool": X > 2,
    "list of bools": [[True, False, True]] * 2,
    "complex": X.astype(complex),
    "list of complex": [[1j, 0, 0]] * 2,
    "object": X.astype(object),
    "text": X.astype(str),
    "bytes": X.astype("S3"),
    "dates": X.astype("M8[s]"),
    "spans": X.astype("m8[s]"),
    "structured": np.zeros((2, 3), "f4,f4"),
    "bits of bfloat16 as void": np.zeros((2, 3), "V2"),
    "None": None,
    "a generator": (row for row in X.tolist()),
    "a set": {1.0, 2.0},
    "a dictionary": {0: X},
    "a type": np.ndarray,
    "masked": np.ma.masked_array(X32, X32 > 2),
    "masked without a mask": np.ma.masked_array(X32),
    **({} if np.dtype(np.longdouble) == np.float64 else {"longdouble": X.astype(np.longdouble)}),
}


@pytest.mark.parametrize("value", NO_INPUT.values(), ids=NO_INPUT)
def test_no_input(value: Any) -> None:
    message = refuse(TypeError, "input", input=value)
    assert "got" in message
    assert "expected" in message or "cannot read" in message


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_no_matrix() -> None:
    for name in ("input", "target", "weight", "sample_weight", "grad_output", "out", "grad_out"):
        assert "matrix" in refuse(TypeError, name, **{name: np.asmatrix(X32)})


@pytest.mark.parametrize("input", [X32, np.zeros((2, 2), np.float32)], ids=["3 classes", "2 classes"])
@pytest.mark.parametrize("target", [[True, False], np.array([True, False]), np.array([[True, False, True]] * 2)])
def test_bool_is_no_class(input: np.ndarray, target: Any) -> None:
    refuse(TypeError, "target", input=input, target=target, out=None, grad_out=None)
    refuse(TypeError, "target", input=input[0], target=True, out=None, grad_out=None)
    refuse(TypeError, "target", input=input[0], target=np.True_, out=None, grad_out=None)


@pytest.mark.parametrize(
    ("value", "ignore_index"),
    [
        (np.uint8(156), -100), (np.uint8(255), -1), (np.uint16(2**16 - 100), -100), (np.uint32(2**32 - 1), -1),
        (np.uint64(2**64 - 100), -100), (np.uint64(2**64 - 1), -1), (np.uint64(2**63), -(2**63)),
        (np.int8(-100), 156), (np.int64(-1), 2**63 - 1), (np.int32(0), 2**32),
    ],
)  # fmt: skip
def test_an_index_is_compared_as_it_is(isa: str, value: Any, ignore_index: int) -> None:
    target = np.array([value, value])
    if value == 0:
        assert_same_bits(both(X, target, ignore_index=ignore_index), both(X, [0, 0]))
        return
    assert str(value) in refuse(IndexError, "target", target=target, ignore_index=ignore_index)
    refuse(IndexError, "target", input=X32[0], target=value, ignore_index=ignore_index, out=None, grad_out=None)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**40])
def test_an_integer_beyond_64_bits_is_no_class(value: int) -> None:
    refuse(IndexError, "target", input=X32[0], target=value, out=None, grad_out=None)
    with pytest.raises((IndexError, TypeError), match=r"^target: "):
        xentc.cross_entropy(X32, [0, value])


SIZE_0 = [(0, 3), (0, 0), (3, 0), (0,), (0, 3, 2), (2, 3, 0), (2, 0, 3), (0, 0, 0), (2, 0, 3, 0)]


@pytest.mark.parametrize("shape", SIZE_0, ids=str)
@pytest.mark.parametrize("kind", ["indices", "probabilities"])
def test_size_0(isa: str, dtype: np.dtype, kind: str, shape: tuple) -> None:
    samples = shape[:-1] if len(shape) == 1 else shape[:1] + shape[2:]
    input = np.zeros(shape, dtype)
    target = np.full(samples, -100) if kind == "indices" else np.zeros(shape, dtype)
    for options in ({}, {"label_smoothing": 0.5, "softcap": 1.0}, {"weight": np.ones(shape[min(1, len(shape) - 1)])}):
        for reduction in ("mean", "sum", "none"):
            loss, grad = both(input, target, reduction=reduction, **options)
            assert loss.dtype == grad.dtype == dtype
            assert grad.shape == shape
            assert loss.shape == (samples if reduction == "none" else ())
            assert np.all(np.isnan(loss) if reduction == "mean" else loss == 0)


def fake(module: str, **attributes: Any) -> Any:
    """An object of a class that says to be of this module."""
    return type("Array", (Frame,), {"__module__": module, **attributes})(X32)


def raising(error: type[Exception]) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise error("not today")

    return method


ERRORS = [
    RuntimeError,
    TypeError,
    ValueError,
    BufferError,
    OverflowError,
    AttributeError,
    NotImplementedError,
    KeyError,
]


@pytest.mark.parametrize("name", NAMES)
def test_foreign_arrays_that_are_refused(name: str) -> None:
    for module in ("dask", "dask.array.core"):
        assert "compute" in refuse(TypeError, name, **{name: fake(module)})
    for device in ((2, 0), (10, 1), (13, 0)):
        assert "CPU" in refuse(TypeError, name, **{name: OnlyDLPack(X32, device)})
    assert "masked" in refuse(TypeError, name, **{name: np.ma.masked_array([0.0, 1.0], [True, False])})


BROKEN = {
    "__array__": lambda bad: {"__array__": bad},
    "__dlpack__": lambda bad: {"__dlpack__": bad, "__dlpack_device__": lambda self: (1, 0)},
    "__dlpack_device__": lambda bad: {"__dlpack__": bad, "__dlpack_device__": bad},
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("method", BROKEN)
@pytest.mark.parametrize("name", NAMES)
def test_foreign_methods_that_fail(name: str, method: str, error: type[Exception]) -> None:
    broken = type("Broken", (), BROKEN[method](raising(error)))()
    with pytest.raises((TypeError, ValueError), match=rf"^{name}: "):
        xentc.cross_entropy(**{"input": X32, "target": TARGET, "reduction": "none", "return_grad": True, name: broken})


def test_torch_tensors(torch: Any) -> None:
    tensor, target = torch.from_numpy(X32.copy()), torch.tensor([0, 2])
    assert_same_bits(both(tensor, target), both(X32, TARGET))
    assert_same_bits(both(tensor.T.contiguous().T, target), both(X32, TARGET))
    assert_same_bits(both(tensor, tensor), both(X32, X32))
    assert ".detach()" in refuse(TypeError, "input", input=tensor.clone().requires_grad_())
    assert ".detach()" in refuse(TypeError, "target", target=tensor.clone().requires_grad_())
    assert ".detach()" in refuse(TypeError, "weight", weight=tensor[0].clone().requires_grad_())
    assert ".float()" in refuse(TypeError, "input", input=tensor.bfloat16())
    refuse(TypeError, "input", input=tensor.to("meta"))
    refuse(TypeError, "input", input=tensor.to_sparse())
    refuse(TypeError, "out", out=torch.zeros(2))
