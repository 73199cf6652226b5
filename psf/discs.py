"""Ideal lenses: kernels that are discs, exact to the area that each pixel's square shares with the disc."""

import math

import torch
from torch import Tensor

from .channels import Channel
from .errors import InputError
from .field import PolarPSFField
from .provenance import Provenance
from .resampling import check_odd

RGB = (Channel("R"), Channel("G"), Channel("B"))
DEPTHS = 20
RADII = 20
# With focus at infinity there is no far side to mirror: as near as a lens file's default grid goes.
NEAREST_M = 0.1
# An automatic window beyond this is more likely a mistake in units than a wish.
LARGEST_AUTOMATIC_PX = 513


def disc_overlap(radius_px: Tensor, centre_px: Tensor, size: int) -> Tensor:
    """Share of a disc of light on each square of a lattice, in closed form.

    Args:
        radius_px: Radii of the discs, in squares' sides; 0 is a point. Shape (...).
        centre_px: Columns right of and rows below the middle of the lattice, shape (..., 2).
        size: Squares per side.

    Returns:
        Shares, shape (..., size, size); they sum to 1 where the disc lies inside the lattice.
    """
    # A point is the limit of small discs, and this one is smaller than any lattice can tell.
    radius = radius_px.clamp_min(1e-9)[..., None]
    edges = torch.arange(size + 1, dtype=radius_px.dtype, device=radius_px.device) - size / 2
    x = ((edges - centre_px[..., :1]) / radius)[..., None, :]
    y = ((edges - centre_px[..., 1:]) / radius)[..., :, None]
    corner = _quadrant_area(x, y) / math.pi
    squares = corner[..., 1:, 1:] - corner[..., 1:, :-1] - corner[..., :-1, 1:] + corner[..., :-1, :-1]
    return squares.clamp_min(0)


def _quadrant_area(x: Tensor, y: Tensor) -> Tensor:
    """Area of the unit disc with u < x and v < y (both broadcast): the integral over u of the chord's part below y."""
    x, y = x.clamp(-1, 1), y.clamp(-1, 1)
    # The line at height y cuts the circle at -b and b. Between, the chord is cut at y; beyond, it is whole (y > 0)
    # or nothing (y < 0).
    b = (1 - y * y).clamp_min(0).sqrt()
    inner = x.minimum(b).maximum(-b)
    cut = y * (inner + b) + _half_chords(inner) - _half_chords(-b)
    whole = _half_chords(x.minimum(-b)) + (_half_chords(x.maximum(b)) - _half_chords(b))
    return cut + torch.where(y > 0, 2 * whole, 0.0)


def _half_chords(x: Tensor) -> Tensor:
    """Integral of sqrt(1 - u^2) from -1 to x."""
    return 0.5 * (x * (1 - x * x).clamp_min(0).sqrt() + torch.asin(x) + math.pi / 2)


def image_distance_m(focal_mm: float, focus_m: float) -> float:
    """Distance from a thin lens to its image of `focus_m`: f s / (s - f), the focal length for infinity."""
    focal_m = focal_mm / 1000
    return focal_m if math.isinf(focus_m) else focal_m * focus_m / (focus_m - focal_m)


