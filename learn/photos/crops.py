"""Crops for training: where in a photograph they lie, how sharp they are, how they are turned.

A photograph's blurred background teaches blur as the target, so crops with hardly any detail are mostly drawn again,
and photographs are shrunk by a random factor, which hides their own softness.
"""

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from psf import InputError
from render import decode_srgb, encode_srgb

HIGH_PASS_SIGMA_PX, HIGH_PASS_REACH_PX = 1.0, 3
Samples = npt.NDArray[Any]


@dataclass(frozen=True)
class Cropping:
    """How crops are drawn; the amounts are a choice of this project.

    Attributes:
        shape_px: Height and width of a crop, its margin for the blur included.
        shrink: A photograph is scaled by an even draw between these, above 0 and at most 1; a small one by less.
        exposure_ev: Light is multiplied by 2 to the power of an even draw between minus and plus this, and clipped.
        flip: Half of the crops are mirrored.
        turn: Crops are turned by 0 to 3 quarter turns.
        least_detail: Standard deviation of the high-passed grey values below which there is hardly any detail.
        redraw: With this probability a crop with hardly any detail is not taken.
        places: So many places of one photograph are tried, then, before another one is drawn.
    """

    shape_px: tuple[int, int]
    shrink: tuple[float, float] = (0.5, 1.0)
    exposure_ev: float = 0.5
    flip: bool = True
    turn: bool = True
    least_detail: float = 0.008
    redraw: float = 0.85
    places: int = 4

    def __post_init__(self) -> None:
        checks = {
            "shape_px": (len(self.shape_px) == 2 and min(self.shape_px) >= 8, "height and width of at least 8 px"),
            "shrink": (0 < self.shrink[0] <= self.shrink[1] <= 1, "two scales, ascending, above 0 and at most 1"),
            "exposure_ev": (0 <= self.exposure_ev < math.inf, "0 or more stops"),
            "least_detail": (0 <= self.least_detail < math.inf, "0 or more"),
            "redraw": (0 <= self.redraw < 1, "0 or more and below 1, or a plain wall would be drawn for ever"),
            "places": (self.places >= 1, "at least 1"),
        }
        for field in fields(self):
            holds, expected = checks.get(field.name, (True, ""))
            if not holds:
                raise InputError(f"Cropping.{field.name}", getattr(self, field.name), expected)


@dataclass(frozen=True)
class Place:
    """Where a crop lies in its photograph, and how it is turned.

    Attributes:
        photo_px: Height and width of the photograph.
        left_px: First column, of the photograph's pixels.
        top_px: First row.
        scale: Crop pixels per photograph pixel, at most 1.
        shape_px: Height and width of the crop.
        mirrored: Left and right are exchanged, before it is turned.
        quarter_turns: Counter-clockwise as a viewer sees it, 0 to 3.
    """

    photo_px: tuple[int, int]
    left_px: int
    top_px: int
    scale: float
    shape_px: tuple[int, int]
    mirrored: bool = False
    quarter_turns: int = 0

    @property
    def unturned_px(self) -> tuple[int, int]:
        """Height and width of the crop before it is turned."""
        return self.shape_px if self.quarter_turns % 2 == 0 else self.shape_px[::-1]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width, height in the photograph's pixels."""
        height, width = self.unturned_px
        return float(self.left_px), float(self.top_px), width / self.scale, height / self.scale

    def turn_samples(self, samples: Samples) -> Samples:
        """Samples (h, w, ...) of the box, turned; a view."""
        return np.rot90(samples[:, ::-1] if self.mirrored else samples, self.quarter_turns)

    def cut_map(self, whole: Tensor) -> Tensor:
        """The same part of a map of the whole photograph, turned likewise.

        A map as fine as the crop or finer is sampled at its nearest pixels, so that a depth edge stays an edge; a
        coarser one is interpolated.

        Args:
            whole: Any resolution, shape (C, h, w).

        Returns:
            Shape (C, H, W) of the crop.
        """
        if whole.ndim != 3 or not whole.numel():
            raise InputError("cut_map(whole)", f"shape {tuple(whole.shape)}", "(C, h, w), not empty")
        height, width = self.unturned_px
        rows = self._sample(self.top_px, height, self.photo_px[0], int(whole.shape[1]))
        columns = self._sample(self.left_px, width, self.photo_px[1], int(whole.shape[2]))
        if min(int(whole.shape[n + 1]) / self.photo_px[n] / self.scale for n in (0, 1)) > 0.99:
            part = whole[:, rows.round().long()][:, :, columns.round().long()]
        else:
            part = _interpolate(_interpolate(whole, rows, 1), columns, 2)
        return torch.rot90(part.flip(-1) if self.mirrored else part, self.quarter_turns, (-2, -1)).contiguous()

    def row_shares(self) -> Tensor:
        """How far down in the photograph each pixel of the crop lies, 0 to 1, shape (1, H, W)."""
        height, width = self.unturned_px
        shares = (self.top_px + (torch.arange(height) + 0.5) / self.scale) / self.photo_px[0]
        return torch.rot90(shares[None, :, None].expand(1, height, width), self.quarter_turns, (-2, -1)).contiguous()

    def _sample(self, first_px: int, count: int, photo_px: int, map_px: int) -> Tensor:
        """Places on a map's axis, (count,), clamped to its pixels."""
        places = (first_px + (torch.arange(count, dtype=torch.float64) + 0.5) / self.scale) * (map_px / photo_px) - 0.5
        return places.clamp(0, map_px - 1)


