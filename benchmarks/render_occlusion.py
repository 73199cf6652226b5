"""Occlusion-aware rendering against path-traced truth, and what it costs beside what hides nothing.

    python benchmarks/render_occlusion.py                         # all three tables; the second traces for minutes
    python benchmarks/render_occlusion.py --truth out/truth       # and keeps what it has traced
    python benchmarks/render_occlusion.py --tables cost --repeats 9

Table 1: the four scenes in ../shared/data/blender. Table 2: the scenes of occlusion_scenes.py, of other kinds, with
ideal discs and with the field of a thin lens of the same discs. dB in linear light, peak 1, a margin of 16 px left
out: whole frame / occlusion band / outside the band. Table 3: medians of wall seconds, all in turn in one run.
"""

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import occlusion_scenes
import torch
import tyro
from torch import Tensor

from psf import PolarPSFField, thin_lens_field
from render.blending import depth_blend
from render.occlusion import layered
from render.pupils import Discs
from render.sightlines import occlusion_band
from render.spatial import pixelwise

GIVEN = Path(__file__).resolve().parents[2] / "shared" / "data" / "blender"
GIVEN_SCENES = ("occluders", "ground", "thin", "desk")
MODES = ("gather", "layers", "march")
MARGIN_PX, FOOTPRINT_PX, PLANES, FOCAL_MM, PITCH_UM = 16, 1.5, 20, 50.0, 112.5


@dataclass(frozen=True)
class Args:
    """What to run."""

    rays: int = 256
    threads: int = 2
    repeats: int = 5
    truth: Path | None = None
    tables: tuple[str, ...] = ("given", "unseen", "cost")


def psnr(found: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    inner = np.zeros(truth.shape[:2], bool)
    inner[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX] = True
    if mask is not None:
        inner &= mask
    error = (found.astype(float) - truth.astype(float)) ** 2
    return float(-10 * np.log10(error[inner].mean())) if inner.any() else float("nan")


def tensors(image: np.ndarray, depth_m: np.ndarray) -> tuple[Tensor, Tensor]:
    picture = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None].contiguous()
    return picture, torch.from_numpy(depth_m.astype(np.float32))[None, None]


def thin_field(discs: Discs, depth_m: np.ndarray) -> PolarPSFField:
    """The same discs as a field over the picture's depths."""
    near, far = 1 / float(depth_m.min()), 1 / float(depth_m.max())
    f_number = (FOCAL_MM / 1000) ** 2 / (PITCH_UM * 1e-6) / discs.diameter_px_per_dpt
    depths_m = 1 / torch.linspace(near, max(far, 1e-6), PLANES, dtype=torch.float64)
    height, width = depth_m.shape
    lens = (FOCAL_MM, f_number, discs.focus_m, PITCH_UM, (height, width))
    return thin_lens_field(*lens, depths_m, breathing=False)


def measure(image: np.ndarray, depth_m: np.ndarray, truth: np.ndarray, field: Any, band: np.ndarray, rays: int) -> Any:
    """Of each mode whole, band, outside in dB, shape (3, 3), and the pictures."""
    picture, depth = tensors(image, depth_m)
    shown = [layered(picture, depth, field, mode=mode, rays=rays)[0].permute(1, 2, 0).numpy() for mode in MODES]
    return np.array([[psnr(one, truth, mask) for mask in (None, band, ~band)] for one in shown]), shown


def judge(name: str, data: dict[str, np.ndarray], gain: float, rays: int, with_field: bool) -> list[np.ndarray]:
    """A line per focus position; the numbers of discs and, if asked, of the field: (3 or 6, 3) each."""
    rows = []
    depth_m = data["depth_m"].astype(np.float64)
    for i, focus_m in enumerate(data["focus_m"]):
        discs = Discs(diameter_px_per_dpt=gain, focus_m=float(focus_m))
        radius = gain / 2 * np.abs(1 / depth_m - 1 / discs.focus_m)
        band = occlusion_band(1 / depth_m, radius, gain / 2)
        found, shown = measure(data["aif"], depth_m, data["images"][i], discs, band, rays)
        text = "".join("{:9.2f} {:5.2f} {:5.2f}".format(*one) for one in found)
        if with_field:
            more, also = measure(data["aif"], depth_m, data["images"][i], thin_field(discs, depth_m), band, rays)
            text += " |" + "".join("{:9.2f} {:5.2f} {:5.2f}".format(*one) for one in more[[0, 2]])
            text += " | {:6.1f} {:5.1f}".format(*(psnr(shown[k], also[k]) for k in (0, 2)))
            found = np.concatenate((found, more))
        print(f"{name:10s} {float(focus_m):6.2f} {band.mean():5.2f}{text}", flush=True)
        rows.append(found)
    return rows


