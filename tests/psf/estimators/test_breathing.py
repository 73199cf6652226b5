import numpy as np
import pytest
import torch

from psf import Captures
from psf.estimators.breathing import choose_magnification, find_magnification, find_shift


def texture(seed: int, side: int) -> np.ndarray:
    from scipy import ndimage

    return ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((side, side)), 1.2)


def magnified(scale: float) -> Captures:
    """Patches of a picture that is larger by a factor about the sensor's centre, here and there on the sensor."""
    from scipy import ndimage

    shape, patch, kernel = (400, 500), 48, 17
    half = kernel // 2
    sharp, blurred, places = [], [], []
    for n in range(5):
        picture = texture(n, patch + 2 * half)
        x0, y0 = 20 + 70 * n, (300, 40, 180)[n % 3]
        y, x = np.mgrid[:patch, :patch].astype(float)
        right, down = x0 + x - 249.5, y0 + y - 199.5
        where = [y + half + down * (1 / scale - 1), x + half + right * (1 / scale - 1)]
        blurred.append(ndimage.map_coordinates(picture, where, order=3))
        sharp.append(picture)
        places.append((x0, y0))
    x0, y0 = zip(*places, strict=True)
    return Captures.from_arrays(np.array(sharp), np.array(blurred), x0, y0, 1.0, shape, kernel, 0.5)


@pytest.mark.parametrize("scale", [1.015, 0.99])
def test_magnification_is_measured(scale):
    captures = magnified(scale)
    # 1e-3 is 0.3 px at the sensor's corner.
    assert find_magnification(captures) == pytest.approx(scale, abs=1e-3)


def test_kernels_keep_what_they_can_hold():
    captures = magnified(1.005)
    assert choose_magnification(captures, "auto") == 1
    assert choose_magnification(captures, "kernels") == 1
    assert choose_magnification(captures, 1.01) == 1.01
    assert choose_magnification(captures, "fit") == pytest.approx(1.005, abs=1e-3)
    assert choose_magnification(magnified(1.02), "auto") == pytest.approx(1.02, abs=1e-3)


def test_light_that_moved_right_and_down_is_found_there():
    picture = torch.from_numpy(texture(9, 60))
    found = find_shift(picture, picture[8 - 3 : 52 - 3, 8 - 2 : 52 - 2])
    assert found is not None
    assert found[:2] == pytest.approx((2, 3), abs=0.05)
