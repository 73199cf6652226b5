"""What `python -m learn.deblur restore` does: photographs in, restored DNG files and pictures out, a folder at a time.

A photograph that cannot be restored does not stop the others; it is named at the end. Files are written under a
temporary name, and those that are there already are kept, so that a run that was interrupted goes on where it stopped.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from psf import InputError
from psf.runs import whole_file
from render import RawFile, develop, read_raw, write_dng, write_picture

from .comparisons import draw_comparison
from .fitting import check_lens, knows_lens, read_lens
from .outputs import COMPARISON, Format, Output, list_photos, make_folder, plan_outputs, remove_leftovers
from .restoring import AS_IT_IS, Handling, Restorer, open_restorer, restore_raw, restore_srgb

# Progress of a run is counted in thousandths of a photograph.
STEPS = 1000
DONE, SOME_FAILED, ALL_FAILED = 0, 1, 2
Say = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """Restore RAW files with a network that learn.deblur train made.

    Exit code: 0, all of them are restored; 1, some could not be, and are named; 2, none could be, or the command
    itself is wrong.
    """

    inputs: tuple[Path, ...]
    """RAW files (any Bayer pattern), or folders of them."""
    model: Path
    """The network."""
    out: Path
    """A folder; or for one photograph a file, .dng, .png or .tif."""
    format: tuple[Literal["dng", "png", "tif"], ...] = ()
    """What to write, several if wanted: dng, a restored mosaic; png or tif, developed, 16 bits. By default what --out
    says, else dng (png for a network of developed pictures)."""
    iso: float | None = None
    """Instead of what the files say."""
    iso_scale: float = 1.0
    """Tell the network so many times the ISO: 2 is smoother, 0.5 keeps more texture and noise."""
    strength: float = 1.0
    """From 0, the photograph as it was, to 1, restored."""
    field: Path | None = None
    """The lens that the photographs were taken with, a field file (.h5) or a camera's folder: refused if the network
    was trained for another one. Networks trained with --deconvolved-dpt need it."""
    any_lens: bool = False
    """Restore photographs of another lens than the network's all the same."""
    any_sensor: bool = False
    """Take each photograph for the whole of its own sensor, whatever its size."""
    window: tuple[int, int] | None = None
    """Sensor column and row of the photographs' first pixel, where they are a part of a frame."""
    before_after: bool = False
    """A picture of before and after beside each, NAME_before_after.png."""
    detail: tuple[int, int] | None = None
    """Column and row of its detail; by default where most structure was gained."""
    overwrite: bool = False
    """Write again what is there already."""
    exact: bool = True
    """As one piece would be restored; --no-exact: tile by tile, with less memory."""
    tile_cells: int = 512
    """Side of the tiles in cells of the network, halo and all."""
    device: str = "cpu"
    """Where to run the network: cpu, cuda ..."""


@dataclass(frozen=True)
class RestoreRun:
    """What came of a run.

    Attributes:
        written: Photographs that were restored.
        kept: Photographs whose files were there.
        failed: Photographs that could not be restored, and why.
    """

    written: tuple[Path, ...]
    kept: tuple[Path, ...]
    failed: tuple[tuple[Path, str], ...]

    @property
    def exit_code(self) -> int:
        """0 if there is all that was asked for, 1 if some of it, 2 if nothing."""
        if not self.failed:
            return DONE
        return SOME_FAILED if self.written or self.kept else ALL_FAILED


def run_restore(options: RestoreOptions, *, say: Say | None = None, on_progress: Progress | None = None) -> int:
    """Restore, and say what came of it.

    Args:
        options: As they were typed.
        say: Called with each line for the user; what failed comes as a warning besides.
        on_progress: Called with thousandths of photographs done and in all.

    Returns:
        The exit code: 0, 1 or 2, as `RestoreOptions` says.
    """
    return tell_run(restore_files(options, on_progress=on_progress), options.out, say)


