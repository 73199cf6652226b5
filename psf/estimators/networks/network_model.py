"""What networks have learned, as models of kernels."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...channels import Channel
from ...errors import InputError
from ...field import PolarPSFField
from ...models import PolarPSFModel, turn_to
from ...provenance import Provenance
from .places import PlaceScale

# A field has a pitch; where nobody knows the sensor's, this stands for it.
UNKNOWN_PITCH_UM = 1.0
# Depths may lie outside the captured ones by this share of their range in dioptres before it is said.
SILENT_SHARE = 0.02
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
        network: Places (N, P) to kernels (N, C, K, K).
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

    @property
    def focus_m(self) -> float:
        """Depth that the camera was focused to."""
        return self.scale.focus_m

    def kernels_at(self, radius: Tensor | float, depth_m: Tensor | float) -> Tensor:
        """As `PSFModel.kernels_at`: azimuth 0, shape (N, C, K, K), float32."""
        radius, depth_m = self._places(radius=radius, depth_m=depth_m)
        if not bool((radius >= 0).all()):
            raise InputError("radius", float(radius.min()), "image heights of at least 0 (1 at the sensor's corner)")
        return self._answer(self.scale.at_radius(radius, depth_m))

    def kernels_at_pixel(self, x_px: Tensor | float, y_px: Tensor | float, depth_m: Tensor | float) -> Tensor:
        """As `PSFModel.kernels_at_pixel`, shape (N, C, K, K), float32."""
        x_px, y_px, depth_m = self._places(x_px=x_px, y_px=y_px, depth_m=depth_m)
        places, cosine, sine = self.scale.at_pixel(x_px, y_px, depth_m)
        kernels = self._answer(places)
        return turn_to(kernels, cosine.float(), sine.float(), self.turning) if self.is_turned else kernels

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
            The field. Its `transmission` is the fall-off of light against the sharp pictures, its `lost` is 0: pairs
            do not tell what falls outside the window.

        Raises:
            InputError: The model knows of pixels, not of image heights.
        """
        if self.scale.inputs == "xy":
            expected = "a model with polar symmetry: a field stores image heights, this one knows of pixels"
            raise InputError("to_field", f"method {self.method!r}", expected)
        depths, heights = (torch.as_tensor(one, dtype=torch.float64).reshape(-1) for one in (depths_m, radii))
        shape = (len(depths), len(heights))
        depth, radius = depths[:, None].expand(shape).reshape(-1), heights.expand(shape).reshape(-1)
        kernels = self.kernels_at(radius, depth)
        powers = torch.stack((heights**2, heights**4), 1)
        fall = torch.exp(powers @ self.fall_off.double().T).float()
        known = pitch_um or self.pitch_um
        told = {"pitch": "given" if known else f"unknown, {UNKNOWN_PITCH_UM:g} um stands for it"}
        names = "RGB" if self.channel_count == 3 else [str(n) for n in range(self.channel_count)]
        return PolarPSFField(
            kernels=kernels.reshape(*shape, *kernels.shape[1:]),
            transmission=fall.expand(*shape, self.channel_count).contiguous(),
            lost=torch.zeros((*shape, self.channel_count)),
            depths_m=depths.float(),
            radii=heights.float(),
            image_shape_px=self.image_shape_px,
            pitch_um=float(known or UNKNOWN_PITCH_UM),
            channels=tuple(Channel(name) for name in names),
            focus_m=self.focus_m,
            magnification=self.magnification,
            provenance=Provenance(lens="estimated", source="photographs", arguments={"method": self.method, **told}),
        )

    def _places(self, **places: Tensor | float) -> list[Tensor]:
        found = {
            name: torch.as_tensor(one, dtype=torch.float64).detach().cpu().reshape(-1) for name, one in places.items()
        }
        depth = found["depth_m"]
        if not bool((depth > 0).all()):
            raise InputError("depth_m", float(depth[~(depth > 0)][0]), "depths above 0 m (inf is allowed)")
        for name, values in found.items():
            if name != "depth_m" and not bool(values.isfinite().all()):
                raise InputError(name, "a value that is not finite", "finite values")
        nearest, farthest = self.depth_range_m
        slack = SILENT_SHARE * (1 / nearest - 1 / farthest) + 1e-9
        outside = (1 / depth > 1 / nearest + slack) | (1 / depth < 1 / farthest - slack)
        if bool(outside.any()):
            text = f"depth {float(depth[outside][0]):g} m is outside the captured {nearest:g} to {farthest:g} m"
            warnings.warn(f"{text}: the nearest captured depth answers", stacklevel=3)
        found["depth_m"] = depth.clamp(nearest, farthest)
        try:
            return list(torch.broadcast_tensors(*found.values()))
        except RuntimeError as error:
            lengths = ", ".join(f"{len(one)} of {name}" for name, one in found.items())
            raise InputError("places", lengths, "the same number of each") from error

    def _answer(self, places: Tensor) -> Tensor:
        with torch.no_grad():
            parts = [self.network(part) for part in places.split(AT_ONCE)]
        if not len(places):
            return torch.zeros((0, self.channel_count, self.kernel_px, self.kernel_px))
        return torch.cat(parts)
