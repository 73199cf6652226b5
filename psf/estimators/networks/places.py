"""What a network is told of a place: image height or pixel, depth and focus as numbers of about -1 to 1."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from ...captures import Captures
from ...errors import InputError
from ...turning import polar_place

Inputs = Literal["none", "xy", "ih"]
INPUTS: tuple[str, ...] = get_args(Inputs)


@dataclass(frozen=True)
class PlaceScale:
    """From places on the sensor and distances to a network's inputs, the last two of which are depth and focus.

    Attributes:
        inputs: "none": depth and focus alone. "xy": the pixel besides, right and up of the middle, in halves of the
            sensor's diagonal. "ih": the image height besides.
        image_shape_px: The sensor's (H, W).
        dioptres: Of the farthest and of the nearest captured depth, which become -1 and 1.
        focus_m: Depth that the camera is focused to.
    """

    inputs: str
    image_shape_px: tuple[int, int]
    dioptres: tuple[float, float]
    focus_m: float

    def __post_init__(self) -> None:
        if self.inputs not in INPUTS:
            raise InputError("PlaceScale.inputs", repr(self.inputs), " or ".join(map(repr, INPUTS)))

    @classmethod
    def of_captures(cls, captures: Captures, inputs: str) -> "PlaceScale":
        """The scale of pairs of one focus distance."""
        nearest, farthest = float(captures.depths_m[0]), float(captures.depths_m[-1])
        return cls(inputs, captures.image_shape_px, (1 / farthest, 1 / nearest), float(captures.focus_m[0]))

    @property
    def count(self) -> int:
        """P, the numbers per place."""
        return {"none": 2, "xy": 4, "ih": 3}[self.inputs]

    def scale_depth(self, depth_m: Tensor) -> Tensor:
        """Depths (N,) in dioptres, -1 at the farthest captured one, 1 at the nearest; 0 if there is only one."""
        far, near = self.dioptres
        span = near - far
        if span <= 1e-9 * near:
            return torch.zeros_like(depth_m)
        return (2 / depth_m - near - far) / span

    def at_radius(self, radius: Tensor, depth_m: Tensor) -> Tensor:
        """Places (N, P) at azimuth 0.

        Args:
            radius: Image heights, shape (N,).
            depth_m: Shape (N,).
        """
        along = {"none": [], "xy": [radius, torch.zeros_like(radius)], "ih": [2 * radius - 1]}[self.inputs]
        return self._with_distances(along, depth_m)

    def at_pixel(self, x_px: Tensor, y_px: Tensor, depth_m: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Places (N, P), cosine and sine of the azimuth (N,).

        Args:
            x_px: Columns, shape (N,).
            y_px: Rows, shape (N,).
            depth_m: Shape (N,).
        """
        radius, cosine, sine = polar_place(x_px, y_px, self.image_shape_px)
        along = {"none": [], "xy": [radius * cosine, radius * sine], "ih": [2 * radius - 1]}[self.inputs]
        return self._with_distances(along, depth_m), cosine, sine

    def _with_distances(self, along: list[Tensor], depth_m: Tensor) -> Tensor:
        focus = self.scale_depth(torch.full_like(depth_m, self.focus_m))
        return torch.stack([*along, self.scale_depth(depth_m), focus], -1).float()
