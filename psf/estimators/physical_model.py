"""What the physical estimator finds: a pupil, what the pictures say beyond it, and kernels from both."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..field import PolarPSFField
from .direct_model import DirectModel, NodeKernels
from .mixing import mix_places
from .physical_pupil import Pupil

# Rings, and angles of half the pupil, of the kernels that come out.
FINE_RAYS = (40, 56)
# What a pupil gets wrong, aberrations beyond its order, is not what cells get wrong, noise and smoothing: the mean of
# both is nearer than one of them, or nearly as near as the nearer one.
PUPIL_SHARE = 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class PupilKernels(NodeKernels):
    """Kernels of one channel: the light of a pupil's rays and of cells beside it, and of the direct estimator's cells.

    Attributes:
        pupil: The rays.
        cells: What is added to their light, folded, of sum 0, shape (D R, T), float64.
        strength: Of what is added, as depths held back chose it: a share of the light; 0: nothing is added.
        direct: What the direct estimator found, the other half of the mean.
    """

    pupil: Pupil
    strength: float
    direct: NodeKernels

    def at(self, radius: Tensor, dioptre: Tensor, cosine: Tensor, sine: Tensor, oversample: int) -> Tensor:
        """Kernels of places (N,), turned, shape (N, O K, O K), float64, unit sum."""
        from . import row_loops

        direct = self.direct.at(radius, dioptre, cosine, sine, oversample)
        radius = radius.clamp(self.radii[0], self.radii[-1])
        dioptre = dioptre.clamp(*self.pupil.dioptres)
        size = self.view.kernel_px
        kernels = self.pupil.kernels_at(radius, dioptre, cosine, sine, size, oversample, FINE_RAYS)
        if self.strength > 0:
            node = dioptre.clamp(self.dioptres[0], self.dioptres[-1])
            more = mix_places(self.dioptres, self.radii, radius, node).apply(self.cells)
            places = torch.cat((torch.stack((cosine, sine), 1), self.view.cells_at(radius, dioptre)), 1)
            laid = row_loops.lay_cells(more.numpy(), places.numpy(), self.view.inner, size, oversample)
            kernels = (kernels + torch.from_numpy(laid)).clamp_min(0)
        kernels = kernels / kernels.sum((-2, -1), keepdim=True).clamp_min(1e-12)
        return PUPIL_SHARE * kernels + (1 - PUPIL_SHARE) * direct


@dataclass(frozen=True, eq=False, kw_only=True)
class PhysicalModel(DirectModel):
    """A camera's kernels with the help of its pupil; where none fits, the direct estimator's.

    Attributes:
        nodes: Of every channel: `PupilKernels`, or the direct estimator's `NodeKernels` where they foretell better.
    """

    @property
    def is_physical(self) -> tuple[bool, ...]:
        """Of every channel, whether a pupil takes part in its kernels."""
        return tuple(isinstance(one, PupilKernels) for one in self.nodes)

    def to_field(
        self,
        depths_m: Sequence[float] | Tensor,
        radii: Sequence[float] | Tensor,
        *,
        pitch_um: float | None = None,
        oversample: int = 1,
    ) -> PolarPSFField:
        """As `DirectModel.to_field`."""
        field = super().to_field(depths_m, radii, pitch_um=pitch_um, oversample=oversample)
        told = {"method": "physical", "is_physical": list(self.is_physical)}
        return replace(field, provenance=field.provenance.with_arguments(**told))
