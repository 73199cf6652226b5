"""The plan of a session with camera, tripod and monitor: what to photograph, and whether kernels will hold the blur.

A thin lens stands for the real one: good to a few per cent in the size of the blur, and in how a lens that is focused
as a whole changes its image scale. A lens that focuses with inner groups may breathe otherwise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .capture_checks import AIRY_PX, AIRY_UM
from .discs import image_distance_m
from .errors import InputError
from .patterns import Display
from .resampling import check_odd

# ISO 12232, saturation: a sensor of speed S saturates at 78/S lx s. Lenses pass on 0.65 L / N^2 lx of L cd/m^2.
SATURATION_LX_S, LENS_FACTOR = 78.0, 0.65
# How bright the display's white is meant to be, share of saturation.
WHITE_LEVEL = 0.7
# Display pixels that appear this large, in picture pixels, beat with the sensor's.
MOIRE_PX = (0.45, 2.2)
# Share of a window's half that blur and shift may fill: estimates want a dark border.
HELD = 0.9


@dataclass(frozen=True)
class PlannedCamera:
    """A camera as it will be used.

    Attributes:
        focal_mm: Focal length.
        f_number: Wide open, or whatever the field is wanted for.
        sharp_f_number: Of the sharp pictures.
        image_shape_px: The whole sensor's (H, W), as photographed.
        pitch_um: Pixel pitch, as photographed.
        bin_px: So many pixels a side are made one before anything is estimated.
        iso: Sensitivity.
    """

    focal_mm: float
    f_number: float
    sharp_f_number: float
    image_shape_px: tuple[int, int]
    pitch_um: float
    bin_px: int = 1
    iso: float = 200.0

    def __post_init__(self) -> None:
        for name in ("focal_mm", "f_number", "sharp_f_number", "pitch_um", "iso"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise InputError(f"PlannedCamera.{name}", getattr(self, name), "a positive number")
        if len(self.image_shape_px) != 2 or min(self.image_shape_px) < 1:
            raise InputError("PlannedCamera.image_shape_px", self.image_shape_px, "the sensor's (H, W)")
        if self.sharp_f_number <= self.f_number:
            found = f"{self.sharp_f_number:g} beside f_number {self.f_number:g}"
            raise InputError(
                "PlannedCamera.sharp_f_number", found, "a larger number: the smaller aperture is the sharp one"
            )
        if isinstance(self.bin_px, bool) or not 1 <= self.bin_px <= min(self.image_shape_px):
            raise InputError("PlannedCamera.bin_px", self.bin_px, "a whole number from 1")

    @property
    def binned_um(self) -> float:
        """Pitch of the pixels that are used."""
        return self.pitch_um * self.bin_px

    @property
    def corner_px(self) -> float:
        """From the middle to the corner, in pixels that are used."""
        return 0.5 * math.hypot(*self.image_shape_px) / self.bin_px


@dataclass(frozen=True)
class Shot:
    """One distance of the display at one focus distance.

    Attributes:
        distance_m: Of the display.
        focus_m: That the camera is focused to.
        blur_px: Diameter of the disc that a point becomes, in pixels that are used.
        shift_px: Where the corner lies against the sharp picture's, outwards, by the change of scale.
        is_held: Whether a window of the plan's size holds the blur.
        is_held_shifted: Whether it holds blur and shift together, without a magnification of its own.
    """

    distance_m: float
    focus_m: float
    blur_px: float
    shift_px: float
    is_held: bool
    is_held_shifted: bool


@dataclass(frozen=True)
class ShootingPlan:
    """What to photograph.

    Attributes:
        camera: With which camera.
        display: With which display.
        kernel_px: Side of the kernels that are meant to be estimated.
        distances_m: Of the display from the lens, even in dioptres, ascending.
        focuses_m: Focus distances, even in dioptres, ascending; the first is that of the sharp pictures.
        patterns: Pictures shown at every distance.
        shots: Every distance at every focus, distance by distance.
        sharp_blur_px: Per distance the disc that the sharp picture still has.
        airy_px: Diameter of the sharp pictures' Airy disc.
        display_pixel_px: Per distance the side of a display pixel on the picture.
        cover: Per distance the smaller share of the frame's height or width that the display fills, at most 1.
        exposure_s: Times for the blurred and the sharp pictures that bring white to `WHITE_LEVEL` of saturation.
    """

    camera: PlannedCamera
    display: Display
    kernel_px: int
    distances_m: tuple[float, ...]
    focuses_m: tuple[float, ...]
    patterns: int
    shots: tuple[Shot, ...]
    sharp_blur_px: tuple[float, ...]
    airy_px: float
    display_pixel_px: tuple[float, ...]
    cover: tuple[float, ...]
    exposure_s: tuple[float, float]

    @property
    def photographs(self) -> int:
        """How many there are in all."""
        return len(self.distances_m) * self.patterns * (1 + len(self.focuses_m))

    @property
    def needed_px(self) -> int:
        """Side of the kernels that hold every blur."""
        return 2 * math.ceil(max(one.blur_px for one in self.shots) / 2 / HELD + 0.5) + 1

    def warnings(self) -> tuple[str, ...]:
        """What is not as it should be, each with what to do, in one line."""
        found = []
        wide = [one for one in self.shots if not one.is_held]
        if wide:
            worst = max(wide, key=lambda one: one.blur_px)
            found.append(
                f"{len(wide)} of {len(self.shots)} shots blur more than a kernel of {self.kernel_px} px holds, up to "
                f"{worst.blur_px:.1f} px (display at {worst.distance_m:.3g} m, focus at {worst.focus_m:.3g} m): take "
                f"kernels of {self.needed_px} px, or bin by "
                f"{math.ceil(self.camera.bin_px * self.needed_px / self.kernel_px)}"
            )
        elif shifted := [one for one in self.shots if not one.is_held_shifted]:
            worst = max(shifted, key=lambda one: abs(one.shift_px))
            found.append(
                f"focusing at {worst.focus_m:.3g} m moves the corner {abs(worst.shift_px):.1f} px "
                f"{'inwards' if worst.shift_px < 0 else 'outwards'}, which with the blur "
                f"is more than a kernel of {self.kernel_px} px holds: estimate one magnification per focus first"
            )
        if self.airy_px > AIRY_PX:
            found.append(
                f"at f/{self.camera.sharp_f_number:g} the sharp picture's Airy disc is {self.airy_px:.1f} px across: "
                f"bin by {math.ceil(self.camera.bin_px * self.airy_px / AIRY_PX)}, take f/"
                f"{self.camera.sharp_f_number * AIRY_PX / self.airy_px:.1f}, or tell the estimator the sharp kernel"
            )
        if max(self.sharp_blur_px) > 1:
            n = max(range(len(self.distances_m)), key=lambda n: self.sharp_blur_px[n])
            found.append(
                f"the sharp picture at {self.distances_m[n]:.3g} m is itself out of focus by "
                f"{self.sharp_blur_px[n]:.1f} px: kernels come out relative to it; "
                "focus the sharp pictures on the display, or stop down further"
            )
        beating = [
            d for d, one in zip(self.distances_m, self.display_pixel_px, strict=True) if MOIRE_PX[0] < one < MOIRE_PX[1]
        ]
        if beating:
            found.append(
                f"the display's pixels appear {MOIRE_PX[0]:g} to {MOIRE_PX[1]:g} px wide at {len(beating)} distances "
                f"from {beating[0]:.3g} to {beating[-1]:.3g} m and may beat with the sensor's: "
                "look at the sharp pictures, bin more"
            )
        if min(self.cover) < 1:
            bare = [d for d, one in zip(self.distances_m, self.cover, strict=True) if one < 1]
            found.append(
                f"from {bare[0]:.3g} m on the display fills only part of the frame, {100 * min(self.cover):.0f} % at "
                f"{self.distances_m[-1]:.3g} m: photograph it in the middle and in the corners there, with window_px"
            )
        period_s = 1 / self.display.refresh_hz
        if min(self.exposure_s) < 2 * period_s:
            found.append(
                f"{format_time(min(self.exposure_s))} is less than two pictures of a display of "
                f"{self.display.refresh_hz:g} Hz: it may flicker; lower the ISO or the display's brightness"
            )
        return tuple(found)


def plan_shots(
    camera: PlannedCamera,
    display: Display,
    *,
    near_m: float,
    far_m: float,
    distances: int = 20,
    focuses: int | Sequence[float] = 1,
    patterns: int = 3,
    kernel_px: int = 25,
) -> ShootingPlan:
    """Distances and focus distances even in dioptres, and what blur they bring.

    Args:
        camera: The camera.
        display: The display.
        near_m: Nearest distance of the display from the lens.
        far_m: Farthest.
        distances: How many.
        focuses: How many focus distances from `near_m` to `far_m`, or these themselves in m.
        patterns: Pictures shown at every distance.
        kernel_px: Side of the kernels, odd.
    """
    if not (camera.focal_mm / 1000 < near_m < far_m and math.isfinite(far_m)):
        found = f"{near_m:g} and {far_m:g} m"
        raise InputError("near_m, far_m", found, f"two distances beyond the focal length, {camera.focal_mm:g} mm")
    if distances < 2:
        raise InputError("distances", distances, "2 or more")
    if patterns < 1:
        raise InputError("patterns", patterns, "1 or more")
    check_odd("kernel_px", kernel_px)
    if isinstance(focuses, int):
        if focuses < 1:
            raise InputError("focuses", focuses, "1 or more")
        # A single one in the middle, in dioptres, where blur on both sides is the same.
        ends = (near_m, far_m) if focuses > 1 else (2 / (1 / near_m + 1 / far_m),) * 2
        chosen = spread_distances(*ends, focuses)
    else:
        chosen = tuple(sorted(float(one) for one in focuses))
        if not chosen or not all(one > camera.focal_mm / 1000 for one in chosen):
            raise InputError("focuses", list(focuses), f"distances beyond the focal length, {camera.focal_mm:g} mm")
    places = spread_distances(near_m, far_m, distances)
    half = HELD * kernel_px / 2
    shots = []
    for distance in places:
        for focus in chosen:
            blur_px = find_blur_um(camera.focal_mm, camera.f_number, focus, distance) / camera.binned_um
            ratio = image_distance_m(camera.focal_mm, focus) / image_distance_m(camera.focal_mm, chosen[0])
            shift_px = (ratio - 1) * camera.corner_px
            held = blur_px / 2 <= half
            shots.append(Shot(distance, focus, blur_px, shift_px, held, blur_px / 2 + abs(shift_px) <= half))
    scale = [image_distance_m(camera.focal_mm, chosen[0]) / one for one in places]
    frame_mm = [side * camera.pitch_um * 1e-3 for side in camera.image_shape_px]
    sharp_um = [find_blur_um(camera.focal_mm, camera.sharp_f_number, chosen[0], one) for one in places]
    return ShootingPlan(
        camera=camera,
        display=display,
        kernel_px=kernel_px,
        distances_m=places,
        focuses_m=chosen,
        patterns=patterns,
        shots=tuple(shots),
        sharp_blur_px=tuple(one / camera.binned_um for one in sharp_um),
        airy_px=AIRY_UM * camera.sharp_f_number / camera.binned_um,
        display_pixel_px=tuple(display.pitch_mm * 1e3 * one / camera.binned_um for one in scale),
        cover=tuple(
            min(1.0, *(side * one / frame for side, frame in zip(display.size_mm, frame_mm, strict=True)))
            for one in scale
        ),
        exposure_s=(find_exposure_s(camera, display, False), find_exposure_s(camera, display, True)),
    )


def spread_distances(near_m: float, far_m: float, count: int) -> tuple[float, ...]:
    """Distances from near to far, even in dioptres, ascending."""
    if count == 1:
        return (near_m,)
    step = (1 / near_m - 1 / far_m) / (count - 1)
    inner = [1 / (1 / near_m - n * step) for n in range(1, count - 1)]
    return (near_m, *inner, far_m)


def find_blur_um(focal_mm: float, f_number: float, focus_m: float, distance_m: float) -> float:
    """Diameter of the disc on the sensor that a thin lens makes of a point."""
    image_um = 1e6 * image_distance_m(focal_mm, focus_m)
    return 1e-3 * focal_mm / f_number * image_um * abs(1 / distance_m - 1 / focus_m)


def find_exposure_s(camera: PlannedCamera, display: Display, is_sharp: bool) -> float:
    """Time that brings the display's white to `WHITE_LEVEL` of saturation."""
    number = camera.sharp_f_number if is_sharp else camera.f_number
    light_lx = LENS_FACTOR * display.luminance_cd_m2 / number**2
    return WHITE_LEVEL * SATURATION_LX_S / camera.iso / light_lx


def format_time(seconds: float) -> str:
    """As a camera shows it."""
    return f"1/{1 / seconds:.0f} s" if seconds < 0.4 else f"{seconds:.1f} s"
