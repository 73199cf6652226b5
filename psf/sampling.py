"""Reading kernels at turned, shifted and scaled points: the one operation behind turning and interpolation.

Two forms of the same sum: compiled loops on a CPU, torch operations anywhere else. Both carry gradients to the
kernels, the weights and the points.
"""

from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor

from .errors import InputError

Turning = Literal["bilinear", "cubic", "spline"]
TURNINGS: tuple[str, ...] = get_args(Turning)
# A B-spline coefficient falls by 0.268 per sample outside the data: 16 samples leave 7e-10 of it.
SPLINE_MARGIN = 16
# Points times kernels that the torch form holds at once; about 100 bytes each.
POINTS_AT_ONCE = 1 << 20


def check_turning(where: str, turning: str) -> None:
    """Raise InputError unless `turning` is one of TURNINGS."""
    if turning not in TURNINGS:
        raise InputError(where, repr(turning), " or ".join(map(repr, TURNINGS)))


def prefilter_spline(kernels: Tensor) -> Tensor:
    """B-spline coefficients whose cubic spline passes through the samples and through zeros all round.

    Args:
        kernels: Shape (..., S, S).

    Returns:
        Coefficients, shape (..., S + 2 * SPLINE_MARGIN, S + 2 * SPLINE_MARGIN).
    """
    size = kernels.shape[-1]
    whole = size + 2 * SPLINE_MARGIN
    eye = torch.eye(whole, dtype=torch.float64)
    samples = (4 * eye + eye.roll(1, 0).tril() + eye.roll(-1, 0).triu()) / 6
    inverse = torch.linalg.inv(samples)[:, SPLINE_MARGIN : SPLINE_MARGIN + size].to(kernels)
    coefficients: Tensor = inverse @ kernels @ inverse.mT
    return coefficients


def prepare(kernels: Tensor, turning: str) -> Tensor:
    """What `sample` reads: the kernels (..., S, S) themselves, or their spline coefficients, which are wider."""
    return prefilter_spline(kernels) if turning == "spline" else kernels


def sample(
    kernels: Tensor, index: Tensor, weight: Tensor, affine: Tensor, kernel_px: int, oversample: int, turning: str
) -> Tensor:
    """Weighted sum of kernels, each read at its own affine image of the output's points, summed down to pixels.

    The output has oversample * kernel_px points per axis. The point `r` rows and `c` columns from the output's
    middle reads kernel `index[p, j]` at row `m + a0 r + a1 c + a2` and column `m + a3 r + a4 c + a5`, with `a =
    affine[p, j]` and `m` the kernel's middle. Outside the stored square there is nothing.

    Args:
        kernels: From `prepare`, shape (M, S, S).
        index: Which kernels, shape (P, n), integers below M.
        weight: How much of each, shape (P, n).
        affine: Where to read, shape (P, n, 6).
        kernel_px: Side K of the output.
        oversample: Reading points per pixel and axis.
        turning: One of TURNINGS.

    Returns:
        Shape (P, K, K).
    """
    middle = (kernels.shape[-1] - 1) / 2
    affine = affine + affine.new_tensor([0, 0, middle, 0, 0, middle])
    if kernels.device.type == "cpu":
        arguments = (kernels, index, weight, affine, kernel_px, oversample, TURNINGS.index(turning))
        return cast(Tensor, _Compiled.apply(*arguments))
    return sample_reference(kernels, index, weight, affine, kernel_px, oversample, turning)


