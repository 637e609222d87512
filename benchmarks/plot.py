"""Pictures of a run: python benchmarks/run.py --sweep --scaling --json sweep.json; python benchmarks/plot.py sweep.json

Writes PNG files beside the JSON file, or into --out:
    classes.png   throughput against the number of classes, as many logits throughout; the rooflines are lines
    size.png      the time of a call against samples, and against classes, over four decades, down to tiny
    threads.png   what threads gain over one, against as many independent processes
and prints the slopes of xentc's times: 1 where time is linear in size.

Every time is a ratio first: xentc's is its median over all contenders of a case, another's is that times its ratio, so
that the points of one case belong to one speed of the machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import contenders
import matplotlib as mpl
import numpy as np
import results

mpl.use("Agg")
from matplotlib import pyplot as plt

XENTC = "xentc"
ANSWERS = ("forward", "with gradient")
ROOFLINES = {"forward": "read roofline", "with gradient": "copy roofline"}
LEFT_OUT = ("xentc_loss", "xentc_f32")
Curve = dict[int, float]  # x: seconds a call


def classes_of(row: dict) -> int:
    return row["elements"] // row["samples"]


def curves(rows: list[dict], family: str, answer: str, x) -> dict[str, Curve]:
    """Seconds a call of xentc and of each contender, by `x` of the row, over the cases of a family."""
    cases: dict[str, list[dict]] = {}
    for row in rows:
        wanted = row["case"].startswith(f"{family}_") and row["answer"] == answer and "error" not in row
        if wanted and row["contender"] not in LEFT_OUT:
            cases.setdefault(row["case"], []).append(row)
    found: dict[str, Curve] = {}
    for group in cases.values():
        ours = float(np.median([row["xentc_seconds"] for row in group]))
        found.setdefault(XENTC, {})[x(group[0])] = ours
        for row in group:
            found.setdefault(row["contender"], {})[x(row)] = ours * row["median"]
    return {name: dict(sorted(curve.items())) for name, curve in found.items()}


def _style(name: str) -> dict[str, object]:
    """The same in every picture, whoever else is in it."""
    if name == XENTC:
        return {"linewidth": 2.5, "color": "tab:red", "zorder": 3}
    return {"linewidth": 1, "color": plt.get_cmap("tab20")(contenders.OTHERS.index(name) % 20)}


def _draw(axes, found: dict[str, Curve], values, answer: str) -> None:
    for name, curve in found.items():
        x, y = np.array(list(curve)), values(curve)
        if name == "roofline":
            axes.plot(x, y, "k--", linewidth=1, label=ROOFLINES[answer])
        else:
            axes.plot(x, y, marker=".", label=name, **_style(name))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(True, alpha=0.3)
    if found:
        axes.legend(fontsize=7)


def _pair(width: int = 11):
    return plt.subplots(1, 2, figsize=(width, 4.5), layout="constrained")


def plot_classes(rows: list[dict]):
    figure, both = _pair()
    sizes = {classes_of(row): row["elements"] for row in rows if row["case"].startswith("same_size_")}
    for axes, answer in zip(both, ANSWERS, strict=True):
        found = curves(rows, "same_size", answer, classes_of)
        _draw(axes, found, lambda curve: [sizes[c] / seconds / 1e9 for c, seconds in curve.items()], answer)
        axes.set(title=answer, xlabel="classes", ylabel="1e9 logits a second")
    return figure if sizes else None


def plot_size(rows: list[dict]):
    figure, grid = plt.subplots(2, 2, figsize=(11, 8.5), layout="constrained")
    families = (("samples", "samples, of 100 classes", lambda row: row["samples"]),)
    families += (("classes", "classes, of 16 samples", classes_of),)
    for line, answer in zip(grid, ANSWERS, strict=True):
        for axes, (family, label, x) in zip(line, families, strict=True):
            found = curves(rows, family, answer, x)
            _draw(axes, found, lambda curve: list(curve.values()), answer)
            axes.set(title=answer, xlabel=label, ylabel="seconds a call")
    return figure if any(row["case"].startswith(("samples_", "classes_")) for row in rows) else None


def plot_threads(scaling: list[dict]):
    figure, both = _pair()
    for axes, answer in zip(both, ANSWERS, strict=True):
        rows = [row for row in scaling if row["answer"] == answer]
        threads = [row["threads"] for row in rows]
        axes.plot(threads, [row["against_one_thread"] for row in rows], "o-", color="tab:red", label="xentc")
        apart = [row["against_one_thread"] / row["median"] for row in rows]
        axes.plot(threads, apart, "k--", label="as many processes of one thread")
        axes.plot(threads, threads, color="tab:gray", linewidth=1, label="linear")
        axes.set(title=f"{answer}, data in cache", xlabel="threads", ylabel="times one thread", xticks=threads)
        axes.set(ylim=(0, None))
        axes.grid(True, alpha=0.3)
        axes.legend(fontsize=7)
    return figure if scaling else None


def slopes(rows: list[dict]) -> Iterator[str]:
    """Between neighbours a decade apart; the smallest calls cost what any call costs, so theirs are below 1."""
    for family, x in (("samples", lambda row: row["samples"]), ("classes", classes_of)):
        for answer in ANSWERS:
            curve = curves(rows, family, answer, x).get(XENTC, {})
            steps = np.diff(np.log(list(curve.values()))) / np.diff(np.log(list(curve)))
            if len(steps):
                shown = ", ".join(f"{step:.2f} to {end}" for step, end in zip(steps, list(curve)[1:], strict=True))
                yield f"slope of time, {answer}, against {family}: {shown}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="what run.py --json wrote")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: where the run is")
    options = parser.parse_args()
    run = results.load(options.run)
    folder = options.out or options.run.parent
    folder.mkdir(parents=True, exist_ok=True)
    figures = {"classes": plot_classes(run["results"]), "size": plot_size(run["results"])}
    figures["threads"] = plot_threads(run["scaling"])
    for name, figure in figures.items():
        if figure is None:
            print(f"{name}: nothing of it in this run", file=sys.stderr)
            continue
        config, about = run["config"], run["machine"]
        figure.suptitle(f"{about['cpu']}, {about['threads']} threads, {config['isa']}", fontsize=9)
        figure.savefig(folder / f"{name}.png", dpi=130)
        print(folder / f"{name}.png")
    print("\n".join(slopes(run["results"])))
    return 0 if any(figures.values()) else 2


if __name__ == "__main__":
    sys.exit(main())
