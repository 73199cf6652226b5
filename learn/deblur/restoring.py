"""A photograph through a network: `restore_raw` for mosaics, `restore_srgb` for networks of developed pictures.

    restorer = open_restorer("out/run/network.pt")
    write_dng("restored.dng", restore_raw(read_raw("IN.dng"), restorer))

The mosaic is cropped to the pattern of the training (the line that is cut off is copied), brought to 0..1 by black and
white of the file, and given the planes of the training: ISO by the file, place by the sensor. Frames of any size run in
bounded memory (`learn.tiles`).
"""

import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from render import RawFile, align, develop, pack, unpack
from render.bayer import check_pattern
from render.developing import SQUARE, turn_upright

from ..lens_planes import check_kernels, find_variance, make_lens_planes
from ..networks import NAFNet, find_box, load_network
from ..patch_optics import know_field
from ..samples import find_heights, make_planes
from ..tiles import HALO_CELLS, TILE_CELLS, run_tiled
from ..variants import COLOURS
from .fitting import FramePlace, place_frame
from .notes import RestorerNotes, read_notes

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False, kw_only=True)
class Restorer:
    """A trained network and what it must be told.

    Attributes:
        network: In evaluation mode.
        notes: Of its training.
        source: Its file, for messages.
        field: Of the photographs' lens, in single precision, for a network that is given deconvolved planes.
    """

    network: NAFNet
    notes: RestorerNotes
    source: str
    field: PolarPSFField | None = None

    @property
    def is_of_mosaics(self) -> bool:
        """Whether it restores mosaics; else developed pictures."""
        return self.notes.settings.space == "raw"

    @property
    def box_cells(self) -> int:
        """Side of the boxes over which channels are weighed in place of the training's patch."""
        return find_box(min(self.notes.patch_cells))


