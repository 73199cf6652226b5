import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psf.convolve import PADDINGS, Blend, Sites, convolve_image, pad_image, sum_convolutions
from psf.errors import InputError

F64 = torch.float64
NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def random(*shape: int, seed: int = 0, dtype: torch.dtype = F64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def convolve_slowly(image, kernel, padding):
    """One channel, pixel by pixel, as the definition reads."""
    half = len(kernel) // 2
    padded = np.pad(image, half, mode=NUMPY_MODES[padding])
    out = np.zeros(image.shape)
    for y, x in np.ndindex(*image.shape):
        for dy in range(-half, half + 1):
            for dx in range(-half, half + 1):
                out[y, x] += kernel[dy + half, dx + half] * padded[y - dy + half, x - dx + half]
    return out


@pytest.mark.parametrize("method", ["direct", "tiles"])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("shape", "kernel_px"), [((9, 14), 5), ((11, 7), 7), ((5, 6), 1), ((4, 9), 3)])
def test_each_channel_is_convolved_by_its_own_kernel_as_the_definition_reads(method, padding, shape, kernel_px):
    image, kernels = random(2, 3, *shape), random(3, kernel_px, kernel_px, seed=1)
    found = convolve_image(image, kernels, padding=padding, method=method)
    for b, c in np.ndindex(2, 3):
        want = convolve_slowly(image[b, c].numpy(), kernels[c].numpy(), padding)
        assert abs(found[b, c].numpy() - want).max() < 1e-13  # rounding of sums of up to 49


@pytest.mark.parametrize("method", ["direct", "tiles"])
def test_light_goes_where_a_lopsided_kernel_says(method):
    kernel = torch.zeros(1, 5, 5, dtype=F64)
    kernel[0, 0, 3] = 1  # two rows up, one column to the right
    image = torch.zeros(1, 1, 9, 9, dtype=F64)
    image[0, 0, 4, 4] = 1
    found = convolve_image(image, kernel, padding="zeros", method=method)
    assert abs(found[0, 0, 2, 5] - 1) < 1e-14
    assert abs(found.sum() - 1) < 1e-13


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 6), st.sampled_from(PADDINGS), st.integers(0, 2**31 - 1))
def test_both_methods_agree_on_pictures_of_any_size(height, width, half, padding, seed):
    if padding == "reflect" and half >= min(height, width):
        half = min(height, width) - 1
    image, kernels = random(1, 2, height, width, seed=seed), random(2, 2 * half + 1, 2 * half + 1, seed=seed + 1)
    direct, tiles = (convolve_image(image, kernels, padding=padding, method=m) for m in ("direct", "tiles"))
    assert (direct - tiles).abs().max() < 1e-12


@pytest.mark.parametrize("kernel_px", [25, 65])
def test_tiles_of_a_large_picture_have_no_seams(kernel_px):
    image, kernels = random(1, 2, 301, 210), random(2, kernel_px, kernel_px, seed=1)
    kernels = kernels / kernels.sum((-2, -1), keepdim=True)
    direct, tiles = (convolve_image(image, kernels, method=m) for m in ("direct", "tiles"))
    assert (direct - tiles).abs().max() < 1e-13
    single = convolve_image(image.float(), kernels.float())
    assert single.dtype == torch.float32
    assert (single - direct).abs().max() < 1e-6


@pytest.mark.parametrize("method", ["direct", "tiles"])
def test_leading_shapes_broadcast(method):
    image, kernels = random(2, 1, 3, 8, 9), random(4, 3, 5, 5, seed=1)
    found = convolve_image(image, kernels, method=method)
    assert found.shape == (2, 4, 3, 8, 9)
    for b, p in np.ndindex(2, 4):
        assert (found[b, p] - convolve_image(image[b, 0], kernels[p], method=method)).abs().max() < 1e-13


@pytest.mark.parametrize("padding", ["circular", "replicate", "zeros"])
def test_kernels_may_be_larger_than_the_picture_where_nothing_is_reflected(padding):
    image, kernels = random(1, 1, 4, 3), random(1, 21, 21, seed=1)
    found = convolve_image(image, kernels, padding=padding)
    want = convolve_slowly(image[0, 0].numpy(), kernels[0].numpy(), padding)
    assert abs(found[0, 0].numpy() - want).max() < 1e-12


