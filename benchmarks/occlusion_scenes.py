"""Scenes that a real aperture sees past the edges of, by honest rays: what occlusion-aware rendering is judged on.

    python benchmarks/occlusion_scenes.py --out out/truth           # all scenes, all focus positions, as npz
    python benchmarks/occlusion_scenes.py --only hair --out out/truth

Surfaces only emit light, so one ray per sample is the whole transport. Every sample of a photograph has its own place
in the pixel's square and in the lens (R4 sequence, shifted at random from pixel to pixel); the sharp picture has 256
places in the square through the middle of the lens; the depth is that of the pixel's centre. The image distance stays
at the focal length: a point at z is a disc G |1/z - 1/s| px across, G = f^2 / N / pitch, and nothing breathes.
Axes: x right, y down, z away from the camera.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import tyro

from psf.runs import whole_file

Array = npt.NDArray[Any]

HEIGHT, WIDTH = 240, 320
PLATE, SPHERE, ROD = 0, 1, 2
NO_MASK, LEAF, BITTEN, PERFORATED, BLOB = 0, 1, 2, 3, 4
NOISE, CHECKER, STRIPES, PRINT = 0, 1, 2, 3
# Solution of x^5 = x + 1: the R4 sequence of Roberts (2018).
R4_ROOT = 1.16730397826141868426
SKY_PER_M = 3.0


@dataclass(frozen=True, eq=False)
class Scene:
    """What stands before the camera.

    Attributes:
        numbers: A row for each part: place (3), first half side (3), second half side (3), radius, texture's cells per
            m, dark colour (3), bright colour (3).
        kinds: Shape, mask, texture, seed of each part.
        gain_px_per_dpt: Blur diameter per dioptre.
        focal_px: Focal length in pixels.
        aperture_m: Diameter of the lens.
        focus_m: Focus positions.
    """

    numbers: Array
    kinds: Array
    gain_px_per_dpt: float
    focal_px: float
    aperture_m: float
    focus_m: tuple[float, ...]


class _Builder:
    """Parts on their way into a scene."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.rows: list[Array] = []
        self.kinds: list[tuple[int, int, int, int]] = []

    def add(
        self,
        shape: int,
        place: Any,
        first: Any,
        second: Any,
        radius: float,
        texture: int,
        per_m: float,
        colours: Any,
        mask: int = NO_MASK,
    ) -> None:
        dark, bright = colours
        row = np.concatenate((place, first, second, [radius, per_m], dark, bright))
        self.rows.append(row.astype(float))
        self.kinds.append((shape, mask, texture, int(self.random.integers(1 << 20))))

    def plate(self, place: Any, first: Any, second: Any, texture: int, per_m: float, colours: Any, **more: int) -> None:
        self.add(PLATE, place, first, second, 0.0, texture, per_m, colours, **more)

    def wall(self, z_m: float, texture: int, per_m: float, colours: Any) -> None:
        self.plate((0, 0, z_m), (2 * z_m, 0, 0), (0, 2 * z_m, 0), texture, per_m, colours)

    def sphere(self, place: Any, radius: float, texture: int, per_m: float, colours: Any) -> None:
        self.add(SPHERE, place, (1, 0, 0), (0, 1, 0), radius, texture, per_m, colours)

    def rod(self, one: Any, other: Any, radius: float, texture: int, per_m: float, colours: Any) -> None:
        one, other = np.asarray(one, float), np.asarray(other, float)
        self.add(ROD, (one + other) / 2, (other - one) / 2, (0, 0, 0), radius, texture, per_m, colours)

    def colours(self, contrast: float = 0.7) -> tuple[Array, Array]:
        bright = 0.35 + 0.6 * self.random.random(3)
        return bright * (1 - contrast), bright

    def scene(self, focal_mm: float, f_number: float, sensor_width_mm: float, focus_m: tuple[float, ...]) -> Scene:
        focal_px = focal_mm / sensor_width_mm * WIDTH
        aperture_m = focal_mm / 1000 / f_number
        numbers = np.array(self.rows)
        return Scene(numbers, np.array(self.kinds), aperture_m * focal_px, focal_px, aperture_m, focus_m)


