"""The figures of the concept pages: polar fields, dioptres, depth-blend, occlusion, breathing.

    python examples/concept_figures.py                         # all five, into out/concepts
    python examples/concept_figures.py blending occlusion      # some of them

All is simulated, in seconds. What each figure shows is said in docs/concepts.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
import tyro
from torch import Tensor

import optics
import render
from optics.geometric import image_scale
from psf.arguments import parse_arguments
from psf.command_line import run_command
from psf.metrics import find_rms_radius_px
from psf.patterns import make_dead_leaves
from psf.runs import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Name = Literal["polar_fields", "dioptres", "blending", "occlusion", "breathing"]
WIDTH_IN = 9.0


@dataclass(frozen=True)
class Args:
    """Draw the figures of the concept pages."""

    names: tyro.conf.Positional[tuple[Name, ...]] = ("polar_fields", "dioptres", "blending", "occlusion", "breathing")
    """Which."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/concepts")
    """Folder for NAME.png; it is made."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used."""
    return run_command(
        lambda: run(parse_arguments(lambda: tyro.cli(Args, args=argv, description=Args.__doc__))),
        interrupted="interrupted; nothing is half written",
    )


def run(args: Args) -> None:
    """Draw and write one figure after the other."""
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # windows that cut a little light
            figure, told = FIGURES[name]()
        with whole_file(args.out / f"{name}.png") as part:
            figure.savefig(part, format="png", dpi=120)
        print(f"{args.out / name}.png: {told}")


def draw_polar_fields() -> tuple[Figure, str]:
    """Kernels that are stored, all at azimuth 0, and the same where they belong on the sensor."""
    from matplotlib.figure import Figure

    lens = optics.load("camera_rf50mm_f1p8").refocused(2.5, "spot")
    lens = replace(lens, sensor=optics.Sensor((800, 1200), 30.0))
    field = optics.psf_grid(lens, [1.2, 2.5], torch.linspace(0, 1, 9, dtype=torch.float64))
    stored = field.at(torch.linspace(0, 1, 6), 1.2)
    figure = Figure((WIDTH_IN, 6.6), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 2.6))
    top.suptitle("Stored: one kernel per image height, all at azimuth 0 (the image point lies to the right)")
    for ax, kernel, radius in zip(top.subplots(1, 6), stored, torch.linspace(0, 1, 6), strict=True):
        show_kernel(ax, kernel)
        ax.set_xlabel(f"radius {float(radius):.1f}")
    bottom.suptitle(
        "Read: the same, turned to the azimuth of each pixel (50 mm f/1.8, focus at 2.5 m, points at 1.2 m)"
    )
    height, width = field.image_shape_px
    rows, columns = 5, 8
    for row, axes in enumerate(bottom.subplots(rows, columns)):
        for column, ax in enumerate(axes):
            x_px, y_px = (column + 0.5) * width / columns, (row + 0.5) * height / rows
            show_kernel(ax, field.at_pixel(x_px, y_px, 1.2))
    return figure, f"{lens.name}, kernels of {field.kernel_px} px, square root of the light"


def draw_dioptres() -> tuple[Figure, str]:
    """Blur over metres, over dioptres, and what either makes of a depth between two others."""
    from matplotlib.figure import Figure

    lens = optics.load("f2.2_fixedfocus").refocused(0.5, "spot")
    dioptres = torch.linspace(0.05, 10, 60)
    field = optics.psf_grid(lens, (1 / dioptres.flip(0)).tolist(), [0.0, 0.5])
    blur_px = 2.83 * find_rms_radius_px(field.kernels[:, 0, 1].double())
    depth_m = field.depths_m.double()
    figure = Figure((WIDTH_IN, 3.4), layout="constrained")
    axes = figure.subplots(1, 3)
    axes[0].plot(depth_m, blur_px)
    axes[0].set(xlabel="depth (m)", ylabel="blur diameter (px)", xlim=(0, 5), title="over metres")
    axes[1].plot(1 / depth_m, blur_px)
    axes[1].set(xlabel="1 / depth (dioptres)", ylabel="blur diameter (px)", title="over dioptres")
    near, far = (int((depth_m - one).abs().argmin()) for one in (0.1, 0.4))
    between, at = depth_m[near : far + 1], blur_px[near : far + 1]
    ways = {"in metres": between, "in dioptres": 1 / between}
    axes[2].plot(between, at, "k", label="traced")
    told = []
    for name, scale in ways.items():
        share = (scale - scale[0]) / (scale[-1] - scale[0])
        line = at[0] * (1 - share) + at[-1] * share
        axes[2].plot(between, line, "--", label=f"linear {name}")
        told.append(f"{name} {float((line - at).abs().max()):.1f} px")
    axes[2].set(xlabel="depth (m)", ylabel="blur diameter (px)", title="between 0.1 and 0.4 m")
    axes[2].legend(frameon=False)
    return figure, f"blur between 0.1 and 0.4 m from its ends: wrong by at most {', '.join(told)}"


