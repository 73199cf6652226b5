import math

import numpy as np
import pytest
import torch

from learn.metrics import count_scales, find_ms_ssim, find_psnr_db, find_ssim
from psf import InputError

F64 = torch.float64


def pair(height=40, width=52, seed=0):
    own = torch.Generator().manual_seed(seed)
    target = torch.rand(2, 3, height, width, generator=own, dtype=F64)
    found = 0.8 * target + 0.2 * torch.rand(target.shape, generator=own, dtype=F64)
    return found, target


def test_numbers_are_the_tabled_ones(shared):
    with np.load(shared / "golden" / "deblur_a.npz") as file:
        one, two = (torch.from_numpy(file[f"metric__{n}"]).permute(2, 0, 1)[None].double() / 255 for n in "ab")
        psnr_db, ssim = float(file["metric__psnr"]), float(file["metric__ssim"])
    assert abs(find_psnr_db(one, two) - psnr_db) < 1e-10
    assert abs(find_ssim(one, two) - ssim) < 1e-10
    assert abs(find_ssim(one.float(), two.float()) - ssim) < 1e-5


def test_ssim_and_psnr_are_those_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    found, target = pair()
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    for number in range(2):
        arrays = [one[number].permute(1, 2, 0).numpy() for one in (target, found)]
        wanted = metrics.structural_similarity(*arrays, channel_axis=2, **options)
        assert abs(find_ssim(found, target)[number] - wanted) < 1e-12
        assert abs(find_psnr_db(found, target)[number] - metrics.peak_signal_noise_ratio(*arrays, data_range=1)) < 1e-10


def test_an_error_of_a_tenth_is_20_db():
    target = torch.full((1, 3, 12, 12), 0.5, dtype=F64)
    assert abs(find_psnr_db(target + 0.1, target) - 20) < 1e-12
    assert find_psnr_db(target, target) == math.inf


def test_values_beyond_black_and_white_are_cut_unless_they_count():
    target = torch.ones(1, 3, 12, 12, dtype=F64)
    assert find_psnr_db(target + 0.1, target) == math.inf
    assert abs(find_psnr_db(target + 0.1, target, clip=False) - 20) < 1e-12


@pytest.mark.parametrize("measure", [find_ssim, lambda a, b: find_ms_ssim(a, b, scales=2)])
def test_equal_pictures_are_alike_and_the_measure_is_symmetric(measure):
    found, target = pair()
    assert (measure(target, target) - 1).abs().max() < 1e-12
    assert (measure(found, target) - measure(target, found)).abs().max() < 1e-12
    assert measure(found, target).max() < 0.99


def test_one_scale_is_plain_ssim():
    found, target = pair()
    by_channel = torch.stack([find_ssim(found[:, c : c + 1], target[:, c : c + 1]) for c in range(3)], 1)
    assert (find_ms_ssim(found, target, scales=1) - by_channel.mean(1)).abs().max() < 1e-12


def test_ms_ssim_falls_with_blur_and_noise():
    _, target = pair(92, 93)
    target = torch.nn.functional.avg_pool2d(target, 5, 1)
    own = torch.Generator().manual_seed(1)
    noise = torch.randn(target.shape, generator=own, dtype=F64)
    noisy = [find_ms_ssim(target + s * noise, target, scales=4).mean() for s in (0, 0.02, 0.05, 0.2)]
    blurred = [
        find_ms_ssim(
            torch.nn.functional.avg_pool2d(target, k, 1, k // 2, count_include_pad=False), target, scales=4
        ).mean()
        for k in (1, 3, 5, 9)
    ]
    assert noisy == sorted(noisy, reverse=True)
    assert blurred == sorted(blurred, reverse=True)


def test_ms_ssim_has_true_gradients():
    found, target = (one[:1, :1] for one in pair(22, 23))
    assert torch.autograd.gradcheck(lambda x: find_ms_ssim(x, target, scales=2), found.requires_grad_(), fast_mode=True)


@pytest.mark.parametrize("of", ["the same", "the opposite", "constant"])
def test_ms_ssim_has_finite_gradients_everywhere(of):
    _, target = pair(22, 23)
    found = {"the same": target, "the opposite": 1 - target, "constant": torch.zeros_like(target)}[of]
    found = found.clone().requires_grad_()
    find_ms_ssim(found, target, scales=2).sum().backward()
    assert found.grad.isfinite().all()


@pytest.mark.parametrize(("side", "scales"), [(10, 0), (11, 1), (21, 1), (22, 2), (96, 4), (176, 5), (4000, 5)])
def test_a_picture_is_compared_at_as_many_scales_as_fit(side, scales):
    assert count_scales(side, 4000) == scales
    if scales > 0 and side < 200:
        one = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0))
        assert abs(find_ms_ssim(one, one, scales=scales) - 1) < 1e-6


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda a, b: find_psnr_db(a[0], b[0]), "found: found shape (3, 40, 52)"),
        (lambda a, b: find_psnr_db(a, b[..., 1:]), "target: found shape (2, 3, 40, 51)"),
        (lambda a, b: find_psnr_db(a, b.float()), "target: found torch.float32"),
        (lambda a, b: find_psnr_db((255 * a).byte(), b), "found: found torch.uint8"),
        (lambda a, b: find_ssim(a[..., :10], b[..., :10]), "at least 11 px"),
        (lambda a, b: find_ms_ssim(a, b), "at least 176 px to a side for 5 scales"),
        (lambda a, b: find_ms_ssim(a, b, scales=6), "scales: found 6"),
    ],
)
def test_bad_input_is_named_in_one_line(call, words):
    with pytest.raises(InputError) as caught:
        call(*pair())
    assert words in str(caught.value)
