"""Calls that are right but for some of their arguments, drawn by hypothesis; fuzz.py draws any number.

A call is the name of something in FUZZED and what differs from its right arguments, as literals that a file can hold
(corpus/). What Python writes no literal for is a tuple: ("array", dtype, shape, value, layout), ("object", a key of
OBJECTS), ("argument", another argument, for memory that is shared), ("state", path, value).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fuzzed import FUZZED, PARAMETERS, operands_of, seen, state_with, zeros_of
from hypothesis import strategies as st

import xentc

Call = tuple[str, dict[str, Any]]


class Raises:
    """Every method that a conversion may call raises what nobody expects."""

    def fail(self, *_: Any, **__: Any) -> Any:
        raise KeyError("hostile")

    __array__ = __index__ = __float__ = __int__ = __bool__ = __len__ = __iter__ = __eq__ = __getitem__ = fail
    __hash__ = None  # type: ignore[assignment]


class Lies(Raises):
    """They return what they may not."""

    def lie(self, *_: Any, **__: Any) -> Any:
        return "hostile"

    __array__ = __index__ = __float__ = __int__ = __bool__ = __len__ = __iter__ = __eq__ = __getitem__ = lie


class Subclass(np.ndarray):
    """An array whose own operations raise."""

    def __array_ufunc__(self, *_: Any, **__: Any) -> Any:
        raise KeyError("hostile")

    __getitem__ = __array_ufunc__


DTYPES = ["?", "b", "u1", ">i4", "i8", "u8", "e", ">f4", "f4", "f8", "g", "F", "O", "U3", "M8[s]", "V4"]
SHAPES = [(), (0,), (1,), (4,), (5,), (5, 4), (4, 5), (5, 1), (0, 4), (5, 0), (5, 4, 1), (1,) * 9]
LAYOUTS = ["", "", "read-only", "reversed", "strided", "broadcast", "misaligned", "subclass"]

LITERALS = [None, True, False, 0, 1, -1, 2, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, -0.0, 1e-320, 1e308, 1j]
LITERALS += ["", "mean", "none", "sum", "x\0", b"mean", [], [1], [[1, 2], [3]], (), {}, (1, 2), [2**63], [-1, 0.5]]

OBJECTS: dict[str, Any] = {
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": -float("inf"),
    "np.True_": np.bool_(True),
    "np.int8(-1)": np.int8(-1),
    "np.uint64(2**64 - 1)": np.uint64(2**64 - 1),
    "np.float16(2)": np.float16(2),
    "NaT": np.datetime64("NaT", "s"),
    "masked": np.ma.masked,
    "masked array": np.ma.MaskedArray(np.zeros(5, np.float32), mask=[0, 1, 0, 0, 0]),
    "object": object(),
    "Ellipsis": Ellipsis,
    "NotImplemented": NotImplemented,
    "int": int,
    "np.ndarray": np.ndarray,
    "np.ones": np.ones,
    "Raises": Raises(),
    "Lies": Lies(),
    "memoryview": memoryview(b"abcd"),
    "range": range(4),
    "Evaluator": seen(),
    "no samples": xentc.Evaluator(),
    "other options": xentc.Evaluator(per_class=True, top_k=(2,)),
}
SCALARS = [*LITERALS, *(("object", key) for key in OBJECTS)]

ARRAYS = st.tuples(
    st.just("array"),
    st.sampled_from(DTYPES),
    st.sampled_from(SHAPES),
    st.sampled_from([0, 1, -1, 3, 4, 100, 0.5]),
    st.sampled_from(LAYOUTS),
)
PATHS = st.lists(st.integers(0, 20), max_size=4)
STATES = st.tuples(
    st.just("state"), PATHS, st.sampled_from([None, True, 0, -1, 2.5, 2**70, "", "0x1p0", "nan", [], {}])
)
OTHERS = st.sampled_from(["Evaluator", "no samples", "other options"]).map(lambda key: ("object", key))
SHARED = st.sampled_from(["input", "target", "out"]).map(lambda name: ("argument", name))
VALUES = st.one_of(st.sampled_from(SCALARS), ARRAYS)
SPECIAL = {"state_dict": STATES, "other": OTHERS, "out": SHARED, "grad_out": SHARED}


@st.composite
def calls(draw: Any) -> Call:
    """The name of an entry point and its arguments, up to three of which are anything."""
    name = draw(st.sampled_from(list(FUZZED)))
    wrong: dict[str, Any] = {}
    if "return_grad" in PARAMETERS[name] and draw(st.booleans()):
        wrong["return_grad"] = True
    names = PARAMETERS[name]
    for parameter in draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)) if names else ():
        special = SPECIAL.get(parameter)
        wrong[parameter] = draw(VALUES if special is None else st.one_of(special, VALUES))
    return name, wrong


def made(value: Any) -> Any:
    """What a literal stands for; but for ("argument", ...), which needs the others."""
    if not isinstance(value, tuple) or not value:
        return value
    if value[0] == "object":
        return OBJECTS[value[1]]
    if value[0] == "state":
        return state_with(*value[1:])
    if value[0] == "array":
        array = zeros_of(*value[1:])
        return array.view(Subclass) if value[-1] == "subclass" else array
    return value


def arguments_of(call: Call) -> dict[str, Any]:
    name, wrong = call
    arguments = operands_of(name) | {key: made(value) for key, value in wrong.items()}
    for key, value in arguments.items():
        if isinstance(value, tuple) and value[:1] == ("argument",):
            arguments[key] = arguments.get(value[1])
    return arguments


OUTPUTS = ("out", "grad_out")


def contents(arguments: dict[str, Any]) -> list[bytes]:
    given = (arguments.get(name) for name in OUTPUTS)
    arrays = (array for array in given if isinstance(array, np.ndarray) and not isinstance(array, np.ma.MaskedArray))
    return [array.tobytes() for array in arrays if array.dtype != object]


def assert_orderly(call: Call) -> str:
    """An answer, or an error of ours, which has written nothing and begins with an argument's name, the result."""
    name, arguments = call[0], arguments_of(call)
    before = contents(arguments)
    try:
        FUZZED[name](**arguments)
    except (TypeError, ValueError, IndexError) as error:
        named = str(error).split(":")[0]
        assert named in PARAMETERS[name], f"{type(error).__name__}: {error}"  # noqa: PT017
        assert contents(arguments) == before, f"written before it was refused: {error}"  # noqa: PT017
        return named
    except (MemoryError, DeprecationWarning):
        return ""
    return ""
