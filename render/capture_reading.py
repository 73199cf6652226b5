"""Photographs of a calibration as `psf.read_captures` wants them: RAW, DNG, TIFF, PNG, EXR and NPY to linear light."""

from pathlib import Path

import torch
from torch import Tensor

from psf import InputError
from psf.capture_files import CapturePhoto, bin_pixels

from .bayer import pack
from .photographs import LinearFile, RawFile
from .pictures import READABLE, read_picture
from .raw import read_photo

# Of white, from where a pixel counts as saturated: sensors end a little below their white level.
SATURATED = 0.995


def read_capture(file: Path, bin_px: int, encoding: str) -> CapturePhoto:
    """A photograph in linear light.

    A Bayer mosaic becomes R, the mean of both greens, and B, in the camera's own colours: no demosaicing, no matrix,
    no white balance, which kernels do not ask for. Every `bin_px` x `bin_px` sites give one pixel.

    Args:
        file: A RAW file, DNG, TIFF, PNG, JPEG, EXR or NPY.
        bin_px: How many pixels a side become one; even for a mosaic.
        encoding: Of pictures: "linear", "srgb", or "auto", which takes integers as sRGB. RAW files are linear.
    """
    if file.suffix.lower() in READABLE:
        light = read_picture(file, encoding=encoding)[0]
        # 16 bits in a TIFF are sRGB or linear by the caller's word; eight bits never are linear light.
        is_whole = file.suffix.lower() in (".png", ".jpg", ".jpeg", ".tif", ".tiff")
        clipped = _bin_mask((light >= 1).any(0), bin_px) if is_whole else None
        curved = encoding == "srgb" or (encoding == "auto" and _is_whole_number(file))
        return CapturePhoto(light=bin_pixels(light, bin_px), clipped=clipped, was_curved=curved)
    photo = read_photo(file)
    light = _separate(file, photo, bin_px)
    facts = {name: getattr(photo, name) for name in ("f_number", "focal_mm", "exposure_s", "iso")}
    step = bin_px // 2 if isinstance(photo, RawFile) else bin_px
    clipped = _bin_mask((light >= SATURATED).any(0), step)
    if isinstance(photo, RawFile):
        light = torch.stack([light[0], (light[1] + light[2]) / 2, light[3]])
    return CapturePhoto(light=bin_pixels(light, step), clipped=clipped, is_raw=True, **facts)


def _separate(file: Path, photo: RawFile | LinearFile, bin_px: int) -> Tensor:
    """Planes of light as the sensor holds them, not turned upright: R, Gr, Gb, B at half the size, or R, G, B."""
    if isinstance(photo, LinearFile):
        return photo.normalised()[0]
    if bin_px % 2:
        raise InputError(
            f"{file}: bin", bin_px, "an even number for a Bayer mosaic: a pixel of three colours takes 2 x 2"
        )
    return pack(photo.normalised()[0], photo.pattern, crop=True).reshape(4, *(side // 2 for side in photo.shape_px))


def _bin_mask(mask: Tensor, bin_px: int) -> Tensor:
    """Where any of the pixels is set that become one, from (H, W)."""
    if bin_px == 1:
        return mask
    return torch.nn.functional.max_pool2d(mask.float()[None, None], bin_px)[0, 0] > 0


def _is_whole_number(file: Path) -> bool:
    """Whether a file of `READABLE` holds integers."""
    suffix = file.suffix.lower()
    if suffix in (".png", ".jpg", ".jpeg"):
        return True
    if suffix in (".tif", ".tiff"):
        import tifffile

        with tifffile.TiffFile(file) as opened:
            return opened.pages.first.dtype is not None and opened.pages.first.dtype.kind in "ui"
    if suffix == ".npy":
        import numpy as np

        return np.load(file, mmap_mode="r", allow_pickle=False).dtype.kind in "ui"
    return False
