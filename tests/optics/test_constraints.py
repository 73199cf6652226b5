"""What a lens must keep: quantities against hand-made lenses, violations that begin smoothly, gradients."""

import math

import pytest
import torch

import optics
from optics.analysis import find_field_curves
from optics.constraints import Limit, find_violations, keep_limits, list_quantities, measure_quantity
from optics.variables import choose_variables
from psf import InputError

F64 = torch.float64


def plano_convex(radius_mm=20.0, thickness_mm=4.0, semi_mm=8.0):
    """Convex to the object, glass 1.5, 30 mm to the sensor."""
    glass = optics.ConstantIndex("glass", torch.tensor(1.5, dtype=F64))
    surfaces = (
        optics.Surface(optics.Conic(1 / radius_mm, 0.0), semi_mm, thickness_mm, glass),
        optics.Surface(optics.Plane(), semi_mm, 30.0, optics.AIR),
    )
    return optics.Lens("plano_convex", surfaces, 1, optics.Sensor((100, 100), 10.0))


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("efl_mm", [40.0]),
        ("f_number", [2.5]),
        ("back_focus_mm", [30.0]),
        ("total_track_mm", [34.0]),
        ("glass_centre_mm", [4.0]),
        # The glass is thinner by the sag of the sphere at 2, 4, 6 and 8 mm.
        ("glass_edge_mm", [4 - (20 - math.sqrt(400 - h * h)) for h in (2, 4, 6, 8)]),
        ("air_centre_mm", []),
        ("air_edge_mm", []),
        ("rim_slope", [h / math.sqrt(400 - h * h) for h in (2, 4, 6, 8)] + [0] * 4),
        ("rim_share", [0.16]),
    ],
)
def test_quantities_of_a_plano_convex_lens_are_those_of_the_textbook(quantity, expected):
    found = measure_quantity(plano_convex(), quantity)
    assert found.tolist() == pytest.approx(expected, rel=1e-12)


def test_chief_rays_leave_the_lens_as_if_from_the_exit_pupil():
    lens = optics.load("cooke_triplet")
    angles = measure_quantity(lens, "chief_angle_rad")
    facts = optics.first_order(lens)
    way_mm = float(facts.image_plane_from_last_vertex_mm - facts.exit_pupil_from_last_vertex_mm)
    ideal = torch.atan(torch.tensor([0.5, 0.75, 1.0], dtype=F64) * lens.sensor.half_diagonal_mm / way_mm)
    # Pupils have aberrations of their own.
    assert torch.allclose(angles, ideal, rtol=0.05)


def test_distortion_is_that_of_the_analysis():
    lens = optics.load("cooke_triplet").refocused(math.inf)
    curves = find_field_curves(lens, (0.5, 0.75, 1.0))
    assert torch.allclose(measure_quantity(lens, "distortion"), curves.distortion, atol=1e-9)


def test_violations_count_in_softness_and_are_zero_inside():
    lens = plano_convex()
    limits = [
        Limit("efl_mm", 41.0, 41.0, softness=0.5),
        Limit("total_track_mm", high=33.0, softness=0.1),
        Limit("back_focus_mm", low=20.0, high=31.0),
    ]
    assert find_violations(lens, limits).tolist() == pytest.approx([-2.0, 10.0, 0.0])
    assert find_violations(lens, []).shape == (0,)


def test_square_of_a_violation_begins_without_a_kink():
    free = choose_variables(plano_convex(), ["focus_mm"])
    limit = [Limit("back_focus_mm", high=30.0, softness=1.0)]

    def slope(way_mm):
        vector = (free.read() + way_mm / free.steps).requires_grad_()
        (found,) = torch.autograd.grad(find_violations(free.apply(vector), limit).square().sum(), vector)
        return float(found / free.steps)

    assert slope(-1e-3) == 0
    assert slope(1e-3) == pytest.approx(2e-3, rel=1e-6)


@pytest.mark.parametrize("quantity", sorted(list_quantities()))
def test_gradient_of_every_quantity_is_that_of_finite_differences(quantity):
    lens = optics.load("f2.2_fixedfocus")
    shapes = ["surface4.curvature_per_mm", "surface4.asphere_4", "surface6.conic_k"]
    names = [*shapes, "surface4.thickness_mm", "surface5.thickness_mm", "focus_mm"]
    free = choose_variables(lens, names)
    start = free.read()

    def total(vector):
        values = measure_quantity(free.apply(vector), quantity)
        return (values * torch.linspace(1, 2, len(values), dtype=F64)).sum()

    vector = start.clone().requires_grad_()
    (found,) = torch.autograd.grad(total(vector), vector, allow_unused=True, materialize_grads=True)
    for i in range(len(names)):
        h = torch.zeros_like(start)
        h[i] = 1e-2
        with torch.no_grad():
            f = [total(start + k * h) for k in (-2, -1, 1, 2)]
        expected = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * 1e-2)
        # Differences of fourth order: rounding of some 1e-14 over the step is what is left of them.
        assert float(found[i]) == pytest.approx(float(expected), rel=1e-6, abs=1e-10), names[i]


@pytest.mark.parametrize("name", ["double_gauss_jp1987087922", "f2.2_fixedfocus", "cooke_triplet"])
def test_a_design_keeps_its_own_limits(name):
    lens = optics.load(name)
    assert float(find_violations(lens, keep_limits(lens)).abs().max()) == 0
    assert float(find_violations(lens.scaled(1.1), keep_limits(lens)).abs().max()) > 0


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Limit("weight_g", 0, 1), "'weight_g'"),
        (lambda: Limit("efl_mm", 2, 1), "2 to 1"),
        (lambda: Limit("efl_mm"), "one finite"),
        (lambda: Limit("efl_mm", math.nan, 1), "low up to high"),
        (lambda: Limit("efl_mm", 1, 1, softness=0.0), "softness of efl_mm"),
        (lambda: measure_quantity(plano_convex(), "x"), "quantity"),
        (lambda: keep_limits(plano_convex(), slack=1.0), "slack"),
    ],
)
def test_limits_that_cannot_be_are_refused(make, told):
    with pytest.raises(InputError, match=told):
        make()