def slats() -> Scene:
    """A blind of leaning slats close by, a ball behind it, a wall behind the ball."""
    b = _Builder(11)
    b.wall(4.0, CHECKER, 4.0, ((0.15, 0.2, 0.3), (0.8, 0.75, 0.6)))
    b.sphere((0.25, 0.1, 2.2), 0.35, NOISE, 14, b.colours())
    b.sphere((-0.45, -0.2, 1.7), 0.2, STRIPES, 18, b.colours())
    for k in range(-7, 8):
        b.plate((0, 0.055 * k, 0.9), (0.6, 0.02, 0.02), (0, 0.012, 0.02), NOISE, 60, b.colours(0.4))
    return b.scene(50, 1.4, 36, (0.9, 1.8, 4.0))


def steps() -> Scene:
    """Seven cards that overlap, each some way behind the last: many depths under one pixel's blur."""
    b = _Builder(12)
    b.wall(8.0, PRINT, 5.0, b.colours())
    for k in range(7):
        z = 0.7 * 1.35**k
        x, y = z * (0.22 - 0.075 * k), z * (0.16 - 0.05 * k + 0.03 * (-1) ** k)
        size = 0.075 * z
        turn = 0.4 * k
        first = size * np.array((math.cos(turn), math.sin(turn), 0.1))
        second = size * 0.8 * np.array((-math.sin(turn), math.cos(turn), 0.15))
        b.plate((x, y, z), first, second, (NOISE, CHECKER, STRIPES, PRINT)[k % 4], 9 / size / 2, b.colours())
    return b.scene(50, 1.0, 36, (0.7, 1.5, 8.0))


def foliage() -> Scene:
    """Leaning leaves with holes over a wide range of depths before a bright sky."""
    b = _Builder(13)
    b.plate((0, 0.6, 4.0), (9, 0, 0), (0, 0.35, 3.0), NOISE, 3, ((0.2, 0.15, 0.1), (0.6, 0.5, 0.3)))
    for k in range(60):
        z = 0.8 + 2.4 * b.random.random()
        x, y = (b.random.random(2) - 0.5) * np.array((0.75, 0.55)) * z
        axes, _ = np.linalg.qr(b.random.normal(size=(3, 3)))
        size = 0.05 + 0.05 * b.random.random()
        first, second = axes[0] * size, axes[1] * size * 0.6
        green = np.array((0.3, 0.7, 0.2)) * (0.5 + 0.8 * b.random.random(3))
        mask = BITTEN if k % 2 else LEAF
        b.plate((x, y, z), first, second, NOISE, 60, (0.4 * green, np.minimum(1.2 * green, 1)), mask=mask)
    return b.scene(50, 1.2, 36, (0.9, 1.6, 6.0))


def balls() -> Scene:
    """Rows of balls on a slanted floor up to a wall: curved edges, slants, no flat fronts."""
    b = _Builder(14)
    b.plate((0, 0.35, 3.0), (6, 0, 0), (0, 0, 2.9), CHECKER, 9, ((0.3, 0.25, 0.2), (0.8, 0.75, 0.6)))
    b.wall(5.9, NOISE, 5, ((0.2, 0.3, 0.4), (0.7, 0.8, 0.9)))
    for k in range(14):
        z = 0.8 + 0.33 * k
        r = 0.05 + 0.06 * b.random.random()
        x = (b.random.random() - 0.5) * 0.62 * z
        b.sphere((x, 0.35 - r, z), r, (NOISE, STRIPES, CHECKER)[k % 3], 40, b.colours())
    return b.scene(50, 1.2, 36, (0.9, 2.0, 5.9))


def grille() -> Scene:
    """A sheet with round holes, leaning, before print on a leaning board: the front is most of the picture."""
    b = _Builder(15)
    b.plate((0, 0, 2.4), (1.4, 0, 0.5), (0, 1.2, -0.2), PRINT, 14, ((0.1, 0.1, 0.15), (0.9, 0.9, 0.85)))
    b.plate(
        (0, 0, 1.0), (0.5, 0, 0.08), (0, 0.5, -0.06), NOISE, 40, ((0.2, 0.1, 0.05), (0.7, 0.4, 0.2)), mask=PERFORATED
    )
    return b.scene(50, 1.4, 36, (1.0, 1.5, 2.4))


