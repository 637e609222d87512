"""out and grad_out: what is returned is the memory given, whatever its layout, and in place where it is the input's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import strategies
import tolerances
from amount import examples
from checks import X32, assert_same_bits, refuse
from hypothesis import given, settings
from hypothesis import strategies as st

import xentc


@pytest.mark.parametrize("layout", ["C", "Fortran", "stepped", "reversed", "sliced"])
@pytest.mark.parametrize("shape", [(6, 5), (5,), (3, 5, 4), (3, 200), (2, 200, 3)], ids=str)
def test_what_is_returned_is_the_memory_given(isa: str, dtype: np.dtype, shape: tuple, layout: str) -> None:
    samples = () if len(shape) == 1 else shape[:1] + shape[2:]
    input, target = np.random.default_rng(0).normal(size=shape).astype(dtype), np.ones(samples, int)
    expected = xentc.cross_entropy(input, target, reduction="none", return_grad=True)
    out = strategies.laid_out(np.empty(samples, dtype), layout)
    grad_out = strategies.laid_out(np.empty(shape, dtype), layout)
    loss, grad = xentc.cross_entropy(input, target, reduction="none", return_grad=True, out=out, grad_out=grad_out)
    assert loss is out
    assert grad is grad_out
    assert_same_bits((loss, grad), expected)
    in_place = strategies.laid_out(input, layout)
    loss, grad = xentc.cross_entropy(in_place, target, reduction="none", return_grad=True, grad_out=in_place)
    assert grad is in_place
    tolerances.assert_matches((loss, grad), input, target, reduction="none")


def test_overlapping_memory() -> None:
    memory = np.arange(40, dtype=np.float32)
    input, shifted = memory[:6].reshape(2, 3), memory[1:7].reshape(2, 3)
    before = memory.copy()
    refuse(ValueError, "grad_out", input=input, grad_out=shifted)
    refuse(ValueError, "grad_out", input=input, grad_out=memory[:12].reshape(2, 6)[:, ::2])
    refuse(ValueError, "out", input=input, out=memory[5:7])
    refuse(ValueError, "grad_out", target=memory[:2].view(np.int32), grad_out=input)
    refuse(ValueError, "grad_out", out=memory[4:6], grad_out=input)
    assert np.array_equal(memory, before)


PLACES = st.tuples(st.integers(0, 24), st.sampled_from([(3, 1), (1, 2), (6, 2), (-3, -1), (3, -1), (-6, 2), (12, 3)]))


@settings(max_examples=examples(300), deadline=None)
@given(PLACES, PLACES)
def test_memory_that_is_shared(read: tuple, written: tuple) -> None:
    """Two views of one memory, side by side, interleaved or overlapping: refused where NumPy finds a shared entry, and
    taken where there is none, or where one is the other."""
    memory = np.random.default_rng(5).normal(size=96).astype(np.float32)
    before = memory.copy()

    def view(place: tuple) -> np.ndarray:
        first, strides = place
        return np.lib.stride_tricks.as_strided(memory[first + 32 :], (2, 3), tuple(4 * stride for stride in strides))

    input, out = view(read), view(written)
    expected = xentc.softmax(input.copy())
    if np.shares_memory(input, out) and read != written:
        with pytest.raises(ValueError, match=r"^out: overlaps input"):
            xentc.softmax(input, out=out)
        assert np.array_equal(memory, before)
    else:
        assert xentc.softmax(input, out=out) is out
        assert_same_bits(out, expected)


HALVES = strategies.HALVES
LAYOUTS = ["C", "Fortran", "transposed", "stepped", "reversed", "sliced"]


def problem(shape: tuple, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    samples = shape[:1] + shape[2:]
    return rng.normal(0, 2, shape).astype(dtype), rng.integers(0, shape[1], samples)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(6, 5), (3, 5, 4), (3, 200), (2, 200, 3), (70, 10)], ids=str)
@pytest.mark.parametrize("name", ["float32", "float64", *HALVES])
def test_in_place(isa: str, name: str, shape: tuple, layout: str) -> None:
    """The gradient over its own input: the bits of a gradient that has memory of its own, and nothing else touched."""
    input, target = problem(shape, name)
    for more in ({}, {"label_smoothing": 0.1, "softcap": 3.0, "lse_square_scale": 0.5, "weight": np.ones(shape[1])}):
        given = strategies.laid_out(input, layout)
        expected = xentc.cross_entropy(given, target, return_grad=True, **more)
        own = strategies.laid_out(input, layout)
        around = surroundings(own)
        loss, grad = xentc.cross_entropy(own, target, return_grad=True, grad_out=own, **more)
        assert grad is own
        assert_same_bits((loss, np.array(grad)), (expected[0], np.array(expected[1])))
        assert surroundings(own) == around


def surroundings(view: np.ndarray) -> bytes:
    """The bytes of the memory that a view lies in, without its own."""
    base = view.copy() if view.base is None else view.base.copy()
    if view.base is not None:
        offset = view.ctypes.data - view.base.ctypes.data
        own = np.ndarray(view.shape, view.dtype, base, offset, view.strides) if base.flags.c_contiguous else base
        own[...] = 0
    return b"" if view.base is None else base.tobytes()


def test_in_place_of_probabilities() -> None:
    input, _ = problem((6, 33), "float32")
    target = np.abs(problem((6, 33), "float32")[0])
    expected = xentc.cross_entropy(input, target, return_grad=True)
    assert_same_bits(xentc.cross_entropy(input, target, return_grad=True, grad_out=input), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["float32", "float64", *HALVES])
def test_the_layout_of_outputs_is_their_own(isa: str, name: str, layout: str) -> None:
    """Input in C order, outputs in any other: the same bits, and the memory between their entries as it was."""
    input, target = problem((3, 33, 4), name)
    expected = xentc.cross_entropy(input, target, reduction="none", return_grad=True)
    out = strategies.laid_out(np.full(target.shape, 7, expected[0].dtype), layout)
    grad_out = strategies.laid_out(np.full(input.shape, 7, name), layout)
    around = surroundings(out), surroundings(grad_out)
    result = xentc.cross_entropy(input, target, reduction="none", return_grad=True, out=out, grad_out=grad_out)
    assert result[0] is out
    assert result[1] is grad_out
    assert_same_bits((np.array(out), np.array(grad_out)), expected)
    assert (surroundings(out), surroundings(grad_out)) == around


class Subclass(np.ndarray):
    pass


def test_subclasses_and_memory_maps(tmp_path: Path) -> None:
    input, target = problem((6, 5), "float32")
    expected = xentc.cross_entropy(input, target, reduction="none", return_grad=True)
    mapped = np.lib.format.open_memmap(tmp_path / "grad.npy", "w+", np.float32, (6, 5))
    for out, grad_out in (
        (np.empty(6, np.float32).view(Subclass), np.empty((6, 5), np.float32).view(Subclass)),
        (np.memmap(tmp_path / "loss", np.float32, "w+", shape=(6,)), mapped),
    ):
        result = xentc.cross_entropy(input, target, reduction="none", return_grad=True, out=out, grad_out=grad_out)
        assert result[0] is out
        assert result[1] is grad_out
        assert_same_bits(result, expected)
    mapped.flush()
    assert np.array_equal(np.load(tmp_path / "grad.npy"), expected[1])


@pytest.mark.parametrize("dtype", ["int32", ">f4", "float64", "float16", "bool", "complex64", "object"])
def test_outputs_of_another_dtype(dtype: str) -> None:
    assert "float32" in refuse(TypeError, "out", out=np.zeros(2, dtype))
    assert "float32" in refuse(TypeError, "grad_out", grad_out=np.zeros((2, 3), dtype))


def test_outputs_of_halves_and_integers() -> None:
    """Losses of halves are float32; a gradient has the input's dtype, and that of integers is float64."""
    half = X32.astype(np.float16)
    refuse(TypeError, "out", input=half, out=np.zeros(2, np.float16), grad_out=None)
    refuse(TypeError, "grad_out", input=half, grad_out=np.zeros((2, 3), np.float32))
    refuse(TypeError, "grad_out", input=X32.astype(int), out=None, grad_out=np.zeros((2, 3), int))
    refuse(TypeError, "grad_out", input=X32.astype(">f4"), grad_out=np.zeros((2, 3), ">f4"))
    grad_out = np.empty((2, 3))
    assert xentc.cross_entropy(X32.astype(int), [0, 2], return_grad=True, grad_out=grad_out)[1] is grad_out


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1), (1, 2), (0,)], ids=str)
def test_outputs_of_another_shape(shape: tuple) -> None:
    assert str(shape) in refuse(ValueError, "out", out=np.zeros(shape, np.float32))
    assert str(shape) in refuse(ValueError, "grad_out", grad_out=np.zeros(shape, np.float32))


