"""Printed pages to train a restorer with: invented words in the DejaVu faces, none of the texts of `ocr.py`.

    python examples/training_pages.py -o DATA/pages -n 48

Words are drawn letter by letter, so that a network can learn what strokes look like and no word that it will be asked
for. Faces, sizes, ink and paper vary; a part of the pages is light on dark. DejaVu comes with matplotlib: every machine
writes the same pages.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from pages import INK, PAPER, draw_page
from shots import run_command
from tqdm import tqdm

from psf import InputError
from psf.runs import make_generator
from render import write_picture

FACES = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif", "DejaVuSerif-Bold",
         "DejaVuSerif-Italic")  # fmt: skip
VOWELS, CONSONANTS, MARKS = "aeiouy", "bcdfghjklmnpqrstvwxz", (".", ",", ";", "?", "!", ":")
SHAPE_PX = (1200, 1600)
TYPE_PX = (36.0, 150.0)
INVERTED = 0.15


@dataclass(frozen=True)
class Args:
    """Write pages as PNG files."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for them."""
    count: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 48
    """How many."""
    seed: int = 0
    """Page i depends on the seed and on i."""


def invent_words(count: int, generator: torch.Generator) -> str:
    """Words of letters that follow one another as in no language in particular, with capitals, figures and marks."""

    def pick(letters: str | tuple[str, ...]) -> str:
        return letters[int(torch.randint(len(letters), (), generator=generator))]

    words = []
    for _ in range(count):
        kind = float(torch.rand((), generator=generator))
        if kind < 0.06:
            words.append(str(int(torch.randint(1, 10_000, (), generator=generator))))
            continue
        syllables = int(torch.randint(1, 5, (), generator=generator))
        word = "".join(pick(CONSONANTS) + pick(VOWELS) + (pick(CONSONANTS) if n % 2 else "") for n in range(syllables))
        word = word.capitalize() if kind < 0.2 else word.upper() if kind < 0.25 else word
        words.append(word + (pick(MARKS) if kind > 0.85 else ""))
    return " ".join(words)


def draw_training_page(seed: int, index: int) -> torch.Tensor:
    """One page, sRGB, shape (1, 3, H, W)."""
    import matplotlib

    g = make_generator(seed, index)
    low, high = TYPE_PX
    face = FACES[int(torch.randint(len(FACES), (), generator=g))]
    type_px = low * (high / low) ** float(torch.rand((), generator=g))
    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"
    page = draw_page(font, type_px, SHAPE_PX, generator=g, text=invent_words(1500, g))
    paper, ink = (torch.tensor(colour)[None, :, None, None] for colour in (PAPER, INK))
    share = (paper - page.image) / (paper - ink)
    light = 0.6 + 0.38 * torch.rand((1, 3, 1, 1), generator=g)
    dark = 0.03 + 0.3 * torch.rand((1, 3, 1, 1), generator=g)
    if float(torch.rand((), generator=g)) < INVERTED:
        light, dark = dark, light
    return (light + (dark - light) * share).clamp(0, 1)


def run(args: Args) -> str:
    """Write the pages that are not there yet; tells how many there are."""
    if args.count < 1:
        raise InputError("--count", args.count, "a whole number from 1")
    args.out.mkdir(parents=True, exist_ok=True)
    for index in tqdm(range(args.count), unit="page", leave=False, disable=None):
        path = args.out / f"page_{args.seed}_{index:04d}.png"
        if not path.is_file():
            write_picture(path, draw_training_page(args.seed, index)[0], encoding="linear", bits=8)  # values are sRGB
    return f"written: {args.count} pages in {args.out}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command(Args, __doc__, argv, run)


if __name__ == "__main__":
    sys.exit(main())
