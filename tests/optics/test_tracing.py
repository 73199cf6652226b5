import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from optics import load
from optics.glass import AIR, ConstantIndex, ModelGlass
from optics.lens import Lens, Sensor
from optics.rays import Fate, Rays
from optics.surface import Conic, EvenAsphere, Plane, PolynomialAsphere, Surface
from optics.tracing import trace, trace_plainly
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
# The tables are right to 6e-14 mm; two lenses of strong rays magnify the rounding of the input by ten.
TABLE_TOLERANCE_MM = 1e-12
# Newton stops for a block of rays at once, so a ray's last digits depend on its neighbours.
ROUNDING_MM = 1e-12


def f64(value):
    return torch.tensor(value, dtype=F64)


def plainly(lens, rays, *, clip=True):
    """The slow twin: torch operations only."""
    shape = rays.position_mm.shape[:-1]
    wavelength = rays.wavelength_um.expand(shape).reshape(-1)
    return trace_plainly(
        lens, rays.position_mm.reshape(-1, 3), rays.direction.reshape(-1, 3), wavelength, path=True, clip=clip
    )


# The four ways in which a conic can be written; each takes another road through the compiled tracer.
KINDS = {
    "conic": lambda c, k: Conic(f64(c), f64(k)),
    "even": lambda c, k: EvenAsphere(f64(c), f64(k), f64([0.0, 0.0])),
    "odd": lambda c, k: PolynomialAsphere(f64(c), f64(k), f64([0.0, 0.0]), (3, 4)),
    "long": lambda c, k: EvenAsphere(f64(c), f64(k), f64([0.0] * 10)),
}


def build(*surfaces, semi_mm=1.0, name="test"):
    """A lens of (shape, thickness, index behind) triples."""
    media = {1.0: AIR}
    made = []
    for shape, thickness_mm, index in surfaces:
        medium = media.setdefault(index, ConstantIndex(f"n {index}", f64(index)))
        made.append(Surface(shape, semi_mm, thickness_mm, medium))
    return Lens(name, tuple(made), 1, Sensor((10, 10), 5.0))


def collimated(count=50, radius_mm=0.95, z_mm=-1.0, seed=0):
    g = torch.Generator().manual_seed(seed)
    r = radius_mm * torch.rand(count, generator=g, dtype=F64).sqrt()
    angle = 2 * math.pi * torch.rand(count, generator=g, dtype=F64)
    position = torch.stack([r * angle.cos(), r * angle.sin(), torch.full_like(r, z_mm)], dim=-1)
    direction = torch.zeros_like(position)
    direction[:, 2] = 1
    return Rays(position, direction, f64(0.5876))


def oblique(count=60, spread=0.4, radius_mm=0.8, z_mm=-0.5, seed=0):
    rays = collimated(count, radius_mm, z_mm, seed)
    g = torch.Generator().manual_seed(seed + 100)
    tilt = spread * (2 * torch.rand(count, 2, generator=g, dtype=F64) - 1)
    return replace(rays, direction=normalize(torch.cat([tilt, torch.ones(count, 1, dtype=F64)], dim=1), dim=1))


def check_table(lens, table):
    rays = Rays(*(torch.from_numpy(table[key]) for key in ("position", "direction", "wavelength_um")))
    traced = trace(lens, rays, path=True)
    alive = traced.alive.numpy()
    assert (traced.lost_at.numpy() == table["lost_at"]).all()
    for found, key in (
        (traced.position_mm, "landed"),
        (traced.direction, "heading"),
        (traced.opl_mm, "opl_mm"),
        (traced.path_mm, "path_mm"),
    ):
        assert np.abs(found.numpy()[alive] - table[key][alive]).max() < TABLE_TOLERANCE_MM, key
    # A lost ray still tells where it met the surfaces before.
    for i, lost_at in enumerate(table["lost_at"]):
        before = table["path_mm"][i, : lost_at - 1]
        if lost_at > 1:
            assert np.abs(traced.path_mm[i, : lost_at - 1].numpy() - before).max() < TABLE_TOLERANCE_MM


@pytest.mark.parametrize("name", LENSES)
def test_rays_land_where_the_tables_say(name, root):
    with np.load(root / "tests/data/rays.npz") as stored:
        given, told = stored[f"{name}.input"], stored[f"{name}.output"]
        table = {"position": given[:, :3], "direction": given[:, 3:6], "wavelength_um": given[:, 6]}
        table |= {"landed": told[:, :3], "heading": told[:, 3:6], "opl_mm": told[:, 6]}
        table |= {"path_mm": stored[f"{name}.path_mm"], "lost_at": stored[f"{name}.lost_at"]}
    check_table(load(name), table)


