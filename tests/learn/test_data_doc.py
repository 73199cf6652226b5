"""The commands of docs/data.md, on tiny copies of the layouts of the data sets it names."""

import re
import shlex

import numpy as np
import pytest
import torch
from PIL import Image

import render
from learn.photos import load_split, open_photos
from learn.photos.__main__ import main
from render.png import write_png16


def noise(height, width, seed):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def write_jpeg(path, seed, size=(100, 120)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(*size, seed)).resize((2 * size[1], 2 * size[0])).save(path, quality=90)


def write_raw(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = 64 + 900 * torch.rand((1, 1, 10, 12), generator=torch.Generator().manual_seed(seed))
    mosaic = torch.nn.functional.interpolate(coarse, size=(100, 120), mode="bicubic")[0, 0].clamp(64, 1000)
    photo = render.RawFile(
        mosaic=mosaic.round().to(torch.uint16),
        pattern="RGGB",
        black_dn=torch.full((4,), 64.0),
        white_dn=1023.0,
        white_balance=torch.tensor([2.0, 1.0, 1.5]),
        color_matrices=((21, torch.eye(3)),),
        iso=100,
    )
    render.write_dng(path, photo)


@pytest.fixture
def fivek(tmp_path):
    names = ["HQa1to700/photos/a0001-jmac_DSC1459", "HQa1to700/photos/a0002-dgw_005", "HQa701to1400/photos/a0701-dgw_7"]
    for n, name in enumerate([*names, "HQa1to700/photos/a0298-IMG_5043"]):
        write_raw(tmp_path / "fivek_dataset" / "raw_photos" / f"{name}.dng", n)
    (tmp_path / "fivek_dataset" / "raw_photos" / "fivek.lrcat").touch()
    (tmp_path / "fivek_dataset" / "LicenseAdobe.txt").touch()


@pytest.fixture
def ebb(tmp_path):
    for n in range(3):
        for kind in ("original", "bokeh", "original_depth"):
            write_jpeg(tmp_path / "ebb_dataset" / "test" / kind / f"{n}.jpg", n)


@pytest.fixture
def dpdd(tmp_path):
    for n, part in enumerate(("train", "test")):
        for view in "clr":
            for kind in ("source", "target"):
                path = tmp_path / "dd_dp_dataset_canon" / f"{part}_{view}" / kind / f"1P0A{n:04d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    write_png16(file, noise(100, 120, n).astype(np.uint16) << 8)


@pytest.fixture
def dtd(tmp_path):
    for kind in ("banded", "zigzagged", "woven"):
        for n in range(3):
            write_jpeg(tmp_path / "dtd" / "images" / kind / f"{kind}_{n:04d}.jpg", hash_name(kind) + n, (90, 100))
    (tmp_path / "dtd" / "labels").mkdir()
    (tmp_path / "dtd" / "labels" / "train1.txt").write_text("banded/banded_0000.jpg\n")


def hash_name(name):
    return sum(map(ord, name)) * 10


def commands(root, folder):
    page = (root / "docs" / "data.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    found = [shlex.split(line)[3:] for line in lines if line.startswith("python -m learn.photos") and folder in line]
    assert found
    return found


@pytest.fixture
def run(root, tmp_path, monkeypatch, capsys):
    def run_all(folder):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "DATA").mkdir()
        codes = [main(words) for words in commands(root, folder)]
        assert codes == [0] * len(codes), capsys.readouterr().err
        return capsys.readouterr().out

    return run_all


def test_adobe_fivek_is_developed_and_divided_by_photographer(fivek, run, tmp_path):
    run("fivek")
    split = load_split(tmp_path / "DATA" / "fivek_split.json")
    groups = {name.rpartition("/")[2][:5]: label["group"] for name, label in split.labels.items()}
    assert groups == {"a0001": "jmac", "a0002": "dgw", "a0701": "dgw", "a0298": "IMG"}
    assert len(split.evaluation) == 1
    assert open_photos(tmp_path / "DATA" / "fivek").load(0).shape == (3, 100, 120)


def test_of_ebb_only_the_sharp_half_is_taken(ebb, run, tmp_path):
    assert "3 photographs, 0 that cannot be used" in run("ebb_dataset")
    assert (tmp_path / "DATA" / "ebb_test.jsonl").is_file()
    assert not list((tmp_path / "ebb_dataset").rglob(".psfield*"))


def test_dpdd_keeps_its_own_division(dpdd, run, tmp_path):
    run("dd_dp_dataset_canon")
    sides = [[one.name for one in open_photos(tmp_path / "DATA" / f"dpdd_{part}").photos] for part in ("train", "test")]
    assert sides == [["1P0A0000.png.jpg"], ["1P0A0001.png.jpg"]]


def test_dtd_is_divided_by_kind(dtd, run, tmp_path):
    run("dtd")
    split = load_split(tmp_path / "DATA" / "dtd_split.json")
    kinds = [{name.partition("/")[0] for name in side} for side in (split.training, split.evaluation)]
    assert len(kinds[1]) == 1
    assert not kinds[0] & kinds[1]
