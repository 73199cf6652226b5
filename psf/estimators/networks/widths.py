"""The Gaussian that is nearest to known kernels, depth by depth."""

import torch
from torch import Tensor

from ...captures import SAME_DISTANCE
from .bodies import LEAST_SIGMA_PX, GaussianKernels, lay_gaussians
from .known import KnownKernels
from .places import PlaceScale

# Standard deviations that are tried, between the least and the kernel's half side (errors have kinks and more than one
# minimum); then finer about the best.
TRIED, REFINED = 256, 1


def find_sigma_px(kernels: Tensor) -> Tensor:
    """The standard deviation whose Gaussian has the least mean absolute difference to kernels.

    Args:
        kernels: Shape (M, C, K, K).

    Returns:
        In px, shape (C,).
    """
    size = kernels.shape[-1]
    found = []
    for channel in kernels.double().unbind(1):
        low, high = LEAST_SIGMA_PX + 1e-3, 0.5 * size
        tried = torch.linspace(low, high, TRIED, dtype=torch.float64)
        best = 0
        for _ in range(1 + REFINED):
            errors = [(channel - one).abs().mean() for one in lay_gaussians(tried, size)]
            best = int(torch.stack(errors).argmin())
            ends = tried[max(best - 1, 0)], tried[min(best + 1, TRIED - 1)]
            last, tried = tried, torch.linspace(float(ends[0]), float(ends[1]), TRIED, dtype=torch.float64)
        found.append(float(last[best]))
    return torch.tensor(found, dtype=torch.float32)


def fit_gaussians(known: KnownKernels, scale: PlaceScale) -> GaussianKernels:
    """One Gaussian per depth of the known kernels, the best over all their image heights."""
    order = known.depth_m.double().sort(descending=True).indices
    groups: list[list[int]] = []
    for n in order.tolist():
        depth_m = float(known.depth_m[n])
        last = float(known.depth_m[groups[-1][0]]) if groups else None
        is_same = last is not None and (depth_m == last or abs(depth_m - last) <= SAME_DISTANCE * last)
        if is_same:
            groups[-1].append(n)
        else:
            groups.append([n])
    depths = torch.stack([known.depth_m[one[0]] for one in groups]).double()
    sigma_px = torch.stack([find_sigma_px(known.kernels[one]) for one in groups])
    nodes = scale.scale_depth(depths)
    start = GaussianKernels(known.kernels.shape[1], known.kernels.shape[-1], nodes)
    return start.with_sigma_px(sigma_px)
