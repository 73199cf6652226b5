"""Does a focal stack's estimate know how the picture moves as the lens is focused?

    python benchmarks/breathing.py                       # five focus distances, direct estimator
    python benchmarks/breathing.py --pairs 120 --method physical

The 12 mm f/2.8, its pixels binned by 4, focused to 0.5, 0.59, 0.72, 0.94 and 1.415 m. Sharp pictures are taken at the
first focus distance, blurred ones at every one: the picture gets smaller, by 13 px at the corner for the last. Kernels
of the simulated pairs are traced where they lie; each focus distance has its own image scale, from tracing. One model
per focus distance is estimated from its pairs alone. Where light of a point ends up is scale and kernel together:

    shift(h, z) = (magnification - 1) x (distance from the centre in the sharp picture) + centroid of the kernel

The table says how far estimated shifts are from traced ones, over image heights and depths.
"""

import math
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from torch import Tensor

import optics
from optics.geometric import image_scale, kernels_at
from psf import Channel
from psf.captures import Captures
from psf.estimation import estimate
from psf.patterns import make_dead_leaves
from render.capture_simulation import SimulatedFocus, simulate_captures

LENS, BINNING = "stack_12mm_f2.8", 4
# Side of the display's pixels on the sensor. As large as the sensor's they would fit one to one at the first focus
# distance and lie between pixels at the others, a blur that no kernel of the lens has.
DISPLAY_PX = 0.5


@dataclass(frozen=True)
class Args:
    """What to measure."""

    focus_m: tuple[float, ...] = (0.5, 0.59, 0.72, 0.94, 1.415)
    """Focus distances; the first is the sharp pictures'."""
    method: str = "direct"
    """Which estimator, with its default settings."""
    pairs: int = 60
    """Per focus distance, at depths even in dioptres."""
    crop_px: int = 64
    """Side of the blurred pictures."""
    kernel_px: int = 25
    """Side of the kernels."""
    node_px: int = 16
    """Kernels of the pairs are traced so far apart."""
    noise: float = 0.005
    """Standard deviation, white is 1."""
    seed: int = 1
    threads: int = 2
    save: Path | None = None
    """A file for the table."""


@dataclass(frozen=True, eq=False)
class Camera:
    """The lens at one focus distance, against that of the sharp pictures."""

    lens: optics.Lens
    reference: optics.Lens
    focus_m: float
    kernel_px: int

    @property
    def magnification(self) -> float:
        return image_scale(self.lens, self.reference)

    def kernels_at_pixel(self, x_px: Tensor, y_px: Tensor, depth_m: Tensor) -> Tensor:
        height, width = self.lens.sensor.image_shape_px
        right, up = x_px - (width - 1) / 2, (height - 1) / 2 - y_px
        radius = torch.hypot(right, up) / (0.5 * math.hypot(height, width))
        return self.kernels(radius, torch.atan2(up, right), depth_m)

    def kernels(self, radius: Tensor, azimuth_rad: Tensor, depth_m: Tensor) -> Tensor:
        found = kernels_at(
            self.lens,
            radius.clamp(max=1).tolist(),
            azimuth_rad.tolist(),
            depth_m.tolist(),
            self.lens.channels,
            kernel_px=self.kernel_px,
            reference=self.reference,
            check_loss=False,
        ).kernels
        return found / found.sum((-2, -1), keepdim=True)


def find_shifts(kernels: Tensor, magnification: float, radius: Tensor, image_shape_px: tuple[int, int]) -> Tensor:
    """How far outwards light of points at these heights of the blurred picture has moved, px, shape (N,)."""
    size = kernels.shape[-1]
    offset = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    centroid = (kernels.double().mean(1).sum(-2) * offset).sum(-1)
    distance = 0.5 * math.hypot(*image_shape_px) * radius / magnification
    return (magnification - 1) * distance + centroid


def open_cameras(args: Args) -> list[Camera]:
    """One camera per focus distance."""
    lens = optics.load(LENS)
    height, width = lens.sensor.image_shape_px
    sensor = optics.Sensor((height // BINNING, width // BINNING), lens.sensor.pitch_um * BINNING)
    lens = replace(lens, sensor=sensor, channels=(Channel("G", (0.5876,)),))
    reference = lens.refocused(args.focus_m[0])
    return [Camera(lens.refocused(one), reference, one, args.kernel_px) for one in args.focus_m]


def photograph(cameras: list[Camera], args: Args, depths_m: Tensor) -> Captures:
    """Pairs of every focus distance."""
    generator = torch.Generator().manual_seed(args.seed)
    shape = cameras[0].lens.sensor.image_shape_px
    side = round((args.crop_px + args.kernel_px + 80) / DISPLAY_PX)
    displays = [make_dead_leaves((side, side), generator=generator) for _ in range(min(args.pairs, 24))]
    return simulate_captures(
        displays,
        [SimulatedFocus(one.kernels_at_pixel, one.focus_m, one.magnification) for one in cameras],
        depths_m,
        image_shape_px=shape,
        kernel_px=args.kernel_px,
        display_pixel_px=DISPLAY_PX,
        generator=generator,
        crop_px=(args.crop_px, args.crop_px),
        placing="radius",
        noise=args.noise,
        node_px=args.node_px,
        check_share=0.05,
    )


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    torch.set_num_threads(args.threads)
    cameras = open_cameras(args)
    near, far = 1 / min(args.focus_m), 1 / max(args.focus_m)
    depths_m = 1 / torch.linspace(far, near, args.pairs, dtype=torch.float64)
    # Depths come in another order than places.
    depths_m = depths_m[torch.randperm(args.pairs, generator=torch.Generator().manual_seed(args.seed))]
    begun = time.perf_counter()
    captures = photograph(cameras, args, depths_m)
    lines = [
        f"{args.pairs} pairs of {args.crop_px} x {args.crop_px} px per focus distance, noise {args.noise:g}, "
        f"photographed in {time.perf_counter() - begun:.0f} s",
        "",
        "| focus, m | scale traced | scale estimated | shift at the corner, px | RMS error, px | worst, px | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    radius, dioptre = (
        one.reshape(-1)
        for one in torch.meshgrid(
            torch.linspace(0.05, 0.95, 10).double(),
            torch.linspace(far, near, 9).double()[1:-1],
            indexing="ij",
        )
    )
    shape = captures.image_shape_px
    squares = []
    for camera in cameras:
        start = time.perf_counter()
        model = estimate(captures.at_focus(camera.focus_m), args.method)
        spent = time.perf_counter() - start
        truth = find_shifts(
            camera.kernels(radius, torch.zeros_like(radius), 1 / dioptre), camera.magnification, radius, shape
        )
        scale = float(getattr(model, "magnification", 1.0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # depths at the very ends
            found = find_shifts(model.kernels_at(radius, 1 / dioptre), scale, radius, shape)
        off = found - truth
        squares.append((off**2).mean())
        corner = float(truth[radius == radius.max()].mean())
        shown = f"{camera.magnification:.5f} | {scale:.5f} | {corner:.2f}"
        rms, worst = float((off**2).mean().sqrt()), float(off.abs().max())
        lines.append(f"| {camera.focus_m:g} | {shown} | {rms:.3f} | {worst:.3f} | {spent:.0f} |")
        print(lines[-1], flush=True)
    lines.append(f"\nRMS over all: {float(torch.stack(squares).mean().sqrt()):.3f} px")
    print("\n".join(lines), flush=True)
    if args.save is not None:
        args.save.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