@dataclass(frozen=True, kw_only=True)
class Handling:
    """How a photograph is restored.

    Attributes:
        iso: Instead of the file's.
        iso_scale: The network is told this many times the ISO: 2 is smoother, 0.5 keeps more texture and noise. The
            sigma plane becomes that of such an ISO.
        strength: 1 is what the network returns, 0 the photograph as it was, mixed in linear light between.
        exact: As one piece would be; else tile by tile, with less memory.
        tile_cells: As in `learn.tiles.run_tiled`.
        halo_cells: As in `learn.tiles.run_tiled`.
        window_px: As in `place_frame`.
        any_sensor: As in `place_frame`.
    """

    iso: float | None = None
    iso_scale: float = 1.0
    strength: float = 1.0
    exact: bool = True
    tile_cells: int = TILE_CELLS
    halo_cells: int = HALO_CELLS
    window_px: tuple[int, int] | None = None
    any_sensor: bool = False

    def __post_init__(self) -> None:
        for name, value in (("iso", self.iso), ("iso_scale", self.iso_scale)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(name, value, "a finite number above 0")
        if not 0 <= self.strength <= 1:
            raise InputError("strength", self.strength, "a share from 0 to 1")


AS_IT_IS = Handling()


def open_restorer(
    path: str | os.PathLike[str], *, field: PolarPSFField | None = None, device: torch.device | str = "cpu"
) -> Restorer:
    """Load a network that `python -m learn.deblur train` made.

    Args:
        path: Its file.
        field: Of the photographs' lens; needed by networks that are given deconvolved planes, and not used by others.
        device: Where to run it.

    Raises:
        InputError: It is something else: another kind of network, or one whose planes are not those of its notes. Or it
            needs a field.
    """
    saved = load_network(path, device=device)
    source = Path(path).name
    notes = read_notes(saved.notes, str(path))
    planes, outputs = notes.settings.planes, len(COLOURS[notes.settings.space])
    config = saved.network.config
    if (config.in_planes, config.out_planes) != (len(planes), outputs):
        found = f"a network from {config.in_planes} to {config.out_planes} planes"
        raise InputError(
            f"{path}: planes", found, f"{len(planes)} to {outputs}, as it was trained: {', '.join(planes)}"
        )
    if notes.settings.deconvolved_dpt:
        if field is None:
            raise InputError(f"{path}: planes", "deconvolved ones", "the field of the lens to make them with (--field)")
        field = know_field(check_kernels(field), notes.settings.transmission)
    return Restorer(network=saved.network, notes=notes, source=source, field=field)


def restore_raw(
    photo: RawFile, restorer: Restorer, handling: Handling = AS_IT_IS, *, on_progress: Progress | None = None
) -> RawFile:
    """Restore a mosaic.

    Args:
        photo: What `read_raw` gave, of any Bayer pattern.
        restorer: Of mosaics.
        handling: How.
        on_progress: Called with steps done and in all.

    Returns:
        The same photograph, in black, white, colours and all else, with a restored mosaic; its noise profile is left
        out. A masked border stays as it was.
    """
    return photo.with_mosaic(restore_light(photo, restorer, handling, on_progress=on_progress))


def restore_light(
    photo: RawFile, restorer: Restorer, handling: Handling = AS_IT_IS, *, on_progress: Progress | None = None
) -> Tensor:
    """What `restore_raw` rounds to DN.

    Args:
        photo: What `read_raw` gave.
        restorer: Of mosaics.
        handling: How.
        on_progress: Called with steps done and in all.

    Returns:
        Light, 0 black and 1 white, not clipped, float32, shape (1, 1, H, W).
    """
    if not restorer.is_of_mosaics:
        raise InputError(restorer.source, "a network of developed pictures", "one of mosaics (restore_srgb takes it)")
    inner = photo if photo.active_area_px is None else photo.cropped(*photo.active_area_px)
    place = place_frame(inner.shape_px, restorer.notes, window_px=handling.window_px, any_sensor=handling.any_sensor)
    light = inner.normalised()
    aligned = align(light[0, 0], inner.pattern, check_pattern(restorer.notes.sensor.pattern))
    packed = pack(aligned.mosaic, aligned.pattern)
    place = replace(place, left_px=place.left_px + aligned.left, top_px=place.top_px + aligned.top)
    restored = _run(packed, photo.iso, restorer, place, handling, on_progress)
    whole = aligned.restore(unpack(restored, aligned.pattern), light[0, 0])
    if photo.active_area_px is not None:
        left, top, width, height = photo.active_area_px
        inside, whole = whole, photo.normalised()[0, 0]
        whole[top : top + height, left : left + width] = inside
    return whole[None, None]


def restore_srgb(
    photo: RawFile, restorer: Restorer, handling: Handling = AS_IT_IS, *, on_progress: Progress | None = None
) -> Tensor:
    """Develop a mosaic, then restore it, for networks that know developed pictures only.

    Args:
        photo: What `read_raw` gave; of square pixels.
        restorer: Of developed pictures.
        handling: How.
        on_progress: Called with steps done and in all.

    Returns:
        sRGB from 0 to 1, upright, the part that the maker shows, shape (1, 3, h, w).
    """
    if restorer.is_of_mosaics:
        raise InputError(restorer.source, "a network of mosaics", "one of developed pictures (restore_raw takes it)")
    if abs(photo.pixel_aspect - 1) > SQUARE:
        raise InputError("pixels", f"{photo.pixel_aspect:g} times as wide as high", "square ones for this network")
    inner = photo if photo.active_area_px is None else photo.cropped(*photo.active_area_px)
    place = place_frame(inner.shape_px, restorer.notes, window_px=handling.window_px, any_sensor=handling.any_sensor)
    srgb = develop(replace(inner, orientation=1, pixel_aspect=1.0), crop=False)
    restored = _run(srgb[0], photo.iso, restorer, place, handling, on_progress)[None].clamp(0, 1)
    if inner.crop_px is not None:
        left, top, width, height = inner.crop_px
        restored = restored[..., top : top + height, left : left + width]
    return turn_upright(restored, photo.orientation).contiguous()


def make_frame_planes(colours: Tensor, restorer: Restorer, place: FramePlace, iso: float | None) -> Tensor:
    """What a network is given of a whole frame: numbers as in its training, for any place on or about the sensor.

    Args:
        colours: Packed in the pattern of the training, shape (4, h, w), or sRGB, shape (3, H, W).
        restorer: Whose planes.
        place: Of the first pixel of `colours`.
        iso: What it is told; None only if it is not told.

    Returns:
        Shape (P, h, w).
    """
    notes, settings = restorer.notes, restorer.notes.settings
    if "ISO" in settings.planes and iso is None:
        raise InputError("ISO", "none in the photograph", "a number; give it as an argument (--iso)")
    told = settings.iso_range[0] if iso is None else iso
    shot, read = torch.zeros(1), torch.zeros(1)
    if settings.space == "rgb":
        read = torch.tensor([(settings.rgb_noise_sd * told / settings.iso_range[1]) ** 2])
    elif notes.noise is not None:
        shot, read = (level.reshape(-1) for level in notes.noise.levels(told, outside="extend"))
    has_iso, has_place = settings.aux in ("iso", "iso_field"), settings.aux in ("field", "iso_field")
    planes = make_planes(
        colours,
        settings.changed(aux="iso" if has_iso else "none", deconvolved_dpt=()),
        iso=told,
        shot=shot,
        read=read,
        window_px=(0, 0),
        image_shape_px=notes.image_shape_px,
    )
    if has_place:
        planes = torch.cat([planes, _place_cells(colours, restorer, place).to(planes)])
    if not settings.deconvolved_dpt:
        return planes
    assert restorer.field is not None
    if place.image_shape_px != restorer.field.image_shape_px:
        found = f"a sensor of {place.image_shape_px} px"
        raise InputError(
            "sensor", found, f"the field's own of {restorer.field.image_shape_px} px, for {restorer.source}"
        )
    variance = find_variance(colours, shot, read)
    sharpened = make_lens_planes(
        colours,
        restorer.field,
        settings.deconvolved_dpt,
        noise_variance=variance,
        corner_px=(place.left_px, place.top_px),
        pattern=check_pattern(notes.sensor.pattern),
    )
    return torch.cat([planes, sharpened])


def _place_cells(colours: Tensor, restorer: Restorer, place: FramePlace) -> Tensor:
    """Image heights of the cells of a frame, shape (1, h, w) or of x and y (2, h, w)."""
    settings = restorer.notes.settings
    # Like those of the training, but for windows that do not lie on even pixels inside the sensor.
    shape, cell_px = (int(colours.shape[1]), int(colours.shape[2])), 2 if settings.space == "raw" else 1
    x, y = find_heights(shape, (0, 0), place.image_shape_px, cell_px)
    half = 0.5 * math.hypot(*place.image_shape_px)
    x, y = x + place.left_px / half, y - place.top_px / half
    if settings.field_planes == "radius":
        return torch.hypot(x[None, :], y[:, None])[None]
    return torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]))


