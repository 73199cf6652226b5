"""Pictures of a joint design: the way there, contrast through depth, pictures before and after, and the landscape."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from optics import Lens, Sampling
from optics.mtf import find_geometric_mtf
from psf import InputError

from .iterates import Iterate

INKS = ("0.45", "#0b3c8c", "#b3263a", "#1b8a5a", "#a06a00")
SAMPLING = Sampling(rings=32, angles=32, nodes=12)


def plot_way(iterates: Sequence[Iterate], names: Sequence[str], depths_m: Sequence[float], title: str = "") -> Figure:
    """PSNR at every depth and free parameters over the steps of a design.

    Args:
        iterates: In order.
        names: Of the free parameters.
        depths_m: Of the grid.
        title: Above both.
    """
    if not iterates:
        raise InputError("iterates", "none", "at least one")
    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [one.step for one in iterates]
    dioptres = [0.0 if math.isinf(depth) else 1 / depth for depth in depths_m]
    top = max(max(dioptres), 1e-9)
    for number, (depth, dioptre) in enumerate(zip(depths_m, dioptres, strict=True)):
        ink = (0.1 + 0.75 * dioptre / top, 0.25, 0.8 - 0.65 * dioptre / top)
        left.plot(steps, [one.depth_psnr_db[number] for one in iterates], color=ink, lw=1.1, label=say_depth(depth))
    left.plot(steps, [one.worst_psnr_db for one in iterates], color="k", lw=1.8, ls=":", label="worst")
    left.set(xlabel="step", ylabel="PSNR of restored pictures (dB)", title="Depths")
    left.legend(fontsize=7.5, frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    values = np.array([one.values for one in iterates])
    span = np.maximum(np.abs(values - values[0]).max(0), 1e-30)
    kept = max((n for n, one in enumerate(iterates) if not one.refused), default=0)
    for number, name in enumerate(names):
        label = f"{name}: {values[0, number]:.4g} to {values[kept, number]:.4g}"
        right.plot(steps, (values[:, number] - values[0, number]) / span[number], lw=1.2, label=label)
    right.set(xlabel="step", ylabel="change, largest = 1", ylim=(-1.1, 1.1), title="Free parameters")
    right.legend(fontsize=7, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    for ax in (left, right):
        ax.grid(alpha=0.25)
    figure.suptitle(title)
    return figure


def plot_mtf_through_depth(
    lenses: Mapping[str, Lens],
    *,
    radii: Sequence[float] = (0.0, 0.5, 0.9),
    fineness: float = 0.1,
    nearest_m: float = 0.1,
    count: int = 15,
) -> Figure:
    """Contrast of one frequency against depth, a panel per image height, by rays, mean of both directions and colours.

    Args:
        lenses: By name.
        radii: Image heights.
        fineness: Frequency as a share of Nyquist's.
        nearest_m: Where the curves end.
        count: Depths.
    """
    figure = Figure(figsize=(3.5 * len(radii), 3.6), layout="constrained")
    axes = figure.subplots(1, len(radii), sharey=True, squeeze=False)[0]
    dioptres = np.linspace(0, 1 / nearest_m, count)
    depths_m = [math.inf if one == 0 else float(1 / one) for one in dioptres]
    frequency = 0.0
    for (name, lens), ink in zip(lenses.items(), INKS, strict=False):
        frequency = fineness * 500 / lens.sensor.pitch_um
        found = find_geometric_mtf(lens, radii, depths_m, [frequency], sampling=SAMPLING)
        contrast = (0.5 * (found.tangential + found.sagittal))[:, :, 0, :, 0].mean(-1)
        for number, ax in enumerate(axes):
            ax.plot(dioptres, contrast[:, number].tolist(), color=ink, lw=1.5, label=name)
    for radius, ax in zip(radii, axes, strict=True):
        ax.axhline(0, color="0.7", lw=0.8)
        ax.set(xlabel="depth (1/m)", xlim=(0, dioptres[-1]), title=f"image height {radius:g}")
        ax.grid(alpha=0.25)
    axes[0].set_ylabel("contrast (negative: turned over)")
    names, lines = list(lenses), axes[0].lines[: len(lenses)]
    figure.legend(lines, names, fontsize=8, frameon=False, loc="outside lower center", ncols=len(names))
    figure.suptitle(f"Contrast at {frequency:.0f} lines per mm ({fineness:g} of Nyquist's) through depth, by rays")
    return figure


def plot_restored(rows: Mapping[str, Sequence[Tensor]], columns: Sequence[str], title: str = "") -> Figure:
    """Pictures in a grid: a row per name, a column per heading.

    Args:
        rows: Pictures by name, each of shape (3, H, W), 0 to 1.
        columns: Headings.
        title: Above all.
    """
    if any(len(row) != len(columns) for row in rows.values()):
        raise InputError("rows", [len(row) for row in rows.values()], f"{len(columns)} pictures each, as the columns")
    figure = Figure(figsize=(1.62 * len(columns) + 0.9, 1.68 * len(rows) + 0.5), layout="constrained")
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for line, (name, pictures) in enumerate(rows.items()):
        for number, (heading, picture) in enumerate(zip(columns, pictures, strict=True)):
            ax = axes[line, number]
            ax.imshow(picture.detach().clamp(0, 1).movedim(0, -1).cpu().numpy(), interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            if line == 0:
                ax.set_title(heading, fontsize=8)
            if number == 0:
                ax.set_ylabel(name, fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def plot_kernels(
    kernels: Mapping[str, Tensor],
    depths_m: Sequence[float],
    radii: Sequence[float],
    *,
    places: Sequence[int] = (0, -1),
    side_px: int = 49,
) -> Figure:
    """Kernels of several lenses, a row per lens and image height, a column per depth; the root of their light.

    Args:
        kernels: By name, each of shape (D, R, 3, K, K).
        depths_m: The D depths.
        radii: The R image heights.
        places: Which of them are drawn.
        side_px: Of the middle that is shown.
    """
    rows = {}
    for place in places:
        for name, one in kernels.items():
            cut = max((one.shape[-1] - side_px) // 2, 0)
            shown = stack_colours(one[:, place, :, cut : one.shape[-2] - cut, cut : one.shape[-1] - cut])
            rows[f"{name}\nheight {radii[place]:g}"] = list(shown)
    title = f"Kernels, the middle {side_px} px, root of their light; every kernel's brightest pixel is white"
    return plot_restored(rows, [say_depth(depth) for depth in depths_m], title)


def plot_verdicts(psnr_db: Mapping[str, Tensor], depths_m: Sequence[float], title: str = "") -> Figure:
    """PSNR of restored pictures against depth, a curve per lens.

    Args:
        psnr_db: By name, each of shape (D,).
        depths_m: The D depths.
        title: Above it.
    """
    figure = Figure(figsize=(6.4, 3.9), layout="constrained")
    ax = figure.subplots()
    dioptres = [0.0 if math.isinf(depth) else 1 / depth for depth in depths_m]
    order = np.argsort(dioptres)
    for (name, values), ink in zip(psnr_db.items(), INKS, strict=False):
        label = f"{name}: worst {float(values.min()):.2f} dB"
        ax.plot(np.array(dioptres)[order], values.numpy()[order], color=ink, marker="o", ms=3.5, lw=1.5, label=label)
    ax.set(xlabel="depth (1/m)", ylabel="PSNR of restored pictures (dB)", title=title)
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8, frameon=False)
    return figure


def plot_landscape(
    across: Sequence[float],
    along: Sequence[float],
    worst_psnr_db: Tensor,
    names: tuple[str, str],
    marks: Mapping[str, tuple[float, float]] | None = None,
    ways: Sequence[Sequence[tuple[float, float]]] = (),
) -> Figure:
    """The worst depth over two parameters.

    Args:
        across: Values of the first one, A of them.
        along: Values of the second one, B of them.
        worst_psnr_db: Shape (A, B).
        names: Of both, with units.
        marks: Places by name.
        ways: Of descents, each through places in order; its last one is marked.
    """
    if tuple(worst_psnr_db.shape) != (len(across), len(along)):
        found = f"shape {tuple(worst_psnr_db.shape)}"
        raise InputError("worst_psnr_db", found, f"shape ({len(across)}, {len(along)})")
    figure = Figure(figsize=(6.2, 4.3), layout="constrained")
    ax = figure.subplots()
    values = worst_psnr_db.numpy()
    rest = ""
    filled = ax.contourf(across, along, values.T, levels=14, cmap="viridis")
    figure.colorbar(filled, ax=ax, label="PSNR at the worst depth (dB)")
    for way in ways:
        xs, ys = (np.array(column) for column in zip(*way, strict=True))
        ax.plot(xs, ys, "-", color="w", lw=1.0)
        ax.plot(xs[0], ys[0], "o", color="w", ms=3)
        ax.plot(xs[-1], ys[-1], "*", color="#ff5a36", mec="k", mew=0.6, ms=11)
        rest = "\nDescents (white, to a star) move all parameters; the map moves two"
    for name, (x, y) in (marks or {}).items():
        ax.plot(x, y, "o", color="w", mec="k", ms=6)
        ax.annotate(name, (x, y), xytext=(6, 5), textcoords="offset points", color="w", fontsize=8)
    ax.set(xlabel=names[0], ylabel=names[1])
    ax.set_title(f"Worst depth, each place with a restorer of its own{rest}", fontsize=10)
    ax.locator_params(axis="x", nbins=6)
    ax.set_facecolor("0.35")  # where the scan has not been
    return figure


def say_depth(depth_m: float) -> str:
    """A depth for a person."""
    return "infinity" if math.isinf(depth_m) else f"{depth_m:.3g} m"


def stack_colours(kernels: Tensor) -> Tensor:
    """Kernels (..., 3, K, K) as pictures of the square root of their light, brightest 1, of the same shape."""
    root = kernels.clamp_min(0).sqrt()
    return root / root.amax((-3, -2, -1), keepdim=True).clamp_min(torch.finfo(root.dtype).tiny)
