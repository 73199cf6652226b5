"""Two frames of the same light in a few numbers, and what speaks against believing them.

The difference of the two cancels what is fixed: the scene, unequal pixels, the dark pattern. Frames are packed mosaics,
(4, h, w), or any planes (P, h, w), in whole DN.
"""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from psf import InputError

# Robust cut of single pixels: defects, cosmic rays. More than the share are no defects, and the level is not believed.
CUT_SD, MOST_CUT = 6.0, 1e-3
# A level is clipped when a mean lies this many sd off the ends of the scale, or this share of the pixels lies at them.
CLIP_SD, MOST_CLIPPED = 4.0, 1e-4
MOST_DRIFT, MOST_ROW_CHI2, MOST_UNEVEN = 0.01, 3.0, 0.2
# Blocks per side whose means tell how even a frame is; 256 normal numbers span 5.6 sd, give or take 0.6.
BLOCKS, SPAN_OF_BLOCKS_SD = 16, 8.5
# Doubt begins five standard errors off, so that honest frames pass.
ERRORS = 5.0


@dataclass(frozen=True, eq=False)
class PairStats:
    """Two frames of the same light, per plane; shape (P,) each.

    Attributes:
        mean_dn: Of both frames, black included.
        variance_dn2: Of a pixel from frame to frame, rounding included: half that of the difference.
        pixels: How many counted.
        pattern_sd_dn: Standard deviation of the pixels' own means: what is fixed on the sensor and in the light.
        change_dn: Mean of the first frame less that of the second.
        clipped: Share of the pixels at 0 or at white in either frame.
        uneven_dn: Range of the means of 16 x 16 blocks, less what noise alone may give.
        row_variance_dn2: What all pixels of a row have in common, from frame to frame; about 0 if nothing.
        correlation: Of vertical neighbours' noise.
        jumps: Share of the pixels whose difference lies beyond 6 robust standard deviations.
        shape_px: (h, w).
        name: What the pair is called in messages.
    """

    mean_dn: Tensor
    variance_dn2: Tensor
    pixels: Tensor
    pattern_sd_dn: Tensor
    change_dn: Tensor
    clipped: Tensor
    uneven_dn: Tensor
    row_variance_dn2: Tensor
    correlation: Tensor
    jumps: Tensor
    shape_px: tuple[int, int]
    name: str = ""


def measure_pair(first: Tensor, second: Tensor, *, white_dn: float, name: str = "") -> PairStats:
    """Reduce two frames of the same light to what a photon transfer needs.

    Args:
        first: Whole DN, any real dtype, shape (P, h, w), at least 32 x 32.
        second: The same scene, exposure and ISO, taken right after it; same shape.
        white_dn: Where the sensor saturates.
        name: What the pair is called in messages.

    Returns:
        Float64 statistics. One frame given twice is an error.
    """
    where = name or "measure_pair"
    if first.ndim != 3 or first.shape != second.shape or min(first.shape[1:]) < 2 * BLOCKS or not len(first):
        shapes = f"shapes {tuple(first.shape)} and {tuple(second.shape)}"
        raise InputError(where, shapes, f"two of one shape (P, h, w), {2 * BLOCKS} x {2 * BLOCKS} px or more")
    if not 0 < white_dn < math.inf:
        raise InputError(f"{where} (white_dn)", white_dn, "DN above 0")
    a, b = first.double(), second.double()
    if not bool(((a.frac() == 0) & (b.frac() == 0)).all()):  # neither NaN nor infinity is whole
        raise InputError(where, "DN that are not whole", "frames as the sensor gave them, not averaged or processed")
    # Frames that are white all over are equal too, and are told to be clipped.
    if bool((a == b).all()) and not bool(((a <= 0) | (a >= white_dn)).all()):
        raise InputError(
            where, "two frames that are equal in every pixel", "two exposures with noise to be seen, not one file twice"
        )
    planes = [_measure_plane(one, two, white_dn) for one, two in zip(a, b, strict=True)]
    names = (one.name for one in fields(PairStats))
    columns = {one: torch.stack(column) for one, column in zip(names, zip(*planes, strict=True), strict=False)}
    return PairStats(**columns, shape_px=(int(first.shape[1]), int(first.shape[2])), name=name)


