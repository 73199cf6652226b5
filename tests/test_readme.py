"""README.md does not rot: its Python runs, its cheap commands run, the others have the options they are given."""

import ast
import contextlib
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import psf
import render
import render.__main__

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "README.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCKS = [(found[1], found[2], TEXT[: found.start(2)].count("\n")) for found in FENCED.finditer(TEXT)]
PYTHON = [(source, line) for language, source, line in BLOCKS if language == "python"]
SHELL = "\n".join(source for language, source, _ in BLOCKS if language in ("", "sh", "bash", "shell"))
# Commands stand in blocks, one a line and with a remark perhaps, and within sentences and tables.
LINES = [*SHELL.replace("\\\n", " ").splitlines(), *re.findall(r"`(python [^`\n]+)`", FENCED.sub("", TEXT))]
COMMANDS = sorted({line.split(" #")[0].strip() for line in LINES if line.startswith("python ")})
NOT_OURS = ("python -m venv", "python -m pip", "python -m pytest")
OURS = [command for command in COMMANDS if not command.startswith(NOT_OURS)]
TRACE, SIMULATE, STACK = "python examples/trace_lens.py", "python -m render simulate", "python -m render stack"

# Help of every (script or module, words before --help), all in one process: imports are dear.
ASK_FOR_HELP = """
import contextlib, io, json, os, runpy, sys
answers, path = [], list(sys.path)
for target, words in json.loads(sys.argv[1]):
    sys.argv = [target, *words, "--help"]
    sys.path[:] = [os.path.dirname(target), *path] if target.endswith(".py") else path
    code, out = None, io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            run = runpy.run_path if target.endswith(".py") else runpy.run_module
            run(target, run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        except Exception as error:
            code = 1
            print(repr(error))
    answers.append((code, out.getvalue()))
print(json.dumps(answers))
"""


def the_commands(start: str, words: str = "") -> list[list[str]]:
    """Arguments of those that begin so and have the words."""
    found = [command for command in COMMANDS if command.startswith(start) and words in command]
    assert found, f"README.md has no command {start} ... {words}"
    return [shlex.split(command.removeprefix(start)) for command in found]


def run_silently(main, arguments):
    """Exit code and what is printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        code = main(arguments)
    return code, out.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a reader has: the lenses, a lens of one's own, a picture and its depth."""
    path = tmp_path_factory.mktemp("readme")
    (path / "lenses").mkdir()
    for name in ("lenses/f2.2_fixedfocus.json", "my_lens.json"):
        shutil.copy(ROOT / "lenses" / "f2.2_fixedfocus.json", path / name)
    render.write_picture(path / "photo.png", torch.rand((1, 3, 48, 64), generator=torch.Generator().manual_seed(0)))
    np.save(path / "depth.npy", np.linspace(0.5, 4, 48 * 64, dtype=np.float32).reshape(48, 64))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        yield path