def test_outputs_that_cannot_be_written() -> None:
    for name, shape in (("out", (2,)), ("grad_out", (2, 3))):
        zeros = np.zeros(shape, np.float32)
        for bad in (
            strategies.laid_out(zeros, "read-only"),
            strategies.at_offset(zeros, 1),
            np.lib.stride_tricks.as_strided(zeros, shape, (0,) * len(shape), writeable=True),
            np.lib.stride_tricks.as_strided(zeros, shape, (4,) * (len(shape) - 1) + (0,), writeable=True),
        ):
            refuse(ValueError, name, **{name: bad})
            assert not np.any(bad)
        for bad in (zeros.tolist(), 1.0, "out", memoryview(zeros), np.float32(0), object()):
            refuse(TypeError, name, **{name: bad})


def test_a_shifted_view_of_the_input() -> None:
    memory = np.arange(400, dtype=np.float32)
    for shift in (1, 3, 9, 29):
        input, shifted = memory[:30].reshape(10, 3), memory[shift : shift + 30].reshape(10, 3)
        before = memory.copy()
        refuse(ValueError, "grad_out", input=input, target=np.zeros(10, int), out=None, grad_out=shifted)
        assert np.array_equal(memory, before)
    for other in (memory[:30].reshape(10, 3)[::-1], memory[:30].reshape(3, 10).T, memory[:60].reshape(10, 6)[:, :3]):
        refuse(ValueError, "grad_out", input=input, target=np.zeros(10, int), out=None, grad_out=other)
    even, odd = memory[:60].reshape(10, 6)[:, ::2], memory[:60].reshape(10, 6)[:, 1::2]  # interlaced, nothing shared
    expected = xentc.cross_entropy(even.copy(), np.zeros(10, int), return_grad=True)
    assert_same_bits(xentc.cross_entropy(even, np.zeros(10, int), return_grad=True, grad_out=odd), expected)


