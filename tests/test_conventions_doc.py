"""Every block of code in docs/conventions.md runs, each by itself, and its asserts hold."""

import ast
import re
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "conventions.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
SECTIONS = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
BLOCKS = [
    (match.group(1), TEXT[: match.start(1)].count("\n"))
    for match in re.finditer(r"```python\n(.*?)```", TEXT, re.DOTALL)
]


def heading_above(line: int) -> str:
    above = [text for text in TEXT.splitlines()[:line] if text.startswith("## ")]
    return f"{above[-1].removeprefix('## ')}, line {line + 1}"


@pytest.mark.parametrize(("source", "line"), BLOCKS, ids=[heading_above(line) for _, line in BLOCKS])
def test_block_runs_and_its_asserts_hold(source, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # blocks may write files
    tree = ast.increment_lineno(ast.parse(source, str(DOCUMENT)), line)
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree)), "a block without an assert proves nothing"
    exec(compile(tree, str(DOCUMENT), "exec"), {"__name__": "conventions"})


@pytest.mark.parametrize("section", SECTIONS, ids=[section.splitlines()[0] for section in SECTIONS])
def test_every_convention_has_an_assert_that_runs(section):
    assert "```python\n" in section
