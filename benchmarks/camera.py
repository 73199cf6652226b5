"""What does a simulated photograph cost, stage by stage, and how many patches a second come out of a data loader?

    python benchmarks/camera.py [--repeats 9] [--patches 160]

Patches of 512 x 512 px (256 x 256 packed) cut from a made-up 8-bit photograph whose depth map uses all planes, by the
f/2.2 lens with 20 stored depths, ISO 100 to 3200, a random place on the sensor each. Stages: medians of processor time
inside `simulate`, one thread. Throughput: patches per wall second without the first two batches, the picture with a
margin of half a kernel. Every worker has one thread.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any
from unittest import mock

import torch
import tyro
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import optics
import render.camera
import render.camera_steps
import render.spatial
from psf import PolarPSFField
from psf.command_line import run_command
from render.camera import Camera
from render.noise import draw_iso
from render.noise_presets import load_noise
from render.raw_photo import RawPhoto, join_photos
from render.sensor import RawSensor

PATCH_PX, SCENE_PX = 512, 2048


@dataclass(frozen=True)
class Args:
    repeats: int = 9
    patches: int = 160
    """For each throughput with blend; 0: the stages only."""
    batch: int = 8


def make_scene(size_px: int) -> tuple[Tensor, Tensor]:
    """Blocks, stripes and texture (1, 3, H, W); a floor with two objects on it, 0.1 m to far away, (1, 1, H, W)."""
    g = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(*[torch.arange(size_px) / size_px] * 2, indexing="ij")
    blocks = torch.rand((1, 3, 32, 32), generator=g)
    image = torch.nn.functional.interpolate(blocks, (size_px, size_px))
    image = image * (0.75 + 0.25 * torch.sin(40 * torch.pi * (x + 0.6 * y) ** 2))
    image = image * (0.9 + 0.1 * torch.rand((1, 3, size_px, size_px), generator=g))
    # Every patch of 512 px of a larger scene has the whole range in it.
    y, x = (one * size_px / PATCH_PX % 1 for one in (y, x))
    dioptre = 0.1 + 9.9 * y
    dioptre = torch.where((x - 0.42) ** 2 + (y - 0.4) ** 2 < 0.09, 3 + 0.8 * x, dioptre)
    dioptre = torch.where(((x - 0.82).abs() < 0.12) & ((y - 0.75).abs() < 0.2), 8.0, dioptre)
    return image, 1 / dioptre[None, None]


@dataclass(frozen=True, eq=False)
class Patches(Dataset[RawPhoto]):
    """Sample n is made of random numbers seeded by n, whoever makes it."""

    camera: Camera
    scene: Tensor
    depth_m: Tensor
    margin_px: int
    renderer: str
    number: int

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> RawPhoto:
        g = torch.Generator().manual_seed(index)
        side = PATCH_PX + 2 * self.margin_px
        top, left = torch.randint(0, SCENE_PX - side, (2,), generator=g).tolist()
        part = (..., slice(top, top + side), slice(left, left + side))
        height, width = self.camera.image_shape_px
        place = torch.rand(2, generator=g) * torch.tensor([width - PATCH_PX, height - PATCH_PX]) // 2 * 2
        return self.camera.simulate(
            self.scene[part],
            self.depth_m[part],
            iso=draw_iso(1, g),
            window=place.long(),
            margin_px=self.margin_px,
            renderer=self.renderer,
            generator=g,
        )


def stages(camera: Camera, repeats: int) -> None:
    """What costs what inside `simulate`, one thread."""
    image, depth_m = make_scene(PATCH_PX)
    image8 = (255 * image).round().to(torch.uint8)
    places = {
        "colours drawn": [(render.camera, "random_metadata")],
        "unprocess": [(render.camera_steps, "unprocess")],
        "kernels of the patch": [(PolarPSFField, "at_radius")],
        "blur": [(render.camera_steps, "depth_blend"), (render.spatial, "pixelwise")],
        "mosaic, pack": [(render.camera, "mosaic"), (render.camera, "pack"), (render.camera_steps, "mosaic")],
        "noise": [(render.camera, "add_noise")],
        "round, clip": [(RawSensor, "quantise_through")],
    }
    rows = {}
    for name, picture, renderer in (
        ("8 bits, blend", image8, "blend"),
        ("float32, blend", image, "blend"),
        ("8 bits, pixelwise", image8, "pixelwise"),
    ):
        spent: dict[str, list[float]] = {stage: [] for stage in [*places, "all", "network input"]}
        with contextlib.ExitStack() as stack:
            for stage, where in places.items():
                for owner, attribute in where:
                    timed = time_calls(getattr(owner, attribute), spent[stage])
                    stack.enter_context(mock.patch.object(owner, attribute, timed))
            for turn in range(-2, repeats):
                if turn == 0:
                    for times in spent.values():
                        times.clear()
                g = torch.Generator().manual_seed(turn)
                simulate = time_calls(camera.simulate, spent["all"])
                photo = simulate(picture, depth_m, generator=g, window=(2400, 1800), renderer=renderer)
                time_calls(photo.network_input, spent["network input"])()
        rows[name] = {stage: per_call(times, repeats) for stage, times in spent.items()}
    print("| stage | " + " | ".join(rows) + " |\n" + "| --- " * (len(rows) + 1) + "|")
    for stage in [*places, "all", "network input"]:
        print(f"| {stage} | " + " | ".join(f"{found[stage]:.2f}" for found in rows.values()) + " |")
    for name, found in rows.items():
        own = sum(found[stage] for stage in ("unprocess", "mosaic, pack", "noise", "round, clip"))
        print(
            f"{name}: unprocess, pack, noise and rounding {own:.1f} ms, the blur {found['blur'] / own:.1f} times that"
        )


def time_calls(call: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.process_time()
        found = call(*arguments, **named)
        times.append(1000 * (time.process_time() - start))
        return found

    return timed


def per_call(times: list[float], repeats: int) -> float:
    """Median over repeats of the sum of what was called in each."""
    each = len(times) // repeats
    return median(sum(times[n * each : (n + 1) * each]) for n in range(repeats)) if each else 0.0


def count(batches: Iterable[RawPhoto]) -> float:
    """Patches per second of batches, after the first two."""
    found, start = 0, 0.0
    for n, photo in enumerate(batches):
        if n > 1:
            found += len(photo)
        if n == 1:
            start = time.perf_counter()
    return found / (time.perf_counter() - start)


def throughput(patches: Patches, batch: int) -> None:
    for threads in (1, 2):
        torch.set_num_threads(threads)
        speed = count(patches[n] for n in range(min(len(patches), 40)))
        print(f"| {patches.renderer} | alone, {threads} threads | {speed:.1f} |", flush=True)
    torch.set_num_threads(1)
    for workers in (1, 2):
        loader = DataLoader(
            patches, batch, num_workers=workers, collate_fn=join_photos, multiprocessing_context="spawn"
        )
        print(f"| {patches.renderer} | {workers} workers | {count(loader):.1f} |", flush=True)


def main(args: Args) -> None:
    field = optics.psf_grid(optics.load("f2.2_fixedfocus")).to(dtype=torch.float32)
    torch.set_num_threads(1)  # after the grid: numba's parallel loops reset the OpenMP threads that torch counts
    camera = Camera(field, RawSensor(), load_noise("imx586"))
    print(f"torch {torch.__version__}, kernels of {field.kernel_px} px, {len(field.depths_m)} depths; ms per patch\n")
    with torch.no_grad():
        stages(camera, args.repeats)
        if not args.patches:
            return
        scene, depth_m = make_scene(SCENE_PX)
        scene8 = (255 * scene).round().to(torch.uint8)
        print("\n| renderer | made by | patches per second |\n| --- | --- | --- |")
        for renderer, number in (("none", 2 * args.patches), ("blend", args.patches), ("pixelwise", args.patches // 4)):
            patches = Patches(camera, scene8, depth_m, field.kernel_px // 2, renderer, number)
            throughput(patches, args.batch)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(tyro.cli(Args, description=__doc__))))
