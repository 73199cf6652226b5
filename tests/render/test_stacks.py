"""Focal stacks: the fields in their order, breathing in both forms, and every renderer behind one door."""

import importlib.util
import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

import psf
from psf import InputError
from render.stacks import find_middle, focal_stack

SHAPE_PX = (64, 80)
MARGIN_PX = 10  # light from outside the frame is anybody's guess


def camera(focus_m, **options):
    """50 mm f/4 behind 64 x 80 large pixels: 2.2 px per dioptre, 2.7 px of breathing at the corner for 1 m."""
    given = {"focal_mm": 50, "f_number": 4, "focus_m": focus_m, "pitch_um": 280, "image_shape_px": SHAPE_PX}
    return psf.thin_lens_field(**(given | options))


def smooth_scene(height=SHAPE_PX[0], width=SHAPE_PX[1]):
    """Waves of 20 px in three colours over ground that falls away from 1.7 m to infinity.

    Nothing is in focus at 1 m: a disc of no size is a whole pixel however it is shifted, and jumps.
    """
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    waves = [0.5 + 0.4 * torch.sin(0.3 * x + a) * torch.cos(0.25 * y - a) for a in (0.0, 1.0, 2.0)]
    return torch.stack(waves)[None], (1 / (0.6 * y / (height - 1)))[None, None]


def gather_plainly(image, depth_m, field, window, padding):
    """Equation (3) of the renderer's definition, every kernel read from the field. Stands in for any renderer."""
    height, width = image.shape[-2:]
    assert field.magnification == 1, "the stack has applied it"
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    half = field.kernel_px // 2
    padded = (
        functional.pad(image, (half,) * 4, mode=padding) if padding != "zeros" else functional.pad(image, (half,) * 4)
    )
    around = padded.unfold(2, 2 * half + 1, 1).unfold(3, 2 * half + 1, 1)
    pictures = []
    for one, depth in zip(around, depth_m, strict=True):
        kernels = field.at_pixel((x + window[0]).flatten(), (y + window[1]).flatten(), depth.flatten())
        kernels = kernels.flip(-2, -1).unflatten(0, (height, width)).movedim(2, 0)
        transmission = field.transmission_at_pixel(x + window[0], y + window[1], depth[0]).movedim(-1, 0)
        pictures.append((kernels * one).sum((-2, -1)) * transmission)
    return torch.stack(pictures)


def inner(pictures):
    return pictures[..., MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]


def test_photographs_come_in_the_order_of_the_fields():
    image, depth_m = smooth_scene()
    seen = []

    def tell(image, depth_m, field, window, padding):
        seen.append((field.focus_m, window, padding))
        return image * field.focus_m

    told = []
    fields = [camera(2.0), camera(1.0), camera(4.0)]
    stack = focal_stack(
        image, depth_m, fields, tell, padding="zeros", on_progress=lambda done, total: told.append((done, total))
    )
    assert stack.shape == (3, *image.shape)
    assert torch.equal(stack, torch.stack([2 * image, image, 4 * image]))
    assert seen == [(2.0, (0, 0), "zeros"), (1.0, (0, 0), "zeros"), (4.0, (0, 0), "zeros")]
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_sharpest_photograph_of_a_pixel_is_the_one_focused_there():
    image, _ = smooth_scene()
    image = image + 0.2 * (torch.arange(SHAPE_PX[1]) % 2)  # something fine to lose
    for focused, focus_m in enumerate((1.0, 2.0, math.inf)):
        depth_m = torch.full((1, 1, *SHAPE_PX), focus_m)
        options = {"f_number": 1.4, "breathing": False, "depths_m": torch.tensor([1.0, 2.0, math.inf])}
        fields = [camera(s, **options) for s in (1.0, 2.0, math.inf)]
        stack = focal_stack(image, depth_m, fields, gather_plainly)
        errors = (inner(stack) - inner(image)).square().mean((1, 2, 3, 4))
        assert int(errors.argmin()) == focused
        # Coarse kernels of one pixel blur a little when they are turned.
        assert errors[focused] < 0.2 * errors[[i for i in range(3) if i != focused]].min()


