"""What does turning a kernel cost? Rules of reading between samples against kernels traced at their azimuths.

    python benchmarks/turning.py                      # four lenses, near focus and far from it
    python benchmarks/turning.py --lens rf50 --places 400

A kernel is traced at azimuth 0 and turned; the truth is the same place traced at its own azimuth. Nothing else differs:
no field, no interpolation between stored places. Negative lobes are cut off and sums restored, as fields do. MAE is the
mean absolute difference of 25 x 25 unit-sum taps. "oversample 3" stores three values per pixel and axis, reads them at
the fine points of the turned pixels and adds those up. The last column is the time for one kernel on one thread, of
rules that `psf` has.
"""

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import tyro
from psf_direct import KERNEL_PX, SCENES, Scene
from torch import Tensor

from optics.geometric import kernels_at
from psf.metrics import find_rms_radius_px
from psf.models import to_unit_sum
from psf.sampling import TURNINGS, prepare, sample, tap_weights
from psf.turning import turning_affine

Weights = dict[int, Tensor]
# RMS radii in px that divide the columns.
EDGES_PX = (0.8, 1.5, 3.0)


def keys_weights(t: Tensor, a: float) -> Weights:
    """Keys's cubic with any a; -1/2 is the one that keeps parabolas."""

    def outer(x: Tensor) -> Tensor:
        return a * (((x - 5) * x + 8) * x - 4)

    def inner(x: Tensor) -> Tensor:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    return {-1: outer(1 + t), 0: inner(t), 1: inner(1 - t), 2: outer(2 - t)}


def lanczos_weights(t: Tensor, reach: int) -> Weights:
    """Windowed sinc, divided by its sum."""
    found = {k: torch.sinc(t - k) * torch.sinc((t - k) / reach) for k in range(1 - reach, reach + 1)}
    total = torch.stack(list(found.values())).sum(0)
    return {k: one / total for k, one in found.items()}


def near_weights(t: Tensor) -> Weights:
    """The stored square's own even light."""
    return {0: (t < 0.5).to(t), 1: (t >= 0.5).to(t)}


def read_turned(
    fine: Tensor, azimuth_rad: Tensor, oversample: int, points: int, weights: Callable[..., Weights]
) -> Tensor:
    """Kernels (N, K, K) from stored ones (N, O K, O K), read at O x points places per pixel and axis."""
    size = fine.shape[-1]
    count = size * points
    place = (torch.arange(count, dtype=fine.dtype) + 0.5) / points - 0.5 * size
    cosine, sine = azimuth_rad.cos()[:, None, None], azimuth_rad.sin()[:, None, None]
    right, down = place[None, None, :], place[None, :, None]
    col, row = cosine * right - sine * down + (size - 1) / 2, sine * right + cosine * down + (size - 1) / 2
    first_row, first_col = row.floor(), col.floor()
    total = torch.zeros_like(row)
    item = torch.arange(len(fine))[:, None, None]
    for i, u in weights(row - first_row).items():
        for k, v in weights(col - first_col).items():
            rows, cols = first_row.long() + i, first_col.long() + k
            inside = (rows >= 0) & (rows < size) & (cols >= 0) & (cols < size)
            total += u * v * torch.where(inside, fine[item, rows.clamp(0, size - 1), cols.clamp(0, size - 1)], 0.0)
    width = oversample * points
    return total.unflatten(2, (-1, width)).unflatten(1, (-1, width)).sum((2, 4)) / points**2


def read_psf(fine: Tensor, azimuth_rad: Tensor, oversample: int, turning: str) -> Tensor:
    """The same as fields read them."""
    affine = turning_affine(azimuth_rad.cos(), azimuth_rad.sin())[:, None]
    index = torch.arange(len(fine))[:, None]
    return sample(
        prepare(fine, turning), index, torch.ones_like(affine[..., 0]), affine, KERNEL_PX, oversample, turning
    )


