"""How true and how fast are diffraction kernels? Against independent Debye sums, and beside optiland in one run.

    python benchmarks/diffraction.py                                    # accuracy, wall times
    python benchmarks/diffraction.py --peer-python peer/bin/python      # beside optiland's Huygens PSF
    python benchmarks/diffraction.py --no-accuracy --repeats 9
    python benchmarks/diffraction.py --hand-over                        # waves against rays over the blur

Accuracy needs the folder `shared` beside the repository; the peer an environment of its own (`python -m venv peer`,
`peer/bin/pip install optiland`). Each part that is missing says so in a line.

A kernel is one field, one depth and one wavelength, 51 x 51 px. Ours is `psf_at`, from the lens to the kernel: chief
ray, pupil, wavefront, sum, integrals over pixels. The peer's is `HuygensPSF` of 128 x 128 rays at 51 x 51 points,
neither integrated over pixels nor on the sensor's pitch. Both take turns, so that a busy machine slows them alike;
figures are medians of wall seconds, and the processor's seconds beside them.
"""

import json
import math
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
import tyro

import optics
from optics.diffraction import WaveSampling, find_pattern
from optics.hybrid import RAYS_FROM, WAVES_UP_TO, Model
from optics.wavefront import find_wavefront
from psf.metrics import measure_l1

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT.parent / "shared" / "reference" / "diffraction"
NAMES = ("asphere_planohyperbolic", "cooke_triplet", "phone_us9651759")
LENS = "phone_us9651759"
PEER = """
import json, sys, time
try:
    import vtk
except ImportError:
    from unittest.mock import MagicMock
    for name in ("vtk", "vtk.util", "vtk.util.numpy_support", "vtkmodules", "vtkmodules.all"):
        sys.modules.setdefault(name, MagicMock())
import numpy as np
from optiland.optic import Optic
from optiland.materials import IdealMaterial
from optiland.psf import HuygensPSF

lens = json.loads(sys.argv[1])
o = Optic()
o.surfaces.add(index=0, radius=np.inf, thickness=np.inf)
for i, s in enumerate(lens["surfaces"]):
    kind = {}
    if s["even"]:
        kind = {"surface_type": "even_asphere", "coefficients": s["even"]}
    glass = IdealMaterial(n=s["index"]) if s["index"] != 1 else "air"
    o.surfaces.add(index=i + 1, radius=s["radius"] or np.inf, thickness=s["thickness"], conic=s["conic"],
                   material=glass, is_stop=i + 1 == lens["stop"], **kind)
o.surfaces.add(index=len(lens["surfaces"]) + 1)
o.set_aperture("EPD", lens["epd"])
o.fields.set_type("angle")
o.fields.add(y=0)
o.fields.add(y=lens["angle_deg"])
o.wavelengths.add(value=lens["wavelength_um"], is_primary=True)
for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    HuygensPSF(o, field=(0, 1), wavelength=lens["wavelength_um"], num_rays=128, image_size=51)
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)
"""


@dataclass(frozen=True)
class Arguments:
    """Options.

    Attributes:
        accuracy: Compare with the tables.
        speed: Take times.
        hand_over: Compare waves with rays over the blur.
        peer_python: A python that has optiland.
        repeats: Runs of each single kernel.
        threads: Threads of torch and numba.
        lens: The lens of the grid.
    """

    accuracy: bool = True
    speed: bool = True
    hand_over: bool = False
    peer_python: str | None = None
    repeats: int = 5
    threads: int = 2
    lens: str = "f2.2_fixedfocus"


def stopped(lens: optics.Lens, semi_mm: float | None) -> optics.Lens:
    if semi_mm is None:
        return lens
    surfaces, stop = list(lens.surfaces), lens.stop_surface - 1
    surfaces[stop] = replace(surfaces[stop], semi_aperture_mm=torch.tensor(semi_mm, dtype=torch.float64))
    return replace(lens, surfaces=tuple(surfaces))


