"""How well do a camera's kernels alone tell depth? Flat windows all over the sensor, without any training.

    python benchmarks/dfd_likelihood.py --truth T/F_0.5.h5 ... T/F_1.415.h5
    python benchmarks/dfd_likelihood.py --truth T/F_0.5.h5 ... T/F_1.415.h5 --fields E/F_0.5m.h5 ... E/F_1.415m.h5
    python benchmarks/dfd_likelihood.py --truth T/F_0.5.h5 ... T/F_1.415.h5 --estimate E
    python benchmarks/dfd_likelihood.py --truth T/F_0.5.h5 ... T/F_1.415.h5 --estimate E --known 0.94
    python benchmarks/dfd_likelihood.py --truth T/F_0.5.h5 ... T/F_1.415.h5 --invariant

Windows of 48 px at random places, a plane in each, 20 depths from 0.5 to 1.415 m times 3 textures, noise of 0.005 of
white, photographed through --truth (fields of examples/focal_stack_fields.py). The estimator is told --fields: the same
ones, or others, or (--invariant) one kernel for the whole sensor. With --known it is told the truth at some focus
distances: what the errors of the others' fields cost. Beside the size of errors stands their mean with its sign, in
dioptres: fields that are too wide at far focus distances only put everything too far.

--estimate has fields made from photographs of a display alone, and keeps them in its folder: at each focus distance
--pairs crops are photographed through really traced kernels, and the direct method estimates the field. The display is
finer than the sensor and its edges are as soft as pixels can tell: with pixels as large as the sensor's, sharp pictures
at the first focus distance hit them one to one, while those at another image scale fall between, which is a blur of
0.4 px that no lens has, and depth is found 0.04 m off.
"""

import importlib
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scipy.ndimage
import torch
import tyro

import optics
import psf
from learn.dfd.depth_metrics import measure_depth
from learn.dfd.invariance import make_invariant
from learn.dfd.judged_scenes import SceneSpec, photograph_scene, plan_scenes
from learn.dfd.likelihood import LikelihoodEstimator, open_likelihood
from learn.dfd.stack_settings import StackSettings
from learn.dfd.stack_synthesis import StackSynthesis, open_stacks
from psf.estimators import DirectOptions
from psf.patterns import make_dead_leaves
from render.capture_simulation import simulate_captures

# Depths and image heights of fields that are estimated.
DEPTHS, RADII = 20, 20
# Side of their kernels, and of the display's pixels, in pixels of the sensor.
KERNEL_PX, DISPLAY_PX = 25, 1 / 3
# Radii of what it shows, and standard deviation of its edges, in pixels of the sensor: nothing is sharper than pixels
# can tell.
LEAVES_PX, SOFT_PX = (1.5, 60.0), 0.5


@dataclass(frozen=True)
class Args:
    """Depth of flat windows by likelihood."""

    truth: tuple[Path, ...]
    """Fields that take the pictures, the nearest focus first."""
    fields: tuple[Path, ...] = ()
    """Fields that the estimator is told; by default --truth."""
    estimate: Path | None = None
    """A folder for fields that are estimated from photographs of a display, which the estimator is told then."""
    lens: str = "stack_12mm_f2.8"
    """Of --estimate: the lens that --truth is of."""
    bin: int = 4
    """And how many of its pixels a side are one."""
    pairs: int = 90
    """Of --estimate: crops at each focus distance, a depth each."""
    crop_px: int = 64
    """Their side."""
    cells: int = 21
    """Along a side of the kernels that are looked for."""
    known: tuple[float, ...] = ()
    """Focus distances (m) whose true fields the estimator is told all the same."""
    invariant: bool = False
    """Tell it one kernel for the whole sensor instead."""
    window_px: int = 48
    """Side of the windows, and of the neighbourhood that must agree with a depth."""
    depths: int = 20
    """Even in metres."""
    textures: int = 3
    """At each depth."""
    every: int = 1
    """Every so manieth window only."""
    depth_m: tuple[float, float] = (0.5, 1.415)
    """Nearest and farthest depth."""


