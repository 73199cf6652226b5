"""The command line: files in, a photograph out; what is wrong in one line, exit code 2 and nothing written."""

import importlib.util
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import psf
from render.bayer import unpack
from render.noise import NoiseModel
from render.noise_presets import load_noise
from render.pictures import read_picture, write_picture
from render.png import write_png16
from render.sensor import RawSensor, add_noise
from render.stacks import focal_stack

ROOT = Path(__file__).resolve().parents[2]

if importlib.util.find_spec("render.spatial") is None:
    pytest.skip("render.spatial is not there", allow_module_level=True)
main = importlib.import_module("render.__main__")

SHAPE_PX = (48, 64)


def camera(focus_m=1.0, **options):
    """2.2 px per dioptre, depths from 0.5 m to infinity."""
    given = {"focal_mm": 50, "f_number": 4, "focus_m": focus_m, "pitch_um": 280, "image_shape_px": SHAPE_PX}
    depths_m = 1 / torch.linspace(2, 0, 9, dtype=torch.float64)
    return psf.thin_lens_field(**(given | {"depths_m": depths_m} | options))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A scene of 48 x 64 px, from 0.7 to 5 m, and cameras focused at 1 m and 4 m."""
    generator = torch.Generator().manual_seed(0)
    write_picture(tmp_path / "sharp.png", torch.rand(3, *SHAPE_PX, generator=generator), bits=16)
    write_picture(tmp_path / "grey.png", torch.rand(1, *SHAPE_PX, generator=generator))
    metres = np.linspace(0.7, 5, SHAPE_PX[0])[:, None] * np.ones(SHAPE_PX[1])
    np.save(tmp_path / "metres.npy", metres)
    np.save(tmp_path / "dioptres.npy", 1 / metres)
    with (tmp_path / "millimetres.png").open("wb") as file:
        write_png16(file, np.rint(metres * 1000).astype(np.uint16)[..., None])
    camera(1.0).save(tmp_path / "near.h5")
    camera(4.0).save(tmp_path / "far.h5")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


SIMULATE = ["simulate", "sharp.png", "--depth", "metres.npy", "--field", "near.h5", "-o", "out.npy"]


def test_a_photograph_is_what_the_library_makes_of_it(folder, capsys):
    assert main.main(SIMULATE) == 0
    depth_m = torch.from_numpy(np.load("metres.npy")).float()[None, None]
    expected = focal_stack(read_picture("sharp.png"), depth_m, [camera()])[0]
    assert torch.equal(read_picture("out.npy"), expected)
    told = capsys.readouterr()
    assert told.out == "written: out.npy\n"


@pytest.mark.parametrize(
    ("depth", "options"),
    [("dioptres.npy", ["--unit", "dpt"]), ("millimetres.png", ["--unit", "mm"]), ("metres.npy", ["--scale", "1"])],
)
def test_every_depth_encoding_makes_the_same_photograph(folder, depth, options):
    assert main.main(SIMULATE) == 0
    other = [depth if word == "metres.npy" else "other.npy" if word == "out.npy" else word for word in SIMULATE]
    assert main.main([*other, *options]) == 0
    assert (read_picture("other.npy") - read_picture("out.npy")).abs().max() < 2e-3


@pytest.mark.parametrize("out", ["out.png", "out.tif", "out.npy"])
def test_the_suffix_says_what_is_written(folder, out):
    assert main.main([*SIMULATE[:-1], out]) == 0
    assert read_picture(out).shape == (1, 3, *SHAPE_PX)


def test_bits_and_form_are_passed_on(folder):
    assert main.main([*SIMULATE[:-1], "a.png", "--bits", "16", "--form", "normalised"]) == 0
    assert main.main([*SIMULATE[:-1], "b.png", "--bits", "16"]) == 0
    assert (folder / "a.png").read_bytes()[24] == 16
    assert not torch.equal(read_picture("a.png"), read_picture("b.png"))


def test_a_grey_picture_takes_the_colours_of_the_camera(folder):
    assert main.main(["simulate", "grey.png", *SIMULATE[2:]]) == 0
    assert read_picture("out.npy").shape == (1, 3, *SHAPE_PX)


def test_the_window_is_the_pictures_place_on_the_sensor(folder):
    field = camera(image_shape_px=(200, 300))
    field.save(folder / "large.h5")
    for name, options in (("a.npy", ["--window", "7", "11"]), ("b.npy", []), ("c.npy", ["--fit"])):
        assert main.main([*replaced(SIMULATE, field="large.h5", out=name), *options]) == 0
    image, depth_m = read_picture("sharp.png"), torch.from_numpy(np.load("metres.npy")).float()[None, None]
    at = focal_stack(image, depth_m, [field], window=(7, 11))[0]
    assert torch.equal(read_picture("a.npy"), at)
    assert not torch.equal(read_picture("b.npy"), at)
    # The whole sensor squeezed into the picture: a quarter of the pixels, a quarter of the blur.
    spread = [(read_picture(name) - image).square().mean() for name in ("b.npy", "c.npy")]
    assert spread[1] < 0.6 * spread[0]


STACK = ["stack", "sharp.png", "--depth", "metres.npy", "--fields", "near.h5", "far.h5", "-o", "photos"]


def test_a_stack_is_a_folder_of_photographs(folder, capsys):
    assert main.main([*STACK, "--suffix", ".npy"]) == 0
    image, depth_m = read_picture("sharp.png"), torch.from_numpy(np.load("metres.npy")).float()[None, None]
    expected = focal_stack(image, depth_m, [camera(1.0), camera(4.0)])
    for n in range(2):
        assert torch.equal(read_picture(f"photos/sharp_{n:02d}.npy"), expected[n])
    assert "photos/sharp_00.npy, photos/sharp_01.npy" in capsys.readouterr().out
    (folder / "photos" / "mine.txt").write_text("keep")
    assert main.main(STACK) == 0
    names = sorted(path.name for path in (folder / "photos").iterdir())
    assert names == ["mine.txt", "sharp_00.npy", "sharp_00.png", "sharp_01.npy", "sharp_01.png"]
    assert not [path for path in folder.iterdir() if path.name.endswith(".part")]


def test_a_stack_that_breaks_leaves_nothing(folder, monkeypatch, capsys):
    real, calls = main.write_picture, []

    def fail(path, *rest, **options):
        calls.append(path)
        if len(calls) == 2:
            raise OSError("disk full")
        real(path, *rest, **options)

    monkeypatch.setattr(main, "write_picture", fail)
    before = listed(folder)
    assert main.main(STACK) == 2
    assert listed(folder) == before
    assert capsys.readouterr().err == "error: disk full\n"


def replaced(words, **changes):
    """Words with the value after an option changed, or an option added."""
    words = list(words)
    for name, value in changes.items():
        flag = {"out": "-o"}.get(name, f"--{name}")
        values = [value] if isinstance(value, str) else list(value)
        if flag in words:
            words[words.index(flag) + 1 : words.index(flag) + 2] = values
        else:
            words += [flag, *values]
    return words


REFUSED = {
    "no picture": (["simulate", "none.png", *SIMULATE[2:]], ["none.png: no such file"]),
    "no depth": (replaced(SIMULATE, depth="none.npy"), ["none.npy: no such file"]),
    "no field": (replaced(SIMULATE, field="none.h5"), ["none.h5"]),
    "no field file": (replaced(SIMULATE, field="metres.npy"), ["metres.npy"]),
    "no folder": (replaced(SIMULATE, out="no/out.png"), ["no: no such folder"]),
    "suffix": (replaced(SIMULATE, out="out.gif"), ["out.gif", "'.gif'", ".png"]),
    "bits": (replaced(SIMULATE, out="out.png", bits="32"), ["out.png (bits)", "32", "8 or 16"]),
    "another size": (replaced(SIMULATE, depth="small.npy"), ["small.npy", "3 x 2 px", "64 x 48 px", "sharp.png"]),
    "larger than the sensor": (
        ["simulate", "wide.png", *replaced(SIMULATE[2:], depth="wide.npy")],
        ["wide.png", "65 x 48", "--fit"],
    ),
    "window": (replaced(SIMULATE, window=("1", "0")), ["window", "(1, 0)"]),
    "colours for a grey camera": (
        replaced(SIMULATE, field="mono.h5"),
        ["sharp.png", "3 channels", "the 1 of mono.h5"],
    ),
    "form of another method": (replaced(SIMULATE, method="blend", form="scatter"), ["--form", "scatter", "blend"]),
    "zero depth": (replaced(SIMULATE, depth="hole.npy"), ["hole.npy", "0 m at row 3, column 4", "missing"]),
    "missing depth": (replaced(SIMULATE, depth="hole.npy", missing="0"), ["hole.npy", "1 of 3072 pixels"]),
    "mm as m": (
        replaced(SIMULATE, depth="millimetres.png"),
        ["millimetres.png as m", "700 m / ", " / 5000 m (min / median / max)", "by 2.5 / 2.5 / 2.5 px", "cm or mm"],
    ),
    "cm as m": (replaced(SIMULATE, scale="100"), ["metres.npy as m", "70 m / ", "in cm or mm they would do"]),
    "m as mm": (
        replaced(SIMULATE, unit="mm"),
        ["metres.npy as mm", "0.0007 m / ", "begin at 0.5 m", "in m they would do"],
    ),
    "stack without a field": (replaced(STACK, fields=("none.h5",)), ["none.h5"]),
    "stack into a file": (replaced(STACK, out="sharp.png"), ["--out", "sharp.png", "a folder"]),
    "stack in no folder": (replaced(STACK, out="no/photos"), ["no: no such folder"]),
    "bits of a stack": ([*STACK, "--bits", "32"], ["--bits", "32", ".png"]),
    "stack of two cameras": ([*STACK[:5], "near.h5", "large.h5", *STACK[-2:]], ["fields[1].image_shape_px"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(folder, capsys, name):
    np.save("small.npy", np.ones((2, 3)))
    write_picture("wide.png", torch.zeros(3, 48, 65))
    np.save("wide.npy", np.ones((48, 65)))
    hole = np.load("metres.npy")
    hole[3, 4] = 0
    np.save("hole.npy", hole)
    camera(channels=(psf.Channel("G"),)).save("mono.h5")
    camera(image_shape_px=(100, 100)).save("large.h5")
    arguments, words = REFUSED[name]
    before = listed(folder)
    assert main.main(arguments) == 2
    assert listed(folder) == before
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert all(word in told.err for word in words), told.err


def test_doubted_depths_are_rendered_when_they_are_trusted(folder):
    assert main.main([*replaced(SIMULATE, depth="millimetres.png"), "--trust-depth"]) == 0


@pytest.mark.parametrize("depths_m", [(0.3, 0.5, 0.9), (3.0, 50.0, math.inf), (math.inf,) * 3, (200.0,) * 3])
def test_scenes_that_somebody_may_photograph_are_not_doubted(depths_m):
    # Close up, a landscape, the sky, a flat target far away.
    assert main.find_doubt(torch.tensor(depths_m)[None, None, None], camera()) is None


def test_blur_of_a_disc_is_its_diameter():
    depths_m = torch.tensor([0.5, 2.0, math.inf])
    expected = 0.050**2 / 4 * (1 / depths_m - 1).abs() / 50e-6 / 0.95
    assert torch.allclose(main.measure_blur_px(camera(pitch_um=50), depths_m), expected, atol=0.05)


def test_the_command_runs_as_a_module(folder):
    command = [sys.executable, "-m", "render", *replaced(SIMULATE, depth="none.npy")]
    done = subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: none.npy: no such file\n"


def test_eight_bit_photographs_open_elsewhere(folder):
    assert main.main([*SIMULATE[:-1], "out.png"]) == 0
    with Image.open("out.png") as opened:
        assert opened.mode == "RGB"


@pytest.fixture
def frames(tmp_path, monkeypatch):
    """Two ISOs of a sensor of 2 x 64 x 64 px: six flat pairs and two dark ones each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small frames: threads would only wait for each other
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frames").mkdir()
    generator, sensor, model = torch.Generator().manual_seed(0), RawSensor(), load_noise("imx586")
    lights = {f"flat_iso{{iso}}_{n}_{ab}": light for n, light in enumerate(np.geomspace(0.01, 0.8, 6)) for ab in "ab"}
    for iso in (400, 1600):
        for name, light in (lights | {f"dark_iso{{iso}}_{n}": 0.0 for n in range(4)}).items():
            noisy = add_noise(torch.full((4, 64, 64), light), *map(float, model.levels(iso)), generator)
            dn = unpack(sensor.quantised(noisy), sensor.pattern).numpy().astype(np.uint16)
            np.save(tmp_path / "frames" / f"{name.format(iso=iso)}.npy", dn)
    yield tmp_path
    torch.set_num_threads(threads)


