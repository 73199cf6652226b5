"""How a picture lies on the sensor: its window, the whole sensor squeezed into it, and the scale of another focus."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from psf.reading import mirror_index, weigh_sinc

PADDINGS = ("reflect", "replicate", "zeros", "circular")
Reading = Literal["sinc", "cubic"]
# Free parameter of the cubic through the samples; -1/2 is Catmull-Rom, exact for parabolas.
CUBIC = -0.5


def place_window(
    image_shape_px: tuple[int, int], picture_shape_px: tuple[int, int], window: tuple[int, int] | None = None
) -> tuple[int, int]:
    """The sensor pixel of the picture's first column and row.

    Args:
        image_shape_px: The sensor's (H, W).
        picture_shape_px: The picture's (H, W).
        window: (x0_px, y0_px), or None for the middle of the sensor (half a pixel up and left of it where the sides
            do not allow the very middle).

    Returns:
        (x0_px, y0_px), checked.
    """
    height, width = picture_shape_px
    free = (image_shape_px[1] - width, image_shape_px[0] - height)
    sensor = f"a sensor of {image_shape_px[1]} x {image_shape_px[0]} px"
    if min(free) < 0:
        raise InputError("picture", f"{width} x {height} px", f"a part of {sensor}")
    if window is None:
        return free[0] // 2, free[1] // 2
    x0_px, y0_px = window
    if not (0 <= x0_px <= free[0] and 0 <= y0_px <= free[1]):
        expected = f"0 to {free[0]} and 0 to {free[1]}: the picture's {width} x {height} px inside {sensor}"
        raise InputError("window", f"({x0_px}, {y0_px})", expected)
    return x0_px, y0_px


def fit_field(field: PolarPSFField, picture_shape_px: tuple[int, int]) -> PolarPSFField:
    """The same camera with pixels of such a size that the picture covers the sensor.

    Where the picture's sides have another ratio than the sensor's, it covers the largest centred part of the sensor
    that has its ratio; `place_window` says where that lies.

    Args:
        field: Of the whole sensor.
        picture_shape_px: The picture's (H, W).

    Returns:
        A field of at least that shape, of exactly that height or that width.
    """
    height, width = picture_shape_px
    if not (height > 0 and width > 0):
        raise InputError("picture", f"{width} x {height} px", "at least one pixel")
    step = min(field.image_shape_px[0] / height, field.image_shape_px[1] / width)
    return field if step == 1 else field.resampled(field.pitch_um * step)


def magnify(
    image: Tensor,
    depth_m: Tensor,
    magnification: float,
    *,
    image_shape_px: tuple[int, int],
    window: tuple[int, int],
    padding: str = "reflect",
    reading: Reading = "sinc",
) -> tuple[Tensor, Tensor]:
    """Picture and depth map as a focus of another image scale sees them: what was at p is at m p from the centre.

    The picture is read between its samples, the depth map at the nearest pixel, so that no depth lies between a surface
    and what is behind it. Differentiable in `image`. Light keeps its value: a constant stays constant. Scales are meant
    to be near 1: a picture that shrinks much is not smoothed first.

    Args:
        image: Linear light, shape (B, C, H, W).
        depth_m: Shape (B, 1, H, W).
        magnification: m, above 0.
        image_shape_px: The sensor's (H, W); scale is about its centre.
        window: Sensor pixel (x0_px, y0_px) of the picture's first column and row.
        padding: What stands outside the frame, for m below 1 or a window off the centre: "reflect", "replicate",
            "zeros" or "circular". For depth "zeros" is "replicate".
        reading: "sinc": a windowed sinc of 12 samples, which softens nothing that a lens shows but rings for 6 px
            beside edges that are sharp to the pixel. "cubic": 4 samples and a third of the time; softens by as much as
            a tenth of a dioptre of defocus may do.

    Returns:
        Both in the shapes that they had.
    """
    if not (math.isfinite(magnification) and magnification > 0):
        raise InputError("magnification", magnification, "a positive number")
    if padding not in PADDINGS:
        raise InputError("padding", repr(padding), "one of " + ", ".join(map(repr, PADDINGS)))
    if reading not in get_args(Reading):
        raise InputError("reading", repr(reading), " or ".join(map(repr, get_args(Reading))))
    if magnification == 1:
        return image, depth_m
    for axis, start_px, sensor_px in ((-1, window[0], image_shape_px[1]), (-2, window[1], image_shape_px[0])):
        size = image.shape[axis]
        centre = (sensor_px - 1) / 2 - start_px
        # In float64: a thousandth of a pixel at the edge of a large frame is more than float32 keeps.
        place = torch.arange(size, dtype=torch.float64, device=image.device)
        place = centre + (place - centre) / magnification
        first = place.floor()
        part = place - first
        weights = (_cubic_weights(part) if reading == "cubic" else weigh_sinc(part)).to(image.dtype)
        taps = [(first + k).long() for k in range(1 - len(weights) // 2, len(weights) // 2 + 1)]
        shape = [1] * image.ndim
        shape[axis] = size
        read = image.new_zeros(image.shape)
        for tap, weight in zip(taps, weights, strict=True):
            index, inside = _pad_index(tap, size, padding)
            share = (weight * inside).reshape(shape)
            read = torch.addcmul(read, share, image.index_select(axis, index))
        image = read
        nearest, _ = _pad_index((place + 0.5).floor().long(), size, "replicate" if padding == "zeros" else padding)
        depth_m = depth_m.index_select(axis, nearest.to(depth_m.device))
    return image, depth_m


def _cubic_weights(part: Tensor) -> Tensor:
    """Shares (4, N) of the samples at -1, 0, 1, 2 for places `part` (N,) in 0..1 (Keys 1981, eq. 4)."""
    a, t, u = CUBIC, part, 1 - part
    far_left, far_right = a * t * u * u, a * u * t * t
    left = (a + 2) * t**3 - (a + 3) * t**2 + 1
    right = (a + 2) * u**3 - (a + 3) * u**2 + 1
    return torch.stack((far_left, left, right, far_right))


def _pad_index(index: Tensor, size: int, padding: str) -> tuple[Tensor, Tensor]:
    """Which sample of a row stands for `index`, and whether it counts."""
    inside = torch.ones_like(index, dtype=torch.bool)
    if padding == "zeros":
        inside = (index >= 0) & (index < size)
    if padding == "circular":
        return index % size, inside
    if padding == "reflect":
        index = mirror_index(index, size)
    return index.clamp(0, size - 1), inside
