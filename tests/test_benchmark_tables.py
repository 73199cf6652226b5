"""The rows of the restoration tables, which take hours to make, can be made: their options and names are accepted."""

import importlib
import sys
from pathlib import Path

import pytest

from learn.deblur.__main__ import main
from learn.deblur.methods import Method

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def rows():
    """Of both tables, as the two scripts have them."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        table1, runs = importlib.import_module("table1"), importlib.import_module("restoration_runs")
        yield [*table1.ROWS, runs.OURS, runs.PIXELWISE]
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(FOLDER)):
            del sys.modules[name]


def test_every_row_has_a_name_that_tables_take(rows):
    for row in rows:
        Method(name=row.name, takes="RAW", knows=(), restore=lambda _: None)


def test_every_row_has_options_that_training_knows(rows, tmp_path, capsys):
    for row in rows:
        words = [tmp_path / "no_photos", "--field", tmp_path / "no_field.h5", "-o", tmp_path / "run", *row.options]
        assert main(["train", *map(str, words)]) == 2
        assert "no such" in capsys.readouterr().err, row.name
