"""The command line: a folder of fields, a table of their spread, and what is wrong in one line with exit code 2."""

import importlib
import json

import pytest

import psf

main = importlib.import_module("optics.__main__")

LENS = "singlet_biconvex_nbk7"
SMALL = ["--nearest-m", "2", "--depths", "2", "--radii", "2", "--workers", "0", "--focus", "paraxial"]


def perturb(*words):
    return main.main(["perturb", LENS, *SMALL, *words])


def test_fields_are_made_and_their_spread_is_told(tmp_path, capsys):
    out = tmp_path / "fields"
    assert perturb("-n", "2", "-o", str(out), "--seed", "5", "--limits.index", "0.002", "--scale", "2") == 0
    told = capsys.readouterr()
    assert "2 lenses" in told.out
    assert "focal length mm" in told.out
    assert "RMS spot um at height 1.00" in told.out
    assert told.out.splitlines()[-1] == f"written: 3 fields and manifest.json in {out}"
    assert told.err == ""
    settings = json.loads((out / "run.json").read_text())
    assert settings["tolerances"]["index"] == 0.004
    assert settings["tolerances"]["thickness_um"] == 100  # of glass, doubled
    field = psf.load(out / "field_00001.h5")
    assert field.provenance.arguments["seed"] == 5
    assert field.kernels.shape[:3] == (2, 2, 3)


def test_lenses_without_a_field_are_warned_of(tmp_path, capsys):
    assert perturb("-n", "4", "-o", str(tmp_path / "fields"), "--limits.sensor-um", "6000") == 0
    told = capsys.readouterr()
    assert "warning: no field: field_0000" in told.err
    assert "written: " in told.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-n", "0", "-o", "fields"], "count: found 0"),
        (["-n", "1", "-o", "no/fields"], "no such folder"),
        (["-n", "1"], "missing: -o"),
        (["-n", "1", "-o", "fields", "--depths", "1"], "depths: found 1"),
        (["-n", "1", "-o", "fields", "--radii", "1"], "--radii: found 1"),
        (["-n", "1", "-o", "fields", "--workers", "-1"], "workers: found -1"),
        (["-n", "1", "-o", "fields", "--limits.thickness-um", "1e6"], "thickness_um for surface"),
        (["-n", "1", "-o", "fields", "--grade", "wooden"], "wooden"),
        (["-n", "1", "-o", "fields", "--kernel-px", "4"], "kernel_px: found 4"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert perturb(*words) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert said in told.err
    assert len(told.err.splitlines()) == 1
    assert not list(tmp_path.rglob("*"))


def test_a_lens_that_is_not_there_is_named(tmp_path, capsys):
    assert main.main(["perturb", "no_such_lens", "-o", str(tmp_path / "fields")]) == 2
    assert "no_such_lens" in capsys.readouterr().err


def test_ctrl_c_ends_with_a_line_and_the_code_of_shells(tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "make_ensemble", interrupted)
    assert perturb("-o", str(tmp_path / "fields")) == 130
    assert "goes on" in capsys.readouterr().err


def test_help_tells_every_option(capsys):
    with pytest.raises(SystemExit) as leaving:
        main.main(["perturb", "--help"])
    assert not leaving.value.code
    told = capsys.readouterr().out
    assert all(word in told for word in ("-n", "-o", "--seed", "--grade", "--limits.form-um", "--ray"))
