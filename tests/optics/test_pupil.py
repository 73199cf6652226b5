import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from optics.geometric import relative_illumination
from optics.glass import AIR, ConstantIndex
from optics.grid import psf_grid
from optics.lens import LINE_CHANNELS, Lens, Sensor
from optics.paraxial import first_order
from optics.prescriptions import bundled, load
from optics.pupil import AXIS_RADIUS, bundle_rays, chief_rays, dioptre_per_mm, find_ellipses
from optics.rays import Rays
from optics.surface import Conic, Plane, Surface
from optics.tracing import trace
from psf.errors import InputError

F64 = torch.float64
WIDE = sorted(path.stem for path in (Path(__file__).parents[1] / "data" / "wide_lenses").glob("*.json"))


def wide_lens(name):
    return load(Path(__file__).parents[1] / "data" / "wide_lenses" / f"{name}.json")


def stretched(lens, factor):
    """The lens behind a sensor with larger pixels."""
    return replace(lens, sensor=replace(lens.sensor, pitch_um=factor * lens.sensor.pitch_um))


def opened(lens, factor):
    """The lens with a larger stop, all else alike."""
    name = f"surface{lens.stop_surface}.semi_aperture_mm"
    return lens.with_parameters({name: factor * lens.parameters()[name]})


RADII = torch.linspace(0, 1, 9, dtype=F64)


def f64(value):
    return torch.tensor(value, dtype=F64)


def pinhole(radius_mm=0.02, distance_mm=5.0):
    """A hole in front of a sensor that sees 35 degrees to each side: exact in closed form."""
    return Lens(
        "pinhole",
        (Surface(Plane(), f64(radius_mm), f64(distance_mm), AIR),),
        1,
        Sensor((100, 100), 50.0),
        channels=LINE_CHANNELS,
    )


def from_object_space(chief, z_mm):
    """The chief rays as rays that start in the plane z in front of the lens."""
    x = chief.height_mm + chief.slope * z_mm
    direction = torch.stack([chief.slope, torch.zeros_like(x), torch.ones_like(x)], -1)
    position = torch.stack([x, torch.zeros_like(x), torch.full_like(x, z_mm)], -1)
    return position, direction / direction.norm(dim=-1, keepdim=True)


# Chief rays.


@pytest.mark.parametrize("name", bundled())
def test_chief_rays_from_the_object_cross_the_stops_centre_and_land_at_the_radius(name):
    # Stops in front, in the middle and on refracting surfaces.
    lens = load(name)
    chief = chief_rays(lens, RADII)
    target = RADII.clamp_min(AXIS_RADIUS) * lens.sensor.half_diagonal_mm
    assert (chief.landing_mm - target).abs().max() < 1e-10
    assert torch.equal(chief.radius_mm, target)
    position, direction = from_object_space(chief, -100.0)
    traced = trace(lens, Rays(position, direction, f64(lens.reference_wavelength_um)), path=True, clip=False)
    assert (traced.position_mm[:, 0] - target).abs().max() < 1e-10
    assert traced.path_mm[:, lens.stop_surface - 1, :2].abs().max() < 1e-10


# Angle in degrees in object space and x in mm at the first vertex, picture frame, of the chief ray at a share of the
# half diagonal: independent tables. The stop is a plane in front, inside a group, and a refracting surface.
CHIEFS = [
    ("phone_us9651759", None, 0.5, 23.42001473689399, 0.0),
    ("phone_us9651759", None, 0.75, 32.99286437690338, 0.0),
    ("phone_us9651759", None, 1.0, 40.80398156754596, 0.0),
    ("camera_rf50mm_f1p8", None, 0.5, 12.280546895856839, -5.045084474399967),
    ("camera_rf50mm_f1p8", None, 0.8, 19.161191153291067, -8.442424825838048),
    ("camera_rf50mm_f1p8", None, 1.0, 23.485590739935848, -11.057136222594094),
    ("camera_rf50mm_f1p8", 1.2467659803365407, 0.5, 11.981061716590814, -4.911133448538395),
    ("camera_rf50mm_f1p8", 1.2467659803365407, 0.8, 18.734600171257163, -8.209159990925173),
    ("cooke_triplet", None, 0.5, 10.258570880182551, -2.116464092141158),
    ("cooke_triplet", None, 0.8, 16.14572429878781, -3.4818717285196668),
    ("cooke_triplet", None, 1.0, 19.888066068148415, -4.481449922861661),
]


