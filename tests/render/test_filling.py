import itertools
import math

import numpy as np

from render.filling import colour_hidden, find_hidden, jumps


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


def coloured(image, dioptres, hidden, threshold):
    out = np.zeros((*image.shape[:2], len(hidden.dioptres_dpt), image.shape[2]))
    colour_hidden(hidden, dioptres, threshold, image, out)
    return out


def test_the_wall_goes_on_behind_the_box():
    image, dioptres = box()
    hidden = find_hidden(dioptres, 0.05, 10.0, hidden=1)
    behind = hidden.dioptres_dpt[0]
    assert (behind[20, 10:16] == 0.4).all()
    assert np.allclose(coloured(image, dioptres, hidden, 0.05)[20, 10:16], 0.2)
    # Rays drift 10 px per dpt over 0.6 dpt: 6 px and one more; deeper nothing can be seen.
    assert behind[20, 17] == -1
    assert (behind[:10] == -1).all()


def test_a_guess_is_the_picture_mirrored_at_the_edge_and_averaged():
    image, dioptres = box()
    image[:, :10] = np.random.default_rng(0).random((40, 10, 1))
    hidden = find_hidden(dioptres, 0.05, 10.0, hidden=1)
    # Three pixels behind the edge at column 9: around column 6, three either way.
    assert math.isclose(coloured(image, dioptres, hidden, 0.05)[20, 12, 0, 0], image[17:24, 3:10].mean())


def test_the_colours_backwards_are_their_transpose():
    image, dioptres = box()
    dioptres[:, 33:] = 0.1
    generator = np.random.default_rng(1)
    image = generator.random(image.shape)
    hidden = find_hidden(dioptres, 0.05, 30.0)
    there, back = coloured(image, dioptres, hidden, 0.05), np.zeros_like(image)
    slopes = generator.random(there.shape)
    colour_hidden(hidden, dioptres, 0.05, back, slopes, back=True)
    assert math.isclose((there * slopes).sum(), (back * image).sum())


def test_a_hidden_surface_stays_behind_the_visible_one():
    _, dioptres = box(slope=0.012)
    surfaces = np.concatenate((dioptres[None], find_hidden(dioptres, 0.05, 30.0).dioptres_dpt))
    assert len(surfaces) > 1
    for front, behind in itertools.pairwise(surfaces):
        there = behind >= 0
        assert (behind[there] < front[there]).all()


def test_a_second_hidden_surface_lies_behind_the_first():
    _, dioptres = box()
    dioptres[:, 33:] = 0.1
    hidden = find_hidden(dioptres, 0.05, 30.0).dioptres_dpt
    assert len(hidden) == 2
    assert hidden[0][20, 28] == 0.4
    assert hidden[1][20, 28] == 0.1


def test_a_scene_without_jumps_hides_nothing():
    assert len(find_hidden(np.full((40, 40), 0.5), 0.05, 10.0).dioptres_dpt) == 0


def test_threads_change_nothing():
    _, dioptres = box(slope=0.003, height=120, width=120)
    one, two = (find_hidden(dioptres, 0.05, 30.0, threads=n) for n in (1, 2))
    assert np.array_equal(one.dioptres_dpt, two.dioptres_dpt)
    assert np.array_equal(one.sources, two.sources)
