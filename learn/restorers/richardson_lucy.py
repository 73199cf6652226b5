"""Richardson-Lucy deconvolution with every pixel's own kernel: `render.pixelwise` and its transpose.

Richardson 1972, Lucy 1974: multiply by what the transposed blur makes of measured over predicted light. The picture
stays positive and keeps its light. Noise grows with the rounds; damping stops it where the prediction is within it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from render import PixelwisePlan, pixelwise, plan_pixelwise

from .arguments import Number, check_frame, spread_number

LEAST_LIGHT = 1e-6  # of a white of 1: what is divided by at least


def restore_richardson_lucy(
    image: Tensor,
    depth_m: Tensor,
    field: PolarPSFField,
    *,
    window: tuple[int, int] | None = None,
    rounds: int = 20,
    shot: Number = 0.0,
    read: Number = 0.0,
    damping: float = 1.0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Deblur pictures whose depth is known or guessed.

    Args:
        image: Linear light as the camera took it, all channels at every pixel, shape (B, C, H, W); below 0 counts as 0.
        depth_m: Positive, `inf` allowed, shape (B, 1, H, W).
        field: The camera's kernels and transmission.
        window: Sensor column and row of the picture's first pixel. None: the picture is the whole sensor.
        rounds: How many.
        shot: Variance of the noise per light, in normalised units; a number or shape (B,).
        read: Variance without light, in normalised units, likewise.
        damping: Standard deviations of noise within which a prediction is good enough; 0, or no noise: no damping.
        on_progress: Called with rounds done and in all.

    Returns:
        At least 0, shape (B, C, H, W).
    """
    x_px, y_px = check_frame(image, depth_m, field, window)
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 0:
        raise InputError("rounds", repr(rounds), "an integer, 0 or more")
    if not 0 <= damping < float("inf"):
        raise InputError("damping", damping, "a finite number, 0 or more")
    shots, reads = (
        spread_number(name, value, image)[:, None, None, None] for name, value in (("shot", shot), ("read", read))
    )
    if not len(image) or not rounds:
        return image.clamp_min(0)
    shape = (image.shape[2], image.shape[3])
    plan = plan_pixelwise(field, shape, window=(x_px, y_px), depth_m=depth_m)
    measured = image.detach().clamp_min(0)
    _, sensitivity = apply_transpose(torch.ones_like(measured), depth_m, plan, lambda _: torch.ones_like(measured))
    estimate = measured.clamp_min(LEAST_LIGHT)

    def correct(predicted: Tensor) -> Tensor:
        difference = measured - predicted
        noise = damping**2 * (reads + shots * predicted)
        # 1 far outside the noise, 0 well inside it.
        trusted = difference**2 / (difference**2 + noise).clamp_min(LEAST_LIGHT**2)
        return 1 + trusted * difference / predicted.clamp_min(LEAST_LIGHT)

    for number in range(rounds):
        _, ratio = apply_transpose(estimate, depth_m, plan, correct)
        estimate = estimate * ratio.clamp_min(0) / sensitivity.clamp_min(LEAST_LIGHT)
        if on_progress is not None:
            on_progress(number + 1, rounds)
    return estimate


def apply_transpose(
    image: Tensor, depth_m: Tensor, plan: PixelwisePlan, change: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Blur a picture, change the result, and bring it back through the transpose of the blur.

    Args:
        image: Shape (B, C, H, W).
        depth_m: Shape (B, 1, H, W).
        plan: Of the blur.
        change: From the blurred picture, shape (B, C, H, W), to what is transposed.

    Returns:
        The blurred picture and the transposed one, both (B, C, H, W), without gradients.
    """
    with torch.enable_grad():
        source = image.detach().requires_grad_()
        blurred = pixelwise(source, depth_m, plan)
        changed = change(blurred.detach())
        (back,) = torch.autograd.grad(blurred, source, changed)
    return blurred.detach(), back
