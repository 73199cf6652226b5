"""Training samples on the fly: a photograph and its depth, seen by a camera at a random place, depth, ISO and light.

    camera = Camera(psf.load("F.h5"), RawSensor(), load_noise("imx586"))
    synthesis = learn.synthesis.open_synthesis("PHOTOS", camera, SynthesisSettings(seed=1))
    sample = learn.synthesis.draw_sample(synthesis, 12345)

The chain of Yang et al., Efficient depth- and spatially-varying image simulation for defocus deblur: crop, unprocess,
scale the depth, blur by the field at the patch's place, change the kernels a little, mosaic, noise, 10 bits, pack.
Sample i hangs on the seed and on i: neither workers nor ranks nor batches change a bit of it. And what the variants of
the settings do not touch is the same in all of them: the same index shows the same scene blurred in another way.
"""

import hashlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from psf.runs import make_generator
from psf.threads import limit_threads
from render import depth_blend, layered, pixelwise
from render.bayer import check_pattern
from render.camera import Camera
from render.camera_steps import cut_margin, spread_kernels, surround_field
from render.stacks import find_middle

from .depth_scaling import draw_depth
from .depth_source import CropDepth, draw_pair, find_depth
from .field_files import hash_field, list_fields, load_alike
from .lens_planes import check_kernels
from .patch_optics import (
    FieldExtent,
    find_blur_px,
    find_radii,
    know_field,
    measure_extent,
    restrict_radii,
    spread_field,
    trim_field,
)
from .photos import PhotoCrop, PhotoFolder, centre_place, open_photos
from .samples import Drawn, Sample, make_planes
from .variants import SynthesisSettings

QUANTILES = (0.05, 0.5, 0.95)
# Blur and depth of a patch are told from every eighth pixel.
TOLD_STEP = 8
RGB_LEVELS = 255


