"""The least that rendering must compute, what this CPU can do, and how far from it the renderers are.

Two ways of computing are counted. Direct sums: a multiply-add per pixel, channel and tap, all at the rate of the best
matrix product; depth-blend needs two kernels at most pixels, per-pixel rendering 16 more for every tap that is mixed
from two depths and two image heights and turned bilinearly. Tiles: the transforms of the plan that is really used, at
the rate of the faster of two libraries on arrays that stay in the cache, and all its multiply-adds at the matrix
product's rate. Neither counts memory, calls, or adding up: it is a floor, not a goal.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.fft
import torch
from render_measures import print_table, shown, time_in_turn
from render_tables import Run, cold_and_warm, make_scene, plain_scene, without_gradients
from torch import Tensor

from psf import PolarPSFField
from psf.tiles import find_tile
from render.blending import depth_blend, find_blend
from render.nodes import prepare_field, wanted_nodes
from render.passes import sources
from render.tiling import TILE_PX, cut_picture
from render.weights import find_presence, plane_weights

MIXED = 16  # taps read for one tap of a pixel's own kernel: 2 depths, 2 heights, 2 x 2 places
READ = 8  # the same at a stored depth


@dataclass(frozen=True)
class Machine:
    """What two threads can do: multiply-adds of a matrix product per second, and how long transforms take."""

    multiply_adds_per_s: float
    threads: int

    def transform_s(self, side_px: int) -> float:
        """Of a real 2-D transform among many."""
        tiles = np.random.default_rng(0).random((max(4, (1 << 18) // side_px**2), side_px, side_px), dtype=np.float32)
        there = torch.from_numpy(tiles)
        ways: tuple[Callable[[], Any], ...] = (
            lambda: scipy.fft.rfft2(tiles, workers=self.threads),
            lambda: torch.fft.rfft2(there),
        )
        return min(best_s(way) for way in ways) / len(tiles)


@dataclass(frozen=True)
class Work:
    """What a plan computes.

    Attributes:
        transforms: 2-D transforms by side; rows that are known to be empty or not wanted are left out.
        multiply_adds: Everything else, real ones.
        pairs: Of tile and plane.
        tiles: With a pair.
        nodes: Node kernels (or, of depth-blend, planes).
        node_transforms: Those of them that make spectra of nodes.
        node_adds: Those of them that make kernels of nodes.
    """

    transforms: dict[int, float]
    multiply_adds: float
    pairs: int
    tiles: int
    nodes: int
    node_transforms: dict[int, float] = field(default_factory=dict)
    node_adds: float = 0.0

    def without_nodes(self) -> "Work":
        """The same with the spectra of the nodes at hand."""
        transforms = {side: count - self.node_transforms[side] for side, count in self.transforms.items()}
        return Work(transforms, self.multiply_adds - self.node_adds, self.pairs, self.tiles, 0)

    def floor_s(self, machine: Machine) -> float:
        turning = sum(count * machine.transform_s(side) for side, count in self.transforms.items())
        return turning + self.multiply_adds / machine.multiply_adds_per_s


def best_s(call: Callable[[], Any], repeats: int = 15) -> float:
    """A rate is what is possible: the best, not the median."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def measure_machine(threads: int, side: int = 1536) -> Machine:
    a, b = torch.rand((2, side, side), generator=torch.Generator().manual_seed(0))
    return Machine(side**3 / best_s(lambda: a @ b), threads)


def direct_adds(image: Tensor, depth_m: Tensor, kernel_px: int, depths_m: Tensor) -> tuple[float, float, float]:
    """Multiply-adds of depth-blend, of per-pixel sums with kernels at hand, and of making these kernels too."""
    taps = float(image.numel() * kernel_px**2)
    share = find_blend(depth_m, depths_m).share
    between = float(((share > 0) & (share < 1)).double().mean())
    return taps * (1 + between), taps, taps * (1 + MIXED)


