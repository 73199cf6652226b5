import math

import numpy as np
import pytest

from render import marching
from render.pupils import spread_points


def prepare(surfaces, slope=1.0, coverage=None, padding="replicate", rays=64, margin=12):
    """Arguments of a march over all pixels of surfaces (L, H, W), the second of them visible, up to the colours.

    Rays' offsets are `slope` px per dpt times the unit disc, sharp at 0 dpt.
    """
    layers, height, width = surfaces.shape
    points = spread_points(16 * rays)
    turn, distance = 2 * math.pi * points[:, 0], np.sqrt(points[:, 1])
    unit = np.stack((distance * np.cos(turn), distance * np.sin(turn)), 1)
    lines = np.concatenate((0 * unit, slope * unit), 1)[None]
    rows, cols = (one.ravel() for one in np.indices((height, width)))
    place = np.zeros((len(rows), 4))
    place[:, 2] = 1
    pads, lit = marching.pad_frame(height, width, margin, padding)
    deep = surfaces.transpose(1, 2, 0)[pads].reshape(-1, layers)
    cover = np.ones_like(deep) if coverage is None else coverage.transpose(1, 2, 0)[pads].reshape(-1, layers)
    start = np.full(len(rows), surfaces.max() + 1e-6)
    own = surfaces[min(1, layers - 1)][rows, cols]
    wide = width + 2 * margin
    arguments = (rows, cols, start, own, place, wide, deep, deep.max(-1), cover, -1e-6, lines, rays)
    return (*arguments, np.zeros(1), np.ones((1, 1, 1)), 0.1, margin), pads, lit


def see(surfaces, colours, image=None, control=None, padding="replicate", **options):
    """Colours (H W, 1) that rays meet; a black picture, gathered black, leaves nothing to correct."""
    arguments, pads, lit = prepare(surfaces, padding=padding, **options)
    painted = (colours.transpose(1, 2, 0)[pads] * lit).reshape(-1, 1)
    picture = np.zeros(colours.shape[1:]) if image is None else image
    out = np.empty((picture.size, 1))
    exact = np.zeros_like(out) if control is None else control
    marching.march(*arguments, False, 0, (picture[pads][..., None] * lit).reshape(-1, 1), painted, exact, out)
    return out


def beneath(surfaces, colours):
    """A stack with nothing in front of it, so that its first surface is the visible one."""
    return np.concatenate((np.full_like(surfaces[:1], -1), surfaces)), np.concatenate((0 * colours[:1], colours))


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ("reflect", [2, 1, 0, 1, 2, 3, 2, 1]),
        ("replicate", [0, 0, 0, 1, 2, 3, 3, 3]),
        ("circular", [2, 3, 0, 1, 2, 3, 0, 1]),
    ],
)
def test_rows_outside_the_frame_are_padded_as_torch_does(padding, expected):
    assert marching.pad_places(4, 2, padding).tolist() == expected


@pytest.mark.parametrize("padding", ["reflect", "replicate", "circular", "zeros"])
def test_folding_is_the_transpose_of_padding(padding):
    generator = np.random.default_rng(3)
    picture, other = generator.random((5, 6, 2)), generator.random((11, 12, 2))
    pads, lit = marching.pad_frame(5, 6, 3, padding)
    there, back = (picture[pads] * lit * other).sum(), (picture * marching.fold(other * lit, pads, (5, 6))).sum()
    assert math.isclose(there, back)


def test_a_level_surface_shows_the_disc_of_its_depth():
    image = np.zeros((1, 21, 21))
    image[0, 10, 10] = 1.0
    out = see(*beneath(np.full((1, 21, 21), 1.0), image), slope=4.0, rays=1024).reshape(21, 21)
    rows, cols = np.indices((21, 21)) - 10
    distance = np.hypot(rows, cols)
    assert (out[distance > 5] < 1e-3).all()
    # One pixel's share of a disc of 4 px radius.
    assert abs(out[distance < 3].mean() - 1 / (16 * math.pi)) < 2e-3


def test_a_steep_slope_lets_no_ray_through():
    # Steps of just under the thickness from row to row; beneath lies a surface of another colour.
    slope = np.broadcast_to(np.linspace(0.2, 2.0, 20)[:, None], (20, 20))
    surfaces = np.stack((slope, np.full_like(slope, 0.05)))
    colours = np.zeros((2, 20, 20))
    colours[1] = 1.0
    assert see(*beneath(surfaces, colours), slope=6.0, margin=14).max() == 0.0


