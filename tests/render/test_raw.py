import hashlib
import json
import math
import os
import subprocess
import sys
import warnings
from datetime import datetime

import numpy as np
import pytest
import tifffile
import torch

from psf import InputError
from render.dng import write_dng
from render.photographs import LinearFile, RawFile
from render.raw import _find_corner, _read_black, read_linear, read_photo, read_raw
from render.tiff_tags import CFA, LINEAR_RAW, Directory, FileTags

S40 = (8606, -2573, -949, -8237, 15489, 2974, -2649, 3076, 9100)
NEUTRAL = (990, 1819, 1, 1, 990, 1794)
# What a file of the test folder is refused for.
REASONS = {
    "bad_cfa_all_green.dng": "colour pattern GGGG",
    "bad_empty.dng": "an empty file",
    "bad_text.nef": "no RAW file",
    "bad_truncated_50.kdc": "cut off",
    "bad_truncated_70.dng": "cut off",
    "bad_white_below_black.dng": "white 512 and black 1023",
    "made_mono.dng": "monochrome",
    "made_xtrans.dng": "X-Trans",
    "nikon_d70s_no_pixels.nef": "JPEG picture",
}
DOUBTS = {
    "bad_zero_neutral.dng": ["no white balance"],
    "kodak_dc50.kdc": ["no colour matrix", "no white balance"],
    "kodak_dc120.kdc": ["no colour matrix", "no white balance"],
}
FLIPPED = {0: 1, 3: 3, 5: 8, 6: 6}
PLANES = {"RGGB": (0, 1, 2, 3), "GRBG": (1, 0, 3, 2), "GBRG": (2, 3, 0, 1), "BGGR": (3, 2, 1, 0)}


def rationals(values):
    return tuple(part for value in values for part in (round(value * 10000), 10000))


def make_dng(path, *, samples=None, kind=CFA, drop=(), **changed):
    """A DNG by another writer than ours; `changed` are tags as t50714=(type, values)."""
    pixels = np.random.default_rng(0).integers(40, 1000, (64, 96)).astype(np.uint16) if samples is None else samples
    tags = {
        271: (2, "Maker"),
        272: (2, "Model"),
        50706: (1, (1, 4, 0, 0)),
        50708: (2, "Maker Model"),
        50717: (4, (1023,)),
        50721: (10, tuple(part for value in S40 for part in (value, 10000))),
        50728: (5, NEUTRAL),
        50778: (3, (21,)),
    }
    if kind == CFA:
        tags |= {33421: (3, (2, 2)), 33422: (1, (0, 1, 1, 2)), 50714: (3, (32,))}
    tags |= {int(name[1:]): value for name, value in changed.items()}
    listed = []
    for tag, (form, value) in sorted(tags.items()):
        if tag not in drop:
            count = len(value) // 2 if form in (5, 10) else len(value) + (form == 2)
            listed.append((tag, form, count, value if len(value) > 1 else value[0], True))
    grey = kind == LINEAR_RAW and pixels.ndim == 2  # which tifffile does not let pass
    plain = "minisblack" if grey else kind
    tifffile.imwrite(path, pixels, photometric=plain, extratags=listed, metadata=None, software="tests")
    if grey:
        with tifffile.TiffFile(path, mode="r+b") as file:
            file.pages.first.tags[262].overwrite(kind)
    return pixels