@pytest.mark.parametrize("window", [(0, 0), (13, 5)])
def test_breathing_as_shift_and_as_magnification_give_the_same_picture(window):
    height, width = (SHAPE_PX[0], SHAPE_PX[1]) if window == (0, 0) else (50, 60)
    image, depth_m = smooth_scene(height, width)
    depths_m = 1 / torch.linspace(1, 0, 21, dtype=torch.float64)
    options = {"reference_focus_m": math.inf, "depths_m": depths_m}
    for focus_m in (0.8, 1.0):
        forms = [camera(focus_m, breathing_as=form, **options) for form in ("shift", "magnification")]
        assert forms[0].magnification == 1
        assert forms[1].magnification > 1.02
        shifted, scaled = focal_stack(image, depth_m, forms, gather_plainly, window=window)
        still = focal_stack(image, depth_m, [replace(forms[1], magnification=1.0)], gather_plainly, window=window)[0]
        breathing = (inner(still) - inner(scaled)).abs().max()
        difference = (inner(shifted) - inner(scaled)).abs().max()
        assert breathing > 0.05  # there is something to agree on
        # A gather takes the shift that belongs to the pixel that receives: too large by the shift times (m - 1),
        # 0.14 px at the edge of the frame for 0.8 m, on a slope of 0.12 per px.
        assert difference < 0.02, (focus_m, float(breathing), float(difference))


def test_breathing_of_a_point_lands_where_the_lens_says():
    growth = psf.discs.image_distance_m(50, 1.0) / 0.050
    image = torch.zeros(1, 3, *SHAPE_PX)
    image[..., 12, 70] = 1
    depth_m = torch.full((1, 1, *SHAPE_PX), 2.0)
    y, x = torch.meshgrid(torch.arange(SHAPE_PX[0]).float(), torch.arange(SHAPE_PX[1]).float(), indexing="ij")
    for form in ("shift", "magnification"):
        field = camera(1.0, reference_focus_m=math.inf, breathing_as=form)
        photo = focal_stack(image, depth_m, [field], gather_plainly)[0, 0, 1]
        found = [float((photo * place).sum() / photo.sum()) for place in (x, y)]
        centre = ((SHAPE_PX[1] - 1) / 2, (SHAPE_PX[0] - 1) / 2)
        expected = [centre[0] + growth * (70 - centre[0]), centre[1] + growth * (12 - centre[1])]
        # Shifted kernels of the pixels that receive: off by the shift times (m - 1), 0.1 px out here.
        assert found == pytest.approx(expected, abs=0.15 if form == "shift" else 0.03), form


def test_a_batch_is_a_loop():
    image, depth_m = smooth_scene(20, 24)
    images, depths = torch.cat([image, image.flip(-1)]), torch.cat([depth_m, depth_m.flip(-2)])
    depths[1] = depths[1].clamp_max(5)
    fields = [camera(1.0, reference_focus_m=math.inf, image_shape_px=(20, 24)), camera(2.0, image_shape_px=(20, 24))]
    both = focal_stack(images, depths, fields, gather_plainly)
    for b in range(2):
        alone = focal_stack(images[b : b + 1], depths[b : b + 1], fields, gather_plainly)
        assert torch.allclose(both[:, b : b + 1], alone, atol=1e-6)


def test_gradient_passes_through_the_scale():
    image, depth_m = smooth_scene(16, 18)
    image.requires_grad_()
    field = camera(1.0, reference_focus_m=math.inf, image_shape_px=(16, 18))
    focal_stack(image, depth_m, [field], gather_plainly).sum().backward()
    assert image.grad.isfinite().all()
    assert image.grad.abs().sum() > 0


def test_the_middle_of_a_window_is_told_in_the_fields_coordinates():
    assert find_middle((64, 80), (64, 80), (0, 0))[0] == 0
    radius, azimuth_rad = find_middle((64, 80), (10, 10), (70, 0))  # upper right
    assert (radius, azimuth_rad) == pytest.approx(
        (math.hypot(35, 27) / (0.5 * math.hypot(64, 80)), math.atan2(27, 35)), abs=1e-12
    )