def conclude(rows: list[np.ndarray]) -> None:
    every = np.stack(rows)
    mean = np.nanmean(every, 0)
    print("mean                   " + " |".join("{:9.2f} {:5.2f} {:5.2f}".format(*one) for one in mean))
    for at, what in ((0, "discs"), (3, "field"))[: every.shape[1] // 3]:
        gain = every[:, at + 2] - every[:, at]
        whole, outside = gain[:, 0], gain[:, 2]
        print(
            f"{what}: march above gather by {whole.mean():.2f} dB (least {whole.min():.2f}), in the band by "
            f"{gain[:, 1].mean():.2f}; outside at worst {np.nanmin(outside):+.2f}"
        )


def clock(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def cost(repeats: int, rays: int) -> None:
    """Medians of all ways in turn, and their ratios to depth-blend and to per-pixel rendering."""
    scene = occlusion_scenes.SCENES["foliage"]()
    for shape in ((240, 320), (512, 512)):
        image, depth_m = occlusion_scenes.see_sharp(scene, shape_px=shape)
        gain = scene.gain_px_per_dpt * shape[1] / occlusion_scenes.WIDTH
        discs = Discs(diameter_px_per_dpt=gain, focus_m=1.6)
        field, (picture, depth) = thin_field(discs, depth_m), tensors(image, depth_m)
        kernels, depths_m = field.at_radius(0.5)
        dioptres = 1 / depth_m
        share = occlusion_band(dioptres, gain / 2 * np.abs(dioptres - 1 / 1.6), gain / 2).mean()

        def pass_back(picture: Tensor = picture, depth: Tensor = depth, field: Any = field) -> None:
            layered(picture.clone().requires_grad_(), depth, field, rays=rays).sum().backward()

        ways = {
            "depth_blend": lambda p=picture, d=depth, k=kernels, z=depths_m: depth_blend(p, d, k, z),
            "pixelwise": lambda p=picture, d=depth, f=field: pixelwise(p, d, f),
        }
        for name, camera in (("discs", discs), ("field", field)):
            for mode in MODES:
                ways[f"{mode}, {name}"] = lambda p=picture, d=depth, c=camera, m=mode: layered(
                    p, d, c, mode=m, rays=rays
                )
        ways["march, field, with gradient"] = pass_back
        for work in ways.values():
            work()  # compiles
        seconds = {name: [] for name in ways}
        for _ in range(repeats):
            for name, work in ways.items():
                seconds[name].append(clock(work))
        print(f"\n{shape[0]} x {shape[1]} px, kernels of {field.kernel_px} px, {share:.0%} of the pixels marched")
        print(f"{'':30s}{'s':>8s}{'/ depth_blend':>15s}{'/ pixelwise':>13s}")
        median = {name: statistics.median(one) for name, one in seconds.items()}
        for name, one in median.items():
            print(f"{name:30s}{one:8.3f}{one / median['depth_blend']:15.1f}{one / median['pixelwise']:13.1f}")


def main() -> int:
    args = tyro.cli(Args)
    torch.set_num_threads(args.threads)
    header = f"scene       focus  band{MODES[0]:>21s}{MODES[1]:>21s}{MODES[2]:>21s}"
    if "given" in args.tables:
        if GIVEN.is_dir():
            print(header)
            rows = []
            for name in GIVEN_SCENES:
                with np.load(GIVEN / f"{name}.npz") as file:
                    data = {key: file[key] for key in file.files}
                focal_mm, number, width_mm = (float(data[k]) for k in ("focal_mm", "f_number", "sensor_width_mm"))
                gain = focal_mm / 1000 * focal_mm / number * data["aif"].shape[1] / width_mm
                rows += judge(name, data, gain, args.rays, with_field=False)
            conclude(rows)
        else:
            print(f"no truth in {GIVEN}: its table is left out", file=sys.stderr)
    if "unseen" in args.tables:
        print(f"\n{header} |{'gather, field':>20s}{'march, field':>21s} | field and discs agree, dB: gather, march")
        rows = []
        for name in occlusion_scenes.SCENES:
            data = occlusion_scenes.load_truth(name, args.truth, threads=args.threads)
            rows += judge(name, data, float(data["gain_px_per_dpt"]), args.rays, with_field=True)
        conclude(rows)
    if "cost" in args.tables:
        cost(args.repeats, args.rays)
    return 0


if __name__ == "__main__":
    sys.exit(main())
