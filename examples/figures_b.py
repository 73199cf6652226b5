"""Figures 3 to 5 of Wu, Monno and Okutomi (ICIP 2024), for a lens of ours that photographs a display.

    python examples/figures_b.py                                    # all three, into out/figures_b
    python examples/figures_b.py misalignment                       # traced only, in seconds
    python examples/figures_b.py methods focus --pairs 60 --steps-share 0.3 -o out/figures_b_quick

The camera of their real experiment: a 12 mm f/2.8, pixels binned by 4, focused to 0.5, 0.59, 0.72, 0.94 and 1.415 m,
sharp pictures at the scale of the first. "misalignment": what focus breathing does near the corner. "methods": kernels
at two depths, of every method beside the truth. "focus": PSF-Net's kernels over focus and image height, beside the
invariant one. Estimates take minutes each; a run that was stopped goes on. Mean absolute errors in 1e-4 stand beside.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import simulate_captures as stand
import torch
import tyro
from torch import Tensor
from tqdm import tqdm

import optics
import psf
from optics.geometric import image_scale, kernels_at
from psf import Captures, Channel
from psf.arguments import parse_arguments
from psf.capture_levels import magnify_captures
from psf.command_line import run_command
from psf.estimators.networks import KnownKernels, NetworkOptions
from psf.estimators.networks.recipes import RECIPES
from psf.metrics import find_centroid_px
from psf.patterns import make_dead_leaves
from psf.runs import begin_run, make_generator, whole_file
from render.capture_simulation import simulate_captures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Name = Literal["misalignment", "methods", "focus"]
LENS, BINNING, KERNEL_PX = "stack_12mm_f2.8", 4, 25
CHANNELS = (Channel("G", (stand.GREEN_UM,)),)
FOCUSES_M = (0.5, 0.59, 0.72, 0.94, 1.415)
# What is drawn lies between the photographed depths; at azimuth 0 the sensor ends at an image height of 0.8.
HEIGHTS = (0.05, 0.3, 0.55, 0.79)
DEPTHS_M, FOCUS_DEPTH_M = (0.6, 1.2), 0.8
SUPERVISED = ("gaussian", "tseng", "yang")
# Side of the drawn part of a kernel.
SHOWN_PX = 11


@dataclass(frozen=True)
class Args:
    """Draw the figures."""

    names: tyro.conf.Positional[tuple[Name, ...]] = ("misalignment", "methods", "focus")
    """Which."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/figures_b")
    """A folder that is new, empty or of the same run; pictures, captures and kernels are kept there."""
    methods: tuple[str, ...] = ("gaussian", "tseng", "yang", "none", "xy", "psfnet", "direct")
    """Rows of the second figure."""
    focuses_m: tuple[float, ...] = FOCUSES_M
    """Focus distances, ascending."""
    pairs: int = 90
    """Depths from 0.5 to 1.415 m, a pair each per focus distance."""
    crop_px: int = 128
    """Side of the blurred pictures."""
    node_px: int = 16
    """Their kernels are traced at every so many pixels."""
    noise: float = 0.005
    """Standard deviation of both pictures, white is 1."""
    steps_share: float = 1.0
    """Of every training's usual steps."""
    seed: int = 0
    """The same seed gives the same pictures."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used."""
    return run_command(lambda: run(parse_arguments(lambda: tyro.cli(Args, args=argv, description=Args.__doc__))))


def run(args: Args) -> None:
    """Draw and write one figure after the other."""
    settings = {name: getattr(args, name) for name in ("focuses_m", "pairs", "crop_px", "node_px", "noise")}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    begin_run(args.out, {**settings, "steps_share": args.steps_share, "seed": args.seed})
    for name in args.names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # depths just outside the photographed ones
            figure, told = FIGURES[name](args)
        with whole_file(args.out / f"{name}.png") as part:
            figure.savefig(part, format="png", dpi=120)
        print(f"{args.out / name}.png: {told}")


def focused(focus_m: float) -> optics.Lens:
    """The camera."""
    return stand.bin_pixels(optics.load(LENS), BINNING).refocused(focus_m)


