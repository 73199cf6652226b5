"""Where a picture lies on the sensor, and what another image scale makes of it."""

import math

import pytest
import torch

import psf
from psf import InputError
from psf.metrics import find_rms_radius_px
from render.framing import PADDINGS, fit_field, magnify, place_window


def smooth_picture(height, width, x0_px=0.0, y0_px=0.0, scale=1.0, centre=(0.0, 0.0)):
    """Waves of 15 px and more, known at every place: what stands at p is the wave at centre + (p - centre) / scale."""
    y, x = torch.meshgrid(torch.arange(height).double() + y0_px, torch.arange(width).double() + x0_px, indexing="ij")
    x, y = centre[0] + (x - centre[0]) / scale, centre[1] + (y - centre[1]) / scale
    return (0.5 + 0.3 * torch.sin(0.4 * x + 0.1 * y) + 0.2 * torch.cos(0.3 * y - 0.2 * x))[None, None]


def camera(shape_px=(40, 60), pitch_um=100.0, **options):
    lens = {"focal_mm": 50, "f_number": 4, "focus_m": 1.0, "pitch_um": pitch_um, "image_shape_px": shape_px}
    return psf.thin_lens_field(**(lens | options))


# ---- windows


def test_a_picture_lies_in_the_middle_unless_it_is_said_where():
    assert place_window((40, 60), (40, 60)) == (0, 0)
    assert place_window((40, 60), (20, 30)) == (15, 10)
    assert place_window((40, 60), (39, 59)) == (0, 0)
    assert place_window((40, 60), (20, 30), (30, 20)) == (30, 20)


@pytest.mark.parametrize(
    ("picture", "window", "words"),
    [
        ((41, 60), None, ["60 x 41 px", "60 x 40 px"]),
        ((20, 61), None, ["61 x 20 px"]),
        ((20, 30), (31, 0), ["window", "(31, 0)", "0 to 30", "0 to 20"]),
        ((20, 30), (0, -1), ["window", "(0, -1)"]),
    ],
)
def test_windows_beyond_the_sensor_are_refused(picture, window, words):
    with pytest.raises(InputError) as caught:
        place_window((40, 60), picture, window)
    assert all(word in str(caught.value) for word in words), str(caught.value)


# ---- fit


@pytest.mark.parametrize("shape", [(20, 30), (80, 120), (20, 20), (10, 30), (40, 60)])
def test_a_fitted_field_is_of_the_pictures_size_and_the_sensors_extent(shape):
    field = camera()
    fitted = fit_field(field, shape)
    assert fitted.image_shape_px[0] >= shape[0]
    assert fitted.image_shape_px[1] >= shape[1]
    assert shape[0] == fitted.image_shape_px[0] or shape[1] == fitted.image_shape_px[1]
    for old, new in zip(field.image_shape_px, fitted.image_shape_px, strict=True):
        assert new * fitted.pitch_um == pytest.approx(old * field.pitch_um, rel=0.5 / min(shape))
    place_window(fitted.image_shape_px, shape)


def test_blur_of_a_fitted_field_shrinks_with_the_picture():
    field = camera(shape_px=(400, 600), pitch_um=20.0)
    fitted = fit_field(field, (100, 150))
    wide, small = (find_rms_radius_px(one.at(0.0, math.inf))[0] for one in (field, fitted))
    # Sharing among squares four times as wide adds their own spread, 1/6 px^2 less 1/6 of a sixteenth.
    assert float(small) == pytest.approx(math.sqrt(float(wide / 4) ** 2 + 1 / 6), rel=0.02)


# ---- magnification


