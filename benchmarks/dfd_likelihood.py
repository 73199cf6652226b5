"""How well do a camera's kernels alone tell depth? Flat windows all over the sensor, without any training.

    python benchmarks/dfd_likelihood.py --truth T/F_0.5.h5 ... T/F_1.415.h5
    python benchmarks/dfd_likelihood.py --truth T/F_0.5.h5 ... T/F_1.415.h5 --fields E/F_0.5m.h5 ... E/F_1.415m.h5
    python benchmarks/dfd_likelihood.py --truth T/F_0.5.h5 ... T/F_1.415.h5 --invariant

Windows of 48 px at random places, a plane in each, 20 depths from 0.5 to 1.415 m times 3 textures, noise of 0.005 of
white, photographed through --truth. The estimator is told --fields: the same ones, or those that were estimated from
photographs of targets, or (--invariant) one kernel for the whole sensor. Fields of a traced lens, photographs of
targets through it, and fields estimated from these:

    python examples/focal_stack_fields.py -o T
    python examples/simulate_captures.py --focus-m 0.5 0.59 0.72 0.94 1.415 --colour -o shots.npz
    python -m psf estimate shots.npz -o E/F.h5 --oversample 3
"""

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

import psf
from learn.dfd.depth_metrics import measure_depth
from learn.dfd.invariance import make_invariant
from learn.dfd.judged_scenes import SceneSpec, photograph_scene, plan_scenes
from learn.dfd.likelihood import LikelihoodEstimator, open_likelihood
from learn.dfd.stack_settings import StackSettings
from learn.dfd.stack_synthesis import StackSynthesis, open_stacks


@dataclass(frozen=True)
class Args:
    """Depth of flat windows by likelihood."""

    truth: tuple[Path, ...]
    """Fields that take the pictures, the nearest focus first."""
    fields: tuple[Path, ...] = ()
    """Fields that the estimator is told; by default --truth."""
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
    told = [psf.load(path) for path in args.fields] if args.fields else truth
    believed = [make_invariant(one) for one in told] if args.invariant else told
    side = args.window_px
    settings = StackSettings(
        shape_px=(side, side), textures=("leaves", "noise", "lines"), noise="even", depth_m=args.depth_m
    )
    synthesis = open_stacks(truth, settings)
    estimator = open_likelihood(believed, depth_m=args.depth_m, window_px=side)
    specs = plan_scenes(["one_plane"], args.depth_m, depths=args.depths, textures=args.textures)[:: args.every]
    begun_s = time.process_time()
    errors_m, radii = measure(estimator, synthesis, specs)
    took_s = time.process_time() - begun_s
    print(f"{len(errors_m)} windows, {len(estimator.volume.depths_m)} candidates, {took_s:.0f} s of processor time")
    print(f"MAE {statistics.fmean(errors_m):.4f} m, median {statistics.median(errors_m):.4f} m")
    for name, low, high in (("inner", 0, 1 / 3), ("middle", 1 / 3, 2 / 3), ("outer", 2 / 3, math.inf)):
        own = [error for error, radius in zip(errors_m, radii, strict=True) if low <= radius < high]
        if own:
            print(f"{name} third of image height: MAE {statistics.fmean(own):.4f} m of {len(own)} windows")


def measure(
    estimator: LikelihoodEstimator, synthesis: StackSynthesis, specs: Sequence[SceneSpec]
) -> tuple[list[float], list[float]]:
    """Mean absolute error of each window, and the image height of its middle."""
    errors_m, radii = [], []
    for spec in specs:
        scene = photograph_scene(synthesis, spec)
        found = estimator.estimate(scene.stack)
        errors_m.append(measure_depth(found.depth_m, scene.depth_m, scene.judged).mae_m)
        radii.append(float(scene.stack.radius.median()))
    return errors_m, radii


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
