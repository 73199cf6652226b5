"""How true and how fast is a whole grid of kernels? Against independent tables, and beside deeplens-core in one run.

    python benchmarks/psf_grid.py                           # accuracy, wall times, memory, and the peer if installed
    python benchmarks/psf_grid.py --verbose                 # accuracy of every case of the tables
    python benchmarks/psf_grid.py --no-accuracy --repeats 9

Accuracy needs the folder `shared` beside the repository (brute-force kernels of 2 million rays each); the peer needs an
environment of its own (see benchmarks/tracing.py). Each part that is missing says so in a line.

L1 is half the summed |difference| of unit-sum kernels, cropped alike. The grid that is judged is the default one with
the depths and radii of the tables put in between, so that its nodes and windows are those of everyday use. "plain" is
what `psf_at` does: every kernel traced by itself. "turned" is the grid's kernel turned to the azimuth by
`psf.turn`, which costs sharp kernels some per cent on any pixel grid.

Ours and the peer's runs take turns, so that a busy machine slows them alike; figures are medians of wall seconds.
"""

import contextlib
import io
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
import tyro
from torch import Tensor
from tracing import peer_lens

import optics
from optics.geometric import kernels_at
from psf import PolarPSFField
from psf.metrics import find_centroid_px, measure_l1
from psf.turning import turn

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT.parent / "shared" / "reference" / "psf"
LENS = "f2.2_fixedfocus"
KERNEL_PX = 65
PEER_FAR_MM = 20000.0  # it has no infinity


# Accuracy.


@dataclass(frozen=True)
class Case:
    """One place of a table: (3, K, K) kernels of unit sum, and the light there against the axis."""

    number: int
    lens: optics.Lens
    radius: float
    azimuth_rad: float
    depth_m: float
    illumination: Tensor
    truth: Tensor


@dataclass(frozen=True)
class Score:
    """Differences of one way of making kernels from one case, a number per channel."""

    lens: str
    number: int
    way: str
    l1: Tensor
    centroid_px: Tensor
    illumination: Tensor


def read_cases(path: Path) -> list[Case]:
    with np.load(path) as file:
        meta = json.loads(str(file["meta"]))
        kernels = {c["case"]: torch.from_numpy(file[f"kernel_{c['case']:02d}"]).double() for c in meta["cases"]}
    own = replace(optics.load(meta["lens"]), channels=optics.LINE_CHANNELS)
    found = []
    for case in meta["cases"]:
        last, shift = own.surfaces[-1], case["image_plane_shift_mm"]
        lens = own
        if shift:
            moved = replace(last, thickness_mm=last.thickness_mm + shift)
            lens = replace(own, surfaces=(*own.surfaces[:-1], moved), nearest_m=min(own.nearest_m, 1.5))
        truth = kernels[case["case"]]
        found.append(
            Case(
                number=case["case"],
                lens=lens,
                radius=case["radius_fraction"],
                azimuth_rad=math.radians(case["azimuth_deg"]),
                depth_m=math.inf if case["depth_mm"] is None else 1e-3 * case["depth_mm"],
                illumination=torch.tensor(case["relative_illumination"], dtype=torch.float64),
                truth=truth / truth.sum((-1, -2), keepdim=True),
            )
        )
    return found


def cropped(kernels: Tensor, size: int) -> Tensor:
    """The middle of kernels (..., K, K), of unit sum again."""
    edge = (kernels.shape[-1] - size) // 2
    inner = kernels[..., edge : edge + size, edge : edge + size]
    return inner / inner.sum((-1, -2), keepdim=True)


def compare(case: Case, way: str, kernels: Tensor, illumination: Tensor) -> Score:
    size = min(kernels.shape[-1], case.truth.shape[-1])
    ours, true = cropped(kernels.double(), size), cropped(case.truth, size)
    apart = (find_centroid_px(ours) - find_centroid_px(true)).norm(dim=-1)
    light = illumination.double() / case.illumination - 1
    return Score(case.lens.name, case.number, way, measure_l1(ours, true), apart, light)


