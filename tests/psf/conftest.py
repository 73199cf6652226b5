"""Small fields for the tests of `psf`."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from psf import Channel, PolarPSFField

F64 = torch.float64
MakeField = Callable[..., PolarPSFField]


def _symmetric_kernels(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    kernels = torch.rand(shape, generator=generator, dtype=F64)
    kernels = kernels + kernels.flip(-2)
    return kernels / kernels.sum((-2, -1), keepdim=True)


@pytest.fixture
def make_field() -> MakeField:
    """Random mirror-symmetric kernels; anything may be replaced by keyword."""

    def make(seed: int = 0, kernel_px: int = 7, dtype: torch.dtype = F64, **changes: Any) -> PolarPSFField:
        generator = torch.Generator().manual_seed(seed)
        size = kernel_px * changes.get("oversample", 1)
        values: dict[str, Any] = {
            "kernels": _symmetric_kernels((3, 4, 2, size, size), generator).to(dtype),
            "transmission": torch.rand((3, 4, 2), generator=generator, dtype=F64).to(dtype),
            "lost": 0.1 * torch.rand((3, 4, 2), generator=generator, dtype=F64).to(dtype),
            "depths_m": torch.tensor([0.1, 0.4, math.inf], dtype=dtype),
            "radii": torch.tensor([0.0, 0.3, 0.7, 1.0], dtype=dtype),
            "image_shape_px": (30, 40),
            "pitch_um": 2.0,
            "channels": (Channel("R", (0.62, 0.65), (1.0, 2.0)), Channel("B", (0.45,))),
            "focus_m": 0.4,
        }
        return PolarPSFField(**{**values, **changes})

    return make


@pytest.fixture(scope="session")
def golden(root):
    """Independent results for polar fields, turning and kernel metrics: excerpts of the project's golden vectors."""
    with np.load(root / "tests" / "data" / "polar_field_golden.npz") as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file.files}
