import json
import os
import sys

import pytest
from PIL import Image

from learn.photos import Photo, Unusable
from learn.photos.photo_index import INDEX_NAME, count_raw, index_photos, inspect_photo, list_files, read_index
from psf import InputError


def names(entries, kind):
    return [one.name for one in entries if isinstance(one, kind)]


@pytest.fixture
def folder(save, picture, pictures):
    """Three good pictures, nested, and four bad ones."""
    save("b/deep/one.jpg", picture(seed=1))
    save("a.png", picture(seed=2)[..., 0])
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, "Ada"
    save("b/two.JPG", picture(seed=3), exif=exif)
    save("tiny.png", picture(40, 70))
    (pictures / "empty.jpg").touch()
    (pictures / "text.png").write_text("not a picture")
    cut = save("b/cut.jpg", picture())
    cut.write_bytes(cut.read_bytes()[:-300])
    (pictures / "notes.txt").write_text("x")
    save("a.depth_mm.png", picture()[..., 0])
    save(".hidden.jpg", picture())
    save(".cache/three.jpg", picture())
    return pictures


def test_files_that_may_be_photographs_are_found_in_order(folder):
    want = ["a.png", "b/cut.jpg", "b/deep/one.jpg", "b/two.JPG", "empty.jpg", "text.png", "tiny.png"]
    assert list_files(folder) == want


@pytest.mark.parametrize("workers", [1, 3])
def test_the_usable_are_told_from_the_others(folder, workers):
    entries = index_photos(folder, workers=workers)
    assert names(entries, Photo) == ["a.png", "b/deep/one.jpg", "b/two.JPG"]
    reasons = {one.name: one.reason for one in entries if isinstance(one, Unusable)}
    assert reasons["empty.jpg"] == "found an empty file, expected a picture"
    assert reasons["tiny.png"] == "found 70 x 40 px, expected at least 64 px a side"
    assert "no readable content" in reasons["text.png"]
    assert "no readable content" in reasons["b/cut.jpg"]
    assert not any("\n" in reason or str(folder) in reason for reason in reasons.values())


def test_an_entry_tells_what_the_file_is(folder):
    grey, _, turned = (one for one in index_photos(folder) if isinstance(one, Photo))
    assert (grey.is_grey, grey.shape_px, grey.artist) == (True, (90, 130), "")
    assert (turned.is_grey, turned.shape_px, turned.artist) == (False, (130, 90), "Ada")
    assert turned.bytes == (folder / turned.name).stat().st_size


def test_colourless_pictures_in_three_channels_are_grey(save, picture):
    path = save("g.png", Image.fromarray(picture()).convert("L").convert("RGB"))
    assert inspect_photo(path.parent, "g.png").is_grey


def test_the_second_start_reads_nothing(folder):
    first = index_photos(folder)
    read = []
    assert index_photos(folder, on_progress=lambda done, of: read.append(of)) == first
    assert not read


def test_only_what_changed_is_read_again(folder, save, picture):
    before = {one.name: one for one in index_photos(folder)}
    save("a.png", picture(100, 80))
    save("new.jpg", picture(seed=9))
    (folder / "text.png").unlink()
    read = []
    after = {one.name: one for one in index_photos(folder, on_progress=lambda done, of: read.append((done, of)))}
    assert read == [(1, 2), (2, 2)]
    assert after["a.png"].shape_px == (100, 80)
    assert after.keys() == (before.keys() | {"new.jpg"}) - {"text.png"}
    assert read_index(folder / INDEX_NAME) == after


def test_a_file_of_the_same_size_and_another_time_is_read_again(folder):
    index_photos(folder)
    facts = (folder / "a.png").stat()
    os.utime(folder / "a.png", ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    read = []
    index_photos(folder, on_progress=lambda done, of: read.append(of))
    assert read == [1]


def test_the_index_may_lie_elsewhere(folder, tmp_path):
    entries = index_photos(folder, index=tmp_path / "index.jsonl")
    assert not (folder / INDEX_NAME).exists()
    assert list(read_index(tmp_path / "index.jsonl").values()) == entries
    assert not list(tmp_path.glob("*.part"))


def test_a_spoilt_index_is_made_anew_with_a_warning(folder):
    first = index_photos(folder)
    index = folder / INDEX_NAME
    index.write_text(index.read_text()[:-20])
    with pytest.warns(UserWarning, match="not an index of photographs"):
        assert index_photos(folder) == first


def test_an_index_of_another_version_is_made_anew(folder):
    first = index_photos(folder)
    index = folder / INDEX_NAME
    head, *lines = index.read_text().splitlines()
    index.write_text("\n".join([json.dumps({**json.loads(head), "version": 0}), *lines]))
    assert index_photos(folder) == first
    assert read_index(index)


def test_a_folder_without_leave_to_write_is_used_with_a_warning(folder, monkeypatch):
    def refuse(path, content):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("learn.photos.photo_index.write_whole", refuse)
    with pytest.warns(UserWarning, match="the index cannot be kept"):
        assert names(index_photos(folder), Photo)


def test_an_interrupted_start_goes_on_where_it_stopped(folder, monkeypatch):
    monkeypatch.setattr("learn.photos.photo_index.FILES_BETWEEN_SAVES", 2)

    def stop(done, of):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_photos(folder, workers=1, on_progress=stop)
    read = []
    index_photos(folder, on_progress=lambda done, of: read.append(of))
    assert read[0] == 3  # of 7, four were kept


def test_what_cannot_be_indexed_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        index_photos(tmp_path / "nowhere")
    with pytest.raises(InputError, match="workers"):
        index_photos(tmp_path, workers=0)


def test_raw_files_are_counted():
    raw = Photo("a.DNG", 1, 1, (100, 100), False, "", 0)
    assert count_raw([raw, Unusable("b.nef", 1, 1, "x")]) == 1


def test_names_with_characters_that_end_lines_elsewhere_are_kept(save, picture, pictures, recwarn):
    save("a\u2028b\x85c.jpg", picture())
    first = index_photos(pictures)
    assert names(first, Photo) == ["a\u2028b\x85c.jpg"]
    read = []
    assert index_photos(pictures, on_progress=lambda done, of: read.append(of)) == first
    assert not read
    assert not recwarn.list


def test_a_link_that_leads_nowhere_is_told_and_ends_nothing(save, picture, pictures):
    save("a.jpg", picture())
    (pictures / "b.jpg").symlink_to(pictures / "nowhere.jpg")
    for _ in range(2):
        good, bad = index_photos(pictures)
        assert (good.name, bad.name) == ("a.jpg", "b.jpg")
        assert bad.reason.startswith("no such file; a link that leads nowhere")


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_name_that_is_not_utf_8_is_told_and_ends_nothing(save, picture, pictures):
    path = save("a.jpg", picture())
    path.rename(pictures / "caf\udce9.jpg")
    for _ in range(2):
        (bad,) = index_photos(pictures)
        assert bad.name == r"caf\udce9.jpg"
        assert "not UTF-8" in bad.reason


def test_a_disk_that_cannot_be_written_to_is_used_with_a_warning(folder, monkeypatch):
    def refuse(path, content):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("learn.photos.photo_index.write_whole", refuse)
    with pytest.warns(UserWarning, match="the index cannot be kept"):
        assert names(index_photos(folder), Photo)
