"""Fans, spots and field curves against closed forms, real rays and kernels."""

import math

import pytest
import torch

import optics
from optics.analysis import (
    AIRY,
    find_encircled_diameters_px,
    find_field_curves,
    find_spots,
    trace_fans,
)
from psf import Channel, InputError
from psf.metrics import find_encircled_energy, find_rms_radius_px

GREEN = (Channel("G", (optics.glass.LINE_D_UM,)),)


@pytest.fixture(scope="module")
def phone():
    return optics.load("f2.2_fixedfocus")


@pytest.fixture(scope="module")
def vignetted():
    return optics.load("camera_rf50mm_f1p8")


def pinhole():
    """A hole in front of a sensor behind air that hardly refracts: what a camera obscura is, with some focal length."""
    weak = optics.Surface(optics.Conic(1e-9, 0.0), 5.0, 10.0, optics.AIR)
    glass = optics.Surface(
        optics.Conic(0.0, 0.0), 5.0, 1e-6, optics.ConstantIndex("thin", torch.tensor(1.5, dtype=torch.float64))
    )
    stop = optics.Surface(optics.Plane(), 0.01, 1e-6, optics.AIR)
    return optics.Lens("pinhole", (stop, glass, weak), 1, optics.Sensor((600, 800), 10.0))


def test_spots_are_of_the_depths_that_were_asked_for_to_the_last_bit(phone):
    spots = find_spots(phone, (0.0,), (0.3, math.inf), GREEN, rings=1)
    assert spots.depths_m.tolist() == [0.3, math.inf]


@pytest.mark.parametrize("name", ["f2.2_fixedfocus", "camera_rf50mm_f1p8", "cooke_triplet", "wide_laikin100"])
def test_outer_rays_of_a_fan_touch_a_rim_and_all_rays_reach_the_sensor(name):
    lens = optics.load(name)
    fans = trace_fans(lens, (0.0, 0.5, 1.0))
    heights = fans.x_mm[..., 1:-1].abs()
    semi = torch.stack([s.semi_aperture_mm for s in lens.surfaces])
    assert bool((heights <= semi * (1 + 1e-12)).all())
    nearest = (1 - heights / semi).amin(-1)
    # Bisection leaves the ray within 1e-12 of the scan's step, whose size differs, of the edge that cuts.
    assert float(nearest[:, [0, -1]].max()) < 1e-8


def test_fan_of_a_far_point_enters_in_parallel_and_lands_near_its_image_height(phone):
    fans = trace_fans(phone, (0.0, 0.7), math.inf)
    slopes = (fans.x_mm[..., 1] - fans.x_mm[..., 0]) / (fans.z_mm[..., 1] - fans.z_mm[..., 0])
    assert float((slopes - slopes[:, :1]).abs().max()) < 1e-12
    heights_mm = fans.radii * phone.sensor.half_diagonal_mm
    # The spots of this lens are below 0.05 mm wide.
    assert float((fans.x_mm[..., -1] - heights_mm[:, None]).abs().max()) < 0.05
    assert float((fans.z_mm[..., -1] - phone.track_mm).abs().max()) == 0


def test_fan_of_a_near_point_diverges_from_that_point(phone):
    depth_mm = 100.0
    fans = trace_fans(phone, (0.5,), 1e-3 * depth_mm)
    z, x = fans.z_mm[0], fans.x_mm[0]
    slope = (x[:, 1] - x[:, 0]) / (z[:, 1] - z[:, 0])
    at_object = x[:, 0] - slope * (z[:, 0] + depth_mm)
    assert float(at_object.std()) < 1e-9


def test_spot_of_a_defocused_axial_point_is_the_disc_of_the_marginal_cone(vignetted):
    # Far from focus aberrations matter little: diameter = light's height at the pupil times defocus over distance.
    lens = vignetted.stopped_down(8)
    spots = find_spots(lens, (0.0,), (0.6,), GREEN)
    image = optics.conjugate(lens, 0.6)
    facts = optics.first_order(lens)
    to_image = float(image.image_distance_from_last_vertex_mm - facts.exit_pupil_from_last_vertex_mm)
    defocus = float(image.image_distance_from_last_vertex_mm - facts.image_plane_from_last_vertex_mm)
    radius_um = 1e3 * float(facts.exit_pupil_semi_diameter_mm) * defocus / to_image
    # RMS of a uniform disc is radius / sqrt 2; the rest of 1 % is aberration and the sampling of the rim.
    assert float(spots.rms_um[0, 0, 0]) == pytest.approx(radius_um / math.sqrt(2), rel=0.01)


