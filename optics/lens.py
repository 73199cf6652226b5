"""The values that describe a camera's optics: `Sensor` and `Lens`. Changing a lens gives a new one."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from psf import Channel
from psf.errors import InputError

from .glass import LINE_C_UM, LINE_D_UM, LINE_F_UM
from .paraxial import first_order
from .surface import Surface

DEFAULT_NEAREST_M = 0.1


@dataclass(frozen=True)
class Sensor:
    """Where the picture is taken: geometry only; what the silicon does is the renderer's `RawSensor`.

    Attributes:
        image_shape_px: (height, width) in pixels.
        pitch_um: Distance of neighbouring pixel centres in um.
    """

    image_shape_px: tuple[int, int]
    pitch_um: float

    def __post_init__(self) -> None:
        if len(self.image_shape_px) != 2 or any(int(n) != n or n < 1 for n in self.image_shape_px):
            raise InputError("Sensor.image_shape_px", self.image_shape_px, "(height, width), whole numbers from 1")
        if not (math.isfinite(self.pitch_um) and self.pitch_um > 0):
            raise InputError("Sensor.pitch_um", self.pitch_um, "a positive number")

    @property
    def half_diagonal_mm(self) -> float:
        """Image height that `radius` 1 stands for, in mm."""
        return 0.5e-3 * self.pitch_um * math.hypot(*self.image_shape_px)


@dataclass(frozen=True, eq=False)
class Lens:
    """A lens of revolution in front of a sensor, in air.

    The first vertex is z = 0 and light travels to +z. Lengths are mm, float64 unless `to` says otherwise.

    Attributes:
        name: A short name; files are named after it.
        surfaces: From the object to the sensor.
        stop_surface: Number of the aperture stop, counted from 1; a plane of its own or a refracting surface.
        sensor: Pixel grid in the image plane, which stands `surfaces[-1].thickness_mm` behind the last vertex.
        reference_wavelength_um: Its chief rays define image heights and kernel centres.
        focus_m: Object distance (from the first vertex) that the file or `refocused` put in focus; inf is 0 dioptres.
        nearest_m: Nearest object distance (from the first vertex) that grids of PSFs cover unless they are told
            otherwise; nearer objects may blur over hundreds of pixels.
        channels: Colour channels with the wavelengths behind each and their weights.
        title: One line for people.
        source: Where the numbers come from.
        file_sha256: Hash of the file that was read, or "".
    """

    name: str
    surfaces: tuple[Surface, ...]
    stop_surface: int
    sensor: Sensor
    reference_wavelength_um: float = LINE_D_UM
    focus_m: float = math.inf
    nearest_m: float = DEFAULT_NEAREST_M
    channels: tuple[Channel, ...] = ()
    title: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)
    file_sha256: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[^\s/\\][^\n\r/\\\0]*", self.name):
            raise InputError("Lens.name", repr(self.name), "a short name without strokes: files are named after it")
        if not self.surfaces:
            raise InputError("Lens.surfaces", "none", "at least one surface")
        if not 1 <= self.stop_surface <= len(self.surfaces):
            raise InputError("Lens.stop_surface", self.stop_surface, f"a surface from 1 to {len(self.surfaces)}")
        if not (math.isfinite(self.reference_wavelength_um) and self.reference_wavelength_um > 0):
            raise InputError("Lens.reference_wavelength_um", self.reference_wavelength_um, "a positive number")
        if math.isnan(self.focus_m) or self.focus_m <= 0:
            raise InputError("Lens.focus_m", self.focus_m, "a positive distance or inf")
        if not (math.isfinite(self.nearest_m) and self.nearest_m > 0):
            raise InputError("Lens.nearest_m", self.nearest_m, "a positive distance")
        if not all(c.wavelengths_um for c in self.channels):
            raise InputError("Lens.channels", [c.name for c in self.channels], "wavelengths behind every channel")
        if not self.channels:
            object.__setattr__(self, "channels", DEFAULT_CHANNELS)

    @property
    def vertices_mm(self) -> Tensor:
        """Places z of every vertex and, last, of the image plane; shape (S + 1,)."""
        steps = torch.stack([s.thickness_mm for s in self.surfaces])
        return torch.cat([steps.new_zeros(1), steps.cumsum(0)])

    @property
    def track_mm(self) -> float:
        """From the first vertex to the image plane."""
        return float(self.vertices_mm[-1].detach())

    def parameters(self) -> dict[str, Tensor]:
        """Every continuous parameter by name, such as `surface2.curvature_per_mm`, `surface2.asphere_4`,
        `surface2.thickness_mm`, `surface2.semi_aperture_mm`, `surface2.medium.nd`; of shape () (the
        coefficients of a dispersion formula: (n,)).
        """  # noqa: D205
        numbered = enumerate(self.surfaces, start=1)
        return {f"surface{i}.{name}": value for i, s in numbered for name, value in s.parameters().items()}

    def with_parameters(self, values: Mapping[str, Tensor | float]) -> "Lens":
        """A lens with some of `parameters` replaced.

        Args:
            values: New values by the names of `parameters`; tensors, of the shape () or (n,) that stands there, keep
                their gradients.

        Raises:
            InputError: An unknown name, a tensor of another shape or dtype, a number that cannot be.
        """
        known = self.parameters()
        grouped: dict[int, dict[str, Tensor]] = {}
        for name, value in values.items():
            if name not in known:
                raise InputError(f"parameter of lens {self.name}", repr(name), "a name of lens.parameters()")
            surface, _, own = name.partition(".")
            old = known[name]
            tensor = value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=old.dtype, device=old.device)
            if (tensor.shape, tensor.dtype) != (old.shape, old.dtype):
                found, wanted = (f"{t.dtype} of shape {tuple(t.shape)}" for t in (tensor, old))
                raise InputError(f"parameter {name} of lens {self.name}", found, wanted)
            grouped.setdefault(int(surface.removeprefix("surface")), {})[own] = tensor
        numbered = enumerate(self.surfaces, start=1)
        surfaces = tuple(s.with_parameters(grouped[i]) if i in grouped else s for i, s in numbered)
        return replace(self, surfaces=surfaces)

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> "Lens":
        """The lens on another device or in another dtype."""
        return replace(self, surfaces=tuple(s.to(device, dtype) for s in self.surfaces))

    def refocused(self, depth_m: float, method: Literal["paraxial", "spot"] = "paraxial") -> "Lens":
        """The lens with the image plane moved so that an object at `depth_m` is sharp on the axis.

        Args:
            depth_m: Distance from the first vertex; inf is allowed.
            method: "paraxial" puts the plane at the Gaussian image of the reference wavelength, "spot" where the
                RMS radius of the axial spot (all channels, weighted) is smallest.

        Raises:
            InputError: A distance that has no real image behind the lens.
        """
        from .focusing import image_distance_mm

        distance_mm = image_distance_mm(self, depth_m, method)
        moved = replace(self.surfaces[-1], thickness_mm=distance_mm)
        return replace(self, surfaces=(*self.surfaces[:-1], moved), focus_m=float(depth_m))

    def stopped_down(self, f_number: float) -> "Lens":
        """The lens with its stop closed to a paraxial f-number (focal length over entrance pupil diameter).

        The stop's rim follows the lens's gradient, so that the f-number stays.

        Raises:
            InputError: An f-number below the lens's own.
        """
        own = first_order(self).f_number_infinity.abs()
        if not (math.isfinite(f_number) and f_number >= own * (1 - 1e-9)):
            raise InputError("f_number", f_number, f"a number from {own:.4g} (the lens's own f-number)")
        stop = self.surfaces[self.stop_surface - 1]
        closed = replace(stop, semi_aperture_mm=stop.semi_aperture_mm * (own / f_number).to(stop.semi_aperture_mm))
        surfaces = list(self.surfaces)
        surfaces[self.stop_surface - 1] = closed
        return replace(self, surfaces=tuple(surfaces))

    def scaled(self, factor: float) -> "Lens":
        """The lens with every length times `factor`, object distances too; the sensor keeps its pixels."""
        if not (math.isfinite(factor) and factor > 0):
            raise InputError("factor", factor, "a positive number")
        surfaces = tuple(
            replace(
                s,
                shape=s.shape.scaled(factor),
                semi_aperture_mm=s.semi_aperture_mm * factor,
                thickness_mm=s.thickness_mm * factor,
            )
            for s in self.surfaces
        )
        return replace(self, surfaces=surfaces, focus_m=self.focus_m * factor, nearest_m=self.nearest_m * factor)


# Three wavelengths each, weights of a typical sensor behind an infrared filter (own choice; replace them by your
# sensor's curves). Middle wavelengths lie near the C, d and F lines.
DEFAULT_CHANNELS = (
    Channel("R", (0.590, 0.620, 0.650), (0.35, 0.40, 0.25)),
    Channel("G", (0.500, 0.535, 0.570), (0.25, 0.45, 0.30)),
    Channel("B", (0.435, 0.460, 0.490), (0.30, 0.45, 0.25)),
)

# One line per channel, as the reference tables have it.
LINE_CHANNELS = (
    Channel("R", (LINE_C_UM,), (1.0,)),
    Channel("G", (LINE_D_UM,), (1.0,)),
    Channel("B", (LINE_F_UM,), (1.0,)),
)
