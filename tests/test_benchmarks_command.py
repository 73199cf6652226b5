"""`python -m benchmarks`: one command for all figures."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Lines as the scripts print them.
OUTPUTS = {
    "tracing": (
        "psfield phone_us9651759 float64               1.41e+08          5.02e+07\n"
        "deeplens phone_us9651759 float64              4.71e+06          3.12e+06\n"
    ),
    "psf_grid": (
        "| all | grid | 1305 | 0.0031 | 0.0121 | 0.0042 | 0.049 |\n"
        "| all | plain | 612 | 0.0040 | 0.0090 | 0.0031 | 0.049 |\n"
        "| ours, lines, 65 px | 0.241 | 0.236 | 0.250 | 4979 |\n"
        "| ours, default channels, 65 px | 0.371 | 0.366 | 0.380 | 3235 |\n"
        "| deeplens-core, lines, 51 px, 4 of 20 depths scaled to 20 | 31.200 | 31.0 | 31.5 | 38 |\n"
    ),
    "field_interpolation": (
        "| 20 x 20 | 1 | sized | cubic | 5.01 | 7.00 | 2.00 | 30.00 | 30 | 13 |\n"
        "| 20 x 20 | 3 | sized | cubic | 2.71 | 3.00 | 1.00 | 20.00 | 149 | 120 |\n"
    ),
    "diffraction": (
        "one kernel, 51 px: 4.1 ms wall, 6.0 ms processor\n"
        "optiland HuygensPSF: 620 ms wall, 640 ms processor; ours is 151 times as fast by wall, 106 by processor\n"
    ),
    "render": (
        "| px | what | ms (best) | CPU ms | times faster than DeepLens | x depth_blend | CPU x | largest error |\n"
        "| 65 | DeepLens | 1650 (1600) | 3100.0 | 1.0 | 49.00 | 47.00 | 4.0e-05 |\n"
        "| 65 | depth_blend | 33.7 (33.1) | 65.0 | 49.0 | 1.00 | 1.00 | 2.0e-07 |\n"
    ),
    "occlusion": (
        "mean                       36.20 32.00 48.00 |    40.00 37.00 45.00 |    42.70 40.90 48.10\n"
        "discs: march above gather by 6.50 dB (least 1.00), in the band by 8.90; outside at worst -0.10\n"
    ),
    "camera": (
        "| none | alone, 2 threads | 90.1 |\n| blend | alone, 2 threads | 24.1 |\n"
        "| blend | 1 workers | 17.0 |\n| blend | 2 workers | 29.0 |\n"
    ),
    "estimate": "| stack |  | 0.41 | 0.83 | 33 x 12 | 0.0050 | 95 | 160 | 1.9 |\n",
    "startup": "| psf | 0.18 | 0.19 | 1.40 | 1.45 |\nslowest: 0.41 s\nabove 0.5 s: none of 5\n",
    "synthesis": "none, 2 workers: 19.6 patches/s, batch 64\nblend, 2 workers: 16.4 patches/s, batch 64\n",
}

FAKE = """
import pathlib, sys
count = pathlib.Path(sys.argv[sys.argv.index("--count") + 1])
count.write_text(count.read_text() + "x" if count.exists() else "x")
print("| ours | 12.5 |")
if "--fail" in sys.argv:
    sys.exit("it broke")
