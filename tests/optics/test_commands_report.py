"""`python -m optics report`: a file or one line about what is wrong."""

import importlib
from pathlib import Path

import pytest

from optics import report
from optics.commands_report import ReportOptions, report_command

main = importlib.import_module("optics.__main__")


def test_options_reach_the_report(tmp_path, monkeypatch, capsys):
    seen = {}

    def fake(lens, settings, on_progress):
        seen.update(lens=lens, settings=settings)
        on_progress(1, 1)
        return "<html>\u00b5</html>"

    monkeypatch.setattr(report, "make_report", fake)
    out = tmp_path / "r.html"
    words = ["report", "cooke_triplet", "-o", str(out), "--depths-m", "inf", "2", "--wavelengths-um", "0.65", "0.45"]
    assert main.main([*words, "--f-number", "8"]) == 0
    assert out.read_text(encoding="utf-8") == "<html>\u00b5</html>"
    assert capsys.readouterr().out == f"written: {out}\n"
    assert [c.wavelengths_um for c in seen["settings"].channels] == [(0.65,), (0.45,)]
    assert tuple(seen["settings"].depths_m) == (float("inf"), 2.0)
    assert seen["settings"].circles_um is None
    assert list(tmp_path.iterdir()) == [out]


def test_the_sensor_is_moved_on_demand(tmp_path):
    def tell(lens, *_):
        return f"{lens.focus_m}"

    out = report_command(ReportOptions("cooke_triplet", tmp_path / "r.html", focus_m=2.0), tell)
    assert out.read_text() == "2.0"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no_such_lens", "-o", "r.html"], "no_such_lens"),
        (["cooke_triplet", "-o", "r.pdf"], ".html"),
        (["cooke_triplet", "-o", "no/r.html"], "no such folder"),
        (["cooke_triplet", "-o", "r.html", "--radii", "3"], "radii"),
        (["cooke_triplet", "-o", "r.html", "--depths-m", "-2"], "depth_m"),
        (["cooke_triplet", "-o", "r.html", "--f-number", "0.5"], "f_number"),
        (["cooke_triplet"], "missing: -o"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main.main(["report", *words]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert len(told.err.splitlines()) == 1
    assert not list(Path().iterdir())
