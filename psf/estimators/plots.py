"""A page that tells whether to trust an estimated field: kernels, re-blurred photographs, what is left of them."""

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from ..errors import InputError
from ..field import PolarPSFField
from ..residuals import PairResidual

A4_INCH = (8.27, 11.69)
# Rows and columns of kernels, pairs that are shown.
MOST_DEPTHS, MOST_RADII, MOST_PAIRS = 6, 7, 4
# Differences are shown up to so many standard deviations of the noise.
SIGMAS = 5.0
# Image heights are taken together in so many bins.
BINS = 10


def plot_estimate(
    field: PolarPSFField, residuals: Sequence[PairResidual], title: str, *, held_back: bool = True
) -> Figure:
    """A page of paper.

    Args:
        field: What was estimated.
        residuals: What it leaves of pairs.
        title: Above it all.
        held_back: Whether the estimate has not seen those pairs.

    Returns:
        The figure.
    """
    if not residuals:
        raise InputError("residuals", "none", "those of at least one pair")
    figure = Figure(figsize=A4_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11)
    parts: Any = figure.subfigures(3, 1, height_ratios=(5.1, 4.0, 2.1))
    top, middle, bottom = parts
    _draw_kernels(top, field)
    _draw_pairs(middle, residuals, "held back" if held_back else "of the estimate itself")
    _draw_left(bottom, residuals)
    return figure


def draw_page(
    field: PolarPSFField, residuals: Sequence[PairResidual], title: str, held_back: bool, suffix: str
) -> bytes:
    """The page of `plot_estimate` as the bytes of a "png" or "pdf" file."""
    drawn = io.BytesIO()
    plot_estimate(field, residuals, title, held_back=held_back).savefig(drawn, format=suffix, dpi=130)
    return drawn.getvalue()


def _draw_kernels(figure: SubFigure, field: PolarPSFField) -> None:
    channel = len(field.channels) // 2
    rows, columns = (_pick(len(one), most) for one, most in ((field.depths_m, MOST_DEPTHS), (field.radii, MOST_RADII)))
    kernels = _array(field.kernels[rows][:, columns, channel])
    half = 0.5 * kernels.shape[-1] / field.oversample
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            ax = axes[i, j]
            ax.imshow(kernels[i, j], cmap="inferno", vmin=0, extent=(-half, half, half, -half), interpolation="nearest")
            ax.set_xticks([])
            ax.set_yticks([])
            if i == 0:
                ax.set_title(f"{float(field.radii[column]):.2f}", fontsize=8)
            if j == 0:
                ax.set_ylabel(_tell_depth(float(field.depths_m[row])), fontsize=8)
    name = "" if len(field.channels) == 1 else f", channel {field.channels[channel].name}"
    told = f"kernels of {field.kernel_px} px{name}, each to its own peak; depth by image height"
    figure.suptitle(told, fontsize=9)


def _draw_pairs(figure: SubFigure, residuals: Sequence[PairResidual], kind: str) -> None:
    order = sorted(range(len(residuals)), key=lambda n: residuals[n].depth_m)
    shown = [residuals[order[n]] for n in _pick(len(order), MOST_PAIRS)]
    axes = figure.subplots(3, len(shown), squeeze=False)
    for j, one in enumerate(shown):
        channel = len(one.seen) // 2
        seen, told = (_array(light[channel]) for light in (one.seen, one.told))
        sigma = float(one.noise[channel])
        low, high = np.quantile(seen, (0.002, 0.998))
        for ax, light in ((axes[0, j], seen), (axes[1, j], told)):
            ax.imshow(light, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest")
        most = SIGMAS * sigma
        axes[2, j].imshow(seen - told, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
        height = float(one.radius.mean())
        axes[0, j].set_title(f"{_tell_depth(one.depth_m)}, height {height:.2f}", fontsize=8)
        axes[2, j].set_xlabel(f"±{100 * most:.2g} % of white; {one.ratio:.2f} x noise", fontsize=7)
    for row, name in zip(axes, ("photographed", "re-blurred", "difference"), strict=True):
        row[0].set_ylabel(name, fontsize=8)
        for ax in row:
            ax.set_xticks([])
            ax.set_yticks([])
    figure.suptitle(f"pairs {kind}", fontsize=9)


def _draw_left(figure: SubFigure, residuals: Sequence[PairResidual]) -> None:
    left, right = figure.subplots(1, 2, sharey=True)
    dioptres = [1 / one.depth_m for one in residuals]
    left.plot(dioptres, [one.ratio for one in residuals], ".", ms=5, color="tab:blue")
    left.set_xlabel("depth in dioptres (1/m)", fontsize=8)
    left.set_ylabel("left, in units of the noise", fontsize=8)
    heights, levels = ratios_by_height(residuals)
    right.plot(heights, levels, "o-", ms=3.5, color="tab:blue")
    right.set_xlabel("image height (1 = corner)", fontsize=8)
    right.set_xlim(0, 1)
    for ax in (left, right):
        ax.axhline(1, color="0.5", lw=0.8, ls=":")
        ax.tick_params(labelsize=7)
        ax.grid(alpha=0.3)
    left.set_ylim(0, max(1.5, 1.15 * max(max(one.ratio for one in residuals), *levels)))
    figure.suptitle("what is left: 1 (dotted) is noise alone", fontsize=9)


def ratios_by_height(residuals: Sequence[PairResidual]) -> tuple[list[float], list[float]]:
    """Middles of bins of image height, and the root mean square of what is left there in units of the noise."""
    squares, count = torch.zeros(BINS, dtype=torch.float64), torch.zeros(BINS, dtype=torch.float64)
    for one in residuals:
        square = (one.left / one.noise[:, None, None]).double().square().mean(0).reshape(-1)
        place = (one.radius.reshape(-1) * BINS).long().clamp(0, BINS - 1)
        squares.index_add_(0, place, square)
        count.index_add_(0, place, torch.ones_like(square))
    used = (count > 0).nonzero()[:, 0].tolist()
    return [(n + 0.5) / BINS for n in used], [float((squares[n] / count[n]).sqrt()) for n in used]


def _array(tensor: Tensor) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return values


def _pick(count: int, most: int) -> list[int]:
    return sorted({round(one) for one in np.linspace(0, count - 1, min(count, most))})


def _tell_depth(depth_m: float) -> str:
    return "infinity" if math.isinf(depth_m) else f"{depth_m:.3g} m"
