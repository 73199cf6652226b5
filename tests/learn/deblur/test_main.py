import json
import sys

import pytest

from learn.deblur.__main__ import Evaluate, FitRidge, MakeEval, Restore, Train, main, read_words


@pytest.fixture(scope="module")
def field_file(tmp_path_factory, lens):
    path = tmp_path_factory.mktemp("lens") / "F.h5"
    lens().save(path)
    return path


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["train", "PHOTOS", "--field", "F.h5", "-o", "RUN", "--network", "tiny", "--rate", "1e-3"], Train),
        (["make-eval", "PHOTOS", "--field", "F.h5", "-o", "EVAL", "-n", "8"], MakeEval),
        (["fit-ridge", "PHOTOS", "--field", "F.h5", "-o", "bank.pt"], FitRidge),
        (["evaluate", "EVAL", "-o", "TABLE", "--model", "both=RUN/network.pt"], Evaluate),
        (["restore", "a.dng", "b.dng", "--model", "M.pt", "-o", "OUT"], Restore),
    ],
)
def test_every_command_is_understood(words, kind):
    assert isinstance(read_words(words), kind)


@pytest.mark.parametrize("name", ["train", "make-eval", "fit-ridge", "evaluate", "restore"])
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as leaving:
        main([name, "--help"])
    assert leaving.value.code == 0
    assert "--out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "{photos}", "--field", "{field}"], "missing: -o PATH, --out PATH"),
        (["train", "{photos}", "--field", "nothing.h5", "-o", "{out}"], "nothing.h5"),
        (["train", "{photos}", "--field", "{field}", "-o", "{out}", "--network", "huge"], "--network: found 'huge'"),
        (["train", "{photos}", "--field", "{field}", "-o", "{out}", "--steps", "ten"], "steps"),
        (["train", "{photos}", "--field", "{field}", "-o", "{out}"], "expected at least the patch's 512 x 512 px"),
        (["restore", "a.dng", "--model", "nothing.pt", "-o", "{out}"], "nothing.pt"),
    ],
)
def test_words_that_cannot_be_are_refused_in_one_line(words, said, photo_root, field_file, tmp_path, capsys):
    given = {"photos": photo_root, "field": field_file, "out": tmp_path / "run"}
    assert main([word.format(**given) for word in words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert [line for line in error.splitlines() if line.startswith("error: ")] == error.splitlines()[-1:]


def small_words(photo_root, field_file, tmp_path):
    network = {"width": 4, "encoder_blocks": [1], "middle_blocks": 1, "decoder_blocks": [1]}
    trainer = {"steps": 2, "batch": 2, "warmup_steps": 1, "threads": 1}
    recipe = tmp_path / "r.json"
    recipe.write_text(json.dumps({"network": network, "trainer": trainer}))
    options = ["--recipe", str(recipe), "--cells", "16", "--evaluation-count", "2", "--device", "cpu"]
    index = ["--index", str(tmp_path / "index.json")]
    return ["train", str(photo_root), "--field", str(field_file), "-o", str(tmp_path / "run"), *options, *index]


def test_a_training_says_which_distance_stands_in(photo_root, field_file, tmp_path, capsys, monkeypatch):
    pytest.importorskip("lightning_fabric")
    monkeypatch.setitem(sys.modules, "lpips", None)
    assert main(small_words(photo_root, field_file, tmp_path)) == 0
    said = capsys.readouterr()
    assert said.err.count("1 - MS-SSIM stands in for LPIPS") == 1
    assert "loss: L1 + 0.1 ms-ssim" in said.out
    assert (tmp_path / "run" / "network.pt").is_file()


def test_a_missing_engine_says_how_to_get_it(photo_root, field_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    assert main([*small_words(photo_root, field_file, tmp_path), "--distance", "none"]) == 2
    assert "pip install 'psfield[learn]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
