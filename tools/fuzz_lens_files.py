"""Mutated lens files through every reader: nothing may come out but a whole lens or a clear error.

    python tools/fuzz_lens_files.py --count 20000 --seed 0

Each file of tests/data/lens_files (and archives of them) is a seed. A mutation flips bytes, cuts, repeats or swaps
lines, replaces numbers by hostile ones, or joins two files. A crash, a file that takes longer than the limit, a number
that is not finite, or an error of several lines is a finding; the file is kept.
"""

import argparse
import collections
import json
import random
import re
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

import optics
from optics.files.agf import Catalogue, parse_agf
from optics.files.notices import Log
from optics.files.opening import read_lens_bytes
from optics.files.zemax_writer import format_zmx
from psf.errors import InputError

SEEDS = Path(__file__).resolve().parents[1] / "tests" / "data" / "lens_files"
_HOSTILE_TEXT = (
    "0 -0 1 -1 2 3 1e308 -1e308 1e-308 1e400 nan inf -inf INFINITY 1_000 0x10 1e1e1 - . 99999999999999999999 1.5 -7 "
    '1e-9 1e9 MIRROR ___BLANK COORDBRK XASPHERE XPOLYNOM EVENASPH REFL AIR null true [] {} "" \' & ; !'
)
_WORD_TEXT = (
    "SURF STOP GLAS DISZ CURV DIAM CLAP PARM XDAT CONI TYPE UNIT FLOA ENPD FNUM S SO SI STO GLA PRV END NM CD LD NOTE"
)
HOSTILE, WORDS = _HOSTILE_TEXT.split(), _WORD_TEXT.split()
LIMIT_S = 5.0
_NUMBER = re.compile(rb"-?\d+\.?\d*(?:[eE][-+]?\d+)?")


class TooSlow(Exception):
    """A file took longer than the limit."""


def pack_zar(files: dict[str, bytes], *, old: bool = False) -> bytes:
    """An archive as `optics.files.zar` reads it, bytes packed by LZW.

    Args:
        files: Name to content.
        old: In the older layout.
    """
    parts = []
    for name, content in files.items():
        packed = pack_lzw(content)
        header = bytearray(0x14C if old else 0x288)
        if old:
            header[0:2], header[0x0C:0x10] = b"\xea\x00", len(packed).to_bytes(4, "little")
            text = f"{name}.LZW".encode("latin-1")
            header[0x20 : 0x20 + len(text)] = text
        else:
            header[0:2], header[0x10:0x18] = b"\xec\x03", len(packed).to_bytes(8, "little")
            text = f"{name}.LZW".encode("utf-16-le")
            header[0x30 : 0x30 + len(text)] = text
        parts += [bytes(header), packed]
    return b"".join(parts)


