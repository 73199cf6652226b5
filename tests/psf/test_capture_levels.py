import pytest
import torch

import psf
from psf.capture_levels import fit_levels, level_captures, magnify_captures
from psf.captures import Captures
from psf.errors import InputError

K = 9
F64 = torch.float64
SENSOR = (150, 200)


def smooth(shape, seed=0, passes=1):
    """Noise without the finest detail, 0.1 to 0.9."""
    generator = torch.Generator().manual_seed(seed)
    light = torch.rand(shape, generator=generator, dtype=F64)
    for _ in range(passes):
        light = torch.nn.functional.avg_pool2d(light[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
    return 0.1 + 0.8 * (light - light.min()) / (light.max() - light.min())


def box(sharp):
    return torch.nn.functional.avg_pool2d(sharp[:, None], K, 1)[:, 0]


def make(sharp, blurred, x0_px=0, y0_px=0, focus_m=1.0):
    return Captures.from_arrays(sharp, blurred, x0_px, y0_px, 1.0, SENSOR, K, focus_m)


def test_gain_and_fall_off_are_found_and_taken_out():
    whole = (3, SENSOR[0] + K - 1, SENSOR[1] + K - 1)
    sharp = smooth(whole)
    plain = make(sharp, box(sharp))
    radius = plain.radius(0)
    gains = torch.tensor([0.8, 1.0, 1.25], dtype=F64)[:, None, None]
    fallen = make(sharp, box(sharp) * gains * torch.exp(-0.2 * radius**2 - 0.1 * radius**4))
    levels = fit_levels(fallen)
    assert levels.fall_off_at(1.0) == pytest.approx(float(torch.exp(torch.tensor(-0.3))), abs=0.01)
    even = level_captures(fallen, levels)
    for n in range(3):
        ratio = even[n].blurred / plain[n].blurred
        # Squares of two kernels' sides in a picture of texture: a per cent.
        assert float((ratio - 1).abs().max()) < 0.015
        assert float(ratio.mean()) == pytest.approx(1, abs=0.004)
        assert even[n].sharp.equal(fallen[n].sharp)


def test_crops_that_see_one_image_height_have_a_gain_and_no_fall_off():
    sharp = smooth((2, 48 + K - 1, 48 + K - 1))
    captures = make(sharp, 1.1 * box(sharp), 10, 10)
    levels = fit_levels(captures)
    assert not levels.fall_off.any()
    assert levels.gain.tolist() == pytest.approx([1.1, 1.1], abs=1e-3)
    assert levels.at(0, captures.radius(0)).shape == (1, 48, 48)


def test_levels_of_other_captures_are_refused():
    sharp = smooth((2, 48 + K - 1, 48 + K - 1))
    captures = make(sharp, box(sharp))
    levels = fit_levels(captures)
    with pytest.raises(InputError, match="2 gains"):
        level_captures(captures.chosen([0]), levels)
    with pytest.raises(InputError, match="no pairs"):
        fit_levels(captures.chosen([]))


@pytest.mark.parametrize("magnification", [0.98, 1.02])
@pytest.mark.parametrize(("x0_px", "y0_px"), [(0, 0), (140, 90), (70, 45)])
def test_scaled_sharp_picture_is_that_of_the_other_focus(magnification, x0_px, y0_px):
    # A smooth scene as a function of the sensor's places.
    def scene(x_px, y_px):
        return 0.5 + 0.2 * torch.sin(x_px / 3.1) + 0.2 * torch.cos(y_px / 2.7 + x_px / 9)

    def view(x0, y0, width, height, scale):
        x = x0 + torch.arange(width, dtype=F64)[None, :]
        y = y0 + torch.arange(height, dtype=F64)[:, None]
        return scene(99.5 + (x - 99.5) / scale, 74.5 + (y - 74.5) / scale)[None]

    half = K // 2
    sharp = view(x0_px - half, y0_px - half, 60 + 2 * half, 60 + 2 * half, 1.0)
    captures = make(sharp, view(x0_px, y0_px, 60, 60, magnification), x0_px, y0_px)
    scaled = magnify_captures(captures, magnification)
    pair = scaled[0]
    height, width = scaled.shape_px
    assert pair.blurred.shape == (1, height, width)
    assert pair.sharp.shape == (1, height + K - 1, width + K - 1)
    # Wherever the window is, what was cut is what the scale moves: 2 % of at most 100 px and a kernel.
    assert min(height, width) >= 56
    inner = pair.sharp[:, half:-half, half:-half]
    assert float((inner - pair.blurred).abs().max()) < 5e-3
    assert float((inner - pair.blurred).square().mean().sqrt()) < 3e-4
    again = view(float(pair.x0_px), float(pair.y0_px), width, height, magnification)
    assert pair.blurred.allclose(again)


def test_scale_of_one_changes_nothing_and_impossible_ones_are_refused():
    sharp = smooth((1, 20 + K - 1, 20 + K - 1))
    captures = make(sharp, box(sharp), 0, 0)
    assert magnify_captures(captures, 1.0) is captures
    for scale, word in ((0.0, "positive"), (0.5, "smaller shift")):
        with pytest.raises(InputError, match=word):
            magnify_captures(captures, scale)


def test_thin_lens_that_breathes_needs_the_magnification_of_its_field():
    camera = {"focal_mm": 12, "f_number": 2.8, "pitch_um": 13.44, "image_shape_px": SENSOR}
    field = psf.thin_lens_field(**camera, focus_m=1.415, reference_focus_m=0.5)
    assert field.magnification == pytest.approx(0.98434783, abs=1e-6)