def merged(values: Tensor, more: list[float]) -> Tensor:
    return torch.tensor(sorted({*values.tolist(), *more}), dtype=torch.float64)


def default_grid_with(lens: optics.Lens, cases: list[Case]) -> PolarPSFField:
    """The default grid of a lens with the places of some cases added."""
    nearest = min([lens.nearest_m, *(c.depth_m for c in cases)])
    depths = merged(optics.default_depths_m(nearest), [c.depth_m for c in cases])
    radii = merged(torch.linspace(0, 1, 20, dtype=torch.float64), [c.radius for c in cases])
    field = optics.psf_grid(lens, depths, radii, dtype=torch.float64)
    wanted = max(c.truth.shape[-1] for c in cases)
    return field if field.kernel_px >= wanted else optics.psf_grid(lens, depths, radii, kernel_px=wanted)


def score(cases: list[Case]) -> Iterator[Score]:
    groups: dict[float, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.lens.track_mm, []).append(case)
    for group in groups.values():
        lens = group[0].lens
        with warnings.catch_warnings(action="ignore"):  # tables may be wider or narrower than what keeps 99 %
            field = default_grid_with(lens, group)
            for case in group:
                # float32 keeps seven digits of a depth: the nearest stored one is meant.
                distance = (1 / field.depths_m.double() - 1 / case.depth_m).abs()
                d, r = int(distance.argmin()), int((field.radii.double() - case.radius).abs().argmin())
                light = field.transmission[d, r]
                if case.azimuth_rad == 0:
                    yield compare(case, "grid", field.kernels[d, r], light)
                else:
                    yield compare(case, "turned", turn(field.kernels[d, r].double(), case.azimuth_rad), light)
                size = max(case.truth.shape[-1], field.kernel_px)
                plain = kernels_at(
                    lens, [case.radius], [case.azimuth_rad], [case.depth_m], lens.channels, kernel_px=size
                )
                share = optics.relative_illumination(lens, [case.radius], [case.depth_m])[0, 0]
                way = "plain" if case.azimuth_rad == 0 else "plain, rotated"
                yield compare(case, way, plain.kernels[0], share)


def print_scores(scores: list[Score], verbose: bool) -> None:
    print("\n| lens | way | kernels | L1 mean | L1 worst | centroid worst px | illumination worst % |")
    print("|---|---|---|---|---|---|---|")
    for lens in dict.fromkeys([*(s.lens for s in scores), "all"]):
        for way in ("grid", "plain", "plain, rotated", "turned"):
            chosen = [s for s in scores if s.way == way and lens in (s.lens, "all")]
            if not chosen:
                continue
            l1 = torch.cat([s.l1 for s in chosen])
            centroid = max(float(s.centroid_px.max()) for s in chosen)
            light = max(float(s.illumination.abs().max()) for s in chosen)
            row = f"| {lens} | {way} | {len(l1)} | {float(l1.mean()):.4f} | {float(l1.max()):.4f}"
            print(f"{row} | {centroid:.4f} | {100 * light:.3f} |")
    if verbose:
        print("\n| lens | case | way | L1 R, G, B | centroid R, G, B px | illumination R, G, B % |")
        print("|---|---|---|---|---|---|")
        for s in scores:
            columns = (s.l1, s.centroid_px, 100 * s.illumination)
            shown = (", ".join(f"{v:.4f}" for v in column.tolist()) for column in columns)
            print(f"| {s.lens} | {s.number} | {s.way} | " + " | ".join(shown) + " |")


# Time.


def our_cases(name: str) -> dict[str, Callable[[], PolarPSFField]]:
    lens = optics.load(name)
    lines = replace(lens, channels=optics.LINE_CHANNELS)
    return {
        f"ours, lines, {KERNEL_PX} px": lambda: optics.psf_grid(lines, kernel_px=KERNEL_PX),
        f"ours, default channels, {KERNEL_PX} px": lambda: optics.psf_grid(lens, kernel_px=KERNEL_PX),
        "ours, lines, automatic window": lambda: optics.psf_grid(lines),
        "ours, default channels, automatic window": lambda: optics.psf_grid(lens),
    }