@pytest.mark.parametrize("name", LENSES)
def test_every_ray_of_the_large_tables_lands_where_they_say(name, reference):
    with np.load(reference / f"rays/{name}.npz") as stored:
        table = {"position": stored["input_position_mm"], "direction": stored["input_direction"]}
        table |= {"wavelength_um": 1e-3 * stored["wavelength_nm"], "landed": stored["image_position_mm"]}
        table |= {"heading": stored["image_direction"], "opl_mm": stored["opl_mm"]}
        table |= {"path_mm": stored["intersection_mm"], "lost_at": stored["verdict_surface"]}
    check_table(load(reference / f"prescriptions/{name}.json"), table)


@pytest.mark.parametrize("name", ["phone_us9651759", "camera_rf50mm_f1p8", "phone_us7535658"])
def test_light_finds_its_way_back(name):
    lens = load(name)
    g = torch.Generator().manual_seed(1)
    xy = 0.5 * float(lens.surfaces[0].semi_aperture_mm) * (2 * torch.rand(40, 2, generator=g, dtype=F64) - 1)
    position = torch.cat([xy, torch.full((40, 1), -2.0, dtype=F64)], dim=1)
    tilt = 0.2 * (2 * torch.rand(40, 2, generator=g, dtype=F64) - 1)
    direction = normalize(torch.cat([tilt, torch.ones(40, 1, dtype=F64)], dim=1), dim=1)
    there = trace(lens, Rays(position, direction, f64(0.5876)))
    back = []
    for i in range(len(lens.surfaces) - 1, -1, -1):
        medium, gap = (lens.surfaces[i - 1].medium, lens.surfaces[i - 1].thickness_mm) if i else (AIR, f64(2.0))
        back.append(replace(lens.surfaces[i], shape=lens.surfaces[i].shape.mirrored(), thickness_mm=gap, medium=medium))
    turned = replace(lens, surfaces=tuple(back))
    last = lens.vertices_mm[-2]
    start = there.position_mm * f64([1.0, 1.0, -1.0]) + torch.stack([0 * last, 0 * last, last])
    again = trace(turned, Rays(start, there.direction * f64([-1.0, -1.0, 1.0]), f64(0.5876)))
    alive = there.alive
    assert alive.sum() > 10
    assert again.alive[alive].all()
    assert (again.position_mm[alive, :2] - xy[alive]).abs().max() < 1e-10
    assert (again.opl_mm - there.opl_mm)[alive].abs().max() < 1e-10


def test_a_plane_parallel_plate_shifts_rays_and_keeps_their_direction():
    index, thick = 1.7, 2.0
    lens = build((Plane(), thick, index), (Plane(), 1.0, 1.0), semi_mm=10.0)
    rays = oblique()
    traced = trace(lens, rays)
    sine = rays.direction[:, :2].norm(dim=1)
    inside = thick * sine / (index * (1 - (sine / index) ** 2).sqrt())
    outside = 1.5 * sine / (1 - sine**2).sqrt()  # half a millimetre in front of the plate, one behind
    expected = rays.position_mm[:, :2] + (inside + outside)[:, None] * rays.direction[:, :2] / sine[:, None]
    assert (traced.position_mm[:, :2] - expected).abs().max() < 1e-14
    assert (traced.direction - rays.direction).abs().max() < 1e-15


@pytest.mark.parametrize("kind", KINDS)
def test_a_sphere_images_its_aplanatic_points_sharply(kind):
    radius, index = 10.0, 1.6
    lens = build((KINDS[kind](1 / radius, 0.0), radius + radius / index, index), semi_mm=9.0)
    start = collimated(200, 8.0, -3.0).position_mm
    aim = f64([0.0, 0.0, radius + radius * index])
    traced = trace(lens, Rays(start, normalize(aim - start, dim=1), f64(0.5876)))
    assert traced.alive.all()
    assert traced.position_mm[:, :2].abs().max() < 1e-13


@pytest.mark.parametrize("kind", KINDS)
def test_an_ellipsoid_focuses_parallel_light_with_equal_paths(kind):
    radius, index = 5.0, 1.5
    focus = radius * index / (index - 1)
    lens = build((KINDS[kind](1 / radius, -1 / index**2), focus, index), semi_mm=5.0)
    traced = trace(lens, collimated(200, 4.9))
    assert traced.alive.all()
    assert traced.position_mm[:, :2].abs().max() < 1e-13
    assert (traced.opl_mm - (1 + index * focus)).abs().max() < 1e-13


