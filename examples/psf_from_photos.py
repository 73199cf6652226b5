"""A PSF field from photographs alone, beside the truth: a lens photographs a display, and its kernels are estimated.

    python examples/psf_from_photos.py                                    # out/psf_from_photos.png, 120 pairs
    python examples/psf_from_photos.py --lens camera_rf50mm_f1p8 --near-m 1.5 --far-m 3 --focus-m 2
    python examples/psf_from_photos.py --pairs 40 --noise 0.02 -o out/few_and_noisy.png

The camera is the one of `simulate_captures.py`, a 12 mm f/2.8 focused to 0.72 m with its pixels binned by 4. Kernels
that make the photographs are traced through the lens at points of each picture; the truth that judges is traced anew,
at depths and image heights that no picture has. The estimator knows pictures, places and depths, nothing of the lens.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import simulate_captures
import torch
import tyro
from torch import Tensor
from tqdm import tqdm

import optics
import psf
from psf.arguments import parse_arguments
from psf.command_line import run_command
from psf.runs import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What is drawn: image heights and depths, none of which a picture has exactly.
HEIGHTS = (0.05, 0.25, 0.45, 0.65, 0.85)
ROWS = 4


@dataclass(frozen=True)
class Args:
    """Photograph a display through a lens, estimate its kernels, draw them beside the traced ones."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/psf_from_photos.png")
    """The picture; the captures are written beside it, .npz."""
    lens: str = "stack_12mm_f2.8"
    """A bundled lens or the path of a lens file."""
    focus_m: float = 0.72
    """Focus distance."""
    bin: int = 4
    """So many pixels a side become one."""
    pairs: int = 120
    """Depths, a pair each."""
    near_m: float = 0.4
    """Nearest depth of the display."""
    far_m: float = 3.0
    """Farthest."""
    crop_px: int = 128
    """Side of the blurred pictures."""
    kernel_px: int = 25
    """Side of the kernels, odd."""
    noise: float = 0.005
    """Standard deviation, white is 1, of both pictures."""
    method: str = "physical"
    """The estimator: physical, direct, psfnet ..."""
    seed: int = 0
    """The same seed gives the same pictures."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used."""
    return run_command(
        lambda: print(run(parse_arguments(lambda: tyro.cli(Args, args=argv, description=Args.__doc__)))),
        interrupted="interrupted; nothing is half written",
    )


def run(args: Args) -> str:
    """Photograph, estimate, draw; what came out, in two lines."""
    shots = simulate_captures.Args(
        out=args.out.with_suffix(".npz"),
        lens=args.lens,
        focus_m=(args.focus_m,),
        bin=args.bin,
        pairs=args.pairs,
        near_m=args.near_m,
        far_m=args.far_m,
        crop_px=args.crop_px,
        kernel_px=args.kernel_px,
        noise=args.noise,
        seed=args.seed,
    )
    captures = simulate_captures.run(shots)
    begun = time.perf_counter()
    with tqdm(leave=False, disable=None) as bar:

        def on_progress(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        model = psf.estimate(captures, args.method, on_progress=on_progress)
    seconds = time.perf_counter() - begun
    ends = (1 / args.near_m, 1 / args.far_m)
    dioptres = torch.linspace(*ends, 2 * ROWS + 1, dtype=torch.float64)[1::2]
    radius = torch.tensor(HEIGHTS, dtype=torch.float64).repeat(ROWS)
    depth_m = (1 / dioptres).repeat_interleave(len(HEIGHTS))
    found = model.kernels_at(radius, depth_m)[:, 0].double()
    truth = trace_truth(args, radius, depth_m)
    error = (found - truth).abs().mean((-2, -1))
    figure = draw(args, found, truth, error, depth_m)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(args.out) as part:
        figure.savefig(part, dpi=110, format=args.out.suffix.removeprefix(".") or "png")
    return (
        f"{len(captures)} pairs, {seconds:.0f} s: mean absolute error {1e4 * float(error.mean()):.2f}e-4 at azimuth 0, "
        f"{100 * float(0.5 * (found - truth).abs().sum((-2, -1)).mean()):.1f} % of the light in the wrong place\n"
        f"written: {args.out}"
    )


def trace_truth(args: Args, radius: Tensor, depth_m: Tensor) -> Tensor:
    """Traced kernels at azimuth 0, shape (N, K, K), of image heights and depths of shape (N,)."""
    lens = simulate_captures.bin_pixels(optics.load(args.lens), args.bin).refocused(args.focus_m)
    lens = replace(lens, channels=(psf.Channel("G", (simulate_captures.GREEN_UM,)),))
    height, width = lens.sensor.image_shape_px
    x_px = (width - 1) / 2 + radius * 0.5 * (height**2 + width**2) ** 0.5
    y_px = torch.full_like(x_px, (height - 1) / 2)
    kernels: Tensor = simulate_captures.trace_kernels(lens, lens, lens.channels, args.kernel_px, x_px, y_px, depth_m)
    return kernels[:, 0].double()


def draw(args: Args, found: Tensor, truth: Tensor, error: Tensor, depth_m: Tensor) -> Figure:
    """Pairs of kernels, the traced one above the estimated one, both on one scale."""
    from matplotlib.figure import Figure

    columns = len(HEIGHTS)
    figure = Figure(figsize=(1.5 * columns + 0.7, 3.0 * ROWS + 0.9), layout="constrained")
    axes = figure.subplots(2 * ROWS, columns)
    half = 0.5 * args.kernel_px
    for n, (one, other) in enumerate(zip(truth, found, strict=True)):
        row, column = divmod(n, columns)
        for line, kernel, name in ((2 * row, one, "traced"), (2 * row + 1, other, "estimated")):
            ax = axes[line, column]
            shown = {"cmap": "inferno", "vmin": 0, "vmax": float(one.max()), "interpolation": "nearest"}
            ax.imshow(kernel.numpy(), extent=(-half, half, half, -half), **shown)
            ax.set_xticks([])
            ax.set_yticks([])
            if line == 0:
                ax.set_title(f"height {HEIGHTS[column]:g}", fontsize=9)
            if column == 0:
                ax.set_ylabel(f"{float(depth_m[n]):.2f} m\n{name}", fontsize=8)
        axes[2 * row + 1, column].set_xlabel(f"{1e4 * float(error[n]):.1f}e-4", fontsize=7)
    figure.suptitle(
        f"{args.lens}, focus {args.focus_m:g} m: traced and estimated from {args.pairs} pairs ({args.method})\n"
        f"kernels of {args.kernel_px} px on the traced one's scale; below: mean absolute error",
        fontsize=9,
    )
    return figure


if __name__ == "__main__":
    sys.exit(main())