def read_quietly(path, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return read_photo(path, **options), [str(one.message) for one in caught]


@pytest.fixture(scope="session")
def raw_files(shared):
    folder = shared / "data" / "raw"
    if not folder.is_dir():
        pytest.skip("the folder 'shared' holds no RAW files")
    return folder


def test_every_file_is_read_right_or_refused_for_the_right_reason(raw_files):
    expected = json.loads((raw_files / "expected.json").read_text())
    assert set(REASONS) == {name for name, one in expected.items() if one["verdict"] == "refuse"}
    assert set(DOUBTS) == {name for name, one in expected.items() if one["verdict"] == "warn"}
    for name, wanted in expected.items():
        if name in REASONS:
            with pytest.raises(InputError, match=rf"{name}.*{REASONS[name]}"):
                read_photo(raw_files / name)
            continue
        photo, doubts = read_quietly(raw_files / name)
        assert [doubt for doubt, words in zip(doubts, DOUBTS.get(name, []), strict=True) if words not in doubt] == []
        check_against_libraw(photo, wanted["rawpy"], raw_files / name)


def check_against_libraw(photo, wanted, path):
    assert isinstance(photo, LinearFile) == (wanted["raw_type"] == "Stack")
    pixels = photo.image_dn.permute(1, 2, 0) if isinstance(photo, LinearFile) else photo.mosaic
    values = pixels.numpy()
    assert list(photo.shape_px) == wanted["visible_shape"][:2]
    # The table counts LibRaw's empty fourth plane of linear files.
    assert (values.min() * isinstance(photo, RawFile), values.max()) == (wanted["min"], wanted["max"])
    assert values.mean() == pytest.approx(wanted["mean"], abs=6e-5)  # the table has four digits
    whole = read_quietly(path, masked_border=True)[0]
    if isinstance(whole, RawFile):
        assert list(whole.mosaic.shape) == wanted["raw_shape"]
        hashed = hashlib.sha256(whole.mosaic.numpy().astype("<u2").tobytes()).hexdigest()
        letters = "".join("RGBG"[index] for index in np.ravel(wanted["pattern"]))
        # black by colour index R, G, B, G2; the second green's row tells which of ours it is
        index = [np.ravel(wanted["pattern"])[PLANES[letters].index(plane)] for plane in range(4)]
        assert photo.pattern == letters
        assert photo.black_dn.tolist() == [wanted["black"][one] for one in index]
        if whole.active_area_px:
            assert whole.active_area_px == (*wanted["margins"][::-1], *wanted["visible_shape"][::-1])
            assert torch.equal(whole.cropped(*whole.active_area_px).mosaic, photo.mosaic)
            assert whole.cropped(*whole.active_area_px).pattern == photo.pattern
    else:
        fourth = np.zeros((*values.shape[:2], 4), "<u2")  # LibRaw's fourth plane of a linear file
        fourth[..., :3] = values
        hashed = hashlib.sha256(fourth.tobytes()).hexdigest()
        assert photo.black_dn.tolist() == wanted["black"][:3]
    assert hashed.startswith(wanted["raw_sha256_16"])
    assert photo.white_dn == wanted["white"]
    assert photo.orientation == FLIPPED[wanted["flip"]]
    assert photo.pixel_aspect == pytest.approx(wanted["pixel_aspect"], rel=1e-5)
    for name, key in (("iso", "iso"), ("exposure_s", "shutter_s"), ("f_number", "aperture"), ("focal_mm", "focal_mm")):
        assert getattr(photo, name) == pytest.approx(wanted[key], rel=1e-3)  # shutter_s has six decimals
    balance = np.array(wanted["wb"])
    if photo.white_balance is None:
        assert set(balance[[0, 2]]) <= {0.0, 1.0}
        np.testing.assert_allclose(
            photo.gains, np.array(wanted["daylight_wb"])[:3] / wanted["daylight_wb"][1], rtol=1e-4
        )
    else:
        np.testing.assert_allclose(photo.white_balance, balance[:3] / balance[1], rtol=1e-5)
    if wanted["crop"][2]:
        left, top, width, height = wanted["crop"]
        assert photo.crop_px == (left - wanted["margins"][1], top - wanted["margins"][0], width, height)
    table, to_srgb = np.array(wanted["rgb_xyz"])[:3], np.array(wanted["color_matrix"])[:, :3]
    if table.any():
        np.testing.assert_allclose(photo.xyz_to_camera, table, atol=1e-6)
    elif to_srgb.any():
        from render.metadata import make_metadata

        ours = torch.linalg.inv(make_metadata(photo.xyz_to_camera.double(), torch.ones(3)).rgb_to_camera)[0]
        # LibRaw's matrix to sRGB; its D65 white differs from that of our sRGB in the fourth digit.
        np.testing.assert_allclose(ours, to_srgb, atol=2e-3)
    else:
        assert photo.xyz_to_camera is None


def test_facts_of_a_real_camera(raw_files):
    photo = read_raw(raw_files / "canon_s40.crw")
    assert (photo.make, photo.model) == ("Canon", "Canon PowerShot S40")
    assert photo.time == datetime(2021, 3, 26, 21, 14, 52)
    assert photo.shape_px == (1720, 2312)
    assert photo.black_dn.tolist() == [32] * 4


def test_both_matrices_and_the_noise_of_a_dng_are_read(raw_files):
    photo = read_raw(raw_files / "gopro_hero6_crop_14bit.dng")
    assert [light for light, _ in photo.color_matrices] == [3, 23]
    np.testing.assert_allclose(photo.xyz_to_camera[0], [1.0344, -0.421, -0.062], atol=1e-6)
    np.testing.assert_allclose(photo.noise_profile, [[0.000156201, 4.88002e-08]], rtol=1e-6)


def test_a_dng_by_another_writer_is_read(tmp_path):
    pixels = make_dng(tmp_path / "a.dng")
    photo = read_raw(tmp_path / "a.dng")
    np.testing.assert_array_equal(photo.mosaic, pixels)
    assert photo.pattern == "RGGB"
    assert photo.black_dn.tolist() == [32] * 4
    assert photo.white_dn == 1023
    np.testing.assert_allclose(photo.white_balance, [1819 / 990, 1, 1794 / 990], rtol=1e-6)
    np.testing.assert_allclose(photo.xyz_to_camera.ravel(), np.array(S40) / 10000, atol=1e-7)
    assert (photo.make, photo.model, photo.iso, photo.lens) == ("Maker", "Model", None, "")


@pytest.mark.parametrize("pattern", PLANES)
def test_black_levels_go_by_site_and_keep_their_fractions(tmp_path, pattern):
    cell = tuple("RGB".index(letter) for letter in pattern)
    levels = (30.25, 31.5, 32.75, 33.125)  # by site, row by row
    make_dng(tmp_path / "a.dng", t33422=(1, cell), t50713=(3, (2, 2)), t50714=(5, rationals(levels)))
    photo = read_raw(tmp_path / "a.dng")
    assert photo.pattern == pattern
    assert photo.black_dn.tolist() == [levels[PLANES[pattern].index(plane)] for plane in range(4)]


@pytest.mark.parametrize(
    ("repeat", "levels", "planes"),
    [((1, 1), (40,), (40, 40, 40, 40)), ((1, 2), (40, 44), (40, 44, 40, 44)), ((2, 1), (40, 44), (40, 40, 44, 44))],
)
def test_black_level_may_repeat_in_smaller_cells(tmp_path, repeat, levels, planes):
    make_dng(tmp_path / "a.dng", t50713=(3, repeat), t50714=(3, levels))
    assert read_raw(tmp_path / "a.dng").black_dn.tolist() == list(planes)


def test_black_level_that_changes_along_the_rows_counts_by_its_mean(tmp_path):
    make_dng(tmp_path / "a.dng", t50716=(10, rationals([1.0, 3.0] * 32)))
    assert read_raw(tmp_path / "a.dng").black_dn.tolist() == [34] * 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_that_of_exif(tmp_path, orientation):
    make_dng(tmp_path / "a.dng", t274=(3, (orientation,)))
    assert read_raw(tmp_path / "a.dng").orientation == orientation


@pytest.mark.parametrize(("area", "pattern"), [((0, 0), "RGGB"), ((3, 8), "GBRG"), ((3, 7), "BGGR"), ((2, 5), "GRBG")])
def test_pattern_counts_from_the_corner_of_what_light_reaches(tmp_path, area, pattern):
    top, left = area
    levels = {"t50713": (3, (2, 2)), "t50714": (3, (30, 31, 32, 33))}  # R, Gr, Gb, B
    pixels = make_dng(tmp_path / "a.dng", t50829=(4, (top, left, 60, 90)), **levels)
    photo, whole = read_raw(tmp_path / "a.dng"), read_raw(tmp_path / "a.dng", masked_border=True)
    top, left = top + top % 2, left + left % 2  # LibRaw leaves out an odd row and column
    np.testing.assert_array_equal(photo.mosaic, pixels[top:60, left:90])
    assert photo.pattern == whole.pattern  # the first pixel of either has even coordinates
    assert photo.active_area_px is None
    assert photo.black_dn.tolist() == whole.black_dn.tolist() == [30, 31, 32, 33]
    np.testing.assert_array_equal(whole.mosaic, pixels)
    assert whole.pattern == pattern
    assert whole.active_area_px == (left, top, 90 - left, 60 - top)


def test_calibration_of_the_camera_and_its_analogue_balance_belong_to_the_matrix(tmp_path):
    calibration, balance = np.diag([1.1, 1.0, 0.9]), np.diag([0.8, 1.0, 1.2])
    tags = {"t50723": (10, rationals(calibration.ravel())), "t50727": (5, rationals([0.8, 1.0, 1.2]))}
    make_dng(tmp_path / "a.dng", **tags)
    expected = balance @ calibration @ np.array(S40).reshape(3, 3) / 10000
    np.testing.assert_allclose(read_raw(tmp_path / "a.dng").xyz_to_camera, expected, atol=1e-6)
    make_dng(tmp_path / "b.dng", **tags, t50931=(2, "other profile"))
    unchanged = balance @ np.array(S40).reshape(3, 3) / 10000
    np.testing.assert_allclose(read_raw(tmp_path / "b.dng").xyz_to_camera, unchanged, atol=1e-6)


@pytest.mark.parametrize("neutral", [(0, 1, 1, 1, 0, 1), None])
def test_absent_white_balance_is_warned_of(tmp_path, neutral):
    changed = {} if neutral is None else {"t50728": (5, neutral)}
    make_dng(tmp_path / "a.dng", drop=(50728,) if neutral is None else (), **changed)
    with pytest.warns(UserWarning, match=r"a\.dng: no white balance in the file; daylight's") as caught:
        photo = read_raw(tmp_path / "a.dng")
    assert caught[0].filename == __file__
    assert photo.white_balance is None
    assert photo.gains[0] > 2


def test_white_balance_of_ones_that_a_dng_states_is_one(tmp_path):
    make_dng(tmp_path / "a.dng", t50728=(5, (1, 1, 1, 1, 1, 1)))
    assert read_raw(tmp_path / "a.dng").white_balance.tolist() == [1, 1, 1]


def test_white_balance_does_not_depend_on_black_levels_that_differ(tmp_path):
    # LibRaw scales its multipliers by (white - black) of the planes of a linear file.
    rgb = np.random.default_rng(0).integers(100, 900, (64, 96, 3)).astype(np.uint16)
    changed = {"t50713": (3, (1, 1)), "t50714": (3, (10, 32, 100)), "t50717": (4, (1023, 1023, 1023))}
    make_dng(tmp_path / "a.dng", samples=rgb, kind=LINEAR_RAW, **changed)
    photo = read_linear(tmp_path / "a.dng")
    np.testing.assert_allclose(photo.white_balance, [1819 / 990, 1, 1794 / 990], rtol=1e-6)
    assert photo.black_dn.tolist() == [10, 32, 100]
    np.testing.assert_array_equal(photo.image_dn, rgb.transpose(2, 0, 1))


def test_missing_matrix_is_warned_of(tmp_path):
    make_dng(tmp_path / "a.dng", drop=(50721, 50778))
    with pytest.warns(UserWarning, match="no colour matrix"):
        assert read_raw(tmp_path / "a.dng").xyz_to_camera is None


XTRANS = (1, 1, 0, 1, 1, 2, 1, 1, 2, 1, 1, 0, 2, 0, 1, 0, 2, 1, 1, 1, 2, 1, 1, 0, 1, 1, 0, 1, 1, 2, 0, 2, 1, 2, 0, 1)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"t33422": (1, (1, 1, 1, 1))}, "a colour pattern of a single colour"),
        ({"t33422": (1, (0, 0, 1, 2))}, "colour pattern"),
        ({"t33422": (1, (0, 1, 2, 1))}, "colour pattern"),
        ({"t33421": (3, (6, 6)), "t33422": (1, XTRANS)}, "X-Trans"),
        ({"t50717": (4, (512,)), "t50714": (3, (900,))}, "white 512 and black 900"),
        ({"t50717": (4, (512,)), "t50714": (3, (512,))}, "white 512 and black 512"),
    ],
)
def test_mosaics_that_cannot_be_used_are_refused_by_name(tmp_path, changed, words):
    make_dng(tmp_path / "a.dng", **changed)
    with pytest.raises(InputError, match=rf"a\.dng.*{words}") as caught:
        read_raw(tmp_path / "a.dng")
    assert "\n" not in str(caught.value)


