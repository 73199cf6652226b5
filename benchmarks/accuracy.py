"""How true the numbers are: rays, spots, wavefronts, contrast, against independent tables and beside other packages.

    python benchmarks/accuracy.py                                     # tables on the screen
    python benchmarks/accuracy.py --peer-python peer/bin/python       # beside optiland, rayoptics, deeplens
    python benchmarks/accuracy.py -o docs/accuracy.md                 # the page of the documentation
    python benchmarks/accuracy.py --parts rays spots waves            # some parts only

The tables are those of the folder `shared/reference` beside the repository: real rays (float64, checked with 45
digits), geometric kernels (2 million rays each), wavefronts and Debye sums. The peers want an environment of their own:

    python -m venv peer && peer/bin/pip install optiland rayoptics
    peer/bin/pip install --no-deps --ignore-requires-python deeplens-core

What is not installed is left out, and the page says so.
"""

import json
import math
import platform
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro

import optics
from optics.diffraction import WaveSampling
from optics.geometric import kernels_at
from optics.wavefront import find_wavefront
from psf.metrics import measure_l1

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT.parent / "shared" / "reference"
PEERS = ("optiland", "rayoptics", "deeplens")
Part = Literal["rays", "spots", "waves"]
Table = list[str]
D_LINE_NM = 587.5618
# Contrast is compared at these shares of the sensor's Nyquist frequency.
NYQUIST_SHARES = (0.125, 0.25, 0.5)
# A ray that lands farther than this from where it should was not traced but lost; deeplens has indices of its own.
SAME_PLACE_MM = 0.05
PEER_TIMEOUT_S = 300


@dataclass(frozen=True)
class Arguments:
    """Options."""

    parts: tuple[Part, ...] = ("rays", "spots", "waves")
    """Which tables."""
    peer_python: str | None = None
    """A python that has the peers."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Write the page here; by default only to the screen."""
    threads: int = 2
    """Threads of torch and numba."""


def rows_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    return [
        "| " + " | ".join(head) + " |",
        "| " + " | ".join(["---", *["---:"] * (len(head) - 1)]) + " |",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]


def lens_names(folder: str) -> list[str]:
    return sorted(path.stem for path in (TABLES / folder).glob("*.npz"))


def depth_text(depth_mm: float | None) -> str:
    return "infinity" if depth_mm is None else f"{1e-3 * depth_mm:g} m"


# Rays.


def show_rays(peer_python: str | None) -> Table:
    rows, questions = [], []
    for name in lens_names("rays"):
        lens = optics.load(name)
        with np.load(TABLES / "rays" / f"{name}.npz") as file:
            table = {key: file[key] for key in file.files}
        rays = optics.Rays(
            torch.from_numpy(table["input_position_mm"]),
            torch.from_numpy(table["input_direction"]),
            torch.from_numpy(1e-3 * table["wavelength_nm"]),
        )
        traced = optics.trace(lens, rays)
        alive = table["verdict"] == 0
        same = (traced.lost_at.numpy() == table["verdict_surface"]) & (traced.alive.numpy() == alive)
        off_mm = np.abs(traced.position_mm.numpy() - table["image_position_mm"])[alive].max()
        opl_mm = np.abs(traced.opl_mm.numpy() - table["opl_mm"])[alive].max()
        kept = int((traced.alive.numpy() & alive).sum())
        rows.append(
            [name, f"{kept} of {alive.sum()}", f"{same.sum()} of {len(same)}", f"{off_mm:.0e}", f"{opl_mm:.0e}"]
        )
        asked = alive & np.isclose(table["wavelength_nm"], D_LINE_NM)
        questions.append((name, lens, {key: table[key][asked] for key in table if table[key].shape[:1] == alive.shape}))
    text = ["### Rays of the tables", ""]
    text += ["Every ray that a table has at the image plane is to be there, every other to be lost at its surface.", ""]
    text += rows_of(["lens", "alive rays kept", "fate and surface right", "landing, mm", "path, mm"], rows)
    return text + (["Other packages were not run.", ""] if peer_python is None else show_peers(peer_python, questions))


