"""Path-traced scenes as focal stacks: pictures with truly hidden background, the depth, and the ideal lens's fields.

A file (.npz) holds `images` (N, H, W, 3) and `focus_m` (N,), linear light of N focus distances; `depth_m` (H, W) of
what the ray through each pixel's centre meets; `focal_mm`, `f_number`, `sensor_width_mm`. The renderer's lens keeps its
image distance whatever the focus: nothing breathes.
"""

import math
import os
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import psf
from psf import InputError, PolarPSFField
from render import encode_srgb

from .focal_stacks import FocalStack

NAMES = ("images", "focus_m", "depth_m", "focal_mm", "f_number", "sensor_width_mm")
# Of the band: a step of the blur's diameter that counts as an edge, and a pixel's own reach beside the blur's.
JUMP_PX, EXTRA_PX = 0.5, 1.5
DEPTHS, BEYOND = 32, 0.02


@dataclass(frozen=True, eq=False, kw_only=True)
class TracedScene:
    """One scene.

    Attributes:
        stack: Its pictures, the nearest focus first.
        depth_m: The truth, shape (1, H, W).
        band: What blur can reach from an edge in depth in any of the pictures, bool, shape (1, H, W).
        fields: Of its lens, one for each picture.
    """

    stack: FocalStack
    depth_m: Tensor
    band: Tensor
    fields: tuple[PolarPSFField, ...]


def open_traced(path: str | os.PathLike[str], *, encoding: str = "linear") -> TracedScene:
    """Read a scene.

    Args:
        path: Its file.
        encoding: Of the values that are given on, "linear" or "srgb".
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    held = _read(file)
    order = np.argsort(held["focus_m"])
    focus_m = torch.from_numpy(held["focus_m"][order].astype(np.float64))
    pictures = torch.from_numpy(held["images"][order].astype(np.float32)).permute(0, 3, 1, 2).contiguous()
    depth_m = torch.from_numpy(held["depth_m"].astype(np.float32))[None]
    if not bool(((depth_m > 0) & depth_m.isfinite()).all()):
        raise InputError(f"{file}: depth_m", "depths that are not finite or not above 0", "depths in metres")
    shape = (int(depth_m.shape[1]), int(depth_m.shape[2]))
    focal_mm, f_number, width_mm = (float(held[name]) for name in NAMES[3:])
    pitch_um = 1000 * width_mm / shape[1]
    nearest, farthest = float(1 / depth_m.min()), float(1 / depth_m.max())
    depths_m = 1 / torch.linspace(nearest * (1 + BEYOND), farthest * (1 - BEYOND), DEPTHS, dtype=torch.float64)
    fields = tuple(
        psf.thin_lens_field(focal_mm, f_number, one, pitch_um, shape, depths_m=depths_m, breathing=False, oversample=3)
        for one in focus_m.tolist()
    )
    gain_px = focal_mm**2 / f_number / 1000 / (pitch_um / 1000)
    bands = [find_band(depth_m, one, gain_px) for one in focus_m.tolist()]
    stack = FocalStack(pictures=pictures.clamp(0, 1), focus_m=focus_m.float(), image_shape_px=shape)
    if encoding == "srgb":
        stack = replace(stack, pictures=encode_srgb(stack.pictures).clamp(0, 1), encoding="srgb")
    return TracedScene(stack=stack, depth_m=depth_m, band=torch.stack(bands).any(0), fields=fields)


def find_band(depth_m: Tensor, focus_m: float, gain_px: float) -> Tensor:
    """What blur can reach from an edge in depth.

    Neighbours whose blur differs by more than half a pixel in diameter (at any focus: by their dioptres) are an edge;
    each reaches as far as half the larger diameter of the two and 1.5 px.

    Args:
        depth_m: Shape (1, H, W).
        focus_m: Of the picture.
        gain_px: Diameter of blur per dioptre of defocus.

    Returns:
        Bool, shape (1, H, W).
    """
    nearness = 1 / depth_m[0].double()
    own = gain_px * (nearness - 1 / focus_m).abs() / 2 + EXTRA_PX
    reach = torch.zeros_like(own)
    height, width = own.shape
    for axis, side in ((0, height), (1, width)):
        one, two = (slice(0, side - 1), slice(1, side))
        first, second = (
            ((one, slice(None)), (two, slice(None))) if axis == 0 else ((slice(None), one), (slice(None), two))
        )
        is_edge = gain_px * (nearness[first] - nearness[second]).abs() > JUMP_PX
        both = torch.where(is_edge, torch.maximum(own[first], own[second]), 0.0)
        reach[first] = torch.maximum(reach[first], both)
        reach[second] = torch.maximum(reach[second], both)
    band = torch.zeros_like(own, dtype=torch.bool)
    most = math.ceil(float(reach.max()))
    for down in range(-most, most + 1):
        for right in range(-most, most + 1):
            hit = (reach >= math.hypot(down, right)) & (reach > 0)
            rows, columns = _overlap(height, down), _overlap(width, right)
            band[rows[1], columns[1]] |= hit[rows[0], columns[0]]
    return band[None]


def _overlap(side: int, step: int) -> tuple[slice, slice]:
    """Places along an axis, and those a step further."""
    return slice(max(0, -step), min(side, side - step)), slice(max(0, step), min(side, side + step))


def _read(file: Path) -> dict[str, Any]:
    try:
        # numpy leaves a file open that begins as an archive and is none.
        with file.open("rb") as raw, np.load(raw, allow_pickle=False) as opened:
            held = {name: opened[name] for name in NAMES}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        found = f"no readable scene ({' '.join(str(error).split())[:120]})"
        raise InputError(str(file), found, "arrays " + ", ".join(NAMES)) from error
    images, focus, depth = held["images"], held["focus_m"], held["depth_m"]
    if images.ndim != 4 or images.shape[3] != 3 or focus.shape != images.shape[:1] or depth.shape != images.shape[1:3]:
        shapes = f"shapes {images.shape}, {focus.shape}, {depth.shape}"
        raise InputError(str(file), shapes, "images (N, H, W, 3), focus_m (N,), depth_m (H, W)")
    return held