def test_monochrome_picture_is_refused_by_name(tmp_path):
    grey = np.random.default_rng(0).integers(0, 900, (64, 96)).astype(np.uint16)
    make_dng(tmp_path / "a.dng", samples=grey, kind=LINEAR_RAW, drop=(50721, 50728, 50778))
    for read in (read_raw, read_linear):
        with pytest.raises(InputError, match="monochrome"):
            read(tmp_path / "a.dng")


def test_each_reader_names_the_other_for_files_of_the_other_kind(tmp_path):
    make_dng(tmp_path / "mosaic.dng")
    rgb = np.random.default_rng(0).integers(0, 900, (64, 96, 3)).astype(np.uint16)
    make_dng(tmp_path / "linear.dng", samples=rgb, kind=LINEAR_RAW, t50717=(4, (1023, 1023, 1023)))
    with pytest.raises(InputError, match="read_linear"):
        read_raw(tmp_path / "linear.dng")
    with pytest.raises(InputError, match="read_raw"):
        read_linear(tmp_path / "mosaic.dng")
    assert isinstance(read_photo(tmp_path / "mosaic.dng"), RawFile)
    assert isinstance(read_photo(tmp_path / "linear.dng"), LinearFile)


def test_whites_that_differ_are_warned_of(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 900, (64, 96, 3)).astype(np.uint16)
    make_dng(tmp_path / "linear.dng", samples=rgb, kind=LINEAR_RAW, t50717=(4, (1023, 1000, 1023)))
    with pytest.warns(UserWarning, match="different white levels"):
        read_linear(tmp_path / "linear.dng")


