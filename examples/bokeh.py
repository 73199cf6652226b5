"""A photograph with a real lens at f/1.8: glass balls on a table in the evening, the lights of a town behind them.

    python examples/bokeh.py                      # writes docs/images/bokeh.png
    python examples/bokeh.py --width-px 1800 --out out/bokeh.png
    python examples/bokeh.py --f-number 5.6 --out out/bokeh_f5.6.png

The lens is traced, not imitated: discs of light turn into cat's eyes towards the corners, where the barrel cuts the
bundle, and have the lens's own rims and colours. The scene is made of five layers that are each known in full, also
where another stands before them. Every layer is blurred with every pixel's own kernel and dimmed by what the layers
before it hide of the aperture.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from torch import Tensor
from tqdm import tqdm

import optics
from psf import InputError, PolarPSFField
from psf.arguments import parse_arguments
from psf.command_line import run_command
from render.pictures import check_writable, write_picture
from render.spatial import pixelwise

SENSOR_MM = (24.0, 36.0)  # rows, columns
FOCAL_MM = 49.6  # of the scene's pinhole; the lens's own
NEAREST_M = 0.40
TABLE_Y_M, TABLE_END_M = -0.100, 1.45
SKY_M = 1000.0
# middle of each ball, its radius, its colour, how much it mirrors
BALLS = (
    ((0.118, -0.066, 0.52), 0.034, (0.85, 0.50, 0.10), 0.30),
    ((-0.035, -0.035, 0.80), 0.065, (0.60, 0.015, 0.02), 0.22),
    ((0.165, -0.045, 1.16), 0.055, (0.02, 0.16, 0.22), 0.30),
)
LAMP = (-0.45, 0.75, -0.15)  # towards the soft box that lights the table, not of unit length


@dataclass(frozen=True)
class Args:
    """Photograph lights, balls and a table through the 50 mm f/1.8."""

    out: Path = Path("docs/images/bokeh.png")
    """The photograph: .png, .tif, .exr or .npy."""
    width_px: int = 960
    """Pixels across the sensor's 36 mm; a rim that kernels reach across is cut off the photograph."""
    focus_m: float = 0.80
    """Distance that is sharp, from the first lens."""
    f_number: float | None = None
    """Stop down to this; by default wide open."""
    seed: int = 7
    """Of the lights of the town."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One surface with everything that belongs to it.

    Attributes:
        colour: Linear light times coverage, shape (1, 3, H, W).
        cover: Share of each pixel that the surface covers, shape (1, 1, H, W).
        depth_m: Of the surface, and of its surroundings where it does not cover, shape (1, 1, H, W).
    """

    colour: Tensor
    cover: Tensor
    depth_m: Tensor


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used."""

    def start() -> None:
        args = parse_arguments(lambda: tyro.cli(Args, args=argv, description=Args.__doc__))
        check_writable(args.out)
        photo = photograph(args)
        write_picture(args.out, photo)
        print(f"written: {args.out} ({photo.shape[-1]} x {photo.shape[-2]} px)")

    return run_command(start, interrupted="interrupted; nothing is half written")


def photograph(args: Args) -> Tensor:
    """The whole example: trace the lens, build the scene, expose it. Linear light, (1, 3, H, W)."""
    if not 90 <= args.width_px <= 6000:
        raise InputError("--width-px", args.width_px, "90 to 6000 px")
    if not 0.5 <= args.focus_m <= 1.4:
        raise InputError("--focus-m", args.focus_m, "a distance on the table, 0.5 to 1.4 m")
    height, width = round(args.width_px * SENSOR_MM[0] / SENSOR_MM[1]), args.width_px
    pitch_um = 1000 * SENSOR_MM[1] / width
    lens = optics.load("camera_rf50mm_f1p8")
    if args.f_number is not None:
        lens = lens.stopped_down(args.f_number)
    lens = replace(lens, sensor=optics.Sensor((height, width), pitch_um)).refocused(args.focus_m, "spot")
    generator = torch.Generator().manual_seed(args.seed)
    steps = (None, *BALLS, "table", "town")
    with tqdm(total=len(steps), unit="step", leave=False, disable=None) as bar:
        radii = torch.linspace(0, 1, 16, dtype=torch.float64)
        field = optics.psf_grid(lens, optics.default_depths_m(NEAREST_M, 17), radii).to(dtype=torch.float32)
        bar.update()
        light, free = torch.zeros(1, 3, height, width), torch.ones(1, 3, height, width)
        for makers in steps[1:]:
            layer = make_layer(makers, (height, width), pitch_um, generator)
            colour, cover = blur(layer, field)
            light, free = light + free * colour, free * (1 - cover)
            bar.update()
    # Light from outside the frame is not known: what a kernel can bring in from there is cut off.
    rim = field.kernel_px // 2 + 1
    return tone(light[..., rim : height - rim, rim : width - rim])


def make_layer(what: object, shape_px: tuple[int, int], pitch_um: float, generator: torch.Generator) -> Layer:
    """One of the scene's surfaces, seen through a pinhole where the lens stands."""
    if what == "town":
        return make_town(shape_px, pitch_um, generator)
    shade = shade_table if what == "table" else (lambda direction: shade_ball(direction, *what))  # type: ignore[misc]
    return trace_layer(shade, shape_px, pitch_um)


