"""How the benchmarks of the renderers measure: times in turn, errors against float64 sums, peaks, tables."""

import ctypes
import gc
import json
import math
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from psf import PolarPSFField
from render.blending import find_blend
from render.reference import gather_at, pad_picture

ROOT = Path(__file__).resolve().parents[1]
# Thread pools of torch and of the peer spin on for a moment after their work; nobody is timed meanwhile.
PAUSE_S = 0.2


class Seconds(float):
    """What a call took by its own clock, in another process."""


@dataclass(frozen=True)
class Cost:
    """Medians, in ms: on the wall, and of the cores' time (NaN for another process); and the best on the wall."""

    wall_ms: float
    cpu_ms: float
    best_ms: float

    @property
    def shown(self) -> str:
        """On the wall, and the best."""
        return f"{self.wall_ms:.1f} ({self.best_ms:.1f})"


def time_in_turn(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, Cost]:
    """Medians of calls that take turns; the first round (compilation, caches) does not count."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start, cpu = time.perf_counter(), time.process_time()
            result = call()
            taken = time.perf_counter() - start, time.process_time() - cpu
            if isinstance(result, Seconds):
                taken = float(result), math.nan
                time.sleep(PAUSE_S)
            if turn:
                found[name].append((1000 * taken[0], 1000 * taken[1]))
    costs = {}
    for name, values in found.items():
        wall, cpu = zip(*values, strict=True)
        costs[name] = Cost(statistics.median(wall), statistics.median(cpu), min(wall))
    return costs


@dataclass(frozen=True)
class Error:
    """Of a picture whose values reach 1."""

    psnr_db: float
    largest: float


def compare(found: Tensor, truth: Tensor) -> Error:
    """Tensors of any one shape."""
    difference = found.double() - truth
    mean_square = float(difference.square().mean())
    return Error(-10 * math.log10(mean_square) if mean_square else math.inf, float(difference.abs().max()))


def random_places(height_px: int, width_px: int, count: int) -> tuple[Tensor, Tensor]:
    """Columns and rows, shape (N,) each, with the picture's corners among them."""
    generator = torch.Generator().manual_seed(2)
    x, y = (torch.randint(0, n, (count,), generator=generator) for n in (width_px, height_px))
    x[:4], y[:4] = torch.tensor([0, width_px - 1] * 2), torch.tensor([0, 0, height_px - 1, height_px - 1])
    return x, y


def blend_truth(scene: Sequence[Tensor], x_px: Tensor, y_px: Tensor) -> Tensor:
    """Depth-blend at some pixels, tap by tap in float64: scene (image, depth_m, kernels, depths_m), shape (N, C)."""
    image, depth_m, kernels, depths_m = (one.double() for one in scene)
    size = kernels.shape[-1]
    blend = find_blend(depth_m, depths_m)
    patches = pad_picture(image, size // 2, "reflect")[0].unfold(1, size, 1).unfold(2, size, 1)
    taps = kernels.flip(-2, -1)
    lower, share = (one[0, 0, y_px, x_px] for one in (blend.lower, blend.share))
    found = []
    for place, part, light in zip(
        lower.long().tolist(), share.tolist(), patches[:, y_px, x_px].transpose(0, 1), strict=True
    ):
        mixed = taps[place] * (1 - part) + (taps[place + 1] * part if part else 0.0)
        found.append((mixed * light).sum((-2, -1)))
    return torch.stack(found)


def pixelwise_truth(
    image: Tensor, depth_m: Tensor, field: PolarPSFField, window: tuple[int, int], x_px: Tensor, y_px: Tensor
) -> Tensor:
    """What `pixelwise` is defined as, in float64, at some pixels, shape (N, C)."""
    picture, depth, double = image.double(), depth_m.double(), field.to(dtype=torch.float64)
    definition = {"interpolation": "linear", "turning": "bilinear"}
    return gather_at(picture, depth, double, x_px, y_px, window=window, **definition)


def at_places(picture: Tensor, x_px: Tensor, y_px: Tensor) -> Tensor:
    """Of the first picture, shape (N, C)."""
    return picture[0][:, y_px, x_px].mT


# Memory.


def _status_mib(key: str) -> float:
    """An entry of /proc/self/status."""
    return float(re.search(rf"{key}:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 2**10  # type: ignore[index]


def peak_mib(call: Callable[[], Any]) -> tuple[float, float]:
    """Resident memory that a call adds at its peak, and the peak of this process within it. Linux only."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is free but kept would be used again unseen
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status_mib("VmRSS")
    kept = call()  # the result counts too
    peak = _status_mib("VmHWM")
    del kept
    return peak - before, peak


def run_fresh(arguments: Sequence[str]) -> dict[str, Any]:
    """The JSON that benchmarks/render_memory.py prints in a process of its own."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(Path(__file__).with_name("render_memory.py")), *arguments]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return {"failed": reason}
    return dict(json.loads(done.stdout.splitlines()[-1]))


# Tables.


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Markdown, row by row as they come."""
    print(f"\n{title}\n\n| {' | '.join(header)} |\n|{' --- |' * len(header)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def shown(value: float, digits: int = 2) -> str:
    """A number, or nothing where there is none."""
    return "" if math.isnan(value) else f"{value:.{digits}f}"
