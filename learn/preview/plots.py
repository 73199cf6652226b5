"""Pages of samples, of one sample under every blur, and of what was drawn. Figures are returned, none is shown."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from psf import InputError

from ..samples import Drawn
from .views import View

DEPTH_COLOURS, PLANE_COLOURS, BAR_COLOUR = "magma", "viridis", "#3b6ea5"
LARGEST_SHOWN_PLANES = 8
Samples = npt.NDArray[Any]


def plot_samples(views: Sequence[View], title: str = "") -> Figure:
    """A row for each sample: photograph, depth, blur, what was recorded, its pixels, planes, numbers.

    Args:
        views: The samples.
        title: Of the page.
    """
    if not views:
        raise InputError("plot_samples(views)", "none", "at least one sample")
    figure = Figure(figsize=(16.5, 2.42 * len(views) + 0.8), layout="constrained")
    ratios = [1, 1, 1, 1, 1, 1.5, 1.15]
    axes = figure.subplots(len(views), len(ratios), squeeze=False, gridspec_kw={"width_ratios": ratios})
    side = views[0].detail.shape[-1]
    heads = ("sharp", "depth (dpt)", "blurred", "recorded", f"recorded, middle {side} px", "planes", "")
    for n, view in enumerate(views):
        for ax, head in zip(axes[n], heads, strict=True):
            ax.axis("off")
            if n == 0:
                ax.set_title(head, fontsize=10)
        _show(axes[n, 0], view.sharp)
        _show_depth(figure, axes[n, 1], view.depth_m)
        _show(axes[n, 2], view.blurred)
        _show(axes[n, 3], view.noisy)
        _show(axes[n, 4], view.detail)
        _show_planes(axes[n, 5], view)
        axes[n, 6].text(
            0, 1, tell_numbers(view.drawn), va="top", fontsize=7.6, family="monospace", transform=axes[n, 6].transAxes
        )
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def plot_comparison(views: Mapping[str, View], reference: str = "pixelwise", part_px: int = 160) -> Figure:
    """One sample under several kinds of blur: whole, the part with most difference, and what differs from one of them.

    Args:
        views: By kind of blur; one scene.
        reference: The kind that the others are held against.
        part_px: Side of the part.
    """
    if reference not in views:
        raise InputError("plot_comparison(reference)", repr(reference), "one of " + ", ".join(views))
    truth = views[reference].blurred
    others = [view.blurred for name, view in views.items() if name not in (reference, "none")] or [truth]
    top, left, side = find_part(torch.stack([(one - truth).abs().mean(0) for one in others]).sum(0), part_px)
    figure = Figure(figsize=(3.2 * len(views) + 3.4, 9.6), layout="constrained")
    axes = figure.subplots(3, len(views) + 1, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    any_view = next(iter(views.values()))
    _show_depth(figure, axes[0, 0], any_view.depth_m)
    axes[0, 0].set_title("depth (dpt)", fontsize=10)
    _show_depth(figure, axes[1, 0], any_view.depth_m[top : top + side, left : left + side])
    drawn = views[reference].drawn
    axes[2, 0].text(0, 1, tell_numbers(drawn), va="top", fontsize=8.5, family="monospace")
    for n, (name, view) in enumerate(views.items(), start=1):
        _show(axes[0, n], view.blurred)
        axes[0, n].set_title(f"{name}, without noise", fontsize=10)
        box = [left - 0.5, left + side - 0.5, left + side - 0.5, left - 0.5, left - 0.5]
        rows = [top - 0.5, top - 0.5, top + side - 0.5, top + side - 0.5, top - 0.5]
        axes[0, n].plot(box, rows, color="k", lw=2.2)
        axes[0, n].plot(box, rows, color="w", lw=1)
        _show(axes[1, n], view.blurred[:, top : top + side, left : left + side])
        axes[1, n].set_title("part", fontsize=9)
        difference = (view.blurred - truth)[:, top : top + side, left : left + side]
        _show(axes[2, n], 0.5 + 4 * difference)
        level = -10 * math.log10(max(float((view.blurred - truth).square().mean()), 1e-12))
        told = "the reference" if name == reference else f"less {reference}, x 4; {level:.1f} dB in all"
        axes[2, n].set_title(told, fontsize=9)
    figure.suptitle(f"One scene under every blur: sample {drawn.index}, {drawn.photo}", fontsize=11)
    return figure


def plot_statistics(drawn: Sequence[Drawn], title: str = "") -> Figure:
    """Histograms of what was drawn for many samples.

    Args:
        drawn: Of the samples.
        title: Of the page.
    """
    if not drawn:
        raise InputError("plot_statistics(drawn)", "none", "at least one sample")
    figure = Figure(figsize=(13.5, 9.2), layout="constrained")
    axes = figure.subplots(3, 3)
    depths_m = np.array([one.depths_m for one in drawn])
    nearest_m = np.array([one.near_m for one in drawn])
    _bars_of_log(axes[0, 0], nearest_m[np.isfinite(nearest_m)], "nearest depth (m)", "Drawn nearest depth")
    ends = [1 / one for one in (max(float(nearest_m.min()), 1e-3), math.inf)]
    bins = np.linspace(0, ends[0] * 1.001, 41)
    for column, name in ((0, "near 5 %"), (1, "median"), (2, "far 5 %")):
        axes[0, 1].hist(1 / depths_m[:, column], bins=bins, histtype="step", lw=1.5, label=name)
    axes[0, 1].set(xlabel="dioptres (1/m); 0 is infinity", title="Depth of the patches' pixels", yscale="log")
    axes[0, 1].legend(fontsize=8)
    blur_px = np.array([one.blur_px for one in drawn])
    largest = max(1.0, float(blur_px.max()))
    for column, name in ((0, "least 5 %"), (1, "median"), (2, "greatest 5 %")):
        axes[0, 2].hist(
            blur_px[:, column], bins=np.linspace(0, largest * 1.001, 41), histtype="step", lw=1.5, label=name
        )
    axes[0, 2].set(xlabel="diameter of a disc as wide (px)", title="Blur in the patches", yscale="log")
    axes[0, 2].legend(fontsize=8)
    _bars_of_log(axes[1, 0], np.array([one.iso for one in drawn]), "ISO", "ISO")
    radii = np.array([one.radius for one in drawn])
    axes[1, 1].hist(radii, bins=np.linspace(0, 1, 31), color=BAR_COLOUR)
    axes[1, 1].set(xlabel="image height of the middle (1 = corner)", title="Place on the sensor: radius")
    azimuths_deg = np.degrees([one.azimuth_rad for one in drawn])
    axes[1, 2].hist(azimuths_deg, bins=np.linspace(-180, 180, 25), color=BAR_COLOUR)
    axes[1, 2].set(xlabel="azimuth (deg)", title="Place on the sensor: azimuth", xticks=(-180, -90, 0, 90, 180))
    spreads = np.array([one.spread_px for one in drawn])
    axes[2, 0].hist(spreads, bins=np.linspace(0, max(0.1, float(spreads.max())) * 1.001, 29), color=BAR_COLOUR)
    axes[2, 0].set(xlabel="standard deviation (px)", title="Gaussian on the kernels", yscale="log")
    spans = np.array([one.blur_px[2] - one.blur_px[0] for one in drawn])
    axes[2, 1].hist(spans, bins=np.linspace(0, max(1.0, float(spans.max())) * 1.001, 41), color=BAR_COLOUR)
    axes[2, 1].set(
        xlabel="greatest 5 % less least 5 % (px)", title="Variation of the blur inside a patch", yscale="log"
    )
    _counts(axes[2, 2], drawn)
    for ax in axes.flat:
        if ax is not axes[2, 2]:
            ax.set_ylabel("samples", fontsize=9)
        ax.tick_params(labelsize=8)
        ax.grid(alpha=0.25)
    figure.suptitle(title or f"What was drawn for {len(drawn)} samples", fontsize=12)
    return figure


def tell_numbers(drawn: Drawn) -> str:
    """The numbers of a sample in a few lines."""
    depths = " ".join(_metres(one) for one in drawn.depths_m)
    blurs = " ".join(f"{one:.1f}" for one in drawn.blur_px)
    turned = f"{90 * drawn.quarter_turns} deg" + (", mirrored" if drawn.mirrored else "")
    far = _metres(drawn.far_m) + (", then inf" if drawn.is_infinite else "")
    lines = [
        f"sample {drawn.index}",
        drawn.photo if len(drawn.photo) < 27 else "..." + drawn.photo[-24:],
        f"scale {drawn.scale:.2f}, {turned}",
        f"exposure {drawn.exposure_ev:+.2f} EV",
        f"depth: {drawn.depth_source}",
        f"{drawn.rule} {_metres(drawn.near_m)} to {far}",
        f"5/50/95 % {depths} m",
        f"blur      {blurs} px",
        f"spread {drawn.spread_px:.2f} px {drawn.field}".rstrip(),
        f"window {drawn.window_px[0]}, {drawn.window_px[1]}",
        f"radius {drawn.radius:.2f}, azimuth {math.degrees(drawn.azimuth_rad):.0f} deg",
        f"ISO {drawn.iso:.0f}",
    ]
    return "\n".join(lines)


def find_part(difference: Tensor, part_px: int) -> tuple[int, int, int]:
    """Row, column and side of the square of a map (H, W) that holds most of it."""
    height, width = difference.shape
    side = min(part_px, height, width)
    pooled = torch.nn.functional.avg_pool2d(difference[None, None], side, stride=max(side // 8, 1))[0, 0]
    row, column = divmod(int(pooled.argmax()), int(pooled.shape[1]))
    step = max(side // 8, 1)
    return row * step, column * step, side


def _show(ax: Any, picture: Tensor) -> None:
    ax.imshow(picture.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")


def _show_depth(figure: Figure, ax: Any, depth_m: Tensor) -> None:
    dioptres = (1 / depth_m).numpy()
    shown = ax.imshow(dioptres, cmap=DEPTH_COLOURS, interpolation="nearest")
    bar = figure.colorbar(shown, cax=ax.inset_axes((1.02, 0.0, 0.06, 1.0)))
    bar.ax.tick_params(labelsize=7)


def _show_planes(ax: Any, view: View) -> None:
    """The planes of a sample in one picture, each with its name and range."""
    shown = view.planes[:LARGEST_SHOWN_PLANES]
    columns = math.ceil(len(shown) / 2)
    for n, (plane, name) in enumerate(zip(shown, view.names, strict=False)):
        inner = ax.inset_axes((n % columns / columns, 0.5 - 0.5 * (n // columns), 0.96 / columns, 0.42))
        values: Samples = plane.numpy()
        is_colour = name in ("R", "Gr", "Gb", "B", "G")
        # Light on a screen's curve; planes from 0 on, so that their level shows.
        if is_colour:
            inner.imshow(np.clip(values, 0, 1) ** (1 / 2.2), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        else:
            low, high = (-1.0, 1.0) if name in ("x", "y") else (0.0, 3.2 if name == "ISO" else 1.0)
            inner.imshow(values, cmap=PLANE_COLOURS, vmin=low, vmax=high, interpolation="nearest")
        least, most = float(values.min()), float(values.max())
        told = f"{most:.2f}" if most - least < 1e-6 else f"{least:.2f} to {most:.2f}"
        inner.set_title(f"{name} {told}", fontsize=6.5, pad=1.5)
        inner.axis("off")


def _bars_of_log(ax: Any, values: Samples, label: str, title: str) -> None:
    low, high = float(values.min()), float(values.max())
    ax.hist(values, bins=np.geomspace(low * 0.999, max(high, low * 1.01) * 1.001, 31), color=BAR_COLOUR)
    ax.set(xscale="log", xlabel=label, title=title)
    ticks = [tick * 10.0**power for power in range(-3, 6) for tick in (1, 2, 5)]
    inside = [tick for tick in ticks if low * 0.9 <= tick <= high * 1.1]
    ax.set_xticks(inside, [f"{tick:g}" for tick in inside])
    ax.minorticks_off()


def _counts(ax: Any, drawn: Sequence[Drawn]) -> None:
    """How often each rule, end and source came up."""
    rows = [(f"rule: {one.rule}", f"depth from: {one.depth_source}") for one in drawn]
    names = sorted({name for row in rows for name in row})
    counts = [sum(name in row for row in rows) for name in names]
    names, counts = [*names, "far end at infinity"], [*counts, sum(one.is_infinite for one in drawn)]
    ax.barh(range(len(names)), counts, color=BAR_COLOUR)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set(xlabel="samples", title="Depth: rule, source, far end")


def _metres(depth_m: float) -> str:
    return "inf" if math.isinf(depth_m) else f"{depth_m:.2g}" if depth_m < 100 else f"{depth_m:.0f}"
