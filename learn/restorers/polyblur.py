"""PolyBlur: a mild blur estimated from the picture's own steepest edges, and undone by a polynomial of it.

Delbracio et al., Polyblur: Removing Mild Blur by Polynomial Reblurring, IEEE TCI 2021, with the constants and the
discussion of Eboli et al., IPOL 2022. It needs neither a lens nor a network nor a mosaic: sRGB in, sRGB out. Where this
differs from both: derivatives are taken of the mirrored picture (of the periodic one the jump between opposite borders
would be the steepest edge), and halos are removed pixel by pixel.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from psf import InputError

GRADIENT_CONSTANT = 0.362  # C: the gradient of a perfect edge behind a Gaussian of 1 px; Eboli et al., estimator
EDGE_BLUR_PX = 0.464  # s_b: what sharp pictures have already; the same. The pair depends on the noise.
SIGMA_RANGE_PX = (0.3, 4.0)
QUANTILE = 1e-4
ALPHA, BETA = 6.0, 1.0
KERNEL_PX = 25
COARSE_ANGLES, FINE_ANGLES = 6, 30
SLOPE_FLOOR = 1e-12  # squared slopes per px that a flat picture may have by rounding
BILATERAL_PX, BILATERAL_SIGMA_PX, BILATERAL_RANGE = 5, 5.0, 0.1  # Eboli et al.'s public code


@dataclass(frozen=True)
class PolyBlur:
    """What PolyBlur is told.

    Attributes:
        rounds: How often it estimates and restores.
        gradient_constant: C.
        edge_blur_px: s_b, standard deviation of the blur that counts as sharp.
        quantile: Share of darkest and of lightest pixels that do not count.
        alpha: Second derivative of the polynomial at 1: how much middle frequencies are lifted.
        beta: Its value at 0: what becomes of frequencies that the blur has removed, noise above all.
        split_noise: Sharpen only what a bilateral filter leaves, and add the rest as it was.
    """

    rounds: int = 3
    gradient_constant: float = GRADIENT_CONSTANT
    edge_blur_px: float = EDGE_BLUR_PX
    quantile: float = QUANTILE
    alpha: float = ALPHA
    beta: float = BETA
    split_noise: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.rounds, bool) or not isinstance(self.rounds, int) or self.rounds < 0:
            raise InputError("PolyBlur.rounds", repr(self.rounds), "an integer, 0 or more")
        for name in ("gradient_constant", "edge_blur_px", "alpha", "beta"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise InputError(f"PolyBlur.{name}", value, "a finite number, 0 or more")
        if not 0 <= self.quantile < 0.5:
            raise InputError("PolyBlur.quantile", self.quantile, "a share from 0 to below 0.5")


@dataclass(frozen=True, eq=False)
class GaussianBlur:
    """The blur that a picture's edges tell of.

    Attributes:
        steepest: Largest slope along directions every 30 degrees from 0, per px, shape (B, 6).
        steepest_fine: The same every 6 degrees, interpolated, shape (B, 30).
        theta_rad: Direction of the strongest blur, counter-clockwise from the right, shape (B,).
        sigma_px: Standard deviation along it, shape (B,).
        rho_px: Standard deviation across it, shape (B,).
    """

    steepest: Tensor
    steepest_fine: Tensor
    theta_rad: Tensor
    sigma_px: Tensor
    rho_px: Tensor

    def kernels(self) -> Tensor:
        """Gaussians of unit sum, shape (B, 25, 25)."""
        half = KERNEL_PX // 2
        x = torch.arange(-half, half + 1, dtype=self.sigma_px.dtype, device=self.sigma_px.device)
        theta, sigma, rho = (one[:, None, None] for one in (self.theta_rad, self.sigma_px, self.rho_px))
        right, up = x, -x[:, None]
        along = right * theta.cos() + up * theta.sin()
        across = up * theta.cos() - right * theta.sin()
        kernels = torch.exp(-0.5 * ((along / sigma) ** 2 + (across / rho) ** 2))
        return kernels / kernels.sum((1, 2), keepdim=True)


def restore_polyblur(srgb: Tensor, settings: PolyBlur | None = None) -> Tensor:
    """Sharpen developed pictures by as much blur as they show.

    Args:
        srgb: Values from 0 to 1, shape (B, C, H, W).
        settings: What it is told; None for three rounds with the published constants.

    Returns:
        Clipped to 0..1, shape (B, C, H, W).
    """
    settings = PolyBlur() if settings is None else settings
    _check_picture(srgb)
    for _ in range(settings.rounds):
        blur = estimate_blur(srgb, settings)
        smooth = _bilateral(srgb) if settings.split_noise else srgb
        sharp = reblur(smooth, blur.kernels(), settings.alpha, settings.beta)
        restored = remove_halos(smooth, sharp)
        srgb = (restored + (srgb - smooth) if settings.split_noise else restored).clamp(0, 1)
    return srgb


def estimate_blur(srgb: Tensor, settings: PolyBlur | None = None) -> GaussianBlur:
    """The Gaussian that makes a picture's steepest edges as steep as they are, per picture.

    Args:
        srgb: Shape (B, C, H, W).
        settings: As in `restore_polyblur`.
    """
    settings = PolyBlur() if settings is None else settings
    _check_picture(srgb)
    grey = srgb.mean(1)
    ends = torch.tensor([settings.quantile, 1 - settings.quantile], dtype=torch.float64)
    low, high = _quantiles(grey.flatten(1), ends).unbind(0)
    span = (high - low).clamp_min(torch.finfo(srgb.dtype).tiny)[:, None, None]
    normal = ((grey - low[:, None, None]) / span).clamp(0, 1)
    slope_x, slope_y = differentiate(normal)
    angles = torch.arange(COARSE_ANGLES, dtype=srgb.dtype, device=srgb.device) * (math.pi / COARSE_ANGLES)
    steepest = torch.stack([(a.cos() * slope_x - a.sin() * slope_y).abs().amax((1, 2)) for a in angles], 1)
    fine = _interpolate_angles(steepest)
    index = fine.argmin(1)
    across = (index + FINE_ANGLES // 2) % FINE_ANGLES
    return GaussianBlur(
        steepest,
        fine,
        index.to(srgb.dtype) * (math.pi / FINE_ANGLES),
        _sigma(fine.gather(1, index[:, None])[:, 0], settings),
        _sigma(fine.gather(1, across[:, None])[:, 0], settings),
    )


def reblur(srgb: Tensor, kernels: Tensor, alpha: float = ALPHA, beta: float = BETA) -> Tensor:
    """The polynomial of a symmetric blur that nearly inverts it, for blurs that pass no frequency with the wrong sign.

    Args:
        srgb: Shape (B, C, H, W).
        kernels: Their own mirror images, odd sides, shape (B, K, K).
        alpha: As in `PolyBlur`.
        beta: As in `PolyBlur`.

    Returns:
        Neither clipped nor free of halos, shape (B, C, H, W).
    """
    half = kernels.shape[-1] // 2
    padded = functional.pad(srgb, (half,) * 4, mode="replicate")
    shape = padded.shape[-2:]
    placed = torch.zeros((len(kernels), *shape), dtype=srgb.dtype, device=srgb.device)
    placed[:, : kernels.shape[1], : kernels.shape[2]] = kernels
    transfer = torch.fft.rfft2(placed.roll((-half, -half), (1, 2))).real[:, None]
    a3, a2, a1 = alpha / 2 - beta + 2, 3 * beta - alpha - 6, 5 - 3 * beta + alpha / 2
    factor = ((a3 * transfer + a2) * transfer + a1) * transfer + beta
    sharp: Tensor = torch.fft.irfft2(torch.fft.rfft2(padded) * factor, s=shape)
    return sharp[..., half : shape[0] - half, half : shape[1] - half]


def remove_halos(before: Tensor, after: Tensor) -> Tensor:
    """Mix sharpened pictures with what they were where sharpening has turned a slope round.

    Args:
        before: Shape (B, C, H, W).
        after: Shape (B, C, H, W).

    Returns:
        Shape (B, C, H, W).
    """
    before_x, before_y = differentiate(before)
    after_x, after_y = differentiate(after)
    against = (-(before_x * after_x + before_y * after_y)).clamp_min(0)
    share = against / (before_x**2 + before_y**2 + against + SLOPE_FLOOR)
    return before * share + after * (1 - share)


def differentiate(images: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes along columns and along rows (downwards), per px, by the Fourier transform of the mirrored picture.

    Args:
        images: Shape (..., H, W).

    Returns:
        Twice shape (..., H, W).
    """
    return _differentiate_axis(images, -1), _differentiate_axis(images, -2)