def centred_place(lens: optics.Lens, radius: float, azimuth_rad: float = 0.0) -> tuple[float, float]:
    height, width = lens.sensor.image_shape_px
    half = 0.5 * math.hypot(height, width)
    return (width - 1) / 2 + radius * half * math.cos(azimuth_rad), (height - 1) / 2 - radius * half * math.sin(
        azimuth_rad
    )


def show_accuracy() -> None:
    print("Against the tables: errors of wavefront RMS (waves), Strehl, light in the window; L1 of kernels, as stored")
    print("(the table takes the middles of few cells for a pixel) and when summed by the table's rule; of the pattern.")
    print("lens                     case   RMS       Strehl    light     L1       L1 (rule)  pattern   table's own L1")
    for name in NAMES:
        with np.load(TABLES / f"{name}.npz") as file:
            for case in json.loads(str(file["meta"]))["cases"]:
                print(f"{name:24} {case['case']:4}   " + compare(name, case, file))


def compare(name: str, case: dict[str, Any], file: Any) -> str:
    lens = stopped(optics.load(name), case["stop_semi_aperture_mm"])
    depth_m = math.inf if case["depth_mm"] is None else 1e-3 * case["depth_mm"]
    wave, azimuth_rad = 1e-3 * case["wavelength_nm"], math.radians(case["azimuth_deg"])
    truth = torch.from_numpy(file[f"pixel_{case['case']:02d}"].astype(np.float64))
    fine = torch.from_numpy(file[f"fine_{case['case']:02d}"].astype(np.float64))
    front = find_wavefront(lens, case["radius_fraction"], depth_m, wave)
    size, per_px = len(truth), round(case["pitch_um"] / case["fine_step_um"])
    place = centred_place(lens, case["radius_fraction"], azimuth_rad)
    with warnings.catch_warnings(action="ignore"):
        kernel = optics.psf_at(
            lens,
            *place,
            depth_m,
            kernel_px=size,
            wavelengths_um=[[wave]],
            model="diffraction",
            wave_sampling=WaveSampling(rings=0),
        )[0]

    def pattern(samples: int) -> torch.Tensor:
        return find_pattern(
            lens,
            case["radius_fraction"],
            depth_m,
            wavelength_um=wave,
            step_um=case["fine_step_um"],
            samples=samples,
            azimuth_rad=azimuth_rad,
        )

    cells = pattern(size * per_px).unflatten(0, (size, per_px)).unflatten(2, (size, per_px)).mean((1, 3))
    numbers = (
        float(front.rms_waves) - case["rms_waves"],
        float(front.strehl) - case["strehl_at_chief_point"],
        float(measure_l1(kernel, truth / truth.sum())),
        float(measure_l1(cells / cells.sum(), truth / truth.sum())),
        float((pattern(len(fine)) - fine).abs().max()),
        case["half_sampling"]["L1"],
    )
    return "{:+.1e}  {:+.1e}  {:.5f}  {:.5f}    {:.1e}   {:.5f}".format(*numbers)


