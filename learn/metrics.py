"""How far one picture is from another: PSNR, SSIM, and MS-SSIM that a network can be trained with.

    find_psnr_db(restored, target)          # values are clipped to 0..1 first
    find_ssim(restored, target)
    1 - find_ms_ssim(restored, target)      # differentiable

SSIM is Wang et al. 2004 with their Gaussian window: 11 x 11, sigma 1.5, K 0.01 and 0.03, biased covariance, the valid
region only, each channel by itself. MS-SSIM is Wang et al. 2003.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from psf import InputError

WINDOW_PX, SIGMA_PX = 11, 1.5
K1, K2 = 0.01, 0.03
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, finest scale first
LEAST_STRUCTURE = 1e-4  # below it a root's slope would be too steep to train with


def find_psnr_db(found: Tensor, target: Tensor, *, clip: bool = True) -> Tensor:
    """Peak signal-to-noise ratio of pictures of values from 0 to 1, over all channels.

    Args:
        found: Shape (B, C, H, W).
        target: What it should be, shape (B, C, H, W).
        clip: Cut both at 0 and 1 first, as a picture file would.

    Returns:
        In dB, shape (B,); inf where they are equal.
    """
    _check_pair(found, target)
    if clip:
        found, target = found.clamp(0, 1), target.clamp(0, 1)
    error = (found - target).square().mean((1, 2, 3), dtype=torch.float64)
    return (-10 * error.log10()).to(found.dtype)


def find_ssim(found: Tensor, target: Tensor, *, clip: bool = True) -> Tensor:
    """Structural similarity, the mean over channels and the pixels whose window lies inside.

    Args:
        found: Values from 0 to 1, at least 11 px to a side, shape (B, C, H, W).
        target: What it should be, shape (B, C, H, W).
        clip: Cut both at 0 and 1 first.

    Returns:
        1 where they are equal, shape (B,). Differentiable.
    """
    _check_pair(found, target)
    _check_side(found, 1)
    if clip:
        found, target = found.clamp(0, 1), target.clamp(0, 1)
    luminance, structure = _compare(found, target)
    return (luminance * structure).mean((1, 2, 3))


def find_ms_ssim(found: Tensor, target: Tensor, *, scales: int = 5) -> Tensor:
    """Structural similarity over several scales, each half as large as the one before; to be trained with.

    Nothing is clipped: a network's values beyond 0 and 1 must keep their gradients.

    Args:
        found: Values about 0 to 1, shape (B, C, H, W).
        target: What it should be, shape (B, C, H, W).
        scales: How many; with fewer than 5 the published exponents are scaled to the same sum. `count_scales` says
            how many a picture allows.

    Returns:
        1 where they are equal, shape (B,). Differentiable, also where they are equal.
    """
    _check_pair(found, target)
    if isinstance(scales, bool) or not isinstance(scales, int) or not 1 <= scales <= len(MS_SSIM_WEIGHTS):
        raise InputError("scales", repr(scales), f"an integer from 1 to {len(MS_SSIM_WEIGHTS)}")
    _check_side(found, scales)
    total = sum(MS_SSIM_WEIGHTS[:scales])
    product: Tensor | None = None
    for scale in range(scales):
        luminance, structure = _compare(found, target)
        part = luminance * structure if scale == scales - 1 else structure
        # Channel by channel; opposite structure has no root, so it counts as none.
        mean = part.mean((2, 3)).clamp_min(LEAST_STRUCTURE) ** (MS_SSIM_WEIGHTS[scale] / total)
        product = mean if product is None else product * mean
        if scale < scales - 1:
            found, target = functional.avg_pool2d(found, 2), functional.avg_pool2d(target, 2)
    assert product is not None
    return product.mean(1)


def count_scales(height_px: int, width_px: int) -> int:
    """How many scales `find_ms_ssim` can compare in a picture of this size, 0 to 5."""
    side = min(height_px, width_px)
    return min(len(MS_SSIM_WEIGHTS), (side // WINDOW_PX).bit_length())


def _compare(found: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance's part of SSIM, and contrast's and structure's, where the window lies inside."""
    batch, channels = found.shape[:2]
    # Five blurred pictures at once. Centring by a common grey keeps float32 from losing the variances.
    grey = target.detach().mean((2, 3), keepdim=True)
    x, y = found - grey, target - grey
    moments = _blur(torch.cat([x, y, x * x, y * y, x * y], 1))
    mean_x, mean_y, square_x, square_y, product = moments.reshape(batch, 5, channels, *moments.shape[2:]).unbind(1)
    variance_x, variance_y = square_x - mean_x * mean_x, square_y - mean_y * mean_y
    covariance = product - mean_x * mean_y
    mean_x, mean_y = mean_x + grey, mean_y + grey
    c1, c2 = K1**2, K2**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    return luminance, (2 * covariance + c2) / (variance_x + variance_y + c2)


def _blur(images: Tensor) -> Tensor:
    """Gaussian window over every channel, only where it lies inside."""
    half, planes = WINDOW_PX // 2, images.shape[1]
    weights = [math.exp(-0.5 * (n / SIGMA_PX) ** 2) for n in range(-half, half + 1)]
    window = images.new_tensor(weights) / sum(weights)
    # A kernel for every plane: torch has fast loops for these on a CPU, and none for single planes in a large batch.
    down = window[None, None, :, None].expand(planes, 1, -1, 1).contiguous()
    rows = functional.conv2d(images, down, groups=planes)
    return functional.conv2d(rows, down.transpose(2, 3).contiguous(), groups=planes)


def _check_pair(found: Tensor, target: Tensor) -> None:
    for name, images in (("found", found), ("target", target)):
        if not isinstance(images, Tensor) or not images.is_floating_point():
            kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
            raise InputError(name, kind, "a tensor of floating numbers from 0 to 1")
    if found.ndim != 4 or 0 in found.shape[1:]:
        raise InputError("found", f"shape {tuple(found.shape)}", "shape (B, C, H, W)")
    if target.shape != found.shape:
        raise InputError("target", f"shape {tuple(target.shape)}", f"shape {tuple(found.shape)}, as found has")
    if target.dtype != found.dtype or target.device != found.device:
        there = f"{found.dtype} on {found.device}, as found"
        raise InputError("target", f"{target.dtype} on {target.device}", there)


def _check_side(images: Tensor, scales: int) -> None:
    least = WINDOW_PX << (scales - 1)
    if min(images.shape[2:]) < least:
        found = f"{images.shape[2]} x {images.shape[3]} px"
        raise InputError("found", found, f"at least {least} px to a side for {scales} scales")
