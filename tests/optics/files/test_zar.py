"""Archives: what was packed comes back, and what is damaged is refused."""

import io
import zipfile

import pytest

from optics.files.zar import unpack_lzw, unpack_zar
from psf.errors import InputError


@pytest.mark.parametrize("content", [b"", b"a", b"aaaaaaa" * 100, bytes(range(256)) * 20, b"abab" * 5000])
def test_lzw_gives_back_what_was_packed(fuzz, content):
    assert unpack_lzw(fuzz.pack_lzw(content), "f") == content


@pytest.mark.parametrize("old", [False, True])
def test_both_layouts_give_back_every_file(fuzz, old):
    files = {"a.zmx": b"SURF 0" * 50, "b.agf": b"NM x", "c.dat": b""}
    assert unpack_zar(fuzz.pack_zar(files, old=old), "f.zar") == files


def test_a_zip_archive_is_unpacked_and_folders_are_dropped():
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../folder/a.zmx", "SURF 0")
    assert unpack_zar(held.getvalue(), "f.zar") == {"a.zmx": b"SURF 0"}


def test_a_bomb_is_refused_before_it_unfolds(fuzz):
    packed = fuzz.pack_lzw(bytes(100_000))
    with pytest.raises(InputError, match="more than 1000 bytes"):
        unpack_lzw(packed, "f", largest=1000)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello", "begins with ec or ea"),
        (b"\xec\x03", "a header of 648"),
        (b"PK\x03\x04", "damaged ZIP"),
        (b"\xec\x03" + bytes(14) + b"\xff" * 8 + bytes(0x288 - 24), "that are left"),
    ],
)
def test_what_is_damaged_is_refused(content, said):
    with pytest.raises(InputError, match=said):
        unpack_zar(content, "f.zar")


def test_codes_that_no_packer_writes_are_refused():
    with pytest.raises(InputError, match="code 511 of 256 words"):
        unpack_lzw(b"\xff\xff", "f")