@pytest.mark.parametrize("padding", PADDINGS)
def test_padding_is_that_of_numpy_and_its_gradient_the_transpose(padding):
    image = random(1, 2, 5, 7).requires_grad_()
    padded = pad_image(image, 4, padding)
    want = np.pad(image.detach().numpy(), [(0, 0), (0, 0), (4, 4), (4, 4)], mode=NUMPY_MODES[padding])
    assert (padded.detach().numpy() == want).all()
    assert torch.autograd.gradcheck(lambda one: pad_image(one, 4, padding), (image,))


@pytest.mark.parametrize("method", ["direct", "tiles"])
@pytest.mark.parametrize("padding", PADDINGS)
def test_gradients_by_image_and_kernels_are_true(method, padding):
    image, kernels = random(2, 2, 6, 7).requires_grad_(), random(2, 2, 5, 5, seed=1).requires_grad_()
    # A zero tap has a gradient too.
    kernels = (kernels.detach() * (torch.arange(5) < 3)).requires_grad_()

    def convolve(image, kernels):
        return convolve_image(image, kernels, padding=padding, method=method)

    assert torch.autograd.gradcheck(convolve, (image, kernels), fast_mode=True)


def test_zeros_around_a_kernel_change_nothing():
    image, small = random(1, 1, 40, 50), random(1, 3, 7, seed=1)[..., 2:5]
    large = torch.nn.functional.pad(small, (7,) * 4)
    found = convolve_image(image, large, method="tiles")
    assert (found - convolve_image(image, small, method="tiles")).abs().max() < 1e-13


def test_an_all_dark_kernel_gives_a_dark_picture():
    assert convolve_image(random(1, 1, 8, 8), torch.zeros(1, 5, 5, dtype=F64)).abs().max() == 0


def test_an_empty_batch_stays_empty():
    assert convolve_image(random(0, 3, 8, 8), random(3, 5, 5)).shape == (0, 3, 8, 8)


@given(st.integers(2, 23), st.integers(2, 23), st.sampled_from([1, 3, 5, 7, 9]), st.booleans())
def test_sites_are_those_of_the_whole_picture(height, width, kernel_px, per_sample):
    image, kernels = random(2, 3, height, width), random(2, 2, 3, kernel_px, kernel_px, seed=1)
    kernels = kernels if per_sample else kernels[0]
    blend = Blend(torch.zeros(2, 1, height, width, dtype=F64), random(2, 1, height, width, seed=2))
    options = {"padding": "replicate", "method": "tiles"}
    whole = sum_convolutions(image, kernels, blend, **options)
    mosaic = sum_convolutions(image, kernels, blend, sites=Sites((0, 1, 1, 2)), **options)
    assert mosaic.shape == (2, 1, height, width)
    for site, channel in enumerate((0, 1, 1, 2)):
        row, col = divmod(site, 2)
        assert (mosaic[:, 0, row::2, col::2] - whole[:, channel, row::2, col::2]).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kernels": random(3, 4, 4)}, "4 x 4 px"),
        ({"kernels": random(3, 3, 5)}, "3 x 5 px"),
        ({"kernels": random(2, 5, 5)}, "2 channels"),
        ({"kernels": random(3, 17, 17)}, "at most 15 px"),
        ({"kernels": random(3, 5, 5).float()}, "torch.float32"),
        ({"kernels": random(3, 5, 5) * torch.nan}, "75 values that are NaN"),
        ({"kernels": random(5, 5)}, "kernels: found shape"),
        ({"kernels": random(7, 3, 5, 5)}, "leading shapes"),
        ({"kernels": torch.empty(3, 5, 5, dtype=F64, device="meta")}, "device meta"),
        ({"image": random(2, 3, 8, 9).masked_fill(random(2, 3, 8, 9) > 0.9, torch.inf)}, "NaN or infinite"),
        ({"image": torch.ones(2, 3, 8, 9, dtype=torch.int32)}, "torch.int32"),
        ({"image": random(8, 9)}, "image: found shape"),
        ({"padding": "mirror"}, "'mirror'"),
        ({"method": "fft"}, "'fft'"),
    ],
)
def test_bad_input_is_named_in_one_line(change, words):
    with pytest.raises(InputError) as caught:
        convolve_image(**{"image": random(2, 3, 8, 9), "kernels": random(3, 5, 5), **change})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_light_whose_sum_overflows_is_no_error():
    image = torch.full((1, 1, 8, 8), 1e38)
    assert convolve_image(image, torch.ones(1, 1, 1)).isfinite().all()
