"""Zemax archives (.zar): a header and the bytes of one file after the other, packed by LZW or not; nothing is written.

The layout is not published. What is known of it from archives in the wild: a header of 0x288 bytes that begins with EC
(name in UTF-16 at 0x30, size of the packed bytes in 8 bytes at 0x10), in older ones of 0x14C bytes that begins with EA
(name in 8 bits at 0x20, size in 4 bytes at 0x0C), little-endian. Files whose names end in .LZW are packed: codes of 9
bits and more, most significant bit first, one bit longer as soon as the table of words is full.
"""

import io
import zipfile
import zlib
from dataclasses import dataclass

from psf.errors import InputError

MOST_FILES = 1000
LARGEST_UNPACKED_BYTES = 64_000_000
LONGEST_CODE_BITS = 24


@dataclass(frozen=True)
class _Layout:
    header: int
    size_at: slice
    name_at: int
    encoding: str


_LAYOUTS = {
    0xEC: _Layout(0x288, slice(0x10, 0x18), 0x30, "utf-16-le"),
    0xEA: _Layout(0x14C, slice(0x0C, 0x10), 0x20, "latin-1"),
}


def unpack_zar(content: bytes, file: str) -> dict[str, bytes]:
    """Every file of an archive by its name; ZIP archives that are called .zar are unpacked as well.

    Args:
        content: The archive.
        file: What error messages begin with.

    Raises:
        InputError: Damaged, or larger than any lens.
    """
    if content.startswith(b"PK"):
        return _unzip(content, file)
    found: dict[str, bytes] = {}
    at, left = 0, LARGEST_UNPACKED_BYTES
    while at < len(content):
        layout = _LAYOUTS.get(content[at])
        if layout is None:
            # Some archives end in zeros.
            if found and not any(content[at:]):
                break
            raise InputError(
                f"{file}: byte {at}", f"{content[at : at + 2].hex()}", "a header that begins with ec or ea"
            )
        header = content[at : at + layout.header]
        if len(header) < layout.header:
            raise InputError(f"{file}: byte {at}", f"{len(header)} bytes", f"a header of {layout.header}")
        size = int.from_bytes(header[layout.size_at], "little")
        name = header[layout.name_at :].decode(layout.encoding, errors="replace").partition("\0")[0]
        begin = at + layout.header
        if size > len(content) - begin:
            expected = f"at most the {len(content) - begin} that are left"
            raise InputError(f"{file}: {name[:60]!r}", f"{size} bytes", expected)
        packed = content[begin : begin + size]
        if name.upper().endswith(".LZW"):
            name, packed = name[:-4], unpack_lzw(packed, f"{file}: {name[:60]!r}", left)
        left -= len(packed)
        if left < 0 or len(found) >= MOST_FILES:
            raise InputError(file, "more files or bytes than a lens has", f"{MOST_FILES}, {LARGEST_UNPACKED_BYTES}")
        found[name.replace("\\", "/").rpartition("/")[2]] = packed
        at = begin + size
    return found


def unpack_lzw(packed: bytes, where: str, largest: int = LARGEST_UNPACKED_BYTES) -> bytes:
    """Undo LZW with codes of 9 bits and more.

    Args:
        packed: The bytes.
        where: What error messages begin with.
        largest: More bytes than this are refused.

    Raises:
        InputError: A code that no packer would have written, or too many bytes.
    """
    words = [bytes([value]) for value in range(256)]
    parts: list[bytes] = []
    bits = held = total = place = 0
    width, previous = 8, b""
    while True:
        if len(words) >= 1 << width:
            width += 1
        if width > LONGEST_CODE_BITS:
            raise InputError(where, f"codes of {width} bits", f"at most {LONGEST_CODE_BITS}")
        while bits < width and place < len(packed):
            held, bits, place = (held << 8) | packed[place], bits + 8, place + 1
        if bits < width:
            break
        bits -= width
        code = held >> bits
        held &= (1 << bits) - 1
        if code < len(words):
            word = words[code]
        elif code == len(words) and previous:
            word = previous + previous[:1]
        else:
            raise InputError(where, f"code {code} of {len(words)} words", "bytes that are packed by LZW")
        total += len(word)
        if total > largest:
            raise InputError(where, f"more than {largest} bytes when unpacked", "a lens file")
        parts.append(word)
        if previous:
            words.append(previous + word[:1])
        previous = word
    return b"".join(parts)


def _unzip(content: bytes, file: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    left = LARGEST_UNPACKED_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist()[:MOST_FILES]:
                if entry.is_dir():
                    continue
                with archive.open(entry) as part:
                    data = part.read(left + 1)
                left -= len(data)
                if left < 0:
                    raise InputError(file, f"more than {LARGEST_UNPACKED_BYTES} bytes", "a lens")
                found[entry.filename.replace("\\", "/").rpartition("/")[2]] = data
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(file, f"a damaged ZIP archive ({error})"[:120], "a Zemax archive") from None
    return found
