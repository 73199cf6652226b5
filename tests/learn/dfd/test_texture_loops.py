import math

import numpy as np

from learn.dfd.texture_loops import _paint_strokes, paint, paint_strokes


def test_a_disc_has_its_area():
    picture = paint(np.array([[20.3, 19.6, 20.3, 19.6, 8.0]]), np.ones((1, 3)), np.zeros((40, 40, 3)))
    assert abs(picture[..., 0].sum() - math.pi * 64) < 0.01 * math.pi * 64


def test_a_stroke_thinner_than_a_pixel_brings_the_light_of_its_width():
    picture = paint(np.array([[-20.0, 10.2, 60.0, 10.2, 0.2]]), np.ones((1, 3)), np.zeros((21, 40, 3)))
    assert np.allclose(picture[..., 0].sum(0), 0.4, atol=0.15)


def test_the_first_stroke_is_on_top():
    strokes = np.array([[5.0, 5.0, 5.0, 5.0, 3.0], [5.0, 5.0, 5.0, 5.0, 6.0]])
    picture = paint(strokes, np.array([[1.0, 0, 0], [0, 1.0, 0]]), np.zeros((11, 11, 3)))
    assert picture[5, 5].tolist() == [1, 0, 0]
    assert picture[5, 10].tolist() == [0, 1, 0]


def test_compiled_loops_paint_what_plain_ones_paint():
    g = np.random.default_rng(1)
    strokes = g.uniform(0, 24, (30, 5)) * [1, 1, 1, 1, 0.2]
    colours = g.uniform(0, 1, (30, 3))
    found = []
    for loop in (_paint_strokes, paint_strokes):
        picture, free = np.zeros((20, 24, 3)), np.ones((20, 24))
        loop(strokes, colours, picture, free)
        found.append((picture, free))
    assert np.allclose(found[0][0], found[1][0], atol=1e-12)
    assert np.allclose(found[0][1], found[1][1], atol=1e-12)
