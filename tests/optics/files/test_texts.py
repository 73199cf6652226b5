import pytest

from optics.files.texts import parse_count, parse_number, read_bytes, split_lines
from psf.errors import InputError


def test_lines_end_where_editors_end_them():
    assert split_lines("a\r\nb\rc\nd\x0be\u2028f") == ["a", "b", "c", "d\x0be\u2028f"]


@pytest.mark.parametrize("word", ["", "x", "nan", "inf", "1e999", "1_0", "1e305"])
def test_words_that_are_no_numbers_are_refused(word):
    with pytest.raises(InputError, match="here"):
        parse_number(word, "here")


def test_fortran_exponents_are_numbers():
    assert (parse_number("1.5D-3", "f"), parse_number("-2d2", "f")) == (1.5e-3, -200)


def test_counts_are_whole_and_bounded():
    assert parse_count("3.0", "f", 0, 5) == 3
    for word in ("3.5", "6", "-1"):
        with pytest.raises(InputError):
            parse_count(word, "f", 0, 5)


def test_files_that_are_no_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "no")
    with pytest.raises(InputError):
        read_bytes(tmp_path)
