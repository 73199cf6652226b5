"""Photon transfer: a sensor's noise measured from pairs of evenly lit frames and of dark ones.

Healey and Kondepudy, PAMI 1994. A pixel's variance from exposure to exposure grows with its mean in a straight line:
the slope k is DN per electron, the intercept is sigma^2. `render.frame_pairs.measure_pair` reduces two frames to a few
numbers, `fit_pairs` draws the line of one ISO, `fit_iso_model` joins the ISOs to a `NoiseModel`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from psf import InputError

from .bayer import PLANES
from .frame_pairs import ERRORS, PairStats, find_fault
from .moments import ROUNDING_DN2, remove_rounding
from .noise import NoiseModel
from .noise_curves import Polynomial, Table

REWEIGHTINGS = 3
# What a line needs, and how well it must lie. Levels count as two when their means are 5 % apart.
LEAST_LEVELS, LEAST_RATIO, MOST_CHI2, MOST_SLOPE_ERROR, APART = 4, 4.0, 3.0, 0.05, 1.05
# Millions of pixels see bends that do no harm: variances off by less than this share are a note, not a refusal.
MOST_BEND = 0.02
BY_CHANCE = 1e-4
MOST_PLANE_SPREAD, MOST_BLACK_OFFSET_DN, MOST_CORRELATION = 0.1, 0.5, 0.03
# A dark frame brighter than this share of the range has seen light.
MOST_DARK = 0.02
# Below this the width of the noise cannot be read off whole DN, unless a pattern spreads the means.
NARROWEST_SD_DN, SPREAD_DN = 0.25, 0.5
# Nominal ISO steps are true to a percent or so. A curve over the ISO that misses a measured level by more than the
# share is not used.
ISO_SHARE, MOST_CURVE_MISS = 0.01, 0.05


@dataclass(frozen=True, eq=False)
class PlaneLine:
    """The photon transfer of one plane at one ISO.

    Attributes:
        k_dn: Slope: DN per electron.
        sigma2_dn2: Variance without light, without rounding; 0 where the line came out below.
        covariance: Of (k, sigma^2), shape (2, 2).
        chi2: Of the line, per degree of freedom.
        black_dn: Mean of the dark frames, or what was given.
        mean_dn: Of every level above black, shape (L,).
        variance_dn2: Of every level, rounding taken off, shape (L,).
        error_dn2: Standard error of that, shape (L,).
        used: Whether the level counted, shape (L,).
        row_sd_dn: Common noise of a row's pixels in the dark; 0 if there was none, or no dark pair.
    """

    k_dn: float
    sigma2_dn2: float
    covariance: Tensor
    chi2: float
    black_dn: float
    mean_dn: Tensor
    variance_dn2: Tensor
    error_dn2: Tensor
    used: Tensor
    row_sd_dn: float = 0.0

    @property
    def k_error_dn(self) -> float:
        """Standard error of the slope."""
        return math.sqrt(max(float(self.covariance[0, 0]), 0.0))

    @property
    def sigma2_error_dn2(self) -> float:
        """Standard error of the intercept."""
        return math.sqrt(max(float(self.covariance[1, 1]), 0.0))


@dataclass(frozen=True, eq=False)
class PhotonTransfer:
    """What the frames of one ISO have shown.

    Attributes:
        iso: Of all its frames.
        lines: One per plane.
        white_dn: Of the sensor.
        level_names: What the levels are called, in the order of `PlaneLine.mean_dn`: flats, then dark pairs.
        notes: What somebody who trusts the numbers should know, a sentence each.
        method: "pairs" or "tiles".
    """

    iso: float
    lines: tuple[PlaneLine, ...]
    white_dn: float
    level_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    method: str = "pairs"

    def normalised(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """shot, read and their standard errors, normalised units, shape (P,) each, float64."""
        span = torch.tensor([self.white_dn - line.black_dn for line in self.lines], dtype=torch.float64)
        rows = [(line.k_dn, line.sigma2_dn2, line.k_error_dn, line.sigma2_error_dn2) for line in self.lines]
        k, sigma2, k_error, sigma2_error = torch.tensor(rows, dtype=torch.float64).unbind(1)
        return k / span, sigma2 / span.square(), k_error / span, sigma2_error / span.square()


def name_plane(plane: int, planes: int) -> str:
    """R, Gr, Gb or B of four planes, else the number."""
    return PLANES[plane] if planes == len(PLANES) else str(plane)


def fit_pairs(
    flats: Sequence[PairStats],
    darks: Sequence[PairStats] = (),
    *,
    white_dn: float,
    black_dn: float | Sequence[float] | None = None,
    iso: float,
) -> PhotonTransfer:
    """The photon transfer of one ISO.

    Args:
        flats: Pairs of evenly lit frames, best 8 or more levels from 1 % to 80 % of white.
        darks: Pairs with the cap on. Without them sigma^2 comes out several times less sure.
        white_dn: Where the sensor saturates.
        black_dn: What the file says, one number or one per plane; checked against the dark frames, and needed if there
            are none.
        iso: Of all frames.

    Returns:
        Lines, and notes on what is doubtful. What cannot support a line is an InputError that names the reason.
    """
    if not (isinstance(iso, int | float) and 0 < iso < math.inf):
        raise InputError("fit_pairs(iso)", repr(iso), "a number above 0")
    where = f"ISO {iso:g}"
    if not flats:
        raise InputError(where, "no pair of flat frames", f"{LEAST_LEVELS} or more levels, two frames each")
    planes = len(flats[0].mean_dn)
    if any(len(one.mean_dn) != planes for one in (*flats, *darks)):
        raise InputError(where, "pairs of different numbers of planes", f"{planes} in all of them")
    notes: list[str] = []
    blacks = _find_black(where, darks, black_dn, planes, white_dn, notes)
    lines = tuple(
        _fit_plane(f"{where}, plane {name_plane(p, planes)}", flats, darks, p, float(blacks[p]), white_dn, notes)
        for p in range(planes)
    )
    if darks and not any(bool(line.used[len(flats) :].any()) for line in lines):
        notes.append(f"{where}: no dark pair counted, sigma^2 rests on the flats alone")
    notes += compare_planes(where, lines)
    names = tuple(pair.name or f"level {n}" for n, pair in enumerate((*flats, *darks)))
    return PhotonTransfer(float(iso), lines, float(white_dn), names, tuple(dict.fromkeys(notes)))


def fit_line(mean_dn: Tensor, variance_dn2: Tensor, pixels: Tensor) -> tuple[float, float, Tensor, float]:
    """Weighted straight line through variances, rounding taken off, against means.

    A variance's error follows from its true value; the measured one would give low values too much weight. So the line
    itself says the weights, three times over.

    Args:
        mean_dn: Above black, shape (L,), L of at least 2.
        variance_dn2: Shape (L,).
        pixels: How many gave each variance, shape (L,).

    Returns:
        Slope, intercept, their covariance (2, 2), and chi^2 per degree of freedom (0 for two points).
    """
    if not (mean_dn.ndim == 1 and mean_dn.shape == variance_dn2.shape == pixels.shape and len(mean_dn) > 1):
        shapes = [tuple(one.shape) for one in (mean_dn, variance_dn2, pixels)]
        raise InputError("fit_line", f"shapes {shapes}", "three of shape (L,), L of 2 or more")
    if float(mean_dn.max() - mean_dn.min()) <= 0:
        raise InputError("fit_line(mean_dn)", "means that are all alike", "different levels")
    design = torch.stack([mean_dn, torch.ones_like(mean_dn)], -1)
    model = variance_dn2
    for _ in range(REWEIGHTINGS + 1):
        total = (model + ROUNDING_DN2).clamp_min(ROUNDING_DN2 / 2)
        weights = (pixels - 1) / (2 * total.square())
        normal = design.mT @ (weights[:, None] * design)
        found = torch.linalg.solve(normal, design.mT @ (weights * variance_dn2))
        model = design @ found
    chi2 = float((weights * (variance_dn2 - model).square()).sum()) / max(len(mean_dn) - 2, 1)
    return float(found[0]), float(found[1]), torch.linalg.inv(normal), chi2 if len(mean_dn) > 2 else 0.0


def fit_iso_model(
    transfers: Sequence[PhotonTransfer], *, name: str = "", source: str = "calibrated"
) -> tuple[NoiseModel, tuple[str, ...]]:
    """Join the ISOs: k = a ISO + b and sigma^2 = c ISO^2 + d ISO + e, weighted, not below 0 over the range.

    Two ISOs leave sigma^2 = c ISO^2 + e. Where such curves miss a measured level by more than 5 % and five standard
    errors (two gains in one sensor, noise reduction from some ISO on), or where there is one ISO only, the model is the
    table of what was measured.

    Args:
        transfers: One or more, of different ISOs, with the same planes.
        name: What the sensor is called.
        source: Where the frames came from.

    Returns:
        The model, known from the lowest to the highest ISO measured, and notes.
    """
    if not transfers:
        raise InputError("fit_iso_model(transfers)", "none", "one or more")
    ordered = sorted(transfers, key=lambda one: one.iso)
    iso = [one.iso for one in ordered]
    if len(set(iso)) != len(iso):
        raise InputError("fit_iso_model(transfers)", f"ISO values {iso}", "different ones")
    if len({len(one.lines) for one in ordered}) != 1 or len(ordered[0].lines) not in (1, len(PLANES)):
        raise InputError("fit_iso_model(transfers)", f"{[len(one.lines) for one in ordered]} planes", "1 or 4 in all")
    columns = zip(*(one.normalised() for one in ordered), strict=True)
    shot, read, shot_error, read_error = (torch.stack(column) for column in columns)
    ends = (iso[0], iso[-1])
    table = NoiseModel(
        Table(tuple(iso), tuple(map(tuple, shot.tolist())), tuple(map(tuple, read.tolist()))), ends, name, source
    )
    if len(iso) == 1:
        return table, (f"one ISO only: the model holds at ISO {iso[0]:g} and nowhere else",)
    shots = [_fit_powers(iso, shot[:, p], shot_error[:, p], (0, 1)) for p in range(shot.shape[1])]
    powers = (0, 1, 2) if len(iso) > 2 else (0, 2)
    reads = [_fit_powers(iso, read[:, p], read_error[:, p], powers) for p in range(read.shape[1])]
    shot_0, shot_1, _ = zip(*shots, strict=True)
    read_0, read_1, read_2 = zip(*reads, strict=True)
    model = NoiseModel(Polynomial(shot_0, shot_1, read_0, read_1, read_2), ends, name, source)
    misses = []
    fitted = [one.reshape(len(iso), -1) for one in model.levels(torch.tensor(iso, dtype=torch.float64))]
    for what, curve, level, error in zip(("shot", "read"), fitted, (shot, read), (shot_error, read_error), strict=True):
        off = (curve - level).abs()
        wrong = (off > MOST_CURVE_MISS * level) & (off > ERRORS * error)
        if bool(wrong.any()):
            row, plane = wrong.nonzero()[0].tolist()
            share = 100 * float(curve[row, plane] / level[row, plane].clamp_min(1e-30) - 1)
            misses.append(f"{what} at ISO {iso[row]:g} ({share:+.0f} %)")
    if not misses:
        return model, ()
    told = f"polynomials over ISO miss {' and '.join(misses)}: the model is the table of what was measured"
    return table, (told,)


def read_black(black_dn: float | Sequence[float], planes: int, white_dn: float) -> Tensor:
    """Black of every plane in DN, float64, shape (P,), from one number or one per plane; checked."""
    told = torch.as_tensor(black_dn, dtype=torch.float64)
    fits = told.ndim == 0 or (told.ndim == 1 and len(told) in (1, planes))
    if not (fits and bool(((told >= 0) & (told < white_dn)).all())):
        raise InputError("black_dn", black_dn, f"one number or {planes}, from 0 to below white, {white_dn:g}")
    return told.expand(planes)


def find_most_chi2(freedom: int) -> float:
    """The largest reduced chi^2 of an honest line: 3, or for few levels what one line in ten thousand exceeds."""
    from scipy.stats import chi2

    return max(MOST_CHI2, float(chi2.isf(BY_CHANCE, freedom)) / freedom) if freedom > 0 else math.inf


def check_line(where: str, k_dn: float, covariance: Tensor, chi2: float = 0.0, most_chi2: float = MOST_CHI2) -> None:
    """Refuse a slope that is none, unsure or bent; covariance (2, 2)."""
    error = math.sqrt(max(float(covariance[0, 0]), 0.0))
    if not k_dn > 0:
        expected = "variance that grows with light; are the frames RAW, and flat?"
        raise InputError(where, f"a slope k of {k_dn:.3g} DN", expected)
    if chi2 > most_chi2:
        why = "the response is not linear, or noise was reduced in the camera, or the file is compressed with loss"
        raise InputError(where, f"variances off the line, chi^2 {chi2:.1f}", f"at most {most_chi2:.2g} (curved: {why})")
    if error > MOST_SLOPE_ERROR * k_dn:
        found = f"a slope k known to {100 * error / k_dn:.0f} %"
        raise InputError(where, found, f"{100 * MOST_SLOPE_ERROR:.0f} % or better: more pixels, pairs or levels")


def compare_planes(where: str, lines: Sequence[PlaneLine]) -> list[str]:
    """A note if the planes' slopes differ by more than 10 %."""
    slopes = [line.k_dn for line in lines]
    spread = max(slopes) / min(slopes) - 1
    if spread <= MOST_PLANE_SPREAD:
        return []
    told = ", ".join(f"{name_plane(p, len(lines))} {k:.3g}" for p, k in enumerate(slopes))
    return [f"{where}: the planes' k differ by {100 * spread:.0f} % ({told} DN): gains per colour before the file?"]


