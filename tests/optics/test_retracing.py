"""Rays followed through known crossings: the tracer's numbers, derivatives ray by ray, and how rays begin to fail."""

from dataclasses import dataclass, replace

import pytest
import torch

import optics
from optics.retracing import follow, read_numbers
from optics.surface import Shape
from psf import InputError

F64 = torch.float64


def fan(lens, count=9, share=0.9, slope=0.0):
    """Rays into the front of a lens, over both coordinates."""
    semi = float(lens.surfaces[0].semi_aperture_mm)
    at = torch.linspace(-share * semi, share * semi, count, dtype=F64)
    position = torch.stack([at, 0.3 * at, torch.zeros_like(at)], dim=-1)
    direction = torch.tensor([slope, 0.02, 1.0], dtype=F64).expand(count, 3)
    direction = direction / direction.norm(dim=-1, keepdim=True)
    return optics.Rays(position, direction, torch.full_like(at, 0.55))


def followed(lens, rays, numbers=None):
    wave = rays.wavelength_um[:1]
    numbers = read_numbers(lens, wave) if numbers is None else numbers
    traced = optics.trace(lens, rays, path=True, clip=False)
    index = numbers.index[torch.zeros(len(rays.position_mm), dtype=torch.long)].T
    return follow(numbers, lens.stop_surface - 1, index, rays.position_mm.unbind(-1), rays.direction.unbind(-1), traced)


@pytest.mark.parametrize("name", ["double_gauss_jp1987087922", "f2.2_fixedfocus", "asphere_planohyperbolic"])
def test_rays_end_where_the_tracer_says(name):
    lens = optics.load(name)
    rays = fan(lens, slope=0.05)
    traced, again = optics.trace(lens, rays, path=True, clip=False), followed(lens, rays)
    assert traced.alive.all()
    # The tracer stops at 1e-10 of an aperture, and one step more is taken from there.
    assert torch.allclose(again.x_mm, traced.position_mm[:, 0], atol=1e-9)
    assert torch.allclose(again.y_mm, traced.position_mm[:, 1], atol=1e-9)
    assert torch.allclose(torch.stack(again.direction, dim=-1), traced.direction, atol=1e-9)
    assert torch.allclose(again.opl_mm, traced.opl_mm, atol=1e-9)
    assert torch.allclose(again.stop_x_mm, traced.path_mm[:, lens.stop_surface - 1, 0], atol=1e-9)
    assert (again.soundness == 1).all()


@pytest.mark.parametrize("name", ["double_gauss_jp1987087922", "f2.2_fixedfocus"])
def test_gradient_is_the_tracer_s(name):
    lens = optics.load(name)
    keys = [n for n, v in lens.parameters().items() if v.ndim == 0 and not n.endswith("semi_aperture_mm")]
    values = {n: lens.parameters()[n].clone().requires_grad_() for n in keys}
    free, rays = lens.with_parameters(values), fan(lens, slope=0.05)
    weights = torch.linspace(1, 2, 9, dtype=F64)

    def slopes(x, opl):
        found = torch.autograd.grad((weights * (x + 0.1 * opl)).sum(), list(values.values()), allow_unused=True)
        return [torch.zeros((), dtype=F64) if g is None else g for g in found]

    traced, again = optics.trace(free, rays, clip=False), followed(free, rays)
    pairs = zip(slopes(traced.position_mm[:, 0], traced.opl_mm), slopes(again.x_mm, again.opl_mm), strict=True)
    for key, (expected, found) in zip(keys, pairs, strict=True):
        assert float(found) == pytest.approx(float(expected), rel=1e-7, abs=1e-12), key


def test_columns_hold_each_ray_s_own_derivatives():
    lens, count = optics.load("cooke_triplet"), 5
    rays = fan(lens, count, share=0.5)
    numbers = read_numbers(lens, rays.wavelength_um[:1])
    row = numbers.row.expand(-1, count).clone().requires_grad_()
    (together,) = torch.autograd.grad(followed(lens, rays, replace(numbers, row=row)).x_mm.sum(), row)
    for ray in range(count):
        shared = numbers.row.clone().requires_grad_()
        (alone,) = torch.autograd.grad(followed(lens, rays, replace(numbers, row=shared)).x_mm[ray], shared)
        assert torch.allclose(together[:, ray], alone[:, 0], rtol=1e-12, atol=1e-15)


def ball(rays_at_mm):
    """Parallel rays onto the front of a sphere of 10 mm, up to its equator."""
    glass = optics.ConstantIndex("glass", torch.tensor(1.5, dtype=F64))
    surfaces = (
        optics.Surface(optics.Conic(0.1, 0.0), 20.0, 4.0, glass),
        optics.Surface(optics.Plane(), 50.0, 20.0, optics.AIR),
    )
    lens = optics.Lens("ball", surfaces, 1, optics.Sensor((100, 100), 10.0))
    x = torch.as_tensor(rays_at_mm, dtype=F64)
    position = torch.stack([x, torch.zeros_like(x), torch.full_like(x, -5.0)], dim=-1)
    direction = torch.tensor([0.0, 0.0, 1.0], dtype=F64).expand(len(x), 3)
    return lens, optics.Rays(position, direction, torch.full_like(x, 0.55))


def test_ray_fades_before_it_misses_and_stays_finite():
    lens, rays = ball([*torch.linspace(0, 12, 25).tolist(), 9.91])
    free = lens.with_parameters({"surface1.curvature_per_mm": torch.tensor(0.1, dtype=F64, requires_grad=True)})
    found = followed(free, rays)
    lost = ~optics.trace(lens, rays, clip=False).alive
    assert lost.any()
    assert (found.soundness[:12] == 1).all()
    assert (found.soundness[lost] == 0).all()
    assert 0 < float(found.soundness[-1].detach()) < 1
    for value in (found.x_mm, found.opl_mm, found.soundness, found.excess):
        assert value.isfinite().all()
        (slope,) = torch.autograd.grad(
            (found.soundness * value).sum(), free.surfaces[0].shape.curvature_per_mm, retain_graph=True
        )
        assert slope.isfinite()


def test_soundness_has_no_kink():
    at = torch.linspace(9.0, 10.5, 30001, dtype=F64)
    sound = followed(*ball(at)).soundness
    step = at[1] - at[0]
    slope = sound.diff() / step
    assert float(sound[0]) > 0
    assert float(sound[-1]) == 0
    # The steepest bend, which a jump of the slope would put out of all bounds at this step.
    assert float(slope.diff().abs().max()) < 0.2 * float(slope.abs().max())


def test_excess_begins_smoothly_at_the_rim():
    lens, rays = ball([0.0, 4.9, 5.0, 5.0001, 6.0])
    narrow = replace(lens, surfaces=(replace(lens.surfaces[0], semi_aperture_mm=5.0), lens.surfaces[1]))
    excess = followed(narrow, rays).excess
    assert excess[:3].tolist() == [0, 0, 0]
    assert 0 < float(excess[3]) < 1e-7
    assert float(excess[4]) == pytest.approx(0.44**2 / 0.46, rel=1e-9)


@dataclass(frozen=True, eq=False)
class Ripple(optics.Conic):
    def packed(self):
        return None


def test_shapes_that_are_no_polynomial_are_refused():
    lens, rays = ball([0.0])
    shape: Shape = Ripple(0.1, 0.0)
    odd = replace(lens, surfaces=(replace(lens.surfaces[0], shape=shape), lens.surfaces[1]))
    with pytest.raises(InputError, match="Ripple"):
        followed(odd, rays)
