"""What the command line does with lens files of other programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from psf.errors import InputError

from .files.notices import Notice
from .files.opening import read_lens_file
from .files.zemax_writer import write_zmx
from .lens import Lens
from .paraxial import first_order
from .prescriptions import save

WRITABLE = (".json", ".zmx")


@dataclass(frozen=True)
class Converted:
    """What became of a lens file.

    Attributes:
        lens: The lens.
        read: What reading it had to tell.
        written: What writing it had to tell.
        out: The file that was written.
    """

    lens: Lens
    read: tuple[Notice, ...]
    written: tuple[Notice, ...]
    out: Path


def convert_command(
    file: Path,
    out: Path,
    *,
    catalogue: Sequence[Path] = (),
    lenient: bool = False,
    pitch_um: float | None = None,
    image_shape_px: tuple[int, int] | None = None,
) -> Converted:
    """Read a lens file and write it in another format.

    Args:
        file: .zmx, .zar, .seq, or .json of DeepLens or our own.
        out: .json or .zmx.
        catalogue: Glass catalogues, AGF files or folders of them.
        lenient: Leave out what bends or blocks light and has no counterpart.
        pitch_um: Pixel pitch of the sensor.
        image_shape_px: Its height and width in pixels.

    Raises:
        FileNotFoundError: No such file, catalogue or folder.
        InputError: It is no lens that we can hold, or no format that we write.
    """
    if out.suffix.lower() not in WRITABLE:
        raise InputError("--out", f"the suffix {out.suffix!r}", " or ".join(WRITABLE))
    if not out.parent.is_dir():
        raise FileNotFoundError(f"{out.parent}: no such folder to write {out.name} to")
    if out.exists() and file.exists() and out.samefile(file):
        raise InputError("--out", str(out), "another file than the one that is read")
    found = read_lens_file(
        file, catalogues=catalogue, strict=not lenient, pitch_um=pitch_um, image_shape_px=image_shape_px
    )
    told: tuple[Notice, ...] = ()
    if out.suffix.lower() == ".zmx":
        told = write_zmx(found.lens, out)
    else:
        save(found.lens, out)
    return Converted(found.lens, found.notices, told, out)


def tabulate(made: Converted) -> list[str]:
    """Lines that tell what was converted and everything that was skipped, guessed or lost."""
    lens = made.lens
    lines = [f"{lens.name}: {len(lens.surfaces)} surfaces, stop {lens.stop_surface}"]
    try:
        facts = first_order(lens)
        lines[0] += f", focal length {float(facts.efl_mm):.6g} mm, f/{abs(float(facts.f_number_infinity)):.4g}"
    except InputError:
        lines[0] += ", no focal length"
    height, width = lens.sensor.image_shape_px
    lines.append(f"sensor: {width} x {height} px of {lens.sensor.pitch_um:.6g} um")
    lines += [f"reading: {one}" for one in made.read]
    lines += [f"writing: {one}" for one in made.written]
    return lines
