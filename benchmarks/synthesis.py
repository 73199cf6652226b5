"""How many training patches a second does a machine make, by kind of blur and number of workers, and where does it go?

    python benchmarks/synthesis.py PHOTOS [--patches 48] [--layered 2] [--fields FOLDER] [--profile]

Patches of 512 x 512 px (256 x 256 packed) from the photographs of a folder, the f/2.2 lens with 20 stored depths, all
else as in the paper. Stages: processor time of one thread, means over the same samples for every blur. Throughput:
patches per wall second out of a data loader, without the batches of its start; each worker has one thread.
"""

import contextlib
import cProfile
import os
import pstats
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import tyro

import learn.synthesis
import optics
import psf
import render.camera
from learn.sample_stream import SampleStream, make_loader
from learn.synthesis import Synthesis, draw_sample, open_synthesis
from learn.variants import SynthesisSettings
from psf.command_line import run_command
from render import RawSensor, load_noise
from render.camera import Camera

STAGES = {
    "read the crop": (learn.photos.PhotoFolder, "_crop"),
    "depth": (learn.depth_source, "find_depth"),
    "metres": (learn.synthesis, "draw_depth"),
    "told numbers": (learn.synthesis, "_tell_blur"),
    "trim the field": (learn.synthesis, "_trim"),
    "unprocess": (render.camera, "make_light"),
    "blur, mosaic": (render.camera, "blur_mosaic"),
    "noise": (render.camera, "add_noise"),
}


@dataclass(frozen=True)
class Args:
    photos: tyro.conf.Positional[Path]
    patches: int = 48
    """Of each kind of blur, for the stages; for the throughput half as many a worker."""
    layered: int = 2
    """Patches of the layered blur, which takes seconds each; 0 leaves it out."""
    repeated: int = 8
    """Patches of one and the same window, whose kernels are kept."""
    batch: int = 8
    field: Path | None = None
    """A field file instead of the f/2.2 lens."""
    fields: Path | None = None
    """A folder of perturbed fields: what opening one for each sample costs."""
    index: Path | None = None
    profile: bool = False
    """The dearest functions of each kind of blur."""
    workers: tuple[int, ...] = (1, 2)


class Clock:
    """Processor time inside functions, by stage."""

    def __init__(self) -> None:
        self.spent_s = dict.fromkeys(STAGES, 0.0)

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.spent_s[name] += time.process_time() - start

        return timed


def measure_stages(synthesis: Synthesis, count: int) -> tuple[dict[str, float], float]:
    """Milliseconds of processor time a sample, by stage, and in all."""
    draw_sample(synthesis, count)
    clock = Clock()
    with contextlib.ExitStack() as stack:
        for name, (owner, function) in STAGES.items():
            wrapped = clock.wrap(name, getattr(owner, function))
            stack.enter_context(mock.patch.object(owner, function, wrapped))
        start = time.process_time()
        for index in range(count):
            draw_sample(synthesis, index)
        whole_s = time.process_time() - start
    found = {name: 1000 * spent / count for name, spent in clock.spent_s.items()}
    found["the rest"] = 1000 * whole_s / count - sum(found.values())
    return found, 1000 * whole_s / count


def measure_throughput(synthesis: Synthesis, batch: int, batches: int, workers: int) -> float:
    """Patches a second out of a loader, once all workers are at it."""
    ahead = 3 * workers  # made before the first one is handed over, or while nobody looked
    stream = iter(make_loader(SampleStream(synthesis, batch=batch, steps=ahead + batches), workers=workers))
    for _ in range(ahead):
        next(stream)
    start = time.perf_counter()
    done = sum(len(one) for one in stream)
    return done / (time.perf_counter() - start)