@pytest.mark.parametrize(("name", "depth_m"), [("f2.2_fixedfocus", 0.15), ("camera_rf50mm_f1p8", 5.0)])
def test_spots_have_the_size_and_place_of_the_kernels(name, depth_m):
    lens = optics.load(name)
    radii = (0.0, 0.4, 0.8)
    spots = find_spots(lens, radii, (depth_m,))
    field = optics.psf_grid(lens, [depth_m], radii, kernel_px=121, dtype=torch.float64)
    # A box of one pixel adds 1/12 px^2 per axis.
    rms_px = (find_rms_radius_px(field.kernels[0]) ** 2 - 1 / 6).sqrt()
    assert torch.allclose(spots.rms_um[0] / lens.sensor.pitch_um, rms_px, rtol=0.02)


@pytest.mark.parametrize("depth_m", [0.3, math.inf])
def test_rms_is_that_of_many_real_rays(depth_m):
    # Plain twin: 30,000 rays of the axial bundle, of which nothing is interpolated. It sees the rim to a ring, 1 %,
    # and what lands farthest comes from there.
    lens = optics.load("cooke_triplet")
    spots = find_spots(lens, (0.0, 0.5), (depth_m,), GREEN, rings=100)
    x, y, light = (t[0, :, 0] for t in (spots.x_um, spots.y_um, spots.light))
    middle = (light * x).sum(-1, keepdim=True)
    plain = (light * ((x - middle) ** 2 + y**2)).sum(-1).sqrt()
    assert torch.allclose(spots.rms_um[0, :, 0], plain, rtol=0.006)


def test_spots_are_symmetric_and_their_light_adds_up(vignetted):
    spots = find_spots(vignetted, (0.0, 1.0), (3.0, math.inf))
    assert torch.allclose(spots.light.sum(-1), torch.ones_like(spots.light[..., 0]))
    # Angles of the rings are rounded, the spots are a millimetre wide.
    assert float((spots.light * spots.y_um).sum(-1).abs().max()) < 1e-6
    assert float(spots.centroid_um[:, 0].abs().max()) < 0.05


def test_airy_radius_follows_the_f_number(phone):
    f_number = 4.4
    spots = find_spots(phone.stopped_down(f_number), (0.0,), (math.inf,))
    assert float(spots.airy_radius_um[0]) == pytest.approx(AIRY * 0.5875618 * f_number)


def test_pinhole_has_no_distortion_and_cos4_light():
    curves = find_field_curves(pinhole(), (0.0, 0.3, 0.6, 1.0), math.inf)
    assert float(curves.distortion.abs().max()) < 1e-6
    assert torch.allclose(curves.illumination[:, 0], curves.cos4, rtol=1e-4)
    assert float(curves.lateral_um.abs().max()) < 1e-3
    assert torch.allclose(torch.tan(curves.angle_rad[1:]), curves.height_mm[1:] / 10.0, rtol=1e-5)


@pytest.mark.parametrize("depth_m", [math.inf, 0.5])
@pytest.mark.parametrize("name", ["f2.2_fixedfocus", "cooke_triplet", "wide_laikin100"])
def test_distortion_vanishes_towards_the_axis_wherever_the_sensor_stands(name, depth_m):
    curves = find_field_curves(optics.load(name), (0.0, 0.001), depth_m)
    # Of second order in the image height; the steepest of these lenses has 1 % at 0.1.
    assert float(curves.distortion.abs().max()) < 1e-5


def test_distortion_in_the_focal_plane_is_against_f_tan_theta():
    lens = optics.load("cooke_triplet").refocused(math.inf)
    curves = find_field_curves(lens, (0.5, 1.0))
    expected = float(optics.first_order(lens).efl_mm) * torch.tan(curves.angle_rad)
    assert torch.allclose(curves.ideal_mm, expected, rtol=1e-12)


