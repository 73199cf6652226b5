"""What ruins an estimate, found before it is made: every finding has a number, a limit, a file and what to do."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from .capture_files import CapturePhoto, FolderPairs
from .capture_levels import Levels, fit_levels
from .capture_measures import PairMeasures, cut_tiles, measure_pair
from .captures import SAME_DISTANCE, Captures
from .errors import InputError

AIRY_UM = 2.44 * 0.55  # diameter of the first dark ring per f-number, green light

# A picture's numbers pile up at an end of their range, share of the pixels.
CLIPPED_SHARE = 1e-3
# Exponent that a picture may seem to have, and standard errors that it must differ from 1 by.
EXPONENT, SURE = 0.25, 4.0
# Exposure ratio of a pair, and how far one pair may be from the others of its focus.
GAIN, GAIN_SPREAD = 2.0, 0.03
FALL_OFF = 0.02
CONTRAST = 0.04
# Pixels that a picture may be out of place across the radius, where a lens of revolution does not shift it.
ACROSS_PX = 0.5
# Image height up to which a tile counts as being on the axis: its pixels lie on all sides of it.
AXIS = 0.08
# Mixed second moment over the kernel's spread squared, where a lens of revolution has none; the least, in px^2; and
# from where it is serious: kernels that change within a crop lean by half a px^2, too.
LEAN, LEAST_LEAN_PX2, SERIOUS_LEAN_PX2 = 0.15, 0.5, 1.0
PEAK = 60.0
# Share of half a window that a kernel's reach may fill.
FILLED = 1.0
AIRY_PX = 2.0
RESIDUAL = 0.6

Kind = Literal[
    "clipped", "curve", "exposure", "fall-off", "texture", "place", "shake", "moire", "window", "diffraction", "fit"
]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        kind: What it is about.
        file: Which file or pair, or how many pairs.
        value: The number found.
        limit: What it should not pass.
        told: The finding in a sentence, without the file.
        advice: What to do.
        is_serious: Whether an estimate will be wrong, rather than perhaps worse.
    """

    kind: Kind
    file: str
    value: float
    limit: float
    told: str
    advice: str
    is_serious: bool = True

    def line(self) -> str:
        """All of it in one line."""
        return f"{self.file}: {self.told}; {self.advice}"


@dataclass(frozen=True, eq=False)
class CaptureReport:
    """What `check_captures` found.

    Attributes:
        findings: The serious ones first.
        measures: Of every pair's first tile, the middle of a large one.
        levels: Exposure and fall-off of all.
    """

    findings: tuple[Finding, ...]
    measures: tuple[PairMeasures, ...]
    levels: Levels

    @property
    def is_good(self) -> bool:
        """Whether nothing serious was found."""
        return not any(one.is_serious for one in self.findings)


def check_captures(captures: Captures, on_progress: Callable[[int, int], None] | None = None) -> CaptureReport:
    """Look at every pair, and at all of them together.

    Args:
        captures: N pairs, on disk or in memory.
        on_progress: Called with steps done and in all.
    """
    if not len(captures):
        raise InputError("captures", "no pairs", "at least one")
    count = len(captures)

    def tell(done: int) -> None:
        if on_progress is not None:
            on_progress(done, 2 * count)

    measures: list[PairMeasures] = []
    findings: list[Finding] = []
    for index, name in enumerate(captures.names):
        findings += _check_files(captures, index)
        tiles = cut_tiles(captures[index])
        for n, tile in enumerate(tiles):
            one = measure_pair(tile)
            x_px, y_px = (float(place) for place in tile.middle())
            called = name if len(tiles) == 1 else f"{name} around column {x_px:.0f}, row {y_px:.0f}"
            findings += _check_tile(captures, called, one) + _check_place(called, one, float(tile.radius().mean()))
            if n == 0:
                measures.append(one)
        tell(index + 1)
    levels = fit_levels(captures, measures, lambda done, _: tell(count + done))
    findings += _check_light(captures, measures, levels)
    findings += _check_texture(captures, measures) + _check_sharpness(captures)
    return CaptureReport(tuple(sorted(findings, key=lambda one: not one.is_serious)), tuple(measures), levels)


