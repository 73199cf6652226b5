"""What the direct estimator finds: kernels in cells at nodes, read at any place and azimuth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..field import PolarPSFField
from ..models import PolarPSFModel
from ..turning import polar_place
from .estimates import make_field, read_places, spread_places
from .fitting import Fit
from .mixing import mix_places
from .normal_equations import View

# Kernels laid down at once.
AT_ONCE = 4096
# On the axis kernels are alike all round. Few pixels see it: the mean of so many turns of a kernel is truer than it.
AXIS_TURNS = 16


@dataclass(frozen=True, eq=False, kw_only=True)
class NodeKernels:
    """Kernels of one channel at nodes of depth and image height.

    Attributes:
        cells: Folded light per cell, unit sum, shape (D R, T), float64.
        dioptres: Nodes of depth, ascending, shape (D,).
        radii: Nodes of image height, ascending, shape (R,).
        view: Where the cells lie.
        fall_off: Light of the blurred pictures against the sharp ones, 1 on the axis, shape (R,).
        gain: Exposure of each blurred picture against its sharp one, shape (N,).
        noise: Standard deviation of what kernels do not explain of the blurred pictures.
        factor: On the strengths of the prior, as depths held back chose it.
    """

    cells: Tensor
    dioptres: Tensor
    radii: Tensor
    view: View
    fall_off: Tensor
    gain: Tensor
    noise: float
    factor: float

    @classmethod
    def of_fit(cls, fit: Fit, view: View) -> "NodeKernels":
        """From what was fitted."""
        return cls(
            cells=fit.kernels.double(),
            dioptres=fit.dioptres,
            radii=fit.radii,
            view=view,
            fall_off=fit.fall_off,
            gain=fit.gain,
            noise=float(fit.noise.median()) ** 0.5,
            factor=fit.factor,
        )

    def at(self, radius: Tensor, dioptre: Tensor, cosine: Tensor, sine: Tensor, oversample: int) -> Tensor:
        """Kernels of places (N,), turned, shape (N, O K, O K), float64, unit sum."""
        from . import row_loops

        radius = radius.clamp(self.radii[0], self.radii[-1])
        dioptre = dioptre.clamp(self.dioptres[0], self.dioptres[-1])

        def lay(cells: Tensor, at: Tensor, depth: Tensor, x: Tensor, y: Tensor) -> Tensor:
            places = torch.cat((torch.stack((x, y), 1), self.view.cells_at(at, depth)), 1)
            laid = row_loops.lay_cells(cells.numpy(), places.numpy(), self.view.inner, self.view.kernel_px, oversample)
            kernels = torch.from_numpy(laid)
            return kernels / kernels.sum((-2, -1), keepdim=True)

        kernels = lay(self._mix(radius, dioptre), radius, dioptre, cosine, sine)
        if len(self.radii) < 2 or float(self.radii[0]) > 0:
            return kernels
        near = radius < self.radii[1]
        if not bool(near.any()):
            return kernels
        # Between the axis and the next node kernels are a mix of both nodes': that of the axis is made even all round.
        depth, inner = dioptre[near], self.radii[:1].expand(int(near.sum()))
        axis = self._mix(inner, depth)
        turns = 2 * math.pi * torch.arange(AXIS_TURNS, dtype=torch.float64) / AXIS_TURNS
        even = torch.stack(
            [lay(axis, inner, depth, one.cos().expand_as(depth), one.sin().expand_as(depth)) for one in turns]
        )
        share = ((self.radii[1] - radius[near]) / (self.radii[1] - self.radii[0]))[:, None, None]
        uneven = lay(axis, radius[near], depth, cosine[near], sine[near])
        kernels[near] = (kernels[near] + share * (even.mean(0) - uneven)).clamp_min(0)
        return kernels / kernels.sum((-2, -1), keepdim=True)

    def _mix(self, radius: Tensor, dioptre: Tensor) -> Tensor:
        """Cells of places (N,), shape (N, T)."""
        mixed: Tensor = mix_places(self.dioptres, self.radii, radius, dioptre).apply(self.cells)
        return mixed


@dataclass(frozen=True, eq=False, kw_only=True)
class DirectModel(PolarPSFModel):
    """A camera's kernels, estimated from pairs of pictures.

    Outside the captured depths and image heights the nearest captured ones answer, and depths clearly outside are
    warned of. Kernels hold focus breathing but for what `magnification` says.

    Attributes:
        nodes: Kernels of every channel.
        image_shape_px: The sensor's (H, W).
        kernel_px: Side K.
        focus_m: Depth that the camera was focused to.
        magnification: Scale of the blurred pictures against the sharp ones that kernels do not hold.
        depth_range_m: Nearest and farthest depth of the captures.
        pitch_um: Of the sensor's pixels, None if nobody knows.
    """

    nodes: tuple[NodeKernels, ...]
    image_shape_px: tuple[int, int]
    kernel_px: int
    focus_m: float
    magnification: float
    depth_range_m: tuple[float, float]
    pitch_um: float | None = None

    def kernels_at(self, radius: Tensor | float, depth_m: Tensor | float) -> Tensor:
        """As `PSFModel.kernels_at`: azimuth 0, shape (N, C, K, K), float32."""
        radius, depth_m = read_places(self.depth_range_m, radius=radius, depth_m=depth_m)
        return self._lay(radius, depth_m, torch.ones_like(radius), torch.zeros_like(radius), 1).float()

    def kernels_at_pixel(self, x_px: Tensor | float, y_px: Tensor | float, depth_m: Tensor | float) -> Tensor:
        """As `PSFModel.kernels_at_pixel`, shape (N, C, K, K), float32; cells are turned, never kernels."""
        x_px, y_px, depth_m = read_places(self.depth_range_m, x_px=x_px, y_px=y_px, depth_m=depth_m)
        radius, cosine, sine = polar_place(x_px, y_px, self.image_shape_px)
        return self._lay(radius, depth_m, cosine, sine, 1).float()

    def to_field(
        self,
        depths_m: Sequence[float] | Tensor,
        radii: Sequence[float] | Tensor,
        *,
        pitch_um: float | None = None,
        oversample: int = 1,
    ) -> PolarPSFField:
        """A field of the same camera.

        Args:
            depths_m: Ascending, `inf` allowed, shape (D,).
            radii: Image heights, ascending, 0 to 1, shape (R,).
            pitch_um: Pixel pitch; None takes the captures', and 1 um where they do not know it either.
            oversample: Stored values per pixel and axis; 3 keeps what cells smaller than a pixel say.

        Returns:
            The field. Its `transmission` is the fall-off of light against the sharp pictures, its `lost` is 0: pairs
            do not tell what falls outside the window.
        """
        if isinstance(oversample, bool) or not isinstance(oversample, int) or oversample < 1:
            raise InputError("oversample", repr(oversample), "a positive integer")
        depths, heights, *places = spread_places(depths_m, radii)
        depth, radius = read_places(self.depth_range_m, depth_m=places[0], radius=places[1])
        return make_field(
            self._lay(radius, depth, torch.ones_like(radius), torch.zeros_like(radius), oversample).float(),
            depths,
            heights,
            torch.stack([_interpolate(one.radii, one.fall_off, heights) for one in self.nodes], 1),
            image_shape_px=self.image_shape_px,
            pitch_um=pitch_um or self.pitch_um,
            focus_m=self.focus_m,
            magnification=self.magnification,
            method="direct",
            oversample=oversample,
        )

    def _lay(self, radius: Tensor, depth_m: Tensor, cosine: Tensor, sine: Tensor, oversample: int) -> Tensor:
        side = oversample * self.kernel_px
        out = torch.empty((len(radius), len(self.nodes), side, side), dtype=torch.float64)
        for first in range(0, len(radius), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            places = (radius[part], 1 / depth_m[part], cosine[part], sine[part])
            for channel, one in enumerate(self.nodes):
                out[part, channel] = one.at(*places, oversample)
        return out


def _interpolate(nodes: Tensor, values: Tensor, places: Tensor) -> Tensor:
    high = torch.searchsorted(nodes, places).clamp(1, len(nodes) - 1)
    share = ((places - nodes[high - 1]) / (nodes[high] - nodes[high - 1])).clamp(0, 1)
    return (1 - share) * values[high - 1] + share * values[high]
