"""Printed pages whose words are known: text of our own, set in a font, with the place of every word.

font = find_fonts(("Liberation Serif",))[0]
page = draw_page(font, type_px=83, shape_px=(1000, 1600), generator=generator)
page.image, page.text, page.words[0].box_px
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from psf import InputError

# Paper and ink in sRGB: neither is perfect, as in print.
PAPER, INK = (0.93, 0.92, 0.88), (0.13, 0.12, 0.14)
UPRIGHT = ("Regular", "Roman", "Book", "Light", "Medium")
LEADING = 1.32  # line to line, of the type size
MARGIN = 0.9  # paper around the text, of the type size
FINE = 3  # so many times finer than a pixel letters are drawn
# Text faces that machines have, of different makes; DejaVu comes with matplotlib, so two are always there.
USUAL_FONTS = ("Liberation Serif", "Liberation Sans", "P052", "URW Bookman", "DejaVu Serif", "DejaVu Sans")

SENTENCES = (
    "The harbour lights came on before the rain.",
    "Seven boats had not returned by noon, and the old clerk wrote their names on a green slate.",
    "Nobody spoke of the 42 crates left on the quay.",
    "A brass key hung behind the door of the weighing house.",
    "Her letter gave the price of wool, the depth of the snow, and little else.",
    "Turn the screw by a quarter, then wait until the needle stops.",
    "In 1908 the bridge was painted grey; it has been red ever since.",
    "Two quiet brothers kept bees between the orchard and the railway.",
    "The map showed a well where we found only nettles.",
    "Please return the blue jar, the scales and both spoons.",
    "Every glass plate was wrapped in paper and numbered in pencil.",
    "She judged the distance by the echo from the quarry.",
    "Frost had cracked the lowest step, so we jumped.",
    "His uncle measured cloth by the arm and always gave an inch extra.",
    "Mix 250 grams of flour with warm milk and a pinch of salt.",
    "The last tram leaves the square at 23:15 on weekdays.",
    "What the lens does not gather, no patience will bring back.",
    "A kite with a torn wing lay on the frozen pond.",
    "The judge read the clause aloud, paused, and read it again.",
    "Under the varnish they discovered an earlier horizon.",
    "Oxen crossed the ford in single file while the dogs swam.",
    "Do not open the valve before the gauge shows zero.",
    "The printer mixed his own black from soot and linseed oil.",
    "Three windows face the valley, and the fourth was bricked up long ago.",
    "Jugs of cider stood in the shade of the hay cart.",
    "Whoever wound the clock that winter forgot to sign the book.",
    "Small type is harder to read when the hand shakes.",
    "The auction began with a box of 60 copper buttons.",
    "A wren built her nest in the pocket of my coat.",
    "We followed the dry ditch as far as the mill and turned north.",
)


@dataclass(frozen=True)
class Word:
    """A word on a page.

    Attributes:
        text: As printed, with its punctuation.
        box_px: Left, top, right, bottom of its ink.
    """

    text: str
    box_px: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Page:
    """A page and what stands on it.

    Attributes:
        image: sRGB, shape (1, 3, H, W).
        lines: As printed.
        words: In reading order.
    """

    image: Tensor
    lines: tuple[str, ...]
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        """All words, with one space between."""
        return " ".join(self.lines)


def find_fonts(wanted: Sequence[str] = ()) -> list[tuple[str, Path]]:
    """Names and files of fonts.

    Args:
        wanted: Family names or files, all of which must be there; none: those of `USUAL_FONTS` that are.
    """
    found = []
    for name in wanted or USUAL_FONTS:
        if name.lower().endswith((".ttf", ".otf")):
            if not Path(name).is_file():
                raise FileNotFoundError(f"{name}: no such font file")
            found.append((Path(name).stem, Path(name)))
            continue
        file = _find_family(name)
        if file is not None:
            found.append((name, file))
        elif wanted:
            raise InputError("--fonts", repr(name), "families that this machine has (fc-list), or .ttf and .otf files")
    return found


def _find_family(name: str) -> Path | None:
    import matplotlib
    from matplotlib import font_manager

    stem = name.replace(" ", "").lower()
    own = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name.replace(' ', '')}.ttf"
    if own.is_file():
        return own
    # Looked up anew: matplotlib's own list is as old as its cache.
    for file in sorted(map(Path, font_manager.findSystemFonts())):
        if file.suffix.lower() in (".ttf", ".otf") and file.stem.lower().startswith(stem):
            family, style = ImageFont.truetype(str(file), 10).getname()
            if family == name and style in UPRIGHT:
                return file
    return None


def draw_page(
    font: Path, type_px: float, shape_px: tuple[int, int], *, generator: torch.Generator, text: str | None = None
) -> Page:
    """Set as much text as fits.

    Args:
        font: Its file.
        type_px: Type size (the em), in pixels of the page.
        shape_px: (H, W).
        generator: Shuffles the sentences.
        text: In place of them.
    """
    height, width = shape_px
    if text is None:
        order = torch.randperm(len(SENTENCES), generator=generator).tolist()
        text = " ".join(SENTENCES[n] for n in order)
    try:
        face = ImageFont.truetype(str(font), round(type_px * FINE), layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise InputError(str(font), str(error), "a font file") from error
    sheet = Image.new("L", (width * FINE, height * FINE), 0)
    pen = ImageDraw.Draw(sheet)
    margin, room = MARGIN * type_px * FINE, (width - 2 * MARGIN * type_px) * FINE
    lines = break_lines(text.split(), room, lambda words: pen.textlength(words, face))
    most = int((height - 2 * MARGIN * type_px) / (LEADING * type_px))
    if most < 1 or not lines:
        needed = f"at least {type_px * (2 * MARGIN + LEADING):.0f} px of height for type of {type_px:.0f} px"
        raise InputError("page", f"{width} x {height} px", needed)
    words = []
    for number, line in enumerate(lines[:most]):
        top = margin + number * LEADING * type_px * FINE
        pen.text((margin, top), line, 255, face)
        for start, word in _word_starts(line):
            left = margin + pen.textlength(line[:start], face)
            box = pen.textbbox((left, top), word, face)
            words.append(Word(word, (box[0] / FINE, box[1] / FINE, box[2] / FINE, box[3] / FINE)))
    ink = torch.from_numpy(np.asarray(sheet, np.float32) / 255)
    ink = ink.reshape(height, FINE, width, FINE).mean((1, 3))[None, None]
    paper, black = (torch.tensor(colour)[None, :, None, None] for colour in (PAPER, INK))
    return Page(paper + (black - paper) * ink, tuple(lines[:most]), tuple(words))


def break_lines(words: Sequence[str], room: float, measure: Callable[[str], float]) -> list[str]:
    """Words in lines that are no wider than `room`; `measure` gives a line's width."""
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure(longer) <= room:
            lines[-1] = longer
        elif measure(word) <= room:
            lines.append(word)
        else:
            raise InputError("page", f"a width of {room:.0f}", f"room for the word {word!r}")
    return lines


def _word_starts(line: str) -> list[tuple[int, str]]:
    starts, place = [], 0
    for word in line.split(" "):
        starts.append((place, word))
        place += len(word) + 1
    return starts