@pytest.mark.parametrize("kind", KINDS)
def test_a_hyperboloid_focuses_parallel_light_with_equal_paths(kind):
    radius, index = -5.0, 1.5
    focus = radius / (1 - index)
    lens = build((Plane(), 3.0, index), (KINDS[kind](1 / radius, -(index**2)), focus, 1.0), semi_mm=5.0)
    traced = trace(lens, collimated(200, 4.9))
    assert traced.alive.all()
    assert traced.position_mm[:, :2].abs().max() < 1e-13
    assert (traced.opl_mm - (1 + 3 * index + focus)).abs().max() < 1e-13


@pytest.mark.parametrize("kind", KINDS)
def test_a_paraboloid_is_met_where_the_closed_form_says(kind):
    lens = build((KINDS[kind](0.2, -1.0), 5.0, 1.5), semi_mm=3.0)
    rays = collimated(100, 2.9)
    z = trace(lens, rays, path=True).path_mm[:, 0, 2]
    assert (z - 0.1 * rays.position_mm[:, :2].square().sum(1)).abs().max() < 1e-15


@pytest.mark.parametrize("name", LENSES)
def test_snells_law_and_the_sum_of_paths_hold_at_every_crossing(name, root):
    with np.load(root / "tests/data/rays.npz") as stored:
        given = torch.from_numpy(stored[f"{name}.input"])
    lens, rays = load(name), Rays(given[:, :3], given[:, 3:6], f64(0.5876))
    traced = trace(lens, rays, path=True)
    alive = traced.alive
    assert alive.sum() > 5
    crossings = torch.cat([rays.position_mm[:, None], traced.path_mm, traced.position_mm[:, None]], dim=1)[alive]
    steps = crossings.diff(dim=1)
    lengths = steps.norm(dim=2)
    directions = steps / lengths[..., None]
    n = [1.0, *(float(s.medium.index(f64(0.5876))) for s in lens.surfaces)]
    forward = steps[..., 2].sign()
    assert ((lengths * forward) @ f64(n) - traced.opl_mm[alive]).abs().max() < 1e-12
    for i, surface in enumerate(lens.surfaces):
        q = crossings[:, i + 1]
        slope = surface.shape.sag(q[:, :2].square().sum(1))[1]
        normal = torch.stack([-2 * slope * q[:, 0], -2 * slope * q[:, 1], torch.ones_like(slope)], dim=1)
        # Steps of a few micrometres have no direction to full precision; a ray may also step back to a curved vertex.
        long = (lengths[:, i] > 1e-3) & (lengths[:, i + 1] > 1e-3)
        before, behind = directions[:, i] * forward[:, i, None], directions[:, i + 1] * forward[:, i + 1, None]
        bend = n[i] * torch.linalg.cross(before, normal) - n[i + 1] * torch.linalg.cross(behind, normal)
        assert not long.any() or bend[long].abs().max() < 1e-11


def test_lost_rays_say_where_and_why_and_keep_finite_numbers():
    ball = build((Plane(), 2.0, 1.0), (Conic(f64(0.5), f64(0.0)), 1.0, 1.5), (Conic(f64(-0.6), f64(0.0)), 1.0, 1.0))
    wide = replace(ball, surfaces=(replace(ball.surfaces[0], semi_aperture_mm=f64(9.0)), *ball.surfaces[1:]))
    position = f64([[0.0, 0.0, -1.0], [1.2, 0.0, -1.0], [5.0, 0.0, -1.0], [0.9, 0.0, -1.0]])
    direction = f64([[0.0, 0.0, 1.0]] * 3 + [[math.sin(0.6), 0.0, math.cos(0.6)]])
    direction[3] = f64([-math.sin(0.75), 0.0, math.cos(0.75)])
    position[3] = f64([2.6, 0.0, -1.0])
    traced = trace(wide, Rays(position, direction, f64(0.5876)), path=True)
    assert traced.lost_at.tolist()[:3] == [0, 2, 2]
    assert traced.lost_why.tolist()[:3] == [Fate.ALIVE, Fate.CLIPPED, Fate.MISSED]
    for value in (traced.position_mm, traced.direction, traced.opl_mm, traced.path_mm):
        assert value.isfinite().all()
    # The clipped ray stands at its crossing, the one that missed where it was before.
    assert traced.position_mm[1, 0] == pytest.approx(1.2)
    assert traced.position_mm[2].tolist() == [5.0, 0.0, 0.0]


