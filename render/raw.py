"""RAW files of cameras: `read_raw` (Bayer mosaics), `read_linear` (linear DNG), `read_photo` (whichever it is).

LibRaw decodes, through rawpy. What is read here is checked, named and put in one order: colours as R, Gr, Gb, B,
matrices from XYZ to the camera, white balance against green. A file that is no photograph of three colours is refused
in a line that says what it is; one that lacks something a photograph can be read without gets a warning.

Corrections that a DNG asks for in opcodes (lens shading, distortion) are kept for the DNG that is written, not applied.
"""

import math
import os
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from psf import InputError

from .bayer import PATTERNS, Pattern, find_sites, shifted_pattern
from .libraw import Decoded, decode
from .metadata import RGB_TO_XYZ
from .photographs import (
    D65,
    OPCODES_AFTER_DEMOSAIC,
    OPCODES_OF_MOSAIC,
    Area,
    ColorMatrices,
    LinearFile,
    Photograph,
    RawFile,
)
from .tiff_tags import CFA, LARGEST_EXIF_ISO, Directory, FileTags, read_camera_name

# LibRaw's flip (1 mirrors, 2 turns upside down, 4 exchanges rows and columns) -> Exif's orientation
ORIENTATIONS = (1, 2, 4, 3, 5, 8, 6, 7)
# DNG 1.7: tag -> (matrix, its light source, the calibration of this one camera), and where signatures must agree
MATRIX_TAGS = ((50721, 50778, 50723), (50722, 50779, 50724))
ANALOG_BALANCE, AS_SHOT_NEUTRAL, NOISE_PROFILE, BASELINE_EXPOSURE = 50727, 50728, 51041, 50730
CALIBRATION_SIGNATURE, PROFILE_SIGNATURE = 50931, 50932
ACTIVE_AREA, CROP_ORIGIN, CROP_SIZE = 50829, 50719, 50720
BLACK_REPEAT, BLACK_LEVEL, BLACK_DELTA_H, BLACK_DELTA_V, WHITE_LEVEL = 50713, 50714, 50715, 50716, 50717
# LibRaw cuts fractions of black levels and rounds their means; a larger difference means that the tags are not to be
# trusted (LibRaw knows cameras whose tags are wrong).
BLACK_ROUNDING_DN = 1.0
SINGLE_PRECISION = 1e-6
# ISOSpeed, RecommendedExposureIndex, StandardOutputSensitivity.
LONG_ISO_TAGS = (34867, 34866, 34865)


def read_photo(path: str | os.PathLike[str], *, masked_border: bool = False) -> RawFile | LinearFile:
    """Read a camera file, mosaic or linear.

    Args:
        path: A RAW file of any camera that LibRaw knows, or a DNG.
        masked_border: Keep the rows and columns that no light reaches; `active_area_px` then says where it does.
    """
    return _read(Path(path), masked_border)


def read_raw(path: str | os.PathLike[str], *, masked_border: bool = False) -> RawFile:
    """Read the Bayer mosaic of a camera file.

    Args:
        path: A RAW file of any camera that LibRaw knows, or a DNG.
        masked_border: Keep the rows and columns that no light reaches; `active_area_px` then says where it does.
    """
    photo = _read(Path(path), masked_border)
    if isinstance(photo, LinearFile):
        raise InputError(str(path), "linear RGB, already demosaiced", "a Bayer mosaic (read_linear reads linear files)")
    return photo


def read_linear(path: str | os.PathLike[str]) -> LinearFile:
    """Read camera RGB from a file that is demosaiced already, such as a linear DNG.

    Args:
        path: A DNG, or a camera's small RAW that LibRaw knows.
    """
    photo = _read(Path(path), False)
    if isinstance(photo, RawFile):
        raise InputError(str(path), "a Bayer mosaic", "linear RGB (read_raw reads mosaics)")
    return photo


def _read(file: Path, masked_border: bool) -> RawFile | LinearFile:
    decoded, tags = decode(file)
    doubts: list[str] = []
    if _is_linear(file, decoded, tags):
        photo: RawFile | LinearFile = _make_linear(file, decoded, tags, doubts)
    else:
        photo = _make_raw(file, decoded, tags, doubts, masked_border)
    for doubt in doubts:
        warnings.warn(f"{file}: {doubt}", stacklevel=3)
    return photo


