import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import psf
from psf.convolve import PADDINGS, convolve_image
from psf.errors import InputError
from render.blending import depth_blend, find_blend

F64 = torch.float64
DEPTHS_M = torch.tensor([0.2, 0.5, 2.0, math.inf], dtype=F64)


def random(*shape: int, seed: int = 0, dtype: torch.dtype = F64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def unit_sum(kernels):
    return kernels / kernels.sum((-2, -1), keepdim=True)


def random_depth(*shape: int, seed: int = 5):
    """Nearer than all planes, between, on them, farther, infinite."""
    depth = 0.1 / random(*shape, seed=seed)
    choice = random(*shape, seed=seed + 1)
    return torch.where(choice < 0.1, math.inf, torch.where(choice < 0.3, 0.5, depth))


def blend_slowly(image, depth_m, kernels, depths_m, padding):
    """The sum over all planes, with weights as the definition reads; kernels (P, C, K, K), one sample."""
    dioptres = (1 / depths_m).tolist()
    weights = torch.zeros(len(dioptres), *depth_m.shape[-2:], dtype=image.dtype)
    for y, x in np.ndindex(*depth_m.shape[-2:]):
        place = min(max(float(1 / depth_m[0, y, x]), dioptres[-1]), dioptres[0])
        for i in range(len(dioptres) - 1):
            if dioptres[i] >= place >= dioptres[i + 1]:
                after = (dioptres[i] - place) / (dioptres[i] - dioptres[i + 1])
                weights[:, y, x] = 0
                weights[i, y, x], weights[i + 1, y, x] = 1 - after, after
    blurred = torch.stack([convolve_image(image, one, padding=padding, method="direct") for one in kernels])
    return (weights[:, None] * blurred).sum(0)


@pytest.fixture(scope="module")
def golden(root):
    with np.load(root / "tests" / "data" / "rendering_blend.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.mark.parametrize("method", ["direct", "tiles"])
@pytest.mark.parametrize("kernels", ["", "_per_sample"])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-13), (torch.float32, 2e-6)])
def test_golden_vectors(golden, method, kernels, padding, dtype, tolerance):
    names = ("blend_image", "blend_depth_m", "blend_kernels" + kernels, "blend_depths_m")
    found = depth_blend(*(golden[name].to(dtype) for name in names), padding=padding, method=method)
    assert found.dtype == dtype
    assert (found - golden[f"blend_out_{padding}{kernels}"]).abs().max() < tolerance


@pytest.mark.parametrize("wants_gradient", [False, True], ids=["compiled", "torch"])
def test_golden_weights(golden, wants_gradient):
    depth_m = golden["blend_depth_m"].clone().requires_grad_(wants_gradient)
    blend = find_blend(depth_m, golden["blend_depths_m"])
    planes = torch.arange(4)[:, None, None]
    weights = (1 - (blend.lower + blend.share.detach() - planes).abs()).clamp(min=0)
    assert (weights - golden["blend_weights"]).abs().max() < 1e-13


@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(1, 4),
    st.integers(0, 5),
    st.sampled_from(["replicate", "zeros", "circular"]),
    st.integers(0, 2**20),
)
def test_any_size_is_what_the_definition_says(height, width, planes, half, padding, seed):
    image, depth_m = random(1, 2, height, width, seed=seed), random_depth(1, 1, height, width, seed=seed)
    kernels, depths_m = random(planes, 2, 2 * half + 1, 2 * half + 1, seed=seed + 9), DEPTHS_M[-planes:]
    found = depth_blend(image, depth_m, kernels, depths_m, padding=padding, method="tiles")
    if planes == 1:
        want = convolve_image(image, kernels[0], padding=padding, method="direct")[0]
    else:
        want = blend_slowly(image[0], depth_m[0], kernels, depths_m, padding)
    assert (found[0] - want).abs().max() < 1e-11


@pytest.mark.parametrize("kernel_px", [9, 25])
def test_large_pictures_have_no_seams_and_sharp_depth_edges(kernel_px):
    image, kernels = random(1, 3, 160, 190), unit_sum(random(4, 3, kernel_px, kernel_px, seed=1))
    depth_m = torch.full((1, 1, 160, 190), 3.0, dtype=F64)
    depth_m[..., 40:120, 61:] = 0.3
    want = blend_slowly(image[0], depth_m[0], kernels, DEPTHS_M, "reflect")
    assert (depth_blend(image, depth_m, kernels, DEPTHS_M)[0] - want).abs().max() < 1e-13
    single = depth_blend(image.float(), depth_m.float(), kernels.float(), DEPTHS_M.float())
    assert (single[0] - want).abs().max() < 1e-6  # float32 through transforms of 128 px


