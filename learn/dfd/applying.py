"""Depth of stacks of any size, in overlapping tiles that know where they lie, and the files that come of it."""

import io
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from psf import InputError
from psf.runs import whole_file
from render import write_picture
from render.pictures import check_writable

from .depth_colours import colour_depth
from .estimators import DepthEstimate, DepthEstimator
from .focal_stacks import FocalStack

TILE_PX = 768
# Tiles begin on multiples of this, where poolings of whole frames begin as well.
GRID_PX = 16
MM_PER_STEP, MOST_STEPS = 1.0, 65535
Progress = Callable[[int, int], None]


def estimate_depth(
    estimator: DepthEstimator,
    stack: FocalStack,
    *,
    tile_px: int = TILE_PX,
    halo_px: int | None = None,
    on_progress: Progress | None = None,
) -> DepthEstimate:
    """Depth of a stack, tile by tile; neighbours are faded into each other in dioptres.

    Args:
        estimator: What finds it.
        stack: Of any size.
        tile_px: Side of a tile at most, halo and all.
        halo_px: How far tiles reach over their own part; by default as far as the estimator looks.
        on_progress: Called with tiles done and in all.
    """
    halo = estimator.reach_px if halo_px is None else halo_px
    if isinstance(halo, bool) or not isinstance(halo, int) or halo < 0:
        raise InputError("halo_px", repr(halo), "a whole number from 0")
    if isinstance(tile_px, bool) or not isinstance(tile_px, int) or tile_px % GRID_PX or tile_px < 2 * halo + GRID_PX:
        expected = f"a multiple of {GRID_PX}, at least {-(-(2 * halo) // GRID_PX) * GRID_PX + GRID_PX} for this halo"
        raise InputError("tile_px", repr(tile_px), expected)
    height, width = stack.shape_px
    rows, columns = (_cut(side, tile_px, halo) for side in (height, width))
    total = len(rows) * len(columns)
    shape = (1, height, width)
    nearness, sure, weights = (torch.zeros(shape, dtype=torch.float64) for _ in range(3))
    for n, (top, down) in enumerate(rows):
        for m, (left, across) in enumerate(columns):
            tile = stack.cropped(left, top, len(across), len(down))
            found = estimator.estimate(tile)
            own = (down[:, None] * across)[None]
            part = (slice(None), slice(top, top + len(down)), slice(left, left + len(across)))
            nearness[part] += own / found.depth_m.cpu().double()
            sure[part] += own * found.confidence.cpu().double()
            weights[part] += own
            if on_progress is not None:
                on_progress(n * len(columns) + m + 1, total)
    return DepthEstimate(
        depth_m=(weights / nearness).to(stack.pictures), confidence=(sure / weights).to(stack.pictures)
    )


def write_depth(path: str | os.PathLike[str], depth_m: Tensor) -> None:
    """Write a depth map: metres as 32-bit floats (.exr, .tif, .npy), or whole millimetres in 16 bits (.png).

    Args:
        path: Its suffix names the kind; its folder must exist.
        depth_m: Shape (1, H, W).
    """
    bits = check_depth_file(path)
    if Path(path).suffix.lower() != ".png":
        write_picture(path, depth_m.float(), encoding="linear", bits=bits)
        return
    steps = (depth_m.double() * 1000 / MM_PER_STEP).round()
    if float(steps.max()) > MOST_STEPS:
        found = f"depths up to {float(depth_m.max()):g} m"
        raise InputError(str(path), found, "at most 65.5 m in 16 bits of mm; .exr, .tif and .npy hold more")
    write_picture(path, steps / MOST_STEPS, encoding="linear", bits=bits)


def check_depth_file(path: str | os.PathLike[str]) -> int:
    """Whether `write_depth` can write such a file, before anything is computed: raises if not, else the bits."""
    return check_writable(path, 16 if Path(path).suffix.lower() == ".png" else 32)