def corridor() -> Scene:
    """Steep walls to both sides, floor, ceiling, poles and a frame, sky at infinity at its end."""
    b = _Builder(16)
    for side in (-1, 1):
        b.plate((0.7 * side, 0, 5.5), (0, 0.6, 0), (0, 0, 4.8), PRINT, 8, b.colours())
        b.rod((0.3 * side, -1, 1.6), (0.32 * side, 1, 1.7), 0.025, STRIPES, 25, b.colours())
    for end in (-1, 1):
        b.plate((0, 0.45 * end, 5.5), (0.7, 0, 0), (0, 0, 4.8), CHECKER, 5, b.colours())
    b.plate((0, -0.3, 0.8), (0.3, 0.02, 0), (0, 0.12, 0.02), STRIPES, 40, b.colours())
    b.sphere((0.1, 0.3, 3.0), 0.15, NOISE, 20, b.colours())
    b.rod((-0.4, 0.45, 0.95), (-0.1, -0.1, 1.2), 0.008, NOISE, 60, b.colours())
    return b.scene(50, 1.0, 36, (0.9, 2.0, math.inf))


def hair() -> Scene:
    """Bars one to two pixels wide at all angles before balls and a leaning wall."""
    b = _Builder(17)
    b.plate((0, 0, 3.0), (2.5, 0, 1.0), (0, 2.0, 0.3), NOISE, 8, ((0.1, 0.2, 0.2), (0.9, 0.8, 0.7)))
    b.sphere((0.2, 0.15, 1.8), 0.2, CHECKER, 20, b.colours())
    b.sphere((-0.35, -0.1, 2.1), 0.25, NOISE, 20, b.colours())
    for k in range(26):
        angle, z = math.pi * b.random.random(), 0.85 + 0.25 * b.random.random()
        x, y = (b.random.random(2) - 0.5) * np.array((0.6, 0.45))
        along = 0.5 * np.array((math.cos(angle), math.sin(angle), 0.1 * b.random.normal()))
        middle = np.array((x, y, z))
        b.rod(middle - along, middle + along, 0.0011 + 0.0012 * b.random.random(), NOISE, 80, b.colours(0.5))
        if k % 3 == 0:
            b.rod(middle - along / 4, middle, 0.0035, STRIPES, 50, b.colours(0.5))
    return b.scene(50, 1.4, 36, (0.9, 1.9, 3.0))


def closeup() -> Scene:
    """A few centimetres away: a table, blobs of paper, a pencil, a screw row; depth ratio of four."""
    b = _Builder(18)
    b.plate((0, 0.07, 0.35), (0.5, 0, 0), (0, 0.03, 0.25), PRINT, 120, ((0.2, 0.15, 0.1), (0.85, 0.75, 0.6)))
    b.wall(0.62, NOISE, 30, ((0.1, 0.15, 0.1), (0.5, 0.7, 0.5)))
    for k in range(5):
        z = 0.16 + 0.08 * k
        place = (0.28 * z * (-1) ** k + 0.02 * k - 0.03, 0.02 - 0.012 * k, z)
        b.plate(place, (0.032 + 0.05 * z, 0, 0.01), (0, 0.03 + 0.03 * z, 0.004), k % 4, 150, b.colours(), mask=BLOB)
    b.rod((-0.09, 0.05, 0.2), (0.07, -0.06, 0.3), 0.004, STRIPES, 120, b.colours())
    for k in range(6):
        b.sphere((-0.05 + 0.025 * k, 0.045, 0.24 + 0.02 * k), 0.008, NOISE, 200, b.colours())
    return b.scene(25, 2.0, 24, (0.16, 0.26, 0.6))


SCENES: dict[str, Callable[[], Scene]] = {
    one.__name__: one for one in (slats, steps, foliage, balls, grille, corridor, hair, closeup)
}


@numba.njit(cache=True, nogil=True)
def _hash(i: int, j: int, seed: int) -> float:
    h = (i * 374761393 + j * 668265263 + seed * 2147483647 + 1013904223) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 2246822519) & 0xFFFFFFFF
    return ((h ^ (h >> 15)) & 0xFFFFFF) / 16777216.0


@numba.njit(cache=True, nogil=True)
def _noise(u: float, v: float, seed: int) -> float:
    i, j = math.floor(u), math.floor(v)
    a, b = u - i, v - j
    a, b = a * a * (3 - 2 * a), b * b * (3 - 2 * b)
    top = (1 - a) * _hash(i, j, seed) + a * _hash(i + 1, j, seed)
    return (1 - b) * top + b * ((1 - a) * _hash(i, j + 1, seed) + a * _hash(i + 1, j + 1, seed))


