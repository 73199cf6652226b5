import json

import pytest
import torch
from PIL import Image

from learn.dfd.stack_folder import FOCAL_LENGTH, SUBJECT_DISTANCE, read_exif, read_stack_folder
from psf import InputError
from render import write_picture

FOCUS_M = (0.5, 0.72, 1.415)
SENSOR_PX = (120, 160)


def write_jpeg(path, shape, focus_m=None, focal_mm=None, grey=100):
    picture = Image.new("RGB", (shape[1], shape[0]), (grey, grey, grey))
    exif = Image.Exif()
    inner = {}
    if focus_m is not None:
        inner[SUBJECT_DISTANCE] = focus_m
    if focal_mm is not None:
        inner[FOCAL_LENGTH] = focal_mm
    exif[0x8769] = inner
    picture.save(path, exif=exif)


@pytest.fixture
def folder(tmp_path):
    """Makes a folder of three pictures."""

    def make(shape=SENSOR_PX, manifest=None, count=3):
        place = tmp_path / "stack"
        place.mkdir(exist_ok=True)
        for n in range(count):
            write_picture(place / f"{n}.png", torch.full((3, *shape), 0.2 + 0.1 * n))
        if manifest is not None:
            (place / "stack.json").write_text(json.dumps(manifest))
        return place

    return make


def listed(focus_m=FOCUS_M, **more):
    return {"pictures": [{"file": f"{n}.png", "focus_m": one} for n, one in enumerate(focus_m)], **more}


def test_pictures_come_in_the_order_of_their_focus(folder, fields):
    found = read_stack_folder(folder(manifest=listed(FOCUS_M[::-1])), fields, level=False)
    assert [one.name for one in found.files] == ["2.png", "1.png", "0.png"]
    assert found.stack.focus_m.tolist() == pytest.approx(FOCUS_M)
    assert float(found.stack.pictures[0].mean()) == pytest.approx(0.4, abs=0.01)


def test_exposures_are_brought_to_the_same_light(folder, fields):
    found = read_stack_folder(folder(), fields, focus_m=FOCUS_M)
    assert found.stack.pictures.mean((1, 2, 3)).tolist() == pytest.approx([0.2] * 3, abs=0.01)


def test_pictures_of_more_pixels_are_binned(folder, fields):
    found = read_stack_folder(folder(shape=(242, 320)), fields, focus_m=FOCUS_M)
    assert (found.binned, found.stack.shape_px) == (2, SENSOR_PX)


def test_a_part_of_the_frame_says_where_it_lies(folder, fields):
    found = read_stack_folder(folder(shape=(40, 50), manifest=listed(window_px=[90, 60])), fields)
    assert found.stack.window_px == (90, 60)
    assert read_stack_folder(folder(shape=(40, 50)), fields, window_px=(3, 4)).stack.window_px == (3, 4)


def test_exif_tells_focus_distances_from_the_sensor(tmp_path, fields):
    for n, focus_m in enumerate(FOCUS_M):
        write_jpeg(tmp_path / f"{n}.jpg", SENSOR_PX, focus_m + 0.04, 12.0)
    found = read_stack_folder(tmp_path, fields, lens_to_sensor_mm=40)
    assert found.stack.focus_m.tolist() == pytest.approx(FOCUS_M, abs=1e-4)
    assert found.focal_mm == pytest.approx(12.0)
    assert read_exif(tmp_path / "0.jpg", 0x9999) is None


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ({"count": 1}, {"focus_m": (0.5,)}, "1 picture, expected at least 2"),
        ({}, {}, "0.png: focus distance: found none in its Exif data"),
        ({}, {"focus_m": (0.5, 1.415)}, "2 distances, expected 3"),
        ({}, {"focus_m": (0.5, 1.415, 0.72)}, "ascending distances"),
        ({"manifest": listed((0.5, 0.5, 1.415))}, {}, "0.5 m twice"),
        ({"manifest": listed((0.5, 0.72, -1))}, {}, "a finite distance above 0"),
        ({}, {"focus_m": (0.5, 0.8, 1.415)}, "focus distances 0.5, 0.72, 1.415 m, expected those of the pictures"),
        ({"shape": (100, 160)}, {"focus_m": FOCUS_M}, "pictures of 160 x 100 px, expected 160 x 120 px of the fields'"),
        ({"manifest": {"pictures": 3}}, {}, "stack.json: found what cannot be read"),
        ({"shape": (40, 50)}, {"focus_m": FOCUS_M, "window_px": (150, 0)}, "50 x 40 px inside a sensor"),
    ],
)
def test_what_is_no_stack_is_said_in_one_line(folder, fields, arguments, options, words):
    with pytest.raises(InputError) as caught:
        read_stack_folder(folder(**arguments), fields, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pictures_of_several_sizes_and_files_that_are_gone_are_refused(folder, fields, tmp_path):
    place = folder(manifest=listed())
    write_picture(place / "1.png", torch.full((3, 120, 150), 0.2))
    with pytest.raises(InputError, match=r"1\.png: found 150 x 120 px, expected 160 x 120"):
        read_stack_folder(place, fields)
    (place / "2.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"2\.png"):
        read_stack_folder(place, fields)
    with pytest.raises(FileNotFoundError):
        read_stack_folder(tmp_path / "gone", fields)