def _check_files(captures: Captures, index: int) -> list[Finding]:
    """What the files themselves say, where the pictures come from files."""
    if not isinstance(captures.source, FolderPairs):
        return []
    row = captures.rows[index]
    found = []
    for file, photo, kind in zip(
        captures.source.files[row], captures.source.read_photos(row), ("sharp", "blurred"), strict=True
    ):
        found += _check_photo(file.name, photo)
        wanted = captures.sharp_f_number if kind == "sharp" else captures.f_number
        if photo.f_number and wanted and abs(photo.f_number / wanted - 1) > 0.06:
            told = f"taken at f/{photo.f_number:g} by its own account, where the manifest says f/{wanted:g}"
            advice = "exchange the two pictures or mend the manifest"
            found.append(Finding("place", file.name, photo.f_number, wanted, told, advice))
    return found


def _check_photo(name: str, photo: CapturePhoto) -> list[Finding]:
    found = []
    if photo.clipped is not None and (share := float(photo.clipped.double().mean())) > CLIPPED_SHARE:
        told = f"{100 * share:.2g} % of its pixels are saturated"
        found.append(Finding("clipped", name, share, CLIPPED_SHARE, told, "expose shorter"))
    if photo.was_curved:
        told = "its numbers had a tone curve, taken for sRGB's; cameras use others"
        advice = "photograph RAW, or develop to linear light"
        found.append(Finding("curve", name, 1.0, 0.0, told, advice, False))
    return found


def _check_tile(captures: Captures, name: str, one: PairMeasures) -> list[Finding]:
    found = []

    def add(kind: Kind, value: float, limit: float, told: str, advice: str, is_serious: bool = True) -> None:
        found.append(Finding(kind, name, value, limit, told, advice, is_serious))

    if one.clipped_share > CLIPPED_SHARE:
        told = f"{100 * one.clipped_share:.2g} % of a picture's pixels stand at an end of its range"
        add("clipped", one.clipped_share, CLIPPED_SHARE, told, "expose so that nothing is white or black")
    if one.contrast < CONTRAST:
        # Nothing else can be told of such a pair.
        told = f"contrast of {100 * one.contrast:.2g} % within a kernel's size"
        add("texture", one.contrast, CONTRAST, told, "show a pattern with detail there", False)
        return found
    excess = one.exponent - 1
    if abs(excess) > EXPONENT and abs(excess) > SURE * one.exponent_error:
        told = f"its light seems raised to a power of 1/{one.exponent:.2f}"
        add("curve", one.exponent, 1 + EXPONENT, told, "use linear light: RAW, or undo the tone curve")
    if not 1 / GAIN <= one.gain <= GAIN:
        told = f"the blurred picture is {one.gain:.3g} times as bright as the sharp one"
        advice = "set the exposure time for the f-number" if one.gain > 0.01 else "look whether the two belong together"
        add("exposure", one.gain, GAIN, told, advice, not 0.1 <= one.gain <= 10)
    # Shifts along the radius may be breathing, which an estimate takes out before it looks for kernels.
    reach, half = abs(one.shift_px[1]) + math.sqrt(2) * one.spread_px, captures.kernel_px / 2
    if reach > FILLED * half:
        told = f"its blur reaches {reach:.1f} px from the centre, half a kernel is {half:.1f} px"
        add("window", reach, FILLED * half, told, "take larger kernels, bin more, or leave out that distance")
    if abs(one.lean_px2) > max(LEAN * one.spread_px**2, LEAST_LEAN_PX2):
        told = f"its blur leans by {one.lean_px2:.2g} px^2 where a lens of revolution has none"
        add(
            "shake",
            one.lean_px2,
            LEAN * one.spread_px**2,
            told,
            "use a tripod and a remote release; square the display",
            abs(one.lean_px2) > SERIOUS_LEAN_PX2,
        )
    if one.peak > PEAK:
        told = (
            f"its spectrum has a line at a period of {one.peak_period_px:.1f} px, {one.peak:.0f} times its surroundings"
        )
        advice = "moire, if the pattern itself is not regular: bin more, or move the display a little"
        add("moire", one.peak, PEAK, told, advice, False)
    if one.residual > RESIDUAL:
        told = f"blurring the sharp picture explains all but {100 * one.residual:.0f} % of the blurred one's contrast"
        add("fit", one.residual, RESIDUAL, told, "look whether the two show the same, in the same place")
    return found