def _find_black(
    where: str,
    darks: Sequence[PairStats],
    black_dn: float | Sequence[float] | None,
    planes: int,
    white_dn: float,
    notes: list[str],
) -> Tensor:
    told = None if black_dn is None else read_black(black_dn, planes, white_dn)
    if not darks:
        if told is None:
            raise InputError(where, "no dark frames and no black level", "dark pairs, or black_dn")
        notes.append(f"{where}: no dark frames; black is as the file says, and sigma^2 rests on the flats alone")
        return told
    measured = torch.stack([one.mean_dn for one in darks]).mean(0)
    if told is None:
        return measured
    for p in range(planes):
        off, plane = float(measured[p] - told[p]), name_plane(p, planes)
        if off > MOST_DARK * (white_dn - float(told[p])):
            found = f"dark frames {off:.0f} DN above black, {float(told[p]):g} DN"
            raise InputError(f"{where}, plane {plane}", found, "frames without light")
        if abs(off) > MOST_BLACK_OFFSET_DN:
            notes.append(f"{where}, plane {plane}: dark frames lie {off:+.2f} DN off black, {float(told[p]):g} DN")
    return measured


def _fit_plane(
    where: str,
    flats: Sequence[PairStats],
    darks: Sequence[PairStats],
    p: int,
    black_dn: float,
    white_dn: float,
    notes: list[str],
) -> PlaneLine:
    pairs = [*flats, *darks]
    raw, variance, pixels, pattern = (
        torch.stack([getattr(pair, one)[p] for pair in pairs])
        for one in ("mean_dn", "variance_dn2", "pixels", "pattern_sd_dn")
    )
    mean = raw - black_dn
    mean[len(flats) :] = 0
    rest = remove_rounding(variance, raw, pattern)
    row_dark_dn2 = max(sum(float(one.row_variance_dn2[p]) for one in darks) / max(len(darks), 1), 0.0)
    faults = [find_fault(pair, p, black_dn, white_dn, row_dark_dn2) for pair in flats]
    faults += [find_fault(pair, p, black_dn, white_dn, None) for pair in darks]
    for n, (sd, spread) in enumerate(zip(rest.sqrt().tolist(), pattern.tolist(), strict=True)):
        if not faults[n] and sd < NARROWEST_SD_DN and spread < SPREAD_DN:
            faults[n] = f"narrow: noise of {sd:.2f} DN is too little to be seen through whole DN"
    # Clipped levels are an ordinary end of a series; of the others the user should hear.
    notes += [
        f"{where}, {pair.name or 'a level'} left out: {fault}"
        for pair, fault in zip(pairs, faults, strict=True)
        if fault and not fault.startswith("clipped")
    ]
    used = torch.tensor([not fault for fault in faults])
    _check_levels(where, mean[: len(flats)][used[: len(flats)]], [fault for fault in faults[: len(flats)] if fault])
    k, sigma2, covariance, chi2 = fit_line(mean[used], rest[used], pixels[used])
    bend = float(
        (rest[used] / (k * mean[used] + sigma2 + ROUNDING_DN2).clamp_min(ROUNDING_DN2) - 1).square().mean().sqrt()
    )
    most_chi2 = find_most_chi2(int(used.sum()) - 2)
    check_line(where, k, covariance, chi2 if bend > MOST_BEND else 0.0, most_chi2)
    if chi2 > most_chi2:
        notes.append(f"{where}: the line is bent a little, variances lie {100 * bend:.1f} % off it (chi^2 {chi2:.1f})")
    if sigma2 < 0:
        notes.append(f"{where}: sigma^2 comes out at {sigma2:.3g} DN^2; 0 is taken")
    near = max((float(pair.correlation[p]) for pair, fault in zip(pairs, faults, strict=True) if not fault), key=abs)
    if abs(near) > MOST_CORRELATION + ERRORS / math.sqrt(float(pixels.min())):
        why = "noise reduced in the camera or lossy compression; k and sigma^2 are then too small"
        notes.append(f"{where}: the noise of neighbouring pixels is correlated ({near:+.2f}): {why}")
    model = (k * mean + max(sigma2, 0.0)).clamp_min(0) + ROUNDING_DN2
    error = model * (2 / (pixels - 1)).sqrt()
    levels = (mean, rest, error, used)
    return PlaneLine(k, max(sigma2, 0.0), covariance, chi2, black_dn, *levels, math.sqrt(row_dark_dn2))