def test_light_beyond_the_critical_angle_is_totally_reflected():
    radius, index = 2.0, 1.5
    ball = build((Plane(), 2.0, index), (Conic(f64(-1 / radius), f64(0.0)), 1.0, 1.0), semi_mm=1.9)
    rays = collimated(400, 1.89)
    traced = trace(ball, rays)
    beyond = rays.position_mm[:, :2].norm(dim=1) / radius > 1 / index
    assert 0 < beyond.sum() < 400
    assert torch.equal(beyond, traced.lost_why == Fate.TOTAL_REFLECTION)
    assert (traced.lost_at[beyond] == 2).all()
    # Those stand where they were reflected, on the sphere.
    place = traced.position_mm[beyond] - f64([0.0, 0.0, 2.0 - radius])
    assert (place.norm(dim=1) - radius).abs().max() < 1e-14


def test_a_ray_through_the_very_rim_passes():
    lens = build((Plane(), 1.0, 1.0), (EvenAsphere(f64(0.1), f64(0.0), f64([0.01])), 1.0, 1.5), semi_mm=0.7)
    angle = torch.linspace(0, 6.28, 100, dtype=F64)
    position = torch.stack([0.7 * angle.cos(), 0.7 * angle.sin(), torch.full_like(angle, -1.0)], dim=1)
    direction = f64([0.0, 0.0, 1.0]).expand(100, 3)
    assert trace(lens, Rays(position, direction, f64(0.5))).alive.all()
    assert not trace(lens, Rays(position * f64([1.00001, 1.00001, 1.0]), direction, f64(0.5))).alive.any()


@pytest.mark.parametrize("name", ["phone_us9651759", "camera_rf50mm_f1p8", "asphere_conic_end"])
def test_without_clipping_rays_go_on_smoothly_past_the_rims(name):
    lens = load(name)
    semi = float(lens.surfaces[0].semi_aperture_mm)
    x = torch.linspace(0, 1.15 * semi, 400, dtype=F64)
    position = torch.stack([x, torch.zeros_like(x), torch.full_like(x, -1.0)], dim=1)
    rays = Rays(position, f64([0.0, 0.0, 1.0]).expand(400, 3), f64(0.5876))
    clipped, free = trace(lens, rays), trace(lens, rays, clip=False)
    assert (clipped.position_mm - free.position_mm)[clipped.alive].abs().max() < ROUNDING_MM
    assert free.alive.sum() > clipped.alive.sum()
    landing = free.position_mm[free.alive, 0]
    assert landing.diff().diff().abs().max() < 0.05 * semi


def test_a_surface_that_ends_by_nature_is_missed_beyond_its_end_even_without_clipping():
    lens = build((Conic(f64(1.0), f64(0.0)), 1.0, 1.5), semi_mm=0.9)
    rays = Rays(f64([[0.95, 0.0, -1.0], [1.01, 0.0, -1.0]]), f64([[0.0, 0.0, 1.0]] * 2), f64(0.5876))
    assert trace(lens, rays, clip=False).lost_why.tolist() == [Fate.ALIVE, Fate.MISSED]


@pytest.mark.parametrize("shape", [(), (5,), (2, 0), (2, 3, 4)])
def test_any_leading_shape_comes_back(shape):
    lens = load("cooke_triplet")
    rays = Rays(torch.zeros(*shape, 3, dtype=F64), f64([0.0, 0.0, 1.0]).expand(*shape, 3), f64(0.5876))
    for given in (rays, replace(rays, wavelength_um=torch.full(shape, 0.5876, dtype=F64))):
        traced = trace(lens, given, path=True)
        assert traced.position_mm.shape == traced.direction.shape == (*shape, 3)
        assert traced.opl_mm.shape == traced.alive.shape == traced.lost_at.shape == traced.lost_why.shape == shape
        assert traced.path_mm.shape == (*shape, len(lens.surfaces), 3)
    assert trace(lens, rays).path_mm is None


def test_wavelengths_per_ray_and_one_for_all_agree_however_many_there_are():
    lens = load("phone_us9651759")
    position, direction = collimated(300, 0.7).position_mm, collimated(300).direction
    for count in (1, 3, 150):
        wavelengths = torch.linspace(0.45, 0.65, count, dtype=F64)
        which = torch.arange(300) % count
        traced = trace(lens, Rays(position, direction, wavelengths[which]))
        for i in (0, count - 1):
            mine = which == i
            alone = trace(lens, Rays(position[mine], direction[mine], wavelengths[i]))
            assert (traced.position_mm[mine] - alone.position_mm).abs().max() < ROUNDING_MM


