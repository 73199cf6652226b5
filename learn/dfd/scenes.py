"""Scenes that focal stacks are photographed of: surfaces that hide one another, each known in full.

scene = put_before(front, mask, back, front_m=0.6, back_m=1.1)     two planes
scene = stand(texture, depth_m)                                    one surface, of any depth
scene = draw_scene(settings, photos, shape_px, margin_px, generator=g)
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from psf import InputError

from ..depth_source import draw_pair
from ..photos import Cropping, PhotoFolder
from .masks import draw_mask
from .stack_settings import StackSettings
from .textures import cut_texture, decode_texture, draw_texture, vary_colours

DRAWN = 10


@dataclass(frozen=True, eq=False)
class Surface:
    """Something that is seen.

    Attributes:
        light: Linear, shape (3, H, W); also where it does not cover.
        depth_m: Above 0, shape (1, H, W).
        cover: Share of each pixel that it covers, 0 to 1, shape (1, H, W); None: all of it.
    """

    light: Tensor
    depth_m: Tensor
    cover: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What was drawn of a scene.

    Attributes:
        kind: "two_plane", "one_plane", "slanted" or "photos".
        depths_m: Of the front and of the back plane; of one plane it twice; of others the nearest and the farthest.
        front_share: Share of the window that the front covers: of one surface 1.
        shape: Of the front plane, "" without one.
        textures: Of each surface, the front's first: kind, and the photograph's name after a colon.
        contrasts: Of each texture, against what it had.
        gains: By which the light of each was multiplied.
        hues_deg: By which the colours of each were turned.
        depth_source: Of "photos": where depth came from; else "".
        lost: Photographs and depth maps that could not be read on the way, a line for each.
    """

    kind: str
    depths_m: tuple[float, float]
    front_share: float = 1.0
    shape: str = ""
    textures: tuple[str, ...] = ()
    contrasts: tuple[float, ...] = ()
    gains: tuple[float, ...] = ()
    hues_deg: tuple[float, ...] = ()
    depth_source: str = ""
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class StackScene:
    """What a focal stack is photographed of; all in focus, at the image scale of the first focus distance.

    Attributes:
        surfaces: The nearest first; those behind go on behind those in front. The last one covers everything.
        drawn: What was drawn, where something was.
    """

    surfaces: tuple[Surface, ...]
    drawn: Drawn | None = None

    def __post_init__(self) -> None:
        if not self.surfaces:
            raise InputError("StackScene.surfaces", "none", "at least one surface")
        if self.surfaces[-1].cover is not None:
            raise InputError("StackScene.surfaces[-1].cover", "a mask", "None: something must be behind everything")
        shape = self.shape_px
        for n, one in enumerate(self.surfaces):
            where = f"StackScene.surfaces[{n}]"
            wanted = {"light": (3, *shape), "depth_m": (1, *shape), "cover": (1, *shape)}
            for name, size in wanted.items():
                value = getattr(one, name)
                if value is not None and tuple(value.shape) != size:
                    raise InputError(f"{where}.{name}", f"shape {tuple(value.shape)}", f"shape {size}")
            if not bool((one.depth_m > 0).all()):
                raise InputError(f"{where}.depth_m", float(one.depth_m.min()), "depths above 0 m (inf is allowed)")
            if n + 1 < len(self.surfaces) and one.cover is None:
                raise InputError(f"{where}.cover", None, "a mask: it would hide all that is behind it")

    @property
    def shape_px(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.surfaces[0].light.shape[-2:]
        return int(height), int(width)

    @property
    def in_front(self) -> Tensor:
        """Which pixels show the first surface by half or more: bool, shape (1, H, W)."""
        cover = self.surfaces[0].cover
        return torch.ones((1, *self.shape_px), dtype=torch.bool) if cover is None else cover >= 0.5

    @property
    def depth_m(self) -> Tensor:
        """Depth of what is seen in the sharp picture, shape (1, H, W); no pixel has a depth between two surfaces."""
        seen = self.surfaces[-1].depth_m
        for one in self.surfaces[-2::-1]:
            if one.cover is not None:
                seen = torch.where(one.cover >= 0.5, one.depth_m, seen)
        return seen

    @property
    def light(self) -> Tensor:
        """The sharp picture, linear light, shape (3, H, W)."""
        light = [one.light if one.cover is None else one.light * one.cover for one in self.surfaces]
        cover = [one.cover for one in self.surfaces if one.cover is not None]
        return compose_surfaces(torch.stack(light), torch.stack(cover) if cover else None)


def compose_surfaces(light: Tensor, cover: Tensor | None) -> Tensor:
    """Lay blurred surfaces over one another: what a surface covers of the aperture, those behind it lack.

    Args:
        light: Of each surface, where it covers, blurred: A[a F], the nearest first, shape (L, ..., H, W).
        cover: Blurred A[a] of all but the last, 0 to 1, shape (L - 1, ..., H, W); None if there is one surface.

    Returns:
        Shape (..., H, W).
    """
    shown, free = light[0], None
    for n in range(1, len(light)):
        if cover is None:
            raise InputError("compose_surfaces(cover)", None, f"that of {len(light) - 1} surfaces")
        open_share = 1 - cover[n - 1].clamp(0, 1)
        free = open_share if free is None else free * open_share
        shown = shown + free * light[n]
    return shown


def stand(light: Tensor, depth_m: Tensor | float) -> StackScene:
    """One surface.

    Args:
        light: Linear, shape (3, H, W).
        depth_m: One depth, or shape (1, H, W).
    """
    depth = torch.as_tensor(depth_m, dtype=light.dtype)
    return StackScene((Surface(light, depth.expand(1, *light.shape[-2:])),))


def put_before(front: Tensor, mask: Tensor, back: Tensor, *, front_m: float, back_m: float) -> StackScene:
    """One plane before another.

    Args:
        front: Linear light, shape (3, H, W).
        mask: Share of each pixel that it covers, shape (1, H, W).
        back: Linear light, complete behind the front, shape (3, H, W).
        front_m: Depth of the front.
        back_m: Depth of the back, at least as far.
    """
    if not 0 < front_m <= back_m:
        raise InputError("put_before(front_m, back_m)", f"{front_m}, {back_m}", "two depths above 0, ascending")
    if not bool(((mask >= 0) & (mask <= 1)).all()):
        raise InputError("put_before(mask)", "values outside 0 to 1", "shares from 0 to 1")
    near, far = (torch.full((1, *front.shape[-2:]), one, dtype=front.dtype) for one in (front_m, back_m))
    return StackScene((Surface(front, near, mask), Surface(back, far)))


def slant(shape_px: tuple[int, int], margin_px: int, *, near_m: float, far_m: float, azimuth_rad: float) -> Tensor:
    """Depth of a tilted plane: its inverse is linear over the picture, as that of every plane in space.

    Args:
        shape_px: Height and width of the window.
        margin_px: Around it; there the depth goes no farther and no nearer than in the window.
        near_m: Nearest depth in the window, in a corner or along a side.
        far_m: Farthest.
        azimuth_rad: Direction in which it gets nearer, counter-clockwise from the right.

    Returns:
        Metres, float32, shape (1, H + 2 margin_px, W + 2 margin_px).
    """
    if not 0 < near_m <= far_m:
        raise InputError("slant(near_m, far_m)", f"{near_m}, {far_m}", "two depths above 0, ascending")
    height, width = shape_px
    y, x = torch.meshgrid(
        torch.arange(-margin_px, height + margin_px, dtype=torch.float64) - (height - 1) / 2,
        torch.arange(-margin_px, width + margin_px, dtype=torch.float64) - (width - 1) / 2,
        indexing="ij",
    )
    way = math.cos(azimuth_rad) * x - math.sin(azimuth_rad) * y
    farthest = 0.5 * (abs(math.cos(azimuth_rad)) * (width - 1) + abs(math.sin(azimuth_rad)) * (height - 1))
    share = (0.5 + 0.5 * way / max(farthest, 1e-9)).clamp(0, 1)
    return (1 / (1 / far_m + (1 / near_m - 1 / far_m) * share)).float()[None]


def draw_scene(
    settings: StackSettings, photos: PhotoFolder | None, margin_px: int, *, generator: torch.Generator
) -> StackScene:
    """A scene as the settings have it.

    Args:
        settings: What is drawn.
        photos: For textures, or for pictures with depth; None: there are none.
        margin_px: Drawn around the window.
        generator: Random numbers.
    """
    # All of them every time, whatever the scene is, so that what comes after does not hang on it.
    numbers = torch.rand(DRAWN, generator=generator, dtype=torch.float64).tolist()
    kind = settings.scenes
    if kind == "two_plane" and numbers[0] < settings.one_plane_share:
        kind = "one_plane"
    if kind == "photos":
        if photos is None:
            raise InputError("settings.scenes", "'photos'", "photographs to draw from")
        return _draw_photo(settings, photos, margin_px, numbers, generator)
    low, high = settings.depth_dpt
    ends = sorted(low + (high - low) * one for one in numbers[1:3])
    far_m, near_m = 1 / ends[0], 1 / ends[1]
    if kind != "two_plane":
        surface, drawn = _draw_surface(settings, photos, margin_px, kind, generator)
        if kind == "one_plane":
            return replace(stand(surface, near_m), drawn=replace(drawn, depths_m=(near_m, near_m)))
        depth_m = slant(settings.shape_px, margin_px, near_m=near_m, far_m=far_m, azimuth_rad=2 * math.pi * numbers[3])
        return replace(stand(surface, depth_m), drawn=replace(drawn, depths_m=(near_m, far_m)))
    least, most = settings.front_share
    share = least + (most - least) * numbers[4]
    shape = settings.shapes[int(numbers[5] * len(settings.shapes))]
    mask = draw_mask(shape, share, settings.shape_px, margin_px, generator=generator)
    front, own = _draw_surface(settings, photos, margin_px, kind, generator)
    back, other = _draw_surface(settings, photos, margin_px, kind, generator)
    scene = put_before(front, mask, back, front_m=near_m, back_m=far_m)
    drawn = replace(
        own,
        depths_m=(near_m, far_m),
        front_share=share,
        shape=shape,
        textures=own.textures + other.textures,
        contrasts=own.contrasts + other.contrasts,
        gains=own.gains + other.gains,
        hues_deg=own.hues_deg + other.hues_deg,
        lost=own.lost + other.lost,
    )
    return replace(scene, drawn=drawn)


def _draw_surface(
    settings: StackSettings, photos: PhotoFolder | None, margin_px: int, kind: str, generator: torch.Generator
) -> tuple[Tensor, Drawn]:
    """A texture in its colours, (3, H', W'), and what was drawn of it."""
    numbers = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    shape = (settings.shape_px[0] + 2 * margin_px, settings.shape_px[1] + 2 * margin_px)
    kinds = [one for one in settings.textures if one != "photos" or photos is not None]
    if not kinds:
        raise InputError("settings.textures", settings.textures, "photographs to cut them from, or others beside them")
    name = str(kinds[int(numbers[0] * len(kinds))])
    lost: tuple[str, ...] = ()
    if name == "photos" and photos is not None:
        texture, photo, lost = cut_texture(photos, shape, settings, generator=generator)
        name = f"photos: {photo}"
    else:
        texture = draw_texture(name, shape, settings, generator=generator)
    gain, hue_deg = _draw_colours(settings, numbers[1], numbers[2])
    contrast = settings.low_contrast if numbers[3] < settings.low_contrast_share else 1.0
    varied = vary_colours(texture, gain, math.radians(hue_deg), contrast)
    told = Drawn(
        kind=kind,
        depths_m=(0.0, 0.0),
        textures=(name,),
        contrasts=(contrast,),
        gains=(gain,),
        hues_deg=(hue_deg,),
        lost=lost,
    )
    return varied, told


def _draw_photo(
    settings: StackSettings, photos: PhotoFolder, margin_px: int, numbers: list[float], generator: torch.Generator
) -> StackScene:
    """A photograph with its depth, brought into the range of depths."""
    shape = (settings.shape_px[0] + 2 * margin_px, settings.shape_px[1] + 2 * margin_px)
    side = max(shape)
    least, most = (min(one, 1.0) for one in settings.texture_scale)
    cropping = Cropping((side, side), shrink=(least, most), exposure_ev=0.0)
    pair = draw_pair(photos, cropping, settings.sources, generator)
    if settings.keep_metres and pair.depth.depth_m is not None:
        depth_m = pair.depth.depth_m
    else:
        low, high = settings.depth_dpt
        far_dpt, near_dpt = sorted(low + (high - low) * one for one in numbers[1:3])
        depth_m = 1 / (near_dpt + (far_dpt - near_dpt) * pair.depth.t.clamp(0, 1))
    gain, hue_deg = _draw_colours(settings, numbers[6], numbers[7])
    light = vary_colours(decode_texture(pair.crop.srgb, shape), gain, math.radians(hue_deg))
    depth_m = depth_m[:, : shape[0], : shape[1]].contiguous()
    drawn = Drawn(
        kind="photos",
        depths_m=(float(depth_m.min()), float(depth_m.max())),
        textures=(f"photos: {pair.crop.name}",),
        contrasts=(1.0,),
        gains=(gain,),
        hues_deg=(hue_deg,),
        depth_source=pair.depth.source,
        lost=pair.lost,
    )
    return replace(stand(light, depth_m), drawn=drawn)


def _draw_colours(settings: StackSettings, light: float, hue: float) -> tuple[float, float]:
    """Gain, and hue in degrees, of two numbers from 0 to 1."""
    low, high = settings.gain
    return low * (high / low) ** light, settings.hue_deg * (2 * hue - 1)
