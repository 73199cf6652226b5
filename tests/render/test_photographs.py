from datetime import datetime

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psf import InputError
from render.bayer import PATTERNS, pack
from render.photographs import LinearFile, RawFile

BLACK = torch.tensor([60.0, 62.0, 64.5, 66.0])
S40 = torch.tensor([[0.8606, -0.2573, -0.0949], [-0.8237, 1.5489, 0.2974], [-0.2649, 0.3076, 0.9100]])


def make_mosaic(height=24, width=32, seed=0, high=1023):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, high + 1, (height, width), generator=generator, dtype=torch.int32).to(torch.uint16)


def make_photo(pattern="RGGB", mosaic=None, **facts):
    pixels = make_mosaic() if mosaic is None else mosaic
    return RawFile(pixels, pattern, **{"black_dn": BLACK, "white_dn": 1023.0, **facts})


@pytest.mark.parametrize("pattern", PATTERNS)
def test_light_is_dn_above_black_over_the_range_of_its_own_plane(pattern):
    photo = make_photo(pattern)
    planes = pack(photo.mosaic.to(torch.float64), pattern)
    expected = (planes - BLACK.double()[:, None, None]) / (1023 - BLACK.double()[:, None, None])
    assert photo.packed().shape == (1, 4, 12, 16)
    assert photo.packed().dtype == torch.float32
    # Two roundings of float32 to numbers around 1.
    torch.testing.assert_close(photo.packed()[0].double(), expected, rtol=0, atol=2e-7)
    assert torch.equal(pack(photo.normalised()[0, 0], pattern), photo.packed()[0])


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("form", ["packed", "normalised", "flat", "dn"])
def test_pixels_that_come_back_unchanged_are_the_same_numbers(pattern, form):
    photo = make_photo(pattern)
    light = {
        "packed": photo.packed(),
        "normalised": photo.normalised(),
        "flat": photo.normalised()[0, 0],
        "dn": photo.mosaic,
    }[form]
    back = photo.with_mosaic(light)
    assert torch.equal(back.mosaic, photo.mosaic)
    assert back.mosaic.dtype == torch.uint16
    assert torch.equal(back.black_dn, photo.black_dn)
    assert back.white_dn == photo.white_dn


@given(st.integers(0, 65534), st.integers(1, 65535), st.integers(0, 2**31))
def test_every_number_of_16_bits_survives_the_way_through_light(black, span, seed):
    white = min(black + span, 65535)
    mosaic = make_mosaic(4, 4, seed, high=white)
    photo = RawFile(mosaic, "GBRG", black_dn=torch.full((4,), float(black)), white_dn=float(white))
    assert torch.equal(photo.with_mosaic(photo.packed()).mosaic, mosaic)


def test_restored_light_is_rounded_and_clipped_to_what_the_file_can_hold():
    photo = make_photo(mosaic=make_mosaic(2, 2), black_dn=torch.full((4,), 100.0), white_dn=1100.0)
    light = torch.tensor([[0.0004, 0.0006], [-0.5, 1.7]])
    assert photo.with_mosaic(light).mosaic.tolist() == [[100, 101], [0, 1100]]


def test_noise_profile_belongs_to_the_pixels_it_was_measured_of():
    photo = make_photo(noise_profile=torch.tensor([[1e-4, 1e-7]]))
    assert photo.with_mosaic(photo.packed()).noise_profile is None
    residual = torch.tensor([[1e-6, 1e-9]])
    assert photo.with_mosaic(photo.packed(), noise_profile=residual).noise_profile is residual


@pytest.mark.parametrize(
    ("mosaic", "words"),
    [
        (torch.zeros(1, 4, 12, 15), "shape"),
        (torch.zeros(4, 12, 16), "shape"),
        (torch.zeros(24, 32, dtype=torch.int32), "int32"),
        (torch.zeros(1, 4, 12, 16, dtype=torch.uint16), "uint16"),
        (torch.full((24, 32), float("nan")), "not finite"),
    ],
)
def test_pixels_that_do_not_fit_are_refused(mosaic, words):
    with pytest.raises(InputError, match=words):
        make_photo().with_mosaic(mosaic)


def test_half_precision_light_is_not_computed_with_in_half_precision():
    photo = make_photo(mosaic=make_mosaic(2, 2), black_dn=torch.zeros(4), white_dn=65535.0)
    # 65535 is no half float: what was computed in half precision would be infinite.
    assert photo.with_mosaic(torch.ones(2, 2, dtype=torch.float16)).mosaic.tolist() == [[65535] * 2] * 2


@pytest.mark.parametrize("left", [0, 1, 6])
@pytest.mark.parametrize("top", [0, 1, 5])
def test_crop_keeps_every_colour_where_it_was(left, top):
    photo = make_photo("GRBG")
    part = photo.cropped(left, top, 10, 8)
    torch.testing.assert_close(part.normalised(), photo.normalised()[..., top : top + 8, left : left + 10])


def test_crop_takes_the_areas_along():
    photo = make_photo(crop_px=(4, 6, 20, 10), active_area_px=(2, 2, 28, 20))
    part = photo.cropped(8, 0, 20, 12)
    assert part.crop_px == (0, 6, 16, 6)
    assert part.active_area_px == (0, 2, 20, 10)
    assert photo.cropped(0, 20, 8, 4).crop_px is None


