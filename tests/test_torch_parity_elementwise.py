"""A thousand generated calls of each element-wise loss and dtype, forward and gradient, against torch.

A case is drawn from its number alone. torch computes in float64 from the same values, so that what differs is xentc;
its own error is an eps of float64 of its terms, and it cancels where ours does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import reference_elementwise as reference
import strategies
import tolerances

import xentc

N_CASES = 1000  # of each loss and dtype
NAMES = tuple(reference.LOSSES)
BCE, LOGITS, HINGE = NAMES
# dtype: relative tolerance of the loss and of the gradient
DTYPES = {"float32": (2e-6, 2e-6), "float64": (1e-11, 1e-11), "float16": (2e-6, 1e-3), "bfloat16": (2e-6, 8e-3)}
DTYPES = {name: DTYPES[name] for name in ("float32", "float64", *strategies.HALVES)}
LAYOUTS = ["C", "C", "Fortran", "transposed", "stepped", "sliced", "reversed", "broadcast", "misaligned", "big_endian"]


@dataclass
class Case:
    input: np.ndarray
    target: np.ndarray
    options: dict[str, Any]
    grad_output: Any = 1.0
    features: list[str] = field(default_factory=list)


def draw_case(name: str, dtype: str, number: int) -> Case:
    rng = np.random.default_rng([NAMES.index(name), list(DTYPES).index(dtype), number])
    shape = tuple(map(int, rng.choice([1, 2, 3, 5, 17, 40], rng.integers(0, 4))))
    shape = (0, *shape[1:]) if rng.random() < 0.03 and shape else shape
    x = rng.uniform(size=shape) if name == BCE else rng.normal(0, rng.choice([0.1, 2, 20]), shape)
    case = Case(np.asarray(x).astype(dtype), np.empty(0), {"reduction": str(rng.choice(["none", "mean", "sum"]))})
    case.features += [f"{name} {dtype}", f"reduction={case.options['reduction']}"]
    draw_target(rng, name, case)
    draw_ugly(rng, name, case)
    for option in ("weight", "pos_weight")[: {BCE: 1, LOGITS: 2, HINGE: 0}[name]]:
        if rng.random() < 0.6:
            part = tuple(int(n) if rng.random() < 0.6 else 1 for n in shape)[rng.integers(0, len(shape) + 1) :]
            case.options[option] = rng.uniform(0.1, 3, part).astype(rng.choice(["float32", "float64"]))
            case.features.append(option)
    if name == HINGE and rng.random() < 0.5:
        case.options["margin"] = float(rng.choice([0.1, 0.5, 2.0, -1.0]))
        case.features.append("margin")
    whole = np.broadcast_shapes(case.input.shape, case.target.shape)
    case.grad_output = rng.normal(size=whole if case.options["reduction"] == "none" else ())
    layout = str(rng.choice(LAYOUTS))
    if layout != "C":
        case.features.append("layout")
    case.input = strategies.laid_out(case.input, layout)
    return case


def draw_target(rng: np.random.Generator, name: str, case: Case) -> None:
    shape = case.input.shape
    if name == HINGE:
        if rng.random() < 0.4:
            case.features.append("broadcast")
            target = tuple(int(n) if rng.random() < 0.5 else 1 for n in shape)
            case.input = case.input[(..., *(slice(None) if rng.random() < 0.7 else slice(0, 1) for _ in shape))]
            shape = (2, *target) if rng.random() < 0.2 else target[rng.integers(0, len(shape) + 1) :]
        case.target = rng.choice([-1, 1, -1, 1, 0], shape).astype(rng.choice(["int8", "int64", "float32", "float64"]))
        return
    target = rng.uniform(size=shape)
    if rng.random() < 0.5:
        case.features.append("hard targets")
        case.target = np.round(target).astype(rng.choice(["bool", "uint8", "int64", "float32", "float64"]))
    else:
        case.target = np.asarray(target).astype(rng.choice(["float32", "float64"]))


def draw_ugly(rng: np.random.Generator, name: str, case: Case) -> None:
    if rng.random() > 0.25:
        return
    # Where xentc gives limits or nan on purpose torch gives nan or 0: an infinite logit, a nan of the hinge's gradient.
    values = {BCE: [0, 1, 1e-30], LOGITS: [np.nan, 0, 1e4, -1e4], HINGE: [np.inf, -np.inf, 0, 1]}[name]
    case.input[rng.random(case.input.shape) < 0.2] = rng.choice(values)
    case.features.append("special values")


def torch_answer(torch: Any, name: str, case: Case) -> tuple[np.ndarray, np.ndarray]:
    options = {
        key: torch.tensor(value, dtype=torch.float64) if "weight" in key else value
        for key, value in case.options.items()
    }
    x = torch.tensor(case.input.astype(np.float64), requires_grad=True)
    target = torch.tensor(case.target.astype(np.float64))
    loss = getattr(torch.nn.functional, name)(x, target, **options)
    loss.backward(torch.tensor(case.grad_output, dtype=torch.float64))
    return loss.detach().numpy(), x.grad.numpy()


def our_answer(name: str, case: Case, **changed: Any) -> tuple[Any, np.ndarray]:
    options = {**case.options, "return_grad": True, "grad_output": case.grad_output, **changed}
    return getattr(xentc, name)(case.input, case.target, **options)


def assert_equal(name: str, case: Case, ours: tuple[Any, np.ndarray], theirs: tuple[np.ndarray, np.ndarray]) -> None:
    dtype = case.input.dtype.newbyteorder("=")
    arithmetic = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    assert (np.asarray(ours[0]).dtype, ours[1].dtype) == (arithmetic, dtype)
    exact = reference.answer(
        name, case.input, case.target, dtype=np.float64, grad_output=case.grad_output, **case.options
    )
    finite = np.abs(case.input.astype(np.float64)[np.isfinite(case.input)])
    error = 1e-14 * (1 + finite.max(initial=0)) * max(1, case.input.size, case.target.size)
    smallest = float(tolerances.float_limits(dtype).smallest_subnormal)
    grad_error = error * max(1.0, float(np.abs(case.grad_output).max(initial=0))) + smallest
    with np.errstate(over="ignore"):  # a slope of 1e12 beyond float16 is inf there
        grad = theirs[1].astype(dtype).astype(np.float64)
    assert_close("loss", ours[0], theirs[0], DTYPES[dtype.name][0] * exact.loss_size + error)
    assert_close("gradient", ours[1].astype(np.float64), grad, DTYPES[dtype.name][1] * exact.grad_size + grad_error)


def assert_close(what: str, our: Any, their: np.ndarray, tolerance: np.ndarray) -> None:
    assert np.shape(our) == their.shape
    with np.errstate(invalid="ignore"):
        same = (our == their) | (np.isnan(our) & np.isnan(their)) | (np.abs(our - their) <= tolerance)
    assert np.all(same), f"{what}: {our}, torch has {their}, at {np.argwhere(~same).tolist()}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_equals_torch(torch: Any, count_case: Callable[..., None], name: str, dtype: str) -> None:
    for number in range(N_CASES):
        case = draw_case(name, dtype, number)
        try:
            assert_equal(name, case, our_answer(name, case), torch_answer(torch, name, case))
        except Exception as error:
            raise AssertionError(f"case {number}: {case}") from error
        count_case(*case.features)


FAULTS: list[tuple[str, str, dict[str, Any]]] = [
    (BCE, "weight", {"weight": None}),
    (LOGITS, "weight", {"weight": None}),
    (LOGITS, "pos_weight", {"pos_weight": None}),
    (HINGE, "margin", {"margin": 0.75}),
    (HINGE, "broadcast", {"reduction": "sum"}),
    (BCE, "reduction=sum", {"reduction": "mean"}),
]


@pytest.mark.parametrize(("name", "feature", "fault"), FAULTS)
def test_a_fault_differs_from_torch(torch: Any, name: str, feature: str, fault: dict[str, Any]) -> None:
    """An option that is dropped makes most of the cases fail that have it: the comparison sees what it is for."""
    noticed = total = 0
    for number in range(400):
        case = draw_case(name, "float32", number)
        if feature not in case.features or case.input.size < 5 or np.any(np.isnan(case.input)):
            continue
        if fault == {"reduction": "sum"} and case.options["reduction"] != "mean":
            continue
        total += 1
        try:
            assert_equal(name, case, our_answer(name, case, **fault), torch_answer(torch, name, case))
        except (AssertionError, ValueError):
            noticed += 1
    assert noticed > 0.8 * total > 20, (noticed, total)


def test_what_the_torch_cases_hold() -> None:
    for name in NAMES:
        counts: dict[str, int] = {}
        for number in range(N_CASES):
            for feature in draw_case(name, "float32", number).features:
                counts[feature] = counts.get(feature, 0) + 1
        wanted = {
            BCE: ["weight", "hard targets"],
            LOGITS: ["weight", "pos_weight", "hard targets"],
            HINGE: ["broadcast"],
        }
        for feature in (*wanted[name], "layout", "special values"):
            assert counts[feature] > 0.15 * N_CASES, (name, feature)
