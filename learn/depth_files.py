"""Names of depth maps beside photographs, and reading them.

`NAME.depth_m.png` (or `.tif`, `.exr`, `.npy`) lies beside `NAME.jpg`; `NAME.jpg.depth_m.png` does as well. What stands
between says what the numbers are:

| in the name | numbers |
|---|---|
| `.depth_m` `.depth_cm` `.depth_mm` | metres, centimetres, millimetres along the axis |
| `.depth_dpt` | dioptres, 1/m; 0 is infinity |
| `.depth_rel` | relative: greater is farther, no unit |
| `.disparity` | relative inverse depth: greater is nearer, no unit |
| `.depth` | metres in floats (EXR, NPY, float TIFF); refused in integers, whose unit nobody could know |

In files with a unit NaN, and 0 in integers, means that nothing was measured; the nearest measured pixel stands for it.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from psf import InputError
from psf.errors import one_line
from psf.runs import load_npy, load_tiff
from render import read_depth
from render.pictures import METRES_PER
from render.png import find_png_bits, read_png16

SUFFIXES = (".png", ".tif", ".tiff", ".exr", ".npy")
METRIC = {".depth_m": "m", ".depth_cm": "cm", ".depth_mm": "mm", ".depth_dpt": "dpt", ".depth": "m"}
RELATIVE = {".depth_rel": -1.0, ".disparity": 1.0}
# Results of `python -m learn.depth`.
NETWORK_ENDING, NETWORK_FACTS = ".network_depth.npy", ".network_depth.json"
KINDS = (*METRIC, *RELATIVE)
# A map whose nearest point is beyond this, or whose middle is nearer than that, is in another unit than its name says.
FARTHEST_NEAR_M, NEAREST_MIDDLE_M = 200.0, 0.02
# A depth map's sides may differ from the photograph's proportions by so much, as rounding to whole pixels makes.
PROPORTION = 0.02


@dataclass(frozen=True, eq=False)
class DepthMap:
    """A depth map of a whole photograph, of any resolution.

    Attributes:
        inverse_depth: Greater is nearer, shape (1, h, w); dioptres if `is_metric`, else without unit.
        is_metric: Whether it is dioptres.
        source: "file", "network", "untrained network".
        detail: The file, and the network's name.
    """

    inverse_depth: Tensor
    is_metric: bool
    source: str
    detail: str


def is_depth_name(name: str) -> bool:
    """Whether a file of this name is a depth map, not a photograph."""
    stem, dot, suffix = name.rpartition(".")
    if name.endswith(NETWORK_ENDING):
        return True
    return f".{suffix}".lower() in SUFFIXES and bool(dot) and stem.lower().endswith(KINDS)


def find_depth_file(photo: Path, folder: Path | None = None) -> Path | None:
    """The depth map of a photograph; several are an error.

    Args:
        photo: The photograph.
        folder: Where its depth map is sought; by default beside it.
    """
    where = photo.parent if folder is None else folder
    names = {f"{stem}{kind}{suffix}" for stem in (photo.stem, photo.name) for kind in KINDS for suffix in SUFFIXES}
    found = sorted(path for name in names if (path := where / name).is_file())
    if len(found) > 1:
        raise InputError(str(photo), "several depth maps: " + ", ".join(one.name for one in found), "one")
    return found[0] if found else None


def read_depth_file(path: Path, shape_px: tuple[int, int]) -> DepthMap:
    """Read a depth map, whose name says what its numbers are.

    Args:
        path: The file.
        shape_px: Height and width of its photograph; the map may be smaller or larger in the same proportions.
    """
    kind = next((one for one in sorted(KINDS, key=len, reverse=True) if path.stem.lower().endswith(one)), None)
    if kind is None:
        raise InputError(str(path), "a name that tells no unit", "NAME with one of " + " ".join(KINDS))
    if kind in RELATIVE:
        stored = _read_plain(path)
        inverse = torch.from_numpy(stored.astype(np.float32) * np.float32(RELATIVE[kind]))
        if not bool(inverse.isfinite().all()):
            raise InputError(str(path), "numbers that are not finite", "finite relative depth")
        depth = DepthMap(inverse[None], False, "file", path.name)
    else:
        depth = DepthMap(_read_metric(path, kind), True, "file", path.name)
    check_proportions(path, (int(depth.inverse_depth.shape[1]), int(depth.inverse_depth.shape[2])), shape_px)
    return depth


def check_proportions(where: object, found_px: tuple[int, int], shape_px: tuple[int, int], step_px: int = 1) -> None:
    """Refuse a map (height, width) that cannot show the frame of its photograph (height, width).

    Args:
        where: What is refused, for the message.
        found_px: Of the map.
        shape_px: Of the photograph.
        step_px: The map's sides are rounded to multiples of this.
    """
    (height, width), (rows, columns) = found_px, shape_px
    exact = abs(math.log((width / height) / (columns / rows)))
    if exact > PROPORTION + 0.5 * step_px / min(height, width):
        expected = f"the proportions of its photograph, {columns} x {rows} px"
        raise InputError(str(where), f"{width} x {height} px", expected)


def _read_metric(path: Path, kind: str) -> Tensor:
    """Dioptres, shape (1, h, w)."""
    unit = METRIC[kind]
    if kind == ".depth" and path.suffix.lower() != ".exr" and _read_plain(path).dtype.kind != "f":
        expected = "the unit in its name: .depth_m, .depth_cm, .depth_mm or .depth_dpt"
        raise InputError(str(path), "integers without a unit", expected)
    # 0 dioptres are infinity; 0 of a length is a hole in the measurement.
    missing = () if unit == "dpt" else (0.0,)
    depth_m = _read_floats(path, unit)
    if depth_m is None:
        depth_m = read_depth(path, unit=unit, missing=missing, fill="nearest")[0]
    some_m = depth_m[:, ::4, ::4]
    nearest_m, middle_m = float(some_m.min()), float(some_m.median())
    if middle_m < NEAREST_MIDDLE_M or (math.isfinite(nearest_m) and nearest_m > FARTHEST_NEAR_M):
        found = f"depths from {nearest_m:.3g} m, half of them beyond {middle_m:.3g} m"
        expected = f"depths of a scene; is {unit} the right unit"
        raise InputError(f"{path} as {unit}", found, expected)
    return 1 / depth_m


def _read_floats(path: Path, unit: str) -> Tensor | None:
    """Metres (1, h, w) of an NPY file of single precision without holes, which is what training reads most."""
    if path.suffix.lower() != ".npy" or unit == "dpt":
        return None
    stored = _read_plain(path)
    if stored.dtype != np.float32 or not (stored > 0).all():
        return None
    return torch.from_numpy(stored).mul_(METRES_PER[unit])[None]


def _read_plain(path: Path) -> npt.NDArray[Any]:
    """Stored numbers, shape (h, w)."""
    suffix = path.suffix.lower()
    try:
        samples: npt.NDArray[Any]
        if suffix == ".npy":
            samples = load_npy(path)
        elif suffix in (".tif", ".tiff"):
            samples = load_tiff(path)
        elif suffix == ".png" and find_png_bits(path) == 16:
            samples = read_png16(path)
        elif suffix == ".png":
            from PIL import Image

            with Image.open(path) as opened:
                samples = np.asarray(opened.convert("L") if opened.mode in ("1", "P") else opened)
        else:
            raise InputError(str(path), f"relative depth in {suffix}", "PNG, TIFF or NPY")
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError, SyntaxError, EOFError, KeyError, IndexError) as error:
        raise InputError(str(path), f"no readable content ({one_line(error)})", "a whole file") from error
    if samples.ndim == 3 and samples.size and (samples == samples[..., :1]).all():
        samples = samples[..., 0]
    if samples.ndim != 2 or not samples.size or samples.dtype.kind not in "uif":
        raise InputError(str(path), f"{samples.dtype} of shape {samples.shape}", "one channel of numbers")
    return samples