@pytest.mark.parametrize(("name", "shift_mm", "radius", "angle_deg", "height_mm"), CHIEFS)
def test_chief_rays_in_object_space_are_those_of_the_tables(name, shift_mm, radius, angle_deg, height_mm):
    lens = load(name)
    if shift_mm:
        last = lens.surfaces[-1]
        lens = replace(lens, surfaces=(*lens.surfaces[:-1], replace(last, thickness_mm=last.thickness_mm + shift_mm)))
    chief = chief_rays(lens, f64([radius]))
    assert abs(math.degrees(math.atan(float(chief.slope))) - angle_deg) < 1e-9
    assert abs(float(chief.height_mm) - height_mm) < 1e-9


@pytest.mark.parametrize("name", ["phone_us9651759", "camera_rf50mm_f1p8", "cooke_triplet"])
def test_object_points_and_directions_are_those_of_the_reference_kernels(name, reference):
    with np.load(reference / "psf" / f"{name}.npz") as tables:
        cases = json.loads(str(tables["meta"]))["cases"]
    own = load(name)
    for case in cases:
        last = own.surfaces[-1]
        moved = replace(last, thickness_mm=last.thickness_mm + case["image_plane_shift_mm"])
        lens = replace(own, surfaces=(*own.surfaces[:-1], moved))
        chief = chief_rays(lens, f64([case["radius_fraction"]]))
        if not case["radius_fraction"]:
            continue
        # The tables are in the lens frame, which is the picture's turned by 180 degrees.
        a = math.radians(case["azimuth_deg"])
        radial = f64([-math.cos(a), -math.sin(a)])
        point, direction = f64(case["chief_point_mm"])[:2], f64(case["chief_direction"])
        assert (radial * chief.height_mm - point).abs().max() < 1e-9
        assert (radial * chief.slope - direction[:2] / direction[2]).abs().max() < 1e-10
        if case["object_point_mm"]:
            found = radial * chief.object_x_mm(case["depth_mm"])
            assert (found - f64(case["object_point_mm"])[:2]).abs().max() < 1e-9 * case["depth_mm"]


def test_chief_rays_of_a_pinhole_are_straight_lines():
    lens = pinhole()
    chief = chief_rays(lens, RADII)
    expected = chief.radius_mm / 5.0
    assert (chief.slope - expected).abs().max() < 1e-14
    assert (chief.crossing_mm).abs().max() < 1e-9
    assert (chief.object_x_mm(2000.0) + 2000.0 * expected).abs().max() < 1e-9


def test_the_axis_has_a_crossing_where_the_entrance_pupil_is():
    for name in ("camera_rf50mm_f1p8", "cooke_triplet", "wide_laikin100"):
        lens = load(name)
        crossing = float(chief_rays(lens, f64([0.0])).crossing_mm)
        # Off the axis by a hundred-thousandth of the field: pupil aberration goes with its square.
        assert abs(crossing - float(first_order(lens).entrance_pupil_from_first_vertex_mm)) < 1e-6


def test_a_moved_sensor_is_met_by_the_same_rays_elsewhere():
    lens = load("camera_rf50mm_f1p8")
    moved = lens.refocused(2.0)
    own, there = chief_rays(lens, RADII), chief_rays(lens, RADII, moved)
    for key in ("slope", "height_mm", "radius_mm"):
        assert torch.equal(getattr(own, key), getattr(there, key))
    position, direction = from_object_space(own, -50.0)
    traced = trace(moved, Rays(position, direction, f64(lens.reference_wavelength_um)), clip=False)
    assert (there.landing_mm - traced.position_mm[:, 0]).abs().max() < 1e-10
    assert (there.landing_mm[1:] > own.landing_mm[1:]).all()


def test_rates_are_the_derivatives_of_what_they_belong_to():
    lens = load("wide_laikin100")
    radii = torch.linspace(0.2, 0.95, 6, dtype=F64)
    h = 1e-5
    chief, (right, left) = chief_rays(lens, radii), (chief_rays(lens, radii + s) for s in (h, -h))
    landing = (right.landing_mm - left.landing_mm) / (2 * h)
    for key, rate in (("slope", (1 + chief.slope**2) * chief.angle_rate), ("height_mm", chief.height_rate_mm)):
        along = (getattr(right, key) - getattr(left, key)) / (2 * h)
        # Both are central differences: of the ray's sine, and of the image height.
        assert ((along / landing) / (rate / chief.landing_rate_mm) - 1).abs().max() < 1e-6


