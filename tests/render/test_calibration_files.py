from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from psf import InputError
from render.calibration_files import Frame, Reading, find_frames, find_pairs, look_into, read_mosaic
from render.dng import write_dng
from render.photographs import RawFile
from render.png import write_png16

READING = Reading("RGGB", (64.0,), 1023.0, 1.0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(name, mean=300, shape=(64, 80)):
    np.save(name, np.full(shape, mean, np.uint16))


def write_raw(name, mean, **facts):
    mosaic = torch.full((128, 160), mean, dtype=torch.int32)
    mosaic[0::2, 1::2] += 1  # Gr of RGGB
    given = {"black_dn": torch.full((4,), 64.0), "white_dn": 1023.0, "iso": 400.0, "exposure_s": 0.01}
    write_dng(name, RawFile(mosaic=mosaic.to(torch.uint16), pattern="RGGB", **(given | facts)))


@pytest.mark.parametrize(
    ("name", "kind", "iso", "pair"),
    [
        ("flat_iso400_03_a.npy", "flat", 400, "flat_iso400_03"),
        ("Flat-ISO-1600-3B.npy", "flat", 1600, "flat-iso-1600-3"),
        ("iso800/darks/IMG_0001.npy", "dark", 800, ""),
        ("dark/flat_iso100_1.npy", "flat", 100, ""),  # the name counts before the folder
        ("scene_iso_3200.npy", "scene", 3200, ""),
        ("IMG_0001.npy", "", None, ""),
        ("miso400.npy", "", None, ""),
        ("bias_b.npy", "dark", None, "bias"),
    ],
)
def test_names_say_what_files_are(folder, name, kind, iso, pair):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path)
    (found,) = find_frames(folder)
    assert (found.kind, found.iso, found.pair) == (kind, iso, pair)


def test_frames_come_in_the_order_of_their_numbers_and_other_files_are_left_alone(folder):
    for name in ("f10.npy", "f2.npy", "F1.NPY", ".hidden.npy"):
        with (folder / name).open("wb") as file:
            np.save(file, np.ones((4, 4), np.uint16))
    (folder / "notes.txt").write_text("x")
    (folder / "raw.jpg").write_bytes(b"x")
    with (folder / "colour.png").open("wb") as file:
        write_png16(file, np.ones((4, 4, 3), np.uint16))
    assert [one.path.name for one in find_frames(folder)] == ["F1.NPY", "f2.npy", "f10.npy"]


def test_numbers_of_other_kinds_in_names_are_letters(folder):
    for name in ("a3²4.npy", "a3.npy"):
        save(name)
    assert [one.path.name for one in find_frames(folder)] == ["a3.npy", "a3²4.npy"]


