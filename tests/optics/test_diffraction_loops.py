import math

import numpy as np
import pytest

from optics.diffraction_loops import BETA, WIDTH, find_rims, tabulate_window, window_values
from optics.disc import DiscNodes

NODES = DiscNodes(6, 8)
PHI = math.pi * (np.arange(16) + 0.5) / 16


def clearance(constant, square, tilt=0.0):
    """constant + square rho^2 + tilt rho cos(phi) as an expansion (1, 1, 2, n, m/2)."""
    found = np.zeros((1, 1, 2, 6, 4))
    found[0, 0, 0, 0, 0], found[0, 0, 0, 1, 0], found[0, 0, 1, 0, 0] = constant, square, tilt
    return found


@pytest.mark.parametrize("notched", [False, True])
def test_rims_are_the_roots_of_the_clearance(notched):
    low, high = find_rims(clearance(-1.0, 1.9, 0.4), NODES.table(PHI, odd=False), notched)
    a, b = 1.9, 0.4 * np.cos(PHI)
    assert np.abs(high[0, 0] - (-b + np.sqrt(b * b + 4 * a)) / (2 * a)).max() < 1e-9
    assert (low[0, 0] == 0).all()
    assert (high[0, 1:] == 0).all()


def test_a_half_line_that_nothing_cuts_ends_at_the_ellipse():
    _, high = find_rims(clearance(-1.0, 0.5), NODES.table(PHI, odd=False), False)
    assert (high[0, 0] == 1).all()


def test_of_two_surfaces_the_nearer_rim_counts():
    both = np.concatenate([clearance(-1.0, 1.9), clearance(-1.0, 4.0)], axis=1)
    _, high = find_rims(both, NODES.table(PHI, odd=False), False)
    assert np.allclose(high[0, 0], 0.5)


@pytest.mark.parametrize("at", [10.0, 10.25, 10.5, 10.99])
def test_the_window_stands_round_its_place_and_carries_any_wave(at):
    values = np.empty(WIDTH)
    first = window_values(at, tabulate_window(), values)
    cells = first + np.arange(WIDTH)
    assert (np.abs(cells - at) <= WIDTH / 2).all()
    # Sown and read as a wave of a quarter turn per cell, the most that occurs, it is that wave times the response.
    t = np.linspace(-WIDTH / 2, WIDTH / 2, 20001)
    window = np.exp(BETA * (np.sqrt(np.maximum(1 - (2 * t / WIDTH) ** 2, 0)) - 1))
    for angle in (0.0, 0.7, math.pi / 2):
        response = (window * np.cos(angle * t)).sum() * (t[1] - t[0])
        found = (values * np.exp(1j * angle * cells)).sum()
        assert abs(found / response - np.exp(1j * angle * at)) < 1e-5


@pytest.mark.parametrize("at", [3.6, 4.0, 4.4999, 4.5, 4.50001, 7.123])
def test_the_tabulated_window_is_the_window(at):
    values = np.empty(WIDTH)
    first = window_values(at, tabulate_window(), values)
    z = (first + np.arange(WIDTH) - at) * 2 / WIDTH
    exact = np.exp(BETA * (np.sqrt(np.maximum(1 - z * z, 0)) - 1))
    assert np.abs(values - exact).max() < 1e-7