def test_taken_chief_rays_and_ellipses_are_the_ones_of_these_places():
    lens = load("cooke_triplet")
    chief = chief_rays(lens, RADII)
    index = torch.tensor([3, 3, 8, 0])
    some = chief.take(index)
    assert torch.equal(some.slope, chief.slope[index])
    assert torch.equal(some.landing_rate_mm, chief.landing_rate_mm[index])
    ellipses = find_ellipses(lens, chief, f64([math.inf]), f64([0.55]))
    assert torch.equal(ellipses.take(index).semi_v_mm, ellipses.semi_v_mm[index])


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("camera_rf50mm_f1p8", "surface1.curvature_per_mm"),  # in front of the stop
        ("camera_rf50mm_f1p8", "surface9.curvature_per_mm"),  # behind it
        ("camera_rf50mm_f1p8", "surface2.thickness_mm"),
        ("cooke_triplet", "surface3.curvature_per_mm"),
        ("phone_us9651759", "surface2.asphere_4"),
        ("phone_us9651759", "surface15.thickness_mm"),  # the sensor
    ],
)
@pytest.mark.parametrize("key", ["slope", "height_mm", "crossing_mm", "angle_rate", "landing_rate_mm"])
def test_gradients_of_chief_rays_agree_with_finite_differences(name, parameter, key):
    lens = load(name)
    start = lens.parameters()[parameter].detach()
    weights = f64([0.3, -0.7, 1.1])

    def probe(value):
        chief = chief_rays(lens.with_parameters({parameter: value}), f64([0.3, 0.6, 0.95]))
        return (weights * getattr(chief, key)).sum()

    value = start.clone().requires_grad_(True)
    found = probe(value)
    # Behind the stop nothing knows what stands in front of it.
    gradient = torch.autograd.grad(found, value)[0] if found.requires_grad else 0.0
    step = 1e-3 * abs(float(start))
    difference = float((probe(start + step) - probe(start - step)) / (2 * step))
    assert float(gradient) == pytest.approx(difference, rel=2e-5, abs=1e-6)


def test_landing_has_no_gradient_because_the_radius_is_given():
    lens = load("cooke_triplet")
    value = lens.parameters()["surface6.curvature_per_mm"].clone().requires_grad_(True)
    chief = chief_rays(lens.with_parameters({"surface6.curvature_per_mm": value}), RADII)
    gradients = [torch.autograd.grad(t.sum(), value, retain_graph=True)[0] for t in (chief.landing_mm, chief.slope)]
    # What is left of it is the error of the central difference in the attached step.
    assert abs(float(gradients[0])) < 1e-6 * abs(float(gradients[1])) * float(chief.radius_mm.sum())


# Bundles.


def alive_in(lens, chief, ellipses, depths_mm, wavelengths_um, points):
    """Which of (R, D, W, N, 2) points in the unit square of the ellipses pass the lens."""
    u = ellipses.centre_mm[:, None, None, None] + points[..., 0] * ellipses.semi_u_mm[:, None, None, None]
    v = points[..., 1] * ellipses.semi_v_mm[:, None, None, None]
    z, slope = chief.crossing_mm[:, None, None, None], chief.slope[:, None, None, None]
    q = dioptre_per_mm(z, depths_mm[:, None, None])
    return trace(lens, bundle_rays(z, slope, u, v, q, wavelengths_um[:, None])).alive


@pytest.mark.parametrize("name", bundled())
@pytest.mark.parametrize("seed", [0, 1])
def test_ellipses_hold_every_ray_that_survives_and_little_else(name, seed):
    lens = load(name)
    chief = chief_rays(lens, RADII)
    depths = 1e3 / torch.linspace(1 / lens.nearest_m, 0, 3, dtype=F64)
    waves = f64([0.43, 0.52, 0.66])
    ellipses = find_ellipses(lens, chief, depths, waves)
    generator = torch.Generator().manual_seed(seed)
    points = 3 * torch.rand(len(RADII), 3, 3, 600, 2, generator=generator, dtype=F64) - 1.5
    alive = alive_in(lens, chief, ellipses, depths, waves, points)
    rho = points.norm(dim=-1)
    assert float(rho[alive].max()) < 1.0
    # The light of a bundle that is cut by two circles ends in tips: an ellipse round it is fuller than this.
    inside = rho < 1
    fill = (alive & inside).sum(-1) / inside.sum(-1)
    assert float(fill.flatten(1).max(1).values.min()) > 0.75