def find_fault(pair: PairStats, plane: int, black_dn: float, white_dn: float, row_dark_dn2: float | None) -> str:
    """Why a level cannot count, or "".

    Args:
        pair: The level.
        plane: Which of its planes.
        black_dn: Of that plane.
        white_dn: Of the sensor.
        row_dark_dn2: Variance that rows have in the dark; None for a dark pair, of which less is asked.
    """
    raw, variance, change, clipped, uneven, jumps, rows = (
        float(getattr(pair, one)[plane])
        for one in ("mean_dn", "variance_dn2", "change_dn", "clipped", "uneven_dn", "jumps", "row_variance_dn2")
    )
    mean, sd = raw - black_dn, math.sqrt(variance)
    if raw + CLIP_SD * sd > white_dn or raw - CLIP_SD * sd < 0:
        end = f"white, {white_dn:g} DN" if raw + CLIP_SD * sd > white_dn else "0 DN"
        return f"clipped: {raw:.1f} DN with noise of {sd:.1f} DN is within {CLIP_SD:g} sd of {end}"
    if clipped > MOST_CLIPPED:
        return f"clipped: {100 * clipped:.2g} % of the pixels lie at 0 or white"
    if jumps > MOST_CUT:
        return f"jumps: {100 * jumps:.2g} % of the pixels differ by more than {CUT_SD:g} sd between the frames"
    if row_dark_dn2 is None:
        return ""
    if mean <= 0:
        return f"dark: {raw:.1f} DN is not above black, {black_dn:.1f} DN"
    if abs(change) > MOST_DRIFT * mean + ERRORS * math.sqrt(2 * variance / float(pair.pixels[plane])):
        return f"drift: the light changed by {100 * abs(change) / mean:.1f} % between the frames"
    of_noise = 2 * variance / pair.shape_px[1]
    chi2 = (of_noise + 2 * rows) / (of_noise + 2 * row_dark_dn2)
    if chi2 > MOST_ROW_CHI2:
        return f"flicker: rows differ between the frames, chi^2 {chi2:.1f} (at most {MOST_ROW_CHI2:g})"
    if uneven > MOST_UNEVEN * mean:
        return (
            f"uneven: brightness spans {100 * uneven / mean:.0f} % (at most {100 * MOST_UNEVEN:.0f} %); crop the middle"
        )
    return ""


def _measure_plane(a: Tensor, b: Tensor, white_dn: float) -> tuple[Tensor, ...]:
    height, width = a.shape
    difference, both = a - b, (a + b) / 2
    change = difference.mean()
    kept = (difference - change).abs() <= CUT_SD * _find_robust_sd(difference)
    jumps = 1 - kept.double().mean()
    if jumps > MOST_CUT:
        kept = torch.ones_like(kept)
    variance = difference[kept].var() / 2
    pattern = (both[kept].var() - variance / 2).clamp_min(0).sqrt()
    clipped = ((torch.minimum(a, b) <= 0) | (torch.maximum(a, b) >= white_dn)).double().mean()
    noise = torch.where(kept, difference - change, 0.0)
    rows = noise.mean(1)
    row_variance = (rows.square().sum() / (height - 1) - 2 * variance / width) / 2
    rest = noise - rows[:, None]
    correlation = (rest[1:] * rest[:-1]).mean() / rest.square().mean().clamp_min(1e-30)
    tall, wide = height // BLOCKS, width // BLOCKS
    blocks = both[: tall * BLOCKS, : wide * BLOCKS].reshape(BLOCKS, tall, BLOCKS, wide).mean((1, 3))
    of_noise = SPAN_OF_BLOCKS_SD * (variance / (2 * tall * wide)).sqrt()
    uneven = (blocks.max() - blocks.min() - of_noise).clamp_min(0)
    count = kept.sum().double()
    return both[kept].mean(), variance, count, pattern, change, clipped, uneven, row_variance, correlation, jumps


def _find_robust_sd(difference: Tensor) -> Tensor:
    """From the quartiles, read between whole DN, so that narrow noise does not give 0."""
    least = difference.min()
    counts = torch.bincount((difference - least).reshape(-1).long()).double()
    share = counts.cumsum(0) / counts.sum()

    def quantile(level: float) -> Tensor:
        at = int((share < level).sum())
        before = share[at - 1] if at else share.new_zeros(())
        return least + at - 0.5 + (level - before) / (share[at] - before)

    # The quartiles of a normal distribution lie 0.6745 sd from its middle.
    return ((quantile(0.75) - quantile(0.25)) / (2 * 0.6745)).clamp_min(0.5)