class Peer:
    """The geometric kernels of deeplens-core, one call per depth and wavelength for all radii."""

    def __init__(self, name: str, kernel_px: int) -> None:
        self.lens, self.kernel_px = optics.load(name), kernel_px
        with quiet():
            # A bundled name that it shares with its source: only the numbers count.
            self.peer = peer_lens(name, torch.float32)
        height_px, width_px = self.lens.sensor.image_shape_px
        pitch_mm = 1e-3 * self.lens.sensor.pitch_um
        self.width_mm, self.height_mm = width_px * pitch_mm, height_px * pitch_mm
        self.peer.sensor_size, self.peer.sensor_res = (self.width_mm, self.height_mm), (width_px, height_px)
        self.peer.pixel_size, self.peer.r_sensor = pitch_mm, self.lens.sensor.half_diagonal_mm

    def run(self, depths: int) -> None:
        """The first of 20 depths, even in dioptres from 20 m to 10 cm, 20 radii, RGB."""
        x = torch.linspace(0, 1, 20) * self.lens.sensor.half_diagonal_mm / (0.5 * self.width_mm)
        with torch.no_grad(), quiet():
            for depth_mm in (1 / torch.linspace(1 / PEER_FAR_MM, 1 / 100.0, 20))[:depths].tolist():
                points = torch.stack([x, torch.zeros_like(x), torch.full_like(x, -depth_mm)], dim=1)
                for wavelength_um in self.peer.wvln_rgb:
                    self.peer.psf(points, wvln=wavelength_um, ks=self.kernel_px)

    def score(self, cases: list[Case]) -> Tensor:
        """L1 of every kernel; infinity is 20 m, which for a lens of a few mm is no visible defocus."""
        found = []
        for case in cases:
            chief = optics.chief_rays(case.lens, torch.tensor([case.radius], dtype=torch.float64))
            depth_mm = min(1e3 * case.depth_m, PEER_FAR_MM)
            # Its points are in shares of half the picture that a pinhole of its focal length would see.
            scale = depth_mm / float(self.peer.foclen)
            r = float(-chief.object_x_mm(depth_mm)) / scale
            place = [r * math.cos(case.azimuth_rad), r * math.sin(case.azimuth_rad)]
            point = torch.tensor([place[0] / (self.width_mm / 2), place[1] / (self.height_mm / 2), -depth_mm])
            for wavelength_um, truth in zip(self.peer.wvln_rgb, case.truth, strict=True):
                with torch.no_grad(), quiet():
                    kernel = self.peer.psf(point, wvln=wavelength_um, ks=KERNEL_PX).double()
                found.append(measure_l1(cropped(kernel, KERNEL_PX), cropped(truth, KERNEL_PX)))
        return torch.stack(found)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The peer prints."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def find_peer(name: str, kernel_px: int) -> Peer | None:
    try:
        import deeplens  # noqa: F401
    except ImportError as error:
        print(f"\ndeeplens-core cannot be imported here ({error}): no peer to compare with")
        return None
    with warnings.catch_warnings(action="ignore"):
        return Peer(name, kernel_px)