@pytest.fixture(scope="module")
def trace_lens():
    spec = importlib.util.spec_from_file_location("trace_lens", ROOT / "examples" / "trace_lens.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["trace_lens"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["trace_lens"]


@pytest.fixture(scope="module")
def traced(folder, trace_lens):
    """What the first command prints; its files lie in the folder then."""
    arguments = the_commands(TRACE, "lenses/")
    assert len(arguments) == 1
    code, out = run_silently(trace_lens.main, arguments[0])
    assert code == 0, out
    return out


@pytest.fixture(scope="module")
def helps():
    """Exit code and text by (script or module, subcommand)."""
    wanted = {}
    for command in OURS:
        words = shlex.split(command)[1:]
        if words[0] == "-m":
            subcommand = [words[2]] if len(words) > 2 and not words[2].startswith("-") else []
            wanted[command] = (words[1], subcommand)
        else:
            wanted[command] = (str(ROOT / words[0]), [])
    targets = sorted({json.dumps(one) for one in wanted.values()})
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"}
    asked = [sys.executable, "-c", ASK_FOR_HELP, "[" + ",".join(targets) + "]"]
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    answers = dict(zip(targets, json.loads(done.stdout), strict=True))
    return {command: answers[json.dumps(one)] for command, one in wanted.items()}


def test_first_command_prints_what_the_readme_shows(traced):
    shown = next(source for language, source, _ in BLOCKS if not language and "focal length" in source)

    def without_seconds(text):
        return re.sub(r"\d+\.\d+ s\b", "some s", text).strip().splitlines()

    assert without_seconds(traced) == without_seconds(shown)


def test_arguments_of_the_second_lens_are_understood(folder, trace_lens, monkeypatch):
    monkeypatch.chdir(folder)
    for arguments in the_commands(TRACE, "my_lens.json"):
        # What it prints is not told: a coarse field will do.
        cheap = ["--quick", "--depths", "2", "--radii", "2", "--out", "second"]
        code, out = run_silently(trace_lens.main, [*arguments, *cheap])
        assert code == 0, out
        assert psf.load(folder / "second" / "f2.2_fixedfocus.h5").pitch_um == 2


def test_pictures_are_rendered_with_the_traced_field(folder, traced):
    for arguments in the_commands(SIMULATE):
        code, out = run_silently(render.__main__.main, ["simulate", *arguments])
        assert code == 0, out
        assert render.read_picture(folder / arguments[arguments.index("-o") + 1]).shape == (1, 3, 48, 64)


def test_stack_has_a_picture_per_field(folder, traced):
    field = psf.load(folder / "out" / "f2.2_fixedfocus.h5")
    for arguments in the_commands(STACK):
        names = [one for one in arguments if one.endswith(".h5")]
        for name in names:
            replace(field, focus_m=float(re.search(r"[\d.]+(?=m)", name)[0])).save(folder / name)
        code, out = run_silently(render.__main__.main, ["stack", *arguments])
        assert code == 0, out
        assert len(list((folder / arguments[arguments.index("-o") + 1]).glob("*.png"))) == len(names)


def test_python_blocks_run_one_after_another(folder):
    namespace = {"__name__": "readme"}
    for source, line in PYTHON:
        tree = ast.increment_lineno(ast.parse(source, str(DOCUMENT)), line)
        if "image" in ast.unparse(tree) and "image" not in namespace:  # the reader's own, as large as a test can bear
            namespace["image"] = torch.rand((1, 3, 48, 64), generator=torch.Generator().manual_seed(0))
            namespace["depth_m"] = torch.linspace(0.5, 4, 48 * 64).reshape(1, 1, 48, 64)
            namespace["whole"], namespace["field"] = namespace["field"], render.fit_field(namespace["field"], (48, 64))
        if "srgb" in ast.unparse(tree):  # a patch of the whole sensor, and a RAW file of the reader's
            namespace |= {"srgb": namespace["image"], "field": namespace["whole"]}
            namespace["generator"] = torch.Generator().manual_seed(1)
            shot = render.Camera(None, image_shape_px=(48, 64)).simulate(namespace["image"], 1.0, generator=[1])
            render.write_dng(folder / "photo.dng", shot.to_raw_file(0))
        exec(compile(tree, str(DOCUMENT), "exec"), namespace)
    assert namespace["blurred"].shape == namespace["image"].shape
    assert render.read_raw(folder / "restored.dng").mosaic.equal(render.read_raw(folder / "photo.dng").mosaic)


@pytest.mark.parametrize("command", OURS)
def test_command_has_the_options_it_is_given(command, helps):
    code, text = helps[command]
    assert code == 0, text
    for option in re.findall(r"(?<= )--?[a-z][\w-]*", re.sub(r"^python -m \w+", "", command)):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), f"{option} is not in\n{text}"


def test_extras_and_marks_that_the_readme_names_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = {name for group in re.findall(r"(?:\.|psfield)\[([\w,]+)\]", TEXT) for name in group.split(",")}
    assert extras <= set(project["project"]["optional-dependencies"])
    marks = {mark.split(":")[0] for mark in project["tool"]["pytest"]["ini_options"]["markers"]}
    assert set(re.findall(r'-m "not (\w+)"', TEXT)) <= marks
