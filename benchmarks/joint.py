"""What a step of a joint design costs, and how well its gradient agrees with differences of the whole chain.

    python benchmarks/joint.py                    # both, on pictures of noise blocks: no photographs needed
    python benchmarks/joint.py --only gradient --radius 1.0

The f/2.2 lens with the seven parameters of `examples/joint_design.py`, refocused to 0.4 m. Processor seconds of one
thread; memory is the largest that the process ever held. Differences have two sides, the same pictures and the same
noise on both, and a sensor of 16 bits: rounding to 10 bits is a staircase that a difference sees and a gradient is
meant not to.
"""

import math
import resource
import sys
import time
from dataclasses import dataclass, replace
from typing import Literal

import torch
import tyro

import optics
from learn.joint import (
    DesignGrid,
    Exposure,
    JointSettings,
    Patches,
    convert_patches,
    measure_slope,
    open_chain,
    run_chain,
)
from optics import FOCUS
from psf.threads import limit_threads
from render import RawSensor

# The design of `examples/joint_design.py`.
DEPTHS_M = (math.inf, 0.6, 0.3, 0.2, 0.15, 0.12, 0.1)
FREE = (*(f"surface{n}.asphere_{power}" for n in (2, 3) for power in (4, 6, 8)), FOCUS)
# Of a parameter, in steps of the variables: small against the curvature of the objective, large against rounding.
DIFFERENCE = 0.03


@dataclass(frozen=True)
class Args:
    only: Literal["both", "cost", "gradient"] = "both"
    radius: tuple[float, ...] = (0.0, 1.0)
    """Image heights of the gradient's check."""
    repeats: int = 2
    """Steps that are timed, after a first one that compiles."""


def main(args: Args) -> None:
    """Measure and print."""
    with limit_threads(1):
        if args.only != "gradient":
            cost(args.repeats)
        if args.only != "cost":
            for radius in args.radius:
                gradient(radius)


def make_blocks(count: int, side_px: int, seed: int = 0) -> Patches:
    """Blocks of all sizes and colours."""
    own = torch.Generator().manual_seed(seed)
    srgb = torch.zeros(count, 3, side_px, side_px)
    for size in (2, 5, 11, 23):
        cells = torch.rand((count, 3, -(-side_px // size), -(-side_px // size)), generator=own)
        srgb += cells.repeat_interleave(size, 2).repeat_interleave(size, 3)[..., :side_px, :side_px] / 4
    return convert_patches(srgb * 0.9 + 0.05, own)


def cost(repeats: int) -> None:
    """Seconds of a step with its parts, with and without checkpoints."""
    lens = optics.load("f2.2_fixedfocus").refocused(0.4)
    for checkpointed in (True, False):
        grid = DesignGrid(DEPTHS_M, (0.0, 0.55, 0.9), checkpointed=checkpointed)
        settings = JointSettings(free=FREE, grid=grid, pool=26, fit_patches=12, loss_patches=14)
        chain = open_chain(lens, settings)
        patches = make_blocks(settings.fit_patches + settings.loss_patches, settings.side_px + grid.kernel_px - 1)
        weights = torch.full((len(grid.depths_m),), 1 / len(grid.depths_m))
        vector = torch.cat([chain.variables.read(), weights.double().log()])
        seconds = []
        for _ in range(1 + repeats):
            begun = time.process_time()
            with torch.no_grad():
                run_chain(chain, vector, patches, weights, torch.Generator())
            forward = time.process_time() - begun
            measure_slope(chain, vector, patches, weights, torch.Generator())
            seconds.append((forward, time.process_time() - begun - forward))
        forward, whole = (min(column) for column in zip(*seconds[1:], strict=True))
        held_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
        name = "checkpointed" if checkpointed else "all at once"
        print(
            f"{name:>13}: objective {forward:.2f} s, with its gradient {whole:.2f} s, at most {held_mb:.0f} MB so far"
        )


def gradient(radius: float) -> None:
    """A table of derivatives at one image height."""
    grid = DesignGrid((math.inf, 0.4, 0.2), (radius,), 65, checkpointed=False)
    settings = JointSettings(free=FREE, grid=grid, mode="joint", pool=6, fit_patches=3, loss_patches=3)
    chain = open_chain(optics.load("f2.2_fixedfocus").refocused(0.4), settings)
    chain = replace(chain, exposure=Exposure(RawSensor(bits=16, black_dn=0), 7e-5, 1e-7))
    patches, weights = make_blocks(6, settings.side_px + grid.kernel_px - 1), torch.tensor([0.4, 0.2, 0.4])
    vector = chain.variables.read()
    generator = torch.Generator().manual_seed(3)
    _, slope = measure_slope(chain, vector, patches, weights, generator)

    def value(at: torch.Tensor) -> float:
        with torch.no_grad():
            found = run_chain(chain, at, patches, weights, torch.Generator().manual_seed(3))
        return float(found.objective_db)

    print(f"image height {radius:g}: dB per step, by gradient and by differences")
    for number, name in enumerate(chain.variables.names):
        step = torch.zeros_like(vector)
        step[number] = DIFFERENCE
        expected = (value(vector + step) - value(vector - step)) / (2 * DIFFERENCE)
        print(f"  {name:22} {float(slope[number]):+9.5f} {expected:+9.5f}  {float(slope[number]) / expected - 1:+.2%}")


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