def measure(cases: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Wall seconds of each case; they take turns, and the first round (compilation, caches) does not count."""
    seconds: dict[str, list[float]] = {key: [] for key in cases}
    for repeat in range(repeats + 1):
        for key, run in cases.items():
            start = time.perf_counter()
            with warnings.catch_warnings(action="ignore"):
                run()
            if repeat:
                seconds[key].append(time.perf_counter() - start)
    return seconds


def print_times(name: str, peer: Peer | None, peer_depths: int, repeats: int) -> None:
    ours = our_cases(name)
    start = time.perf_counter()
    with warnings.catch_warnings(action="ignore"):
        next(iter(ours.values()))()
    print(f"\n{name}, 20 depths x 20 radii x RGB; first call in this process {time.perf_counter() - start:.2f} s")
    cases: dict[str, Callable[[], Any]] = dict(ours)
    key = ""
    if peer is not None:
        key = f"deeplens-core, lines, {peer.kernel_px} px, {peer_depths} of 20 depths scaled to 20"
        cases[key] = lambda: peer.run(peer_depths)
    seconds = measure(cases, repeats)
    if key:
        seconds[key] = [20 / peer_depths * s for s in seconds[key]]
    print("| case | median s | best s | worst s | kernels per s |")
    print("|---|---|---|---|---|")
    for label, found in seconds.items():
        middle = statistics.median(found)
        print(f"| {label} | {middle:.3f} | {min(found):.3f} | {max(found):.3f} | {1200 / middle:.0f} |")
    if key:
        first = next(iter(ours))
        ratio = statistics.median(seconds[key]) / statistics.median(seconds[first])
        print(f"deeplens-core takes {ratio:.0f} times as long as '{first}'")


# Memory.


# A process begins with its parent's peak in `ru_maxrss`; Linux tells the peak of the program itself beside it.
PEAK = """
import pathlib, re, resource, sys
status = pathlib.Path("/proc/self/status")
if status.is_file():
    print(float(re.search(r"VmHWM:\\s*(\\d+)", status.read_text())[1]) / 2**10)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
"""


def peak_mib(job: str) -> float:
    """Peak resident memory of a fresh process that imports the packages and does `job`."""
    code = f"import warnings\nwarnings.simplefilter('ignore')\nimport optics\n{job}\n{PEAK}"
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def print_memory(name: str) -> None:
    bare = peak_mib("")
    grid = peak_mib(f"optics.psf_grid(optics.load({name!r}), kernel_px={KERNEL_PX})")
    window = peak_mib(f"optics.psf_grid(optics.load({name!r}))")
    shown = f"{grid:.0f} MiB for {name}, {KERNEL_PX} px; {window:.0f} MiB with the automatic window"
    print(f"\npeak memory: {shown}; {bare:.0f} MiB for the imports alone")


def main(
    accuracy: bool = True,
    timing: bool = True,
    memory: bool = True,
    peer: bool = True,
    verbose: bool = False,
    lens: str = LENS,
    threads: int = 2,
    repeats: int = 5,
    peer_depths: int = 4,
    peer_kernel_px: int = 51,
) -> None:
    """Print tables of accuracy, wall time and memory.

    Args:
        accuracy: Compare with the tables.
        timing: Measure wall times.
        memory: Measure peak memory.
        peer: Run deeplens-core too.
        verbose: Every case of the tables.
        lens: Lens of the timing: a bundled name.
        threads: Of torch and numba.
        repeats: Of every timing.
        peer_depths: Depths that the peer runs, of 20; its time is scaled.
        peer_kernel_px: Its window.
    """
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    torch.manual_seed(0)  # the peer draws from the global generator
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads, load {load:.1f}; Python "
        f"{platform.python_version()}, torch {torch.__version__}, numba {numba.__version__}"
    )
    rival = find_peer(lens, peer_kernel_px) if peer else None
    if accuracy and not TABLES.is_dir():
        print("\nthe folder 'shared' with the reference kernels does not stand beside the repository: no accuracy")
    elif accuracy:
        scores: list[Score] = []
        for path in sorted(TABLES.glob("*.npz")):
            cases = read_cases(path)
            scores += score(cases)
            if rival is not None and cases[0].lens.name == "phone_us9651759":
                l1 = rival.score(cases)
                shown = f"L1 mean {float(l1.mean()):.4f}, worst {float(l1.max()):.4f}"
                print(f"\ndeeplens-core, {cases[0].lens.name}, {len(l1)} kernels, its default rays: {shown}")
        print_scores(scores, verbose)
    if timing:
        print_times(lens, rival, peer_depths, repeats)
    if memory:
        print_memory(lens)
    print(f"\nload at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    tyro.cli(main)
