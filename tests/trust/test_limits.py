"""Limits that a small call does not come near: many threads, and sums over many blocks."""

from __future__ import annotations

import numpy as np

import xentc
from xentc import _threads


def test_at_most_256_threads() -> None:
    for asked in (257, 10**6, 10**30):
        assert _threads.resolve(asked, 10**6, 0, False) == 256


def test_sums_of_many_blocks_are_right_to_the_last_bit(isa: str) -> None:
    """1e16, whose neighbours are 2 away, and a one from each of a thousand other blocks: none of them is lost."""
    block = 1024  # samples; of blocks of another size, these are a few
    input = np.zeros((1001 * block, 1))
    input[0], input[block::block] = -1e16, -1
    target = np.zeros(len(input), np.uint8)
    for num_threads in (1, 2):
        assert xentc.nll_loss(input, target, reduction="sum", num_threads=num_threads) == 1e16 + 1000


def test_no_more_threads_than_blocks() -> None:
    assert [_threads.resolve(16, n_blocks, 0, False) for n_blocks in (1, 3, 16, 100)] == [1, 3, 16, 16]
