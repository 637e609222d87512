"""The goals, which of them were reached, and where another is first: python benchmarks/goals.py RESULT.json...

In markdown. A row of a later file stands in for that of an earlier one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import results
import worker


@dataclass(frozen=True)
class Goal:
    """The median of a row of the table has to be at least this."""

    case: str
    answer: str
    contender: str
    at_least: float


def _each(contender: str, answer: str, **least: float) -> list[Goal]:
    return [Goal(case, answer, contender, value) for case, value in least.items()]


FORWARD, GRADIENT = "forward", "with gradient"
GOALS = [
    *_each("roofline", FORWARD, language_model=1.25, language_model_32k=1.25, classifier=0.9, segmentation=0.8),
    *_each("roofline", FORWARD, tabular=0.3, binary=0.8, binary_logits=0.8, hinge=0.8),
    *_each("roofline", GRADIENT, language_model=0.9, language_model_32k=0.9, classifier=0.8, segmentation=0.6),
    *_each("roofline", GRADIENT, binary=0.8, binary_logits=0.8, hinge=0.8),
    *_each("onnxruntime", FORWARD, language_model=1.5, language_model_32k=1.5, classifier=1.4, classifier_batch=1.2),
    *_each("onnxruntime", FORWARD, tabular=4.0, tiny=4.0),
    *_each("torch", FORWARD, language_model=6.0, tabular=20.0, segmentation=10.0, classifier_batch=1.5, tiny=3.0),
    # A gradient of torch's is always fresh: so is ours, where the two are compared.
    *_each("torch", f"{GRADIENT} fresh", language_model=12.0, tabular=15.0, segmentation=10.0, tiny_batch=6.0),
    *_each("torch_warm", FORWARD, language_model=2.0),
    *_each("xentc_f32", FORWARD, language_model_bf16=1.5, language_model_f16=1.5),
    *_each("xentc_loss", FORWARD, score=1 / 1.35, top_logprobs=1 / 2.0),
    *_each("xentc_loss", FORWARD, language_model_smoothed=1 / 1.05),
    *_each("torch", FORWARD, top_logprobs=5.0),
]
NEVER_SLOWER = 1.0
SCALING = 0.95  # of as many independent processes of one thread
REFERENCES = ("roofline", "xentc_loss", "xentc_f32")  # nobody else's product: they are not what one is slower than


def _ratio(row: dict) -> str:
    return f"{row['median']:.2f} [{row['lower']:.2f} {row['upper']:.2f}]"


def _line(what: str, at_least: float, row: dict | None) -> str:
    if row is None:
        return f"| {what} | {at_least:.2f} | not measured | | |"
    reached = "yes" if row["median"] >= at_least else "no"
    unsure = "?" if row["lower"] < at_least <= row["upper"] else ""
    return f"| {what} | {at_least:.2f} | {_ratio(row)} | {row.get('pairs', '')} | {reached}{unsure} |"


def _like_for_like(row: dict) -> bool:
    """Against others, and with a gradient in fresh memory where theirs is."""
    fresh_alone = row["answer"] == GRADIENT and row["contender"] in worker.FRESH
    return row["contender"] not in REFERENCES and not fresh_alone


def _never_slower(rows: Iterable[dict]) -> Iterator[str]:
    others = [row for row in rows if _like_for_like(row)]
    for answer in dict.fromkeys(row["answer"] for row in others):
        worst = min((row for row in others if row["answer"] == answer), key=lambda row: row["median"])
        what = f"{answer}, the worst of all: {worst['case']} / {worst['contender']}"
        yield _line(what, NEVER_SLOWER, worst)


def table(runs: list[dict]) -> Iterator[str]:
    """Of one run, or of several in turn."""
    found: dict[results.Key, dict] = {}
    scaling: list[dict] = []
    for run in runs:
        found |= results.cells(run)
        scaling = run["scaling"] or scaling
    about, config = runs[-1]["machine"], runs[-1]["config"]
    yield f"{about['cpu']}, {about['threads']} threads, {config['isa']} kernels"
    yield ""
    yield "| case, answer / contender | goal | median [quartiles] | pairs | reached |"
    yield "|---|---|---|---|---|"
    for goal in GOALS:
        what = f"{goal.case}, {goal.answer} / {goal.contender}"
        yield _line(what, goal.at_least, found.get((goal.case, goal.answer, goal.contender)))
    yield from _never_slower(found.values())
    measured = scaling and max(row["threads"] for row in scaling)
    for answer in (FORWARD, GRADIENT):
        mine = [row for row in scaling if (row["answer"], row["threads"]) == (answer, measured)]
        yield _line(f"in cache, {answer}, all threads / as many processes", SCALING, mine[0] if mine else None)
    yield ""
    yield "A question mark: the quartiles lie on both sides of the goal."
    yield ""
    yield from behind(found.values())


def behind(rows: Iterable[dict]) -> Iterator[str]:
    rows = [row for row in rows if _like_for_like(row)]
    lost = sorted((row for row in rows if row["median"] < NEVER_SLOWER), key=lambda row: row["median"])
    yield f"Of {len(rows)} cells another is first in {len(lost)}:"
    yield ""
    yield "| case | answer | first | median [quartiles] | pairs |"
    yield "|---|---|---|---|---|"
    for row in lost:
        yield f"| {row['case']} | {row['answer']} | {row['contender']} | {_ratio(row)} | {row['pairs']} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RESULT.json")
    print("\n".join(table([results.load(path) for path in parser.parse_args().runs])))


if __name__ == "__main__":
    main()