@pytest.mark.parametrize("scale", [0.93, 1.07, 1.3])
@pytest.mark.parametrize("window", [(0, 0), (100, 30)])
@pytest.mark.parametrize("reading", ["sinc", "cubic"])
def test_a_point_moves_away_from_the_middle_of_the_sensor_by_the_scale(scale, window, reading):
    sensor = (200, 300)
    centre = ((sensor[1] - 1) / 2, (sensor[0] - 1) / 2)
    height, width = (200, 300) if window == (0, 0) else (120, 140)
    image = smooth_picture(height, width, *window)
    options = {"image_shape_px": sensor, "window": window, "padding": "replicate", "reading": reading}
    scaled, _ = magnify(image, torch.ones_like(image), scale, **options)
    expected = smooth_picture(height, width, *window, scale, centre)
    # What the frame holds of the scaled scene, less the six pixels that the reading reaches beyond.
    y, x = torch.meshgrid(torch.arange(height) + window[1], torch.arange(width) + window[0], indexing="ij")
    from_x, from_y = centre[0] + (x - centre[0]) / scale - window[0], centre[1] + (y - centre[1]) / scale - window[1]
    inside = (from_x >= 6) & (from_x <= width - 7) & (from_y >= 6) & (from_y <= height - 7)
    assert inside.float().mean() > 0.6
    # Catmull-Rom is off by (w^3 to w^4) / 50 of a wave's amplitude, 0.04 to 0.1 % of 0.3 + 0.2 here; the windowed sinc
    # by up to 0.15 % of any wave.
    assert (scaled - expected)[0, 0][inside].abs().max() < 1e-3


def test_scale_one_changes_nothing():
    image, depth_m = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0)), torch.ones(2, 1, 5, 7)
    scaled, depth = magnify(image, depth_m, 1.0, image_shape_px=(5, 7), window=(0, 0))
    assert scaled is image
    assert depth is depth_m


@pytest.mark.parametrize("padding", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("scale", [0.8, 1.25])
def test_a_constant_stays_constant(padding, scale):
    image = torch.full((1, 2, 9, 12), 0.7, dtype=torch.float64)
    scaled, _ = magnify(image, image[:, :1], scale, image_shape_px=(20, 20), window=(3, 2), padding=padding)
    assert (scaled - 0.7).abs().max() < 1e-12


def test_zeros_stand_outside_where_it_is_asked():
    image = torch.ones(1, 1, 21, 21, dtype=torch.float64)
    scaled, depth = magnify(image, image, 0.5, image_shape_px=(21, 21), window=(0, 0), padding="zeros")
    assert scaled[0, 0, 0, 10] == 0
    assert scaled[0, 0, 10, 10] == 1
    assert torch.equal(depth, torch.ones_like(depth))


def test_depth_is_never_a_mean_of_two():
    depth_m = torch.ones(1, 1, 30, 30)
    depth_m[..., 15:] = math.inf
    _, scaled = magnify(torch.zeros(1, 3, 30, 30), depth_m, 1.2, image_shape_px=(30, 30), window=(0, 0))
    assert set(scaled.flatten().tolist()) == {1.0, math.inf}
    off, _ = magnify(torch.zeros(1, 3, 30, 30), depth_m, 1.2, image_shape_px=(60, 60), window=(0, 0))
    assert off.isfinite().all()


def test_reflection_does_not_repeat_the_edge():
    row = torch.arange(5, dtype=torch.float64).reshape(1, 1, 1, 5)
    # About the middle, column 2, with 1/2: columns -2, 0, 2, 4, 6 are read, and -2 is 2 and 6 is 2.
    scaled, _ = magnify(row, row, 0.5, image_shape_px=(1, 5), window=(0, 0), padding="reflect")
    assert scaled.flatten().tolist() == pytest.approx([2, 0, 2, 4, 2])


def test_gradient_reaches_the_picture():
    image = torch.rand(1, 1, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for padding in PADDINGS:
        assert torch.autograd.gradcheck(
            lambda one, padding=padding: magnify(
                one, torch.ones_like(one), 1.1, image_shape_px=(9, 9), window=(2, 1), padding=padding
            )[0],
            (image,),
        )


def test_readings_that_are_none_are_refused():
    one = torch.ones(1, 1, 3, 3)
    with pytest.raises(InputError, match="reading: found 'linear'"):
        magnify(one, one, 1.1, image_shape_px=(3, 3), window=(0, 0), reading="linear")


@pytest.mark.parametrize(
    ("scale", "padding", "words"),
    [(0.0, "reflect", "magnification"), (math.nan, "reflect", "magnification"), (1.1, "mirror", "'mirror'")],
)
def test_scales_and_paddings_that_mean_nothing_are_refused(scale, padding, words):
    with pytest.raises(InputError, match=words):
        magnify(
            torch.ones(1, 1, 3, 3),
            torch.ones(1, 1, 3, 3),
            scale,
            image_shape_px=(3, 3),
            window=(0, 0),
            padding=padding,
        )
