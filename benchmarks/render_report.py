"""The tables of benchmarks/render.py."""

import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numba
import render_floor
import render_growth
import render_tables
import torch
import tyro
from render_peer import find_peer
from render_tables import Run

TABLES: dict[str, Callable[[Run], None]] = {
    "blend": render_tables.print_blend,
    "pixelwise": render_tables.print_pixelwise,
    "accuracy": render_tables.print_accuracy,
    "depths": render_tables.print_depths,
    "memory": render_tables.print_memory,
    "peer": render_tables.print_per_pixel_peer,
    "frame": render_tables.print_frame,
    "growth": render_growth.print_growth,
    "floor": render_floor.print_floor,
    "paths": render_growth.print_paths,
    "occlusion": lambda run: print_occlusion(),
}
NAMED_ONLY = ("paths", "occlusion")
WITH_PEER = ("blend", "pixelwise", "peer")


@dataclass(frozen=True)
class Args:
    """What the renderers cost and how true they are, beside DeepLens where it is installed.

    What takes turns within one table can be compared, on a busy machine too; figures of different tables only on a
    quiet one. Times are medians of runs in float32; "CPU" is the time of all cores together. Truth is float64 sums, tap
    by tap, at random pixels of pictures whose values reach 1.
    """

    tables: tuple[str, ...] = tuple(name for name in TABLES if name not in NAMED_ONLY)
    """Also: paths (shifted sums against tiles), occlusion (benchmarks/render_occlusion.py)."""
    kernels_px: tuple[int, ...] = (25, 65)
    fields: tuple[str, ...] = ("smooth", "harsh", "traced", "window", "centre")
    """Two made-up ones; the traced f/2.2 lens, its whole sensor in the picture; two true pieces of its sensor."""
    size_px: int = 512
    planes: int = 20
    places: int = 2000
    """Random pixels at which errors are measured."""
    threads: int = 2
    repeats: int = 5
    peer_python: str | None = None
    """The Python that has DeepLens, if it is not this one."""
    quick: bool = False
    """A look: one repeat, 25 px, the harsh field, 300 places, a small frame."""


def print_occlusion() -> None:
    script = Path(__file__).with_name("render_occlusion.py")
    print("\nOcclusion, against path-traced truth\n", flush=True)
    subprocess.run([sys.executable, str(script)], check=False)


def main() -> int:
    args = tyro.cli(Args)
    if unknown := [name for name in args.tables if name not in TABLES]:
        print(f"error: --tables: found {unknown[0]}, expected {', '.join(TABLES)}", file=sys.stderr)
        return 2
    if args.quick:
        args = replace(args, kernels_px=(25,), fields=("harsh",), places=300, repeats=1)
    torch.set_num_threads(args.threads)
    numba.set_num_threads(min(args.threads, numba.config.NUMBA_NUM_THREADS))
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, numba {numba.__version__}"
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {args.threads} threads, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}; {versions}; float32, medians of {args.repeats}")
    peer = find_peer(args.peer_python, args.threads) if {*args.tables} & {*WITH_PEER} else None
    if peer is not None:
        print(f"deeplens-core {peer.version}")
    run = Run(
        args.kernels_px,
        args.fields,
        args.size_px,
        args.planes,
        args.places,
        args.threads,
        args.repeats,
        peer,
        args.quick,
    )
    try:
        with warnings.catch_warnings(action="ignore"):  # windows of the traced lens that cut light
            for name in args.tables:
                TABLES[name](run)
    finally:
        if peer is not None:
            peer.close()
    print(f"\nload at the end {os.getloadavg()[0]:.1f}")
    return 0
