"""`python -m psf view`: a page, or one line about what is wrong."""

import webbrowser

import pytest
import torch

from psf import Provenance
from psf.__main__ import main
from psf.commands_view import ViewOptions, run_view
from psf.viewer import ViewerPage


@pytest.fixture
def folder(tmp_path, make_field):
    """Two field files."""
    make_field(dtype=torch.float32).save(tmp_path / "a.h5")
    make_field(seed=1, provenance=Provenance(lens="triplet")).save(tmp_path / "b.h5")
    return tmp_path


def test_page_is_written_beside_the_field_and_opened(folder, monkeypatch, capsys):
    opened = []

    class Windows(webbrowser.BaseBrowser):
        def open(self, url, new=0, autoraise=True):
            opened.append(url)
            return True

    monkeypatch.setattr(webbrowser, "get", lambda: Windows("fake"))
    assert main(["view", str(folder / "a.h5")]) == 0
    page = folder / "a.html"
    assert opened == [page.as_uri()]
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("a: 3 depths, 4 image heights, 7 px; kernels within")
    assert said[1] == f"written: {page} (0.1 MB)"
    assert "<h1>a</h1>" in page.read_text(encoding="utf-8")


def test_two_fields_share_a_page_and_no_browser_is_disturbed(folder, monkeypatch):
    def refuse():
        raise AssertionError("a browser was asked for")

    monkeypatch.setattr(webbrowser, "get", refuse)
    out = folder / "page.htm"
    assert main(["view", str(folder / "a.h5"), str(folder / "b.h5"), "-o", str(out), "--no-open"]) == 0
    assert "<h1>a and b</h1>" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize("found", [webbrowser.Error("none"), webbrowser.GenericBrowser("lynx")])
def test_a_terminal_without_windows_is_left_alone(folder, monkeypatch, capsys, found):
    def get():
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(webbrowser, "get", get)
    assert main(["view", str(folder / "a.h5")]) == 0
    assert capsys.readouterr().out.endswith("no browser was found to open it\n")


def test_options_reach_the_page(folder):
    seen = {}

    def make(fields, names, **options):
        seen.update(options, fields=fields, names=names)
        return ViewerPage("<p>µ</p>", 0.0, ())

    options = ViewOptions(field=folder / "b.h5", open=False, depths=2, radii=3, kernel_px=5, most_mb=2.0)
    out = run_view(options, make=make, show=lambda _: True, say=str)
    assert out.read_text(encoding="utf-8") == "<p>µ</p>"
    assert seen.pop("fields")[0].kernels.shape[-1] == 7
    assert seen == {"names": ["triplet"], "depths": 2, "radii": 3, "kernel_px": 5, "most_mb": 2.0}


def test_fields_of_one_name_are_told_apart(folder, make_field):
    (folder / "near").mkdir()
    make_field().save(folder / "near" / "a.h5")
    names = []

    def make(fields, given, **_):
        names.extend(given)
        return ViewerPage("", 0.0, ())

    options = ViewOptions(field=folder / "a.h5", other=folder / "near" / "a.h5", open=False)
    run_view(options, make=make, show=lambda _: True, say=str)
    assert names == [f"{folder.name}/a.h5", "near/a.h5"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "missing"),
        (["none.h5"], "none.h5: no such file"),
        (["a.h5", "none.h5"], "none.h5: no such file"),
        (["a.h5", "-o", "a.pdf"], ".html"),
        (["a.h5", "-o", "no/a.html"], "no such folder"),
        (["words.h5"], "words.h5"),
        (["a.h5", "--depths", "1"], "depths"),
        (["a.h5", "--kernel-px", "4"], "odd"),
        (["a.h5", "--most-mb", "0.01"], "most_mb"),
        (["a.h5", "--most-mb", "much"], "most-mb"),
        (["field.html", "-o", "field.html"], "another file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folder, monkeypatch, capsys, words, said):
    monkeypatch.chdir(folder)
    (folder / "words.h5").write_text("no field")
    (folder / "field.html").write_bytes((folder / "a.h5").read_bytes())
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert main(["view", *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert len(told.splitlines()) == 1
    assert said in told
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}
