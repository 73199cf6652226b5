"""Sums of convolutions by Fourier transforms of overlapping tiles (overlap-save), with gradients.

A tile is a square of the input; its transform serves all planes. Every (tile, plane) pair that has a weight costs one
product and one inverse transform, of which only the rows and columns are kept that no wrapped light reaches. Two forms
of the same sum: threads over tiles on a CPU (`tile_loops`), torch operations on groups of tiles on any other device,
where the list of pairs is read once per call and nothing else waits.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

# Bytes of one group's spectra. On a CPU they should stay in the cache; a GPU wants few, large launches.
GROUP_BYTES_CPU, GROUP_BYTES_GPU = 3 << 20, 256 << 20
# What a tile costs whatever its size (calls, mostly), in units of size^2 log2(size) of a transform.
PER_TILE = 1e5


class Plan(NamedTuple):
    """What the tile path computes; all sides in px."""

    tile: int
    kernel: int
    shape: tuple[int, int]
    planes: int
    planes_per_sample: int  # 0: all samples share one set
    channels: tuple[int, ...] | None  # the input channel of each output channel; None: its own

    @property
    def step(self) -> int:
        """Between one tile and the next, the width of what a tile is right for."""
        return self.tile - self.kernel + 1

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.shape[0] // self.step), -(-self.shape[1] // self.step)


def find_tile(kernel_px: int, height_px: int, width_px: int, planes: int = 1, phases: int = 1) -> int:
    """Side of the Fourier transforms.

    Of the even numbers 2^a 3^b 5^c up to three kernels (but at least 128) the one with the least work: per tile one
    transform of the input (three of the phases of a mosaic) and one for each plane it holds, per plane one for its
    kernel, and what a tile costs whatever its size. Larger tiles waste less on their overlap but hold more planes, in
    pictures of rooms and landscapes some two and one more for every 43 px. The minimum is flat: sides from 80 to 160
    px at 25 px and 128 to 192 px at 65 px lie within 15 % (benchmarks/render.py --tables paths times the one chosen).
    """
    largest = max(128, 3 * kernel_px)
    sizes = [n for n in _good_sizes(largest) if n > 1.25 * kernel_px]
    inputs, across = (1, 1) if phases == 1 else (3, 2)

    def work(size: int) -> float:
        step = size - kernel_px + 1
        held = min(planes, 2 + step * across / 43)
        tiles = math.ceil(height_px / step) * math.ceil(width_px / step)
        transforms = tiles * (inputs + held) + 0.6 * planes * phases
        return transforms * size**2 * math.log2(size) + PER_TILE * tiles

    return min(sizes, key=work)


def _good_sizes(largest: int) -> list[int]:
    powers = [2**a * 3**b * 5**c for a in range(1, 14) for b in range(9) for c in range(6)]
    return sorted(n for n in powers if n <= largest)


class _Group(NamedTuple):
    """Some consecutive tiles with their pairs."""

    tiles: slice
    tile_of_pair: Tensor  # counted from the group's first
    plane_of_pair: Tensor


def sum_tiles(phases: Tensor, kernels: Tensor, lower: Tensor | None, share: Tensor | None, plan: Plan) -> Tensor:
    """Sum over planes of weight times convolution.

    Args:
        phases: The padded input, shape (B, C, Q, H + K - 1, W + K - 1); a plain picture has one phase.
        kernels: Shape (M, O, Q, K, K): output channel o adds up the Q phases of its input channel, each by its own.
        lower: A pixel's lower plane, whole numbers, shape (B, 1 or O, H, W), or None with one plane of weight 1.
        share: Of the plane after it, the same shape.
        plan: Sides, planes and channels.

    Returns:
        Shape (B, O, H, W), differentiable in phases, kernels and share.
    """
    return cast(Tensor, _TileSum.apply(phases, kernels, lower, share, plan))


class _TileSum(torch.autograd.Function):
    """See `sum_tiles`."""

    @staticmethod
    def forward(
        ctx: Any, phases: Tensor, kernels: Tensor, lower: Tensor | None, share: Tensor | None, plan: Plan
    ) -> Tensor:
        ctx.save_for_backward(phases, kernels, lower, share)
        ctx.plan = plan
        if phases.device.type == "cpu":
            ctx.pairs = None
            return torch.from_numpy(_prepare_loops(phases, kernels, lower, share, plan).forward())
        outputs, ctx.pairs = _sum_forward(phases, kernels, lower, share, plan)
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        phases, kernels, lower, share = ctx.saved_tensors
        to_phases, to_kernels, _, to_share, _ = ctx.needs_input_grad
        wanted = to_phases, to_kernels, to_share
        if phases.device.type == "cpu":
            loops = _prepare_loops(phases, kernels, lower, share, ctx.plan)
            found = [None if g is None else torch.from_numpy(g) for g in loops.backward(_array(grad), wanted)]
            by_phase, by_kernel, by_share = found
            if by_phase is not None:  # without what the last tiles read behind the margin
                by_phase = by_phase[..., : phases.shape[-2], : phases.shape[-1]]
        else:
            tensors = phases, kernels, lower, share
            by_phase, by_kernel, by_share = _sum_backward(tensors, grad, ctx.plan, ctx.pairs, wanted)
        return by_phase, by_kernel, None, by_share, None


def _prepare_loops(phases: Tensor, kernels: Tensor, lower: Tensor | None, share: Tensor | None, plan: Plan) -> Any:
    from .tile_loops import Tiles

    missing = [
        (0, max(0, (n - 1) * plan.step + plan.tile - m)) for n, m in zip(plan.grid, phases.shape[-2:], strict=True)
    ]
    places = [_array(one) for one in (lower, share) if one is not None]
    sides, planes = (plan.tile, plan.kernel, *plan.shape), (plan.planes, plan.planes_per_sample)
    padded = np.pad(_array(phases), [(0, 0)] * 3 + missing)
    return Tiles(padded, _array(kernels), places, sides, planes, plan.channels, torch.get_num_threads())


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()


def _sum_forward(
    phases: Tensor, kernels: Tensor, lower: Tensor | None, share: Tensor | None, plan: Plan
) -> tuple[Tensor, tuple[Tensor, list[int]]]:
    tiles = _cut(phases, plan, plan.tile)
    places = [_cut(one, plan, plan.step, fill) for one, fill in ((lower, -2.0), (share, 0.0)) if one is not None]
    pairs = _find_pairs(places, tiles.shape[0], plan, phases.device)
    spectra = _kernel_spectra(kernels, plan)
    outputs = phases.new_zeros((len(tiles), kernels.shape[1], plan.step, plan.step))
    for group in _groups(pairs, len(tiles), spectra):
        forward = torch.fft.rfft2(tiles[group.tiles])
        values = _invert(_multiply(forward, spectra, group, plan), plan)
        if places:
            weight = _weights(places, group, plan)
            outputs[group.tiles].index_add_(0, group.tile_of_pair, values.mul_(weight))
        else:
            outputs[group.tiles] = values
    return _join(outputs, phases.shape[0], plan), pairs


def _sum_backward(
    tensors: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    grad: Tensor,
    plan: Plan,
    pairs: tuple[Tensor, list[int]],
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    phases, kernels, lower, share = tensors
    to_phases, to_kernels, to_share = wanted
    tiles, given = _cut(phases, plan, plan.tile), _cut(grad, plan, plan.step)
    places = [_cut(one, plan, plan.step, fill) for one, fill in ((lower, -2.0), (share, 0.0)) if one is not None]
    spectra = _kernel_spectra(kernels, plan)
    channels = None if plan.channels is None else torch.tensor(plan.channels, device=phases.device)
    tile_grads = phases.new_zeros(tiles.shape) if to_phases else None
    share_grads = torch.zeros_like(places[1]) if to_share else None
    kernel_sums = torch.zeros_like(spectra) if to_kernels else None
    for group in _groups(pairs, len(tiles), spectra):
        forward = torch.fft.rfft2(tiles[group.tiles]) if to_kernels or to_share else None
        cotangent = given[group.tiles][group.tile_of_pair]
        if share_grads is not None and forward is not None:
            values = _invert(_multiply(forward, spectra, group, plan), plan)
            slope = _slopes(places, group, plan) * (values * cotangent)
            slope = slope if slope.shape[1] == share_grads.shape[1] else slope.sum(1, keepdim=True)
            share_grads[group.tiles].index_add_(0, group.tile_of_pair, slope)
        if not (to_phases or to_kernels):
            continue
        if places:
            cotangent = cotangent * _weights(places, group, plan)
        lead = plan.kernel - 1
        spectrum = torch.fft.rfft2(functional.pad(cotangent, (lead, 0, lead, 0)))[:, :, None]
        if kernel_sums is not None and forward is not None:
            source = forward if channels is None else forward[:, channels]
            products = source[group.tile_of_pair].conj_physical_().mul_(spectrum)
            kernel_sums.index_add_(0, group.plane_of_pair, products)
        if tile_grads is not None:
            products = spectra[group.plane_of_pair].conj_physical_().mul_(spectrum)
            shape = (group.tiles.stop - group.tiles.start, *products.shape[1:])
            sums = products.new_zeros(shape).index_add_(0, group.tile_of_pair, products)
            if channels is not None:
                merged = sums.new_zeros((len(sums), phases.shape[1], *sums.shape[2:]))
                sums = merged.index_add_(1, channels, sums)
            tile_grads[group.tiles] = torch.fft.irfft2(sums, s=(plan.tile, plan.tile))
    k = plan.kernel
    return (
        None if tile_grads is None else _uncut(tile_grads, phases.shape, plan),
        None if kernel_sums is None else torch.fft.irfft2(kernel_sums, s=(plan.tile, plan.tile))[..., :k, :k],
        None if share_grads is None else _join(share_grads, phases.shape[0], plan),
    )


def _cut(values: Tensor, plan: Plan, side: int, fill: float = 0.0) -> Tensor:
    """(B, ..., rows, cols) into tiles of the plan's grid, (B tiles, ..., side, side)."""
    rows, cols = ((n - 1) * plan.step + side for n in plan.grid)
    values = functional.pad(values, (0, cols - values.shape[-1], 0, rows - values.shape[-2]), value=fill)
    values = values.unfold(-2, side, plan.step).unfold(-2, side, plan.step)
    return values.movedim((-4, -3), (1, 2)).flatten(0, 2)


