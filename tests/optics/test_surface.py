import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optics.glass import AIR
from optics.surface import Conic, EvenAsphere, Plane, PolynomialAsphere, Surface
from psf.errors import InputError

F64 = torch.float64
CURVATURES = st.floats(-0.5, 0.5)
CONICS = st.floats(-60, 5)
# Coefficients that bend a surface of 1 mm radius by up to 0.2 mm each.
TERMS = st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=9)


def f64(value):
    return torch.tensor(value, dtype=F64)


def conics():
    return st.builds(lambda c, k: Conic(f64(c), f64(k)), CURVATURES, CONICS)


def even_aspheres():
    return st.builds(lambda c, k, a: EvenAsphere(f64(c), f64(k), f64(a)), CURVATURES, CONICS, TERMS)


def polynomial_aspheres():
    def build(c, k, a):
        return PolynomialAsphere(f64(c), f64(k), f64(a), tuple(range(1, len(a) + 1)))

    return st.builds(build, CURVATURES, CONICS, TERMS)


def shapes():
    return st.one_of(st.just(Plane()), conics(), even_aspheres(), polynomial_aspheres())


def radii(shape, count=31, top_mm=1.0):
    return torch.linspace(0, min(top_mm, 0.95 * shape.end_mm), count, dtype=F64)


@pytest.mark.parametrize("conic_k", [0.5, 0.0, -1.0, -3.0])
def test_sag_solves_the_implicit_equation_of_the_conic(conic_k):
    r2 = torch.linspace(0, 20, 201, dtype=F64) ** 2
    z, _, exists = Conic(f64(0.08), f64(conic_k)).sag(r2)
    residual = 0.08 * (r2 + (1 + conic_k) * z**2) - 2 * z
    assert residual[exists].abs().max() < 1e-13  # ten times the rounding of the sum


def test_sphere_is_as_high_as_pythagoras_says():
    r = torch.linspace(0, 9.9, 50, dtype=F64)
    z, _, exists = Conic(f64(0.1), f64(0.0)).sag(r * r)
    assert exists.all()
    assert (z - (10 - (100 - r * r).sqrt())).abs().max() < 1e-14


def test_paraboloid_is_the_same_as_conic_and_as_polynomial():
    r2 = torch.linspace(0, 5, 40, dtype=F64) ** 2
    conic = Conic(f64(0.2), f64(-1.0)).sag(r2)
    polynomial = EvenAsphere(f64(0.0), f64(0.0), f64([0.1])).sag(r2)
    assert (conic[0] - polynomial[0]).abs().max() < 1e-15
    assert (conic[1] - polynomial[1]).abs().max() < 1e-15


@given(shapes())
def test_slope_is_the_derivative_of_the_height(shape):
    r2 = radii(shape)[1:] ** 2
    h = 1e-6 * r2
    slope = shape.sag(r2)[1]
    difference = (shape.sag(r2 + h)[0] - shape.sag(r2 - h)[0]) / (2 * h)
    # Truncation goes with the third derivative (large near a conic's end), rounding with the height over h.
    scale = 1 + slope.abs() + shape.sag(r2)[0].abs() / r2
    assert ((slope - difference).abs() / scale).max() < 1e-6


@given(shapes(), st.floats(0.01, 100))
def test_a_scaled_shape_is_similar(shape, factor):
    r = radii(shape)[1:]  # a cone has no slope on the axis
    z, slope, _ = shape.sag(r * r)
    z_scaled, slope_scaled, _ = shape.scaled(factor).sag((factor * r) ** 2)
    assert torch.allclose(z_scaled, factor * z, rtol=1e-9, atol=1e-12 * factor)
    assert torch.allclose(slope_scaled * factor, slope, rtol=1e-9, atol=1e-9)


@given(shapes())
def test_a_mirrored_shape_is_the_negative(shape):
    r2 = radii(shape) ** 2
    for of_mirrored, of_shape in zip(shape.mirrored().sag(r2)[:2], shape.sag(r2)[:2], strict=True):
        assert torch.equal(of_mirrored, -of_shape)
    assert shape.mirrored().end_mm == shape.end_mm


@given(st.one_of(conics(), even_aspheres()))
def test_vertex_curvature_is_twice_the_slope_on_the_axis(shape):
    slope = shape.sag(f64(0.0))[1]
    assert abs(float(shape.vertex_curvature_per_mm - 2 * slope)) < 1e-14


@given(shapes())
def test_parameters_replaced_by_themselves_change_nothing(shape):
    again = shape.with_parameters(shape.parameters())
    r2 = radii(shape) ** 2
    assert torch.equal(again.sag(r2)[0], shape.sag(r2)[0])