def draw_blending() -> tuple[Figure, str]:
    """One picture by the kernels of one place, and by every pixel's own."""
    from matplotlib.figure import Figure

    shape = (288, 432)
    lens = optics.load("camera_rf50mm_f1p8")
    lens = replace(lens, sensor=optics.Sensor(shape, 36000 / shape[1])).refocused(4.0, "spot")
    depths_m = 1 / torch.linspace(1 / 1.0, 1 / 4.0, 12, dtype=torch.float64)
    field = optics.psf_grid(lens, depths_m, torch.linspace(0, 1, 12, dtype=torch.float64))
    field = replace(field, transmission=torch.ones_like(field.transmission))  # kernels alone, no darker corners
    generator = torch.Generator().manual_seed(1)
    leaves = make_dead_leaves(shape, generator=generator, smallest_px=3, largest_px=50, is_coloured=True)[None]
    lights = torch.rand(shape, generator=generator) < 0.0016
    image = torch.where(lights, 40.0, 0.25 * leaves)
    depth_m = (1 / torch.linspace(1 / 1.0, 1 / 4.0, shape[0])[:, None]).expand(1, 1, *shape).contiguous()
    blended = render.depth_blend(image, depth_m, *field.at_radius(0.0))
    exact = render.pixelwise(image, depth_m, field)
    difference = (blended - exact).abs().amax(1, keepdim=True)
    figure = Figure((WIDTH_IN, 6.0), layout="constrained")
    ((sharp, plain), (full, error)) = figure.subplots(2, 2)
    show_picture(sharp, image, "sharp; 1 m at the top, the focus of 4 m at the bottom")
    show_picture(plain, blended, "depth-blend, kernels of the picture's middle")
    show_picture(full, exact, "every pixel its own kernel")
    error.imshow(difference[0, 0].numpy(), cmap="magma", vmin=0, vmax=0.3)
    error.set(xticks=[], yticks=[])
    error.set_title("difference in linear light, black 0, white 0.3 and more", fontsize=9)
    outside = float(difference[..., :72, :72].mean() / difference[..., 72:144, 180:252].mean())
    return figure, f"{lens.name}: the difference in the upper left corner is {outside:.1f} times that in the middle"


def draw_occlusion() -> tuple[Figure, str]:
    """A red object before leaves: what gathering shows, and what the lens sees."""
    from matplotlib.figure import Figure

    shape = (84, 126)
    discs = render.Discs(diameter_px_per_dpt=18.0, focus_m=3.0)
    generator = torch.Generator().manual_seed(4)
    far = make_dead_leaves(shape, generator=generator, smallest_px=2.5, largest_px=14)[None].expand(1, 3, *shape)
    y, x = torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")
    is_near = ((x - 34 - 0.3 * (y - 42)).abs() < 6) | ((x - 88).square() + (y - 42).square() < 17**2)
    image = torch.where(is_near, torch.tensor([0.55, 0.06, 0.03])[:, None, None], far)
    figure = Figure((WIDTH_IN, 4.3), layout="constrained")
    rows = figure.subplots(2, 3)
    for row, depths, title in zip(rows, ((0.9, 3.0), (3.0, 40.0)), ("focus behind", "focus in front"), strict=True):
        depth_m = torch.where(is_near, depths[0], depths[1])[None, None].float()
        show_picture(row[0], image, f"sharp picture ({title})")
        show_picture(row[1], render.layered(image, depth_m, discs, mode="gather"), "gather: nothing hides anything")
        show_picture(row[2], render.layered(image, depth_m, discs), "layered: near hides far")
    return figure, "red at 0.9 m before leaves at the focus of 3 m; red at the focus before leaves at 40 m"


def draw_breathing() -> tuple[Figure, str]:
    """The scale of the picture over the focus distance, and what that moves a point by."""
    from matplotlib.figure import Figure

    lens = optics.load("stack_12mm_f2.8")
    reference = lens.refocused(0.5)
    focuses_m = (0.5, 0.59, 0.72, 0.94, 1.415)
    scales = [image_scale(lens.refocused(one), reference) for one in focuses_m]
    corner_px = 0.5 * math.hypot(*lens.sensor.image_shape_px) / 4
    radii = torch.linspace(0, 1, 11)
    figure = Figure((WIDTH_IN, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(focuses_m, scales, "o-")
    left.set(xlabel="focus distance (m)", ylabel="image scale against the focus at 0.5 m", title="the picture shrinks")
    for focus_m, scale in zip(focuses_m, scales, strict=True):
        right.plot(radii, radii * corner_px * (scale - 1), label=f"{focus_m:g} m")
    right.set(
        xlabel="image height (1 = corner)", ylabel="shift of a point (px of 13.44 um)", title="and points move inwards"
    )
    right.legend(title="focus", frameon=False)
    return (
        figure,
        f"{lens.name}: scale {scales[-1]:.4f} at 1.415 m, {corner_px * (scales[-1] - 1):.1f} px in the corner",
    )


def show_kernel(ax: object, kernel: Tensor) -> None:
    """A kernel (C, K, K) to its own peak, square root of the light, R, G, B."""
    picture = kernel[:3].detach().movedim(0, -1).double().numpy()
    ax.imshow(np.sqrt(picture / picture.max()), interpolation="nearest")  # type: ignore[attr-defined]
    ax.set(xticks=[], yticks=[])  # type: ignore[attr-defined]


def show_picture(ax: object, image: Tensor, title: str) -> None:
    """Linear light (1, 3, H, W) as a screen shows it."""
    shown = render.encode_srgb(image[0].clamp(0, 1)).movedim(0, -1).numpy()
    ax.imshow(shown, interpolation="nearest")  # type: ignore[attr-defined]
    ax.set(xticks=[], yticks=[])  # type: ignore[attr-defined]
    ax.set_title(title, fontsize=9)  # type: ignore[attr-defined]


FIGURES: dict[str, Callable[[], tuple[Figure, str]]] = {
    "polar_fields": draw_polar_fields,
    "dioptres": draw_dioptres,
    "blending": draw_blending,
    "occlusion": draw_occlusion,
    "breathing": draw_breathing,
}


if __name__ == "__main__":
    sys.exit(main())
