"""A folder of PSF fields: one lens, made many times within its tolerances.

    FIELDS/run.json         what the fields depend on: lens, tolerances, seed, depths ...
    FIELDS/nominal.h5       the lens as it is drawn
    FIELDS/field_00000.h5   lens 0 off the line, and so on; each holds its errors in its provenance
    FIELDS/manifest.json    the files with the numbers that tell them apart, and the lenses that gave no field

Field i depends on the settings and on i, on nothing else: more of them can be made later, in any order, by any number
of workers, and are the same (to the byte where all processes take their compiled loops from the cache).
"""

import hashlib
import json
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from psf import PolarPSFField, Provenance
from psf.errors import InputError, one_line
from psf.jobs import Failure, Progress, check_workers
from psf.metrics import find_rms_radius_px
from psf.runs import begin_run, make_files, make_generator, write_json
from psf.threads import limit_threads

from .grid import psf_grid
from .lens import Lens
from .paraxial import first_order
from .prescriptions import to_json
from .tolerance import Focus, Tolerances, apply_departures, choose_tolerances, draw_departures, list_limits

MANIFEST_FILE, NOMINAL_FILE = "manifest.json", "nominal.h5"
# Image heights at which the manifest tells how sharp a lens is.
TOLD_RADII = (0.0, 0.7, 1.0)


@dataclass(frozen=True)
class Ensemble:
    """What a run has made.

    Attributes:
        folder: Where.
        files: The nominal field and those of the lenses, in order, of this run.
        failures: Lenses without a field: one whose light does not reach the sensor, or whose blur is wider than the
            window holds.
    """

    folder: Path
    files: tuple[Path, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True, eq=False)
class _Plan:
    """What every field needs to know; shapes (D,) and (R,)."""

    lens: Lens
    tolerances: Tolerances
    focus: Focus
    seed: int
    depths_m: Tensor
    radii: Tensor
    kernel_px: int