FIELD = camera(1.0)
IMAGE, DEPTH_M = smooth_scene()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fields": []}, ["fields", "none"]),
        ({"method": "fast"}, ["method", "'fast'", "'layered'"]),
        ({"image": IMAGE[0]}, ["image", "(3, 64, 80)"]),
        ({"image": IMAGE.to(torch.uint8)}, ["image", "uint8"]),
        ({"image": IMAGE * math.nan}, ["image", "not finite"]),
        ({"image": IMAGE.double()}, ["fields[0]", "float64"]),
        ({"image": IMAGE[:, :2]}, ["fields[0]", "3 channels", "image's 2"]),
        ({"depth_m": DEPTH_M[..., :-1]}, ["depth_m", "(1, 1, 64, 79)"]),
        ({"depth_m": DEPTH_M * 0}, ["depth_m", "above 0 m"]),
        ({"depth_m": DEPTH_M * math.nan}, ["depth_m", "nan"]),
        ({"depth_m": -DEPTH_M}, ["depth_m", "-inf"]),
        ({"fields": [FIELD, camera(1.0, image_shape_px=(64, 81))]}, ["fields[1].image_shape_px", "(64, 81)"]),
        ({"fields": [FIELD, camera(1.0, pitch_um=281)]}, ["fields[1].pitch_um", "281"]),
        ({"window": (1, 0)}, ["window", "(1, 0)"]),
        ({"padding": "mirror"}, ["padding", "'mirror'"]),
        ({"method": lambda image, *rest: image[..., 1:]}, ["method", "(1, 3, 64, 79)"]),
    ],
)
def test_what_does_not_fit_together_is_named(change, words):
    given = {"image": IMAGE, "depth_m": DEPTH_M, "fields": [FIELD], "method": gather_plainly} | change
    with pytest.raises(InputError) as caught:
        focal_stack(given.pop("image"), given.pop("depth_m"), given.pop("fields"), given.pop("method"), **given)
    assert all(word in str(caught.value) for word in words), str(caught.value)


# ---- with the renderers


def has(module):
    there = importlib.util.find_spec(f"render.{module}") is not None
    return pytest.mark.skipif(not there, reason=f"render.{module} is not there")


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("pixelwise", marks=has("spatial")),
        pytest.param("layered", marks=has("occlusion")),
        pytest.param("blend", marks=has("blending")),
    ],
)
def test_every_renderer_takes_a_stack_and_breathes(method):
    image, depth_m = smooth_scene()
    fields = [camera(s, reference_focus_m=math.inf) for s in (1.0, math.inf)]
    stack = focal_stack(image, depth_m, fields, method)
    truth = focal_stack(image, depth_m, fields, gather_plainly)
    # A smooth scene hides nothing and a thin lens is the same all over, so that all methods must agree.
    assert inner(stack).shape == inner(truth).shape
    assert (inner(stack) - inner(truth)).abs().max() < 0.02


@has("spatial")
def test_pixelwise_forms_of_breathing_agree():
    image, depth_m = smooth_scene()
    depths_m = 1 / torch.linspace(1, 0, 21, dtype=torch.float64)
    forms = [
        camera(1.0, reference_focus_m=math.inf, depths_m=depths_m, breathing_as=form)
        for form in ("shift", "magnification")
    ]
    shifted, scaled = focal_stack(image, depth_m, forms)
    assert (inner(shifted) - inner(scaled)).abs().max() < 0.025  # the plain gather's bound, and the tiles' own error


@has("blending")
def test_blend_takes_kernels_and_transmission_of_the_middle_of_the_window():
    field = camera(1.0)
    fall_off = 1 - 0.5 * field.radii[None, :, None].expand_as(field.transmission)
    field = replace(field, transmission=fall_off.clone())
    image, depth_m = torch.ones(1, 3, 10, 10), torch.full((1, 1, 10, 10), 1.5)
    photo = focal_stack(image, depth_m, [field], "blend", window=(70, 0))[0]
    radius, _ = find_middle(SHAPE_PX, (10, 10), (70, 0))
    assert photo.min() == pytest.approx(1 - 0.5 * radius, abs=1e-4)
    assert photo.max() == pytest.approx(1 - 0.5 * radius, abs=1e-4)
