import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from learn.sample_files import read_samples
from learn.synthesise.__main__ import main


@pytest.fixture
def field_file(lens, tmp_path):
    lens().save(tmp_path / "lens.h5")
    return tmp_path / "lens.h5"


def words(photos, field, out, *more):
    return [str(photos), "--field", str(field), "--cells", "32", "-o", str(out), *map(str, more)]


def test_an_evaluation_set_is_written_and_told(photo_root, field_file, tmp_path, capsys):
    out = tmp_path / "set"
    assert main(words(photo_root, field_file, out, "-n", 5, "--per-shard", 2, "--workers", 0, "--evaluation")) == 0
    assert f"written: 5 samples in 3 shards, samples.json in {out}" in capsys.readouterr().out
    settings = json.loads((out / "run.json").read_text())["settings"]
    assert (settings["blur"], settings["framing"], settings["spread_share"]) == ("pixelwise", "centre", 0.0)
    drawn = [sample.drawn for sample in read_samples(out)]
    assert [one.photo for one in drawn] == ["a.png", "b.png", "c.jpg", "d.png", "a.png"]


def test_what_could_not_be_used_is_named_at_the_end(photo_root, field_file, tmp_path, capsys):
    root = shutil.copytree(photo_root, tmp_path / "photos")
    (root / "broken.jpg").write_bytes(b"nothing")
    Image.fromarray(np.zeros((70, 70, 3), np.uint8)).save(root / "tiny.png")
    np.save(root / "a.depth_m.npy", np.full((20, 180), 2.0, np.float32))
    code = main(words(root, field_file, tmp_path / "set", "-n", 4, "--workers", 0, "--framing", "centre"))
    said = capsys.readouterr()
    assert code == 0
    assert "written: 3 samples in 1 shards" in said.out
    assert "photograph left out: broken.jpg" in said.err
    assert "photograph left out: tiny.png: smaller than the crop, 74 x 74 px" in said.err
    assert "no sample: 0: " in said.err
    assert "a.depth_m.npy" in said.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["-n", "0"], "count: found 0, expected a whole number from 1"),
        (
            ["-n", "2", "--cells", "200"],
            "field: found a sensor of 280 x 220 px, expected at least the patch's 400 x 400",
        ),
        (["-n", "2", "--noise", "loud"], "--noise: found 'loud', expected one of"),
        (["-n", "2", "--workers", "-1"], "--workers: found -1"),
        (["-n", "2", "--blur", "soft"], "blur"),
        ([], "missing: -n INT, --count INT"),
        (["-n", "2", "--split", "nowhere.json"], "nowhere.json: no such file"),
        (["-n", "2", "--fields", "nowhere"], "nowhere: no such folder of perturbed fields"),
    ],
)
def test_bad_words_are_one_line_each(photo_root, field_file, tmp_path, capsys, more, said):
    assert main(words(photo_root, field_file, tmp_path / "set", *more)) == 2
    found = capsys.readouterr()
    assert found.err.startswith("error: ")
    assert found.err.count("\n") == 1
    assert said in found.err
    assert not (tmp_path / "set").exists()


def test_photographs_without_the_depth_that_is_asked_for_are_told(photo_root, field_file, tmp_path, capsys):
    code = main(words(photo_root, field_file, tmp_path / "set", "-n", 2, "--workers", 0, "--depth-sources", "network"))
    said = capsys.readouterr().err
    assert code == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert "no depth, expected a depth map beside it (python -m learn.depth makes them)" in said


def test_a_missing_field_and_an_empty_folder_are_named(photo_root, field_file, tmp_path, capsys):
    assert main(words(photo_root, tmp_path / "no.h5", tmp_path / "set", "-n", 1)) == 2
    assert "no.h5" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(words(tmp_path / "empty", field_file, tmp_path / "set", "-n", 1)) == 2
    assert "no photograph that can be used" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_run_leaves_no_half_shard_and_goes_on(root, photo_root, field_file, tmp_path):
    out, whole = tmp_path / "set", tmp_path / "whole"
    more = ["-n", "60", "--per-shard", "10", "--workers", "1", "--blur", "pixelwise"]
    command = [sys.executable, "-m", "learn.synthesise", *words(photo_root, field_file, out, *more)]
    running = subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + 60
    while not (out / "shard-000000.tar").is_file() and time.monotonic() < until and running.poll() is None:
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (out / "shard-000005.tar").exists()
    again = ["-n", "60", "--per-shard", "10", "--workers", "0", "--blur", "pixelwise"]
    assert main(words(photo_root, field_file, whole, *again)) == 0
    for path in out.glob("shard-*.tar"):
        assert path.read_bytes() == (whole / path.name).read_bytes()
    assert main(words(photo_root, field_file, out, *again)) == 0
    kept = {path.name: path.read_bytes() for path in out.iterdir()}
    assert kept == {path.name: path.read_bytes() for path in whole.iterdir()}


@pytest.mark.slow
def test_a_ray_run_equals_a_local_one(photo_root, field_file, tmp_path):
    pytest.importorskip("ray")
    for name, more in (("local", ["--workers", "0"]), ("ray", ["--workers", "1", "--ray", "local"])):
        assert main(words(photo_root, field_file, tmp_path / name, "-n", 4, "--per-shard", 2, *more)) == 0
    local, far = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("local", "ray"))
    assert local == far
