"""Figures of an evaluation: pictures beside one another, and gains by blur. Figures are returned, none is shown."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from psf import InputError
from psf.runs import whole_file

from ..metrics import find_psnr_db
from ..preview.plots import find_part
from .evaluation import Shown
from .scoring import BLUR_BINS
from .summaries import BY_PIXEL, INPUT, KINDS, Table

DPI = 110
PART_PX = 160
# Okabe and Ito's colours, which all eyes tell apart, and marks for where they repeat.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X")


def plot_page(shown: Sequence[Shown], title: str = "", part_px: int = PART_PX) -> Figure:
    """A row for each sample: the whole target, then a part of it by every method, and of the target at the end.

    Args:
        shown: The samples, with the same methods each.
        title: Of the page.
        part_px: Side of the part, which lies where the first method is farthest from the target.
    """
    if not shown:
        raise InputError("plot_page(shown)", "none", "at least one sample")
    names = list(shown[0].results)
    if not names or any(list(one.results) != names for one in shown):
        raise InputError("plot_page(shown)", "other methods in each", "the same ones, at least one")
    figure = Figure(figsize=(2.05 * (len(names) + 2) + 0.2, 2.3 * len(shown) + 0.6), layout="constrained")
    axes = figure.subplots(len(shown), len(names) + 2, squeeze=False)
    for row, one in zip(axes, shown, strict=True):
        difference = (one.results[names[0]] - one.target).abs().mean(0)
        top, left, side = find_part(difference, part_px)
        inner = (slice(top, top + side), slice(left, left + side))
        for ax in row:
            ax.axis("off")
        _show(row[0], one.target)
        _frame(row[0], top, left, side)
        row[0].set_title(one.title, fontsize=7)
        for ax, name in zip(row[1:-1], names, strict=True):
            whole = float(find_psnr_db(one.results[name][None], one.target[None]))
            part = float(find_psnr_db(one.results[name][None][..., *inner], one.target[None][..., *inner]))
            _show(ax, one.results[name][:, *inner])
            ax.set_title(f"{name}\n{whole:.2f} dB, here {part:.2f}", fontsize=7)
        _show(row[-1], one.target[:, *inner])
        row[-1].set_title("target", fontsize=7)
    if title:
        figure.suptitle(title, fontsize=9)
    return figure


def plot_bins(table: Table, title: str = "") -> Figure:
    """Gain over the input of every method, by blur of pictures and of pixels, ISO, image height and depth spread.

    Args:
        table: With an input among its methods.
        title: Of the page.
    """
    lines = [line for line in table.lines if line.method != INPUT]
    if not lines:
        raise InputError("plot_bins(table)", "no method but the input", "at least one")
    panels: list[tuple[str, str, tuple[str, ...]]] = [
        (BY_PIXEL, "Blur of the pixels (px)", BLUR_BINS),
        *((kind.name, _PANELS[kind.name], kind.labels) for kind in KINDS),
    ]
    figure = Figure(figsize=(13.5, 7.6), layout="constrained")
    axes = figure.subplots(2, 3)
    for ax, (kind, head, labels) in zip(axes.flat, panels, strict=False):
        counts = [max((line.bins[kind, label].count for line in lines), default=0) for label in labels]
        for n, line in enumerate(lines):
            found = [line.bins[kind, label] for label in labels]
            places = [k + 0.5 * (n - (len(lines) - 1) / 2) / max(len(lines), 1) for k in range(len(labels))]
            errors = [0.0 if math.isnan(one.error) else one.error for one in found]
            ax.errorbar(
                places,
                [one.mean for one in found],
                yerr=errors,
                fmt=MARKS[n % len(MARKS)],
                color=COLOURS[n % len(COLOURS)],
                capsize=2,
                markersize=5,
                label=_name(line.method, line.networks),
            )
        ax.axhline(0, color="0.4", lw=0.8)
        ax.set_xticks(range(len(labels)), [f"{label}\nn={count}" for label, count in zip(labels, counts, strict=True)])
        ax.set_title(head, fontsize=10)
        ax.set_ylabel("gain over the input (dB)", fontsize=9)
        ax.tick_params(labelsize=8)
        ax.grid(axis="y", alpha=0.25)
    handles, names = axes.flat[0].get_legend_handles_labels()
    axes.flat[-1].axis("off")
    axes.flat[-1].legend(handles, names, loc="upper left", fontsize=9, frameon=False, title="bars: standard error")
    figure.suptitle(title or "Gain over the noisy input; above the line is better than doing nothing", fontsize=11)
    return figure


_PANELS = {
    "blur_px": "Median blur of the picture (px)",
    "iso": "ISO",
    "radius": "Image height (1 = corner)",
    "depth_spread_dpt": "Depth spread of the picture (dioptres)",
}


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    with whole_file(path) as part:
        part.write_bytes(drawn.getvalue())


def draw_report(table: Table, shown: Sequence[Shown], folder: Path, title: str = "") -> None:
    """Write `page.png` and `bins.png` of an evaluation.

    Args:
        table: The scores.
        shown: Samples for the page; none: no page.
        folder: Where to.
        title: Of both.
    """
    if shown:
        save_figure(plot_page(shown, title), folder / "page.png")
    if any(line.method != INPUT for line in table.lines):
        save_figure(plot_bins(table, title), folder / "bins.png")


def _name(method: str, networks: int) -> str:
    return method if networks == 1 else f"{method} ({networks} seeds)"


def _show(ax: Any, picture: Tensor) -> None:
    ax.imshow(picture.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")


def _frame(ax: Any, top: int, left: int, side: int) -> None:
    columns = [left - 0.5, left + side - 0.5, left + side - 0.5, left - 0.5, left - 0.5]
    rows = [top - 0.5, top - 0.5, top + side - 0.5, top + side - 0.5, top - 0.5]
    ax.plot(columns, rows, color="k", lw=1.8)
    ax.plot(columns, rows, color="w", lw=0.8)