@pytest.mark.parametrize("method", ["direct", "tiles"])
def test_light_goes_where_a_lopsided_kernel_says(method):
    kernels = torch.zeros(4, 1, 5, 5, dtype=F64)
    kernels[:, 0, 0, 3] = 1  # two rows up, one column to the right
    image = torch.zeros(1, 1, 9, 9, dtype=F64)
    image[0, 0, 4, 4] = 1
    found = depth_blend(image, random_depth(1, 1, 9, 9), kernels, DEPTHS_M, method=method)
    assert abs(found[0, 0, 2, 5] - 1) < 1e-13
    assert abs(found.abs().sum() - 1) < 1e-12


@pytest.mark.parametrize("padding", ["reflect", "replicate", "circular"])
def test_a_constant_picture_is_multiplied_by_the_transmission(padding):
    kernels = 0.7 * unit_sum(random(4, 3, 7, 7))
    image, depth_m = torch.full((1, 3, 40, 30), 2.0, dtype=F64), random_depth(1, 1, 40, 30)
    found = depth_blend(image, depth_m, kernels, DEPTHS_M, padding=padding)
    assert (found - 1.4).abs().max() < 1e-13


def test_one_depth_keeps_all_light_of_a_periodic_picture():
    image, kernels = random(1, 2, 20, 24), unit_sum(random(4, 2, 7, 7, seed=1))
    depth_m = torch.full((1, 1, 20, 24), 0.9, dtype=F64)
    found = depth_blend(image, depth_m, kernels, DEPTHS_M, padding="circular", method="tiles")
    assert (found.sum((-2, -1)) - image.sum((-2, -1))).abs().max() < 1e-11
    rolled = [one.roll((3, -5), (-2, -1)) for one in (image, depth_m)]
    again = depth_blend(rolled[0], rolled[1], kernels, DEPTHS_M, padding="circular", method="tiles")
    assert (again - found.roll((3, -5), (-2, -1))).abs().max() < 1e-13


def test_blur_is_linear_in_the_picture():
    one, two, depth_m = random(1, 2, 30, 20), random(1, 2, 30, 20, seed=1), random_depth(1, 1, 30, 20)
    kernels = random(4, 2, 9, 9, seed=3)
    both = depth_blend(2 * one - 3 * two, depth_m, kernels, DEPTHS_M)
    parts = [depth_blend(picture, depth_m, kernels, DEPTHS_M) for picture in (one, two)]
    assert (both - (2 * parts[0] - 3 * parts[1])).abs().max() < 1e-11


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("sites", [None, "RGGB"])
def test_a_batch_is_its_samples_one_by_one(per_sample, sites):
    image, depth_m, kernels = random(3, 3, 21, 34), random_depth(3, 1, 21, 34), random(3, 4, 3, 7, 7, seed=2)
    found = depth_blend(image, depth_m, kernels if per_sample else kernels[0], DEPTHS_M, sites=sites)
    for b in range(3):
        own = kernels[b] if per_sample else kernels[0]
        single = depth_blend(image[b : b + 1], depth_m[b : b + 1], own, DEPTHS_M, sites=sites)
        assert (found[b : b + 1] - single).abs().max() < 1e-11


@pytest.mark.parametrize("sites", ["RGGB", "BGGR", "GRBG", "GBRG"])
@pytest.mark.parametrize("method", ["direct", "tiles"])
@pytest.mark.parametrize(("shape", "kernel_px"), [((24, 30), 9), ((25, 31), 7)])
def test_a_mosaic_holds_the_samples_of_the_whole_picture(sites, method, shape, kernel_px):
    image, depth_m, kernels = random(2, 3, *shape), random_depth(2, 1, *shape), random(4, 3, kernel_px, kernel_px)
    whole = depth_blend(image, depth_m, kernels, DEPTHS_M, method=method)
    mosaic = depth_blend(image, depth_m, kernels, DEPTHS_M, method=method, sites=sites)
    assert mosaic.shape == (2, 1, *shape)
    for site, letter in enumerate(sites):
        row, col = divmod(site, 2)
        want = whole[:, "RGB".index(letter), row::2, col::2]
        assert (mosaic[:, 0, row::2, col::2] - want).abs().max() < 1e-11


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("sites", [None, "GBRG"])
@pytest.mark.parametrize("method", ["direct", "tiles"])
def test_gradients_by_picture_kernels_and_depth_are_true(per_sample, sites, method):
    image, depth_m = random(2, 3, 7, 6).requires_grad_(), (0.3 + 3 * random(2, 1, 7, 6, seed=1)).requires_grad_()
    kernels = random(*((2,) if per_sample else ()), 4, 3, 5, 5, seed=2).requires_grad_()

    def blur(image, depth_m, kernels):
        return depth_blend(image, depth_m, kernels, DEPTHS_M, sites=sites, method=method)

    assert torch.autograd.gradcheck(blur, (image, depth_m, kernels), fast_mode=True)