def make_ensemble(
    lens: Lens,
    folder: str | os.PathLike[str],
    count: int,
    *,
    tolerances: Tolerances | None = None,
    focus: Focus = "spot",
    seed: int = 0,
    depths_m: Sequence[float] | Tensor | None = None,
    radii: Sequence[float] | Tensor | None = None,
    kernel_px: int | None = None,
    workers: int | None = None,
    ray_address: str | None = None,
    on_progress: Progress | None = None,
) -> Ensemble:
    """Make the fields of many lenses of one prescription, those that are not in the folder yet.

    Args:
        lens: The prescription.
        folder: New, empty, or of a run with the same settings.
        count: How many lenses; field_00000.h5 is the first.
        tolerances: By default those of `choose_tolerances`.
        focus: What is done about the errors, as in `apply_departures`.
        seed: Of all lenses.
        depths_m: Of the fields, as in `psf_grid`.
        radii: Likewise.
        kernel_px: Likewise; by default what the nominal lens needs.
        workers: As in `psf.jobs.map_jobs`.
        ray_address: Likewise.
        on_progress: Called with (fields done, fields in all).

    Returns:
        Paths and failures; a lens that gives no field does not stop the others.

    Raises:
        InputError: The folder holds something else; tolerances, depths or radii do not fit the lens.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError("count", repr(count), "a whole number from 1")
    check_workers(workers)
    limits = tolerances or choose_tolerances(lens)
    list_limits(lens, limits)
    make_generator(seed, 0)
    with torch.no_grad():
        nominal = psf_grid(lens, depths_m, radii, kernel_px=kernel_px, dtype=torch.float64)
    plan = _Plan(lens, limits, focus, seed, nominal.depths_m, nominal.radii, nominal.kernel_px)
    begin_run(folder, _settings(plan, nominal.provenance.version))
    place = Path(folder)
    names = [NOMINAL_FILE, *(f"field_{index:05d}.h5" for index in range(count))]
    made = make_files(
        partial(_make_field, plan),
        range(-1, count),
        [place / name for name in names],
        workers=workers,
        ray_address=ray_address,
        on_error="keep",
        on_progress=on_progress,
    )
    failures = tuple(one for one in made if isinstance(one, Failure))
    _write_manifest(place, failures)
    return Ensemble(place, tuple(one for one in made if isinstance(one, Path)), failures)


def _settings(plan: _Plan, version: str) -> dict[str, Any]:
    written = json.dumps(to_json(plan.lens), sort_keys=True, ensure_ascii=False)
    return {
        "made_by": "python -m optics perturb",
        "version": version,
        "lens": plan.lens.name,
        "lens_sha256": hashlib.sha256(written.encode()).hexdigest(),
        "tolerances": asdict(plan.tolerances),
        "focus": plan.focus,
        "seed": plan.seed,
        "depths_m": plan.depths_m.tolist(),
        "radii": plan.radii.tolist(),
        "kernel_px": plan.kernel_px,
    }


def _make_field(plan: _Plan, index: int, path: Path) -> None:
    """Field `index` of a run (-1: the nominal one), to a file; by one thread, so that all bits are the same."""
    with limit_threads(1):
        _make_field_alone(plan, index, path)


def _make_field_alone(plan: _Plan, index: int, path: Path) -> None:
    departures: dict[str, float] = {}
    if index >= 0:
        departures = draw_departures(plan.lens, plan.tolerances, generator=make_generator(plan.seed, index))
    # What a worker warns of reaches nobody; it belongs to the field.
    with warnings.catch_warnings(record=True, action="always") as caught, torch.no_grad():
        lens = apply_departures(plan.lens, departures, focus=plan.focus)
        field = psf_grid(lens, plan.depths_m, plan.radii, kernel_px=plan.kernel_px)
    provenance = field.provenance.with_arguments(
        seed=plan.seed if index >= 0 else None,
        index=index if index >= 0 else None,
        tolerances=asdict(plan.tolerances),
        focus=plan.focus,
        departures=departures,
        measured=_measure(lens, field),
        warnings=[str(one.message) for one in caught],
    )
    replace(field, provenance=provenance).save(path)


def _measure(lens: Lens, field: PolarPSFField) -> dict[str, Any]:
    """Numbers that tell one lens of a run from another."""
    facts = first_order(lens)
    dioptres = 1 / field.depths_m
    nearest = int((dioptres - (0.0 if math.isinf(lens.focus_m) else 1 / lens.focus_m)).abs().argmin())
    rows = sorted({int((field.radii - radius).abs().argmin()) for radius in TOLD_RADII})
    spots_px = find_rms_radius_px(field.kernels[nearest, rows].mean(1))
    return {
        "efl_mm": float(facts.efl_mm),
        "f_number": float(facts.f_number_infinity),
        "image_plane_from_last_vertex_mm": float(facts.image_plane_from_last_vertex_mm),
        "depth_m": float(field.depths_m[nearest]),
        "radii": field.radii[rows].tolist(),
        "rms_radius_um": [field.pitch_um * value for value in spots_px.tolist()],
        "lost": float(field.lost.max()),
    }


def list_measured(ensemble: Ensemble) -> list[dict[str, Any]]:
    """The numbers of every field of a run, as its manifest has them: the nominal one, then the lenses in order."""
    return [_read_row(path) for path in ensemble.files]


def _read_row(path: Path) -> dict[str, Any]:
    arguments = _read_provenance(path).arguments
    return {"file": path.name, **arguments["measured"], "warnings": arguments["warnings"]}


def _write_manifest(folder: Path, failures: Sequence[Failure]) -> None:
    """What is there, whichever run made it: from the files themselves."""
    there = [path for path in (folder / NOMINAL_FILE, *sorted(folder.glob("field_*.h5"))) if path.is_file()]
    rows = [_read_row(path) for path in there]
    failed = [{"file": one.name, "reason": one.message} for one in failures]
    write_json(folder / MANIFEST_FILE, {"fields": rows, "failed": failed})


def _read_provenance(path: Path) -> Provenance:
    import h5py

    # A thousand fields are gigabytes; what is asked for stands in front of them.
    try:
        with h5py.File(path, "r") as file:
            return Provenance.from_json(str(file.attrs["provenance"]))
    except (OSError, KeyError) as error:
        found = f"a file that cannot be read ({one_line(error)})"
        raise InputError(str(path), found, "a field of this run; delete it to make it again") from error
