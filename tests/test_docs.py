"""The documentation does not rot: links lead somewhere, code compiles or runs, commands have the options that they use.

README.md and docs/conventions.md have test files of their own. That the site builds without a warning is tried here
where mkdocs is installed, and in .ci/run.
"""

import ast
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
OUTSIDE = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "lenses/README.md")]
PAGES = [*sorted(DOCS.rglob("*.md")), *OUTSIDE, *sorted((ROOT / "examples").glob("*.md"))]
FENCED = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAV = re.findall(r"^\s+- (?:[^:\n]+: )?(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
# Python blocks that run, each by itself, wherever a page makes a claim in them; other blocks want the reader's files.
HAS_OWN_TEST = {"conventions.md"}
# Options of programs that are not ours.
NOT_OURS = ("python -m venv", "python -m pip", "python -m pytest", "pip ", "mkdocs ")
# torch.load without weights_only=True, each with the reason.
UNPICKLED = {"psf/estimators/direct.py": "its own unfinished run; SECURITY.md says so"}

ASK_FOR_HELP = """
import contextlib, io, json, os, runpy, sys, warnings
warnings.simplefilter("ignore")
answers, path = [], list(sys.path)
for target, words in json.loads(sys.argv[1]):
    sys.argv = [target, *words, "--help"]
    sys.path[:] = [os.path.dirname(target), *path] if target.endswith(".py") else path
    before, code, out = set(sys.modules), None, io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            run = runpy.run_path if target.endswith(".py") else runpy.run_module
            run(target, run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except Exception as error:
            code = 1
            print(repr(error))
    answers.append((code, out.getvalue()))
print(json.dumps(answers))
"""


def relative(path):
    return path.relative_to(ROOT).as_posix()


def blocks_of(page):
    """(language, source, line of its first line from 0) of every fenced block."""
    text = page.read_text(encoding="utf-8")
    return [(found[1], found[2], text[: found.start(2)].count("\n")) for found in FENCED.finditer(text)]


def without_blocks(page):
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors_of(page):
    """As the site and GitHub make them."""
    headings = re.findall(r"^#+ (.+?)\s*$", without_blocks(page), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", one) for one in headings]
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", one).strip().lower()) for one in plain}


def commands_of(page):
    """Commands in blocks, one a line with a remark perhaps, and within sentences and tables."""
    shell = [source for language, source, _ in blocks_of(page) if language in ("", "sh", "bash", "shell")]
    lines = "\n".join(shell).replace("\\\n", " ").splitlines()
    lines += re.findall(r"`((?:python|torchrun) [^`\n]+)`", without_blocks(page))
    commands = {re.split(r"\s#|\s{3,}", line.strip())[0].strip() for line in lines}
    ours = [one for one in commands if one.startswith(("python ", "torchrun ")) and not one.startswith(NOT_OURS)]
    return sorted(one for one in ours if not re.search(r"[<>|;]|\$ ", one))


def target_of(command):
    """Script or module, and the words before its options."""
    words = shlex.split(command)
    if words[0] == "torchrun":
        words = ["python", *words[words.index("-m") :]]
    words = words[1:]
    if words[0] == "-c":
        return None
    if words[0] != "-m":
        return (words[0], []) if "/" in words[0] and words[0].endswith(".py") else None  # others: of other programs
    plain = len(words) > 2 and re.fullmatch(r"[a-z][a-z-]+", words[2].rstrip(",`"))
    subcommand = [words[2].rstrip(",`")] if plain and has_subcommands(words[1]) else []
    return words[1], subcommand


def has_subcommands(module):
    return module in {"psf", "optics", "render", "learn.photos", "learn.deblur", "learn.dfd", "learn.joint"}


COMMANDS = sorted({(relative(page), command) for page in PAGES for command in commands_of(page) if target_of(command)})


@pytest.fixture(scope="module")
def helps():
    """Exit code and text of help by (target, words)."""
    targets = sorted({json.dumps(target_of(command)) for _, command in COMMANDS})
    asked = [[str(ROOT / name) if name.endswith(".py") else name, words] for name, words in map(json.loads, targets)]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "COLUMNS": "200"}
    command = [sys.executable, "-c", ASK_FOR_HELP, json.dumps(asked)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return dict(zip(targets, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_to_files_and_headings_that_exist(page):
    missing = []
    for link in LINK.findall(without_blocks(page)):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        known = anchors_of(target) if anchor and target.suffix == ".md" and target.is_file() else {anchor}
        if not target.exists() or anchor not in known:
            missing.append(link)
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_python_blocks_compile(page):
    for language, source, line in blocks_of(page):
        if language == "python":
            ast.increment_lineno(ast.parse(source, relative(page)), line)


RUNNING = [
    (page, source, line)
    for page in sorted(DOCS.rglob("*.md"))
    if page.name not in HAS_OWN_TEST
    for language, source, line in blocks_of(page)
    if language == "python" and re.search(r"^assert ", source, re.MULTILINE)
]


@pytest.mark.parametrize(
    ("page", "source", "line"), RUNNING, ids=lambda one: relative(one) if isinstance(one, Path) else ""
)
def test_python_blocks_that_claim_something_run(page, source, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree = ast.increment_lineno(ast.parse(source, relative(page)), line)
    exec(compile(tree, relative(page), "exec"), {"__name__": "page"})


def test_some_blocks_run():
    assert len(RUNNING) >= 2


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda one: one[:60])
def test_command_exists_and_has_the_options_it_is_given(page, command, helps):
    target = target_of(command)
    if target[0].endswith(".py"):
        assert (ROOT / target[0]).is_file()
    code, text = helps[json.dumps(target)]
    assert code == 0, text
    words = re.sub(r"^torchrun .*? -m ", "", command)
    for option in re.findall(r"(?<= )--?[a-z][\w-]*", re.sub(r"^python -m \S+", "", words)):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), f"{option} is not in\n{text}"


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda one: one[:60])
def test_files_of_the_repository_that_a_command_names_exist(page, command):
    named = re.findall(r"(?<![\w./])((?:examples|benchmarks|lenses|tests|docs|tools)/[\w./-]+)", command)
    assert not [one for one in named if not (ROOT / one).exists()]


def test_scripts_that_pages_name_exist():
    named = {
        one
        for page in PAGES
        for one in re.findall(r"`((?:examples|benchmarks|tools)/[\w/]+\.\w+)`", without_blocks(page))
    }
    assert named
    assert not [one for one in named if not (ROOT / one).is_file()]


def test_extras_that_pages_name_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    found = {
        name
        for text in texts
        for group in re.findall(r"(?:'\.|psfield)\[([\w,]+)\]", text)
        for name in group.split(",")
    }
    assert found <= set(project["optional-dependencies"])


def test_every_page_stands_in_the_navigation_once():
    module = load_hooks()
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} | set(module.TAKEN.values())
    assert sorted(NAV) == sorted(pages)


def test_every_picture_is_shown_and_every_shown_one_is_there():
    shown = set()
    for page in PAGES:
        found = re.findall(r"!\[[^\]]+\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", without_blocks(page))
        links = [one or other for one, other in found]
        shown |= {(page.parent / link).resolve() for link in links if not re.match(r"[a-z]+:", link)}
    assert shown == {path.resolve() for path in (DOCS / "images").iterdir()}


def test_every_picture_of_the_gallery_has_its_command():
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    for section in text.split("\n## ")[1:]:
        assert "](images/" in section
        assert "\npython " in section, section.splitlines()[0]


def load_hooks():
    spec = importlib.util.spec_from_file_location("site_pages", ROOT / "tools" / "site_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("deblur.md", "[a](../learn/tiles.py)", "a"),
        ("deblur.md", "[the house](../CONTRIBUTING.md)", "[the house](contributing.md)"),
        (
            "how_to/zemax_lens.md",
            "[keys](../../lenses/README.md#the-schema)",
            "[keys](../reference/lens_files.md#the-schema)",
        ),
        ("concepts/dioptres.md", "[a](../data.md#depth)", "[a](../data.md#depth)"),
        ("index.md", "[a](https://example.org/x.py)", "[a](https://example.org/x.py)"),
        ("index.md", "![a](images/a.png)", "![a](images/a.png)"),
        ("index.md", "[gone](../no_such_file.md)", "[gone](../no_such_file.md)"),
    ],
)
def test_links_are_led_to_the_pages_of_the_site(page, text, expected):
    assert load_hooks().lead(text, f"docs/{page}", page) == expected


