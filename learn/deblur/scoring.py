"""How good a restored sample is: PSNR, SSIM and a perceptual distance in sRGB, and the error in every bin of blur.

Both pictures are developed with the sample's own gains and matrix, bilinear demosaicing and a gamma of 2.2, and cut to
0..1. Blur is counted in two ways: a picture's is the median over its pixels (`Drawn.blur_px`), and each pixel has its
own, by its depth and its place on the sensor. Pictures hold many depths: the first says how a picture fares, the second
where in it.
"""

import csv
import math
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from psf import InputError
from psf.runs import whole_file
from render import process
from render.bayer import Pattern

from ..metrics import find_psnr_db, find_ssim
from ..patch_optics import FieldExtent
from ..perceptual import Distance, load_distance
from ..samples import Drawn, Sample
from .methods import Method

# Where bins of blur begin, in px of the sensor; the last has no end.
BLUR_EDGES_PX = (0.0, 4.0, 12.0, 24.0)
BLUR_BINS = ("0-4", "4-12", "12-24", "over 24")
# A picture that equals its target would else make every mean infinite.
LARGEST_PSNR_DB = 100.0
TABLE_DISTANCES = ("lpips-alex", "lite0", "ms-ssim")


@dataclass(frozen=True)
class Score:
    """How near one picture is to its target.

    Attributes:
        psnr_db: Over all channels, at most 100.
        ssim: 1 where they are equal.
        distance: Perceptual, 0 where they are equal; NaN if none was measured.
        squared_errors: Mean squared error over the pixels of each bin of blur; NaN where there are none.
        pixels: How many there are.
    """

    psnr_db: float
    ssim: float
    distance: float
    squared_errors: tuple[float, ...]
    pixels: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One line of a file of scores: a method, a sample, and what came out.

    Attributes:
        method: Its name.
        fingerprint: Its settings' and weights'.
        index: Of the sample.
        photo: Behind it.
        iso: Of the sample.
        radius: Image height of its middle, 0 to 1.
        blur_px: Median diameter of its blur.
        depth_spread_dpt: 95 % less 5 % quantile of its nearness.
        psnr_db: See `Score`, and so are the others.
        ssim: 0 to 1.
        distance: Perceptual.
        squared_errors: Per bin of blur.
        pixels: Per bin of blur.
        time_s: Processor time that the method took.
    """

    method: str
    fingerprint: str
    index: int
    photo: str
    iso: float
    radius: float
    blur_px: float
    depth_spread_dpt: float
    psnr_db: float
    ssim: float
    distance: float
    squared_errors: tuple[float, ...]
    pixels: tuple[int, ...]
    time_s: float


PLAIN: dict[str, type] = {
    name: kind for name, kind in ScoreRow.__annotations__.items() if name not in ("squared_errors", "pixels", "time_s")
}
BINNED = tuple(name.replace(" ", "_").replace("-", "_") for name in BLUR_BINS)


def develop_result(found: Tensor, sample: Sample, pattern: Pattern = "RGGB") -> Tensor:
    """A method's result as a viewer sees it.

    Args:
        found: A packed mosaic, shape (4, h, w), or developed already, shape (3, H, W).
        sample: Whose gains and matrix count.
        pattern: Of the mosaic.

    Returns:
        sRGB from 0 to 1, shape (1, 3, H, W).
    """
    if sample.metadata is None:
        raise InputError("develop_result(sample)", "sRGB values", "a sample in space 'raw'")
    height, width = (2 * side for side in sample.target.shape[-2:])
    if tuple(found.shape) == (3, height, width):
        return found[None].clamp(0, 1)
    if found.shape != sample.target.shape:
        expected = f"{tuple(sample.target.shape)} of a mosaic or {(3, height, width)} of a picture"
        raise InputError("develop_result(found)", f"shape {tuple(found.shape)}", expected)
    return process(found[None], sample.metadata, pattern=pattern)


def score_pictures(
    found: Tensor, target: Tensor, *, distance: Distance | None = None, blur_px: Tensor | None = None
) -> Score:
    """Measure one developed picture against its target.

    Args:
        found: sRGB from 0 to 1, shape (1, 3, H, W).
        target: Shape (1, 3, H, W).
        distance: Perceptual; None leaves it out.
        blur_px: Diameter of every pixel's blur, shape (H, W); None leaves the bins empty.
    """
    if found.ndim != 4 or len(found) != 1 or found.shape[1] != 3:
        raise InputError("found", f"shape {tuple(found.shape)}", "shape (1, 3, H, W)")
    psnr_db = min(float(find_psnr_db(found, target)), LARGEST_PSNR_DB)
    errors, pixels = [math.nan] * len(BLUR_BINS), [0] * len(BLUR_BINS)
    if blur_px is not None:
        if blur_px.shape != found.shape[2:]:
            raise InputError("blur_px", f"shape {tuple(blur_px.shape)}", f"shape {tuple(found.shape[2:])}")
        squared = (found.clamp(0, 1) - target.clamp(0, 1)).square().mean((0, 1), dtype=torch.float64)
        which = find_bin(blur_px, BLUR_EDGES_PX)
        for number in range(len(BLUR_BINS)):
            chosen = which == number
            pixels[number] = int(chosen.sum())
            if pixels[number]:
                errors[number] = float(squared[chosen].mean())
    return Score(
        psnr_db=psnr_db,
        ssim=float(find_ssim(found, target)),
        distance=math.nan if distance is None else float(distance(found, target)),
        squared_errors=tuple(errors),
        pixels=tuple(pixels),
    )


def score_sample(
    method: Method,
    sample: Sample,
    found: Tensor,
    time_s: float,
    *,
    pattern: Pattern = "RGGB",
    distance: Distance | None = None,
    extent: FieldExtent | None = None,
) -> ScoreRow:
    """The line of a method's result.

    Args:
        method: That made it.
        sample: Of what.
        found: The result, a mosaic (4, h, w) or a picture (3, H, W).
        time_s: Processor time that it took.
        pattern: Of the mosaics.
        distance: Perceptual; None leaves it out.
        extent: Of the samples' field, for bins by pixel; None leaves them empty.
    """
    blur_px = None
    if extent is not None and sample.depth_m is not None:
        blur_px = find_blur_map_px(extent, sample.depth_m[0], sample.drawn.window_px, sample.image_shape_px)
    with torch.no_grad():
        score = score_pictures(
            develop_result(found, sample, pattern),
            develop_result(sample.target, sample, pattern),
            distance=distance,
            blur_px=blur_px,
        )
    drawn = sample.drawn
    return ScoreRow(
        method=method.name,
        fingerprint=method.fingerprint,
        index=drawn.index,
        photo=drawn.photo,
        iso=drawn.iso,
        radius=drawn.radius,
        blur_px=drawn.blur_px[1],
        depth_spread_dpt=find_depth_spread_dpt(drawn),
        time_s=time_s,
        **vars(score),
    )


def find_depth_spread_dpt(drawn: Drawn) -> float:
    """How much depth varies in a sample: its nearness at 5 % less that at 95 % of its pixels."""
    return 1 / drawn.depths_m[0] - 1 / drawn.depths_m[2]


def find_bin(values: Tensor, edges: Sequence[float]) -> Tensor:
    """Number of the bin of every value, any shape; bins begin at `edges`, ascending, and the last has no end."""
    return torch.bucketize(values.contiguous(), torch.tensor(edges[1:], dtype=values.dtype), right=True)


def find_blur_map_px(
    extent: FieldExtent, depth_m: Tensor, window_px: tuple[int, int], image_shape_px: tuple[int, int]
) -> Tensor:
    """Diameter of the even disc as wide as the blur of every pixel, by its depth and its own image height.

    Args:
        extent: Of the field.
        depth_m: Shape (H, W), `inf` allowed.
        window_px: Sensor column and row of the first pixel.
        image_shape_px: The sensor's (H, W).

    Returns:
        Shape (H, W).
    """
    field, table = extent.field, extent.blur_px
    height, width = depth_m.shape
    y = window_px[1] + torch.arange(height) - (image_shape_px[0] - 1) / 2
    x = window_px[0] + torch.arange(width) - (image_shape_px[1] - 1) / 2
    radius = torch.hypot(y[:, None], x[None]) / (0.5 * math.hypot(*image_shape_px))
    near, share_d = _find_place(-1 / field.depths_m, -1 / depth_m)
    inner, share_r = _find_place(field.radii, radius)
    far, outer = (near + 1).clamp_max(len(field.depths_m) - 1), (inner + 1).clamp_max(len(field.radii) - 1)
    low = torch.lerp(table[near, inner], table[near, outer], share_r)
    high = torch.lerp(table[far, inner], table[far, outer], share_r)
    return torch.lerp(low, high, share_d)


def _find_place(nodes: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The node below each value, ascending nodes (N,), and how far it is to the next; the ends beyond them."""
    if len(nodes) == 1:
        return torch.zeros_like(values, dtype=torch.int64), torch.zeros_like(values)
    inside = values.to(nodes).clamp(nodes[0], nodes[-1])
    upper = torch.searchsorted(nodes, inside.contiguous()).clamp(1, len(nodes) - 1)
    return upper - 1, (inside - nodes[upper - 1]) / (nodes[upper] - nodes[upper - 1])