def measure_repeated(synthesis: Synthesis, count: int) -> tuple[float, float]:
    """Milliseconds of the blur alone where every patch lies at the same place, and megabytes of what is kept for it."""
    camera, first = synthesis.camera, learn.synthesis.draw_scene(synthesis, 0)
    plans: list[render.PixelwisePlan] = []
    spent_s = 0.0

    def render_planned(light: Any, depth_m: Any, field: psf.PolarPSFField, corner: Any, padding: str) -> Any:
        nonlocal spent_s
        if not plans:
            shape = (light.shape[2], light.shape[3])
            plans.append(render.plan_pixelwise(field, shape, window=corner, padding=padding))  # type: ignore[arg-type]
        start = time.process_time()
        blurred = render.pixelwise(light, depth_m, plans[0])
        spent_s += time.process_time() - start
        return blurred

    place = {"window": first.drawn.window_px, "margin_px": synthesis.margin_px, "renderer": render_planned}
    for index in range(count + 1):
        scene = learn.synthesis.draw_scene(synthesis, index)
        generator = torch.Generator().manual_seed(index)
        with torch.no_grad():
            camera.simulate(scene.srgb[None], scene.depth_m[None], generator=generator, iso=400.0, **place)
        if index == 0:
            spent_s = 0.0
    return 1000 * spent_s / count, plans[0].memory_mb


def check_again(synthesis: Synthesis, count: int) -> bool:
    """Whether samples drawn again are the same to the bit."""
    pairs = [(draw_sample(synthesis, index), draw_sample(synthesis, index)) for index in range(count)]
    return all(torch.equal(one.input, other.input) and torch.equal(one.target, other.target) for one, other in pairs)


def show_profile(synthesis: Synthesis, count: int) -> None:
    profile = cProfile.Profile()
    profile.enable()
    for index in range(count):
        draw_sample(synthesis, index)
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(14)


def main(args: Args) -> None:
    torch.set_num_threads(1)
    field = psf.load(args.field) if args.field else optics.psf_grid(optics.load("f2.2_fixedfocus"), dtype=torch.float64)
    camera = Camera(field.to(dtype=torch.float32), RawSensor(), load_noise("imx586"))
    synthesis = open_synthesis(args.photos, camera, SynthesisSettings(), index=args.index, fields=args.fields)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{camera.field!r}\n{len(synthesis.photos)} photographs, {cores} cores, torch {torch.__version__}")
    kinds = {"none": args.patches, "blend": args.patches, "pixelwise": args.patches, "layered": args.layered}
    columns = {}
    for blur, count in kinds.items():
        if count:
            columns[blur] = measure_stages(synthesis.varied(blur=blur), count)
    print("\nprocessor ms a sample" + "".join(f"{blur:>12}" for blur in columns))
    for name in next(iter(columns.values()))[0]:
        print(f"{name:<21}" + "".join(f"{stages[name]:>12.1f}" for stages, _ in columns.values()))
    print(f"{'in all':<21}" + "".join(f"{whole:>12.1f}" for _, whole in columns.values()))
    blend = columns["blend"][1]
    print(f"{'against blend':<21}" + "".join(f"{whole / blend:>12.2f}" for _, whole in columns.values()))
    repeated_ms, plan_mb = measure_repeated(synthesis, args.repeated)
    stages, whole = columns["blend"]
    whole = whole - stages["blur, mosaic"] + repeated_ms
    told = f"blur {repeated_ms:.0f} ms, in all {whole:.0f} ms, {whole / blend:.2f} times blend; plan {plan_mb:.0f} MB"
    print(f"pixelwise where the window repeats: {told}")
    again = all(check_again(synthesis.varied(blur=blur), 2) for blur in ("none", "blend", "pixelwise"))
    print(f"samples drawn again are the same to the bit: {again}")
    for blur in ("none", "blend", "pixelwise"):
        for workers in args.workers:
            batches = max(1, args.patches * workers // 2 // args.batch)
            rate = measure_throughput(synthesis.varied(blur=blur), args.batch, batches, workers)
            print(f"{blur}, {workers} workers: {rate:.1f} patches/s, batch {args.batch}", flush=True)
    if args.profile:
        for blur in ("blend", "pixelwise"):
            print(f"\n{blur}")
            show_profile(synthesis.varied(blur=blur), 8)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(tyro.cli(Args, description=__doc__))))
