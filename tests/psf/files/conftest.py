"""Writers of files as other programs write them, for the tests of `psf.files`."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from psf.files import ScatteredKernel

F64 = torch.float64


def _export_text(values: Any, **said: Any) -> str:
    """An export in OpticStudio's layout, as its help and public readers describe it."""
    rows, columns = values.shape
    say = {
        "analysis": "Huygens",
        "spacing_um": 0.5,
        "waves_um": (0.55,),
        "field": (0.0, 0.0),
        "unit": "(deg)",
        "centre": (rows // 2 + 1, columns // 2 + 1),
        "place_mm": None,
        "strehl": 0.5,
        "comma": False,
        "area": "n",
        "end": "\n",
        **said,
    }
    waves = " to ".join(f"{one:.4f}" for one in say["waves_um"])
    width_um, height_um = columns * say["spacing_um"], rows * say["spacing_um"]
    area = f"{width_um:.3f} by {height_um:.3f} µm" if say["analysis"] == "Huygens" else f"{width_um:.3f} µm wide"
    lines = [
        f"Listing of {say['analysis']} PSF Data",
        "",
        "File : C:\\lenses\\camera.zmx",
        "Title: own making",
        "Date : 26.11.2026",
        "",
        f"{'Polychromatic ' if len(say['waves_um']) > 1 else ''}{say['analysis']} PSF",
        f"{waves} µm at {say['field'][0]:.4f}, {say['field'][1]:.4f} {say['unit']}.",
        f"Data spacing is {say['spacing_um']:.3f} µm.",
        f"Data area is {area}.",
        "Surface: Image",
        *([f"Strehl ratio: {say['strehl']:.3f}"] if say["strehl"] is not None else []),
        "Pupil grid size: 128 by 128",
        f"Image grid size: {columns} by {rows}",
        f"Center point is: row {say['centre'][0]}, column {say['centre'][1]}",
    ]
    if say["place_mm"] is not None:
        x_mm, y_mm = say["place_mm"]
        lines.append(f"Center coordinates  : {x_mm:.8E}, {y_mm:.8E} Millimeters")
    lines += ["Values are not normalized.", ""]
    lines += ["".join(f"{one: .6E}\t" for one in row) for row in np.asarray(values)]
    text = "\n".join(lines) + "\n"
    if say["comma"]:
        text = "".join(
            "," if c == "." and text[n + 1 : n + 2].isdigit() and text[n - 1].isdigit() else c
            for n, c in enumerate(text)
        )
        text = text.replace("26,11,2026", "26.11.2026")
    return text.replace("\n", say["end"])


@pytest.fixture
def export_text() -> Callable[..., str]:
    return _export_text


@pytest.fixture
def write_manifest(tmp_path: Path) -> Callable[..., Path]:
    """A manifest in `tmp_path` with the settings of a small sensor; anything may be replaced by keyword."""

    def write(files: list[dict[str, Any]], **settings: Any) -> Path:
        data = {"pitch_um": 2.0, "image_shape_px": [300, 400], "focus_m": 1.0, "files": files, **settings}
        path = tmp_path / "manifest.json"
        path.write_text(json.dumps({key: one for key, one in data.items() if one is not None}))
        return path

    return write


@pytest.fixture
def lopsided() -> Callable[..., torch.Tensor]:
    """Values of a comet that flies to an azimuth: most light at the middle, a tail outwards; row 0 at the top."""

    def make(azimuth_rad: float = 0.0, size: int = 65, spacing_um: float = 0.5) -> torch.Tensor:
        axis = (torch.arange(size, dtype=F64) - size // 2) * spacing_um
        right, up = axis[None, :], -axis[:, None]
        out = right * math.cos(azimuth_rad) + up * math.sin(azimuth_rad)
        side = -right * math.sin(azimuth_rad) + up * math.cos(azimuth_rad)
        head = torch.exp(-(out**2 + side**2) / (2 * 1.5**2))
        return head + 0.4 * torch.exp(-((out - 4) ** 2) / (2 * 2.0**2) - side**2 / (2 * 1.5**2))

    return make


@pytest.fixture
def scattered() -> Callable[..., ScatteredKernel]:
    def make(values: torch.Tensor, **changes: Any) -> ScatteredKernel:
        said: dict[str, Any] = {
            "where": "here",
            "values": values,
            "spacing_um": (0.5, 0.5),
            "centre_px": (values.shape[0] // 2, values.shape[1] // 2),
            "depth_m": 1.0,
            "radius": 0.5,
        }
        return ScatteredKernel(**{**said, **changes})

    return make
