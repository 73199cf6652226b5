import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import psf
from learn.dfd.scenes import put_before, stand
from learn.dfd.stack_optics import find_blur_maps, open_optics, photograph
from psf import InputError
from psf.metrics import find_centroid_px, find_rms_radius_px
from render import focal_stack, pixelwise, pixelwise_reference

WINDOW_PX, SIDE_PX = (100, 70), 32


@pytest.fixture(scope="module")
def optics(fields):
    return open_optics(fields)


@pytest.fixture
def texture(optics):
    side = SIDE_PX + 2 * optics.margin_px
    noise = torch.rand((3, side, side), generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.avg_pool2d(noise[None], 3, stride=1, padding=1)[0]


def test_breathing_and_blur_of_the_real_camera_are_the_golden_numbers(shared):
    """Thin-lens numbers of 12 mm f/2.8: image scale against the first focus, circle of confusion over depth."""
    golden = np.load(shared / "golden" / "psfnet_b.npz")
    depths_m = torch.from_numpy(np.sort(golden["real_depth_m"])).float()
    order = np.argsort(golden["real_depth_m"])
    for n, focus_m in enumerate(golden["real_focus_m"].tolist()):
        field = psf.thin_lens_field(
            12.0, 2.8, focus_m, 3.36, (3888, 5184), depths_m=depths_m, reference_focus_m=0.5, kernel_px=25
        )
        assert field.magnification == pytest.approx(float(golden["real_scale_to_first"][n]), abs=1e-9)
        discs_um = golden["real_coc_diameter_um"][n][order]
        # A disc's mean square radius is an eighth of its diameter's square; a pixel's own square adds 1/6.
        found_px = (8 * (find_rms_radius_px(field.kernels[:, 0, 1]).double() ** 2 - 1 / 6).clamp_min(0)).sqrt()
        # Smaller discs end within one pixel or two, which that rule does not know.
        large = discs_um > 4 * 3.36
        assert np.allclose(found_px.numpy()[large], discs_um[large] / 3.36, atol=0.1)


def test_one_plane_is_what_the_focal_stack_of_its_depth_is(fields, optics, texture):
    """The same picture without trimming, cropping and mixing of depths, by other tiles."""

    def render(image, depth_m, field, window, padding):
        return pixelwise(image, depth_m, field, window=window, padding=padding, turning="cubic", method="tiles")

    found = photograph(stand(texture, 0.8), optics, WINDOW_PX)
    depth_m = torch.full((1, 1, *texture.shape[1:]), 0.8)
    m = optics.margin_px
    corner = (WINDOW_PX[0] - m, WINDOW_PX[1] - m)
    plain = focal_stack(texture[None], depth_m, fields, render, window=corner)[:, 0, :, m:-m, m:-m]
    assert found.shape == (3, 3, SIDE_PX, SIDE_PX)
    assert float((found - plain).square().mean().sqrt()) < 1e-3


def test_the_first_picture_is_the_plain_gather_of_its_kernels(fields, optics, texture):
    """Tiles are good for 60 dB."""
    m = optics.margin_px
    part = texture[:, : 16 + 2 * m, : 16 + 2 * m]
    found = photograph(stand(part, 0.9), optics, WINDOW_PX)[0]
    depth_m = torch.full((1, 1, *part.shape[1:]), 0.9)
    corner = (WINDOW_PX[0] - m, WINDOW_PX[1] - m)
    options = {"window": corner, "interpolation": "linear", "turning": "cubic"}
    plain = pixelwise_reference(part[None], depth_m, fields[0], **options)
    assert float((found - plain[0, :, m:-m, m:-m]).square().mean().sqrt()) < 1e-3


def test_a_plane_before_another_of_the_same_depth_that_lets_half_through_is_one_plane(optics, texture):
    half = torch.full((1, *texture.shape[1:]), 0.5)
    two = photograph(put_before(texture, half, texture, front_m=0.8, back_m=0.8), optics, WINDOW_PX)
    one = photograph(stand(texture, 0.8), optics, WINDOW_PX)
    assert torch.allclose(two, one, atol=1e-4)


def test_the_picture_is_sharpest_where_the_focus_is(optics, texture):
    for n, depth_m in enumerate((0.5, 0.72, 1.415)):
        stack = photograph(stand(texture, depth_m), optics, WINDOW_PX)
        contrast = stack.var((1, 2, 3))
        assert int(contrast.argmax()) == n
        assert int(find_blur_maps(torch.full((1, 8, 8), depth_m), optics, WINDOW_PX).mean((1, 2)).argmin()) == n


def test_dots_move_as_the_magnification_says(fields, optics):
    """A broad dot, which cubic interpolation moves exactly: its middle goes to m times its place."""
    m, side = optics.margin_px, SIDE_PX + 2 * optics.margin_px
    y, x = torch.meshgrid(*[torch.arange(float(side)) - (side // 2)] * 2, indexing="ij")
    dot = torch.exp(-(x**2 + y**2) / (2 * 2.5**2)).expand(3, -1, -1)
    place = (WINDOW_PX[0] - m + side // 2 - 79.5, WINDOW_PX[1] - m + side // 2 - 59.5)
    stack = photograph(stand(dot, 0.8), optics, WINDOW_PX)[:, 1, :-1, :-1]
    middle = side // 2 - m - (SIDE_PX - 1) // 2
    for picture, field in zip(stack, fields, strict=True):
        found = find_centroid_px(picture) - middle
        expected = [(field.magnification - 1) * one for one in place]
        # A gather draws a dot towards where kernels are the same: a hundredth of a pixel.
        assert found.tolist() == pytest.approx(expected, abs=0.02)
    assert max(map(abs, expected)) > 0.5


def test_breathing_as_a_shift_of_kernels_is_the_same_picture(make, texture):
    """The two ways to say it, as far as tiles follow kernels that move: on this tiny sensor by a pixel in a tile."""
    ways = [make(way, kernel_px=19) for way in ("magnification", "shift")]
    optics = [open_optics(fields) for fields in ways]
    side = SIDE_PX + 2 * optics[0].margin_px
    y, x = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    pattern = 0.5 + 0.2 * torch.sin(2 * math.pi * (0.06 * x + 0.03 * y)).expand(3, -1, -1)
    m = [one.margin_px for one in optics]
    cut = m[0] - m[1]
    scaled = photograph(stand(pattern, 0.8), optics[0], WINDOW_PX)
    shifted = photograph(stand(pattern[:, cut : side - cut, cut : side - cut], 0.8), optics[1], WINDOW_PX)
    assert float((scaled - shifted).square().mean().sqrt()) < 0.01
    assert float((scaled[0] - scaled[-1]).square().mean().sqrt()) > 0.03


def test_windows_reach_into_the_corners(optics, texture):
    for window_px in ((0, 0), (160 - SIDE_PX, 120 - SIDE_PX)):
        assert bool(photograph(stand(texture, 1.0), optics, window_px).isfinite().all())


def test_a_lens_that_darkens_corners_darkens_light_and_not_what_it_covers(make, texture):
    dark = [replace(one, transmission=torch.full_like(one.transmission, 0.6)) for one in make()]
    mask = (torch.arange(texture.shape[2]) < 28).float().expand(1, *texture.shape[1:])
    scene = put_before(texture, mask, texture.flip(1), front_m=0.6, back_m=1.2)
    whole, less = (photograph(scene, open_optics(one), WINDOW_PX) for one in (make(), dark))
    assert torch.allclose(less, 0.6 * whole, atol=1e-6)
    assert torch.equal(photograph(scene, open_optics(dark), WINDOW_PX, transmission=False), whole)


def test_blur_maps_are_the_radii_of_the_kernels(fields, optics):
    """Also of those that lie inside one pixel: they are stored three times finer."""
    depth_m = fields[0].depths_m[4].expand(1, 4, 4)
    found = find_blur_maps(depth_m, optics, WINDOW_PX)
    expected = [float(find_rms_radius_px(one.kernels[4, 0, 1])) / 3 for one in fields]
    assert found.shape == (3, 4, 4)
    assert found.mean((1, 2)).tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("blur", ["blend", "layered"])
def test_other_kinds_of_blur_differ_little_on_a_plane(optics, texture, blur):
    """Thin-lens discs are the same all over the sensor."""
    scene = stand(texture, 0.8)
    found = photograph(scene, optics, WINDOW_PX, blur=blur)
    assert float((found - photograph(scene, optics, WINDOW_PX)).square().mean().sqrt()) < 4e-3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f[:1], "fields: found 1 of them, expected at least 2"),
        (lambda f: f[::-1], "fields[1].focus_m: found 0.72 m after 1.415 m, expected focus distances in ascending"),
        (lambda f: [f[0], f[0]], "fields[1].focus_m"),
        (lambda f: f[1:], "fields[0].magnification"),
        (lambda f: [f[0], replace(f[1], image_shape_px=(90, 120))], "fields[1].image_shape_px: found (90, 120)"),
        (lambda f: [f[0], replace(f[1], pitch_um=3.0)], "fields[1].pitch_um: found 3.0"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, change, words):
    with pytest.raises(InputError) as caught:
        open_optics(change(fields))
    assert words in str(caught.value)


def test_windows_beyond_the_sensor_and_unknown_blur_are_refused(optics, texture):
    with pytest.raises(InputError, match="window_px"):
        photograph(stand(texture, 0.8), optics, (150, 0))
    with pytest.raises(InputError, match=r"blur\): found 'box'"):
        photograph(stand(texture, 0.8), optics, WINDOW_PX, blur="box")
    with pytest.raises(InputError, match="a margin of"):
        photograph(stand(texture[:, :8, :8], 0.8), optics, WINDOW_PX)


def test_measured_scales_count_against_the_first(fields):
    measured = [replace(one, magnification=1.0004 * one.magnification) for one in fields]
    found = [one.magnification for one in open_optics(measured).fields]
    assert found == pytest.approx([one.magnification for one in fields], rel=1e-12)
