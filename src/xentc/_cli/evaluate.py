"""xentc evaluate: one read of the logits, block by block.

(a) How far the run has come is one value, replaced after each block: whatever interrupts it finds a whole one.
(b) Memory does not grow with the files: parts of them are given back after each block.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import sys
import time
from collections import Counter
from contextlib import ExitStack, suppress
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xentc._cli import CommandError, checkpoint, output
from xentc._cli.job import Job
from xentc._cli.sinks import Logprobs, PerSample, parts_of
from xentc._readers import Index, files_of
from xentc.evaluation import Evaluator

CHECKPOINT_SECONDS = 10.0

# Losses of 0 to 64 nats are counted in steps of 1/64 for the picture; larger ones, and nan, in the last.
HISTOGRAM_STEPS, HISTOGRAM_BINS = 64, 4096


class Progress(NamedTuple):
    """What has been seen of the blocks before `position`."""

    position: int
    evaluator: Evaluator
    losses: Counter[int]


def evaluate(options: argparse.Namespace) -> None:
    """Run the command."""
    if options.plot is not None:
        output.import_plot(options.plot)  # what is missing should not cost an hour
    job = Job(options)
    _check_outputs(options)
    # Before the first logit is read: a bad class in the last block should not cost an hour.
    job.check_classes()
    run = _Run(job)
    try:
        result = run.finish().compute()
        if options.plot is not None:
            output.plot(options.plot, result, run.done.losses, HISTOGRAM_STEPS, HISTOGRAM_BINS)
        output.show(result, options)
    except BaseException:
        run.close(complete=False)
        raise
    run.close(complete=True)


def _check_outputs(options: argparse.Namespace) -> None:
    """Nothing that is written may be read, or written as something else, under whatever name: a file would be lost."""
    logprobs = None if options.logprobs is None else options.logprobs[1]
    written = [path for path in (options.per_sample, options.plot) if path is not None]
    written += [] if logprobs is None else [logprobs, *parts_of(logprobs)]
    written += [] if options.checkpoint is None else [options.checkpoint, checkpoint.part_of(options.checkpoint)]
    read = [f for text in (options.logits, options.targets, options.weight) if text is not None for f in files_of(text)]
    places = Counter(os.path.realpath(path) for path in [*written, *read])
    for path in written:
        same = any(os.path.exists(path) and os.path.exists(f) and os.path.samefile(path, f) for f in read)
        if same or places[os.path.realpath(path)] > 1:
            raise CommandError(f"{path}: is to be read or written as something else, too")
        if os.path.exists(path) and not os.path.isfile(path):
            raise CommandError(f"{path}: is no regular file, expected one to write to, or none")


class _Run:
    def __init__(self, job: Job):
        self._job, options = job, job.options
        with _errors_of(options):
            empty = Evaluator(
                weight=job.weight,
                ignore_index=options.ignore_index,
                label_smoothing=options.label_smoothing,
                axis=job.axis,
                top_k=options.top_k,
                per_class=options.per_class or options.plot is not None,
            )
        self.done = Progress(0, empty, Counter())
        if options.checkpoint is not None:
            self._fingerprint = checkpoint.fingerprint(job)
            self._load(options.checkpoint)
        resume = self.done.position > 0
        per_sample = options.per_sample is not None or options.plot is not None
        self._per_sample = PerSample(job, resume) if per_sample else None
        self._logprobs = None if options.logprobs is None else Logprobs(job, resume)
        self._saved_at = time.monotonic()

    def finish(self) -> Evaluator:
        """Work through what is left."""
        job = self._job
        itemsize = job.logits.dtype.itemsize
        seen = self.done.evaluator.compute().samples * job.n_classes
        with ExitStack() as stack:
            advance = stack.enter_context(output.progress(int(np.prod(job.shape)) * job.n_classes, seen, itemsize))
            for block in islice(job.blocks(), self.done.position, None):
                logits, target = job.read_logits(block), job.read_targets(block)
                with _errors_of(job.options):
                    self.done = self._with(block, logits, target)
                n_logits = logits.size
                del logits
                job.release()
                advance(n_logits)
                if time.monotonic() - self._saved_at >= CHECKPOINT_SECONDS:
                    self._save()
        if self._logprobs is not None:
            self._logprobs.finish()
        if self._per_sample is not None:
            self._per_sample.flush()
        return self.done.evaluator

    def _with(self, block: Index, logits: NDArray[Any], target: NDArray[Any]) -> Progress:
        position, evaluator, losses = self.done
        evaluator = copy.copy(evaluator)
        evaluator.update(logits, target, num_threads=self._job.options.threads)
        if self._per_sample is not None:
            loss = self._per_sample(block, logits, target)
            if self._job.options.plot is not None:
                losses = losses + _histogram(loss[target != self._job.options.ignore_index])
        if self._logprobs is not None:
            self._logprobs(block, logits)
        return Progress(position + 1, evaluator, losses)

    def _load(self, path: str) -> None:
        found = checkpoint.load(path, self._job)
        if found is None:
            return
        try:
            self.done.evaluator.load_state_dict(found["state"])
            losses = Counter({int(number): int(count) for number, count in found["histogram"].items()})
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise CommandError(f"{path}: not a checkpoint: {error}") from error
        before = list(islice(self._job.blocks(), min(found["position"], sys.maxsize)))
        samples = sum(math.prod(cut.stop - cut.start for cut in block) for block in before)
        if len(before) != found["position"] or samples != self.done.evaluator.compute().samples:
            raise CommandError(f"{path}: not a checkpoint: what it has seen is not what lies before its position")
        self.done = self.done._replace(position=found["position"], losses=losses)

    def _save(self) -> None:
        path = self._job.options.checkpoint
        if path is None:
            return
        for sink in (self._per_sample, self._logprobs):
            if sink is not None:
                sink.flush()  # first: the checkpoint says that this is there
        position, evaluator, losses = self.done
        histogram = {str(number): count for number, count in losses.items()}
        checkpoint.save(path, self._fingerprint, position, evaluator.state_dict(), histogram)
        self._saved_at = time.monotonic()

    def close(self, complete: bool) -> None:
        """A run that is not complete goes on from its checkpoint, if it has one; all else is removed."""
        path = self._job.options.checkpoint
        if path is not None and not complete:
            self._save()
            return
        if self._logprobs is not None:
            self._logprobs.discard()
        if path is not None:
            with suppress(FileNotFoundError):
                os.unlink(path)


def _histogram(losses: NDArray[Any]) -> Counter[int]:
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.nan_to_num(losses.astype(np.float64) * HISTOGRAM_STEPS, nan=np.inf)
    numbers = np.clip(steps, 0, HISTOGRAM_BINS - 1).astype(np.intp)
    counts = np.bincount(numbers)
    return Counter({int(number): int(counts[number]) for number in np.flatnonzero(counts)})


class _errors_of:
    """The library's errors begin with an argument's name, in front of which goes the file given for it."""

    def __init__(self, options: argparse.Namespace):
        self._paths = {"input": options.logits, "target": options.targets, "weight": options.weight}

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (TypeError, ValueError, IndexError, NotImplementedError)):
            message = str(error)
            path = self._paths.get(message.partition(" ")[0].rstrip(":,"))
            raise CommandError(f"{path}: {message}" if path else message) from error
