import csv
import dataclasses
import json
import shutil

import pytest
import torch
from PIL import Image

from learn.photos import Photo, PhotoFolder, Split, load_split, open_photos, split_photos
from psf import InputError

ROWS = [
    *[(f"a{n}.jpg", "Ada", "p1", "") for n in range(6)],
    *[(f"b{n}.jpg", "Bo", "p2", f"scene {n // 2}") for n in range(6)],
    *[(f"c{n}.jpg", "", "", "scene 1" if n == 0 else f"own {n}") for n in range(8)],
    *[(f"d{n}.jpg", "Di", "p1" if n == 0 else "", "") for n in range(3)],
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def folder_of(root, names):
    # Fingerprints far from each other: numbers times an odd constant.
    photos = [
        Photo(name, 1, 1, (100, 100), False, "", 0x9E3779B97F4A7C15 * (n + 1) % 2**64) for n, name in enumerate(names)
    ]
    return PhotoFolder(root, tuple(photos))


@pytest.fixture
def grouped(tmp_path):
    with (tmp_path / "groups.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "photographer", "package", "scene"), *ROWS])
    return folder_of(tmp_path, [row[0] for row in ROWS])


def shared_values(split, rows, column):
    values = [{row[column] for row in rows if row[0] in names} - {""} for names in (split.training, split.evaluation)]
    return values[0] & values[1]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_sides_share_no_photographer_package_or_scene(grouped, seed, share):
    split = split_photos(grouped, share=share, generator=generator(seed))
    assert sorted(split.training + split.evaluation) == sorted(row[0] for row in ROWS)
    assert split.evaluation
    assert split.training
    assert not any(shared_values(split, ROWS, column) for column in (1, 2, 3))
    assert split.find_shared() == []
    # a and d hang together by a package, b and c0 by a scene.
    sides = ["e" if row[0] in split.evaluation else "t" for row in ROWS]
    assert len(set(sides[:6] + sides[-3:])) == 1
    assert len(set(sides[6:13])) == 1


def test_the_share_is_met_as_nearly_as_groups_allow(tmp_path):
    photos = folder_of(tmp_path, [f"{n // 5}/{n}.jpg" for n in range(200)])
    for share in (0.1, 0.25):
        split = split_photos(photos, share=share, generator=generator(1))
        assert abs(len(split.evaluation) / 200 - share) < 0.02


def test_without_a_list_folders_are_groups(tmp_path):
    photos = folder_of(tmp_path, ["x/1.jpg", "x/2.jpg", "y/1.jpg", "y/z/1.jpg", "3.jpg"])
    split = split_photos(photos, share=0.4, generator=generator())
    assert ("x/1.jpg" in split.evaluation) == ("x/2.jpg" in split.evaluation)
    assert split.labels["y/z/1.jpg"] == {"folder": "y/z"}
    assert split.labels["3.jpg"] == {}


def test_a_pattern_finds_groups_in_names(tmp_path):
    photos = folder_of(tmp_path, ["a0001-jmac_1.jpg", "a0002-jmac_2.jpg", "a0003-kme_3.jpg"])
    split = split_photos(photos, share=0.4, generator=generator(), pattern=r"a\d+-([^_]+)_")
    assert split.labels["a0002-jmac_2.jpg"] == {"group": "jmac"}
    assert split.evaluation in (("a0003-kme_3.jpg",), ("a0001-jmac_1.jpg", "a0002-jmac_2.jpg"))
    for pattern, words in (("nothing", "a group in every name"), ("(", "a regular expression")):
        with pytest.raises(InputError, match=words):
            split_photos(photos, share=0.4, generator=generator(), pattern=pattern)


def test_artists_of_exif_data_are_groups(tmp_path):
    photos = folder_of(tmp_path, [f"{n}.jpg" for n in range(6)])
    signed = [dataclasses.replace(one, artist="Ada" if n < 3 else "") for n, one in enumerate(photos.photos)]
    split = split_photos(PhotoFolder(tmp_path, tuple(signed)), share=0.5, generator=generator())
    assert len({name in split.evaluation for name in ("0.jpg", "1.jpg", "2.jpg")}) == 1


@pytest.mark.parametrize("seed", range(2))
def test_near_duplicates_stay_together_whatever_their_folders(save, picture, pictures, seed):
    for n in range(6):
        save(f"{n}/picture.png", picture(150, 200, seed=n, smooth=10))
    copy = Image.fromarray(picture(150, 200, seed=2, smooth=10)).resize((140, 110))
    save("copies/other.jpg", copy, quality=60)
    split = split_photos(open_photos(pictures), share=0.4, generator=generator(seed))
    assert split.labels["copies/other.jpg"]["looks"] == "like 2/picture.png"
    assert ("copies/other.jpg" in split.evaluation) == ("2/picture.png" in split.evaluation)


def test_a_manifest_comes_back(grouped, tmp_path):
    split = split_photos(grouped, share=0.3, generator=generator())
    split.save(tmp_path / "split.json")
    assert load_split(tmp_path / "split.json") == split
    again = split_photos(grouped, share=0.3, generator=generator())
    assert again == split


def test_a_manifest_whose_sides_share_something_is_refused(tmp_path):
    labels = {"a.jpg": {"photographer": "Ada"}, "b.jpg": {"photographer": "Ada"}}
    Split(("a.jpg",), ("b.jpg",), labels).save(tmp_path / "split.json")
    with pytest.raises(InputError, match="photographer 'Ada' in training and evaluation"):
        load_split(tmp_path / "split.json")
    Split(("a.jpg",), ("a.jpg",), {"a.jpg": {}}).save(tmp_path / "split.json")
    with pytest.raises(InputError, match=r"a\.jpg in both"):
        load_split(tmp_path / "split.json")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", json.dumps({"format": "psfield photo split", "version": 9, "training": []})]
)
def test_what_is_no_manifest_is_named(tmp_path, content):
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(InputError, match=r"split\.json: found no split"):
        load_split(tmp_path / "split.json")


def test_one_group_cannot_be_divided(tmp_path):
    photos = folder_of(tmp_path, ["x/1.jpg", "x/2.jpg"])
    with pytest.raises(InputError, match="one group of all 2 photographs"):
        split_photos(photos, share=0.5, generator=generator())


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("name", "scene"), ("a0.jpg", "s")], "columns name, scene"),
        ([("file", "scene"), ("a0.jpg", "s")], "22 photographs not in it, first a1.jpg"),
        (
            [("file", "scene"), *[(r[0], "s") for r in ROWS], ("z.jpg", "s")],
            "1 names without a photograph, first z.jpg",
        ),
    ],
)
def test_lists_that_do_not_fit_are_named(grouped, tmp_path, rows, words):
    with (tmp_path / "other.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(InputError, match=words):
        split_photos(grouped, share=0.5, generator=generator(), groups=tmp_path / "other.csv")


def test_a_list_that_is_not_utf_8_is_named(grouped, tmp_path):
    (tmp_path / "other.csv").write_bytes("file,photographer\na0.jpg,José\n".encode("cp1252"))
    with pytest.raises(InputError, match=r"other\.csv: found no CSV in UTF-8"):
        split_photos(grouped, share=0.5, generator=generator(), groups=tmp_path / "other.csv")


def test_settings_that_make_no_sense_are_named(grouped, tmp_path):
    for change, words in (({"share": 1.0}, "share"), ({"within_bits": 40}, "within_bits")):
        with pytest.raises(InputError, match=words):
            split_photos(grouped, **{"share": 0.5, "generator": generator(), **change})
    with pytest.raises(FileNotFoundError, match=r"no\.csv"):
        split_photos(grouped, share=0.5, generator=generator(), groups=tmp_path / "no.csv")
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_split(tmp_path / "no.json")


def test_the_photographs_at_hand_divide_by_their_table(shared, tmp_path):
    source = shared / "data" / "photos"
    if not source.is_dir():
        pytest.skip("the folder 'shared' holds no photographs")
    lines = (source / "README.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    assert len(cells) == 32
    rows = [(row[0], row[3], row[5]) for row in cells]
    for name, _, _ in rows:
        shutil.copy(source / name, tmp_path / name)
    with (tmp_path / "groups.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "photographer", "package"), *rows])
    split = split_photos(open_photos(tmp_path), share=0.3, generator=generator())
    assert len(split.evaluation) >= 4
    assert not any(shared_values(split, rows, column) for column in (1, 2))
    assert not any("looks" in label for label in split.labels.values())
