import math
from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from optics.geometric import psf_at
from optics.glass import AIR, ConstantIndex
from optics.lens import DEFAULT_CHANNELS, LINE_CHANNELS, Lens, Sensor
from optics.paraxial import conjugate, first_order
from optics.prescriptions import bundled, load
from optics.rays import Rays
from optics.surface import Conic, Plane, Surface
from optics.tracing import trace
from psf import Channel
from psf.errors import InputError

F64 = torch.float64


def f64(value):
    return torch.tensor(value, dtype=F64)


def singlet(curvature=0.05, **more):
    glass = ConstantIndex("glass", f64(1.5))
    front = Surface(Conic(f64(curvature), f64(0.0)), f64(2.0), f64(3.0), glass)
    return Lens("singlet", (front, Surface(Plane(), f64(2.5), f64(38.0), AIR)), 1, Sensor((10, 20), 5.0), **more)


# Scaling.


@pytest.mark.parametrize("name", bundled())
def test_first_order_lengths_scale_and_ratios_stay(name):
    lens = load(name)
    small, large = first_order(lens), first_order(lens.scaled(3.0))
    for key, value in vars(small).items():
        factor = 1.0 if key == "f_number_infinity" else 3.0
        # A defocus is the small difference of two lengths: its rounding is theirs.
        scale = max(abs(float(value)), float(small.efl_mm))
        assert abs(float(getattr(large, key)) - factor * float(value)) < 1e-11 * factor * scale, key


def test_scaling_by_a_power_of_two_is_exact_and_there_and_back_is_the_same_lens():
    lens = load("phone_us7535658")
    again = lens.scaled(2.0).scaled(0.5)
    assert all(torch.equal(value, again.parameters()[name]) for name, value in lens.parameters().items())
    assert float(first_order(lens.scaled(2.0)).efl_mm) == 2 * float(first_order(lens).efl_mm)


def test_rays_of_a_scaled_lens_are_scaled_rays():
    lens, factor = load("phone_deeplens80"), 3.725
    position, direction = f64([[0.1, 0.3, -2.0], [-0.2, 0.1, -2.0]]), f64([[0.0, 0.3, 1.0], [0.1, -0.5, 1.0]])
    direction = direction / direction.norm(dim=-1, keepdim=True)
    small = trace(lens, Rays(position, direction, f64(0.55)))
    large = trace(lens.scaled(factor), Rays(factor * position, direction, f64(0.55)))
    assert small.alive.all()
    assert (large.position_mm - factor * small.position_mm).abs().max() < 1e-12 * factor
    assert (large.direction - small.direction).abs().max() < 1e-12


def test_kernel_of_a_scaled_lens_is_the_same_on_pixels_scaled_with_it():
    lens = load("cooke_triplet")
    factor = 0.25
    scaled = replace(
        lens.scaled(factor), sensor=Sensor(lens.sensor.image_shape_px, factor * lens.sensor.pitch_um), channels=()
    )
    lens = replace(lens, channels=())
    x_px, y_px = 0.8 * lens.sensor.image_shape_px[1], 0.3 * lens.sensor.image_shape_px[0]
    one = psf_at(lens, x_px, y_px, 4.0, kernel_px=65)
    other = psf_at(scaled, x_px, y_px, 4.0 * factor, kernel_px=65)
    assert 0.5 * (one - other).abs().sum((-1, -2)).max() < 1e-9


def test_focus_and_nearest_distance_scale_and_infinity_stays():
    lens = singlet(focus_m=2.0, nearest_m=0.5)
    assert (lens.scaled(3).focus_m, lens.scaled(3).nearest_m) == (6.0, 1.5)
    assert singlet().scaled(3).focus_m == math.inf


# Focus and aperture.


@pytest.mark.parametrize("depth_m", [0.5, 2.0, math.inf])
def test_refocused_puts_the_sensor_into_the_gaussian_image_and_says_so(depth_m):
    lens = load("camera_rf50mm_f1p8").refocused(depth_m)
    assert lens.focus_m == depth_m
    expected = conjugate(lens, depth_m).image_distance_from_last_vertex_mm
    assert torch.equal(lens.surfaces[-1].thickness_mm, expected)


