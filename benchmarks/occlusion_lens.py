"""A real lens with things in front of things: rays traced through every surface against `layered` with its field.

    python benchmarks/occlusion_lens.py [--lens camera_rf50mm_f1p8] [--scenes steps corridor] [--focus-m 0.9 2.0]

The truth knows nothing of kernels. For every image height rays are aimed backwards (Newton) from the sensor through
2,048 places of the entrance pupil's plane and three wavelengths; clipped ones are dark; each carries the light of its
part of the pupil. Every pixel's rays go out into the scenes of occlusion_scenes.py. The sharp picture and the depths
are those along the chief rays of the reference wavelength, so that distortion is in both.
"""

import math
import sys
import time
from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import occlusion_scenes
import torch
import tyro
from occlusion_scenes import HEIGHT, WIDTH, meet, near_parts, spread_rows
from render_occlusion import MODES, psnr, tensors

import optics
from optics import Lens, Rays
from render.occlusion import layered
from render.pupils import field_rays, spread_points
from render.sightlines import occlusion_band

Array = npt.NDArray[Any]

PITCH_UM, HEIGHTS, SAMPLES, NEWTON_STEPS = 100.0, 33, 2048, 4
# Of places in the pixel's square, with no relation to the steps of places in the pupil.
STEP_X, STEP_Y = occlusion_scenes.R4_ROOT**-3, occlusion_scenes.R4_ROOT**-4


@dataclass(frozen=True)
class Args:
    """What to run."""

    lens: str = "camera_rf50mm_f1p8"
    scenes: tuple[str, ...] = ("steps", "corridor", "slats")
    focus_m: tuple[float, ...] = (0.9, 2.0)
    rays: int = 256
    threads: int = 2


def trace_slopes(lens: Lens, u: Array, slopes: Array, plane_mm: float, wavelength_um: float, clip: bool) -> Any:
    """Landing places (..., 2) in mm and whether rays arrive, for rays through u (..., 2) at z = plane_mm."""
    start = -100.0
    place = np.concatenate((u + slopes * (start - plane_mm), np.full((*u.shape[:-1], 1), start)), -1)
    way = np.concatenate((slopes, np.ones((*u.shape[:-1], 1))), -1)
    way = way / np.linalg.norm(way, axis=-1, keepdims=True)
    rays = Rays(torch.from_numpy(place), torch.from_numpy(way), torch.tensor(wavelength_um, dtype=torch.float64))
    traced = optics.trace(lens, rays, clip=clip)
    return traced.position_mm[..., :2].numpy(), traced.alive.numpy()


