"""What stands in the rows of a table: ways to restore a sample, each with what it is told and what it was made for.

    methods = [make_input(), make_wiener(lens), load_trained("out/run/network.pt", name="RAW-ISO-Field")]
    restored = methods[2].restore(sample)

A method gives a packed mosaic (four planes) or a developed picture (three colours): the number of planes tells which.
Those with a known field work on demosaiced light, and their result is made a mosaic again, so that it is developed as
its target is: developed from all its colours, a result that amplifies noise lost up to half a dB by that alone.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from render import demosaic, mosaic, pack, process, unpack
from render.bayer import Pattern
from render.demosaicing import Method as Demosaicing

from ..field_files import hash_field
from ..networks import NAFNet, find_box, load_network
from ..patch_optics import FieldExtent, find_radii, know_field, measure_extent, restrict_radii, trim_field
from ..restorers import (
    PolyBlur,
    RidgeBank,
    find_cell_places,
    find_depth_by_blur,
    load_bank,
    restore_least_squares,
    restore_polyblur,
    restore_richardson_lucy,
    restore_ridge,
    restore_wiener,
)
from ..samples import Sample, make_planes
from ..variants import COLOURS, Transmission
from .notes import RestorerNotes, read_notes

# Chosen on photographs of a training side, with the field of a fixed-focus f/2.2 lens, ISO 100 to 3200.
POLYBLUR = PolyBlur(rounds=1, split_noise=True)
CAUTION = 100.0  # of Wiener, on light demosaiced by Malvar's filters; the others take bilinear
ROUNDS, DAMPING = 5, 3.0  # of Richardson-Lucy
# Not tuned.
SLOPE_SCALE, OUTER_ROUNDS, STEPS = 0.02, 3, 8  # of least squares
GUESS_M = 0.5

Takes = Literal["RAW", "RGB"]
Restore = Callable[[Sample], Tensor]


@dataclass(frozen=True, eq=False, kw_only=True)
class Method:
    """One way to restore samples.

    Attributes:
        name: Of its row. Networks of one name are seeds of one row.
        restore: From a sample to a packed mosaic (4, h, w) or a developed picture (3, H, W); pickled for workers.
        takes: What it works on.
        knows: What it is told beside the picture: "depth", "field" (the lens's kernels), "place" on the sensor, "ISO".
        note: What the row must say besides.
        fingerprint: Of all that its results depend on.
    """

    name: str
    restore: Restore
    takes: Takes
    knows: tuple[str, ...] = ()
    note: str = ""
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if not self.name or self.name != self.name.strip() or any(one in self.name for one in ',"\n\r'):
            raise InputError("Method.name", repr(self.name), "a name without commas, quotes and spaces around it")


@dataclass(frozen=True, eq=False, kw_only=True)
class KnownLens:
    """A lens whose kernels a method is told.

    Attributes:
        extent: Its field, with transmission 1 where the samples were made without the lens's losses.
        name: The lens's.
        sha256: Of the field's numbers.
        pattern: Of the mosaics.
        note: What rows must say, as that the samples were made by another lens.
    """

    extent: FieldExtent
    name: str
    sha256: str
    pattern: Pattern = "RGGB"
    note: str = ""


def know_lens(
    field: PolarPSFField, *, transmission: Transmission = "off", pattern: Pattern = "RGGB", note: str = ""
) -> KnownLens:
    """A lens as methods are told of it.

    Args:
        field: In single precision.
        transmission: As the samples were made (`SynthesisSettings.transmission`): only of "input" must a method undo
            the lens's losses.
        pattern: Of the mosaics.
        note: For the rows.
    """
    if field.kernels.dtype != torch.float32:
        raise InputError("know_lens(field)", field.kernels.dtype, "a field in single precision, torch.float32")
    seen = measure_extent(know_field(field, transmission))
    return KnownLens(extent=seen, name=field.provenance.lens, sha256=hash_field(field), pattern=pattern, note=note)


def make_input(name: str = "input") -> Method:
    """Nothing: the noisy input, developed as it is."""
    return Method(name=name, restore=_keep, takes="RAW", fingerprint=_hash("input"))


def make_polyblur(settings: PolyBlur = POLYBLUR, *, pattern: Pattern = "RGGB", name: str = "polyblur") -> Method:
    """PolyBlur on the developed picture.

    Args:
        settings: What it is told.
        pattern: Of the mosaics.
        name: Of the row.
    """
    note = f"{settings.rounds} rounds" + (", bilateral split" if settings.split_noise else "")
    return Method(
        name=name,
        restore=partial(_restore_polyblur, settings, pattern),
        takes="RGB",
        note=note,
        fingerprint=_hash("polyblur", settings, pattern),
    )


def make_wiener(
    lens: KnownLens, *, depth_m: float | None = None, caution: float = CAUTION, name: str = "wiener"
) -> Method:
    """Wiener with the known field, noise by the ISO, and the spectrum of photographs.

    Args:
        lens: Whose kernels are known.
        depth_m: One guess for all pictures; None: the true depth of every pixel.
        caution: What the noise is multiplied by.
        name: Of the row.
    """
    if depth_m is not None and not depth_m > 0:
        raise InputError("make_wiener(depth_m)", depth_m, "a depth above 0 m, or None")
    told: tuple[str, ...] = ("field", "place", "ISO")
    note = f"natural spectrum, noise x {caution:g}, Malvar's demosaicing"
    return Method(
        name=name,
        restore=partial(_restore_wiener, lens, depth_m, caution),
        takes="RAW",
        knows=("depth", *told) if depth_m is None else told,
        note=_join(note if depth_m is None else f"{note}, depth guessed {depth_m:g} m", lens.note),
        fingerprint=_hash("wiener", lens.sha256, lens.pattern, depth_m, caution, _is_clear(lens)),
    )


def make_blind_wiener(lens: KnownLens, *, caution: float = CAUTION, name: str = "wiener_blind") -> Method:
    """Wiener with the known field and no depth: what the picture's own blur tells of it (`find_depth_by_blur`).

    Args:
        lens: Whose kernels are known.
        caution: What the noise is multiplied by.
        name: Of the row.
    """
    return Method(
        name=name,
        restore=partial(_restore_blind_wiener, lens, caution),
        takes="RAW",
        knows=("field", "place", "ISO"),
        note=_join(f"depth by blur, natural spectrum, noise x {caution:g}, Malvar's demosaicing", lens.note),
        fingerprint=_hash("wiener_blind", lens.sha256, lens.pattern, caution, _is_clear(lens)),
    )


def make_richardson_lucy(
    lens: KnownLens, *, rounds: int = ROUNDS, damping: float = DAMPING, name: str = "richardson_lucy"
) -> Method:
    """Richardson-Lucy with every pixel's own kernel at its true depth.

    Args:
        lens: Whose kernels are known.
        rounds: How many.
        damping: Deviations of noise within which a prediction is good enough.
        name: Of the row.
    """
    return Method(
        name=name,
        restore=partial(_restore_richardson_lucy, lens, rounds, damping),
        takes="RAW",
        knows=("depth", "field", "place", "ISO"),
        note=_join(f"{rounds} rounds, damped within {damping:g} sd", lens.note),
        fingerprint=_hash("richardson_lucy", lens.sha256, lens.pattern, rounds, damping, _is_clear(lens)),
    )


def make_least_squares(
    lens: KnownLens,
    *,
    slope_scale: float = SLOPE_SCALE,
    rounds: int = OUTER_ROUNDS,
    steps: int = STEPS,
    name: str = "least_squares",
) -> Method:
    """Regularised least squares with every pixel's own kernel at its true depth; slow.

    Args:
        lens: Whose kernels are known.
        slope_scale: Of linear light per px: typical difference of neighbours.
        rounds: How often the prior's weights are set.
        steps: Of conjugate gradients in each.
        name: Of the row.
    """
    return Method(
        name=name,
        restore=partial(_restore_least_squares, lens, slope_scale, rounds, steps),
        takes="RAW",
        knows=("depth", "field", "place", "ISO"),
        note=_join(f"Huber slopes {slope_scale:g}, {rounds} x {steps} steps", lens.note),
        fingerprint=_hash("least_squares", lens.sha256, lens.pattern, slope_scale, rounds, steps, _is_clear(lens)),
    )


def make_ridge(bank: RidgeBank, *, name: str = "ridge", note: str = "") -> Method:
    """A ridge-regression filter bank, fitted to samples as networks are.

    Args:
        bank: As `learn.restorers.fit_ridge` gives it.
        name: Of the row.
        note: For the row: whose samples it was fitted to.
    """
    settings = bank.settings
    told = [key for key, is_used in (("place", settings.use_field), ("ISO", settings.use_iso)) if is_used]
    cells = settings.side_cells
    return Method(
        name=name,
        restore=partial(_restore_ridge, bank),
        takes="RAW",
        knows=tuple(told),
        note=_join(f"{cells} x {cells} cells", note),
        fingerprint=_hash("ridge", settings, hashlib.sha256(bank.filters.contiguous().numpy().tobytes()).hexdigest()),
    )


def load_ridge(path: str | os.PathLike[str], *, name: str = "ridge", note: str = "") -> Method:
    """A bank from its file, as a method.

    Args:
        path: As `learn.restorers.save_bank` wrote it.
        name: Of the row.
        note: For the row.
    """
    return make_ridge(load_bank(path), name=name, note=note)


def load_trained(
    path: str | os.PathLike[str],
    *,
    name: str,
    field_sha256: str = "",
    pattern: Pattern = "RGGB",
    lens: KnownLens | None = None,
) -> Method:
    """A trained network, with whatever planes it was trained with; one of developed pictures gets these.

    Args:
        path: As `python -m learn.deblur train` wrote it.
        name: Of the row.
        field_sha256: Of the samples' lens (`learn.field_files.hash_field`): one of another lens says so in its row.
        pattern: Of the mosaics.
        lens: For networks that are given deconvolved planes.
    """
    saved = load_network(path)
    notes = read_notes(saved.notes, os.fspath(path))
    settings = notes.settings
    if notes.sensor.pattern != pattern and settings.space == "raw":
        raise InputError(f"{path}: pattern", notes.sensor.pattern, f"{pattern}, as the evaluation set's mosaics have")
    if saved.network.config.in_planes != len(settings.planes):
        found = f"{saved.network.config.in_planes} planes"
        raise InputError(str(path), found, f"{len(settings.planes)}, as it was trained: {', '.join(settings.planes)}")
    seen = lens if settings.deconvolved_dpt else None
    if settings.deconvolved_dpt and seen is None:
        raise InputError(f"{path}: planes", "deconvolved ones", "the samples' lens to make them with (--field)")
    told = [key for key, word in (("place", "field"), ("ISO", "iso")) if word in settings.aux.split("_")]
    note = f"{notes.steps} steps"
    if field_sha256 and notes.field_sha256 != field_sha256:
        note += f", trained for another lens ({notes.lens or 'a perfect one'})"
    known = () if seen is None else (seen.sha256, _is_clear(seen))
    return Method(
        name=name,
        restore=partial(_restore_by_network, saved.network, notes, pattern, seen),
        takes="RAW" if settings.space == "raw" else "RGB",
        knows=(*(() if seen is None else ("field",)), *told),
        note=note,
        fingerprint=_hash("network", hashlib.sha256(Path(path).read_bytes()).hexdigest(), pattern, *known),
    )


def _keep(sample: Sample) -> Tensor:
    return _take_raw(sample)


def _restore_polyblur(settings: PolyBlur, pattern: Pattern, sample: Sample) -> Tensor:
    return restore_polyblur(_develop(sample, pattern), settings)[0]


def _restore_wiener(lens: KnownLens, guess_m: float | None, caution: float, sample: Sample) -> Tensor:
    light, depth_m, field = _see(lens, sample, guess_m, "malvar")
    # At the picture's own light: photographs before their gains are much darker than a grey card.
    variance = float(sample.read.mean() + sample.shot.mean() * light.mean().clamp_min(0))
    restored = restore_wiener(
        light, depth_m, field, noise_variance=variance, window=sample.drawn.window_px, caution=caution
    )
    return _to_mosaic(restored, lens)


def _restore_blind_wiener(lens: KnownLens, caution: float, sample: Sample) -> Tensor:
    light = demosaic(unpack(_take_raw(sample)[None], lens.pattern), lens.pattern, "malvar")
    window, shape = sample.drawn.window_px, (int(light.shape[2]), int(light.shape[3]))
    field = restrict_radii(lens.extent.field, find_radii(sample.image_shape_px, window, shape))
    variance = float(sample.read.mean() + sample.shot.mean() * light.mean().clamp_min(0))
    # Half of the pixels have measured green: white noise of twice the power at the frequencies that are looked at.
    depth_m = find_depth_by_blur(light, field, noise_variance=2 * variance, window=window)
    restored = restore_wiener(light, depth_m, field, noise_variance=variance, window=window, caution=caution)
    return _to_mosaic(restored, lens)


def _restore_richardson_lucy(lens: KnownLens, rounds: int, damping: float, sample: Sample) -> Tensor:
    light, depth_m, field = _see(lens, sample, None)
    restored = restore_richardson_lucy(
        light,
        depth_m,
        field,
        window=sample.drawn.window_px,
        rounds=rounds,
        damping=damping,
        shot=float(sample.shot.mean()),
        read=float(sample.read.mean()),
    )
    return _to_mosaic(restored, lens)


def _restore_least_squares(lens: KnownLens, slope_scale: float, rounds: int, steps: int, sample: Sample) -> Tensor:
    light, depth_m, field = _see(lens, sample, None)
    restored = restore_least_squares(
        light,
        depth_m,
        field,
        window=sample.drawn.window_px,
        slope_scale=slope_scale,
        rounds=rounds,
        steps=steps,
        shot=float(sample.shot.mean()),
        read=float(sample.read.mean()),
    )
    return _to_mosaic(restored, lens)


def _restore_ridge(bank: RidgeBank, sample: Sample) -> Tensor:
    packed = _take_raw(sample)
    shape = (int(packed.shape[1]), int(packed.shape[2]))
    radius, azimuth_rad = find_cell_places(shape, sample.drawn.window_px, sample.image_shape_px)
    iso = torch.tensor([sample.drawn.iso])
    return restore_ridge(bank, packed[None], iso, radius[None], azimuth_rad[None])[0]


def _restore_by_network(
    network: NAFNet, notes: RestorerNotes, pattern: Pattern, lens: KnownLens | None, sample: Sample
) -> Tensor:
    settings = notes.settings
    colours, read, shot = _take_raw(sample), sample.read, sample.shot
    if settings.space == "rgb":
        colours = _develop(sample, pattern)[0]
        # Its ISO plane stands for even noise in developed values: the noise that samples of this ISO had in training.
        deviation = settings.rgb_noise_sd * sample.drawn.iso / settings.iso_range[1]
        shot, read = torch.zeros(1), torch.tensor([deviation**2])
    planes = make_planes(
        colours,
        settings,
        iso=sample.drawn.iso,
        shot=shot,
        read=read,
        window_px=sample.drawn.window_px,
        image_shape_px=sample.image_shape_px,
        field=None if lens is None else lens.extent.field,
        pattern=pattern,
    )
    with torch.no_grad():
        restored: Tensor = network(planes[None], find_box(min(notes.patch_cells)))[0]
    return restored


def _take_raw(sample: Sample) -> Tensor:
    """What the sensor recorded, shape (4, h, w)."""
    if sample.metadata is None:
        raise InputError("sample", f"sRGB values, {tuple(sample.input.shape)}", "a sample in space 'raw'")
    return sample.input[: len(COLOURS["raw"])]


def _develop(sample: Sample, pattern: Pattern) -> Tensor:
    """What the sensor recorded as a viewer sees it, shape (1, 3, H, W)."""
    packed = _take_raw(sample)
    assert sample.metadata is not None
    return process(packed[None], sample.metadata, pattern=pattern)


def _see(
    lens: KnownLens, sample: Sample, guess_m: float | None, how: Demosaicing = "bilinear"
) -> tuple[Tensor, Tensor, PolarPSFField]:
    """Demosaiced light (1, 3, H, W), depth (1, 1, H, W), and the part of the field that they need."""
    light = demosaic(unpack(_take_raw(sample)[None], lens.pattern), lens.pattern, how)
    if guess_m is not None:
        depth_m = torch.full_like(light[:, :1], guess_m)
    elif sample.depth_m is not None:
        depth_m = sample.depth_m[None]
    else:
        raise InputError(f"sample {sample.drawn.index}", "no depth", "one for methods that are told it")
    shape = (int(light.shape[2]), int(light.shape[3]))
    radii = find_radii(sample.image_shape_px, sample.drawn.window_px, shape)
    least, greatest = (float(one) for one in depth_m.aminmax())
    return light, depth_m, trim_field(lens.extent, radii, (least, greatest))


def _to_mosaic(light: Tensor, lens: KnownLens) -> Tensor:
    """What a sensor would have recorded of (1, 3, H, W), shape (4, h, w): no more than white, no less than black."""
    return pack(mosaic(light.clamp(0, 1), lens.pattern), lens.pattern)[0]


def _is_clear(lens: KnownLens) -> bool:
    return bool((lens.extent.field.transmission == 1).all())


def _join(*notes: str) -> str:
    return ", ".join(note for note in notes if note)


def _hash(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
