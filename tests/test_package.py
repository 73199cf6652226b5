"""What is installed: names, data, requirements, licence. That the wheel works elsewhere is tried in .ci/run."""

import fnmatch
import hashlib
import importlib
import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
FIND = PYPROJECT["tool"]["setuptools"]["packages"]["find"]
PACKAGE_DATA = PYPROJECT["tool"]["setuptools"]["package-data"]
CODE = ("optics", "psf", "render", "learn")
EXTRAS = PROJECT["optional-dependencies"]


@pytest.mark.parametrize("name", CODE)
def test_package_imports_and_says_what_it_is(name):
    assert importlib.import_module(name).__doc__
    assert (ROOT / name / "py.typed").is_file()


@pytest.mark.parametrize("name", CODE)
def test_every_name_handed_on_exists(name):
    package = importlib.import_module(name)
    assert not [inner for inner in getattr(package, "__all__", []) if not hasattr(package, inner)]


def test_every_file_of_code_or_data_is_packed():
    inside = [path for name in (*CODE, "lenses") for path in (ROOT / name).rglob("*") if path.is_file()]
    missing = []
    for path in inside:
        package = ".".join(path.relative_to(ROOT).parent.parts)
        if "__pycache__" in package:
            continue
        is_found = any(fnmatch.fnmatchcase(package, pattern) for pattern in FIND["include"])
        patterns = ["*.py", *PACKAGE_DATA["*"], *PACKAGE_DATA.get(package, [])]
        if not is_found or not any(fnmatch.fnmatchcase(path.name, pattern) for pattern in patterns):
            missing.append(path.relative_to(ROOT).as_posix())
    assert not missing


def test_libraries_have_a_lower_bound_and_no_upper_one():
    requirements = [*PROJECT["dependencies"], *(r for name, extra in EXTRAS.items() if name != "dev" for r in extra)]
    assert not [r for r in requirements if not re.fullmatch(r"[\w.-]+>=[\d.]+", r)]


def test_tools_whose_findings_change_with_the_version_are_pinned():
    assert {r.partition("==")[0] for r in EXTRAS["dev"] if "==" in r} == {"ruff", "mypy"}


def test_installed_version_is_the_one_of_this_source():
    try:
        installed = importlib.metadata.version("psfield")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("psfield runs from its source folder and is not installed")
    assert installed == PROJECT["version"]


def test_licence_is_the_whole_text_of_apache_2():
    assert PROJECT["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_bytes().replace(b"\r\n", b"\n")
    # The text as the foundation publishes it, without its empty first line or with it.
    assert (
        hashlib.sha256(text.strip()).hexdigest() == "283ea6cc2997a1a70da0049e09adf9317bb60ca1b51279b65196b83a69e1996b"
    )


def test_data_keep_their_own_licences_in_the_notice():
    assert PROJECT["license-files"] == ["LICENSE", "NOTICE"]
    assert "lenses" in (ROOT / "NOTICE").read_text(encoding="utf-8")


def test_changelog_has_a_place_for_what_comes_next():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert changelog.count("\n## Unreleased\n") == 1
    assert re.search(r"^## (\S+)", changelog, re.MULTILINE).group(1) == "Unreleased"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/conventions.md", "CHANGELOG.md"])
def test_links_inside_the_repository_lead_somewhere(name):
    page = ROOT / name
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert not [link for link in local if not (page.parent / link).exists()]
