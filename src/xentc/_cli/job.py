"""What is to be evaluated: the files, checked against each other, and the blocks in which they are worked through.

(a) A block is a tuple of slices over the axes of the samples. Where they lie in the logits and in the targets is this
    file's business alone: --axis and --shift are nothing but two ways from one to the other.
(b) How files are cut into blocks does not show in the result: the Evaluator's sums are exact.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xentc._cli import CommandError
from xentc._readers import Index, Source, open_source
from xentc._readers._shards import cut_at_edges

# 16 MiB of logits: a few milliseconds of work, next to which starting a team of threads and the fixed cost of some
# hundred NumPy calls vanish, yet small enough for a second look (--per-sample) to find the block in the cache.
BLOCK_BYTES = 1 << 24

# What the numbers of a sample take while they are added up: with few classes that is more than the logits.
SAMPLE_BYTES = 256

# A file that is stored in chunks is read a chunk at a time at least; twice this has to fit under what is promised.
LARGEST_CHUNK = 1 << 26


class Job:
    """The files of an evaluation. Opening them checks their shapes; check_classes() has to read the targets."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        axis = options.axis
        if axis is None:
            axis = -1 if options.shift else 1
        # Files follow each other along the first axis that is not the classes'.
        self.logits = open_source(options.logits, dtype=options.logits_dtype, shard_axis=1 if axis == 0 else 0)
        self.targets = open_source(options.targets)
        n_axes = len(self.logits.shape)
        if n_axes < 2:
            raise CommandError(f"{options.logits}: expected shape (N, C) or (N, C, d1, ...), got {self.logits.shape}")
        if not -n_axes <= axis < n_axes:
            raise CommandError(f"argument --axis: {axis}, but {options.logits} has the shape {self.logits.shape}")
        self.axis = axis % n_axes
        self.n_classes = self.logits.shape[self.axis]
        self._check_dtypes()
        sample_bytes = self.n_classes * self.logits.dtype.itemsize
        if sample_bytes > LARGEST_CHUNK and not self.logits.is_mapped:
            raise CommandError(f"{options.logits}: samples of {sample_bytes} bytes, at most {LARGEST_CHUNK} are read")
        shape = self.logits.shape[: self.axis] + self.logits.shape[self.axis + 1 :]
        if self.targets.shape != shape:
            raise CommandError(
                f"{options.targets}: expected shape {shape} for logits of shape {self.logits.shape},"
                f" got {self.targets.shape}"
            )
        # Along this axis of the samples, logits foretell the target that comes next.
        self._shifted = min(1, len(shape) - 1) if options.shift else None
        self.shape = tuple(max(0, n - 1) if i == self._shifted else n for i, n in enumerate(shape))
        self.weight = None if options.weight is None else self._read_weight(options.weight)

    def _check_dtypes(self) -> None:
        if self.logits.dtype == np.dtype("V2"):
            raise CommandError(f"{self.options.logits}: does not say what its 2 bytes are: --logits-dtype bfloat16?")
        if self.targets.dtype.kind not in "iu":
            raise CommandError(
                f"{self.options.targets}: expected class indices of an integer dtype, got {self.targets.dtype}"
            )
        for source in (self.logits, self.targets):
            _check_chunks(source)

    def _read_weight(self, path: str) -> NDArray[Any]:
        source = open_source(path)
        if source.shape != (self.n_classes,):  # before it is read: it may be as large as it likes
            raise CommandError(f"{path}: weight of shape {source.shape}, expected {(self.n_classes,)}")
        _check_chunks(source)
        return np.array(source.read((slice(None),)))

    def blocks(self) -> Iterator[Index]:
        """Cut the axes of the samples into blocks of about BLOCK_BYTES; a row larger than that is cut, too."""
        shape = self.shape
        if 0 in shape:
            # One block all the same, so that dtypes and weight are checked; and 2**40 rows of no bytes are no loop.
            return iter([tuple(slice(0, n) for n in shape)])
        room = max(1, BLOCK_BYTES // (self.n_classes * self.logits.dtype.itemsize + SAMPLE_BYTES))
        most = max(1, LARGEST_CHUNK // (self.n_classes * self.logits.dtype.itemsize + SAMPLE_BYTES))
        steps = []
        for length, chunk in zip(reversed(shape), reversed(self._chunks()), strict=True):
            step = min(length, room)
            # Whole chunks, so that each is read once, but where the classes are in so many that this would be too much.
            step = min(length, max(chunk, step - step % chunk), most)
            steps.append(step)
            room, most = max(1, room // step), max(1, most // step)
        steps.reverse()
        if self.options.batch is not None:
            steps[0] = self.options.batch
        return self._cut(steps)

    def _chunks(self) -> tuple[int, ...]:
        chunks = self.logits.chunks
        return (1,) * len(self.shape) if chunks is None else chunks[: self.axis] + chunks[self.axis + 1 :]

    def _cut(self, steps: Sequence[int]) -> Iterator[Index]:
        ranges = [range(0, length, step) for length, step in zip(self.shape, steps, strict=True)]
        for starts in itertools.product(*ranges):
            block = tuple(slice(i, min(i + step, n)) for i, step, n in zip(starts, steps, self.shape, strict=True))
            # Logits of two files would have to be copied into one block.
            for start, stop in cut_at_edges(self.logits, block[0].start, block[0].stop):
                yield (slice(start, stop), *block[1:])

    def logits_index(self, block: Index) -> Index:
        return (*block[: self.axis], slice(None), *block[self.axis :])

    def read_logits(self, block: Index) -> NDArray[Any]:
        """A view where the file's order is C, else a copy of the block: so the order changes no bit of a loss."""
        logits = self.logits.read(self.logits_index(block))
        strides = logits.strides
        is_c_order = strides[-1] == logits.itemsize and list(strides) == sorted(strides, reverse=True)
        return logits if is_c_order else np.ascontiguousarray(logits)

    def read_targets(self, block: Index) -> NDArray[Any]:
        """A copy, because the file may change between the library's check and what is done with the classes later."""
        moved = (slice(b.start + 1, b.stop + 1) if i == self._shifted else b for i, b in enumerate(block))
        return np.array(self.targets.read(tuple(moved)))

    def release(self) -> None:
        self.logits.release()
        self.targets.release()

    def check_classes(self) -> None:
        """The library checks classes as well, but cannot know where in the file its block lies."""
        for block in self.blocks():
            target = self.read_targets(block)
            self.targets.release()
            bad = ((target < 0) | (target >= self.n_classes)) & (target != self.options.ignore_index)
            if bad.any():
                where = np.unravel_index(int(bad.argmax()), bad.shape)
                position = [
                    int(i) + cut.start + (axis == self._shifted)
                    for axis, (i, cut) in enumerate(zip(where, block, strict=True))
                ]
                raise CommandError(
                    f"{self.options.targets}: class {target[where]} at {position} is out of range for"
                    f" {self.n_classes} classes, and not the ignored index {self.options.ignore_index}"
                )


def _check_chunks(source: Source) -> None:
    # Also of an array that is smaller than its chunks: they are unpacked whole.
    n_bytes = math.prod(source.chunks or ()) * source.dtype.itemsize
    if n_bytes > LARGEST_CHUNK:
        raise CommandError(f"{source.path}: chunks of {n_bytes} bytes, at most {LARGEST_CHUNK} are read")