def test_ellipse_of_a_pinhole_is_the_hole():
    lens = pinhole()
    chief = chief_rays(lens, RADII)
    ellipses = find_ellipses(lens, chief, f64([100.0, math.inf]), f64([0.55]))
    for semi in (ellipses.semi_u_mm, ellipses.semi_v_mm):
        assert (semi / 0.02 - 1).abs().max() < 0.03
    assert ellipses.centre_mm.abs().max() < 0.02 * 0.02


def test_ellipses_do_not_need_the_chief_ray_to_survive():
    # A front ring so small that at the corner it leaves a crescent of which the chief ray is no part.
    lens = load("camera_rf50mm_f1p8").with_parameters({"surface1.semi_aperture_mm": 10.0})
    chief = chief_rays(lens, f64([0.98]))
    position, direction = from_object_space(chief, -10.0)
    assert not trace(lens, Rays(position, direction, f64(lens.reference_wavelength_um))).alive.any()
    far, green = f64([math.inf]), f64([0.55])
    ellipses = find_ellipses(lens, chief, far, green)
    points = 3 * torch.rand(1, 1, 1, 20000, 2, generator=torch.Generator().manual_seed(0), dtype=F64) - 1.5
    alive = alive_in(lens, chief, ellipses, far, green, points)
    assert int(alive.sum()) > 4000
    assert float(points.norm(dim=-1)[alive].max()) < 1.0


# Wide and fast lenses.


def sound(lens, depths_mm, heights=9):
    """Whether chief rays, ellipses and the rays in them are finite, and every lost ray says why."""
    chief = chief_rays(lens, torch.linspace(0, 1, heights, dtype=F64))
    ellipses = find_ellipses(lens, chief, depths_mm, f64([0.43, 0.66]))
    for value in (*vars(chief).values(), *vars(ellipses).values()):
        assert bool(value.isfinite().all())
    assert bool((chief.slope[1:] > chief.slope[:-1]).all())
    generator = torch.Generator().manual_seed(0)
    points = 2 * torch.rand(heights, len(depths_mm), 1, 200, 2, generator=generator, dtype=F64) - 1
    u = ellipses.centre_mm[:, None, None, None] + points[..., 0] * ellipses.semi_u_mm[:, None, None, None]
    v = points[..., 1] * ellipses.semi_v_mm[:, None, None, None]
    z, slope = chief.crossing_mm[:, None, None, None], chief.slope[:, None, None, None]
    q = dioptre_per_mm(z, depths_mm[:, None, None])
    traced = trace(lens, bundle_rays(z, slope, u, v, q, f64(0.55)), path=True)
    for value in (traced.position_mm, traced.direction, traced.opl_mm, traced.path_mm):
        assert bool(value.isfinite().all())
    assert bool(traced.alive.flatten(2).any(-1).all())
    assert [bool(text) for text in traced.reasons()] == (~traced.alive).flatten().tolist()
    assert sum(loss.count for loss in traced.losses()) == int((~traced.alive).sum())


@pytest.mark.parametrize("name", [*bundled(), *WIDE])
def test_every_lens_takes_in_light_from_10_cm_to_infinity_without_a_nan(name):
    lens = wide_lens(name) if name in WIDE else load(name)
    sound(lens, 1e3 / torch.linspace(10.0, 0.0, 5, dtype=F64))


def test_the_reference_prescriptions_take_in_light_from_10_cm_to_infinity(reference):
    paths = sorted((reference / "prescriptions").glob("*.json"))
    if not paths:
        pytest.skip("no folder shared beside the repository")
    for path in paths:
        sound(load(path), f64([100.0, 400.0, math.inf]), heights=5)


@pytest.mark.parametrize("name", ["double_gauss_jp1987087922", "camera_rf50mm_f1p8", "phone_us9651759"])
def test_a_stop_that_is_far_too_large_ends_where_glass_ends(name):
    sound(opened(load(name), 1.8), f64([300.0, math.inf]), heights=5)


@pytest.mark.parametrize("name", WIDE)
def test_wide_lenses_have_kernels_at_every_height_and_depth(name):
    lens = wide_lens(name)
    field = psf_grid(lens, [0.1, math.inf], [0.0, 0.7, 1.0])
    assert bool(field.kernels.isfinite().all())
    assert bool((field.transmission > 0.5).all())
    sums = field.kernels.sum((-1, -2))
    assert float((sums - 1).abs().max()) < 1e-5