def test_refocusing_forgets_where_the_sensor_stood():
    lens = load("camera_rf50mm_f1p8")
    for method in ("paraxial", "spot"):
        there = lens.refocused(0.7, method).refocused(5.0, method)
        straight = lens.refocused(5.0, method)
        difference = float(there.surfaces[-1].thickness_mm - straight.surfaces[-1].thickness_mm)
        assert abs(difference) < 1e-9, method


def test_refocusing_moves_nothing_but_the_sensor():
    lens = load("cooke_triplet")
    moved = lens.refocused(1.5)
    last = f"surface{len(lens.surfaces)}.thickness_mm"
    changed = [n for n, v in moved.parameters().items() if not torch.equal(v, lens.parameters()[n])]
    assert changed == [last]
    assert float(moved.surfaces[-1].thickness_mm) > float(lens.surfaces[-1].thickness_mm)
    assert lens.focus_m == math.inf


@pytest.mark.parametrize("name", ["camera_rf50mm_f1p8", "cooke_triplet", "phone_us9651759", "wide_laikin100"])
@pytest.mark.parametrize("times", [1.0, 1.5, 4.0])
def test_a_stopped_down_lens_has_the_f_number_that_was_asked_for(name, times):
    lens = load(name)
    wanted = times * float(first_order(lens).f_number_infinity)
    assert abs(float(first_order(lens.stopped_down(wanted)).f_number_infinity) / wanted - 1) < 1e-13


def test_stopping_down_moves_the_rim_of_the_stop_and_nothing_else():
    lens = load("cooke_triplet")
    closed = lens.stopped_down(8)
    changed = [n for n, v in closed.parameters().items() if not torch.equal(v, lens.parameters()[n])]
    assert changed == [f"surface{lens.stop_surface}.semi_aperture_mm"]


def test_a_diverging_lens_can_be_stopped_down_too():
    lens = singlet(curvature=-0.05)
    assert float(first_order(lens.stopped_down(20)).f_number_infinity) == pytest.approx(-20)


def test_the_stop_follows_the_focal_length_so_that_the_f_number_stays():
    lens = load("cooke_triplet")
    name = "surface1.curvature_per_mm"
    value = lens.parameters()[name].clone().requires_grad_(True)
    number = first_order(lens.with_parameters({name: value}).stopped_down(8)).f_number_infinity
    (slope,) = torch.autograd.grad(number, value)
    assert abs(float(number.detach()) - 8) < 1e-13
    assert abs(float(slope)) < 1e-9


# Parameters.


@pytest.mark.parametrize("name", bundled())
def test_every_parameter_can_be_put_back_under_its_name(name):
    lens = load(name)
    known = lens.parameters()
    assert len(known) > 5
    for key, value in known.items():
        changed = lens.with_parameters({key: 1.001 * value + (value == 0) * 1e-9})
        differing = [n for n, v in changed.parameters().items() if not torch.equal(v, known[n])]
        assert differing == [key]
    assert all(torch.equal(v, known[n]) for n, v in lens.parameters().items())


def test_parameters_are_named_after_surfaces_counted_from_one():
    names = load("f2.2_fixedfocus").parameters()
    for name in ("surface1.thickness_mm", "surface2.curvature_per_mm", "surface2.asphere_4", "surface2.medium.nd"):
        assert name in names
    assert "surface1.curvature_per_mm" not in names  # the stop is a plane, not a sphere that happens to be flat


@pytest.mark.parametrize(
    "name", ["surface1.curvature_per_mm", "surface2.thickness_mm", "surface5.curvature_per_mm", "surface2.medium.nd"]
)
def test_gradients_of_the_focal_length_agree_with_finite_differences(name):
    lens = load("phone_us7535658")
    if name not in lens.parameters():
        name = next(n for n in lens.parameters() if n.endswith("medium.nd"))
    start = lens.parameters()[name].detach()

    def efl(value):
        return first_order(lens.with_parameters({name: value})).efl_mm

    value = start.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(efl(value), value)
    step = 1e-5 * max(abs(float(start)), 1e-2)
    difference = float((efl(start + step) - efl(start - step)) / (2 * step))
    assert float(gradient) != 0
    # Central differences: the third derivative leaves some 1e-8, rounding some 1e-9.
    assert abs(float(gradient) / difference - 1) < 1e-6


