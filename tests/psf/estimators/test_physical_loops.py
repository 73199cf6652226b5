import math

import numpy as np
import pytest

from psf.estimators import physical_loops
from psf.estimators.physical_pupil import Pupil, Term

NO_RIMS = {("radius", 0): 9.0, ("radius", 1): 9.0}


def make_pupil(known: dict[tuple[str, int, int], float], rims: dict[tuple[str, int], float] | None = None) -> Pupil:
    """A pupil that is the same at all places: Zernike coefficients by (n, m), and rims that do not move."""
    rims = NO_RIMS | (rims or {})
    terms = [Term("wave", n, m, 0, 0, 0) for _, n, m in known]
    terms += [Term(what, circle, 0, 0, 0, 0) for what, circle in rims]
    return Pupil(4, tuple(terms), np.array([*known.values(), *rims.values()]), (0.0, 1.0))


def kernel_of(pupil: Pupil, azimuth_rad: float = 0.0, size: int = 25, oversample: int = 1) -> np.ndarray:
    found = pupil.locals_at(pupil.factors(np.zeros(1), np.zeros(1)))
    turned = np.array([[math.cos(azimuth_rad), math.sin(azimuth_rad)]])
    return physical_loops.fill_kernels(found, turned, pupil.powers, (40, 56), size, oversample=oversample)[0]


def disc(radius_px: float) -> dict[tuple[str, int, int], float]:
    # W = c (2 rho^2 - 1) / 2^1.5: a ray lands at 4 c / 2^1.5 times its place.
    return {("wave", 2, 0): radius_px * 2**1.5 / 4}


def moments(kernel: np.ndarray) -> tuple[float, float, float, float]:
    offset = np.arange(len(kernel)) - (len(kernel) - 1) / 2
    x, y = kernel.sum(0) @ offset, kernel.sum(1) @ offset
    return x, y, kernel.sum(0) @ offset**2 - x**2, kernel.sum(1) @ offset**2 - y**2


def test_defocus_alone_is_an_even_disc():
    kernel = kernel_of(make_pupil(disc(8.0)))
    row, col = np.mgrid[-12:13, -12:13]
    inside = (np.hypot(row, col) < 6.5) & (np.hypot(row, col) > 0.5)
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    # The light of a pixel is its share of the area; rays are spread a little over the rim, and about the middle, where
    # the innermost ring has no neighbour, to 7 %.
    np.testing.assert_allclose(kernel[inside], 1 / (math.pi * 64), rtol=0.03)
    assert moments(kernel)[2] == pytest.approx(64 / 4 + 1 / 12, rel=0.01)


def test_kernels_are_turned_counter_clockwise():
    coma = make_pupil({**disc(4.0), ("wave", 1, 1): 3.0})
    right, up = kernel_of(coma), kernel_of(coma, math.pi / 2)
    # Z(1, 1) = u moves every ray to the right; a quarter turn makes that upwards, where rows get smaller.
    np.testing.assert_allclose(moments(right)[:2], (3.0, 0.0), atol=1e-6)
    np.testing.assert_allclose(moments(up)[:2], (0.0, -3.0), atol=1e-6)
    np.testing.assert_allclose(up, np.rot90(right), atol=1e-9)


def test_a_rim_cuts_the_disc_to_a_lens_shape():
    cut = kernel_of(make_pupil(disc(10.0), {("place", 0): 1.0, ("radius", 0): 1.0}), oversample=3)
    # Two discs of radius 10 px, 10 px apart, share 10^2 (2 pi / 3 - sqrt(3) / 2) = 122.8 px^2, about x = 5 px.
    level = cut[34:41, 56:60].mean()
    assert (cut / level).sum() / 9 == pytest.approx(122.8, rel=0.02)
    assert moments(cut)[0] / 3 == pytest.approx(5.0, abs=0.02)


def test_spherical_aberration_makes_a_ring_on_one_side_of_focus():
    bright = [kernel_of(make_pupil({**disc(sign * 5.0), ("wave", 4, 0): 2.0}))[12] for sign in (1, -1)]
    # The light of the rim and that of the middle: caustics change sides with the sign of defocus.
    assert bright[0][12] > 2 * bright[0][12:18].min() or bright[1][12] > 2 * bright[1][12:18].min()
    assert abs(bright[0] - bright[1]).sum() > 0.2 * bright[0].sum()


def test_derivatives_are_differences():
    numbers = np.random.default_rng(1)
    pupil = make_pupil({("wave", n, m): 1.0 for n in range(1, 5) for m in range(n, -1, -2)})
    found = numbers.standard_normal((1, pupil.locals_at(pupil.factors(np.zeros(1), np.zeros(1))).shape[1]))
    count = pupil.powers.shape[1]
    found[0, count:] = (1.05, 0.1, -0.1, 0.05, 0.3, 1.05, -0.2, 1.1)
    cells = np.array([[0.3, 4.0, 4.0, 12.0]])

    def fill(places: np.ndarray, slopes: bool = False) -> tuple[np.ndarray, np.ndarray]:
        return physical_loops.fill_cells(places, cells, pupil.powers, (40, 64), 7, 4, slopes=slopes)

    kernels, by = fill(found, slopes=True)
    twice = np.where(np.arange(kernels.shape[1]) < 15, 1.0, 2.0)
    assert (kernels * twice).sum() == pytest.approx(1)
    for n in range(found.shape[1]):
        more, less = found.copy(), found.copy()
        more[0, n] += 1e-4
        less[0, n] -= 1e-4
        difference = (fill(more)[0] - fill(less)[0])[0] / 2e-4
        # Rays' own widths are not differentiated: that is 2 %, and 8 % where rims move.
        limit = 0.03 if n < count + 4 else 0.1
        assert abs(difference - by[0, :, n]).sum() < limit * abs(difference).sum()