def test_rays_pass_behind_an_edge():
    near_far = np.full((1, 9, 20), 0.0)
    near_far[..., :10] = 1.5
    colours = np.zeros((1, 9, 20))
    colours[..., 10:] = 1.0
    out = see(*beneath(near_far, colours), slope=2.0)
    row = out.reshape(9, 20)[4]
    assert row[:5].max() == 0.0
    assert row[15:].min() == 1.0
    assert (np.diff(row) >= -1e-9).all()


def test_what_a_surface_does_not_cover_shows_the_one_behind():
    surfaces = np.stack((np.full((9, 9), 1.0), np.full((9, 9), 0.5)))
    colours = np.stack((np.zeros((9, 9)), np.ones((9, 9))))
    coverage = np.stack((np.full((9, 9), 0.25), np.ones((9, 9))))
    assert np.allclose(see(surfaces, colours, coverage=coverage), 0.75)


def test_rays_that_meet_nothing_leave_what_was_gathered():
    surfaces, colours = beneath(np.full((1, 5, 5), 1.0), np.ones((1, 5, 5)))
    out = see(surfaces, colours, coverage=np.zeros_like(surfaces), control=np.full((25, 1), 0.3))
    assert np.allclose(out, 0.3)


def test_few_rays_are_corrected_by_what_is_gathered():
    image = np.random.default_rng(2).random((1, 21, 21))
    level = np.full((1, 21, 21), 1.0)
    many = see(*beneath(level, image), slope=4.0, rays=4096)
    few = see(*beneath(level, image), slope=4.0, rays=16, image=image[0], control=many)
    assert np.abs(see(*beneath(level, image), slope=4.0, rays=16) - many).max() > 0.05
    assert np.allclose(few, many, atol=1e-12)


def test_outside_a_frame_of_zeros_it_is_dark():
    out = see(*beneath(np.full((1, 9, 9), 1.0), np.ones((1, 9, 9))), slope=3.0, padding="zeros").reshape(9, 9)
    assert out[0, 0] < out[4, 4]


def test_the_march_backwards_is_its_transpose():
    generator = np.random.default_rng(4)
    surfaces = np.stack((np.full((12, 14), -1.0), generator.random((12, 14)) + 0.5, np.full((12, 14), 0.2)))
    coverage = generator.random(surfaces.shape)
    arguments, _, lit = prepare(surfaces, slope=3.0, coverage=coverage, rays=16)
    cells = lit.size
    image, colours = generator.random((cells, 1)), generator.random((3 * cells, 1))
    control, slopes, out = generator.random((168, 1)), generator.random((168, 1)), np.empty((168, 1))
    marching.march(*arguments, False, 0, image, colours, control, out)
    backs = [np.zeros_like(one) for one in (image, colours, control)]
    marching.march(*arguments, True, 0, *backs, slopes)
    there = (out * slopes).sum()
    back = sum((one * other).sum() for one, other in zip(backs, (image, colours, control), strict=True))
    assert math.isclose(there, back, rel_tol=1e-12)
    assert all(np.abs(one).max() > 0 for one in backs)


def test_gathered_discs_lie_between_the_stored_ones():
    discs = np.zeros((3, 5, 5))
    discs[0, 2, 2] = discs[1, 2, 2] = 1
    discs[2] = 1 / 25
    image, out = np.random.default_rng(1).random((9, 9, 1)), np.zeros((1, 1))
    marching.gather_discs(np.array([4]), np.array([4]), np.array([1.5]), discs, 1.0, 0, False, 0, image, out)
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


def test_what_is_added_backwards_does_not_depend_on_threads():
    rows, values = np.repeat(np.arange(100), 60), np.random.default_rng(5).random(6000).astype(np.float32)

    def work(part, first_row, sums):
        for row, value in zip(rows[part], values[part], strict=True):
            sums[0][row - first_row : row - first_row + 5] += value

    found = []
    for threads in (1, 2):
        found.append(np.zeros((104, 3), np.float32))
        marching.spread_back(work, rows, 2, (found[-1],), threads)
    plain = np.zeros(104)
    for row, value in zip(rows, values, strict=True):
        plain[row : row + 5] += value
    assert np.allclose(found[0][:, 0], plain, rtol=1e-5)
    assert found[0].tobytes() == found[1].tobytes()
