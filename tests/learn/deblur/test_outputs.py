from pathlib import Path

import pytest

from learn.deblur.outputs import list_photos, make_folder, plan_outputs, remove_leftovers
from psf import InputError


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "in"
    place.mkdir()
    for name in ("b.NEF", "a.dng", "c.jpg", "notes.txt", ".a.dng.0.part"):
        (place / name).touch()
    return place


def test_of_a_folder_its_raw_files_are_taken_by_name(folder):
    assert [path.name for path in list_photos([folder])] == ["a.dng", "b.NEF"]
    assert [path.name for path in list_photos([folder / "b.NEF", folder])] == ["b.NEF", "a.dng"]


def test_a_folder_without_raw_files_is_refused(tmp_path):
    with pytest.raises(InputError, match="no RAW file in the folder"):
        list_photos([tmp_path])


def test_files_bear_the_names_of_their_photographs(tmp_path):
    plan = plan_outputs([Path("x/a.nef"), Path("x/b.dng")], tmp_path, ("dng", "tif"), comparison=True)
    assert [path.name for path in plan[0].files] == ["a.dng", "a.tif", "a_before_after.png"]
    assert all(path.parent == tmp_path for one in plan for path in one.files)


def test_one_photograph_may_go_to_one_file(tmp_path):
    (plan,) = plan_outputs([Path("a.nef")], tmp_path / "better.png", comparison=True)
    assert plan.pictures == (("png", tmp_path / "better.png"),)
    assert plan.comparison == tmp_path / "better_before_after.png"


@pytest.mark.parametrize(
    ("photos", "out", "formats", "words"),
    [
        (["a.nef", "b.nef"], "o.dng", (), "one file for 2 photographs"),
        (["a.nef"], "o.dng", ("png",), "one file for 1 photographs in png"),
        (["x/a.nef", "y/a.dng"], "o", (), "photographs of different names"),
        (["o/a.dng"], "o", (), "found the photograph o/a.dng, expected another folder"),
        (["a.dng"], "o", ("gif",), "formats: found 'gif'"),
        ([], "o", (), "photographs: found none"),
    ],
)
def test_what_would_overwrite_something_is_refused(photos, out, formats, words):
    with pytest.raises(InputError, match=words):
        plan_outputs([Path(one) for one in photos], Path(out), formats)


def test_what_is_there_is_not_missing(tmp_path):
    (plan,) = plan_outputs([Path("a.nef")], tmp_path, ("dng", "png"))
    (tmp_path / "a.dng").touch()
    assert [path.name for path in plan.missing(False)] == ["a.png"]
    assert [path.name for path in plan.missing(True)] == ["a.dng", "a.png"]


def test_the_folder_is_made_but_not_its_parent(tmp_path):
    for out, expected in ((tmp_path / "new", None), (tmp_path / "no" / "new", FileNotFoundError)):
        plan = plan_outputs([Path("a.nef")], out)
        if expected is None:
            make_folder(out, plan)
            assert out.is_dir()
        else:
            with pytest.raises(expected, match="no such folder to make new in"):
                make_folder(out, plan)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="a folder to write to"):
        make_folder(tmp_path / "file", plan_outputs([Path("a.nef")], tmp_path / "file"))


def test_leftovers_of_this_very_file_are_removed(tmp_path):
    for name in (".a.dng.0123.part", ".a.png.0123.part", "a.dng"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "a.dng")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.png.0123.part", "a.dng"]
    remove_leftovers(tmp_path / "nowhere" / "a.dng")


def test_another_name_of_the_photograph_itself_is_refused(tmp_path):
    # What "photo.dng" is to "PHOTO.DNG" on disks that do not tell cases apart.
    photo, alias = tmp_path / "PHOTO.DNG", tmp_path / "out" / "PHOTO.dng"
    photo.touch()
    alias.parent.mkdir()
    alias.hardlink_to(photo)
    with pytest.raises(InputError, match="found the photograph"):
        plan_outputs([photo], alias.parent)
