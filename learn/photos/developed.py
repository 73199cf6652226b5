"""A folder of RAW files, or of very large pictures, developed once into pictures that are quickly read.

The copies are JPEG of high quality with colours at full resolution and a restart marker per row of blocks, so that a
crop costs as much as its rows.
"""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from psf import InputError
from psf.errors import one_line
from render.noise import write_whole

from .decoding import OpenPhoto
from .photo_index import list_files

QUALITY = 96


@dataclass(frozen=True)
class Development:
    """What became of a folder.

    Attributes:
        written: Names in the new folder.
        kept: Names that were there already, newer than their originals.
        failed: Pairs of a name in the old folder and why it was left out.
    """

    written: tuple[str, ...]
    kept: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


def develop_photos(
    folder: str | Path,
    out: str | Path,
    *,
    longest_px: int | None = None,
    quality: int = QUALITY,
    workers: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> Development:
    """Copy photographs, developed, into another folder; what is there already stays.

    Args:
        folder: JPEG, PNG, TIFF, DNG and RAW files count; folders in it are kept.
        out: The folder to write to, made if it does not exist.
        longest_px: Longer pictures are shrunk to that, which also sharpens them.
        quality: Of the JPEG files, 1 to 100.
        workers: So many threads.
        on_progress: Called with the number of files done and of all.
    """
    source, target = Path(folder), Path(out)
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: no such folder")
    # Inside it copies would be developed again the next time, and every photograph would be drawn twice.
    if source.resolve() in (target.resolve(), *target.resolve().parents):
        raise InputError("develop_photos(out)", str(target), "another folder, outside that of the originals")
    if longest_px is not None and longest_px < 64:
        raise InputError("develop_photos(longest_px)", longest_px, "at least 64 px")
    if not 1 <= quality <= 100 or workers < 1:
        raise InputError("develop_photos(quality, workers)", (quality, workers), "1 to 100, and at least 1")
    names = list_files(source)
    if not names:
        raise InputError(str(source), "no picture", "at least one")

    def develop_one(name: str) -> tuple[str, str, str]:
        # The whole old name stays in the new one: two files of one stem do not meet.
        new = f"{name}.jpg"
        goal = target / new
        try:
            if goal.is_file() and goal.stat().st_mtime_ns >= (source / name).stat().st_mtime_ns:
                return "kept", new, ""
            goal.parent.mkdir(parents=True, exist_ok=True)
            write_whole(goal, _develop(source / name, longest_px, quality))
        except (InputError, ImportError, OSError) as error:
            return "failed", name, one_line(error)
        return "written", new, ""

    target.mkdir(parents=True, exist_ok=True)
    results: list[tuple[str, str, str]] = []
    with ThreadPoolExecutor(workers) as pool:
        for result in pool.map(develop_one, names):
            results.append(result)
            if on_progress:
                on_progress(len(results), len(names))
    return Development(
        tuple(name for what, name, _ in results if what == "written"),
        tuple(name for what, name, _ in results if what == "kept"),
        tuple((name, why) for what, name, why in results if what == "failed"),
    )


def _develop(path: Path, longest_px: int | None, quality: int) -> bytes:
    from PIL import Image

    opened = OpenPhoto(path)
    height, width = opened.shape_px
    scale = min(1.0, (longest_px or max(height, width)) / max(height, width))
    size = (max(round(height * scale), 1), max(round(width * scale), 1))
    samples = opened.cut((0, 0, width, height), size)
    if samples.dtype != "uint8":
        samples = ((samples.astype("uint32") * 255 + 32767) // 65535).astype("uint8")
    written = io.BytesIO()
    # Upright pixels, and no metadata but the photographer's name, which splits need.
    exif = Image.Exif()
    if opened.artist:
        exif[0x013B] = opened.artist
    picture = Image.fromarray(samples)
    picture.save(written, "JPEG", quality=quality, subsampling=0, restart_marker_rows=1, exif=exif)
    return written.getvalue()