@numba.njit(cache=True, nogil=True)
def _paint(kind: int, seed: int, u: float, v: float) -> float:
    """Brightness 0 to 1 at a place in cells."""
    if kind == CHECKER:
        even = (math.floor(u) + math.floor(v)) % 2
        return 0.15 + 0.6 * even + 0.2 * _noise(2.3 * u, 2.3 * v, seed)
    if kind == STRIPES:
        return 0.1 + 0.7 * (math.floor(2 * u) % 2) + 0.2 * _noise(3 * u, 3 * v, seed)
    if kind == PRINT:
        row = math.floor(2 * v)
        if row % 2 == 0:
            return 0.95
        inked = _hash(math.floor(5 * u), row, seed) < 0.6 and (2 * v - row) > 0.15
        return 0.1 if inked else 0.95
    value = (
        0.5 * _noise(u, v, seed) + 0.3 * _noise(2.1 * u, 2.1 * v, seed + 1) + 0.2 * _noise(4.3 * u, 4.3 * v, seed + 2)
    )
    return min(max(0.5 + 2.0 * (value - 0.5), 0.0), 1.0)


@numba.njit(cache=True, nogil=True)
def _there(mask: int, a: float, b: float, seed: int) -> bool:
    """Whether a plate has material at a place from -1 to 1."""
    if mask in (LEAF, BITTEN):
        if a * a + b * b > 1:
            return False
        if mask == BITTEN:
            for k in range(4):
                x, y = 1.4 * _hash(k, 1, seed) - 0.7, 1.4 * _hash(k, 2, seed) - 0.7
                if (a - x) ** 2 + (b - y) ** 2 < (0.15 + 0.2 * _hash(k, 3, seed)) ** 2:
                    return False
    elif mask == PERFORATED:
        x, y = 9 * a + 0.5 * (math.floor(9 * b) % 2), 9 * b
        return (x - math.floor(x) - 0.5) ** 2 + (y - math.floor(y) - 0.5) ** 2 > 0.35**2
    elif mask == BLOB:
        angle = math.atan2(b, a)
        edge = 0.75 + 0.15 * math.sin(3 * angle + 6 * _hash(1, 1, seed)) + 0.1 * math.sin(7 * angle + seed)
        return a * a + b * b < edge * edge
    return True


@numba.njit(cache=True, nogil=True)
def meet(numbers: Array, kinds: Array, parts: Array, count: int, o: Array, d: Array, colour: Array) -> float:
    """z of the first surface that the ray o + t d meets (`inf` for the sky) and its colour."""
    best, which, best_u, best_v = 1e30, -1, 0.0, 0.0
    for n in range(count):
        part = parts[n]
        row, shape = numbers[part], kinds[part, 0]
        px, py, pz = o[0] - row[0], o[1] - row[1], o[2] - row[2]
        if shape == PLATE:
            nx = row[4] * row[8] - row[5] * row[7]
            ny = row[5] * row[6] - row[3] * row[8]
            nz = row[3] * row[7] - row[4] * row[6]
            down = nx * d[0] + ny * d[1] + nz * d[2]
            if down == 0.0:
                continue
            t = -(nx * px + ny * py + nz * pz) / down
            if t <= 1e-9 or t >= best:
                continue
            x, y, z = px + t * d[0], py + t * d[1], pz + t * d[2]
            first2 = row[3] ** 2 + row[4] ** 2 + row[5] ** 2
            second2 = row[6] ** 2 + row[7] ** 2 + row[8] ** 2
            both = row[3] * row[6] + row[4] * row[7] + row[5] * row[8]
            da, db = x * row[3] + y * row[4] + z * row[5], x * row[6] + y * row[7] + z * row[8]
            det = first2 * second2 - both * both
            a, b = (second2 * da - both * db) / det, (first2 * db - both * da) / det
            if abs(a) > 1 or abs(b) > 1 or not _there(kinds[part, 1], a, b, kinds[part, 3]):
                continue
            best, which, best_u, best_v = t, part, a * math.sqrt(first2), b * math.sqrt(second2)
            continue
        radius = row[9]
        if shape == SPHERE:
            a = d[0] ** 2 + d[1] ** 2 + d[2] ** 2
            b = px * d[0] + py * d[1] + pz * d[2]
            c = px * px + py * py + pz * pz - radius * radius
            if b * b < a * c:
                continue
            t = (-b - math.sqrt(b * b - a * c)) / a
            if t <= 1e-9 or t >= best:
                continue
            x, y, z = px + t * d[0], py + t * d[1], pz + t * d[2]
            best, which = t, part
            best_u, best_v = radius * math.atan2(x, -z), radius * math.asin(min(max(y / radius, -1.0), 1.0))
            continue
        # A rod without caps: the ray and the place without their parts along it.
        long2 = row[3] ** 2 + row[4] ** 2 + row[5] ** 2
        dl = (d[0] * row[3] + d[1] * row[4] + d[2] * row[5]) / long2
        pl = (px * row[3] + py * row[4] + pz * row[5]) / long2
        dx, dy, dz = d[0] - dl * row[3], d[1] - dl * row[4], d[2] - dl * row[5]
        qx, qy, qz = px - pl * row[3], py - pl * row[4], pz - pl * row[5]
        a, b = dx * dx + dy * dy + dz * dz, qx * dx + qy * dy + qz * dz
        c = qx * qx + qy * qy + qz * qz - radius * radius
        if b * b < a * c or a == 0.0:
            continue
        t = (-b - math.sqrt(b * b - a * c)) / a
        if t <= 1e-9 or t >= best or abs(pl + t * dl) > 1:
            continue
        best, which = t, part
        best_u = (pl + t * dl) * math.sqrt(long2)
        best_v = radius * math.atan2(qx + t * dx, qz + t * dz)
    if which < 0:
        cells = SKY_PER_M * 4
        u, v = d[0] / d[2] * cells, d[1] / d[2] * cells
        value = 0.6 * _noise(u, v, 7) + 0.4 * _noise(3 * u, 3 * v, 8)
        colour[0], colour[1], colour[2] = 0.35 + 0.6 * value, 0.5 + 0.45 * value, 0.75 + 0.2 * value
        return math.inf
    row = numbers[which]
    seed = kinds[which, 3]
    value = _paint(kinds[which, 2], seed, best_u * row[10], best_v * row[10])
    tint = _noise(0.7 * best_u * row[10], 0.7 * best_v * row[10], seed + 5)
    for k in range(3):
        colour[k] = (row[11 + k] + value * (row[14 + k] - row[11 + k])) * (0.85 + 0.15 * (tint if k != 1 else 1 - tint))
    return o[2] + best * d[2]