@pytest.mark.parametrize("radii", [[], [-0.1], [0.5, 1.01], [math.nan]])
def test_image_heights_beyond_the_sensor_or_behind_the_axis_are_refused(radii):
    with pytest.raises(InputError, match="radii: found"):
        chief_rays(load("cooke_triplet"), f64(radii))


@pytest.mark.parametrize(
    ("name", "factor", "words"),
    [("fisheye_168_deg", 1.2, "90 degrees"), ("wide_170_deg", 1.2, "surface [0-9]+|90 degrees|fall again")],
)
def test_chief_rays_that_end_in_front_of_the_stop_are_refused_with_the_reason(name, factor, words):
    lens = wide_lens(name)
    with pytest.raises(InputError, match=words) as caught:
        chief_rays(stretched(lens, factor), f64([1.0]))
    # As far as it says there are chief rays, there are.
    text = str(caught.value)
    reached_mm = float(text.split("image heights up to ")[1].split(" mm")[0])
    assert reached_mm > lens.sensor.half_diagonal_mm * 0.99
    chief = chief_rays(lens, f64([min(0.999 * reached_mm / lens.sensor.half_diagonal_mm, 1.0)]))
    assert 60 < math.degrees(math.atan(float(chief.slope))) < 90


# Light.


@pytest.mark.parametrize("depth_m", [0.2, 3.0, math.inf])
def test_illumination_of_a_pinhole_falls_with_the_fourth_power_of_the_cosine(depth_m):
    lens = pinhole()
    radii = [0.0, 0.25, 0.5, 0.75, 1.0]
    found = relative_illumination(lens, radii, [depth_m])[0]
    cosine = torch.cos(torch.atan(f64(radii) * lens.sensor.half_diagonal_mm / 5.0))
    # The hole is small against its distance from the object: some (0.02 / 200)^2 is left of its size.
    assert (found - (cosine**4)[:, None]).abs().max() < 2e-6


def test_illumination_of_a_weak_lens_behind_a_small_stop_is_cosine_to_the_fourth_too():
    glass = ConstantIndex("glass", f64(1.5))
    lens = Lens(
        "weak",
        (
            Surface(Plane(), f64(0.02), f64(0.0), AIR),
            Surface(Conic(f64(1e-4), f64(0.0)), f64(1.0), f64(1e-4), glass),
            Surface(Conic(f64(-1e-4), f64(0.0)), f64(1.0), f64(5.0), AIR),
        ),
        1,
        Sensor((100, 100), 50.0),
        channels=LINE_CHANNELS,
    )
    radii = [0.0, 0.5, 1.0]
    cosine = torch.cos(torch.atan(f64(radii) * lens.sensor.half_diagonal_mm / 5.0))
    found = relative_illumination(lens, radii, [math.inf])[0]
    # The lens bends the chief ray by its thickness and its power: each is some 1e-4 of what counts.
    assert (found - (cosine**4)[:, None]).abs().max() < 3e-4


@pytest.mark.parametrize("name", ["phone_us9651759", "cooke_triplet"])
def test_mapping_at_a_great_depth_is_that_of_infinity(name):
    chief = chief_rays(load(name), RADII)
    near, far = chief.mapping(1e9), chief.mapping(math.inf)
    # Area over squared distance is solid angle times a cosine: the ratio to the axis is what counts.
    distance = (1 + chief.slope**2) / (1 + chief.slope[0] ** 2)
    ratio = (near / near[0]) / (distance * far / far[0])
    assert (ratio - 1).abs().max() < 1e-5


# What is refused.


def test_a_height_that_no_chief_ray_reaches_is_named():
    lens = replace(load("cooke_triplet"), sensor=Sensor((30000, 40000), 50.0))
    with pytest.raises(InputError) as caught:
        chief_rays(lens, f64([0.01, 0.5, 1.0]))
    message = str(caught.value)
    assert message.startswith("lens cooke_triplet: found no chief ray at radius 0.5 (image height")
    assert "image heights up to" in message
    assert "\n" not in message


def test_a_field_from_which_no_light_comes_is_named():
    lens = load("cooke_triplet").with_parameters({"surface1.semi_aperture_mm": 0.2, "surface6.semi_aperture_mm": 0.2})
    chief = chief_rays(lens, RADII)
    with pytest.raises(InputError, match=r"lens cooke_triplet: found no ray at radius 0\.\d+"):
        find_ellipses(lens, chief, f64([math.inf]), f64([0.55]))
