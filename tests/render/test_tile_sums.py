"""Gather and scatter of a block: transposes of each other's shape, with gradients that differences confirm."""

import numpy as np
import pytest
import torch

from render.node_sources import KernelNodes
from render.nodes import block_kernels, prepare_field, wanted_nodes
from render.tile_jobs import BlockTiles
from render.tile_sums import BlockPlanes, BlockSum, differentiable_sum
from render.tiling import cut_picture
from render.weights import PixelPlanes, find_presence, plane_weights

F64 = torch.float64


def block_sum(field, sign, threads=2):
    """One block in the sensor's corner, its sum, weights and kernels."""
    prepared = prepare_field(field, "bilinear")
    block = cut_picture((16, 18), field.image_shape_px, 5, (30, 3), "gather", "zeros", 8)[0]
    g = torch.Generator().manual_seed(4)
    before, share = plane_weights(1 / (6 * torch.rand((2, 16, 18), generator=g, dtype=F64)), field.depths_m)
    presence = find_presence(before, share, block, 3).numpy()
    x, y = 30 + torch.arange(18, dtype=F64), 3 + torch.arange(16, dtype=F64)
    weights = PixelPlanes(before, share, x, y).weights(prepared, slice(None))
    planes = BlockPlanes(before.numpy(), share.numpy(), (0, 0), x.numpy(), y.numpy(), prepared, True)
    kernels = block_kernels(prepared, block, presence.any(0), sign)
    wanted = wanted_nodes(presence.any(0))
    made = BlockSum(BlockTiles(block, presence, 5, sign, 100), planes, threads)
    return made, weights, kernels, lambda k: KernelNodes(k.detach().numpy(), block, wanted)


@pytest.mark.parametrize("sign", [1, -1])
def test_gradients_are_differences(small_field, sign):
    made, weights, kernels, nodes_of = block_sum(small_field(), sign)
    g = torch.Generator().manual_seed(5)
    margin = 4 if sign > 0 else 0
    picture = torch.rand((2, 2, 16 + margin, 18 + margin), generator=g, dtype=F64)

    def run(picture, weights, kernels):
        return differentiable_sum(picture, weights, kernels, made, nodes_of(kernels))

    inputs = tuple(one.clone().requires_grad_() for one in (picture, weights, kernels))
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize("sign", [1, -1])
def test_weights_made_tile_by_tile_are_those_made_at_once_and_threads_change_nothing(small_field, sign):
    results = []
    for threads, ready in ((1, True), (1, False), (3, False)):
        made, weights, kernels, nodes_of = block_sum(small_field(), sign, threads)
        picture = np.random.default_rng(0).random((2, 2, 20, 22))
        if ready:
            planes = BlockPlanes(**{**vars(made.planes), "weights": weights.numpy()})
            made = BlockSum(made.tiles, planes, threads)
        if sign > 0:
            out = np.zeros((2, 2, 16, 18))
            made.gather(nodes_of(kernels), picture, (0, 0), out)
        else:
            out = np.zeros((2, 2, 20, 22))
            made.scatter(nodes_of(kernels), np.ascontiguousarray(picture[..., :16, :18]), out)
        results.append(out)
    assert np.abs(results[0] - results[1]).max() < 1e-13
    assert np.array_equal(results[1], results[2])


def test_gradient_by_weights_needs_weights(small_field):
    made, _, kernels, nodes_of = block_sum(small_field(), 1)
    with pytest.raises(ValueError, match="weights"):
        made.slopes(nodes_of(kernels), np.zeros((2, 2, 20, 22)), np.zeros((2, 2, 16, 18)), True)