def test_a_manifest_says_everything(folder):
    for name in ("a.npy", "b.npy", "flat_iso100_c.npy"):
        save(name)
    (folder / "frames.csv").write_text("file,kind,iso,pair\nb.npy,dark,800,x\na.npy,flat,,\n")
    found = find_frames(folder)
    assert [(one.path.name, one.kind, one.iso, one.pair) for one in found] == [
        ("b.npy", "dark", 800, "x"),
        ("a.npy", "flat", None, ""),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,kind\na.npy,flats\n", ["frames.csv, line 2", "'flats'", "flat, dark, scene"]),
        ("name,kind\na.npy,flat\n", ["line 2", "file ''"]),
        ("file,kind,iso\na.npy,flat,fast\n", ["line 2", "'fast'"]),
        ("file,kind\n", ["no rows"]),
        (b"\xff\xfe\x00", ["no CSV"]),
    ],
)
def test_a_broken_manifest_is_named_by_line(folder, text, words):
    save("a.npy")
    (folder / "frames.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        find_frames(folder)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_missing_things_are_named(folder):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_frames(folder / "none")
    with pytest.raises(InputError, match="no frames"):
        find_frames(folder)
    save("a.npy")
    with pytest.raises(InputError, match="a folder of frames"):
        find_frames(folder / "a.npy")
    (folder / "frames.csv").write_text("file,kind\nz.npy,flat\n")
    with pytest.raises(FileNotFoundError, match=r"line 2: .*z\.npy"):
        find_frames(folder)


def frame(name, mean_dn, kind="flat", **facts):
    return Frame(Path(name), kind, 400, mean_dn=mean_dn, black_dn=(64.0,), white_dn=1023.0, **facts)


def names(pairs):
    return [(one.path.name, two.path.name) for one, two in pairs]


def test_neighbours_of_the_same_light_are_pairs():
    frames = [frame("1", 100), frame("2", 100.5), frame("3", 200), frame("4", 300), frame("5", 301)]
    pairs, single = find_pairs(frames)
    assert names(pairs) == [("1", "2"), ("4", "5")]
    assert [one.path.name for one in single] == ["3"]


def test_exposure_times_tell_lights_apart_and_dark_frames_are_all_alike():
    frames = [frame("1", 100, exposure_s=0.01), frame("2", 100, exposure_s=0.02)]
    assert find_pairs(frames)[0] == []
    assert names(find_pairs([frame("1", 64, "dark"), frame("2", 70, "dark")])[0]) == [("1", "2")]


def test_words_pair_what_is_not_neighbours():
    frames = [frame("1", 100, pair="x"), frame("2", 150), frame("3", 110, pair="x"), frame("4", 90, pair="y")]
    pairs, single = find_pairs(frames)
    assert names(pairs) == [("1", "3")]  # whether the light was the same is measured later
    assert [one.path.name for one in single] == ["4", "2"]


@pytest.mark.parametrize("suffix", [".npy", ".tif", ".png"])
def test_arrays_are_read_when_their_pattern_and_white_are_given(folder, suffix):
    mosaic = np.arange(64 * 80, dtype=np.uint16).reshape(64, 80)
    path = folder / f"flat{suffix}"
    if suffix == ".npy":
        np.save(path, mosaic)
    elif suffix == ".tif":
        tifffile.imwrite(path, mosaic)
    else:
        with path.open("wb") as file:
            write_png16(file, mosaic[..., None])
    planes, told = read_mosaic(path, Reading("GRBG", None, 5120.0, 1.0))
    assert planes.shape == (4, 32, 40)
    assert planes[0, 0, 0] == mosaic[0, 1]  # red of GRBG
    assert planes[1, 0, 0] == mosaic[0, 0]
    assert told.mean_dn == mosaic.mean()
    assert (told.iso, told.black_dn, told.white_dn) == (None, None, 5120)
    with pytest.raises(InputError, match="--pattern and --white"):
        read_mosaic(path, Reading(white_dn=1023.0))


def test_the_crop_is_the_middle_and_keeps_the_pattern(folder):
    mosaic = np.zeros((200, 300), np.uint16)
    mosaic[0::2, 0::2] = 7
    mosaic[60:140, 90:210] += 100
    np.save("flat.npy", mosaic)
    planes, _ = read_mosaic(folder / "flat.npy", Reading("RGGB", None, 1023.0, 0.4))
    assert planes.shape == (4, 40, 60)
    assert (planes[0] == 107).all()
    assert (planes[1:] == 100).all()


def test_raw_files_know_everything_and_may_be_corrected(folder):
    write_raw("a.dng", 300, black_dn=torch.tensor([64.0, 65.0, 66.0, 67.0]))
    planes, told = read_mosaic(folder / "a.dng", Reading(crop=1.0))
    assert [int(plane[0, 0]) for plane in planes] == [300, 301, 300, 300]
    assert (told.iso, told.exposure_s, told.white_dn) == (400, 0.01, 1023)
    assert told.black_dn == (64, 65, 66, 67)
    assert read_mosaic(folder / "a.dng", READING)[1].black_dn == (64,)


def test_files_without_a_word_are_known_by_their_pixels(folder):
    write_raw("IMG_1.dng", 65)
    write_raw("IMG_2.dng", 300)
    found = [look_into(one, Reading(crop=1.0)) for one in find_frames(folder)]
    assert [(one.kind, one.iso) for one in found] == [("dark", 400), ("flat", 400)]


def test_doubtful_files_are_named(folder):
    write_raw("flat_iso800_1.dng", 300)
    save("x_iso100.npy")
    save("flat.npy")
    save("flat_iso100_small.npy", shape=(40, 80))
    np.save("flat_iso100_float.npy", np.zeros((64, 80)))
    (folder / "flat_iso100_broken.npy").write_bytes(b"nothing")
    (folder / "flat_iso100_broken.dng").write_bytes(b"nothing")
    by_name = {one.path.name: one for one in find_frames(folder)}
    for name, reading, words in (
        ("flat_iso800_1.dng", READING, ["ISO 400 in the file", "ISO 800, as its name"]),
        ("x_iso100.npy", Reading("RGGB", None, 1023.0, 1.0), ["nothing that says what it is", "--black"]),
        ("flat.npy", READING, ["no ISO", "iso400"]),
        ("flat_iso100_small.npy", READING, ["80 x 40 px", "64 x 64 px or more"]),
        ("flat_iso100_float.npy", READING, ["float64", "whole DN"]),
        ("flat_iso100_broken.npy", READING, ["no readable content"]),
        ("flat_iso100_broken.dng", READING, ["flat_iso100_broken.dng"]),
        ("flat.npy", Reading("RGGB", (64.0,), 50.0, 1.0), ["black 64 and white 50 DN"]),
    ):
        with pytest.raises(InputError) as caught:
            look_into(by_name[name], reading)
        assert all(word in str(caught.value) for word in [name, *words]), str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pattern": "RGB"}, ["pattern", "'RGB'"]),
        ({"crop": 0}, ["crop", "0"]),
        ({"crop": 1.5}, ["crop", "1.5"]),
        ({"white_dn": -1}, ["white", "-1"]),
        ({"black_dn": (1, 2)}, ["black", "[1, 2]", "four"]),
    ],
)
def test_bad_options_are_named_in_one_line(options, words):
    with pytest.raises(InputError) as caught:
        Reading(**options)
    assert all(word in str(caught.value) for word in words), str(caught.value)