def trace(lens: optics.Lens, reference: optics.Lens, radius: Tensor, depth_m: Tensor) -> Tensor:
    """Kernels at azimuth 0, against the reference focus's chief rays and the scale of this one, shape (N, K, K)."""
    found = [
        kernels_at(
            lens,
            heights.tolist(),
            [0.0] * len(heights),
            depths.tolist(),
            CHANNELS,
            kernel_px=KERNEL_PX,
            reference=reference,
            check_loss=False,
        ).kernels[:, 0]
        for heights, depths in zip(radius.split(64), depth_m.split(64), strict=True)
    ]
    return torch.cat(found)


def draw_misalignment(args: Args) -> tuple[Figure, str]:
    """Figure 3: the corner of a picture at the first and at the last focus distance, before and after scaling."""
    from matplotlib.figure import Figure

    reference, last = focused(args.focuses_m[0]), focused(args.focuses_m[-1])
    scale = image_scale(last, reference)
    height, width = reference.sensor.image_shape_px
    side, generator = 120, make_generator(args.seed, 0)
    seen = [stand.make_focus(one, reference, m, CHANNELS, KERNEL_PX) for one, m in _ends(args, reference, last)]
    reach = math.ceil(0.5 * math.hypot(height, width) * abs(1 / scale - 1)) + 2
    display = make_dead_leaves((side + KERNEL_PX + 2 * reach + 8,) * 2, generator=generator)
    corner = (torch.tensor([float(width - side)]), torch.tensor([0.0]))
    captures = simulate_captures(
        [display],
        seen,
        [1.0],
        image_shape_px=(height, width),
        kernel_px=KERNEL_PX,
        generator=generator,
        crop_px=(side, side),
        places_px=corner,
        noise=args.noise,
        node_px=args.node_px,
    )
    blurred = captures.at_focus(args.focuses_m[-1])
    figure = Figure(figsize=(10.5, 3.9), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
    scaled = magnify_captures(blurred, scale)
    # Both show the same part of the sensor, the scaled pair's corner.
    shown, top = 64, int(scaled.y0_px[0])
    left = int(scaled.x0_px[0]) + scaled.shape_px[1] - shown
    for ax, pairs, title in (
        (axes[0], blurred, "as photographed"),
        (axes[1], scaled, f"sharp picture scaled by {scale:.4f}"),
    ):
        pair = pairs[0].cut(top - int(pairs.y0_px[0]), left - int(pairs.x0_px[0]), shown, shown)
        half = KERNEL_PX // 2
        sharp = pair.sharp[0, half : half + shown, half : half + shown]
        both = torch.stack((sharp, pair.blurred[0], pair.blurred[0]), -1)
        extent = (left - 0.5, left + shown - 0.5, top + shown - 0.5, top - 0.5)
        ax.imshow(both.clamp(0, 1).sqrt().numpy(), interpolation="nearest", extent=extent)
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("column, px", fontsize=9)
    axes[0].set_ylabel(
        f"top right corner: red sharp at {args.focuses_m[0]:g} m,\ncyan blurred at {args.focuses_m[-1]:g} m", fontsize=9
    )
    radius = torch.linspace(0.02, 1, 12, dtype=torch.float64)
    furthest = 0.0
    for n, focus_m in enumerate(args.focuses_m):
        lens = focused(focus_m) if n else reference
        own = image_scale(lens, reference) if n else 1.0
        rest = find_centroid_px(trace(lens, reference, radius, torch.full_like(radius, 1.0)))[:, 0]
        shift = rest + (own - 1) * radius * 0.5 * math.hypot(height, width)
        furthest = max(furthest, float(shift.abs().max()))
        axes[2].plot(radius, shift, color=f"C{n}", label=f"{focus_m:g} m, scale {own:.4f}")
        axes[2].plot(radius, rest, color=f"C{n}", linestyle=":")
    axes[2].set_xlabel("image height (1 = corner)")
    axes[2].set_ylabel("centroid outwards, px")
    axes[2].set_title("traced shift at 1 m (dotted: without scale)", fontsize=10)
    axes[2].set_ylim(-1.9 * furthest, 0.5 * furthest)
    axes[2].legend(fontsize=8, title="focus", title_fontsize=8, loc="lower left")
    figure.suptitle(f"Focus breathing of {LENS}, pixels of {reference.sensor.pitch_um:g} um", fontsize=11)
    return figure, f"light moves by up to {furthest:.1f} px between the focus distances"


def _ends(args: Args, reference: optics.Lens, last: optics.Lens) -> list[tuple[optics.Lens, float]]:
    return [(reference, args.focuses_m[0]), (last, args.focuses_m[-1])]


def draw_methods(args: Args) -> tuple[Figure, str]:
    """Figure 4: kernels at two depths, methods below the truth."""
    focus_m = args.focuses_m[0]
    reference = focused(focus_m)
    radius = torch.tensor(HEIGHTS, dtype=torch.float64).repeat(len(DEPTHS_M))
    depth_m = torch.tensor(DEPTHS_M, dtype=torch.float64).repeat_interleave(len(HEIGHTS))
    truth = trace(reference, reference, radius, depth_m)
    known = None
    if set(SUPERVISED) & set(args.methods):
        generator = make_generator(args.seed, 1)
        dioptres = 1 / 1.415 + (2 - 1 / 1.415) * torch.rand(20, generator=generator, dtype=torch.float64)
        heights = torch.linspace(0.0, 1.0, 32, dtype=torch.float64).repeat(20)
        depths = (1 / dioptres).repeat_interleave(32)
        known = partial(_trace_known, reference, heights, depths)
    rows = [("truth", truth)]
    for method in args.methods:
        rows.append((method, estimate(args, method, focus_m, 1.0, known)[:-1].flatten(0, 1)))
    figure = _grid(rows, [f"{one:g} m\n{height:g}" for one in DEPTHS_M for height in HEIGHTS], truth)
    figure.suptitle(
        f"{LENS}, focus at {focus_m:g} m: kernels by depth and image height (1 = corner)\n"
        f"Each column is stretched to the truth's peak; beside the names: mean absolute error in 1e-4",
        fontsize=11,
    )
    return figure, ", ".join(f"{name} {_mae(found, truth):.2f}" for name, found in rows[1:])


def draw_focus(args: Args) -> tuple[Figure, str]:
    """Figure 5: PSF-Net over focus and image height at one depth, the invariant kernel in the last column."""
    from matplotlib.figure import Figure

    count = len(HEIGHTS)
    radius = torch.tensor(HEIGHTS, dtype=torch.float64)
    depths = torch.full_like(radius, FOCUS_DEPTH_M)
    reference = focused(args.focuses_m[0])
    figure = Figure(figsize=(1.1 * (2 * count + 1) + 1.2, 1.1 * len(args.focuses_m) + 0.9), layout="constrained")
    axes = figure.subplots(len(args.focuses_m), 2 * count + 1, squeeze=False)
    told = []
    for n, focus_m in enumerate(args.focuses_m):
        lens = focused(focus_m) if n else reference
        scale = image_scale(lens, reference) if n else 1.0
        truth = trace(lens, reference, radius, depths)
        found = estimate(args, "psfnet", focus_m, scale, None)[-1]
        invariant = estimate(args, "none", focus_m, scale, None)[-1]
        told.append(f"{focus_m:g} m: {_mae(found, truth):.2f}, invariant {_mae(invariant, truth):.2f}")
        for k in range(count):
            _show(axes[n, k], truth[k], float(truth[k].max()))
            _show(axes[n, count + k], found[k], float(truth[k].max()))
        _show(axes[n, -1], invariant[0], float(invariant[0].max()))
        axes[n, 0].set_ylabel(f"{focus_m:g} m", fontsize=9)
    for k, height in enumerate(HEIGHTS):
        axes[0, k].set_title(f"truth\n{height:g}", fontsize=8)
        axes[0, count + k].set_title(f"PSF-Net\n{height:g}", fontsize=8)
    axes[0, -1].set_title("invariant\n(none)", fontsize=8)
    figure.supylabel("focus", fontsize=10)
    figure.suptitle(f"{LENS}, display at {FOCUS_DEPTH_M:g} m: kernels over image height (1 = corner)", fontsize=11)
    return figure, f"MAE in 1e-4 at focus {'; '.join(told)}"


def estimate(args: Args, method: str, focus_m: float, scale: float, known: Callable[[], KnownKernels] | None) -> Tensor:
    """A method's kernels at azimuth 0, from the folder if they were made before.

    Returns:
        At the depths of both figures and the image heights that are drawn, shape (D, R, K, K).
    """
    file = args.out / f"kernels_{method}_{focus_m:g}.npz"
    if file.is_file():
        with np.load(file) as kept:
            return torch.from_numpy(kept["kernels"])
    captures = photograph(args).at_focus(focus_m)
    options: Any = None
    if method in RECIPES:
        is_supervised = method in SUPERVISED and known is not None
        recipe = RECIPES[method]
        usual = recipe.known if is_supervised else recipe.pairs
        options = NetworkOptions(
            steps=max(1, round(args.steps_share * usual.steps)),
            magnification=scale,
            known=known() if is_supervised and known is not None else None,
        )
    elif method in ("direct", "physical"):
        from psf.estimators import DirectOptions, PhysicalOptions

        direct = DirectOptions(magnification=scale)
        options = direct if method == "direct" else PhysicalOptions(direct=direct)
    checkpoint = args.out / f".{method}_{focus_m:g}.checkpoint"
    with tqdm(desc=f"{method} at {focus_m:g} m", leave=False, disable=None) as bar:

        def on_progress(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        model = psf.estimate(captures, method, options=options, on_progress=on_progress, checkpoint=checkpoint)
    # Pixels to the right of the middle: at azimuth 0 every model answers, the one that knows of pixels too.
    height, width = captures.image_shape_px
    depth_m, radius = torch.meshgrid(torch.tensor((*DEPTHS_M, FOCUS_DEPTH_M)), torch.tensor(HEIGHTS), indexing="ij")
    x_px = (width - 1) / 2 + radius.flatten() * 0.5 * math.hypot(height, width)
    kernels: Tensor = model.kernels_at_pixel(x_px, torch.full_like(x_px, (height - 1) / 2), depth_m.flatten())[:, 0]
    kernels = kernels.unflatten(0, depth_m.shape)
    with whole_file(file) as part, part.open("wb") as stream:
        np.savez(stream, kernels=kernels.numpy())
    return kernels


def photograph(args: Args) -> Captures:
    """The pairs of all focus distances, from the folder if they were made before."""
    file = args.out / "captures.npz"
    if file.is_file():
        return psf.read_captures(file).loaded()
    shots = stand.Args(
        out=file,
        lens=LENS,
        focus_m=args.focuses_m,
        bin=BINNING,
        pairs=args.pairs,
        crop_px=args.crop_px,
        kernel_px=KERNEL_PX,
        node_px=args.node_px,
        noise=args.noise,
        seed=args.seed,
    )
    return stand.run(shots).loaded()


def _trace_known(lens: optics.Lens, radius: Tensor, depth_m: Tensor) -> KnownKernels:
    kernels = trace(lens, lens, radius, depth_m)[:, None].float()
    return KnownKernels(kernels=kernels, radius=radius.float(), depth_m=depth_m.float())


def _grid(rows: list[tuple[str, Tensor]], labels: list[str], truth: Tensor) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.1 * len(labels) + 1.4, 1.1 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots(len(rows), len(labels), squeeze=False)
    for i, (name, kernels) in enumerate(rows):
        for k, label in enumerate(labels):
            _show(axes[i, k], kernels[k], float(truth[k].max()))
            if i == 0:
                axes[i, k].set_title(label, fontsize=8)
        error = "" if i == 0 else f"\n{_mae(kernels, truth):.2f}"
        axes[i, 0].set_ylabel(f"{name}{error}", fontsize=9)
    return figure


def _show(ax: Any, kernel: Tensor, peak: float) -> None:
    first = (KERNEL_PX - SHOWN_PX) // 2
    inner = kernel[first : first + SHOWN_PX, first : first + SHOWN_PX]
    ax.imshow(inner.numpy(), cmap="inferno", vmin=0, vmax=peak, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])


def _mae(found: Tensor, truth: Tensor) -> float:
    return 1e4 * float((found.double() - truth).abs().mean())


FIGURES: dict[str, Callable[[Args], tuple[Figure, str]]] = {
    "misalignment": draw_misalignment,
    "methods": draw_methods,
    "focus": draw_focus,
}


if __name__ == "__main__":
    sys.exit(main())
