"""The goals, and which of them a run reached, in markdown: python benchmarks/goals.py RESULT.json"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


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
    *_each("roofline", FORWARD, tabular=0.3),
    *_each("roofline", GRADIENT, language_model=0.9, language_model_32k=0.9, classifier=0.8, segmentation=0.6),
    *_each("onnxruntime", FORWARD, language_model=1.5, language_model_32k=1.5, classifier=1.4, classifier_batch=1.2),
    *_each("onnxruntime", FORWARD, tabular=4.0, tiny=4.0),
    *_each("torch", FORWARD, language_model=6.0, tabular=20.0, segmentation=10.0, classifier_batch=1.5, tiny=3.0),
    # A gradient of torch's is always fresh: so is ours, where the two are compared.
    *_each("torch", f"{GRADIENT} fresh", language_model=12.0, tabular=15.0, segmentation=10.0),
    *_each("torch_warm", FORWARD, language_model=2.0),
    *_each("xentc_f32", FORWARD, language_model_bf16=1.5),
    *_each("xentc_loss", FORWARD, score=1 / 1.35, top_logprobs=1 / 2.0),
    *_each("xentc_loss", FORWARD, language_model_smoothed=1 / 1.05),
    *_each("torch", FORWARD, top_logprobs=5.0),
]
NEVER_SLOWER = 1.0
SCALING = 0.95  # of as many independent processes of one thread
REFERENCES = ("roofline", "xentc_loss", "xentc_f32")  # nobody else's product: they are not what one is slower than


def _line(what: str, at_least: float, row: dict | None) -> str:
    if row is None:
        return f"| {what} | {at_least:.2f} | not measured | |"
    reached = "yes" if row["median"] >= at_least else "no"
    return f"| {what} | {at_least:.2f} | {row['median']:.2f} [{row['lower']:.2f} {row['upper']:.2f}] | {reached} |"


def _never_slower(rows: list[dict]) -> Iterator[str]:
    others = [row for row in rows if row["contender"] not in REFERENCES]
    for answer in dict.fromkeys(row["answer"] for row in others):
        worst = min((row for row in others if row["answer"] == answer), key=lambda row: row["median"])
        what = f"{answer}, the worst of all: {worst['case']} / {worst['contender']}"
        yield _line(what, NEVER_SLOWER, worst)


def table(run: dict) -> Iterator[str]:
    rows = [row for row in run["results"] if "error" not in row]
    found = {(row["case"], row["answer"], row["contender"]): row for row in rows}
    about, config = run["machine"], run["config"]
    yield f"{about['cpu']}, {about['threads']} threads, {config['isa']} kernels"
    yield ""
    yield "| case, answer / contender | goal | median [quartiles] | reached |"
    yield "|---|---|---|---|"
    for goal in GOALS:
        what = f"{goal.case}, {goal.answer} / {goal.contender}"
        yield _line(what, goal.at_least, found.get((goal.case, goal.answer, goal.contender)))
    yield from _never_slower(rows)
    measured = run["scaling"] and max(row["threads"] for row in run["scaling"])
    for answer in (FORWARD, GRADIENT):
        mine = [row for row in run["scaling"] if (row["answer"], row["threads"]) == (answer, measured)]
        yield _line(f"in cache, {answer}, all threads / as many processes", SCALING, mine[0] if mine else None)


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    print("\n".join(table(json.loads(Path(sys.argv[1]).read_text()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