def _is_linear(file: Path, decoded: Decoded, tags: FileTags) -> bool:
    """Whether a file is linear RGB, or a Bayer mosaic; everything else is refused by name."""
    if decoded.colour_count == 1:
        found = "a colour pattern of a single colour" if tags.raw.number(262) == CFA else "a monochrome picture"
        raise InputError(str(file), found, "a Bayer mosaic or linear RGB")
    if decoded.colour_count != 3 or not decoded.colours.startswith("RGB"):
        found = f"{decoded.colour_count} colours ({decoded.colours})"
        raise InputError(str(file), found, "a sensor of red, green and blue")
    if decoded.values.ndim == 3 and decoded.values.shape[2] in (3, 4):
        return True
    if decoded.values.ndim != 2 or decoded.pattern is None:
        raise InputError(str(file), f"pixels of shape {decoded.values.shape}", "a Bayer mosaic or linear RGB")
    if decoded.pattern.shape == (6, 6):
        raise InputError(str(file), "an X-Trans mosaic (6 x 6 pattern)", "a Bayer mosaic (2 x 2 pattern)")
    return False


def _find_pattern(file: Path, decoded: Decoded) -> Pattern:
    cell = decoded.pattern
    letters = "" if cell is None else "".join("RGBG"[index] if index < 4 else "?" for index in cell.ravel())
    for pattern in PATTERNS:
        if letters == pattern:
            return pattern
    size = "" if cell is None else f"{cell.shape[0]} x {cell.shape[1]} "
    raise InputError(str(file), f"a {size}colour pattern {letters}", "a Bayer pattern: " + ", ".join(PATTERNS))


def _make_raw(file: Path, decoded: Decoded, tags: FileTags, doubts: list[str], masked_border: bool) -> RawFile:
    pattern = _find_pattern(file, decoded)
    top, left, height, width = decoded.top_px, decoded.left_px, decoded.height_px, decoded.width_px
    rows, columns = decoded.values.shape
    if height < 2 or width < 2 or top < 0 or left < 0 or top + height > rows or left + width > columns:
        found = f"a visible area of {width} x {height} px at column {left}, row {top}"
        raise InputError(str(file), found, f"one within the sensor's {columns} x {rows} px")
    sites = find_sites(pattern)
    # LibRaw's order is that of its colour indices, two of which are green.
    black = [decoded.black_dn[_index_at(decoded, row, col)] for row, col in sites]
    # Those of a DNG count from its active area, whose corner LibRaw moves to even rows and columns.
    first_row, first_column = _find_corner(tags)
    above, before = top - first_row, left - first_column
    from_tags = _read_black(tags, [(row + above, col + before, 0) for row, col in sites], 1)
    origin = (0, 0) if masked_border else (left, top)
    mosaic = decoded.values if masked_border else decoded.values[top : top + height, left : left + width]
    has_border = masked_border and (rows, columns) != (height, width)
    return RawFile(
        torch.from_numpy(np.ascontiguousarray(mosaic)),
        shifted_pattern(pattern, -top, -left) if masked_border else pattern,
        active_area_px=(left, top, width, height) if has_border else None,
        **_read_facts(file, decoded, tags, _choose_black(black, from_tags, doubts), doubts, origin, mosaic.shape),
    )


def _index_at(decoded: Decoded, row: int, col: int) -> int:
    """LibRaw's colour index of a site of the 2 x 2 cell."""
    return int(decoded.pattern[row, col]) if decoded.pattern is not None else 0


def _make_linear(file: Path, decoded: Decoded, tags: FileTags, doubts: list[str]) -> LinearFile:
    planes = int(tags.raw.number(277) or 3)
    from_tags = _read_black(tags, [(0, 0, plane) for plane in range(3)], planes)
    black = _choose_black(list(decoded.black_dn[:3]), from_tags, doubts)
    whites = set(tags.raw.numbers(WHITE_LEVEL)[:3])
    if len(whites) > 1:
        doubts.append(f"its colours have different white levels; {decoded.white_dn:g} is used")
    top, left = decoded.top_px, decoded.left_px
    visible = decoded.values[top : top + decoded.height_px, left : left + decoded.width_px, :3]
    facts = _read_facts(file, decoded, tags, black, doubts, (left, top), visible.shape[:2])
    return LinearFile(torch.from_numpy(np.ascontiguousarray(visible.transpose(2, 0, 1))), **facts)