def test_corrections_do_not_outlive_the_place_they_count_from():
    lists = ((51009, b"shading"), (51022, b"distortion"))
    photo = make_photo(opcodes=lists, active_area_px=(2, 2, 28, 20))
    assert photo.with_mosaic(photo.mosaic).opcodes == lists
    assert photo.cropped(2, 2, 28, 20).opcodes == lists
    assert photo.cropped(0, 0, 28, 20).opcodes == ()
    # What is meant for a mosaic makes no sense of a picture that is none.
    assert photo.with_image(torch.zeros(1, 3, 24, 32)).opcodes == lists[1:]


def test_odd_sides_cannot_be_packed_until_they_are_cropped():
    photo = make_photo(mosaic=make_mosaic(23, 31))
    with pytest.raises(InputError, match=r"cropped\(0, 0, 30, 22\)"):
        photo.packed()
    assert photo.cropped(0, 0, 30, 22).packed().shape == (1, 4, 11, 15)
    assert torch.equal(photo.with_mosaic(photo.normalised()).mosaic, photo.mosaic)


@pytest.mark.parametrize("area", [(0, 0, 33, 8), (-1, 0, 8, 8), (0, 23, 8, 2), (0, 0, 1, 8)])
def test_crop_outside_is_refused(area):
    with pytest.raises(InputError, match="within 32 x 24 px"):
        make_photo().cropped(*area)


def test_gains_are_the_files_else_daylights_else_ones():
    balance = torch.tensor([1.9, 1.0, 1.6])
    assert make_photo(white_balance=balance, color_matrices=((21, S40),)).gains is balance
    # LibRaw's daylight multipliers of this matrix: 2.18654 0.91759 0.95542
    daylight = torch.tensor([2.18654, 0.91759, 0.95542]) / 0.91759
    torch.testing.assert_close(make_photo(color_matrices=((21, S40),)).gains, daylight, rtol=1e-4, atol=0)
    assert make_photo().gains.tolist() == [1, 1, 1]


def test_matrix_of_the_light_nearest_to_d65_is_taken():
    tungsten, cloudy, unknown = (S40 * scale for scale in (1.0, 1.1, 1.2))
    photo = make_photo(color_matrices=((17, tungsten), (10, cloudy), (255, unknown)))
    assert photo.xyz_to_camera is cloudy
    assert make_photo().xyz_to_camera is None


def test_black_and_white_have_short_names():
    assert make_photo().black is BLACK
    assert make_photo().white == 1023


def test_demosaiced_photograph_keeps_the_facts():
    photo = make_photo(iso=400.0, time=datetime(2024, 1, 2), orientation=6, crop_px=(2, 2, 20, 10), lens="L")
    image = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(0)) * 1.2 - 0.1
    linear = photo.with_image(image)
    assert (linear.iso, linear.time, linear.orientation, linear.crop_px, linear.lens) == (
        *(400, datetime(2024, 1, 2), 6, (2, 2, 20, 10)),
        "L",
    )
    assert linear.black_dn.tolist() == [0, 0, 0]
    # Half a step of 16 bits, and the rounding of float32.
    torch.testing.assert_close(linear.normalised(), image.clamp(0, 1), rtol=0, atol=0.51 / 65535)
    with pytest.raises(InputError, match="floats of shape"):
        photo.with_image(image[..., :-1])


GOOD = {"black_dn": BLACK, "white_dn": 1023.0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"black_dn": torch.zeros(3)}, "black_dn"),
        ({"black_dn": torch.tensor([0.0, 0, 0, -1])}, "black_dn"),
        ({"white_dn": 66.0}, "white above black"),
        ({"white_dn": float("nan")}, "white_dn"),
        ({"white_dn": 65536.0}, "white_dn"),
        ({"white_balance": torch.tensor([0.0, 1, 0])}, "white_balance"),
        ({"white_balance": torch.ones(4)}, "white_balance"),
        ({"color_matrices": ((21, torch.zeros(3, 3)),)}, "inverse"),
        ({"color_matrices": ((21, torch.ones(3)),)}, "color_matrices"),
        ({"iso": 0.0}, "iso"),
        ({"exposure_s": -1.0}, "exposure_s"),
        ({"noise_profile": torch.ones(2)}, "noise_profile"),
        ({"noise_profile": torch.tensor([[1.0, -1.0]])}, "noise_profile"),
        ({"orientation": 9}, "orientation"),
        ({"pixel_aspect": 0.0}, "pixel_aspect"),
        ({"baseline_exposure_ev": float("inf")}, "baseline_exposure_ev"),
        ({"crop_px": (0, 0, 33, 10)}, "crop_px"),
        ({"opcodes": ((51008, b""),)}, "opcodes"),
    ],
)
def test_what_cannot_be_a_photograph_is_refused_by_name(change, words):
    with pytest.raises(InputError, match=words):
        RawFile(make_mosaic(), "RGGB", **GOOD | change)


def test_mosaics_and_images_of_another_kind_are_refused():
    with pytest.raises(InputError, match="uint16"):
        RawFile(torch.zeros(4, 4), "RGGB", **GOOD)
    with pytest.raises(InputError, match="pattern"):
        RawFile(make_mosaic(), "RGBG", **GOOD)
    with pytest.raises(InputError, match="uint16"):
        LinearFile(torch.zeros(3, 4, 4), black_dn=torch.zeros(3), white_dn=1.0)
    with pytest.raises(InputError, match="pixel"):
        LinearFile(torch.zeros(3, 0, 4, dtype=torch.uint16), black_dn=torch.zeros(3), white_dn=1.0)
