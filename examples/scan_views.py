"""A small textured still life on a table and views of it whose geometry is known: pictures, depth, poses.

    poses = place_cameras(24, distance_mm=120)
    scene = make_scene(generator)
    image, depth_m = draw_view(scene, poses[0], focal_px=2826, shape_px=(960, 1280))
    x_px, y_px, z_mm = project(point_mm, poses[0], 2826, (960, 1280))

Lengths in mm; the table is the plane z = 0, the camera looks along its own z, x to the right and y downwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

TEXEL_MM = 0.04  # about what a pixel of a 1.16 um sensor behind 3.3 mm of focal length sees at 12 cm
TEXTURE_PX = 2048
TARGET_MM = (0.0, 0.0, 6.0)  # what all cameras look at
BOX_MM, BOX_CENTRE_MM, BOX_TURN_RAD = (12.0, 7.5, 6.0), (-6.0, -3.0, 6.0), 0.35  # half sides
BALL_RADIUS_MM, BALL_CENTRE_MM = 6.5, (10.0, 8.0, 6.5)
LIGHT = (0.35, -0.45, 0.82)
AMBIENT = 0.55
FINE = 2  # rays per pixel and axis
FAR_MM = 1e6
ELEVATIONS_DEG = (62.0, 42.0)  # of two rings of cameras, two thirds of them on the upper one


@dataclass(frozen=True, eq=False)
class Pose:
    """Where a camera stands: a point p of the scene is at `rotation @ p + shift_mm` before it.

    Attributes:
        rotation: Shape (3, 3), float64.
        shift_mm: Shape (3,), float64.
    """

    rotation: Tensor
    shift_mm: Tensor

    @property
    def centre_mm(self) -> Tensor:
        """Of the lens, in the scene, shape (3,)."""
        return -self.rotation.T @ self.shift_mm


@dataclass(frozen=True, eq=False)
class Scene:
    """What there is to see.

    Attributes:
        textures: Of table, box and ball, sRGB, shape (3, 3, T, T), without seams when tiled.
    """

    textures: Tensor


def make_scene(generator: torch.Generator, texture_px: int = TEXTURE_PX) -> Scene:
    """Textures with edges at every size from 6 mm down to a texel, in colours that differ from thing to thing.

    Args:
        generator: Draws them.
        texture_px: T, a power of two.
    """
    found = []
    for _ in range(3):
        tint = 0.75 + 0.5 * torch.rand(3, generator=generator)
        greys = torch.tensor([0.16, 0.36, 0.58, 0.8])[torch.randperm(4, generator=generator)]
        colours = (greys[:, None] * tint + 0.1 * torch.randn((4, 3), generator=generator)).clamp(0.05, 0.95)
        total = torch.zeros((3, texture_px, texture_px))
        # Chips of four colours, coarse ones under finer ones, as in terrazzo; and grain in all of them.
        for period_mm, share in ((6.0, 1.0), (2.4, 0.35), (1.0, 0.3), (0.4, 0.22), (0.16, 0.15)):
            noise = _tile_noise(period_mm / TEXEL_MM, texture_px, generator)
            kind = torch.bucketize(noise, _find_levels(noise, (0.25, 0.5, 0.75)))
            here = _tile_noise(period_mm / TEXEL_MM, texture_px, generator)
            mask = here <= _find_levels(here, (share,))
            total = torch.where(mask, colours[kind].movedim(-1, 0), total)
        found.append((total + 0.04 * _tile_noise(2.0, texture_px, generator)).clamp(0, 1))
    return Scene(torch.stack(found))


def _tile_noise(period_px: float, side_px: int, generator: torch.Generator) -> Tensor:
    """Smooth noise that tiles, shape (side_px, side_px)."""
    cells = max(2, round(side_px / period_px))
    coarse = torch.randn((1, 1, cells, cells), generator=generator)
    padded = functional.pad(coarse, (2, 2, 2, 2), mode="circular")
    step = side_px / cells
    place = (torch.arange(side_px) + 0.5) / step + 1.5  # in cells of the padded table, whose centres are at integers
    grid = 2 * (place + 0.5) / (cells + 4) - 1
    where = torch.stack(torch.meshgrid(grid, grid, indexing="xy"), -1)[None]
    return functional.grid_sample(padded, where, mode="bicubic", align_corners=False)[0, 0]


def _find_levels(noise: Tensor, shares: tuple[float, ...]) -> Tensor:
    """Below which values these shares of the noise lie, by every 37th of them; shape (len(shares),)."""
    ordered = noise.flatten()[::37].sort().values
    return torch.stack([ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in shares])


def place_cameras(count: int, distance_mm: float) -> list[Pose]:
    """Cameras on two rings about the still life, all of them looking at its middle.

    Args:
        count: Of cameras.
        distance_mm: From the middle.
    """
    target = torch.tensor(TARGET_MM, dtype=torch.float64)
    upper = count - count // 3
    poses = []
    for number in range(count):
        ring, place, of = (0, number, upper) if number < upper else (1, number - upper, count - upper)
        elevation, azimuth = math.radians(ELEVATIONS_DEG[ring]), 2 * math.pi * (place + 0.5 * ring) / of
        away = (
            math.cos(elevation) * math.cos(azimuth),
            math.cos(elevation) * math.sin(azimuth),
            math.sin(elevation),
        )
        forward = -torch.tensor(away, dtype=torch.float64)
        right = torch.linalg.cross(forward, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
        right = right / right.norm()
        rotation = torch.stack([right, torch.linalg.cross(forward, right), forward])
        poses.append(Pose(rotation, -rotation @ (target - distance_mm * forward)))
    return poses


def project(points_mm: Tensor, pose: Pose, focal_px: float, shape_px: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Where points of the scene lie in a picture.

    Args:
        points_mm: Shape (..., 3).
        pose: Of the camera.
        focal_px: Of the camera.
        shape_px: (H, W) of the picture.

    Returns:
        Column and row, pixel centres at integers, and the distance along the axis in mm, each of shape (...).
    """
    x, y, z = (points_mm.double() @ pose.rotation.T + pose.shift_mm).unbind(-1)
    return focal_px * x / z + (shape_px[1] - 1) / 2, focal_px * y / z + (shape_px[0] - 1) / 2, z


