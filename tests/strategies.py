"""Hypothesis strategies for cross_entropy: any shape, dtype, layout, value and option that SEMANTICS allows.

(a) `problems(features)` draws from the features it is given, so that a part of the package can be tested before the
    whole is there. FIRST is what cross_entropy of class indices needs; EVERYTHING is everything.
(b) An array is drawn as values first and laid out in memory afterwards: a layout never changes what the answer is.
(c) What is drawn has an answer that IEEE arithmetic and the rules agree on: weights are multiples of 1/4 and their sums
    exact, so that a mean's denominator is either exactly 0 or far from it, and a problem whose denominator is 0 while
    a term is left is not drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import reference
import tolerances
from hypothesis import strategies as st

try:
    import ml_dtypes  # noqa: F401 - makes np.dtype("bfloat16") known

    HALVES: tuple[str, ...] = ("float16", "bfloat16")
except ImportError:
    HALVES = ("float16",)

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")

FIRST = frozenset(
    {
        "weight",
        "ignore_index",
        "reduction",
        "grad_output",
        "ugly",
        "layout",
        "big_endian",
        "misaligned",
        "axis",
        "promoted",
    }
)
EVERYTHING = FIRST | {
    "half", "probability", "label_smoothing", "sample_weight", "softcap",
    "temperature", "lse_square_scale",
}  # fmt: skip


@dataclass
class Problem:
    """Arguments of a call, and what to say of them when the answer is wrong."""

    input: np.ndarray
    target: np.ndarray
    options: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        arrays = f"input={self.input!r}, {self.input.dtype}, strides={self.input.strides}, target={self.target!r}"
        return f"Problem({arrays}, {self.options}, {', '.join(self.notes)})"


@st.composite
def problems(draw: Any, features: frozenset[str] = EVERYTHING, dtypes: tuple[str, ...] | None = None) -> Problem:
    """One call of cross_entropy. `dtypes` restricts the input's."""
    if dtypes is None:
        dtypes = ("float32", "float64", *(HALVES if "half" in features else ()))
        dtypes += ("int32", "uint8") if "promoted" in features else ()
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    seed = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(shapes())
    axis = draw(st.integers(-len(shape), len(shape) - 1)) if "axis" in features else None
    class_axis = reference.class_axis(len(shape), axis)
    n_classes, samples = shape[class_axis], shape[:class_axis] + shape[class_axis + 1 :]

    input = draw(logits(seed, shape, class_axis, dtype, "ugly" in features))
    options: dict[str, Any] = {} if axis is None else {"axis": axis}
    if "probability" in features and n_classes and draw(st.booleans()):
        target = probabilities(draw, seed, shape)
    else:
        target = indices(draw, seed, samples, n_classes, features, options)
    draw_options(draw, seed, samples, n_classes, dtype, features, options)

    notes: list[str] = []
    names = layouts_of(features)
    if is_float(dtype):
        input = laid_out(input, draw(st.sampled_from(names)), notes)
    if "layout" in features:
        target = laid_out(target, draw(st.sampled_from(names)), notes)
    if denominator_vanishes(input, target, options):
        options["reduction"] = "sum"
    return Problem(input, target, options, notes)


