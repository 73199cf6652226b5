"""One kernel of another program, laid on the pixels of a sensor: turned to azimuth 0, moved, integrated over pixels."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..resampling import overlap_matrix
from ..sampling import prepare, sample
from ..turning import turning_affine

# What is left of an angle after quarter turns that is not worth reading between samples for, rad.
_NO_ANGLE_RAD = 1e-9
# Half a turn's columns and rows must be as far apart as one another, to this share, where that reading is needed.
_EQUAL = 1e-3


@dataclass(frozen=True, eq=False, kw_only=True)
class ScatteredKernel:
    """A kernel as another program gives it, and where on the picture it belongs.

    Kernel and azimuth are in the same axes: either both in those of the image on the sensor or both in the upright
    picture's, half a turn apart. For a lens of revolution the two come to the same.

    Attributes:
        where: What an error message begins with.
        values: At least 0, shape (rows, columns), row 0 at the top.
        spacing_um: Between columns and between rows.
        centre_px: Row and column, from 0, fractions allowed, of the point that the program centred it on.
        depth_m: Depth of the object point, `inf` allowed.
        radius: Image height, 0 to 1.
        azimuth_rad: Of the image point, counter-clockwise from the right.
        channel: Which of the field's channels, from 0.
        wavelength_um: What it is made of, or None.
        weight: Share of it in its channel, any scale.
        transmission: Relative illumination, or None where nobody says.
        is_integrated: Values are light on squares of `spacing_um`, else irradiance at points.
        offset_um: How far right and up of the field's middle the point is that it is centred on.
    """

    where: str
    values: Tensor
    spacing_um: tuple[float, float]
    centre_px: tuple[float, float]
    depth_m: float
    radius: float
    azimuth_rad: float = 0.0
    channel: int = 0
    wavelength_um: float | None = None
    weight: float = 1.0
    transmission: float | None = None
    is_integrated: bool = False
    offset_um: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        values = self.values
        if values.ndim != 2 or not values.numel() or not values.is_floating_point():
            raise InputError(self.where, f"{values.dtype} of shape {tuple(values.shape)}", "floats (rows, columns)")
        if not bool((values.isfinite() & (values >= 0)).all()) or not float(values.sum()) > 0:
            raise InputError(self.where, "values that are not finite, below 0 or all 0", "light")
        if not all(math.isfinite(one) and one > 0 for one in (*self.spacing_um, self.weight)):
            raise InputError(self.where, f"spacing {self.spacing_um}, weight {self.weight}", "positive numbers")
        if not all(map(math.isfinite, (*self.centre_px, *self.offset_um, self.azimuth_rad))):
            raise InputError(self.where, "a centre, offset or azimuth that is not finite", "finite numbers")
        if not self.depth_m > 0:
            raise InputError(f"{self.where}: depth_m", self.depth_m, "a depth above 0")
        if not 0 <= self.radius <= 1:
            raise InputError(f"{self.where}: radius", f"{self.radius:g}", "an image height from 0 to 1")


def place_kernel(kernel: ScatteredKernel, pitch_um: float, size: int) -> Tensor:
    """Light of a kernel on `size` x `size` squares of `pitch_um` about the field's middle, at azimuth 0.

    Args:
        kernel: What to place.
        pitch_um: Side of a square.
        size: How many per axis.

    Returns:
        Shares of all light that the kernel holds, shape (size, size); they sum to less than 1 by what lies outside.
    """
    values = kernel.values.to(torch.float64)
    (across_um, down_um), (row, column) = kernel.spacing_um, kernel.centre_px
    quarters = round(-kernel.azimuth_rad / (math.pi / 2))
    rest = -kernel.azimuth_rad - quarters * math.pi / 2
    for _ in range(quarters % 4):
        row, column = values.shape[1] - 1 - column, row
        across_um, down_um = down_um, across_um
        values = torch.rot90(values)
    if abs(rest) > _NO_ANGLE_RAD:
        if abs(across_um / down_um - 1) > _EQUAL:
            found = f"values {across_um:g} um apart along rows and {down_um:g} um along columns"
            expected = "the same spacing both ways, to turn by other angles than quarters"
            raise InputError(kernel.where, found, expected)
        values = _turn_about(values, row, column, rest)
        row = column = (values.shape[0] - 1) / 2
    sine, cosine = math.sin(-kernel.azimuth_rad), math.cos(-kernel.azimuth_rad)
    right, up = kernel.offset_um
    right, up = right * cosine - up * sine, right * sine + up * cosine
    lay = overlap_matrix if kernel.is_integrated else integral_matrix
    matrices = []
    for count, middle, step_um, shift_um in (
        (values.shape[0], row, down_um, -up),
        (values.shape[1], column, across_um, right),
    ):
        scale = step_um / pitch_um
        matrices.append(lay(count, size, scale, ((count - 1) / 2 - middle) * scale + shift_um / pitch_um))
    placed = (matrices[0] @ values @ matrices[1].mT) / values.sum()
    return placed.clamp_min(0)


def find_reach_um(kernel: ScatteredKernel) -> float:
    """How far the kernel's data go in every direction from the field's middle, at azimuth 0."""
    rows, columns = kernel.values.shape
    (across_um, down_um), (row, column) = kernel.spacing_um, kernel.centre_px
    right, up = kernel.offset_um
    edges_um = (
        (row + 0.5) * down_um + up,
        (rows - row - 0.5) * down_um - up,
        (column + 0.5) * across_um - right,
        (columns - column - 0.5) * across_um + right,
    )
    rest = kernel.azimuth_rad % (math.pi / 2)
    return min(edges_um) / (math.cos(rest) + math.sin(rest))


def integral_matrix(size: int, size_to: int, scale: float, shift: float = 0.0) -> Tensor:
    """How a smooth curve through points falls on pixels: the integral of Keys' cubic interpolation over each.

    The curve reproduces parabolas, so centroids and second moments stay as they are; boxes or straight lines
    between the points would widen them.

    Args:
        size: Points; their row is centred on 0.
        size_to: Pixels; their row is centred on 0.
        scale: The points are this many pixels apart.
        shift: The row of points has its centre here, in pixels.

    Returns:
        Shape (size_to, size). A column sums to 1 unless part of that point's light falls outside the new row.
    """
    points = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2) * scale + shift
    edges = torch.arange(size_to + 1, dtype=torch.float64) - size_to / 2
    t = (edges[:, None] - points[None, :]) / scale
    u = t.abs().clamp_max(2)
    inner = ((0.375 * u - 2.5 / 3) * u * u + 1) * u
    outer = (((-0.125 * u + 2.5 / 3) * u - 2) * u + 2) * u - 1 / 6
    below = 0.5 + t.sign() * torch.where(u <= 1, inner, outer)
    return below[1:] - below[:-1]


def _turn_about(values: Tensor, row: float, column: float, angle_rad: float) -> Tensor:
    """Values turned counter-clockwise about a point, which is the middle of what comes back, shape (S, S), S odd."""
    rows, columns = values.shape
    side = max(rows, columns)
    square = torch.nn.functional.pad(values, (0, side - columns, 0, side - rows))
    middle = (side - 1) / 2
    farthest = math.hypot(max(row, rows - 1 - row), max(column, columns - 1 - column))
    angle = torch.tensor(angle_rad, dtype=values.dtype)
    affine = turning_affine(angle.cos(), angle.sin())
    affine = affine + affine.new_tensor([0, 0, row - middle, 0, 0, column - middle])
    index = torch.zeros((1, 1), dtype=torch.long)
    one = values.new_ones((1, 1))
    size = 2 * math.ceil(farthest) + 1
    turned = sample(prepare(square[None], "cubic"), index, one, affine[None, None], size, 1, "cubic")[0]
    turned = turned.clamp_min(0)
    return turned * (values.sum() / turned.sum())
