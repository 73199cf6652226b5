import itertools

import numpy as np

from render.filling import fill_hidden, jumps


def box(slope=0.0, height=40, width=40):
    """A near box at 1 dpt before a wall at 0.4 dpt that leans by `slope` dpt per column."""
    dioptres = 0.4 + slope * np.broadcast_to(np.arange(width), (height, width)).copy()
    dioptres[10:30, 10:30] = 1.0
    image = np.full((height, width, 1), 0.2)
    image[10:30, 10:30] = 0.9
    return image, dioptres


def test_a_jump_has_a_farther_and_a_nearer_side():
    _, dioptres = box()
    far, near = jumps(dioptres, 0.1)
    assert far[20, 9] and near[20, 10]  # noqa: PT018
    assert not far[20, 10] and not near[20, 9]  # noqa: PT018
    assert far.sum() == near.sum() + 4


def test_the_wall_goes_on_behind_the_box():
    image, dioptres = box()
    surfaces = fill_hidden(image, dioptres, 0.05, 10.0, hidden=1)
    behind = surfaces.dioptres_dpt[1]
    assert (behind[20, 10:16] == 0.4).all()
    assert np.allclose(surfaces.colours[1][20, 10:16], 0.2)
    # Rays drift 10 px per dpt over 0.6 dpt: 6 px and one more; deeper nothing can be seen.
    assert behind[20, 17] == -1
    assert (behind[:10] == -1).all()


def test_a_leaning_wall_goes_on_leaning():
    image, dioptres = box(slope=0.005)
    behind = fill_hidden(image, dioptres, 0.05, 10.0, hidden=1).dioptres_dpt[1]
    # The pull towards level takes a few hundredths of the slope.
    assert np.allclose(behind[20, 10:15], 0.4 + 0.005 * np.arange(10, 15), atol=0.002)


def test_a_hidden_surface_stays_behind_the_visible_one():
    image, dioptres = box(slope=0.012)
    surfaces = fill_hidden(image, dioptres, 0.05, 30.0, hidden=2).dioptres_dpt
    for front, behind in itertools.pairwise(surfaces):
        there = behind >= 0
        assert (behind[there] < front[there]).all()


def test_a_second_hidden_surface_lies_behind_the_first():
    image, dioptres = box()
    dioptres[:, 33:] = 0.1
    surfaces = fill_hidden(image, dioptres, 0.05, 30.0, hidden=2)
    assert len(surfaces.dioptres_dpt) == 3
    assert surfaces.dioptres_dpt[1][20, 28] == 0.4
    assert surfaces.dioptres_dpt[2][20, 28] == 0.1


def test_a_scene_without_jumps_hides_nothing():
    image, _ = box()
    assert len(fill_hidden(image, np.full((40, 40), 0.5), 0.05, 10.0).dioptres_dpt) == 1


def test_threads_change_nothing():
    image, dioptres = box(slope=0.003, height=120, width=120)
    one, two = (fill_hidden(image, dioptres, 0.05, 30.0, threads=n) for n in (1, 2))
    assert np.array_equal(one.dioptres_dpt, two.dioptres_dpt)
    assert np.array_equal(one.colours, two.colours)
