"""What `python -m learn.deblur deconvolve` does: photographs restored by their lens's kernels, without a network."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from psf import InputError, PolarPSFField
from render import develop, read_raw, write_dng
from render.camera import Camera

from ..synthesis_options import read_field
from .commands_restore import (
    Progress,
    Say,
    check_colours,
    name_version,
    restore_each,
    tell_run,
    write_comparison,
    write_developed,
)
from .fitting import SIMULATED_MAKE
from .lens_restoring import CAUTION, LensHandling, restore_by_lens
from .outputs import COMPARISON, Output, list_photos, make_folder, plan_outputs


@dataclass(frozen=True, kw_only=True)
class DeconvolveOptions:
    """Restore RAW files with the field of their lens alone: depth is read off the blur, a Wiener filter undoes it.

    Best for what lies flat and far out of focus, such as a page held too near; a trained network (restore) is better
    where blur is small or depth changes from pixel to pixel. Exit codes as for restore.
    """

    inputs: tuple[Path, ...]
    """RAW files (any Bayer pattern), or folders of them."""
    field: Path
    """The lens: a field file (.h5), traced or estimated, or a camera's folder."""
    out: Path
    """A folder; or for one photograph a file, .dng, .png or .tif."""
    format: tuple[Literal["dng", "png", "tif"], ...] = ()
    """What to write, several if wanted: dng, a restored mosaic; png or tif, developed, 16 bits. By default what --out
    says, else dng."""
    depth_m: float | None = None
    """How far away all of it is, if that is known."""
    caution: float = CAUTION
    """The noise counts so many times: 1 is sharpest, 100 is for photographs with much depth."""
    window: tuple[int, int] | None = None
    """Sensor column and row of the photographs' first pixel, where they are a part of a frame."""
    any_lens: bool = False
    """Restore photographs that name another lens all the same."""
    before_after: bool = False
    """A picture of before and after beside each, NAME_before_after.png."""
    detail: tuple[int, int] | None = None
    """Column and row of its detail; by default where most structure was gained."""
    overwrite: bool = False
    """Write again what is there already."""


def run_deconvolve(options: DeconvolveOptions, *, say: Say | None = None, on_progress: Progress | None = None) -> int:
    """Restore, and say what came of it.

    Args:
        options: As they were typed.
        say: Called with each line for the user; what failed comes as a warning besides.
        on_progress: Called with thousandths of photographs done and in all.

    Returns:
        The exit code: 0, 1 or 2, as for `restore`.
    """
    handling = make_handling(options)
    field = open_field(options.field)
    planned = plan_outputs(list_photos(options.inputs), options.out, options.format, comparison=options.before_after)
    make_folder(options.out, planned)

    def restore_one(output: Output, missing: tuple[Path, ...], step: Callable[[int, int], None] | None) -> None:
        restore_file(output, missing, field, options, handling, on_progress=step)

    made = restore_each(planned, restore_one, overwrite=options.overwrite, on_progress=on_progress)
    return tell_run(made, options.out, say)


def restore_file(
    output: Output,
    missing: tuple[Path, ...],
    field: PolarPSFField,
    options: DeconvolveOptions,
    handling: LensHandling,
    *,
    on_progress: Progress | None = None,
) -> None:
    """Restore one photograph and write those of its files that are missing.

    Args:
        output: The photograph and its files.
        missing: Those to write.
        field: Of its lens.
        options: For lens and detail.
        handling: How.
        on_progress: Called with steps done and in all.
    """
    photo = read_raw(output.source)
    lens = field.provenance.lens
    if not options.any_lens and photo.make == SIMULATED_MAKE and lens and photo.lens and photo.lens != lens:
        raise InputError("lens", photo.lens, f"{lens}, whose field was given; --any-lens does without")
    pictures = output.developed(missing)
    if output.comparison in missing or pictures:
        check_colours(photo)
    restored = photo.with_mosaic(restore_by_lens(photo, field, handling, on_progress=on_progress))
    software = f"{name_version()}: restored by the kernels of the lens {lens or 'unnamed'}"
    for form, path in output.pictures:
        if form == "dng" and path in missing:
            write_dng(path, restored, software=software.encode("ascii", "replace").decode())
    if output.comparison not in missing and not pictures:
        return
    after = develop(restored)
    for path in pictures:
        write_developed(path, after)
    if output.comparison is not None and output.comparison in missing:
        told = f"{output.comparison.name.removesuffix(COMPARISON)}, restored by its lens's kernels"
        write_comparison(output.comparison, develop(photo), after, told, options.detail)


def make_handling(options: DeconvolveOptions) -> LensHandling:
    """How photographs are restored by a command line.

    Args:
        options: As they were typed.
    """
    try:
        return LensHandling(caution=options.caution, depth_m=options.depth_m, window_px=options.window)
    except InputError as error:
        raise InputError("--" + error.where.replace("_", "-"), error.found, error.expected) from error


def open_field(path: Path) -> PolarPSFField:
    """A lens, by a field file or a camera's folder, in single precision.

    Args:
        path: As it was typed.
    """
    field = Camera.load(path).to(dtype=torch.float32).field if path.is_dir() else read_field(path)
    if field is None:
        raise InputError(f"--field {path}", "a camera without a lens", "a field")
    if field.kernels.shape[2] != 3:
        raise InputError(f"--field {path}", f"{field.kernels.shape[2]} channels", "red, green and blue")
    return field