def _interpolate(values: Tensor, places: Tensor, axis: int) -> Tensor:
    lower = places.floor().long().clamp_max(max(int(values.shape[axis]) - 2, 0))
    upper = (lower + 1).clamp_max(int(values.shape[axis]) - 1)
    shape = [1, 1, 1]
    shape[axis] = -1
    share = (places - lower).to(values.dtype).reshape(shape)
    return torch.lerp(values.index_select(axis, lower), values.index_select(axis, upper), share)


@dataclass(frozen=True, eq=False)
class PhotoCrop:
    """A crop, ready for use.

    Attributes:
        srgb: 0 to 1, shape (3, H, W), float32.
        name: Of the photograph in its folder.
        place: Where it was cut.
        exposure_ev: By how many stops its light was raised; it is in `srgb` already.
        detail: Standard deviation of its high-passed grey values, before exposure.
    """

    srgb: Tensor
    name: str
    place: Place
    exposure_ev: float
    detail: float


@dataclass(frozen=True)
class Turn:
    """What holds for all places that are tried in a photograph.

    Attributes:
        scale: Crop pixels per photograph pixel.
        mirrored: Left and right are exchanged.
        quarter_turns: Counter-clockwise, 0 to 3.
        exposure_ev: In stops.
        keeps_plain: Whether the first place is taken even if it has hardly any detail.
    """

    scale: float
    mirrored: bool
    quarter_turns: int
    exposure_ev: float
    keeps_plain: bool


def draw_turn(photo_px: tuple[int, int], cropping: Cropping, generator: torch.Generator) -> Turn:
    """How a photograph is scaled, turned and exposed.

    Args:
        photo_px: Height and width of the photograph.
        cropping: How crops are drawn.
        generator: Random numbers; always five of them.
    """
    draws = torch.rand(5, generator=generator, dtype=torch.float64, device=generator.device).tolist()
    turns = int(4 * draws[2]) if cropping.turn else 0
    height, width = cropping.shape_px if turns % 2 == 0 else cropping.shape_px[::-1]
    least = max(height / photo_px[0], width / photo_px[1])
    if least > 1:
        found = f"{photo_px[1]} x {photo_px[0]} px"
        raise InputError("photograph", found, f"at least the crop's {width} x {height} px")
    low = max(cropping.shrink[0], least)
    high = max(cropping.shrink[1], low)
    return Turn(
        low + (high - low) * draws[0],
        cropping.flip and draws[1] < 0.5,
        turns,
        cropping.exposure_ev * (2 * draws[3] - 1),
        draws[4] >= cropping.redraw,
    )


