"""The frames of a calibration: which files of a folder they are, what each is, which two belong together.

What a file is, is asked in this order:

1. `frames.csv` in the folder, if there is one: columns `file` and `kind` (flat, dark or scene), and if wanted `iso` and
   `pair` (the same word for the two frames of a pair). Files it does not name are not looked at.
2. Words in the file's name or in its folder's: dark, black, bias, cap; flat, white, grey, gray; scene, chart, sweep.
   `iso400` or `ISO_400` says the ISO of files that do not know it (NPY, TIFF, PNG).
3. The pixels: a frame without a word is dark if its mean lies within 0.5 % of the range of the black level, else flat.

Two frames are a pair if their names differ in a last letter a or b (`f07_a.dng`, `f07_b.dng`); else neighbours in the
order of names, of one kind, ISO and exposure time, whose brightness differs by less than 5 %.
"""

import csv
import math
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from psf import InputError
from psf.errors import one_line
from psf.runs import load_npy, load_tiff

from .bayer import PLANES, check_pattern, pack

MANIFEST = "frames.csv"
KINDS = ("flat", "dark", "scene")
WORDS = {
    **dict.fromkeys(("dark", "darks", "black", "bias", "cap", "lenscap"), "dark"),
    **dict.fromkeys(("flat", "flats", "white", "grey", "gray"), "flat"),
    **dict.fromkeys(("scene", "scenes", "chart", "sweep"), "scene"),
}
ARRAY_SUFFIXES = (".npy", ".tif", ".tiff", ".png")
RAW_SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".gpr", ".iiq", ".kdc", ".mef", ".mos", ".mrw"),
    *(".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".srw"),
)
DARK_SHARE, SAME_LIGHT = 0.005, 0.05


