"""Depth of field against the textbook's formula and against the blur itself."""

import math

import pytest
import torch

import optics
from optics.depth_of_field import find_blur, find_depth_of_field, find_gaussian_depth_of_field
from psf import Channel, InputError
from psf.threads import limit_threads

LINE = (Channel("d", (optics.glass.LINE_D_UM,)),)
FOCAL_MM, F_NUMBER = 50.0, 8.0


@pytest.fixture(autouse=True)
def one_thread():
    """Small bundles: a second thread only waits for the first."""
    with limit_threads(1):
        yield


def thin_lens():
    """Two spheres that all but touch, the stop on the first."""
    glass = optics.ConstantIndex("thin", torch.tensor(1.5, dtype=torch.float64))
    semi = 0.5 * FOCAL_MM / F_NUMBER
    front = optics.Surface(optics.Conic(1 / FOCAL_MM, 0.0), semi, 1e-9, glass)
    rear = optics.Surface(optics.Conic(-1 / FOCAL_MM, 0.0), 2 * semi, FOCAL_MM, optics.AIR)
    return optics.Lens("thin", (front, rear), 1, optics.Sensor((2400, 3600), 10.0))


@pytest.mark.parametrize("focus_m", [0.5, 2.0, 9.0])
def test_formula_is_the_textbooks_for_a_thin_lens(focus_m):
    circle_mm = 0.03
    found = find_gaussian_depth_of_field(thin_lens().refocused(focus_m), (1e3 * circle_mm,))
    hyperfocal = FOCAL_MM**2 / (F_NUMBER * circle_mm) + FOCAL_MM
    s = 1e3 * focus_m
    near = s * (hyperfocal - FOCAL_MM) / (hyperfocal + s - 2 * FOCAL_MM)
    far = s * (hyperfocal - FOCAL_MM) / (hyperfocal - s) if s < hyperfocal else math.inf
    assert found.focus_m == pytest.approx(focus_m, rel=1e-6)
    assert 1e3 * float(found.near_m) == pytest.approx(near, rel=1e-6)
    assert 1e3 * float(found.far_m) == pytest.approx(far, rel=1e-6)
    assert 1e3 * float(found.hyperfocal_m) == pytest.approx(hyperfocal, rel=1e-6)


def test_focused_to_the_hyperfocal_distance_infinity_is_just_sharp():
    lens, circle = optics.load("camera_rf50mm_f1p8").stopped_down(4), (30.0,)
    hyperfocal_m = float(find_gaussian_depth_of_field(lens, circle).hyperfocal_m)
    nearer, farther = (find_gaussian_depth_of_field(lens.refocused(d * hyperfocal_m), circle) for d in (0.999, 1.001))
    assert math.isfinite(float(nearer.far_m))
    assert math.isinf(float(farther.far_m))


def test_traced_limits_are_the_formulas_where_aberrations_are_small():
    lens = optics.load("camera_rf50mm_f1p8").stopped_down(16).refocused(3.0)
    found = find_depth_of_field(lens, (0.0,), (60.0,), LINE)
    formula = find_gaussian_depth_of_field(lens, (60.0,))
    # Spherical aberration at f/16 still is a few um of 60.
    assert float(found.near_m) == pytest.approx(float(formula.near_m), rel=0.01)
    assert float(found.far_m) == pytest.approx(float(formula.far_m), rel=0.02)
    assert float(found.best_m) == pytest.approx(3.0, rel=0.05)


def test_blur_at_the_limits_is_the_circle_of_confusion():
    lens, radius, circle = optics.load("f2.2_fixedfocus").refocused(0.2), 0.35, 10.0
    found = find_depth_of_field(lens, (radius,), (circle,), LINE)
    assert bool(found.sharp.all())
    limits = (float(found.near_m), float(found.far_m))
    assert limits[0] < float(found.best_m) < limits[1]
    blur = find_blur(lens, (radius,), limits, LINE)
    # The square of the blur is interpolated over the depths.
    assert torch.allclose(blur.diameter_um, torch.full((2, 1), circle, dtype=torch.float64), rtol=0.01)


def test_a_lens_that_is_never_sharp_says_so():
    lens = optics.load("f2.2_fixedfocus")
    found = find_depth_of_field(lens, (1.0,), (0.5,), LINE)
    assert not bool(found.sharp.any())
    assert float(found.near_m) == float(found.far_m) == float(found.best_m)
    assert float(found.smallest_um) > 0.5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda lens: find_depth_of_field(lens, (0.0,), ()), "circles_um"),
        (lambda lens: find_depth_of_field(lens, (0.0,), (0.0,)), "circles_um"),
        (lambda lens: find_depth_of_field(lens, (1.5,), (1.0,)), "radii"),
        (lambda lens: find_gaussian_depth_of_field(lens, (math.nan,)), "circles_um"),
        (lambda lens: find_blur(lens, (0.0,), (0.0,)), "depth_m"),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call(optics.load("singlet_biconvex_nbk7"))
