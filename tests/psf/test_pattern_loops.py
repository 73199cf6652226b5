import numpy as np
import pytest

from psf.pattern_loops import _paint, paint


@pytest.mark.parametrize("function", [_paint, paint], ids=["python", "compiled"])
def test_first_disc_lies_on_top_and_discs_beyond_the_frame_are_cut(function):
    canvas, covered = np.zeros((2, 9, 12)), np.zeros((9, 12), dtype=bool)
    places = np.array([[4.0, 3.0, 2.0], [5.0, 3.0, 3.0], [-1.0, 8.0, 2.5], [90.0, 90.0, 5.0]])
    colours = np.arange(8.0).reshape(4, 2) + 1
    painted = function(canvas, covered, *(np.ascontiguousarray(places[:, i]) for i in range(3)), colours)
    rows, columns = np.mgrid[:9, :12]
    wanted = np.zeros((2, 9, 12))
    for (x, y, radius), colour in list(zip(places, colours, strict=True))[::-1]:
        inside = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
        wanted[:, inside] = colour[:, None]
    np.testing.assert_array_equal(canvas, wanted)
    np.testing.assert_array_equal(covered, wanted[0] > 0)
    assert painted == covered.sum()
