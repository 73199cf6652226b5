import numpy as np
import pytest

from optics.ellipses import enclose


def enclose_plainly(u, v):
    """The same ascent in array operations, for one row."""
    weights = np.full(len(u), 1 / len(u))
    for _ in range(200):
        centre = (weights * u).sum()
        xx, yy = (weights * (u - centre) ** 2).sum(), (weights * v**2).sum()
        distance = (u - centre) ** 2 / xx + v**2 / yy
        if distance.max() < 2.01:
            break
        weights = weights * distance / (weights * distance).sum()
    return centre, np.sqrt(xx * distance.max()), np.sqrt(yy * distance.max())


def test_points_of_an_ellipse_give_it_back():
    angle = np.linspace(0, np.pi, 60)
    u, v = 3 + 2 * np.cos(angle), 0.5 * np.sin(angle)
    centre, a, b = enclose(u[None], v[None])
    # The ascent stops within half a percent of the smallest.
    assert (centre[0], a[0], b[0]) == pytest.approx((3, 2, 0.5), rel=5e-3)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_point_lies_inside_and_the_plain_form_agrees(seed):
    generator = np.random.default_rng(seed)
    u, v = generator.normal(size=(5, 80)) + 7, generator.normal(size=(5, 80))
    centre, a, b = enclose(u, v)
    inside = ((u - centre[:, None]) / a[:, None]) ** 2 + (v / b[:, None]) ** 2
    assert inside.max() <= 1 + 1e-12
    for row in range(5):
        expected = enclose_plainly(u[row], v[row])
        assert (centre[row], a[row], b[row]) == pytest.approx(expected, rel=1e-9)
