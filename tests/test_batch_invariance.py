"""A row's loss and gradient do not depend on the batch around it, on its address, or on how samples are laid out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strategies
from amount import examples
from hypothesis import given, settings
from hypothesis import strategies as st

import xentc

N_SAMPLES = st.sampled_from([1, 2, 3, 5, 8, 31, 32, 33, 63, 64, 65, 100, 129, 515]) | st.integers(1, 70)
FEW_CLASSES = st.integers(1, 66)
MANY_CLASSES = st.sampled_from([65, 66, 100, 127, 128, 129, 223, 224, 225, 1000, 4097, 16385, 33000])
SEEDS = st.integers(0, 2**32 - 1)


def rows_of(rng: np.random.Generator, n_samples: int, n_classes: int, dtype: Any, ugly: bool) -> np.ndarray:
    """Rows of their own scales and offsets. An ugly neighbour is one that a kernel may have to begin again for."""
    scale = rng.choice([0.01, 1.0, 5.0, 100.0], (n_samples, 1))
    offset = rng.choice([0.0, 0.0, 50.0, -1e3, 1e4], (n_samples, 1))
    rows = (rng.normal(size=(n_samples, n_classes)) * scale + offset).astype(dtype)
    if ugly:
        largest = np.finfo(dtype).max / 4
        for value in (np.nan, np.inf, -np.inf, 7e4, -7e4, 1e30, -largest, largest):
            rows[rng.random(n_samples) < 0.05] = value
            rows[rng.integers(n_samples), rng.integers(n_classes)] = rng.choice([value, 0.0])
        rising = rng.random(n_samples) < 0.1
        rows[rising] = np.linspace(-500, 500, n_classes, dtype=dtype)
    return rows


def bits(
    input: np.ndarray, target: np.ndarray, weight: np.ndarray, num_threads: int = 1, **options: Any
) -> list[bytes]:
    """Each sample's loss and gradient, in C order."""
    call = {"reduction": "none", "return_grad": True, "weight": weight, "num_threads": num_threads, **options}
    loss, grad = xentc.cross_entropy(input, target, **call)
    axis = options.get("axis", 1)
    grads = np.moveaxis(grad, axis, -1).reshape(-1, input.shape[axis])
    return [one.tobytes() + row.tobytes() for one, row in zip(loss.reshape(-1), grads, strict=True)]


