"""examples/concept_figures.py: the figures of the concept pages."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("concept_figures", ROOT / "examples" / "concept_figures.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["concept_figures"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["concept_figures"]


@pytest.mark.parametrize("name", ["breathing", pytest.param("occlusion", marks=pytest.mark.slow)])
def test_figure_is_drawn_and_its_number_told(example, name, tmp_path, capsys):
    assert example.main([name, "-o", str(tmp_path / "figures")]) == 0
    assert (tmp_path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert f"{name}.png: " in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "figures").iterdir()] == [f"{name}.png"]


def test_every_concept_page_shows_its_figure(example):
    for name in example.FIGURES:
        page = (ROOT / "docs" / "concepts" / f"{name}.md").read_text(encoding="utf-8")
        assert f"../images/concept_{name}.png" in page
        assert f"python examples/concept_figures.py {name}" in page


@pytest.mark.parametrize("arguments", [["no_such_figure"], ["--no-such-flag"]])
def test_words_that_cannot_be_read_are_one_line_and_exit_code_2(example, arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert example.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())
