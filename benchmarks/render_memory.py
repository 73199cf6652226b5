"""Peak memory and time of one rendering in a process of its own, as a line of JSON.

    python benchmarks/render_memory.py --what pixelwise --field harsh --kernel-px 65
    python benchmarks/render_memory.py --what pixelwise --field traced --height-px 3000 --width-px 4000

The inputs are there and the compiled code is loaded (a small picture went before) when counting begins; the result
counts. Linux only.
"""

import json
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
import tyro
from render_measures import peak_mib
from render_scenes import LENS, depth_map, make_field, photograph, traced_field
from torch import Tensor

import render
from psf import PolarPSFField
from render.reference import gather_at


@dataclass(frozen=True)
class Args:
    """What to render."""

    what: Literal["pixelwise", "scatter", "normalised", "plan", "gradient", "depth_blend", "unfolding"] = "pixelwise"
    """unfolding: of every pixel the kernel is read and held against its neighbourhood, a few rows at a time."""
    field: str = "harsh"
    kernel_px: int = 25
    height_px: int = 512
    width_px: int = 512
    threads: int = 2
    repeats: int = 1


def make_call(
    what: str, image: Tensor, depth_m: Tensor, field: PolarPSFField, window: tuple[int, int]
) -> Callable[[], object]:
    shape = (image.shape[-2], image.shape[-1])
    if what == "depth_blend":
        kernels = field.at_radius(0.7, 0.3)
        return lambda: render.depth_blend(image, depth_m, *kernels)
    if what == "plan":
        return lambda: render.plan_pixelwise(field, shape, depth_m=depth_m, window=window)
    if what == "gradient":
        picture = image.clone().requires_grad_()
        learned = replace(field, kernels=field.kernels.clone().requires_grad_())
        return lambda: render.pixelwise(picture, depth_m, learned, window=window).sum().backward()
    if what == "unfolding":
        y_px, x_px = torch.meshgrid(*[torch.arange(side) for side in shape], indexing="ij")
        at = (x_px.flatten(), y_px.flatten())
        return lambda: gather_at(image, depth_m, field, *at, window=window, padding="reflect")
    form = "gather" if what == "pixelwise" else what
    return lambda: render.pixelwise(image, depth_m, field, window=window, form=form)  # type: ignore[arg-type]


def main(args: Args) -> None:
    torch.set_num_threads(args.threads)
    height, width = args.height_px, args.width_px
    if (height, width) == (512, 512):
        field, window = make_field(args.field, args.kernel_px, 512)
        depth_m = depth_map(height, width)
    else:  # a frame of the lens's sensor, or as much of it
        field = traced_field(args.kernel_px)
        window = tuple(
            (own - asked) // 2 for own, asked in zip(field.image_shape_px[::-1], (width, height), strict=True)
        )
        depth_m = depth_map(height, width, "slant")
    field = field.to(dtype=torch.float32)
    image = photograph(max(height, width))[..., :height, :width].float().contiguous()
    depth_m = depth_m.float()
    small_px = 2 * args.kernel_px
    small = replace(field, image_shape_px=(small_px, small_px))
    make_call(args.what, image[..., :small_px, :small_px], depth_m[..., :small_px, :small_px], small, (0, 0))()
    call = make_call(args.what, image, depth_m, field, window)  # type: ignore[arg-type]
    found = []
    start = time.perf_counter()
    added, peak = peak_mib(call)
    found.append(time.perf_counter() - start)
    for _ in range(args.repeats - 1):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    print(json.dumps({"added_mib": added, "peak_mib": peak, "seconds": statistics.median(found), "lens": LENS}))


if __name__ == "__main__":
    with warnings.catch_warnings(action="ignore"):
        main(tyro.cli(Args))
