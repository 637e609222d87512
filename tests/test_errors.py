"""Errors of cross_entropy: what is refused, how it is said, and that nothing has been written then."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import strategies
from checks import X32, refuse

import xentc

X = X32.tolist()

# name of the argument: what it is given, over a call that is right
OVERLAPPING = np.zeros(20, np.float32)
WRONG_TYPES: dict[str, list] = {
    "input": [
        None, "text", [["a"]], object(), np.array(X, object), np.array(X) > 0, np.array(X, complex),
        np.zeros((2, 3), "M8[s]"), *([np.array(X, np.longdouble)] if np.dtype(np.longdouble) != np.float64 else []),
        np.ma.masked_array(X, False), np.array([(1, 2)], "i4,i4"), {1: 2},
    ],
    "target": [
        None, "text", ["a", "b"], [0.0, 1.0], np.array([0, 1], np.float32), [True, False], [0j, 1j],
        np.array([0, 1], object), np.zeros((2, 3), int), np.ma.masked_array([0, 1], False), [None, 1],
    ],
    "weight": ["text", [1j, 1, 1], np.array([1, 2, 3], object), ["a", "b", "c"], {1: 2}],
    "ignore_index": [None, 1.5, True, "a", [1], np.array([1, 2])],
    "reduction": [None, 3, b"mean", True, ["mean"], np.array(["mean", "sum"])],
    "axis": [1.0, "a", True, [1]],
    "grad_output": ["text", 1j, object(), [1j, 1]],
    "out": [[0.0, 0.0], np.zeros(2), np.zeros(2, np.int32), np.zeros(2, ">f4"), 3],
    "grad_out": [np.zeros((2, 3)).tolist(), np.zeros((2, 3)), np.zeros((2, 3), ">f4"), 3],
    "num_threads": [1.0, "2", True, [1]],
    "sample_weight": ["text", [1j, 1], np.array([1, 2], object), ["a", "b"], {1: 2}, [None, 1]],
    **{
        name: ["text", "1", 1j, [0.5, "a"], object(), {1: 2}, b"1", np.array("1"), np.array(1, object)]
        for name in ("label_smoothing", "softcap", "temperature", "lse_square_scale")
    },
    "label_smoothing ": [None],
    "temperature ": [None],
    "lse_square_scale ": [None],
}  # fmt: skip
WRONG_VALUES: dict[str, list] = {
    "input": [3.0, np.float32(1), np.array(2.0)],
    "target": [[0], [0, 1, 2], [[0, 1]], 0, [], np.zeros((3, 2), int), np.zeros((2, 3, 1), int)],
    "weight": [[1, 2], [1, 2, 3, 4], 1.0, [[1, 2, 3]], np.ones((3, 1)), []],
    "ignore_index": [2**63, -(2**63) - 1, 2**70],
    "reduction": ["", "avg", "elementwise_mean", "Mean", "none "],
    "axis": [2, -3, 2**70],
    "grad_output": [[1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]], np.ones((2, 3))],
    "out": [
        np.zeros(3, np.float32), np.zeros((2, 1), np.float32), np.zeros((), np.float32), np.broadcast_to(X32[0, :1], 2),
        strategies.laid_out(np.zeros(2, np.float32), "read-only"), strategies.at_offset(np.zeros(2, np.float32), 1),
        np.lib.stride_tricks.as_strided(OVERLAPPING, (2,), (0,)),
    ],
    "grad_out": [
        np.zeros((2, 2), np.float32), np.zeros((3, 2), np.float32), np.zeros(6, np.float32),
        strategies.laid_out(np.zeros((2, 3), np.float32), "read-only"),
        strategies.at_offset(np.zeros((2, 3), np.float32), 1),
        np.lib.stride_tricks.as_strided(OVERLAPPING, (2, 3), (4, 4)),
    ],
    "num_threads": [0, -1, -(2**70)],
    "sample_weight": [[1.0], [1, 2, 3], 1.0, [[1, 2]], np.ones((2, 1)), np.ones((2, 3)), [], np.float32(1)],
    "label_smoothing": [-0.1, 1.1, 2, np.nan, np.inf, -np.inf, [0.5], np.zeros(2), 10**400, -(10**400)],
    "softcap": [0, -1.0, np.nan, np.inf, [1.0], np.ones((1, 1)), 10**400],
    "temperature": [0, -1.0, np.nan, np.inf, [1.0], np.ones((1, 1)), 10**400],
    "lse_square_scale": [-1.0, np.nan, np.inf, [1.0], np.ones((1, 1)), 10**400],
}  # fmt: skip


def each(table: dict[str, list]) -> list:
    return [pytest.param(name, value, id=f"{name}-{i}") for name in table for i, value in enumerate(table[name])]


def says_what(message: str) -> None:
    """What was got, and what was expected or what could not be done with it."""
    assert "got" in message
    assert any(word in message for word in ("expected", "cannot read", "overlap", "no float64 holds", "swapped"))


@pytest.mark.parametrize(("name", "value"), each(WRONG_TYPES))
def test_wrong_type(name: str, value: Any) -> None:
    name = name.strip()
    says_what(refuse(TypeError, name, **{name: value}))


@pytest.mark.parametrize(("name", "value"), each(WRONG_VALUES))
def test_wrong_value(name: str, value: Any) -> None:
    says_what(refuse(ValueError, name, **{name: value}))


@pytest.mark.parametrize(
    ("target", "options"),
    [
        (np.array([0, 3]), {}),
        (np.array([0, -1]), {}),
        (np.array([0, -100]), {"ignore_index": -1}),
        (np.array([0, 156], np.uint8), {}),
        (np.array([0, 2**64 - 100], np.uint64), {}),
        (np.array([0, 2**64 - 1], np.uint64), {"ignore_index": -1}),
        (np.array([0, 2**63], np.uint64), {"ignore_index": -(2**63)}),
        (np.array([0, 2**32 + 1], np.int64), {}),
        (np.array([0, -(2**63)], np.int64), {}),
        (np.array([0, 65436], np.uint16), {}),
        (np.array([0, 2**32 - 100], np.uint32), {}),
    ],
    ids=lambda value: f"{value[1]} {value.dtype}" if isinstance(value, np.ndarray) else None,
)
def test_class_out_of_range(target: np.ndarray, options: dict) -> None:
    message = refuse(IndexError, "target", target=target, **options)
    assert str(target[1]) in message  # its value, its position and the range
    assert re.search(r"\b1\b.*\b2\b", message.replace(str(target[1]), "", 1))


def test_class_where_there_are_none() -> None:
    with pytest.raises(IndexError, match=r"^target: got class 0 at 1, there are no classes$"):
        xentc.cross_entropy(np.zeros((2, 0)), [-100, 0])


def test_class_out_of_range_says_where() -> None:
    target = np.zeros((2, 4, 5), int)
    target[1, 2, 3] = 9
    with pytest.raises(IndexError, match=r"^target: .*9.*\(1, 2, 3\)"):
        xentc.cross_entropy(np.zeros((2, 3, 4, 5)), target)
    with pytest.raises(IndexError, match=r"^target: "):
        xentc.cross_entropy(np.zeros((2, 0)), [-100, 0])


def test_what_does_not_go_together() -> None:
    refuse(ValueError, "out", reduction="mean")
    refuse(ValueError, "out", reduction="sum", grad_output=1.0)
    refuse(ValueError, "grad_out", return_grad=False)
    refuse(ValueError, "grad_output", return_grad=False, grad_out=None, grad_output=1.0)
    refuse(ValueError, "grad_output", reduction="mean", out=None, grad_output=[1.0, 1.0])


SWAPPED = {
    "(N,) and (N, C)": (np.array([0, 2]), X32),
    "(N,) and (N, C) of float64": (np.array([0, 2]), X32.astype(np.float64)),
    "(N,) and (N, C) of float16": (np.array([0, 2]), X32.astype(np.float16)),
    "N equals C": (np.array([0, 2, 1]), np.zeros((3, 3), np.float32)),
    "one sample": (np.array([1]), X32[:1]),
    "0-d and (C,)": (np.array(1), X32[0]),
    "images": (np.zeros((2, 4, 5), np.int32), np.zeros((2, 3, 4, 5), np.float32)),
    "lists": ([0, 2], X),
    "uint8": (np.array([0, 2], np.uint8), X32),
}


@pytest.mark.parametrize(("input", "target"), SWAPPED.values(), ids=SWAPPED)
def test_swapped_input_and_target(input: Any, target: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^(input|target): .*swapped"):
        xentc.cross_entropy(input, target)
    assert np.isfinite(xentc.cross_entropy(target, input))


@pytest.mark.parametrize("value", [np.array([True, False]), np.array([1, 2]), np.array([0.5, 2.0])], ids=str)
@pytest.mark.parametrize("name", ["return_grad", "size_average", "reduce"])
@pytest.mark.filterwarnings("ignore:size_average and reduce:DeprecationWarning")
def test_flags_that_are_neither_true_nor_false(name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^{name}: "):
        xentc.cross_entropy(X32, [0, 2], **{name: value})


def test_a_string_that_compares_as_it_likes() -> None:
    class Text(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        def __repr__(self) -> str:
            raise RuntimeError

    assert xentc.cross_entropy(X32, [0, 1], reduction=Text("sum")) == xentc.cross_entropy(X32, [0, 1], reduction="sum")
    assert "got 'total'" in refuse(ValueError, "reduction", reduction=Text("total"))


def test_what_is_not_an_argument() -> None:
    for arguments in ({"dim": 1}, {"class_weight": [1, 2, 3]}, {"weights": None}):
        with pytest.raises(TypeError, match=next(iter(arguments))):
            xentc.cross_entropy(X32, [0, 2], **arguments)
    with pytest.raises(TypeError):
        xentc.cross_entropy(X32, [0, 2], None, None, -100, None, "mean", 0.0, 1)  # axis by keyword only
    with pytest.raises(TypeError):
        xentc.cross_entropy(X32)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("n_samples", [3, 3000])
def test_nothing_is_written_before_the_last_target_is_checked(isa: str, n_samples: int, reduction: str) -> None:
    input, target = np.zeros((n_samples, 9), np.float32), np.zeros(n_samples, int)
    target[-1] = 9
    out = np.full(n_samples, 7, np.float32) if reduction == "none" else None
    for grad_out in (np.full(input.shape, 7, np.float32), input):
        before = grad_out.copy()
        with pytest.raises(IndexError, match=rf"^target: got class 9 at {n_samples - 1}\b"):
            xentc.cross_entropy(input, target, reduction=reduction, return_grad=True, out=out, grad_out=grad_out)
        assert np.array_equal(grad_out, before)
        assert out is None or np.all(out == 7)


def test_several_wrong_arguments_are_one_error() -> None:
    """Whichever is named first."""
    wrong = {"weight": "a", "reduction": "b", "axis": 9, "temperature": -1, "grad_output": [1j], "num_threads": 0}
    with pytest.raises((TypeError, ValueError), match=rf"^({'|'.join(wrong)}): "):
        xentc.cross_entropy(X32, [0, 2], **wrong)