def _check_levels(where: str, mean_dn: Tensor, faults: Sequence[str]) -> None:
    kinds = {fault.partition(":")[0]: fault for fault in reversed(faults)}
    counts = [sum(fault.startswith(kind) for fault in faults) for kind in kinds]
    told = [f"{count} x {example}" for count, example in zip(counts, kinds.values(), strict=True)]
    why = f" (left out: {'; '.join(told)})" if told else ""
    levels, last = 0, 0.0
    for mean in sorted(mean_dn.tolist()):
        if mean > APART * last:
            levels, last = levels + 1, mean
    if levels < LEAST_LEVELS:
        raise InputError(where, f"{levels} usable levels{why}", f"{LEAST_LEVELS} or more different ones")
    ratio = float(mean_dn.max() / mean_dn.min())
    if ratio < LEAST_RATIO:
        raise InputError(where, f"levels within a factor of {ratio:.1f}{why}", f"a factor of {LEAST_RATIO:g} or more")


def _fit_powers(
    iso: Sequence[float], level: Tensor, error: Tensor, powers: Sequence[int]
) -> tuple[float, float, float]:
    """Coefficients of ISO^0, ISO^1 and ISO^2 of a weighted fit that is not below 0 between the ends."""
    from scipy.optimize import nnls

    top = iso[-1]
    x = np.asarray(iso) / top
    y, sure = level.numpy(), np.hypot(error.numpy(), ISO_SHARE * level.numpy())
    weights = 1 / np.maximum(sure, 1e-30 + 1e-6 * np.max(np.abs(y)))
    design = np.stack([x**power for power in powers], -1)
    found = np.linalg.lstsq(design * weights[:, None], y * weights, rcond=None)[0]
    between = np.linspace(x[0], 1, 65)
    if min(np.stack([between**power for power in powers], -1) @ found) < 0:
        found = nnls(design * weights[:, None], y * weights)[0]
    whole = dict.fromkeys(range(3), 0.0) | dict(zip(powers, (float(one) for one in found), strict=True))
    return whole[0], whole[1] / top, whole[2] / top**2