CALIBRATE = ["calibrate-noise", "frames", "-o", "sensor.json", "--crop", "1"]
LEVELS = ["--pattern", "RGGB", "--black", "64", "--white", "1023"]


def test_calibration_prints_a_table_and_writes_a_model_and_a_plot(frames, capsys):
    assert main.main([*CALIBRATE, *LEVELS]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    lines = told.out.splitlines()
    assert lines[0].startswith("ISO")
    assert len(lines) == 10
    assert lines[-1] == "written: sensor.json, sensor.png"
    model = NoiseModel.load("sensor.json")
    for found, want in zip(model.levels(1600.0), load_noise("imx586").levels(1600.0), strict=True):
        assert (found / want - 1).abs().max() < 0.1
    with Image.open("sensor.png") as opened:
        assert opened.size[0] > 800
    (frames / "sensor.png").unlink()
    assert main.main([*CALIBRATE, *LEVELS, "--no-plot"]) == 0
    assert not (frames / "sensor.png").exists()


def test_doubts_about_a_calibration_are_warnings(frames, capsys):
    for path in (frames / "frames").glob("dark*"):
        path.unlink()
    assert main.main([*CALIBRATE, *LEVELS, "--no-plot"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if line.startswith("warning: ISO 400: no dark frames")]
    assert all(line.startswith("warning: ") for line in told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (CALIBRATE, ["--pattern and --white"]),
        ([*CALIBRATE[:1], "none", *CALIBRATE[2:], *LEVELS], ["none: no such folder"]),
        ([*CALIBRATE[:3], "sensor.txt", *LEVELS], ["--out", "'.txt'", ".json"]),
        ([*CALIBRATE[:3], "no/sensor.json", *LEVELS], ["no: no such folder to write sensor.json to"]),
        ([*CALIBRATE, *LEVELS, "--method", "tiles"], ["ISO 400, plane R"]),
        ([*CALIBRATE, *LEVELS[:-1], "200"], ["ISO 400, plane R", "usable levels", "clipped"]),
        ([*CALIBRATE[:-1], "2", *LEVELS], ["crop", "2"]),
    ],
    ids=["levels", "folder", "suffix", "no folder", "tiles", "clipped", "crop"],
)
def test_frames_that_cannot_be_used_are_refused_in_one_line_and_nothing_is_written(frames, capsys, words, told):
    before = listed(frames)
    assert main.main(words) == 2
    assert listed(frames) == before
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert all(word in said.err for word in told), said.err


def test_a_calibration_that_cannot_be_written_leaves_the_old_one(frames, monkeypatch, capsys):
    (frames / "sensor.json").write_text("old")
    before = listed(frames)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    assert main.main([*CALIBRATE, *LEVELS]) == 2
    assert listed(frames) == before
    assert capsys.readouterr().err == "error: disk full\n"
