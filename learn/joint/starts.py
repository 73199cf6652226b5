"""Where descents begin: lenses of a coarse grid of places, looked at without gradients; then descents from the best.

    settings = JointSettings(free=..., scan=(ScanAxis("surface2.asphere_4", -0.02, 0.02, 7), ...), starts=3)
    found = search_jointly(lens, photos, settings)
    found.best.lens, found.scanned, found.descents

The objective of a joint design has many valleys: blur that a restorer can undo lies on both sides of the sharpest lens,
and a descent ends in the one where it began.
"""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from optics import Lens
from psf import InputError
from psf.runs import begin_run, whole_file

from ..photos import PhotoFolder
from .designing import JointDesign, design_jointly, draw_held, draw_pictures, draw_pool, open_chain
from .exposures import Patches
from .imaging import Chain, run_chain
from .iterates import Iterate
from .settings import JointSettings, ScanAxis

SCAN_FOLDER, SCAN_FILE, DESCENT_FOLDER = "scan", "scan.csv", "descent_{}"


@dataclass(frozen=True, eq=False)
class Scanned:
    """Lenses of a grid of places.

    Attributes:
        axes: Which parameters, A of them.
        values: Their values in what they count in, one tensor per axis.
        vectors: Of the lenses in steps of the variables, one dimension per axis,
            then P.
        objective_db: Lower is better, inf for lenses that cannot be; one dimension per axis.
        worst_psnr_db: At the worst depth, nan for these; of the same shape.
    """

    axes: tuple[ScanAxis, ...]
    values: tuple[Tensor, ...]
    vectors: Tensor
    objective_db: Tensor
    worst_psnr_db: Tensor


@dataclass(frozen=True, eq=False)
class Search:
    """What several descents found.

    Attributes:
        best: The descent whose lens is best by patches that none has seen.
        descents: All, in the order of their starts.
        held_db: Objective of their lenses by these patches; nan where there is but one.
        scanned: Where they began; None where they began at the lens.
        published: Free parameters of the lens that was given, in what they count in.
    """

    best: JointDesign
    descents: tuple[JointDesign, ...]
    held_db: tuple[float, ...]
    scanned: Scanned | None
    published: tuple[float, ...]

    @property
    def lenses_tried(self) -> int:
        """Of the scan and of all descents."""
        places = 0 if self.scanned is None else self.scanned.objective_db.numel()
        return places + sum(len(one.iterates) for one in self.descents)


def search_jointly(
    lens: Lens,
    photos: PhotoFolder | Patches,
    settings: JointSettings,
    *,
    folder: Path | None = None,
    on_progress: Callable[[int, Iterate], bool | None] | None = None,
    on_scan: Callable[[int, int], None] | None = None,
) -> Search:
    """Scan, descend from the best places, and keep the lens that is best by patches that no descent has seen.

    Args:
        lens: Whose constraints and light count, and where the scan is laid.
        photos: As `design_jointly` takes them.
        settings: The design; without a scan it is one descent from the lens.
        folder: For all of it; a run that is there is gone on with. Its parent exists.
        on_progress: Called with the number of the descent and its iterates; where it returns True that descent ends.
        on_scan: Called with (lenses of the scan looked at, lenses).
    """
    pool, single = draw_pool(photos, settings), replace(settings, scan=(), starts=1)
    chain = open_chain(lens, single)
    if folder is not None:
        folder.mkdir(exist_ok=True)
    scanned = None
    vectors = [chain.variables.read()]
    if settings.scan:
        place = None if folder is None else folder / SCAN_FOLDER
        # A network has not learnt anything yet: filters stand for it.
        filtered = single if single.restorer == "none" else replace(single, restorer="ridge")
        scanned = scan_lenses(open_chain(lens, filtered), pool, settings.scan, folder=place, on_progress=on_scan)
        vectors = choose_starts(scanned, settings.starts)
    descents = []
    for number, vector in enumerate(vectors):

        def tell(one: Iterate, number: int = number) -> bool | None:
            return on_progress(number, one) if on_progress is not None else None

        begun = chain.variables.apply(vector) if settings.scan else lens
        place = None if folder is None else folder / DESCENT_FOLDER.format(number)
        descents.append(design_jointly(begun, pool, single, published=lens, folder=place, on_progress=tell))
    held_db: tuple[float, ...] = (math.nan,)
    best = descents[0]
    if len(descents) > 1:
        held_db = tuple(_judge_held(one, pool) for one in descents)
        best = descents[min(range(len(descents)), key=held_db.__getitem__)]
    published = tuple((chain.variables.read() * chain.variables.steps).tolist())
    return Search(best, tuple(descents), held_db, scanned, published)