def draw_view(scene: Scene, pose: Pose, focal_px: float, shape_px: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A sharp picture and its depth.

    Args:
        scene: What there is.
        pose: Of the camera.
        focal_px: Of the camera.
        shape_px: (H, W) of the picture.

    Returns:
        sRGB, shape (1, 3, H, W), and depth along the axis in m, shape (1, 1, H, W), float32.
    """
    height, width = shape_px
    x = ((torch.arange(width * FINE) + 0.5) / FINE - width / 2) / focal_px
    y = ((torch.arange(height * FINE) + 0.5) / FINE - height / 2) / focal_px
    rotation, origin = pose.rotation.float(), pose.centre_mm.float()
    along = torch.stack(torch.broadcast_tensors(x[None], y[:, None], torch.ones(())), -1) @ rotation
    table_z = torch.where(along[..., 2] < 0, -origin[2] / along[..., 2].clamp_max(-1e-6), FAR_MM)
    box_z, box_normal, box_point = _meet_box(origin, along)
    ball_z, ball_normal, ball_point = _meet_ball(origin, along)
    depths = torch.stack([table_z, box_z, ball_z])
    z, thing = depths.min(0)
    table_point = origin + table_z[..., None] * along
    light = functional.normalize(torch.tensor(LIGHT), dim=0)
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(along)
    picture = torch.zeros((3, *z.shape))
    parts = ((table_point, up), (box_point, box_normal), (ball_point, ball_normal))
    for number, (point, normal) in enumerate(parts):
        lit = AMBIENT + (1 - AMBIENT) * (normal @ light).clamp_min(0)
        picture = torch.where(thing == number, _look_up(scene.textures[number], point, normal) * lit, picture)
    image = functional.avg_pool2d(picture[None].clamp(0, 1), FINE)
    nearest = -functional.max_pool2d(-z[None, None], FINE)
    return image, nearest / 1000


def _meet_box(origin: Tensor, along: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Depth (h, w), normal and point in the box's own axes (h, w, 3) of where rays meet the box."""
    c, s = math.cos(BOX_TURN_RAD), math.sin(BOX_TURN_RAD)
    turn = torch.tensor([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    start, ray = turn @ (origin - torch.tensor(BOX_CENTRE_MM)), along @ turn.T
    half = torch.tensor(BOX_MM)
    safe = torch.where(ray.abs() < 1e-9, 1e-9, ray)
    near, axis = (-(start + half * safe.sign()) / safe).max(-1)
    far = ((half * safe.sign() - start) / safe).amin(-1)
    hit = (near < far) & (near > 0)
    normal = -functional.one_hot(axis, 3) * safe.sign()
    return torch.where(hit, near, FAR_MM), normal @ turn, start + near[..., None] * ray


def _meet_ball(origin: Tensor, along: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Depth (h, w), normal and point from the middle (h, w, 3) of where rays meet the ball."""
    start = origin - torch.tensor(BALL_CENTRE_MM)
    a, b, c = (along * along).sum(-1), along @ start, start @ start - BALL_RADIUS_MM**2
    root = b * b - a * c
    near = (-b - root.clamp_min(0).sqrt()) / a
    point = start + near[..., None] * along
    return torch.where((root > 0) & (near > 0), near, FAR_MM), point / BALL_RADIUS_MM, point


def _look_up(texture: Tensor, point_mm: Tensor, normal: Tensor) -> Tensor:
    """Colours (3, h, w) of a texture laid on from the side that a surface faces most."""
    axis = normal.abs().argmax(-1, keepdim=True)
    first, second = (point_mm.gather(-1, (axis + n) % 3)[..., 0] for n in (1, 2))
    side = texture.shape[-1]
    shift = 0.31 * (axis[..., 0] + 3 * (normal.gather(-1, axis)[..., 0] > 0)) * side
    u, v = ((value / TEXEL_MM + shift) % side for value in (first, second))
    padded = functional.pad(texture[None], (1, 1, 1, 1), mode="circular")
    grid = torch.stack([2 * (u + 1.5) / (side + 2) - 1, 2 * (v + 1.5) / (side + 2) - 1], -1)[None]
    return functional.grid_sample(padded, grid, mode="bilinear", align_corners=False)[0]
