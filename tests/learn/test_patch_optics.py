import math

import pytest
import torch

from learn.patch_optics import (
    find_blur_px,
    find_bracket,
    find_radii,
    measure_extent,
    restrict_radii,
    spread_field,
    trim_field,
)
from psf import InputError, thin_lens_field
from render import depth_blend, pixelwise
from render.camera_steps import surround_field

SHAPE_PX, WINDOW = (64, 64), (120, 60)


def make_patch(seed=1, near_m=0.5):
    g = torch.Generator().manual_seed(seed)
    return torch.rand((1, 3, *SHAPE_PX), generator=g), near_m + 4 * torch.rand((1, 1, *SHAPE_PX), generator=g)


def test_a_trimmed_field_renders_a_patch_as_the_whole_field_does(lens):
    field, (image, depth_m) = lens(kernel_px=21), make_patch(near_m=0.7)
    radii = find_radii(field.image_shape_px, WINDOW, SHAPE_PX)
    part = trim_field(measure_extent(field), radii, (float(depth_m.min()), float(depth_m.max())))
    assert part.kernel_px < field.kernel_px
    assert len(part.depths_m) < len(field.depths_m)
    assert len(part.radii) < len(field.radii)
    # Tiles are cut to the kernel, and what they approximate would differ.
    found = pixelwise(image, depth_m, part, window=WINDOW, method="direct")
    expected = pixelwise(image, depth_m, field, window=WINDOW, method="direct")
    assert (found - expected).abs().max() < 2e-5  # light that is neglected, and single precision


@pytest.mark.parametrize("radius", [0.0, 0.05, 0.31, 0.77, 0.99])
def test_a_trimmed_field_has_the_kernels_of_one_place(lens, radius):
    field, (image, depth_m) = lens(kernel_px=21), make_patch()
    part = trim_field(measure_extent(field), (radius, radius), (0.5, 4.5))
    found, expected = (depth_blend(image, depth_m, *one.at_radius(radius, 2.0)) for one in (part, field))
    assert (found - expected).abs().max() < 2e-5


def test_depths_between_two_planes_need_only_these(lens):
    part = trim_field(measure_extent(lens()), (0.2, 0.3), (0.3, 0.5))
    assert part.depths_m.tolist() == pytest.approx([0.25, 0.6])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.1, 0.2, (0, 2)), (0.5, 0.5, (1, 2)), (-1, -0.5, (0, 1)), (2, 3, (2, 3)), (0.5, 0.6, (1, 3)), (-5, 5, (0, 3))],
)
def test_a_bracket_holds_the_nodes_around(low, high, expected):
    found = find_bracket(torch.tensor([0.0, 0.5, 1.0]), low, high)
    assert (found.start, found.stop) == expected


@pytest.mark.parametrize("window", [(0, 0), (180, 20), (100, 80), (-20, 130)])
def test_radii_of_a_window_are_those_of_its_pixels(window):
    sensor = (220, 280)
    y, x = torch.meshgrid(torch.arange(64.0) + window[1], torch.arange(64.0) + window[0], indexing="ij")
    radius = torch.hypot(x - 139.5, y - 109.5) / (0.5 * math.hypot(*sensor))
    least, greatest = find_radii(sensor, window, (64, 64))
    assert greatest == pytest.approx(float(radius.max()))
    assert float(radius.min()) - 0.004 <= least <= float(radius.min()) + 1e-6  # the centre lies between pixels


def test_blur_of_an_ideal_lens_is_its_disc():
    field = thin_lens_field(3.3, 2.2, math.inf, 1.5, (600, 800), breathing=False)
    depth_m = torch.tensor([0.1, 0.2, 0.5])
    # f^2 / N / z, in pixels
    expected_px = 3.3e-3**2 / 2.2 / depth_m / 1.5e-6
    assert find_blur_px(measure_extent(field), 0.4, depth_m).tolist() == pytest.approx(expected_px.tolist(), rel=0.03)


def test_a_gaussian_adds_to_the_variance_of_the_blur():
    field = thin_lens_field(3.3, 2.2, math.inf, 1.5, (600, 800), breathing=False, kernel_px=41)
    depth_m = torch.tensor([0.15, 0.4])
    told = find_blur_px(measure_extent(field), 0.0, depth_m, spread_px=1.5)
    measured = find_blur_px(measure_extent(spread_field(field, 1.5)), 0.0, depth_m)
    assert told.tolist() == pytest.approx(measured.tolist(), rel=0.02)  # diameters are mixed, not variances


def test_a_field_without_spread_is_the_field_itself(lens):
    field = lens()
    assert spread_field(field, 0.0) is field
    assert spread_field(field, 0.5).kernels.sum((-2, -1)).sub(1).abs().max() < 1e-5


def test_fewer_radii_leave_the_kernels_between_them(lens):
    field = lens()
    part = restrict_radii(field, (0.42, 0.55))
    assert len(part.radii) < len(field.radii)
    assert torch.equal(part.at(0.5, 0.3), field.at(0.5, 0.3))


def test_a_patch_at_the_corner_keeps_its_kernels_on_a_wider_sensor(lens):
    field = lens()
    wide, corner = surround_field(field, (216, 0), 6, (76, 76))
    assert corner == (216, 0)
    assert (wide.at_pixel(222 + 6, 6 + 3, 0.3) - field.at_pixel(222.0, 3.0, 0.3)).abs().max() < 1e-5
    assert surround_field(field, (100, 80), 6, (76, 76)) == (field, (94, 74))


def test_a_gaussian_of_negative_width_is_refused(lens):
    with pytest.raises(InputError, match=r"spread_px\): found -1, expected"):
        spread_field(lens(), -1)


def test_a_field_stored_finer_than_pixels_is_measured_and_trimmed_alike():
    plain, fine = (thin_lens_field(3.3, 2.2, math.inf, 1.5, (600, 800), breathing=False, oversample=n) for n in (1, 3))
    depth_m = torch.tensor([0.15, 0.4])
    one, other = (find_blur_px(measure_extent(field), 0.0, depth_m) for field in (plain, fine))
    assert one.tolist() == pytest.approx(other.tolist(), rel=0.02)
    part = spread_field(trim_field(measure_extent(fine), (0.2, 0.3), (0.4, 0.5), 0.5), 0.5)
    assert part.oversample == 3
    assert part.kernel_px < fine.kernel_px
