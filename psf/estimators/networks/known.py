"""Kernels that are known: what the paper's supervised rivals learn from, in place of photographs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import InputError
from ...models import PSFModel


@dataclass(frozen=True, eq=False, kw_only=True)
class KnownKernels:
    """M kernels at azimuth 0, of unit sum.

    Attributes:
        kernels: Shape (M, C, K, K).
        radius: Image heights, shape (M,).
        depth_m: Shape (M,).
    """

    kernels: Tensor
    radius: Tensor
    depth_m: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.kernels.shape)
        if len(shape) != 4 or shape[-1] != shape[-2] or shape[-1] % 2 == 0 or not shape[0]:
            raise InputError("KnownKernels.kernels", f"shape {shape}", "shape (M, C, K, K), odd K, at least one kernel")
        if not bool(self.kernels.isfinite().all()):
            raise InputError("KnownKernels.kernels", "a value that is not finite", "finite kernels of unit sum")
        off = float((self.kernels.sum((-2, -1)) - 1).abs().max())
        if off > 1e-3:
            raise InputError("KnownKernels.kernels", f"a sum that is {off:.2g} off 1", "kernels of unit sum")
        for name in ("radius", "depth_m"):
            values = getattr(self, name)
            if tuple(values.shape) != shape[:1]:
                raise InputError(f"KnownKernels.{name}", f"shape {tuple(values.shape)}", f"shape ({shape[0]},)")
        if not bool((self.radius >= 0).all()) or not bool((self.depth_m > 0).all()):
            raise InputError("KnownKernels", "a negative image height or a depth of 0 m", "radius >= 0, depth_m > 0")

    @classmethod
    def of_model(
        cls, model: PSFModel, depths_m: Sequence[float] | Tensor, radii: Sequence[float] | Tensor
    ) -> "KnownKernels":
        """Kernels of a model or field, at every depth (D,) and image height (R,): M = D R."""
        depths, heights = (torch.as_tensor(one, dtype=torch.float32).reshape(-1) for one in (depths_m, radii))
        depth, radius = (one.reshape(-1) for one in torch.meshgrid(depths, heights, indexing="ij"))
        return cls(kernels=model.kernels_at(radius, depth).detach(), radius=radius, depth_m=depth)

    def __len__(self) -> int:
        return len(self.radius)