def choose_distance(name: str, weights: str | None = None) -> str:
    """Which perceptual distance a table gets: a name that `load_distance` can serve here.

    Args:
        name: Of `learn.perceptual`; "none"; or "auto": lpips-alex, which tables use, and with a warning lite0, and if
            that is missing, too, ms-ssim.
        weights: File of LPIPS's backbone.
    """
    if name == "none":
        return name
    if name != "auto":
        load_table_distance(name, weights)
        return name
    if weights is not None:
        load_table_distance(TABLE_DISTANCES[0], weights)
        return TABLE_DISTANCES[0]
    missing = []
    for one in TABLE_DISTANCES:
        try:
            load_table_distance(one, None)
        except (FileNotFoundError, ImportError) as error:
            missing.append(str(error))
            continue
        if missing:
            warnings.warn(f"no LPIPS; {one} stands in for it, under its own name: {missing[0]}", stacklevel=2)
        return one
    raise InputError("choose_distance(name)", repr(name), "a distance that is there")


@lru_cache(maxsize=2)
def load_table_distance(name: str, weights: str | None = None) -> Distance | None:
    """A distance by its name, loaded once per process; None for "none".

    Args:
        name: As `choose_distance` gives it.
        weights: File of LPIPS's backbone.
    """
    return None if name == "none" else load_distance(name, weights=weights)


