"""What does full per-pixel rendering cost beside depth-blend, and how true is it?

    python benchmarks/render_pixelwise.py [--threads 2] [--repeats 5] [--kernels 25 65] [--size-px 512] [--traced]

One photograph-like picture of three channels with all 20 stored depths in it, the whole sensor squeezed into the
frame. The depth-blend beside it is the plain tile form: one kernel per plane, transforms of only the planes in a tile.
Truth: `gather_at` in float64 on 2,000 random pixels. Times are medians of wall seconds, both renderers in turn.
"""

import argparse
import math
import statistics
import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from psf import Channel, PolarPSFField
from render.reference import gather_at, pad_picture
from render.spatial import pixelwise, plan_pixelwise
from render.tiling import fast_length
from render.weights import plane_weights

TILE_PX = 64


def scene(size: int) -> tuple[Tensor, Tensor]:
    """Edges, stripes and noise; a slanted floor with two objects."""
    g = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(*[torch.arange(size, dtype=torch.float64) / size] * 2, indexing="ij")
    blocks = torch.rand((3, 16, 16), generator=g, dtype=torch.float64)
    image = blocks.repeat_interleave(-(-size // 16), 1).repeat_interleave(-(-size // 16), 2)[:, :size, :size]
    image = image * (0.75 + 0.25 * torch.sin(40 * math.pi * (x + 0.6 * y) ** 2))
    image = image * (0.9 + 0.1 * torch.rand((3, size, size), generator=g, dtype=torch.float64))
    dioptre = 0.4 + 4 * y
    dioptre = torch.where((x - 0.42) ** 2 + (y - 0.4) ** 2 < 0.09, 3 + 0.8 * x, dioptre)
    dioptre = torch.where(((x - 0.82).abs() < 0.12) & ((y - 0.75).abs() < 0.2), 8.0, dioptre)
    return image[None], 1 / dioptre[None, None]


def smooth_field(kernel_px: int, size: int) -> PolarPSFField:
    """20 x 20 coma-like spots of three channels."""
    n = 20
    radii = torch.linspace(0, 1, n, dtype=torch.float64)
    o = torch.arange(kernel_px, dtype=torch.float64) - kernel_px // 2
    y, x = o[:, None], o[None, :]
    q = radii[None, :, None, None, None]
    c = torch.arange(3, dtype=torch.float64)[None, None, :, None, None]
    s = (0.6 + (kernel_px / 6 - 0.6) * torch.linspace(1, 0, n, dtype=torch.float64))[:, None, None, None, None]
    s = s * (1 + 0.2 * q)
    kernels = torch.exp(-((x - 0.4 * s * q) ** 2 + (1.3 + 0.1 * c) ** (2 * q) * y**2) / (2 * s * s))
    kernels = kernels * (1 + 0.3 * q * torch.tanh(x / s))
    return PolarPSFField(
        kernels=kernels / kernels.sum((-2, -1), keepdim=True),
        transmission=(1 - 0.4 * radii**2)[None, :, None].expand(n, n, 3).clone(),
        lost=torch.zeros((n, n, 3), dtype=torch.float64),
        depths_m=1 / torch.linspace(10, 0.1, n, dtype=torch.float64),
        radii=radii,
        image_shape_px=(size, size),
        pitch_um=2.0,
        channels=tuple(Channel(name, (0.55,)) for name in "RGB"),
        focus_m=1.0,
    )


def traced_field(kernel_px: int, size: int) -> PolarPSFField:
    """The f/2.2 lens, its sensor's corner at the frame's corner; what the window cannot hold is cut off."""
    import optics

    field = optics.psf_grid(optics.load("f2.2_fixedfocus"), kernel_px=65)
    return replace(field.cropped(kernel_px), image_shape_px=(size, size)).to(dtype=torch.float64)


def blend(image: Tensor, depth_m: Tensor, kernels: Tensor, depths_m: Tensor) -> Tensor:
    """Depth-blend in tiles: image (1, C, H, W), kernels (P, C, K, K)."""
    size, half = image.shape[-1], kernels.shape[-1] // 2
    side = fast_length(TILE_PX + 2 * half)
    before, share = plane_weights(depth_m[0, 0], depths_m)
    count = -(-size // TILE_PX)
    spare = (0, count * TILE_PX - size) * 2
    padded = torch.nn.functional.pad(pad_picture(image, half, "reflect"), spare)[0]
    tiles = padded.unfold(1, TILE_PX + 2 * half, TILE_PX).unfold(2, TILE_PX + 2 * half, TILE_PX)
    spectra = torch.fft.rfft2(tiles.permute(1, 2, 0, 3, 4).flatten(0, 1), s=(side, side))
    index, part = (
        torch.nn.functional.pad(one, spare).unfold(0, TILE_PX, TILE_PX).unfold(1, TILE_PX, TILE_PX).flatten(0, 1)
        for one in (before, share)
    )
    plane = torch.arange(len(depths_m))[:, None, None, None]
    weights = torch.where(index == plane, 1 - part, 0.0) + torch.where(index == plane - 1, part, 0.0)
    p, t = weights.amax((-2, -1)).nonzero(as_tuple=True)
    kernel_spectra = torch.fft.rfft2(kernels, s=(side, side))
    out = image.new_zeros((count * count, 3, TILE_PX, TILE_PX))
    for some_p, some_t in zip(p.split(32), t.split(32), strict=True):
        light = torch.fft.irfft2(spectra[some_t] * kernel_spectra[some_p], s=(side, side))
        light = light[..., 2 * half : 2 * half + TILE_PX, 2 * half : 2 * half + TILE_PX]
        out.index_add_(0, some_t, light * weights[some_p, some_t][:, None])
    out = out.reshape(count, count, 3, TILE_PX, TILE_PX).permute(2, 0, 3, 1, 4).reshape(3, count * TILE_PX, -1)
    return out[None, :, :size, :size]


def median_s(calls: dict[str, Any], repeats: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--kernels", type=int, nargs="+", default=[25, 65])
    parser.add_argument("--size-px", type=int, default=512)
    parser.add_argument("--traced", action="store_true", help="the f/2.2 lens in place of smooth spots")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    image, depth_m = scene(args.size_px)
    g = torch.Generator().manual_seed(0)
    x, y = (torch.randint(0, args.size_px, (2000,), generator=g) for _ in "xy")
    print(f"{'kernel':>6s} {'blend s':>8s} {'cold s':>8s} {'warm s':>8s} {'scatter s':>9s} {'ratios':>16s}  accuracy")
    for kernel_px in args.kernels:
        field = (traced_field if args.traced else smooth_field)(kernel_px, args.size_px)
        linear = {"interpolation": "linear", "turning": "bilinear"}
        truth = gather_at(image, depth_m, field, x, y, window=(0, 0), **linear)
        single, light, z = field.to(dtype=torch.float32), image.float(), depth_m.float()
        kernels = single.at_radius(0.7, 0.3)[0]
        plan = plan_pixelwise(single, (args.size_px, args.size_px), depth_m=z)
        seconds = median_s(
            {
                "blend": lambda a=light, b=z, k=kernels, f=single: blend(a, b, k, f.depths_m),
                "cold": lambda a=light, b=z, f=single: pixelwise(a, b, f),
                "warm": lambda a=light, b=z, p=plan: pixelwise(a, b, p),
                "scatter": lambda a=light, b=z, f=single: pixelwise(a, b, f, form="scatter"),
            },
            args.repeats,
        )
        error = pixelwise(light, z, single)[0][:, y, x].mT - truth
        ratios = " ".join(f"{seconds[one] / seconds['blend']:5.2f}" for one in ("cold", "warm", "scatter"))
        print(
            f"{kernel_px:6d} {seconds['blend']:8.3f} {seconds['cold']:8.3f} {seconds['warm']:8.3f} "
            f"{seconds['scatter']:9.3f} {ratios:>16s}  {-10 * math.log10(float((error**2).mean())):.1f} dB, "
            f"largest {float(error.abs().max()):.4f}; plan {plan.memory_mb:.0f} MB"
        )
        default = gather_at(image, depth_m, field, x, y, window=(0, 0))
        apart = float(((truth - default) ** 2).mean())
        print(f"       the definition against the field's own interpolation: {-10 * math.log10(apart):.1f} dB")


if __name__ == "__main__":
    main()