@pytest.mark.parametrize("depth_m", [math.inf, 0.8])
def test_lateral_colour_is_where_the_other_colour_really_lands(phone, depth_m):
    blue_um, radii = 0.45, (0.3, 0.87)
    curves = find_field_curves(phone, radii, depth_m, (Channel("B", (blue_um,)),))
    # The plain way: find by bisection the radius whose blue chief ray comes from the reference ray's object point.
    chief = optics.chief_rays(phone, curves.radii)
    blue = optics.lens.replace(phone, reference_wavelength_um=blue_um)

    def place(rays):
        return torch.atan(rays.slope) if math.isinf(depth_m) else rays.object_x_mm(1e3 * depth_m)

    wanted = place(chief)
    low, high = 0.98 * curves.radii, 1.02 * curves.radii
    for _ in range(40):
        middle = 0.5 * (low + high)
        beyond = place(optics.chief_rays(blue, middle)).abs() > wanted.abs()
        low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
    landed_um = 1e3 * (low - curves.radii) * phone.sensor.half_diagonal_mm
    # The shift is taken to first order: it is some 1e-3 of the height.
    assert torch.allclose(curves.lateral_um[:, 0], landed_um, rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("name", ["f2.2_fixedfocus", "camera_rf50mm_f1p8"])
def test_illumination_is_that_of_the_finely_sampled_bundles(name):
    lens, radii = optics.load(name), (0.0, 0.5, 1.0)
    curves = find_field_curves(lens, radii, math.inf)
    fine = optics.relative_illumination(lens, radii, (math.inf,))[0]
    # Vignetted pupils have corners, which 32 directions meet to a fifth of a per cent.
    assert torch.allclose(curves.illumination, fine, atol=2e-3)


def test_encircled_diameters_agree_with_the_encircled_energy():
    generator = torch.Generator().manual_seed(0)
    kernels = torch.rand(5, 21, 21, generator=generator, dtype=torch.float64) ** 4
    shares = (0.3, 0.5, 0.8)
    diameters = find_encircled_diameters_px(kernels, shares, subpixels=5)
    for kernel, found in zip(kernels, diameters, strict=True):
        energy = find_encircled_energy(kernel, found / 2, subpixels=5)
        assert torch.allclose(energy, torch.tensor(shares, dtype=torch.float64), atol=0.01)


def test_half_the_light_of_a_disc_lies_within_its_diameter_over_the_root_of_two():
    pixel = torch.arange(101, dtype=torch.float64) - 50
    disc = (torch.hypot(pixel, pixel[:, None]) < 40).double()
    found = find_encircled_diameters_px(disc, (0.5,))
    assert float(found) == pytest.approx(80 / math.sqrt(2), abs=0.3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda lens: trace_fans(lens, (0.0, 1.2)), "radii"),
        (lambda lens: trace_fans(lens, ()), "radii"),
        (lambda lens: trace_fans(lens, (0.5,), -1.0), "depth_m"),
        (lambda lens: trace_fans(lens, (0.5,), rays=1), "rays"),
        (lambda lens: find_spots(lens, (0.5,), (math.nan,)), "depth_m"),
        (lambda lens: find_spots(lens, (0.5,), ()), "depths_m"),
        (lambda lens: find_spots(lens, (0.5,), (1.0,), rings=0), "rings"),
        (lambda lens: find_spots(lens, (0.5,), (1.0,), (Channel("X"),)), "channels"),
        (lambda lens: find_field_curves(lens, (-0.1,)), "radii"),
        (lambda lens: find_field_curves(lens, (0.1,), 0.0), "depth_m"),
        (lambda lens: find_encircled_diameters_px(torch.ones(4, 4), (0.5,)), "kernels"),
        (lambda lens: find_encircled_diameters_px(torch.zeros(3, 3), (0.5,)), "no light"),
        (lambda lens: find_encircled_diameters_px(torch.ones(3, 3), (1.0,)), "shares"),
        (lambda lens: find_encircled_diameters_px(torch.ones(3, 3), (0.5,), 0), "subpixels"),
    ],
)
def test_wrong_input_is_named(phone, call, words):
    with pytest.raises(InputError, match=words):
        call(phone)