def _run(
    colours: Tensor,
    photo_iso: float | None,
    restorer: Restorer,
    place: FramePlace,
    handling: Handling,
    on_progress: Progress | None,
) -> Tensor:
    """Colours (P, h, w) restored."""
    iso = photo_iso if handling.iso is None else handling.iso
    _warn_of_iso(iso, restorer)
    told = None if iso is None else iso * handling.iso_scale
    weight = restorer.network.intro.weight
    # The sensor of the training saturates at 1; a file's defective pixels may lie above.
    planes = make_frame_planes(colours.clamp_max(1), restorer, place, told)[None].to(weight)
    if handling.strength == 0:
        return colours
    restored = run_tiled(
        restorer.network,
        planes,
        exact=handling.exact,
        box_cells=restorer.box_cells,
        tile_cells=handling.tile_cells,
        halo_cells=handling.halo_cells,
        on_progress=on_progress,
    )[0].to(colours)
    return restored if handling.strength == 1 else torch.lerp(colours, restored, handling.strength)


def _warn_of_iso(iso: float | None, restorer: Restorer) -> None:
    low, high = restorer.notes.settings.iso_range
    if "ISO" in restorer.notes.settings.planes and iso is not None and not low <= iso <= high:
        known = f"{low:g} to {high:g}, which {restorer.source} was trained for"
        warnings.warn(f"ISO {iso:g} lies outside {known}", stacklevel=4)
