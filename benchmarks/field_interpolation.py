"""How true are the kernels between the stored ones? Grids, interpolation, turning, oversampling against the truth.

    python benchmarks/field_interpolation.py                # the table of docs/field_format.md
    python benchmarks/field_interpolation.py --speed        # kernels per second
    python benchmarks/field_interpolation.py --lens f2.2_fixedfocus     # a traced lens in place of the analytic one

The default truth is an analytic lens (defocus, field curvature, astigmatism, spherical aberration, coma, lateral and
longitudinal colour, a clipped pupil) whose rays are turned to a pixel's azimuth before their light is shared among
the pixels by exact overlap. `measure` takes any other lens as two functions. L1 is half the summed |difference| of
unit-sum kernels.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch
import tyro
from torch import Tensor

from psf import Channel, PolarPSFField
from psf.metrics import find_rms_radius_px, measure_l1

NEAREST_DPT = 10.0
SMALL_PX = 3.0

TruthFunction = Callable[[float, float, float], Tensor]  # x_px, y_px, depth_m -> (C, K, K)
FieldFunction = Callable[[Tensor, Tensor, int], PolarPSFField]  # depths_m, radii, oversample


def _deposit(
    x: np.ndarray, y: np.ndarray, half_x: np.ndarray, half_y: np.ndarray, weight: np.ndarray, out: np.ndarray
) -> None:
    """Share boxes of light among squares by exact overlap; x right and y down from the middle of `out`, in squares."""
    size = out.shape[0]
    for i in range(x.size):
        if weight[i] == 0.0:
            continue
        left, right = x[i] - half_x[i] + 0.5 * size, x[i] + half_x[i] + 0.5 * size
        top, bottom = y[i] - half_y[i] + 0.5 * size, y[i] + half_y[i] + 0.5 * size
        density = weight[i] / ((right - left) * (bottom - top))
        for row in range(max(math.floor(top), 0), min(math.floor(bottom), size - 1) + 1):
            high = min(bottom, row + 1.0) - max(top, float(row))
            for col in range(max(math.floor(left), 0), min(math.floor(right), size - 1) + 1):
                wide = min(right, col + 1.0) - max(left, float(col))
                out[row, col] += density * max(high, 0.0) * max(wide, 0.0)


deposit = numba.njit(cache=True, nogil=True)(_deposit)


@dataclass(frozen=True)
class AnalyticLens:
    """Transverse ray aberrations in px as polynomials of the pupil coordinates, image height and dioptres."""

    kernel_px: int = 53
    rays: int = 240
    image_shape_px: tuple[int, int] = (3000, 4000)

    def aberrations(self, radius: float, dioptre: float, channel: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # Shirley & Chiu's equal-area map of the square to the disc: rays on a lattice without a pole in the middle.
        a, b = np.meshgrid(*[(2 * np.arange(self.rays) + 1) / self.rays - 1] * 2, indexing="ij")
        wide = np.abs(a) > np.abs(b)
        rho = np.where(wide, a, b)
        angle = np.where(wide, np.pi / 4 * b / np.where(wide, a, 1), np.pi / 2 - np.pi / 4 * a / np.where(wide, 1, b))
        u, v = rho * np.cos(angle), rho * np.sin(angle)
        squared = rho**2
        defocus = 1.9 * (dioptre - 1.0) + (-0.5, 0.0, 0.7)[channel]
        coma = 0.9 * radius * (1 - 0.2 * radius)
        right = (defocus - 2.5 * radius**2) * u + (squared - 0.6) * u + coma * (3 * u**2 + v**2 - 1)
        up = (defocus - 0.8 * radius**2) * v + (squared - 0.6) * v + coma * 2 * u * v
        weight = ((u - 0.7 * radius) ** 2 + v**2 < 1.25**2).astype(float)
        return right + (-0.5, 0.0, 0.7)[channel] * radius, up, weight

    def kernel(
        self, radius: float, dioptre: float, channel: int, azimuth_rad: float = 0.0, oversample: int = 1
    ) -> tuple[np.ndarray, float]:
        """Unit-sum kernel and the share of light inside the window."""
        right, up, weight = self.aberrations(radius, dioptre, channel)
        c, s = math.cos(azimuth_rad), math.sin(azimuth_rad)
        x, y = oversample * (c * right - s * up), -oversample * (s * right + c * up)
        halves = []
        for places in (x, y):
            halves.append(np.maximum(0.5 * np.hypot(*np.gradient(places)), 1e-6).ravel())
        out = np.zeros((oversample * self.kernel_px,) * 2)
        deposit(x.ravel(), y.ravel(), *halves, weight.ravel(), out)
        return out / out.sum(), out.sum() / weight.sum()

    def truth(self, x_px: float, y_px: float, depth_m: float) -> Tensor:
        height, width = self.image_shape_px
        right, up = x_px - (width - 1) / 2, (height - 1) / 2 - y_px
        radius = math.hypot(right, up) / (0.5 * math.hypot(height, width))
        kernels = [self.kernel(radius, 1 / depth_m, channel, math.atan2(up, right))[0] for channel in range(3)]
        return torch.tensor(np.stack(kernels), dtype=torch.float32)

    def field(self, depths_m: Tensor, radii: Tensor, oversample: int) -> PolarPSFField:
        size = oversample * self.kernel_px
        kernels = np.zeros((len(depths_m), len(radii), 3, size, size), dtype=np.float32)
        kept = np.zeros(kernels.shape[:3], dtype=np.float32)
        for d, depth_m in enumerate(depths_m.tolist()):
            for r, radius in enumerate(radii.tolist()):
                for c in range(3):
                    kernels[d, r, c], kept[d, r, c] = self.kernel(radius, 1 / depth_m, c, 0.0, oversample)
        return PolarPSFField(
            kernels=torch.from_numpy(kernels),
            transmission=torch.ones(kept.shape),
            lost=(1 - torch.from_numpy(kept)).clamp(0, 1),
            depths_m=depths_m,
            radii=radii,
            image_shape_px=self.image_shape_px,
            pitch_um=1.4,
            channels=tuple(Channel(name) for name in "RGB"),
            focus_m=1.0,
            oversample=oversample,
        )


@dataclass(frozen=True)
class TracedLens:
    """A lens file; the truth is traced anew at every place."""

    lens: Any  # optics.Lens, imported only where it is wanted
    kernel_px: int
    image_shape_px: tuple[int, int]

    def truth(self, x_px: float, y_px: float, depth_m: float) -> Tensor:
        import optics

        return optics.psf_at(self.lens, x_px, y_px, depth_m, kernel_px=self.kernel_px).to(torch.float32)

    def field(self, depths_m: Tensor, radii: Tensor, oversample: int) -> PolarPSFField:
        import optics

        return optics.psf_grid(
            self.lens, depths_m.double(), radii.double(), kernel_px=self.kernel_px, oversample=oversample
        )


def even_grid(depths: int, radii: int) -> tuple[Tensor, Tensor]:
    """Depths in m, even in dioptres from NEAREST_DPT to 0, and radii, even from 0 to 1."""
    return 1 / torch.linspace(NEAREST_DPT, 0, depths), torch.linspace(0, 1, radii)


def random_places(count: int, seed: int, image_shape_px: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """x and y even over the sensor, depth even in dioptres: none of them on a grid."""
    height, width = image_shape_px
    numbers = torch.rand(3, count, generator=torch.Generator().manual_seed(seed))
    return numbers[0] * (width - 1), numbers[1] * (height - 1), 1 / (numbers[2] * NEAREST_DPT)


@dataclass(frozen=True)
class Result:
    """One line of the table; L1 as shares of 1."""

    grid: str
    oversample: int
    interpolation: str
    turning: str
    mean: float
    small: float
    large: float
    worst: float
    seconds: float
    megabytes: float

    def __str__(self) -> str:
        shares = " | ".join(f"{100 * one:.2f}" for one in (self.mean, self.small, self.large, self.worst))
        name = f"{self.grid} | {self.oversample} | {self.interpolation} | {self.turning}"
        return f"| {name} | {shares} | {1000 * self.seconds:.0f} | {self.megabytes:.0f} |"


def measure(
    truth: TruthFunction,
    make_field: FieldFunction,
    image_shape_px: tuple[int, int],
    grids: tuple[int, ...] = (20,),
    oversamples: tuple[int, ...] = (1, 2, 3),
    interpolations: tuple[str, ...] = ("linear", "sized"),
    turnings: tuple[str, ...] = ("bilinear", "cubic", "spline"),
    points: int = 200,
    seed: int = 1,
) -> Iterator[Result]:
    """Compare `field.at_pixel` with a truth function at random places.

    Args:
        truth: Really made kernels at one place, turned: (C, K, K).
        make_field: A field on given depths and radii.
        image_shape_px: The sensor's (H, W).
        grids: Depths and radii per axis.
        oversamples: Of the field.
        interpolations: To try.
        turnings: To try.
        points: Random places.
        seed: Of the places.

    Yields:
        A line per combination.
    """
    x_px, y_px, depth_m = random_places(points, seed, image_shape_px)
    true = torch.stack([truth(*place) for place in zip(x_px.tolist(), y_px.tolist(), depth_m.tolist(), strict=True)])
    small = find_rms_radius_px(true) < SMALL_PX
    for grid in grids:
        for oversample in oversamples:
            field = make_field(*even_grid(grid, grid), oversample)
            field.at_pixel(x_px[:1], y_px[:1], depth_m[:1])
            for interpolation in interpolations:
                for turning in turnings:
                    start = time.process_time()
                    found = field.at_pixel(x_px, y_px, depth_m, interpolation, turning)
                    seconds = time.process_time() - start
                    l1 = measure_l1(found, true)
                    parts = [float(one) for one in (l1.mean(), l1[small].mean(), l1[~small].mean(), l1.max())]
                    size = field.kernels.numel() * field.kernels.element_size() / 1e6
                    yield Result(f"{grid} x {grid}", oversample, interpolation, turning, *parts, seconds, size)


def measure_speed(lens: AnalyticLens | TracedLens, points: int = 2000) -> Iterator[str]:
    """Places per processor second (all channels of one place count once)."""
    x_px, y_px, depth_m = random_places(points, 2, lens.image_shape_px)
    for oversample in (1, 2, 3):
        field = lens.field(*even_grid(20, 20), oversample)
        for interpolation, turning in (
            ("linear", "bilinear"),
            ("linear", "cubic"),
            ("sized", "bilinear"),
            ("sized", "cubic"),
        ):
            field.at_pixel(x_px[:1], y_px[:1], depth_m[:1], interpolation, turning)
            start = time.process_time()
            field.at_pixel(x_px, y_px, depth_m, interpolation, turning)
            rate = points / (time.process_time() - start)
            yield f"| {oversample} | {interpolation} | {turning} | {field.kernel_px} | {rate:.0f} |"


def main(
    lens: str | None = None,
    grids: tuple[int, ...] = (10, 20, 39),
    points: int = 200,
    seed: int = 1,
    speed: bool = False,
    kernel_px: int = 53,
) -> None:
    """Print one table. Runs on one thread, so that the processor's time means something on a shared machine.

    Args:
        lens: A bundled lens's name or a lens file; default: the analytic lens.
        grids: Depths and radii per axis; oversampling and turning are compared at 20.
        points: Random places.
        seed: Of the places.
        speed: Kernels per second in place of truth.
        kernel_px: Window; 53 holds every kernel of the analytic lens.
    """
    torch.set_num_threads(1)
    if lens is None:
        subject: AnalyticLens | TracedLens = AnalyticLens(kernel_px)
    else:
        import optics

        loaded = optics.load(lens)
        subject = TracedLens(loaded, kernel_px, loaded.sensor.image_shape_px)
    if speed:
        print("| oversample | interpolation | turning | kernel px | places per processor second |")
        print("|---|---|---|---|---|")
        for line in measure_speed(subject):
            print(line, flush=True)
        return
    print(
        "| grid | oversample | interpolation | turning "
        "| mean L1 % | under 3 px RMS | 3 px and above | worst | processor ms | field MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for grid in grids:
        wanted = {} if grid == 20 else {"oversamples": (1, 3) if grid < 20 else (1,), "turnings": ("cubic",)}
        results = measure(
            subject.truth, subject.field, subject.image_shape_px, grids=(grid,), points=points, seed=seed, **wanted
        )
        for result in results:
            print(result, flush=True)


if __name__ == "__main__":
    tyro.cli(main)
