"""Pages of an evaluation of depth: maps of some scenes, and the error against depth."""

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from psf import InputError
from psf.runs import whole_file
from render import encode_srgb

from .depth_evaluation import ShownScene
from .depth_scores import DepthScore
from .estimators import SHUFFLED

DEPTH_COLOURS, ERROR_COLOURS = "magma", "RdBu"  # the second is white where there is no error
PAGE_FILE, CURVES_FILE = "page.png", "errors.png"
DPI = 100
# Errors of inverse depth that the maps show; beyond it colours are those of the ends.
MOST_DPT = 0.3
# A title's longest line.
TITLE_LETTERS = 24


def draw_depth_report(
    scores: Sequence[DepthScore], shown: Sequence[ShownScene], names: Mapping[str, str], out: Path, *, encoding: str
) -> None:
    """Write the pages.

    Args:
        scores: Of all scenes.
        shown: Those to look at.
        names: Of estimators by fingerprint.
        out: Folder.
        encoding: Of the pictures.
    """
    if shown:
        _save(plot_maps(shown, names, encoding=encoding), out / PAGE_FILE)
    if any(one.scene == "one_plane" for one in scores):
        _save(plot_errors(scores), out / CURVES_FILE)


def plot_maps(shown: Sequence[ShownScene], names: Mapping[str, str], *, encoding: str = "linear") -> Figure:
    """A row for each scene: pictures, truth, and what every estimator is off by.

    Args:
        shown: Scenes.
        names: Of estimators by fingerprint.
        encoding: Of the pictures.
    """
    if not shown:
        raise InputError("plot_maps(shown)", "none", "at least one scene")
    columns = 3 + len(names)
    figure = Figure(figsize=(2.2 * columns + 0.8, 2.1 * len(shown) + 0.7), layout="constrained")
    axes = figure.subplots(len(shown), columns, squeeze=False)
    for n, scene in enumerate(shown):
        true_dpt = 1 / scene.true_m[0]
        told = (f"{textwrap.fill(name, TITLE_LETTERS)}\nerror (dpt)" for name in names.values())
        heads = ("nearest focus", "farthest focus", "truth (dpt)", *told)
        for ax, head in zip(axes[n], heads, strict=True):
            ax.set(xticks=[], yticks=[])
            if n == 0:
                ax.set_title(head, fontsize=8)
        axes[n, 0].set_ylabel(scene.key, fontsize=8)
        for ax, picture in zip(axes[n], (scene.first, scene.last), strict=False):
            light = encode_srgb(picture.clamp(0, 1)) if encoding == "linear" else picture
            ax.imshow(light.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")
        middle, half = float(true_dpt.mean()), max(0.1, float(true_dpt.max() - true_dpt.min()) / 2)
        _show(figure, axes[n, 2], true_dpt, DEPTH_COLOURS, (middle - half, middle + half))
        for ax, fingerprint in zip(axes[n, 3:], names, strict=True):
            if fingerprint in scene.found_m:
                error = 1 / scene.found_m[fingerprint][0] - true_dpt
                _show(figure, ax, error, ERROR_COLOURS, (-MOST_DPT, MOST_DPT))
            else:
                ax.text(0.5, 0.5, "refused", ha="center", va="center", transform=ax.transAxes, fontsize=8)
    figure.suptitle("Depth from focal stacks: blue is estimated too near, red too far", fontsize=10)
    return figure


def plot_errors(scores: Sequence[DepthScore]) -> Figure:
    """Mean absolute error of one-plane scenes against their depth, and against image height.

    Args:
        scores: Of any scenes.
    """
    own = [one for one in scores if one.scene == "one_plane" and not one.refused]
    if not own:
        raise InputError("plot_errors(scores)", "none of one-plane scenes", "at least one")
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    methods = list(dict.fromkeys(one.method for one in own))
    plain = list(dict.fromkeys(name.removesuffix(SHUFFLED) for name in methods))
    for method in methods:
        colour = f"C{plain.index(method.removesuffix(SHUFFLED))}"
        line = "--" if method.endswith(SHUFFLED) else "-"
        some = [one for one in own if one.method == method]
        depths_m = sorted({round(one.true_m, 4) for one in some})
        means = [_average([one.mae_m for one in some if round(one.true_m, 4) == depth]) for depth in depths_m]
        left.plot(depths_m, means, line, color=colour, marker=".", label=method)
        thirds = [_average([getattr(one, f"{name}_mae_m") for one in some]) for name in ("centre", "middle", "corner")]
        right.plot(("inner third", "middle third", "outer third"), thirds, line, color=colour, marker="o", label=method)
    left.set(xlabel="true depth (m)", ylabel="mean absolute error (m)", yscale="log", title="By depth")
    right.set(xlabel="image height", ylabel="mean absolute error (m)", yscale="log", title="By place on the sensor")
    for ax in (left, right):
        ax.grid(alpha=0.3, which="both")
    figure.legend(*right.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return figure


def _average(values: Sequence[float]) -> float:
    known = [one for one in values if not math.isnan(one)]
    return math.fsum(known) / len(known) if known else math.nan


def _show(figure: Figure, ax: Any, values: torch.Tensor, colours: str, ends: tuple[float, float]) -> None:
    shown = ax.imshow(values.numpy(), cmap=colours, vmin=ends[0], vmax=ends[1], interpolation="nearest")
    bar = figure.colorbar(shown, cax=ax.inset_axes((1.02, 0.0, 0.05, 1.0)))
    bar.ax.tick_params(labelsize=6)


def _save(figure: Figure, path: Path) -> None:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    with whole_file(path) as part:
        part.write_bytes(drawn.getvalue())
