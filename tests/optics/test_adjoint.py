"""The compiled tracer's gradients, against finite differences and against the plain tracer under torch's autograd."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from optics import load
from optics.glass import AIR, ConstantIndex, ModelGlass
from optics.lens import Lens, Sensor
from optics.rays import Rays
from optics.surface import Conic, EvenAsphere, Plane, PolynomialAsphere, Surface
from optics.tracing import trace, trace_plainly

F64 = torch.float64
LENSES = (
    "asphere_conic_end",
    "asphere_planohyperbolic",
    "camera_rf50mm_f1p8",
    "cooke_triplet",
    "phone_deeplens80",
    "phone_us7535658",
    "phone_us9651759",
    "wide_laikin100",
)
SHAPES = {
    "plane": Plane(),
    "flat conic": Conic(torch.tensor(0.0, dtype=F64), torch.tensor(0.0, dtype=F64)),
    "sphere": Conic(torch.tensor(0.3, dtype=F64), torch.tensor(0.0, dtype=F64)),
    "hyperboloid": Conic(torch.tensor(-0.4, dtype=F64), torch.tensor(-2.5, dtype=F64)),
    "oblate": Conic(torch.tensor(0.4, dtype=F64), torch.tensor(1.5, dtype=F64)),
    "even": EvenAsphere(
        torch.tensor(0.2, dtype=F64), torch.tensor(-1.0, dtype=F64), torch.tensor([0.03, -0.05, 0.02], dtype=F64)
    ),
    "odd": PolynomialAsphere(
        torch.tensor(0.2, dtype=F64),
        torch.tensor(0.5, dtype=F64),
        torch.tensor([0.02, 0.01, -0.03, 0.02, 0.01], dtype=F64),
        (1, 2, 3, 4, 7),
    ),
    "long even": EvenAsphere(
        torch.tensor(-0.3, dtype=F64), torch.tensor(-0.5, dtype=F64), 0.02 * (-1) ** torch.arange(10).to(F64)
    ),
    "long odd": PolynomialAsphere(
        torch.tensor(0.1, dtype=F64), torch.tensor(0.0, dtype=F64), torch.tensor([0.03, 0.02], dtype=F64), (3, 19)
    ),
}


def f64(value):
    return torch.tensor(value, dtype=F64)


def one_surface(shape, behind=None, semi_mm=1.0):
    """A surface between glasses, so that its own index step is not the only one."""
    front = ConstantIndex("front", f64(1.3))
    behind = behind or ModelGlass(f64(1.6), f64(40.0))
    surfaces = (
        Surface(Plane(), 2 * semi_mm, 0.4, front),
        Surface(shape, semi_mm, 0.8, behind),
        Surface(Plane(), 3 * semi_mm, 0.5, AIR),
    )
    return Lens("test", surfaces, 1, Sensor((10, 10), 5.0))


def some_rays(count=7, spread=0.25, radius_mm=0.6, z_mm=-0.5, seed=0):
    g = torch.Generator().manual_seed(seed)
    xy = radius_mm * (2 * torch.rand(count, 2, generator=g, dtype=F64) - 1)
    tilt = spread * (2 * torch.rand(count, 2, generator=g, dtype=F64) - 1)
    one = torch.ones(count, 1, dtype=F64)
    wavelength = f64([0.4861, 0.5876, 0.6563])[torch.arange(count) % 3]
    return Rays(torch.cat([xy, z_mm * one], 1), normalize(torch.cat([tilt, one], 1), dim=1), wavelength)


def parameters(lens):
    """All that a ray notices: apertures only mask."""
    known = lens.parameters()
    return {n: v.clone().requires_grad_(True) for n, v in known.items() if "semi_aperture" not in n and v.ndim == 0}


def everything(traced):
    """All outputs in one vector."""
    outputs = (traced.position_mm, traced.direction, traced.opl_mm[..., None], traced.path_mm)
    return torch.cat([value.reshape(-1) for value in outputs])


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("kind", SHAPES)
def test_gradients_by_every_parameter_and_ray_agree_with_finite_differences(kind, clip):
    lens, rays = one_surface(SHAPES[kind]), some_rays()
    values = parameters(lens)
    assert trace(lens, rays, clip=clip).alive.all()
    inputs = [value.clone().requires_grad_(True) for value in (rays.position_mm, rays.direction, rays.wavelength_um)]

    def run(position, direction, wavelength, *tensors):
        bent = lens.with_parameters(dict(zip(values, tensors, strict=True)))
        return everything(trace(bent, Rays(position, direction, wavelength), path=True, clip=clip))

    assert torch.autograd.gradcheck(run, (*inputs, *values.values()), eps=1e-6, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("kind", SHAPES)
def test_gradients_past_the_rim_agree_with_finite_differences(kind):
    """Without clipping, out to where the surface is continued by a paraboloid."""
    lens, rays = one_surface(SHAPES[kind], semi_mm=0.3), some_rays(5, radius_mm=0.65, seed=3)
    radius = trace(lens, rays, path=True, clip=False).path_mm[:, 1, :2].norm(dim=1)
    assert radius.max() > 1.6 * 0.3
    values = parameters(lens)

    def run(position, direction, *tensors):
        bent = lens.with_parameters(dict(zip(values, tensors, strict=True)))
        return everything(trace(bent, Rays(position, direction, rays.wavelength_um), path=True, clip=False))

    inputs = [value.clone().requires_grad_(True) for value in (rays.position_mm, rays.direction)]
    assert torch.autograd.gradcheck(run, (*inputs, *values.values()), eps=1e-6, atol=1e-7, rtol=1e-6)


def gradients(lens, rays, tracer, seed=0):
    values = parameters(lens)
    inputs = [value.clone().requires_grad_(True) for value in (rays.position_mm, rays.direction, rays.wavelength_um)]
    outputs = tracer(lens.with_parameters(values), Rays(*inputs))
    g = torch.Generator().manual_seed(seed)
    loss = sum((o * torch.randn(o.shape, generator=g, dtype=o.dtype)).sum() for o in outputs)
    found = torch.autograd.grad(loss, (*inputs, *values.values()), allow_unused=True)
    names = ("position", "direction", "wavelength", *values)
    return {n: torch.zeros(1, dtype=F64) if value is None else value for n, value in zip(names, found, strict=True)}


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("name", LENSES)
def test_gradients_of_whole_lenses_agree_with_those_of_the_plain_tracer(name, clip, root):
    def compiled(lens, rays):
        traced = trace(lens, rays, path=True, clip=clip)
        return traced.position_mm, traced.direction, traced.opl_mm, traced.path_mm

    def plain(lens, rays):
        results = trace_plainly(lens, rays.position_mm, rays.direction, rays.wavelength_um, path=True, clip=clip)
        return *results[:3], results[5]

    with np.load(root / "tests/data/rays.npz") as stored:
        given = torch.from_numpy(stored[f"{name}.input"])
    lens, rays = load(name), Rays(given[:, :3], given[:, 3:6], given[:, 6])
    ours, theirs = gradients(lens, rays, compiled), gradients(lens, rays, plain)
    for key, value in theirs.items():
        assert (ours[key] - value).abs().max() <= 1e-10 * value.abs().max() + 1e-13, key


@pytest.mark.parametrize("name", ["phone_us9651759", "double_gauss_jp1987087922"])
def test_gradient_of_the_rms_spot_agrees_with_finite_differences(name):
    lens = load(name)
    semi = float(lens.surfaces[0].semi_aperture_mm)
    g = torch.Generator().manual_seed(2)
    xy = 0.5 * semi * (2 * torch.rand(300, 2, generator=g, dtype=F64) - 1)
    position = torch.cat([xy, torch.full((300, 1), -1.0, dtype=F64)], dim=1)
    direction = normalize(f64([0.1, 0.05, 1.0]), dim=0).expand(300, 3)
    rays = Rays(position, direction, f64(0.5876))
    alive = trace(lens, rays).alive
    assert alive.sum() > 150
    values = parameters(lens)

    def spot_mm(changed):
        # Nobody is to be lost on the way: the rim has no gradient.
        landed = trace(lens.with_parameters(changed), rays, clip=False).position_mm[alive, :2]
        return (landed - landed.mean(0)).square().sum(1).mean().sqrt()

    found = torch.autograd.grad(spot_mm(values), list(values.values()), allow_unused=True)
    checked = 0
    for (name_, value), gradient in zip(values.items(), found, strict=True):
        surface, _, kind = name_.partition(".")
        if gradient is None or "medium" in kind:
            continue
        # A step that moves the surface by some nanometres at its rim.
        rim = float(lens.surfaces[int(surface.removeprefix("surface")) - 1].semi_aperture_mm)
        power = {"thickness_mm": 0, "curvature_per_mm": 2, "conic_k": 0}.get(kind)
        step = 3e-5 if kind == "conic_k" else 3e-6 / rim ** (int(kind[8:]) if power is None else power)
        with torch.no_grad():
            # Fourth order: the truncation of plain differences would be the larger error.
            d = [float(spot_mm({name_: value + k * step})) for k in (-2, -1, 1, 2)]
        expected = (d[0] - 8 * d[1] + 8 * d[2] - d[3]) / (12 * step)
        rounding = 1e-14 / step
        assert abs(float(gradient) - expected) <= 1e-6 * abs(expected) + rounding, name_
        checked += 1
    assert checked > 20


def test_lost_rays_have_no_gradient_even_if_nan_comes_back_to_them():
    lens = load("phone_us9651759")
    rays = some_rays(400, spread=0.9, radius_mm=0.9)
    values = parameters(lens)
    position, direction = (t.clone().requires_grad_(True) for t in (rays.position_mm, rays.direction))
    traced = trace(lens.with_parameters(values), Rays(position, direction, rays.wavelength_um), path=True)
    alive = traced.alive
    assert 0 < alive.sum() < 400
    outputs = (traced.position_mm, traced.direction, traced.opl_mm, traced.path_mm)
    loss = sum(value[alive].sum() + (math.nan * value[~alive]).sum() for value in outputs)
    gradient = torch.autograd.grad(loss, [position, direction, *values.values()], allow_unused=True)
    assert all(value is None or value.isfinite().all() for value in gradient)
    assert (gradient[0][~alive] == 0).all()
    assert (gradient[1][~alive] == 0).all()
    assert (gradient[0][alive] != 0).any()


def test_gradients_in_single_precision_follow_those_in_double():
    lens = load("phone_us9651759")
    rays = some_rays(500, radius_mm=0.5, spread=0.1)
    both = trace(lens, rays).alive & trace(lens.to(dtype=torch.float32), rays.to(dtype=torch.float32)).alive
    found = []
    for dtype in (torch.float64, torch.float32):
        values = {n: v.detach() for n, v in parameters(lens.to(dtype=dtype)).items()}
        values = {n: v.clone().requires_grad_(True) for n, v in values.items() if "curvature" in n or "thickness" in n}
        traced = trace(lens.to(dtype=dtype).with_parameters(values), rays.to(dtype=dtype))
        landed = traced.position_mm[both, :2]
        gradient = torch.autograd.grad(landed.square().sum(), list(values.values()), allow_unused=True)
        found.append([None if value is None else float(value) for value in gradient])
    scale = max(abs(value) for value in found[0] if value is not None)
    for double, single in zip(*found, strict=True):
        assert (double is None) == (single is None)
        assert double is None or abs(double - single) < 1e-3 * scale
