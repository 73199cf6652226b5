"""Developing: a picture for the screen out of a RAW file, as plainly as can be.

Black and white level, white balance, demosaic, the camera's matrix to sRGB, its curve, turned upright. No noise
reduction, sharpening, tone curve or lens correction: raw converters do those, and `write_dng` feeds them.
"""

import torch
from torch import Tensor

from psf import InputError

from .bayer import find_sites
from .demosaicing import Method, check_demosaic, demosaic
from .isp import apply_matrix
from .metadata import make_metadata
from .photographs import LinearFile, RawFile
from .pictures import encode_srgb

ENCODINGS = ("srgb", "linear")
# More than any picture has; 2 to that power is still a number.
MOST_STOPS = 100.0
# So far from square pixels that it can be seen: half a percent, as LibRaw has it.
SQUARE = 0.005


def develop(
    photo: RawFile | LinearFile,
    *,
    method: Method = "malvar",
    white_balance: Tensor | None = None,
    xyz_to_camera: Tensor | None = None,
    exposure_ev: float = 0.0,
    crop: bool = True,
    encoding: str = "srgb",
) -> Tensor:
    """A photograph in sRGB, upright, with square pixels.

    What is saturated in one colour is clipped in all, so that highlights stay white. `baseline_exposure_ev` is not
    applied; add it to `exposure_ev` to see what the maker shows.

    Args:
        photo: What `read_raw` or `read_linear` gave.
        method: How to demosaic, "bilinear" or "malvar".
        white_balance: Multipliers of R, G, B, above 0, shape (3,); by default `photo.gains`.
        xyz_to_camera: Shape (3, 3); by default `photo.xyz_to_camera`.
        exposure_ev: Brighter by so many stops.
        crop: Only the part that the maker shows; else all that light reaches.
        encoding: "srgb", or "linear" for linear light with sRGB's primaries.

    Returns:
        0 to 1, float32, shape (1, 3, H, W).
    """
    check_demosaic(method)
    if encoding not in ENCODINGS:
        raise InputError("develop(encoding)", repr(encoding), "'srgb' or 'linear'")
    if not abs(exposure_ev) <= MOST_STOPS:
        raise InputError("develop(exposure_ev)", exposure_ev, f"stops from -{MOST_STOPS:g} to {MOST_STOPS:g}")
    gains, matrix = _find_colours(photo, white_balance, xyz_to_camera)
    if photo.active_area_px is not None and isinstance(photo, RawFile):
        photo = photo.cropped(*photo.active_area_px)
    camera = _balance_mosaic(photo, gains, method) if isinstance(photo, RawFile) else _balance(photo, gains)
    light = apply_matrix(camera, matrix) * 2.0**exposure_ev
    if crop and photo.crop_px is not None:
        left, top, width, height = photo.crop_px
        light = light[..., top : top + height, left : left + width]
    light = turn_upright(_square(light, photo.pixel_aspect), photo.orientation).clamp(0, 1)
    return (encode_srgb(light) if encoding == "srgb" else light).contiguous()


def turn_upright(image: Tensor, orientation: int) -> Tensor:
    """A picture as a viewer sees it.

    Args:
        image: As the sensor holds it, shape (..., H, W).
        orientation: Exif's 1 to 8.

    Returns:
        Shape (..., H, W), or (..., W, H) for 5 to 8.
    """
    if orientation not in range(1, 9):
        raise InputError("turn_upright(orientation)", orientation, "Exif's 1 to 8")
    # Exif 2.3, table 6: 5 to 8 have the picture's rows in their columns.
    turned = image.transpose(-1, -2) if orientation >= 5 else image
    flips = {2: (-1,), 3: (-2, -1), 4: (-2,), 6: (-1,), 7: (-2, -1), 8: (-2,)}
    return turned.flip(flips[orientation]) if orientation in flips else turned


def _find_colours(
    photo: RawFile | LinearFile, white_balance: Tensor | None, xyz_to_camera: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Gains (3,), the smallest 1, and the matrix from balanced camera RGB to sRGB, (1, 3, 3)."""
    gains = photo.gains if white_balance is None else white_balance
    if tuple(gains.shape) != (3,) or not bool((gains.isfinite() & (gains > 0)).all()):
        raise InputError("develop(white_balance)", gains.tolist(), "3 numbers above 0: gains of R, G, B")
    matrix = photo.xyz_to_camera if xyz_to_camera is None else xyz_to_camera
    if matrix is None:
        expected = "the camera's matrix in it, or as an argument"
        raise InputError("develop(xyz_to_camera)", "no colour matrix in the photograph", expected)
    if tuple(matrix.shape) != (3, 3) or not bool(matrix.isfinite().all()):
        raise InputError("develop(xyz_to_camera)", f"shape {tuple(matrix.shape)}", "finite numbers of shape (3, 3)")
    colours = make_metadata(matrix.double(), gains.double())
    to_srgb, failed = torch.linalg.inv_ex(colours.rgb_to_camera)
    if bool(failed.any()):
        raise InputError("develop(xyz_to_camera)", "a matrix without an inverse", "one that has an inverse")
    return (gains / gains.min()).float(), to_srgb.float()


def _balance_mosaic(photo: RawFile, gains: Tensor, method: Method) -> Tensor:
    """Balanced camera RGB (1, 3, H, W): balanced before it is demosaiced, for which grey should be grey."""
    light = photo.normalised()[0]
    red, green, blue = gains.tolist()
    for gain, (row, col) in zip((red, green, green, blue), find_sites(photo.pattern), strict=True):
        light[:, row::2, col::2].mul_(gain)
    return demosaic(light.clamp_max_(1), photo.pattern, method)


def _balance(photo: LinearFile, gains: Tensor) -> Tensor:
    return (photo.normalised() * gains[:, None, None]).clamp_max(1)


def _square(light: Tensor, pixel_aspect: float) -> Tensor:
    """Pictures (1, C, H, W) with the longer side of their pixels cut into square ones."""
    if abs(pixel_aspect - 1) <= SQUARE:
        return light
    height, width = light.shape[-2:]
    size = (height, round(width * pixel_aspect)) if pixel_aspect > 1 else (round(height / pixel_aspect), width)
    return torch.nn.functional.interpolate(light, size=size, mode="bilinear")