def aim(lens: Lens, focus_m: float) -> tuple[Array, Array, Array, float]:
    """Slopes and weights (channel, height, sample, 3), places (sample, 2) in the pupil's plane, chief rays, plane."""
    facts = optics.first_order(lens, wavelength_um=lens.reference_wavelength_um)
    plane = float(facts.entrance_pupil_from_first_vertex_mm)
    radius = 1.1 * float(facts.entrance_pupil_semi_diameter_mm)
    places = (2 * spread_points(SAMPLES) - 1) * radius
    heights = torch.linspace(0, 1, HEIGHTS, dtype=torch.float64)
    chief = optics.chief_rays(lens, heights)
    landing = heights.numpy() * lens.sensor.half_diagonal_mm
    found = np.zeros((3, HEIGHTS, SAMPLES, 3))
    u = np.broadcast_to(places, (HEIGHTS, SAMPLES, 2))
    target = np.stack((landing, 0 * landing), 1)[:, None]
    for c, channel in enumerate(lens.channels):
        wavelength = channel.wavelengths_um[len(channel.wavelengths_um) // 2]
        object_mm = np.stack((chief.object_x_mm(1e3 * focus_m).numpy(), 0 * landing), 1)[:, None]
        slopes = (u - object_mm) / (1e3 * focus_m + plane)
        for _ in range(NEWTON_STEPS):
            (at, _), jacobian = trace_slopes(lens, u, slopes, plane, wavelength, False), np.zeros((*u.shape, 2))
            for k in range(2):
                step = np.zeros(2)
                step[k] = 1e-4
                moved, _ = trace_slopes(lens, u, slopes + step, plane, wavelength, False)
                jacobian[..., k] = (moved - at) / 1e-4
            determinant = np.linalg.det(jacobian)
            sound = np.abs(determinant) > 1.0
            change = np.linalg.solve(np.where(sound[..., None, None], jacobian, np.eye(2)), (target - at)[..., None])
            slopes = slopes + np.where(sound[..., None], change[..., 0], 0).clip(-0.05, 0.05)
        at, alive = trace_slopes(lens, u, slopes, plane, wavelength, True)
        alive &= np.hypot(*np.moveaxis(at - target, -1, 0)) < 1e-3
        light = np.where(alive & sound, (1 + (slopes**2).sum(-1)) ** -2 / np.abs(determinant), 0)
        found[c] = np.concatenate((slopes, (light / light[0].sum())[..., None]), -1)
    chiefs = np.stack((chief.slope.numpy(), chief.height_mm.numpy()), 1)
    return found, places, chiefs, plane


@numba.njit(cache=True, nogil=True)
def expose(
    numbers: Array,
    kinds: Array,
    aim: Array,
    places: Array,
    chiefs: Array,
    plane: float,
    focus_dpt: float,
    aperture: float,
    sharp: bool,
    shift: Array,
    rows: Array,
    out: Array,
    depth: Array,
) -> None:
    """The photograph, or the sharp picture with its depths. Lengths of the lens in m; aim (C, R, A, 3)."""
    height, width = depth.shape
    parts = np.empty(len(numbers), np.int64)
    o, d, colour = np.zeros(3), np.zeros(3), np.zeros(3)
    diagonal, last = 0.5 * math.hypot(height, width), aim.shape[1] - 1
    count = 256 if sharp else aim.shape[2]
    for row in rows:
        for col in range(width):
            near = -1
            for n in range(-1 if sharp else 0, count):
                jx = (shift[row, col, 0] + n * STEP_X) % 1 - 0.5
                jy = (shift[row, col, 1] + n * STEP_Y) % 1 - 0.5
                if n < 0:
                    jx, jy = 0.0, 0.0
                right, up = col - 0.5 * (width - 1) + jx, 0.5 * (height - 1) - row - jy
                distance = max(math.hypot(right, up), 1e-9)
                cosine, sine = right / distance, up / distance
                at = min(distance / diagonal * last, last - 1e-9)
                k = int(at)
                w = at - k
                slope = (1 - w) * chiefs[k, 0] + w * chiefs[k + 1, 0]
                if near < 0:
                    near = near_parts(numbers, kinds, slope * cosine, -slope * sine, aperture, focus_dpt, 0.03, parts)
                if sharp:
                    x = (1 - w) * chiefs[k, 1] + w * chiefs[k + 1, 1]
                    o[0], o[1], o[2] = -x * cosine, x * sine, 0.0
                    d[0], d[1], d[2] = slope * cosine, -slope * sine, 1.0
                    z = meet(numbers, kinds, parts, near, o, d, colour)
                    if n < 0:
                        depth[row, col] = z
                    else:
                        for c in range(3):
                            out[row, col, c] += colour[c] / count
                    continue
                for c in range(3):
                    light = (1 - w) * aim[c, k, n, 2] + w * aim[c, k + 1, n, 2]
                    if light <= 0:
                        continue
                    along = (1 - w) * aim[c, k, n, 0] + w * aim[c, k + 1, n, 0]
                    across = (1 - w) * aim[c, k, n, 1] + w * aim[c, k + 1, n, 1]
                    # The picture's frame turned to the azimuth, then the scene's: mirrored through the axis, y down.
                    u, v = cosine * places[n, 0] - sine * places[n, 1], sine * places[n, 0] + cosine * places[n, 1]
                    p, q = cosine * along - sine * across, sine * along + cosine * across
                    o[0], o[1], o[2] = -u, v, -plane
                    d[0], d[1], d[2] = p, -q, 1.0
                    meet(numbers, kinds, parts, near, o, d, colour)
                    out[row, col, c] += light * colour[c]


def photograph(scene: Any, lens: Lens, focus_m: float, threads: int) -> tuple[Array, Array, Array]:
    """Truth (H, W, 3), sharp picture (H, W, 3) and depth in m (H, W)."""
    slopes, places, chiefs, plane = aim(lens, focus_m)
    aperture = 2.4e-3 * float(optics.first_order(lens).entrance_pupil_semi_diameter_mm)
    shift = np.random.default_rng(0).random((HEIGHT, WIDTH, 2))
    truth, image, depth_m = np.zeros((HEIGHT, WIDTH, 3)), np.zeros((HEIGHT, WIDTH, 3)), np.zeros((HEIGHT, WIDTH))
    chiefs[:, 1] *= 1e-3

    def work(rows: Array) -> None:
        for is_sharp, out in ((True, image), (False, truth)):
            whole = (slopes, places * 1e-3, chiefs, plane * 1e-3, 1 / focus_m, aperture)
            expose(scene.numbers, scene.kinds, *whole, is_sharp, shift, rows, out, depth_m)

    spread_rows(work, threads, HEIGHT)
    return truth, image, depth_m


def main() -> int:
    args = tyro.cli(Args)
    torch.set_num_threads(args.threads)
    sensor = optics.Sensor(image_shape_px=(HEIGHT, WIDTH), pitch_um=PITCH_UM)
    print("scene       focus  band  seconds" + "".join(f"{mode:>27s}" for mode in MODES))
    for focus_m in args.focus_m:
        lens = replace(optics.load(args.lens), sensor=sensor).refocused(focus_m)
        for name in args.scenes:
            began = time.perf_counter()
            truth, image, depth_m = photograph(occlusion_scenes.SCENES[name](), lens, focus_m, args.threads)
            seconds = time.perf_counter() - began
            near_dpt, far_dpt = 1 / depth_m.min(), 1 / depth_m.max()
            depths_m = 1 / torch.linspace(near_dpt, max(far_dpt, 1e-6), 20, dtype=torch.float64)
            field = optics.psf_grid(lens, depths_m)
            rays = field_rays(field, near_dpt, far_dpt, 0.0, 1.0, 1024)
            band = occlusion_band(1 / depth_m, rays.reach_px(1 / depth_m), rays.drift_px_per_dpt)
            picture, depth = tensors(image, depth_m)
            text = f"{name:10s} {focus_m:6.2f} {band.mean():5.2f} {seconds:7.0f}s"
            for mode in MODES:
                layered(picture, depth, field, mode=mode, rays=args.rays)
                began = time.perf_counter()
                out = layered(picture, depth, field, mode=mode, rays=args.rays)[0].permute(1, 2, 0).numpy()
                seconds = time.perf_counter() - began
                figures = (psnr(out, truth, mask) for mask in (None, band, ~band))
                text += "{:9.2f} {:5.2f} {:5.2f} {:5.2f}s".format(*figures, seconds)
            print(text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
