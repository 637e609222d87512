"""--checkpoint: how far a run has come, in a file that is always whole."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from xentc._cli import CommandError
from xentc._cli.job import BLOCK_BYTES, Job
from xentc._readers import files_of

_VERSION = 1
_SAME = ("axis", "shift", "ignore_index", "label_smoothing", "top_k", "batch", "logits_dtype", "per_class")
_SAME_OUTPUTS = ("per_sample", "logprobs", "plot")


def fingerprint(job: Job) -> dict[str, Any]:
    """What has to be the same for a run to go on: options, and files as they were."""
    options: argparse.Namespace = job.options
    inputs = [text for text in (options.logits, options.targets, options.weight) if text is not None]
    return {
        "version": _VERSION,
        "block": BLOCK_BYTES,
        "options": {name: getattr(options, name) for name in (*_SAME, *_SAME_OUTPUTS)},
        "files": [[text, *_stamp(path)] for text in inputs for path in files_of(text)],
    }


def _stamp(path: str) -> tuple[str, int, int]:
    state = os.stat(path)
    return os.path.abspath(path), state.st_size, state.st_mtime_ns


def load(path: str, job: Job) -> dict[str, Any] | None:
    """What save() wrote, or None where there is no file."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise CommandError(f"{path}: is no regular file")  # a pipe would be waited for, a device read without end
    try:
        with open(path, encoding="ascii") as file:
            found = json.load(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{path}: not a checkpoint: {error}") from error
    if not (isinstance(found, dict) and isinstance(found.get("position"), int) and found["position"] >= 0):
        raise CommandError(f"{path}: not a checkpoint")
    # By way of JSON, which knows no tuples.
    mine, theirs = json.loads(json.dumps(fingerprint(job))), found.get("run")
    if theirs != mine:
        different = [key for key in mine if not isinstance(theirs, dict) or theirs.get(key) != mine[key]]
        raise CommandError(f"{path}: of a run with other {' and '.join(different)}; remove it to begin anew")
    return found


def part_of(path: str) -> str:
    """What is written before it takes the place of the file."""
    return f"{path}.part"


def save(path: str, run: dict[str, Any], position: int, state: dict[str, Any], histogram: dict[str, int]) -> None:
    """Replace the file in one step: whoever is killed leaves the old one or the new one."""
    text = json.dumps({"run": run, "position": position, "state": state, "histogram": histogram}, allow_nan=False)
    with open(part_of(path), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part_of(path), path)
