import math

import pytest
import torch

import psf
from learn.restorers import restore_least_squares, restore_richardson_lucy, restore_wiener
from learn.restorers.least_squares import _backward, _forward
from psf import InputError
from render import pixelwise

F64 = torch.float64
WINDOW = (100, 60)
NOISE_SD = 0.005


@pytest.fixture(scope="module")
def field():
    return psf.thin_lens_field(
        focal_mm=3.28,
        f_number=2.2,
        focus_m=math.inf,
        pitch_um=3.5,
        image_shape_px=(300, 400),
        depths_m=torch.tensor([0.25, 0.5, math.inf]),
        breathing=False,
        dtype=F64,
    )


@pytest.fixture(scope="module")
def scene(field):
    own = torch.Generator().manual_seed(0)
    sharp = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8, generator=own, dtype=F64), scale_factor=6)
    depth_m = torch.full((1, 1, 48, 48), 0.25, dtype=F64)
    depth_m[..., 20:] = 0.5
    taken = pixelwise(sharp, depth_m, field, window=WINDOW)
    return sharp, depth_m, taken + NOISE_SD * torch.randn(taken.shape, generator=own, dtype=F64)


def error_db(found, wanted):
    return float(-10 * (found - wanted).square().mean().log10())


def test_it_restores_more_than_the_others_that_know_the_blur(field, scene):
    sharp, depth_m, taken = scene
    read = NOISE_SD**2
    found = error_db(restore_least_squares(taken, depth_m, field, window=WINDOW, read=read), sharp)
    lucy = error_db(restore_richardson_lucy(taken, depth_m, field, window=WINDOW, read=read), sharp)
    wiener = error_db(restore_wiener(taken, depth_m, field, window=WINDOW, noise_variance=read), sharp)
    assert found > error_db(taken, sharp) + 4
    assert found > max(lucy, wiener) + 1


def test_more_rounds_make_the_cost_smaller(field, scene):
    _, depth_m, taken = scene
    read, scale = NOISE_SD**2, 0.02

    def cost(estimate):
        misfit = (pixelwise(estimate, depth_m, field, window=WINDOW) - taken).square().sum() / read / 2
        for axis in (-2, -1):
            slope = _forward(estimate, axis).norm(dim=1) / scale
            misfit = misfit + torch.where(slope > 0.1, slope - 0.05, slope**2 / 0.2).sum()
        return float(misfit)

    costs = [
        cost(restore_least_squares(taken, depth_m, field, window=WINDOW, read=read, rounds=n)) for n in (0, 1, 2, 4)
    ]
    assert costs == sorted(costs, reverse=True)


def test_a_smaller_scale_of_slopes_is_smoother(field, scene):
    _, depth_m, taken = scene
    rough = [
        restore_least_squares(taken, depth_m, field, window=WINDOW, read=NOISE_SD**2, slope_scale=s).diff().abs().mean()
        for s in (0.1, 0.01, 0.001)
    ]
    assert rough == sorted(rough, reverse=True)


@pytest.mark.parametrize("axis", [-2, -1])
def test_differences_and_their_transpose_belong_together(axis):
    own = torch.Generator().manual_seed(0)
    one, two = (torch.rand(2, 3, 5, 7, generator=own, dtype=F64) for _ in range(2))
    assert abs((_forward(one, axis) * two).sum() - (one * _backward(two, axis)).sum()) < 1e-12


def test_progress_is_told_and_no_step_changes_nothing(field, scene):
    _, depth_m, taken = scene
    told = []
    options = {"window": WINDOW, "read": 1e-4, "on_progress": lambda done, total: told.append((done, total))}
    restore_least_squares(taken, depth_m, field, rounds=2, steps=2, **options)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert restore_least_squares(taken, depth_m, field, rounds=0, **options).equal(taken)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rounds": -1}, "rounds: found -1"),
        ({"steps": 1.5}, "steps: found 1.5"),
        ({"slope_scale": 0.0}, "slope_scale: found 0.0"),
        ({"shot": math.inf}, "shot: found inf"),
    ],
)
def test_bad_input_is_named_in_one_line(field, scene, change, words):
    _, depth_m, taken = scene
    with pytest.raises(InputError) as caught:
        restore_least_squares(taken, depth_m, field, window=WINDOW, **change)
    assert words in str(caught.value)
