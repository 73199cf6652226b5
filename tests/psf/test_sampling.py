import pytest
import torch
from scipy import ndimage

from psf.sampling import SPLINE_MARGIN, TURNINGS, prefilter_spline, prepare, sample, sample_reference

F64 = torch.float64


def random_case(seed: int, size: int = 7, dtype: torch.dtype = F64):
    g = torch.Generator().manual_seed(seed)
    kernels = torch.rand(4, size, size, generator=g, dtype=F64).to(dtype)
    index = torch.randint(0, 4, (6, 3), generator=g)
    weight = torch.rand(6, 3, generator=g, dtype=F64).to(dtype)
    affine = torch.randn(6, 3, 6, generator=g, dtype=F64).to(dtype)
    return kernels, index, weight, affine


def reference(kernels, index, weight, affine, kernel_px, oversample, turning):
    middle = (kernels.shape[-1] - 1) / 2
    shifted = affine + affine.new_tensor([0, 0, middle, 0, 0, middle])
    return sample_reference(kernels, index, weight, shifted, kernel_px, oversample, turning)


@pytest.mark.parametrize("turning", TURNINGS)
@pytest.mark.parametrize(("seed", "kernel_px", "oversample"), [(0, 5, 1), (1, 3, 2), (2, 3, 3), (3, 9, 1)])
def test_compiled_loops_and_torch_operations_agree_and_so_do_their_gradients(turning, seed, kernel_px, oversample):
    kernels, index, weight, affine = (one.requires_grad_(one.is_floating_point()) for one in random_case(seed))
    found = [way(kernels, index, weight, affine, kernel_px, oversample, turning) for way in (sample, reference)]
    assert (found[0] - found[1]).abs().max() < 1e-12
    cotangent = torch.rand(found[0].shape, generator=torch.Generator().manual_seed(9), dtype=F64)
    gradients = [torch.autograd.grad((one * cotangent).sum(), (kernels, weight, affine)) for one in found]
    for compiled, plain in zip(*gradients, strict=True):
        assert (compiled - plain).abs().max() < 1e-11


@pytest.mark.parametrize(("turning", "order"), [("bilinear", 1), ("spline", 3)])
def test_reading_is_that_of_scipy(turning, order):
    kernels, index, _, affine = random_case(5)
    found = sample(prepare(kernels, turning), index[:, :1], torch.ones(6, 1, dtype=F64), affine[:, :1], 7, 1, turning)
    offset = torch.arange(7, dtype=F64) - 3
    for p in range(6):
        a = affine[p, 0]
        pad = 20
        row = 3 + a[0] * offset[:, None] + a[1] * offset + a[2] + pad
        col = 3 + a[3] * offset[:, None] + a[4] * offset + a[5] + pad
        kernel = torch.nn.functional.pad(kernels[index[p, 0]], (pad,) * 4).numpy()
        want = ndimage.map_coordinates(kernel, [row.numpy(), col.numpy()], order=order, mode="constant")
        assert abs(found[p].numpy() - want).max() < 1e-8  # spline: coefficients are cut where 1e-9 of them is left


def test_the_spline_passes_through_the_samples():
    kernels = random_case(6)[0]
    coefficients = torch.nn.functional.pad(prefilter_spline(kernels), (1,) * 4)
    taps = torch.tensor([1, 4, 1], dtype=F64) / 6
    again = torch.nn.functional.conv2d(coefficients[:, None], (taps[:, None] * taps)[None, None])[:, 0]
    inner = again[:, SPLINE_MARGIN:-SPLINE_MARGIN, SPLINE_MARGIN:-SPLINE_MARGIN]
    assert (inner - kernels).abs().max() < 1e-13


@pytest.mark.parametrize("turning", TURNINGS)
@pytest.mark.parametrize("oversample", [1, 2])
def test_gradients_of_reading(turning, oversample):
    kernels, index, weight, affine = random_case(7, size=5)
    inputs = (kernels.requires_grad_(), weight.requires_grad_(), affine.requires_grad_())
    assert torch.autograd.gradcheck(
        lambda k, w, a: sample(prepare(k, turning), index, w, a, 3, oversample, turning), inputs, fast_mode=True
    )


def test_dark_parts_of_a_kernel_have_gradients_too():
    kernels = torch.zeros(1, 9, 9, dtype=F64)
    kernels[0, 4, 4] = 1.0
    kernels.requires_grad_()
    affine = torch.tensor([[[1.0, 0, 0, 0, 1, 0]]], dtype=F64)
    sample(
        kernels, torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1, dtype=F64), affine, 9, 1, "cubic"
    ).sum().backward()
    assert (kernels.grad - 1).abs().max() < 1e-14


def test_single_precision_is_near_double():
    arguments = random_case(8)
    double = sample(*arguments, 5, 1, "cubic")
    single = sample(*(one.float() if one.is_floating_point() else one for one in arguments), 5, 1, "cubic")
    assert single.dtype == torch.float32
    assert (single - double).abs().max() < 2e-5
