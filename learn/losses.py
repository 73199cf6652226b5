"""What a restorer is trained to make small: equation 8 of Yang et al., in colours as a viewer sees them.

Both pictures are developed with the sample's own gains and matrix and a gamma of 2, which spreads the error over darks
and lights as the eye does; then L1, plus a share of a perceptual distance.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from psf import InputError
from render import ColourMetadata, process_for_loss
from render.bayer import Pattern
from render.isp import LOSS_GRADIENT_FLOOR

from .perceptual import Distance

PERCEPTUAL_WEIGHT = 0.1  # L1 leads; the other gradient is of the same order


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss and its parts.

    Attributes:
        total: What to minimise, shape ().
        l1: Mean absolute difference of the developed pictures, shape ().
        perceptual: Mean distance before its weight, shape (), or None.
    """

    total: Tensor
    l1: Tensor
    perceptual: Tensor | None


def measure_loss(
    found: Tensor,
    target: Tensor,
    metadata: ColourMetadata,
    *,
    distance: Distance | None = None,
    weight: float = PERCEPTUAL_WEIGHT,
    pattern: Pattern = "RGGB",
    gradient_floor: float | None = LOSS_GRADIENT_FLOOR,
) -> Loss:
    """Equation 8, of a batch.

    Args:
        found: What the network made of packed mosaics, shape (B, 4, H, W).
        target: What it should be, shape (B, 4, H, W).
        metadata: The samples' own, or jittered the same for both.
        distance: Perceptual part; None leaves it out.
        weight: Its share.
        pattern: Of the mosaics.
        gradient_floor: As in `render.process_for_loss`; None for the true slope in the darks.

    Returns:
        Scalars; the gradient flows to `found`.
    """
    if found.shape != target.shape:
        raise InputError("target", f"shape {tuple(target.shape)}", f"shape {tuple(found.shape)}, as found has")
    if not 0 <= weight < float("inf"):
        raise InputError("weight", weight, "a finite number, 0 or more")
    one = process_for_loss(found, metadata, pattern=pattern, gradient_floor=gradient_floor)
    two = process_for_loss(target, metadata, pattern=pattern, gradient_floor=gradient_floor)
    return compare_developed(one, two, distance=distance, weight=weight)


def compare_developed(
    found: Tensor, target: Tensor, *, distance: Distance | None = None, weight: float = PERCEPTUAL_WEIGHT
) -> Loss:
    """The same from developed pictures, for networks that work on these.

    Args:
        found: Shape (B, 3, H, W).
        target: Shape (B, 3, H, W).
        distance: As in `measure_loss`.
        weight: As in `measure_loss`.
    """
    if found.shape != target.shape:
        raise InputError("target", f"shape {tuple(target.shape)}", f"shape {tuple(found.shape)}, as found has")
    l1 = (found - target).abs().mean()
    if distance is None or weight == 0:
        return Loss(l1, l1, None)
    perceptual = distance(found, target).mean()
    return Loss(l1 + weight * perceptual, l1, perceptual)


def find_gradient_norms(loss: Loss, found: Tensor) -> tuple[float, float]:
    """Norms of the gradients of both parts by the network's result, without their weight: to balance them.

    Args:
        loss: Made from `found`, its graph not yet freed; it stays usable.
        found: The network's result, shape (B, 4, H, W).
    """
    norms = []
    for part in (loss.l1, loss.perceptual):
        if part is None or not part.requires_grad:
            norms.append(0.0)
            continue
        (slope,) = torch.autograd.grad(part, found, retain_graph=True)
        norms.append(float(slope.norm()))
    return norms[0], norms[1]
