"""A sensor's noise from single frames, one or more per ISO, without pairs: variances and means of small tiles.

1. Tiles of 16 x 16 in each plane; a tile with a pixel at 0 or at white is left out.
2. Variance of the high-pass residual: the 3 x 3 kernel (1 -2 1; -2 4 -2; 1 -2 1) / 6, which leaves white noise its
   variance and takes planes and smooth shading away.
3. Tiles whose sixteen 4 x 4 means wander more about a plane than noise allows hold an edge or texture and are left
   out. Those means hold low frequencies, the residual high ones, so the choice does not favour quiet noise.
4. Of the rest, tiles below the line count, and what the cut takes from a chi^2 distribution is given back; fine
   texture only ever adds variance, so it lies above. The line is drawn again until it stays.
5. A term q m^2 is fitted with the line and kept where it is there: unequal pixels (PRNU), and texture that grows with
   the light.

Limits. One frame does not tell a fixed pattern from noise: what of it remains makes k and sigma^2 too large. Noise
reduced in the camera makes them too small, as smoothing takes the high frequencies. Pairs see both; prefer them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from psf import InputError

from .calibration import PhotonTransfer, PlaneLine, check_line, compare_planes, name_plane, read_black
from .frame_pairs import CLIP_SD
from .moments import ROUNDING_DN2

TILE_PX, BLOCK_PX = 16, 4
# Of the mean square of 14 x 14 residuals of white noise of variance 1 (neighbours are correlated by -2/3 and 1/6 along
# each axis; some 56 independent samples): the tenth percentile, the mean of what lies below 1, and by how much more
# than that mean the scale of such a distribution has moved.
TENTH, SEEN, GAIN = 0.770, 0.8592, 2.83
# Block means wander by at most this much, in variances of noise alone, of which 13 degrees of freedom are left.
MOST_WANDER, WANDER_FREEDOM = 1.5, 13
BINS, ROUNDS, FOLDS = 12, 30, 24
LEAST_TILES, LEAST_PER_BIN, LEAST_BINS, LEAST_RATIO = 120, 10, 4, 4.0
# How far and how surely a bin may lie off the line, and how sure the bend must be to be kept.
MOST_MISS, SURE = 0.15, 5.0


@dataclass(frozen=True, eq=False)
class TileStats:
    """The tiles of one frame, those without clipped pixels; lists hold one tensor (T,) per plane.

    Attributes:
        mean_dn: Black included.
        variance_dn2: Of the high-pass residual, rounding included.
        wander_dn2: Variance of 4 x 4 means about a plane, times 16: about the variance where there is noise alone.
        tiles: How many there were, clipped ones included.
        name: What the frame is called in messages.
    """

    mean_dn: tuple[Tensor, ...]
    variance_dn2: tuple[Tensor, ...]
    wander_dn2: tuple[Tensor, ...]
    tiles: int
    name: str = ""


def measure_tiles(frame: Tensor, *, white_dn: float, name: str = "") -> TileStats:
    """Reduce one frame to means and variances of its tiles.

    Args:
        frame: Whole DN, any real dtype, shape (P, h, w), at least 64 x 64.
        white_dn: Where the sensor saturates.
        name: What the frame is called in messages.
    """
    where = name or "measure_tiles"
    if frame.ndim != 3 or not len(frame) or min(frame.shape[1:]) < 4 * TILE_PX:
        raise InputError(where, f"shape {tuple(frame.shape)}", f"(P, h, w), {4 * TILE_PX} x {4 * TILE_PX} px or more")
    if not 0 < white_dn < math.inf:
        raise InputError(f"{where} (white_dn)", white_dn, "DN above 0")
    if frame.is_floating_point() and not bool((frame.frac() == 0).all()):
        raise InputError(where, "DN that are not whole", "a frame as the sensor gave it, not averaged or processed")
    planes = [_measure_plane(plane, white_dn) for plane in frame.double()]
    means, variances, wanders = zip(*planes, strict=True)
    return TileStats(means, variances, wanders, frame.shape[1] // TILE_PX * (frame.shape[2] // TILE_PX), name)


def fit_tiles(
    frames: Sequence[TileStats], *, white_dn: float, black_dn: float | Sequence[float], iso: float
) -> PhotonTransfer:
    """The photon transfer of one ISO from single frames; see the module for the method and its limits.

    Args:
        frames: Scenes with calm parts from dark to bright, evenly lit or dark frames among them if there are any.
        white_dn: Where the sensor saturates.
        black_dn: One number, or one per plane.
        iso: Of all frames.

    Returns:
        Lines with bins of tiles for levels, and notes. What cannot support a line is an InputError.
    """
    if not (isinstance(iso, int | float) and 0 < iso < math.inf):
        raise InputError("fit_tiles(iso)", repr(iso), "a number above 0")
    where = f"ISO {iso:g}"
    if not frames:
        raise InputError(where, "no frame", "one or more")
    planes = len(frames[0].mean_dn)
    if any(len(one.mean_dn) != planes for one in frames):
        raise InputError(where, "frames of different numbers of planes", f"{planes} in all of them")
    blacks = read_black(black_dn, planes, white_dn).tolist()
    notes = [f"{where}: from single frames; unequal pixels and fine texture that remain make k and sigma^2 too large"]
    lines = tuple(
        _fit_plane(f"{where}, plane {name_plane(p, planes)}", frames, p, blacks[p], white_dn, notes)
        for p in range(planes)
    )
    notes += compare_planes(where, lines)
    names = tuple(f"tiles {n}" for n in range(BINS))
    return PhotonTransfer(float(iso), lines, float(white_dn), names, tuple(notes), "tiles")


def _measure_plane(plane: Tensor, white_dn: float) -> tuple[Tensor, Tensor, Tensor]:
    tall, wide = plane.shape[0] // TILE_PX, plane.shape[1] // TILE_PX
    whole = plane[: tall * TILE_PX, : wide * TILE_PX]
    tiles = whole.reshape(tall, TILE_PX, wide, TILE_PX).transpose(1, 2).reshape(-1, TILE_PX, TILE_PX)
    tiles = tiles[(tiles.amin((1, 2)) > 0) & (tiles.amax((1, 2)) < white_dn)]
    bent = tiles.diff(n=2, dim=1).diff(n=2, dim=2) / 6
    means = tiles.reshape(-1, 4, BLOCK_PX, 4, BLOCK_PX).mean((2, 4))
    flat = means.reshape(-1, 16)
    rise = torch.tensor([-1.5, -0.5, 0.5, 1.5], dtype=plane.dtype)
    down, right = rise.repeat_interleave(4), rise.repeat(4)
    rest = flat.square().sum(1) - flat.sum(1).square() / 16
    for slope in (down, right):
        rest = rest - (flat @ slope).square() / slope.square().sum()
    wander = rest.clamp_min(0) * BLOCK_PX**2 / WANDER_FREEDOM
    return flat.mean(1), bent.square().mean((1, 2)), wander


def _fit_plane(
    where: str, frames: Sequence[TileStats], p: int, black_dn: float, white_dn: float, notes: list[str]
) -> PlaneLine:
    mean, variance, wander = (
        torch.cat([getattr(frame, one)[p] for frame in frames]) for one in ("mean_dn", "variance_dn2", "wander_dn2")
    )
    sd = variance.sqrt()
    inside = (mean + CLIP_SD * sd < white_dn) & (mean - CLIP_SD * sd > 0)
    mean, variance, wander = mean[inside] - black_dn, variance[inside], wander[inside]
    total = sum(frame.tiles for frame in frames)
    if len(mean) < LEAST_TILES:
        found = f"{len(mean)} of {total} tiles of {TILE_PX} x {TILE_PX} px that are not clipped"
        raise InputError(where, found, f"{LEAST_TILES} or more")
    first = _find_envelope(mean, variance)
    line, calm = _iterate(mean, variance, wander, first, bend=False)
    if int(calm.sum()) < LEAST_TILES:
        raise InputError(where, f"{int(calm.sum())} of {total} tiles without texture", f"{LEAST_TILES} or more")
    _check_span(where, mean[calm])
    bent, calm_bent = _iterate(mean, variance, wander, torch.cat([line, line.new_zeros(1)]), bend=True)
    spread = _jackknife(mean, variance, wander, bent, bend=True)
    q, q_error = float(bent[2]), math.sqrt(max(float(spread[2, 2]), 0.0))
    if q > SURE * q_error:
        notes.append(f"{where}: a fixed pattern of {100 * math.sqrt(q):.2g} % of the light was told from the noise")
        line, calm, covariance = bent, calm_bent, spread[:2, :2]
    else:
        covariance = _jackknife(mean, variance, wander, line, bend=False)
        q = 0.0
    k, sigma2 = float(line[1]), float(line[0]) - ROUNDING_DN2
    levels, off = _bin_tiles(mean[calm], variance[calm], line)
    # From (1, m) to (k, sigma^2).
    covariance = covariance.flip(0, 1)
    check_line(where, k, covariance)
    if off > MOST_MISS:
        why = "texture everywhere, a tone curve, or noise reduced in the camera"
        raise InputError(where, f"variances {100 * off:.0f} % off the line", f"{100 * MOST_MISS:.0f} % at most ({why})")
    if sigma2 < 0:
        notes.append(f"{where}: sigma^2 comes out at {sigma2:.3g} DN^2; 0 is taken")
    means, values, errors = levels
    values = values - ROUNDING_DN2 - q * means.square()
    used = torch.ones_like(means, dtype=torch.bool)
    chi2 = float(((values - k * means - sigma2) / errors).square().sum()) / max(len(means) - 2, 1)
    return PlaneLine(k, max(sigma2, 0.0), covariance, chi2, black_dn, means, values, errors, used)


def _find_envelope(mean: Tensor, variance: Tensor) -> Tensor:
    """A first line (sigma^2, k) through the quietest tenth of each bin of means, by the median of all slopes."""
    edges = torch.linspace(float(mean.quantile(0.01)), float(mean.quantile(0.99)), BINS + 1, dtype=mean.dtype)
    places = torch.bucketize(mean, edges[1:-1])
    filled = [places == n for n in range(BINS) if int((places == n).sum()) >= LEAST_PER_BIN]
    m = torch.stack([mean[one].median() for one in filled])
    v = torch.stack([variance[one].quantile(0.1) for one in filled]) / TENTH
    if len(m) < 2:
        return torch.stack([v.min(), v.new_zeros(())])
    rows, cols = torch.triu_indices(len(m), len(m), 1)
    k = ((v[cols] - v[rows]) / (m[cols] - m[rows])).median().clamp_min(0)
    return torch.stack([(v - k * m).median().clamp_min(ROUNDING_DN2), k])


def _iterate(
    mean: Tensor, variance: Tensor, wander: Tensor, start: Tensor, *, bend: bool, rounds: int = ROUNDS
) -> tuple[Tensor, Tensor]:
    """Coefficients of m^0, m^1 (and m^2) and which tiles are calm by them."""
    design = torch.stack([mean**power for power in range(3 if bend else 2)], -1)
    line = start
    calm = torch.ones_like(mean, dtype=torch.bool)
    for _ in range(rounds):
        model = (design @ line).clamp_min(ROUNDING_DN2)
        calm = wander < MOST_WANDER * model
        low = calm & (variance < model)
        if int(low.sum()) < 8:
            break
        x, y = design[low] / model[low, None], variance[low] / SEEN / model[low]
        scale = x.square().sum(0).sqrt().clamp_min(1e-300)
        found = torch.linalg.lstsq(x / scale, y[:, None]).solution[:, 0] / scale
        step = found - line
        settled = float((step.abs() * design.mean(0)).sum()) < 1e-5 * float((found * design.mean(0)).sum().abs())
        line = line + step
        if settled:
            break
    return line, calm


def _jackknife(mean: Tensor, variance: Tensor, wander: Tensor, line: Tensor, *, bend: bool) -> Tensor:
    """Covariance of the coefficients from fits that leave a part of the tiles out."""
    fold = torch.arange(len(mean)) % FOLDS
    found = [
        _iterate(mean[fold != n], variance[fold != n], wander[fold != n], line, bend=bend, rounds=8)[0]
        for n in range(FOLDS)
    ]
    off = torch.stack(found) - torch.stack(found).mean(0)
    return (FOLDS - 1) / FOLDS * off.mT @ off


def _check_span(where: str, mean: Tensor) -> None:
    low, high = float(mean.quantile(0.05)), float(mean.quantile(0.95))
    if low > 0 and high / low < LEAST_RATIO:
        raise InputError(
            where, f"calm tiles within a factor of {high / low:.1f}", f"a factor of {LEAST_RATIO:g} or more"
        )
    counts = torch.histc(mean, BINS, float(mean.min()), float(mean.max()))
    if int((counts >= LEAST_PER_BIN).sum()) < LEAST_BINS:
        raise InputError(where, "calm tiles of too few different means", f"{LEAST_PER_BIN} tiles in {LEAST_BINS} bins")


def _bin_tiles(mean: Tensor, variance: Tensor, line: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], float]:
    """Means, variances and errors of bins of calm tiles, (L,) each, and the largest sure miss of the line."""
    below = mean.new_tensor(range(len(line)))
    model = ((mean[:, None] ** below) @ line).clamp_min(ROUNDING_DN2)
    order = mean.argsort()
    means, values, errors, off = [], [], [], 0.0
    for part in order.tensor_split(BINS):
        low = part[variance[part] < model[part]]
        if len(low) < LEAST_PER_BIN // 2:
            continue
        ratio = variance[low] / model[low] / SEEN
        centre = model[part].mean()
        error, miss = GAIN * ratio.std() / math.sqrt(len(low)), GAIN * (ratio.mean() - 1)
        means.append(mean[part].mean())
        values.append(centre * (1 + miss))
        errors.append(centre * error)
        if abs(float(miss)) > SURE * float(error):
            off = max(off, abs(float(miss)))
    return (torch.stack(means), torch.stack(values), torch.stack(errors)), off
