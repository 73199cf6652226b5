"""The lens files of tests/data and ways to break them, for all tests of `optics.files`."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests" / "data" / "lens_files"


@pytest.fixture(scope="session")
def lens_files():
    """The folder of small lens files of own making."""
    return DATA


@pytest.fixture(scope="session")
def fuzz():
    """The module of tools that mutates lens files and packs archives."""
    place = ROOT / "tools" / "fuzz_lens_files.py"
    if not place.is_file():
        pytest.skip("the folder tools is not there")
    spec = importlib.util.spec_from_file_location("fuzz_lens_files", place)
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_lens_files"] = module
    spec.loader.exec_module(module)
    return module