def _read_facts(
    file: Path,
    decoded: Decoded,
    tags: FileTags,
    black_dn: Tensor,
    doubts: list[str],
    origin: tuple[int, int],
    shape_px: Sequence[int],
) -> dict[str, Any]:
    """The fields of a `Photograph` whose pixels (H, W) begin at `origin` (column, row) of the sensor."""
    if not decoded.white_dn > float(black_dn.max()):
        found = f"white {decoded.white_dn:g} and black {float(black_dn.max()):g}"
        raise InputError(str(file), found, "white above black")
    make, model = read_camera_name(file)
    matrices = _read_matrices(decoded, tags)
    if not matrices:
        doubts.append("no colour matrix of the camera; developing it needs one")
    balance = _read_white_balance(decoded, tags)
    if balance is None:
        instead = "daylight's by the colour matrix" if matrices else "none"
        doubts.append(f"no white balance in the file; {instead} is used instead")
    return {
        "black_dn": black_dn,
        "white_dn": decoded.white_dn,
        "white_balance": balance,
        "color_matrices": matrices,
        "iso": _read_iso(decoded, tags),
        "exposure_s": _sharpen(decoded.exposure_s, tags.exif.number(33434)),
        "f_number": _sharpen(decoded.f_number, tags.exif.number(33437)),
        "focal_mm": _sharpen(decoded.focal_mm, tags.exif.number(37386)),
        "time": _read_time(decoded, tags),
        "orientation": ORIENTATIONS[decoded.flip] if 0 <= decoded.flip < len(ORIENTATIONS) else 1,
        "make": make,
        "model": model,
        "lens": tags.exif.text(42036) or decoded.lens,
        "noise_profile": _read_noise(tags),
        "baseline_exposure_ev": tags.first.number(BASELINE_EXPOSURE),
        "pixel_aspect": _positive(decoded.pixel_aspect) or 1.0,
        "opcodes": _read_opcodes(decoded, tags),
        "crop_px": _place_crop(_find_crop(decoded, tags), origin, shape_px),
    }


def _find_crop(decoded: Decoded, tags: FileTags) -> Area:
    """The maker's crop (left, top, width, height) from the sensor's first pixel, zeros if there is none."""
    first, size = (tags.find(tag).numbers(tag) for tag in (CROP_ORIGIN, CROP_SIZE))
    # LibRaw leaves out a crop that reaches to the last column.
    if tags.is_dng and len(first) == len(size) == 2 and all(math.isfinite(one) for one in (*first, *size)):
        top, left = _find_corner(tags)
        return round(first[0]) + left, round(first[1]) + top, round(size[0]), round(size[1])
    return decoded.crop_px


def _place_crop(crop: Area, origin: tuple[int, int], shape_px: Sequence[int]) -> Area | None:
    """The maker's crop as seen from `origin`, None if it is none or does not lie within the picture."""
    left, top = crop[0] - origin[0], crop[1] - origin[1]
    fits = left >= 0 and top >= 0 and 2 <= crop[2] <= shape_px[1] - left and 2 <= crop[3] <= shape_px[0] - top
    return (left, top, crop[2], crop[3]) if fits else None


def _read_black(tags: FileTags, sites: Sequence[tuple[int, int, int]], planes: int) -> list[float] | None:
    """Black of sites (row, column, plane) by the tags of a DNG, fractions and all; None if they do not tell."""
    directory = tags.find(BLACK_LEVEL)
    levels = directory.numbers(BLACK_LEVEL)
    rows, cols = (*directory.integers(BLACK_REPEAT), 1, 1)[:2]
    # More than a cell of levels would need more than a level per plane.
    if not tags.is_dng or not (1 <= rows <= 2 and 1 <= cols <= 2) or len(levels) != rows * cols * planes:
        return None
    deltas = (directory.numbers(tag) for tag in (BLACK_DELTA_H, BLACK_DELTA_V))
    shift = sum(sum(one) / len(one) for one in deltas if one)
    found = [levels[((row % rows) * cols + col % cols) * planes + plane] + shift for row, col, plane in sites]
    return found if all(math.isfinite(one) and one >= 0 for one in found) else None


def _differ_at_most_dn(some: Sequence[float], others: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(sorted(some), sorted(others), strict=True))


def _find_corner(tags: FileTags) -> tuple[int, int]:
    """First row and column of a DNG's active area."""
    area = tags.raw.integers(ACTIVE_AREA)
    return (area[0], area[1]) if len(area) == 4 else (0, 0)


def _choose_black(decoded: Sequence[float], tagged: Sequence[float] | None, doubts: list[str]) -> Tensor:
    """The tags' levels where LibRaw agrees up to rounding, else LibRaw's.

    In whatever order: where the active area begins in an odd row or column LibRaw exchanges the levels of planes.
    """
    if tagged is not None and _differ_at_most_dn(decoded, tagged) <= BLACK_ROUNDING_DN:
        return torch.tensor(tagged, dtype=torch.float32)
    if tagged is not None:
        levels = " and ".join(", ".join(f"{one:g}" for one in both) for both in (tagged, decoded))
        doubts.append(f"black levels of {levels} by its tags and by LibRaw; the latter are used")
    return torch.tensor(decoded, dtype=torch.float32).clamp_min(0)


def _read_white_balance(decoded: Decoded, tags: FileTags) -> Tensor | None:
    """Multipliers of R, G, B, G = 1; None where the file has none."""
    neutral = tags.first.numbers(AS_SHOT_NEUTRAL)
    if tags.is_dng and len(neutral) == 3 and all(math.isfinite(one) and one > 0 for one in neutral):
        # LibRaw scales these by white - black of the planes, where those differ.
        gains = [neutral[1] / one for one in neutral]
    else:
        gains = [float(one) for one in decoded.white_balance[:3]]
        # Absent comes as 0, 1, 0, with -1, or as ones.
        if not all(math.isfinite(one) and one > 0 for one in gains) or gains == [1.0, 1.0, 1.0]:
            return None
        gains = [one / gains[1] for one in gains]
    found = torch.tensor(gains, dtype=torch.float32)
    return found if bool((found.isfinite() & (found > 0)).all()) else None