def draw_place(photo_px: tuple[int, int], cropping: Cropping, turn: Turn, generator: torch.Generator) -> Place:
    """A place in a photograph, every one as likely.

    Args:
        photo_px: Height and width of the photograph.
        cropping: How crops are drawn.
        turn: As `draw_turn` gives it.
        generator: Random numbers; always two of them.
    """
    across, down = torch.rand(2, generator=generator, dtype=torch.float64, device=generator.device).tolist()
    sides = cropping.shape_px if turn.quarter_turns % 2 == 0 else cropping.shape_px[::-1]
    # Rounding of the scale must not push the box over the edge.
    free = [max(math.floor(all_px - px / turn.scale + 1e-6), 0) for all_px, px in zip(photo_px, sides, strict=True)]
    left, top = min(int(across * (free[1] + 1)), free[1]), min(int(down * (free[0] + 1)), free[0])
    return Place(photo_px, left, top, turn.scale, cropping.shape_px, turn.mirrored, turn.quarter_turns)


def centre_place(photo_px: tuple[int, int], shape_px: tuple[int, int], scale: float | None = None) -> Place:
    """The middle of a photograph, as evaluation sets take it.

    Args:
        photo_px: Height and width of the photograph.
        shape_px: Height and width of the crop.
        scale: Crop pixels per photograph pixel; by default as small as fills the crop.
    """
    least = max(shape_px[0] / photo_px[0], shape_px[1] / photo_px[1])
    wanted = least if scale is None else scale
    if not least <= wanted <= 1:
        expected = f"between {least:.4g}, which fills the crop, and 1"
        raise InputError("centre_place(scale)", f"{wanted:.4g}", expected)
    top, left = (
        max(math.floor((whole - part / wanted) / 2 + 1e-6), 0) for whole, part in zip(photo_px, shape_px, strict=True)
    )
    return Place(photo_px, left, top, wanted, shape_px)


def find_detail(samples: Samples) -> float:
    """How much detail a crop has: standard deviation of grey less grey smoothed by a Gaussian of 1 px.

    Args:
        samples: uint8 or uint16, shape (h, w, 3).

    Returns:
        In units of the full range; 0.008 is hardly any.
    """
    reach = HIGH_PASS_REACH_PX
    if min(samples.shape[:2]) <= 2 * reach:
        return 0.0
    from .sample_loops import measure_high_pass

    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / HIGH_PASS_SIGMA_PX) ** 2)
    total, squares = measure_high_pass(np.ascontiguousarray(samples), (weights / weights.sum()).astype(np.float32))
    count = (samples.shape[0] - 2 * reach) * (samples.shape[1] - 2 * reach)
    variance = max(squares / count - (total / count) ** 2, 0.0)
    return math.sqrt(variance) / (3 * float(np.iinfo(samples.dtype).max))


def scale_light(samples: Samples, exposure_ev: float = 0.0) -> Tensor:
    """Integer sRGB samples as floats, their light multiplied by 2 to the power of `exposure_ev` and clipped.

    Args:
        samples: uint8 or uint16, shape (h, w, 3).
        exposure_ev: In stops.

    Returns:
        0 to 1, shape (3, h, w), float32.
    """
    from .sample_loops import look_up

    largest = int(np.iinfo(samples.dtype).max)
    # There are only so many values: the curves are computed for each of them, not for each pixel.
    values = torch.arange(largest + 1, dtype=torch.float64) / largest
    if exposure_ev != 0:
        values = encode_srgb((decode_srgb(values) * 2.0**exposure_ev).clamp(0, 1))
    out = torch.empty((3, *samples.shape[:2]), dtype=torch.float32)
    look_up(np.ascontiguousarray(samples), values.float().numpy(), out.numpy())
    return out
