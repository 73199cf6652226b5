"""Exposure and light fall-off between the two pictures of a pair, which kernels of unit sum cannot hold; and breathing.

levels = fit_levels(captures);  even = level_captures(captures, levels)     # blurred pictures at the sharp one's light
scaled = magnify_captures(captures.at_focus(0.59), 0.9963)                  # sharp pictures at that focus's scale
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .capture_measures import PairMeasures, cut_tiles, measure_pair
from .captures import Captures, PairSource, Patches
from .errors import InputError
from .reading import read_matrix

# Powers of the radius in the fall-off, even as a lens of revolution wants them.
POWERS = (2, 4)
# Light is compared over squares of this side, in kernels' sides: wide enough that what blur carries across their
# edges is little.
SQUARES = 2
# A fall-off is fitted where the squares see this much of the image height, else left alone.
LEAST_SPAN = 0.2
# Standard errors that it must differ from none by, in the corner.
SURE = 4.0
# Places this near a pixel are on it.
NEAR = 1e-9


@dataclass(frozen=True, eq=False)
class Levels:
    """What the blurred pictures have to be divided by.

    Attributes:
        gain: Exposure of each blurred picture against its sharp one, shape (N,).
        gain_error: Standard errors, shape (N,).
        fall_off: Per channel the shares of radius^2 and radius^4 in the logarithm of the ratio, shape (C, 2); zeros
            where it does not stand out of its own error.
    """

    gain: Tensor
    gain_error: Tensor
    fall_off: Tensor

    def at(self, index: int, radius: Tensor) -> Tensor:
        """What pair `index` is divided by at image heights (h, w): shape (C, h, w)."""
        powers = torch.stack([radius**p for p in POWERS]).to(self.fall_off)
        return self.gain[index] * torch.exp(torch.einsum("cp,phw->chw", self.fall_off, powers))

    def fall_off_at(self, radius: float) -> float:
        """Light at an image height against the axis's, of the channel that loses most."""
        powers = self.fall_off.new_tensor([radius**p for p in POWERS])
        ratio = torch.exp(self.fall_off @ powers)
        return float(ratio[(ratio - 1).abs().argmax()])


