"""A lens of ours photographs a scene at several focus distances: a folder of pictures, as a camera would leave it.

    python examples/simulate_stack.py                                       # out/stack: three pictures and stack.json
    python examples/simulate_stack.py --judge out/depth.tif                 # how far a depth map is from the truth
    python examples/simulate_stack.py --focus-m 0.5 0.59 0.72 0.94 1.415 --window-px 972 1296 -o out/whole

By default the 12 mm f/2.8 of `simulate_captures.py`, its pixels binned by 4, at 0.5, 0.72 and 1.415 m, and a scene of
three surfaces towards a corner of the picture: a disc before a card before a wall that recedes. Every pixel is blurred
by the kernel of its own place and depth, traced for this purpose and stored three times finer than pixels; what stands
in front hides what is behind, with noise. The pictures are PNG files of 16 bits, and stack.json tells
`python -m learn.dfd apply` where each was focused and which part of the sensor they are. The truth lies beside them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import focal_stack_fields
import torch
import tyro
from depth_from_focal_stack import BORDER_PX, make_scene
from torch import Tensor

import psf
from learn.dfd.applying import write_depth
from learn.dfd.depth_colours import colour_depth
from learn.dfd.depth_metrics import measure_depth
from learn.dfd.focal_stacks import view_stack
from learn.dfd.stack_folder import MANIFEST
from learn.dfd.stack_settings import StackSettings
from learn.dfd.stack_synthesis import open_stacks, photograph_stack
from psf import InputError
from psf.arguments import parse_arguments
from psf.command_line import run_command
from psf.runs import write_json
from render import read_depth, write_picture

TRUTH = "true_depth.tif"
# Neighbours that differ by more are an edge; so near it nobody can say which surface a blurred pixel belongs to.
JUMP_M, NEAR_PX = 0.05, 20


@dataclass(frozen=True)
class Args:
    """Photograph a scene at several focus distances, or judge a depth map of it."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/stack")
    """The folder of pictures; it is made."""
    judge: Path | None = None
    """A depth map of the pictures in --out, .tif, .exr or .npy in metres: say its errors, photograph nothing."""
    lens: str = "stack_12mm_f2.8"
    """A bundled lens or the path of a lens file."""
    focus_m: tuple[float, ...] = (0.5, 0.72, 1.415)
    """Focus distances in m, ascending; the picture's scale is that of the first."""
    fields: tuple[Path, ...] = ()
    """Field files (.h5) of a camera, one for each focus distance, in place of the lens."""
    window_px: tuple[int, int] = (384, 512)
    """Height and width of the scene's part of the sensor, half way to the upper right corner."""
    noise: float = 0.005
    """Standard deviation, white is 1."""
    seed: int = 0
    """Of the scene's textures and the noise."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used."""

    def start() -> None:
        args = parse_arguments(lambda: tyro.cli(Args, args=argv, description=Args.__doc__))
        print(photograph(args) if args.judge is None else judge(args.out, args.judge))

    return run_command(start, interrupted="interrupted; nothing is half written")


def photograph(args: Args) -> str:
    """Take the pictures and write them with their truth; what was written, in a line."""
    settings = StackSettings(
        seed=args.seed,
        shape_px=args.window_px,
        textures=("leaves", "noise", "lines"),
        noise="even",
        noise_sd=args.noise,
    )
    paths = args.fields or focal_stack_fields.run(
        focal_stack_fields.Args(out=args.out / "camera", lens=args.lens, focus_m=args.focus_m)
    )
    synthesis = open_stacks([psf.load(path) for path in paths], settings)
    margin_px = synthesis.optics.margin_px
    generator = torch.Generator().manual_seed(args.seed)
    scene = make_scene((args.window_px[0] + 2 * margin_px, args.window_px[1] + 2 * margin_px), settings, generator)
    height, width = synthesis.optics.image_shape_px
    corner_px = ((3 * (width - args.window_px[1])) // 4, (height - args.window_px[0]) // 4)
    sample = photograph_stack(synthesis, scene, corner_px, generator=generator)
    args.out.mkdir(parents=True, exist_ok=True)
    stack = view_stack(sample).encoded("linear")
    listed = []
    for picture, focus_m in zip(stack.pictures, stack.focus_m.tolist(), strict=True):
        name = f"focus_{focus_m:.4g}m.png"
        write_picture(args.out / name, picture, bits=16)
        listed.append({"file": name, "focus_m": round(focus_m, 6)})
    write_depth(args.out / TRUTH, sample.depth_m)
    ends_m = (float(sample.depth_m.min()), float(sample.depth_m.max()))
    write_picture(args.out / "true_depth_colour.png", colour_depth(sample.depth_m, ends_m), encoding="linear")
    write_json(args.out / MANIFEST, {"pictures": listed, "window_px": list(corner_px)})
    return f"written: {args.out}, {len(listed)} pictures of {args.window_px[1]} x {args.window_px[0]} px; {TRUTH}"


def judge(folder: Path, depth_file: Path) -> str:
    """How far a depth map of a folder's pictures is from the truth, in a line."""
    true_m, found_m = (read_depth(one, unit="m")[0] for one in (folder / TRUTH, depth_file))
    if found_m.shape != true_m.shape:
        found, expected = (f"{one.shape[-1]} x {one.shape[-2]} px" for one in (found_m, true_m))
        raise InputError(str(depth_file), found, f"{expected}, the pictures' in {folder}")
    # Of what lies beyond the sides the pictures tell little.
    judged = torch.zeros_like(true_m, dtype=torch.bool)
    judged[:, BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] = True
    whole, inner = (measure_depth(found_m, true_m, mask) for mask in (judged, judged & ~find_edges(true_m)))
    told = f"{depth_file}: mean error {1000 * whole.mae_m:.1f} mm"
    return f"{told}, {1000 * inner.mae_m:.1f} mm off the edges of what stands in front" if inner.pixels else told


def find_edges(depth_m: Tensor) -> Tensor:
    """Where a depth map of shape (1, h, w) jumps, and pixels near there; bool, the same shape."""
    jumps = torch.zeros_like(depth_m)
    jumps[:, 1:] = (depth_m.diff(dim=1).abs() > JUMP_M).float()
    jumps[:, :, 1:] += (depth_m.diff(dim=2).abs() > JUMP_M).float()
    return torch.nn.functional.max_pool2d(jumps, 2 * NEAR_PX + 1, stride=1, padding=NEAR_PX) > 0


if __name__ == "__main__":
    sys.exit(main())