def test_infinite_depth_and_depths_beyond_the_planes_have_no_slope_and_no_nan():
    depth_m = torch.tensor([[math.inf, 0.01], [0.1, 1.0]], dtype=F64)[None, None].requires_grad_()
    found = depth_blend(random(1, 1, 2, 2), depth_m, random(4, 1, 3, 3), DEPTHS_M, method="tiles")
    (slope,) = torch.autograd.grad(found.sum(), depth_m)
    assert slope.isfinite().all()
    assert slope[0, 0, 0].abs().max() == slope[0, 0, 1, 0] == 0
    assert slope[0, 0, 1, 1] != 0


def test_infinity_takes_exactly_the_last_plane():
    image, kernels = random(1, 1, 12, 12), random(4, 1, 5, 5)
    found = depth_blend(image, torch.full((1, 1, 12, 12), math.inf, dtype=F64), kernels, DEPTHS_M, method="direct")
    assert found.equal(convolve_image(image, kernels[-1], method="direct"))


def test_it_takes_what_a_field_returns():
    field = psf.thin_lens_field(focal_mm=50, f_number=4, focus_m=2.0, pitch_um=8, image_shape_px=(300, 400))
    kernels, depths_m = field.at_radius(0.7, azimuth_rad=0.3)
    image = random(1, len(field.channels), 70, 60, dtype=torch.float32)
    depth_m = random_depth(1, 1, 70, 60).float()
    found = depth_blend(image, depth_m, kernels, depths_m, padding="replicate")
    assert found.shape == image.shape
    assert found.isfinite().all()
    dark = depth_blend(torch.ones_like(image), depth_m, kernels, depths_m, padding="replicate")
    assert (dark - 1).abs().max() < 1e-5


def test_an_empty_batch_stays_empty():
    nothing = depth_blend(random(0, 3, 8, 8), random(0, 1, 8, 8), random(4, 3, 5, 5), DEPTHS_M)
    assert nothing.shape == (0, 3, 8, 8)


def spoiled(value):
    depth_m = torch.ones(2, 1, 8, 9, dtype=F64)
    depth_m[1, 0, 3, 4] = value
    return depth_m


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"depth_m": spoiled(math.nan)}, "depth_m: found 1 values of 144 that are not positive, 1 of them NaN"),
        ({"depth_m": spoiled(0.0)}, "(least 0 m), 0 of them NaN"),
        ({"depth_m": spoiled(-2.5)}, "(least -2.5 m)"),
        ({"depth_m": spoiled(-math.inf)}, "(least -inf m)"),
        ({"depth_m": torch.ones(2, 8, 9, dtype=F64)}, "(2, 1, 8, 9)"),
        ({"depth_m": torch.ones(1, 1, 8, 9, dtype=F64)}, "(2, 1, 8, 9)"),
        ({"depth_m": torch.ones(2, 1, 8, 9)}, "depth_m: found torch.float32"),
        ({"depths_m": DEPTHS_M.float()}, "depths_m: found torch.float32"),
        ({"depths_m": DEPTHS_M[:3]}, "one depth per plane, 4"),
        ({"depths_m": DEPTHS_M.flip(0)}, "ascending"),
        ({"depths_m": torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=F64)}, "positive depths"),
        ({"depths_m": torch.tensor([1.0, 2.0, math.inf, math.inf], dtype=F64)}, "only the last may be inf"),
        ({"depths_m": torch.tensor([1.0, math.nan, 2.0, 3.0], dtype=F64)}, "depths_m"),
        ({"kernels": random(4, 3, 4, 4)}, "4 x 4 px"),
        ({"kernels": random(4, 1, 5, 5)}, "1 channels"),
        ({"kernels": random(4, 3, 17, 17)}, "at most 15 px"),
        ({"kernels": random(4, 3, 5, 5).float()}, "kernels: found torch.float32"),
        ({"kernels": random(3, 5, 5)}, "kernels: found shape"),
        ({"kernels": random(3, 4, 3, 5, 5)}, "with B = 2"),
        ({"kernels": torch.empty(4, 3, 5, 5, dtype=F64, device="meta")}, "device meta"),
        ({"image": random(3, 8, 9)}, "(B, C, H, W)"),
        ({"image": random(2, 3, 8, 9) * torch.nan}, "432 values that are NaN"),
        ({"padding": "mirror"}, "padding: found 'mirror'"),
        ({"method": "fft"}, "method: found 'fft'"),
        ({"sites": "RGB"}, "sites: found 'RGB'"),
        ({"sites": "RGGW"}, "sites: found 'RGGW'"),
        ({"sites": "RGGB", "image": random(2, 2, 8, 9), "kernels": random(4, 2, 5, 5)}, "3 (R, G, B)"),
    ],
)
def test_bad_input_is_named_in_one_line(change, words):
    good = {"image": random(2, 3, 8, 9), "depth_m": spoiled(2.0), "kernels": random(4, 3, 5, 5), "depths_m": DEPTHS_M}
    with pytest.raises(InputError) as caught:
        depth_blend(**{**good, **change})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
