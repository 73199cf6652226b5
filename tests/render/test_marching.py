import math

import numpy as np
import pytest

from render import marching
from render.pupils import spread_points


def see(
    surfaces,
    colours,
    slope=1.0,
    coverage=None,
    rows=None,
    cols=None,
    padding="replicate",
    image=None,
    control=None,
    rays=64,
):
    """Colours (M, C) that rays meet whose offsets are `slope` px per dpt times the unit disc, sharp at 0 dpt."""
    layers, height, width = surfaces.shape
    points = spread_points(16 * rays)
    turn, distance = 2 * math.pi * points[:, 0], np.sqrt(points[:, 1])
    unit = np.stack((distance * np.cos(turn), distance * np.sin(turn)), 1)
    knots = np.array([2.0, 0.0])
    offsets = (slope * knots)[None, :, None, None] * unit
    if rows is None:
        rows, cols = (one.ravel() for one in np.indices((height, width)))
    rows, cols = np.asarray(rows), np.asarray(cols)
    place = np.zeros((len(rows), 4))
    place[:, 2] = 1
    # A black picture, gathered black: nothing to correct.
    image = np.zeros_like(colours[0]) if image is None else image
    exact = np.zeros((len(rows), colours.shape[-1])) if control is None else control
    out = np.empty((len(rows), colours.shape[-1]))
    marching.march(
        *(rows, cols, np.full(len(rows), surfaces.max() + 1e-6), surfaces[0][rows, cols], place, image, surfaces),
        *(colours, np.ones_like(surfaces) if coverage is None else coverage, knots, offsets, rays),
        *(np.ones((1, 2, colours.shape[-1])), 0.1, marching.PADDINGS[padding], exact, out),
    )
    assert layers == len(colours)
    return out


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ("reflect", [2, 1, 0, 1, 2, 3, 2, 1]),
        ("replicate", [0, 0, 0, 1, 2, 3, 3, 3]),
        ("circular", [2, 3, 0, 1, 2, 3, 0, 1]),
    ],
)
def test_rows_outside_the_frame_are_padded_as_torch_does(padding, expected):
    assert [marching.inside(i, 4, marching.PADDINGS[padding]) for i in range(-2, 6)] == expected


def test_a_level_surface_shows_the_disc_of_its_depth():
    image = np.zeros((1, 21, 21, 1))
    image[0, 10, 10] = 1.0
    out = see(np.full((1, 21, 21), 1.0), image, slope=4.0, rays=1024).reshape(21, 21)
    rows, cols = np.indices((21, 21)) - 10
    distance = np.hypot(rows, cols)
    assert (out[distance > 5] < 1e-3).all()
    # One pixel's share of a disc of 4 px radius.
    assert abs(out[distance < 3].mean() - 1 / (16 * math.pi)) < 2e-3


def test_a_steep_slope_lets_no_ray_through():
    # Steps of just under the thickness from row to row; beneath lies a surface of another colour.
    slope = np.broadcast_to(np.linspace(0.2, 2.0, 20)[:, None], (20, 20))
    surfaces = np.stack((slope, np.full_like(slope, 0.05)))
    colours = np.zeros((2, 20, 20, 1))
    colours[1] = 1.0
    assert see(surfaces, colours, slope=6.0).max() == 0.0


def test_rays_pass_behind_an_edge():
    near_far = np.full((1, 9, 20), 0.0)
    near_far[..., :10] = 1.5
    colours = np.zeros((1, 9, 20, 1))
    colours[..., 10:, :] = 1.0
    out = see(near_far, colours, slope=2.0)
    row = out.reshape(9, 20)[4]
    assert row[:5].max() == 0.0
    assert row[15:].min() == 1.0
    assert (np.diff(row) >= -1e-9).all()


def test_what_a_surface_does_not_cover_shows_the_one_behind():
    surfaces = np.stack((np.full((9, 9), 1.0), np.full((9, 9), 0.5)))
    colours = np.stack((np.zeros((9, 9, 1)), np.ones((9, 9, 1))))
    coverage = np.stack((np.full((9, 9), 0.25), np.ones((9, 9))))
    assert np.allclose(see(surfaces, colours, coverage=coverage), 0.75)


def test_rays_that_meet_nothing_leave_what_was_gathered():
    surfaces = np.full((1, 5, 5), 1.0)
    out = see(surfaces, np.ones((1, 5, 5, 2)), coverage=np.zeros_like(surfaces), control=np.full((25, 2), 0.3))
    assert np.allclose(out, 0.3)


def test_few_rays_are_corrected_by_what_is_gathered():
    image = np.random.default_rng(2).random((1, 21, 21, 1))
    level = np.full((1, 21, 21), 1.0)
    many = see(level, image, slope=4.0, rays=4096)
    few = see(level, image, slope=4.0, rays=16, image=image[0], control=many)
    assert np.abs(see(level, image, slope=4.0, rays=16) - many).max() > 0.05
    assert np.allclose(few, many, atol=1e-12)


def test_outside_a_frame_of_zeros_it_is_dark():
    out = see(np.full((1, 9, 9), 1.0), np.ones((1, 9, 9, 1)), slope=3.0, padding="zeros")
    assert out.reshape(9, 9)[0, 0] < out.reshape(9, 9)[4, 4]


def test_gathered_kernels_are_a_true_convolution():
    generator = np.random.default_rng(0)
    image, kernels = generator.random((6, 7, 2)), generator.random((42, 2, 3, 3))
    rows, cols = (one.ravel() for one in np.indices((6, 7)))
    out = np.zeros((42, 2))
    marching.gather_kernels(rows, cols, image, kernels, marching.REPLICATE, out)
    for m in (0, 10, 41):
        plain = np.zeros(2)
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                y, x = np.clip(rows[m] - dy, 0, 5), np.clip(cols[m] - dx, 0, 6)
                plain += kernels[m, :, dy + 1, dx + 1] * image[y, x]
        assert np.allclose(out[m], plain)


def test_gathered_discs_lie_between_the_stored_ones():
    discs = np.zeros((3, 5, 5))
    discs[0, 2, 2] = discs[1, 2, 2] = 1
    discs[2] = 1 / 25
    image, out = np.random.default_rng(1).random((9, 9, 1)), np.zeros((1, 1))
    marching.gather_discs(np.array([4]), np.array([4]), np.array([1.5]), image, discs, 1.0, marching.ZEROS, out)
    assert np.allclose(out, 0.5 * image[4, 4] + 0.5 * image[2:7, 2:7].mean())


def test_a_painted_disc_has_its_radius():
    out = np.zeros((9, 9), np.bool_)
    marching.paint(np.array([4]), np.array([0]), np.array([2.0]), out)
    assert out.sum() == 9
    assert out[2, 0]
    assert out[4, 2]
    assert not out[3, 2]


@pytest.mark.parametrize("threads", [1, 3])
def test_work_is_spread_over_every_pixel_once(threads):
    seen = np.zeros(5000, int)

    def work(part):
        seen[part] += 1

    marching.spread(work, len(seen), threads)
    assert (seen == 1).all()
