"""A focal stack as one has it who does not know its depth: pictures, where they were focused, where they lie."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from psf.turning import polar_place
from render import decode_srgb, encode_srgb

from .stack_samples import StackSample

# Scales that people type are rounded, and autofocus is no better: two focus distances are the same within 3 % of their
# dioptres.
FOCUS_SLACK = 0.03


@dataclass(frozen=True, eq=False, kw_only=True)
class FocalStack:
    """N pictures of one scene.

    Attributes:
        pictures: As they were recorded, 0 to 1, shape (N, 3, h, w).
        focus_m: Focus distances, shape (N,).
        image_shape_px: The sensor's (H, W).
        window_px: Sensor column and row of the first pixel.
        encoding: Of the values, "linear" or "srgb".
    """

    pictures: Tensor
    focus_m: Tensor
    image_shape_px: tuple[int, int]
    window_px: tuple[int, int] = (0, 0)
    encoding: str = "linear"

    def __post_init__(self) -> None:
        pictures, focus = self.pictures, self.focus_m
        if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.is_floating_point() or 0 in pictures.shape:
            found = f"{pictures.dtype} of shape {tuple(pictures.shape)}"
            raise InputError("FocalStack.pictures", found, "floats of shape (N, 3, h, w)")
        if len(pictures) < 2:
            raise InputError("FocalStack.pictures", f"{len(pictures)} picture", "at least 2: a focal stack has several")
        if bad := int((~pictures.isfinite()).sum()):
            raise InputError("FocalStack.pictures", f"{bad} values that are not finite", "finite light")
        if focus.shape != (len(pictures),):
            found = f"{focus.numel()} focus distances"
            raise InputError("FocalStack.focus_m", found, f"{len(pictures)}, one for each picture")
        if not bool((focus > 0).all()):
            raise InputError("FocalStack.focus_m", focus.tolist(), "distances above 0")
        height, width = pictures.shape[-2:]
        free = (self.image_shape_px[1] - width, self.image_shape_px[0] - height)
        if not all(0 <= place <= room for place, room in zip(self.window_px, free, strict=True)):
            expected = f"{width} x {height} px inside a sensor of {self.image_shape_px[1]} x {self.image_shape_px[0]}"
            raise InputError("FocalStack.window_px", self.window_px, expected)

    @property
    def shape_px(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return int(self.pictures.shape[-2]), int(self.pictures.shape[-1])

    @property
    def radius(self) -> Tensor:
        """Image height of every pixel, 0 at the sensor's centre to 1 in its corner, shape (1, h, w)."""
        rows, columns = (
            torch.arange(side, dtype=torch.float64) + start
            for side, start in zip(self.shape_px, self.window_px[::-1], strict=True)
        )
        found: Tensor = polar_place(columns[None, :], rows[:, None], self.image_shape_px)[0]
        return found[None].to(self.pictures)

    def cropped(self, left_px: int, top_px: int, width_px: int, height_px: int) -> "FocalStack":
        """A part of the pictures, which knows where it lies."""
        part = self.pictures[..., top_px : top_px + height_px, left_px : left_px + width_px]
        return replace(self, pictures=part, window_px=(self.window_px[0] + left_px, self.window_px[1] + top_px))

    def encoded(self, encoding: str) -> "FocalStack":
        """The same light as values of another encoding, "linear" or "srgb"."""
        if encoding not in ("linear", "srgb") or self.encoding not in ("linear", "srgb"):
            raise InputError("FocalStack.encoded(encoding)", repr(encoding), "'linear' or 'srgb'")
        if encoding == self.encoding:
            return self
        turned = encode_srgb(self.pictures) if encoding == "srgb" else decode_srgb(self.pictures)
        return replace(self, pictures=turned.clamp(0, 1), encoding=encoding)

    def shuffled(self) -> "FocalStack":
        """The same focus distances with the pictures of others: the control that no estimator must pass.

        Every picture moves by half of their number, so that none keeps its focus distance.
        """
        return replace(self, pictures=self.pictures.roll(len(self.pictures) // 2, 0))


def view_stack(sample: StackSample) -> FocalStack:
    """A sample without what is to be found."""
    return FocalStack(
        pictures=sample.stack,
        focus_m=sample.focus_m,
        image_shape_px=sample.image_shape_px,
        window_px=sample.drawn.window_px,
        encoding=sample.encoding,
    )


def check_fields(stack: FocalStack, fields: Sequence[PolarPSFField]) -> None:
    """Refuse fields that are not those of a stack's pictures.

    Args:
        stack: The pictures.
        fields: One for each of them, in order.
    """
    if len(fields) != len(stack.pictures):
        raise InputError("fields", f"{len(fields)} of them", f"{len(stack.pictures)}, one for each picture")
    check_focus([float(one.focus_m) for one in fields], stack.focus_m.tolist(), "fields")
    for n, field in enumerate(fields):
        if field.image_shape_px != stack.image_shape_px:
            height, width = field.image_shape_px
            expected = f"{stack.image_shape_px[1]} x {stack.image_shape_px[0]}, that of the pictures"
            raise InputError(f"fields[{n}]", f"a sensor of {width} x {height} px", expected)


def check_focus(own_m: Sequence[float], found_m: Sequence[float], where: str) -> None:
    """Refuse focus distances that are not those of a stack, in its order.

    Args:
        own_m: Of fields or of a training.
        found_m: Of the pictures.
        where: What messages begin with.
    """
    if any(two <= one for one, two in itertools.pairwise(found_m)):
        raise InputError("focus_m", _tell(found_m), "focus distances in ascending order, none twice")
    if len(own_m) != len(found_m):
        raise InputError(where, f"{len(own_m)} focus distances", f"the {len(found_m)} of the pictures")
    for own, found in zip(own_m, found_m, strict=True):
        if abs(own / found - 1) > FOCUS_SLACK:
            raise InputError(where, f"focus distances {_tell(own_m)}", f"those of the pictures, {_tell(found_m)}")


def _tell(distances_m: Sequence[float]) -> str:
    return ", ".join(f"{one:g}" for one in distances_m) + " m"