def test_links_of_a_page_from_elsewhere_are_led_from_where_it_stands():
    hooks = load_hooks()
    assert hooks.lead("[a](docs/data.md)", "CONTRIBUTING.md", "contributing.md") == "[a](data.md)"
    assert hooks.lead("[`a`](psf/field.py)", "CONTRIBUTING.md", "contributing.md") == "`a`"


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path):
    for name in ("mkdocs", "material", "mkdocstrings_handlers"):
        pytest.importorskip(name)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(NAV)
    # Nothing is fetched: no script, style sheet, font or picture of others.
    fetched = re.compile(r'<(?:script|img|link)[^>]+(?:src|href)="?https?://', re.IGNORECASE)
    assert not [path.name for path in pages if fetched.search(path.read_text(encoding="utf-8"))]


def test_citation_names_the_version_and_both_papers():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in text
    for words in ("Defocus Deblur", "2507.00372", "PSF Estimation for Aberration-Aware", "2402.18175"):
        assert words in text


def test_weights_are_read_without_running_code():
    careless = []
    for package in ("psf", "optics", "render", "learn"):
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
            for call in calls:
                name, words = ast.unparse(call.func), {k.arg: ast.unparse(k.value) for k in call.keywords}
                is_safe = words.get("weights_only") == "True" or relative(path) in UNPICKLED
                if (name == "torch.load" and not is_safe) or (
                    name == "np.load" and words.get("allow_pickle") == "True"
                ):
                    careless.append(f"{relative(path)}:{call.lineno}")
    assert not careless