# One of 1, 4 or 16 bytes of a file that is read changed: in a process of its own, since a crash of LibRaw ends it.
MUTATE = """
import random, sys, time, warnings
from pathlib import Path
import torch
from psf import InputError
from render.raw import read_photo

warnings.simplefilter("ignore")
torch.set_num_threads(1)
names, folder = [Path(name) for name in sys.argv[2:]], Path(sys.argv[1])
draw = random.Random(7)
counts, longest_s = {"read": 0, "refused": 0}, 0.0
for n in range(240):
    source = names[n % len(names)]
    content = bytearray(source.read_bytes())
    # Half of the changes hit the directories, which the pixels would drown.
    reach = len(content) if n % 2 else min(2048, len(content))
    for _ in range((1, 4, 16)[n % 3]):
        content[draw.randrange(reach)] = draw.randrange(256)
    file = folder / ("mutated" + source.suffix)
    file.write_bytes(content)
    start = time.perf_counter()
    try:
        read_photo(file)
        counts["read"] += 1
    except InputError as error:
        counts["refused"] += 1
        if "\\n" in str(error):
            raise
    longest_s = max(longest_s, time.perf_counter() - start)
print(counts["read"], counts["refused"], longest_s)
"""


def test_240_damaged_files_are_read_or_refused_and_nothing_crashes_or_hangs(tmp_path, root):
    make_dng(tmp_path / "mosaic.dng")
    rgb = np.random.default_rng(0).integers(0, 900, (64, 96, 3)).astype(np.uint16)
    make_dng(tmp_path / "linear.dng", samples=rgb, kind=LINEAR_RAW, t50717=(4, (1023, 1023, 1023)))
    write_dng(tmp_path / "ours.dng", read_raw(tmp_path / "mosaic.dng"), bits=12)
    sources = [tmp_path / name for name in ("mosaic.dng", "linear.dng", "ours.dng")]
    more = root.parent / "shared" / "data" / "raw"
    names = ("kodak_dc50.kdc", "kodak_dc120.kdc", "gopro_hero6_crop_14bit.dng", "made_bggr_12bit_crop.dng")
    sources += [more / name for name in names if (more / name).is_file()]
    command = [sys.executable, "-c", MUTATE, str(tmp_path), *map(str, sources)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    read, refused, longest_s = done.stdout.split()
    assert int(read) + int(refused) == 240
    assert int(refused) > 20  # the damage is real
    assert int(read) > 20
    assert float(longest_s) < 20  # 0.3 s on a quiet machine


def test_tags_of_fractions_over_nothing_are_as_if_they_were_not_there():
    own = {262: (float(CFA),), 50829: (math.nan, 2.0, 8.0, 8.0), 50713: (math.nan, 2.0), 50714: (64.0,)}
    tags = FileTags((Directory({50706: (1.0, 4.0, 0.0, 0.0), **own}),))
    assert _find_corner(tags) == (0, 0)
    assert _read_black(tags, [(0, 0, 0), (1, 1, 0)], 1) == [64.0, 64.0]
