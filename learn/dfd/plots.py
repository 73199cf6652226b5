"""Pages of focal stacks: every picture, the depth, how blurred each pixel is, and the numbers."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure

from psf import InputError
from render import encode_srgb

from .stack_samples import StackSample

DEPTH_COLOURS, BLUR_COLOURS = "magma", "viridis"


def plot_stacks(samples: Sequence[StackSample], title: str = "") -> Figure:
    """A row for each focal stack.

    Args:
        samples: Of one number of pictures.
        title: Of the page.
    """
    if not samples:
        raise InputError("plot_stacks(samples)", "none", "at least one focal stack")
    pictures = len(samples[0].stack)
    if any(len(one.stack) != pictures for one in samples):
        raise InputError("plot_stacks(samples)", "stacks of several lengths", f"{pictures} pictures each")
    figure = Figure(figsize=(2.05 * (pictures + 3) + 2.2, 1.9 * len(samples) + 0.8), layout="constrained")
    axes = figure.subplots(
        len(samples), pictures + 4, squeeze=False, gridspec_kw={"width_ratios": [1] * (pictures + 3) + [1.25]}
    )
    nearest = max(float(one.depth_dpt.max()) for one in samples)
    farthest = min(float(one.depth_dpt.min()) for one in samples)
    widest = max(float(one.blur_px.max()) for one in samples)
    for n, sample in enumerate(samples):
        focus = [f"focus {one:g} m" for one in sample.focus_m.tolist()]
        heads = (*focus, "depth (dpt)", "blur, first (RMS px)", "blur, last (RMS px)", "")
        for ax, head in zip(axes[n], heads, strict=True):
            ax.axis("off")
            if n == 0:
                ax.set_title(head, fontsize=9)
        for ax, picture in zip(axes[n], sample.stack, strict=False):
            shown = encode_srgb(picture) if sample.encoding == "linear" else picture
            ax.imshow(shown.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")
        _show_map(figure, axes[n, pictures], sample.depth_dpt[0], DEPTH_COLOURS, farthest, nearest)
        for ax, which in ((axes[n, pictures + 1], 0), (axes[n, pictures + 2], -1)):
            _show_map(figure, ax, sample.blur_px[which], BLUR_COLOURS, 0.0, widest)
        last = axes[n, pictures + 3]
        last.text(0, 1, tell_stack(sample), va="top", fontsize=7, family="monospace", transform=last.transAxes)
    figure.suptitle(title or "Focal stacks: what was recorded, and what is to be found", fontsize=11)
    return figure


def tell_stack(sample: StackSample) -> str:
    """The numbers of a focal stack in a few lines."""
    drawn, scene = sample.drawn, sample.drawn.scene
    names = [one if len(one) < 27 else one[:10] + "..." + one[-13:] for one in scene.textures]
    colours = zip(scene.gains, scene.hues_deg, scene.contrasts, strict=True)
    noise = f"ISO {drawn.iso:.0f}" if drawn.iso else f"noise {math.sqrt(drawn.read[1]):.4g}"
    lines = [
        f"stack {drawn.index}: {scene.kind}",
        f"depth {scene.depths_m[0]:.3f}, {scene.depths_m[1]:.3f} m",
        f"front {100 * scene.front_share:.0f} % {scene.shape}".rstrip(),
        *names,
        *(f"gain {gain:.2f} hue {hue:+.0f} x{contrast:.2g}" for gain, hue, contrast in colours),
        f"window {drawn.window_px[0]}, {drawn.window_px[1]}",
        f"radius {drawn.radius:.2f}, {math.degrees(drawn.azimuth_rad):.0f} deg",
        "exposure " + " ".join(f"{100 * one - 100:+.1f}" for one in drawn.exposures) + " %",
        f"{noise}, {sample.bits} bits {sample.encoding}",
    ]
    return "\n".join(lines)


def _show_map(figure: Figure, ax: Any, values: torch.Tensor, colours: str, low: float, high: float) -> None:
    shown = ax.imshow(values.numpy(), cmap=colours, vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest")
    bar = figure.colorbar(shown, cax=ax.inset_axes((1.02, 0.0, 0.05, 1.0)))
    bar.ax.tick_params(labelsize=6)
