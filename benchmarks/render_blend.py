"""Depth-blend against DeepLens's `conv_psf_depth_interp`, in one run, and how its cost grows.

    python benchmarks/render_blend.py                # 1 x 3 x 512 x 512, 20 planes, 25 and 65 px: the main table
    python benchmarks/render_blend.py --growth       # over kernel size, planes, picture size, depth complexity
    python benchmarks/render_blend.py --paths        # shifted sums against tiles, where DIRECT_KERNEL_PX comes from

The scene: a slanted floor, a person and a near object, all planes used somewhere, kernels without symmetry (DeepLens's
`deeplens-core` is optional; on Python 3.11 `pip install --no-deps --ignore-requires-python deeplens-core`). The two
take turns, medians; on a shared machine only ratios within one run mean anything. Accuracy is the largest difference
from float64 sums, tap by tap, at 1500 random pixels of a picture of values up to 1.
"""

import importlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor

from render.blending import depth_blend


@dataclass(frozen=True)
class Args:
    """What to time."""

    size_px: int = 512
    planes: int = 20
    kernels_px: tuple[int, ...] = (25, 65)
    threads: int = 2
    repeats: int = 7
    growth: bool = False
    paths: bool = False


def make_scene(size_px: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """A picture with detail at all scales (1, 3, H, W), and its depth in m (1, 1, H, W)."""
    noise = np.random.default_rng(0).normal(size=(3, size_px, size_px))
    frequency = np.hypot(np.fft.fftfreq(size_px)[:, None], np.fft.rfftfreq(size_px)) + 1 / size_px
    picture = np.fft.irfft2(np.fft.rfft2(noise) / frequency, s=(size_px, size_px))
    picture = (picture - picture.min()) / (picture.max() - picture.min())
    y, x = np.mgrid[0:size_px, 0:size_px] / size_px
    dioptre = 0.4 + 4.0 * y
    dioptre = np.where((x - 0.42) ** 2 + (y - 0.4) ** 2 < 0.09, 3.0 + 0.8 * x, dioptre)
    dioptre = np.where((np.abs(x - 0.82) < 0.12) & (np.abs(y - 0.75) < 0.2), 8.0, dioptre)
    return torch.from_numpy(picture)[None].to(dtype), torch.from_numpy(1 / dioptre)[None, None].to(dtype)


def make_kernels(planes: int, kernel_px: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Lopsided kernels (P, 3, K, K), sharp to a third of the side across, near to far; depths in m (P,)."""
    offset = torch.arange(kernel_px, dtype=torch.float64) - kernel_px // 2
    y, x = offset[:, None], offset
    width = torch.linspace(0.6, kernel_px / 6, planes, dtype=torch.float64).flip(0)[:, None, None, None]
    squeeze = 1.3 + 0.1 * torch.arange(3, dtype=torch.float64)[:, None, None]
    kernels = torch.exp(-((x - 0.4 * width) ** 2 + squeeze * y**2) / (2 * width**2)) + 1e-6
    kernels = kernels / kernels.sum((-2, -1), keepdim=True)
    return kernels.to(dtype), (1 / torch.linspace(0.1, 10.0, planes, dtype=torch.float64).flip(0)).to(dtype)


def time_ms(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Medians of calls that take turns, in ms."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:  # the first warms up
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def worst_error(found: Tensor, image: Tensor, depth_m: Tensor, kernels: Tensor, depths_m: Tensor) -> float:
    """Against float64 sums at 1500 pixels; weights from dioptres in float64."""
    half = kernels.shape[-1] // 2
    padded = np.pad(image[0].double().numpy(), [(0, 0), (half, half), (half, half)], mode="reflect")
    flipped = kernels.double().numpy()[:, :, ::-1, ::-1]
    dioptres = 1 / depths_m.double().numpy()
    generator = np.random.default_rng(1)
    worst = 0.0
    for y, x in generator.integers(0, image.shape[-1], (1500, 2)):
        place = np.clip(1 / float(depth_m[0, 0, y, x]), dioptres[-1], dioptres[0])
        share = np.interp(-place, -dioptres, np.arange(len(dioptres)))
        weights = np.maximum(0, 1 - np.abs(share - np.arange(len(dioptres))))
        used = np.flatnonzero(weights)
        patch = padded[:, y : y + 2 * half + 1, x : x + 2 * half + 1]
        want = (weights[used, None] * (flipped[used] * patch).sum((-2, -1))).sum(0)
        worst = max(worst, float(abs(found[0, :, y, x].double().numpy() - want).max()))
    return worst


def compare(args: Args) -> None:
    """The main table."""
    try:
        peer: Any = importlib.import_module("deeplens.imgsim.psf")
    except ImportError:
        peer = None
    image, depth_m = make_scene(args.size_px)
    print("| px | what | ms | times faster | largest error |\n| --- | --- | --- | --- | --- |")
    for kernel_px in args.kernels_px:
        kernels, depths_m = make_kernels(args.planes, kernel_px)
        scene = (image, depth_m, kernels, depths_m)
        double = tuple(one.double() for one in scene)
        picture, taps = image.clone().requires_grad_(), kernels.clone().requires_grad_()

        def peer_blend(kernels: Tensor = kernels, depths_m: Tensor = depths_m) -> Tensor:
            # Depth is negative and in mm there, planes ascend from far to near.
            arguments = image, -1000 * depth_m, kernels.flip(0), -1000 * depths_m.flip(0)
            return peer.conv_psf_depth_interp(*arguments, interp_mode="disparity")

        def with_gradients(picture: Tensor = picture, taps: Tensor = taps, scene: Any = scene) -> Any:
            with torch.enable_grad():
                blurred = depth_blend(picture, depth_m, taps, scene[3])
                return torch.autograd.grad(blurred, (picture, taps), torch.ones_like(blurred))

        calls: dict[str, Callable[[], Any]] = {} if peer is None else {"DeepLens, float32": peer_blend}
        calls["depth_blend, float32"] = lambda scene=scene: depth_blend(*scene)
        calls["depth_blend, float64"] = lambda double=double: depth_blend(*double)
        calls["Bayer sites only, float32"] = lambda scene=scene: depth_blend(*scene, sites="RGGB")
        calls["with gradients in picture and kernels"] = with_gradients
        with torch.no_grad():
            found = time_ms(calls, args.repeats)
            for name, ms in found.items():
                base = found.get("DeepLens, float32", found["depth_blend, float32"])
                blurred = calls[name]()
                exact = isinstance(blurred, Tensor) and blurred.shape == image.shape
                error = f"{worst_error(blurred, *scene):.1e}" if exact else ""
                print(f"| {kernel_px} | {name} | {ms:.1f} | {base / ms:.2f} | {error} |", flush=True)
    print("\n'Times faster' is against", "DeepLens." if peer else "depth_blend in float32: DeepLens is not installed.")


def grow(args: Args) -> None:
    """One thing at a time."""
    rows = [("kernel", k, args.planes, args.size_px, "scene") for k in (3, 5, 9, 17, 25, 33, 49, 65, 97, 129)]
    rows += [("planes", 25, planes, args.size_px, "scene") for planes in (1, 2, 5, 10, 40)]
    rows += [("picture", 25, args.planes, size, "scene") for size in (128, 256, 1024, 2048)]
    rows += [("depth", 25, args.planes, args.size_px, kind) for kind in ("one", "floor", "random")]
    print("| what changes | kernel px | planes | picture px | depth | ms |\n| --- | --- | --- | --- | --- | --- |")
    for what, kernel_px, planes, size_px, kind in rows:
        image, depth_m = make_scene(size_px)
        kernels, depths_m = make_kernels(planes, kernel_px)
        if kind == "one":
            depth_m = torch.full_like(depth_m, 0.5)
        elif kind == "floor":
            depth_m = 1 / torch.linspace(0.1, 10, size_px)[:, None].expand_as(depth_m)
        elif kind == "random":
            depth_m = 1 / (0.1 + 9.9 * torch.rand(depth_m.shape, generator=torch.Generator().manual_seed(0)))
        scene = (image, depth_m, kernels, depths_m)
        with torch.no_grad():
            ms = time_ms({"": lambda scene=scene: depth_blend(*scene)}, args.repeats)[""]
        print(f"| {what} | {kernel_px} | {planes} | {size_px} | {kind} | {ms:.1f} |", flush=True)


def cross_over(args: Args) -> None:
    """Both methods for small kernels."""
    image, depth_m = make_scene(args.size_px)
    print("| kernel px | planes | direct ms | tiles ms |\n| --- | --- | --- | --- |")
    for planes in (1, args.planes):
        for kernel_px in (1, 3, 5, 7, 9, 13):
            kernels, depths_m = make_kernels(planes, kernel_px)
            scene = (image, depth_m, kernels, depths_m)
            calls = {m: lambda m=m, scene=scene: depth_blend(*scene, method=m) for m in ("direct", "tiles")}
            with torch.no_grad():
                found = time_ms(calls, args.repeats)
            print(f"| {kernel_px} | {planes} | {found['direct']:.1f} | {found['tiles']:.1f} |", flush=True)


def main(args: Args) -> None:
    torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, {args.threads} threads, medians of {args.repeats}\n")
    (grow if args.growth else cross_over if args.paths else compare)(args)


if __name__ == "__main__":
    main(tyro.cli(Args))
