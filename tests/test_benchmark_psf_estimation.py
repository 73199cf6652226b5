"""The table of PSF estimators, made small: rows of true kernels, of pictures, and of what re-blurring leaves."""

import csv
import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
METHODS = ("gaussian", "yang_free", "none_free")


@pytest.fixture(scope="module")
def table():
    """The script as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("psf_estimation")
    del sys.modules["psf_estimation"]


@pytest.fixture(scope="module")
def made(table, tmp_path_factory):
    """Rows of one lens, and how often pictures were taken for them."""
    folder = tmp_path_factory.mktemp("table")
    options = ["--lenses", "singlet", "--methods", *METHODS, "--pairs", "10", "--crop-px", "40", "--node-px", "20"]
    options += ["--test-depths", "2", "--test-places", "4", "--steps-share", "0.01", "--noise", "0.002"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["psf_estimation.py", "-o", str(folder), *options])
        assert table.main() == 0
    return folder, options


def rows_of(folder):
    lines = (folder / "psf_estimation_singlet.csv").read_text().splitlines()
    return {row["method"]: row for row in csv.DictReader(line for line in lines if not line.startswith("#"))}


def test_a_network_told_of_places_is_nearer_than_gaussians_and_leaves_less(made):
    rows = rows_of(made[0])
    assert tuple(rows) == METHODS
    assert float(rows["yang_free"]["mae_pixel"]) < 0.8 * float(rows["gaussian"]["mae_pixel"])
    assert 0.9 < float(rows["yang_free"]["held_noise"]) < 0.7 * float(rows["gaussian"]["held_noise"])


def test_only_rows_of_known_kernels_say_so(made):
    told = {name: row["supervised"] for name, row in rows_of(made[0]).items()}
    assert told == {"gaussian": "1", "yang_free": "0", "none_free": "0"}


def test_rows_that_are_there_are_not_made_again(table, made, monkeypatch, capsys):
    folder, options = made
    before = (folder / "psf_estimation_singlet.csv").read_bytes()
    monkeypatch.setattr(table, "photograph", lambda *_, **__: pytest.fail("pictures were taken again"))
    monkeypatch.setattr(sys, "argv", ["psf_estimation.py", "-o", str(folder), *options])
    assert table.main() == 0
    assert (folder / "psf_estimation_singlet.csv").read_bytes() == before
    assert capsys.readouterr().out.count("| singlet |") == len(METHODS)


def test_an_unknown_method_is_one_line(table, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["psf_estimation.py", "-o", str(tmp_path), "--methods", "psfnets"])
    assert table.main() == 2
    assert capsys.readouterr().err.startswith("error: --methods psfnets: expected ")