def test_outputs_over_other_arguments() -> None:
    """Whatever is read is not written, also where the values would not be needed any more."""
    grad, loss = np.full((3, 3), 7.0), np.full(3, 7.0)
    base = {"input": np.ones((3, 3)), "target": np.zeros(3, int), "out": None, "grad_out": None}
    for name, of_grad in (("weight", grad[0]), ("sample_weight", grad[1]), ("grad_output", grad[2])):
        refuse(ValueError, "grad_out", **base | {name: of_grad, "grad_out": grad})
        refuse(ValueError, "out", **base | {name: loss, "out": loss})
    refuse(ValueError, "grad_out", **base | {"target": grad, "grad_out": grad})
    refuse(ValueError, "out", **base | {"target": loss.view(int), "out": loss})
    refuse(ValueError, "out", **base | {"input": grad, "out": grad[1]})
    refuse(ValueError, "grad_out", **base | {"out": grad[:, 0], "grad_out": grad})
    assert np.all(grad == 7)
    assert np.all(loss == 7)


def test_outputs_over_a_weight_that_is_converted() -> None:
    """Weights of another dtype than float64 are copied before anything is written: refused, or right."""
    grad, weight = np.zeros((3, 3), np.float32), np.array([0.5, 2.0, 1.5], np.float32)
    grad[1] = weight
    input, target = problem((3, 3), "float32")
    expected = xentc.cross_entropy(input, target, weight, return_grad=True)
    try:
        result = xentc.cross_entropy(input, target, grad[1], return_grad=True, grad_out=grad)
    except ValueError as refused:
        assert str(refused).startswith("grad_out: ")  # noqa: PT017 - either way will do
        assert np.array_equal(grad[1], weight)
    else:
        assert_same_bits(result, expected)


@pytest.mark.parametrize("shape", [(1,), (1, 2), (2, 1), (3,), (0,), (2, 3), (1, 1)], ids=str)
def test_grad_output_does_not_broadcast(shape: tuple) -> None:
    assert str(shape) in refuse(ValueError, "grad_output", grad_output=np.ones(shape))
    refuse(ValueError, "grad_output", grad_output=np.ones(shape), reduction="mean", out=None)


@pytest.mark.parametrize("layout", [*LAYOUTS, "misaligned", "big_endian", "read-only", "broadcast"])
def test_grad_output_of_any_layout(isa: str, layout: str) -> None:
    input, target = problem((3, 5, 4), "float32")
    upstream = strategies.laid_out(np.random.default_rng(0).normal(size=(3, 4)), layout)
    options = {"reduction": "none", "return_grad": True}
    result = xentc.cross_entropy(input, target, grad_output=upstream, **options)
    plain = np.ascontiguousarray(upstream, np.float64)
    assert_same_bits(result, xentc.cross_entropy(input, target, grad_output=plain, **options))
    tolerances.assert_matches(result, input, target, reduction="none", grad_output=plain)
