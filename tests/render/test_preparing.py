"""A field's layout, support and tap counts, against plain torch and numpy."""

import math

import numpy as np
import pytest
import torch

from render import preparing
from render.nodes import PAD, light_by_ring, prepare_field, turned_sums


def test_the_compiled_layout_is_the_one_of_torch_operations(small_field):
    field = small_field(kernel_px=7)
    compiled = prepare_field(field, "bilinear")
    kernels = field.kernels.clone().requires_grad_()
    plain = prepare_field(type(field)(**{**vars(field), "kernels": kernels}), "bilinear")
    for name in ("stored", "sums", "reach_px", "transmission"):
        assert (getattr(compiled, name) - getattr(plain, name).detach()).abs().max() < 1e-9
    assert compiled.stored[:, :PAD].abs().max() == 0


def test_light_is_counted_by_ring(small_field):
    field = small_field(kernel_px=5)
    offset = np.arange(5) - 2
    rings = np.ceil(np.hypot(offset[:, None], offset)).astype(np.int64)
    counts = np.zeros((5, 5, 0))
    light = preparing.lay_out(field.kernels.numpy(), rings, counts, PAD, 2)[1]
    assert np.abs(light - light_by_ring(field.kernels).numpy()).max() < 1e-14
    assert np.abs(light.sum(-1) - 1).max() < 1e-14
    assert np.abs(light[..., 0] - field.kernels[..., 2, 2].permute(1, 0, 2).flatten(1).numpy()).max() < 1e-15


@pytest.mark.parametrize("azimuth_deg", [0.0, 17.0, 45.0, 90.0])
def test_counted_taps_weigh_a_kernel_to_the_sum_of_its_turned_one(small_field, azimuth_deg):
    # Turned about the middle by reading between four samples; what is read beyond the edge is zero.
    kernel = small_field(kernel_px=5).kernels[1, 2, 0].numpy()
    cosine, sine = math.cos(math.radians(azimuth_deg)), math.sin(math.radians(azimuth_deg))
    padded, total = np.pad(kernel, 3), 0.0
    for down in range(-2, 3):
        for right in range(-2, 3):
            row, col = 5 + cosine * down + sine * right, 5 - sine * down + cosine * right
            r, c = math.floor(row), math.floor(col)
            u, v = row - r, col - c
            total += (1 - u) * ((1 - v) * padded[r, c] + v * padded[r, c + 1])
            total += u * ((1 - v) * padded[r + 1, c] + v * padded[r + 1, c + 1])
    counts = preparing.count_taps(5, np.array([cosine]), np.array([sine]))
    assert abs((counts[..., 0] * kernel).sum() - total) < 1e-13


def test_bilinear_turning_makes_more_of_a_single_pixel(small_field):
    # At 45 degrees the four neighbours each read (1 - sqrt(1/2))^2 of it beside its own tap: what sums are there for.
    field = small_field(kernel_px=9)
    point = torch.zeros_like(field.kernels)
    point[..., 4, 4] = 1
    sums = turned_sums(type(field)(**{**vars(field), "kernels": point}), "bilinear")
    assert (sums[:, [0, -1]] - 1).abs().max() < 1e-12
    assert abs(float(sums.max()) - 1 - 4 * (1 - math.sqrt(0.5)) ** 2) < 1e-3


def test_change_between_radii_is_the_mean_distance_of_neighbours(small_field):
    kernels = small_field().kernels
    expected = (kernels[:, 1:] - kernels[:, :-1]).abs().sum((-2, -1)).mean((0, 2)).numpy()
    assert np.abs(preparing.change_between_radii(kernels.numpy(), 2) - expected).max() < 1e-14
