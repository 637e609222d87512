"""The command line: xentc evaluate LOGITS.npy TARGETS.npy, and xentc info.

(a) Files are memory-mapped and worked through in blocks, so that memory does not grow with their size.
(b) How a file is cut into blocks does not show in the result: _tally.py sums exactly.
(c) Whatever is wrong with the arguments or the files is said in one line on stderr, and the exit code is 2.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

import numpy as np

from xentc._config import show_config
from xentc._files import FileError, open_array
from xentc._tally import Tally
from xentc._version import __version__

# 16 MiB of logits: a few milliseconds of work, next to which starting a team of threads and the fixed cost of a dozen
# NumPy calls vanish, yet small enough for the second look (argmax) to find the block in the last-level cache.
BLOCK_BYTES = 1 << 24

# A sample also costs its loss, its prediction and a few masks: with few classes that is more than the logits.
SCRATCH_BYTES = 32

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE

Block = tuple[slice, ...]


class CommandError(Exception):
    """The command cannot do what was asked; the message says why."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: sys.argv[1:]) and return the exit code."""
    try:
        code = _run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, because a failure at the interpreter's end can no longer be reported well
        return code
    except (CommandError, FileError) as error:
        _complain(str(error))
        return EXIT_BAD_INPUT
    except BrokenPipeError:
        _drop_stdout()
        return EXIT_BROKEN_PIPE
    except OSError as error:
        _complain(f"output: {error.strerror or error}")
        _drop_stdout()
        return EXIT_BAD_INPUT
    except MemoryError:
        _complain("not enough memory; a smaller --batch needs less")
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        _complain("interrupted")
        return EXIT_INTERRUPTED


def _run(argv: Sequence[str] | None) -> int:
    try:
        options = _parser().parse_args(argv)
    except SystemExit as stop:  # --help and --version
        return int(stop.code or 0)
    options.run(options)
    return 0


