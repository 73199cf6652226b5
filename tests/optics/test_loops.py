import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optics.loops import add_box, all_rims, evaluate, single_rims


@given(left=st.floats(-3, 9), top=st.floats(-3, 9), w=st.floats(1e-3, 4), h=st.floats(1e-3, 4), light=st.floats(0.1, 2))
def test_a_box_is_shared_by_exact_overlap(left, top, w, h, light):
    window = np.zeros((7, 7))
    add_box(left, w, top, h, light, window)
    edges = np.arange(8.0)
    columns = np.clip(np.minimum(left + w, edges[1:]) - np.maximum(left, edges[:-1]), 0, None) / w
    rows = np.clip(np.minimum(top + h, edges[1:]) - np.maximum(top, edges[:-1]), 0, None) / h
    assert window == pytest.approx(light * rows[:, None] * columns, abs=1e-9)


@pytest.mark.parametrize("low", [0.0, 0.2])
def test_polynomials_are_evaluated_between_two_rims(low):
    generator = np.random.default_rng(0)
    line, s = generator.normal(size=12), np.linspace(0.01, 0.99, 30)
    x = np.empty(30)
    evaluate(line, np.stack([s**p for p in range(12)]), low, 0.6, x)
    assert x == pytest.approx(np.polynomial.polynomial.polyval(low + 0.6 * s, line), abs=1e-12)


def _clearances(*functions, degree=8, angles=5):
    """Polynomials in rho, the same on every half line, of surfaces given as functions of rho."""
    rho = np.linspace(0, 1, 40)
    rows = [np.polynomial.polynomial.polyfit(rho, f(rho), degree - 1) for f in functions]
    return np.repeat(np.array(rows)[:, :, None], angles, axis=2)


def test_the_nearest_of_rising_clearances_is_the_rim():
    g = _clearances(lambda r: (r / 0.9) ** 2 - 1, lambda r: (r + 0.1) ** 2 / 0.64 - 1, lambda r: r - 5)
    rim, scratch = np.empty(5), np.empty((3, 5))
    assert single_rims(g, rim, scratch) == 0
    assert rim == pytest.approx(0.7, abs=1e-8)


def test_half_lines_without_a_cut_are_counted():
    rim, scratch = np.empty(5), np.empty((3, 5))
    assert single_rims(_clearances(lambda r: r - 3), rim, scratch) == 5
    assert rim.tolist() == [1.0] * 5


def test_light_behind_a_notch_is_a_second_interval():
    # Outside from 0.6 to 0.8, inside again up to 0.95.
    g = _clearances(lambda r: -(r - 0.6) * (r - 0.8) * 10, lambda r: r - 0.95)
    low, high, patches = np.empty((3, 5)), np.empty((3, 5)), np.empty(5, dtype=np.int64)
    assert all_rims(g, low, high, patches, np.empty((3, 5))) == 0
    assert patches.tolist() == [2] * 5
    assert low[:2, 0] == pytest.approx([0, 0.8], abs=1e-6)
    assert high[:2, 0] == pytest.approx([0.6, 0.95], abs=1e-6)
