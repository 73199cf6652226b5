import json
import math
from dataclasses import replace

import pytest
import torch

from optics import load
from optics.glass import AIR, ConstantIndex
from optics.lens import Lens, Sensor
from optics.paraxial import conjugate, first_order
from optics.rays import Rays
from optics.surface import Conic, EvenAsphere, Plane, PolynomialAsphere, Surface
from optics.tracing import trace
from psf.errors import InputError

F64 = torch.float64
LENSES = (
    "asphere_conic_end",
    "asphere_planohyperbolic",
    "camera_rf50mm_f1p8",
    "cooke_triplet",
    "double_gauss_jp1987087922",
    "phone_deeplens80",
    "phone_us7535658",
    "phone_us9651759",
    "singlet_biconvex_nbk7",
    "wide_laikin100",
)


def f64(value):
    return torch.tensor(value, dtype=F64)


@pytest.fixture(scope="module")
def tables(root):
    return json.loads((root / "tests/data/first_order.json").read_text())


def relative(found, expected):
    return abs(float(found) - expected) / max(abs(expected), 1e-9)


@pytest.mark.parametrize("name", LENSES)
def test_first_order_data_agree_with_the_tables_at_all_wavelengths(name, tables):
    lens = load(name)
    for wavelength_nm, table in tables[name].items():
        facts = first_order(lens, 1e-3 * float(wavelength_nm))
        for key, expected in table.items():
            if not isinstance(expected, float) or not hasattr(facts, key):
                continue
            # A defocus is the small difference of two lengths: it is compared on their scale.
            scale = abs(table["bfl_from_last_vertex_mm"]) if "defocus" in key else abs(expected)
            assert abs(float(getattr(facts, key)) - expected) <= 1e-9 * max(scale, 1e-9), (wavelength_nm, key)


@pytest.mark.parametrize("name", LENSES)
def test_near_conjugates_agree_with_the_tables(name, tables):
    lens = load(name)
    for wavelength_nm, table in tables[name].items():
        for row in table["conjugates"]:
            found = conjugate(lens, 1e-3 * row["object_distance_from_first_vertex_mm"], 1e-3 * float(wavelength_nm))
            for key in ("image_distance_from_last_vertex_mm", "magnification", "working_f_number"):
                assert relative(getattr(found, key), row[key]) < 1e-9, (wavelength_nm, key)


def single(shape, index=1.5, thickness_mm=20.0, semi_mm=1.0, second=None):
    glass = ConstantIndex("glass", f64(index))
    surfaces = [Surface(shape, semi_mm, 3.0, glass), Surface(second or Plane(), semi_mm, thickness_mm, AIR)]
    return Lens("single", tuple(surfaces), 1, Sensor((10, 10), 5.0))


def test_thick_lens_follows_the_lensmakers_equation():
    lens = single(Conic(f64(0.05), f64(0.0)), second=Conic(f64(-0.02), f64(0.0)))
    power = 0.5 * (0.05 + 0.02 + 0.5 * 3.0 * 0.05 * -0.02 / 1.5)
    assert relative(first_order(lens).efl_mm, 1 / power) < 1e-14


def test_a_conic_constant_and_higher_terms_leave_first_order_alone_and_r2_does_not():
    plain = first_order(single(Conic(f64(0.05), f64(0.0)))).efl_mm
    bent = first_order(single(EvenAsphere(f64(0.05), f64(-3.0), f64([0.0, 0.1])))).efl_mm
    squared = first_order(single(EvenAsphere(f64(0.03), f64(0.0), f64([0.01])))).efl_mm
    odd = first_order(single(PolynomialAsphere(f64(0.03), f64(0.0), f64([0.01, 0.2]), (2, 3)))).efl_mm
    assert relative(bent, float(plain)) < 1e-15
    assert relative(squared, float(plain)) < 1e-15
    assert relative(odd, float(plain)) < 1e-15


def test_newtons_equation_holds_between_conjugates():
    lens = load("camera_rf50mm_f1p8")
    facts, near = first_order(lens), conjugate(lens, 2.0)
    x_object = -2000.0 - facts.ffl_from_first_vertex_mm
    x_image = near.image_distance_from_last_vertex_mm - facts.bfl_from_last_vertex_mm
    assert relative(-x_object * x_image, float(facts.efl_mm) ** 2) < 1e-12
    assert relative(near.magnification, float(-x_image / facts.efl_mm)) < 1e-12


def test_a_far_object_is_imaged_at_infinitys_place():
    lens = load("phone_us9651759")
    far, infinite = conjugate(lens, 1e9), conjugate(lens, math.inf)
    assert relative(far.image_distance_from_last_vertex_mm, float(infinite.image_distance_from_last_vertex_mm)) < 1e-10
    assert relative(far.working_f_number, float(infinite.working_f_number)) < 1e-9
    assert float(infinite.magnification) == 0


@pytest.mark.parametrize("name", ["phone_us9651759", "cooke_triplet"])
def test_rays_near_the_axis_meet_where_first_order_says(name):
    lens = load(name)
    distance = first_order(lens).bfl_from_last_vertex_mm
    sharp = replace(lens, surfaces=(*lens.surfaces[:-1], replace(lens.surfaces[-1], thickness_mm=distance)))
    height = 1e-4
    rays = Rays(f64([[0.0, height, -1.0]]), f64([[0.0, 0.0, 1.0]]), f64(lens.reference_wavelength_um))
    # Spherical aberration goes with the cube of the height.
    assert trace(sharp, rays).position_mm[0, 1].abs() < 1e-3 * height


def test_gradients_reach_every_parameter_that_matters():
    lens = load("cooke_triplet")
    names = ("surface1.curvature_per_mm", "surface3.thickness_mm", "surface1.medium.nd")
    known = lens.parameters()
    values = {n: known[n].clone().requires_grad_(True) for n in names if n in known}
    assert len(values) >= 2

    def efl(*tensors):
        return first_order(lens.with_parameters(dict(zip(values, tensors, strict=True)))).efl_mm

    assert torch.autograd.gradcheck(efl, tuple(values.values()), eps=1e-7, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: first_order(single(Plane())), "no refracting power"),
        (lambda: first_order(single(Conic(f64(0.05), f64(0.0))), -0.5), "wavelength_um"),
        (lambda: conjugate(single(Conic(f64(0.05), f64(0.0))), 0.0), "depth_m"),
        (lambda: conjugate(single(Conic(f64(0.05), f64(0.0))), math.nan), "depth_m"),
        (lambda: conjugate(single(Conic(f64(0.05), f64(0.0))), 0.04), "front focal plane"),
    ],
)
def test_what_has_no_answer_is_refused(make, words):
    with pytest.raises(InputError) as caught:
        make()
    assert words in str(caught.value)
