"""How far away things are, from the blur of one photograph and the camera's known field.

A kernel leaves its mark on a picture's spectrum: where it lets nothing through there is noise alone. For each tile and
each depth of the field, the power at each frequency is compared with what a picture of usual spectrum would have after
that kernel, and the depth under which it is most likely wins (a Gaussian likelihood, as Whittle 1953 has it; discs'
rings of zeros tell best). With that depth known-field restorers need to be told none.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from psf import InputError, PolarPSFField

from .arguments import Number, check_frame, spread_number

LEAST_TILE_PX = 128
# Beyond this frequency in cycles per px the green of a mosaic is guessed.
HIGHEST = 0.25
# Of its first few frequencies a tile knows little, as its window smears them.
LOWEST_CYCLES = 1.5
# Power falls with the frequency to one of these powers: print and texture, photographs, smooth surfaces.
FALLS = (1.0, 2.0, 3.0)
ROUNDS = 8  # until the signal's strength has settled
# What neighbours and the whole frame count beside a tile: empty ones have no opinion of their own.
NEIGHBOURS_PX = 3
FRAME_SHARE = 0.1


def find_depth_by_blur(
    image: Tensor,
    field: PolarPSFField,
    *,
    noise_variance: Number,
    window: tuple[int, int] | None = None,
    highest: float = HIGHEST,
    on_progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """The depth at which each part of a picture looks most like one taken by this camera.

    Blurs that are nearly alike cannot be told apart: on either side of the depth in focus, and below 4 px or so.

    Args:
        image: Linear light as the camera took it, shape (B, C, H, W); the middle channel is looked at.
        field: The camera's kernels; their depths are the candidates.
        noise_variance: Power of the noise at low frequencies, in squared units of the light, one number or shape (B,).
            White noise: its variance. Demosaiced green, which half of the pixels measure: twice the variance.
        window: Sensor column and row of the picture's first pixel. None: the picture is the whole sensor.
        highest: Frequency in cycles per px up to which the picture is trusted.
        on_progress: Called with rows of tiles done and in all.

    Returns:
        In m, smooth and even over about two kernels' widths, shape (B, 1, H, W).
    """
    nowhere = torch.ones_like(image[:, :1]) if isinstance(image, Tensor) and image.ndim == 4 else image
    x_px, y_px = check_frame(image, nowhere, field, window)
    if not 0 < highest <= 0.5:
        raise InputError("highest", highest, "a frequency above 0, up to 0.5 cycles per px")
    noise = spread_number("noise_variance", noise_variance, image).clamp_min(torch.finfo(image.dtype).tiny)
    height, width = image.shape[-2:]
    side = max(LEAST_TILE_PX, 2 * (field.kernel_px - 1))
    shape = (min(side, height), min(side, width))
    dioptres = (1 / field.depths_m).double()
    if len(dioptres) == 1:
        return torch.full_like(image[:, :1], float(field.depths_m[0]))
    rows, cols = (_place_tiles(whole, part) for whole, part in zip((height, width), shape, strict=True))
    sight = _Sight(shape, highest)
    if not bool(sight.used.any()):
        expected = f"more pixels, for frequencies from {LOWEST_CYCLES:g} cycles a tile to {highest:g} per px"
        raise InputError("image", f"{height} x {width} px", expected)
    costs = image.new_zeros((len(image), len(dioptres), len(rows), len(cols)), dtype=torch.float64)
    for row, top in enumerate(rows):
        for col, left in enumerate(cols):
            middle = (x_px + left + (shape[1] - 1) / 2, y_px + top + (shape[0] - 1) / 2)
            passed = sight.find_passed(field, *middle)
            for number, one in enumerate(image[:, image.shape[1] // 2]):
                power = sight.measure(one[top : top + shape[0], left : left + shape[1]])
                costs[number, :, row, col] = sight.weigh(power, passed, float(noise[number]))
        if on_progress is not None:
            on_progress(row + 1, len(rows))
    found = _refine(_gather(costs), dioptres.to(costs.device))
    grown = _grow(found, rows, cols, shape, (height, width))
    return (1 / grown).to(image)


class _Sight:
    """What is measured of a tile: its power at some frequencies, and what kernels do to them."""

    def __init__(self, shape: tuple[int, int], highest: float) -> None:
        self.shape = shape
        rows, cols = (torch.hann_window(side, periodic=True, dtype=torch.float64) for side in shape)
        self.taper = rows[:, None] * cols
        fy: Tensor = torch.fft.fftfreq(shape[0], dtype=torch.float64)
        fx: Tensor = torch.fft.rfftfreq(shape[1], dtype=torch.float64)
        frequency = torch.hypot(fy[:, None], fx)
        self.used = (frequency > LOWEST_CYCLES / min(shape)) & (frequency < highest)
        # Columns within the half spectrum stand for their mirror images too; that of zero does not.
        self.count = torch.where(fx > 0, 2.0, 1.0).expand_as(frequency)[self.used]
        falls = torch.stack([frequency[self.used] ** -fall for fall in FALLS])
        self.falls = falls / falls.mean(1, keepdim=True)

    def measure(self, tile: Tensor) -> Tensor:
        """Power of a tile (h, w) at the frequencies that are used, shape (N,)."""
        whole = tile.double().cpu()
        mean = (whole * self.taper).sum() / self.taper.sum()
        spectrum = torch.fft.rfft2((whole - mean) * self.taper)
        power: Tensor = (spectrum.real**2 + spectrum.imag**2)[self.used]
        return power

    def find_passed(self, field: PolarPSFField, x_px: float, y_px: float) -> Tensor:
        """Share of the power that the kernels of all depths let through, as the taper smears it, shape (D, N)."""
        channel = field.kernels.shape[2] // 2
        kernels = field.at_pixel(x_px, y_px, field.depths_m)[:, channel].double().cpu()
        rows, cols = (_fold(kernels.shape[-1], side) for side in self.shape)
        placed = kernels.new_zeros((len(kernels), *self.shape))
        placed.index_put_(
            (torch.arange(len(kernels))[:, None, None], rows[:, None], cols[None]), kernels, accumulate=True
        )
        spectrum = torch.fft.fft2(placed)
        power = spectrum.real**2 + spectrum.imag**2
        for axis in (-2, -1):
            power = power * (2 / 3) + (power.roll(1, axis) + power.roll(-1, axis)) / 6
        passed: Tensor = power[..., : self.shape[1] // 2 + 1][:, self.used]
        return passed

    def weigh(self, power: Tensor, passed: Tensor, noise_variance: float) -> Tensor:
        """How unlikely a power (N,) is at each depth (D, N), for the spectrum that suits best: shape (D,)."""
        noise = noise_variance * float((self.taper**2).sum())
        signal = passed[:, None] * self.falls
        strength = (power - noise).clamp_min(1e-6 * noise).mean() / signal.mean(-1, keepdim=True)
        for _ in range(ROUNDS):
            # A fixed point of the likelihood's slope, which each round comes nearer to.
            expected = strength * signal + noise
            share = signal / expected * self.count
            slope = (power / expected * share).sum(-1, keepdim=True) / share.sum(-1, keepdim=True)
            strength = strength * slope.clamp(0.05, 20.0)
        expected = strength * signal + noise
        unlikely: Tensor = ((power / expected + expected.log()) * self.count).sum(-1).amin(1)
        return unlikely


def _place_tiles(whole: int, part: int) -> list[int]:
    """First pixels of tiles that overlap by half, the last at the frame's end."""
    steps = max(0, math.ceil((whole - part) / max(1, part // 2)))
    return [round(step * (whole - part) / steps) for step in range(steps + 1)] if steps else [0]


def _fold(kernel_px: int, side: int) -> Tensor:
    """Where the rows of a kernel lie in a period, its middle at 0."""
    return (torch.arange(kernel_px) - kernel_px // 2) % side


def _gather(costs: Tensor) -> Tensor:
    """With what neighbours and the frame have to say, shape (B, D, rows, columns)."""
    margin = NEIGHBOURS_PX // 2
    padded = functional.pad(costs, (margin,) * 4, mode="replicate")
    return functional.avg_pool2d(padded, NEIGHBOURS_PX, 1) + FRAME_SHARE * costs.mean((2, 3), keepdim=True)


def _refine(costs: Tensor, dioptres: Tensor) -> Tensor:
    """Best dioptre between the candidates, by a parabola through the best and its neighbours; (B, 1, rows, columns)."""
    count = len(dioptres)
    best = costs.argmin(1, keepdim=True)
    if count < 3:
        return dioptres[best]
    inner = best.clamp(1, count - 2)
    before, here, after = (costs.gather(1, inner + step) for step in (-1, 0, 1))
    bend = (before - 2 * here + after).clamp_min(torch.finfo(costs.dtype).tiny)
    place = inner + ((before - after) / (2 * bend)).clamp(-1, 1)
    place = torch.where(best == inner, place, best.to(place))
    lower = place.floor().long().clamp(0, count - 2)
    return torch.lerp(dioptres[lower], dioptres[lower + 1], place - lower)


def _grow(found: Tensor, rows: list[int], cols: list[int], tile: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    """From one value per tile to one per pixel, linear between the tiles' middles; (B, 1, H, W)."""
    grown = found
    for axis, (starts, part, whole) in enumerate(zip((rows, cols), tile, shape, strict=True), start=2):
        middles = torch.tensor(starts, dtype=torch.float64) + (part - 1) / 2
        place = torch.arange(whole, dtype=torch.float64).clamp(middles[0], middles[-1])
        upper = torch.searchsorted(middles, place).clamp(min(1, len(middles) - 1), len(middles) - 1)
        lower = (upper - 1).clamp_min(0)
        share = ((place - middles[lower]) / (middles[upper] - middles[lower]).clamp_min(1)).to(grown)
        share = share.reshape([-1 if axis == one else 1 for one in range(4)])
        upper, lower = upper.to(grown.device), lower.to(grown.device)
        grown = torch.lerp(grown.index_select(axis, lower), grown.index_select(axis, upper), share)
    return grown