def show_peers(peer_python: str, questions: list[tuple[str, optics.Lens, dict[str, Any]]]) -> Table:
    lines = [question(name, lens, table) for name, lens, table in questions]
    columns = {}
    for peer in PEERS:
        command = [peer_python, "-W", "ignore", str(ROOT / "benchmarks" / "accuracy_peers.py"), peer]
        try:
            done = subprocess.run(
                command, input="\n".join(lines), capture_output=True, text=True, check=False, timeout=PEER_TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            print(f"peer {peer}: nothing within {PEER_TIMEOUT_S} s", file=sys.stderr)
            continue
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        if len(answers) == len(lines):
            columns[f"{peer} {version_of(peer_python, peer)}"] = answers
        else:
            print(f"peer {peer}: {answers[-1] if answers else done.stderr.strip()[-300:]}", file=sys.stderr)
    if not columns:
        return []
    rows = []
    for i, (name, lens, table) in enumerate(questions):
        truth = table["image_position_mm"]
        rays = (torch.from_numpy(table[key]) for key in ("input_position_mm", "input_direction"))
        ours = optics.trace(lens, optics.Rays(*rays, torch.tensor(1e-3 * D_LINE_NM, dtype=torch.float64)))
        cells = [
            name,
            kept_text(ours.position_mm[:, 0].numpy(), ours.position_mm[:, 1].numpy(), truth, ours.alive.numpy()),
        ]
        for answers in columns.values():
            answer = answers[i]
            if "cannot" in answer:
                cells.append(f"– ({answer['cannot']})")
            else:
                x, y = (np.array([math.nan if v is None else v for v in answer[key]]) for key in ("x_mm", "y_mm"))
                cells.append(kept_text(x, y, truth, np.isfinite(x) & np.isfinite(y)))
        rows.append(cells)
    text = ["### The same rays in other packages", ""]
    text += [
        "Alive rays of the d line that come through, and the largest distance of their landing points from the table "
        f"in mm. A ray that lands more than {SAME_PLACE_MM:g} mm away counts as lost.",
        "",
    ]
    return text + rows_of(["lens", "psfield", *columns], rows)


def version_of(peer_python: str, peer: str) -> str:
    name = {"deeplens": "deeplens-core"}.get(peer, peer)
    ask = f"import importlib.metadata as m; print(m.version({name!r}))"
    return subprocess.run([peer_python, "-c", ask], capture_output=True, text=True, check=False).stdout.strip()


def kept_text(x: Any, y: Any, truth: Any, alive: Any) -> str:
    away = np.hypot(np.where(alive, x - truth[:, 0], np.inf), np.where(alive, y - truth[:, 1], np.inf))
    good = away < SAME_PLACE_MM
    lost = int((~good).sum())
    worst = f", {away[good].max():.0e}" if good.any() else ""
    return (f"all {len(good)}" if not lost else f"**{lost} of {len(good)} lost**") + worst


def question(name: str, lens: optics.Lens, table: dict[str, Any]) -> str:
    wave = torch.tensor(1e-3 * D_LINE_NM, dtype=torch.float64)
    surfaces = []
    for number, surface in enumerate(lens.surfaces, start=1):
        packed, medium = surface.shape.packed(), surface.medium
        if packed is None:
            raise TypeError(f"{name}, surface {number}: a shape that is no conic with a polynomial")
        surfaces.append(
            {
                "curvature": 0.0 if packed.flat else float(packed.curvature_per_mm),
                "conic": 0.0 if packed.flat else float(packed.conic_k),
                "terms": dict(zip(packed.powers, packed.coefficients.flatten().tolist(), strict=False)),
                "thickness": float(surface.thickness_mm),
                "semi": float(surface.semi_aperture_mm),
                "index": float(medium.index(wave)),
                # "1.544/55.9" is a model glass, "schott/N-BK7" a catalogue's.
                "medium": medium.name if medium.name[0].isdigit() else medium.name.split("/")[-1].lower(),
                "stop": number == lens.stop_surface,
            }
        )
    rays = {"position_mm": table["input_position_mm"].tolist(), "direction": table["input_direction"].tolist()}
    return json.dumps({"name": name, "surfaces": surfaces, "wavelength_um": 1e-3 * D_LINE_NM} | rays)


# Kernels.


def contrasts(kernel: Any) -> list[float]:
    """Contrast along columns at shares of Nyquist, of a unit-sum kernel (K, K)."""
    profile = np.asarray(kernel, float).sum(0)
    at = np.arange(len(profile)) - len(profile) // 2
    return [abs(complex((profile * np.exp(-1j * math.pi * share * at)).sum())) for share in NYQUIST_SHARES]


def spot(kernel: Any) -> tuple[float, float, float]:
    """Centroid (column, row) and RMS radius in px of a unit-sum kernel (K, K)."""
    kernel = np.asarray(kernel, float)
    at = np.arange(kernel.shape[-1]) - kernel.shape[-1] // 2
    column, row = (kernel.sum(0) * at).sum(), (kernel.sum(1) * at).sum()
    square = (kernel * (at[:, None] ** 2 + at**2)).sum()
    return column, row, math.sqrt(max(square - column**2 - row**2, 0.0))


def cases(folder: str, name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any], Any]]:
    with np.load(TABLES / folder / f"{name}.npz") as file:
        meta = json.loads(str(file["meta"]))
        for case in meta["cases"]:
            yield meta, case, file


