"""Deconvolution by regularised least squares with every pixel's own kernel: slow, and the measure of what can be had.

The picture that minimises the squared error over its noise plus a prior on slopes: small ones cost their square, large
ones their size (Huber), so that noise is smoothed and edges stay. Weights are set anew a few times (iteratively
reweighted), the linear problem between is solved by conjugate gradients with `render.pixelwise` and its transpose.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from render import PixelwisePlan, plan_pixelwise

from .arguments import Number, check_frame, spread_number
from .richardson_lucy import apply_transpose

SLOPE_SCALE = 0.02  # of linear light per px: what a slope of the prior's size is
HUBER_SHARE = 0.1  # of it, where the square ends
LEAST_VARIANCE = 1e-8


def restore_least_squares(
    image: Tensor,
    depth_m: Tensor,
    field: PolarPSFField,
    *,
    window: tuple[int, int] | None = None,
    shot: Number = 0.0,
    read: Number = 0.0,
    slope_scale: float = SLOPE_SCALE,
    rounds: int = 4,
    steps: int = 12,
    on_progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Deblur pictures whose depth is known or guessed.

    Args:
        image: Linear light as the camera took it, all channels at every pixel, shape (B, C, H, W).
        depth_m: Positive, `inf` allowed, shape (B, 1, H, W).
        field: The camera's kernels and transmission.
        window: Sensor column and row of the picture's first pixel. None: the picture is the whole sensor.
        shot: Variance of the noise per light, in normalised units; a number or shape (B,).
        read: Variance without light, in normalised units, likewise.
        slope_scale: Typical difference of neighbouring pixels: smaller is smoother.
        rounds: How often the prior's weights are set.
        steps: Of conjugate gradients in each round.
        on_progress: Called with steps done and in all.

    Returns:
        Not clipped, shape (B, C, H, W).
    """
    x_px, y_px = check_frame(image, depth_m, field, window)
    for name, value in (("rounds", rounds), ("steps", steps)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InputError(name, repr(value), "an integer, 0 or more")
    if not 0 < slope_scale < float("inf"):
        raise InputError("slope_scale", slope_scale, "a positive finite number")
    shots, reads = (
        spread_number(name, value, image)[:, None, None, None] for name, value in (("shot", shot), ("read", read))
    )
    measured = image.detach()
    if not len(image) or not rounds * steps:
        return measured.clone()
    plan = plan_pixelwise(field, (image.shape[2], image.shape[3]), window=(x_px, y_px), depth_m=depth_m)
    trust = 1 / (reads + shots * measured.clamp_min(0)).clamp_min(LEAST_VARIANCE)
    wanted = apply_transpose(measured, depth_m, plan, lambda _: trust * measured)[1]
    estimate, done = measured.clone(), 0
    for _ in range(rounds):
        weights = [
            1 / (slope_scale * slope.norm(dim=1, keepdim=True).clamp_min(HUBER_SHARE * slope_scale))
            for slope in (_forward(estimate, axis) for axis in (-2, -1))
        ]
        system = partial(_apply_normal, depth_m=depth_m, plan=plan, trust=trust, weights=weights)
        estimates = _iterate(system, wanted, estimate)
        for _ in range(steps):
            estimate = next(estimates)
            done += 1
            if on_progress is not None:
                on_progress(done, rounds * steps)
    return estimate


def _apply_normal(
    estimate: Tensor, depth_m: Tensor, plan: PixelwisePlan, trust: Tensor, weights: list[Tensor]
) -> Tensor:
    """The matrix of the normal equations times a picture."""
    _, total = apply_transpose(estimate, depth_m, plan, lambda blurred: trust * blurred)
    for axis, weight in zip((-2, -1), weights, strict=True):
        total = total + _backward(weight * _forward(estimate, axis), axis)
    return total


def _iterate(system: Callable[[Tensor], Tensor], wanted: Tensor, estimate: Tensor) -> Iterator[Tensor]:
    """Conjugate gradients, picture by picture of a batch: one estimate after another."""
    residual = wanted - system(estimate)
    direction, before = residual, _dot(residual, residual)
    tiny = torch.finfo(before.dtype).tiny
    while True:
        image = system(direction)
        length = before / _dot(direction, image).clamp_min(tiny)
        estimate = estimate + length * direction
        residual = residual - length * image
        after = _dot(residual, residual)
        direction, before = residual + after / before.clamp_min(tiny) * direction, after
        yield estimate


def _dot(one: Tensor, two: Tensor) -> Tensor:
    return (one * two).sum((1, 2, 3), keepdim=True)


def _forward(image: Tensor, axis: int) -> Tensor:
    """Differences to the next pixel, 0 at the last."""
    zero = torch.zeros_like(image.narrow(axis, 0, 1))
    return torch.cat([image.diff(dim=axis), zero], axis)


def _backward(slope: Tensor, axis: int) -> Tensor:
    """The transpose of `_forward`."""
    zero = torch.zeros_like(slope.narrow(axis, 0, 1))
    inner = torch.cat([zero, slope.narrow(axis, 0, slope.shape[axis] - 1), zero], axis)
    return -inner.diff(dim=axis)
