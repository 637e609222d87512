"""Generated calls of softmax, log_softmax and logsumexp, forward and gradient, against torch.

(a) A case is drawn from its number, its function and its dtype: N_CASES for each pair.
(b) torch computes in float64 from the same values, so that what differs is xentc.
(c) Where xentc differs on purpose, `agree_on_purpose` changes the case so that there is nothing to differ about: one
    comment for each difference. test_softmax.py holds what xentc says there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import softmax_reference
import strategies
import tolerances

import xentc

N_CASES = 1000
NAMES = ("softmax", "log_softmax", "logsumexp")

# dtype: relative tolerance of value and gradient
DTYPES = {"float32": (2e-6, 2e-6), "float64": (1e-11, 1e-11), "float16": (1e-3, 1e-3), "bfloat16": (8e-3, 8e-3)}
DTYPES = {name: DTYPES[name] for name in ("float32", "float64", *strategies.HALVES)}
LAYOUTS = ["Fortran", "transposed", "stepped", "sliced", "reversed", "misaligned", "big_endian"]
SHAPES = ["()", "(C,)", "(N, C)", "(N, C)", "(N, C, d1)", "(N, C, d1, d2)"]
UPSTREAM = ["normal", "one class", "equal", "sparse"]


@dataclass
class Case:
    name: str
    input: np.ndarray
    axis: int
    upstream: np.ndarray
    layout: str = "C"
    keepdims: bool = False
    features: list[str] = field(default_factory=list)

    @property
    def rows(self) -> np.ndarray:
        """A view of the logits, classes last."""
        return np.moveaxis(self.input, self.axis, -1) if self.input.ndim else self.input[None]


def draw_case(name: str, dtype: str, number: int) -> Case:
    rng = np.random.default_rng([NAMES.index(name), list(DTYPES).index(dtype), number])
    kind = str(rng.choice(SHAPES))
    n_classes = int(rng.choice([0, 1, 2, 3, 10, 33, 64, 65, 130, 300]))
    lengths = {"N": int(rng.choice([0, 1, 2, 5, 17])), "C": n_classes, "d1": int(rng.integers(1, 5)), "d2": 3}
    shape = tuple(lengths[part] for part in kind.strip("()").replace(" ", "").split(",") if part)
    axis = int(rng.integers(-max(len(shape), 1), max(len(shape), 1)))
    input = np.asarray(rng.normal(0, rng.choice([0.1, 1, 10]), shape)).astype(dtype)
    case = Case(name, input, axis, np.empty(0), features=[f"{name}: {dtype}", kind])
    if rng.random() < 0.2:
        input[...] = np.round(input.astype(np.float64)).astype(dtype)
        case.features.append("ties")
    if rng.random() < 0.2 and input.size:
        rows = case.rows
        rows[..., int(rng.integers(rows.shape[-1]))] = rng.choice([20, 50, 80])
        case.features.append("one class dominates")
    if rng.random() < 0.2:
        value = rng.choice([np.nan, np.inf, -np.inf, -np.inf])
        input[rng.random(shape) < 0.1] = value
        if rng.random() < 0.3 and input.ndim > 1:
            case.rows[rng.random(case.rows.shape[:-1]) < 0.2] = value
        case.features.append("non-finite")
    if rng.random() < 0.4 and input.ndim:
        case.layout = str(rng.choice(LAYOUTS))
        case.features.append("non-contiguous")
    if name == "logsumexp" and rng.random() < 0.3:
        case.keepdims = True
        case.features.append("keepdims")
    how = str(rng.choice(UPSTREAM))
    case.features.append(f"upstream: {how}")
    case.upstream = draw_upstream(case, rng, how)
    agree_on_purpose(case)
    return case


def draw_upstream(case: Case, rng: np.random.Generator, how: str) -> np.ndarray:
    shape = list(case.input.shape)
    if case.name == "logsumexp" and shape:
        shape[case.axis : case.axis % len(shape) + 1] = [1] if case.keepdims else []
    upstream = np.asarray(rng.normal(size=shape))
    if how == "equal":
        upstream = np.ones(shape)
    elif how != "normal" and upstream.size:
        few = np.zeros(shape)
        keep = rng.random(shape) < (0.1 if how == "sparse" else 0.0)
        keep.reshape(-1)[int(rng.integers(keep.size))] = True
        few[keep] = upstream[keep]
        upstream = few
    return upstream


def agree_on_purpose(case: Case) -> None:
    # An upstream gradient of 0 throughout a sample leaves 0 whatever its logits hold, torch's is nan with the softmax.
    if case.input.size:
        shaped = case.upstream
        if case.name == "logsumexp":
            zero = (shaped if not case.keepdims else np.squeeze(shaped, case.axis) if shaped.ndim else shaped) == 0
        else:
            zero = np.all((np.moveaxis(shaped, case.axis, -1) if shaped.ndim else shaped[None]) == 0, axis=-1)
        rows = case.rows
        if case.input.ndim == 0:
            case.input[...] = 0 if zero and not np.isfinite(case.input) else case.input
        else:
            # A zero of that dtype: NumPy 2.0 frees what it should keep when it promotes a bfloat16 with Python's 0.
            rows[zero] = np.where(np.isfinite(rows[zero]), rows[zero], rows.dtype.type(0))
    # Of halves, logsumexp is float32, torch's is a half: torch is asked for float64 here.


def torch_answer(torch: Any, case: Case) -> tuple[np.ndarray, np.ndarray]:
    x = torch.tensor(case.input.astype(np.float64), requires_grad=True)
    function = getattr(torch, case.name)
    value = function(x, case.axis, keepdim=True) if case.keepdims else function(x, case.axis)
    value.backward(torch.tensor(case.upstream))
    return value.detach().numpy(), x.grad.numpy()


def our_answer(case: Case, **changed: Any) -> tuple[Any, np.ndarray]:
    options = {"return_grad": True, "grad_output": case.upstream, **changed}
    if case.keepdims:
        options["keepdims"] = True
    input = strategies.laid_out(case.input, case.layout)
    return getattr(xentc, case.name)(input, changed.pop("axis", case.axis), **options)


def assert_equal(case: Case, ours: tuple[Any, np.ndarray], theirs: tuple[np.ndarray, np.ndarray]) -> None:
    dtype = case.input.dtype
    value_dtype = np.promote_types(dtype, np.float32) if dtype.kind == "f" else np.dtype(np.float32)
    value_dtype = value_dtype if case.name == "logsumexp" else dtype
    assert (np.asarray(ours[0]).dtype, ours[1].dtype) == (value_dtype, dtype)
    tolerance = DTYPES[value_dtype.name][0]
    smallest = float(tolerances.float_limits(dtype).smallest_subnormal) + 1e-37 * (dtype.itemsize < 8)
    rows = case.rows.astype(np.float64)
    rows = rows.reshape(int(np.prod(rows.shape[:-1])), rows.shape[-1])
    finite = np.abs(rows[np.isfinite(rows)]).max(initial=0)
    # torch's x - lse errs by an eps of float64 of the logits; lse by ours of the largest of them.
    error = 1e-14 * (1 + finite) + smallest
    scale = tolerance * finite if case.name == "logsumexp" else 0.0
    assert_close("value", ours[0], theirs[0], tolerance * np.abs(theirs[0]) + error + scale)
    full = case.name != "logsumexp"
    upstream = case.upstream if case.upstream.ndim or not full else case.upstream[None]
    upstream = np.moveaxis(upstream, case.axis, -1).reshape(rows.shape) if full else upstream.reshape(-1)
    with np.errstate(all="ignore"):
        size = softmax_reference.gradient_size(case.name, rows, upstream)
    grad = np.moveaxis(ours[1], case.axis, -1) if case.input.ndim else ours[1]
    their = np.moveaxis(theirs[1], case.axis, -1) if case.input.ndim else theirs[1]
    grad, their = grad.reshape(rows.shape).astype(np.float64), their.reshape(rows.shape)
    largest = 1 + np.abs(upstream).sum()
    assert_close("gradient", grad, their, DTYPES[dtype.name][1] * size + error * largest)


def assert_close(name: str, our: Any, their: np.ndarray, tolerance: np.ndarray) -> None:
    our = np.asarray(our).astype(np.float64)
    assert np.shape(our) == their.shape
    with np.errstate(invalid="ignore"):
        same = (our == their) | (np.isnan(our) & np.isnan(their)) | (np.abs(our - their) <= tolerance)
    assert np.all(same), f"{name}: {our}, torch has {their}, at {np.argwhere(~same).tolist()}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_equals_torch(torch: Any, count_case: Callable[..., None], name: str, dtype: str) -> None:
    for number in range(N_CASES):
        case = draw_case(name, dtype, number)
        try:
            assert_equal(case, our_answer(case), torch_answer(torch, case))
        except Exception as error:
            raise AssertionError(f"case {number}: {case}") from error
        count_case(*case.features)


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_differs_from_torch(torch: Any, name: str) -> None:
    """An upstream gradient that is turned about makes most of the cases fail: the comparison sees what it is for."""
    noticed = total = 0
    for number in range(600):
        case = draw_case(name, "float32", number)
        if case.input.size < 5 or case.rows.shape[-1] < 3 or not {"upstream: normal", "C"} & set(case.features):
            continue
        if "one class dominates" in case.features or np.all(np.isnan(case.input)):
            continue
        total += 1
        try:
            assert_equal(case, our_answer(case, grad_output=-case.upstream), torch_answer(torch, case))
        except AssertionError:
            noticed += 1
    assert noticed > 0.8 * total > 20


def test_what_the_torch_cases_hold() -> None:
    """Shares of the cases of each function, whether or not torch is here to answer them."""
    for name in NAMES:
        counts: Counter[str] = Counter()
        for dtype in DTYPES:
            for number in range(N_CASES):
                counts.update(draw_case(name, dtype, number).features)
        least = {"ties": 0.1, "one class dominates": 0.1, "non-finite": 0.1, "non-contiguous": 0.25}
        least |= dict.fromkeys(SHAPES, 0.1) | dict.fromkeys([f"upstream: {how}" for how in UPSTREAM], 0.1)
        total = N_CASES * len(DTYPES)
        assert {key: counts[key] for key, share in least.items() if counts[key] < share * total} == {}
        assert all(counts[f"{name}: {dtype}"] >= 1000 for dtype in DTYPES)