@numba.njit(cache=True, nogil=True)
def near_parts(
    numbers: Array, kinds: Array, x: float, y: float, aperture: float, focus_dpt: float, slack: float, parts: Array
) -> int:
    """Parts that a bundle of rays can touch, by their bounding spheres; x, y: the middle ray's direction over z."""
    count = 0
    for part in range(len(numbers)):
        row = numbers[part]
        reach = math.sqrt(row[3] ** 2 + row[4] ** 2 + row[5] ** 2) + math.sqrt(row[6] ** 2 + row[7] ** 2 + row[8] ** 2)
        if kinds[part, 0] == SPHERE:
            reach = row[9]
        elif kinds[part, 0] == ROD:
            reach += row[9]
        near, far = row[2] - reach, row[2] + reach
        wide = 0.5 * aperture * max(abs(1 - near * focus_dpt), abs(1 - far * focus_dpt)) + 0.01 * far + slack
        wide = reach * (1 + math.hypot(x, y)) + wide
        if (row[0] - x * row[2]) ** 2 + (row[1] - y * row[2]) ** 2 <= wide * wide:
            parts[count] = part
            count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _photograph(
    numbers: Array,
    kinds: Array,
    focal: float,
    aperture: float,
    focus_dpt: float,
    rays: int,
    shift: Array,
    rows: Array,
    out: Array,
) -> None:
    """Mean over `rays` places in each pixel's square and in the lens; `shift` (H, W, 4) moves the sequence."""
    height, width = out.shape[:2]
    parts = np.empty(len(numbers), np.int64)
    o, d, colour, step = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(4)
    for k in range(4):
        step[k] = R4_ROOT ** -(k + 1)
    for row in rows:
        for col in range(width):
            x0, y0 = (col - 0.5 * (width - 1)) / focal, (row - 0.5 * (height - 1)) / focal
            count = near_parts(numbers, kinds, x0, y0, aperture, focus_dpt, 0.0, parts)
            for n in range(rays):
                sx, sy = (shift[row, col, 0] + n * step[0]) % 1.0, (shift[row, col, 1] + n * step[1]) % 1.0
                turn = 2 * math.pi * ((shift[row, col, 2] + n * step[2]) % 1.0)
                off = 0.5 * aperture * math.sqrt((shift[row, col, 3] + n * step[3]) % 1.0)
                x, y = x0 + (sx - 0.5) / focal, y0 + (sy - 0.5) / focal
                o[0], o[1] = off * math.cos(turn), off * math.sin(turn)
                d[0], d[1], d[2] = x - o[0] * focus_dpt, y - o[1] * focus_dpt, 1.0
                meet(numbers, kinds, parts, count, o, d, colour)
                for k in range(3):
                    out[row, col, k] += colour[k] / rays


