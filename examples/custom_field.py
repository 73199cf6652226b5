"""Optics of your own as a `PSFModel`: a cubic phase plate, rendered over depth and restored by one filter.

    python examples/custom_field.py [OUT.png]     # out/custom_field.png: without and with the plate, before and after

The plate blurs near and far alike: one filter that knows no depth restores both (Dowski and Cathey, Applied Optics 34,
1859 (1995)). Simulated: discs from 15 cm (left) to 67 cm (right), noise of 0.002. Prints PSNR in dB, left to right.
"""

import math
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

import render
from psf.patterns import make_dead_leaves


class CubicPlate:
    """A perfect lens, 4 mm f/2 at 0.55 um, focused to 0.25 m, pixels of 2 um, with a plate of so many waves."""

    def __init__(self, waves: float) -> None:
        self.waves = waves

    def kernels_at(self, radius: Tensor, depth_m: Tensor) -> Tensor:
        """The same at every image height: shape (N, 1, 65, 65) for radius and depth_m of shape (N,)."""
        x = torch.linspace(-1, 1, 129, dtype=torch.float64)  # across the pupil, 1 mm to either side
        r2, cubes = x**2 + x[:, None] ** 2, x**3 + x[:, None] ** 3
        defocus = (1 / depth_m.double() - 1 / 0.25) * 0.001**2 / 2 / 0.55e-6  # waves at the rim
        phase = 2 * math.pi * (self.waves * cubes + defocus[:, None, None] * r2)
        place = (torch.arange(195, dtype=torch.float64) - 97) / 3 * 2 / (2 * 2 * 0.55)  # 3 a pixel
        wave = torch.exp(-2j * math.pi * place[:, None] * x)
        light = (wave @ ((r2 <= 1) * torch.exp(1j * phase)) @ wave.T).abs().square()
        pixels = light.unflatten(-1, (65, 3)).unflatten(-3, (65, 3)).sum((-1, -3))[:, None]
        return (pixels / pixels.sum((-2, -1), keepdim=True)).float()

    def kernels_at_pixel(self, x_px: Tensor, y_px: Tensor, depth_m: Tensor) -> Tensor:
        """The plate lies along rows and columns, so nothing is turned to a pixel's azimuth."""
        return self.kernels_at(torch.zeros_like(depth_m), depth_m)


def restore(image: Tensor, kernel: Tensor, edge: int = 64) -> Tensor:
    """Wiener's filter for one kernel (1, K, K), noise of 0.002 and pictures whose power falls as 1 / frequency^2."""
    padded = torch.nn.functional.pad(image, [edge] * 4, mode="reflect")
    (rows, columns), half = padded.shape[-2:], kernel.shape[-1] // 2
    spread = torch.nn.functional.pad(kernel, [0, columns - 2 * half - 1, 0, rows - 2 * half - 1])
    transfer = torch.fft.rfft2(spread.roll([-half, -half], [-2, -1]))
    noise = 0.002**2 * 1000 * (torch.fft.fftfreq(rows)[:, None] ** 2 + torch.fft.rfftfreq(columns) ** 2)
    found = torch.fft.rfft2(padded) * transfer.conj() / (transfer.abs().square() + noise)
    return torch.fft.irfft2(found, (rows, columns))[..., edge:-edge, edge:-edge]


def main(out: str = "out/custom_field.png") -> None:
    """Photograph, restore, compare, draw."""
    generator = torch.Generator().manual_seed(0)
    sharp = make_dead_leaves((256, 384), generator=generator, smallest_px=2, largest_px=50)[None]
    depth_m = (1 / torch.linspace(6.5, 1.5, 384)).expand(1, 1, 256, 384).contiguous()
    stored_m, figure = 1 / torch.linspace(6.5, 1.5, 33), Figure((9, 6.4), layout="constrained")
    for row, waves in zip(figure.subplots(2, 2), (0.0, 6.0), strict=True):
        kernels = CubicPlate(waves).kernels_at(torch.zeros(33), stored_m)
        blurred = render.depth_blend(sharp, depth_m, kernels, stored_m)
        blurred += 0.002 * torch.randn(blurred.shape, generator=generator)
        pictures = {"recorded": blurred, "one filter": restore(blurred, kernels[16])}
        for ax, (name, shown) in zip(row, pictures.items(), strict=True):
            error = (shown - sharp).square().unflatten(-1, (6, 64)).mean((0, 1, 2, 4))
            print(f"{waves:g} waves, {name:10}", *(f"{-10 * math.log10(one):5.1f}" for one in error.tolist()))
            ax.imshow(render.encode_srgb(shown[0, 0].clamp(0, 1)).numpy(), cmap="gray", vmin=0, vmax=1)
            ax.set(title=f"plate of {waves:g} waves, {name}", xlabel="15 cm ... 67 cm (focus at 25 cm)")
            ax.set(xticks=[], yticks=[])
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv}:
        print(__doc__)
    else:
        main(*sys.argv[1:])
