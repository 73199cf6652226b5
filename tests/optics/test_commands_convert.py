"""`python -m optics convert`: files in, a lens and a report out, and what is wrong in one line."""

import importlib
from pathlib import Path

import pytest

import optics

main = importlib.import_module("optics.__main__")
DATA = Path(__file__).parents[1] / "data" / "lens_files"


def convert(*words):
    return main.main(["convert", *map(str, words)])


def test_a_zemax_file_becomes_json_and_everything_guessed_is_told(tmp_path, capsys):
    out = tmp_path / "triplet.json"
    assert convert(DATA / "triplet.zmx", "-o", out, "--pitch-um", "4", "--image-shape-px", "400", "600") == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert lines[0] == "triplet: 6 surfaces, stop 4, focal length 49.9997 mm, f/5"
    assert lines[1] == "sensor: 600 x 400 px of 4 um"
    assert any(line.startswith("reading: line ") and "skipped" in line for line in lines)
    assert lines[-1] == f"written: {out}"
    assert optics.load(out).sensor == optics.Sensor((400, 600), 4.0)


def test_a_catalogue_of_the_callers_is_used(tmp_path):
    lens = tmp_path / "lens.zmx"
    lens.write_bytes((DATA / "own_glass.zmx").read_bytes())
    out = tmp_path / "lens.json"
    assert convert(lens, "-o", out) == 2
    assert convert(lens, "-o", out, "--catalogue", DATA) == 0


def test_json_becomes_zmx_and_what_is_lost_is_told(tmp_path, capsys):
    optics.save(optics.load("cooke_triplet"), tmp_path / "a.json")
    assert convert(tmp_path / "a.json", "-o", tmp_path / "a.zmx") == 0
    assert "writing: lost: " in capsys.readouterr().out
    assert (tmp_path / "a.agf").is_file()


def test_lenient_goes_on_where_strict_stops(tmp_path, capsys):
    lens = tmp_path / "lens.zmx"
    lens.write_text((DATA / "triplet.zmx").read_text().replace("  FLAP 0 6.5 0", "  SQAP 5 5"))
    assert convert(lens, "-o", tmp_path / "a.json") == 2
    assert "rectangular aperture" in capsys.readouterr().err
    assert convert(lens, "-o", tmp_path / "a.json", "--lenient") == 0
    assert "dropped: a rectangular aperture" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no.zmx", "-o", "a.json"], "no.zmx: no such file"),
        ([DATA / "triplet.zmx", "-o", "a.txt"], "--out: found the suffix '.txt'"),
        ([DATA / "triplet.zmx", "-o", "no/a.json"], "no such folder"),
        ([DATA / "triplet.zmx"], "missing: -o"),
        ([DATA / "triplet.zmx", "-o", "a.json", "--pitch-um", "0"], "pitch_um"),
        ([DATA / "triplet.zmx", "-o", "a.json", "--catalogue", "none.agf"], "none.agf"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert convert(*words) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert said in told.err
    assert len(told.err.splitlines()) == 1
    assert not list(tmp_path.rglob("*"))