def fit_levels(
    captures: Captures,
    measures: Sequence[PairMeasures] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Levels:
    """Fit one gain per pair and one fall-off for all pairs.

    Args:
        captures: N pairs.
        measures: Of every pair's first tile (`cut_tiles`), N of them, if they have been measured already.
        on_progress: Called with pairs done and N.
    """
    if not len(captures):
        raise InputError("captures", "no pairs", "at least one")
    side = SQUARES * captures.kernel_px
    half = captures.kernel_px // 2
    gains, errors, rows, ratios, tiles = [], [], [], [], []
    for index, pair in enumerate(captures):
        tile = cut_tiles(pair)[0]
        found = measure_pair(tile) if measures is None else measures[index]
        tiles.append(tile.radius())
        gains.append(found.gain)
        errors.append(found.gain_error)
        if min(captures.shape_px) >= side:
            height, width = captures.shape_px
            inner = pair.sharp[:, half : half + height, half : half + width]
            means = [
                torch.nn.functional.avg_pool2d(one.cpu().double()[None], side)[0].flatten(1)
                for one in (pair.blurred, inner)
            ]
            radius = torch.nn.functional.avg_pool2d(captures.radius(index)[None, None], side).reshape(-1)
            ratio = (means[0].clamp_min(1e-6) / means[1].clamp_min(1e-6)).log()
            rows.append(torch.stack([radius**p for p in POWERS], 1))
            ratios.append(ratio)
        if on_progress is not None:
            on_progress(index + 1, len(captures))
    gain = torch.tensor(gains, dtype=torch.float64)
    fall_off = _fit_fall_off(rows, ratios, captures.channel_count)
    if bool(fall_off.any()):
        # The gains were fitted to tiles with their fall-off, whose mean belongs to them no more.
        plain = Levels(torch.ones_like(gain), gain, fall_off)
        gain = gain / torch.tensor([float(plain.at(n, one).mean()) for n, one in enumerate(tiles)], dtype=torch.float64)
    return Levels(gain, torch.tensor(errors, dtype=torch.float64), fall_off)


def _fit_fall_off(rows: list[Tensor], ratios: list[Tensor], channels: int) -> Tensor:
    nothing = torch.zeros(channels, len(POWERS), dtype=torch.float64)
    radius_squared = torch.cat([one[:, 0] for one in rows]) if rows else torch.zeros(0)
    if len(radius_squared) < 8 or float(radius_squared.max().sqrt() - radius_squared.min().sqrt()) < LEAST_SPAN:
        return nothing
    # Each pair has a gain of its own: means are taken off.
    design = torch.cat([one - one.mean(0) for one in rows])
    target = torch.cat([one - one.mean(1, keepdim=True) for one in ratios], 1)
    # A little weight on small numbers: few squares in a row of radii do not tell the two powers apart.
    normal = design.T @ design
    ridge = 1e-3 * normal.diagonal().mean() * torch.eye(len(POWERS), dtype=design.dtype)
    inverse = torch.linalg.inv(normal + ridge)
    found = target @ design @ inverse
    left = target - found @ design.T
    corner = design.new_ones(len(POWERS))
    error = (left.square().mean(1) * (corner @ inverse @ corner)).sqrt()
    is_sure = ((found @ corner).abs() > SURE * error).any()
    return found if bool(is_sure) else nothing


def level_captures(captures: Captures, levels: Levels) -> Captures:
    """The same pairs with every blurred picture divided by its gain and the fall-off, pixel by pixel, when read."""
    if len(levels.gain) != len(captures):
        raise InputError("levels", f"{len(levels.gain)} gains", f"{len(captures)}, one per pair")
    if not bool((levels.gain > 0).all()):
        raise InputError("levels.gain", float(levels.gain.min()), "gains above 0")
    return _changed(captures, _Levelled(captures, levels))


@dataclass(frozen=True, eq=False)
class _Levelled:
    captures: Captures
    levels: Levels

    def read_pair(self, row: int) -> tuple[Tensor, Tensor]:
        pair = self.captures[row]
        return pair.sharp, pair.blurred / self.levels.at(row, pair.radius()).to(pair.blurred)


def magnify_captures(captures: Captures, magnification: float) -> Captures:
    """The same pairs with the sharp pictures scaled about the sensor's centre, what was at p now at m p.

    For pairs whose sharp picture belongs to a reference focus and whose blurred one to a focus of image scale m: after
    it kernels hold only what scale does not. Pictures lose the border that the scaled sharp picture does not cover.

    Args:
        captures: Pairs of one image scale.
        magnification: m, the blurred pictures' scale against the sharp ones', above 0.
    """
    if not (math.isfinite(magnification) and magnification > 0):
        raise InputError("magnification", magnification, "a positive number")
    if magnification == 1 or not len(captures):
        return captures
    half = captures.kernel_px // 2
    cuts = []
    for axis, firsts in ((1, captures.x0_px), (0, captures.y0_px)):
        size, centre = captures.shape_px[axis], (captures.image_shape_px[axis] - 1) / 2
        first = firsts - half - centre
        last = first + size + 2 * half - 1
        # Places p of the scaled picture are read at p / m, which must lie inside the old one.
        before = (first * (magnification - 1)).clamp_min(0).max()
        after = (last * (1 - magnification)).clamp_min(0).max()
        cuts.append((math.ceil(float(before) - NEAR), math.ceil(float(after) - NEAR)))
    (left, right), (top, bottom) = cuts
    shape = (captures.shape_px[0] - top - bottom, captures.shape_px[1] - left - right)
    if min(shape) < 1:
        found = f"{magnification:g}, which moves the border by {max(left, right, top, bottom)} px"
        size_px = f"{captures.shape_px[1]} x {captures.shape_px[0]} px"
        raise InputError("magnification", found, f"a smaller shift than pictures of {size_px}")
    changed = _changed(captures, _Magnified(captures, magnification, (top, left), shape))
    return replace(changed, x0_px=captures.x0_px + left, y0_px=captures.y0_px + top, shape_px=shape)


@dataclass(frozen=True, eq=False)
class _Magnified:
    captures: Captures
    magnification: float
    corner: tuple[int, int]
    shape: tuple[int, int]

    def read_pair(self, row: int) -> tuple[Tensor, Tensor]:
        pair = self.captures[row]
        (top, left), (height, width) = self.corner, self.shape
        scaled, (first_row, first_column) = scale_sharp(pair, self.magnification)
        rows, columns = (
            slice(cut - first, cut - first + side + pair.kernel_px - 1)
            for cut, first, side in ((top, first_row, height), (left, first_column, width))
        )
        blurred = pair.blurred[:, top : top + height, left : left + width]
        return scaled[:, rows, columns].to(pair.sharp), blurred


def scale_sharp(pair: Patches, magnification: float) -> tuple[Tensor, tuple[int, int]]:
    """A pair's sharp picture scaled about the sensor's centre, what was at p now at m p.

    Args:
        pair: One pair.
        magnification: m, above 0.

    Returns:
        All pixels of the sensor that the picture then covers, shape (C, H, W), float64, and their first row and column
        as `pair.sharp` counts them, negative where the scaled picture begins before it.
    """
    picture = pair.sharp.detach().double().cpu()
    if magnification == 1:
        return picture, (0, 0)
    firsts, matrices = [], []
    for axis, first_px in ((0, pair.y0_px), (1, pair.x0_px)):
        size = picture.shape[1 + axis]
        first, count, place = find_scaled(
            float(first_px), pair.kernel_px, size, pair.image_shape_px[axis], magnification
        )
        firsts.append(first)
        matrices.append(read_matrix(place + torch.arange(count, dtype=torch.float64) / magnification, size))
    return matrices[0] @ picture @ matrices[1].mT, (firsts[0], firsts[1])


def find_scaled(
    first_px: float, kernel_px: int, size: int, sensor_px: int, magnification: float
) -> tuple[int, int, float]:
    """Which pixels along an axis a scaled sharp picture covers.

    Args:
        first_px: Where on the sensor the blurred picture begins.
        kernel_px: Side K; the sharp picture begins half of it before.
        size: Of the sharp picture.
        sensor_px: Of the sensor, whose centre stays where it is.
        magnification: Above 0.

    Returns:
        The first of them as the unscaled picture counts, how many, and where in the unscaled picture that first lies.
    """
    begin = first_px - kernel_px // 2
    centre = (sensor_px - 1) / 2 - begin
    first = math.ceil(centre * (1 - magnification) - NEAR)
    last = math.floor(centre + (size - 1 - centre) * magnification + NEAR)
    return first, max(last - first + 1, 0), centre + (first - centre) / magnification


def _changed(captures: Captures, source: PairSource) -> Captures:
    return replace(captures, source=source, rows=tuple(range(len(captures))))
