import pytest

from learn.photos import load_split
from learn.photos.__main__ import main


@pytest.fixture
def folder(save, picture, pictures):
    for n in range(4):
        save(f"{n}/a.png", picture(150, 180, seed=n, smooth=10))
    (pictures / "bad.jpg").touch()
    return pictures


def test_check_lists_what_cannot_be_used(folder, capsys):
    assert main(["check", str(folder)]) == 0
    assert "4 photographs, 1 that cannot be used" in capsys.readouterr().out
    assert (folder / ".psfield_photos.jsonl").is_file()


def test_develop_names_what_it_left_out_and_goes_on(folder, tmp_path, capsys):
    assert main(["develop", str(folder), "-o", str(tmp_path / "out"), "--longest-px", "100"]) == 0
    said = capsys.readouterr()
    assert "written: 4 pictures; 0 were there; 1 left out" in said.out
    assert "left out: bad.jpg" in said.err


def test_split_writes_a_manifest(folder, tmp_path, capsys):
    out = tmp_path / "split.json"
    assert main(["split", str(folder), "-o", str(out), "--share", "0.25"]) == 0
    assert "3 for training, 1 for evaluation" in capsys.readouterr().out
    assert len(load_split(out).training) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "nowhere"], "error: nowhere: no such folder"),
        (["check"], "error: missing: PATH"),
        (["split", "nowhere", "-o", "a.txt"], "error: --out: found the suffix '.txt'"),
        (["dance"], "error: "),
    ],
)
def test_bad_words_are_one_line(words, message, capsys):
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith(message)
    assert said.count("\n") == 1