def _differentiate_axis(images: Tensor, axis: int) -> Tensor:
    """Along one axis only: the other's transform would be undone again."""
    side = images.shape[axis]
    doubled = torch.cat([images, images.flip(axis)], axis)
    frequency = torch.fft.rfftfreq(2 * side, dtype=images.dtype, device=images.device)
    frequency[-1] = 0  # Nyquist: its derivative has no real value
    shape = [1] * images.ndim
    shape[axis] = -1
    spectrum = torch.fft.rfft(doubled, dim=axis) * (2j * math.pi * frequency.reshape(shape))
    slopes: Tensor = torch.fft.irfft(spectrum, n=2 * side, dim=axis)
    return slopes.narrow(axis, 0, side)


def _quantiles(values: Tensor, ends: Tensor) -> Tensor:
    """Linear quantiles of (B, N), shape (2, B); torch's own refuses more than 16 million values."""
    ordered = values.sort(1).values
    place = ends.to(torch.float64) * (values.shape[1] - 1)
    lower = place.floor().long().to(values.device)
    upper = (lower + 1).clamp_max(values.shape[1] - 1)
    share = (place.to(values.device) - lower).to(values.dtype)
    return torch.lerp(ordered[:, lower], ordered[:, upper], share).T


def _sigma(slope: Tensor, settings: PolyBlur) -> Tensor:
    """Standard deviation in px behind a steepest slope."""
    floor = torch.finfo(slope.dtype).tiny ** 0.5
    variance = (settings.gradient_constant / slope.clamp_min(floor)) ** 2 - settings.edge_blur_px**2
    least, most = SIGMA_RANGE_PX
    return variance.clamp(least**2, most**2).sqrt()


