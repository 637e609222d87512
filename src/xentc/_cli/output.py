"""What evaluate shows: the table, JSON, the bar and the picture."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from xentc._cli import CommandError
from xentc.evaluation import Evaluation


def show(result: Evaluation, options: argparse.Namespace) -> None:
    if options.json:
        found = dataclasses.asdict(result)
        if not options.per_class:  # --plot has asked for them
            found |= dict.fromkeys((key for key in found if key.startswith("class_")), None)
        print(json.dumps(_strict(found), allow_nan=False))
        return
    print(_table(result))
    if options.per_class:
        print(f"\n{_class_table(result)}")


def _strict(value: Any) -> Any:
    """nan and infinities are not JSON; nor are numbers as keys."""
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(result: Evaluation) -> str:
    rows: dict[str, int | float] = {}
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        if field.name == "top_k":
            rows |= {f"top_{k}": share for k, share in value.items() if k != 1}  # top_1 is the accuracy
        elif isinstance(value, (int, float)):
            rows[field.name] = value
    texts = {name: _text(value) for name, value in rows.items()}
    names, width = max(map(len, texts)), max(map(len, texts.values()))
    return "\n".join(f"{name:<{names}}  {text:>{width}}" for name, text in texts.items())


def _class_table(result: Evaluation) -> str:
    columns = result.class_samples or (), result.class_loss or (), result.class_accuracy or ()
    lines = [f"{'class':>10}  {'samples':>12}  {'loss':>10}  {'accuracy':>10}"]
    for number, (samples, loss, accuracy) in enumerate(zip(*columns, strict=True)):
        lines.append(f"{number:>10}  {samples:>12}  {_text(loss):>10}  {_text(accuracy):>10}")
    return "\n".join(lines)


def _text(value: int | float) -> str:
    # The # keeps trailing zeros, so that every figure shows the same digits.
    return str(value) if isinstance(value, int) else f"{value:#.5g}"


@contextmanager
def progress(total: int, done: int, itemsize: int) -> Iterator[Callable[[int], object]]:
    """Give a function that takes the number of logits just read, and shows a bar if someone is there to see it."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda count: None
        return
    try:
        from tqdm import tqdm  # late: optional, and slower to import than most files are to score
    except ImportError:
        print('xentc: for a progress bar: pip install "xentc[progress]"', file=sys.stderr)
        yield lambda count: None
        return
    with tqdm(total=total, initial=done, unit="logit", unit_scale=True, leave=False, postfix="0.00 GB/s") as bar:

        def advance(count: int) -> None:
            elapsed = max(bar.format_dict["elapsed"], 1e-3)
            bar.set_postfix_str(f"{(bar.n + count - done) * itemsize / elapsed / 1e9:.2f} GB/s", refresh=False)
            bar.update(count)

        yield advance


def import_plot(path: str) -> Any:
    try:
        importlib.import_module("matplotlib")
    except ImportError as error:
        raise CommandError(f'{path}: needs matplotlib ({error}): pip install "xentc[plot]"') from error
    module = importlib.import_module("xentc._cli.plot")
    if os.path.splitext(path)[1][1:].lower() not in module.ENDINGS:
        raise CommandError(f"{path}: its name should end in one of {', '.join(module.ENDINGS)}")
    return module


def plot(path: str, result: Evaluation, losses: Mapping[int, int], steps: int, bins: int) -> None:
    import_plot(path).draw(path, result, losses, steps, bins)