def write_views(stem: Path, estimate: DepthEstimate, *, ends_m: tuple[float, float] | None = None) -> tuple[Path, Path]:
    """Write a coloured picture of the depth and one of the confidence, in 8 and 16 bits.

    Args:
        stem: Their names less _colour.png and _confidence.png.
        estimate: The depth.
        ends_m: Depths of the brightest and of the darkest colour; by default those of the map but for 1 % each.
    """
    if ends_m is None:
        sample = estimate.depth_m.flatten().double()
        # Quantiles of a frame's every pixel are slow; a hundred thousand of them tell as much.
        sample = sample[:: max(1, len(sample) // 100_000)]
        near_m, far_m = (float(one) for one in torch.quantile(sample, torch.tensor([0.01, 0.99], dtype=torch.float64)))
        ends_m = (near_m, far_m) if far_m > near_m else (0.99 * near_m, 1.01 * near_m)
    colour, sure = (stem.with_name(f"{stem.name}_{name}.png") for name in ("colour", "confidence"))
    write_picture(colour, colour_depth(estimate.depth_m, ends_m), encoding="linear")
    write_picture(sure, estimate.confidence, encoding="linear", bits=16)
    return colour, sure


def write_points(
    path: str | os.PathLike[str],
    estimate: DepthEstimate,
    stack: FocalStack,
    *,
    focal_mm: float,
    pitch_um: float,
    every: int = 1,
    least_confidence: float = 0.0,
) -> int:
    """Write a point cloud (.ply, binary): x to the right, y down, z away from the camera, in metres; colours in sRGB.

    Args:
        path: The file.
        estimate: Depth, at the image scale of the first picture.
        stack: Gives place and colours, those of every pixel's sharpest picture being near enough to any's mean.
        focal_mm: Focal length.
        pitch_um: Pixel pitch of the stack.
        every: Every so manieth row and column.
        least_confidence: Pixels less sure than this are left out.

    Returns:
        How many points.
    """
    if not (math.isfinite(focal_mm) and focal_mm > 0):
        raise InputError("focal_mm", focal_mm, "a focal length above 0")
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise InputError("every", repr(every), "a whole number from 1")
    focus_mm = 1000 * float(stack.focus_m[0])
    if focus_mm <= focal_mm:
        raise InputError("focal_mm", focal_mm, f"less than the nearest focus distance, {focus_mm:g} mm")
    # The picture's scale is that of the first focus, whose image distance follows from the thin lens.
    image_mm = focal_mm * focus_mm / (focus_mm - focal_mm)
    height, width = stack.shape_px
    rows, columns = (
        (torch.arange(side, dtype=torch.float64) + start - (sensor - 1) / 2) * pitch_um / 1000 / image_mm
        for side, start, sensor in zip((height, width), stack.window_px[::-1], stack.image_shape_px, strict=True)
    )
    depth_m = estimate.depth_m[0].double()
    places = torch.stack([columns.expand(height, -1) * depth_m, rows[:, None] * depth_m, depth_m], -1)
    srgb = (stack.encoded("srgb").pictures.mean(0) * 255).round().to(torch.uint8).permute(1, 2, 0)
    sure = estimate.confidence[0]
    grid = torch.zeros((height, width), dtype=torch.bool)
    grid[::every, ::every] = True
    kept = grid & (sure >= least_confidence) & depth_m.isfinite()
    kind = np.dtype(
        [(name, "<f4") for name in "xyz"]
        + [(name, "u1") for name in ("red", "green", "blue")]
        + [("confidence", "<f4")]
    )
    points = np.empty(int(kept.sum()), kind)
    for n, name in enumerate("xyz"):
        points[name] = places[..., n][kept].numpy()
    for n, name in enumerate(("red", "green", "blue")):
        points[name] = srgb[..., n][kept].numpy()
    points["confidence"] = sure[kept].numpy()
    content = io.BytesIO()
    lines = ["ply", "format binary_little_endian 1.0", "comment metres; x right, y down, z away from the camera"]
    lines += [f"element vertex {len(points)}", *(f"property float {name}" for name in "xyz")]
    lines += [f"property uchar {name}" for name in ("red", "green", "blue")] + [
        "property float confidence",
        "end_header",
    ]
    content.write(("\n".join(lines) + "\n").encode("ascii"))
    content.write(points.tobytes())
    with whole_file(path) as part:
        part.write_bytes(content.getvalue())
    return len(points)


def _cut(side: int, tile_px: int, halo_px: int) -> list[tuple[int, Tensor]]:
    """Where tiles of an axis begin, and the weight of each of their pixels."""
    if side <= tile_px:
        return [(0, torch.ones(side, dtype=torch.float64))]
    step = (tile_px - 2 * halo_px) // GRID_PX * GRID_PX
    last = -(-(side - tile_px) // GRID_PX) * GRID_PX
    starts = [*range(0, last, max(step, GRID_PX)), last]
    found = []
    for start in starts:
        size = min(tile_px, side - start)
        place = torch.arange(size, dtype=torch.float64) + 0.5
        weight = torch.ones(size, dtype=torch.float64)
        # Half the halo, where a tile's own edge is felt most, has no weight; over the rest of it weights rise.
        for edge, is_free in ((place, start == 0), (size - place, start + size == side)):
            if not is_free and halo_px:
                ramp = ((edge - halo_px / 2) / halo_px).clamp(0, 1)
                weight *= torch.sin(ramp * math.pi / 2) ** 2
        found.append((start, weight))
    return found
