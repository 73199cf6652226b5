"""Mean and variance of Gaussian light after clipping and rounding to whole DN, and the way back."""

import math

import numpy as np
import torch
from torch import Tensor

from psf import InputError

# Variance that rounding adds to light whose noise is wide, in DN^2.
ROUNDING_DN2 = 1 / 12
# Standard deviations beyond which a Gaussian's tail is below 1e-23.
TAIL_SD = 10.0
# Nodes of the average over a fixed pattern; steps of the search for the noise, and of that for light and pattern.
PATTERN_NODES, HALVINGS, SETTLINGS = 15, 28, 12
WIDE_PATTERN_DN = 0.6


def expected_moments(
    mean_dn: Tensor,
    sd_dn: Tensor,
    *,
    low_dn: float = -math.inf,
    high_dn: float = math.inf,
    rounded: bool = True,
) -> tuple[Tensor, Tensor]:
    """Mean and variance of a Gaussian that is clipped, and rounded unless told otherwise.

    For a whole number Y near the whole number c, E[(Y - c)^2] is the sum over j > 0 of (2 j - 1) P(|Y - c| >= j): exact
    at any width, where "variance + 1/12" fails below 0.7 DN. Rounding and clipping at whole DN commute.

    Args:
        mean_dn: Of the Gaussian, in DN, shape (...).
        sd_dn: Its standard deviation, 0 or more, a shape that broadcasts against it.
        low_dn: Everything below becomes this; whole (or -inf) if `rounded`.
        high_dn: Everything above becomes this.
        rounded: To whole DN; without it only the clipping counts.

    Returns:
        Mean in DN and variance in DN^2, shape (...), in the inputs' dtype (float64 to be exact).
    """
    if not bool((sd_dn.detach() >= 0).all() & sd_dn.detach().isfinite().all() & mean_dn.detach().isfinite().all()):
        raise InputError("expected_moments", "a mean or deviation that is no number", "finite means, deviations >= 0")
    if not low_dn < high_dn:
        raise InputError("expected_moments(low_dn)", f"{low_dn} with high_dn {high_dn}", "low_dn below high_dn")
    mean_dn, sd_dn = torch.broadcast_tensors(mean_dn, sd_dn)
    return _round_moments(mean_dn, sd_dn, low_dn, high_dn) if rounded else _clip(mean_dn, sd_dn, low_dn, high_dn)


def _round_moments(mean_dn: Tensor, sd_dn: Tensor, low_dn: float, high_dn: float) -> tuple[Tensor, Tensor]:
    if not mean_dn.numel():
        return mean_dn, sd_dn
    middle = mean_dn.round().clamp(low_dn, high_dn)
    step = torch.arange(1, int(TAIL_SD * float(sd_dn.max())) + 3, dtype=mean_dn.dtype, device=mean_dn.device)
    narrow = sd_dn.clamp_min(1e-9)[..., None]
    offset = (mean_dn - middle)[..., None]
    above = torch.special.ndtr((offset - step + 0.5) / narrow) * (middle[..., None] + step <= high_dn)
    below = torch.special.ndtr((-offset - step + 0.5) / narrow) * (middle[..., None] - step >= low_dn)
    first = (above - below).sum(-1)
    second = ((2 * step - 1) * (above + below)).sum(-1)
    return middle + first, second - first.square()


def _clip(mean_dn: Tensor, sd_dn: Tensor, low_dn: float, high_dn: float) -> tuple[Tensor, Tensor]:
    # About the mean, so that nothing cancels: y = mean + sd z, with z clipped to [a, c].
    narrow = sd_dn.clamp_min(1e-12)
    a, c = ((edge - mean_dn).div(narrow).clamp(-1e15, 1e15) for edge in (low_dn, high_dn))
    density_a, density_c = (torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi) for x in (a, c))
    left, right = torch.special.ndtr(a), torch.special.ndtr(-c)
    inside = 1 - left - right
    at_a, at_c = (torch.where(share > 0, x * share, 0.0) for x, share in ((a, left), (c, right)))
    first = density_a - density_c + at_a + at_c
    slopes = torch.where(density_a > 0, a * density_a, 0.0) - torch.where(density_c > 0, c * density_c, 0.0)
    second = inside + slopes + torch.where(left > 0, a * at_a, 0.0) + torch.where(right > 0, c * at_c, 0.0)
    mean, variance = mean_dn + narrow * first, narrow.square() * (second - first.square())
    return torch.where(sd_dn > 0, mean, mean_dn.clamp(low_dn, high_dn)), torch.where(sd_dn > 0, variance, 0.0)


