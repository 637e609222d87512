"""Thousands of generated calls, forward and gradient, against torch.

(a) A case is drawn from its number alone. Each row of FEATURES adds one thing to a case in a share of them: a new
    option is one row there, a new dtype one row in DTYPES.
(b) torch computes in float64 from the same values, so that what differs is xentc. Its own error is that of lse - x.
(c) Where xentc differs on purpose, `agree_on_purpose` changes the case so that there is nothing to differ about: one
    comment for each difference. Tests of their own hold what xentc says there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import reference
import strategies
import tolerances

import xentc

N_CASES = 5000
CHUNK = 250

# dtype: relative tolerance of the loss and of the gradient
DTYPES = {"float32": (2e-6, 2e-6), "float64": (1e-11, 1e-11), "float16": (2e-6, 1e-3), "bfloat16": (2e-6, 8e-3)}
DTYPES = {name: DTYPES[name] for name in ("float32", "float64", *strategies.HALVES)}


@dataclass
class Case:
    rng: np.random.Generator
    input: np.ndarray
    target: np.ndarray
    options: dict[str, Any] = field(default_factory=dict)
    grad_output: Any = None
    layout: str = "C"
    features: list[str] = field(default_factory=list)

    @property
    def axis(self) -> int:
        return min(1, self.input.ndim - 1)

    @property
    def soft(self) -> bool:
        return self.target.shape == self.input.shape

    @property
    def n_classes(self) -> int:
        return self.input.shape[self.axis]

    @property
    def rows(self) -> np.ndarray:
        """A view of the logits, classes last."""
        return np.moveaxis(self.input, self.axis, -1)


# Each returns whether it applies to the case.


def add_probabilities(case: Case) -> bool:
    probability = case.rng.uniform(0, 1, case.input.shape) * (case.rng.random(case.input.shape) < 0.7)
    case.target = probability.astype(case.rng.choice(["float16", "float32", "float64"]))
    return True


def add_smoothing(case: Case) -> bool:
    case.options["label_smoothing"] = float(case.rng.choice([0.1, 0.01, 0.5, 1.0]))
    return True


def add_weight(case: Case) -> bool:
    weight = case.rng.uniform(0.1, 2, case.n_classes)
    weight[case.rng.random(case.n_classes) < 0.1] = 0.0
    case.options["weight"] = weight.astype(case.rng.choice(["float32", "float64"]))
    return True


def add_ignore_index(case: Case) -> bool:
    if case.soft:
        return False
    ignore_index = int(case.rng.choice([-100, -1, 0, case.n_classes - 1]))
    case.options["ignore_index"] = ignore_index
    case.target = np.where(case.rng.random(case.target.shape) < 0.3, ignore_index, case.target)
    return True


def add_layout(case: Case) -> bool:
    """A layout for xentc. Broadcast logits repeat the first sample."""
    names = ["Fortran", "transposed", "stepped", "sliced", "reversed", "broadcast", "misaligned", "big_endian"]
    case.layout = str(case.rng.choice(names))
    if case.layout == "broadcast":
        case.input[...] = case.input[:1] if case.input.ndim > 1 else case.input
    return True


def add_non_finite(case: Case) -> bool:
    value = case.rng.choice([np.nan, np.inf, -np.inf, -np.inf])
    case.input[case.rng.random(case.input.shape) < 0.1] = value
    if case.rng.random() < 0.2:
        case.rows[case.rng.random(case.rows.shape[:-1]) < 0.2] = value
    return True


def add_masked_classes(case: Case) -> bool:
    lowest = float(tolerances.float_limits(case.input.dtype).min)
    if case.soft or "label_smoothing" in case.options:
        lowest = max(lowest, -1e30)  # of which a sum does not overflow
    case.rows[..., case.rng.random(case.n_classes) < 0.3] = case.rng.choice([-np.inf, lowest])
    return True


def add_offset(case: Case) -> bool:
    offset = case.rng.choice([-1e4, 1e4, 300])
    case.input[...] = (case.input.astype(np.float64) + offset).astype(case.input.dtype)
    return True


def add_ties(case: Case) -> bool:
    case.input[...] = np.round(case.input.astype(np.float64)).astype(case.input.dtype)
    return True


def add_target_dtype(case: Case) -> bool:
    if case.soft:
        return False
    lowest, highest = case.target.min(initial=0), case.target.max(initial=0)
    limits = {name: np.iinfo(name) for name in strategies.INTEGERS}
    names = [name for name, limit in limits.items() if limit.min <= lowest and highest <= limit.max]
    case.target = case.target.astype(case.rng.choice(names))
    return True


# name: the share of cases, what it does to a case; in this order
FEATURES: dict[str, tuple[float, Callable[[Case], bool]]] = {
    "probabilities": (0.2, add_probabilities),
    "label_smoothing": (0.6, add_smoothing),
    "ties": (0.2, add_ties),
    "offset": (0.1, add_offset),
    "masked classes": (0.1, add_masked_classes),
    "non-finite": (0.2, add_non_finite),
    "weight": (0.75, add_weight),
    "ignore_index": (0.8, add_ignore_index),
    "non-contiguous": (0.35, add_layout),
    "target dtype": (0.5, add_target_dtype),
}

SHAPES = ["(C,)", "(N, C)", "(N, C)", "(N, C)", "(N, C, d1)", "(N, C, d1, d2)", "(N, C, d1, d2, d3)"]


def draw_case(number: int) -> Case:
    rng = np.random.default_rng(number)
    kind = str(rng.choice(SHAPES))
    n_samples, n_classes = int(rng.choice([0, 1, 2, 5, 17, 40])), int(rng.choice([1, 2, 3, 10, 33, 64, 65, 130]))
    inner = tuple(rng.integers(0 if rng.random() < 0.1 else 1, 5, max(0, kind.count("d"))))
    shape = (n_classes,) if kind == "(C,)" else (n_samples, n_classes, *map(int, inner))
    dtype = str(rng.choice(list(DTYPES)))
    input = rng.normal(0, rng.choice([0.1, 1, 10]), shape).astype(dtype)
    samples = () if kind == "(C,)" else (n_samples, *map(int, inner))
    case = Case(rng, input, np.asarray(rng.integers(0, n_classes, samples)), features=[kind, dtype])
    reduction = str(rng.choice(["none", "mean", "sum"]))
    case.options["reduction"] = reduction
    case.features.append(f"reduction={reduction}")
    for name, (share, add) in FEATURES.items():
        if rng.random() < share and add(case):
            case.features.append(name)
    case.grad_output = rng.normal(size=samples if reduction == "none" else ())
    agree_on_purpose(case)
    return case


def agree_on_purpose(case: Case) -> None:
    """What xentc defines otherwise than torch, taken out of a case."""
    with np.errstate(all="ignore"):
        steps = reference.take_steps(case.input, case.target, dtype=np.float64, **case.options)
    absent = np.reshape(steps.coefficient == 0, case.rows.shape)
    # A sample of which nothing is left, as it is ignored or its coefficients are all 0: gradient 0 whatever its logits
    # hold, torch's is nan where one is not finite.
    removed = absent.all(axis=-1)
    # A zero of that dtype: NumPy 2.0 frees what it should keep when it promotes a bfloat16 with Python's 0.
    zero = case.rows.dtype.type(0)
    case.rows[removed] = np.where(np.isfinite(case.rows[removed]), case.rows[removed], zero)
    # A coefficient of 0 (weight or probability) at a class of -inf: nothing, torch's is 0 times inf. With an index and
    # no smoothing, torch does not read that class either.
    if case.soft or "label_smoothing" in case.options:
        case.rows[absent & (case.rows == -np.inf)] = -50
    # Smoothing 1 leaves nothing of the target's own term; torch's is 0 times inf.
    if case.options.get("label_smoothing") == 1.0 and np.any(np.isinf(case.input)):
        case.options["label_smoothing"] = 0.5
    if case.layout == "broadcast" and np.any(absent):
        case.layout = "stepped"  # its samples may no longer be the same
    # A mean over weights that are all 0: gradient 0, torch's is nan.
    if steps.denominator == 0 and steps.valid.any():
        case.options["reduction"] = "sum"
    # Losses of halves are float32, torch's are halves: torch is asked for float64 here.


def torch_answer(torch: Any, case: Case) -> tuple[np.ndarray, np.ndarray]:
    options = dict(case.options)
    if "weight" in options:
        options["weight"] = torch.tensor(options["weight"], dtype=torch.float64)
    x = torch.tensor(case.input.astype(np.float64), requires_grad=True)
    target = torch.tensor(case.target.astype(np.float64 if case.soft else np.int64))
    loss = torch.nn.functional.cross_entropy(x, target, **options)
    loss.backward(torch.tensor(case.grad_output))
    return loss.detach().numpy(), x.grad.numpy()


def our_answer(case: Case, **changed: Any) -> tuple[Any, np.ndarray]:
    input = strategies.laid_out(case.input, case.layout)
    options = {**case.options, "return_grad": True, "grad_output": case.grad_output, **changed}
    return xentc.cross_entropy(input, case.target, **options)


def assert_equal(case: Case, ours: tuple[Any, np.ndarray], theirs: tuple[np.ndarray, np.ndarray]) -> None:
    dtype = case.input.dtype
    arithmetic = np.promote_types(dtype, np.float32) if dtype.kind == "f" else np.dtype(np.float32)
    assert (np.asarray(ours[0]).dtype, ours[1].dtype) == (arithmetic, dtype)
    with np.errstate(all="ignore"):
        steps = reference.take_steps(case.input, case.target, dtype=np.float64, **case.options)
        loss_size, grad_size = tolerances.sizes(steps, case.grad_output, case.options, arithmetic)
    finite = np.abs(case.input.astype(np.float64)[np.isfinite(case.input)])
    # torch's lse - x errs by an eps of float64 of the logits, and so does every sum of these.
    error = 1e-14 * (1 + finite[finite < 1e30].max(initial=0)) * max(1, case.target.size)
    smallest = float(tolerances.float_limits(dtype).smallest_subnormal)
    scale = max(1.0, float(np.abs(case.grad_output).max(initial=0)))
    with np.errstate(over="ignore"):  # a loss beyond float32 is inf there
        loss = theirs[0].astype(arithmetic)
    assert_close("loss", ours[0], loss, DTYPES[dtype.name][0] * loss_size + error)
    grad_error = error * scale + smallest
    assert_close("gradient", ours[1].astype(np.float64), theirs[1], DTYPES[dtype.name][1] * grad_size + grad_error)


def assert_close(name: str, our: Any, their: np.ndarray, tolerance: np.ndarray) -> None:
    assert np.shape(our) == their.shape
    with np.errstate(invalid="ignore"):
        same = (our == their) | (np.isnan(our) & np.isnan(their)) | (np.abs(our - their) <= tolerance)
    assert np.all(same), f"{name}: {our}, torch has {their}, at {np.argwhere(~same).tolist()}"


@pytest.mark.parametrize("first", range(0, N_CASES, CHUNK))
def test_equals_torch(torch: Any, count_case: Callable[..., None], first: int) -> None:
    for number in range(first, first + CHUNK):
        case = draw_case(number)
        try:
            assert_equal(case, our_answer(case), torch_answer(torch, case))
        except Exception as error:
            raise AssertionError(f"case {number}: {case}") from error
        count_case(*case.features)


FAULTS: dict[str, dict[str, Any]] = {
    "weight": {"weight": None},
    "ignore_index": {"ignore_index": -7},
    "label_smoothing": {"label_smoothing": 0.0},
    "reduction=mean": {"reduction": "sum"},
    "reduction=sum": {"reduction": "mean"},
}


@pytest.mark.parametrize("feature", FAULTS)
def test_a_fault_differs_from_torch(torch: Any, feature: str) -> None:
    """An option that is dropped makes most of the cases fail that have it: the comparison sees what it is for."""
    noticed = total = 0
    for number in range(500):
        case = draw_case(number)
        if feature not in case.features or case.target.size < 5 or case.n_classes < 2 or np.all(np.isnan(case.input)):
            continue
        total += 1
        try:
            assert_equal(case, our_answer(case, **FAULTS[feature]), torch_answer(torch, case))
        except (AssertionError, IndexError):
            noticed += 1
    assert noticed > 0.8 * total > 20


def test_what_the_torch_cases_hold() -> None:
    """Shares of all cases, whether or not torch is here to answer them."""
    counts: Counter[str] = Counter()
    for number in range(N_CASES):
        features = draw_case(number).features
        counts.update(features)
        counts["three options"] += {"weight", "ignore_index", "label_smoothing"} <= set(features)
    least = {"three options": 0.25, "non-contiguous": 0.25, "non-finite": 0.1, "probabilities": 0.1}
    least |= dict.fromkeys(DTYPES, 0.1) | dict.fromkeys(SHAPES, 0.1)
    assert {name: counts[name] for name, share in least.items() if counts[name] < share * N_CASES} == {}