def _interpolate_angles(steepest: Tensor) -> Tensor:
    """Cubic (Keys, a = -1/2) between angles every 30 degrees, of period 180: (B, 6) to (B, 30)."""
    part = FINE_ANGLES // COARSE_ANGLES
    t = (torch.arange(part, dtype=steepest.dtype, device=steepest.device) / part)[None, None]
    before, at, after, beyond = (steepest.roll(n, 1)[..., None] for n in (1, 0, -1, -2))
    weights = (
        -0.5 * t**3 + t**2 - 0.5 * t,
        1.5 * t**3 - 2.5 * t**2 + 1,
        -1.5 * t**3 + 2 * t**2 + 0.5 * t,
        0.5 * t**3 - 0.5 * t**2,
    )
    mixed = sum(w * v for w, v in zip(weights, (before, at, after, beyond), strict=True))
    return torch.as_tensor(mixed).flatten(1)


def _bilateral(images: Tensor) -> Tensor:
    """The bilateral filter, colours compared together."""
    half = BILATERAL_PX // 2
    padded = functional.pad(images, (half,) * 4, mode="replicate")
    height, width = images.shape[-2:]
    total, weights = torch.zeros_like(images), torch.zeros_like(images[:, :1])
    for row in range(BILATERAL_PX):
        for col in range(BILATERAL_PX):
            other = padded[..., row : row + height, col : col + width]
            apart = ((row - half) ** 2 + (col - half) ** 2) / (2 * BILATERAL_SIGMA_PX**2)
            unlike = (other - images).square().mean(1, keepdim=True) / (2 * BILATERAL_RANGE**2)
            weight = torch.exp(-apart - unlike)
            total, weights = total + weight * other, weights + weight
    return total / weights


def _check_picture(srgb: Tensor) -> None:
    if not isinstance(srgb, Tensor) or not srgb.is_floating_point():
        kind = srgb.dtype if isinstance(srgb, Tensor) else type(srgb).__name__
        raise InputError("srgb", kind, "a tensor of floating numbers from 0 to 1")
    if srgb.ndim != 4 or srgb.shape[1] == 0 or min(srgb.shape[2:]) < 2:
        raise InputError("srgb", f"shape {tuple(srgb.shape)}", "shape (B, C, H, W), at least 2 px to a side")
    if not bool(srgb.isfinite().all()):
        raise InputError("srgb", "values that are NaN or infinite", "values from 0 to 1")
