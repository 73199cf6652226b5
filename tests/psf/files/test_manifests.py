"""Manifests: what is said, and what cannot be meant."""

import math

import pytest

from psf.errors import InputError
from psf.files.manifests import read_manifest

ONE = {"file": "a.txt", "depth_m": 0.5, "channel": "G", "radius": 0.3}


def test_settings_and_files_are_read(write_manifest, tmp_path):
    channels = [{"name": "R", "wavelengths_um": [0.61, 0.65], "weights": [1, 2]}, "G"]
    path = write_manifest([{**ONE, "transmission": 0.8}, {**ONE, "depth_m": "inf"}], channels=channels, kernel_px=31)
    found = read_manifest(path)
    assert [one.name for one in found.channels] == ["R", "G"]
    assert found.channels[0].weights == (1.0, 2.0)
    assert (found.pitch_um, found.image_shape_px, found.kernel_px) == (2.0, (300, 400), 31)
    assert (found.reference, found.reference_channel) == ("chief_ray", "G")
    assert [one.depth_m for one in found.entries] == [0.5, math.inf]
    assert found.entries[0].numbers == {"radius": 0.3, "transmission": 0.8}
    assert found.entries[0].file == tmp_path / "a.txt"


@pytest.mark.parametrize("mark", [",", ";"])
def test_table_says_the_same(tmp_path, mark):
    lines = ["# pitch_um: 2.0", "# image_shape_px: [300, 400]", "# focus_m: inf", "# lens: a phone"]
    rows = [
        ["file", "depth_m", "channel", "x_px", "y_px"],
        ["a.npy", "0.5", "G", "10", "20"],
        ["b.npy", "inf", "R", "1", "2"],
    ]
    path = tmp_path / "kernels.csv"
    path.write_text("\n".join([*lines, *(mark.join(row) for row in rows)]))
    found = read_manifest(path)
    assert (found.lens, found.focus_m, [one.name for one in found.channels]) == ("a phone", math.inf, ["G", "R"])
    assert found.entries[1].where == f"{path}:7"
    assert found.entries[1].place() == "px"
    assert found.entries[1].pair("x_px", "y_px") == (1.0, 2.0)


REFUSED = [
    ([], {}, "files: found none"),
    ([ONE], {"pitch_um": None}, "pitch_um: found nothing"),
    ([ONE], {"pitch_um": -1}, "pitch_um: found -1"),
    ([ONE], {"pitch": 2}, "the key 'pitch'"),
    ([ONE], {"image_shape_px": [300]}, "height, width"),
    ([ONE], {"focus_m": 0}, "focus_m"),
    ([ONE], {"format": "other"}, "format"),
    ([ONE], {"channels": []}, "channels"),
    ([ONE], {"channels": ["G", "G"]}, "each name once"),
    ([ONE], {"channels": [{"name": "G", "wavelengths_um": [-1]}]}, r"channels\[0\]"),
    ([ONE], {"channels": ["R"]}, r"files\[0\]: channel: found 'G'"),
    ([ONE], {"radii": [0.5, 0.2]}, "ascending"),
    ([ONE], {"reference": "middle"}, "chief_ray"),
    ([ONE], {"reference_channel": "X"}, "reference_channel"),
    ([ONE], {"kernel_px": 2.5}, "whole number"),
    ([ONE], {"lens": 3}, "text"),
    ([{**ONE, "depth": 1}], {}, "the key 'depth'"),
    ([{**ONE, "depth_m": None}], {}, r"files\[0\]: depth_m: found nothing"),
    ([{**ONE, "depth_m": -1}], {}, "depth in m above 0"),
    ([{**ONE, "radius": 1.5}], {}, "0 to 1"),
    ([{**ONE, "x_px": 1, "y_px": 2}], {}, "one way to say the place"),
    ([{**ONE, "reference_x_mm": 1}], {}, "reference_y_mm: found nothing"),
    ([{**ONE, "weight": 0}], {}, "positive"),
    ([{**ONE, "transmission": -0.1}], {}, "at least 0"),
    ([{**ONE, "file": ""}], {}, "name of a file"),
    ([{**ONE, "configuration": 0}], {}, "configuration"),
]


@pytest.mark.parametrize(("files", "settings", "words"), REFUSED, ids=[words for _, _, words in REFUSED])
def test_what_cannot_be_meant_is_refused_in_one_line(write_manifest, files, settings, words):
    with pytest.raises(InputError, match=words) as caught:
        read_manifest(write_manifest(files, **settings))
    assert "\n" not in str(caught.value)
    assert "manifest.json" in str(caught.value)


def test_broken_text_is_named_with_its_line(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"pitch_um": 2,\n "files": [,]}')
    with pytest.raises(InputError, match=r"a\.json:2: "):
        read_manifest(path)
    for text in ("[]", '{"files": 3}'):
        path.write_text(text)
        with pytest.raises(InputError, match="list"):
            read_manifest(path)
    table = tmp_path / "a.csv"
    table.write_text("# pitch_um: 2\nfile,depth_m\na.npy\n")
    with pytest.raises(InputError, match=r"a\.csv:3: found 1 values"):
        read_manifest(table)
    table.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="UTF-8"):
        read_manifest(table)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(InputError, match="suffix"):
        read_manifest(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError):
        read_manifest(tmp_path / "none.json")
