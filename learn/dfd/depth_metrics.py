"""How far estimated depth is from the truth: the numbers of the literature, in metres and in dioptres, and where.

errors = measure_depth(found_m, true_m)                 # errors.mae_m, errors.delta1 ...
centre, middle, corner = measure_thirds(found_m, true_m, radius)
near_edge = find_edge_distance_px(in_front) <= EDGE_PX
risk_m = measure_risk(found_m, true_m, confidence)      # MAE of the surest quarter, half ...
"""

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from psf import InputError

DELTA = 1.25
# Of two-plane scenes: pixels nearer than this to the edge of the mask count apart.
EDGE_PX = 12.0
COVERAGES = (0.25, 0.5, 0.75, 1.0)
THIRDS = ((0.0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, math.inf))


@dataclass(frozen=True, kw_only=True)
class DepthErrors:
    """Means over pixels; all NaN if there are none.

    Attributes:
        pixels: How many.
        mae_m: Mean absolute error.
        rmse_m: Root of the mean squared error.
        abs_rel: Mean of the absolute error over the true depth.
        sq_rel_m: Mean of the squared error over the true depth.
        rmse_log: Of natural logarithms.
        delta1: Share of pixels whose depth is off by less than a factor of 1.25 ...
        delta2: ... of its square ...
        delta3: ... and of its cube.
        mae_dpt: Mean absolute error of inverse depth.
        rmse_dpt: Root of its mean square.
        median_m: Median absolute error.
    """

    pixels: int
    mae_m: float
    rmse_m: float
    abs_rel: float
    sq_rel_m: float
    rmse_log: float
    delta1: float
    delta2: float
    delta3: float
    mae_dpt: float
    rmse_dpt: float
    median_m: float

    def to_json(self) -> dict[str, float]:
        """The numbers by name."""
        return asdict(self)


NO_ERRORS = DepthErrors(pixels=0, **dict.fromkeys(list(DepthErrors.__annotations__)[1:], math.nan))


def measure_depth(found_m: Tensor, true_m: Tensor, mask: Tensor | None = None) -> DepthErrors:
    """Errors over all pixels, or over those of a mask.

    Args:
        found_m: Finite and above 0, any shape.
        true_m: Finite and above 0, the same shape.
        mask: Which pixels count, bool, the same shape; None: all.
    """
    found, true = _pick(found_m, true_m, mask)
    if not len(true):
        return NO_ERRORS
    error = found - true
    ratio = torch.maximum(found / true, true / found)
    logs, dioptres = found.log() - true.log(), 1 / found - 1 / true
    return DepthErrors(
        pixels=len(true),
        mae_m=_mean(error.abs()),
        rmse_m=math.sqrt(_mean(error.square())),
        abs_rel=_mean(error.abs() / true),
        sq_rel_m=_mean(error.square() / true),
        rmse_log=math.sqrt(_mean(logs.square())),
        delta1=_mean((ratio < DELTA).double()),
        delta2=_mean((ratio < DELTA**2).double()),
        delta3=_mean((ratio < DELTA**3).double()),
        mae_dpt=_mean(dioptres.abs()),
        rmse_dpt=math.sqrt(_mean(dioptres.square())),
        median_m=float(error.abs().median()),
    )


def measure_thirds(
    found_m: Tensor, true_m: Tensor, radius: Tensor, mask: Tensor | None = None
) -> tuple[DepthErrors, DepthErrors, DepthErrors]:
    """Errors in the inner, the middle and the outer third of image height.

    Args:
        found_m: Shape (1, H, W).
        true_m: Shape (1, H, W).
        radius: Image height of every pixel, 0 to 1, shape (1, H, W).
        mask: Which pixels count, bool, shape (1, H, W).
    """
    if radius.shape != true_m.shape:
        raise InputError("measure_thirds(radius)", f"shape {tuple(radius.shape)}", f"shape {tuple(true_m.shape)}")
    counted = torch.ones_like(true_m, dtype=torch.bool) if mask is None else mask
    one, two, three = (
        measure_depth(found_m, true_m, counted & (radius >= low) & (radius < high)) for low, high in THIRDS
    )
    return one, two, three


def find_edge_distance_px(in_front: Tensor) -> Tensor:
    """Distance of every pixel from the nearest pixel on the other side of a mask's edge; `inf` without an edge.

    Args:
        in_front: Bool, shape (1, H, W).

    Returns:
        Float64, shape (1, H, W).
    """
    from scipy import ndimage

    if in_front.dtype != torch.bool or in_front.ndim != 3 or len(in_front) != 1:
        raise InputError("in_front", f"{in_front.dtype} of shape {tuple(in_front.shape)}", "bool of shape (1, H, W)")
    front = in_front[0].cpu().numpy()
    if front.all() or not front.any():
        return torch.full(in_front.shape, math.inf, dtype=torch.float64)
    inside, outside = ndimage.distance_transform_edt(front), ndimage.distance_transform_edt(~front)
    return torch.from_numpy(inside + outside)[None]


def measure_risk(
    found_m: Tensor,
    true_m: Tensor,
    confidence: Tensor,
    mask: Tensor | None = None,
    *,
    coverages: tuple[float, ...] = COVERAGES,
) -> tuple[float, ...]:
    """Mean absolute error of the surest share of the pixels: it should fall with the share.

    Args:
        found_m: Any shape.
        true_m: The same shape.
        confidence: Greater is surer, the same shape.
        mask: Which pixels count, bool, the same shape.
        coverages: Shares, above 0 to 1.

    Returns:
        In metres, one for each share; NaN without pixels. Pixels that are equally sure count alike.
    """
    if any(not 0 < one <= 1 for one in coverages):
        raise InputError("measure_risk(coverages)", coverages, "shares above 0 to 1")
    if confidence.shape != true_m.shape or not bool(confidence.isfinite().all()):
        raise InputError("confidence", f"shape {tuple(confidence.shape)}", f"finite, of shape {tuple(true_m.shape)}")
    found, true = _pick(found_m, true_m, mask)
    if not len(true):
        return (math.nan,) * len(coverages)
    sure = (confidence if mask is None else confidence[mask]).flatten()
    error = (found - true).abs()
    # Of equals every one has the mean error of all of them, so that their order changes nothing.
    _, place, count = sure.unique(return_inverse=True, return_counts=True)
    mean = torch.zeros(len(count), dtype=error.dtype, device=error.device).index_add_(0, place, error) / count
    ordered = mean[place[sure.argsort(descending=True)]]
    return tuple(_mean(ordered[: max(1, round(share * len(ordered)))]) for share in coverages)


def _pick(found_m: Tensor, true_m: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Both as float64 of shape (P,), checked."""
    if found_m.shape != true_m.shape:
        raise InputError("found_m", f"shape {tuple(found_m.shape)}", f"shape {tuple(true_m.shape)}, as the truth has")
    if mask is not None and (mask.shape != true_m.shape or mask.dtype != torch.bool):
        raise InputError("mask", f"{mask.dtype} of shape {tuple(mask.shape)}", f"bool of shape {tuple(true_m.shape)}")
    pair = []
    for name, values in (("found_m", found_m), ("true_m", true_m)):
        picked = (values if mask is None else values[mask]).flatten().double()
        if bad := int((~(picked.isfinite() & (picked > 0))).sum()):
            raise InputError(name, f"{bad} values that are not finite or not above 0", "depths in metres")
        pair.append(picked)
    return pair[0], pair[1]


def _mean(values: Tensor) -> float:
    return float(values.mean())
