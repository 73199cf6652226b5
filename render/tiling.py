"""How a picture is cut into tiles, and which stored depths each tile needs.

Borders lie on a lattice that starts at the sensor's centre, so that the two axes through it, where a turned kernel
changes fastest, are borders; and a window of a sensor is cut where the whole sensor is.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

# Tile sides that measured best: small kernels can afford finer tiles, large ones need room beside the halo.
TILE_PX = 64
# Around the sensor's centre the azimuth spins, and tiles are halved this many times, each time in the inner four.
CENTRE_LEVELS = 2


@dataclass(frozen=True)
class Axis:
    """One axis of a block of pixels.

    Attributes:
        border: Borders of n tiles in block pixels, ascending, n + 1 of them; nodes stand there.
        start: First pixel of each tile.
        size: Pixels of each tile.
        place_0: Sensor place of the block's first pixel.
        place_step: Pixels of sensor and picture per block pixel: 1, -1 in mirrored padding, 0 in replicated padding.
        source_0: Pixel of the picture that the block's first pixel is or copies.
    """

    border: tuple[float, ...]
    start: tuple[int, ...]
    size: tuple[int, ...]
    place_0: float
    place_step: int
    source_0: int

    @property
    def length(self) -> int:
        """Pixels in all."""
        return sum(self.size)

    @property
    def largest(self) -> int:
        """Pixels of the largest tile."""
        return max(self.size)

    def sources(self) -> Tensor:
        """Pixel of the picture that each block pixel is or copies, shape (length,)."""
        return self.source_0 + self.place_step * torch.arange(self.length)

    def place_of(self, block_px: float) -> float:
        """Sensor place of a place in the block."""
        return self.place_0 + self.place_step * block_px


def tile_side(sensor_px: int, tile_px: int) -> float:
    """Side of an even number of equal tiles over the sensor, at most `tile_px`."""
    return sensor_px / (2 * max(1, math.ceil(sensor_px / (2 * tile_px))))


def cut_axis(length: int, source_0: int, place_step: int, window_px: int, sensor_px: int, side: float) -> Axis:
    """Tiles along one axis, borders on the lattice of `side` round the sensor's centre.

    Args:
        length: Pixels of the block.
        source_0: Pixel of the picture that the first one is or copies.
        place_step: 1, -1 or 0, as in `Axis`.
        window_px: Sensor place of the picture's first pixel.
        sensor_px: The sensor's pixels along this axis.
        side: Of a tile, in pixels.
    """
    place_0 = window_px + source_0
    first = (-0.5 if place_step == 0 else ((sensor_px - 1) / 2 - place_0) / place_step) % side
    first = first - side if first > 0 else first
    borders = [first + side * i for i in range(math.ceil((length - first) / side) + 1)]
    cuts = [(a, b, max(0, math.ceil(a - 1e-9)), min(length, math.ceil(b - 1e-9))) for a, b in pairwise(borders)]
    kept = [cut for cut in cuts if cut[3] > cut[2]]
    return Axis(
        border=(*(cut[0] for cut in kept), kept[-1][1]),
        start=tuple(cut[2] for cut in kept),
        size=tuple(cut[3] - cut[2] for cut in kept),
        place_0=float(place_0),
        place_step=place_step,
        source_0=source_0,
    )


def smooth_length(least: int) -> int:
    """The next length of the form 2^a 3^b 5^c, which Fourier transforms are fast for."""
    length = least
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


def fast_length(least: int) -> int:
    """The next such length that is even, which those of real numbers are faster still for."""
    return 2 * smooth_length(-(-least // 2))


@dataclass(frozen=True, eq=False)
class Block:
    """A rectangle of pixels whose kernels come from one smooth map of places.

    Attributes:
        rows: Vertical axis.
        cols: Horizontal axis.
        canvas_xy: Where its first pixel stands on the padded picture.
        fft_shape: Rows and columns of the transforms that hold the largest tile with its halo.
        hole: Rows and columns of tiles that another block does.
    """

    rows: Axis
    cols: Axis
    canvas_xy: tuple[int, int]
    fft_shape: tuple[int, int]
    hole: tuple[slice, slice] = (slice(0), slice(0))


def cut_picture(
    picture_px: tuple[int, int],
    sensor_px: tuple[int, int],
    kernel_px: int,
    window: tuple[int, int],
    form: str,
    padding: str,
    tile_px: int,
) -> list[Block]:
    """Blocks of a picture: its tiles, those round the sensor's centre, and pieces of padding that bring own kernels.

    Args:
        picture_px: (H, W) of the picture.
        sensor_px: (H, W) of the sensor.
        kernel_px: K.
        window: Sensor column and row of the picture's first pixel.
        form: "gather", "scatter" or "normalised".
        padding: "reflect", "replicate" or "zeros".
        tile_px: Side of a tile.
    """
    half = kernel_px // 2
    sides = [tile_side(one, tile_px) for one in sensor_px]
    mirrored = form != "gather" and padding != "zeros" and half > 0

    def block(pieces: list[tuple[int, int, int, int]], level: int) -> Block:
        axes = [
            cut_axis(length, source, step, first, sensor, side / 2**level)
            for (_, length, source, step), first, sensor, side in zip(
                pieces, window[::-1], sensor_px, sides, strict=True
            )
        ]
        shape = [fast_length(axis.largest + kernel_px - 1) for axis in axes]
        return Block(axes[0], axes[1], (pieces[1][0], pieces[0][0]), (shape[0], shape[1]))

    blocks = []
    ranges: list[tuple[int, int]] | None = [(0, length) for length in picture_px]
    for level in range(CENTRE_LEVELS + 1):
        if ranges is None:
            break
        one = block([(half + low, high - low, low, 1) for low, high in ranges], level)
        inner = []
        for sensor, first, side, (low, high) in zip(sensor_px, window[::-1], sides, ranges, strict=True):
            centre, reach = (sensor - 1) / 2 - first, side / 2**level
            bounds = [math.ceil(edge - 1e-9) for edge in (centre - reach, centre + reach)]
            inner.append((max(low, bounds[0]), min(high, bounds[1])))
        if level == CENTRE_LEVELS or any(high <= low for low, high in inner):
            ranges = None
        else:
            hole = [_tiles_within(axis, *bounds) for axis, bounds in zip((one.rows, one.cols), inner, strict=True)]
            one, ranges = replace(one, hole=(hole[0], hole[1])), inner
        blocks.append(one)
    if mirrored:
        sides_of = []
        for length in picture_px:
            before, after, step = (half, length - 2, -1) if padding == "reflect" else (0, length - 1, 0)
            sides_of.append([(0, half, before, step), (half, length, 0, 1), (half + length, half, after, step)])
        pairs = [(y, x) for y in sides_of[0] for x in sides_of[1]]
        blocks += [block([y, x], 0) for y, x in pairs if (y[3], x[3]) != (1, 1)]
    return blocks


def _tiles_within(axis: Axis, low: int, high: int) -> slice:
    """Tiles whose pixels lie in source pixels low..high-1."""
    inside = [
        i for i, (start, size) in enumerate(zip(axis.start, axis.size, strict=True))
        if start + axis.source_0 >= low and start + size + axis.source_0 <= high
    ]  # fmt: skip
    return slice(inside[0], inside[-1] + 1)
