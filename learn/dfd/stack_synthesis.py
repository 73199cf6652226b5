"""Focal stacks on the fly: textured planes, or a photograph with depth, through a camera at N focus distances.

    fields = [psf.load(path) for path in ("F_0.5.h5", "F_0.59.h5", "F_0.72.h5", "F_0.94.h5", "F_1.415.h5")]
    synthesis = open_stacks(fields, StackSettings(seed=1), photos="PHOTOS")
    sample = draw_stack(synthesis, 12345)

Stack i hangs on the seed and on i: neither workers nor ranks nor batches change a bit of it. And what the settings say
of blur, noise and values does not touch the scene: the same index shows the same scene, photographed in another way.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from psf.runs import make_generator
from psf.threads import limit_threads
from render import NoiseModel, encode_srgb, load_noise
from render.camera_steps import cut_margin
from render.stacks import find_middle

from ..field_files import hash_field
from ..photos import PhotoFolder, open_photos
from .scenes import Drawn, StackScene, draw_scene
from .stack_optics import StackOptics, find_blur_maps, open_optics, photograph
from .stack_samples import DrawnStack, StackSample
from .stack_settings import StackSettings

# Depths of scenes may leave the fields' by this share: a depth of 1.415 m in a file that was written as 1.4149.
DEPTH_SLACK = 1e-3


@dataclass(frozen=True, eq=False, kw_only=True)
class StackSynthesis:
    """All that focal stacks are made of; `open_stacks` puts it together.

    Attributes:
        optics: The fields, one for each focus distance.
        settings: What is drawn, and how.
        photos: Textures, or pictures with depth; None: procedural textures only.
        noise: Of the sensor; None unless the settings say "sensor".
    """

    optics: StackOptics
    settings: StackSettings
    photos: PhotoFolder | None = None
    noise: NoiseModel | None = None

    def varied(self, **changes: Any) -> "StackSynthesis":
        """The same fields and photographs with other settings."""
        settings = self.settings.changed(**changes)
        noise = self.noise
        if settings.noise == "sensor" and noise is None:
            noise = load_noise("imx586")
        return replace(self, settings=settings, noise=noise)

    def describe(self) -> dict[str, Any]:
        """All that stacks depend on, as JSON holds it: settings, fields and photographs as hashes, noise."""
        settings = self.settings.to_json()
        # Where the depth maps lie changes nothing.
        del settings["sources"]["folder"]
        photos = [] if self.photos is None else [(one.name, one.bytes, one.shape_px) for one in self.photos.photos]
        return {
            "kind": "focal stacks",
            "settings": settings,
            "focus_m": list(self.optics.focus_m),
            "lenses": [one.provenance.lens for one in self.optics.fields],
            "fields_sha256": [hash_field(one) for one in self.optics.fields],
            "image_shape_px": list(self.optics.image_shape_px),
            "noise": None if self.noise is None else self.noise.to_json(),
            "photographs": len(photos),
            "photographs_sha256": hashlib.sha256(repr(photos).encode()).hexdigest() if photos else "",
        }


def open_stacks(
    fields: Sequence[PolarPSFField],
    settings: StackSettings | None = None,
    *,
    photos: PhotoFolder | str | Path | None = None,
    noise: NoiseModel | None = None,
    index: Path | str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> StackSynthesis:
    """Fields, settings and photographs, checked against one another.

    Args:
        fields: One for each focus distance, the nearest first, as `open_optics` takes them.
        settings: By default scenes of two planes, as in the paper.
        photos: A folder of photographs, opened or not; those that are too small are left out and listed.
        noise: Of the sensor, if the settings say "sensor"; by default that of the imx586.
        index: The index file of a folder that is not open yet.
        on_progress: Called while such a folder is read, with files done and in all.
    """
    chosen = settings or StackSettings()
    optics = open_optics(fields)
    rows, columns = chosen.shape_px
    height, width = optics.image_shape_px
    if height < rows or width < columns:
        expected = f"at least the window's {columns} x {rows} px (a smaller window, or another pitch)"
        raise InputError("fields", f"a sensor of {width} x {height} px", expected)
    for n, field in enumerate(optics.fields):
        near, far = float(field.depths_m[0]), float(field.depths_m[-1])
        if chosen.depth_m[0] < near * (1 - DEPTH_SLACK) or chosen.depth_m[1] > far * (1 + DEPTH_SLACK):
            expected = f"depths that hold {chosen.depth_m[0]:g} to {chosen.depth_m[1]:g} m (settings.depth_m)"
            raise InputError(f"fields[{n}].depths_m", f"{near:g} to {far:g} m", expected)
    model = (noise or load_noise("imx586")) if chosen.noise == "sensor" else None
    if model is not None:
        model.levels(torch.tensor(chosen.iso_range, dtype=torch.float64))
    folder = None
    if photos is not None:
        folder = (
            photos if isinstance(photos, PhotoFolder) else open_photos(photos, index=index, on_progress=on_progress)
        )
        folder = folder.at_least((rows + 2 * optics.margin_px, columns + 2 * optics.margin_px))
    if chosen.scenes == "photos" and folder is None:
        raise InputError("settings.scenes", "'photos' without photographs", "photos=..., or other scenes")
    if folder is None and set(chosen.textures) == {"photos"}:
        raise InputError("settings.textures", "'photos' without photographs", "photos=..., or other textures")
    return StackSynthesis(optics=optics, settings=chosen, photos=folder, noise=model)


def draw_stack(synthesis: StackSynthesis, index: int) -> StackSample:
    """Stack `index`: the same to the bit whenever, wherever and beside whatever it is drawn.

    Args:
        synthesis: What it is made of.
        index: From 0; there is no last one.
    """
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise InputError("draw_stack(index)", repr(index), "a whole number from 0")
    settings, optics = synthesis.settings, synthesis.optics
    with limit_threads(1), torch.no_grad():
        generator = make_generator(settings.seed, index)
        across, down = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        room = (optics.image_shape_px[1] - settings.shape_px[1], optics.image_shape_px[0] - settings.shape_px[0])
        window_px = (min(int(across * (room[0] + 1)), room[0]), min(int(down * (room[1] + 1)), room[1]))
        scene = draw_scene(settings, synthesis.photos, optics.margin_px, generator=generator)
        # Noise has numbers of its own, which what is drawn of a scene does not move.
        return photograph_stack(
            synthesis, scene, window_px, index=index, generator=make_generator(~settings.seed, index)
        )


@limit_threads(1)
@torch.no_grad()
def photograph_stack(
    synthesis: StackSynthesis,
    scene: StackScene,
    window_px: tuple[int, int],
    *,
    generator: torch.Generator,
    index: int = 0,
) -> StackSample:
    """Take the focal stack of a given scene.

    Args:
        synthesis: The camera and the settings.
        scene: With the optics' margin around the window.
        window_px: Sensor column and row of the window's first pixel.
        generator: Random numbers, of exposures and noise.
        index: Its number, if it has one.
    """
    settings, optics = synthesis.settings, synthesis.optics
    light = photograph(
        scene,
        optics,
        window_px,
        blur=settings.blur,
        turning=settings.turning,
        transmission=settings.transmission,
    )
    numbers = torch.rand(len(light) + 1, generator=generator, dtype=torch.float64)
    exposures = 1 + settings.exposure_jitter * (2 * numbers[1:] - 1)
    iso, shot, read = _find_levels(synthesis, float(numbers[0]))
    recorded = _record(light * exposures.to(light)[:, None, None, None], shot, read, settings, generator)
    depth_m = cut_margin(scene.depth_m, optics.margin_px).float().clone()
    shape = (int(depth_m.shape[1]), int(depth_m.shape[2]))
    radius, azimuth_rad = find_middle(optics.image_shape_px, shape, window_px)
    return StackSample(
        stack=recorded,
        focus_m=torch.tensor(optics.focus_m),
        depth_m=depth_m,
        in_front=cut_margin(scene.in_front, optics.margin_px).clone(),
        blur_px=find_blur_maps(depth_m, optics, window_px).half().float(),
        image_shape_px=optics.image_shape_px,
        encoding=settings.encoding,
        bits=settings.bits,
        drawn=DrawnStack(
            index=index,
            scene=scene.drawn or _tell_scene(scene),
            window_px=(int(window_px[0]), int(window_px[1])),
            radius=radius,
            azimuth_rad=azimuth_rad,
            exposures=tuple(exposures.tolist()),
            iso=iso,
            shot=shot,
            read=read,
        ),
    )


def _find_levels(
    synthesis: StackSynthesis, share: float
) -> tuple[float, tuple[float, float, float], tuple[float, float, float]]:
    """ISO, and variances of R, G and B per light and without."""
    settings = synthesis.settings
    none = (0.0, 0.0, 0.0)
    if settings.noise == "none":
        return 0.0, none, none
    if settings.noise == "even" or synthesis.noise is None:
        return 0.0, none, (settings.noise_sd**2,) * 3
    low, high = settings.iso_range
    iso = low * (high / low) ** share
    levels = []
    for level in synthesis.noise.levels(torch.tensor(iso, dtype=torch.float64)):
        # Of R, Gr, Gb, B where planes differ.
        planes = level.reshape(-1).expand(4).tolist()
        sites = settings.photosites
        levels.append((planes[0] / sites[0], (planes[1] + planes[2]) / 2 / sites[1], planes[3] / sites[2]))
    return iso, levels[0], levels[1]


def _record(
    light: Tensor,
    shot: tuple[float, float, float],
    read: tuple[float, float, float],
    settings: StackSettings,
    generator: torch.Generator,
) -> Tensor:
    """Light (N, 3, H, W) with noise, as values of so many bits, 0 to 1."""
    if any((*shot, *read)):
        per_light, without = (light.new_tensor(one)[:, None, None] for one in (shot, read))
        deviation = (light.clamp_min(0) * per_light + without).sqrt()
        light = light + deviation * torch.randn(light.shape, generator=generator, dtype=light.dtype)
    values = light.clamp(0, 1)
    if settings.encoding == "srgb":
        values = encode_srgb(values).clamp(0, 1)
    top = 2**settings.bits - 1
    recorded: Tensor = (values * top).round() / top
    return recorded


def _tell_scene(scene: StackScene) -> Drawn:
    """What can be told of a scene that nobody drew."""
    depth_m = scene.depth_m
    kind = "two_plane" if len(scene.surfaces) > 1 else "one_plane"
    ends = (float(depth_m.min()), float(depth_m.max()))
    if len(scene.surfaces) == 1 and ends[0] != ends[1]:
        kind = "slanted"
    return Drawn(kind=kind, depths_m=ends, front_share=float(scene.in_front.float().mean()))
