"""What is written a number a sample: --per-sample and --logprobs, a block at a time."""

from __future__ import annotations

import mmap
import os
import zipfile
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xentc._cli import CommandError
from xentc._cli.job import Job
from xentc._readers import Index
from xentc.functional import cross_entropy, top_logprobs


class Sink:
    """A .npy file of known shape. With `resume` it is there already, and what was written before stays."""

    def __init__(self, path: str, shape: tuple[int, ...], dtype: DTypeLike, resume: bool):
        self.path = path
        try:
            self._array = np.lib.format.open_memmap(path, "r+" if resume else "w+", dtype, shape)
        except OSError:
            raise
        except Exception as error:  # whatever NumPy raises for a file that is none of its own
            raise CommandError(f"{path}: is not what the run that the checkpoint is of has written: {error}") from error
        if (self._array.shape, self._array.dtype) != (shape, np.dtype(dtype)):
            raise CommandError(f"{path}: is not what the run that the checkpoint is of has written")
        if hasattr(os, "posix_fallocate") and not resume:
            # Space now or an error now: a full disk would end the process when a page is written back.
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)

    def write(self, index: Index, values: NDArray[Any]) -> None:
        self._array[index] = values
        mapping = getattr(self._array, "_mmap", None)
        if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapping.madvise(mmap.MADV_DONTNEED)  # of a shared mapping: what was written is the file's

    def flush(self) -> None:
        self._array.flush()


class PerSample:
    """The losses, as cross_entropy gives them with reduction="none"."""

    def __init__(self, job: Job, resume: bool):
        self._job = job
        options = job.options
        self._options = {"ignore_index": options.ignore_index, "label_smoothing": options.label_smoothing}
        self._options |= {"axis": job.axis, "num_threads": options.threads, "reduction": "none"}
        path = options.per_sample
        self._sink = None if path is None else Sink(path, job.shape, _float_of(job), resume)

    def __call__(self, block: Index, logits: NDArray[Any], target: NDArray[Any]) -> NDArray[Any]:
        loss = np.asarray(cross_entropy(logits, target, self._job.weight, **self._options))
        if self._sink is not None:
            self._sink.write(block, loss)
        return loss

    def flush(self) -> None:
        if self._sink is not None:
            self._sink.flush()


def parts_of(path: str) -> list[str]:
    """What Logprobs writes beside its file, and removes."""
    return [*(f"{path}.{name}.part" for name in LOGPROBS), f"{path}.part"]


LOGPROBS = ("logprobs", "indices")


class Logprobs:
    """The k best classes, in two files that finish() packs into one: their size is not that of the memory."""

    def __init__(self, job: Job, resume: bool):
        k, self._path = job.options.logprobs
        self._k, self._job = k, job
        if not 1 <= k <= min(1024, job.n_classes):
            raise CommandError(f"argument --logprobs: {k}, expected 1 to {min(1024, job.n_classes)}")
        shape = (*job.shape[: job.axis], k, *job.shape[job.axis :])
        dtypes = {"logprobs": _float_of(job), "indices": np.dtype(np.int64)}
        self._sinks = {name: Sink(f"{self._path}.{name}.part", shape, dtype, resume) for name, dtype in dtypes.items()}

    def __call__(self, block: Index, logits: NDArray[Any]) -> None:
        found = top_logprobs(logits, self._k, axis=self._job.axis, num_threads=self._job.options.threads)
        for sink, values in zip(self._sinks.values(), found, strict=True):
            sink.write(self._job.logits_index(block), values)

    def flush(self) -> None:
        for sink in self._sinks.values():
            sink.flush()

    def finish(self) -> None:
        self.flush()
        whole = f"{self._path}.part"
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, sink in self._sinks.items():
                archive.write(sink.path, f"{name}.npy")
        os.replace(whole, self._path)

    def discard(self) -> None:
        for sink in self._sinks.values():
            with suppress(OSError):
                os.unlink(sink.path)


def _float_of(job: Job) -> np.dtype[Any]:
    """Of the losses of such logits."""
    nothing = np.empty((0, 1), job.logits.dtype), np.empty(0, np.int64)
    return np.asarray(cross_entropy(*nothing, reduction="none")).dtype
