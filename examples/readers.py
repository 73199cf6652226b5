"""Programs that read printed text, and how far what they read is from what was printed.

readers = find_readers(("tesseract", "rapidocr"))
text = readers[0].read(pixels)
count_edits(text, truth) / len(truth)                 # character error rate
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from psf import InputError

# Signs that fonts do not tell apart, and what a reader may well print for them.
SAME_SIGNS = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "—": "-", "–": "-", "，": ",", "：": ":", "；": ";"}
)
TESSERACT_SECONDS = 120


@dataclass(frozen=True, eq=False)
class Reader:
    """A program that reads.

    Attributes:
        name: With its version.
        read: Text of a picture, an array (H, W, 3) of uint8.
    """

    name: str
    read: Callable[[Any], str]


@dataclass(frozen=True)
class Score:
    """How a text was read.

    Attributes:
        characters: Of the truth, its spaces included.
        edits: Characters to insert, remove or replace.
        words: Of the truth.
        found: Which of them were read as they are, in order.
        text: What was read.
    """

    characters: int
    edits: int
    words: int
    found: tuple[bool, ...]
    text: str

    @property
    def error_rate(self) -> float:
        """Edits for each character of the truth; above 1 where a reader invents text."""
        return self.edits / self.characters

    @property
    def share_found(self) -> float:
        """Of the words."""
        return sum(self.found) / self.words


MISSING = {
    "tesseract": "tesseract is not installed; on Debian: apt-get install tesseract-ocr",
    "rapidocr": "rapidocr is not installed; its wheel holds its networks: pip install rapidocr onnxruntime",
}


def find_readers(names: Sequence[str]) -> tuple[list[Reader], list[str]]:
    """Readers that are installed, and a line on each that is not.

    Args:
        names: "tesseract" and "rapidocr".
    """
    makers = {"tesseract": _open_tesseract, "rapidocr": _open_rapidocr}
    readers, missing = [], []
    for name in names:
        if name not in makers:
            raise InputError("--readers", repr(name), " or ".join(map(repr, makers)))
        reader = makers[name]()
        if reader is None:
            missing.append(MISSING[name])
        else:
            readers.append(reader)
    return readers, missing


def _open_tesseract() -> Reader | None:
    program = shutil.which("tesseract")
    if program is None:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=20)
    version = (said.stdout or said.stderr).split("\n")[0].removeprefix("tesseract ").strip()

    def read(pixels: Any) -> str:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "page.png"
            Image.fromarray(pixels).save(file)
            command = [program, str(file), "-", "--psm", "6", "-l", "eng"]
            try:
                done = subprocess.run(
                    command, capture_output=True, encoding="utf-8", errors="replace", timeout=TESSERACT_SECONDS
                )
            except subprocess.TimeoutExpired as error:
                raise InputError("tesseract", f"no answer in {TESSERACT_SECONDS} s", "one to a page") from error
        if done.returncode:
            raise InputError("tesseract", " ".join(done.stderr.split())[:200], "a program that reads English")
        return done.stdout

    return Reader(f"Tesseract {version}", read)


def _open_rapidocr() -> Reader | None:
    if any(importlib.util.find_spec(name) is None for name in ("rapidocr", "onnxruntime")):
        return None
    package = importlib.import_module("rapidocr")
    # One thread: sums in another order would not be the same bytes.
    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    engine = package.RapidOCR(params={"Global.log_level": "error", **threads})
    version = importlib.import_module("importlib.metadata").version("rapidocr")

    def read(pixels: Any) -> str:
        found = engine(np.ascontiguousarray(pixels[..., ::-1]))
        return "\n".join(found.txts or ())

    return Reader(f"RapidOCR {version}", read)


def normalise(text: str) -> str:
    """Words with one space between, signs of one look made one sign."""
    return " ".join(text.translate(SAME_SIGNS).split())


def count_edits(found: Sequence[Any], truth: Sequence[Any]) -> int:
    """Fewest items to insert, remove or replace (Levenshtein)."""
    row = np.arange(len(found) + 1)
    steps = np.arange(len(found) + 1)
    left = np.array(list(found), dtype=object)
    for number, item in enumerate(truth, 1):
        best = np.empty_like(row)
        best[0] = number
        best[1:] = np.minimum(row[1:] + 1, row[:-1] + (left != item)) if len(found) else row[1:]
        # An insertion may follow another: the least of what stands to the left, plus the steps from there.
        row = np.minimum.accumulate(best - steps) + steps
    return int(row[-1])


def find_words(found: Sequence[str], truth: Sequence[str]) -> tuple[bool, ...]:
    """Which words of the truth are read as they are: as many as can be, in order (longest common subsequence)."""
    longest = np.zeros((len(truth) + 1, len(found) + 1), dtype=np.int64)
    for i in range(len(truth) - 1, -1, -1):
        for j in range(len(found) - 1, -1, -1):
            same = truth[i] == found[j]
            longest[i, j] = longest[i + 1, j + 1] + 1 if same else max(longest[i + 1, j], longest[i, j + 1])
    marks, i, j = [False] * len(truth), 0, 0
    while i < len(truth) and j < len(found):
        if truth[i] == found[j]:
            marks[i] = True
            i, j = i + 1, j + 1
        elif longest[i + 1, j] >= longest[i, j + 1]:
            i += 1
        else:
            j += 1
    return tuple(marks)


def score(found: str, truth: str) -> Score:
    """Compare what was read with what was printed, line breaks left out of account."""
    read, printed = normalise(found), normalise(truth)
    words = printed.split()
    if not words:
        raise InputError("truth", repr(truth), "a text")
    return Score(len(printed), count_edits(read, printed), len(words), find_words(read.split(), words), read)