@numba.njit(cache=True, nogil=True)
def _pinhole(numbers: Array, kinds: Array, focal: float, side: int, rows: Array, image: Array, depth: Array) -> None:
    """The sharp picture from side x side places per pixel, and the depth of its centre."""
    height, width = depth.shape
    parts = np.empty(len(numbers), np.int64)
    o, d, colour = np.zeros(3), np.zeros(3), np.zeros(3)
    d[2] = 1.0
    for row in rows:
        for col in range(width):
            x0, y0 = (col - 0.5 * (width - 1)) / focal, (row - 0.5 * (height - 1)) / focal
            count = near_parts(numbers, kinds, x0, y0, 0.0, 0.0, 0.0, parts)
            d[0], d[1] = x0, y0
            depth[row, col] = meet(numbers, kinds, parts, count, o, d, colour)
            for i in range(side):
                for j in range(side):
                    d[0], d[1] = x0 + ((j + 0.5) / side - 0.5) / focal, y0 + ((i + 0.5) / side - 0.5) / focal
                    meet(numbers, kinds, parts, count, o, d, colour)
                    for k in range(3):
                        image[row, col, k] += colour[k] / side**2


def see_sharp(scene: Scene, threads: int = 2, shape_px: tuple[int, int] = (HEIGHT, WIDTH)) -> tuple[Array, Array]:
    """Sharp picture (H, W, 3) and depth in m (H, W); more pixels show the same angle across in more detail."""
    image, depth_m = np.zeros((*shape_px, 3)), np.zeros(shape_px)
    focal_px = scene.focal_px * shape_px[1] / WIDTH

    def work(rows: Array) -> None:
        _pinhole(scene.numbers, scene.kinds, focal_px, 16, rows, image, depth_m)

    spread_rows(work, threads, shape_px[0])
    return image, depth_m


def photograph(scene: Scene, focus_m: float, rays: int = 1024, seed: int = 0, threads: int = 2) -> Array:
    """What the whole lens sees, (H, W, 3)."""
    shift, out = np.random.default_rng(seed).random((HEIGHT, WIDTH, 4)), np.zeros((HEIGHT, WIDTH, 3))

    def work(rows: Array) -> None:
        lens = (scene.focal_px, scene.aperture_m, 1 / focus_m)
        _photograph(scene.numbers, scene.kinds, *lens, rays, shift, rows, out)

    spread_rows(work, threads, HEIGHT)
    return out


def spread_rows(work: Callable[[Array], None], threads: int, rows: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, np.array_split(np.arange(rows), max(rows // 8, 1))))


def load_truth(name: str, folder: Path | None, rays: int = 1024, threads: int = 2) -> dict[str, Array]:
    """A scene's pictures: aif, depth_m, images, focus_m, gain_px_per_dpt, focal_px; from `folder` if they lie there."""
    path = None if folder is None else folder / f"{name}.npz"
    if path is not None and path.is_file():
        with np.load(path) as file:
            return {key: file[key] for key in file.files}
    scene = SCENES[name]()
    image, depth_m = see_sharp(scene, threads)
    found: dict[str, Array] = {
        "aif": image.astype(np.float32),
        "depth_m": depth_m.astype(np.float32),
        "images": np.stack([photograph(scene, one, rays, threads=threads) for one in scene.focus_m]).astype(np.float32),
        "focus_m": np.array(scene.focus_m),
        "gain_px_per_dpt": np.array(scene.gain_px_per_dpt),
    }
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part, part.open("wb") as file:
            np.savez(file, **found)
    return found


@dataclass(frozen=True)
class Args:
    """Make the truth.

    Attributes:
        out: Folder for the npz files.
        only: One scene.
        rays: Per pixel.
        threads: To use.
    """

    out: Path
    only: str | None = None
    rays: int = 1024
    threads: int = 2


def main() -> None:
    args = tyro.cli(Args)
    for name in SCENES if args.only is None else (args.only,):
        load_truth(name, args.out, args.rays, args.threads)


if __name__ == "__main__":
    main()