def thin_lens_field(
    focal_mm: float,
    f_number: float,
    focus_m: float,
    pitch_um: float,
    image_shape_px: tuple[int, int],
    depths_m: Tensor | None = None,
    radii: Tensor | None = None,
    kernel_px: int | None = None,
    *,
    breathing: bool = True,
    reference_focus_m: float | None = None,
    breathing_as: str = "magnification",
    oversample: int = 1,
    channels: tuple[Channel, ...] = RGB,
    dtype: torch.dtype = torch.float32,
) -> PolarPSFField:
    """The field of an ideal lens: evenly lit discs, no aberrations, no fall-off.

    The disc of an object at z with the focus at s is c = (f^2 / N) |1/s - 1/z| across if the image distance stays at
    f (`breathing` off: the scale of the picture then never changes), and s / (s - f) times that for a real thin lens
    with its stop at the lens (`breathing` on).

    Args:
        focal_mm: Focal length f.
        f_number: N, the focal length over the pupil's diameter.
        focus_m: Distance s from the lens that is sharp, beyond the focal length, may be `inf`.
        pitch_um: Pixel pitch.
        image_shape_px: The sensor's (H, W).
        depths_m: Ascending, `inf` allowed, shape (D,). Default: 20, evenly spaced in dioptres from infinity to twice
            the focus's dioptres (blurred as much as infinity is), or to 0.1 m where the focus is at infinity.
        radii: Ascending from 0 to 1, shape (R,). Default: evenly spaced, 20 where discs shift, else 2 (all are the
            same).
        kernel_px: Side of the window, odd; a disc that does not fit is cut and the rest is in `lost`. Default: the
            smallest that holds every disc.
        breathing: Whether the image distance follows the focus.
        reference_focus_m: Focus of the picture that the kernels are to be applied to. Default: `focus_m`, which
            leaves nothing to shift.
        breathing_as: What a focus other than the reference makes of the image scale, with `breathing` on:
            "magnification" sets the field's, "shift" moves each disc's centre outwards by its radius times the
            change (see `docs/field_format.md`).
        oversample: Stored values per pixel and axis.
        channels: All with the same kernels.
        dtype: Of the field; the discs are computed in float64.

    Returns:
        The field.
    """
    _check(focal_mm=focal_mm, f_number=f_number, pitch_um=pitch_um)
    reference_m = focus_m if reference_focus_m is None else reference_focus_m
    for name, value in (("focus_m", focus_m), ("reference_focus_m", reference_m)):
        if not value > focal_mm / 1000:
            raise InputError(
                f"thin_lens_field({name})", value, f"a distance beyond the focal length, {focal_mm / 1000:g} m"
            )
    if breathing_as not in ("magnification", "shift"):
        raise InputError("thin_lens_field(breathing_as)", repr(breathing_as), "'magnification' or 'shift'")
    if isinstance(oversample, bool) or not isinstance(oversample, int) or oversample < 1:
        raise InputError("thin_lens_field(oversample)", repr(oversample), "a positive integer")
    depths = _default_depths(focus_m) if depths_m is None else torch.as_tensor(depths_m, dtype=torch.float64).cpu()
    count = RADII if breathing_as == "shift" else 2
    places = (
        torch.linspace(0, 1, count, dtype=torch.float64)
        if radii is None
        else torch.as_tensor(radii, dtype=torch.float64).cpu()
    )
    if depths.ndim != 1 or not len(depths) or not bool((depths > 0).all()):
        raise InputError("thin_lens_field(depths_m)", depths.tolist(), "positive depths, shape (D,)")

    image_m = image_distance_m(focal_mm, focus_m) if breathing else focal_mm / 1000
    ratio = image_distance_m(focal_mm, focus_m) / image_distance_m(focal_mm, reference_m) if breathing else 1.0
    pupil_m = focal_mm / 1000 / f_number
    radius_px = 0.5 * pupil_m * image_m * (1 / depths - 1 / focus_m).abs() / (pitch_um * 1e-6)
    shifted = ratio - 1 if breathing_as == "shift" else 0.0
    shift_px = places * 0.5 * math.hypot(*image_shape_px) * shifted
    size = _window(radius_px, shift_px) if kernel_px is None else kernel_px
    check_odd("thin_lens_field(kernel_px)", size)

    moved = shift_px if bool(shift_px.any()) else shift_px[:1]
    centre = torch.stack((moved, torch.zeros_like(moved)), -1) * oversample
    radius = (radius_px * oversample)[:, None].expand(-1, len(moved))
    discs = disc_overlap(radius, centre.expand(len(depths), -1, -1), size * oversample).expand(-1, len(places), -1, -1)
    kept = discs.sum((-2, -1))
    if not bool((kept > 0).all()):
        raise InputError(
            "thin_lens_field(kernel_px)",
            size,
            f"a window that the shift of {float(shift_px.abs().max()):.1f} px stays in",
        )
    arguments = {
        "focal_mm": focal_mm,
        "f_number": f_number,
        "focus_m": focus_m,
        "breathing": breathing,
        "reference_focus_m": reference_m,
        "breathing_as": breathing_as,
    }
    return PolarPSFField(
        kernels=(discs / kept[..., None, None])[:, :, None].repeat(1, 1, len(channels), 1, 1).to(dtype),
        transmission=torch.ones((*kept.shape, len(channels)), dtype=dtype),
        lost=(1 - kept).clamp(0, 1)[..., None].repeat(1, 1, len(channels)).to(dtype),
        depths_m=depths.to(dtype),
        radii=places.to(dtype),
        image_shape_px=image_shape_px,
        pitch_um=float(pitch_um),
        channels=channels,
        focus_m=float(focus_m),
        magnification=ratio if breathing_as == "magnification" else 1.0,
        oversample=oversample,
        provenance=Provenance(
            lens=f"thin lens {focal_mm:g} mm f/{f_number:g}", source="closed form", arguments=arguments
        ),
    )


def _check(**numbers: float) -> None:
    for name, value in numbers.items():
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"thin_lens_field({name})", value, "a positive number")


def _default_depths(focus_m: float) -> Tensor:
    nearest_dpt = 1 / NEAREST_M if math.isinf(focus_m) else 2 / focus_m
    return 1 / torch.linspace(nearest_dpt, 0, DEPTHS, dtype=torch.float64)


def _window(radius_px: Tensor, shift_px: Tensor) -> int:
    reach = float(radius_px.max() + shift_px.abs().max())
    size = 2 * math.ceil(reach - 0.5) + 1 if reach > 0.5 else 1
    if size > LARGEST_AUTOMATIC_PX:
        raise InputError(
            "thin_lens_field",
            f"discs that need a window of {size} px",
            f"at most {LARGEST_AUTOMATIC_PX} px unless kernel_px (or depths_m) is given",
        )
    return size