def blur(layer: Layer, field: PolarPSFField) -> tuple[Tensor, Tensor]:
    """Light that a layer brings, and the share of each pixel's aperture that it hides, both (1, 3, H, W)."""
    height, width = layer.cover.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    # What the barrel cuts off is missing from the light, not from the share of the rest that is hidden.
    transmission = field.transmission_at_pixel(x, y, layer.depth_m[0, 0]).movedim(-1, 0)
    both = torch.cat([layer.colour * transmission, layer.cover.expand(-1, 3, -1, -1)])
    bare = replace(field, transmission=torch.ones_like(field.transmission))
    if bool((layer.cover == 1).all()):
        # What shines by itself keeps its energy.
        colour = pixelwise(both[:1], layer.depth_m, bare, window=(0, 0), form="scatter")
        return colour, torch.ones_like(colour)
    # A surface is as bright blurred as it is sharp. Where it is not, nothing is to be done.
    reach = field.kernel_px // 2 + 1
    rows, columns = (layer.cover[0, 0].amax(axis).nonzero() for axis in (1, 0))
    y0, y1 = max(0, int(rows.min()) - reach), min(height, int(rows.max()) + 1 + reach)
    x0, x1 = max(0, int(columns.min()) - reach), min(width, int(columns.max()) + 1 + reach)
    part, depth_m = both[..., y0:y1, x0:x1], layer.depth_m[..., y0:y1, x0:x1].expand(2, -1, -1, -1)
    found = torch.zeros_like(both)
    found[..., y0:y1, x0:x1] = pixelwise(part, depth_m, bare, window=(x0, y0), form="normalised")
    return found[:1], found[1:].clamp(0, 1)


