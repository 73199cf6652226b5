"""Pictures of a focal stack brought to the image scale of the first: what a lens's breathing has moved, moved back.

The scale is the field's `magnification`; what kernels hold of a shift (distortion that changes with the focus) stays.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from psf import InputError
from render.framing import magnify

from .stack_samples import StackSample


def align_pictures(
    stack: Tensor, magnifications: Sequence[float], image_shape_px: tuple[int, int], window_px: tuple[int, int]
) -> Tensor:
    """Every picture at the image scale of the first, read between pixels by a windowed sinc.

    Args:
        stack: Shape (N, 3, h, w).
        magnifications: Image scale of each picture against the first.
        image_shape_px: The sensor's (H, W), about whose centre pictures grow and shrink.
        window_px: Sensor column and row of the first pixel.

    Returns:
        The same shape. Where `find_aligned` is False what lay outside the window is mirrored.
    """
    _check(magnifications, len(stack))
    pictures = []
    for picture, scale in zip(stack, magnifications, strict=True):
        unused = picture.new_ones((1, 1, *picture.shape[-2:]))
        moved, _ = magnify(picture[None], unused, 1 / scale, image_shape_px=image_shape_px, window=window_px)
        pictures.append(moved[0])
    return torch.stack(pictures)


def find_aligned(
    shape_px: tuple[int, int],
    magnifications: Sequence[float],
    image_shape_px: tuple[int, int],
    window_px: tuple[int, int],
) -> Tensor:
    """Which pixels of aligned pictures come from inside the window in all of them.

    Args:
        shape_px: Height and width of the window.
        magnifications: As in `align_pictures`.
        image_shape_px: As in `align_pictures`.
        window_px: As in `align_pictures`.

    Returns:
        Bool, shape (1, h, w).
    """
    _check(magnifications, len(magnifications))
    lines = []
    for side, start, sensor in zip(shape_px, window_px[::-1], image_shape_px, strict=True):
        centre = (sensor - 1) / 2 - start
        place = torch.arange(side, dtype=torch.float64) - centre
        inside = torch.ones(side, dtype=torch.bool)
        for scale in magnifications:
            read = centre + place * scale
            # Half a pixel beyond the last one is still that pixel.
            inside &= (read > -0.5) & (read < side - 0.5)
        lines.append(inside)
    return (lines[0][:, None] & lines[1][None, :])[None]


def align_sample(sample: StackSample, magnifications: Sequence[float]) -> StackSample:
    """A stack for training with aligned pictures; depth and blur stay as they are.

    Args:
        sample: As it was recorded.
        magnifications: As in `align_pictures`.
    """
    aligned = align_pictures(sample.stack, magnifications, sample.image_shape_px, sample.drawn.window_px)
    return replace(sample, stack=aligned)


def _check(magnifications: Sequence[float], pictures: int) -> None:
    if len(magnifications) != pictures:
        raise InputError("magnifications", f"{len(magnifications)} of them", f"{pictures}, one for each picture")
    if wrong := [one for one in magnifications if not (math.isfinite(one) and one > 0)]:
        raise InputError("magnifications", wrong[0], "numbers above 0")