def remove_rounding(variance_dn2: Tensor, mean_dn: Tensor, pattern_sd_dn: Tensor) -> Tensor:
    """Variance before rounding, of pixels whose rounded values were measured.

    Above 0.7 DN of noise that is 1/12 DN^2 less. Narrower noise depends on where between two whole numbers the light
    lies: the width is found that would give the measured variance at the measured mean, averaged over pixels whose
    means differ by a fixed pattern.

    Args:
        variance_dn2: Of a pixel from exposure to exposure, mean over pixels, in DN^2, shape (N,).
        mean_dn: Mean of the rounded values, in DN, shape (N,).
        pattern_sd_dn: Standard deviation of the pixels' own means (of rounded values), in DN, shape (N,).

    Returns:
        In DN^2, shape (N,), 0 or more.
    """
    if not variance_dn2.shape == mean_dn.shape == pattern_sd_dn.shape or variance_dn2.ndim != 1:
        shapes = [tuple(one.shape) for one in (variance_dn2, mean_dn, pattern_sd_dn)]
        raise InputError("remove_rounding", f"shapes {shapes}", "three of shape (N,)")
    plain = (variance_dn2 - ROUNDING_DN2).clamp_min(0)
    # From here on that is right to 2e-4, whatever the phase.
    is_narrow = variance_dn2 < 0.6
    if not bool(is_narrow.any()):
        return plain
    found = plain.clone()
    found[is_narrow] = _solve_width(*(one[is_narrow] for one in (variance_dn2, mean_dn, pattern_sd_dn)))
    return found


def _solve_width(variance_dn2: Tensor, mean_dn: Tensor, pattern_sd_dn: Tensor) -> Tensor:
    nodes, weights = (torch.from_numpy(one).to(mean_dn) for one in np.polynomial.hermite_e.hermegauss(PATTERN_NODES))
    weights = weights / weights.sum()
    # A wide pattern visits all phases alike.
    is_wide = (pattern_sd_dn > WIDE_PATTERN_DN)[:, None]
    phases = (torch.arange(PATTERN_NODES, dtype=mean_dn.dtype, device=mean_dn.device) + 0.5) / PATTERN_NODES - 0.5
    shares = torch.where(is_wide, 1 / PATTERN_NODES, weights)

    def variance_of(sd_dn: Tensor) -> Tensor:
        # Rounding draws narrow noise, and so the pixels' means too, towards whole DN: look for the light and for the
        # pattern behind the measured mean and pattern.
        light_dn, spread_dn = mean_dn, pattern_sd_dn
        for _ in range(SETTLINGS):
            offsets = torch.where(is_wide, phases, spread_dn[:, None] * nodes)
            means, variances = _round_moments(
                light_dn[:, None] + offsets, sd_dn[:, None].expand_as(offsets), -math.inf, math.inf
            )
            seen_dn = (means * shares).sum(-1)
            seen_sd_dn = ((means - seen_dn[:, None]).square() * shares).sum(-1).sqrt()
            light_dn = (light_dn + mean_dn - seen_dn).clamp(mean_dn - 0.6, mean_dn + 0.6)
            spread_dn = (spread_dn * (pattern_sd_dn / seen_sd_dn.clamp_min(1e-6)).clamp(0.5, 2)).clamp_max(1.0)
        return (variances * shares).sum(-1)

    low, high = torch.zeros_like(mean_dn), torch.ones_like(mean_dn)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        too_wide = variance_of(middle) > variance_dn2
        low, high = torch.where(too_wide, low, middle), torch.where(too_wide, middle, high)
    return ((low + high) / 2).square()
