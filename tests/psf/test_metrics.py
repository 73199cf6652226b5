import math

import pytest
import torch

from psf import InputError
from psf.discs import disc_overlap
from psf.metrics import (
    find_centroid_px,
    find_encircled_energy,
    find_rms_radius_px,
    find_second_moments_px2,
    measure_l1,
)

F64 = torch.float64


def test_metrics_are_those_of_an_independent_implementation(golden):
    estimate, true = golden["metric_estimate"], golden["metric_true"]
    assert (measure_l1(estimate, true) - golden["metric_l1_each"]).abs().max() < 1e-12
    apart = (find_centroid_px(estimate) - find_centroid_px(true)).norm(dim=-1)
    assert (apart - golden["metric_centroid_error_px"]).abs().max() < 1e-12
    assert (find_rms_radius_px(true) - golden["metric_rms_radius_px"]).abs().max() < 1e-12


def test_l1_is_0_for_equals_and_1_without_a_pixel_in_common():
    kernels = torch.eye(9, dtype=F64).reshape(9, 3, 3)
    assert measure_l1(kernels[None], kernels[:, None]).tolist() == (1 - torch.eye(9, dtype=F64)).tolist()


def test_the_centroid_counts_columns_to_the_right_and_rows_down():
    kernel = torch.zeros(5, 5, dtype=F64)
    kernel[0, 3] = 4.0
    assert find_centroid_px(kernel).tolist() == [1.0, -2.0]


def test_second_moments_of_two_points():
    kernel = torch.zeros(7, 7, dtype=F64)
    kernel[2, 2] = kernel[4, 6] = 0.5
    assert find_second_moments_px2(kernel).tolist() == [4.0, 1.0, 2.0]
    assert float(find_rms_radius_px(kernel)) == pytest.approx(math.sqrt(5))


def test_the_rms_radius_of_a_disc_is_its_radius_over_root_2():
    disc = disc_overlap(torch.tensor(9.0, dtype=F64), torch.zeros(2, dtype=F64), 25)
    # Light tallied at pixel centres: a sixth of a squared pixel more for both axes together.
    assert float(find_rms_radius_px(disc)) ** 2 == pytest.approx(40.5 + 1 / 6, rel=1e-3)


def test_energy_in_circles_about_a_disc_grows_with_their_area():
    disc = disc_overlap(torch.tensor(8.0, dtype=F64), torch.tensor([0.3, -0.4], dtype=F64), 25)
    radii_px = torch.tensor([0.0, 2.0, 4.0, 6.0, 12.0], dtype=F64)
    energy = find_encircled_energy(disc, radii_px)
    assert energy.tolist() == pytest.approx([0, 1 / 16, 1 / 4, 9 / 16, 1], abs=0.006)
    assert find_encircled_energy(disc.expand(2, 3, 25, 25), radii_px).shape == (2, 3, 5)
    assert find_encircled_energy(disc, radii_px[:0]).shape == (0,)


def test_the_gradient_of_the_radius_of_a_point_is_finite():
    kernel = torch.zeros(3, 3, dtype=F64)
    kernel[1, 1] = 1.0
    kernel.requires_grad_()
    find_rms_radius_px(kernel).backward()
    assert kernel.grad.isfinite().all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: measure_l1(torch.ones(3, 3), torch.ones(5, 5)), ["truth", "side 5", "3"]),
        (lambda: find_centroid_px(torch.ones(4, 4)), ["kernels", "(4, 4)", "odd"]),
        (lambda: find_encircled_energy(torch.ones(3, 3), torch.tensor([2.0, -1.0])), ["radii_px", "-1.0"]),
        (lambda: find_encircled_energy(torch.ones(3, 3), torch.ones(1), subpixels=0), ["subpixels", "0"]),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(InputError) as error:
        call()
    assert all(word in str(error.value) for word in words)
