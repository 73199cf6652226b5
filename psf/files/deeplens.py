"""Fields of DeepLens's lens objects, asked through what a `GeoLens` of release 2.5 offers.

Its conventions and what becomes of them:

* An object point is (x, y, z), z in mm and negative before the lens. `psf` takes x and y as shares of half the
  sensor's width and half its height (its docstring speaks of half the diagonal), spread by a pinhole's scale, -z over
  the focal length. That pinhole knows no distortion and no place of the pupil: here the object point of an image
  height is found by where its chief ray lands, as `psf_center` says it.
* Kernels are of the upright picture: rows down, x to the right. They are centred on the chief ray of the primary
  wavelength, so lateral colour stays.
* Rays are shared between four pixels by linear weights, not collected by a pixel's square; that widens a kernel by
  1/12 px squared per axis against kernels of this house. Rays more than (K - 1)/2 px from the middle are dropped.
* Rays are drawn at random from torch's global generator: here its state is set from a seed, and given back.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..channels import Channel
from ..errors import InputError
from ..field import PolarPSFField
from ..provenance import Provenance
from ..resampling import check_odd

# Members of a lens that are asked.
_NEEDED = (
    "psf",
    "psf_center",
    "calc_scale",
    "sample_from_points",
    "trace2sensor",
    "sensor_size",
    "sensor_res",
    "foclen",
    "fnum",
    "surf_d",
    "wvln_rgb",
    "primary_wvln",
)
# Object points move until their chief rays land; the largest distortions need the most rounds.
ROUNDS = 8
# Infinity is as far away as this blur, in pixels, of a lens that is focused on it.
INFINITY_BLUR_PX = 0.02
# A chief ray this share of the half diagonal off its mark is no longer the one that was asked for.
MISSED = 0.01
# Image heights, besides those asked for, that tell how heights of objects and images go together.
LADDER = 6
# A window that loses more of a kernel than this is refused, as it is for fields traced here.
LOST_ERROR = 0.2


def from_deeplens(
    geolens: Any,
    depths_m: Sequence[float] | Tensor,
    radii: Sequence[float] | Tensor,
    *,
    channels: Sequence[Channel] | None = None,
    kernel_px: int = 65,
    rays: int = 8192,
    model: str = "geometric",
    focus_m: float | None = None,
    seed: int = 0,
) -> PolarPSFField:
    """Compute the field of a DeepLens lens.

    Args:
        geolens: A `deeplens.GeoLens`, or what has its members. It is not changed.
        depths_m: Depths from the vertex of its first surface, ascending, `inf` allowed, shape (D,). Infinity is
            traced from so far that the difference is 0.02 px of blur at most.
        radii: Image heights, 0 to 1 (half the sensor's diagonal), ascending, shape (R,).
        channels: Wavelengths and weights of each; by default the lens's three, R, G and B.
        kernel_px: Side of the kernels, odd.
        rays: Rays per kernel.
        model: DeepLens's own word: "geometric", or "coherent" or "huygens", which take a minute and more per kernel.
        focus_m: Depth in focus, for the record; by default DeepLens's `calc_focal_plane`, the mean of rays traced
            backwards from the sensor.
        seed: Of the random rays.

    Returns:
        The field, on the CPU, in float32. Kernels are averaged with their mirror images. `transmission` and `lost`
        are DeepLens's rays at the primary wavelength, counted: those that a pupil found on the axis does not let
        pass off the axis are not among them.

    Raises:
        InputError: The object is no such lens, an argument cannot be meant, a chief ray does not reach the image, or
            the window loses over 20 % of a kernel.
    """
    _check_lens(geolens)
    check_odd("kernel_px", kernel_px)
    depth, height = (_axis(name, one) for name, one in (("depths_m", depths_m), ("radii", radii)))
    if not bool((depth > 0).all()) or bool(depth[:-1].isinf().any()):
        raise InputError("depths_m", depth.tolist(), "depths above 0 m, ascending (inf may be the last)")
    if not bool(((height >= 0) & (height <= 1)).all()):
        raise InputError("radii", height.tolist(), "image heights from 0 to 1, ascending")
    if rays < 64:
        raise InputError("rays", rays, "64 at least")
    if channels is None:
        channels = [Channel(name, (float(one),)) for name, one in zip("RGB", geolens.wvln_rgb, strict=True)]
    for one in channels:
        if not one.wavelengths_um:
            raise InputError(f"channel {one.name!r}", "no wavelength", "one at least")
    width_px, height_px = (int(one) for one in geolens.sensor_res)
    pitch_mm = float(geolens.sensor_size[0]) / width_px
    half_mm = 0.5 * math.hypot(width_px, height_px) * pitch_mm
    first_mm = float(geolens.surf_d(0))
    far_mm = float(geolens.foclen) ** 2 / float(geolens.fnum) / (INFINITY_BLUR_PX * pitch_mm)
    kernels, transmission, lost = [], [], []
    with torch.no_grad(), _seeded(seed, getattr(geolens, "device", "cpu")):
        for one_m in depth.tolist():
            z_mm = first_mm - (far_mm if math.isinf(one_m) else 1000 * one_m)
            # The axis is the measure of transmission, asked for or not; more heights show the distortion's slope.
            steps = height.max() * torch.arange(LADDER + 1, dtype=torch.float64) / LADDER
            wanted = torch.cat([steps, height])
            x_mm = _find_objects(geolens, wanted * half_mm, z_mm, half_mm)
            kernels.append(_kernels(geolens, x_mm[-len(height) :], z_mm, channels, kernel_px, rays, model))
            shares, out = _count_light(geolens, wanted, x_mm, z_mm, pitch_mm, kernel_px, rays)
            transmission.append(shares[-len(height) :] / shares[0])
            out = out[-len(height) :]
            if (share := float(out.max())) > LOST_ERROR:
                found = f"{kernel_px} px, which loses {100 * share:.0f} % of a kernel at {one_m:g} m"
                raise InputError("kernel_px", found, f"a window that loses at most {100 * LOST_ERROR:.0f} %")
            lost.append(out)
        focused_m = _find_focus(geolens, first_mm, far_mm) if focus_m is None else float(focus_m)
    arguments = {
        "deeplens_model": model,
        "rays": rays,
        "seed": seed,
        "infinity_mm": far_mm,
        "foclen_mm": float(geolens.foclen),
        "fnum": float(geolens.fnum),
    }
    planes = len(channels)
    return PolarPSFField(
        kernels=torch.stack(kernels).float(),
        transmission=torch.stack(transmission)[..., None].expand(-1, -1, planes).float().contiguous(),
        lost=torch.stack(lost)[..., None].expand(-1, -1, planes).float().contiguous(),
        depths_m=depth.float(),
        radii=height.float(),
        image_shape_px=(height_px, width_px),
        pitch_um=1000 * pitch_mm,
        channels=tuple(channels),
        focus_m=focused_m,
        provenance=Provenance(
            lens=str(getattr(geolens, "lens_info", "") or type(geolens).__name__)[:200],
            source="DeepLens",
            arguments=arguments,
        ),
    )


def _check_lens(geolens: Any) -> None:
    missing = [name for name in _NEEDED if not hasattr(geolens, name)]
    if missing:
        found = f"{type(geolens).__name__} without {', '.join(missing)}"
        raise InputError("geolens", found, "a lens with the members of DeepLens's GeoLens")


def _axis(name: str, values: Sequence[float] | Tensor) -> Tensor:
    axis = torch.as_tensor(values, dtype=torch.float64).detach().cpu()
    if axis.ndim != 1 or not len(axis) or not bool((axis[1:] > axis[:-1]).all()):
        raise InputError(name, axis.tolist(), "one dimension, ascending")
    return axis


@contextmanager
def _seeded(seed: int, device: Any) -> Iterator[None]:
    """DeepLens draws from torch's global generators: they get a state for a while, and their own back."""
    place = torch.device(device)
    on_gpu = place.type == "cuda"
    with torch.random.fork_rng(devices=[place] if on_gpu else []):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        if on_gpu:
            torch.cuda.set_rng_state(torch.Generator(place).manual_seed(seed).get_state(), place)
        yield


def _points(geolens: Any, x_mm: Tensor, z_mm: float) -> Tensor:
    points = torch.zeros((len(x_mm), 3), dtype=torch.float64)
    points[:, 0] = x_mm
    points[:, 2] = z_mm
    return points.to(device=getattr(geolens, "device", "cpu"), dtype=getattr(geolens, "dtype", torch.float32))


def _find_objects(geolens: Any, wanted_mm: Tensor, z_mm: float, half_mm: float) -> Tensor:
    """Heights of the object points whose chief rays land at image heights (N,): shape (N,)."""
    x_mm = wanted_mm * (-z_mm / float(geolens.foclen))
    landed = wanted_mm
    for _ in range(ROUNDS):
        landed = geolens.psf_center(_points(geolens, x_mm, z_mm), method="chief_ray")[:, 0].double().cpu()
        if not bool(landed.isfinite().all()):
            raise InputError("geolens", "a chief ray that is lost", "chief rays that reach the image at all radii")
        # Where the height is right, a ray from next to the stop's middle must not move the point at random.
        ratio = torch.where(wanted_mm > 0, wanted_mm / landed.clamp_min(0.1 * wanted_mm + 1e-12), 1.0)
        x_mm = x_mm * ratio.clamp(0.5, 2.0)
    missed = (landed - wanted_mm).abs() / half_mm
    if bool((missed > MISSED).any()):
        worst = int(missed.argmax())
        at, mark = (float(one[worst]) / half_mm for one in (landed, wanted_mm))
        found = f"a chief ray at radius {at:.4f} instead of {mark:.4f}"
        raise InputError("geolens", found, "an image that reaches all radii")
    return x_mm


def _kernels(
    geolens: Any, x_mm: Tensor, z_mm: float, channels: Sequence[Channel], kernel_px: int, rays: int, model: str
) -> Tensor:
    """Kernels of one depth, unit sum, mirror images of themselves: shape (R, C, K, K)."""
    points = _points(geolens, x_mm, z_mm)
    # What `psf` takes is a share of half the sensor's width at a pinhole's scale.
    shares = points.clone()
    shares[:, 0] = points[:, 0] / (float(geolens.calc_scale(z_mm)) * float(geolens.sensor_size[0]) / 2)
    found = []
    for channel in channels:
        total = torch.zeros((len(x_mm), kernel_px, kernel_px), dtype=torch.float64)
        for wave_um, weight in zip(channel.wavelengths_um, channel.weights, strict=True):
            if weight == 0:
                continue
            options = {"wvln": wave_um, "ks": kernel_px, "spp": rays, "model": model, "recenter": True}
            if model == "geometric":
                light = geolens.psf(shares, **options)
            else:  # these take one point at a time
                light = torch.stack([geolens.psf(one, **options) for one in shares])
            light = light.double().cpu()
            sums = light.sum((-2, -1))
            if not bool((sums > 0).all()):
                radius = int((~(sums > 0)).nonzero()[0])
                where = f"geolens: {wave_um:g} um, radius number {radius}"
                raise InputError(where, "no light in the window", "kernels with light; a larger kernel_px")
            total += weight * light / sums[:, None, None]
        total = 0.5 * (total + total.flip(-2))
        found.append(total / total.sum((-2, -1), keepdim=True))
    return torch.stack(found, 1)


def _count_light(
    geolens: Any, radii: Tensor, x_mm: Tensor, z_mm: float, pitch_mm: float, kernel_px: int, rays: int
) -> tuple[Tensor, Tensor]:
    """Irradiance on the sensor, any scale, and the share of light outside the window, at image heights (N,): each (N,).

    Light of an even scene: cos^4 of each ray at the object for the solid angle, times how much of the object lies
    behind a piece of the image, which follows from the object heights.
    """
    bundle = geolens.sample_from_points(points=_points(geolens, x_mm, z_mm), num_rays=rays, wvln=geolens.primary_wvln)
    slant = bundle.d[..., 2].double().cpu() ** 4
    traced = geolens.trace2sensor(bundle)
    alive = traced.is_valid.double().cpu()
    flux = (alive * slant).mean(-1)
    if not bool((flux > 0).all()):
        raise InputError("geolens", f"no light at radius {float(radii[flux <= 0][0]):.4f}", "light at all radii")
    half = (kernel_px - 1) / 2 * pitch_mm
    centre = -geolens.psf_center(_points(geolens, x_mm, z_mm), method="chief_ray")
    away = (traced.o[..., :2] - centre[:, None]).abs().amax(-1).double().cpu()
    inside = (alive * slant * (away < half)).mean(-1)
    lost = (1 - inside / flux).clamp(0, 1 - 1e-6)
    # x = r (a + b r^2 + c r^4 + d r^6): smooth, and with a slope at the axis.
    off = radii > 0
    powers = min(4, len(radii[off].unique()))
    if powers == 0:
        return flux, lost
    basis = torch.stack([radii[off] ** (2 * n) for n in range(powers)], 1)
    terms = torch.linalg.lstsq(basis, (x_mm[off] / radii[off])[:, None]).solution[:, 0]
    rising = torch.stack([radii ** (2 * n) for n in range(powers)], 1)
    slope = rising @ (terms * (2 * torch.arange(powers, dtype=torch.float64) + 1))
    return flux * (rising @ terms) * slope, lost


def _find_focus(geolens: Any, first_mm: float, far_mm: float) -> float:
    """The depth in focus as DeepLens finds it; infinity from where it makes no difference."""
    if not hasattr(geolens, "calc_focal_plane"):
        raise InputError("focus_m", "nothing, and a lens without calc_focal_plane", "the depth in focus in m")
    try:
        away_mm = first_mm - float(geolens.calc_focal_plane())
    except ValueError as error:
        # No ray from the sensor meets the axis before the lens: it is focused at infinity or beyond.
        if "focal plane" not in str(error):
            raise
        return math.inf
    return math.inf if not 0 < away_mm < far_mm else away_mm / 1000
