import functools
import math

import pytest
import torch

from psf.capture_measures import cut_tiles, measure_pair
from psf.captures import Captures

K = 17
F64 = torch.float64


@functools.cache
def leaves(size, seed=0):
    """Squares of random light over one another: edges at every scale."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.full((size, size), 0.5, dtype=F64)
    for x, y, side, light in torch.rand(900, 4, generator=generator, dtype=F64).tolist():
        half = 1 + int(9 * side**3)
        row, column = int(y * size), int(x * size)
        picture[max(row - half, 0) : row + half, max(column - half, 0) : column + half] = 0.1 + 0.8 * light
    return picture


def blur(sharp, kernel):
    return torch.nn.functional.conv2d(sharp[None, None], kernel.flip(0, 1)[None, None])[0, 0]


def bell(sigma_px, right_px=0.0, down_px=0.0, lean=0.0):
    offset = torch.arange(K, dtype=F64) - K // 2
    x, y = offset[None, :] - right_px, offset[:, None] - down_px
    kernel = torch.exp(-0.5 * (x**2 + y**2 - 2 * lean * x * y) / (sigma_px**2 * (1 - lean**2)))
    return kernel / kernel.sum()


def pair_of(sharp, blurred, x0_px=300, y0_px=200):
    return Captures.from_arrays(sharp[None], blurred[None], x0_px, y0_px, 1.0, (600, 800), K, 1.0)[0]


def noisy(picture, sigma, seed):
    return picture + sigma * torch.randn(picture.shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.7])
def test_exposure_is_found_to_its_standard_error(gain):
    sharp = leaves(120)
    found = measure_pair(pair_of(noisy(sharp, 0.005, 1), noisy(gain * blur(sharp, bell(2.5)), 0.005, 2)))
    assert found.gain == pytest.approx(gain, abs=max(4 * found.gain_error, 1e-4))
    assert found.gain_error < 1e-3
    assert found.residual < 0.1


@pytest.mark.parametrize("sigma_px", [1.2, 2.0, 3.5])
def test_spread_is_the_kernels_rms_radius(sigma_px):
    sharp = leaves(120)
    found = measure_pair(pair_of(sharp, blur(sharp, bell(sigma_px))))
    # A kernel's far foot is a small part of the picture: its second moment is known to some per cent.
    assert found.spread_px == pytest.approx(math.sqrt(2) * sigma_px, rel=0.12)


@pytest.mark.parametrize(("x0_px", "y0_px"), [(690, 248), (348, 10), (10, 248), (348, 490), (600, 30)])
def test_shift_is_told_outwards_and_across(x0_px, y0_px):
    sharp = leaves(120)
    pair = pair_of(sharp, blur(sharp, bell(2.0)), x0_px, y0_px)
    x_px, y_px = (float(one) for one in pair.middle())
    right, up = x_px - 399.5, 299.5 - y_px
    distance = math.hypot(right, up)
    for outwards, across in ((1.0, 0.0), (0.0, 0.8)):
        shift_right = (outwards * right - across * up) / distance
        shift_up = (outwards * up + across * right) / distance
        moved = pair_of(sharp, blur(sharp, bell(2.0, shift_right, -shift_up)), x0_px, y0_px)
        assert measure_pair(moved).shift_px == pytest.approx((outwards, across), abs=0.1)


def test_blur_that_leans_is_told_from_one_that_does_not():
    sharp = leaves(120)
    upright = measure_pair(pair_of(sharp, blur(sharp, bell(2.0)), 690, 248))
    leaning = measure_pair(pair_of(sharp, blur(sharp, bell(2.0, lean=0.5)), 690, 248))
    assert abs(upright.lean_px2) < 0.1
    # Rows run down, the radius to the right: a kernel that leans down has its mixed moment below zero.
    assert leaning.lean_px2 == pytest.approx(-0.5 * 4, rel=0.2)


@pytest.mark.parametrize("power", [1.0, 1.8, 2.2])
def test_tone_curve_is_found_from_what_blur_does_to_it(power):
    sharp = leaves(120, seed=3)
    blurred = blur(sharp, bell(2.5))
    found = measure_pair(pair_of(noisy(sharp ** (1 / power), 0.003, 1), noisy(blurred ** (1 / power), 0.003, 2)))
    # To second order in the contrast, which is high here.
    assert found.exponent == pytest.approx(power, abs=0.1 if power > 1 else 0.01)
    assert found.exponent_error < 0.01


def test_grid_on_the_picture_stands_out_of_its_spectrum():
    sharp = leaves(140)
    assert measure_pair(pair_of(sharp, blur(sharp, bell(2)))).peak < 30
    wave = 0.1 * torch.sin(2 * math.pi * torch.arange(140, dtype=F64) / 4.0)
    found = measure_pair(pair_of(sharp + wave, blur(sharp + wave, bell(2))))
    assert found.peak > 200
    assert found.peak_period_px == pytest.approx(4.0, rel=0.05)


def test_pixels_at_the_ends_of_the_range_are_counted():
    sharp = leaves(120)
    clipped = (1.4 * sharp).clamp(max=1)
    found = measure_pair(pair_of(clipped, blur(clipped, bell(2))))
    assert found.clipped_share == pytest.approx(float((clipped == 1).double().mean()), abs=2e-4)
    assert measure_pair(pair_of(sharp, blur(sharp, bell(2)))).clipped_share == 0


def test_pair_of_a_point_kernel_is_measured_too():
    sharp = leaves(60)
    one = Captures.from_arrays(sharp[None], sharp[None], 0, 0, 1.0, (600, 800), 1, 1.0)[0]
    found = measure_pair(one)
    assert found.gain == pytest.approx(1)
    assert found.spread_px == 0


def test_large_pair_is_measured_in_its_middle_and_its_corners():
    sharp = torch.rand(1, 254, 416, generator=torch.Generator().manual_seed(0))
    pair = Captures.from_arrays(sharp, sharp[:, 8:-8, 8:-8], 0, 0, 1.0, (238, 400), K, 1.0)[0]
    tiles = cut_tiles(pair)
    assert [tuple(one.blurred.shape) for one in tiles] == [(1, 160, 160)] * 5
    assert [float(place) for place in tiles[0].middle()] == [199.5, 118.5]
    assert float(torch.stack([one.radius().amax() for one in tiles]).amax()) == pytest.approx(pair.radius().max())
    small = pair.cut(0, 0, 100, 200)
    assert cut_tiles(small) == [small]


@pytest.mark.parametrize(("x0_px", "y0_px"), [(660, 440), (40, 60)])
@pytest.mark.parametrize("scale", [0.986, 1.01])
def test_a_lens_that_breathes_shifts_a_picture_outwards_and_does_nothing_else_to_it(x0_px, y0_px, scale):
    side, border_px, half = 104, 40, K // 2
    whole = leaves(side + 2 * (border_px + half), seed=5)
    blurred_whole = blur(whole, bell(1.5))
    # Sensor pixels of the crop, and where a picture of scale 1 has what they show.
    rows, columns = (torch.arange(side, dtype=F64) + first for first in (y0_px, x0_px))
    rows, columns = 299.5 + (rows - 299.5) / scale, 399.5 + (columns - 399.5) / scale
    last = blurred_whole.shape[0] - 1
    at = [2 * (one - first + border_px) / last - 1 for one, first in ((columns, x0_px), (rows, y0_px))]
    grid = torch.stack(torch.meshgrid(*at, indexing="xy"), -1)[None]
    blurred = torch.nn.functional.grid_sample(blurred_whole[None, None], grid, mode="bicubic", align_corners=True)[0, 0]
    sharp = whole[border_px : border_px + side + K - 1, border_px : border_px + side + K - 1]
    pair = pair_of(noisy(sharp, 0.004, 1), noisy(blurred, 0.004, 2), x0_px, y0_px)
    found = measure_pair(pair)
    distance = math.hypot(*(float(place) - centre for place, centre in zip(pair.middle(), (399.5, 299.5), strict=True)))
    assert found.shift_px[0] == pytest.approx((scale - 1) * distance, abs=0.2)
    assert abs(found.shift_px[1]) < 0.2
    assert abs(found.lean_px2) < 0.3
    assert found.spread_px == pytest.approx(1.5 * math.sqrt(2), rel=0.12)
    assert found.gain == pytest.approx(1, abs=0.01)
    assert found.exponent == pytest.approx(1, abs=0.1)
    assert found.residual < 0.15
