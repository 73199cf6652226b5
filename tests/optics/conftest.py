"""Reference kernels: from ../shared where it is present, else the small copy in tests/data."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import optics

DATA = Path(__file__).parents[1] / "data"


def crop(kernel, size):
    """The middle of a kernel (..., K, K)."""
    cut = (kernel.shape[-1] - size) // 2
    return kernel[..., cut : cut + size, cut : cut + size]


def l1(a, b):
    """Half the summed absolute difference of unit-sum kernels, over the smaller window."""
    size = min(a.shape[-1], b.shape[-1])
    a, b = (np.asarray(crop(k, size), float) for k in (a, b))
    return 0.5 * np.abs(a / a.sum((-1, -2), keepdims=True) - b / b.sum((-1, -2), keepdims=True)).sum((-1, -2))


def centroid_px(kernel):
    """Column and row of the centroid from the centre, shape (..., 2)."""
    kernel = np.asarray(kernel, float)
    grid = np.arange(kernel.shape[-1]) - kernel.shape[-1] // 2
    total = kernel.sum((-1, -2))
    return np.stack([(kernel.sum(-2) * grid).sum(-1) / total, (kernel.sum(-1) * grid).sum(-1) / total], axis=-1)


def reference_lens(name, shift_mm=0.0):
    """A bundled lens with one line per channel and its image plane moved."""
    lens = replace(optics.load(name), channels=optics.LINE_CHANNELS)
    last = lens.surfaces[-1]
    return replace(lens, surfaces=(*lens.surfaces[:-1], replace(last, thickness_mm=last.thickness_mm + shift_mm)))


def psf_cases(name):
    """Cases of the shipped copy: dictionaries with their `kernel` (3, K, K), whose sum is the light inside."""
    with np.load(DATA / "psf.npz") as file:
        cases = json.loads(str(file["meta"]))[name]
        for case in cases:
            case["kernel"] = file[f"{name}_{case['case']:02d}"].astype(np.float64) / case["scale"]
    return cases


@pytest.fixture(scope="session")
def kernels():
    """The functions above as one bundle; tests cannot import a conftest."""
    return SimpleNamespace(crop=crop, l1=l1, centroid_px=centroid_px, lens=reference_lens, cases=psf_cases)
