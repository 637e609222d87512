"""--plot: a reliability diagram, the losses of the samples, and the classes that do worst."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg  # no pyplot: it would look for a screen
from matplotlib.figure import Figure

from xentc.evaluation import Evaluation

ENDINGS = tuple(sorted(FigureCanvasAgg.get_supported_filetypes()))

_BLUE, _RED, _GREY = "#2b6cb0", "#c0562f", "#8a8f98"
_WORST = 12
_BARS = 50


def draw(path: str, result: Evaluation, losses: Mapping[int, int], steps: int, bins: int) -> None:
    figure: Any = Figure(figsize=(13.6, 5.2), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.09)
    grid = figure.add_gridspec(1, 4, width_ratios=[1.1, 1.1, 0.65, 0.65])
    axes = [figure.add_subplot(grid[i]) for i in range(3)]
    axes.append(figure.add_subplot(grid[3], sharey=axes[2]))
    _reliability(axes[0], result)
    _histogram(axes[1], result, losses, steps, bins)
    _worst(axes[2], axes[3], result)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=13)
        ax.xaxis.label.set_fontsize(14)
        ax.yaxis.label.set_fontsize(14)
        ax.title.set_fontsize(15)
    figure.suptitle(
        f"{result.samples - result.ignored:,} samples   loss {result.loss:.4g}   accuracy {result.accuracy:.4g}",
        fontsize=17,
    )
    canvas.print_figure(path, dpi=100)


def _reliability(ax: Any, result: Evaluation) -> None:
    full = [entry for entry in result.bins if entry.samples and math.isfinite(entry.accuracy + entry.confidence)]
    ax.plot([0, 1], [0, 1], color=_GREY, linestyle="--", label="calibrated")
    ax.bar(
        [entry.lower for entry in full],
        [entry.accuracy for entry in full],
        width=[entry.upper - entry.lower for entry in full],
        align="edge",
        color=_BLUE,
        alpha=0.35,
        edgecolor="white",
    )
    most = max((entry.samples for entry in full), default=1)
    sizes = [30 + 220 * entry.samples / most for entry in full]
    points = [entry.confidence for entry in full], [entry.accuracy for entry in full]
    ax.scatter(*points, s=sizes, color=_BLUE, edgecolor="white", zorder=3, clip_on=False, label="bins, by samples")
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
    ax.set_title(f"Reliability (ECE {result.ece:.3g})")
    legend = ax.legend(loc="upper left", frameon=False, fontsize=13)
    for handle in legend.legend_handles[1:]:
        handle.set_sizes([60])


def _histogram(ax: Any, result: Evaluation, losses: Mapping[int, int], steps: int, bins: int) -> None:
    counts = np.zeros(bins, np.int64)
    for number, count in losses.items():
        counts[min(max(number, 0), bins - 1)] += count
    total = int(counts.sum())
    # All but a thousandth of the samples; the last bar takes those beyond.
    shown = int(np.searchsorted(np.cumsum(counts), 0.999 * total)) + 1 if total else 1
    width = max(1, -(-shown // _BARS))
    n_bars = -(-shown // width)
    heights = np.add.reduceat(counts, np.arange(0, n_bars * width, width)[: -(-bins // width)])
    heights[-1] = total - heights[:-1].sum()
    ax.bar(np.arange(heights.size) * width / steps, heights, width / steps, align="edge", color=_BLUE, linewidth=0)
    ax.set_yscale("log")
    if math.isfinite(result.loss):
        ax.axvline(result.loss, color=_RED, linestyle="--", label=f"mean {result.loss:.3g}")
        ax.legend(loc="upper right", frameon=False, fontsize=13)
    ax.set(xlabel="loss of a sample (nats)", ylabel="samples", xlim=(0, heights.size * width / steps))
    ax.set_title("Losses (last bar: and above)")


def _worst(loss_ax: Any, accuracy_ax: Any, result: Evaluation) -> None:
    losses, accuracies = result.class_loss or (), result.class_accuracy or ()
    known = [k for k, loss in enumerate(losses) if math.isfinite(loss)]
    worst = sorted(known, key=lambda k: losses[k], reverse=True)[:_WORST]
    places = range(len(worst))
    loss_ax.barh(places, [losses[k] for k in worst], color=_RED)
    accuracy_ax.barh(places, [accuracies[k] for k in worst], color=_BLUE)
    loss_ax.set_yticks(places, [str(k) for k in worst])
    loss_ax.invert_yaxis()
    accuracy_ax.tick_params(labelleft=False)
    loss_ax.set(xlabel="loss (nats)", ylabel="class")
    accuracy_ax.set(xlabel="accuracy", xlim=(0, 1))
    accuracy_ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    for ax in (loss_ax, accuracy_ax):
        ax.grid(axis="x", alpha=0.3)
        ax.set_axisbelow(True)
    loss_ax.set_title("Worst classes: loss")
    accuracy_ax.set_title("accuracy")
