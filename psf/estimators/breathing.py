"""Focus breathing: how much larger the blurred pictures are than the sharp ones, from shifts of patches."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..captures import Captures

# Patches of this side are compared; as many per pair as fit, at most 3 x 3.
PATCH_PX = 48
# At most so many pairs: a scale is one number.
MOST_PAIRS = 60
# Kernels hold shifts of up to this share of half their side at the sensor's corner; more has to be taken out first.
HELD_SHARE = 0.5


def choose_magnification(captures: Captures, wanted: float | str) -> float:
    """The scale that is taken out before kernels are looked for.

    Args:
        captures: Pairs of one focus distance.
        wanted: A scale; "kernels" for 1; "fit" for the measured one; "auto" for 1 where kernels hold the shifts of
            the measured one, else that.
    """
    if isinstance(wanted, float | int):
        return float(wanted)
    if wanted == "kernels":
        return 1.0
    found = find_magnification(captures)
    corner_px = abs(found - 1) * 0.5 * math.hypot(*captures.image_shape_px)
    held = corner_px <= HELD_SHARE * (captures.kernel_px // 2)
    return 1.0 if wanted == "auto" and held else found


def find_magnification(captures: Captures) -> float:
    """Scale of the blurred pictures against the sharp ones about the sensor's centre, by least squares over patches.

    Shifts that have nothing to do with where the patch lies average out; patches that disagree count less.
    """
    places, shifts, trust = [], [], []
    height, width = captures.image_shape_px
    for index in range(0, len(captures), -(-len(captures) // MOST_PAIRS)):
        pair = captures[index]
        sharp, blurred = (one.detach().double().cpu().mean(0) for one in (pair.sharp, pair.blurred))
        for top in _starts(blurred.shape[0]):
            for left in _starts(blurred.shape[1]):
                rows, cols = min(PATCH_PX, blurred.shape[0]), min(PATCH_PX, blurred.shape[1])
                more = captures.kernel_px - 1
                part = blurred[top : top + rows, left : left + cols]
                found = find_shift(sharp[top : top + rows + more, left : left + cols + more], part)
                if found is None:
                    continue
                right = float(pair.x0_px) + left + (cols - 1) / 2 - (width - 1) / 2
                down = float(pair.y0_px) + top + (rows - 1) / 2 - (height - 1) / 2
                places.append((right, down))
                shifts.append(found[:2])
                trust.append(found[2])
    if not places:
        return 1.0
    place, shift = torch.tensor(places, dtype=torch.float64), torch.tensor(shifts, dtype=torch.float64)
    weight = torch.tensor(trust, dtype=torch.float64)
    slope = torch.zeros((), dtype=torch.float64)
    for _ in range(10):
        slope = (weight[:, None] * place * shift).sum() / (weight[:, None] * place * place).sum().clamp_min(1e-12)
        off = (shift - slope * place).norm(dim=1)
        scale = 1.5 * off.median().clamp_min(0.02)
        weight = torch.tensor(trust, dtype=torch.float64) / (1 + (off / scale) ** 2)
    # shift = (1 - 1 / m) times where the blurred patch lies.
    return float(1 / (1 - slope))


def find_shift(sharp: Tensor, blurred: Tensor) -> tuple[float, float, float] | None:
    """How far right and down light of a sharp patch lies in the blurred one, and how well that is known.

    Args:
        sharp: Shape (h + 2 n, w + 2 n).
        blurred: Shape (h, w).

    Returns:
        Columns, rows, and the correlation there; None where nothing correlates.
    """
    reach = (sharp.shape[0] - blurred.shape[0]) // 2
    light = blurred - blurred.mean()
    picture = (sharp - sharp.mean())[None, None]
    product = functional.conv2d(picture, light[None, None])[0, 0]
    count = light.numel()
    mean, square = (functional.avg_pool2d(one, tuple(light.shape), 1)[0, 0] for one in (picture, picture**2))
    variance = square - mean**2
    spread = (variance.clamp_min(0) * count).sqrt() * light.norm()
    match = torch.where(spread > 1e-9, product / spread.clamp_min(1e-9), 0.0)
    best = int(match.argmax())
    row, col = divmod(best, match.shape[1])
    if float(match[row, col]) < 0.3 or not (0 < row < match.shape[0] - 1 and 0 < col < match.shape[1] - 1):
        return None
    down = row + _peak(match[row - 1 : row + 2, col]) - reach
    right = col + _peak(match[row, col - 1 : col + 2]) - reach
    # The window that fits lies where the light came from: the other way.
    return -right, -down, float(match[row, col]) ** 2


def _starts(length: int) -> list[int]:
    count = max(1, min(3, length // PATCH_PX))
    last = max(length - PATCH_PX, 0)
    return [round(n * last / max(count - 1, 1)) for n in range(count)]


def _peak(three: Tensor) -> float:
    """Place of a parabola's peak through three values, from the middle one."""
    before, middle, after = three.tolist()
    bend = before - 2 * middle + after
    return max(-0.5, min(0.5, 0.5 * (before - after) / bend)) if bend < 0 else 0.0
