import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import psf
from render.occlusion import layered
from render.pupils import Discs
from render.sightlines import find_sightlines

DISCS = Discs(diameter_px_per_dpt=16.0, focus_m=1.0)


def textured(height=48, width=56, seed=0, dtype=torch.float32):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def card(height=48, width=56, near_m=0.6, far_m=2.0):
    """A near card over the left half of a far wall."""
    depth_m = torch.full((1, 1, height, width), far_m)
    depth_m[..., : width // 2] = near_m
    return depth_m


def small_field(focus_m=1.0, shape_px=(48, 56), **options):
    depths_m = 1 / torch.linspace(2, 0.3, 12, dtype=torch.float64)
    return psf.thin_lens_field(50, 1.4, focus_m, 111.6, shape_px, depths_m, breathing=False, **options)


def psnr(a, b):
    return float(-10 * torch.log10((a - b).square().mean()))


@pytest.mark.parametrize("field", [DISCS, small_field()], ids=["discs", "field"])
def test_one_depth_is_plain_blur(field):
    image, depth_m = textured(), torch.full((1, 1, 48, 56), 0.6)
    assert layered(image, depth_m, field).equal(layered(image, depth_m, field, mode="gather"))
    # A field's gather turns its squares to every pixel's azimuth, the layers only to those of their nodes.
    assert psnr(layered(image, depth_m, field, mode="layers"), layered(image, depth_m, field)) > 45


def test_gather_from_a_field_is_the_convolution_with_its_kernel():
    field, image = small_field(), textured()
    kernel = field.at_pixel(3.0, 5.0, 0.6)
    half = kernel.shape[-1] // 2
    padded = torch.nn.functional.pad(image, (half,) * 4, mode="reflect")
    plain = torch.nn.functional.conv2d(padded, kernel.flip(-1, -2)[:, None], groups=3)
    found = layered(image, torch.full((1, 1, 48, 56), 0.6), field, mode="gather")
    # Discs turned to each pixel's azimuth differ by what turning squares costs.
    assert (found - plain).abs().max() < 0.05
    assert psnr(found, plain) > 45


@pytest.mark.parametrize("mode", ["march", "layers", "gather"])
@pytest.mark.parametrize("field", [DISCS, small_field()], ids=["discs", "field"])
@pytest.mark.parametrize("padding", ["reflect", "replicate", "circular"])
def test_a_constant_picture_stays_constant(mode, field, padding):
    image = torch.full((1, 3, 48, 56), 0.4)
    assert (layered(image, card(), field, mode=mode, padding=padding) - 0.4).abs().max() < 1e-5


def test_transmission_dims_what_passes_the_rim():
    field = small_field()
    dim = psf.PolarPSFField(
        **{
            **{name: getattr(field, name) for name in field.__dataclass_fields__},
            "transmission": 0.5 * field.transmission,
        }
    )
    for mode in ("march", "layers", "gather"):
        assert (layered(torch.ones(1, 3, 48, 56), card(), dim, mode=mode) - 0.5).abs().max() < 1e-5


def test_a_sharp_card_stays_sharp_before_a_blurred_wall():
    image = textured()
    discs = Discs(diameter_px_per_dpt=16.0, focus_m=0.6)
    out = layered(image, card(), discs)
    # Two pixels inside the card's edge nothing of the wall arrives.
    assert (out - image)[..., :26].abs().max() < 1e-5
    assert (layered(image, card(), discs, mode="gather") - out)[..., 28:34].abs().max() > 0.02


def test_a_blurred_card_lets_the_sharp_wall_through_beyond_its_edge():
    image = torch.zeros(1, 3, 48, 56)
    image[..., :28] = 1.0  # a white card before a black wall in focus
    out = layered(image, card(), Discs(diameter_px_per_dpt=16.0, focus_m=2.0))[0, 0, 24]
    radius_px = 8 * (1 / 0.6 - 1 / 2.0)
    assert out[27 - math.ceil(radius_px) - 1] > 0.999
    assert out[28 + math.ceil(radius_px) + 1] < 0.001
    assert (out[1:] <= out[:-1] + 1e-4).all()  # from white to black without a ring
    # Half of the lens is hidden at the edge itself, between columns 27 and 28.
    assert abs(float(out[27] + out[28]) / 2 - 0.5) < 0.02
    # The disc's share beyond a line, the closed form of a straight edge.
    offset = np.clip((np.arange(56) - 27.5) / radius_px, -1, 1)
    share = (np.arccos(offset) - offset * np.sqrt(1 - offset**2)) / math.pi
    assert np.abs(out.numpy() - share).max() < 0.03


def test_a_gradient_in_depth_without_jumps_is_gathered():
    depth_m = 1 / torch.linspace(0.5, 1.5, 48)[:, None].expand(1, 1, 48, 56)
    image = textured()
    assert layered(image, depth_m, DISCS).equal(layered(image, depth_m, DISCS, mode="gather"))


def test_infinity_is_a_depth():
    out = layered(textured(), card(far_m=math.inf), DISCS)
    assert out.isfinite().all()


def test_the_same_input_gives_the_same_bytes_whatever_the_threads():
    image, depth_m = textured(96, 96), card(96, 96)
    one = layered(image, depth_m, DISCS)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        other = layered(image, depth_m, DISCS)
    finally:
        torch.set_num_threads(threads)
    assert one.equal(other)


def test_a_batch_is_its_pictures_one_by_one():
    images, depths_m = torch.cat((textured(), textured(seed=1))), torch.cat((card(), card(near_m=0.9)))
    for mode in ("march", "layers"):
        both = layered(images, depths_m, DISCS, mode=mode)
        each = [layered(images[i : i + 1], depths_m[i : i + 1], DISCS, mode=mode) for i in range(2)]
        assert torch.allclose(both, torch.cat(each), atol=1e-6)


def test_twice_the_light_is_twice_the_picture():
    image = textured(dtype=torch.float64)
    depth_m = card().double()
    one, two = layered(image, depth_m, DISCS, mode="layers"), layered(2 * image, depth_m, DISCS, mode="layers")
    assert torch.allclose(2 * one, two, atol=1e-12)


def test_march_follows_the_dtype():
    out = layered(textured(dtype=torch.float64), card().double(), DISCS)
    assert out.dtype == torch.float64
    assert psnr(out.float(), layered(textured(dtype=torch.float64).float(), card(), DISCS)) > 50


def test_a_window_is_a_part_of_the_whole():
    field = small_field(shape_px=(96, 112))
    image, depth_m = textured(96, 112), card(96, 112)
    whole = layered(image, depth_m, field, mode="gather")
    part = layered(image[..., 20:68, 30:86], depth_m[..., 20:68, 30:86], field, window=(30, 20), mode="gather")
    inner = (slice(None), slice(None), slice(12, -12), slice(12, -12))
    # Tiles of kernels begin elsewhere in a part: alike as far as `pixelwise` is true.
    assert psnr(part[inner], whole[..., 20:68, 30:86][inner]) > 50


def test_a_field_of_discs_marches_like_discs():
    image = torch.nn.functional.avg_pool2d(textured(52, 60), 5, 1)
    found = layered(image, card(), small_field(focus_m=2.0))
    ideal = layered(image, card(), Discs(diameter_px_per_dpt=16.0, focus_m=2.0))
    assert psnr(found, ideal) > 40


def test_march_passes_a_gradient_to_the_picture_that_is_exact_given_the_decisions(monkeypatch):
    image, depth_m = textured(dtype=torch.float64), card().double()
    decided = []

    def decide_once(*arguments):
        decided.append(decided[0] if decided else find_sightlines(*arguments))
        return decided[0]

    monkeypatch.setattr("render.sightlines.find_sightlines", decide_once)

    def march(picture):
        return layered(picture, depth_m, DISCS, padding="replicate", rays=16)

    march(image)
    way, slopes = textured(seed=1, dtype=torch.float64), textured(seed=2, dtype=torch.float64)
    image.requires_grad_()
    (found,) = torch.autograd.grad(march(image), image, slopes)
    # Linear in the picture: its derivative along any way is what it makes of that way.
    assert torch.allclose((found * way).sum(), (slopes * march(way)).sum(), rtol=1e-10)


@pytest.mark.parametrize("field", [DISCS, small_field()], ids=["discs", "field"])
@pytest.mark.parametrize("mode", ["march", "layers", "gather"])
def test_every_mode_passes_a_gradient_to_the_picture(mode, field):
    image = textured().requires_grad_()
    layered(image, card(), field, mode=mode).sum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()
    # A picture's mean stays what it is: the slopes of its sum are about 1 on average.
    assert abs(float(image.grad.mean()) - 1) < 0.05


def test_the_gradient_has_the_same_bytes_whatever_the_threads():
    depth_m, grads = card(96, 96), []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            image = textured(96, 96).requires_grad_()
            layered(image, depth_m, DISCS).square().sum().backward()
            grads.append(image.grad)
    finally:
        torch.set_num_threads(threads)
    assert grads[0].equal(grads[1])


def test_a_frame_that_goes_round_gathers_from_the_other_side():
    field, image = small_field(), textured()
    depth_m = torch.full((1, 1, 48, 56), 0.6)
    found = layered(image, depth_m, field, mode="gather", padding="circular")
    # Far from the frame padding does not matter; at the frame the kernel there reads the rolled picture.
    inner = (..., slice(12, -12), slice(12, -12))
    assert psnr(found[inner], layered(image, depth_m, field, mode="gather")[inner]) > 50
    kernel, half = field.at_pixel(0.0, 0.0, 0.6), field.kernel_px // 2
    rolled = image.roll((half, half), (2, 3))[0, :, : 2 * half + 1, : 2 * half + 1]
    assert torch.allclose(found[0, :, 0, 0], (kernel.flip(-1, -2) * rolled).sum((-2, -1)), atol=0.01)


def depths(kind, height=24, width=28, seed=0):
    """Maps that no scene was thought of with."""
    g = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    if kind == "noise":
        dioptres = 2 * torch.rand((height, width), generator=g)
    elif kind == "three layers":
        dioptres = torch.tensor([0.2, 0.9, 1.8])[torch.randint(0, 3, (height // 4, width // 4), generator=g)]
        dioptres = dioptres.repeat_interleave(4, 0).repeat_interleave(4, 1)
    elif kind == "slope to the border":
        dioptres = 2 * x / width * (y / height)
    elif kind == "chequered":
        dioptres = 0.3 + 1.5 * ((x + y) % 2)
    elif kind == "one pixel":
        dioptres = 0.2 + 1.6 * ((x == width // 2) & (y == 0))
    else:
        dioptres = torch.zeros((height, width)) if kind == "infinity" else 1.0 * (x > 3)
    return 1 / dioptres[None, None].float()


KINDS = ("noise", "three layers", "slope to the border", "chequered", "one pixel", "infinity", "half infinity")


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    padding=st.sampled_from(["reflect", "replicate", "circular", "zeros"]),
    focus_m=st.sampled_from([0.5, 1.0, 4.0, math.inf]),
    gain=st.floats(0.1, 8.0),
    rays=st.integers(1, 9),
    seed=st.integers(0, 3),
    is_field=st.booleans(),
)
def test_no_depth_map_makes_what_is_not_between_the_pictures_extremes(
    kind, padding, focus_m, gain, rays, seed, is_field
):
    image, depth_m = textured(24, 28, seed), depths(kind, seed=seed)
    if is_field:
        dioptres = torch.linspace(2, 0, 5, dtype=torch.float64)
        number = 0.05 * 50 / (gain * 0.1116)
        field = psf.thin_lens_field(50, number, focus_m, 111.6, (24, 28), 1 / dioptres, breathing=False)
    else:
        field = Discs(diameter_px_per_dpt=gain, focus_m=focus_m)
    image.requires_grad_()
    out = layered(image, depth_m, field, padding=padding, rays=rays)
    out.sum().backward()
    assert image.grad.isfinite().all()
    # Few rays are corrected by what is gathered, and an edge's colour is extrapolated: both may go beyond a little.
    assert out.isfinite().all()
    assert out.min() > -1.0
    assert out.max() < 2.0


def wanting_gradient():
    field = small_field()
    return replace(field, kernels=field.kernels.clone().requires_grad_())


def test_depth_may_be_finer_than_the_picture():
    depth_m = card()
    for field in (DISCS, small_field()):
        assert layered(textured(), depth_m.double(), field).equal(layered(textured(), depth_m, field))


GOOD = {"image": torch.ones(1, 3, 48, 56), "depth_m": torch.ones(1, 1, 48, 56), "field": DISCS}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": torch.ones(3, 48, 56)}, "image: found shape (3, 48, 56)"),
        ({"image": torch.ones(1, 3, 48, 56).int()}, "image: found torch.int32"),
        ({"image": torch.full((1, 3, 48, 56), math.inf)}, "finite"),
        ({"image": torch.empty(1, 3, 48, 56, device="meta")}, "image: found device meta"),
        ({"depth_m": torch.ones(1, 1, 48, 56).requires_grad_()}, "depth_m: found a tensor that wants a gradient"),
        ({"field": wanting_gradient()}, "field: found kernels that want a gradient"),
        ({"depth_m": torch.ones(1, 48, 56)}, "depth_m: found shape (1, 48, 56)"),
        ({"depth_m": torch.zeros(1, 1, 48, 56)}, "depth_m: found 0.0"),
        ({"depth_m": torch.full((1, 1, 48, 56), math.nan)}, "depth_m: found nan"),
        ({"depth_m": torch.full((1, 1, 48, 56), 0.05)}, "reaches"),
        ({"mode": "magic"}, "mode: found 'magic'"),
        ({"padding": "mirror"}, "padding: found 'mirror'"),
        ({"rays": 0}, "rays: found 0"),
        ({"planes": 2.5}, "planes: found 2.5"),
        ({"field": "f2.2"}, "field: found str"),
        ({"field": small_field().to(dtype=torch.float64)}, "field: found torch.float64"),
        ({"field": small_field(channels=(psf.Channel("G"),))}, "1 channels"),
        ({"field": small_field(shape_px=(480, 560))}, "window: found None"),
        ({"field": small_field(), "window": (1, 0)}, "window: found (1, 0)"),
        ({"field": small_field(), "window": (0.5, 0)}, "two integers"),
    ],
)
def test_input_that_cannot_be_rendered_is_named(change, words):
    with pytest.raises(psf.InputError, match=re.escape(words)):
        layered(**{**GOOD, **change})


@pytest.mark.slow
def test_march_is_nearer_the_path_traced_truth_than_gather(root):
    with np.load(root / "tests/data/occlusion_excerpt.npz") as file:
        image, truth = (torch.from_numpy(file[k].astype(np.float32)).permute(2, 0, 1)[None] for k in ("aif", "truth"))
        depth_m = torch.from_numpy(file["depth_m"])[None, None]
        discs = Discs(diameter_px_per_dpt=float(file["diameter_px_per_dpt"]), focus_m=float(file["focus_m"]))
    inner = (..., slice(14, -14), slice(14, -14))
    march, gather = (layered(image, depth_m, discs, mode=mode) for mode in ("march", "gather"))
    assert psnr(march[inner], truth[inner]) > psnr(gather[inner], truth[inner]) + 5