def sample_reference(
    kernels: Tensor, index: Tensor, weight: Tensor, affine: Tensor, kernel_px: int, oversample: int, turning: str
) -> Tensor:
    """`sample` in torch operations, which any device has.

    Args:
        kernels: As in `sample`, shape (M, S, S).
        index: Shape (P, n).
        weight: Shape (P, n).
        affine: Shape (P, n, 6); here rows and columns count from the first sample, not from the middle.
        kernel_px: Side K of the output.
        oversample: Reading points per pixel and axis.
        turning: One of TURNINGS.

    Returns:
        Shape (P, K, K).
    """
    side = kernel_px * oversample
    step = max(1, POINTS_AT_ONCE // (side * side * max(1, index.shape[1])))
    parts = [
        _sample_part(kernels, i, w, a, side, turning)
        for i, w, a in zip(index.split(step), weight.split(step), affine.split(step), strict=True)
    ]
    points = torch.cat(parts) if parts else kernels.new_zeros((0, side, side))
    return points.reshape(-1, kernel_px, oversample, kernel_px, oversample).sum((2, 4))


def _sample_part(kernels: Tensor, index: Tensor, weight: Tensor, affine: Tensor, side: int, turning: str) -> Tensor:
    offset = torch.arange(side, dtype=kernels.dtype, device=kernels.device) - (side - 1) / 2
    a = affine[..., None, None]
    r, c = offset[:, None], offset[None, :]
    row = a[:, :, 0] * r + a[:, :, 1] * c + a[:, :, 2]
    col = a[:, :, 3] * r + a[:, :, 4] * c + a[:, :, 5]
    first_row, first_col = row.detach().floor(), col.detach().floor()
    across = tap_weights(turning, row - first_row)
    along = tap_weights(turning, col - first_col)
    size = kernels.shape[-1]
    flat = kernels.reshape(-1)
    start = (index * size * size)[..., None, None]
    total = torch.zeros_like(row)
    for i, u in across.items():
        rows = first_row.long() + i
        for k, v in along.items():
            cols = first_col.long() + k
            inside = (rows >= 0) & (rows < size) & (cols >= 0) & (cols < size)
            where = start + rows.clamp(0, size - 1) * size + cols.clamp(0, size - 1)
            total = total + u * v * torch.where(inside, flat[where], 0.0)
    return (weight[..., None, None] * total).sum(1)


def tap_weights(turning: str, t: Tensor) -> dict[int, Tensor]:
    """Weights of the samples around a point, by offset from the sample before it; t in [0, 1), any shape."""
    if turning == "bilinear":
        return {0: 1 - t, 1: t}
    if turning == "cubic":  # Keys 1981, a = -1/2
        return {
            -1: ((-0.5 * t + 1) * t - 0.5) * t,
            0: (1.5 * t - 2.5) * t * t + 1,
            1: ((-1.5 * t + 2) * t + 0.5) * t,
            2: (0.5 * t - 0.5) * t * t,
        }
    u = 1 - t
    return {-1: u**3 / 6, 0: ((3 * t - 6) * t * t + 4) / 6, 1: ((3 * u - 6) * u * u + 4) / 6, 2: t**3 / 6}


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        kernels: Tensor,
        index: Tensor,
        weight: Tensor,
        affine: Tensor,
        kernel_px: int,
        oversample: int,
        kind: int,
    ) -> Tensor:
        from . import compiled

        padded = torch.nn.functional.pad(kernels, (compiled.PAD,) * 4).contiguous()
        weight, affine = weight.contiguous(), affine.contiguous()
        out = kernels.new_zeros((len(index), kernel_px, kernel_px))
        box = _support(padded).clamp(compiled.PAD, padded.shape[-1] - 1 - compiled.PAD)
        arrays = (_array(one) for one in (padded, box, index.contiguous(), weight, affine, out))
        compiled.read(*arrays, oversample=oversample, kind=kind, threads=torch.get_num_threads())
        ctx.save_for_backward(padded, index, weight, affine)
        ctx.oversample, ctx.kind = oversample, kind
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from . import compiled

        padded, index, weight, affine = ctx.saved_tensors
        arrays = (_array(one) for one in (padded, index.contiguous(), weight, affine, grad.contiguous()))
        options = {"oversample": ctx.oversample, "kind": ctx.kind, "threads": torch.get_num_threads()}
        found = compiled.transpose(*arrays, **options)
        to_kernels, to_weight, to_affine = (torch.from_numpy(one) for one in found)
        p = compiled.PAD
        return to_kernels[:, p:-p, p:-p], None, to_weight, to_affine, None, None, None


def _array(tensor: Tensor) -> Any:
    return tensor.detach().numpy()


def _support(kernels: Tensor) -> Tensor:
    """First and last row, first and last column that hold light, shape (M, 4); the whole square where there is none."""
    size = kernels.shape[-1]
    bounds = []
    for axis in (-1, -2):
        lit = (kernels != 0).any(axis).long()
        bounds += [lit.argmax(-1), size - 1 - lit.flip(-1).argmax(-1)]
    return torch.stack(bounds, -1)
