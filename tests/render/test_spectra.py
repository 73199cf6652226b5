"""Tile rows in the frequency domain; what they add up to is tested in the tests of `spatial`."""

import numpy as np

from render.spectra import wanted_nodes


def test_a_node_needs_the_planes_of_the_tiles_that_touch_it():
    presence = np.zeros((2, 3, 2), dtype=bool)
    presence[0, 0, 0] = presence[1, 2, 1] = True
    wanted = wanted_nodes(presence)
    assert wanted.shape == (3, 4, 2)
    assert wanted[..., 0].nonzero()[0].tolist() == [0, 0, 1, 1]
    assert wanted[..., 0].nonzero()[1].tolist() == [0, 1, 0, 1]
    assert wanted[..., 1].sum() == 4
    assert wanted[1:, 2:, 1].all()
