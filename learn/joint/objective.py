"""What a joint design makes small: the error of restored pictures at the worst depth, in decibels."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from psf import InputError
from render import ColourMetadata, process_for_loss

# Of a mean squared error, against the logarithm of 0.
LEAST_ERROR = 1e-10
DB = 10 / math.log(10)


@dataclass(frozen=True)
class Goal:
    """What counts.

    Attributes:
        softness_db: Width of the soft maximum over depths: log-sum-exp of the errors over this.
        mean_share: Share of the mean over depths beside the worst one.
        limit_weight_db: What a lens one softness outside a limit pays, in dB; by the square beyond.
    """

    softness_db: float = 0.5
    mean_share: float = 0.1
    limit_weight_db: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.softness_db < math.inf:
            raise InputError("Goal.softness_db", self.softness_db, "a positive number")
        if not 0 <= self.mean_share <= 1:
            raise InputError("Goal.mean_share", self.mean_share, "a share in 0..1")
        if not 0 <= self.limit_weight_db < math.inf:
            raise InputError("Goal.limit_weight_db", self.limit_weight_db, "0 or more")


def find_errors(restored: Tensor, sharp: Tensor, metadata: ColourMetadata, pattern: str = "RGGB") -> Tensor:
    """Mean squared errors of developed pictures, gamma 2.

    Args:
        restored: Packed, shape (D, R, N, 4, h, w).
        sharp: Packed, shape (N, 4, h, w).
        metadata: Colours of the N pictures.
        pattern: Of the mosaics.

    Returns:
        Shape (D, R).
    """
    depths, heights, count = restored.shape[:3]
    if sharp.shape != restored.shape[2:]:
        raise InputError("sharp", f"shape {tuple(sharp.shape)}", f"shape {tuple(restored.shape[2:])}")
    every = metadata[torch.arange(count).repeat(depths * heights)]
    found = process_for_loss(restored.flatten(0, 2), every, pattern=pattern)  # type: ignore[arg-type]
    wanted = process_for_loss(sharp, metadata, pattern=pattern)  # type: ignore[arg-type]
    errors: Tensor = (found.unflatten(0, (depths, heights, count)) - wanted).square().mean((2, 3, 4, 5))
    return errors


def find_depth_errors_db(errors: Tensor) -> Tensor:
    """Errors per depth over all image heights, in dB (a PSNR with its sign turned): (D, R) to (D,)."""
    return DB * errors.mean(1).clamp_min(LEAST_ERROR).log()


def find_soft_worst(errors_db: Tensor, goal: Goal) -> Tensor:
    """The soft maximum over depths and a share of their mean, in dB: (D,) to ().

    Log-sum-exp with the number of depths taken out: depths that are all alike give their own value.
    """
    scaled = errors_db / goal.softness_db
    worst = goal.softness_db * (scaled.logsumexp(0) - math.log(len(errors_db)))
    return (1 - goal.mean_share) * worst + goal.mean_share * errors_db.mean()


def settle_depth_weights(
    find_errors_db: Callable[[Tensor], Tensor], depths: int, rounds: int, rate: float
) -> list[Tensor]:
    """Weights of the depths, shifted towards the worst one round by round.

    Args:
        find_errors_db: Errors (D,) of a restorer that is fitted with weights (D,).
        depths: D.
        rounds: How often.
        rate: As `shift_depth_weights` takes it.

    Returns:
        One more than rounds, each of shape (D,), the first all alike; without gradients.
    """
    with torch.no_grad():
        found = [torch.full((depths,), 1 / depths)]
        for _ in range(rounds):
            found.append(shift_depth_weights(found[-1], find_errors_db(found[-1]).to(found[-1]), rate))
    return found


def shift_depth_weights(weights: Tensor, errors_db: Tensor, rate: float) -> Tensor:
    """Depths whose pictures are worse count more in the next fit of a restorer (multiplicative weights).

    Args:
        weights: Shape (D,), of sum 1.
        errors_db: Shape (D,).
        rate: Natural logarithm of a weight's growth per dB.

    Returns:
        Shape (D,), of sum 1, without gradients.
    """
    with torch.no_grad():
        grown = weights * ((errors_db - errors_db.max()) * rate).exp()
        return grown / grown.sum()
