import math

import numpy as np
import pytest

from psf.estimators.physical_pupil import Pupil, list_terms, list_waves, start_pupil


def zernike(n: int, m: int, u: float, v: float) -> float:
    rho, phi = math.hypot(u, v), math.atan2(v, u)
    radial = sum(
        (-1) ** s
        * math.factorial(n - s)
        / (math.factorial(s) * math.factorial((n + m) // 2 - s) * math.factorial((n - m) // 2 - s))
        * rho ** (n - 2 * s)
        for s in range((n - m) // 2 + 1)
    )
    return radial * math.cos(m * phi)


def test_monomials_add_up_to_zernike_polynomials():
    order = 8
    pupil = Pupil(order, list_terms(order, 2), np.zeros(len(list_terms(order, 2))), (0.0, 1.0))
    u, v = 0.4, 0.5
    values = np.array([u**k * (u * u + v * v) ** j for k, j in pupil.powers.T])
    constant = np.array([0.0**k * 0.0**j for k, j in pupil.powers.T])
    for column, (n, m) in enumerate(list_waves(order)):
        factors = pupil.monomials[: len(values), column]
        # A constant is left out of W: it moves no ray.
        wanted = (zernike(n, m, u, v) - zernike(n, m, 0.0, 0.0)) / n**1.5
        assert factors @ (values - constant) == pytest.approx(wanted, abs=1e-12)


def test_a_pupil_that_grows_stays_what_it_was():
    small = list_terms(4, 2)
    values = np.random.default_rng(0).standard_normal(len(small))
    pupil = Pupil(4, small, values, (0.2, 2.0))
    grown = pupil.grown(6, 3)
    radius, dioptre = np.array([0.3, 0.9]), np.array([0.5, 1.7])
    few = pupil.locals_at(pupil.factors(radius, dioptre))
    many = grown.locals_at(grown.factors(radius, dioptre))
    for n, power in enumerate(pupil.powers.T):
        where = np.flatnonzero((power == grown.powers.T).all(1))[0]
        np.testing.assert_allclose(many[:, where], few[:, n], atol=1e-12)
    np.testing.assert_allclose(many[:, grown.powers.shape[1] :], few[:, pupil.powers.shape[1] :], atol=1e-12)


def test_aberrations_off_the_axis_vanish_on_it():
    pupil = Pupil(6, list_terms(6, 2), np.ones(len(list_terms(6, 2))), (0.2, 2.0))
    factors = pupil.factors(np.zeros(1), np.ones(1))[0]
    for factor, term in zip(factors, pupil.terms, strict=True):
        if term.what == "wave" and term.second > 0:
            assert factor == 0


def test_sizes_of_kernels_tell_focus_and_field_curvature():
    radius, dioptre = (one.reshape(-1) for one in np.meshgrid(np.linspace(0, 1, 6), np.linspace(0.5, 2.5, 9)))
    # Discs whose radius is 4 px per dioptre, in focus at 1.4 dpt on the axis and at 1.2 dpt at the corner.
    variance = (4 * (dioptre - 1.4 + 0.2 * radius**2)) ** 2 / 4
    pupil = start_pupil(radius, dioptre, np.stack((variance, variance), 1), (0.5, 2.5))
    found = pupil.locals_at(pupil.factors(radius, dioptre))
    defocus = found[:, np.flatnonzero((pupil.powers.T == (0, 1)).all(1))[0]]
    # The ray at the rim lands at 2 W / rho.
    np.testing.assert_allclose(2 * defocus, 4 * (dioptre - 1.4 + 0.2 * radius**2), atol=0.15)