def is_float(dtype: np.dtype) -> bool:
    """bfloat16 is of kind V to NumPy."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


def shapes() -> st.SearchStrategy[tuple[int, ...]]:
    """(N, C), (C,), (N, C, d1), (N, C, d1, d2): zeros, ones and the edges of vectors among the lengths."""
    n_samples = st.sampled_from([0, 1, 2, 3, 31, 33, 64, 65])
    n_classes = st.sampled_from([1, 2, 3, 7, 10, 16, 31, 33, 64, 65, 100]) | st.integers(0, 40)
    inner = st.sampled_from([0, 1, 2, 3, 5, 33])
    return st.one_of(
        st.tuples(n_samples, n_classes),
        st.tuples(n_classes),
        st.tuples(st.integers(0, 3), n_classes, inner),
        st.tuples(st.integers(0, 3), n_classes, inner, st.integers(0, 4)),
    )


@st.composite
def logits(draw: Any, seed: np.random.Generator, shape: tuple, class_axis: int, dtype: np.dtype, ugly: bool) -> Any:
    if not is_float(dtype):
        return seed.integers(0, 20, shape).astype(dtype)
    values = seed.normal(0, draw(st.sampled_from([0.01, 1.0, 3.0, 20.0])), shape)
    if draw(st.booleans()):
        values = np.round(values)  # ties
    offset = draw(st.sampled_from([0.0, 0.0, 100.0, -1e4, 1e4])) if ugly and dtype.itemsize > 2 else 0.0
    values = (values + offset).astype(dtype)
    limits = tolerances.float_limits(dtype)
    # Sums of several, of every class or sample, do not overflow in the arithmetic of the dtype.
    largest = float(limits.max) / (1 if dtype == np.float16 else 1e6)
    bad = [-np.inf, np.inf, np.nan, -0.0, float(limits.smallest_subnormal), min(1e30, largest / 4), -largest, -np.inf]
    if ugly and values.size:
        for value in draw(st.lists(st.sampled_from(bad), max_size=3)):
            values[seed.random(shape) < draw(st.sampled_from([0.01, 0.3]))] = value
        if draw(st.booleans()):  # masked samples, but for one class
            classes_last = np.moveaxis(values, class_axis, -1)
            mask = seed.random(classes_last.shape[:-1]) < 0.3
            classes_last[mask, 1:] = draw(st.sampled_from([-np.inf, -largest]))
    return values


def indices(
    draw: Any, seed: np.random.Generator, samples: tuple, n_classes: int, features: frozenset, options: dict
) -> Any:
    dtype = np.dtype(draw(st.sampled_from(INTEGERS)))
    limits = np.iinfo(dtype)
    target = seed.integers(0, max(1, min(n_classes, int(limits.max) + 1)), samples)
    ignore_index = -100
    if "ignore_index" in features:
        inside = [0, n_classes - 1] if n_classes else []
        ignore_index = draw(
            st.sampled_from([-100, -1, 2**31, *inside, min(int(limits.max), 2**63 - 1), int(limits.min)])
        )
        if ignore_index != -100:
            options["ignore_index"] = ignore_index
    if limits.min <= ignore_index <= limits.max:
        target = np.where(seed.random(samples) < draw(st.sampled_from([0.0, 0.3, 1.0])), ignore_index, target)
        if not n_classes:
            target = np.full(samples, ignore_index)
    elif not n_classes:
        options["ignore_index"] = 5
        target = np.full(samples, 5)
    return target.astype(dtype)


def probabilities(draw: Any, seed: np.random.Generator, shape: tuple) -> Any:
    values = seed.uniform(0, 1, shape)
    values[seed.random(shape) < 0.3] = 0.0
    return values.astype(draw(st.sampled_from(["float16", "float32", "float64"])))


def quarters(seed: np.random.Generator, shape: Any, zeros: bool, negative: bool) -> Any:
    """Multiples of 1/4 whose sums are exact in every float."""
    values = seed.integers(0 if zeros else 1, 9, shape) / 4.0
    return np.where(seed.random(shape) < 0.2, -values, values) if negative else values


def draw_options(
    draw: Any, seed: np.random.Generator, samples: tuple, n_classes: int, dtype: Any, features: frozenset, options: dict
) -> None:
    floats = st.sampled_from(["float32", "float64"])
    if "reduction" in features:
        options["reduction"] = draw(st.sampled_from(["none", "mean", "sum"]))
    if "weight" in features and draw(st.booleans()):
        negative = draw(st.integers(0, 4)) == 0
        options["weight"] = quarters(seed, n_classes, draw(st.booleans()), negative).astype(draw(floats))
    if "sample_weight" in features and draw(st.integers(0, 2)) == 0:
        options["sample_weight"] = quarters(seed, samples, True, False).astype(draw(floats))
    if "label_smoothing" in features and draw(st.integers(0, 2)) == 0:
        options["label_smoothing"] = draw(st.sampled_from([0.1, 0.5, 1.0, 1e-3]))
    if "softcap" in features and draw(st.integers(0, 4)) == 0:
        options["softcap"] = draw(st.sampled_from([1.0, 30.0, 0.5]))
    if "temperature" in features and draw(st.integers(0, 4)) == 0:
        options["temperature"] = draw(st.sampled_from([0.5, 2.0, 1.7]))
    if "lse_square_scale" in features and draw(st.integers(0, 4)) == 0:
        options["lse_square_scale"] = draw(st.sampled_from([1e-4, 1.0]))
    if "grad_output" in features and draw(st.booleans()):
        scalar = options.get("reduction", "mean") != "none" or draw(st.booleans())
        options["grad_output"] = seed.normal(size=() if scalar else samples) * draw(st.sampled_from([0.0, 1.0, 1e3]))


def denominator_vanishes(input: np.ndarray, target: np.ndarray, options: dict) -> bool:
    """A mean of terms whose weights cancel: a number over 0."""
    if options.get("reduction", "mean") != "mean":
        return False
    arguments = {name: value for name, value in options.items() if name != "grad_output"}
    with np.errstate(all="ignore"):
        steps = reference.take_steps(input, target, dtype=np.float64, **arguments)
    return bool(steps.denominator == 0 and reference.takes_part(steps).any())


def layouts_of(features: frozenset[str]) -> list[str]:
    names = ["C"]
    if "layout" in features:
        names += ["Fortran", "transposed", "stepped", "reversed", "broadcast", "read-only", "sliced"]
    return names + [name for name in ("misaligned", "big_endian") if name in features]


def laid_out(array: np.ndarray, name: str, notes: list[str] | None = None) -> np.ndarray:
    """The same values in another layout. "broadcast" repeats the first entry of an axis, and so changes the values."""
    if notes is not None:
        notes.append(name)
    if not array.ndim:
        return array
    if name == "Fortran":
        return np.array(array, order="F")
    if name == "transposed":
        return np.array(np.swapaxes(array, 0, -1), order="C").swapaxes(0, -1)
    if name in ("stepped", "sliced"):
        step = 2 if name == "stepped" else 1
        larger = np.zeros([length * step + 3 for length in array.shape], array.dtype)
        view = larger[(..., *(slice(1, 1 + length * step, step) for length in array.shape))]
        view[...] = array
        return view
    if name == "reversed":
        everywhere = (slice(None, None, -1),) * array.ndim
        return np.array(array[everywhere], order="C")[everywhere]
    if name == "broadcast":
        return np.broadcast_to(array[:1], array.shape) if array.ndim > 1 and array.size else array
    if name == "misaligned":
        return at_offset(array, 1)
    if name == "big_endian" and array.dtype.name != "bfloat16":
        return array.astype(array.dtype.newbyteorder(">"))
    array = array.copy()
    array.flags.writeable = name != "read-only"
    return array


def at_offset(array: np.ndarray, offset: int) -> np.ndarray:
    """The same values, beginning this many bytes behind an address that is a multiple of 64."""
    buffer = np.zeros(array.nbytes + 128, np.uint8)
    start = -buffer.ctypes.data % 64 + offset
    view = buffer[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view
