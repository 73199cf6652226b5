import dataclasses

import numpy as np
import pytest
import rawpy
import torch
from PIL import Image, ImageOps

from psf import InputError
from render.bayer import PATTERNS, mosaic
from render.demosaicing import demosaic
from render.developing import develop, turn_upright
from render.dng import write_dng
from render.metadata import RGB_TO_XYZ
from render.photographs import LinearFile, RawFile
from render.pictures import encode_srgb
from render.raw import read_linear, read_raw

S40 = torch.tensor([[0.8606, -0.2573, -0.0949], [-0.8237, 1.5489, 0.2974], [-0.2649, 0.3076, 0.9100]])
GAINS = torch.tensor([1.8, 1.0, 1.6])


def make_photo(light, pattern="RGGB", **facts):
    """A photograph of camera RGB (3, H, W) before the white balance."""
    black = torch.full((4,), 512.0)
    dn = (mosaic(light, pattern) * (16383 - 512) + 512).round().to(torch.uint16)
    known = {"white_balance": GAINS, "color_matrices": ((21, S40),)}
    return RawFile(dn, pattern, black_dn=black, white_dn=16383.0, **known | facts)


def grey(level, shape=(24, 32)):
    """What a camera of those gains makes of a grey surface, (3, H, W)."""
    return (level / GAINS)[:, None, None].expand(3, *shape)


@pytest.fixture
def card(root):
    """A part of a colour card: cyan, white, the metal behind it."""
    with np.load(root / "tests" / "data" / "canon_s40_card.npz") as stored:
        pixels = torch.from_numpy(stored["mosaic"])
    known = {"white_balance": torch.tensor([1819.0, 990.0, 1794.0]) / 990, "color_matrices": ((21, S40),)}
    return RawFile(pixels, "RGGB", black_dn=torch.full((4,), 32.0), white_dn=1023.0, make="Canon", model="S40", **known)


def develop_by_libraw(path, **options):
    with rawpy.imread(str(path)) as opened:
        picture = opened.postprocess(
            use_camera_wb=True,
            no_auto_bright=True,
            gamma=(1, 1),
            output_bps=16,
            demosaic_algorithm=rawpy.DemosaicAlgorithm.LINEAR,
            **options,
        )
    return torch.from_numpy(picture.astype(np.float32) / 65535).permute(2, 0, 1)[None]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_real_colours_are_those_of_libraw(tmp_path, card, orientation):
    write_dng(tmp_path / "turned.dng", dataclasses.replace(card, orientation=orientation))
    photo = read_raw(tmp_path / "turned.dng")
    ours = develop(photo, method="bilinear", encoding="linear")
    theirs = develop_by_libraw(tmp_path / "turned.dng")
    assert ours.shape == theirs.shape
    # LibRaw rounds to 16 bits three times on the way; its border of a pixel is made otherwise.
    torch.testing.assert_close(ours[..., 2:-2, 2:-2], theirs[..., 2:-2, 2:-2], rtol=0, atol=1e-4)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("method", ["bilinear", "malvar"])
def test_grey_is_grey_and_as_bright_as_it_was(pattern, method):
    picture = develop(make_photo(grey(0.4), pattern), method=method)
    assert picture.shape == (1, 3, 24, 32)
    assert picture.dtype == torch.float32
    # Half a DN of 15871, times a gain of 1.8 and the matrix's largest entry, after the curve's slope of about 1.
    torch.testing.assert_close(picture, encode_srgb(torch.full_like(picture, 0.4)), rtol=0, atol=3e-4)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_colours_come_back_through_the_cameras_matrix(pattern):
    srgb = torch.tensor([0.5, 0.3, 0.1])
    to_camera = S40 @ torch.tensor(RGB_TO_XYZ)
    to_camera = to_camera / to_camera.sum(1, keepdim=True)
    camera = (to_camera @ srgb / GAINS)[:, None, None].expand(3, 24, 32)
    picture = develop(make_photo(camera, pattern), encoding="linear")
    torch.testing.assert_close(picture, srgb[None, :, None, None].expand_as(picture), rtol=0, atol=3e-4)


