import numpy as np
import pytest

from render.pupil_loops import scan_kernel
from render.pupils import spread_points


def binned(offsets_px, size):
    """Rays counted on the pixels that they fall on."""
    half, found = size // 2, np.zeros((size, size))
    rows = np.clip(np.floor(half - offsets_px[:, 1] + 0.5).astype(int), 0, size - 1)
    cols = np.clip(np.floor(half + offsets_px[:, 0] + 0.5).astype(int), 0, size - 1)
    np.add.at(found, (rows, cols), 1 / len(offsets_px))
    return found


def lopsided(size=9, seed=0):
    kernel = np.random.default_rng(seed).random((size, size)) ** 3
    return kernel / kernel.sum()


@pytest.mark.parametrize("beyond", [False, True])
def test_rays_of_a_kernel_are_spread_as_its_light(beyond):
    places, kernel = spread_points(1 << 16), lopsided()
    out = np.empty((len(places), 2))
    scan_kernel(kernel, 1.0, places, beyond, out)
    # Bins of the polar histogram are some 0.3 px wide at the rim; what they blur stays below a tenth of the light.
    assert 0.5 * np.abs(binned(out, 9) - kernel).sum() < 0.1
    centroid = (kernel.sum(0) @ (np.arange(9) - 4), -(kernel.sum(1) @ (np.arange(9) - 4)))
    assert np.allclose(out.mean(0), centroid, atol=0.03)


def test_a_ray_crosses_to_the_other_side_beyond_the_focus():
    places, kernel = spread_points(256), np.ones((9, 9)) / 81
    near, far = np.empty((256, 2)), np.empty((256, 2))
    scan_kernel(kernel, 1.0, places, False, near)
    scan_kernel(kernel, 1.0, places, True, far)
    # Light on the edge between two azimuths may fall to either of them.
    assert np.abs(near + far).mean() < 0.03
