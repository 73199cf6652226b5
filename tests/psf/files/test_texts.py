import pytest

from psf.files.texts import decode_text


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("SURF ü".encode(), "utf-8"),
        ("\ufeffSURF ü".encode(), "utf-8"),
        ("\ufeffSURF ü".encode("utf-16-le"), "utf-16-le"),
        ("\ufeffSURF ü".encode("utf-16-be"), "utf-16-be"),
        ("SURF ü".encode("utf-16-le"), "utf-16-le"),
        ("SURF ü".encode("utf-16-be"), "utf-16-be"),
        ("SURF ü".encode("cp1252"), "cp1252"),
    ],
)
def test_every_encoding_is_told_apart(content, encoding):
    assert decode_text(content) == ("SURF ü", encoding)


def test_an_empty_file_and_letters_that_no_encoding_has_are_still_text():
    assert decode_text(b"") == ("", "utf-8")
    # 0x81 is no letter of Windows' western code page.
    assert decode_text(b"a\xe9\x81") == ("aé\ufffd", "cp1252")
