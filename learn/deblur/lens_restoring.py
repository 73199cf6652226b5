"""A photograph through its lens's field alone: no network, no training, no depth.

    photo = read_raw("IN.dng")
    light = restore_by_lens(photo, psf.load("F.h5").to(dtype=torch.float32))
    write_dng("restored.dng", photo.with_mosaic(light))

How far away things are is read off their blur (`find_depth_by_blur`), and a Wiener filter with the kernels of that
depth undoes it. It is at its best where a network is at its worst: print and charts that lie flat and far out of focus.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from render import RawFile, demosaic, mosaic

from ..restorers import find_depth_by_blur, restore_wiener
from .fitting import SIDE_SHARE

Progress = Callable[[int, int], None]

STEPS = 1000
# Of a normal variable: the median of |x| is this share of the deviation.
MEDIAN_SHARE = 0.6745
CAUTION = 10.0  # what noise counts, where little else is unknown; photographs with much depth want ten times that


@dataclass(frozen=True, kw_only=True)
class LensHandling:
    """How a photograph is restored by its lens.

    Attributes:
        caution: What the noise is multiplied by: more is smoother, and forgives a depth that is not quite right.
        depth_m: One depth for all of it, if it is known; else every part's own.
        noise_variance: Of light at mid-grey; by default what the file says, or what the picture shows.
        window_px: Sensor column and row of the first pixel, for a part of a frame. By default it is the whole sensor.
    """

    caution: float = CAUTION
    depth_m: float | None = None
    noise_variance: float | None = None
    window_px: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in ("caution", "depth_m", "noise_variance"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(name, value, "a number above 0")


AS_IT_IS = LensHandling()


def restore_by_lens(
    photo: RawFile,
    field: PolarPSFField,
    handling: LensHandling = AS_IT_IS,
    *,
    on_progress: Progress | None = None,
) -> Tensor:
    """Restore a mosaic with the kernels of its lens.

    Args:
        photo: What `read_raw` gave, of any Bayer pattern, red, green and blue as the field's channels.
        field: In single precision, of the sensor that took the photograph.
        handling: How.
        on_progress: Called with steps done and in all.

    Returns:
        Light, 0 black and 1 white, clipped to that, float32, shape (1, 1, H, W); a masked border as it was.
    """
    if field.kernels.dtype != torch.float32 or field.kernels.shape[2] != 3:
        found = f"{field.kernels.shape[2]} channels of {field.kernels.dtype}"
        raise InputError("field", found, "three channels in single precision, torch.float32")
    inner = photo if photo.active_area_px is None else photo.cropped(*photo.active_area_px)
    window = place_window(inner.shape_px, field.image_shape_px, handling.window_px)
    light = demosaic(inner.normalised()[0], inner.pattern, "malvar")
    variance = find_noise_variance(inner, light) if handling.noise_variance is None else handling.noise_variance
    tell = on_progress or _keep_silent
    if handling.depth_m is None:
        # Green is measured at half of the pixels: twice the power at the frequencies that are looked at.
        depth_m = find_depth_by_blur(
            light,
            field,
            noise_variance=2 * variance,
            window=window,
            on_progress=lambda done, of: tell(done * STEPS // of, 2 * STEPS),
        )
    else:
        depth_m = torch.full_like(light[:, :1], handling.depth_m)
    sharp = restore_wiener(
        light,
        depth_m,
        field,
        noise_variance=variance,
        window=window,
        caution=handling.caution,
        on_progress=lambda done, of: tell(STEPS + done * STEPS // of, 2 * STEPS),
    )
    restored = mosaic(sharp.clamp(0, 1), inner.pattern)[None]
    if photo.active_area_px is None:
        return restored
    whole = photo.normalised()
    left, top, width, height = photo.active_area_px
    whole[..., top : top + height, left : left + width] = restored
    return whole


def place_window(
    shape_px: tuple[int, int], sensor_px: tuple[int, int], window_px: tuple[int, int] | None
) -> tuple[int, int]:
    """Sensor column and row of a photograph's first pixel.

    Args:
        shape_px: (H, W) of the photograph.
        sensor_px: (H, W) of the field's sensor.
        window_px: As it was given; None: a photograph of the whole sensor, or the middle of it where the maker shows
            up to 2 % less.
    """
    spare = [whole - side for whole, side in zip(sensor_px, shape_px, strict=True)]
    found = f"a photograph of {shape_px[1]} x {shape_px[0]} px"
    sensor = f"{sensor_px[1]} x {sensor_px[0]} px"
    if window_px is None:
        if any(not 0 <= more <= SIDE_SHARE * whole for more, whole in zip(spare, sensor_px, strict=True)):
            raise InputError("sensor", found, f"the field's {sensor} (2 % less at most), or --window for a part of it")
        return spare[1] // 2, spare[0] // 2
    left, top = window_px
    if not (0 <= left <= spare[1] and 0 <= top <= spare[0]):
        raise InputError("sensor", f"{found} at column {left}, row {top}", f"a part of the field's sensor of {sensor}")
    return left, top


def find_noise_variance(photo: RawFile, light: Tensor) -> float:
    """Of a green pixel at the picture's own brightness: by the file's noise profile, or else by the picture itself.

    Args:
        photo: Whose noise profile is taken.
        light: Demosaiced, shape (1, 3, H, W).
    """
    mean = float(light.mean().clamp(0, 1))
    if photo.noise_profile is not None:
        shot, read = photo.noise_profile.double().mean(0).tolist()
        return max(float(shot * mean + read), torch.finfo(light.dtype).eps)
    # Differences of differences within one colour: of flat light and of ramps only noise is left, of 4 variances.
    mosaicked = photo.normalised()[0, 0]
    same = mosaicked[::2, ::2]
    cross = same[:-1, :-1] - same[1:, :-1] - same[:-1, 1:] + same[1:, 1:]
    deviation = float(cross.abs().median()) / MEDIAN_SHARE / 2
    return max(deviation**2, torch.finfo(light.dtype).eps)


def _keep_silent(done: int, of: int) -> None:
    """For whom nobody waits."""
