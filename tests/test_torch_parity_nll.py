"""Generated calls of nll_loss, forward and gradient, against torch in float64; at least a thousand for each dtype.

What xentc defines otherwise is taken out of a case: a coefficient of 0 meets finite entries, a mean has a weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strategies
from test_torch_parity import DTYPES, SHAPES, assert_close

import xentc

N_CASES = 1200
LAYOUTS = ["C", "C", "Fortran", "transposed", "stepped", "sliced", "reversed", "misaligned", "big_endian"]


def draw_case(dtype: str, number: int) -> tuple[np.ndarray, np.ndarray, dict[str, Any], str, list[str]]:
    """Input, target, options with grad_output, the layout of xentc's input, and what there is to count."""
    rng = np.random.default_rng([number, list(DTYPES).index(dtype)])
    kind = str(rng.choice(SHAPES))
    n_classes, n_samples = int(rng.choice([1, 2, 3, 10, 65, 130])), int(rng.choice([0, 1, 2, 5, 40]))
    inner = tuple(map(int, rng.integers(1, 5, max(0, kind.count("d")))))
    shape = (n_classes,) if kind == "(C,)" else (n_samples, n_classes, *inner)
    samples = () if kind == "(C,)" else (n_samples, *inner)
    input = -np.abs(rng.normal(0, rng.choice([0.1, 1, 10]), shape)).astype(dtype)
    target = np.asarray(rng.integers(0, n_classes, samples))
    options: dict[str, Any] = {"reduction": str(rng.choice(["none", "mean", "sum"]))}
    if rng.random() < 0.6:
        options["weight"] = rng.uniform(0.1, 2, n_classes).astype(rng.choice(["float32", "float64"]))
        options["weight"][rng.random(n_classes) < 0.1] = 0
    if rng.random() < 0.6:
        options["ignore_index"] = int(rng.choice([-100, -1, 0, n_classes - 1]))
        target = np.where(rng.random(samples) < 0.3, options["ignore_index"], target)
    removed = target == options.get("ignore_index", -100)
    if "weight" in options:
        removed = removed | (options["weight"][np.where(removed, 0, target)] == 0)
        if removed.all():
            options["reduction"] = "sum"
    if rng.random() < 0.2 and not removed.any():
        input[rng.random(shape) < 0.1] = rng.choice([np.nan, np.inf, -np.inf])
    options["grad_output"] = rng.normal(size=samples if options["reduction"] == "none" else ())
    limits = {name: np.iinfo(name) for name in strategies.INTEGERS}
    lowest, highest = target.min(initial=0), target.max(initial=0)
    target = target.astype(rng.choice([n for n in limits if limits[n].min <= lowest and highest <= limits[n].max]))
    layout = str(rng.choice(LAYOUTS))
    return input, target, options, layout, [kind, dtype, f"reduction={options['reduction']}", "nll_loss", *options]


def torch_answer(torch: Any, input: np.ndarray, target: np.ndarray, options: dict) -> tuple[np.ndarray, np.ndarray]:
    options = dict(options)
    grad_output = torch.tensor(options.pop("grad_output"))
    if "weight" in options:
        options["weight"] = torch.tensor(options["weight"], dtype=torch.float64)
    x = torch.tensor(input.astype(np.float64), requires_grad=True)
    loss = torch.nn.functional.nll_loss(x, torch.tensor(target.astype(np.int64)), **options)
    loss.backward(grad_output)
    return loss.detach().numpy(), x.grad.numpy()


def compare(ours: tuple, theirs: tuple, dtype: str, size: float) -> None:
    relative = DTYPES[dtype]
    # A sum is no more exact than its largest term.
    assert_close("loss", ours[0], theirs[0], relative[0] * (np.abs(theirs[0]) + size) + 1e-45)
    tolerance = relative[1] * np.abs(theirs[1]) + (6e-8 if dtype == "float16" else 1e-40)  # subnormals
    assert_close("gradient", ours[1].astype(np.float64), theirs[1], tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_torch(torch: Any, count_case: Callable[..., None], dtype: str) -> None:
    for number in range(N_CASES):
        input, target, options, layout, features = draw_case(dtype, number)
        context = f"{dtype} case {number}: {input!r}, {target!r}, {options}, {layout}"
        try:
            ours = xentc.nll_loss(strategies.laid_out(input, layout), target, return_grad=True, **options)
            finite = np.abs(input.astype(np.float64)[np.isfinite(input)])
            compare(ours, torch_answer(torch, input, target, options), dtype, float(finite.max(initial=0)))
        except Exception as error:
            raise AssertionError(context) from error
        count_case(*features)


FAULTS: dict[str, Any] = {
    "weight": {"weight": None},
    "ignore_index": {"ignore_index": -7},
    "grad_output": {"grad_output": 1.5},
}


@pytest.mark.parametrize("option", FAULTS)
def test_a_fault_differs_from_torch(torch: Any, option: str) -> None:
    """An option that is dropped is noticed in most of the cases that have it."""
    noticed = total = 0
    for number in range(400):
        input, target, options, _, _ = draw_case("float64", number)
        if option not in options or target.size < 5 or input.shape[1] < 2 or not np.all(np.isfinite(input)):
            continue
        total += 1
        try:
            ours = xentc.nll_loss(input, target, return_grad=True, **{**options, **FAULTS[option]})
            compare(ours, torch_answer(torch, input, target, options), "float64", float(np.abs(input).max()))
        except (AssertionError, IndexError):
            noticed += 1
    assert noticed > 0.8 * total > 20
