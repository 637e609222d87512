"""The families of rows that accuracy.py measures, each hard in its own way.

A family makes rows of n_classes logits, in float64, one for each of `scale`, and their targets. `scale` runs from 0 to
1 over all rows of the family: from its mildest row to its hardest, where that means something.
"""

from __future__ import annotations

import numpy as np


def random_rows(rng: np.random.Generator, scale: np.ndarray, n_classes: int, dtype: np.dtype) -> tuple:
    return rng.normal(0, 3, (len(scale), n_classes)), rng.integers(0, n_classes, len(scale))


def confident_rows(rng: np.random.Generator, scale: np.ndarray, n_classes: int, dtype: np.dtype) -> tuple:
    """Losses from about 1 down to 1e-30."""
    rows, target = rng.normal(0, 1, (len(scale), n_classes)), rng.integers(0, n_classes, len(scale))
    rows[np.arange(len(scale)), target] = np.log(n_classes) + 69.5 * scale
    return rows, target


def masked_rows(rng: np.random.Generator, scale: np.ndarray, n_classes: int, dtype: np.dtype) -> tuple:
    """-inf at all classes but the target to none of them."""
    rows, target = random_rows(rng, scale, n_classes, dtype)
    mask = rng.random(rows.shape) > scale[:, None]
    mask[np.arange(len(scale)), target] = False
    return np.where(mask, -np.inf, rows), target


def lowest_rows(rng: np.random.Generator, scale: np.ndarray, n_classes: int, dtype: np.dtype) -> tuple:
    """The dtype's lowest number instead, as many models mask."""
    rows, target = masked_rows(rng, scale, n_classes, dtype)
    return np.maximum(rows, np.finfo(dtype).min), target


def offset_rows(rng: np.random.Generator, scale: np.ndarray, n_classes: int, dtype: np.dtype) -> tuple:
    rows, target = random_rows(rng, scale, n_classes, dtype)
    return rows + 1e4, target


def equal_rows(rng: np.random.Generator, scale: np.ndarray, n_classes: int, dtype: np.dtype) -> tuple:
    level = rng.normal(0, 10, (len(scale), 1))
    return np.repeat(level, n_classes, axis=1), rng.integers(0, n_classes, len(scale))


def two_level_rows(rng: np.random.Generator, scale: np.ndarray, n_classes: int, dtype: np.dtype) -> tuple:
    """The target above all others, which are equal: losses from 1e-2 to 10, or to where the target is level too."""
    rows, target = equal_rows(rng, scale, n_classes, dtype)
    losses = 1e-2 * (100 * min(10, np.log(n_classes))) ** scale
    rows[np.arange(len(scale)), target] += np.log(n_classes - 1) - np.log(np.expm1(losses))
    return rows, target


FAMILIES = {
    "random": random_rows,
    "confident": confident_rows,
    "masked, -inf": masked_rows,
    "masked, lowest": lowest_rows,
    "offset by 1e4": offset_rows,
    "all equal": equal_rows,
    "two levels": two_level_rows,
}