def trace_layer(
    shade: Callable[[Tensor], tuple[Tensor, Tensor]], shape_px: tuple[int, int], pitch_um: float, samples: int = 3
) -> Layer:
    """Shoot samples x samples rays per pixel at one surface.

    Args:
        shade: From directions (N, 3) with z = 1 to light (N, 3) and depth in m (N,), which is inf where it is missed.
        shape_px: (H, W).
        pitch_um: Pixel pitch.
        samples: Rays per pixel and axis.
    """
    height, width = shape_px
    step = pitch_um * 1e-3 / FOCAL_MM
    right, up = (torch.arange(width) - (width - 1) / 2) * step, ((height - 1) / 2 - torch.arange(height)) * step
    # One ray per pixel first: only where some meet the surface, or pass it closely, is there more to see.
    y, x = torch.meshgrid(up, right, indexing="ij")
    _, look_m = shade(torch.stack([x.flatten(), y.flatten(), torch.ones(x.numel())], -1))
    met = look_m.isfinite().reshape(1, 1, height, width).float()
    near = torch.nn.functional.max_pool2d(met, 5, stride=1, padding=2).flatten().nonzero()[:, 0]
    fine = ((torch.arange(samples) + 0.5) / samples - 0.5) * step
    off_y, off_x = torch.meshgrid(fine, fine, indexing="ij")
    colour, cover, depth = torch.zeros(height * width, 3), torch.zeros(height * width), torch.ones(height * width)
    for some in near.split(1 << 14):
        columns = (x.flatten()[some, None] + off_x.flatten()).flatten()
        rows = (y.flatten()[some, None] + off_y.flatten()).flatten()
        light, depth_m = shade(torch.stack([columns, rows, torch.ones_like(rows)], -1))
        hit = depth_m.isfinite().float().reshape(len(some), -1)
        colour[some] = (light.reshape(len(some), -1, 3) * hit[..., None]).mean(1)
        cover[some] = hit.mean(1)
        # Between rays that hit in one pixel the depth hardly differs; the mean is theirs alone.
        depth[some] = torch.where(hit > 0, depth_m.reshape(hit.shape), 0.0).sum(1) / hit.sum(1).clamp_min(1)
    cover, depth = cover.reshape(1, 1, height, width), depth.reshape(height, width)
    return Layer(colour.T.reshape(1, 3, height, width), cover, spread(depth, cover[0, 0] > 0)[None, None])


def spread(depth_m: Tensor, met: Tensor) -> Tensor:
    """Depths (H, W), continued from the nearest pixel that met something to all the others."""
    from scipy import ndimage

    if not bool(met.any()):
        return depth_m
    index = ndimage.distance_transform_edt(~met.numpy(), return_distances=False, return_indices=True)
    rows, columns = torch.from_numpy(index)
    return depth_m[rows, columns]


def shade_ball(
    direction: Tensor, middle_m: tuple[float, float, float], radius_m: float, colour: tuple[float, ...], mirror: float
) -> tuple[Tensor, Tensor]:
    """Light and depth of a glossy ball; directions (N, 3) in, (N, 3) and (N,) out."""
    middle, base = torch.tensor(middle_m), torch.tensor(colour)
    square, along = direction.square().sum(-1), direction @ middle
    root = along.square() - square * (middle.square().sum() - radius_m**2)
    hit = root > 0
    depth_m = (along - root.clamp_min(0).sqrt()) / square
    point = direction * depth_m[:, None]
    normal = (point - middle) / radius_m
    seen = torch.nn.functional.normalize(direction, dim=-1)
    facing = -(seen * normal).sum(-1, keepdim=True)
    towards = seen + 2 * facing * normal
    lamp = torch.nn.functional.normalize(torch.tensor(LAMP), dim=0)
    lit = (normal @ lamp)[:, None].clamp_min(0)
    # Light from the sky, less of it where the table is near.
    around = 0.5 + 0.5 * normal[:, 1:2]
    fresnel = mirror + (1 - mirror) * (1 - facing.clamp(0, 1)) ** 5
    contact = 1 - 0.75 * torch.exp(-((point[:, 1:2] - TABLE_Y_M) / (0.45 * radius_m)).clamp_min(0))
    light = base * (1.1 * lit + 0.22 * around) * contact + fresnel * look_around(towards) * contact.sqrt()
    return light, torch.where(hit, depth_m, math.inf)


