"""The command line: xentc evaluate LOGITS TARGETS, and xentc info. What evaluate does is in _cli/.

(a) Whatever is wrong with the arguments or the files is said in one line on stderr, and the exit code is 2.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from xentc._cli import CommandError
from xentc._cli.evaluate import evaluate
from xentc._config import show_config
from xentc._readers import FileError
from xentc._readers._half import NAMES
from xentc._version import __version__

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE


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
        _complain(f"{error.filename or 'output'}: {error.strerror or error}")
        _drop_stdout()
        return EXIT_BAD_INPUT
    except ValueError as error:
        if not str(error).startswith("XENTC_NUM_THREADS"):  # of the environment; all other errors are CommandErrors
            raise
        _complain(str(error))
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

    _add_evaluate(commands)
    info = commands.add_parser("info", allow_abbrev=False, help="what was built and what this machine runs")
    info.set_defaults(run=lambda options: show_config())
    return parser


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        allow_abbrev=False,
        help="loss, perplexity, accuracy and calibration of files of logits",
        description="Print what one read of the logits tells about them, given class indices."
        " Files are .npy, .npz, .safetensors, .zarr or HDF5; FILE::NAME is an array of a file that holds several,"
        " and a quoted pattern stands for files that follow each other.",
    )
    add = parser.add_argument
    add("logits", metavar="LOGITS", help="shape (N, C) or (N, C, d1, ...)")
    add("targets", metavar="TARGETS", help="class indices, shape (N,) or (N, d1, ...)")
    add("--axis", type=int, metavar="A", help="where the classes are (default: 1, with --shift the last)")
    add("--shift", action="store_true", help="a causal language model: logits[:, :-1] against targets[:, 1:]")
    add("--logits-dtype", choices=NAMES, help="of 2-byte logits whose file does not say it")
    add("--ignore-index", type=int, default=-100, metavar="I", help="default: %(default)s")
    add("--weight", metavar="W", help="one weight a class, shape (C,)")
    add("--label-smoothing", type=float, default=0.0, metavar="E", help="default: %(default)s")
    add("--top-k", type=_numbers, default=(1, 5), metavar="K,K", help="of the top-k accuracies (default: 1,5)")
    add("--per-class", action="store_true", help="loss and accuracy of each class")
    add("--per-sample", metavar="OUT.npy", help="write the loss of each sample")
    add("--logprobs", nargs=2, action=_Logprobs, metavar=("K", "OUT.npz"), help="write the K best classes of each")
    add("--plot", metavar="OUT.png", help="draw reliability, losses and the worst classes")
    add("--checkpoint", metavar="FILE", help="note how far the run is; if it is there, go on from it")
    add("--threads", type=_positive, metavar="N", help="default: what xentc info shows")
    add("--batch", type=_positive, metavar="B", help="rows at a time (default: 16 MiB of logits)")
    add("--json", action="store_true", help="one JSON object, unrounded; nan and infinity are null")
    parser.set_defaults(run=evaluate)


class _Logprobs(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        try:
            namespace.logprobs = (_positive(values[0]), values[1])
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_positive(part) for part in text.split(","))


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return number


# ---- output


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