def _read_matrices(decoded: Decoded, tags: FileTags) -> ColorMatrices:
    """XYZ to camera: the DNG's own, else LibRaw's table, else what LibRaw derived from other tags; none if nothing."""
    if tags.is_dng:
        same = tags.first.text(CALIBRATION_SIGNATURE) == tags.first.text(PROFILE_SIGNATURE)
        balance = _read_matrix(np.diag(_three(tags.first, ANALOG_BALANCE)).ravel())
        found = []
        for matrix_tag, light_tag, calibration_tag in MATRIX_TAGS:
            matrix = _read_matrix(tags.first.numbers(matrix_tag))
            calibration = _read_matrix(tags.first.numbers(calibration_tag)) if same else None
            if matrix is not None:
                for factor in (calibration, balance):
                    matrix = matrix if factor is None else factor @ matrix
                found.append((int(tags.first.number(light_tag) or 0), torch.from_numpy(matrix).float()))
        if found:
            return tuple(found)
    table = _read_matrix(decoded.xyz_to_camera[:3].ravel())
    if table is None:
        to_srgb = _read_matrix(decoded.camera_to_srgb[:, :3].ravel())
        table = None if to_srgb is None else _read_matrix(np.linalg.inv(RGB_TO_XYZ @ to_srgb).ravel())
    return () if table is None else ((D65, torch.from_numpy(table).float()),)


def _three(directory: Directory, tag: int) -> tuple[float, ...]:
    found = directory.numbers(tag)
    return found if len(found) == 3 else (1.0, 1.0, 1.0)


def _read_matrix(numbers: Sequence[float] | npt.NDArray[Any]) -> npt.NDArray[np.float64] | None:
    """A matrix (3, 3), None if it is none or has no inverse."""
    if len(numbers) != 9:
        return None
    matrix = np.array(numbers, dtype=np.float64).reshape(3, 3)
    if not np.isfinite(matrix).all() or np.abs(matrix).max() > 1e3 or abs(np.linalg.det(matrix)) < 1e-6:
        return None
    return matrix


def _read_iso(decoded: Decoded, tags: FileTags) -> float | None:
    if decoded.iso >= LARGEST_EXIF_ISO:
        longer = (tags.exif.number(tag) for tag in LONG_ISO_TAGS)
        return max((decoded.iso, *(one for one in longer if one is not None)))
    return _positive(decoded.iso)


def _read_time(decoded: Decoded, tags: FileTags) -> datetime | None:
    for text in (tags.exif.text(36867), tags.first.text(36867), tags.first.text(306)):
        try:
            return datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
        except ValueError:
            continue
    if decoded.time is not None and tags.is_ciff:
        # CRW counts seconds of the camera's clock, which LibRaw takes for those of universal time.
        return datetime.fromtimestamp(decoded.time.timestamp(), UTC).replace(tzinfo=None)
    return decoded.time


def _read_noise(tags: FileTags) -> Tensor | None:
    numbers = tags.find(NOISE_PROFILE).numbers(NOISE_PROFILE)
    if len(numbers) not in (2, 6) or not all(math.isfinite(one) and one >= 0 for one in numbers):
        return None
    return torch.tensor(numbers, dtype=torch.float32).reshape(-1, 2)


def _sharpen(single: float, tagged: float | None) -> float | None:
    """A number of LibRaw's in single precision, or the file's own where they agree; None if it is none."""
    found = _positive(single)
    return tagged if found and tagged and math.isclose(found, tagged, rel_tol=SINGLE_PRECISION) else found


def _read_opcodes(decoded: Decoded, tags: FileTags) -> tuple[tuple[int, bytes], ...]:
    """Corrections by tag, unless the pixels do not begin where they count from (LibRaw leaves out odd rows)."""
    if not tags.is_dng or _find_corner(tags) != (decoded.top_px, decoded.left_px):
        return ()
    lists = ((tag, tags.raw.tags.get(tag)) for tag in (OPCODES_OF_MOSAIC, OPCODES_AFTER_DEMOSAIC))
    return tuple((tag, found) for tag, found in lists if isinstance(found, bytes))


def _positive(number: float) -> float | None:
    """A number without the noise of its single precision, None if it is none."""
    return float(f"{number:.7g}") if math.isfinite(number) and number > 0 else None


__all__ = ["LinearFile", "Photograph", "RawFile", "read_linear", "read_photo", "read_raw"]