@dataclass(frozen=True)
class Frame:
    """One file of a calibration.

    Attributes:
        path: Where it is.
        kind: "flat", "dark", "scene", or "" while it is not known.
        iso: None while it is not known.
        pair: A word that the two frames of a pair share, or "".
        mean_dn: Of its pixels.
        black_dn: What the file says of R, Gr, Gb, B, or what the user says; None if neither does.
        white_dn: Likewise.
        exposure_s: None if the file does not say it.
    """

    path: Path
    kind: str = ""
    iso: float | None = None
    pair: str = ""
    mean_dn: float = 0.0
    black_dn: tuple[float, ...] | None = None
    white_dn: float = 0.0
    exposure_s: float | None = None


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Attributes:
        pattern: Bayer pattern, for files that do not know it (NPY, TIFF, PNG); RAW files do.
        black_dn: Instead of what files say: one number or four.
        white_dn: Instead of what files say.
        crop: Share of each side, in the middle, that is used: lenses darken the corners.
    """

    pattern: str | None = None
    black_dn: tuple[float, ...] | None = None
    white_dn: float | None = None
    crop: float = 0.5

    def __post_init__(self) -> None:
        if self.pattern is not None:
            check_pattern(self.pattern)
        if not 0 < self.crop <= 1:
            raise InputError("crop", self.crop, "a share above 0, at most 1")
        if self.white_dn is not None and not 0 < self.white_dn < math.inf:
            raise InputError("white", self.white_dn, "DN above 0")
        if self.black_dn is not None and (
            len(self.black_dn) not in (1, len(PLANES)) or not all(0 <= one < math.inf for one in self.black_dn)
        ):
            raise InputError("black", list(self.black_dn), "one number of DN, or four for R, Gr, Gb, B")


def find_frames(folder: str | os.PathLike[str]) -> list[Frame]:
    """The files of a folder that are frames, in the order of their names, and what names or `frames.csv` tell of them.

    Args:
        folder: Searched with its subfolders; hidden files are left alone.
    """
    top = Path(folder)
    if not top.exists():
        raise FileNotFoundError(f"{top}: no such folder")
    if not top.is_dir():
        raise InputError(str(top), "a file", "a folder of frames")
    if (top / MANIFEST).is_file():
        return _read_manifest(top)
    found = []
    for path in sorted(top.rglob("*"), key=lambda one: _natural(one.relative_to(top).as_posix())):
        inner = path.relative_to(top)
        hidden = any(part.startswith(".") for part in inner.parts)
        if path.is_file() and not hidden and path.suffix.lower() in (*ARRAY_SUFFIXES, *RAW_SUFFIXES):
            if path.suffix.lower() == ".png" and not _is_grey_png(path):
                continue  # a picture, such as the plot of an earlier run
            found.append(_read_name(path, inner.with_suffix("").as_posix()))
    if not found:
        raise InputError(str(top), "no frames", f"RAW files, or mosaics as {', '.join(ARRAY_SUFFIXES)}")
    return found


def find_pairs(frames: Sequence[Frame]) -> tuple[list[tuple[Frame, Frame]], list[Frame]]:
    """Frames of one kind and ISO two by two, and those that are left over.

    Args:
        frames: In the order of their names.
    """
    pairs, single = [], []
    words: dict[str, list[Frame]] = {}
    rest: list[Frame] = []
    for frame in frames:
        if frame.pair:
            words.setdefault(frame.pair, []).append(frame)
        else:
            rest.append(frame)
    for named in words.values():
        pairs += list(zip(named[::2], named[1::2], strict=False))
        # Who bears a word waits for the other one of that word, and is no neighbour's.
        single += named[len(named) // 2 * 2 :]
    while rest:
        first, *rest = rest
        if rest and _is_same_light(first, rest[0]):
            pairs.append((first, rest.pop(0)))
        else:
            single.append(first)
    return pairs, single


def read_mosaic(path: Path, reading: Reading) -> tuple[Tensor, Frame]:
    """The planes (4, h, w) in whole DN of the middle of a frame, and what its file tells."""
    suffix = path.suffix.lower()
    if suffix in ARRAY_SUFFIXES:
        if reading.pattern is None or reading.white_dn is None:
            raise InputError(str(path), "a file that knows neither pattern nor white", "--pattern and --white")
        mosaic, pattern = _read_array(path), reading.pattern
        frame = Frame(path, black_dn=reading.black_dn, white_dn=reading.white_dn)
    else:
        from .raw import read_raw

        # They concern colour.
        with warnings.catch_warnings(action="ignore"):
            raw = read_raw(path)
        mosaic, pattern = raw.mosaic.to(torch.int32), reading.pattern or raw.pattern
        black_dn = reading.black_dn or tuple(float(one) for one in raw.black)
        white_dn = reading.white_dn or float(raw.white)
        frame = Frame(path, "", raw.iso, black_dn=black_dn, white_dn=white_dn, exposure_s=raw.exposure_s)
    if frame.black_dn is not None and not max(frame.black_dn) < frame.white_dn:
        raise InputError(
            str(path), f"black {max(frame.black_dn):g} and white {frame.white_dn:g} DN", "black below white"
        )
    height, width = mosaic.shape
    rows, columns = (max(int(side * reading.crop) // 2 * 2, 2) for side in (height, width))
    top, left = (height - rows) // 4 * 2, (width - columns) // 4 * 2
    if min(rows, columns) < 64:
        raise InputError(
            str(path), f"{columns} x {rows} px of {width} x {height}", "64 x 64 px or more; or a larger crop"
        )
    part = mosaic[top : top + rows, left : left + columns]
    return pack(part, check_pattern(pattern)), replace(frame, mean_dn=float(part.double().mean()))


def look_into(frame: Frame, reading: Reading) -> Frame:
    """A frame with what its file tells: ISO, levels, and what it is if nothing else said so."""
    _, told = read_mosaic(frame.path, reading)
    if frame.iso is not None and told.iso is not None and frame.iso != told.iso:
        expected = f"ISO {frame.iso:g}, as its name or {MANIFEST} says"
        raise InputError(str(frame.path), f"ISO {told.iso:g} in the file", expected)
    iso = frame.iso if frame.iso is not None else told.iso
    if iso is None:
        raise InputError(str(frame.path), "no ISO", f"one in the file, in its name (iso400) or in {MANIFEST}")
    kind = frame.kind
    if not kind:
        if told.black_dn is None:
            expected = f"flat or dark in its name or in {MANIFEST}, or --black"
            raise InputError(str(frame.path), "nothing that says what it is", expected)
        black = sum(told.black_dn) / len(told.black_dn)
        kind = "dark" if told.mean_dn - black < DARK_SHARE * (told.white_dn - black) else "flat"
    return replace(told, kind=kind, iso=iso, pair=frame.pair)


def _is_same_light(first: Frame, second: Frame) -> bool:
    if first.exposure_s != second.exposure_s:
        return False
    black = sum(first.black_dn) / len(first.black_dn) if first.black_dn else 0.0
    brighter = max(first.mean_dn, second.mean_dn) - black
    # Dark frames are all alike.
    return first.kind == "dark" or abs(first.mean_dn - second.mean_dn) <= max(SAME_LIGHT * brighter, 1.0)


def _read_name(path: Path, words: str) -> Frame:
    tokens = re.findall(r"[a-z]+|\d+", words.lower())
    # The name counts before the folders.
    kind = next((WORDS[token] for token in reversed(tokens) if token in WORDS), "")
    iso = re.findall(r"(?<![a-z])iso[ _-]?(\d+)", words.lower())
    ending = re.fullmatch(r"(.*\d)[ _-]?[ab]|(.*)[ _-][ab]", words.lower())
    return Frame(path, kind, float(iso[-1]) if iso else None, (ending[1] or ending[2]) if ending else "")


def _read_manifest(top: Path) -> list[Frame]:
    file = top / MANIFEST
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(file), f"no CSV ({error})", "columns file, kind, and iso, pair if wanted") from error
    found = []
    for n, row in enumerate(rows, 2):
        where = f"{file}, line {n}"
        name, kind, iso = (str(row.get(key) or "").strip() for key in ("file", "kind", "iso"))
        if not name or kind not in KINDS:
            raise InputError(where, f"file {name!r} of kind {kind!r}", "a file, and " + ", ".join(KINDS))
        if not (top / name).is_file():
            raise FileNotFoundError(f"{where}: {top / name}: no such file")
        if iso and not (re.fullmatch(r"\d+(\.\d+)?", iso) and float(iso) > 0):
            raise InputError(where, f"ISO {iso!r}", "a number above 0, or nothing")
        found.append(Frame(top / name, kind, float(iso) if iso else None, str(row.get("pair") or "").strip()))
    if not found:
        raise InputError(str(file), "no rows", "columns file, kind, and iso, pair if wanted")
    return found


def _read_array(path: Path) -> Tensor:
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            samples: np.ndarray[Any, Any] = load_npy(path)
        elif suffix == ".png":
            from .png import read_png16

            samples = read_png16(path)
        else:
            samples = load_tiff(path)
    except (OSError, ValueError, KeyError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(str(path), f"no readable content ({one_line(error)})", "a mosaic") from error
    samples = samples[..., 0] if samples.ndim == 3 and samples.shape[2] == 1 else samples
    if samples.ndim != 2 or samples.dtype.kind not in "ui" or not samples.size:
        raise InputError(str(path), f"{samples.dtype} of shape {samples.shape}", "whole DN of shape (H, W)")
    return torch.from_numpy(samples.astype(np.int32))


def _is_grey_png(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(26)
    # Bits and colour type of the first chunk: 16, grey.
    return head[24:26] == b"\x10\x00"


def _natural(name: str) -> list[tuple[int, str]]:
    """Numbers in names count as numbers: f2 before f10."""
    return [(int(word), "") if word.isdecimal() else (0, word) for word in re.findall(r"\d+|\D+", name.lower())]
