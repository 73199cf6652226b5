import math

import numpy as np
import pytest
import torch

import psf
from render.pupils import Discs, disc_rays, field_rays, find_crossing, fit_lines, spread_points


def thin_field(count=20, **options):
    dioptres = torch.linspace(1.0, 0.0, count, dtype=torch.float64)
    return psf.thin_lens_field(50, 1.2, 2.0, 60, (200, 300), 1 / dioptres.clamp_min(1e-9), breathing=False, **options)


@pytest.mark.parametrize("count", [20, 2])
def test_rays_of_a_field_of_discs_are_the_rays_of_discs(count):
    discs = Discs(diameter_px_per_dpt=0.05 * 50 / 1.2 / 0.060, focus_m=2.0)
    field = thin_field(count)
    found, ideal = (field_rays(field, 1.0, 0.0, 0.0, 1.0, 1024), disc_rays(discs, 3, 1024))
    assert found.groups == ((0, 1, 2),)
    assert abs(found.drift_px_per_dpt / ideal.drift_px_per_dpt - 1) < 0.02
    for dioptre in (0.0, 0.5, 1.0):
        one, two = (rays.lines[0, 0, :, :2] + dioptre * rays.lines[0, 0, :, 2:] for rays in (found, ideal))
        # Field rays begin at -180 degrees where disc rays begin at 0; squares of a pixel blur the rim by some 0.2 px.
        assert np.sqrt(((one + two) ** 2).sum(-1).mean()) < 0.2


def test_light_that_is_even_over_depth_is_stored_once():
    assert field_rays(thin_field(), 1.0, 0.0, 0.0, 1.0, 64).transmission.shape == (2, 1, 3)


def test_threads_change_no_ray():
    one, two = (field_rays(thin_field(), 1.0, 0.0, 0.0, 1.0, 64, threads) for threads in (1, 2))
    assert np.array_equal(one.lines, two.lines)


def test_reach_is_where_the_outermost_ray_is():
    rays = disc_rays(Discs(diameter_px_per_dpt=20.0, focus_m=2.0), 3, 4096)
    assert np.allclose(rays.reach_px(np.array([0.0, 0.5, 1.5])), [5.0, 0.0, 10.0], atol=0.2)
    assert rays.reach_px(np.array([0.5])).shape == (1,)


def test_rays_are_straight_in_dioptres():
    knots = np.array([3.0, 1.5, 1.0, 0.0])
    offsets = knots[:, None, None] * np.ones((4, 5, 2)) + 2
    offsets[2] += 5
    # What a sharp kernel says of the pupil counts a millionth.
    found = fit_lines(knots, offsets, np.array([1.0, 2.0, 0.0, 3.0]), 1.0)
    assert np.allclose(found, np.array([2.0, 2.0, 1.0, 1.0]), atol=1e-4)


def test_one_depth_makes_level_rays():
    offsets = np.random.default_rng(0).random((1, 5, 2))
    found = fit_lines(np.array([2.0]), offsets, np.array([1.0]), 1.0)
    assert np.allclose(found, np.concatenate((offsets[0], np.zeros((5, 2))), 1))


def test_the_crossing_is_where_signed_size_is_a_straight_line():
    dioptres = np.linspace(4, 0, 9)
    crossing, slope = find_crossing(dioptres, np.abs(3 * (dioptres - 1.2)), 1.0)
    assert crossing == int((dioptres > 1.2).sum())
    assert math.isclose(slope, 3)


def test_of_two_depths_the_focus_says_where_rays_cross():
    sizes = np.array([1.0, 2.0])
    assert find_crossing(np.array([3.0, 0.0]), sizes, 1.0)[0] == 1
    assert find_crossing(np.array([3.0, 2.0]), sizes[::-1], 1.0)[0] == 2


def test_points_fill_the_square_evenly():
    points = spread_points(1024)
    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=8, range=[[0, 1], [0, 1]])
    assert counts.min() >= 12
    assert counts.max() <= 20


@pytest.mark.parametrize(
    ("change", "word"),
    [({"diameter_px_per_dpt": 0.0}, "diameter_px_per_dpt"), ({"focus_m": -1.0}, "focus_m")],
)
def test_discs_of_no_camera_are_refused(change, word):
    with pytest.raises(psf.InputError, match=word):
        Discs(**{"diameter_px_per_dpt": 10.0, "focus_m": 1.0, **change})
