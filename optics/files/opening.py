"""Lens files of every format: which reader a file needs, and what came of it."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from psf.errors import InputError
from psf.files.texts import decode_text

from ..entries import parse_json
from ..lens import Lens
from ..prescriptions import from_json
from .agf import Catalogue, parse_agf, read_catalogues
from .assembly import assemble
from .codev import read_seq
from .deeplens import parse_deeplens, read_deeplens
from .drafts import Draft, Fields
from .materials import merge_catalogues
from .notices import Log, Notice
from .texts import read_bytes
from .zar import unpack_zar
from .zemax import read_zmx

Format = Literal["psfield", "deeplens", "zemax", "zemax archive", "code v"]
_SUFFIXES: dict[str, Format] = {".zmx": "zemax", ".seq": "code v", ".zar": "zemax archive"}


@dataclass(frozen=True, eq=False)
class LensFile:
    """What a lens file holds.

    Attributes:
        lens: The lens.
        format: Which reader made it.
        notices: Everything that was skipped or guessed, by line.
        wavelengths_um: The file's own, in its order; the lens's channels are for the sensor.
        weights: One per wavelength.
        fields: The file's field points.
    """

    lens: Lens
    format: Format
    notices: tuple[Notice, ...] = ()
    wavelengths_um: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    fields: Fields = field(default_factory=Fields)


def read_lens_file(
    path: str | os.PathLike[str],
    *,
    catalogues: Sequence[str | os.PathLike[str]] = (),
    strict: bool = True,
    image_shape_px: tuple[int, int] | None = None,
    pitch_um: float | None = None,
) -> LensFile:
    """Read a lens file of Zemax (.zmx, .zar), CODE V (.seq), DeepLens or our own (.json).

    Args:
        path: The file; its content decides where the ending does not.
        catalogues: AGF files or folders of them, for glasses that the package does not have.
        strict: Refuse what bends or blocks light and has no counterpart here; else leave it out and say so.
        image_shape_px: (height, width) of the sensor, where the file has none or another is wanted.
        pitch_um: Its pixel pitch.

    Raises:
        FileNotFoundError: No such file or catalogue.
        InputError: It is no lens that we can hold; file and line (or key) stand in front.
    """
    _check_sensor(image_shape_px, pitch_um)
    place = Path(path)
    content = read_bytes(place)
    given = read_catalogues(catalogues)

    def beside() -> tuple[Catalogue, ...]:
        return _siblings(place)

    found = read_lens_bytes(
        content,
        str(path),
        catalogues=given,
        siblings=beside,
        strict=strict,
        image_shape_px=image_shape_px,
        pitch_um=pitch_um,
    )
    return replace(found, lens=replace(found.lens, file_sha256=hashlib.sha256(content).hexdigest()))


def read_lens_bytes(
    content: bytes,
    file: str,
    *,
    catalogues: Sequence[Catalogue] = (),
    siblings: Callable[[], tuple[Catalogue, ...]] = tuple,
    strict: bool = True,
    image_shape_px: tuple[int, int] | None = None,
    pitch_um: float | None = None,
) -> LensFile:
    """The same from bytes.

    Args:
        content: The file.
        file: What it is called: messages begin with it, and its ending names the format.
        catalogues: Glass catalogues.
        siblings: Makes the catalogues beside the file, if it names any.
        strict: As in `read_lens_file`, and so are the others.
        image_shape_px: (height, width).
        pitch_um: Pixel pitch.

    Raises:
        InputError: It is no lens that we can hold.
    """
    log = Log(file, strict=strict)
    kind = find_format(content, file)
    if kind == "psfield":
        lens = from_json(parse_json(content, file), file)
        height, width = image_shape_px or lens.sensor.image_shape_px
        sensor = replace(lens.sensor, image_shape_px=(height, width), pitch_um=pitch_um or lens.sensor.pitch_um)
        return LensFile(replace(lens, sensor=sensor), kind)
    draft = _read(kind, content, file, log, catalogues, siblings)
    lens = assemble(draft, log, image_shape_px=image_shape_px, pitch_um=pitch_um)
    return LensFile(lens, kind, log.notices(), draft.wavelengths_um, draft.weights, draft.fields)


def find_format(content: bytes, file: str) -> Format:
    """Which format a file has, by its ending, else by its content.

    Args:
        content: The file.
        file: Its name.
    """
    suffix = Path(file.replace("\\", "/")).suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if content[:1] in (b"\xea", b"\xec") and suffix != ".json":
        return "zemax archive"
    text = decode_text(content[:100_000])[0].lstrip()
    if suffix != ".json" and not text.startswith("{"):
        words = {line.split()[0].upper() for line in text.splitlines() if line.split()}
        if "SURF" in words:
            return "zemax"
        if words & {"SO", "RDM;LEN", "RDM", "LEN"}:
            return "code v"
    return "psfield" if parse_deeplens(content) is None else "deeplens"


def _read(
    kind: Format,
    content: bytes,
    file: str,
    log: Log,
    catalogues: Sequence[Catalogue],
    siblings: Callable[[], tuple[Catalogue, ...]],
) -> Draft:
    if kind == "zemax":
        named = b"GCAT" in content or b"G\0C\0A\0T" in content
        return read_zmx(content, file, log, catalogues, siblings() if named else ())
    if kind == "code v":
        return read_seq(content, file, log, catalogues)
    if kind == "zemax archive":
        return _read_archive(content, file, log, catalogues)
    data = parse_deeplens(content)
    assert data is not None
    return read_deeplens(data, file, log, catalogues)


def _read_archive(content: bytes, file: str, log: Log, catalogues: Sequence[Catalogue]) -> Draft:
    parts = unpack_zar(content, file)
    lenses = [name for name in parts if name.lower().endswith(".zmx")]
    if not lenses:
        log.fail(0, f"no .zmx among {len(parts)} files", "an archive with a lens")
    if len(lenses) > 1:
        log.note("guessed", f"{len(lenses)} lenses in the archive: {lenses[0]} is taken")
    inner: list[Catalogue] = []
    for name, data in parts.items():
        if name.lower().endswith(".agf"):
            inner.append(parse_agf(data, f"{file}/{name}"))
        elif name != lenses[0]:
            log.note("skipped", f"{name[:60]} in the archive")
    log.file = f"{file}/{lenses[0]}"
    return read_zmx(parts[lenses[0]], log.file, log, merge_catalogues(catalogues, inner))


def _siblings(path: Path) -> tuple[Catalogue, ...]:
    """Catalogues in the file's own folder."""
    try:
        files = sorted(one for one in path.parent.iterdir() if one.suffix.lower() == ".agf" and one.is_file())
    except OSError:
        return ()
    return read_catalogues(files)


def _check_sensor(image_shape_px: tuple[int, int] | None, pitch_um: float | None) -> None:
    if image_shape_px is not None and (
        len(image_shape_px) != 2 or any(int(n) != n or not 1 <= n <= 1_000_000 for n in image_shape_px)
    ):
        raise InputError("image_shape_px", image_shape_px, "(height, width), whole numbers from 1")
    if pitch_um is not None and not 1e-3 <= pitch_um <= 1e6:
        raise InputError("pitch_um", pitch_um, "a number from 0.001 to 1e6")
