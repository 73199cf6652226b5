"""The example that makes lenses better: what it writes reads back, its claims hold in small, refusals are one line."""

import csv
import importlib.util
import sys
from pathlib import Path

import pytest

import optics

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "optimise_lens.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("optimise_lens", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["optimise_lens"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["optimise_lens"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "lens", "pictures"),
    [
        ("recover", "double_gauss_optimised", ("double_gauss_compared", "double_gauss_optimised_layout")),
        ("extend", "f2.2_extended", ("f2.2_contrast", "f2.2_kernels", "f2.2_extended_layout")),
    ],
)
def test_example_writes_lenses_tables_and_pictures(example, tmp_path, capsys, task, lens, pictures):
    assert example.main([task, "--quick", "-o", str(tmp_path / "out")]) == 0
    out = tmp_path / "out"
    assert str(out / f"{lens}.json") in capsys.readouterr().out
    own, foreign = optics.load(out / f"{lens}.json"), optics.read_lens_file(out / f"{lens}.zmx").lens
    for name, value in own.parameters().items():
        assert (value - foreign.parameters()[name]).abs().max() <= 1e-12 * value.abs().max(), name
    for name in pictures:
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    with next(out.glob("*.csv")).open(encoding="utf-8") as file:
        rows = {row["lens"]: row for row in csv.DictReader(file)}
    if task == "recover":
        # Quick, with few rays: the figures of a full run stand in docs/optimise.md.
        assert float(rows["optimised"]["rms_um"]) < 1.01 * float(rows["design"]["rms_um"])
    else:
        assert float(rows["extended"]["missing_percent"]) <= float(rows["refocused"]["missing_percent"])
        assert float(rows["extended"]["worst_contrast"]) > float(rows["published"]["worst_contrast"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--errors", "-1"], "--errors"),
        (["--errors", "1000"], "Tolerances"),
        (["--rounds", "0"], "--rounds"),
        (["--depths-m", "1.0"], "--depths-m"),
        (["--fineness", "2"], "--fineness"),
        (["sharpen"], "sharpen"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(example, tmp_path, capsys, words, told):
    assert example.main([*words, "--quick", "-o", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: ")
    assert told in line
    assert "\n" not in line
    assert not (tmp_path / "out").exists()