def pack_lzw(content: bytes) -> bytes:
    """LZW with codes of 9 bits and more, as the archives have it."""
    words = {bytes([value]): value for value in range(256)}
    bits, count, known = 0, 0, 256  # `known`: words that the reader has when it reads the next code
    word = b""
    codes = []
    for value in content:
        longer = word + bytes([value])
        if longer in words:
            word = longer
            continue
        codes.append(words[word])
        words[longer] = len(words)
        word = bytes([value])
    if word:
        codes.append(words[word])
    width = 9
    for i, code in enumerate(codes):
        while known >= 1 << width:
            width += 1
        bits, count = (bits << width) | code, count + width
        known += 1 if i else 0
    pad = -count % 8
    return (bits << pad).to_bytes((count + pad) // 8, "big")


def read_seeds(folder: Path = SEEDS) -> dict[str, bytes]:
    """Files to mutate, by name."""
    found = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
    for name in ("cooke_triplet", "phone_us7535658", "phone_deeplens80"):
        lens = optics.load(name)
        found[f"{name}.json"] = json.dumps(optics.to_json(lens), indent=1).encode()
        found[f"{name}.zmx"] = format_zmx(lens, name, Log(name))[0].encode()
    found["triplet.zar"] = pack_zar({"triplet.zmx": found["triplet.zmx"], "own.agf": found["own.agf"]})
    found["own_glass_old.zar"] = pack_zar(
        {"own_glass.zmx": found["own_glass.zmx"], "own.agf": found["own.agf"]}, old=True
    )
    return found


def mutate(content: bytes, others: list[bytes], draw: random.Random) -> bytes:
    """One to four mutations.

    Args:
        content: A lens file.
        others: All of them, to join with.
        draw: Where chance comes from.
    """
    for _ in range(draw.randint(1, 4)):
        content = draw.choice(MUTATIONS)(content, others, draw)
    return content


def _flip(content: bytes, _: list[bytes], draw: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        if data:
            data[draw.randrange(len(data))] = draw.randrange(256)
    return bytes(data)


def _cut(content: bytes, _: list[bytes], draw: random.Random) -> bytes:
    a, b = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    return content[:a] if draw.random() < 0.3 else content[:a] + content[b:]


def _lines(content: bytes, _: list[bytes], draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    a, b = draw.randrange(len(lines)), draw.randrange(len(lines))
    kind = draw.randrange(4)
    if kind == 0:
        del lines[a]
    elif kind == 1:
        lines.insert(b, lines[a])
    elif kind == 2:
        lines[a], lines[b] = lines[b], lines[a]
    else:
        lines[a:a] = [lines[b]] * draw.choice((2, 50))
    return b"\n".join(lines)


def _number(content: bytes, _: list[bytes], draw: random.Random) -> bytes:
    places = list(_NUMBER.finditer(content))
    if not places:
        return content
    place = draw.choice(places)
    if draw.random() < 0.5:
        try:
            new = repr(float(place[0]) * draw.choice((-1, 0.5, 1.1, 3, 100, 1e-6, 1e6)))
        except (ValueError, OverflowError):
            new = "1"
    else:
        new = draw.choice(HOSTILE)
    return content[: place.start()] + new.encode() + content[place.end() :]


def _word(content: bytes, _: list[bytes], draw: random.Random) -> bytes:
    words = content.split(b" ")
    words[draw.randrange(len(words))] = draw.choice((*HOSTILE, *WORDS)).encode()
    return b" ".join(words)


def _join(content: bytes, others: list[bytes], draw: random.Random) -> bytes:
    other = draw.choice(others)
    return content[: draw.randrange(len(content) + 1)] + other[draw.randrange(len(other) + 1) :]


def _recode(content: bytes, _: list[bytes], draw: random.Random) -> bytes:
    return content.decode("latin-1").encode(draw.choice(("utf-16-le", "utf-16", "utf-8", "utf-16-be")))


Mutation = Callable[[bytes, list[bytes], random.Random], bytes]
MUTATIONS: tuple[Mutation, ...] = (_flip, _cut, _lines, _lines, _number, _number, _number, _word, _word, _join, _recode)


def examine(name: str, content: bytes, *, strict: bool = True) -> str:
    """Read one file; "lens" or "error", and anything else is an exception.

    Args:
        name: Its ending names the reader.
        content: The file.
        strict: As in `read_lens_file`.
    """
    try:
        if name.endswith(".agf"):
            return _examine_glasses(parse_agf(content, name))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = read_lens_bytes(content, name, strict=strict)
    except InputError as error:
        if "\n" in str(error) or len(str(error)) > 2000:
            raise AssertionError(f"an error of {len(str(error))} letters or several lines") from error
        return "error"
    lens = found.lens
    waves = torch.tensor([w for c in lens.channels for w in c.wavelengths_um], dtype=torch.float64)
    numbers = [*lens.parameters().values(), *(s.medium.index(waves) for s in lens.surfaces)]
    if not all(bool(torch.isfinite(value).all()) for value in numbers):
        raise AssertionError("a lens with numbers that are not finite")
    for surface in lens.surfaces:
        sag, slope, _ = surface.shape.sag((0.999 * surface.semi_aperture_mm) ** 2)
        if not bool(torch.isfinite(sag)) or not bool(torch.isfinite(slope)):
            raise AssertionError("a surface whose height is not finite inside its rim")
    return "lens"


def _examine_glasses(catalogue: Catalogue) -> str:
    """Every glass is made or refused by itself."""
    made = 0
    for glass in catalogue.glasses.values():
        try:
            glass.medium("fuzz")
        except InputError:
            continue
        made += 1
    return "lens" if made else "error"


def draw_cases(seeds: dict[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes, bool]]:
    """Names, contents and whether to be strict, the same for the same seed."""
    names, contents = list(seeds), list(seeds.values())
    for i in range(count):
        draw = random.Random(f"{seed}/{i}")
        name = names[i % len(names)]
        if name.endswith(".zar") and draw.random() < 0.7:
            # Whole archives of broken files; bytes that are packed by LZW seldom survive a mutation.
            inner = "triplet.zmx" if "old" not in name else "own_glass.zmx"
            agf = seeds["own.agf"] if draw.random() < 0.5 else mutate(seeds["own.agf"], contents, draw)
            content = pack_zar({inner: mutate(seeds[inner], contents, draw), "own.agf": agf}, old="old" in name)
        else:
            content = mutate(seeds[name], contents, draw)
        yield f"{i:06d}_{name}", content, draw.random() < 0.7


def main() -> int:
    """Run; 0 without a finding."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--count", type=int, default=20_000)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--keep", type=Path, default=None, help="folder for files that were findings")
    args = words.parse_args()
    torch.set_num_threads(1)

    def too_slow(*_: object) -> None:
        raise TooSlow

    # Processor time: a busy machine is no finding.
    signal.signal(signal.SIGPROF, too_slow)
    counts: collections.Counter[str] = collections.Counter()
    findings: list[str] = []
    slowest, begin = (0.0, ""), time.process_time()
    for name, content, strict in draw_cases(read_seeds(), args.count, args.seed):
        start = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
        try:
            outcome = examine(name, content, strict=strict)
        except (Exception, TooSlow) as error:
            outcome = "finding"
            findings.append(f"{name}: {type(error).__name__}: {error}"[:300])
            if len(findings) <= 5:
                traceback.print_exc()
            if args.keep is not None:
                args.keep.mkdir(parents=True, exist_ok=True)
                (args.keep / name).write_bytes(content)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        counts[f"{Path(name).suffix} {outcome}"] += 1
        slowest = max(slowest, (time.process_time() - start, name))
    seconds = time.process_time() - begin
    print(json.dumps(dict(sorted(counts.items())), indent=1))
    print(f"{args.count} files in {seconds:.0f} s of one processor, slowest {slowest[0]:.2f} s ({slowest[1]})")
    print(f"{len(findings)} findings")
    print("\n".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
