"""Node kernels read from a polar field."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from render.nodes import (
    CHANGE_PER_TILE,
    LEAST_TILE_PX,
    choose_tile_px,
    node_kernels,
    node_kernels_reference,
    prepare_field,
)
from render.tiling import TILE_PX

F64 = torch.float64


@pytest.mark.parametrize("turning", ["bilinear", "cubic"])
@pytest.mark.parametrize("oversample", [1, 2])
def test_a_tap_is_the_one_of_the_kernel_of_the_pixel_that_it_belongs_to(turning, oversample, small_field):
    field = small_field(oversample=oversample)
    kernels, slot = node_kernels(
        prepare_field(field, turning), np.array([[31.5, 11.25]]), (1.0, 1.0), np.ones((1, 3), dtype=bool)
    )
    for p, depth_m in enumerate(field.depths_m):
        for dy, dx in ((0, 0), (-2, 1), (2, 2)):
            whole = field.at_pixel(31.5 + dx, 11.25 + dy, depth_m, interpolation="linear", turning=turning)
            # Sums are known at 65 or 17 azimuths only.
            assert (kernels[slot[0, p], :, 2 + dy, 2 + dx] - whole[:, 2 + dy, 2 + dx]).abs().max() < 2e-3


def nodes():
    wanted = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 0, 1], [0, 0, 1]], dtype=bool)
    return np.array([[3.0, 4.0], [0.0, 0.0], [24.5, 19.5], [60.0, -3.0], [20.25, 33.0]]), wanted


@pytest.mark.parametrize("turning", ["bilinear", "cubic"])
@pytest.mark.parametrize("oversample", [1, 3])
@pytest.mark.parametrize("step", [(1.0, 1.0), (-1.0, -1.0), (1.0, 0.0)])
def test_compiled_loops_equal_torch_operations_with_their_gradients(turning, oversample, step, small_field):
    places, wanted = nodes()
    found = []
    for compiled in (True, False):
        field = small_field(oversample=oversample)
        kernels = field.kernels.clone().requires_grad_()
        object.__setattr__(field, "kernels", kernels)
        prepared = prepare_field(field, turning)
        out, slot = node_kernels(prepared, places, step, wanted)
        if not compiled:
            some = wanted.any(1)
            planes = np.array([[0, 1], [1, 2], [0, 2], [2, 2]])
            out = node_kernels_reference(prepared, places[some], step, planes, slot[some])
        g = torch.Generator().manual_seed(3)
        weight = torch.randn(out.shape, generator=g, dtype=F64)
        found.append((out, torch.autograd.grad((out * weight).sum(), kernels)[0]))
    for one, two in zip(*found, strict=True):
        assert (one - two).abs().max() < 1e-9 * two.abs().max().clamp_min(1)


def test_no_wanted_plane_gives_no_kernel(small_field):
    kernels, slot = node_kernels(
        prepare_field(small_field(), "bilinear"), np.zeros((2, 2)), (1.0, 1.0), np.zeros((2, 3), dtype=bool)
    )
    assert kernels.shape == (0, 2, 5, 5)
    assert (slot == -1).all()


def test_tiles_shrink_where_kernels_change_fast(small_field):
    # Random kernels: each image height is another camera.
    field = small_field(kernel_px=7)
    small, large = (choose_tile_px(replace(field, image_shape_px=shape)) for shape in ((40, 50), (4000, 5000)))
    assert small == LEAST_TILE_PX
    assert large == TILE_PX
    half = 0.5 * math.hypot(400, 500)
    change = float((field.kernels[:, 1:] - field.kernels[:, :-1]).abs().sum((-2, -1)).mean((0, 2)).sum())
    between = choose_tile_px(replace(field, image_shape_px=(400, 500)))
    assert between == int(min(TILE_PX, max(LEAST_TILE_PX, CHANGE_PER_TILE * half / change)))
    assert choose_tile_px(replace(field, kernels=field.kernels[:, :1].expand_as(field.kernels).contiguous())) == TILE_PX