def show_spots() -> Table:
    rows = []
    for name in lens_names("psf"):
        for meta, case, file in cases("psf", name):
            lens = replace(optics.load(name), channels=optics.LINE_CHANNELS)
            last = lens.surfaces[-1]
            moved = replace(last, thickness_mm=last.thickness_mm + case["image_plane_shift_mm"])
            lens = replace(lens, surfaces=(*lens.surfaces[:-1], moved))
            truth = file[f"kernel_{case['case']:02d}"].astype(np.float64)
            depth_m = math.inf if case["depth_mm"] is None else 1e-3 * case["depth_mm"]
            found = kernels_at(
                lens,
                [case["radius_fraction"]],
                [math.radians(case["azimuth_deg"])],
                [depth_m],
                lens.channels,
                kernel_px=truth.shape[-1],
                check_loss=False,
            )
            kernels, light = found.kernels[0].numpy(), 1 - found.lost[0].numpy()
            for channel, wave_nm in enumerate(meta["wavelengths_nm"]):
                own, table = kernels[channel], truth[channel] / truth[channel].sum()
                (c0, r0, rms0), (c1, r1, rms1) = spot(own), spot(table)
                apart = [a - b for a, b in zip(contrasts(own), contrasts(table), strict=True)]
                l1 = float(measure_l1(torch.from_numpy(own), torch.from_numpy(table)))
                field = f"{case['radius_fraction']:g}, {depth_text(case['depth_mm'])}"
                if case["image_plane_shift_mm"]:
                    field += ", focus moved"
                rows.append(
                    [
                        name,
                        field,
                        f"{wave_nm:.0f}",
                        f"{math.hypot(c0 - c1, r0 - r1):.4f}",
                        f"{rms1:.3f}",
                        f"{rms0 - rms1:+.4f}",
                        f"{light[channel] - truth[channel].sum():+.5f}",
                        *(f"{value:+.4f}" for value in apart),
                        f"{l1:.4f}",
                    ]
                )
    head = ["lens", "radius, depth", "nm", "centroid, px", "RMS of table, px", "its error", "light in window"]
    head += [f"MTF {share:g} Ny" for share in NYQUIST_SHARES] + ["L1"]
    text = ["### Geometric kernels", ""]
    text += [
        "Errors against the tables, per lens, image height (share of the half diagonal), depth and wavelength: "
        "distance of centroids, RMS radius, light inside the window, contrast along the columns at three shares of the "
        "sensor's Nyquist frequency, and L1 (half the summed difference of unit-sum kernels). The tables' own L1 is "
        "0.0001 to 0.0033.",
        "",
    ]
    return text + rows_of(head, rows)