def trace(scene: Scene, count: int, seed: int) -> tuple[Tensor, dict[int, Tensor], Tensor]:
    """Azimuths (N,), kernels at azimuth 0 by oversample, kernels at the azimuths."""
    lens, numbers = scene.camera(), np.random.default_rng(seed)
    radii = np.sqrt(numbers.random(count))
    azimuth = numbers.uniform(-math.pi, math.pi, count)
    # Half of the depths lie near the focus.
    dioptre = numbers.uniform(scene.farthest_dpt, scene.nearest_dpt, count)
    span, focus = scene.nearest_dpt - scene.farthest_dpt, 1 / scene.focus_m
    near = (focus + 0.1 * span * (2 * numbers.random(count) - 1)).clip(scene.farthest_dpt, scene.nearest_dpt)
    dioptre[::2] = near[::2]
    places = (radii.tolist(), (1 / dioptre).tolist())

    def kernels(angles: np.ndarray, oversample: int) -> Tensor:
        found = kernels_at(
            lens,
            places[0],
            angles.tolist(),
            places[1],
            lens.channels,
            kernel_px=KERNEL_PX,
            oversample=oversample,
            check_loss=False,
        ).kernels[:, 0]
        return found / found.sum((-2, -1), keepdim=True)

    return torch.from_numpy(azimuth), {o: kernels(0 * azimuth, o) for o in (1, 2, 3)}, kernels(azimuth, 1)


@dataclass(frozen=True)
class Args:
    """What to measure."""

    lens: Literal["all", "stack", "phone", "rf50", "singlet"] = "all"
    """Which camera."""
    places: int = 200
    """Kernels per lens."""
    seed: int = 3


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    torch.set_num_threads(1)
    names = (
        ["all", f"under {EDGES_PX[0]:g} px RMS"]
        + [f"to {edge:g}" for edge in EDGES_PX[1:]]
        + [f"{EDGES_PX[-1]:g} and more"]
    )
    others: dict[tuple[str, int], Callable[[Tensor, Tensor], Tensor]] = {
        ("even squares, by area", 1): lambda k, a: read_turned(k, a, 1, 6, near_weights),
        ("cubic, a = -0.75", 1): lambda k, a: read_turned(k, a, 1, 1, lambda t: keys_weights(t, -0.75)),
        ("Lanczos 3", 1): lambda k, a: read_turned(k, a, 1, 1, lambda t: lanczos_weights(t, 3)),
        ("cubic, 3 x 3 points", 1): lambda k, a: read_turned(k, a, 1, 3, lambda t: tap_weights("cubic", t)),
    }
    print("| lens | oversample | rule | MAE, 1e-4: " + " | ".join(names) + " | us |")
    print("|---" * (len(names) + 4) + "|")
    for name in SCENES if args.lens == "all" else (args.lens,):
        azimuth, stored, truth = trace(SCENES[name], args.places, args.seed)
        size = find_rms_radius_px(truth)
        limits = [0.0, *EDGES_PX, math.inf]
        groups = [torch.ones(len(size), dtype=torch.bool)]
        groups += [(size >= a) & (size < b) for a, b in itertools.pairwise(limits)]
        rows: list[tuple[str, int, Tensor, str]] = []
        for oversample, fine in stored.items():
            for turning in TURNINGS:
                read_psf(fine[:1], azimuth[:1], oversample, turning)
                begun = time.process_time()
                found = read_psf(fine.float(), azimuth.float(), oversample, turning).double()
                spent = f"{1e6 * (time.process_time() - begun) / len(fine):.0f}"
                rows.append((turning, oversample, found, spent))
        rows += [(rule, o, read(stored[o], azimuth), "") for (rule, o), read in others.items()]
        for rule, oversample, found, spent in sorted(rows, key=lambda row: row[1]):
            error = 1e4 * (to_unit_sum(found, "cubic") - truth).abs().mean((-2, -1))
            shown = " | ".join(f"{float(error[group].mean()):.2f}" if group.any() else "-" for group in groups)
            print(f"| {name} | {oversample} | {rule} | {shown} | {spent} |", flush=True)


if __name__ == "__main__":
    main()
