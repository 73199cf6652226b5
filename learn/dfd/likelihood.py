"""The depth that explains a focal stack best, by kernels that are known: no training and no idea of textures.

Residuals of candidate depths (`cost_volume`) are summed around every pixel, and their least value, refined by a
parabola in dioptres, tells the depth.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from psf import InputError, PolarPSFField

from .cost_volume import CORE_PX, CostVolume, open_cost_volume
from .estimators import TYPICAL_DPT, DepthEstimate
from .focal_stacks import FocalStack

# Residuals of neighbours and of channels hang together: so much of their number counts as independent.
INDEPENDENT = 0.1


@dataclass(frozen=True, eq=False, kw_only=True)
class LikelihoodEstimator:
    """Finds the most likely depth of every pixel; `open_likelihood` makes one.

    Attributes:
        volume: Candidates, and the camera.
        name: The row of a table.
    """

    volume: CostVolume
    name: str = "likelihood"

    @property
    def fingerprint(self) -> str:
        """Hash of the fields and of how they are used."""
        return hashlib.sha256(repr((self.volume.fingerprint, INDEPENDENT)).encode()).hexdigest()[:16]

    @property
    def reach_px(self) -> int:
        """What is seen around a pixel."""
        return self.volume.reach_px

    def for_camera(self, fields: Sequence[PolarPSFField]) -> "LikelihoodEstimator":
        """The same for another camera, at all depths that it knows.

        Args:
            fields: One for each focus distance.
        """
        own = self.volume
        volume = open_cost_volume(fields, window_px=own.window_px, core_px=own.core_px, interpolation=own.interpolation)
        return replace(self, volume=volume)

    @torch.no_grad()
    def estimate(self, stack: FocalStack) -> DepthEstimate:
        """Depth of every pixel, and how sharply the residual points to it.

        Args:
            stack: Of the fields' sensor and focus distances, in either encoding.
        """
        residuals = self.volume.find(stack)
        nearness = 1 / self.volume.depths_m.to(residuals)
        best = residuals.argmin(0)
        inner = best.clamp(1, len(nearness) - 2)
        before, here, after = (residuals.gather(0, (inner + n)[None])[0] for n in (-1, 0, 1))
        bend = torch.maximum(before + after - 2 * here, 1e-9 * here)
        step = nearness[1] - nearness[0]
        # At the ends of the range the parabola may have its least value outside: the end is the answer then.
        offset = (0.5 * (before - after) / bend).clamp(-1, 1)
        found = torch.where(best == inner, offset.clamp(-0.5, 0.5), offset)
        place = nearness[inner] + found * step
        confidence = self._find_confidence(residuals, place, bend, nearness)
        depth_m = 1 / place
        return DepthEstimate(depth_m=depth_m[None].to(stack.pictures), confidence=confidence[None].to(stack.pictures))

    def _find_confidence(self, residuals: Tensor, place: Tensor, bend: Tensor, nearness: Tensor) -> Tensor:
        """From the spread of the likelihood over all candidates, and between these from the parabola."""
        count = INDEPENDENT * 3 * (len(self.volume.fields) - 1) * self.volume.window_px**2
        least = residuals.amin(0)
        likelihood = torch.softmax(-0.5 * count * (residuals / least).log(), 0)
        spread = (likelihood * (nearness[:, None, None] - place).square()).sum(0)
        step = nearness[1] - nearness[0]
        sharpness = 2 * least / bend * step.square() / count
        return 1 / (1 + (spread + sharpness).sqrt() / TYPICAL_DPT)


def open_likelihood(
    fields: Sequence[PolarPSFField],
    *,
    depth_m: tuple[float, float] | None = None,
    window_px: int = 32,
    core_px: int = CORE_PX,
    interpolation: str = "linear",
    name: str = "likelihood",
) -> LikelihoodEstimator:
    """An estimator of depth that needs the camera's fields and no training.

    Args:
        fields: One for each focus distance, the nearest first.
        depth_m: Nearest and farthest depth that is looked for; by default all that every field knows.
        window_px: As in `open_cost_volume`, and so are the others.
        core_px: As there.
        interpolation: As there.
        name: The row of a table.
    """
    try:
        volume = open_cost_volume(
            fields, depth_m=depth_m, window_px=window_px, core_px=core_px, interpolation=interpolation
        )
    except InputError as error:
        if error.where in ("depth_m", "window_px", "core_px", "interpolation"):
            raise InputError(f"open_likelihood({error.where})", error.found, error.expected) from error
        raise
    return LikelihoodEstimator(volume=volume, name=name)