"""


@pytest.fixture
def command(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.__main__")


@pytest.fixture
def collection(command):
    return importlib.import_module("benchmarks.collection")


@pytest.fixture
def fake(command, collection, tmp_path, monkeypatch):
    """A house with one benchmark; calls the command and gives back its exit code, its words and how often it ran."""
    folder, count = tmp_path / "benchmarks", tmp_path / "count"
    folder.mkdir()
    (folder / "fake.py").write_text(FAKE, encoding="utf-8")
    figure = collection.Figure("a figure", r"^\| ours \| ([\d.]+)", unit="ms")
    words = ("fake.py", "--count", str(count))
    one = collection.Benchmark("fake", "What a fake costs", words, 1.0, (figure,))
    failing = collection.Benchmark("failing", "What fails", (*words, "--fail"), 1.0, (figure,))
    shared = collection.Benchmark("shared", "What needs tables", words, 1.0, shared="no/such/folder")
    photos = collection.Benchmark("photos", "What needs photographs", words, 1.0, photos=True)
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "COLLECTION", (one, shared, photos, failing))

    def call(*arguments):
        code = command.main(["-o", str(tmp_path / "out"), *arguments])
        return code, len(count.read_text()) if count.exists() else 0

    return call


def test_list_names_every_script_that_can_be_run(command, capsys):
    assert command.main(["--list"]) == 0
    told = capsys.readouterr().out
    scripts = [
        path for path in (ROOT / "benchmarks").glob("*.py") if '__name__ == "__main__"' in path.read_text("utf-8")
    ]
    collected = {one.script for one in command.COLLECTION}
    for path in scripts:
        if path.name != "__main__.py":
            assert path in collected or path.name in told
    for one in command.COLLECTION:
        assert one.name in told


def test_collection_fits_into_half_an_hour(collection):
    assert sum(one.minutes for one in collection.COLLECTION) <= 30
    assert len({one.name for one in collection.COLLECTION}) == len(collection.COLLECTION)


def test_scripts_of_the_collection_have_the_options_they_are_given(collection):
    for one in collection.COLLECTION:
        sources = [one.script, *(path for path in [one.script.with_name("render_report.py")] if one.name == "render")]
        text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
        for option in [word for word in (*one.words, one.peer_option) if word.startswith("--")]:
            assert re.search(rf"\b{option[2:].replace('-', '_')}\b", text), f"{one.name}: {option}"


def test_every_figure_is_found_in_what_its_script_prints(collection):
    for one in collection.COLLECTION:
        for figure in one.figures:
            ours, theirs = figure.find(OUTPUTS[one.name])
            assert re.match(r"[\d.]", ours), f"{one.name}: {figure.text}"
            assert bool(theirs) == bool(figure.peer), f"{one.name}: {figure.text}"


def test_numbers_are_the_right_ones(collection):
    found = {f.text: f.find(OUTPUTS[one.name]) for one in collection.COLLECTION for f in one.figures}
    assert found["the same with gradients"] == ("5.02e+07", "3.12e+06")
    assert found["its largest error"] == ("2.0e-07", "4.0e-05")
    assert found["L1 of the grid's kernels, mean / worst"] == ("0.0031 / 0.0121", "")
    assert found["`layered` against path-traced photographs, dB, whole / occlusion band"][0] == "42.70 / 40.90"
    assert found["gathering instead"][0] == "36.20 / 32.00"


def test_report_has_the_figure_its_command_and_what_was_printed(fake, tmp_path, capsys):
    code, ran = fake("--only", "fake")
    assert (code, ran) == (0, 1)
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "| a figure | 12.5 ms |  | `python benchmarks/fake.py --count" in text
    assert "| ours | 12.5 |" in text
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["figures"][0]["psfield"] == "12.5 ms"
    assert report["machine"]["cores"]
    assert "written: " in capsys.readouterr().out


def test_second_run_measures_only_what_has_changed(fake, tmp_path):
    assert fake("--only", "fake") == (0, 1)
    assert fake("--only", "fake") == (0, 1)
    assert fake("--only", "fake", "--redo") == (0, 2)
    (tmp_path / "benchmarks" / "fake.py").write_text(FAKE + "\n# changed\n", encoding="utf-8")
    assert fake("--only", "fake") == (0, 3)


def test_what_is_left_out_is_named_with_its_reason(fake, tmp_path, capsys):
    assert fake("--only", "fake", "shared", "photos", "--minutes", "0.5") == (0, 0)
    told = capsys.readouterr().out
    assert re.search(r"^fake: left out, 1 min", told, re.MULTILINE)
    assert re.search(r"^shared: left out, no folder shared/no/such/folder", told, re.MULTILINE)
    assert re.search(r"^photos: left out, it needs --photos", told, re.MULTILINE)
    assert "## Left out" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_failure_is_told_kept_and_tried_again(fake, tmp_path, capsys):
    assert fake("--only", "failing") == (1, 1)
    assert "failing: exit code 1: it broke" in capsys.readouterr().out
    assert "it broke" in json.loads((tmp_path / "out" / "failing.json").read_text(encoding="utf-8"))["errors"]
    assert fake("--only", "failing") == (1, 2)


def test_damaged_record_is_measured_again(fake, tmp_path):
    assert fake("--only", "fake") == (0, 1)
    (tmp_path / "out" / "fake.json").write_text("{half", encoding="utf-8")
    assert fake("--only", "fake") == (0, 2)


def test_no_time_still_writes_the_report_of_what_there_is(fake, tmp_path):
    fake("--only", "fake")
    (tmp_path / "out" / "report.md").unlink()
    assert fake("--minutes", "0") == (0, 1)
    assert "12.5 ms" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "no_such"], ["--only", "no_such", "tracing"]),
        (["--photos", "no/such/folder"], ["no such folder"]),
        (["--peer-python", "no/such/python"], ["--peer-python", "a Python that starts"]),
        (["--minutes", "many"], ["minutes"]),
        (["--no-such-flag"], ["no-such-flag"]),
    ],
    ids=" ".join,
)
def test_arguments_that_cannot_be_are_one_line_and_exit_code_2(command, tmp_path, capsys, arguments, words):
    assert command.main(["-o", str(tmp_path / "out"), *arguments]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    for word in ["error: ", *words]:
        assert word in said[0]


def test_versions_of_another_python_are_found(command):
    assert "pytest" in command.find_versions(sys.executable)


def test_script_that_measures_a_peer_is_told_of_it_or_started_by_its_python(command, collection):
    args = command.Args(peer_python="peer/bin/python")
    known = {one.name: one for one in collection.COLLECTION}
    peers = dict.fromkeys(("deeplens-core", "optiland", "torch", "numba", "h5py", "tyro"), "1")
    assert command.make_command(known["tracing"], args, peers)[0][0] == "peer/bin/python"
    assert command.make_command(known["diffraction"], args, peers)[0][-2:] == ["--peer-python", "peer/bin/python"]
    assert command.make_command(known["tracing"], args, {"deeplens-core": "1"})[0][0] == sys.executable
