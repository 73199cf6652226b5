import pytest

from learn.depth.__main__ import main


def test_a_folder_gets_depth_maps_and_what_failed_is_named(photos, weights, capsys):
    (photos.root / "bad.jpg").touch()
    assert main([str(photos.root), "--model", str(weights)]) == 0
    said = capsys.readouterr()
    assert "written: 3 depth maps; 0 were there; 1 photographs left out" in said.out
    assert "warning: the network is untrained, its depth is noise" in said.err
    assert "left out: bad.jpg: found an empty file" in said.err
    assert main([str(photos.root), "--model", str(weights)]) == 0
    assert "written: 0 depth maps; 3 were there" in capsys.readouterr().out


def test_missing_weights_are_one_line_that_says_where_they_belong(photos, capsys):
    pytest.importorskip("transformers")
    assert main([str(photos.root), "--model", "nobody/no-such-network"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: nobody/no-such-network: no such depth network in")
    assert said.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["a", "--device"], ["a", "--metric"]])
def test_bad_words_are_one_line(words, capsys):
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
