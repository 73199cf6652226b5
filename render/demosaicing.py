"""Three colours per pixel from the one that a Bayer sensor has: bilinear, and Malvar, He and Cutler.

Beyond the frame the mosaic goes on mirrored about its outermost lines (index -1 is 1), which keeps the pattern.
Repeating the outermost lines instead, as some programs do, mixes colours in the outer two pixels.

Malvar, He, Cutler, High-quality linear interpolation for demosaicing of Bayer-patterned color images, ICASSP 2004.
"""

import functools
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from psf import InputError
from psf.convolve import check_finite

from .bayer import Pattern, check_pattern

if TYPE_CHECKING:
    from .site_loops import Taps

Method = Literal["bilinear", "malvar"]
METHODS: tuple[Method, ...] = get_args(Method)
Array = npt.NDArray[Any]

# Bilinear: weights of the samples of the wanted colour.
BILINEAR_GREEN = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
BILINEAR_RED_BLUE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
# Malvar, He, Cutler, figure 2: weights of all samples.
MALVAR_GREEN = np.array([[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]) / 8
MALVAR_ALONG_ROW = (
    np.array([[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]]) / 8
)
MALVAR_DIAGONAL = (
    np.array([[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]]) / 8
)
# How far each method looks, and so how many lines it needs to mirror; the loops read PAD_PX of them.
REACH_PX = {"bilinear": 1, "malvar": 2}
PAD_PX = 2


def demosaic(mosaic: Tensor, pattern: Pattern, method: Method = "bilinear") -> Tensor:
    """All three colours at every pixel; measured samples are kept.

    Both methods are exact for constants, and two pixels off the border for grey ramps. Malvar's is sharper and may
    leave the range of its input, which is not clipped here.

    Args:
        mosaic: float32 or float64, any light, shape (..., H, W), H and W at least 2 (bilinear) or 3 (malvar).
        pattern: Of the mosaic's first cell.
        method: "bilinear" or "malvar".

    Returns:
        R, G, B, shape (..., 3, H, W). Differentiable, also twice.
    """
    check_pattern(pattern)
    check_demosaic(method)
    if not isinstance(mosaic, Tensor) or mosaic.dtype not in (torch.float32, torch.float64):
        found = mosaic.dtype if isinstance(mosaic, Tensor) else type(mosaic).__name__
        raise InputError("mosaic", found, "a tensor of float32 or float64")
    least = REACH_PX[method] + 1
    if mosaic.ndim < 2 or min(mosaic.shape[-2:]) < least:
        expected = f"shape (..., H, W) with H and W at least {least} for {method}"
        raise InputError("mosaic", f"shape {tuple(mosaic.shape)}", expected)
    check_finite("mosaic", mosaic)
    height, width = mosaic.shape[-2:]
    padded = _pad(mosaic.reshape(-1, 1, height, width))[:, 0]
    taps = find_taps(pattern, method)
    colours = _SumTaps.apply(padded, taps) if mosaic.device.type == "cpu" else sum_slices(padded, taps)
    return colours.reshape(*mosaic.shape[:-2], 3, height, width)


def check_demosaic(method: str) -> None:
    """Raise InputError unless `method` is one of METHODS."""
    if method not in METHODS:
        raise InputError("demosaic", repr(method), " or ".join(map(repr, METHODS)))


@functools.cache
def find_taps(pattern: Pattern, method: Method) -> "Taps":
    """The neighbours that make each colour at each site; read-only."""
    from .site_loops import Taps

    cell = np.array(list(pattern)).reshape(2, 2)
    starts, found = [0], []
    for i, j in np.ndindex(2, 2):
        for colour in "RGB":
            weights = _weights_at(cell, i, j, colour, method)
            reach = len(weights) // 2
            found += [(row - reach, col - reach, weights[row, col]) for row, col in np.argwhere(weights).tolist()]
            starts.append(len(found))
    rows, cols, values = zip(*found, strict=True)
    arrays = (np.array(starts), np.array(rows), np.array(cols), np.array(values, np.float64))
    for array in arrays:
        array.flags.writeable = False
    return Taps(*arrays)


def sum_slices(padded: Tensor, taps: "Taps") -> Tensor:
    """What `site_loops.sum_taps` computes, in tensor operations, for devices without those loops.

    Args:
        padded: Mosaics with two more lines on every side, shape (N, H + 4, W + 4).
        taps: Of their pattern.

    Returns:
        Shape (N, 3, H, W).
    """
    height, width = padded.shape[1] - 4, padded.shape[2] - 4
    out = padded.new_empty((padded.shape[0], 3, height, width))
    for place in range(12):
        site, colour = divmod(place, 3)
        row, col = divmod(site, 2)
        total: Tensor | None = None
        for k in range(int(taps.starts[place]), int(taps.starts[place + 1])):
            top, left = row + 2 + int(taps.rows[k]), col + 2 + int(taps.cols[k])
            part = padded[:, top : top + height - row : 2, left : left + width - col : 2] * float(taps.weights[k])
            total = part if total is None else total + part
        if total is not None:
            out[:, colour, row::2, col::2] = total
    return out


class _SumTaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, padded: Tensor, taps: "Taps") -> Tensor:
        from .site_loops import sum_taps

        ctx.taps = taps
        return torch.from_numpy(sum_taps(padded.detach().contiguous().numpy(), taps, torch.get_num_threads()))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _SpreadTaps.apply(grad, ctx.taps), None


class _SpreadTaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, given: Tensor, taps: "Taps") -> Tensor:
        from .site_loops import spread_taps

        ctx.taps = taps
        return torch.from_numpy(spread_taps(given.detach().contiguous().numpy(), taps, torch.get_num_threads()))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _SumTaps.apply(grad, ctx.taps), None


def _pad(mosaics: Tensor) -> Tensor:
    """Two more lines on every side of (N, 1, H, W), mirrored."""
    mirrored_px = min(PAD_PX, *(side - 1 for side in mosaics.shape[-2:]))
    mirrored = torch.nn.functional.pad(mosaics, (mirrored_px,) * 4, mode="reflect")
    if mirrored_px == PAD_PX:
        return mirrored
    # Two pixels have one line to mirror, which is all that bilinear sums have a weight for.
    return torch.nn.functional.pad(mirrored, (PAD_PX - mirrored_px,) * 4)


def _weights_at(cell: Array, i: int, j: int, colour: str, method: Method) -> Array:
    """Weights (3, 3) or (5, 5) of the neighbourhood of site (i, j) for one colour."""
    own = cell[i, j]
    if own == colour:
        return np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    if method == "bilinear":
        near = np.array([[cell[(i + row) % 2, (j + col) % 2] == colour for col in (-1, 0, 1)] for row in (-1, 0, 1)])
        return near * (BILINEAR_GREEN if colour == "G" else BILINEAR_RED_BLUE)
    if colour == "G":
        return MALVAR_GREEN
    if own == "G":
        return MALVAR_ALONG_ROW if colour in cell[i] else MALVAR_ALONG_ROW.T
    return MALVAR_DIAGONAL
