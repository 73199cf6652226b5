import math
from dataclasses import replace

import pytest
import torch

import optics
from learn.joint.design_grid import DesignGrid, centre_channels, find_light, trace_design
from optics import FOCUS, Sampling
from psf import Channel, InputError

GRID = DesignGrid(depths_m=(math.inf, 0.4), radii=(0.0, 0.9), kernel_px=25, sampling=Sampling(10, 10, 6))


def test_kernels_and_haze_sum_to_one(lens):
    found = trace_design(lens, GRID)
    assert found.kernels.shape == (2, 2, 3, 25, 25)
    torch.testing.assert_close(found.kernels.sum((-1, -2)), torch.ones(2, 2, 3, dtype=torch.float64))
    assert bool((found.lost >= -1e-12).all())


def test_kernels_are_those_of_psf_at(lens):
    fine = replace(GRID, depths_m=(0.4,), radii=(0.0,), sampling=Sampling(24, 24, 10))
    truth = optics.psf_at(lens, 2015.5, 1511.5, 0.4, kernel_px=25, spread="spline")
    assert float((trace_design(lens, fine).kernels[0, 0] - truth).abs().sum((-1, -2)).max()) < 0.15


def test_gradients_are_the_same_with_and_without_checkpoints(lens):
    free = optics.choose_variables(lens, [FOCUS])
    slopes = []
    for checkpointed in (True, False):
        theta = free.read().requires_grad_()
        grid = replace(GRID, radii=(0.0,), checkpointed=checkpointed)
        peak = trace_design(free.apply(theta), grid).kernels.square().sum()
        slopes.append(torch.autograd.grad(peak, theta)[0])
    torch.testing.assert_close(slopes[0], slopes[1])
    assert float(slopes[0].abs()) > 0


def test_a_smaller_stop_leaves_less_light(wide_lens, lens):
    share = find_light(trace_design(lens, GRID), trace_design(wide_lens, GRID))
    torch.testing.assert_close(share[:, 0], torch.full_like(share[:, 0], (2.2 / 4) ** 2), rtol=0.01, atol=0)


def test_channels_shrink_to_their_weighted_mean():
    (one,) = centre_channels([Channel("R", (0.6, 0.64), (1.0, 3.0))])
    assert one.wavelengths_um == pytest.approx((0.63,))


@pytest.mark.parametrize(
    ("change", "words"),
    [({"depths_m": (0.0,)}, "depths_m"), ({"radii": (1.2,)}, "radii"), ({"kernel_px": 24}, "kernel_px")],
)
def test_unusable_grids_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        replace(GRID, **change)


def test_a_lens_of_one_channel_is_refused(lens):
    with pytest.raises(InputError, match="channels"):
        trace_design(replace(lens, channels=lens.channels[:1]), GRID)