def for_peer(lens: optics.Lens, radius: float) -> str:
    """The lens as the peer takes it: even aspheres with a stop in front."""
    wave = torch.tensor(lens.reference_wavelength_um, dtype=torch.float64)
    chief = optics.chief_rays(lens, torch.tensor([radius], dtype=torch.float64))
    rows = []
    for surface in lens.surfaces:
        packed = surface.shape.packed()
        curvature = 0.0 if packed is None or packed.flat else float(packed.curvature_per_mm)
        even = [0.0] * 8
        conic = 0.0
        if packed is not None and not packed.flat:
            conic = float(packed.conic_k)
            for power, value in zip(packed.powers, packed.coefficients.tolist(), strict=True):
                even[power // 2 - 1] = value
        rows.append(
            {
                "radius": 1 / curvature if curvature else None,
                "thickness": float(surface.thickness_mm),
                "conic": conic,
                "even": even if any(even) else None,
                "index": float(surface.medium.index(wave)),
            }
        )
    facts = optics.first_order(lens)
    return json.dumps(
        {
            "surfaces": rows,
            "stop": lens.stop_surface,
            "epd": 2 * float(facts.entrance_pupil_semi_diameter_mm),
            "angle_deg": math.degrees(math.atan(float(chief.slope[0]))),
            "wavelength_um": lens.reference_wavelength_um,
        }
    )


def timed(run: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def show_speed(arguments: Arguments) -> None:
    lens = optics.load(LENS)
    place, wave = centred_place(lens, 0.5), [[lens.reference_wavelength_um]]

    def kernel() -> object:
        return optics.psf_at(lens, *place, math.inf, kernel_px=51, wavelengths_um=wave, model="diffraction")

    kernel()
    peer = None
    if arguments.peer_python is None:
        print("peer: no --peer-python, skipped")
    else:
        command = [arguments.peer_python, "-W", "ignore", "-c", PEER, for_peer(lens, 0.5)]
        peer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ours, theirs = [], []
    for turn in range(arguments.repeats + 1):
        ours += [timed(kernel) for _ in range(3)]
        if peer is not None and peer.stdin is not None and peer.stdout is not None:
            peer.stdin.write("go\n")
            peer.stdin.flush()
            line = peer.stdout.readline()
            if not line:
                print("peer: it failed, see above")
                peer = None
            elif turn:  # the first one warms up
                theirs.append(tuple(json.loads(line)))
    if peer is not None and peer.stdin is not None:
        peer.stdin.close()
        peer.wait()
    wall, cpu = (1e3 * statistics.median(t[i] for t in ours) for i in (0, 1))
    print(f"one kernel, 51 px: {wall:.1f} ms wall, {cpu:.1f} ms processor")
    if theirs:
        their_wall, their_cpu = (1e3 * statistics.median(t[i] for t in theirs) for i in (0, 1))
        print(f"optiland HuygensPSF: {their_wall:.0f} ms wall, {their_cpu:.0f} ms processor", end="; ")
        print(f"ours is {their_wall / wall:.0f} times as fast by wall, {their_cpu / cpu:.0f} by processor")
    lens = optics.load(arguments.lens)
    with warnings.catch_warnings(action="ignore"):
        optics.psf_grid(lens, [0.5, 2.0], [0.2], model="auto", kernel_px=51)
        for model in get_args(Model):
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            field = optics.psf_grid(lens, model=model)
            wall, cpu = time.perf_counter() - wall_s, time.process_time() - cpu_s
            text = f"{wall:.1f} s wall, {cpu:.1f} s processor, lost at most {float(field.lost.max()):.3f}"
            print(f"grid of {lens.name}, {model}, {tuple(field.kernels.shape)}: {text}")


def show_hand_over(arguments: Arguments) -> None:
    lens = optics.load(arguments.lens)
    print(f"waves up to {WAVES_UP_TO:g} Airy radii of RMS blur, rays from {RAYS_FROM:g}")
    print("depth m   L1 of waves and rays   largest difference of a transfer function   L1 of auto and waves")
    for depth_m in (math.inf, 1.0, 0.5, 0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.06):
        with warnings.catch_warnings(action="ignore"):
            kernels = {
                m: optics.psf_at(lens, *centred_place(lens, 0.4), depth_m, kernel_px=101, model=m)
                for m in get_args(Model)
            }
        transfer = [torch.fft.rfft2(kernels[m]).abs() for m in ("diffraction", "geometric")]
        apart = float(measure_l1(kernels["diffraction"], kernels["geometric"]).mean())
        mixed = float(measure_l1(kernels["diffraction"], kernels["auto"]).mean())
        print(f"{depth_m:7.3g}   {apart:.3f}   {float((transfer[0] - transfer[1]).abs().max()):.3f}   {mixed:.3f}")


def main() -> int:
    arguments = tyro.cli(Arguments)
    torch.set_num_threads(arguments.threads)
    if arguments.accuracy:
        if TABLES.is_dir():
            show_accuracy()
        else:
            print("accuracy: no folder shared/reference/diffraction beside the repository, skipped")
    if arguments.speed:
        show_speed(arguments)
    if arguments.hand_over:
        show_hand_over(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
