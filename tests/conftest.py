"""What all tests share: where the large tables lie, if this machine has them, and how random input is made."""

import os
from pathlib import Path

# Before torch is loaded: its threads sleep while they wait. Spinning, two of them take minutes for what takes seconds
# as soon as anything else runs on the machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import hypothesis
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

# Some two cores are what every machine has; more threads than that only make short tests slower.
torch.set_num_threads(2)

# Deadlines fail on busy machines. In CI every run draws the same examples, so that a red run can be repeated.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_report_header() -> str:
    tables = "found" if SHARED.is_dir() else "not found, their tests are skipped"
    return f"torch {torch.__version__}; tables in ../{SHARED.name}: {tables}"


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of large tables that stands beside the repository on some machines."""
    if not SHARED.is_dir():
        pytest.skip("the folder 'shared' does not stand beside the repository")
    return SHARED


@pytest.fixture(scope="session")
def reference(shared: Path) -> Path:
    """Reference tables of rays, first-order data and kernels, made independently of this code."""
    folder = shared / "reference"
    if not folder.is_dir():
        pytest.skip("the folder 'shared' holds no 'reference'")
    return folder