def problem(seed: int, n_samples: int, n_classes: int, dtype: Any, ugly: bool) -> tuple:
    rng = np.random.default_rng(seed)
    n_samples = min(n_samples, max(3, 100_000 // n_classes))
    rows = rows_of(rng, n_samples, n_classes, dtype, ugly)
    target = rng.integers(0, n_classes, n_samples)
    target[rng.random(n_samples) < 0.05] = -100
    weight = rng.choice([0.0, 1.0, 0.3, -1.7], n_classes)
    return rng, rows, target, weight


@settings(max_examples=examples(120))
@given(SEEDS, N_SAMPLES, FEW_CLASSES | MANY_CLASSES, st.booleans(), st.data())
def test_contiguous_classes(
    isa: str, dtype: np.dtype, seed: int, n_samples: int, n_classes: int, ugly: bool, data: st.DataObject
) -> None:
    rng, rows, target, weight = problem(seed, n_samples, n_classes, dtype, ugly)
    alone = [bits(rows[i : i + 1].copy(), target[i : i + 1], weight)[0] for i in range(len(rows))]
    num_threads = data.draw(st.integers(1, 3))

    order = rng.integers(0, len(rows), data.draw(st.integers(1, 2 * len(rows))))
    expected = [alone[i] for i in order]
    batch, labels = rows[order], target[order]
    assert bits(batch, labels, weight, num_threads) == expected, "another order"

    offset = data.draw(st.integers(0, 63))
    assert bits(strategies.at_offset(batch, offset), labels, weight, num_threads) == expected, f"at byte {offset}"

    padding = data.draw(st.integers(0, 70))
    wide = np.full((len(batch), n_classes + padding + 1), np.nan, dtype)
    wide[:, padding : padding + n_classes] = batch
    assert bits(wide[:, padding : padding + n_classes], labels, weight) == expected, f"beside {padding} columns"
    assert bits(batch[::-1], labels[::-1], weight) == expected[::-1], "backwards"
    assert bits(batch[::2], labels[::2], weight) == expected[::2], "every other"
    repeated = np.broadcast_to(batch[:1], (40, n_classes))
    assert bits(repeated, labels[:1].repeat(40), weight) == expected[:1] * 40, "repeated"

    half = len(batch) // 2
    pairs, pair_labels = batch[: 2 * half].reshape(2, half, n_classes), labels[: 2 * half].reshape(2, half)
    assert bits(pairs, pair_labels, weight, axis=-1) == expected[: 2 * half], "in two dimensions"
    swapped = bits(pairs.swapaxes(0, 1), pair_labels.T, weight, axis=-1)
    assert swapped == [expected[i] for i in np.arange(2 * half).reshape(2, half).T.flat], "in two, swapped"


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("n_classes", [2048, 2049, 6144, 16384, 40_000])
def test_what_is_read_where_it_lies(isa: str, dtype: np.dtype, n_classes: int, smoothing: float) -> None:
    """Many classes at once, but for the target's: as in the pieces in which others are loaded."""
    rng = np.random.default_rng(n_classes)
    row = (rng.normal(size=(1, n_classes)) * 3).astype(dtype)
    targets = [0, 31, 2047, 2048, 2049, 4095, 4096, 9000, 16383, 16384, 20_480, n_classes - 1, -100]
    for target in (target for target in targets if target < n_classes):
        options = {"label_smoothing": smoothing, "reduction": "none", "return_grad": True, "num_threads": 1}
        loss, grad = xentc.cross_entropy(row, [target], **options)
        for other in (strategies.at_offset(row, 1), row.astype(dtype.newbyteorder())):
            other_loss, other_grad = xentc.cross_entropy(other, [target], **options)
            assert other_loss.tobytes() == loss.tobytes(), target
            assert other_grad.tobytes() == grad.tobytes(), target


@settings(max_examples=examples(120))
@given(SEEDS, N_SAMPLES, FEW_CLASSES | MANY_CLASSES, st.booleans(), st.data())
def test_strided_classes(
    isa: str, dtype: np.dtype, seed: int, n_samples: int, n_classes: int, ugly: bool, data: st.DataObject
) -> None:
    """Planes: also here every sample is on its own, whatever the plane's width."""
    _, rows, target, weight = problem(seed, n_samples, n_classes, dtype, ugly)
    width = len(rows) + 1  # at least 2, so that the classes of one sample alone are no run
    planes = np.zeros((1, n_classes, width), dtype)
    planes[0, :, : len(rows)] = rows.T
    labels = np.append(target, -100)[None]
    expected = [bits(planes[:, :, i : i + 1], labels[:, i : i + 1], weight)[0] for i in range(width)]
    num_threads = data.draw(st.integers(1, 3))
    assert bits(planes, labels, weight, num_threads) == expected, "a plane"

    offset = data.draw(st.integers(0, 63))
    assert bits(strategies.at_offset(planes, offset), labels, weight) == expected, f"at byte {offset}"
    begin = data.draw(st.integers(0, width - 1))
    assert bits(planes[:, :, begin:], labels[:, begin:], weight) == expected[begin:], f"from {begin} on"
    assert bits(planes[:, :, ::-1], labels[:, ::-1], weight) == expected[::-1], "backwards"
    assert bits(planes[:, :, ::2], labels[:, ::2], weight) == expected[::2], "every other"
    several = np.concatenate([planes, planes[:, :, ::-1]])
    assert bits(several, np.concatenate([labels, labels[:, ::-1]]), weight) == expected + expected[::-1], "two planes"
    images = np.ascontiguousarray(planes[:, :, : width // 2 * 2]).reshape(1, n_classes, 2, width // 2)
    image_labels = labels[:, : width // 2 * 2].reshape(1, 2, width // 2)
    assert bits(images, image_labels, weight) == expected[: width // 2 * 2], "an image"


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"temperature": 2.0}, {"softcap": 30.0}], ids=str)
@pytest.mark.parametrize("n_classes", [3, 40, 200])
def test_gradients_that_are_nan_are_one_nan(isa: str, dtype: np.dtype, n_classes: int, options: dict) -> None:
    """Of whatever sign the nan of a logit was, and whichever of two nans a compiler keeps of a product."""
    rows = np.random.default_rng(1).normal(0, 3, (70, n_classes)).astype(dtype)
    rows[3], rows[5, 2], rows[40], rows[41, 0] = np.nan, np.inf, -np.inf, np.copysign(np.nan, -1)
    target = np.arange(70) % n_classes
    one = np.array(np.nan, dtype).tobytes()
    for input, labels in ((rows, target), (np.ascontiguousarray(rows.T)[None], target[None])):
        grad = xentc.cross_entropy(input, labels, return_grad=True, reduction="none", **options)[1]
        grad = grad if input is rows else grad[0].T
        assert np.isnan(grad[[3, 41]]).all()
        assert {entry.tobytes() for entry in grad[np.isnan(grad)]} == {one}
