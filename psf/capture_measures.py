"""What one pair of photographs tells of its kernel without an estimator: light, shift, spread, and what is left over.

The blurred picture is fitted, by least squares, with the sharp one seen through discs of several radii and through the
first and second differences of a broad one. The sum of the discs is the exposure ratio, the differences are the
kernel's shift and the parts of its spread that are not round. A lens that breathes shows the blurred picture at another
scale: whole pixels of shift are taken off before, one more column finds the scale, and if it moves the picture's edges
by more than a little, it is taken out and all is fitted anew. It takes milliseconds and sees what ruins an estimate.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .captures import Patches
from .discs import disc_overlap

# Radii of the discs, as shares of half a kernel; the first is the pixel itself.
DISCS = (0.0, 0.12, 0.25, 0.4, 0.6, 0.8, 1.0)
# Blocks of this side are transformed when the spectrum is looked at.
BLOCK_PX = 64
# Pairs of a longer side are measured in tiles of the second number.
LARGEST_PX, TILE_PX = 224, 160
# Shifts up to here are found by the fit alone.
LEAST_SHIFT_PX = 2.0
# A scale that moves a picture's edges by so much is more than a first order can take out, and by so much cannot be.
LEAST_SCALE_PX, MOST_SCALE_PX = 0.3, 4.0
PASSES = 3
# Light above which many equal pixels are saturation rather than a flat part of a drawn picture.
WHITE = 0.98


@dataclass(frozen=True, kw_only=True)
class PairMeasures:
    """Numbers of one pair, all channels together.

    Attributes:
        contrast: Standard deviation of the sharp picture over its mean, of what is finer than a kernel.
        gain: Exposure of the blurred picture against the sharp one.
        gain_error: Standard error of it.
        shift_px: What lies outwards along the radius, and across it (counter-clockwise), of the kernel's centroid.
        spread_px: RMS radius of the kernel about its centroid.
        lean_px2: Mixed second moment, outwards times across: 0 for a lens of revolution that stood still.
        residual: Standard deviation of what the fit leaves, over the blurred picture's own.
        exponent: Power that the light was raised to, 1 for linear light; NaN where the picture does not tell.
        exponent_error: Standard error of it.
        peak: Largest value of the sharp picture's spectrum over the median at that frequency.
        peak_period_px: Its period.
        clipped_share: Share of pixels that stand at white or at black, of the picture that has more of them.
    """

    contrast: float
    gain: float
    gain_error: float
    shift_px: tuple[float, float]
    spread_px: float
    lean_px2: float
    residual: float
    exponent: float
    exponent_error: float
    peak: float
    peak_period_px: float
    clipped_share: float


def measure_pair(pair: Patches) -> PairMeasures:
    """Measure one pair, on the CPU: pictures of shapes (C, h + K - 1, w + K - 1) and (C, h, w), no batch."""
    sharp, blurred = (light.detach().cpu().double().mean(0) for light in (pair.sharp, pair.blurred))
    size = pair.kernel_px
    local = _means(sharp, size)
    fine = _trim(sharp, size) - local
    mean = float(sharp.mean())
    right, down = _find_shift(fine, blurred - _smooth(blurred, size), size)
    scale, half_px = 0.0, max(blurred.shape) / 2
    for _ in range(PASSES):
        parts = _overlap(sharp, blurred, right, down)
        parts = _rescale(*parts, scale) if scale else parts
        gain, gain_error, rest, moments, residual, curve, more = _fit_moments(*parts, size)
        shift = (right + rest[0], down + rest[1])
        step = [round(one) for one in rest] if size > 1 else [0, 0]
        if not any(step) and abs(more) * half_px < LEAST_SCALE_PX:
            break
        room = [min(size, side // 4) for side in blurred.shape[::-1]]
        right, down = (max(-r, min(r, a + b)) for r, a, b in zip(room, (right, down), step, strict=True))
        scale = max(-MOST_SCALE_PX / half_px, min(MOST_SCALE_PX / half_px, scale + more))
    radial, across, lean = _turn_to_radius(pair, shift, moments)
    exponent, exponent_error = curve
    peak, period_px = _find_peak(sharp)
    return PairMeasures(
        contrast=float(fine.std()) / max(abs(mean), 1e-9),
        gain=gain,
        gain_error=gain_error,
        shift_px=(radial, across),
        spread_px=math.sqrt(max(moments[0] + moments[1], 0.0)),
        lean_px2=lean,
        residual=residual,
        exponent=exponent,
        exponent_error=exponent_error,
        peak=peak,
        peak_period_px=period_px,
        clipped_share=max(_find_pile(pair.sharp), _find_pile(pair.blurred)),
    )


def cut_tiles(pair: Patches) -> list[Patches]:
    """The pair itself if it is small, else its middle and its corners: one kernel does not hold for a whole frame."""
    height, width = pair.blurred.shape[-2:]
    if max(height, width) <= LARGEST_PX:
        return [pair]
    tall, wide = min(height, TILE_PX), min(width, TILE_PX)
    places = [((height - tall) // 2, (width - wide) // 2)]
    places += [(row, column) for row in {0, height - tall} for column in {0, width - wide}]
    return [pair.cut(row, column, tall, wide) for row, column in places]


def _means(picture: Tensor, size: int) -> Tensor:
    """Means over squares of an odd side, valid region only."""
    return torch.nn.functional.avg_pool2d(picture[None, None], size, stride=1)[0, 0]


def _trim(picture: Tensor, size: int) -> Tensor:
    half = size // 2
    return picture[half : picture.shape[0] - half, half : picture.shape[1] - half] if half else picture


def _smooth(picture: Tensor, size: int) -> Tensor:
    """Means over squares of an odd side; at the edges over what there is of them."""
    pad = size // 2
    pool = torch.nn.functional.avg_pool2d
    return pool(picture[None, None], size, stride=1, padding=pad, count_include_pad=False)[0, 0]


def _find_shift(sharp: Tensor, blurred: Tensor, size: int) -> tuple[int, int]:
    """Whole pixels right and down that a picture (h, w) is moved, by its correlation with the sharp one (h, w).

    Small shifts are left to the fit, which knows them better.
    """
    height, width = blurred.shape
    shape = (2 * height, 2 * width)
    spectrum = torch.fft.rfft2(blurred, s=shape) * torch.fft.rfft2(sharp, s=shape).conj()
    alike = torch.fft.irfft2(spectrum, s=shape)
    reach = [min(size, side // 4) for side in (height, width)]
    near = torch.cat([alike[-reach[0] :] if reach[0] else alike[:0], alike[: reach[0] + 1]])
    near = torch.cat([near[:, -reach[1] :] if reach[1] else near[:, :0], near[:, : reach[1] + 1]], 1)
    # Wide kernels make a plateau of it, whose middle counts and not its highest point.
    top = (near - 0.5 * near.max()).clamp_min(0)
    if not float(top.sum()) > 0:
        return 0, 0
    rows, columns = (torch.arange(-one, one + 1, dtype=top.dtype) for one in reach)
    down, right = (float(top.sum(n) @ places / top.sum()) for n, places in ((1, rows), (0, columns)))
    return (round(right), round(down)) if math.hypot(right, down) > LEAST_SHIFT_PX else (0, 0)


def _overlap(sharp: Tensor, blurred: Tensor, right: int, down: int) -> tuple[Tensor, Tensor]:
    """What both pictures show once the blurred one (h, w) is moved back; the sharp one has its margin on."""
    height, width = blurred.shape
    blurred = blurred[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)]
    rows, columns = (side - abs(moved) for side, moved in zip(sharp.shape, (down, right), strict=True))
    top, left = max(-down, 0), max(-right, 0)
    return sharp[top : top + rows, left : left + columns], blurred


def _rescale(sharp: Tensor, blurred: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The blurred picture (h, w) made smaller about its middle by a share; both without the edges that this spoils."""
    height, width = blurred.shape
    rows, columns = (torch.linspace(scale - 1, 1 - scale, side, dtype=blurred.dtype) for side in (height, width))
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)[None]
    read = torch.nn.functional.grid_sample(
        blurred[None, None], grid, mode="bicubic", padding_mode="border", align_corners=True
    )
    edge = min(math.ceil(abs(scale) * max(height, width) / 2) + 2, (min(height, width) - 1) // 2)
    inner = (slice(edge, -edge or None), slice(edge, -edge or None))
    return sharp[inner], read[0, 0][inner]


def _fit_moments(
    sharp: Tensor, blurred: Tensor, size: int
) -> tuple[float, float, tuple[float, float], tuple[float, float, float], float, tuple[float, float], float]:
    """Gain, its error, shift (right, down), moments (right^2, down^2, mixed), residual, exponent, and rest of scale."""
    if size == 1:
        shapes = sharp.new_ones(1, 1, 1)
    else:
        half = size / 2
        radii = sharp.new_tensor([share * half for share in DISCS])
        discs = disc_overlap(radii, torch.zeros(len(radii), 2, dtype=sharp.dtype), size)
        discs = discs / discs.sum((-2, -1), keepdim=True)
        offset = torch.arange(size, dtype=sharp.dtype) - size // 2
        # Differences of Gaussians of three widths: shifts and stretches of any kernel, sharp or wide.
        shapes_ = [discs]
        for sigma in sorted({0.7, max(0.12 * size, 0.7), max(0.25 * size, 0.7)}):
            bell = torch.exp(-0.5 * (offset[:, None] ** 2 + offset[None, :] ** 2) / sigma**2)
            bell = bell / bell.sum()
            x, y = offset[None, :] / sigma, offset[:, None] / sigma
            shapes_.append(torch.stack([x * bell, y * bell, (x * x - y * y) * bell, x * y * bell]))
        shapes = torch.cat(shapes_)
    seen = _see(sharp, shapes)
    matrix, target = torch.cat([seen.flatten(1), _stretch(blurred, size)]).T, blurred.reshape(-1)
    normal = matrix.T @ matrix
    ridge = 1e-9 * float(normal.diagonal().mean())
    inverse = torch.linalg.inv(normal + ridge * torch.eye(len(normal), dtype=normal.dtype))
    share = inverse @ (matrix.T @ target)
    left = target - matrix @ share
    freedom = max(len(target) - len(share), 1)
    sums = torch.nn.functional.pad(shapes.sum((-2, -1)), (0, matrix.shape[1] - len(shapes)))
    gain = float(share @ sums)
    error = math.sqrt(max(float(sums @ inverse @ sums), 0.0) * float(left @ left) / freedom)
    kernel = torch.einsum("n,nij->ij", share[: len(shapes)], shapes) / (gain if abs(gain) > 1e-9 else 1.0)
    offset = torch.arange(size, dtype=sharp.dtype) - size // 2
    right, down = float(kernel.sum(0) @ offset), float(kernel.sum(1) @ offset)
    xx = float(kernel.sum(0) @ (offset - right) ** 2)
    yy = float(kernel.sum(1) @ (offset - down) ** 2)
    xy = float((offset - down) @ kernel @ (offset - right))
    deviation = float(blurred.std()) if blurred.numel() > 1 else 0.0
    residual = float(left.square().mean().sqrt()) / max(deviation, 1e-12)
    curve = _fit_exponent(sharp, target / (gain or 1.0), matrix, share, kernel)
    scale = float(share[-1]) if len(share) > len(shapes) else 0.0
    return gain, error, (right, down), (xx, yy, xy), residual, curve, scale


def _see(sharp: Tensor, kernels: Tensor) -> Tensor:
    """Pictures (..., h + K - 1, w + K - 1) through kernels (..., K, K), valid region, by one transform: (..., h, w)."""
    size, shape = kernels.shape[-1], sharp.shape[-2:]
    spectrum = torch.fft.rfft2(sharp) * torch.fft.rfft2(kernels, s=shape)
    seen: Tensor = torch.fft.irfft2(spectrum, s=shape)[..., size - 1 :, size - 1 :]
    return seen


def _stretch(blurred: Tensor, size: int) -> Tensor:
    """What a slightly larger scale about its middle adds to a picture (h, w), shape (1, h w) or none, (0, h w).

    Of what is finer than a kernel: a slow fall-off of the light would look like a scale.
    """
    height, width = blurred.shape
    if min(height, width) < 3:
        return blurred.new_empty(0, height * width)
    down, right = torch.gradient(blurred - _smooth(blurred, size))
    y, x = (torch.arange(side, dtype=blurred.dtype) - (side - 1) / 2 for side in (height, width))
    return (x * right + y[:, None] * down).reshape(1, -1)


def _turn_to_radius(
    pair: Patches, shift: tuple[float, float], moments: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Shift outwards and across, and their mixed moment, at the middle of the pair."""
    x_px, y_px = (float(one) for one in pair.middle())
    right, up = x_px - (pair.image_shape_px[1] - 1) / 2, (pair.image_shape_px[0] - 1) / 2 - y_px
    distance = math.hypot(right, up)
    cosine, sine = (right / distance, up / distance) if distance > 0 else (1.0, 0.0)
    # Up is minus down, and so is the mixed moment's sign.
    shift_right, shift_up, xx, yy, xy = shift[0], -shift[1], moments[0], moments[1], -moments[2]
    radial, across = cosine * shift_right + sine * shift_up, -sine * shift_right + cosine * shift_up
    return radial, across, cosine * sine * (yy - xx) + (cosine**2 - sine**2) * xy


def _fit_exponent(sharp: Tensor, target: Tensor, matrix: Tensor, share: Tensor, kernel: Tensor) -> tuple[float, float]:
    """Power of the light behind the numbers, and its standard error.

    If s = l^(1/g), a kernel k lifts s above its own mean k*s by (g - 1)/2 (k*s^2 - (k*s)^2) / (k*s), to second order:
    one more column beside the discs.
    """
    mean, square = _see(torch.stack([sharp, sharp**2]), kernel)
    spread = (square - mean**2).clamp_min(0).reshape(-1) / mean.reshape(-1).clamp_min(0.02)
    if len(target) < 4 * len(share) or float(spread.std()) < 1e-4:
        return math.nan, math.nan
    columns = torch.cat([matrix, 0.5 * spread[:, None]], 1)
    normal = columns.T @ columns
    ridge = 1e-9 * float(normal.diagonal().mean())
    inverse = torch.linalg.inv(normal + ridge * torch.eye(len(normal), dtype=normal.dtype))
    found = inverse @ (columns.T @ target)
    left = target - columns @ found
    variance = float(left @ left) / (len(target) - len(found))
    return 1 + float(found[-1]), math.sqrt(float(inverse[-1, -1]) * variance)


def _find_peak(sharp: Tensor) -> tuple[float, float]:
    """The spectrum's largest peak over the median of its ring, and its period in pixels."""
    side = min(BLOCK_PX, *sharp.shape)
    if side < 16:
        return 1.0, math.inf
    blocks = sharp.unfold(0, side, side // 2).unfold(1, side, side // 2).reshape(-1, side, side)
    window = torch.hann_window(side, periodic=True, dtype=sharp.dtype)
    # Planes of light take the window's own lines with them.
    level = blocks - blocks.mean((-2, -1), keepdim=True)
    power = torch.fft.rfft2(level * window[:, None] * window).abs().square().mean(0)
    row = torch.fft.fftfreq(side, dtype=sharp.dtype)[:, None]
    column = torch.fft.rfftfreq(side, dtype=sharp.dtype)[None, :]
    frequency = torch.hypot(row, column)
    best, period_px = 1.0, math.inf
    # A grid of display pixels beats at a few pixels' period; slower waves are the picture's own.
    for ring in range(side // 8, side // 2):
        inside = (frequency * side - ring).abs() < 1
        values = power[inside]
        ratio = float(values.max() / values.median().clamp_min(1e-30))
        if ratio > best:
            best, period_px = ratio, 1 / float(frequency[inside][values.argmax()])
    return best, period_px


def _find_pile(picture: Tensor) -> float:
    """Share of pixels exactly as bright as the brightest, if that is white, or as dark as the darkest, if black."""
    flat = picture.reshape(-1)
    piles = [
        int((flat == end).sum()) - 1
        for end, is_end in ((flat.max(), flat.max() >= WHITE), (flat.min(), flat.min() <= 0))
        if is_end
    ]
    return max(piles, default=0) / flat.numel()