def _join(tiles: Tensor, batch: int, plan: Plan) -> Tensor:
    """Tiles (B tiles, O, step, step) side by side: (B, O, H, W)."""
    rows, cols = plan.grid
    whole = tiles.unflatten(0, (batch, rows, cols)).permute(0, 3, 1, 4, 2, 5)
    joined: Tensor = whole.flatten(2, 3).flatten(3, 4)[..., : plan.shape[0], : plan.shape[1]]
    return joined


def _uncut(tiles: Tensor, shape: torch.Size, plan: Plan) -> Tensor:
    """The transpose of `_cut`: overlapping tiles (B tiles, C, Q, tile, tile) added up."""
    step, (rows, cols) = plan.step, plan.grid
    blocks = math.ceil(plan.tile / step)
    edge = blocks * step - plan.tile
    tiles = functional.pad(tiles, (0, edge, 0, edge)).unflatten(0, (shape[0], rows, cols)).movedim((1, 2), (3, 4))
    whole = tiles.new_zeros((*shape[:3], rows + blocks - 1, step, cols + blocks - 1, step))
    for i in range(blocks):
        for k in range(blocks):
            part = tiles[..., i * step : (i + 1) * step, k * step : (k + 1) * step]
            whole[..., i : i + rows, :, k : k + cols, :] += part.movedim(-2, -3)
    whole = whole.flatten(3, 4).flatten(4, 5)[..., : shape[-2], : shape[-1]]
    missing = (0, shape[-1] - whole.shape[-1], 0, shape[-2] - whole.shape[-2])  # margins that no tile reads
    return functional.pad(whole, missing)


