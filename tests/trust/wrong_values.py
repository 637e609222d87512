"""Calls that are right but for some of their arguments, drawn by hypothesis; fuzz.py draws any number."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from entry_points import ENTRY_POINTS, NAMES, random_logits
from hypothesis import strategies as st


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


def arrays() -> st.SearchStrategy[Any]:
    dtypes = ["?", "b", "u1", ">i4", "i8", "u8", "e", ">f4", "f4", "f8", "g", "F", "O", "U3", "M8[s]", "V4"]
    shapes = [(), (0,), (1,), (4,), (5,), (5, 4), (4, 5), (5, 1), (0, 4), (5, 0), (5, 4, 1), (1,) * 9]

    def build(dtype: str, shape: tuple[int, ...], value: Any, layout: str) -> Any:
        with np.errstate(all="ignore"):
            array = np.zeros(shape, dtype)
            if dtype in ("b", "i8", ">i4", "u8", "e", ">f4", "f4", "f8"):
                array[...] = np.array(value).astype(dtype)
        if layout == "read-only":
            array.flags.writeable = False
        if layout == "reversed" and array.ndim:
            array = array[::-1]
        if layout == "broadcast":
            array = np.broadcast_to(array, (3, *shape))
        return array.view(Subclass) if layout == "subclass" else array

    values = st.sampled_from([0, 1, -1, 3, 4, 100, 0.5])
    layouts = st.sampled_from(["", "", "read-only", "reversed", "broadcast", "subclass"])
    return st.builds(build, st.sampled_from(dtypes), st.sampled_from(shapes), values, layouts)


SCALARS = [None, True, False, 0, 1, -1, 2, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, -0.0, 1e-320, 1e308, float("nan")]
SCALARS += [float("inf"), -float("inf"), 1j, "", "mean", "none", "sum", "x\0", b"mean", [], [1], [[1, 2], [3]], (), {}]
SCALARS += [np.bool_(True), np.int8(-1), np.uint64(2**64 - 1), np.float16(2), np.datetime64("NaT", "s"), np.ma.masked]
SCALARS += [
    object(),
    Ellipsis,
    NotImplemented,
    int,
    np.ndarray,
    np.ones,
    Raises(),
    Lies(),
    memoryview(b"abcd"),
    range(4),
]

VALUES = st.one_of(st.sampled_from(SCALARS), arrays())
PARAMETERS = {name: list(inspect.signature(ENTRY_POINTS[name][0]).parameters) for name in NAMES}


@st.composite
def calls(draw: Any) -> tuple[str, dict[str, Any]]:
    """The name of a function and its arguments, one to three of which are anything."""
    name = draw(st.sampled_from(NAMES))
    arguments = ENTRY_POINTS[name][1](random_logits(5, 4))
    if ENTRY_POINTS[name][2] and draw(st.booleans()):
        arguments["return_grad"] = True
    for parameter in draw(st.lists(st.sampled_from(PARAMETERS[name]), min_size=1, max_size=3, unique=True)):
        arguments[parameter] = draw(VALUES)
    return name, arguments


OUTPUTS = ("out", "grad_out")


def contents(arguments: dict[str, Any]) -> list[bytes]:
    given = (arguments.get(name) for name in OUTPUTS)
    arrays = (array for array in given if isinstance(array, np.ndarray) and not isinstance(array, np.ma.MaskedArray))
    return [array.tobytes() for array in arrays if array.dtype != object]


def assert_orderly(name: str, arguments: dict[str, Any]) -> str:
    """An answer, or an error of ours that begins with an argument's name and has written nothing."""
    before = contents(arguments)
    try:
        ENTRY_POINTS[name][0](**arguments)
    except (TypeError, ValueError, IndexError) as error:
        named = str(error).split(":")[0]
        assert named in PARAMETERS[name], f"{type(error).__name__}: {error}"  # noqa: PT017
        assert contents(arguments) == before, f"written before it was refused: {error}"  # noqa: PT017
        return named
    except (MemoryError, DeprecationWarning):
        return ""
    return ""