def test_saturated_sensor_is_white_and_not_magenta():
    # Also where the smallest gain is not that of green.
    for gains in (GAINS, torch.tensor([0.7, 1.0, 1.4])):
        picture = develop(make_photo(torch.ones(3, 24, 32), white_balance=gains))
        torch.testing.assert_close(picture, torch.ones_like(picture), rtol=0, atol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_is_turned_as_exif_says(orientation):
    picture = torch.arange(2 * 3).reshape(2, 3).to(torch.uint8)
    tagged = Image.fromarray(picture.numpy())
    tagged.getexif()[274] = orientation
    upright = torch.from_numpy(np.array(ImageOps.exif_transpose(tagged)))
    assert torch.equal(turn_upright(picture, orientation), upright)


def test_picture_of_a_turned_camera_is_upright():
    light = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0)) * 0.5
    straight, turned = (develop(make_photo(light, orientation=one)) for one in (1, 6))
    assert turned.shape == (1, 3, 32, 24)
    assert torch.equal(turned, torch.rot90(straight, -1, (-2, -1)))


def test_only_what_the_maker_shows_is_developed():
    light = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0)) * 0.5
    photo = make_photo(light, crop_px=(3, 5, 20, 10))
    # The ends of rows are computed by other instructions than their middles.
    torch.testing.assert_close(develop(photo), develop(photo, crop=False)[..., 5:15, 3:23], rtol=0, atol=1e-6)


def test_masked_border_is_not_developed():
    light = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0)) * 0.5
    photo = make_photo(light, active_area_px=(3, 4, 28, 20), crop_px=(5, 6, 20, 10))
    assert torch.equal(develop(photo, crop=False), develop(photo.cropped(3, 4, 28, 20), crop=False))
    assert develop(photo).shape == (1, 3, 10, 20)


@pytest.mark.parametrize(("aspect", "shape"), [(1.5, (24, 48)), (0.5, (48, 32)), (1.004, (24, 32))])
def test_pixels_become_square(aspect, shape):
    picture = develop(make_photo(grey(0.4), pixel_aspect=aspect))
    assert picture.shape == (1, 3, *shape)
    torch.testing.assert_close(picture, encode_srgb(torch.full_like(picture, 0.4)), rtol=0, atol=3e-4)


def test_stop_more_is_twice_the_light():
    photo = make_photo(grey(0.2))
    brighter = develop(photo, exposure_ev=1, encoding="linear")
    torch.testing.assert_close(brighter, 2 * develop(photo, encoding="linear"))


def test_demosaiced_file_develops_like_its_mosaic(tmp_path, card):
    balanced = card.normalised()[0]
    linear = card.with_image(demosaic(balanced, "RGGB", "bilinear"))
    write_dng(tmp_path / "a.dng", linear)
    ours, from_mosaic = (
        develop(one, method="bilinear", encoding="linear") for one in (read_linear(tmp_path / "a.dng"), card)
    )
    # Bilinear and white balance commute; half a step of 16 bits, times gain and matrix.
    torch.testing.assert_close(ours, from_mosaic, rtol=0, atol=4e-5)


def test_given_colours_replace_those_of_the_file():
    photo = make_photo(grey(0.4), white_balance=None, color_matrices=())
    with pytest.raises(InputError, match="no colour matrix"):
        develop(photo)
    picture = develop(photo, white_balance=GAINS, xyz_to_camera=S40)
    assert torch.equal(picture, develop(make_photo(grey(0.4))))
    # Without a white balance of its own daylight's is taken: not grey, but no error.
    assert develop(make_photo(grey(0.4), white_balance=None)).isfinite().all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "ahd"}, "ahd"),
        ({"encoding": "gamma"}, "encoding"),
        ({"exposure_ev": float("nan")}, "exposure_ev"),
        ({"exposure_ev": 2000.0}, "stops from -100 to 100"),
        ({"white_balance": torch.tensor([1.0, 0.0, 1.0])}, "white_balance"),
        ({"xyz_to_camera": torch.ones(3)}, "xyz_to_camera"),
        ({"xyz_to_camera": torch.ones(3, 3)}, "without an inverse"),
    ],
)
def test_what_cannot_be_developed_is_refused_by_name(options, words):
    with pytest.raises(InputError, match=words):
        develop(make_photo(grey(0.4)), **options)
    with pytest.raises(InputError, match="Exif"):
        turn_upright(torch.zeros(2, 2), 0)


def test_linear_file_with_black_is_developed_from_its_light():
    dn = (grey(0.4) * (1023 - 32) + 32).round().to(torch.uint16)
    known = {"white_balance": GAINS, "color_matrices": ((21, S40),)}
    photo = LinearFile(dn, black_dn=torch.full((3,), 32.0), white_dn=1023.0, **known)
    picture = develop(photo, encoding="linear")
    torch.testing.assert_close(
        picture, torch.full_like(picture, 0.4), rtol=0, atol=3e-3
    )  # half a DN of 991, times gain
