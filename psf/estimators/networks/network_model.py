"""What networks have learned, as models of kernels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...field import PolarPSFField
from ...models import PolarPSFModel, bin_kernels, turn_to
from ..estimates import make_field, read_places, spread_places
from .places import PlaceScale

# Kernels answered at once.
AT_ONCE = 512


class MirroredKernels(nn.Module):
    """A network whose kernels are their own mirror images along some axes: means of its answers and their mirrors."""

    def __init__(self, body: nn.Module, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.body, self.axes = body, axes

    def forward(self, places: Tensor) -> Tensor:
        """Places (N, P) to kernels (N, C, K, K)."""
        kernels: Tensor = self.body(places)
        for axis in self.axes:
            kernels = 0.5 * (kernels + kernels.flip(axis))
        return kernels


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkModel(PolarPSFModel):
    """A camera's kernels as a network answers with them.

    Outside the captured depths the nearest captured one answers, and depths clearly outside are warned of. Kernels hold
    focus breathing but for what `magnification` says.

    Attributes:
        method: How it was estimated.
        network: Places (N, P) to kernels (N, C, O K, O K).
        scale: What the network is told of a place.
        is_turned: Whether its kernels belong to azimuth 0 and are turned; else they are the same at every azimuth, or
            the network knows of pixels.
        turning: How they are turned.
        image_shape_px: The sensor's (H, W).
        kernel_px: Side K.
        channel_count: C.
        depth_range_m: Nearest and farthest depth of the captures.
        magnification: Scale of the blurred pictures against the sharp ones that kernels do not hold.
        fall_off: Light of the blurred pictures against the sharp ones: per channel the shares of radius^2 and radius^4
            in its logarithm, shape (C, 2).
        pitch_um: Of the sensor's pixels, None if nobody knows.
        oversample: O, values of the network's kernels per pixel and axis.
    """

    method: str
    network: nn.Module
    scale: PlaceScale
    is_turned: bool
    turning: str
    image_shape_px: tuple[int, int]
    kernel_px: int
    channel_count: int
    depth_range_m: tuple[float, float]
    magnification: float
    fall_off: Tensor
    pitch_um: float | None = None
    oversample: int = 1

    @property
    def focus_m(self) -> float:
        """Depth that the camera was focused to."""
        return self.scale.focus_m

    def kernels_at(self, radius: Tensor | float, depth_m: Tensor | float) -> Tensor:
        """As `PSFModel.kernels_at`: azimuth 0, shape (N, C, K, K), float32."""
        radius, depth_m = read_places(self.depth_range_m, radius=radius, depth_m=depth_m)
        return bin_kernels(self._answer(self.scale.at_radius(radius, depth_m)), self.oversample)

    def kernels_at_pixel(self, x_px: Tensor | float, y_px: Tensor | float, depth_m: Tensor | float) -> Tensor:
        """As `PSFModel.kernels_at_pixel`, shape (N, C, K, K), float32."""
        x_px, y_px, depth_m = read_places(self.depth_range_m, x_px=x_px, y_px=y_px, depth_m=depth_m)
        places, cosine, sine = self.scale.at_pixel(x_px, y_px, depth_m)
        kernels = self._answer(places)
        if not self.is_turned:
            return bin_kernels(kernels, self.oversample)
        return turn_to(kernels, cosine.float(), sine.float(), self.turning, self.oversample)

    def to_field(
        self,
        depths_m: Sequence[float] | Tensor,
        radii: Sequence[float] | Tensor,
        *,
        pitch_um: float | None = None,
    ) -> PolarPSFField:
        """A field of the same camera.

        Args:
            depths_m: Ascending, `inf` allowed, shape (D,).
            radii: Image heights, ascending, 0 to 1, shape (R,).
            pitch_um: Pixel pitch; None takes the captures', and 1 um where they do not know it either.

        Returns:
            The field, with as many values per pixel as the network's kernels. Its `transmission` is the fall-off of
            light against the sharp pictures, its `lost` is 0: pairs do not tell what falls outside the window.

        Raises:
            InputError: The model knows of pixels, not of image heights.
        """
        if self.scale.inputs == "xy":
            expected = "a model with polar symmetry: a field stores image heights, this one knows of pixels"
            raise InputError("to_field", f"method {self.method!r}", expected)
        depths, heights, depth, radius = spread_places(depths_m, radii)
        powers = torch.stack((heights**2, heights**4), 1)
        radius, depth = read_places(self.depth_range_m, radius=radius, depth_m=depth)
        return make_field(
            self._answer(self.scale.at_radius(radius, depth)),
            depths,
            heights,
            torch.exp(powers @ self.fall_off.double().T),
            image_shape_px=self.image_shape_px,
            pitch_um=pitch_um or self.pitch_um,
            focus_m=self.focus_m,
            magnification=self.magnification,
            method=self.method,
            oversample=self.oversample,
        )

    def _answer(self, places: Tensor) -> Tensor:
        with torch.no_grad():
            parts = [self.network(part) for part in places.split(AT_ONCE)]
        if not len(places):
            side = self.oversample * self.kernel_px
            return torch.zeros((0, self.channel_count, side, side))
        return torch.cat(parts)