def test_single_precision_follows_double_to_its_own_rounding():
    lens = load("phone_us9651759")
    rays = oblique(2000, spread=0.3, radius_mm=0.7)
    double = trace(lens, rays)
    single = trace(lens.to(dtype=torch.float32), rays.to(dtype=torch.float32))
    assert single.position_mm.dtype == single.opl_mm.dtype == torch.float32
    both = double.alive & single.alive
    assert (double.alive != single.alive).sum() <= 2
    assert (double.position_mm - single.position_mm)[both].abs().max() < 3e-5
    plain = trace_plainly(
        lens.to(dtype=torch.float32),
        rays.position_mm.float(),
        rays.direction.float(),
        rays.wavelength_um.float(),
        path=False,
        clip=True,
    )
    both &= plain[3] == 0
    assert (double.position_mm - plain[0])[both].abs().max() < 3e-5


def test_a_lens_of_one_surface_is_a_lens():
    lens = load("phone_us9651759")
    part = replace(lens, surfaces=lens.surfaces[:1], stop_surface=1)
    traced = trace(part, collimated(20, 0.7))
    assert (traced.position_mm[:, 2] - lens.surfaces[0].thickness_mm).abs().max() < 1e-15


def test_rays_may_start_behind_the_first_surface_or_travel_backwards():
    lens = build((Conic(f64(0.1), f64(0.0)), 1.0, 1.0), semi_mm=2.0)
    ahead = trace(lens, Rays(f64([[0.5, 0.0, 3.0]]), f64([[0.0, 0.0, 1.0]]), f64(0.5876)), path=True)
    behind = trace(lens, Rays(f64([[0.5, 0.0, 3.0]]), f64([[0.0, 0.0, -1.0]]), f64(0.5876)), path=True)
    assert ahead.alive.all()
    assert torch.equal(ahead.path_mm, behind.path_mm)
    assert float(ahead.opl_mm) == pytest.approx(-2.0)


class Bump:
    """A shape of another kind: what a user's own class may look like."""

    end_mm = math.inf
    vertex_curvature_per_mm = f64(0.2)

    def sag(self, r2_mm2):
        return 0.1 * (1 - (-r2_mm2).exp()), 0.1 * (-r2_mm2).exp(), torch.ones_like(r2_mm2, dtype=torch.bool)

    def packed(self):
        return None

    def parameters(self):
        return {}


def test_a_shape_of_another_kind_takes_the_plain_tracer():
    lens = build((Bump(), 2.0, 1.5), (Plane(), 1.0, 1.0))
    rays = oblique(100, spread=0.2, radius_mm=0.5)
    traced = trace(lens, rays, path=True)
    q = traced.path_mm[:, 0]
    assert traced.alive.all()
    assert (q[:, 2] - Bump().sag(q[:, :2].square().sum(1))[0]).abs().max() < 1e-14


def sound(**changes):
    given = {"position_mm": torch.zeros(2, 3, dtype=F64), "direction": f64([[0.0, 0.0, 1.0]] * 2)}
    return Rays(**{**given, "wavelength_um": f64([0.5, 0.6]), **changes})


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("rays", "words"),
    [
        (sound(position_mm=f64([[0.0, math.nan, 0.0]] * 2)), "2 that are not finite"),
        (sound(position_mm=f64([[0.0, 0.0, 0.0], [0.0, math.inf, 0.0]])), "1 that are not finite"),
        (sound(direction=f64([[0.0, 0.0, 1.0], [0.0, 0.0, 2.0]])), "length 1"),
        (sound(direction=f64([[0.0, 0.0, 1.0], [0.0, 0.0, math.nan]])), "length 1"),
        (sound(wavelength_um=f64([0.5, -0.5])), "wavelength_um"),
        (sound(wavelength_um=f64([0.5, math.nan])), "wavelength_um"),
        (sound().to(dtype=torch.float32), "Lens.to"),
    ],
)
def test_what_cannot_be_traced_is_refused(rays, words, packed):
    lens = build((Plane() if packed else Bump(), 1.0, 1.5))
    with pytest.raises(InputError) as caught:
        trace(lens, rays)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_medium_without_an_index_is_named():
    broken = ModelGlass(f64(1.5), f64(0.001), "strange glass")
    lens = build((Plane(), 1.0, 1.0))
    lens = replace(lens, surfaces=(replace(lens.surfaces[0], medium=broken),))
    with pytest.raises(InputError, match="strange glass"):
        trace(lens, sound(wavelength_um=f64(2.0)))
