import math
from dataclasses import replace

import pytest
import torch

from optics.focusing import image_distance_mm
from optics.glass import AIR, ConstantIndex
from optics.lens import LINE_CHANNELS, Lens, Sensor
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


def with_sensor_at(lens, distance_mm):
    return replace(lens, surfaces=(*lens.surfaces[:-1], replace(lens.surfaces[-1], thickness_mm=f64(distance_mm))))


def axial_fan(lens, depth_m, wavelength_um, count=4001):
    """Rays of one meridian from the axial object point, and the light that each stands for (its ring's)."""
    reach = 1.3 * float(first_order(lens).entrance_pupil_semi_diameter_mm)
    pupil_z = float(first_order(lens).entrance_pupil_from_first_vertex_mm)
    height = (torch.arange(count, dtype=F64) + 0.5) / count * reach
    zero, one = torch.zeros_like(height), torch.ones_like(height)
    position = torch.stack([zero, height, pupil_z * one], -1)
    if math.isinf(depth_m):
        return Rays(position, torch.stack([zero, zero, one], -1), f64(wavelength_um)), height
    way = 1e3 * depth_m + pupil_z
    direction = torch.stack([zero, height / way, one], -1)
    direction = direction / direction.norm(dim=-1, keepdim=True)
    # Uniform over solid angle: the cube of the cosine, on rings of the plane.
    return Rays(position, direction, f64(wavelength_um)), height * direction[:, 2] ** 3


def mean_square_mm2(lens, depth_m, distance_mm):
    """The mean square of the axial spot on a plane, all channels, by real rays: the plain twin."""
    total = light = 0.0
    plane = with_sensor_at(lens, distance_mm)
    for channel in lens.channels:
        for wave, weight in zip(channel.wavelengths_um, channel.weights, strict=True):
            rays, ring = axial_fan(lens, depth_m, wave)
            traced = trace(plane, rays)
            each = torch.where(traced.alive, ring, 0.0) * weight / sum(channel.weights)
            total += float((each * traced.position_mm[:, 1] ** 2).sum())
            light += float(each.sum())
    return total / light


@pytest.mark.parametrize("name", bundled())
@pytest.mark.parametrize("depth_m", [3.0, math.inf])
def test_paraxial_focus_is_the_gaussian_image(name, depth_m):
    lens = load(name)
    expected = conjugate(lens, depth_m).image_distance_from_last_vertex_mm
    assert torch.equal(image_distance_mm(lens, depth_m, "paraxial"), expected)


@pytest.mark.parametrize(
    ("name", "depth_m"),
    [
        ("f2.2_fixedfocus", math.inf),
        ("f2.2_fixedfocus", 0.2),
        ("camera_rf50mm_f1p8", 2.0),
        ("cooke_triplet", math.inf),
        ("singlet_biconvex_nbk7", 3.0),
        ("wide_laikin100", 1.0),
    ],
)
def test_spot_focus_has_the_smallest_rms_of_all_planes(name, depth_m):
    lens = load(name)
    best = float(image_distance_mm(lens, depth_m, "spot"))
    # The mean square is a parabola over the plane's place: three planes give its vertex.
    step = 1e-3 * best
    left, middle, right = (mean_square_mm2(lens, depth_m, best + s) for s in (-step, 0.0, step))
    vertex = best + 0.5 * step * (left - right) / (left - 2 * middle + right)
    depth_of_focus = math.sqrt(middle / ((left + right - 2 * middle) / (2 * step**2)))
    # The two sample the pupil in different ways; a thousandth of the distance over which the spot grows by 40 %.
    assert abs(vertex - best) < 2e-3 * depth_of_focus
    planes = torch.linspace(-2, 2, 9).tolist()
    squares = [mean_square_mm2(lens, depth_m, best + s * depth_of_focus) for s in planes]
    assert min(squares) == squares[4]


def test_spot_focus_of_an_uncorrected_lens_lies_before_the_paraxial_one():
    lens = replace(load("singlet_biconvex_nbk7"), channels=(Channel("d", (0.5875618,), (1.0,)),))
    assert image_distance_mm(lens, math.inf, "spot") < image_distance_mm(lens, math.inf, "paraxial") - 0.1


