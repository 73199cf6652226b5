"""Per-pixel rendering: golden vectors, laws, the slow twin, gradients, bad input."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from psf import Channel, InputError, PolarPSFField
from render.spatial import pixelwise, pixelwise_reference, plan_pixelwise

F64 = torch.float64
SHAPE = (96, 120)
FORMS = ("gather", "scatter", "normalised")
LINEAR = {"interpolation": "linear", "turning": "bilinear"}


def smooth_field(kernel_px=9, shape=SHAPE, dtype=F64, oversample=1, sharp=0.8):
    """Lopsided spots that grow with defocus and stretch with the radius; transmission falls to the corner."""
    depths_m = torch.tensor([0.2, 0.3, 0.6, math.inf], dtype=F64)
    radii = torch.linspace(0, 1, 5, dtype=F64)
    size = kernel_px * oversample
    o = (torch.arange(size, dtype=F64) - (size - 1) / 2) / oversample
    y, x = o[:, None], o[None, :]
    kernels = torch.empty(4, 5, 2, size, size, dtype=F64)
    for d in range(4):
        for r, radius in enumerate(radii):
            for c in range(2):
                s = sharp + 0.25 * d + 0.1 * c
                bent = (1 + 0.4 * radius * torch.tanh(x / s)) * (1 + 0.3 * radius * torch.tanh((y - x) / s))
                spot = torch.exp(-((x - 0.5 * s * radius) ** 2 + (1 + 0.6 * radius) * y**2) / (2 * s * s)) * bent
                kernels[d, r, c] = spot / spot.sum()
    transmission = (1 - 0.5 * radii**2)[None, :, None].expand(4, 5, 2) * torch.tensor([1.0, 0.9], dtype=F64)
    field = PolarPSFField(
        kernels=kernels,
        transmission=transmission.clone(),
        lost=torch.zeros(4, 5, 2, dtype=F64),
        depths_m=depths_m,
        radii=radii,
        image_shape_px=shape,
        pitch_um=2.0,
        channels=(Channel("G", (0.55,)), Channel("B", (0.45,))),
        focus_m=0.3,
        oversample=oversample,
    )
    return field.to(dtype=dtype)


def random_scene(seed=0, shape=SHAPE, batch=1, dtype=F64):
    g = torch.Generator().manual_seed(seed)
    image = torch.rand((batch, 2, *shape), generator=g, dtype=F64)
    y = torch.linspace(0, 1, shape[0], dtype=F64)[:, None]
    dioptre = (0.2 + 6 * y).expand(batch, 1, *shape).clone()
    dioptre[..., shape[0] // 4 : shape[0] // 2, shape[1] // 2 :] = 4.0
    dioptre[..., : shape[0] // 8, :] = 0
    return image.to(dtype), (1 / dioptre).to(dtype)


@pytest.fixture(scope="module")
def golden(root):
    with np.load(root / "tests" / "data" / "render_window_golden.npz") as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file.files}


@pytest.fixture(scope="module")
def golden_field(golden):
    return PolarPSFField(
        kernels=golden["field_kernels"],
        transmission=golden["field_transmission"],
        lost=torch.zeros_like(golden["field_transmission"]),
        depths_m=golden["field_depths_m"],
        radii=golden["field_radii"],
        image_shape_px=tuple(golden["field_image_shape_px"].tolist()),
        pitch_um=2.0,
        channels=tuple(Channel(name, (0.5,)) for name in "RGB"),
        focus_m=1.0,
    )


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@pytest.mark.parametrize("form", FORMS)
def test_window_of_a_sensor_is_rendered_as_the_golden_vectors_say(golden, golden_field, form, padding):
    name = "scatter_normalised" if form == "normalised" else form
    image, depth_m = golden["window_image"][None], golden["window_depth_m"][None, None]
    options = {"window": tuple(golden["window_origin_xy_px"].tolist()), "form": form, "padding": padding}
    plain = pixelwise_reference(image, depth_m, golden_field, **options, **LINEAR)
    chosen = pixelwise(image, depth_m, golden_field, **options)
    for found in (plain, chosen):
        assert (found[0] - golden[f"window_{name}_{padding}"]).abs().max() < 1e-10


# Bilinear turning softens a kernel between the axes and not on them: a kink at every axis and all of them at the
# centre, which no interpolation over tiles follows. On a sensor of a hundred pixels that is everywhere. Cubic turning
# has next to none.
@pytest.mark.parametrize("padding", ["zeros", "reflect", "replicate"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("turning", "rms", "largest"), [("cubic", 1e-3, 0.015), ("bilinear", 2.5e-3, 0.04)])
def test_tiles_agree_with_the_plain_sums(form, padding, turning, rms, largest):
    field = smooth_field()
    image, depth_m = random_scene()
    options = {"form": form, "padding": padding, "turning": turning}
    truth = pixelwise_reference(image, depth_m, field, interpolation="linear", **options)
    found = pixelwise(image, depth_m, field, method="tiles", tile_px=16, **options)
    assert ((found - truth) ** 2).mean().sqrt() < rms
    assert (found - truth).abs().max() < largest


def test_smaller_tiles_come_closer_to_the_plain_sums():
    # Away from the centre, where no kernel changes much over a tile.
    field = smooth_field(shape=(600, 800))
    image, depth_m = random_scene(shape=(96, 96))
    options = {"window": (500, 20)}
    truth = pixelwise_reference(image, depth_m, field, **options, **LINEAR)
    coarse, fine = (
        (pixelwise(image, depth_m, field, method="tiles", tile_px=side, **options) - truth).std() for side in (64, 16)
    )
    assert fine < coarse / 4  # measured 6
    assert fine < 1e-4


@pytest.mark.parametrize("turning", ["bilinear", "cubic"])
@pytest.mark.parametrize("oversample", [1, 3])
def test_every_way_to_read_a_field_agrees_with_the_plain_sums(turning, oversample):
    field = smooth_field(oversample=oversample, shape=(400, 600))
    image, depth_m = random_scene(shape=(64, 64))
    options = {"window": (400, 30), "turning": turning}
    truth = pixelwise_reference(image, depth_m, field, interpolation="linear", **options)
    found = pixelwise(image, depth_m, field, method="tiles", tile_px=32, **options)
    assert (found - truth).std() < 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_a_constant_picture_keeps_the_transmission(form):
    field = smooth_field()
    _, depth_m = random_scene()
    # Scatter does not keep constants where depth jumps: there one depth.
    depth_m = depth_m if form != "scatter" else torch.full_like(depth_m, 0.4)
    image = torch.ones((1, 2, *SHAPE), dtype=F64)
    found = pixelwise(image, depth_m, field, form=form, method="tiles", tile_px=16)
    y, x = torch.meshgrid(*(torch.arange(n) for n in SHAPE), indexing="ij")
    expected = field.transmission_at_pixel(x, y, depth_m[0, 0]).permute(2, 0, 1)
    # In the scatter forms transmission is a local mean.
    assert (found[0] - expected).abs().max() < (1e-12 if form == "gather" else 0.05)


def test_scatter_keeps_the_energy_of_light_that_stays_on_the_frame():
    field = replace(smooth_field(), transmission=torch.ones(4, 5, 2, dtype=F64))
    image, depth_m = random_scene()
    for edge in (image[..., :8, :], image[..., -8:, :], image[..., :8], image[..., -8:]):
        edge.zero_()
    found = pixelwise(image, depth_m, field, form="scatter", padding="zeros", method="tiles", tile_px=16)
    assert (found.sum((-2, -1)) / image.sum((-2, -1)) - 1).abs().max() < 1e-12


@pytest.mark.parametrize("form", FORMS)
def test_rendering_is_linear_in_the_picture(form):
    field = smooth_field()
    (a, depth_m), (b, _) = random_scene(1), random_scene(2)
    one, two, both = (pixelwise(x, depth_m, field, form=form, method="tiles") for x in (a, b, 2 * a - 3 * b))
    assert (2 * one - 3 * two - both).abs().max() < 1e-12


@pytest.mark.parametrize("form", ["gather", "scatter"])
@pytest.mark.parametrize(("x", "y"), [(95, 20), (20, 20), (20, 75), (95, 75), (75, 10), (10, 35), (60, 30), (30, 47)])
def test_a_point_leaves_its_lopsided_kernel_turned_to_its_quadrant(form, x, y):
    field = replace(smooth_field(), transmission=torch.ones(4, 5, 2, dtype=F64))
    image = torch.zeros((1, 2, *SHAPE), dtype=F64)
    image[..., y, x] = 1
    depth_m = torch.full((1, 1, *SHAPE), 0.3, dtype=F64)
    found = pixelwise(image, depth_m, field, form=form, method="tiles", tile_px=16, turning="cubic")
    kernel = field.at_pixel(x, y, 0.3, interpolation="linear", turning="cubic")
    landed = found[0, :, y - 4 : y + 5, x - 4 : x + 5]
    # Gather gives every tap the kernel of its own pixel, a few pixels away.
    assert (landed - kernel).abs().sum() / 2 / 2 < (0.01 if form == "scatter" else 0.08)
    for other in (kernel.flip(-1), kernel.flip(-2), kernel.flip(-2, -1)):
        assert (landed - kernel).abs().sum() < 0.7 * (landed - other).abs().sum()


@pytest.mark.parametrize("form", FORMS)
def test_a_window_is_a_crop_of_the_whole(form):
    field = smooth_field()
    image, depth_m = random_scene()
    whole = pixelwise(image, depth_m, field, form=form, method="tiles", tile_px=16)
    y, x, h, w = 20, 30, 60, 70
    part = (..., slice(y, y + h), slice(x, x + w))
    crop = pixelwise(image[part], depth_m[part], field, window=(x, y), form=form, method="tiles", tile_px=16)
    inner = (..., slice(9, -9), slice(9, -9))
    assert (crop[inner] - whole[part][inner]).abs().max() < 1e-12


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_is_a_loop(form):
    field = smooth_field()
    image, depth_m = random_scene(batch=2)
    depth_m[1] = 0.25
    both = pixelwise(image, depth_m, field, form=form, method="tiles")
    for i in (0, 1):
        one = pixelwise(image[i : i + 1], depth_m[i : i + 1], field, form=form, method="tiles")
        assert (both[i] - one[0]).abs().max() < 1e-12
    assert pixelwise(image[:0], depth_m[:0], field, form=form).shape == (0, 2, *SHAPE)


@pytest.mark.parametrize("form", FORMS)
def test_little_memory_changes_nothing_and_leaves_no_seam(form):
    field = smooth_field()
    image, depth_m = random_scene()
    much = pixelwise(image, depth_m, field, form=form, method="tiles", tile_px=16)
    little = pixelwise(image, depth_m, field, form=form, method="tiles", tile_px=16, memory_mb=0.01)
    assert (much - little).abs().max() < 1e-12


@pytest.mark.parametrize("form", FORMS)
def test_a_plan_gives_what_the_field_gives(form):
    field = smooth_field()
    image, depth_m = random_scene()
    options = {"form": form, "padding": "replicate", "tile_px": 16}
    cold = pixelwise(image, depth_m, field, method="tiles", **options)
    for planned_for in (depth_m, None):
        plan = plan_pixelwise(field, SHAPE, depth_m=planned_for, **options)
        assert (pixelwise(image, depth_m, plan) - cold).abs().max() < 1e-12
        assert plan.memory_mb > 0


@pytest.mark.parametrize("form", FORMS)
def test_progress_is_told_row_by_row_and_ends_at_all(form):
    image, depth_m = random_scene()
    told = []
    options = {"form": form, "padding": "zeros", "tile_px": 16, "method": "tiles"}
    pixelwise(image, depth_m, smooth_field(), on_progress=lambda done, total: told.append((done, total)), **options)
    dones, totals = zip(*told, strict=True)
    assert len(set(totals)) == 1
    assert list(dones) == sorted(dones)
    assert dones[-1] == totals[0]
    assert len(told) > 5


def test_a_plan_for_other_depths_says_so():
    image, depth_m = random_scene()
    plan = plan_pixelwise(smooth_field(), SHAPE, depth_m=torch.full_like(depth_m, 0.2))
    with pytest.raises(InputError, match="plan was not made for"):
        pixelwise(image, depth_m, plan)
    with pytest.raises(InputError, match="as planned"):
        pixelwise(image[..., :50], depth_m[..., :50], plan)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_those_of_the_plain_sums(form):
    # A field between a sharp and a soft one: changes of single taps are not smooth over a tile, real ones are.
    image, depth_m = random_scene()
    g = torch.Generator().manual_seed(5)
    weight = torch.rand(image.shape, generator=g, dtype=F64)
    sharp, soft = smooth_field(), smooth_field(sharp=1.2)
    found = []
    for render, options in (
        (pixelwise_reference, LINEAR),
        (pixelwise, {"method": "tiles", "tile_px": 16}),
    ):
        picture, light = image.clone().requires_grad_(), sharp.transmission.clone().requires_grad_()
        # One for all radii: of a single one it would be a tent over the image height, as narrow as a tile here.
        softness = torch.full((4, 1, 2, 1, 1), 0.3, dtype=F64).requires_grad_()
        kernels = (1 - softness) * sharp.kernels + softness * soft.kernels
        field = replace(sharp, kernels=kernels, transmission=light)
        out = render(picture, depth_m, field, form=form, **options)
        found.append(torch.autograd.grad((weight * out**2).sum(), (picture, light, softness)))
    for plain, tiles in zip(*found, strict=True):
        assert (plain - tiles).norm() < 0.02 * plain.norm()


def test_gradients_pass_gradcheck():
    shape = (6, 7)
    image, depth_m = random_scene(shape=shape)
    field = smooth_field(kernel_px=3, shape=shape)

    def render(picture, kernels, light):
        kernels = kernels / kernels.sum((-2, -1), keepdim=True)
        changed = replace(field, kernels=kernels, transmission=light)
        return pixelwise(picture, depth_m, changed, method="tiles", tile_px=4)

    inputs = (image, field.kernels, field.transmission)
    assert torch.autograd.gradcheck(render, tuple(one.clone().requires_grad_() for one in inputs), fast_mode=True)


def test_gradient_reaches_the_depth_map():
    image, depth_m = random_scene()
    depth_m = torch.full_like(depth_m, 0.25).requires_grad_()
    found = pixelwise(image, depth_m, smooth_field(), method="tiles")
    found[..., 30:50, 30:50].sum().backward()
    assert depth_m.grad.isfinite().all()
    assert depth_m.grad.abs().max() > 0


def test_single_precision_follows_its_inputs():
    field = smooth_field(dtype=torch.float32)
    image, depth_m = random_scene(dtype=torch.float32)
    found = pixelwise(image, depth_m, field, method="tiles")
    assert found.dtype == torch.float32
    truth = pixelwise(image.double(), depth_m.double(), field.to(dtype=F64), method="tiles")
    assert (found - truth).abs().max() < 1e-4  # a pixel at a border of two planes may change sides


BAD = [
    ({"depth_m": lambda z: z * math.nan}, "depth_m: found nan"),
    ({"depth_m": lambda z: z * 0}, "depths above 0 m"),
    ({"depth_m": lambda z: -z}, "depths above 0 m"),
    ({"depth_m": lambda z: z[..., :-1]}, "one depth per pixel"),
    ({"depth_m": lambda z: z.float()}, "torch.float32 on cpu"),
    ({"depth_m": lambda z: z.expand(1, 2, -1, -1)}, r"shape \(B, 1, H, W\)"),
    ({"image": lambda i: i[:, :1]}, r"shape \(B, 2, H, W\)"),
    ({"image": lambda i: i[0]}, r"shape \(B, 2, H, W\)"),
    ({"image": lambda i: i / 0}, "finite light"),
    ({"image": lambda i: i.to("meta")}, "float64 on meta"),
    ({"image": lambda i: i.numpy()}, "a tensor"),
    ({"field": lambda f: smooth_field(kernel_px=193)}, "to reflect"),
    ({"field": lambda f: smooth_field(shape=(300, 400))}, "the whole sensor"),
    ({"field": lambda f: replace(f, magnification=1.1)}, "magnification"),
    ({"field": lambda f: f.kernels}, "a PolarPSFField"),
    ({"window": (1, 0)}, "a place on the sensor"),
    ({"window": (0.5, 0)}, "two integers"),
    ({"form": "gathered"}, "'gather' or 'scatter'"),
    ({"padding": "wrap"}, "'reflect' or"),
    ({"turning": "spline"}, "'bilinear' or 'cubic'"),
    ({"method": "fft"}, "'auto' or"),
    ({"tile_px": 0}, "tile_px: found 0"),
    ({"memory_mb": math.inf}, "memory_mb: found inf"),
]


@pytest.mark.parametrize(("change", "words"), BAD, ids=[words for _, words in BAD])
def test_bad_input_is_named_in_one_line(change, words):
    image, depth_m = random_scene()
    arguments = {"image": image, "depth_m": depth_m, "field": smooth_field()}
    for name, value in change.items():
        arguments[name] = value(arguments[name]) if callable(value) else value
    with pytest.raises(InputError, match=words) as caught:
        pixelwise(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_infinite_depth_and_a_single_plane_leave_no_nan(form):
    field = smooth_field()
    one = replace(
        field,
        kernels=field.kernels[3:, :1],
        transmission=field.transmission[3:, :1],
        lost=field.lost[3:, :1],
        depths_m=field.depths_m[3:],
        radii=field.radii[:1],
    )
    image, depth_m = random_scene()
    depth_m = torch.full_like(depth_m, math.inf)
    truth = pixelwise_reference(image, depth_m, one, form=form, **LINEAR)
    found = pixelwise(image, depth_m, one, form=form, method="tiles", tile_px=16)
    assert found.isfinite().all()
    assert (found - truth).std() < 2e-3
