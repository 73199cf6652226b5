"""`examples/ocr.py` and what it is made of: pages whose words are known, readers, error rates, the command line."""

import csv
import importlib
import math
import sys
from pathlib import Path

import pytest
import torch

import psf

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SIBLINGS = ("ocr", "pages", "readers", "shots")


@pytest.fixture(scope="module")
def modules():
    """The example and its siblings, as `python examples/ocr.py` finds them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield {name: importlib.import_module(name) for name in SIBLINGS}
    for name in SIBLINGS:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def lens(tmp_path_factory):
    """Large pixels, so that a page is small: 10 points are 21 px and the blur of 12 cm is 10 px."""
    file = tmp_path_factory.mktemp("lens") / "lens.h5"
    depths_m = torch.tensor([0.1, 0.12, 1.0, math.inf])
    psf.thin_lens_field(3.2781, 2.2, math.inf, 4.64, (400, 600), depths_m, kernel_px=17).save(file)
    return file


def edits_slowly(found, truth):
    row = list(range(len(found) + 1))
    for i, letter in enumerate(truth, 1):
        new = [i]
        for j, other in enumerate(found, 1):
            new.append(min(row[j] + 1, new[-1] + 1, row[j - 1] + (letter != other)))
        row = new
    return row[-1]


@pytest.mark.parametrize(
    ("found", "truth", "edits"),
    [
        ("kitten", "sitting", 3),
        ("", "abc", 3),
        ("abc", "", 3),
        ("", "", 0),
        ("same", "same", 0),
        ("flaw", "lawn", 2),
        ("aaaaab", "b", 5),
        (["a", "b", "c"], ["a", "c"], 1),
    ],
)
def test_edits_are_the_fewest(modules, found, truth, edits):
    assert modules["readers"].count_edits(found, truth) == edits


@pytest.mark.parametrize("seed", [0, 1])
def test_edits_agree_with_the_slow_twin(modules, seed):
    g = torch.Generator().manual_seed(seed)
    for _ in range(20):
        a, b = (
            "".join("abc"[int(n)] for n in torch.randint(3, (int(torch.randint(15, (), generator=g)),), generator=g))
            for _ in range(2)
        )
        assert modules["readers"].count_edits(a, b) == edits_slowly(a, b)


def test_score_leaves_line_breaks_and_kinds_of_quotes_out_of_account(modules):
    score = modules["readers"].score("It’s  a\nred   b0at", "It's a red boat")
    assert (score.characters, score.edits, score.words) == (15, 1, 4)
    assert score.found == (True, True, True, False)
    assert score.error_rate == pytest.approx(1 / 15)
    assert score.share_found == 0.75


@pytest.mark.parametrize(
    ("found", "truth", "marks"),
    [
        ("the cat sat", "the cat sat", (1, 1, 1)),
        ("noise the x sat", "the cat sat", (1, 0, 1)),
        ("sat cat sat", "the cat sat", (0, 1, 1)),
        ("", "the cat", (0, 0)),
    ],
)
def test_words_are_found_in_order(modules, found, truth, marks):
    assert modules["readers"].find_words(found.split(), truth.split()) == tuple(map(bool, marks))


def test_page_has_its_words_where_it_says(modules):
    pages = modules["pages"]
    _, font = pages.find_fonts(("DejaVu Serif",))[0]
    page = pages.draw_page(font, 24.0, (200, 420), generator=torch.Generator().manual_seed(3))
    assert page.image.shape == (1, 3, 200, 420)
    assert [word.text for word in page.words] == page.text.split()
    assert len(page.lines) > 3
    ink = page.image[0].mean(0) < 0.8
    covered = torch.zeros_like(ink)
    for word in page.words:
        left, top, right, bottom = word.box_px
        inside = (slice(math.floor(top), math.ceil(bottom)), slice(math.floor(left), math.ceil(right)))
        assert bool(ink[inside].any()), word
        covered[inside] = True
    assert not bool((ink & ~covered).any())


def test_page_shows_the_text_it_is_given_and_the_same_for_the_same_seed(modules):
    pages = modules["pages"]
    _, font = pages.find_fonts(("DejaVu Sans",))[0]
    page = pages.draw_page(font, 20.0, (120, 300), generator=torch.Generator().manual_seed(0), text="one two three")
    assert page.text == "one two three"
    a, b, c = (
        pages.draw_page(font, 20.0, (120, 300), generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(a.image, b.image)
    assert a.text != c.text


def test_fonts_that_come_with_matplotlib_are_always_there(modules):
    assert {"DejaVu Serif", "DejaVu Sans"} <= {name for name, _ in modules["pages"].find_fonts()}


def test_reader_that_is_not_installed_says_how_to_get_it(modules, monkeypatch):
    readers = modules["readers"]
    monkeypatch.setattr(readers.shutil, "which", lambda _: None)
    found, missing = readers.find_readers(("tesseract",))
    assert found == []
    assert "apt-get install tesseract-ocr" in missing[0]


@pytest.mark.parametrize("name", ["tesseract", "rapidocr"])
def test_reader_reads_a_sharp_page_without_an_error(modules, name):
    readers, missing = modules["readers"].find_readers((name,))
    if missing:
        pytest.skip(missing[0])
    pages = modules["pages"]
    _, font = pages.find_fonts(("DejaVu Sans",))[0]
    text = "Seven boats had not returned by noon."
    page = pages.draw_page(font, 40.0, (150, 1000), generator=torch.Generator().manual_seed(0), text=text)
    assert modules["readers"].score(readers[0].read(modules["shots"].to_pixels(page.image)), text).edits == 0


@pytest.fixture
def quick(modules, monkeypatch, tmp_path):
    """Reads the truth off a list, whatever the picture shows, but for one word."""
    readers = modules["readers"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        modules["ocr"], "find_readers", lambda _: ([readers.Reader("Oracle 1", lambda pixels: "the price")], [])
    )
    return modules["ocr"].main


def test_command_line_writes_tables_and_pictures_the_same_each_time(quick, lens, tmp_path, capsys):
    arguments = ["--field", str(lens), "--page-px", "96", "280", "--fonts", "DejaVu Serif", "--points", "9"]
    for name in ("a", "b"):
        assert quick([*arguments, "-o", name]) == 0, capsys.readouterr().err
    assert "Wiener, depth known" in capsys.readouterr().out
    names = {"ocr.csv", "read.txt", "page_00.png"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    with (tmp_path / "a" / "ocr.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5  # camera, PolyBlur, Wiener twice, perfect lens
    assert all(0 < float(row["character_error_rate"]) <= 1 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--depth-m", "0.01"], ["--depth-m", "0.01"]),
        (["--iso", "9999"], ["--iso", "9999", "3200"]),
        (["--points", "0"], ["--points", "0"]),
        (["--page-px", "101", "200"], ["--page-px", "101", "even"]),
        (["--page-px", "402", "200"], ["--page-px", "402", "400 600"]),
        (["--page-px", "64", "96"], ["page", "width", "word"]),
        (["--fonts", "No Such Face"], ["--fonts", "No Such Face"]),
        (["--fonts", "gone.ttf"], ["gone.ttf"]),
        (["--model", "gone.pt"], ["gone.pt", "no such file"]),
        (["--points", "many"], ["points"]),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_one_line_and_exit_code_2(quick, lens, capsys, arguments, words):
    assert quick(["--field", str(lens), *arguments]) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1, error
    assert all(word in error for word in ["error: ", *words]), error
