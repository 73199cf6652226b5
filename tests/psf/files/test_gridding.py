"""Scattered kernels to a field."""

import itertools
import math

import pytest
import torch

from psf import Channel, InputError
from psf.files.gridding import grid_kernels
from psf.metrics import find_centroid_px, measure_l1

F64 = torch.float64
SENSOR = {"image_shape_px": (300, 400), "pitch_um": 2.0, "focus_m": 1.0}


@pytest.fixture
def scene(scattered, lopsided):
    """Kernels of two depths, three image heights and two channels at an azimuth."""

    def make(azimuth_rad=math.pi / 2, radii=(0.0, 0.4, 0.9), **changes):
        values = lopsided(azimuth_rad)
        round_one = lopsided(0.0) + lopsided(math.pi)
        round_one = round_one + round_one.T
        return [
            scattered(
                values if radius else round_one,
                where=f"kernel {depth_m} {radius} {channel}",
                depth_m=depth_m,
                radius=radius,
                azimuth_rad=azimuth_rad,
                channel=channel,
                **changes,
            )
            for depth_m, radius, channel in itertools.product((0.5, math.inf), radii, (0, 1))
        ]

    return make


TWO = (Channel("R"), Channel("B"))


def test_nodes_stand_in_the_order_of_depth_radius_and_channel(scene):
    made = grid_kernels(scene()[::-1], channels=TWO, **SENSOR)
    field = made.field
    assert field.depths_m.tolist() == [0.5, math.inf]
    assert torch.allclose(field.radii, torch.tensor([0.0, 0.4, 0.9]))
    assert [one.name for one in field.channels] == ["R", "B"]
    centroids = find_centroid_px(field.kernels)
    assert (centroids[:, 1:, :, 0] > 0.5).all()
    assert centroids[:, 0].abs().max() < 1e-5
    assert centroids[..., 1].abs().max() < 1e-5
    assert torch.equal(field.kernels, field.kernels.flip(-2))


def test_window_holds_all_but_a_thousandth_of_each_kernel(scene):
    field = grid_kernels(scene(), channels=TWO, **SENSOR).field
    assert 0 <= float(field.lost.max()) <= 1e-3
    smaller = grid_kernels(scene(), channels=TWO, kernel_px=field.kernel_px - 2, **SENSOR).field
    assert float(smaller.lost.max()) > 1e-3


def test_window_that_data_do_not_cover_is_told(scene):
    made = grid_kernels(scene(), channels=TWO, kernel_px=31, **SENSOR)
    assert any("data reach 15 px" in one.text for one in made.notices)


def test_fine_field_adds_up_to_the_coarse_one(scene):
    coarse = grid_kernels(scene(), channels=TWO, kernel_px=9, **SENSOR).field
    fine = grid_kernels(scene(), channels=TWO, kernel_px=9, oversample=3, **SENSOR).field
    whole = fine.kernels.unflatten(-1, (9, 3)).unflatten(-3, (9, 3)).sum((-3, -1))
    assert torch.allclose(whole, coarse.kernels, atol=1e-6)


