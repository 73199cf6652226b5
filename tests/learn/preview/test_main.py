import pytest
from PIL import Image

from learn.preview.__main__ import main


@pytest.fixture
def field_file(lens, tmp_path):
    lens().save(tmp_path / "lens.h5")
    return tmp_path / "lens.h5"


def words(photos, field, out, *more):
    return [str(photos), "--field", str(field), "--cells", "32", "-o", str(out), *map(str, more)]


@pytest.mark.parametrize("more", [["-n", "2"], ["--compare", "--first", "1"], ["--statistics", "-n", "8"]])
def test_pages_are_drawn(photo_root, field_file, tmp_path, capsys, more):
    out = tmp_path / "page.png"
    assert main(words(photo_root, field_file, out, *more)) == 0
    assert f"written: {out}" in capsys.readouterr().out
    with Image.open(out) as page:
        assert page.width > 1000


@pytest.mark.parametrize(
    ("out", "more", "said"),
    [
        ("page.pdf", [], "--out: found the suffix '.pdf', expected .png"),
        ("nowhere/page.png", [], "no such folder to write page.png to"),
        ("page.png", ["-n", "0"], "--count: found 0"),
        ("page.png", ["--first", "-1"], "--first: found -1"),
        ("page.png", ["--compare", "--statistics"], "found both, expected one page at a time"),
        ("page.png", ["--noise", "loud"], "--noise: found 'loud'"),
    ],
)
def test_bad_words_are_one_line_each(photo_root, field_file, tmp_path, capsys, out, more, said):
    assert main(words(photo_root, field_file, tmp_path / out, *more)) == 2
    found = capsys.readouterr().err
    assert found.startswith("error: ")
    assert found.count("\n") == 1
    assert said in found
