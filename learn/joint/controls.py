"""The lenses that a joint design must beat: nothing changed, the focus alone, the sharpest spots."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

import optics
from optics import FOCUS, Lens, Merit, Variable, keep_limits, optimise

from ..photos import PhotoFolder
from .design_grid import DesignGrid, trace_design
from .designing import named
from .exposures import Patches
from .iterates import Iterate
from .settings import JointSettings
from .starts import Search, search_jointly


def refocus_for_restorer(
    lens: Lens,
    photos: PhotoFolder | Patches,
    settings: JointSettings,
    *,
    folder: Path | None = None,
    on_progress: Callable[[int, Iterate], bool | None] | None = None,
) -> Search:
    """The lens at its best hyperfocal distance: the joint design with nothing free but the way to the sensor.

    It has the design's own objective, restorer, patches, number of steps and of starts, and so a better focus than any
    rule of circles of confusion would give it.

    Args:
        lens: The lens.
        photos: As `design_jointly` takes them.
        settings: Those of the joint design; its free parameters are replaced, its scan is that of the focus.
        folder: As `search_jointly` takes it.
        on_progress: As `search_jointly` takes it.
    """
    scan = tuple(axis for axis in settings.scan if axis.name == FOCUS)
    own = replace(settings, free=(FOCUS,), scan=scan, starts=settings.starts if scan else 1)
    found = search_jointly(lens, photos, own, folder=folder, on_progress=on_progress)
    best = replace(found.best, lens=named(found.best.lens, f"{lens.name}_refocused", f"{lens.title}; refocused"))
    return replace(found, best=best)


def sharpen_spots(lens: Lens, settings: JointSettings, *, others: Sequence[Lens] = (), lenses: int = 60) -> Lens:
    """The lens as classical design makes it: the smallest spots over the same depths, image heights and colours.

    Args:
        lens: The lens, whose constraints count, and where it starts.
        others: Further lenses to start from.
        settings: Whose free parameters, depths, image heights and slack count.
        lenses: Tried at most, per start.
    """
    merit = Merit(
        "spot",
        radii=settings.grid.radii,
        depths_m=settings.grid.depths_m,
        limits=keep_limits(lens, slack=settings.slack),
        rings=4,
        angles=6,
    )
    free: list[Variable | str] = list(settings.free)
    found = [
        optimise(begun, free, merit, rounds=3, iterations=max(lenses // 3, 1), tolerance=1e-3)
        for begun in (lens, *others)
    ]
    best = min(found, key=lambda one: one.after.value)
    return named(best.lens, f"{lens.name}_spot", f"{lens.title}; optimised for spots over depth")


def measure_difference(one: Lens, other: Lens, grid: DesignGrid) -> float:
    """The largest share of its light that a kernel of one lens has elsewhere than that of the other."""
    with torch.no_grad():
        kernels = [trace_design(lens, grid).kernels for lens in (one, other)]
    return float((kernels[0] - kernels[1]).abs().sum((-1, -2)).max())


def reread(lens: Lens, folder: Path) -> Lens:
    """The lens as it comes back from a .zmx file, which is written to a folder under its name."""
    path = folder / f"{lens.name}.zmx"
    optics.write_zmx(lens, path)
    return optics.read_lens_file(path).lens