@dataclass(frozen=True, eq=False, kw_only=True)
class Synthesis:
    """All that samples are made of; `open_synthesis` puts it together.

    Attributes:
        photos: Each large enough for a patch with its margin.
        camera: Lens, sensor and noise.
        settings: What is drawn, and how.
        fields: Files of perturbed fields of the same camera; one of them is drawn for each sample.
        extent: Of the camera's field.
    """

    photos: PhotoFolder
    camera: Camera
    settings: SynthesisSettings
    fields: tuple[Path, ...]
    extent: FieldExtent | None

    @property
    def margin_px(self) -> int:
        """What a crop has around the patch, so that blur brings in true surroundings: half the kernel's side."""
        return 0 if self.camera.field is None else self.camera.field.kernel_px // 2

    @cached_property
    def known_field(self) -> PolarPSFField | None:
        """The lens as a restorer knows it: not perturbed, and with its losses only where samples have them."""
        field = self.camera.field
        return None if field is None else know_field(field, self.settings.transmission)

    def varied(self, **changes: Any) -> "Synthesis":
        """The same scenes with other settings, as `SynthesisSettings.changed` takes them."""
        settings = self.settings.changed(**changes)
        if settings.shape_px != self.settings.shape_px:
            raise InputError("varied(cropping)", f"a patch of {settings.shape_px} px", f"{self.settings.shape_px}")
        return replace(self, settings=settings)

    def describe(self) -> dict[str, Any]:
        """All that samples depend on, as JSON holds it: settings, camera and, as hashes, field and photographs."""
        field, noise = self.camera.field, self.camera.noise
        photos = hashlib.sha256(repr([(one.name, one.bytes, one.shape_px) for one in self.photos.photos]).encode())
        made = hashlib.sha256(repr([(one.name, one.stat().st_size) for one in self.fields]).encode())
        settings = self.settings.to_json()
        # Where the depth maps lie changes nothing.
        del settings["sources"]["folder"]
        return {
            "settings": settings,
            "lens": "" if field is None else field.provenance.lens,
            "field_sha256": "" if field is None else hash_field(field),
            "perturbed_fields": len(self.fields),
            "perturbed_fields_sha256": made.hexdigest() if self.fields else "",
            "image_shape_px": list(self.camera.image_shape_px),
            "sensor": {name: value for name, value in vars(self.camera.sensor).items()},
            "noise": None if noise is None else noise.to_json(),
            "photographs": len(self.photos),
            "photographs_sha256": photos.hexdigest(),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """What a sample's camera looks at, and from where on its sensor; `expose` takes the photograph.

    Attributes:
        srgb: The sharp crop with its margin, 0 to 1, shape (3, H + 2 m, W + 2 m).
        depth_m: Along the axis, above 0, `inf` allowed, shape (1, H + 2 m, W + 2 m).
        extent: Of the field that takes it; None: a perfect lens.
        drawn: All that was drawn.
        state: Of the generator that colours and noise come from, uint8, shape (N,).
    """

    srgb: Tensor
    depth_m: Tensor
    extent: FieldExtent | None
    drawn: Drawn
    state: Tensor


def open_synthesis(
    photos: PhotoFolder | str | Path,
    camera: Camera,
    settings: SynthesisSettings | None = None,
    *,
    fields: Path | str | None = None,
    index: Path | str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Synthesis:
    """Photographs, a camera and settings, checked against one another.

    Args:
        photos: A folder of photographs, opened or not; those that are too small are left out and listed.
        camera: Its field has 32-bit floats and covers at least a patch.
        settings: By default those of the paper.
        fields: A folder of perturbed fields (field_*.h5), as `python -m optics perturb` makes it.
        index: The index file of a folder that is not open yet.
        on_progress: Called while such a folder is read, with files done and in all.
    """
    chosen = settings or SynthesisSettings()
    rows, columns = chosen.shape_px
    height, width = camera.image_shape_px
    if height < rows or width < columns:
        where = "sensor" if camera.field is None else f"field {camera.field.provenance.lens}".rstrip()
        expected = f"at least the patch's {columns} x {rows} px (a smaller patch, or another pitch)"
        raise InputError(where, f"a sensor of {width} x {height} px", expected)
    if camera.field is None and (chosen.blur != "none" or fields is not None):
        raise InputError("settings.blur", repr(chosen.blur), "'none' for a camera without a field")
    if camera.field is not None and camera.field.kernels.dtype != torch.float32:
        camera = camera.to(dtype=torch.float32)
    if camera.noise is not None and chosen.space == "raw":
        camera.noise.levels(torch.tensor(chosen.iso_range, dtype=torch.float64))
    if chosen.deconvolved_dpt:
        check_kernels(camera.field)
    _warn_of_near_depths(camera, chosen)
    folder = photos if isinstance(photos, PhotoFolder) else open_photos(photos, index=index, on_progress=on_progress)
    margin_px = 0 if camera.field is None else camera.field.kernel_px // 2
    folder = folder.at_least((rows + 2 * margin_px, columns + 2 * margin_px))
    extent = None if camera.field is None else measure_extent(camera.field)
    return Synthesis(photos=folder, camera=camera, settings=chosen, fields=list_fields(fields), extent=extent)


def _warn_of_near_depths(camera: Camera, settings: SynthesisSettings) -> None:
    """A field ends at its nearest depth: what is nearer is blurred as that."""
    if camera.field is None or settings.blur == "none":
        return
    dioptres = settings.constant_dpt[1] if settings.depth == "constant" else 1 / settings.scaling.near_m[0]
    nearest_m = float(camera.field.depths_m[0])
    if dioptres * nearest_m > 1.001:
        told = f"the field's nearest depth is {nearest_m:.3g} m; what is drawn down to {1 / dioptres:.3g} m"
        warnings.warn(f"{told} is blurred as that (scaling.near_m, --near-m)", stacklevel=3)


def draw_sample(synthesis: Synthesis, index: int, *, with_depth: bool = False) -> Sample:
    """Sample `index`: the same to the bit whenever, wherever and beside whatever it is drawn.

    Args:
        synthesis: What it is made of.
        index: From 0; there is no last one.
        with_depth: Keep the patch's depth.
    """
    return expose(synthesis, draw_scene(synthesis, index), with_depth=with_depth)


@limit_threads(1)
@torch.no_grad()
def draw_scene(synthesis: Synthesis, index: int) -> Scene:
    """What sample `index` looks at; the same for all variants of the settings.

    Args:
        synthesis: What it is made of.
        index: From 0.
    """
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise InputError("draw_scene(index)", repr(index), "a whole number from 0")
    settings = synthesis.settings
    generator = make_generator(settings.seed, index)
    # All of them every time, whatever the variants use, so that these do not change what comes after.
    across, down, light, width, is_wider, which, row, column, constant = torch.rand(
        9, generator=generator, dtype=torch.float64
    ).tolist()
    crop, depth, lost = _find_pair(synthesis, index, generator)
    varying_m, drawn_range = draw_depth(depth.t, settings.scaling, generator)
    if settings.keep_metres and depth.depth_m is not None:
        varying_m = depth.depth_m
        near_m, far_m = float(varying_m.min()), float(varying_m.max())
        told: tuple[str, float, float, bool] = ("measured", near_m, far_m, math.isinf(far_m))
    else:
        told = (drawn_range.rule, drawn_range.near_m, drawn_range.far_m, drawn_range.is_infinite)
    depth_m = _vary_depth(varying_m, settings, synthesis.margin_px, (row, column, constant))
    if settings.depth != "varying":
        only = float(depth_m.reshape(-1)[0])
        told = ("constant", only, only, math.isinf(only))
    shape, sensor = settings.shape_px, synthesis.camera.image_shape_px
    window = tuple(
        2 * min(int(share * (free // 2 + 1)), free // 2)
        for share, free in ((across, sensor[1] - shape[1]), (down, sensor[0] - shape[0]))
    )
    place = (window[0], window[1])
    radius, azimuth_rad = find_middle(sensor, shape, place)
    low, high = settings.iso_range
    file = synthesis.fields[int(which * len(synthesis.fields))] if synthesis.fields else None
    spread_px = settings.spread_px * width if is_wider < settings.spread_share and file is None else 0.0
    extent = synthesis.extent if file is None else _open_perturbed(file, synthesis, place)
    blur_px, depths_m = _tell_blur(
        extent, radius, cut_margin(depth_m, synthesis.margin_px), spread_px, settings.blur == "none"
    )
    drawn = Drawn(
        index=index,
        photo=crop.name,
        photo_px=crop.place.photo_px,
        left_px=crop.place.left_px,
        top_px=crop.place.top_px,
        scale=crop.place.scale,
        mirrored=crop.place.mirrored,
        quarter_turns=crop.place.quarter_turns,
        exposure_ev=crop.exposure_ev,
        detail=crop.detail,
        depth_source=depth.source,
        depth_detail=depth.detail,
        rule=told[0],
        near_m=told[1],
        far_m=told[2],
        is_infinite=told[3],
        depths_m=depths_m,
        window_px=place,
        radius=radius,
        azimuth_rad=azimuth_rad,
        blur_px=blur_px,
        spread_px=spread_px,
        field="" if file is None else file.name,
        # "rgb" draws its noise evenly and knows no ISO: one that grows with the noise takes its place.
        iso=high * (1 - light) if settings.space == "rgb" else low * (high / low) ** light,
        lost=lost,
    )
    return Scene(srgb=crop.srgb, depth_m=depth_m, extent=extent, drawn=drawn, state=generator.get_state())


@limit_threads(1)
@torch.no_grad()
def expose(synthesis: Synthesis, scene: Scene, *, with_depth: bool = False) -> Sample:
    """Take the photograph of a scene.

    Args:
        synthesis: The camera and the settings; `varied` ones take the same scene in another way.
        scene: As `draw_scene` gives it.
        with_depth: Keep the patch's depth.
    """
    settings, drawn = synthesis.settings, scene.drawn
    generator = torch.Generator()
    generator.set_state(scene.state)
    field, margin_px = _trim(synthesis, scene)
    srgb, depth_m = (cut_margin(one[None], synthesis.margin_px - margin_px) for one in (scene.srgb, scene.depth_m))
    if settings.space == "rgb":
        deviation = settings.rgb_noise_sd * drawn.iso / settings.iso_range[1]
        blurred = _blur_colours(srgb, depth_m, field, margin_px, settings.blur, drawn)
        noise = torch.randn(blurred.shape, generator=generator)
        colours = ((blurred + deviation * noise).clamp(0, 1) * RGB_LEVELS).round()[0] / RGB_LEVELS
        target, metadata = cut_margin(srgb, margin_px)[0].clone(), None
        shot, read = torch.zeros(1), torch.tensor([deviation**2])
    else:
        camera = replace(synthesis.camera, field=field)
        photo = camera.simulate(
            srgb,
            depth_m,
            generator=generator,
            iso=drawn.iso,
            window=drawn.window_px,
            margin_px=margin_px,
            renderer=settings.blur,
            spread_px=drawn.spread_px if settings.blur == "blend" else 0.0,
            transmission=settings.transmission if field is not None else "off",
        )
        colours, target, metadata = photo.packed[0], photo.target[0], photo.metadata
        shot, read = photo.shot.reshape(-1), photo.read.reshape(-1)
    planes = make_planes(
        colours,
        settings,
        iso=drawn.iso,
        shot=shot,
        read=read,
        window_px=drawn.window_px,
        image_shape_px=synthesis.camera.image_shape_px,
        field=synthesis.known_field if settings.deconvolved_dpt else None,
        pattern=check_pattern(synthesis.camera.sensor.pattern),
    )
    return Sample(
        input=planes,
        target=target,
        metadata=metadata,
        shot=shot,
        read=read,
        image_shape_px=synthesis.camera.image_shape_px,
        drawn=drawn,
        depth_m=cut_margin(scene.depth_m, synthesis.margin_px).clone() if with_depth else None,
    )


def _find_pair(
    synthesis: Synthesis, index: int, generator: torch.Generator
) -> tuple[PhotoCrop, CropDepth, tuple[str, ...]]:
    """A crop with its margin, its depth, and what could not be read on the way."""
    settings, photos = synthesis.settings, synthesis.photos
    rows, columns = (side + 2 * synthesis.margin_px for side in settings.shape_px)
    if settings.framing == "random":
        pair = draw_pair(photos, replace(settings.cropping, shape_px=(rows, columns)), settings.sources, generator)
        return pair.crop, pair.depth, pair.lost
    which = index % len(photos)
    crop = photos.cut(which, centre_place(photos.photos[which].shape_px, (rows, columns)))
    return crop, find_depth(photos, crop, settings.sources, generator), ()


def _vary_depth(
    varying_m: Tensor, settings: SynthesisSettings, margin_px: int, numbers: tuple[float, float, float]
) -> Tensor:
    """Depths (1, H', W') as the variant has them."""
    if settings.depth == "varying":
        return varying_m
    if settings.depth == "constant":
        low, high = settings.constant_dpt
        dioptres = low + (high - low) * numbers[2]
        return torch.full_like(varying_m, 1 / dioptres if dioptres > 0 else math.inf)
    inner = cut_margin(varying_m, margin_px)[0]
    row, column = (int(share * side) for share, side in zip(numbers[:2], inner.shape, strict=True))
    return torch.full_like(varying_m, float(inner[row, column]))


def _open_perturbed(file: Path, synthesis: Synthesis, window: tuple[int, int]) -> FieldExtent:
    """A field of the folder at the patch's radii."""
    own = synthesis.camera.field
    assert own is not None
    radii = _find_heights(synthesis, window, synthesis.margin_px)
    return measure_extent(restrict_radii(load_alike(file, own), radii))


def _find_heights(synthesis: Synthesis, window: tuple[int, int], margin_px: int) -> tuple[float, float]:
    """Image heights that a patch with its margin sees."""
    corner = (window[0] - margin_px, window[1] - margin_px)
    rows, columns = (side + 2 * margin_px for side in synthesis.settings.shape_px)
    return find_radii(synthesis.camera.image_shape_px, corner, (rows, columns))


def _trim(synthesis: Synthesis, scene: Scene) -> tuple[PolarPSFField | None, int]:
    """The field that a scene needs, and the margin that it needs."""
    settings, drawn = synthesis.settings, scene.drawn
    if scene.extent is None or settings.blur == "none":
        return None if scene.extent is None else scene.extent.field, 0
    if settings.blur == "blend" and settings.transmission == "off":
        radii = (drawn.radius, drawn.radius)
    else:
        radii = _find_heights(synthesis, drawn.window_px, synthesis.margin_px)
    least, greatest = (float(one) for one in scene.depth_m.aminmax())
    field = trim_field(scene.extent, radii, (least, greatest), drawn.spread_px)
    if settings.blur != "blend":  # which adds the Gaussian to the few kernels that it uses
        field = spread_field(field, drawn.spread_px)
    return field, min(field.kernel_px // 2, synthesis.margin_px)


def _tell_blur(
    extent: FieldExtent | None, radius: float, depth_m: Tensor, spread_px: float, is_sharp: bool
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Quantiles of the blur's diameter, and of the depths (1, H, W)."""
    some = depth_m[0, TOLD_STEP // 2 :: TOLD_STEP, TOLD_STEP // 2 :: TOLD_STEP].reshape(-1)
    blur_px = torch.zeros_like(some) if extent is None or is_sharp else find_blur_px(extent, radius, some, spread_px)
    levels = torch.tensor(QUANTILES)
    # Of dioptres, where infinity is a number.
    nearness = torch.quantile(1 / some, 1 - levels).tolist()
    blurs = torch.quantile(blur_px, levels).tolist()
    depths = [1 / one if one > 0 else math.inf for one in nearness]
    return (blurs[0], blurs[1], blurs[2]), (depths[0], depths[1], depths[2])


def _blur_colours(
    srgb: Tensor, depth_m: Tensor, field: PolarPSFField | None, margin_px: int, blur: str, drawn: Drawn
) -> Tensor:
    """Values (1, 3, H + 2 margin_px, W + 2 margin_px) blurred as they are, without their margin."""
    if field is None or blur == "none":
        return cut_margin(srgb, margin_px)
    if blur == "blend":
        kernels, depths_m = field.at_radius(drawn.radius, drawn.azimuth_rad)
        blurred = depth_blend(srgb, depth_m, spread_kernels(kernels, drawn.spread_px), depths_m)
    else:
        clear = replace(field, transmission=torch.ones_like(field.transmission))
        wide, corner = surround_field(clear, drawn.window_px, margin_px, (srgb.shape[2], srgb.shape[3]))
        render = pixelwise if blur == "pixelwise" else layered
        blurred = render(srgb, depth_m, wide, window=corner)
    return cut_margin(blurred, margin_px)
