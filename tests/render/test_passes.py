"""Compiled tiles and torch operations: two ways to the same picture and the same gradients."""

import math
from dataclasses import replace

import pytest
import torch

from render.passes import _pad
from render.reference import pad_picture
from render.spatial import pixelwise, plan_pixelwise

F64 = torch.float64
FORMS = ("gather", "scatter", "normalised")


def scene(batch=2):
    g = torch.Generator().manual_seed(3)
    image = torch.rand((batch, 2, 40, 50), generator=g, dtype=F64)
    depth_m = 1 / (6 * torch.rand((batch, 1, 40, 50), generator=g, dtype=F64))
    depth_m[..., :20, :] = math.inf
    return image, depth_m


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("padding", ["reflect", "replicate", "zeros"])
def test_both_ways_give_the_same_picture(small_field, form, padding):
    image, depth_m = scene()
    options = {"form": form, "padding": padding, "tile_px": 10}
    found, twin = (pixelwise(image, depth_m, small_field(), method=one, **options) for one in ("tiles", "torch"))
    assert (found - twin).abs().max() < 1e-12
    plan = plan_pixelwise(small_field(), (40, 50), depth_m=depth_m, **options)
    for method in ("tiles", "torch"):
        assert (pixelwise(image, depth_m, plan, method=method) - twin).abs().max() < 1e-12


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("turning", ["bilinear", "cubic"])
def test_both_ways_give_the_same_gradients(small_field, form, turning):
    image, depth_m = scene(1)
    depth_m = depth_m.clamp(0.21, 3)
    weight = torch.rand(image.shape, generator=torch.Generator().manual_seed(6), dtype=F64)
    found = []
    for method in ("tiles", "torch"):
        field = small_field()
        inputs = [one.clone().requires_grad_() for one in (image, depth_m, field.kernels, field.transmission)]
        own = replace(field, kernels=inputs[2], transmission=inputs[3])
        out = pixelwise(inputs[0], inputs[1], own, form=form, turning=turning, method=method, tile_px=10)
        found.append(torch.autograd.grad((weight * out**2).sum(), inputs))
    for compiled, plain in zip(*found, strict=True):
        assert (compiled - plain).norm() < 1e-9 * plain.norm()


@pytest.mark.parametrize("form", FORMS)
def test_a_plan_passes_gradients_to_the_picture(small_field, form):
    image, depth_m = scene(1)
    plan = plan_pixelwise(small_field(), (40, 50), depth_m=depth_m, form=form, tile_px=10)
    found = []
    for camera, options in ((plan, {}), (small_field(), {"form": form, "tile_px": 10, "method": "tiles"})):
        picture = image.clone().requires_grad_()
        found.append(torch.autograd.grad((pixelwise(picture, depth_m, camera, **options) ** 2).sum(), picture)[0])
    assert (found[0] - found[1]).norm() < 1e-12 * found[1].norm()


@pytest.mark.parametrize("padding", ["reflect", "replicate", "zeros"])
@pytest.mark.parametrize("margin_px", [0, 1, 4])
def test_numpy_pads_as_torch_does(padding, margin_px):
    picture = torch.rand((2, 3, 6, 8), generator=torch.Generator().manual_seed(0))
    assert torch.equal(
        torch.from_numpy(_pad(picture.numpy(), margin_px, padding)), pad_picture(picture, margin_px, padding)
    )
