"""Generated calls of multilabel_margin_loss, forward and gradient, against torch; at least a thousand for each dtype.

(a) torch computes in float64. A pair whose 1 - x_j + x_i is rounded to another sign in float32 would count in one and
    not in the other: inputs are multiples of 1/64, which every dtype holds, and no pair lies nearer to the kink.
(b) What xentc defines otherwise is taken out of a case: nan, and scalars of no samples, which torch leaves unset.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strategies
from test_multilabel_margin import lists
from test_torch_parity import DTYPES, assert_close

import xentc

N_CASES = 1200
LAYOUTS = ["C", "C", "Fortran", "transposed", "stepped", "sliced", "reversed", "misaligned", "big_endian"]


def draw_case(dtype: str, number: int) -> tuple[np.ndarray, np.ndarray, dict[str, Any], str, list[str]]:
    """Input, target, options with grad_output, the layout of xentc's arrays, and what there is to count."""
    rng = np.random.default_rng([number, list(DTYPES).index(dtype)])
    n_classes = int(rng.choice([1, 2, 3, 10, 32, 33, 64, 65, 90, 130]))
    kind = str(rng.choice(["(C,)", "(N, C)", "(N, C)", "(N, C)"]))
    shape = (n_classes,) if kind == "(C,)" else (int(rng.choice([0, 1, 2, 5, 20])), n_classes)
    options: dict[str, Any] = {"reduction": str(rng.choice(["none", "mean", "sum"]))}
    if 0 in shape:
        options["reduction"] = "none"
    target = lists(rng, shape)
    input = away_from_the_kink(rng, shape, target).astype(dtype)
    features = [kind, dtype, f"reduction={options['reduction']}", "multilabel_margin_loss"]
    if rng.random() < 0.15:
        input[rng.random(shape) < 0.1] = rng.choice([np.inf, -np.inf])
        features.append("non-finite")
    options["grad_output"] = rng.normal(size=shape[:-1] if options["reduction"] == "none" else ())
    target = target.astype(rng.choice(["int16", "int32", "int64"]))
    return input, target, options, str(rng.choice(LAYOUTS)), features


def away_from_the_kink(rng: np.random.Generator, shape: tuple, target: np.ndarray) -> np.ndarray:
    """Listed classes are multiples of 1/32, others lie 1/64 beside such: 1 - x_j + x_i is never below 1/64 in size."""
    input = np.round(rng.normal(0, rng.choice([0.1, 0.5, 1.0]), shape) * 32) / 32
    input = np.clip(input, -3.5, 3.5)  # bfloat16 has 8 bits: multiples of 1/64 below 4
    listed = np.zeros(shape, bool)
    for row, classes in zip(listed.reshape(-1, shape[-1]), target.reshape(-1, shape[-1]).tolist(), strict=True):
        end = next((k for k, j in enumerate(classes) if j < 0), len(classes))
        row[classes[:end]] = True
    return np.where(listed, input, input + 1 / 64)


def torch_answer(torch: Any, input: np.ndarray, target: np.ndarray, options: dict) -> tuple[np.ndarray, np.ndarray]:
    x = torch.tensor(input.astype(np.float64), requires_grad=True)
    loss = torch.nn.functional.multilabel_margin_loss(
        x, torch.tensor(target.astype(np.int64)), reduction=options["reduction"]
    )
    loss.backward(torch.tensor(options["grad_output"]))
    return loss.detach().numpy(), x.grad.numpy()


def compare(ours: tuple, theirs: tuple, dtype: str) -> None:
    relative = DTYPES[dtype]
    assert_close("loss", ours[0], theirs[0], relative[0] * np.abs(theirs[0]))
    # torch adds up to C^2 shares of a gradient one by one.
    tolerance = relative[1] * np.abs(theirs[1]) + 1e-12 + 6e-8 * (dtype == "float16")
    assert_close("gradient", ours[1].astype(np.float64), theirs[1], tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_torch(torch: Any, count_case: Callable[..., None], dtype: str) -> None:
    for number in range(N_CASES):
        input, target, options, layout, features = draw_case(dtype, number)
        context = f"{dtype} case {number}: {input!r}, {target!r}, {options}, {layout}"
        try:
            ours = xentc.multilabel_margin_loss(
                strategies.laid_out(input, layout), strategies.laid_out(target, layout), return_grad=True, **options
            )
            compare(ours, torch_answer(torch, input, target, options), dtype)
        except Exception as error:
            raise AssertionError(context) from error
        count_case(*features)


@pytest.mark.parametrize("fault", ["input", "target", "grad_output"])
def test_a_fault_differs_from_torch(torch: Any, fault: str) -> None:
    """One class less, one logit moved, another upstream gradient: noticed wherever there is a pair."""
    noticed = total = 0
    for number in range(400):
        input, target, options, _, _ = draw_case("float64", number)
        theirs = torch_answer(torch, input, target, options)
        if target.ndim != 2 or len(target) < 2 or not np.all(theirs[1].any(axis=1)) or not np.all(np.isfinite(input)):
            continue
        total += 1
        if fault == "input":
            input[0, target[0, 0]] -= 1e-3
        elif fault == "target":
            target[0] = np.where(target[0] == target[0, 0], -1, target[0])
        else:
            options["grad_output"] = options["grad_output"] * 1.001
        try:
            compare(xentc.multilabel_margin_loss(input, target, return_grad=True, **options), theirs, "float64")
        except AssertionError:
            noticed += 1
    assert noticed == total > 20
