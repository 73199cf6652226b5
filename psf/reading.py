"""Pictures read between their samples by a windowed sinc, which softens nothing that a lens shows."""

import torch
from torch import Tensor

# Samples on either side of a place that the windowed sinc weighs. Half way between samples it leaves 0.996 of a wave of
# 4 px and 0.97 of one of 2.5 px; a cubic 0.88 and 0.45.
LOBES = 6


def weigh_sinc(part: Tensor) -> Tensor:
    """How much each sample around a place counts, by a sinc windowed with its own main lobe (Lanczos).

    Args:
        part: How far places lie behind a sample, 0 to 1, shape (N,).

    Returns:
        Of the samples from 1 - LOBES to LOBES, shape (2 LOBES, N); their sum is 1.
    """
    distance = torch.arange(1 - LOBES, LOBES + 1, dtype=part.dtype, device=part.device)[:, None] - part
    shares = torch.sinc(distance) * torch.sinc(distance / LOBES)
    return shares / shares.sum(0)


def mirror_index(index: Tensor, size: int) -> Tensor:
    """Samples that stand for those outside: -1 is 1, `size` is `size` - 2, as often as needed.

    Args:
        index: Whole numbers, any shape.
        size: Samples of the row.

    Returns:
        0 to `size` - 1, of the same shape.
    """
    if size == 1:
        return torch.zeros_like(index)
    folded = index % (2 * size - 2)
    return torch.minimum(folded, 2 * size - 2 - folded)


def read_matrix(place: Tensor, size: int) -> Tensor:
    """The matrix that reads a row of samples at places; beyond its ends stand mirror images.

    Args:
        place: In samples, 0 the first one's middle, shape (N,).
        size: Samples of the row.

    Returns:
        Shape (N, size), float64; rows sum to 1.
    """
    place = place.double()
    first = place.floor()
    taps = first[:, None].long() + torch.arange(1 - LOBES, LOBES + 1, device=place.device)
    matrix = torch.zeros((len(place), size), dtype=torch.float64, device=place.device)
    return matrix.scatter_add_(1, mirror_index(taps, size), weigh_sinc(place - first).mT.contiguous())