def tell_run(made: RestoreRun, out: Path, say: Say | None) -> int:
    """Say what came of a run; its exit code.

    Args:
        made: What was done.
        out: Where it lies.
        say: Called with a line.
    """
    for photo, reason in made.failed:
        warnings.warn(f"not restored: {photo.name}: {reason}", stacklevel=2)
    if say is not None:
        kept = f", {len(made.kept)} were there (--overwrite makes them again)" if made.kept else ""
        failed = f", {len(made.failed)} failed" if made.failed else ""
        say(f"restored: {len(made.written)} of {len(made.written) + len(made.failed)}{kept}{failed}; in {out}")
    return made.exit_code


def restore_files(options: RestoreOptions, *, on_progress: Progress | None = None) -> RestoreRun:
    """Restore photographs to files.

    Args:
        options: As they were typed.
        on_progress: As in `run_restore`.

    Raises:
        InputError: Nothing can be restored by these options.
        FileNotFoundError: There is no such network, field or folder.
    """
    handling = make_handling(options)
    lens = None if options.field is None else read_lens(options.field)
    restorer = open_restorer(options.model, field=lens, device=_find_device(options.device))
    formats = _choose_formats(options, restorer)
    planned = plan_outputs(list_photos(options.inputs), options.out, formats, comparison=options.before_after)
    if options.field is not None and not options.any_lens:
        check_lens(lens, options.field, restorer.notes, restorer.source)
    make_folder(options.out, planned)
    unknown = 0

    def restore_one(output: Output, missing: tuple[Path, ...], step: Progress | None) -> None:
        nonlocal unknown
        unknown += not restore_file(output, missing, restorer, options, handling, on_progress=step)

    made = restore_each(planned, restore_one, overwrite=options.overwrite, on_progress=on_progress)
    if unknown:
        files = "file says" if unknown == 1 else "files say"
        told = f"{unknown} {files} nothing of the lens that {restorer.source} was trained for ({restorer.notes.lens!r})"
        warnings.warn(f"{told}; --field checks it, --any-lens says that it does not matter", stacklevel=2)
    return made


def restore_each(
    planned: Sequence[Output],
    restore: Callable[[Output, tuple[Path, ...], Progress | None], None],
    *,
    overwrite: bool,
    on_progress: Progress | None = None,
) -> RestoreRun:
    """Restore photographs one after the other; one that fails does not stop the others.

    Args:
        planned: Photographs and their files.
        restore: Called with a photograph, those of its files that are to be written, and its own progress.
        overwrite: Whether files that are there are written again.
        on_progress: As in `run_restore`.
    """
    written: list[Path] = []
    kept: list[Path] = []
    failed: list[tuple[Path, str]] = []
    for number, output in enumerate(planned):
        missing = output.missing(overwrite)
        for path in output.files:
            remove_leftovers(path)
        if not missing:
            kept.append(output.source)
        else:
            step = None if on_progress is None else _scale_progress(on_progress, number, len(planned))
            try:
                restore(output, missing, step)
                written.append(output.source)
            except (InputError, OSError) as error:
                failed.append((output.source, _shorten(error, output.source)))
        if on_progress is not None:
            on_progress((number + 1) * STEPS, len(planned) * STEPS)
    return RestoreRun(tuple(written), tuple(kept), tuple(failed))


def restore_file(
    output: Output,
    missing: tuple[Path, ...],
    restorer: Restorer,
    options: RestoreOptions,
    handling: Handling = AS_IT_IS,
    *,
    on_progress: Progress | None = None,
) -> bool:
    """Restore one photograph and write those of its files that are missing.

    Args:
        output: The photograph and its files.
        missing: Those to write.
        restorer: The network.
        options: For lens and detail.
        handling: How.
        on_progress: Called with steps done and in all.

    Returns:
        Whether anything says that the lens is the network's, or that it does not matter.
    """
    photo = read_raw(output.source)
    known = options.any_lens or options.field is not None
    if not options.any_lens:
        known = knows_lens(photo, restorer.notes, restorer.source) or known
    pictures = output.developed(missing)
    if output.comparison in missing or pictures:
        check_colours(photo)
    if restorer.is_of_mosaics:
        restored = restore_raw(photo, restorer, handling, on_progress=on_progress)
        for form, path in output.pictures:
            if form == "dng" and path in missing:
                write_dng(path, restored, software=name_software(restorer, options))
        after = develop(restored) if output.comparison in missing or pictures else None
    else:
        after = restore_srgb(photo, restorer, handling, on_progress=on_progress)
    for path in pictures:
        assert after is not None
        write_developed(path, after)
    if output.comparison is not None and output.comparison in missing:
        assert after is not None
        plain = photo if restorer.is_of_mosaics else replace(photo, pixel_aspect=1.0)
        iso = options.iso or photo.iso
        told = "" if iso is None else f", ISO {iso:g}"
        name = output.comparison.name.removesuffix(COMPARISON)
        caption = f"{name}{told}, restored by {restorer.source}"
        write_comparison(output.comparison, develop(plain), after, caption, options.detail)
    return known