def blend_work(image: Tensor, depth_m: Tensor, kernel_px: int, depths_m: Tensor) -> Work:
    """Of `depth_blend` for kernels without zeros round them."""
    channels, (height, width) = image.shape[1], image.shape[-2:]
    planes = len(depths_m)
    side = find_tile(kernel_px, height, width, planes)
    step = side - kernel_px + 1
    blend = find_blend(depth_m, depths_m)
    pairs = 0
    used: set[int] = set()
    tiles = 0
    for y in range(0, height, step):
        for x in range(0, width, step):
            lower, share = (one[0, 0, y : y + step, x : x + step] for one in (blend.lower, blend.share))
            here = {*lower[share < 1].long().tolist(), *(lower[share > 0].long() + 1).tolist()}
            pairs, used, tiles = pairs + len(here), used | here, tiles + 1
    bins = side * (side // 2 + 1)
    # Half of a transform goes along rows, half along columns; kernels have K rows, what comes back only `step`.
    transforms = channels * (tiles + pairs * (0.5 + 0.5 * step / side) + len(used) * (0.5 + 0.5 * kernel_px / side))
    adds = channels * pairs * (4 * bins + step**2)
    return Work({side: transforms}, adds, pairs, tiles, len(used))


def pixelwise_work(image: Tensor, depth_m: Tensor, camera: PolarPSFField, window: tuple[int, int]) -> Work:
    """Of `pixelwise`, gather, everything from the camera."""
    channels, kernel_px = image.shape[1], camera.kernel_px
    picture_px = (image.shape[-2], image.shape[-1])
    prepared = prepare_field(camera, "bilinear")
    reach = prepared.reach_px.double().clamp(max=kernel_px / 2)
    taps = (np.pi * reach**2).clamp(max=float(kernel_px**2)).numpy()
    places = plane_weights(depth_m[:, 0], camera.depths_m)
    transforms: dict[int, float] = {}
    node_transforms: dict[int, float] = {}
    adds, node_adds, all_pairs, all_tiles, all_nodes = 0.0, 0.0, 0, 0, 0
    for block in cut_picture(picture_px, camera.image_shape_px, kernel_px, window, "gather", "reflect", TILE_PX):
        before, share = sources(places, block)
        presence = find_presence(before, share, block, prepared.planes).numpy()
        wanted = wanted_nodes(presence.any(0))
        pairs, tiles, nodes = int(presence.sum()), int(presence.any(-1).sum()), int(wanted.sum())
        tall, wide = block.fft_shape
        size = block.rows.largest
        bins = tall * (wide // 2 + 1)
        side = round((tall * wide) ** 0.5)
        # Per tile two windows along rows, of each two along columns.
        forward = tiles * (2 * 0.5 * (size + kernel_px - 1) / tall + 4 * 0.5)
        back = pairs * (0.5 + 0.5 * size / tall)
        made = nodes * (0.5 + 0.5 * kernel_px / tall)
        transforms[side] = transforms.get(side, 0.0) + channels * (forward + back + made)
        adds += channels * (pairs * (16 * bins + size**2) + 6 * tiles * (size + kernel_px - 1) ** 2)
        node_transforms[side] = node_transforms.get(side, 0.0) + channels * made
        node_adds += channels * READ * float((wanted.sum((0, 1)) * taps).sum())
        all_pairs, all_tiles, all_nodes = all_pairs + pairs, all_tiles + tiles, all_nodes + nodes
    return Work(transforms, adds + node_adds, all_pairs, all_tiles, all_nodes, node_transforms, node_adds)


def print_floor(run: Run) -> None:
    """What is needed, what the CPU can do, what is measured."""
    machine = measure_machine(run.threads)
    rate = machine.multiply_adds_per_s / 1e9

    def rows() -> Iterator[tuple[str, ...]]:
        for kernel_px in run.kernels_px:
            scene = make_scene(run, "harsh", kernel_px)
            image, depth_m, camera, window = scene.image, scene.depth_m, scene.field, scene.window
            plain = plain_scene(run, kernel_px)
            blend_taps, at_hand, from_field = direct_adds(image, depth_m, kernel_px, camera.depths_m)
            calls = {"blend": without_gradients(lambda plain=plain: depth_blend(*plain)), **cold_and_warm(run, scene)}
            found = time_in_turn(calls, run.repeats)
            cold = pixelwise_work(image, depth_m, camera, window)
            for what, taps, work, cost in (
                ("depth_blend", blend_taps, blend_work(image, depth_m, kernel_px, plain[3]), found["blend"]),
                ("pixelwise, warm (kernels at hand)", at_hand, cold.without_nodes(), found["pixelwise, warm"]),
                ("pixelwise, cold (kernels from the field)", from_field, cold, found["pixelwise, cold"]),
            ):
                direct_ms, floor_ms = 1e-6 * taps / rate, 1000 * work.floor_s(machine)
                yield (
                    str(kernel_px), what, f"{taps / 1e9:.2f}", shown(direct_ms, 1),
                    f"{work.tiles}, {work.pairs}, {work.nodes}",
                    " + ".join(f"{count:.0f} x {side} px" for side, count in work.transforms.items()),
                    f"{work.multiply_adds / 1e9:.2f}", shown(floor_ms, 1), shown(cost.wall_ms, 1),
                    shown(cost.wall_ms / floor_ms, 1), shown(direct_ms / cost.wall_ms, 1),
                )  # fmt: skip

    title = f"The floor: {rate:.0f} x 10^9 multiply-adds per second of a matrix product; a real 2-D transform takes "
    title += ", ".join(f"{1e6 * machine.transform_s(side):.0f} us ({side} px)" for side in (64, 90, 128))
    header = (
        "px", "what", "direct sums, 10^9", "they take at least, ms", "tiles, pairs, nodes", "transforms of 2-D",
        "other multiply-adds, 10^9", "floor of tiles, ms", "measured, ms", "x floor", "times below direct sums",
    )  # fmt: skip
    print_table(title, header, rows())