def main(args: Args) -> None:
    torch.set_num_threads(1)
    truth = [psf.load(path) for path in args.truth]
    paths = args.fields if args.estimate is None else estimate_fields(args, [float(one.focus_m) for one in truth])
    told = [psf.load(path) for path in paths] if paths else truth
    told = [true if true.focus_m in args.known else own for true, own in zip(truth, told, strict=True)]
    believed = [make_invariant(one) for one in told] if args.invariant else told
    side = args.window_px
    settings = StackSettings(
        shape_px=(side, side), textures=("leaves", "noise", "lines"), noise="even", depth_m=args.depth_m
    )
    synthesis = open_stacks(truth, settings)
    estimator = open_likelihood(believed, depth_m=args.depth_m, window_px=side)
    specs = plan_scenes(["one_plane"], args.depth_m, depths=args.depths, textures=args.textures)[:: args.every]
    begun_s = time.process_time()
    errors_m, biases_dpt, radii = measure(estimator, synthesis, specs)
    took_s = time.process_time() - begun_s
    print(f"{len(errors_m)} windows, {len(estimator.volume.depths_m)} candidates, {took_s:.0f} s of processor time")
    print(f"MAE {statistics.fmean(errors_m):.4f} m, median {statistics.median(errors_m):.4f} m")
    print(f"mean error of inverse depth {statistics.fmean(biases_dpt):+.4f} dpt, below 0 is too far")
    for name, low, high in (("inner", 0, 1 / 3), ("middle", 1 / 3, 2 / 3), ("outer", 2 / 3, math.inf)):
        own = [error for error, radius in zip(errors_m, radii, strict=True) if low <= radius < high]
        if own:
            print(f"{name} third of image height: MAE {statistics.fmean(own):.4f} m of {len(own)} windows")


def estimate_fields(args: Args, focuses_m: Sequence[float]) -> tuple[Path, ...]:
    """The fields from photographs, those that are not there yet."""
    folder = args.estimate
    assert folder is not None
    folder.mkdir(exist_ok=True, parents=True)
    paths = tuple(folder / f"F_{one:g}.h5" for one in focuses_m)
    for path, focus_m in zip(paths, focuses_m, strict=True):
        if path.is_file():
            continue
        begun_s = time.process_time()
        model = psf.estimate(
            photograph_display(args, focus_m, focuses_m[0]),
            "direct",
            options=DirectOptions(cells=args.cells, magnification="fit"),
            generator=torch.Generator().manual_seed(0),
        )
        near_m, far_m = args.depth_m
        depths_m = 1 / torch.linspace(1 / near_m, 1 / far_m, DEPTHS, dtype=torch.float64)
        model.to_field(depths_m, torch.linspace(0, 1, RADII, dtype=torch.float64), oversample=3).save(path)
        print(f"{path.name}: {time.process_time() - begun_s:.0f} s of processor time", flush=True)
    return paths


def draw_display(side: int, generator: torch.Generator) -> torch.Tensor:
    """Dead leaves with soft edges, in pixels of the display, shape (3, side, side)."""
    smallest_px, largest_px = (one / DISPLAY_PX for one in LEAVES_PX)
    sharp = make_dead_leaves(
        (side, side), generator=generator, smallest_px=smallest_px, largest_px=largest_px, is_coloured=True
    )
    soft = scipy.ndimage.gaussian_filter(sharp.numpy(), SOFT_PX / DISPLAY_PX, axes=(1, 2))
    return torch.from_numpy(soft)


def photograph_display(args: Args, focus_m: float, first_m: float) -> psf.Captures:
    """Pairs of sharp and blurred pictures at one focus distance, at the image scale of the first."""
    sys.path.append(str(Path(__file__).resolve().parent.parent / "examples"))
    example: Any = importlib.import_module("simulate_captures")
    lens = example.bin_pixels(optics.load(args.lens), args.bin)
    focus = example.make_focus(lens.refocused(focus_m), lens.refocused(first_m), focus_m, lens.channels, KERNEL_PX)
    generator = torch.Generator().manual_seed(round(1000 * focus_m))
    reach_px = 0.5 * math.hypot(*lens.sensor.image_shape_px) * abs(1 / focus.magnification - 1)
    side = round((2 * args.crop_px + KERNEL_PX + 2 * reach_px) / DISPLAY_PX) + 4
    displays = [draw_display(side, generator) for _ in range(12)]
    near_m, far_m = args.depth_m
    return simulate_captures(
        displays,
        [focus],
        1
        / torch.linspace(1 / near_m, 1 / far_m, args.pairs, dtype=torch.float64)[
            torch.randperm(args.pairs, generator=generator)
        ],
        image_shape_px=lens.sensor.image_shape_px,
        kernel_px=KERNEL_PX,
        generator=generator,
        crop_px=(args.crop_px, args.crop_px),
        placing="radius",
        display_pixel_px=DISPLAY_PX,
        check_share=0.0,
        pitch_um=lens.sensor.pitch_um,
    )


def measure(
    estimator: LikelihoodEstimator, synthesis: StackSynthesis, specs: Sequence[SceneSpec]
) -> tuple[list[float], list[float], list[float]]:
    """Mean absolute error of each window, its mean error of inverse depth, and the image height of its middle."""
    errors_m, biases_dpt, radii = [], [], []
    for spec in specs:
        scene = photograph_scene(synthesis, spec)
        found = estimator.estimate(scene.stack)
        errors_m.append(measure_depth(found.depth_m, scene.depth_m, scene.judged).mae_m)
        biases_dpt.append(float((1 / found.depth_m - 1 / scene.depth_m)[scene.judged].mean()))
        radii.append(float(scene.stack.radius.median()))
    return errors_m, biases_dpt, radii


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
