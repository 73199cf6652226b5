"""Shares of stored depths at pixels."""

import math

import numpy as np
import torch

from render.nodes import prepare_field
from render.tiling import cut_picture
from render.weights import PixelPlanes, find_presence, plane_weights, weights_reference

F64 = torch.float64


def test_weights_are_linear_in_dioptres_and_clamped(small_field):
    before, share = plane_weights(
        torch.tensor([0.1, 0.2, 2 / 7, 0.5, 1.0, math.inf], dtype=F64), small_field().depths_m
    )
    assert before.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.allclose(share, torch.tensor([0, 0, 0.5, 0, 0.5, 1], dtype=F64))


def test_compiled_weights_equal_torch_operations_and_sum_to_the_transmission(small_field):
    field = small_field()
    prepared = prepare_field(field, "bilinear")
    g = torch.Generator().manual_seed(1)
    before, share = plane_weights(1 / (6 * torch.rand((2, 40, 50), generator=g, dtype=F64)), field.depths_m)
    x, y = torch.arange(50, dtype=F64), torch.arange(40, dtype=F64)
    found = PixelPlanes(before, share, x, y).weights(prepared, slice(5, 30))
    twin = weights_reference(prepared, before[:, 5:30], share[:, 5:30], x, y[5:30], True)
    assert (found - twin).abs().max() < 1e-12
    bare = PixelPlanes(before, share, x, y, has_transmission=False).weights(prepared, slice(5, 30))
    assert (bare.sum(1) - 1).abs().max() < 1e-12
    depth_m = 1 / torch.lerp(1 / field.depths_m[before], 1 / field.depths_m[before + 1], share)
    light = field.transmission_at_pixel(x[None], y[:, None], depth_m).permute(0, 3, 1, 2)[:, :, 5:30]
    assert (found.sum(1) - light).abs().max() < 1e-12


def test_presence_lists_the_planes_with_a_weight_and_no_other():
    block = cut_picture((40, 50), (40, 50), 5, (0, 0), "gather", "reflect", 10)[0]
    before = torch.zeros((1, 40, 50), dtype=torch.int32)
    share = torch.zeros((1, 40, 50), dtype=F64)
    share[0, 0, 0] = 0.5
    share[0, 39, 49] = 1
    presence = np.asarray(find_presence(before, share, block, 3))
    assert presence[0, 0, 0].tolist() == [True, True, False]
    assert presence[0, -1, -1].tolist() == [True, True, False]
    assert presence[0, 0, 1].tolist() == [True, False, False]
    assert not presence[0, block.hole[0], block.hole[1]].any()
