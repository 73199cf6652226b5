"""The part of a PSF field that one patch needs, and how large its blur is.

A patch sees few of a field's radii and a scene few of its depths, and far from its nearest depth kernels hardly fill
their window. Rendering with that part alone gives the same picture for a fraction of the time.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from psf.metrics import find_rms_radius_px
from render.camera_steps import spread_kernels
from render.nodes import light_by_ring

# Light of a kernel that may fall outside the window that is rendered with; single precision sums hold no better.
NEGLIGIBLE_LIGHT = 1e-6
# Turned kernels are read up to so many pixels beyond their light.
TURNING_PX = 2
# A Gaussian's tail beyond so many standard deviations holds less than NEGLIGIBLE_LIGHT.
TAIL = 5.0
# Radii beyond those that a patch lies between, which tell how kernels grow from one to the next.
MORE_RADII = 1


@dataclass(frozen=True, eq=False)
class FieldExtent:
    """How far a field's kernels reach.

    Attributes:
        field: The field.
        reach_px: Outermost ring of the kernels that holds light worth mentioning, shape (D, R).
        blur_px: Diameter of the even disc that is as wide as the kernel of the middle channel, shape (D, R).
    """

    field: PolarPSFField
    reach_px: Tensor
    blur_px: Tensor


def measure_extent(field: PolarPSFField) -> FieldExtent:
    """How far a field's kernels reach, at each of its depths and radii."""
    depths, radii, channels = field.transmission.shape
    rings = light_by_ring(field.kernels).reshape(radii, depths, channels, -1)
    outside = rings.flip(-1).cumsum(-1).flip(-1)
    reach = (outside > NEGLIGIBLE_LIGHT).sum(-1).amax(2).transpose(0, 1) / field.oversample
    middle = field.kernels[:, :, channels // 2]
    if field.oversample > 1:
        middle = torch.nn.functional.avg_pool2d(middle, field.oversample) * field.oversample**2
    # A disc's RMS radius is its own over the root of 2; a pixel's own square has a variance of 1/12 per axis.
    variance = (find_rms_radius_px(middle).square() - 1 / 6).clamp_min(0)
    return FieldExtent(field, reach, 2 * math.sqrt(2) * variance.sqrt())


def find_radii(
    image_shape_px: tuple[int, int], window: tuple[int, int], shape_px: tuple[int, int]
) -> tuple[float, float]:
    """Least and greatest image height in a window.

    Args:
        image_shape_px: The sensor's (H, W).
        window: Sensor column and row of the first pixel.
        shape_px: Height and width of the window.
    """
    spans = []
    for axis in (0, 1):
        low = window[1 - axis] - (image_shape_px[axis] - 1) / 2
        high = low + shape_px[axis] - 1
        spans.append((0.0 if low <= 0 <= high else min(abs(low), abs(high)), max(abs(low), abs(high))))
    half = 0.5 * math.hypot(*image_shape_px)
    (y0, y1), (x0, x1) = spans
    return math.hypot(x0, y0) / half, math.hypot(x1, y1) / half


def trim_field(
    extent: FieldExtent, radii: tuple[float, float], depths_m: tuple[float, float], spread_px: float = 0.0
) -> PolarPSFField:
    """The part of a field that a patch needs; it renders the patch as the whole field does.

    Args:
        extent: Of the field.
        radii: Least and greatest image height of the patch and of its margin.
        depths_m: Nearest and farthest depth of its scene.
        spread_px: Standard deviation of a Gaussian that will be added to the kernels.
    """
    field = extent.field
    heights = find_bracket(field.radii, *radii, more=MORE_RADII)
    planes = find_bracket(-1 / field.depths_m, -1 / depths_m[0], -1 / depths_m[1])
    reach = float(extent.reach_px[planes, heights].max()) + TURNING_PX + TAIL * spread_px
    part = replace(
        field,
        kernels=field.kernels[planes, heights],
        transmission=field.transmission[planes, heights],
        lost=field.lost[planes, heights],
        depths_m=field.depths_m[planes],
        radii=field.radii[heights],
    )
    kernel_px = 2 * math.ceil(reach) + 1
    return part.cropped(kernel_px) if kernel_px < field.kernel_px else part


def restrict_radii(field: PolarPSFField, radii: tuple[float, float]) -> PolarPSFField:
    """A field without the radii that a patch does not need.

    Args:
        field: The field.
        radii: Least and greatest image height of the patch.
    """
    heights = find_bracket(field.radii, *radii, more=MORE_RADII)
    return replace(
        field,
        kernels=field.kernels[:, heights],
        transmission=field.transmission[:, heights],
        lost=field.lost[:, heights],
        radii=field.radii[heights],
    )


def find_bracket(nodes: Tensor, low: float, high: float, more: int = 0) -> slice:
    """Which nodes, ascending, shape (N,), values from `low` to `high` lie between, and so many more on either side."""
    if not low <= high:
        raise InputError("find_bracket(low, high)", f"{low:g}, {high:g}", "ascending values")
    ends = torch.tensor([low, high], dtype=nodes.dtype, device=nodes.device)
    first = int(torch.searchsorted(nodes, ends[:1], right=True)) - 1
    last = int(torch.searchsorted(nodes, ends[1:], right=False))
    count = len(nodes)
    return slice(max(min(first, count - 1) - more, 0), min(max(last, 0) + more, count - 1) + 1)


def find_blur_px(extent: FieldExtent, radius: float, depth_m: Tensor, spread_px: float = 0.0) -> Tensor:
    """Diameter of the even disc that is as wide as the blur.

    Args:
        extent: Of the field.
        radius: Image height.
        depth_m: Depths, any shape.
        spread_px: Standard deviation of a Gaussian on top.

    Returns:
        The shape of `depth_m`.
    """
    field = extent.field
    table = _mix_rows(extent.blur_px.transpose(0, 1), field.radii, torch.tensor([radius]).to(field.radii))[0]
    found = _mix_rows(table[:, None], -1 / field.depths_m, (-1 / depth_m).reshape(-1))[:, 0].reshape(depth_m.shape)
    # Variances add; a disc of diameter d has d^2 / 16 per axis.
    return (found.square() + 16 * spread_px**2).sqrt()


def spread_field(field: PolarPSFField, spread_px: float) -> PolarPSFField:
    """A field to whose kernels a Gaussian is added; they keep their window and their sum.

    Args:
        field: The field.
        spread_px: Standard deviation of the Gaussian.
    """
    if not 0 <= spread_px < math.inf:
        raise InputError("spread_field(spread_px)", spread_px, "a finite number of px, 0 or more")
    if spread_px == 0:
        return field
    kernels = spread_kernels(field.kernels.flatten(0, 1), spread_px * field.oversample)
    return replace(field, kernels=kernels.reshape(field.kernels.shape))


def know_field(field: PolarPSFField, transmission: str) -> PolarPSFField:
    """A lens as restorers know it: with its losses only where the photographs to restore have them.

    Args:
        field: The field.
        transmission: How samples were made (`learn.variants.Transmission`): only of "input" must losses be undone.
    """
    return field if transmission == "input" else replace(field, transmission=torch.ones_like(field.transmission))


def _mix_rows(values: Tensor, nodes: Tensor, places: Tensor) -> Tensor:
    """Rows (N, M) between ascending nodes (N,), linear, at places (P,): shape (P, M); the ends beyond them."""
    if len(nodes) == 1:
        return values.expand(len(places), -1)
    places = places.clamp(nodes[0], nodes[-1])
    upper = torch.searchsorted(nodes, places.contiguous()).clamp(1, len(nodes) - 1)
    share = (places - nodes[upper - 1]) / (nodes[upper] - nodes[upper - 1])
    return torch.lerp(values[upper - 1], values[upper], share[:, None].to(values.dtype))