def test_spot_focus_of_a_perfect_lens_is_the_paraxial_one():
    lens = replace(load("asphere_planohyperbolic"), channels=(Channel("d", (0.5875618,), (1.0,)),))
    difference = image_distance_mm(lens, math.inf, "spot") - image_distance_mm(lens, math.inf, "paraxial")
    assert abs(float(difference)) < 1e-8


def test_weights_of_channels_pull_the_spot_focus():
    lens = load("singlet_biconvex_nbk7")
    red, blue = (replace(lens, channels=(LINE_CHANNELS[i],)) for i in (0, 2))
    both = replace(lens, channels=(LINE_CHANNELS[0], LINE_CHANNELS[2]))
    at_blue, between, at_red = (float(image_distance_mm(one, math.inf, "spot")) for one in (blue, both, red))
    assert at_blue < between < at_red


@pytest.mark.parametrize("start_mm", [0.5, 1.0, 2.0, 100.0])
def test_focus_does_not_depend_on_where_the_sensor_stood(start_mm):
    lens = load("cooke_triplet")
    moved = with_sensor_at(lens, start_mm * float(lens.surfaces[-1].thickness_mm))
    for method in ("paraxial", "spot"):
        difference = image_distance_mm(moved, 2.0, method) - image_distance_mm(lens, 2.0, method)
        assert abs(float(difference)) < 1e-9, method


@pytest.mark.parametrize("method", ["paraxial", "spot"])
@pytest.mark.parametrize(
    ("lens_name", "parameter"),
    [
        ("phone_us9651759", "surface2.curvature_per_mm"),
        ("phone_us9651759", "surface3.thickness_mm"),
        ("phone_us9651759", "surface2.medium.nd"),
        ("phone_us9651759", "surface2.asphere_4"),
        ("camera_rf50mm_f1p8", "surface1.curvature_per_mm"),
    ],
)
def test_gradient_of_the_focus_agrees_with_finite_differences(method, lens_name, parameter):
    lens = replace(load(lens_name), channels=LINE_CHANNELS)
    start = lens.parameters()[parameter].detach()

    def distance(value):
        return image_distance_mm(lens.with_parameters({parameter: value}), 1.0, method)

    value = start.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(distance(value), value, allow_unused=True)
    gradient = 0.0 if gradient is None else float(gradient)
    step = 1e-4 * max(abs(float(start)), 1e-2)
    difference = float((distance(start + step) - distance(start - step)) / (2 * step))
    if method == "paraxial" and "asphere" in parameter:
        assert gradient == 0  # r^4 has no share in first order
    else:
        # The finite difference also moves the chart in which rings are laid; that costs some 1e-4 of it.
        assert abs(gradient / difference - 1) < 1e-3


def test_a_sensor_at_the_focus_of_a_lens_closed_to_a_pinhole_is_paraxial():
    lens = replace(load("phone_us9651759").stopped_down(200), channels=(LINE_CHANNELS[1],))
    difference = image_distance_mm(lens, 0.5, "spot") - image_distance_mm(lens, 0.5, "paraxial")
    assert abs(float(difference)) < 1e-5


def diverging():
    glass = ConstantIndex("glass", f64(1.5))
    front = Surface(Conic(f64(-0.05), f64(0.0)), f64(2.0), f64(3.0), glass)
    return Lens("diverging", (front, Surface(Plane(), f64(2.5), f64(38.0), AIR)), 1, Sensor((10, 20), 5.0))


@pytest.mark.parametrize("method", ["paraxial", "spot"])
@pytest.mark.parametrize(
    ("lens", "depth_m", "words"),
    [
        (lambda: load("camera_rf50mm_f1p8"), 0.01, "real image"),
        (lambda: load("cooke_triplet"), 0.03, "real image"),
        (lambda: diverging(), 2.0, "lens diverging: depth_m: found 2.0 m, whose image lies -"),
        (lambda: load("cooke_triplet"), 0.0, "depth_m"),
        (lambda: load("cooke_triplet"), -1.0, "depth_m"),
        (lambda: load("cooke_triplet"), math.nan, "depth_m"),
    ],
)
def test_a_distance_without_a_real_image_is_refused(method, lens, depth_m, words):
    with pytest.raises(InputError) as caught:
        image_distance_mm(lens(), depth_m, method)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_method_is_refused():
    with pytest.raises(InputError, match="method: found 'contrast'"):
        image_distance_mm(load("cooke_triplet"), 2.0, "contrast")
