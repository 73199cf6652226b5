"""Sharp light for joint designs, cut from photographs: drawn anew for every step, or given as pictures."""

import torch
from torch import Tensor

from psf import InputError
from render import random_metadata, unprocess

from ..photos import Cropping, PhotoFolder
from .exposures import Patches

# Photographs' own blur would teach that blur is sharp: crops with less detail than this are mostly drawn again.
LEAST_DETAIL = 0.012


def draw_patches(photos: PhotoFolder, count: int, side_px: int, margin_px: int, generator: torch.Generator) -> Patches:
    """Random crops of random photographs, in the colours of random cameras (Brooks et al.).

    Args:
        photos: Where from.
        count: How many, N.
        side_px: Side without the margin, even.
        margin_px: Of both sides together; K - 1 for kernels of K px.
        generator: Of all that is drawn.
    """
    if count < 1:
        raise InputError("count", count, "at least 1")
    side = side_px + margin_px
    cropping = Cropping((side, side), least_detail=LEAST_DETAIL)
    crops = [photos.draw(cropping, generator)[0].srgb for _ in range(count)]
    return convert_patches(torch.stack(crops), generator)


def convert_patches(srgb: Tensor, generator: torch.Generator) -> Patches:
    """Pictures as light of random cameras.

    Args:
        srgb: 0 to 1, shape (N, 3, H, W).
        generator: Of the cameras' colours.
    """
    metadata = random_metadata(len(srgb), generator=generator, dtype=srgb.dtype)
    return Patches(unprocess(srgb, metadata), metadata)
