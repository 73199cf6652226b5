"""Tables of growth: what the renderers cost over kernel, planes, picture, depth map and batch."""

import time
from collections.abc import Iterator

import torch
from render_measures import print_table, shown, time_in_turn
from render_scenes import DEPTHS, depth_map, lopsided_kernels, make_field, photograph, stored_depths_m
from render_tables import AT_AZIMUTH_RAD, AT_RADIUS, Run, without_gradients

from render import depth_blend, pixelwise, plan_pixelwise

LONG_MS = 1500  # of what takes longer, two repeats are enough


def print_growth(run: Run) -> None:
    """One thing at a time from 512 px, 20 planes, 25 px, the scene's depth, one picture."""
    rows = [("kernel", k, run.planes, run.size_px, "scene", 1) for k in (9, 17, 25, 33, 49, 65, 97)]
    rows += [("planes", 25, planes, run.size_px, "scene", 1) for planes in (5, 10, 20, 40)]
    rows += [("picture", 25, run.planes, size, "scene", 1) for size in (256, 512, 1024, 2048)]
    rows += [("depth", 25, run.planes, run.size_px, kind, 1) for kind in DEPTHS]
    rows += [("batch", 25, run.planes, 256, "scene", batch) for batch in (1, 2, 4, 8)]
    print_table(
        "Growth (harsh field): one thing at a time; per Mpx: ms for a million pixels of three colours",
        ("what changes", "px", "planes", "picture px", "depth", "batch", "planes per 64 px tile", "depth_blend ms",
         "cold ms", "warm ms", "per Mpx: blend", "cold", "warm"),
        (_measure(run, *row) for row in (rows[::3] if run.is_quick else rows)),
    )  # fmt: skip


def _measure(run: Run, what: str, kernel_px: int, planes: int, size_px: int, kind: str, batch: int) -> tuple[str, ...]:
    field, _ = make_field("harsh", kernel_px, size_px, planes)
    single = field.to(dtype=torch.float32)
    # Pictures of a batch differ, and so do their depths.
    image = torch.cat([photograph(size_px).float().roll(37 * i, -1) for i in range(batch)])
    depth_m = torch.cat([depth_map(size_px, size_px, kind).float().roll(53 * i, -1) for i in range(batch)])
    kernels = single.at_radius(AT_RADIUS, AT_AZIMUTH_RAD)
    plan = plan_pixelwise(single, (size_px, size_px), depth_m=depth_m)
    calls = {
        "blend": without_gradients(lambda: depth_blend(image, depth_m, *kernels)),
        "cold": without_gradients(lambda: pixelwise(image, depth_m, single)),
        "warm": without_gradients(lambda: pixelwise(image, depth_m, plan)),
    }
    start = time.perf_counter()
    calls["cold"]()
    is_long = 1000 * (time.perf_counter() - start) > LONG_MS
    found = [cost.wall_ms for cost in time_in_turn(calls, min(run.repeats, 2) if is_long else run.repeats).values()]
    per_mpx = [1e6 * ms / (batch * size_px**2) for ms in found]
    numbers = [shown(one, 1) for one in (_planes_per_tile(depth_m, planes), *found)] + [
        shown(one, 0) for one in per_mpx
    ]
    return (what, str(kernel_px), str(planes), str(size_px), kind, str(batch), *numbers)


def _planes_per_tile(depth_m: torch.Tensor, planes: int, tile_px: int = 64) -> float:
    """Stored depths with a weight, mean over tiles."""
    place = torch.bucketize(-1 / depth_m[0, 0], -1 / stored_depths_m(planes).float()).clamp(1, planes - 1)
    tiles = place.unfold(0, tile_px, tile_px).unfold(1, tile_px, tile_px).flatten(0, 1).flatten(1)
    return sum(len({*one.tolist(), *(one - 1).tolist()}) for one in tiles.unbind()) / len(tiles)


def print_paths(run: Run) -> None:
    """Both methods of depth-blend for small kernels, where its choice between them comes from."""
    image, depth_m = photograph(run.size_px).float(), depth_map(run.size_px, run.size_px).float()

    def rows() -> Iterator[tuple[str, ...]]:
        for planes in (1, 2, run.planes):
            depths_m = stored_depths_m(planes).float()
            for kernel_px in (1, 3, 5, 7, 9, 13):
                kernels = lopsided_kernels(planes, kernel_px).float()
                calls = {
                    method: without_gradients(
                        lambda method=method, taps=kernels, at=depths_m: depth_blend(
                            image, depth_m, taps, at, method=method
                        )
                    )
                    for method in ("direct", "tiles")
                }
                found = time_in_turn(calls, run.repeats)
                yield str(kernel_px), str(planes), *(shown(cost.wall_ms, 1) for cost in found.values())

    print_table("Depth-blend: shifted sums against tiles", ("px", "planes", "direct ms", "tiles ms"), rows())
