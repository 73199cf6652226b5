import numpy as np
import pytest
import torch

from psf.errors import InputError
from psf.estimators.networks.losses import (
    blur_patches,
    find_pair_loss,
    find_radial_rise,
    find_reconstruction_loss,
    find_roughness,
    find_square_means,
)
from psf.metrics import find_centroid_px, find_rms_radius_px, measure_l1
from psf.turning import polar_place, turn

# The golden vectors' own.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-6}
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])


@pytest.fixture(scope="module")
def golden(root):
    with np.load(root / "tests" / "data" / "psfnet_golden.npz") as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file}


def near(found, expected, dtype=torch.float64):
    return torch.allclose(found.double(), expected.double(), rtol=0, atol=TOLERANCE[dtype])


@DTYPES
@pytest.mark.parametrize("turning", ["bilinear", "cubic"])
def test_turning_is_the_golden_one(golden, turning, dtype):
    found = turn(golden["turn_kernel"].to(dtype), golden["turn_angle_rad"].to(dtype), turning)
    assert near(found, golden[f"turn_{turning}"], dtype)


def test_places_are_the_golden_ones(golden):
    shape = tuple(golden["polar_image_shape_px"].tolist())
    radius, cosine, sine = polar_place(golden["polar_x_px"], golden["polar_y_px"], shape)
    assert near(radius, golden["polar_radius"])
    off = torch.atan2(sine, cosine) - golden["polar_azimuth_rad"]
    assert near(torch.sin(off), torch.zeros_like(off))


def samples(golden, dtype):
    return tuple(golden[f"loss_{name}"].to(dtype) for name in ("sharp", "blurred", "kernels", "azimuth_rad"))


@DTYPES
@pytest.mark.parametrize("turning", ["bilinear", "cubic"])
def test_reconstruction_is_the_golden_one(golden, turning, dtype):
    sharp, blurred, kernels, azimuth = samples(golden, dtype)
    turned = turn(kernels, azimuth, turning)
    found = find_reconstruction_loss(sharp[:, None], blurred[:, None], turned[:, None])
    assert near(found, golden[f"loss_rec_{turning}"], dtype)


@DTYPES
def test_roughness_and_radial_rise_are_the_golden_ones(golden, dtype):
    kernels = golden["loss_kernels"].to(dtype)
    assert near(find_roughness(kernels[:, None]), golden["loss_smooth"], dtype)
    assert near(find_square_means(kernels)[0], golden["loss_centre_means"], dtype)
    assert near(find_radial_rise(kernels[:, None]), golden["loss_rad"], dtype)
    assert near(find_radial_rise(kernels[:, None], "centroid"), golden["loss_rad_centroid"], dtype)


@DTYPES
def test_total_is_the_golden_one(golden, dtype):
    sharp, blurred, kernels, azimuth = samples(golden, dtype)
    turned = turn(kernels, azimuth, "bilinear")
    found = find_pair_loss(sharp[:, None], blurred[:, None], kernels[:, None], turned[:, None])
    assert near(found, golden["loss_total_bilinear"], dtype)


def test_kernels_are_judged_by_the_golden_measures(golden):
    found, truth = golden["metric_estimate"], golden["metric_true"]
    assert near((found - truth).abs().mean((-2, -1)), golden["metric_mae_each"])
    assert near((found - truth).abs().mean(), golden["metric_mae"])
    assert near(measure_l1(found, truth), golden["metric_l1_each"])
    assert near((find_centroid_px(found) - find_centroid_px(truth)).norm(dim=-1), golden["metric_centroid_error_px"])
    assert near(find_rms_radius_px(truth), golden["metric_rms_radius_px"])
    assert near(find_rms_radius_px(found) / find_rms_radius_px(truth) - 1, golden["metric_rms_radius_error"])


def test_channels_are_averaged(golden):
    kernels = golden["loss_kernels"][:3][None]
    assert near(find_roughness(kernels), golden["loss_smooth"][:3].mean(0, keepdim=True))
    assert near(find_radial_rise(kernels), golden["loss_rad"][:3].mean(0, keepdim=True))


def test_blur_is_a_true_convolution_and_equals_plain_sums():
    g = torch.Generator().manual_seed(0)
    sharp = torch.rand(2, 3, 9, 10, generator=g, dtype=torch.float64)
    kernels = torch.rand(2, 3, 5, 5, generator=g, dtype=torch.float64)
    found = blur_patches(sharp, kernels)
    plain = torch.zeros(2, 3, 5, 6, dtype=torch.float64)
    for y in range(5):
        for x in range(6):
            plain[..., y, x] = (sharp[..., y : y + 5, x : x + 5] * kernels.flip(-1, -2)).sum((-2, -1))
    assert torch.allclose(found, plain, atol=1e-12)


def test_square_means_equal_plain_ones_about_the_centroid():
    kernels = torch.zeros(1, 9, 9, dtype=torch.float64)
    kernels[0, 2:5, 4:8] = torch.rand(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    means, count = find_square_means(kernels, "centroid")
    total = kernels.sum()
    row = round(float((kernels[0].sum(1) * torch.arange(9)).sum() / total))
    col = round(float((kernels[0].sum(0) * torch.arange(9)).sum() / total))
    assert int(count[0]) == 1 + min(row, col, 8 - row, 8 - col)
    for r in range(int(count[0])):
        assert means[0, r] == pytest.approx(
            float(kernels[0, row - r : row + r + 1, col - r : col + r + 1].mean()), abs=1e-14
        )


@pytest.mark.parametrize("centre", ["kernel", "centroid"])
def test_losses_of_kernels_have_the_gradient_of_differences(centre):
    kernels = torch.rand(2, 1, 7, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    kernels = (kernels / kernels.sum((-2, -1), keepdim=True)).requires_grad_()
    assert torch.autograd.gradcheck(find_roughness, (kernels,))
    assert torch.autograd.gradcheck(lambda one: find_radial_rise(one, centre), (kernels,))


def test_reconstruction_has_the_gradient_of_differences():
    g = torch.Generator().manual_seed(4)
    sharp, blurred = (torch.rand(2, 1, side, side, generator=g, dtype=torch.float64) for side in (9, 5))
    kernels = torch.rand(2, 1, 5, 5, generator=g, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda one: find_reconstruction_loss(sharp, blurred, one), (kernels,))


def test_weights_of_zero_leave_the_reconstruction_alone(golden):
    sharp, blurred, kernels, _ = (one[:, None] for one in samples(golden, torch.float64))
    plain = find_reconstruction_loss(sharp, blurred, kernels)
    assert torch.equal(find_pair_loss(sharp, blurred, kernels, kernels, smooth_weight=0, radial_weight=0), plain)


def test_another_centre_is_refused():
    with pytest.raises(InputError, match="radial_centre"):
        find_radial_rise(torch.zeros(1, 1, 5, 5), "corner")