def test_plain_numbers_take_the_place_of_parameters_without_losing_digits():
    lens = load("cooke_triplet").with_parameters({"surface1.thickness_mm": 3.1})
    assert float(lens.surfaces[0].thickness_mm) == 3.1
    assert lens.surfaces[0].thickness_mm.dtype == F64


def test_a_lens_in_float32_keeps_that_dtype_in_everything_made_from_it():
    lens = load("camera_rf50mm_f1p8").to(dtype=torch.float32)
    made = (
        lens,
        lens.scaled(2.0),
        lens.stopped_down(4),
        lens.refocused(3.0),
        lens.with_parameters({"surface1.thickness_mm": 7.0}),
    )
    for one in made:
        assert {value.dtype for value in one.parameters().values()} == {torch.float32}
    back = lens.to(dtype=F64)
    exact = load("camera_rf50mm_f1p8").parameters()
    assert all(
        torch.allclose(value, exact[n], rtol=1e-6, atol=0) and value.dtype == F64
        for n, value in back.parameters().items()
    )


# The values themselves.


def test_a_lens_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        singlet().focus_m = 1.0


def test_a_lens_without_channels_gets_the_default_ones():
    assert singlet().channels == DEFAULT_CHANNELS
    assert singlet(channels=LINE_CHANNELS).channels == LINE_CHANNELS


def test_vertices_add_up_to_the_track():
    lens = singlet()
    assert lens.vertices_mm.tolist() == [0.0, 3.0, 41.0]
    assert lens.track_mm == 41.0


def test_radius_one_is_half_the_diagonal():
    assert Sensor((3000, 4000), 2.0).half_diagonal_mm == 5.0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sensor((0, 5), 1.0), "Sensor.image_shape_px"),
        (lambda: Sensor((5, 5.5), 1.0), "Sensor.image_shape_px"),
        (lambda: Sensor((5,), 1.0), "Sensor.image_shape_px"),
        (lambda: Sensor((5, 5), 0.0), "Sensor.pitch_um"),
        (lambda: Sensor((5, 5), math.nan), "Sensor.pitch_um"),
        (lambda: replace(singlet(), surfaces=()), "Lens.surfaces"),
        (lambda: replace(singlet(), stop_surface=0), "Lens.stop_surface"),
        (lambda: replace(singlet(), stop_surface=3), "Lens.stop_surface: found 3, expected a surface from 1 to 2"),
        (lambda: replace(singlet(), name=""), "Lens.name"),
        (lambda: replace(singlet(), name="../up"), "Lens.name"),
        (lambda: replace(singlet(), name=None), "Lens.name"),
        (lambda: singlet(focus_m=0.0), "Lens.focus_m"),
        (lambda: singlet(focus_m=math.nan), "Lens.focus_m"),
        (lambda: singlet(nearest_m=math.inf), "Lens.nearest_m"),
        (lambda: singlet(nearest_m=-1.0), "Lens.nearest_m"),
        (lambda: singlet(channels=(Channel("R"),)), "Lens.channels"),
        (lambda: singlet(reference_wavelength_um=math.inf), "Lens.reference_wavelength_um"),
        (lambda: singlet().scaled(0.0), "factor"),
        (lambda: singlet().scaled(math.inf), "factor"),
        (lambda: singlet().stopped_down(1.0), "f_number: found 1.0, expected a number from 10"),
        (lambda: singlet().stopped_down(math.nan), "f_number"),
        (lambda: singlet().with_parameters({"surface9.curvature_per_mm": 0.1}), "surface9.curvature_per_mm"),
        (lambda: singlet().with_parameters({"surface1.thickness_mm": f64([1.0])}), "of shape (1,), expected"),
        (lambda: singlet().with_parameters({"surface1.thickness_mm": torch.tensor(1.0)}), "torch.float32"),
        (lambda: singlet().with_parameters({"surface1.thickness_mm": math.nan}), "Surface.thickness_mm"),
        (lambda: singlet().with_parameters({"surface1.semi_aperture_mm": 0.0}), "Surface.semi_aperture_mm"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make, words):
    with pytest.raises(InputError) as caught:
        make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
