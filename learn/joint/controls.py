"""The lenses that a joint design must beat: nothing changed, the focus alone, the sharpest spots."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optics
from optics import FOCUS, Lens, Merit, Variable, keep_limits, optimise

from ..photos import PhotoFolder
from .designing import design_jointly, named
from .exposures import Patches
from .iterates import Iterate
from .settings import JointSettings


def refocus_for_restorer(
    lens: Lens,
    photos: PhotoFolder | Patches,
    settings: JointSettings,
    *,
    folder: Path | None = None,
    on_progress: Callable[[Iterate], bool | None] | None = None,
) -> Lens:
    """The lens at its best hyperfocal distance: the joint design with nothing free but the way to the sensor.

    It has the design's own objective, restorer, patches and number of steps, and so a better focus than any rule of
    circles of confusion would give it.

    Args:
        lens: The lens.
        photos: As `design_jointly` takes them.
        settings: Those of the joint design; its free parameters are replaced.
        folder: As `design_jointly` takes it.
        on_progress: As `design_jointly` takes it.
    """
    found = design_jointly(lens, photos, replace(settings, free=(FOCUS,)), folder=folder, on_progress=on_progress)
    return named(found.lens, f"{lens.name}_refocused", f"{lens.title}; refocused")


def sharpen_spots(lens: Lens, settings: JointSettings, *, lenses: int = 60) -> Lens:
    """The lens as classical design makes it: the smallest spots over the same depths, image heights and colours.

    Args:
        lens: The lens.
        settings: Whose free parameters, depths, image heights and slack count.
        lenses: Tried at most, per round of three.
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
    found = optimise(lens, free, merit, rounds=3, iterations=max(lenses // 3, 1), tolerance=1e-3)
    return named(found.lens, f"{lens.name}_spot", f"{lens.title}; optimised for spots over depth")


def reread(lens: Lens, folder: Path) -> Lens:
    """The lens as it comes back from a .zmx file, which is written to a folder under its name."""
    path = folder / f"{lens.name}.zmx"
    optics.write_zmx(lens, path)
    return optics.read_lens_file(path).lens