def test_radii_between_are_interpolated(scene):
    kernels = scene(radii=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
    made = grid_kernels(kernels, channels=TWO, radii=[0.2, 0.5, 1.0], kernel_px=11, **SENSOR)
    direct = grid_kernels(kernels, channels=TWO, kernel_px=11, **SENSOR)
    assert torch.allclose(made.field.radii, torch.tensor([0.2, 0.5, 1.0]))
    # The kernel is the same at all heights but the axis: so it is between them.
    assert measure_l1(made.field.kernels[:, 1], direct.field.kernels[:, 2]).max() < 1e-3
    with pytest.raises(InputError, match=r"radii: found 0\.9"):
        grid_kernels(scene(radii=(0.0, 0.4)), channels=TWO, radii=[0.1, 0.9], **SENSOR)
    with pytest.raises(InputError, match="odd"):
        grid_kernels(kernels, channels=TWO, radii=[0.5], oversample=2, **SENSOR)


def test_radii_that_differ_from_depth_to_depth_need_a_grid(scattered, lopsided):
    kernels = [
        scattered(lopsided(), depth_m=depth_m, radius=radius)
        for depth_m, shift in ((0.5, 0.0), (1.0, 0.03))
        for radius in (0.1 - shift, 0.5 + shift, 0.9 + shift)
    ]
    one = (Channel("G"),)
    with pytest.raises(InputError, match=r"none at depth .* radius .* radii to interpolate to"):
        grid_kernels(kernels, channels=one, **SENSOR)
    made = grid_kernels(kernels, channels=one, radii=[0.2, 0.5, 0.8], **SENSOR)
    assert made.field.kernels.shape[:3] == (2, 3, 1)


def test_wavelengths_of_a_place_are_mixed_by_weight(scattered, lopsided):
    wide = lopsided(spacing_um=0.3)
    kernels = [
        scattered(lopsided(), radius=0.5, wavelength_um=0.6, weight=3.0),
        scattered(wide, radius=0.5, wavelength_um=0.65, weight=1.0),
    ]
    made = grid_kernels(kernels, channels=(Channel("R"),), kernel_px=11, **SENSOR)
    parts = [grid_kernels([one], channels=(Channel("R"),), kernel_px=11, **SENSOR).field.kernels for one in kernels]
    assert torch.allclose(made.field.kernels, 0.75 * parts[0] + 0.25 * parts[1], atol=2e-3)
    assert made.field.channels[0].wavelengths_um == (0.6, 0.65)
    assert made.field.channels[0].weights == (3.0, 1.0)


def test_azimuths_of_a_place_are_averaged_and_told(scattered, lopsided):
    kernels = [scattered(lopsided(a), azimuth_rad=a, radius=0.5) for a in (0.0, math.pi / 2)]
    made = grid_kernels(kernels, channels=(Channel("G"),), **SENSOR)
    assert any("2 azimuths averaged" in one.text for one in made.notices)


def test_transmission_is_against_the_axis(scene):
    kernels = [
        type(one)(**{**vars(one), "transmission": 0.5 * (1 - 0.5 * one.radius)}) for one in scene(radii=(0.0, 0.4, 0.9))
    ]
    field = grid_kernels(kernels, channels=TWO, **SENSOR).field
    assert torch.allclose(field.transmission[1, :, 0], torch.tensor([1.0, 0.8, 0.55]))
    assert grid_kernels(scene(), channels=TWO, **SENSOR).field.transmission.eq(1).all()


def test_what_the_files_do_not_say_is_told(scene):
    texts = " ".join(one.text for one in grid_kernels(scene(), channels=TWO, **SENSOR).notices)
    assert "no transmission" in texts
    assert "radii 0.000 to 0.900" in texts


def test_wrong_azimuth_is_found_by_its_mirror_image(scene):
    with pytest.raises(InputError, match=r"kernel 0\.5 0\.4 0: found .* mirror image"):
        grid_kernels([type(one)(**{**vars(one), "azimuth_rad": 0.0}) for one in scene()], channels=TWO, **SENSOR)


def _refused(scene):
    kernels = scene()
    other = {**vars(kernels[0]), "radius": 0.4}
    return {
        "missing": (kernels[:-1], "none at depth inf m, radius 0.9000, channel 'B'"),
        "twice": ([*kernels, kernels[3]], "the same depth, place, channel and wavelength"),
        "nothing": ([], "at least one"),
        "channel": ([type(kernels[0])(**{**other, "channel": 5})], "one of 2 channels"),
        "mixed": (
            [type(one)(**{**vars(one), "wavelength_um": 0.6 + 0.05 * (one.radius == 0.9)}) for one in kernels],
            r"found 0\.65 um .* 0\.6 um .* as elsewhere in channel 'R'",
        ),
    }


@pytest.mark.parametrize("name", ["missing", "twice", "nothing", "channel", "mixed"])
def test_kernels_that_are_no_field_are_refused(scene, name):
    kernels, words = _refused(scene)[name]
    with pytest.raises(InputError, match=words):
        grid_kernels(kernels, channels=TWO, **SENSOR)


def test_declared_wavelengths_are_those_of_the_files(scene):
    kernels = scene(wavelength_um=0.55)
    right, wrong = (Channel("R", (0.55,)), Channel("B", (0.55,))), (Channel("R", (0.65,)), Channel("B"))
    assert grid_kernels(kernels, channels=right, **SENSOR).field.channels == right
    with pytest.raises(InputError, match=r"0\.55 um .* expected 0\.65 um"):
        grid_kernels(kernels, channels=wrong, **SENSOR)


def test_progress_counts_nodes(scene):
    seen = []
    grid_kernels(scene(), channels=TWO, on_progress=lambda done, whole: seen.append((done, whole)), **SENSOR)
    assert seen[-1] == (12, 12)