def make_handling(options: RestoreOptions) -> Handling:
    """How photographs are restored by a command line.

    Args:
        options: As they were typed.
    """
    try:
        return Handling(
            iso=options.iso,
            iso_scale=options.iso_scale,
            strength=options.strength,
            exact=options.exact,
            tile_cells=options.tile_cells,
            window_px=options.window,
            any_sensor=options.any_sensor,
        )
    except InputError as error:
        raise InputError("--" + error.where.replace("_", "-"), error.found, error.expected) from error


def name_software(restorer: Restorer, options: RestoreOptions) -> str:
    """What a restored DNG says that it was made by.

    Args:
        restorer: The network.
        options: As they were typed.
    """
    version = name_version()
    scale = "" if options.iso_scale == 1 else f", ISO x {options.iso_scale:g}"
    strength = "" if options.strength == 1 else f", strength {options.strength:g}"
    text = f"{version}: restored by {restorer.source} for the lens {restorer.notes.lens or 'unnamed'}{scale}{strength}"
    return text.encode("ascii", "replace").decode()  # TIFF's texts are ASCII


def name_version() -> str:
    """Psfield and its version, where it is installed."""
    try:
        return f"psfield {metadata.version('psfield')}"
    except metadata.PackageNotFoundError:
        return "psfield"


def _choose_formats(options: RestoreOptions, restorer: Restorer) -> tuple[Format, ...]:
    if restorer.is_of_mosaics:
        return options.format
    if "dng" in options.format or (not options.format and options.out.suffix.lower() == ".dng"):
        found = f"dng for {restorer.source}, a network of developed pictures"
        raise InputError("--format", found, "png or tif")
    named = options.out.suffix.lower() in (".png", ".tif", ".tiff") and not options.out.is_dir()
    return options.format or (() if named else ("png",))


def _find_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError("--device", repr(name), "cpu, cuda, cuda:0 ...") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("--device", repr(name), "cpu: torch sees no GPU here")
    return device


def write_developed(path: Path, srgb: Tensor) -> None:
    """Write a developed picture (1, 3, H, W) as it is seen, 16 bits."""
    # These are sRGB's own values, which "linear" writes as they are.
    write_picture(path, srgb, encoding="linear", bits=16)


def check_colours(photo: RawFile) -> None:
    """Refuse a photograph that cannot be developed."""
    if photo.xyz_to_camera is None:
        raise InputError("colours", "no colour matrix of the camera", "one, or --format dng without --before-after")


def write_comparison(
    path: Path, before: Tensor, after: Tensor, told: str, detail_px: tuple[int, int] | None = None
) -> None:
    """A sheet of before and after, (1, 3, H, W) of the same size; `told` says what is seen."""
    sheet = draw_comparison(before, after, caption=told, detail_px=detail_px)
    with whole_file(path) as part:
        sheet.save(part, "PNG")


def _scale_progress(on_progress: Progress, number: int, count: int) -> Progress:
    """Steps of photograph `number` of `count` as thousandths of all; its last one is its files."""
    return lambda done, of: on_progress(number * STEPS + (STEPS - 1) * done // of, count * STEPS)


def _shorten(error: Exception, photo: Path) -> str:
    """An error in one line, without the photograph's name in front, which is said anyway."""
    return " ".join(str(error).split()).removeprefix(f"{photo}: ")