def write_scores(rows: Iterable[ScoreRow], path: str | os.PathLike[str]) -> None:
    """Write scores as CSV, whole or not at all; what was not measured stays empty.

    Args:
        rows: The lines.
        path: The file.
    """
    heads = [*PLAIN, *(f"squared_error_{one}_px" for one in BINNED), *(f"pixels_{one}_px" for one in BINNED)]
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*heads, "time_s"])
        for row in rows:
            values = [getattr(row, name) for name in PLAIN]
            writer.writerow([_show(one) for one in (*values, *row.squared_errors, *row.pixels)] + [f"{row.time_s:.4g}"])


def read_scores(path: str | os.PathLike[str]) -> list[ScoreRow]:
    """Read what `write_scores` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It holds something else.
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no such file")
    rows: list[ScoreRow] = []
    with source.open(encoding="utf-8", newline="") as file:
        for found in csv.DictReader(file):
            try:
                plain: dict[str, Any] = {name: _read(found[name], kind) for name, kind in PLAIN.items()}
                errors = tuple(_read(found[f"squared_error_{one}_px"], float) for one in BINNED)
                pixels = tuple(int(found[f"pixels_{one}_px"]) for one in BINNED)
                time_s = float(found["time_s"])
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{source}: line {len(rows) + 2}", str(error), "scores of this version") from error
            rows.append(ScoreRow(**plain, squared_errors=errors, pixels=pixels, time_s=time_s))
    return rows


def _show(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.8g}"
    return str(value)


def _read(text: str, kind: type) -> Any:
    return math.nan if kind is float and text == "" else kind(text)
