"""`examples/training_pages.py`: pages of invented words, written one by one."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module")
def pages():
    """The example, and the pages that it must not show."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield importlib.import_module("training_pages"), importlib.import_module("pages")
    for name in ("training_pages", "pages", "shots"):
        sys.modules.pop(name, None)


def test_a_page_is_the_same_whenever_it_is_drawn_and_another_for_another_index(pages):
    training, _ = pages
    one, again, other = (training.draw_training_page(3, index) for index in (5, 5, 6))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.shape == (1, 3, *training.SHAPE_PX)
    assert float(one.max() - one.min()) > 0.3


def test_no_word_of_the_judged_sentences_is_trained_on(pages):
    training, judged = pages
    told = {word.strip(".,;:!?").lower() for sentence in judged.SENTENCES for word in sentence.split()}
    invented = training.invent_words(3000, torch.Generator().manual_seed(0)).split()
    shared = {word.strip(".,;:!?").lower() for word in invented} & told
    # Short syllables such as "be" and figures may coincide.
    assert all(len(word) <= 3 or word.isdigit() for word in shared)


def test_the_command_writes_what_is_missing_and_refuses_nothing_to_do(pages, tmp_path, capsys):
    training, _ = pages
    assert training.main(["-o", str(tmp_path / "p"), "-n", "2"]) == 0
    files = sorted((tmp_path / "p").glob("*.png"))
    assert len(files) == 2
    with Image.open(files[0]) as picture:
        assert np.asarray(picture).shape == (*training.SHAPE_PX, 3)
    before = files[1].stat().st_mtime_ns
    files[0].unlink()
    assert training.main(["-o", str(tmp_path / "p"), "-n", "2"]) == 0
    assert files[0].is_file()
    assert files[1].stat().st_mtime_ns == before
    assert training.main(["-o", str(tmp_path / "p"), "-n", "0"]) == 2
    assert capsys.readouterr().err.startswith("error: --count")