def shade_table(direction: Tensor) -> tuple[Tensor, Tensor]:
    """Light and depth of the table; directions (N, 3) in, (N, 3) and (N,) out."""
    down = direction[:, 1].clamp_max(-1e-4)
    depth_m = TABLE_Y_M / down
    hit = (direction[:, 1] < 0) & (depth_m < TABLE_END_M)
    point = direction * depth_m.clamp_max(TABLE_END_M)[:, None]
    x, z = point[:, 0], point[:, 2]
    grain = torch.sin(260 * x + 3 * torch.sin(9 * z + 14 * x)) * torch.sin(90 * x + 2 * torch.sin(5 * z))
    plank = (x / 0.115).floor()
    tint = 0.85 + 0.15 * torch.sin(12.9898 * plank) + 0.10 * grain
    gap = torch.exp(-(((x / 0.115 - plank - 0.5).abs() - 0.5) / 0.012).square())
    wood = torch.tensor([0.115, 0.062, 0.034]) * (tint * (1 - 0.7 * gap))[:, None]
    shadow = torch.ones_like(x)
    lamp = torch.nn.functional.normalize(torch.tensor(LAMP), dim=0)
    reflected = direction * torch.tensor([1.0, -1.0, 1.0])
    mirrored = look_around(torch.nn.functional.normalize(reflected, dim=-1))
    for middle_m, radius_m, _, _ in BALLS:
        away = torch.tensor(middle_m) - point
        off = (away - (away @ lamp)[:, None] * lamp).norm(dim=-1)
        shadow = shadow * (1 - 0.72 * torch.sigmoid((radius_m - off) / (0.16 * radius_m)))
        shadow = shadow * (1 - 0.85 * torch.exp(-(away[:, 0].square() + away[:, 2].square()) / (0.6 * radius_m) ** 2))
    # The ball in the polish is the ball seen from its mirror image's side. Only the one in focus: the images of the
    # others lie far from the table's own depth and would need a layer each.
    middle_m, radius_m, colour, mirror = BALLS[1]
    below = (middle_m[0], 2 * TABLE_Y_M - middle_m[1], middle_m[2])
    image, image_m = shade_ball(direction, below, radius_m, colour, mirror)
    mirrored = torch.where(image_m.isfinite()[:, None], image.clamp(0, 1.2), mirrored)
    slope = (-direction[:, 1] / direction.norm(dim=-1))[:, None]
    polish = 0.06 + 0.55 * (1 - slope) ** 6
    light = wood * (1.5 * shadow + 0.2)[:, None] + polish * mirrored * torch.tensor([0.9, 0.8, 0.7])
    return light, torch.where(hit, depth_m, math.inf)


def look_around(direction: Tensor) -> Tensor:
    """What surfaces mirror: sky, a soft box and a row of lamps; unit directions (N, 3) in, light (N, 3) out."""
    height = direction[:, 1:2]
    dusk = torch.tensor([0.030, 0.045, 0.110]) + torch.tensor([0.50, 0.20, 0.07]) * torch.exp(-(height / 0.16).square())
    lamp = torch.nn.functional.normalize(torch.tensor(LAMP), dim=0)
    across = torch.nn.functional.normalize(torch.linalg.cross(lamp, torch.tensor([0.0, 1.0, 0.0])), dim=0)
    up = torch.linalg.cross(across, lamp)
    front = (direction @ lamp).clamp_min(1e-3)
    sides = torch.stack([direction @ across, direction @ up], -1).abs() / front[:, None]
    box = torch.sigmoid((0.30 - sides) / 0.012).prod(-1) * (front > 0.1)
    lamps = torch.zeros_like(front)
    for i in range(7):
        place = torch.nn.functional.normalize(torch.tensor([-0.9 + 0.3 * i, 0.24 + 0.07 * (i % 2), 0.75]), dim=0)
        lamps = lamps + torch.exp((direction @ place - 1) / 0.0007)
    ground = torch.sigmoid(height / 0.02)
    light = dusk * ground + 0.012 * (1 - ground)
    return light + torch.tensor([2.6, 2.4, 2.1]) * box[:, None] + torch.tensor([2.6, 1.7, 0.8]) * lamps[:, None]


