"""How near does the direct estimator come to the kernels that were really traced?

    python benchmarks/psf_direct.py                              # four lenses, 180 pairs of 128 x 128 px, noise 0.005
    python benchmarks/psf_direct.py --lens stack --sweep noise   # error against noise; also: pairs, pixels, parts

Nothing that judges is known to the estimator. A pair is a dead-leaves picture and what a camera makes of it: kernels
are traced at the pair's own depth and a dozen image heights across the patch, three times finer than pixels, turned to
the azimuth of every pixel and summed up. Both pictures are noisy. The truth is `optics.psf_at` at places and depths
drawn anew. MAE is the mean absolute difference of 25 x 25 taps of unit-sum kernels.
"""

import math
import resource
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numba
import numpy as np
import torch
import tyro
from torch import Tensor

import optics
from optics.geometric import kernels_at
from psf import Channel, PolarPSFField
from psf.captures import Captures
from psf.estimation import estimate
from psf.estimators import DirectOptions
from psf.runs import whole_file

KERNEL_PX = 25


@dataclass(frozen=True)
class Scene:
    """A lens, how its sensor is binned, its focus, and the dioptres of the pairs; 25 px hold 99 % but for corners."""

    lens: str
    binning: int
    focus_m: float
    farthest_dpt: float
    nearest_dpt: float

    def camera(self) -> optics.Lens:
        lens = optics.load(self.lens)
        height, width = lens.sensor.image_shape_px
        shape = (height // self.binning, width // self.binning)
        sensor = optics.Sensor(image_shape_px=shape, pitch_um=lens.sensor.pitch_um * self.binning)
        lens = replace(lens, sensor=sensor).refocused(self.focus_m, method="spot")
        return replace(lens, channels=(Channel("G", (0.5876,)),))


SCENES = {
    "stack": Scene("stack_12mm_f2.8", 4, 0.72, 1e-9, 3.9),
    "phone": Scene("f2.2_fixedfocus", 1, 0.2, 2.2, 8.0),
    "rf50": Scene("camera_rf50mm_f1p8", 4, 2.0, 0.33, 0.67),
    "singlet": Scene("singlet_biconvex_nbk7", 4, 1.5, 0.50, 0.85),
}


def _paint(out: np.ndarray, x: np.ndarray, y: np.ndarray, r: np.ndarray, value: np.ndarray) -> None:
    side = out.shape[0]
    for i in range(x.size):
        for row in range(max(0, int(y[i] - r[i])), min(side - 1, int(y[i] + r[i]) + 1) + 1):
            for col in range(max(0, int(x[i] - r[i])), min(side - 1, int(x[i] + r[i]) + 1) + 1):
                if (row - y[i]) ** 2 + (col - x[i]) ** 2 <= r[i] ** 2:
                    out[row, col] = value[i]


paint = numba.njit(cache=True)(_paint)


def draw_leaves(side_px: int, numbers: np.random.Generator, least_px: float = 1.5, most_px: float = 60) -> np.ndarray:
    """Discs over discs, radii of density r^-3, even greys, each pixel the mean of 3 x 3 points."""
    count = int(6 * side_px**2 / (np.pi * math.log(most_px / least_px) / (least_px**-2 - most_px**-2))) + 500
    radius = (least_px**-2 - numbers.random(count) * (least_px**-2 - most_px**-2)) ** -0.5
    x, y = numbers.uniform(-most_px, side_px + most_px, (2, count))
    out = np.full((3 * side_px, 3 * side_px), 0.5)
    paint(out, 3 * x, 3 * y, 3 * radius, numbers.uniform(0.05, 0.95, count))
    return out.reshape(side_px, 3, side_px, 3).mean((1, 3))


def photograph(scene: Scene, pairs: int, patch_px: int, seed: int) -> dict[str, Any]:
    """Pairs without noise, and where they lie."""
    lens, numbers = scene.camera(), np.random.default_rng(seed)
    height, width = lens.sensor.image_shape_px
    found: dict[str, list[Any]] = {name: [] for name in ("sharp", "blurred", "x0_px", "y0_px", "depth_m")}
    for _ in range(pairs):
        x0, y0 = int(numbers.integers(0, width - patch_px + 1)), int(numbers.integers(0, height - patch_px + 1))
        depth_m = 1 / numbers.uniform(scene.farthest_dpt, scene.nearest_dpt)
        sharp = torch.from_numpy(draw_leaves(patch_px + KERNEL_PX - 1, numbers))
        x, y = torch.arange(patch_px) + x0, torch.arange(patch_px) + y0
        radius = torch.hypot(x - (width - 1) / 2, y[:, None] - (height - 1) / 2) / (0.5 * math.hypot(height, width))
        ends = max(float(radius.min()) - 1e-6, 0), min(float(radius.max()) + 1e-6, 1)
        radii = torch.linspace(*ends, max(4, int((ends[1] - ends[0]) / 0.02) + 2), dtype=torch.float64)
        count = len(radii)
        fine = kernels_at(
            lens, radii.tolist(), [0.0] * count, [depth_m] * count, lens.channels, kernel_px=KERNEL_PX, oversample=3
        )
        own = PolarPSFField(
            kernels=fine.kernels[None].float(),
            transmission=torch.ones(1, count, 1),
            lost=fine.lost[None].float().clamp(0, 0.99),
            depths_m=torch.tensor([depth_m]).float(),
            radii=radii.float(),
            image_shape_px=(height, width),
            pitch_um=lens.sensor.pitch_um,
            channels=lens.channels,
            focus_m=scene.focus_m,
            oversample=3,
        )
        windows = sharp.unfold(0, KERNEL_PX, 1).unfold(1, KERNEL_PX, 1).flip(-1, -2)
        rows = []
        for part in torch.arange(patch_px).split(16):
            kernels = own.at_pixel(x.float(), y[part, None].float(), depth_m, "linear", "cubic")[..., 0, :, :]
            rows.append((kernels.double() * windows[part]).sum((-2, -1)))
        for name, value in (("sharp", sharp), ("blurred", torch.cat(rows)), ("x0_px", x0), ("y0_px", y0)):
            found[name].append(value.numpy() if isinstance(value, Tensor) else value)
        found["depth_m"].append(depth_m)
    return {**{name: np.array(one) for name, one in found.items()}, "image_shape_px": np.array((height, width))}


def with_noise(shots: dict[str, Any], noise: float, seed: int, pairs: int, patch_px: int) -> Captures:
    numbers = np.random.default_rng(seed)
    more = KERNEL_PX - 1
    sharp, blurred = (shots[name] + noise * numbers.standard_normal(shots[name].shape) for name in ("sharp", "blurred"))
    return Captures.from_arrays(
        sharp[:pairs, : patch_px + more, : patch_px + more].astype(np.float32),
        blurred[:pairs, :patch_px, :patch_px].astype(np.float32),
        *(shots[name][:pairs] for name in ("x0_px", "y0_px", "depth_m")),
        tuple(int(one) for one in shots["image_shape_px"]),
        KERNEL_PX,
        1.0,
    )


def trace_truth(scene: Scene, kind: str, count: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Places and their kernels: "axis" at azimuth 0, even in image height; "pixel" anywhere on the sensor."""
    lens, numbers = scene.camera(), np.random.default_rng(seed)
    height, width = lens.sensor.image_shape_px
    x, y = numbers.uniform(0, width - 1, count), numbers.uniform(0, height - 1, count)
    if kind == "axis":
        x, y = (
            (width - 1) / 2 + numbers.random(count) * 0.5 * math.hypot(height, width),
            np.full(count, (height - 1) / 2),
        )
    depth_m = 1 / numbers.uniform(scene.farthest_dpt, scene.nearest_dpt, count)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # windows that lose light at the corners
        kernels = [optics.psf_at(lens, *one, kernel_px=KERNEL_PX)[0] for one in zip(x, y, depth_m, strict=True)]
    return torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(depth_m), torch.stack(kernels)


@dataclass(frozen=True)
class Args:
    """What to measure."""

    lens: Literal["all", "stack", "phone", "rf50", "singlet"] = "all"
    """Which camera."""
    sweep: Literal["none", "noise", "pairs", "pixels", "parts"] = "none"
    """What to vary."""
    pairs: int = 180
    patch_px: int = 128
    noise: float = 0.005
    seed: int = 1
    places: int = 200
    """Kernels of the truth, at azimuth 0 and at pixels each."""
    keep: Path | None = None
    """A folder for the rendered pairs, which take a few minutes per lens."""
    threads: int = 2


def settings(args: Args) -> Iterator[tuple[str, int, int, float, DirectOptions]]:
    """Name, pairs, patch, noise, options."""
    usual = DirectOptions()
    yield "default", args.pairs, args.patch_px, args.noise, usual
    if args.sweep == "noise":
        for factor in (0.5, 2.0):
            yield f"noise {args.noise * factor:g}", args.pairs, args.patch_px, args.noise * factor, usual
    if args.sweep == "pairs":
        for part in (2, 4):
            yield f"{args.pairs // part} pairs", args.pairs // part, args.patch_px, args.noise, usual
    if args.sweep == "pixels":
        for pixels in (1_000_000, 200_000):
            yield f"{pixels} pixels", args.pairs, args.patch_px, args.noise, replace(usual, most_pixels=pixels)
    if args.sweep == "parts":
        for name, options in (
            ("8 nodes of image height", replace(usual, radius_nodes=8)),
            ("15 cells", replace(usual, cells=15)),
            ("neighbours 3 times freer", replace(usual, strengths=replace(usual.strengths, depth=1.5, radius=2.1))),
            ("prior 10 times stronger", replace(usual, strengths=usual.strengths.times(0.1))),
        ):
            yield name, args.pairs, args.patch_px, args.noise, options


def shots_of(name: str, args: Args) -> dict[str, Any]:
    file = None if args.keep is None else args.keep / f"{name}_{args.pairs}_{args.patch_px}_{args.seed}.npz"
    if file is not None and file.is_file():
        with np.load(file) as kept:
            return dict(kept)
    shots = photograph(SCENES[name], args.pairs, args.patch_px, args.seed)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as part, part.open("wb") as kept:
            np.savez(kept, **shots)
    return shots


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    torch.set_num_threads(args.threads)
    print("| lens | setting | MAE at azimuth 0, 1e-4 | at pixels | nodes | noise found | seconds | CPU s | peak GB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in SCENES if args.lens == "all" else (args.lens,):
        shots = shots_of(name, args)
        truths = [trace_truth(SCENES[name], kind, args.places, 99 + n) for n, kind in enumerate(("axis", "pixel"))]
        for setting, pairs, patch_px, noise, options in settings(args):
            captures = with_noise(shots, noise, args.seed, pairs, patch_px)
            begun, used = time.perf_counter(), time.process_time()
            model = estimate(captures, "direct", options=options)
            spent = time.perf_counter() - begun, time.process_time() - used
            errors = []
            for x, y, depth_m, kernels in truths:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # depths between the last pair's and the range's end
                    found = model.kernels_at_pixel(x, y, depth_m)[:, 0]
                errors.append(1e4 * float((found - kernels).abs().mean()))
            nodes = model.nodes[0]  # type: ignore[attr-defined]
            size = f"{len(nodes.dioptres)} x {len(nodes.radii)}"
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            shown = f"{errors[0]:.2f} | {errors[1]:.2f} | {size} | {nodes.noise:.4f}"
            print(f"| {name} | {setting} | {shown} | {spent[0]:.0f} | {spent[1]:.0f} | {memory:.1f} |", flush=True)


if __name__ == "__main__":
    main()
