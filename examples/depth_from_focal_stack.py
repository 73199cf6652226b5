"""From a lens file to a depth map: trace, photograph a focal stack, train a small network, find the depth.

    python examples/depth_from_focal_stack.py                       # out/depth, and its page of pictures
    python examples/depth_from_focal_stack.py --steps 0             # without a network: the likelihood alone

A 12 mm f/2.8 is traced at five focus distances. A scene of three surfaces that nobody has trained on (a disc before a
tilted wall, and a card between them) is photographed through these fields: every pixel blurred by the kernel of its own
place and depth, what stands in front hiding what is behind, with noise. Two estimators that know the fields find its
depth: the likelihood, which needs no training, and a network on the same residuals, trained for some minutes on scenes
of two planes. Beside them stands what the likelihood finds if it is told one kernel for the whole sensor.

The same command goes on where it was stopped: fields and network are kept in the folder.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import focal_stack_fields
import torch
import tyro
from torch import Tensor
from tqdm import tqdm

import psf
from learn.dfd.applying import write_depth, write_views
from learn.dfd.depth_metrics import measure_depth
from learn.dfd.estimators import DepthEstimate, DepthEstimator, load_estimator
from learn.dfd.focal_stacks import FocalStack, view_stack
from learn.dfd.invariance import make_invariant
from learn.dfd.likelihood import open_likelihood
from learn.dfd.scenes import StackScene, Surface
from learn.dfd.stack_settings import StackSettings
from learn.dfd.stack_synthesis import open_stacks, photograph_stack
from learn.dfd.textures import draw_texture
from psf import InputError, PolarPSFField
from psf.arguments import parse_arguments
from psf.command_line import run_command
from psf.runs import whole_file
from render import encode_srgb

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Path(__file__).with_name("recipes") / "dfd_cpu.json"
WALL_M, CARD_M, DISC_M = (0.95, 1.38), 0.78, 0.56
# Errors beyond which the page's colours are those of the ends.
MOST_M = 0.15
# Pixels at the sides that are not judged: what lies beyond them is not in the pictures.
BORDER_PX = 16


@dataclass(frozen=True)
class Args:
    """Depth of a scene, from a lens file."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/depth")
    """Folder for fields, network, depth maps and the page; it is made."""
    lens: str = "stack_12mm_f2.8"
    """A bundled lens or the path of a lens file."""
    focus_m: tuple[float, ...] = (0.5, 0.59, 0.72, 0.94, 1.415)
    """Focus distances in m, ascending."""
    window_px: tuple[int, int] = (192, 256)
    """Height and width of the scene's part of the sensor, which lies towards a corner."""
    stacks: int = 320
    """Scenes to train on."""
    steps: int = 300
    """Of the training, 4 scenes each; 0: no network."""
    seed: int = 0
    """Of the scene's textures, the noise and the training."""