@given(shapes())
def test_the_packed_numbers_give_the_same_height(shape):
    packed = shape.packed()
    r = radii(shape)
    c, k = packed.curvature_per_mm, packed.conic_k
    root = (1 - (1 + k) * c * c * r * r).sqrt()
    z = c * r * r / (1 + root)
    for a, power in zip(packed.coefficients, packed.powers, strict=True) if packed.powers else ():
        z = z + a * r**power
    assert (z - shape.sag(r * r)[0]).abs().max() < 1e-13


@pytest.mark.parametrize(
    "shape",
    [
        Conic(f64(0.08), f64(0.0)),
        EvenAsphere(f64(0.08), f64(0.0), f64([0.0, 1e-4])),
        PolynomialAsphere(f64(0.08), f64(0.0), f64([1e-3, 1e-4]), (1, 3)),
    ],
    ids=lambda shape: type(shape).__name__,
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradients_stay_finite_on_the_axis_and_where_the_surface_has_ended(shape, dtype):
    values = {name: v.to(dtype).detach().clone().requires_grad_(True) for name, v in shape.parameters().items()}
    r2 = (torch.linspace(0, 20, 201, dtype=dtype) ** 2).requires_grad_(True)
    z, slope, exists = shape.to(dtype=dtype).with_parameters(values).sag(r2)
    (torch.where(exists, z, 0.0).sum() + torch.where(exists, slope, 0.0)[1:].sum()).backward()
    assert not exists.all()
    assert all(v.grad.isfinite() for v in values.values())
    assert r2.grad.isfinite().all()


def test_end_is_where_the_root_vanishes():
    assert Conic(f64(0.1), f64(0.0)).end_mm == pytest.approx(10)
    assert EvenAsphere(f64(0.1), f64(3.0), f64([0.0])).end_mm == pytest.approx(5)
    assert Conic(f64(0.1), f64(-1.0)).end_mm == math.inf
    assert Plane().end_mm == math.inf


def surface(shape, **changes):
    return Surface(**{"shape": shape, "semi_aperture_mm": 1.0, "thickness_mm": 2.0, "medium": AIR, **changes})


def test_a_surface_hands_its_parameters_on_by_name():
    shape = EvenAsphere(f64(0.1), f64(-1.0), f64([0.0, 1e-3]))
    own = surface(shape)
    names = {"curvature_per_mm", "conic_k", "asphere_2", "asphere_4", "thickness_mm", "semi_aperture_mm"}
    assert set(own.parameters()) == names
    new = own.with_parameters({"asphere_4": f64(2e-3), "thickness_mm": f64(3.0)})
    assert float(new.shape.coefficients[1]) == 2e-3
    assert float(new.thickness_mm) == 3
    assert float(own.thickness_mm) == 2


def test_a_surface_moves_to_another_dtype_as_a_whole():
    moved = surface(EvenAsphere(f64(0.1), f64(-1.0), f64([0.0, 1e-3]))).to(dtype=torch.float32)
    assert {value.dtype for value in moved.parameters().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Conic(f64([0.1]), f64(0.0)), "Conic.curvature_per_mm"),
        (lambda: Conic(f64(math.nan), f64(0.0)), "Conic.curvature_per_mm"),
        (lambda: Conic(torch.tensor(1), f64(0.0)), "a floating dtype"),
        (lambda: EvenAsphere(f64(0.1), f64(0.0), f64(1.0)), "shape (P,)"),
        (lambda: EvenAsphere(f64(0.1), f64(0.0), f64([math.inf])), "EvenAsphere.coefficients"),
        (lambda: PolynomialAsphere(f64(0.1), f64(0.0), f64([1.0]), (1, 2)), "PolynomialAsphere.powers"),
        (lambda: PolynomialAsphere(f64(0.1), f64(0.0), f64([1.0, 1.0]), (2, 1)), "PolynomialAsphere.powers"),
        (lambda: PolynomialAsphere(f64(0.1), f64(0.0), f64([1.0]), (0,)), "whole numbers from 1"),
        (lambda: Conic(f64(0.1), f64(0.0)).with_parameters({"asphere_4": f64(1.0)}), "asphere_4"),
        (lambda: Plane().with_parameters({"conic_k": f64(1.0)}), "conic_k"),
        (lambda: surface(Plane(), thickness_mm=math.inf), "Surface.thickness_mm"),
        (lambda: surface(Plane(), semi_aperture_mm=0.0), "Surface.semi_aperture_mm"),
        (lambda: surface(Plane(), semi_aperture_mm=f64([1.0])), "Surface.semi_aperture_mm"),
        (lambda: Conic(f64(0.1), f64(0.0)).scaled(0.0), "factor"),
        (lambda: EvenAsphere(f64(0.1), f64(0.0), f64([1.0])).scaled(-1.0), "factor"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make, words):
    with pytest.raises(InputError) as caught:
        make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
