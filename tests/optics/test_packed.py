"""Between tensors and compiled loops: threads, strides, what is kept, what is recorded."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from optics import load
from optics.glass import AIR, ConstantIndex, ModelGlass
from optics.lens import Lens, Sensor
from optics.packed import index_table, pack, trace_packed
from optics.rays import Rays
from optics.surface import Conic, EvenAsphere, Plane, Surface
from optics.tracing import CONTINUED_TO, trace

F64 = torch.float64


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


def gradients(lens, rays, tracer, seed=0):
    values = parameters(lens)
    inputs = [value.clone().requires_grad_(True) for value in (rays.position_mm, rays.direction, rays.wavelength_um)]
    outputs = tracer(lens.with_parameters(values), Rays(*inputs))
    g = torch.Generator().manual_seed(seed)
    loss = sum((o * torch.randn(o.shape, generator=g, dtype=o.dtype)).sum() for o in outputs)
    found = torch.autograd.grad(loss, (*inputs, *values.values()), allow_unused=True)
    names = ("position", "direction", "wavelength", *values)
    return {n: torch.zeros(1, dtype=F64) if value is None else value for n, value in zip(names, found, strict=True)}


@pytest.mark.parametrize("name", ["phone_us9651759", "cooke_triplet"])
def test_gradients_are_the_same_bytes_on_any_number_of_threads(name):
    lens = load(name)
    rays = some_rays(20_000, radius_mm=0.5)

    def compiled(lens, rays):
        return trace(lens, rays).position_mm, trace(lens, rays).opl_mm

    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(gradients(lens, rays, compiled))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        for key, value in results[0].items():
            # Landing points, not the sums that torch itself makes of a table of indices.
            assert torch.equal(other[key], value), key


def test_what_is_kept_for_the_way_back_does_not_grow_with_newton_steps():
    """One number per ray and surface, for a sphere that needs no step as for an asphere that needs many."""
    kept = []
    for shape in (Conic(f64(0.3), f64(0.0)), EvenAsphere(f64(0.2), f64(-1.0), f64([0.03, -0.05, 0.02])), Plane()):
        lens = one_surface(shape)
        values = parameters(lens)
        traced = trace(lens.with_parameters(values), some_rays(640, radius_mm=0.6))
        node = traced.position_mm.grad_fn.next_functions[0][0]
        while not hasattr(node, "ways"):
            node = node.next_functions[0][0]
        kept.append(node.ways.nbytes)
        assert len(node.saved_tensors) == 5
    assert kept == [640 * 3 * 8] * 3


def test_an_empty_batch_has_gradients_of_zero():
    lens = load("cooke_triplet")
    values = parameters(lens)
    nothing = Rays(torch.zeros(0, 3, dtype=F64), torch.zeros(0, 3, dtype=F64), f64(0.5876))
    traced = trace(lens.with_parameters(values), nothing, path=True)
    (traced.position_mm.sum() + traced.path_mm.sum()).backward()
    assert all(value.grad is None or (value.grad == 0).all() for value in values.values())


def test_inputs_of_any_stride_are_taken():
    lens = load("cooke_triplet")
    wide = torch.zeros(40, 6, dtype=F64)
    wide[:, :2] = some_rays(40).position_mm[:, :2]
    wide[:, 2], wide[:, 5] = -1.0, 1.0
    wide.requires_grad_(True)
    traced = trace(lens, Rays(wide[:, :3], wide[:, 3:], f64(0.5876)))
    # The gradient of a sum is an expanded number, without strides of its own.
    traced.position_mm.sum().backward()
    straight = wide.detach()[:, :3].clone().requires_grad_(True)
    again = trace(lens, Rays(straight, wide.detach()[:, 3:].clone(), f64(0.5876)))
    again.position_mm.sum().backward()
    assert torch.equal(wide.grad[:, :3], straight.grad)


def test_tracing_leaves_its_inputs_alone():
    lens, rays = load("phone_us9651759"), some_rays(100)
    before = [value.clone() for value in (rays.position_mm, rays.direction, rays.wavelength_um)]
    traced = trace(lens, rays, path=True)
    traced.position_mm.zero_()
    for value, kept in zip((rays.position_mm, rays.direction, rays.wavelength_um), before, strict=True):
        assert torch.equal(value, kept)


def test_without_gradients_nothing_is_recorded():
    lens, rays = load("phone_us9651759"), some_rays(10)
    assert not trace(lens, rays).position_mm.requires_grad
    with torch.no_grad():
        assert not trace(lens.with_parameters(parameters(lens)), rays).position_mm.requires_grad


def test_a_shape_of_another_kind_is_not_packed():
    class Other:
        def packed(self):
            return None

    lens = one_surface(Conic(f64(0.3), f64(0.0)))
    other = replace(lens, surfaces=(replace(lens.surfaces[0], shape=Other()), *lens.surfaces[1:]))
    assert pack(other) is None
    packed = pack(lens)
    rays = some_rays()
    results = trace_packed(
        lens, packed, rays.position_mm, rays.direction, f64(0.5), path=False, clip=True, continued_to=CONTINUED_TO
    )
    assert results[0].shape == (7, 3)


def test_indices_stand_in_a_table_of_wavelengths_and_surfaces():
    lens = load("cooke_triplet")
    table = index_table(lens, f64([0.4861, 0.6563]))
    assert table.shape == (2, len(lens.surfaces) + 1)
    assert (table[:, 0] == 1).all()
    for i, surface in enumerate(lens.surfaces, start=1):
        assert torch.equal(table[:, i], surface.medium.index(f64([0.4861, 0.6563])))
