"""How fast rays are traced, forward and with gradients, beside deeplens-core where it is installed.

    python benchmarks/tracing.py [--rays 131072] [--threads 2] [--repeats 7] [--json out.json]

The peer asks for Python 3.12 but runs on 3.11, in an environment of its own:

    pip install --no-deps --ignore-requires-python deeplens-core==2.5.6
    pip install einops lpips opencv-python-headless scikit-image transformers wandb torchvision

All cases take turns within one run, so that a busy machine slows them alike; figures are medians of wall seconds.
The gradient case is a loss (the squared landing distances from the axis, summed) with its gradients by every curvature
and thickness. Rays come from an axial point: at infinity here, 20 m away for the peer, which has no infinity. Making
the rays is not counted. For the peer that is the difference of two timings, as it makes them anew for every run.
"""

import argparse
import json
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import optics

LENSES = ("phone_us9651759", "camera_rf50mm_f1p8")
DTYPES = (torch.float64, torch.float32)
SEED = 1


def axial_rays(lens: optics.Lens, count: int, dtype: torch.dtype) -> optics.Rays:
    """Parallel light over the entrance pupil, all of which passes."""
    facts = optics.first_order(lens)
    generator = torch.Generator().manual_seed(SEED)
    # The axial beam of the camera lens is cut a little before its stop.
    radius = (
        0.98
        * facts.entrance_pupil_semi_diameter_mm
        * torch.rand(count, generator=generator, dtype=torch.float64).sqrt()
    )
    angle = 2 * math.pi * torch.rand(count, generator=generator, dtype=torch.float64)
    position = torch.stack([radius * angle.cos(), radius * angle.sin(), torch.full_like(radius, -1.0)], dim=1)
    direction = torch.zeros_like(position)
    direction[:, 2] = 1
    wavelength = torch.tensor(optics.glass.LINE_D_UM, dtype=torch.float64)
    return optics.Rays(position, direction, wavelength).to(dtype=dtype)


def our_cases(name: str, count: int, dtype: torch.dtype) -> dict[str, Callable[[], Any]]:
    lens = optics.load(name).to(dtype=dtype)
    rays = axial_rays(optics.load(name), count, dtype)
    wanted = ("curvature_per_mm", "thickness_mm")
    values = {n: v.clone().requires_grad_(True) for n, v in lens.parameters().items() if n.endswith(wanted)}
    assert optics.trace(lens, rays).alive.all()

    def forward() -> None:
        with torch.no_grad():
            optics.trace(lens, rays)

    def both() -> None:
        traced = optics.trace(lens.with_parameters(values), rays)
        loss = (traced.position_mm[:, :2].square().sum(1) * traced.alive).sum()
        torch.autograd.grad(loss, list(values.values()))

    return {"forward": forward, "with gradients": both}


def peer_lens(name: str, dtype: torch.dtype) -> Any:
    """The same lens in deeplens, or None where the package is not installed."""
    try:
        from deeplens.geolens import GeoLens
    except ImportError:
        return None
    lens = optics.load(name)
    rows = []
    for i, surface in enumerate(lens.surfaces, start=1):
        shape = surface.shape
        row = {"r": float(surface.semi_aperture_mm), "mat2": surface.medium.name, "d_next": float(surface.thickness_mm)}
        if i == lens.stop_surface:
            row["type"] = "Aperture"
        elif isinstance(shape, optics.Plane):
            row["type"] = "Plane"
        else:
            row |= {"type": "Spheric", "roc": 1 / float(shape.curvature_per_mm)}
        if isinstance(shape, optics.EvenAsphere):
            terms = dict(zip(shape.powers, shape.coefficients.tolist(), strict=True))
            row |= {"type": "Aspheric", "k": float(shape.conic_k), "use_ai2": True}
            row["ai"] = [terms.get(power, 0.0) for power in range(2, 18, 2)]
        rows.append(row)
    height_px, width_px = lens.sensor.image_shape_px
    content = {"info": name, "surfaces": rows, "r_sensor": lens.sensor.half_diagonal_mm}
    content["sensor_res"] = [width_px, height_px]
    lines_um = [channel.wavelengths_um[0] for channel in optics.LINE_CHANNELS]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lens.json"
        path.write_text(json.dumps(content))
        return GeoLens(str(path), device="cpu", dtype=dtype, primary_wvln=optics.glass.LINE_D_UM, wvln_rgb=lines_um)


def peer_cases(name: str, count: int, dtype: torch.dtype) -> dict[str, Callable[[], Any]]:
    plain, bent = peer_lens(name, dtype), peer_lens(name, dtype)
    if plain is None:
        return {}
    for surface in bent.surfaces:
        for own in ("c", "d_next"):
            value = getattr(surface, own, None)
            if isinstance(value, torch.Tensor) and value.is_floating_point() and value.is_leaf:
                value.requires_grad_(True)

    def make(lens: Any) -> Any:
        return lens.sample_from_points([0.0, 0.0, -20000.0], num_rays=count)

    def forward() -> None:
        with torch.no_grad():
            plain.trace(make(plain))[0].prop_to(plain.d_sensor)

    def both() -> None:
        ray = bent.trace(make(bent))[0].prop_to(bent.d_sensor)
        (ray.o[..., :2].square().sum(-1) * ray.is_valid).sum().backward()

    return {"making rays": lambda: make(plain), "forward": forward, "with gradients": both}


def measure(cases: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median wall seconds of each case; they take turns."""
    seconds: dict[str, list[float]] = {key: [] for key in cases}
    for repeat in range(repeats + 2):
        for key, run in cases.items():
            start = time.perf_counter()
            run()
            if repeat > 1:  # compilation and caches are the first two's business
                seconds[key].append(time.perf_counter() - start)
    return {key: statistics.median(values) for key, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rays", type=int, default=131_072)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    print(f"{args.rays} rays, {args.threads} threads, medians of {args.repeats}, load {load:.1f} at the start")
    print(
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"
    )
    print(f"{'':42}{'forward':>12}{'with gradients':>18}   ray-surfaces/s")
    results: dict[str, dict[str, float]] = {}
    for name in LENSES:
        work = args.rays * len(optics.load(name).surfaces)
        for dtype in DTYPES:
            label = f"{name} {str(dtype).removeprefix('torch.')}"
            ours, theirs = our_cases(name, args.rays, dtype), peer_cases(name, args.rays, dtype)
            cases = {f"psfield {key}": run for key, run in ours.items()}
            cases |= {f"deeplens {key}": run for key, run in theirs.items()}
            seconds = measure(cases, args.repeats)
            for who in ("psfield", "deeplens"):
                if f"{who} forward" not in seconds:
                    continue
                making = seconds.get(f"{who} making rays", 0.0)
                rates = {key: work / (seconds[f"{who} {key}"] - making) for key in ("forward", "with gradients")}
                results[f"{who} {label}"] = rates
                print(f"{who + ' ' + label:42}{rates['forward']:12.3g}{rates['with gradients']:18.3g}")
    if not any(key.startswith("deeplens") for key in results):
        print("deeplens is not installed here: see this file's docstring")
    if args.json:
        args.json.write_text(
            json.dumps({"rays": args.rays, "threads": args.threads, "load": load, **results}, indent=1)
        )


if __name__ == "__main__":
    main()
