"""What readers of lens files make, whatever the format: surfaces in mm with what each file leaves open."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..glass import Medium

# What the numbers of `Fields` are: degrees at the object, heights of the object or of the (paraxial, real) image.
FieldKind = Literal["angle_deg", "object_height_mm", "image_height_mm", "real_image_height_mm"]

# How wide the lens is opened. stop: as the stop's semi-aperture says; else the number that fixes it.
ApertureKind = Literal[
    "stop", "entrance_pupil_mm", "f_number", "working_f_number", "object_na", "object_cone_deg", "image_na"
]


@dataclass(frozen=True)
class Fields:
    """Field points of a lens file.

    Attributes:
        kind: What the coordinates are, with the unit.
        points: (x, y) of each.
        weights: One per point.
    """

    kind: FieldKind = "angle_deg"
    points: tuple[tuple[float, float], ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def largest(self) -> float:
        """Distance of the outermost point from the axis, in the unit of `kind`; 0 without points."""
        return max((float((x * x + y * y) ** 0.5) for x, y in self.points), default=0.0)


@dataclass(frozen=True)
class Aperture:
    """How wide a lens file opens the lens.

    Attributes:
        kind: What the number is.
        value: In the unit that `kind` says; 1 for the stop.
        line: Where it stands.
    """

    kind: ApertureKind
    value: float
    line: int = 0


@dataclass(frozen=True, eq=False)
class DraftSurface:
    """One surface as a file has it.

    Attributes:
        line: Where it stands.
        medium: What lies behind it.
        curvature_per_mm: Of the conic.
        conic_k: Conic constant.
        terms: Power of r to its coefficient in mm^(1-power).
        thickness_mm: To the next vertex.
        semi_aperture_mm: Radius of the clear part, None where nobody says.
        clips: Whether the file means light outside it to be lost; else the number only says how far light went.
        stop: Whether it is the aperture stop.
    """

    line: int
    medium: Medium
    curvature_per_mm: float = 0.0
    conic_k: float = 0.0
    terms: Mapping[int, float] = field(default_factory=dict)
    thickness_mm: float = 0.0
    semi_aperture_mm: float | None = None
    clips: bool = False
    stop: bool = False

    @property
    def is_flat(self) -> bool:
        """Whether it is a plane."""
        return not self.curvature_per_mm and not any(self.terms.values())


@dataclass(frozen=True, eq=False)
class Draft:
    """A lens as a file has it.

    Attributes:
        surfaces: Without object and image.
        name: Short, for people and file names; cleaned later.
        title: One line.
        object_mm: From the object to the first surface; inf.
        aperture: How wide it is opened, None where nobody says.
        fields: Field points.
        wavelengths_um: In the file's order.
        weights: One per wavelength.
        reference_um: Primary wavelength, None: the d line.
        image_semi_mm: Half the picture's diagonal, as far as the file tells.
        source: For people.
        entries: Keys of our own schema (`sensor`, `channels`, ...) that the file carries.
    """

    surfaces: tuple[DraftSurface, ...]
    name: str
    title: str = ""
    object_mm: float = float("inf")
    aperture: Aperture | None = None
    fields: Fields = field(default_factory=Fields)
    wavelengths_um: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    reference_um: float | None = None
    image_semi_mm: float | None = None
    source: Mapping[str, Any] = field(default_factory=dict)
    entries: Mapping[str, Any] = field(default_factory=dict)