# ---- arguments


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CommandError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="xentc", description="Score logits on the CPU.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"xentc {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    evaluate = commands.add_parser(
        "evaluate",
        allow_abbrev=False,
        help="loss, perplexity and accuracy of a file of logits",
        description="Print loss, perplexity and accuracy of logits against class indices, both memory-mapped.",
    )
    evaluate.add_argument("logits", metavar="LOGITS.npy", help="shape (N, C) or (N, C, d1, ...)")
    evaluate.add_argument("targets", metavar="TARGETS.npy", help="class indices, shape (N,) or (N, d1, ...)")
    evaluate.add_argument("--ignore-index", type=int, default=-100, metavar="I", help="default: %(default)s")
    evaluate.add_argument("--weight", metavar="W.npy", help="one weight a class, shape (C,)")
    evaluate.add_argument("--threads", type=_positive, metavar="N", help="default: what xentc info shows")
    evaluate.add_argument("--batch", type=_positive, metavar="B", help="rows at a time (default: 16 MiB of logits)")
    evaluate.add_argument("--json", action="store_true", help="one JSON object, unrounded; nan and infinity are null")
    evaluate.set_defaults(run=_evaluate)

    info = commands.add_parser("info", allow_abbrev=False, help="what was built and what this machine runs")
    info.set_defaults(run=lambda options: show_config())
    return parser


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return number


# ---- evaluate


def _evaluate(options: argparse.Namespace) -> None:
    logits = open_array(options.logits)
    targets = open_array(options.targets)
    weight = None if options.weight is None else open_array(options.weight)
    _check_shapes(options, logits, targets)

    # Before the first logit is read: a bad class in the last block should not cost an hour.
    for block in _blocks(logits, options.batch):
        _check_classes(options, targets, block, logits.shape[1])

    tally = Tally()
    with _progress(targets.size) as advance:
        for block in _blocks(logits, options.batch):
            # Copies a block of another layout, never more: so a file's order changes no bit of its loss.
            logit = np.ascontiguousarray(logits[(block[0], slice(None), *block[1:])])
            # A copy, because the file may change between the library's check and what is done with the classes later.
            target = np.array(targets[block])
            _update(tally, options, logit, target, weight)
            advance(target.size)

    results = tally.results()
    print(json.dumps(_strict(results), allow_nan=False) if options.json else _table(results))


def _update(
    tally: Tally, options: argparse.Namespace, logit: np.ndarray, target: np.ndarray, weight: np.ndarray | None
) -> None:
    """Add a block; the library's errors begin with an argument's name, in front of which goes the file given for it."""
    try:
        tally.update(logit, target, weight=weight, ignore_index=options.ignore_index, num_threads=options.threads)
    except (TypeError, ValueError, IndexError, NotImplementedError) as error:
        message = str(error)
        paths = {"input": options.logits, "target": options.targets, "weight": options.weight}
        path = paths.get(message.partition(" ")[0].rstrip(":,"))
        raise CommandError(f"{path}: {message}" if path else message) from error


def _check_shapes(options: argparse.Namespace, logits: np.ndarray, targets: np.ndarray) -> None:
    if logits.ndim < 2:
        raise CommandError(f"{options.logits}: expected shape (N, C) or (N, C, d1, ...), got {logits.shape}")
    expected = logits.shape[:1] + logits.shape[2:]
    if targets.shape != expected:
        raise CommandError(
            f"{options.targets}: expected shape {expected} for logits of shape {logits.shape}, got {targets.shape}"
        )
    if targets.dtype.kind not in "iu":
        raise CommandError(f"{options.targets}: expected class indices of an integer dtype, got {targets.dtype}")


def _blocks(logits: np.ndarray, batch: int | None) -> Iterator[Block]:
    """Cut the axes of the targets into blocks of about BLOCK_BYTES; a row larger than that is cut, too."""
    shape = logits.shape[:1] + logits.shape[2:]
    if 0 in shape:
        # One block all the same, so that dtypes and weight are checked; and 2**40 rows of no bytes are no loop.
        yield tuple(slice(None) for _ in shape)
        return
    room = max(1, BLOCK_BYTES // (logits.shape[1] * logits.itemsize + SCRATCH_BYTES))
    steps = []
    for length in reversed(shape):
        steps.append(min(length, room))
        room = max(1, room // length)
    steps.reverse()
    if batch is not None:
        steps[0] = batch
    yield from _cut(shape, steps)


def _cut(shape: Sequence[int], steps: Sequence[int]) -> Iterator[Block]:
    if not shape:
        yield ()
        return
    for start in range(0, shape[0], steps[0]):
        for rest in _cut(shape[1:], steps[1:]):
            yield (slice(start, start + steps[0]), *rest)


def _check_classes(options: argparse.Namespace, targets: np.ndarray, block: Block, n_classes: int) -> None:
    """The library checks classes as well, but cannot know where in the file its block lies."""
    target = targets[block]
    bad = ((target < 0) | (target >= n_classes)) & (target != options.ignore_index)
    if bad.any():
        where = np.unravel_index(int(bad.argmax()), bad.shape)
        position = tuple(int(i) + (cut.start or 0) for i, cut in zip(where, block, strict=True))
        raise CommandError(
            f"{options.targets}: class {target[where]} at {list(position)} is out of range for {n_classes} classes,"
            f" and not the ignored index {options.ignore_index}"
        )


# ---- output


def _strict(results: dict[str, int | float]) -> dict[str, int | float | None]:
    return {name: value if math.isfinite(value) else None for name, value in results.items()}


def _table(results: dict[str, int | float]) -> str:
    # The # keeps trailing zeros, so that every figure shows the same six digits.
    texts = {name: str(value) if isinstance(value, int) else f"{value:#.5g}" for name, value in results.items()}
    width = max(map(len, texts.values()))
    return "\n".join(f"{name:<10}  {text:>{width}}" for name, text in texts.items())


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], object]]:
    """Give a function that takes the number of samples just done, and shows a bar if someone is there to see it."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda count: None
        return
    try:
        from tqdm import tqdm  # late: optional, and slower to import than most files are to score
    except ImportError:
        print('xentc: for a progress bar: pip install "xentc[progress]"', file=sys.stderr)
        yield lambda count: None
        return
    with tqdm(total=total, unit="sample", unit_scale=True, leave=False) as bar:
        yield bar.update


def _complain(message: str) -> None:
    """One line, whatever the message holds: paths and headers of others may carry line ends and terminal codes."""
    line = " ".join(message.split())
    line = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)
    if len(line) > 500:
        line = line[:500] + "..."
    if sys.stderr is not None:
        print(f"xentc: {line}", file=sys.stderr)


def _drop_stdout() -> None:
    """Send what is still buffered nowhere: the interpreter would complain about it at its end."""
    with suppress(OSError, ValueError, AttributeError):  # closed, or replaced by something that is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
