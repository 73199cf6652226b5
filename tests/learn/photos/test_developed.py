import numpy as np
import pytest
import tifffile
from PIL import Image

from learn.photos import develop_photos, open_photos
from learn.photos.jpeg_rows import find_rows
from psf import InputError


def test_copies_are_upright_quickly_read_and_keep_the_artist(save, picture, pictures, tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, "Ada"
    save("x/a.png", picture())
    save("b.jpg", picture(seed=2), quality=95, exif=exif)
    tifffile.imwrite(pictures / "c.tif", picture(seed=3).astype(np.uint16) << 8, photometric="rgb")
    (pictures / "bad.jpg").write_text("no picture")
    done = []
    found = develop_photos(pictures, tmp_path / "out", on_progress=lambda n, of: done.append((n, of)))
    assert found.written == ("b.jpg.jpg", "c.tif.jpg", "x/a.png.jpg")
    assert [name for name, _ in found.failed] == ["bad.jpg"]
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    copies = open_photos(tmp_path / "out")
    assert [one.shape_px for one in copies.photos] == [(130, 90), (90, 130), (90, 130)]
    assert copies.photos[0].artist == "Ada"
    originals = open_photos(pictures)
    for i in range(3):
        assert find_rows(copies.path(i).read_bytes()) is not None
        assert (copies.load(i) - originals.load(i)).abs().mean() < 0.012  # quality 96


def test_what_is_there_stays(save, picture, pictures, tmp_path):
    save("a.png", picture())
    develop_photos(pictures, tmp_path / "out")
    before = (tmp_path / "out" / "a.png.jpg").stat().st_mtime_ns
    save("b.png", picture())
    found = develop_photos(pictures, tmp_path / "out")
    assert (found.written, found.kept) == (("b.png.jpg",), ("a.png.jpg",))
    assert (tmp_path / "out" / "a.png.jpg").stat().st_mtime_ns == before


def test_long_pictures_are_shrunk(save, picture, pictures, tmp_path):
    save("a.png", picture(100, 150))
    develop_photos(pictures, tmp_path / "out", longest_px=75)
    with Image.open(tmp_path / "out" / "a.png.jpg") as opened:
        assert opened.size == (75, 50)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"longest_px": 10}, "longest_px"), ({"quality": 0}, "quality"), ({"workers": 0}, "workers")],
)
def test_settings_that_make_no_sense_are_named(save, picture, pictures, tmp_path, change, words):
    save("a.png", picture())
    with pytest.raises(InputError, match=words):
        develop_photos(pictures, tmp_path / "out", **change)


def test_folders_that_make_no_sense_are_named(pictures, tmp_path):
    with pytest.raises(InputError, match="no picture"):
        develop_photos(pictures, tmp_path / "out")
    with pytest.raises(InputError, match="another folder"):
        develop_photos(pictures, pictures)
    with pytest.raises(InputError, match="outside that of the originals"):
        develop_photos(pictures, pictures / "copies")
    with pytest.raises(FileNotFoundError):
        develop_photos(pictures / "nowhere", tmp_path / "out")