def _groups(captures: Captures) -> list[list[int]]:
    """Pairs by focus distance."""
    values = captures.focus_m.tolist()
    return [
        [n for n, one in enumerate(values) if math.isclose(one, focus_m, rel_tol=SAME_DISTANCE)]
        for focus_m in captures.focuses_m.tolist()
    ]


def _check_light(captures: Captures, measures: list[PairMeasures], levels: Levels) -> list[Finding]:
    found = []
    for group in _groups(captures):
        good = [n for n in group if measures[n].contrast >= CONTRAST and levels.gain[n] > 0]
        if len(good) < 3:
            continue
        middle = statistics.median(float(levels.gain[n]) for n in good)
        for n in good:
            off = float(levels.gain[n]) / middle - 1
            told_already = not 1 / GAIN <= float(levels.gain[n]) <= GAIN
            if not told_already and abs(off) > GAIN_SPREAD and abs(off) > SURE * float(levels.gain_error[n]) / middle:
                told = f"its exposure is {100 * off:+.1f} % off that of the others"
                advice = "expose for whole periods of the display, and leave its brightness alone"
                found.append(Finding("exposure", captures.names[n], off, GAIN_SPREAD, told, advice, False))
    loss = 1 - levels.fall_off_at(1.0)
    if abs(loss) > FALL_OFF:
        told = f"wide open the corner gets {100 * loss:.1f} % less light than the centre, against the sharp picture"
        advice = "kernels of unit sum cannot hold it: level_captures takes it out"
        found.append(Finding("fall-off", f"{len(captures)} pairs", loss, FALL_OFF, told, advice, False))
    return found


def _check_place(name: str, one: PairMeasures, radius: float) -> list[Finding]:
    """Shifts that no lens of revolution makes, across the radius. Along it they may be breathing."""
    # On the axis no direction is outwards: any shift there is one across.
    across = math.hypot(*one.shift_px) if radius < AXIS else abs(one.shift_px[1])
    if one.contrast < CONTRAST or across <= ACROSS_PX:
        return []
    told = f"its two pictures are {across:.1f} px out of place, across the radius"
    return [Finding("place", name, across, ACROSS_PX, told, "touch neither camera nor display")]


def _check_texture(captures: Captures, measures: list[PairMeasures]) -> list[Finding]:
    """Depths at which no pair has texture."""
    contrast = torch.tensor([one.contrast for one in measures])
    found = []
    for depth in captures.depths_m.tolist():
        best = float(contrast[captures.is_at(depth)].max())
        if best < CONTRAST:
            told = f"no pair at {depth:g} m has contrast within a kernel's size, {100 * best:.2g} % at most"
            names = [captures.names[n] for n in captures.is_at(depth).nonzero()[:, 0].tolist()]
            advice = "take that distance again with a pattern"
            found.append(Finding("texture", names[0] + (" ..." if names[1:] else ""), best, CONTRAST, told, advice))
    return found


def _check_sharpness(captures: Captures) -> list[Finding]:
    """Whether the sharp pictures are blurred by their own small aperture."""
    number, pitch_um = captures.sharp_f_number, captures.pitch_um
    if number is None or pitch_um is None or math.isinf(number):
        return []
    airy_px = AIRY_UM * number / pitch_um
    if airy_px <= AIRY_PX:
        return []
    told = f"at f/{number:g} the sharp pictures' Airy disc is {airy_px:.1f} px across: kernels come out relative to it"
    more = math.ceil(airy_px / AIRY_PX)
    advice = f"bin by {more}, open the aperture, or give the estimator the sharp picture's own kernel"
    return [Finding("diffraction", f"{len(captures)} pairs", airy_px, AIRY_PX, told, advice, False)]
