"""The examples as a user runs them: in a process of their own, from another folder."""

import csv
import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import lenses
import psf
from psf.metrics import find_centroid_px, find_rms_radius_px

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "trace_lens.py"
PICTURES = ("layout", "spots", "montage", "curves")


def environment():
    """Finds the packages of this checkout whether or not they are installed."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def run(folder, *arguments):
    command = [sys.executable, str(EXAMPLE), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def trace_lens():
    """The example as a module: most refusals need no process of their own."""
    spec = importlib.util.spec_from_file_location("trace_lens", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["trace_lens"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["trace_lens"]


@pytest.fixture
def refuse(trace_lens, tmp_path, monkeypatch, capsys):
    """Runs the example in `tmp_path`, which must refuse in one line and leave what was there."""
    monkeypatch.chdir(tmp_path)

    def call(arguments, words):
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        assert trace_lens.main(arguments) == 2
        check_line(capsys.readouterr().err, words)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before

    return call


def check_line(text, words):
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    for word in ["error: ", *words]:
        assert word in lines[0]


def prescription(**changes):
    data = json.loads((lenses.DIRECTORY / "cooke_triplet.json").read_text(encoding="utf-8"))
    return {**data, **changes}


def with_surface(index, **changes):
    data = prescription()
    data["surfaces"][index].update(changes)
    return data


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick")
    arguments = ("f2.2_fixedfocus", "--quick", "--depths", 3, "--radii", 3, "--nearest-m", 0.2, "--oversample", 2)
    return folder, run(folder, *arguments)


def test_trace_lens_writes_field_table_and_pictures_and_nothing_else(quick_run):
    folder, done = quick_run
    assert done.returncode == 0, done.stderr
    names = {"f2.2_fixedfocus.h5", "f2.2_fixedfocus.csv", *(f"f2.2_fixedfocus_{p}.png" for p in PICTURES)}
    assert {path.name for path in (folder / "out").iterdir()} == names
    assert {path.name for path in folder.iterdir()} == {"out"}
    for picture in PICTURES:
        assert (folder / "out" / f"f2.2_fixedfocus_{picture}.png").read_bytes().startswith(b"\x89PNG")


def test_trace_lens_tells_the_lens_and_the_seconds(quick_run):
    _, done = quick_run
    for words in (
        "3.2781 mm",
        "f-number             2.200",
        "4032 x 3024 px of 1.16 um",
        "infinity",
        "channel B",
        " s;",
    ):
        assert words in done.stdout
    assert not done.stderr


def test_field_that_trace_lens_writes_can_be_read_and_is_what_was_asked_for(quick_run):
    folder, _ = quick_run
    field = psf.load(folder / "out" / "f2.2_fixedfocus.h5")
    assert field.transmission.shape == (3, 3, 3)
    assert field.oversample == 2
    assert field.depths_m.tolist() == pytest.approx([0.2, 0.4, math.inf])
    assert field.provenance.lens == "f2.2_fixedfocus"


def test_table_has_a_row_per_kernel_and_agrees_with_the_field(quick_run):
    folder, _ = quick_run
    field = psf.load(folder / "out" / "f2.2_fixedfocus.h5")
    with (folder / "out" / "f2.2_fixedfocus.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 27
    last = rows[-1]
    assert (last["depth_m"], last["radius"], last["channel"]) == ("inf", "1", "B")
    kernel = field.at(1.0, math.inf)[2].double()
    assert float(last["rms_radius_px"]) == pytest.approx(float(find_rms_radius_px(kernel)), rel=1e-3)
    centroid = find_centroid_px(kernel)
    assert float(last["centroid_column_px"]) == pytest.approx(float(centroid[0]), abs=1e-3)
    assert float(last["transmission"]) == pytest.approx(float(field.transmission[-1, -1, 2]), rel=1e-4)
    for row in rows:
        assert (
            0 < float(row["encircled_50_diameter_px"]) < float(row["encircled_80_diameter_px"]) < field.kernel_px * 1.5
        )
        assert 0 <= float(row["lost"]) < 0.2
        assert 0 < float(row["transmission"]) < 1.1


def test_arguments_change_the_camera(tmp_path):
    arguments = (
        "--quick",
        "--depths",
        2,
        "--radii",
        2,
        "--nearest-m",
        2,
        "--pitch-um",
        10,
        "--f-number",
        8,
        "--focus-m",
        4,
    )
    done = run(tmp_path, "cooke_triplet", *arguments, "--wavelengths", "0.65,0.62 0.55", "--out", "there/deep")
    assert done.returncode == 0, done.stderr
    field = psf.load(tmp_path / "there" / "deep" / "cooke_triplet.h5")
    # The sensor keeps its 30 x 20 mm.
    assert (field.image_shape_px, field.pitch_um) == ((2000, 3000), 10.0)
    assert field.focus_m == 4.0
    assert [c.wavelengths_um for c in field.channels] == [(0.65, 0.62), (0.55,)]
    assert "f-number             8.000" in done.stdout
    assert not torch.isnan(field.kernels).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no_such_lens"], ["no_such_lens", "no such file"]),
        (["f2.2_fixedfocus", "--kernel-px", "20"], ["kernel_px", "20", "odd"]),
        (["f2.2_fixedfocus", "--kernel-px", "5"], ["f2.2_fixedfocus", "kernel_px", "loses"]),
        (["f2.2_fixedfocus", "--wavelengths", "red green blue"], ["--wavelengths", "red green blue"]),
        (["f2.2_fixedfocus", "--wavelengths", "550"], ["--wavelengths", "550", "um"]),
        (["f2.2_fixedfocus", "--wavelengths", "nan"], ["--wavelengths", "nan"]),
        (["f2.2_fixedfocus", "--wavelengths", "[[0.5], []]"], ["--wavelengths"]),
        (["f2.2_fixedfocus", "--wavelengths", "[[0.5]"], ["--wavelengths"]),
        (["f2.2_fixedfocus", "--f-number", "1.2"], ["f_number", "1.2"]),
        (["f2.2_fixedfocus", "--focus-m", "0.0001"], ["f2.2_fixedfocus", "depth_m"]),
        (["f2.2_fixedfocus", "--focus-m", "nan"], ["depth_m", "nan"]),
        (["f2.2_fixedfocus", "--pitch-um", "-1"], ["--pitch-um", "-1"]),
        (["f2.2_fixedfocus", "--pitch-um", "1e9"], ["--pitch-um"]),
        (["f2.2_fixedfocus", "--depths", "1"], ["depths", "1"]),
        (["f2.2_fixedfocus", "--radii", "0"], ["--radii", "0"]),
        (["f2.2_fixedfocus", "--nearest-m", "0"], ["nearest_m", "0"]),
        (["f2.2_fixedfocus", "--oversample", "9"], ["oversample", "9"]),
    ],
    ids=" ".join,
)
def test_arguments_that_cannot_be_are_one_line_and_exit_code_2(refuse, arguments, words):
    refuse([*arguments, "--quick"], words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"schema": "psfield-lens-1", "name": "half', ["lens.json:1", "JSON"]),
        ("", ["lens.json"]),
        (with_surface(0, medium_after="UNOBTAINIUM"), ["lens.json", "surfaces[0]", "UNOBTAINIUM"]),
        (with_surface(0, radius_mm=math.nan), ["lens.json", "surfaces[0].radius_mm", "nan"]),
        (with_surface(0, thickness_to_next_mm=-1.0), ["lens.json", "surfaces[0]", "thickness_to_next_mm", "-1.0"]),
        (with_surface(0, kind="mirror"), ["lens.json", "surfaces[0]", "kind", "mirror"]),
        (prescription(stop_surface_index=99), ["lens.json", "stop_surface_index", "99"]),
        (prescription(sensor={"width_px": 60000, "height_px": 40000, "pitch_um": 5.0}), ["cooke_triplet", "radius"]),
    ],
    ids=["truncated", "empty", "glass", "nan", "thickness", "kind", "stop", "sensor"],
)
def test_lens_file_that_cannot_be_is_one_line_and_exit_code_2(refuse, tmp_path, content, words):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "lens.json").write_text(text, encoding="utf-8")
    refuse(["lens.json", "--quick"], words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no_such_lens"], ["no_such_lens", "no such file"]),
        (["lens.json"], ["lens.json:1", "JSON"]),
        (["f2.2_fixedfocus", "--kernel-px", "5", "--quick"], ["f2.2_fixedfocus", "kernel_px", "loses"]),
    ],
    ids=["missing", "truncated", "window"],
)
def test_refusal_of_a_process_is_one_line_on_stderr_and_exit_code_2(tmp_path, arguments, words):
    half = '{"schema": "psfield-lens-1", "name": "half'
    (tmp_path / "lens.json").write_text(half, encoding="utf-8")
    done = run(tmp_path, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    check_line(done.stderr, words)
    assert [path.name for path in tmp_path.iterdir()] == ["lens.json"]


@pytest.mark.parametrize(
    "arguments", [[], ["f2.2_fixedfocus", "--depths", "many"], ["f2.2_fixedfocus", "--no-such-flag"]]
)
def test_command_line_that_cannot_be_parsed_exits_with_2(trace_lens, tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert trace_lens.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_out_that_is_a_file_is_refused(refuse, tmp_path):
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    refuse(["f2.2_fixedfocus", "--quick"], ["--out", "out"])


def test_window_that_cuts_some_light_is_a_warning_of_one_line(trace_lens, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--depths", "2", "--radii", "2", "--nearest-m", "1", "--kernel-px", "15"]
    assert trace_lens.main(["f2.2_fixedfocus", *arguments]) == 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("warning: ")
    assert "loses" in lines[0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_run_leaves_whole_files_or_none(tmp_path):
    command = [sys.executable, str(EXAMPLE), "f2.2_fixedfocus", "--quick"]
    for delay_s in (2.0, 4.0, 6.0):
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path in (tmp_path / "out").glob("[!.]*.h5"):
            assert psf.load(path).transmission.shape == (5, 5, 3)
