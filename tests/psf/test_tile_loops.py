import math

import numpy as np
import pytest

from psf.tile_loops import Tiles, place_depths


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_depths_lie_between_their_neighbours_in_dioptres(threads, dtype):
    planes = -1 / np.array([0.2, 0.5, 2.0, math.inf])
    depth = np.array([[0.1, 0.2, 0.3, 0.5], [1.0, 2.0, 50.0, math.inf]], dtype)
    lower, share = place_depths(depth, planes.astype(dtype), threads)
    assert lower.dtype == share.dtype == dtype
    place = np.interp(-1 / depth, planes, [0.0, 1.0, 2.0, 3.0])
    assert np.allclose(lower + share, place, atol=1e-6 if dtype == np.float32 else 1e-14)
    assert ((share >= 0) & (share <= 1)).all()


def test_only_planes_with_a_weight_are_computed():
    lower, share = np.zeros((1, 1, 8, 8)), np.zeros((1, 1, 8, 8))
    lower[..., 4:, :] = 2.0
    share[..., 4:, :4] = 0.5
    kernels = np.ones((5, 1, 1, 3, 3))
    tiles = Tiles(np.ones((1, 1, 1, 10, 10)), kernels, [lower, share], (6, 3, 8, 8), (5, 0), None, 2)
    seen = [[np.flatnonzero(tiles.seen[0, row, col]).tolist() for col in range(2)] for row in range(2)]
    assert seen == [[[0], [0]], [[2, 3], [2]]]
    assert (np.abs(tiles.spectra).sum((1, 2, 3, 4)) > 0).tolist() == [True, False, True, True, False]
