"""Pictures of a noise calibration. Each function returns a matplotlib figure and shows nothing."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from psf import InputError

from .calibration import PhotonTransfer, PlaneLine, name_plane
from .noise import NoiseModel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "viridis"
# Planes by marker; the two greens lie on each other and are told apart by which way the triangle points.
MARKERS, PLANE_COLOURS = ("s", "^", "v", "o"), ("tab:red", "tab:green", "limegreen", "tab:blue")
# Standard errors that a bar shows, and how far the residuals' axis reaches at least and at most, in percent.
BAR_ERRORS, LEAST_RESIDUAL, MOST_RESIDUAL = 2.0, 2.0, 20.0


def plot_calibration(transfers: Sequence[PhotonTransfer], model: NoiseModel) -> "Figure":
    """Photon transfer of every ISO, how far the levels lie off the lines, and both levels against ISO.

    Args:
        transfers: One or more, as `render.calibration.fit_pairs` or `render.tile_noise.fit_tiles` gave them.
        model: What was made of them.

    Returns:
        The figure: four panels.
    """
    from matplotlib.figure import Figure

    if not transfers:
        raise InputError("plot_calibration(transfers)", "none", "one or more")
    ordered = sorted(transfers, key=lambda one: one.iso)
    figure = Figure(figsize=(12.5, 9.0), layout="constrained")
    axes = figure.subplots(2, 2)
    _draw_transfer(axes[0, 0], ordered)
    _draw_residuals(axes[1, 0], ordered)
    _draw_levels(axes[0, 1], ordered, model, 0)
    _draw_levels(axes[1, 1], ordered, model, 1)
    frames = {"pairs": "pairs of frames", "tiles": "tiles of single frames"}
    figure.suptitle(f"Noise of {model.name or 'a sensor'}, from {frames.get(ordered[0].method, ordered[0].method)}")
    return figure


def _colour(transfers: Sequence[PhotonTransfer], n: int) -> Any:
    import matplotlib

    return matplotlib.colormaps[COLOURS](0.85 * n / max(len(transfers) - 1, 1))


def _marker(plane: int, planes: int) -> str:
    return MARKERS[plane] if planes == len(MARKERS) else "o"


def _find_span_dn(transfers: Sequence[PhotonTransfer]) -> tuple[float, float, float]:
    """Left end of the axis of means, end of the strip there that stands for 0, right end."""
    lit = torch.cat([line.mean_dn[line.mean_dn > 0] for one in transfers for line in one.lines])
    low, high = float(lit.min()), float(lit.max())
    width = (high / low) ** (1 / 14)
    return low / width**2.5, low / width**1.5, high * width**0.7


def _place(line: PlaneLine, p: int, planes: int, left_dn: float, strip_dn: float) -> npt.NDArray[np.float64]:
    """Where levels stand on a logarithmic axis of means: those without light in the strip, plane beside plane."""
    in_strip = left_dn * (strip_dn / left_dn) ** ((p + 1) / (planes + 1))
    return np.where(line.mean_dn.numpy() > 0, line.mean_dn.numpy(), in_strip)


def _mark_strip(ax: "Axes", left_dn: float, strip_dn: float, right_dn: float) -> None:
    ax.axvspan(left_dn, strip_dn, color="0.92", zorder=0)
    middle = math.sqrt(left_dn * strip_dn)
    ax.text(middle, 0.98, "dark", transform=ax.get_xaxis_transform(), va="top", ha="center", fontsize=8, color="0.4")
    ax.set(xscale="log", xlim=(left_dn, right_dn), xlabel="mean above black (DN)")


def _draw_transfer(ax: "Axes", transfers: Sequence[PhotonTransfer]) -> None:
    left_dn, strip_dn, right_dn = _find_span_dn(transfers)
    means = np.geomspace(strip_dn, right_dn, 200)
    for n, one in enumerate(transfers):
        colour, planes = _colour(transfers, n), len(one.lines)
        for p, line in enumerate(one.lines):
            x, y, used = _place(line, p, planes, left_dn, strip_dn), line.variance_dn2.numpy(), line.used.numpy()
            counted, left_out = used & (y > 0), ~used & (y > 0)
            ax.plot(x[counted], y[counted], _marker(p, planes), color=colour, markersize=4, fillstyle="none")
            ax.plot(x[left_out], y[left_out], "x", color="0.6", markersize=5)
        k, sigma2 = (float(np.mean([getattr(line, name) for line in one.lines])) for name in ("k_dn", "sigma2_dn2"))
        label = f"ISO {one.iso:g}: {1 / k:.3g} e-/DN"
        ax.plot(means, k * means + sigma2, "-", color=colour, linewidth=1.0, label=label)
        if sigma2 > 0:
            ax.hlines(sigma2, left_dn, strip_dn, color=colour, linewidth=1.0)
    if any(not bool(line.used.all()) for one in transfers for line in one.lines):
        ax.plot([], [], "x", color="0.6", label="left out")
    _mark_strip(ax, left_dn, strip_dn, right_dn)
    ax.set(yscale="log", ylabel="variance, rounding taken off (DN²)")
    ax.set_title("photon transfer: slope k in the light, sigma² in the dark; lines: mean of the planes", fontsize=10)
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0.08, 1.0))
    ax.grid(alpha=0.3, which="major")


def _draw_residuals(ax: "Axes", transfers: Sequence[PhotonTransfer]) -> None:
    left_dn, strip_dn, right_dn = _find_span_dn(transfers)
    reach, errors = LEAST_RESIDUAL, []
    for n, one in enumerate(transfers):
        colour, planes = _colour(transfers, n), len(one.lines)
        for p, line in enumerate(one.lines):
            used = line.used.numpy()
            model = (line.k_dn * line.mean_dn + line.sigma2_dn2).clamp_min(1e-9)
            off = 100 * (line.variance_dn2 / model - 1).numpy()[used]
            x = _place(line, p, planes, left_dn, strip_dn)[used]
            # ISO beside ISO, so that points do not hide each other.
            shifted = np.where(x > strip_dn, x * 1.04 ** (n - (len(transfers) - 1) / 2), x)
            ax.plot(shifted, off, _marker(p, planes), color=colour, markersize=4, fillstyle="none")
            errors += (100 * line.error_dn2 / model).numpy()[used].tolist()
            reach = max(reach, float(np.max(np.abs(off), initial=0)))
    band = BAR_ERRORS * float(np.median(errors)) if errors else 0.0
    reach = min(1.15 * max(reach, band), MOST_RESIDUAL)
    ax.axhspan(
        -band, band, color="0.85", alpha=0.6, zorder=0, label=f"{BAR_ERRORS:g} standard errors (median of the levels)"
    )
    ax.axhline(0, color="0.3", linewidth=0.8)
    _mark_strip(ax, left_dn, strip_dn, right_dn)
    ax.set(ylim=(-reach, reach), ylabel="variance off the plane's own line (%)")
    ax.set_title("levels that counted: a trend would mean that the response is not linear", fontsize=10)
    ax.legend(fontsize=8, loc="lower right")
    ax.grid(alpha=0.3)


def _draw_levels(ax: "Axes", transfers: Sequence[PhotonTransfer], model: NoiseModel, which: int) -> None:
    """Levels against ISO: shot (0) or read (1)."""
    iso = np.asarray([one.iso for one in transfers])
    low, high = model.iso_range
    many = torch.linspace(math.log(low), math.log(high), 200, dtype=torch.float64).exp()
    curve = model.levels(many, outside="extend")[which].reshape(len(many), -1)
    measured = [one.normalised() for one in transfers]
    level = torch.stack([one[which] for one in measured]).numpy()
    bar = BAR_ERRORS * torch.stack([one[which + 2] for one in measured]).numpy()
    planes = level.shape[1]
    for p in range(planes):
        colour = PLANE_COLOURS[p] if planes == len(PLANE_COLOURS) else "tab:blue"
        shift = 1.012 ** (p - (planes - 1) / 2)
        label = f"plane {name_plane(p, planes)}"
        style: dict[str, Any] = {
            "color": colour,
            "markersize": 5,
            "fillstyle": "none",
            "elinewidth": 0.8,
            "label": label,
        }
        shown = level[:, p] > 0 if (level > 0).any() else level[:, p] >= 0
        ax.errorbar(iso[shown] * shift, level[shown, p], bar[shown, p], fmt=_marker(p, planes), **style)
        if low < high:
            ax.plot(many.numpy(), curve[:, min(p, curve.shape[1] - 1)].numpy(), "-", color=colour, linewidth=0.8)
    many_decades = len(iso) > 1 and bool((level > 0).any())
    ax.set(xscale="log", yscale="log" if many_decades else "linear", xlabel="ISO")
    if not many_decades:
        ax.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    ax.set_xticks(iso, [f"{one:g}" for one in iso])
    ax.minorticks_off()
    ax.set_xlim(low / 1.3, high * 1.3)
    name, unit = (("shot", "variance per light"), ("read", "variance in the dark"))[which]
    ax.set_ylabel(f"{name}: {unit} (white = 1)")
    drawn = "measured, and the model's curve" if low < high else "measured"
    ax.set_title(f"{name} against ISO: {drawn}", fontsize=10)
    ax.legend(fontsize=8)
    ax.grid(alpha=0.3)
