"""From sums over pixels to kernels at nodes: gains, fall-off, noise and smoothness come from the data as well."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from . import taps
from .mixing import mix_depths
from .normal_equations import Sums, View
from .priors import Strengths, find_amplitude, make_prior
from .solving import Quadratic, solve

# Fall-off of light between the apertures: exp(a r^2 + b r^4), a and b near 0 where the pairs do not tell.
FALL_OFF_RIDGE = 1e-6
# Depths whose pictures fit worse than the noise says count less, but never more than others.
LEAST_WEIGHT = 0.05
# Factors on all strengths of the prior that are tried on depths held back.
FACTORS = (0.5, 1.0, 2.0, 4.0)
# Then, on those across image height alone: lenses differ in how quickly kernels change towards the corner.
RADIUS_FACTORS = (0.3,)
# Every so-manieth depth is held back for that, and not with fewer depths than HELD_LEAST.
HELD_EVERY, HELD_LEAST = 6, 8


@dataclass(frozen=True, eq=False, kw_only=True)
class Fit:
    """Kernels at nodes, and what else the pictures say.

    Attributes:
        kernels: Folded cells, unit sum, shape (D R, T), float32.
        dioptres: Nodes of depth, ascending, shape (D,).
        radii: Nodes of image height, shape (R,).
        gain: Exposure of every blurred picture against its sharp one, shape (N,).
        slopes: Of the logarithm of the blurred pictures' light against the sharp ones', by the square and the fourth
            power of image height, shape (2,).
        noise: Variance of what the blurred pictures have and kernels do not explain, by depth, shape (M,).
        factor: On the strengths of the prior.
        radius_factor: On the one across image height, besides.
    """

    kernels: Tensor
    dioptres: Tensor
    radii: Tensor
    gain: Tensor
    slopes: Tensor
    noise: Tensor
    factor: float = 1.0
    radius_factor: float = 1.0

    @property
    def fall_off(self) -> Tensor:
        """Light of the blurred pictures against the sharp ones at the nodes of image height, shape (R,)."""
        return torch.stack((self.radii**2, self.radii**4), 1).matmul(self.slopes).exp()


def find_areas(view: View, radii: Tensor, dioptres: Tensor) -> Tensor:
    """Areas of the folded cells of kernels at nodes (D, R), 1 in the core, shape (D R, T), float32."""
    from . import row_loops

    cells = view.cells_at(radii.repeat(len(dioptres)), dioptres.repeat_interleave(len(radii))).numpy()
    half = view.side // 2
    wide, high = (
        torch.from_numpy(row_loops.find_widths(cells[:, axis], cells[:, 3], half, view.inner)) for axis in (1, 2)
    )
    wide, high = wide / wide[:, :1], high / high[:, :1]
    return (high[:, :, None] * torch.cat((wide[:, 1:].flip(1), wide), 1)[:, None]).flatten(1).float()


def start_fit(sums: Sums, dioptres: Tensor, noise: float) -> Fit:
    """Even blurs that fill a good part of the window, at nodes of depth of shape (D,)."""
    side = sums.layout.side
    right, below = taps.find_places(side)
    disc = (torch.hypot(right, below) < 0.3 * side).float()
    disc = disc / (disc @ taps.multiplicity(side).float())
    return Fit(
        kernels=disc.expand(len(dioptres) * len(sums.layout.radii), -1).contiguous(),
        dioptres=dioptres,
        radii=sums.layout.radii,
        gain=torch.ones_like(sums.pair_mean),
        slopes=torch.zeros(2, dtype=torch.float64),
        noise=torch.full_like(sums.layout.dioptres, noise),
    )


def fit_kernels(
    sums: Sums,
    view: View,
    fit: Fit,
    strengths: Strengths,
    *,
    rounds: int = 3,
    choose: bool = False,
    threads: int = 1,
) -> Fit:
    """Kernels, gains, fall-off and noise in turn, until they agree.

    Args:
        sums: The pixels.
        view: How kernels are kept.
        fit: Where to start.
        strengths: Of the prior.
        rounds: How often.
        choose: Try factors on the strengths on depths held back, and take the best.
        threads: How many; torch itself should use one.
    """
    area = find_areas(view, fit.radii, fit.dioptres)
    for n in range(rounds):
        last = n == rounds - 1
        amplitude = find_amplitude(fit.kernels, area, view.side)
        if choose and last:
            fit = _choose_factors(sums, fit, amplitude, area, strengths, threads)
        quadratic = make_quadratic(sums, fit, torch.ones(len(sums.layout.dioptres)), threads)
        prior = make_prior(
            amplitude, area, fit.dioptres, fit.radii, view.side, strengths.times(fit.factor, fit.radius_factor)
        )
        # The first solutions only say how large kernels are: taps need not be settled.
        kernels = solve(quadratic, prior, fit.kernels, view.side, rounds=5 if last else 2)
        fit = update_light(sums, replace(fit, kernels=kernels))
    return fit


def make_quadratic(sums: Sums, fit: Fit, use: Tensor, threads: int = 1) -> Quadratic:
    """Squared error in units of the noise; use (M,) is 0 for depths to leave out."""
    layout = sums.layout
    weight = use / fit.noise
    return Quadratic(
        gram=sums.gram,
        left=layout.block_left,
        right=layout.block_right,
        use=weight.float()[layout.slot_depth],
        slots=mix_depths(fit.dioptres, len(fit.radii), layout.slot_node, layout.dioptres[layout.slot_depth]),
        light=_right_side(sums, fit),
        nodes=len(fit.kernels),
        threads=threads,
    )


def _gains(sums: Sums, fit: Fit) -> Tensor:
    return fit.gain[sums.layout.part_pair] * (_mean_powers(sums) @ fit.slopes).exp()


def _mean_powers(sums: Sums) -> Tensor:
    """Square and fourth power of image height, mean over every part, shape (Q, 2)."""
    return sums.squares / sums.weight.clamp_min(1e-12)[:, None]


def _right_side(sums: Sums, fit: Fit) -> Tensor:
    layout = sums.layout
    wanted = sums.light / _gains(sums, fit)[:, None] - sums.pair_mean[layout.part_pair][:, None] * sums.rows
    out = torch.zeros((len(layout.slot_node), layout.taps), dtype=torch.float64)
    return out.index_add(0, layout.part_slot, wanted).float()


def update_light(sums: Sums, fit: Fit) -> Fit:
    """Gains, fall-off and noise that fit the kernels."""
    layout = sums.layout
    slots = mix_depths(fit.dioptres, len(fit.radii), layout.slot_node, layout.dioptres[layout.slot_depth])
    kernels = slots.apply(fit.kernels.double())
    # Light that the kernels foresee, for a gain of 1, summed over the pixels of every part.
    foreseen = (kernels[layout.part_slot] * sums.rows).sum(1)
    foreseen = foreseen + sums.pair_mean[layout.part_pair] * sums.weight
    pairs = len(sums.pair_mean)
    known = (foreseen > 0) & (sums.mean_light > 0)
    weight = torch.where(known, sums.weight, 0.0)
    ratio = torch.where(known, sums.mean_light / torch.where(known, foreseen, 1.0), 1.0).log()
    powers = _mean_powers(sums)
    # A pair's exposure is its own: only how light changes within pairs tells of fall-off.
    columns = _less_mean(powers, weight, layout.part_pair, pairs)
    left = _less_mean(ratio[:, None], weight, layout.part_pair, pairs)
    normal = columns.mT @ (weight[:, None] * columns)
    normal = normal + FALL_OFF_RIDGE * weight.sum() * torch.eye(2, dtype=torch.float64)
    slopes = torch.linalg.solve(normal, columns.mT @ (weight[:, None] * left))[:, 0]
    seen = torch.zeros(pairs, dtype=torch.float64).index_add(0, layout.part_pair, sums.mean_light)
    wanted = torch.zeros(pairs, dtype=torch.float64).index_add(0, layout.part_pair, foreseen * (powers @ slopes).exp())
    gain = torch.where((wanted > 0) & (seen > 0), seen / wanted, 1.0)
    fit = replace(fit, gain=gain, slopes=slopes)
    return replace(fit, noise=_find_noise(*find_left(sums, fit)))


def _less_mean(values: Tensor, weight: Tensor, group: Tensor, groups: int) -> Tensor:
    """Values (Q, n) less the weighted mean of their group."""
    total = torch.zeros(groups, dtype=values.dtype).index_add(0, group, weight).clamp_min(1e-12)
    mean = values.new_zeros((groups, values.shape[1])).index_add(0, group, weight[:, None] * values) / total[:, None]
    return values - mean[group]


def find_left(sums: Sums, fit: Fit) -> tuple[Tensor, Tensor]:
    """Mean square of what kernels leave of the pictures, and pixels that say so, by depth, each of shape (M,)."""
    layout = sums.layout
    slots = mix_depths(fit.dioptres, len(fit.radii), layout.slot_node, layout.dioptres[layout.slot_depth])
    kernels = slots.apply(fit.kernels.double())
    depths = len(layout.dioptres)
    pair, slot = layout.part_pair, layout.part_slot
    gains, mean = _gains(sums, fit), sums.pair_mean[pair]
    energy = sums.energy / gains**2 - 2 * mean * sums.mean_light / gains + mean**2 * sums.weight
    linear = sums.light / gains[:, None] - mean[:, None] * sums.rows
    energy = energy - 2 * (linear * kernels[slot]).sum(1)
    left = torch.zeros(depths, dtype=torch.float64).index_add(0, layout.slot_depth[slot], energy)
    count = torch.zeros(depths, dtype=torch.float64).index_add(0, layout.slot_depth[slot], sums.weight)
    a, b = kernels[layout.block_left], kernels[layout.block_right]
    form = (torch.bmm(sums.gram, b.float()[..., None])[..., 0].double() * a).sum(1)
    form = form * torch.where(layout.block_left == layout.block_right, 1.0, 2.0)
    left = left.index_add(0, layout.slot_depth[layout.block_left], form)
    return left / count.clamp_min(1), count


def _find_noise(left: Tensor, count: Tensor) -> Tensor:
    """Variance by depth, shape (M,); depths are trusted alike unless one is worse than most."""
    level = left.clamp_min(1e-12)
    usual = level[count > 0].median()
    return level.clamp(usual, usual / LEAST_WEIGHT)


def _choose_factors(sums: Sums, fit: Fit, amplitude: Tensor, area: Tensor, strengths: Strengths, threads: int) -> Fit:
    """The fit with the factors that foretell depths held back best."""
    layout = sums.layout
    depths = len(layout.dioptres)
    if depths < HELD_LEAST:
        return fit
    use = torch.ones(depths)
    # Neither the first nor the last: nothing lies on both sides of them.
    use[HELD_EVERY // 2 : depths - 1 : HELD_EVERY] = 0
    quadratic, held = (make_quadratic(sums, fit, one, threads) for one in (use, 1 - use))

    def judge(factor: float, radius_factor: float, start: Tensor) -> tuple[float, Tensor]:
        tried = strengths.times(factor, radius_factor)
        prior = make_prior(amplitude, area, fit.dioptres, fit.radii, layout.side, tried)
        kernels = solve(quadratic, prior, start, layout.side, rounds=2)
        places = held.slots.apply(kernels)
        left = (places.double() * (held.at_slots(places) - 2 * held.light * held.use[:, None]).double()).sum()
        return float(left), kernels

    best, chosen, kernels = float("inf"), fit, fit.kernels
    for factor in sorted(FACTORS, reverse=True):
        loss, found = judge(factor, fit.radius_factor, kernels)
        if loss < best:
            best, chosen, kernels = loss, replace(fit, factor=factor), found
        elif factor < chosen.factor / 2:
            break
    for radius_factor in RADIUS_FACTORS:
        loss, found = judge(chosen.factor, radius_factor, kernels)
        if loss < best:
            best, chosen, kernels = loss, replace(chosen, radius_factor=radius_factor), found
    return chosen
