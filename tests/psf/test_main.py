import pytest
import torch

from psf.__main__ import main
from psf.capture_files import write_captures
from psf.captures import Captures

PLAN = ["--focal-mm", "12", "--f-number", "2.8", "--near-m", "0.5", "--far-m", "1.4", "--bin", "4"]


def test_plan_leaves_pictures_and_a_page(tmp_path, capsys):
    out = tmp_path / "plan"
    assert main(["plan", *PLAN, "--screen-px", "48", "64", "--leaves", "1", "-o", str(out)]) == 0
    assert (out / "plan.pdf").read_bytes().startswith(b"%PDF")
    assert (out / "patterns" / "leaves_00.png").read_bytes().startswith(b"\x89PNG")
    assert "photographs at 20 distances" in capsys.readouterr().out


@pytest.mark.parametrize("spoiled", [False, True])
def test_check_exits_with_1_where_something_is_serious(tmp_path, capsys, spoiled):
    sharp = torch.rand(2, 44, 44, generator=torch.Generator().manual_seed(0))
    blurred = torch.nn.functional.avg_pool2d(sharp, 3, 1)[..., 1:-1, 1:-1].clone()
    shown = blurred.flip(-1) if spoiled else blurred
    write_captures(tmp_path / "a.npz", Captures.from_arrays(sharp, shown, 0, 0, 1.0, (40, 40), 5, 1.0))
    assert main(["check", str(tmp_path / "a.npz")]) == (1 if spoiled else 0)
    assert ("serious: pair 0" in capsys.readouterr().out) is spoiled


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "plan"),
        (["plan"], "missing"),
        (["plan", *PLAN, "-o", "no/such/folder"], "no such folder"),
        (["plan", *PLAN, "--near-m", "3", "-o", "x"], "near_m"),
        (["check", "nowhere"], "nowhere"),
        (["check", "nowhere", "--fail-on", "weather"], "fail-on"),
        (["import", "nowhere.json", "-o", "x.h5"], "nowhere"),
        (["estimat"], "estimat"),
    ],
)
def test_words_that_lead_nowhere_are_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: ")
    assert "\n" not in line
    assert told in line
    assert not list(tmp_path.iterdir())