def scan_lenses(
    chain: Chain,
    pool: Patches,
    axes: Sequence[ScanAxis],
    *,
    folder: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Scanned:
    """Look at every lens of a grid of places, by the objective and the pictures of a design.

    Args:
        chain: The design; every axis is one of its free parameters.
        pool: Patches of the design.
        axes: Which parameters, from where to where.
        folder: For the table; a scan that is there is gone on with.
        on_progress: Called with (lenses looked at, lenses).
    """
    start, names = chain.variables.read(), chain.variables.names
    for axis in axes:
        if axis.name not in names:
            raise InputError(f"scan of {axis.name}", "a parameter that is not free", " or ".join(names))
    numbers = [names.index(axis.name) for axis in axes]
    changes = [torch.linspace(axis.low, axis.high, axis.places, dtype=start.dtype) for axis in axes]
    values = tuple(
        start[number] * chain.variables.steps[number] + change for number, change in zip(numbers, changes, strict=True)
    )
    shape = tuple(axis.places for axis in axes)
    vectors = start.expand(*shape, len(start)).clone()
    for number, mesh in zip(numbers, torch.meshgrid(*values, indexing="ij"), strict=True):
        vectors[..., number] = mesh / chain.variables.steps[number]
    rows = vectors.flatten(0, -2)
    found: list[tuple[float, float]] = []
    if folder is not None:
        told: dict[str, Any] = {"kind": "scan", "lens": chain.variables.lens.name, "start": start.tolist()}
        told |= {"axes": [asdict(axis) for axis in axes], "settings": chain.settings.to_run_json()}
        begin_run(folder, told)
        found = _read(folder / SCAN_FILE)
    weights = torch.full((len(chain.settings.grid.depths_m),), 1 / len(chain.settings.grid.depths_m))
    for vector in rows[len(found) :]:
        patches, generator = draw_pictures(pool, chain.settings)
        try:
            with torch.no_grad():
                outcome = run_chain(chain, vector, patches, weights, generator, settle=chain.settles)
            found.append((float(outcome.objective_db), -float(outcome.depth_errors_db.max())))
        except InputError:  # rays that fail: not a place to begin at
            found.append((math.inf, math.nan))
        if folder is not None:
            _write(folder / SCAN_FILE, [axis.name for axis in axes], rows[:, numbers], chain, numbers, found)
        if on_progress is not None:
            on_progress(len(found), len(rows))
    table = torch.tensor(found, dtype=start.dtype)
    return Scanned(tuple(axes), values, vectors, table[:, 0].reshape(shape), table[:, 1].reshape(shape))


def choose_starts(scanned: Scanned, count: int) -> list[Tensor]:
    """The best places that have no better neighbour, then the best of the others; at most `count` vectors (P,).

    Raises:
        InputError: No place of the scan is a lens.
    """
    values = scanned.objective_db
    if not bool(values.isfinite().any()):
        raise InputError("scan", "no lens through which light comes", "other places")
    order = sorted(
        (index for index in torch.cartesian_prod(*map(torch.arange, values.shape)).reshape(-1, values.ndim).tolist()),
        key=lambda index: (_has_better_neighbour(values, index), float(values[tuple(index)])),
    )
    kept = [index for index in order if math.isfinite(float(values[tuple(index)]))]
    return [scanned.vectors[tuple(index)] for index in kept[:count]]


def _has_better_neighbour(values: Tensor, index: Sequence[int]) -> bool:
    around = tuple(slice(max(i - 1, 0), i + 2) for i in index)
    return bool(values[around].min() < values[tuple(index)])


def _judge_held(one: JointDesign, pool: Patches) -> float:
    """The objective by patches that the descents have not seen."""
    patches, generator = draw_held(pool, one.chain.settings)
    with torch.no_grad():
        return float(run_chain(one.chain, one.vector, patches, one.depth_weights, generator).objective_db)


def _read(path: Path) -> list[tuple[float, float]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [(float(row["objective_db"]), float(row["worst_psnr_db"])) for row in csv.DictReader(file)]


def _write(
    path: Path,
    names: Sequence[str],
    steps: Tensor,
    chain: Chain,
    numbers: Sequence[int],
    found: Sequence[tuple[float, float]],
) -> None:
    places = (steps * chain.variables.steps[list(numbers)]).tolist()
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*names, "objective_db", "worst_psnr_db"])
        for place, scores in zip(places, found, strict=False):
            table.writerow([*(f"{value:.10g}" for value in place), *(repr(score) for score in scores)])