def _find_pairs(places: list[Tensor], tiles: int, plan: Plan, device: torch.device) -> tuple[Tensor, list[int]]:
    """(tile, kernel set) pairs that have a weight, by tile (n, 2), and how many each tile has."""
    per_sample = plan.grid[0] * plan.grid[1]
    if places:
        lower, share = (one.flatten(1) for one in places)
        index = lower.long() + 2  # 0: outside the frame
        seen = torch.zeros((tiles, plan.planes + 3), dtype=torch.bool, device=device)
        seen.scatter_(1, torch.where(share < 1, index, 0), True)
        seen.scatter_(1, torch.where(share > 0, index + 1, 0), True)
        seen = seen[:, 2 : 2 + plan.planes]
    else:
        seen = torch.ones((tiles, 1), dtype=torch.bool, device=device)
    counts = seen.sum(1).tolist()
    pairs = seen.nonzero()
    if plan.planes_per_sample:
        pairs[:, 1] += pairs[:, 0] // per_sample * plan.planes_per_sample
    return pairs, counts


def _groups(found: tuple[Tensor, list[int]], tiles: int, spectra: Tensor) -> Iterator[_Group]:
    pairs, counts = found
    budget = GROUP_BYTES_CPU if pairs.device.type == "cpu" else GROUP_BYTES_GPU
    most = max(1, budget // (spectra[0].numel() * spectra.element_size()))
    first_tile = first_pair = 0
    while first_tile < tiles:
        last, n = first_tile + 1, counts[first_tile]
        while last < tiles and n + counts[last] <= most:
            n += counts[last]
            last += 1
        part = pairs[first_pair : first_pair + n]
        yield _Group(slice(first_tile, last), part[:, 0] - first_tile, part[:, 1])
        first_tile, first_pair = last, first_pair + n


def _kernel_spectra(kernels: Tensor, plan: Plan) -> Tensor:
    """(M, O, Q, K, K) to (M, O, Q, tile, tile // 2 + 1); rows without light are not transformed."""
    spectra: Tensor = torch.fft.fft(torch.fft.rfft(kernels, n=plan.tile), n=plan.tile, dim=-2)
    return spectra


def _multiply(forward: Tensor, spectra: Tensor, group: _Group, plan: Plan) -> Tensor:
    """Products of the group's pairs, added up over phases: (n, O, tile, tile // 2 + 1)."""
    if plan.channels is None:
        return forward[group.tile_of_pair].mul_(spectra[group.plane_of_pair])[:, :, 0]
    total: Tensor | None = None
    for phase in range(forward.shape[2]):
        source = forward[:, list(plan.channels), phase][group.tile_of_pair]
        taps = spectra[:, :, phase][group.plane_of_pair]
        total = source.mul_(taps) if total is None else total.addcmul_(source, taps)
    assert total is not None  # there is a phase
    return total


def _invert(products: Tensor, plan: Plan) -> Tensor:
    """Back to pixels, rows and columns that no wrapped light reaches: (n, O, step, step)."""
    lead = plan.kernel - 1
    rows = torch.fft.ifft(products, dim=-2)[..., lead:, :]
    values: Tensor = torch.fft.irfft(rows, n=plan.tile)[..., lead:]
    return values


def _weights(places: list[Tensor], group: _Group, plan: Plan) -> Tensor:
    """What each pixel of a tile takes of a pair's plane: (n, 1 or O, step, step)."""
    lower, share = (one[group.tiles][group.tile_of_pair] for one in places)
    return lower.sub_(_planes(group, plan)).add_(share).abs_().neg_().add_(1).clamp_(min=0)


def _slopes(places: list[Tensor], group: _Group, plan: Plan) -> Tensor:
    """Derivative of `_weights` by share: -1 for the lower plane, +1 for the upper one."""
    offset = places[0][group.tiles][group.tile_of_pair].sub_(_planes(group, plan))
    return (offset == -1).to(offset.dtype) - (offset == 0).to(offset.dtype)


def _planes(group: _Group, plan: Plan) -> Tensor:
    return (group.plane_of_pair % plan.planes)[:, None, None, None]
