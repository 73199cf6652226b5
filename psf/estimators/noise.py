"""How noisy pictures are, from the pictures alone: what is left where they are flattest."""

import torch
from torch import Tensor
from torch.nn import functional

# Sides of the squares that are looked at, and which share of them counts as flat.
SQUARE_PX, FLAT_SHARE = 12, 0.003
# Of the mean square in such squares of pure white noise, the quantile FLAT_SHARE (measured on 7 million pixels).
FLAT_QUANTILE = 0.420
# Of few squares the flattest is that of so many squares' share: the mean rank of the least.
LEAST_RANK = 0.6


def find_noise_variance(pictures: Tensor) -> float:
    """Variance of white noise in pictures of shape (n, h, w), or an upper bound of it where nothing in them is flat.

    The noise is what a filter that flat and evenly rising light does not pass leaves of the flattest squares.
    """
    line = torch.tensor([1.0, -4, 6, -4, 1], dtype=torch.float64)
    mask = line[:, None] * line / 70
    levels = []
    for picture in pictures:
        if min(picture.shape) < len(line):
            continue
        left = functional.conv2d(picture.double()[None, None], mask[None, None]) ** 2
        side = min(SQUARE_PX, *left.shape[-2:])
        levels.append(functional.avg_pool2d(left, side).reshape(-1))
    if not levels:
        return 0.0
    found = torch.cat(levels)
    # Such mean squares are nearly normal: the quantile of a share tells their spread, and so that of another share.
    share, usual = (torch.special.ndtri(torch.tensor(one)) for one in (LEAST_RANK / len(found), FLAT_SHARE))
    quantile = 1 - (1 - FLAT_QUANTILE) * min(max(float(share / usual), 0.0), 1.0)
    return float(found.quantile(FLAT_SHARE)) / quantile
