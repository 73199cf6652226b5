"""Occlusion-aware rendering against path-traced truth: PSNR per scene, focus position and mode, and what it costs.

    python benchmarks/render_occlusion.py                   # needs ../shared/data/blender
    python benchmarks/render_occlusion.py --rays 64

dB in linear light, peak 1, a margin of 16 px left out: whole frame / occlusion band / outside the band.
"""

import importlib.util
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
import tyro

from render.occlusion import layered
from render.pupils import Discs

TRUTH = Path(__file__).resolve().parents[2] / "shared" / "data" / "blender"
SCENES = ("occluders", "ground", "thin", "desk")
MODES = ("gather", "layers", "march")


@dataclass(frozen=True)
class Args:
    """What to run."""

    rays: int = 256
    threads: int = 2


def load_bands() -> ModuleType:
    """The measures that lie beside the truth."""
    spec = importlib.util.spec_from_file_location("bands", TRUTH / "bands.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(TRUTH / "bands.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(scene: str, bands: ModuleType, rays: int) -> np.ndarray:
    """Whole, band, outside in dB and seconds, shape (focus, mode, 4)."""
    with np.load(TRUTH / f"{scene}.npz") as file:
        data = {name: file[name] for name in file.files}
    gain = bands.px_per_dioptre(*(float(data[name]) for name in ("focal_mm", "f_number", "sensor_width_mm")))
    image = torch.from_numpy(data["aif"].astype(np.float32)).permute(2, 0, 1)[None]
    depth_m = torch.from_numpy(data["depth_m"])[None, None]
    found = np.empty((len(data["focus_m"]), len(MODES), 4))
    for i, focus_m in enumerate(data["focus_m"]):
        discs = Discs(diameter_px_per_dpt=gain, focus_m=float(focus_m))
        truth, band = data["images"][i], bands.occlusion_band(data["depth_m"], discs.focus_m, gain)
        for k, mode in enumerate(MODES):
            began = time.perf_counter()
            out = layered(image, depth_m, discs, mode=mode, rays=rays)[0].permute(1, 2, 0).numpy()
            seconds = time.perf_counter() - began
            found[i, k] = (*(bands.psnr(out, truth, mask) for mask in (None, band, ~band)), seconds)
    return found


def main() -> int:
    args = tyro.cli(Args)
    torch.set_num_threads(args.threads)
    if not TRUTH.is_dir():
        print(f"no truth in {TRUTH}", file=sys.stderr)
        return 2
    bands = load_bands()
    measure("desk", bands, args.rays)  # compiles the loops
    results = {scene: measure(scene, bands, args.rays) for scene in SCENES}
    print("scene      focus  " + "".join(f"{mode:>30s}" for mode in MODES))
    for scene, found in results.items():
        for i, row in enumerate(found):
            print(f"{scene:10s} {i:5d}  " + "".join("{:12.2f} {:5.2f} {:5.2f} {:4.2f}s".format(*one) for one in row))
    for name, found in (*results.items(), ("all", np.concatenate(list(results.values())))):
        print(
            f"{name:10s}  mean  " + "".join("{:12.2f} {:5.2f} {:5.2f} {:4.2f}s".format(*one) for one in found.mean(0))
        )
    every = np.concatenate(list(results.values()))
    print(f"march above gather by at least {(every[:, 2, 0] - every[:, 0, 0]).min():.2f} dB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
