"""What the command line does with RAW files."""

from pathlib import Path

import torch

from psf import InputError

from .demosaicing import Method
from .developing import develop
from .metadata import RGB_TO_XYZ
from .pictures import check_writable, write_picture
from .raw import read_photo


def develop_command(
    raw: Path,
    out: Path,
    *,
    bits: int | None = None,
    method: Method = "malvar",
    white_balance: tuple[float, float, float] | None = None,
    camera_colours: bool = False,
    exposure_ev: float = 0.0,
    crop: bool = True,
) -> Path:
    """Develop a RAW file or a DNG into a picture file.

    Args:
        raw: The camera file, mosaic or linear.
        out: The picture, .png, .tif, .exr or .npy.
        bits: Per sample; by default 16 for integers (PNG, TIFF), 32 for floats.
        method: How to demosaic, "bilinear" or "malvar".
        white_balance: Multipliers of R, G, B instead of the file's.
        camera_colours: Take the camera's colours for sRGB's, for cameras of whose colours nobody knows.
        exposure_ev: Brighter by so many stops.
        crop: Only the part that the maker shows.

    Returns:
        `out`.
    """
    if bits is None and out.suffix.lower() == ".png":
        bits = 16
    check_writable(out, bits)
    photo = read_photo(raw)
    if photo.xyz_to_camera is None and not camera_colours:
        raise InputError(str(raw), "no colour matrix of the camera", "one, or --camera-colours to do without")
    light = develop(
        photo,
        method=method,
        white_balance=None if white_balance is None else torch.tensor(white_balance),
        xyz_to_camera=torch.linalg.inv(torch.tensor(RGB_TO_XYZ)) if camera_colours else None,
        exposure_ev=exposure_ev,
        crop=crop,
        encoding="linear",
    )
    write_picture(out, light, bits=bits)
    return out
