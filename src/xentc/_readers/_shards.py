"""Several files as one array, along one axis. One of them is open at a time: thousands would be too many."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xentc._readers._source import FileError, Index, Source


class Shards(Source):
    """`edges` are where one ends and the next begins, from 0 on."""

    def __init__(self, pattern: str, paths: Sequence[str], open_one: Callable[[str], Source], axis: int):
        self._paths, self._open_one, self._axis = paths, open_one, axis
        self._current: tuple[int, Source] = 0, open_one(paths[0])
        first = self._current[1]
        if not -len(first.shape) <= axis < len(first.shape):
            raise FileError(f"{paths[0]}: shape {first.shape} has no axis along which files could follow each other")
        lengths = [first.shape[axis]]
        for path in paths[1:]:
            other = open_one(path)
            if (_without(other.shape, axis), other.dtype) != (_without(first.shape, axis), first.dtype):
                raise FileError(
                    f"{path}: {other.dtype} of shape {other.shape} does not follow {paths[0]},"
                    f" {first.dtype} of shape {first.shape}"
                )
            lengths.append(other.shape[axis])
        self.edges = [0, *accumulate(lengths)]
        shape = (*first.shape[:axis], self.edges[-1], *first.shape[axis + 1 :])
        super().__init__(pattern, shape, first.dtype, first.chunks)
        self.is_mapped = first.is_mapped

    def read(self, index: Index) -> NDArray[Any]:
        start, stop, _ = index[self._axis].indices(self.edges[-1])
        parts: list[NDArray[Any]] = []
        for number in range(max(0, bisect_right(self.edges, start) - 1), len(self._paths)):
            begin, end = self.edges[number : number + 2]
            if begin >= stop and parts:
                break
            cut = slice(max(start, begin) - begin, max(0, min(stop, end) - begin))
            source = self._source(number)
            part = source.read((*index[: self._axis], cut, *index[self._axis + 1 :]))
            if min(stop, end) == stop and not parts:
                return part  # within one file: without a copy
            parts.append(np.array(part))
            source.release()
        return np.concatenate(parts, self._axis)

    def release(self) -> None:
        self._current[1].release()

    def _source(self, number: int) -> Source:
        if self._current[0] != number:
            self._current = number, self._open_one(self._paths[number])
        return self._current[1]


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def cut_at_edges(source: Source, start: int, stop: int) -> list[tuple[int, int]]:
    """The parts of a range that lie in one file each."""
    edges = getattr(source, "edges", [])
    inside = [edge for edge in dict.fromkeys(edges) if start < edge < stop]
    return list(pairwise([start, *inside, stop]))
