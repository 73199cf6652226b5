"""The compiled loops against the plain tracer and against a search that cannot go wrong."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from optics import load
from optics.glass import AIR, ConstantIndex
from optics.lens import Lens, Sensor
from optics.rays import Fate, Rays
from optics.surface import Conic, EvenAsphere, PolynomialAsphere, Surface
from optics.tracing import trace, trace_plainly

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
# Newton stops for a block of rays at once, so a ray's last digits depend on its neighbours.
ROUNDING_MM = 1e-12


def f64(value):
    return torch.tensor(value, dtype=F64)


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


def plainly(lens, rays, *, clip=True):
    """The slow twin: torch operations only."""
    shape = rays.position_mm.shape[:-1]
    wavelength = rays.wavelength_um.expand(shape).reshape(-1)
    return trace_plainly(
        lens, rays.position_mm.reshape(-1, 3), rays.direction.reshape(-1, 3), wavelength, path=True, clip=clip
    )


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("name", LENSES)
def test_compiled_and_plain_tracer_agree(name, clip, root):
    with np.load(root / "tests/data/rays.npz") as stored:
        given = torch.from_numpy(stored[f"{name}.input"])
    lens, rays = load(name), Rays(given[:, :3], given[:, 3:6], given[:, 6])
    traced = trace(lens, rays, path=True, clip=clip)
    landed, heading, opl, lost_at, lost_why, path = plainly(lens, rays, clip=clip)
    assert torch.equal(traced.lost_at, lost_at)
    assert torch.equal(traced.lost_why, lost_why)
    # Lost rays stand still where they were lost, in both.
    ours = (traced.position_mm, traced.direction, traced.opl_mm, traced.path_mm)
    for a, b in zip(ours, (landed, heading, opl, path), strict=True):
        assert (a - b).abs().max() < 1e-10


def wild_shapes():
    g = torch.Generator().manual_seed(5)
    for i in range(40):
        c, k = (2 * torch.rand(2, generator=g, dtype=F64) - 1) * f64([1.2, 4.0])
        a = 0.4 * (2 * torch.rand(6, generator=g, dtype=F64) - 1)
        yield (Conic(c, k), EvenAsphere(c, k, a), PolynomialAsphere(c, k, a, (3, 4, 5, 6, 8, 9)))[i % 3]


@pytest.mark.parametrize("shape", list(wild_shapes()), ids=lambda shape: type(shape).__name__)
def test_a_ray_is_lost_only_where_a_dense_scan_finds_no_crossing_either(shape):
    semi = min(1.0, 0.9 * shape.end_mm)
    lens = build((shape, 1.0, 1.0), semi_mm=semi)
    rays = oblique(500, spread=1.5, radius_mm=1.3 * semi, z_mm=-0.3)
    traced = trace(lens, rays, path=True)
    p, d = rays.position_mm, rays.direction
    # The part of every ray inside the aperture's cylinder, between -2 and 2 mm in z.
    a, b, c = d[:, :2].square().sum(1), (p * d)[:, :2].sum(1), p[:, :2].square().sum(1) - semi**2
    root = (b * b - a * c).clamp_min(0).sqrt()
    low = torch.maximum((-b - root) / a, (-2 - p[:, 2]) / d[:, 2])
    high = torch.minimum((-b + root) / a, (2 - p[:, 2]) / d[:, 2])
    passes = (b * b > a * c) & (low < high)
    t = low[:, None] + (high - low)[:, None] * torch.linspace(0, 1, 4001, dtype=F64)
    q = p[:, None] + t[..., None] * d[:, None]
    f = q[..., 2] - shape.sag(q[..., :2].square().sum(-1).clamp(max=semi**2))[0]
    change = (f[:, 1:] * f[:, :-1] <= 0) & passes[:, None]
    crosses = change.any(1)
    # A crossing at the very rim may fall on either side for the scan.
    certain = (f[:, 0].abs() > 1e-3) & (f[:, -1].abs() > 1e-3)
    assert crosses.sum() > 20
    lost = ~traced.alive & (traced.lost_why != Fate.TOTAL_REFLECTION)
    assert torch.equal(~lost[certain], crosses[certain])
    # And the crossing is one: the residual vanishes inside the aperture.
    met = traced.path_mm[traced.alive, 0]
    assert (met[:, 2] - shape.sag(met[:, :2].square().sum(1))[0]).abs().max() < 1e-9
    assert met[:, :2].norm(dim=1).max() <= semi * (1 + 1e-9)
    # Of several crossings it is the first. (Three inside the aperture are too many to tell the first from the last.)
    few = change.sum(1) < 3
    first = t.gather(1, change.to(torch.int8).argmax(1)[:, None])[:, 0]
    found = ((traced.path_mm[:, 0, 2] - p[:, 2]) / d[:, 2] - first) < (high - low) / 2000 + 1e-9
    assert found[traced.alive & few & certain].all()


def test_without_clipping_a_crossing_near_the_aperture_comes_before_one_far_outside():
    """Newton from the vertex plane may run to where a strong asphere is crossed again."""
    lens = load("phone_us9651759")
    rays = oblique(2000, spread=0.75, radius_mm=0.7, z_mm=-0.01)
    clipped, free = trace(lens, rays), trace(lens, rays, clip=False)
    both = clipped.alive
    assert both.sum() > 500
    assert free.alive[both].all()
    assert (free.position_mm - clipped.position_mm)[both].abs().max() < ROUNDING_MM


def test_a_ray_hardly_notices_its_neighbours():
    lens = load("phone_us9651759")
    rays = oblique(300, spread=0.5, radius_mm=0.7)
    together = trace(lens, rays)
    for i in (0, 63, 64, 299):
        alone = trace(lens, Rays(rays.position_mm[i], rays.direction[i], rays.wavelength_um))
        assert torch.equal(alone.lost_at, together.lost_at[i])
        assert (alone.position_mm - together.position_mm[i]).abs().max() < ROUNDING_MM