@dataclass(frozen=True, eq=False)
class Found:
    """What one estimator found.

    Attributes:
        name: The estimator.
        estimate: Depth and confidence.
        error_m: Mean absolute error.
        time_s: Processor time.
    """

    name: str
    estimate: DepthEstimate
    error_m: float
    time_s: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used."""

    def start() -> None:
        run(parse_arguments(lambda: tyro.cli(Args, args=argv, description=Args.__doc__)))

    return run_command(start)


def run(args: Args) -> list[Found]:
    """Do it all; what was found."""
    if args.steps < 0 or args.stacks < 1:
        raise InputError("--steps, --stacks", (args.steps, args.stacks), "0 or more, and 1 or more")
    args.out.mkdir(parents=True, exist_ok=True)
    paths = trace(args)
    fields = [psf.load(path) for path in paths]
    stack, true_m = take_stack(args, fields)
    estimators: list[DepthEstimator] = [
        open_likelihood([make_invariant(one) for one in fields], depth_m=(0.5, 1.415), name="one kernel"),
        open_likelihood(fields, depth_m=(0.5, 1.415), name="likelihood"),
    ]
    if args.steps:
        estimators.append(load_estimator(train(args, paths), name="network", fields=fields))
    found = [judge(one, stack, true_m) for one in tqdm(estimators, unit="estimate", leave=False, disable=None)]
    for one in found:
        print(f"{one.name}: mean error {1000 * one.error_m:.1f} mm, {one.time_s:.1f} s of processor time")
        write_depth(args.out / f"{one.name.replace(' ', '_')}.npy", one.estimate.depth_m)
        write_views(args.out / one.name.replace(" ", "_"), one.estimate, ends_m=(0.5, 1.415))
    page = args.out / "page.png"
    with whole_file(page) as part:
        plot_page(stack, true_m, found).savefig(part, format="png", dpi=100)
    print(f"written: {page}")
    return found


def trace(args: Args) -> list[Path]:
    """The fields, those that are not there yet."""
    folder = args.out / "fields"
    paths = [folder / f"F_{one_m:g}.h5" for one_m in args.focus_m]
    if not all(path.is_file() for path in paths):
        paths = focal_stack_fields.run(focal_stack_fields.Args(out=folder, lens=args.lens, focus_m=args.focus_m))
    return paths


def take_stack(args: Args, fields: Sequence[PolarPSFField]) -> tuple[FocalStack, Tensor]:
    """The focal stack of the scene, and its depth (1, h, w)."""
    settings = StackSettings(
        seed=args.seed, shape_px=args.window_px, textures=("leaves", "noise", "lines"), noise="even", exposure_jitter=0
    )
    synthesis = open_stacks(fields, settings)
    margin_px = synthesis.optics.margin_px
    shape = (args.window_px[0] + 2 * margin_px, args.window_px[1] + 2 * margin_px)
    height, width = synthesis.optics.image_shape_px
    # Half way to the upper right corner.
    window_px = ((3 * (width - args.window_px[1])) // 4, (height - args.window_px[0]) // 4)
    generator = torch.Generator().manual_seed(args.seed)
    scene = make_scene(shape, settings, generator)
    sample = photograph_stack(synthesis, scene, window_px, generator=generator)
    return view_stack(sample), sample.depth_m


def make_scene(shape_px: tuple[int, int], settings: StackSettings, generator: torch.Generator) -> StackScene:
    """A disc before a card before a wall that is nearer on the left."""
    rows, columns = (torch.linspace(-1, 1, side) for side in shape_px)
    nearness = torch.lerp(torch.tensor(1 / WALL_M[0]), torch.tensor(1 / WALL_M[1]), (columns + 1) / 2)
    wall_m = (1 / nearness).expand(1, *shape_px).contiguous()
    y, x = torch.meshgrid(rows, columns * shape_px[1] / shape_px[0], indexing="ij")
    turned = torch.stack([x * math.cos(0.3) + y * math.sin(0.3), y * math.cos(0.3) - x * math.sin(0.3)])
    card = ((turned[0] - 0.35).abs() < 0.45) & ((turned[1] + 0.1).abs() < 0.5)
    disc = torch.hypot(x + 0.55, y - 0.25) < 0.38
    light = [draw_texture(name, shape_px, settings, generator=generator) for name in ("noise", "lines", "leaves")]
    flat = torch.ones(1, *shape_px)
    return StackScene(
        (
            Surface(light[0], DISC_M * flat, disc[None].float()),
            Surface(light[1], CARD_M * flat, card[None].float()),
            Surface(light[2], wall_m),
        )
    )


def train(args: Args, paths: Sequence[Path]) -> Path:
    """The network's file; a training that was stopped goes on."""
    from learn.dfd.commands_data import StackOptions, make_shards
    from learn.dfd.commands_depth_train import TrainDepthOptions, run_train_depth

    shards, out = args.out / "stacks", args.out / "run"
    given = {"fields": tuple(paths), "settings": RECIPE, "seed": args.seed}
    with tqdm(unit="shard", desc="scenes", leave=False, disable=None) as bar:
        print(make_shards(StackOptions(**given), shards, args.stacks, on_shard=lambda done, of: move(bar, done, of)))
    options = TrainDepthOptions(
        fields=tuple(paths),
        seed=args.seed,
        out=out,
        recipe=RECIPE,
        shards=shards,
        network="cost_volume",
        width=8,
        steps=args.steps,
        warmup=max(1, args.steps // 15),
        rate=0.003,
        evaluation_count=0,
        log_every=10,
        device="cpu",
    )
    with tqdm(unit="step", desc="train", leave=False, disable=None) as bar:
        run_train_depth(options, say=print, on_progress=lambda done, of, loss: move(bar, done, of))
    return out / "network.pt"


def move(bar: tqdm, done: int, of: int) -> None:
    """A bar to where the work is."""
    bar.total = of
    bar.update(done - bar.n)


def judge(estimator: DepthEstimator, stack: FocalStack, true_m: Tensor) -> Found:
    """Estimate, and measure what is not at the sides."""
    begun_s = time.process_time()
    estimate = estimator.estimate(stack)
    time_s = time.process_time() - begun_s
    judged = torch.zeros_like(true_m, dtype=torch.bool)
    judged[:, BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] = True
    return Found(estimator.name, estimate, measure_depth(estimate.depth_m, true_m, judged).mae_m, time_s)


def plot_page(stack: FocalStack, true_m: Tensor, found: Sequence[Found]) -> Figure:
    """The pictures, the truth, and depth and error of every estimator.

    Args:
        stack: What was photographed.
        true_m: Shape (1, h, w).
        found: Of each estimator.
    """
    from matplotlib.figure import Figure

    columns = max(3, 1 + len(found))
    height, width = stack.shape_px
    figure = Figure(figsize=(2.9 * columns, 3 * (2.9 * height / width + 0.35) + 0.5), layout="constrained")
    axes = figure.subplots(3, columns, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.set_frame_on(False)
    shown = [0, len(stack.pictures) // 2, len(stack.pictures) - 1]
    for ax, n in zip(axes[0], shown, strict=False):
        ax.imshow(encode_srgb(stack.pictures[n].clamp(0, 1)).clamp(0, 1).permute(1, 2, 0).numpy())
        ax.set_title(f"focused at {float(stack.focus_m[n]):g} m", fontsize=9)
    depth = {"cmap": "magma_r", "vmin": 0.5, "vmax": 1.415}
    drawn = axes[1, 0].imshow(true_m[0].numpy(), **depth)
    axes[1, 0].set_title("true depth", fontsize=9)
    for ax, below, one in zip(axes[1, 1:], axes[2, 1:], found, strict=False):
        ax.imshow(one.estimate.depth_m[0].numpy(), **depth)
        ax.set_title(one.name, fontsize=9)
        error = below.imshow((one.estimate.depth_m - true_m)[0].numpy(), cmap="RdBu", vmin=-MOST_M, vmax=MOST_M)
        below.set_title(f"its error, {1000 * one.error_m:.0f} mm on average", fontsize=9)
    figure.colorbar(drawn, ax=axes[1, :], label="depth (m)", fraction=0.04)
    figure.colorbar(error, ax=axes[2, :], label="error (m)", fraction=0.04)
    figure.suptitle("Depth from five pictures through a traced lens: who knows the lens finds it", fontsize=11)
    return figure


if __name__ == "__main__":
    sys.exit(main())