def make_town(shape_px: tuple[int, int], pitch_um: float, generator: torch.Generator) -> Layer:
    """Evening sky, a strip of houses and the lights of the town, all the way across: (1, 3, H, W)."""
    height, width = shape_px
    scale = pitch_um * 1e-3 / FOCAL_MM
    up = (((height - 1) / 2 - torch.arange(height)) * scale)[:, None]
    right = ((torch.arange(width) - (width - 1) / 2) * scale)[None, :]
    glow = torch.exp(-((up + 0.02) / 0.075).square()) * (0.75 + 0.25 * torch.cos(3.5 * right - 0.6))
    sky = torch.tensor([0.010, 0.019, 0.055])[:, None, None] * (1 + 1.2 * torch.exp(-(up - 0.1).abs() / 0.2))
    sky = sky.expand(3, height, width) + torch.tensor([0.155, 0.058, 0.030])[:, None, None] * glow
    houses = torch.sigmoid((0.016 + 0.010 * torch.sin(23 * right) + 0.008 * torch.sin(51 * right + 1) - up) / 0.004)
    sky = sky * (1 - 0.62 * houses)
    light, depth_m = sky.clone(), torch.full((height, width), SKY_M)
    # A lamp's light is spread over its disc: this makes discs of the brightness given below, whatever the pixels.
    disc_px = math.pi / 4 * (FOCAL_MM**2 / 1.85 / 800 / (pitch_um * 1e-3)) ** 2
    warm = [[1.0, 0.62, 0.22], [1.0, 0.78, 0.48], [1.0, 0.40, 0.10]]
    tints = torch.tensor([*warm, [0.35, 0.75, 1.0], [1.0, 0.16, 0.12], [0.25, 0.9, 0.6]])
    shares = torch.tensor([0.36, 0.30, 0.14, 0.10, 0.06, 0.04])

    def draw(count: int) -> Tensor:
        return torch.rand(count, generator=generator)

    town = 74
    x, y = 0.80 * (draw(town) - 0.5), 0.050 + 0.075 * torch.randn(town, generator=generator)
    far_m, kind = 6 / draw(town).clamp_min(0.02), torch.multinomial(shares, town, True, generator=generator)
    bright = 0.16 + 0.55 * draw(town) ** 2
    # Two strings of bulbs, nearer, sagging across the frame.
    strings = []
    for start_y, end_y, sag, near_m, count in ((0.235, 0.150, 0.075, 3.2, 15), (0.130, 0.245, 0.060, 2.2, 13)):
        t = torch.linspace(-0.03, 1.03, count)
        line = start_y + (end_y - start_y) * t - sag * 4 * t * (1 - t)
        strings.append((0.78 * (t - 0.5), line, torch.full((count,), near_m), 0.50 + 0.25 * draw(count)))
    for j, (sx, sy, sm, sb) in enumerate(strings):
        x, y, far_m, bright = torch.cat([x, sx]), torch.cat([y, sy]), torch.cat([far_m, sm]), torch.cat([bright, sb])
        kind = torch.cat([kind, torch.full((len(sx),), 1 - j)])
    for n in far_m.argsort(descending=True).tolist():
        column, row = float(x[n]) / scale + (width - 1) / 2, (height - 1) / 2 - float(y[n]) / scale
        left, top = math.floor(column), math.floor(row)
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            share = (1 - abs(column - left - j)) * (1 - abs(row - top - i))
            if 0 <= top + i < height and 0 <= left + j < width:
                light[:, top + i, left + j] += tints[kind[n]] * float(bright[n]) * disc_px * share
                depth_m[top + i, left + j] = far_m[n]
    return Layer(light[None], torch.ones(1, 1, height, width), depth_m[None, None])


def tone(light: Tensor) -> Tensor:
    """Linear up to the middle, then a shoulder instead of a hard clip, as film has it; any shape."""
    exposed, knee = 1.25 * light, 0.55
    over = (exposed - knee).clamp_min(0) / (1 - knee)
    return torch.where(exposed > knee, knee + (1 - knee) * (1 - torch.exp(-over)), exposed).clamp(0, 1)


if __name__ == "__main__":
    sys.exit(main())