def show_waves() -> Table:
    rows = []
    for name in lens_names("diffraction"):
        for _, case, file in cases("diffraction", name):
            lens = stopped(optics.load(name), case["stop_semi_aperture_mm"])
            depth_m = math.inf if case["depth_mm"] is None else 1e-3 * case["depth_mm"]
            wave_um = 1e-3 * case["wavelength_nm"]
            truth = file[f"pixel_{case['case']:02d}"].astype(np.float64)
            front = find_wavefront(lens, case["radius_fraction"], depth_m, wave_um)
            own = wave_kernel(lens, case, depth_m, wave_um, len(truth))
            table = truth / truth.sum()
            apart = [a - b for a, b in zip(contrasts(own), contrasts(table), strict=True)]
            (c0, r0, _), (c1, r1, _) = spot(own), spot(table)
            stop = "" if case["stop_semi_aperture_mm"] is None else ", stopped down"
            rows.append(
                [
                    name,
                    f"{case['radius_fraction']:g}, {depth_text(case['depth_mm'])}{stop}",
                    f"{case['wavelength_nm']:.0f}",
                    f"{case['rms_waves']:.4f}",
                    f"{float(front.rms_waves) - case['rms_waves']:+.1e}",
                    f"{case['strehl_at_chief_point']:.4f}",
                    f"{float(front.strehl) - case['strehl_at_chief_point']:+.1e}",
                    f"{math.hypot(c0 - c1, r0 - r1):.4f}",
                    *(f"{value:+.4f}" for value in apart),
                    f"{float(measure_l1(torch.from_numpy(own), torch.from_numpy(table))):.4f}",
                ]
            )
    head = ["lens", "radius, depth", "nm", "RMS, waves", "its error", "Strehl", "its error", "centroid, px"]
    head += [f"MTF {share:g} Ny" for share in NYQUIST_SHARES] + ["L1"]
    text = ["### Wavefronts and diffraction kernels", ""]
    text += [
        "The tables take the middles of a few cells for a pixel's integral, which alone makes an L1 of some 0.002 in "
        "sharp kernels (`benchmarks/diffraction.py` has the sum by the tables' own rule beside it).",
        "",
    ]
    return text + rows_of(head, rows)


def stopped(lens: optics.Lens, semi_mm: float | None) -> optics.Lens:
    if semi_mm is None:
        return lens
    return lens.with_parameters({f"surface{lens.stop_surface}.semi_aperture_mm": semi_mm})


def wave_kernel(lens: optics.Lens, case: dict[str, Any], depth_m: float, wave_um: float, size: int) -> Any:
    height, width = lens.sensor.image_shape_px
    reach, azimuth = case["radius_fraction"] * 0.5 * math.hypot(height, width), math.radians(case["azimuth_deg"])
    place = (width - 1) / 2 + reach * math.cos(azimuth), (height - 1) / 2 - reach * math.sin(azimuth)
    return optics.psf_at(
        lens,
        *place,
        depth_m,
        kernel_px=size,
        wavelengths_um=[[wave_um]],
        model="diffraction",
        wave_sampling=WaveSampling(rings=0),
    )[0].numpy()


def main() -> int:
    arguments = tyro.cli(Arguments, description=__doc__)
    torch.set_num_threads(arguments.threads)
    if not TABLES.is_dir():
        print("error: no folder shared/reference beside the repository", file=sys.stderr)
        return 2
    text = ["# Accuracy", "", *PREFACE, ""]
    with warnings.catch_warnings(action="ignore"):
        if "rays" in arguments.parts:
            text += show_rays(arguments.peer_python)
        if "spots" in arguments.parts:
            text += show_spots()
        if "waves" in arguments.parts:
            text += show_waves()
    print("\n".join(text))
    if arguments.out is not None:
        arguments.out.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")
    return 0


PREFACE = (
    "How far this project's numbers are from independent ones, lens by lens. Everything here is printed by",
    "",
    "```",
    "python benchmarks/accuracy.py --peer-python peer/bin/python -o docs/accuracy.md",
    "```",
    "",
    "whose beginning says where the tables come from and how to install the other packages. Nothing in the tables was "
    "made with this project's code. "
    f"This run: Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}.",
)

if __name__ == "__main__":
    sys.exit(main())
