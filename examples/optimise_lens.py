"""Two lenses made better: a badly made double Gauss recovers, and the f/2.2 lens trades sharpness for depth of field.

    python examples/optimise_lens.py                      # both, into out/optimised
    python examples/optimise_lens.py recover --errors 10
    python examples/optimise_lens.py extend --depths-m inf 1 0.5 0.33 0.25 --fineness 0.25

`recover` draws errors of radius, thickness, airspace, index and sensor as a workshop ten times too careless makes them,
and frees curvatures, thicknesses and the focus. It says when the lens is back within 1 % of the design's RMS spot, and
goes on from there: a patent's lens is no optimum of this merit. Focal length, track, thicknesses and slopes are kept.

`extend` asks for contrast at all depths at once, and the squares of what is missing weigh the worst ones most. (The RMS
radius cannot ask for that: over depth its square is a parabola whose bend is given by the aperture.) Free are the focus
and the two aspheres nearest the stop. Beside that lens stand the published one and the published one with nothing but
its focus chosen by the same merit.

Writes prescriptions (.json, .zmx, with a glass catalogue .agf where it takes one), tables (.csv) and pictures.
"""

from __future__ import annotations

import csv
import io
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
import tyro
from tqdm import tqdm

import optics
from optics.analysis import find_spots, trace_fans
from optics.constraints import keep_limits
from optics.landing import Sampling
from optics.merit import Merit
from optics.mtf import find_geometric_mtf
from optics.optimisation import Optimised, Step, optimise
from optics.residuals import judge
from optics.tolerance import GLASS
from optics.variables import FOCUS, Variable
from psf import InputError
from psf.arguments import parse_arguments
from psf.command_line import run_command
from psf.runs import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN_RADII = (0.0, 0.35, 0.7, 1.0)
RECOVERED_RADII = (0.0, 0.35, 0.7, 0.85, 1.0)
EXTENDED_RADII = (0.0, 0.5, 0.85)
SAMPLING = Sampling(rings=48, angles=48, nodes=16)
INKS = ("#0b3c8c", "#b3263a", "#1b8a5a")


@dataclass(frozen=True)
class Args:
    """Make a lens better: recover a badly made one, extend the depth of field of another, or both."""

    task: Annotated[Literal["both", "recover", "extend"], tyro.conf.Positional] = "both"
    """What to do."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/optimised")
    """Folder for the results."""
    errors: float = 10.0
    """recover: how many times the tolerances of precision glass the errors are."""
    seed: int = 1
    """recover: which errors are drawn."""
    rounds: int = 8
    """How often rays are laid anew, at most."""
    iterations: int = 20
    """Lenses tried per round, at most."""
    depths_m: tuple[float, ...] = (math.inf, 1.0, 0.5, 0.33, 0.25)
    """extend: depths that shall be sharp, in m."""
    fineness: float = 0.25
    """extend: frequency of the lines whose contrast counts, as a share of Nyquist's."""
    quick: bool = False
    """Few rays and few steps: a look in seconds."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used."""

    def start() -> None:
        for path in run(parse_arguments(lambda: tyro.cli(Args, args=argv, description=Args.__doc__))):
            print(f"written: {path}")

    return run_command(start, interrupted="interrupted; nothing is half written")


def run(args: Args) -> list[Path]:
    """Compute, then write; the files."""
    from matplotlib.figure import Figure

    if not (math.isfinite(args.errors) and args.errors > 0):
        raise InputError("--errors", args.errors, "a positive number")
    if args.rounds < 1 or args.iterations < 1:
        raise InputError("--rounds, --iterations", (args.rounds, args.iterations), "at least 1 each")
    if len(args.depths_m) < 2:
        raise InputError("--depths-m", args.depths_m, "at least 2 depths")
    if not 0 < args.fineness <= 1:
        raise InputError("--fineness", args.fineness, "a share of Nyquist's frequency, above 0 to 1")
    if args.out.exists() and not args.out.is_dir():
        raise InputError("--out", f"{args.out}, which is a file", "a folder")
    files: dict[str, object] = {}
    if args.task != "extend":
        files |= recover(args)
    if args.task != "recover":
        files |= extend(args)
    args.out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in files.items():
        path = args.out / name
        if isinstance(content, optics.Lens) and path.suffix == ".json":
            optics.save(content, path)
        elif isinstance(content, optics.Lens):
            optics.write_zmx(content, path)
        else:
            with whole_file(path) as part:
                if isinstance(content, Figure):
                    content.savefig(part, dpi=130, format="png")
                else:
                    part.write_bytes(str(content).encode())
        paths.append(path)
    return paths


def recover(args: Args) -> dict[str, object]:
    """A double Gauss with errors, and what becomes of it; files by name."""
    from matplotlib.figure import Figure

    from optics import draw

    design = replace(optics.load("double_gauss_jp1987087922"), channels=optics.LINE_CHANNELS)
    careless = replace(GLASS.scaled(args.errors), form_um=0.0, semi_aperture_um=0.0)
    generator = torch.Generator().manual_seed(args.seed)
    made = optics.perturbed(design, careless, generator=generator, focus="fixed")
    rays = {"rings": 3, "angles": 6} if args.quick else {}
    merit = Merit(radii=RECOVERED_RADII, limits=keep_limits(design, slack=0.02), **rays)
    target, start = judge(design, merit), judge(made, merit)
    free = ["surface*.curvature_per_mm", "surface*.thickness_mm", FOCUS]
    print(f"double Gauss: RMS spot of the design {target.image:.2f} um, with errors {start.image:.2f} um")

    begun = time.perf_counter()
    back = watched("back", args, made, free, merit, goal=1.01 * target.image)
    seconds = time.perf_counter() - begun
    print(f"  {back.after.image:.2f} um after {len(back.history)} lenses in {seconds:.1f} s: {back.message}")
    begun = time.perf_counter()
    best = watched("on", args, back.lens, free, merit)
    seconds = time.perf_counter() - begun
    print(f"  {best.after.image:.2f} um after {len(best.history)} more in {seconds:.1f} s: {best.message}")

    lenses = {"design": design, "with errors": made, "recovered": back.lens, "optimised": best.lens}
    judged = {name: judge(lens, merit) for name, lens in lenses.items()}
    rows = [["lens", "efl_mm", "track_mm", *(f"rms_um at {r:g}" for r in merit.radii), "rms_um", "broken_limits"]]
    for name, lens in lenses.items():
        efl_mm, quality = float(optics.first_order(lens).efl_mm), judged[name]
        numbers = [efl_mm, lens.track_mm, *quality.rms[0].tolist(), quality.image, float(quality.violations.norm())]
        rows.append([name, *(f"{number:.4f}" for number in numbers)])
    tell(rows)
    final = named(best.lens, "double_gauss_optimised", f"{design.title}, made badly and optimised")
    compared = Figure(figsize=(10.5, 4.2), layout="constrained")
    against, over = compared.subplots(1, 2)
    for (name, quality), ink in zip(judged.items(), ("0.3", *INKS[1:], INKS[0]), strict=True):
        style = {"color": ink, "marker": "o", "ms": 3, "ls": "--" if name == "design" else "-"}
        against.plot(merit.radii, quality.rms[0].tolist(), label=name, **style)
    against.set(xlabel="image height (1 = corner)", ylabel="RMS spot radius (um)", yscale="log", title="Spots")
    against.legend(fontsize=8, frameon=False)
    tried = [step.best for found in (back, best) for step in found.history]
    over.plot(range(1, len(tried) + 1), tried, color=INKS[0], lw=1.3)
    over.axhline(target.image, color="0.3", ls="--", lw=1, label="the design")
    over.axvline(len(back.history), color=INKS[2], lw=1, label="back within 1 %")
    over.set(xlabel="lenses tried", ylabel="merit: RMS spot and limits (um)", yscale="log", title="On the way")
    over.legend(fontsize=8, frameon=False)
    for ax in (against, over):
        ax.grid(alpha=0.3, which="both")
    return {
        "double_gauss_recovered.json": named(back.lens, "double_gauss_recovered", f"{design.title}, recovered"),
        "double_gauss_optimised.json": final,
        "double_gauss_optimised.zmx": final,
        "double_gauss.csv": to_csv(rows),
        "double_gauss_compared.png": compared,
        "double_gauss_errors_layout.png": draw.plot_layout(made, trace_fans(made, DRAWN_RADII)),
        "double_gauss_optimised_layout.png": draw.plot_layout(final, trace_fans(final, DRAWN_RADII)),
        "double_gauss_errors_spots.png": spots(made, (math.inf,)),
        "double_gauss_optimised_spots.png": spots(final, (math.inf,)),
    }


def extend(args: Args) -> dict[str, object]:
    """The f/2.2 lens and its depth of field; files by name."""
    from optics import draw

    lens = replace(optics.load("f2.2_fixedfocus"), channels=optics.LINE_CHANNELS)
    depths_m = tuple(sorted(args.depths_m, reverse=True))
    rays = {"rings": 3, "angles": 5} if args.quick else {"rings": 6, "angles": 8}
    limits = keep_limits(lens, slack=0.02)
    frequency = args.fineness * 500 / lens.sensor.pitch_um
    merit = Merit(
        "contrast", radii=EXTENDED_RADII, depths_m=depths_m, frequency_per_mm=frequency, limits=limits, **rays
    )
    focus = Variable(FOCUS, low=0.5 * float(lens.surfaces[-1].thickness_mm))
    print(f"f/2.2 lens: contrast of {frequency:.0f} lines per mm from {depths_m[0]:g} to {depths_m[-1]:g} m")

    refocused = watched("focus", args, lens, [focus], merit)
    # The aspheres nearest the stop see every bundle alike: what they do, they do at all image heights.
    aspheres = [f"surface{n}.{kind}" for n in (2, 3) for kind in ("curvature_per_mm", "asphere_*")]
    begun = time.perf_counter()
    found = watched("aspheres", args, refocused.lens, [*aspheres, focus], merit)
    seconds = time.perf_counter() - begun
    print(f"  {len(found.history)} lenses in {seconds:.1f} s: {found.message}")
    final = named(found.lens, "f2.2_extended", f"{lens.title}; changed for depth of field")
    lenses = {"published": lens, "refocused": refocused.lens, "extended": final}

    dioptres = np.linspace(0, 1.1 / min(depths_m), 5 if args.quick else 23)
    curve_m = [math.inf if d == 0 else float(1 / d) for d in dioptres]
    contrast = {}
    for name, one in lenses.items():
        transfer = find_geometric_mtf(one, EXTENDED_RADII, curve_m, [frequency], sampling=SAMPLING)
        both = 0.5 * (transfer.tangential + transfer.sagittal)  # (D, R, 1, C, 1)
        contrast[name] = both[:, :, 0, :, 0].mean(-1)
    inside = torch.tensor(dioptres) <= 1 / min(depths_m) + 1e-9
    rows = [["lens", "missing_percent", *(f"rms_um at {d:g} m" for d in depths_m), "best_contrast", "worst_contrast"]]
    for name, one in lenses.items():
        quality, mean = judge(one, merit), contrast[name].mean(1)[inside]
        by_depth = quality.rms.square().mean(1).sqrt().tolist()
        rows.append([name, *(f"{v:.4f}" for v in (quality.image, *by_depth, float(mean.max()), float(mean.min())))])
    tell(rows)
    return {
        "f2.2_extended.json": final,
        "f2.2_extended.zmx": final,
        "f2.2.csv": to_csv(rows),
        "f2.2_contrast.png": plot_contrast(dioptres, contrast, depths_m, frequency),
        "f2.2_kernels.png": plot_kernels(lenses, depths_m),
        "f2.2_published_layout.png": draw.plot_layout(lens, trace_fans(lens, DRAWN_RADII)),
        "f2.2_extended_layout.png": draw.plot_layout(final, trace_fans(final, DRAWN_RADII)),
    }


def watched(
    words: str,
    args: Args,
    lens: optics.Lens,
    free: Sequence[Variable | str],
    merit: Merit,
    goal: float = 0.0,
) -> Optimised:
    """Optimise with a bar that shows the merit."""
    rounds, iterations = (2, min(args.iterations, 6)) if args.quick else (args.rounds, args.iterations)
    with tqdm(total=rounds * iterations, desc=words, unit="lens", leave=False, disable=None) as bar:

        def advance(step: Step) -> None:
            bar.update(1)
            bar.set_postfix_str(f"merit {step.best:.3f}", refresh=False)

        return optimise(
            lens, free, merit, rounds=rounds, iterations=iterations, tolerance=5e-4, goal=goal, on_progress=advance
        )


def named(lens: optics.Lens, name: str, title: str) -> optics.Lens:
    """The lens under a name of its own; where it came from stays in its source."""
    source = {**lens.source, "changed_by": "examples/optimise_lens.py"}
    return replace(lens, name=name, title=title, source=source, file_sha256="")


def spots(lens: optics.Lens, depths_m: Sequence[float]) -> Figure:
    """Its spot diagrams."""
    from optics import draw

    return draw.plot_spots(find_spots(lens, DRAWN_RADII, depths_m), lens.sensor.pitch_um, lens.name)


def plot_contrast(
    dioptres: np.ndarray, contrast: dict[str, torch.Tensor], depths_m: Sequence[float], frequency: float
) -> Figure:
    """Contrast against depth, a panel per image height."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    axes = figure.subplots(1, len(EXTENDED_RADII), sharey=True)
    for r, ax in enumerate(axes):
        for (name, values), ink in zip(contrast.items(), ("0.45", *INKS[:2]), strict=True):
            ax.plot(dioptres, values[:, r].tolist(), color=ink, lw=1.5, label=name)
        for depth_m in depths_m:
            ax.axvline(1 / depth_m, color="0.85", lw=0.8, zorder=0)
        ax.set(xlabel="depth (1/m)", xlim=(0, dioptres[-1]), ylim=(0, 1), title=f"image height {EXTENDED_RADII[r]:g}")
        ax.grid(alpha=0.25)
    axes[0].set_ylabel("contrast")
    axes[0].legend(fontsize=8, frameon=False)
    figure.suptitle(f"f/2.2 lens: contrast at {frequency:.0f} lines per mm, all colours, by rays")
    return figure


def plot_kernels(lenses: dict[str, optics.Lens], depths_m: Sequence[float], kernel_px: int = 31) -> Figure:
    """Kernels over depth: a row per lens and image height, all to one scale of the square root of light."""
    from matplotlib.figure import Figure

    heights = (0.0, 0.7)
    figure = Figure(figsize=(1.7 * len(depths_m) + 1.4, 1.75 * len(lenses) * len(heights)), layout="constrained")
    axes = figure.subplots(len(lenses) * len(heights), len(depths_m), squeeze=False)
    height_px, width_px = next(iter(lenses.values())).sensor.image_shape_px
    half = 0.5 * math.hypot(height_px, width_px)
    for row, (radius, (name, lens)) in enumerate((r, item) for r in heights for item in lenses.items()):
        for column, depth_m in enumerate(depths_m):
            ax = axes[row, column]
            x_px, y_px = 0.5 * (width_px - 1) + radius * half, 0.5 * (height_px - 1)
            kernel = optics.psf_at(lens, x_px, y_px, depth_m, kernel_px=kernel_px).mean(0)
            ax.imshow(kernel.clamp_min(0).sqrt().numpy(), cmap="magma", vmin=0, vmax=0.5)
            ax.set(xticks=[], yticks=[])
            if row == 0:
                ax.set_title("infinity" if math.isinf(depth_m) else f"{depth_m:g} m", fontsize=9)
            if column == 0:
                ax.set_ylabel(f"{name}\nheight {radius:g}", fontsize=8)
    figure.suptitle(f"Kernels, {kernel_px} px wide, all colours; square root of the light, 0 to 0.5", fontsize=10)
    return figure


def tell(rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        print(f"  {row[0].ljust(widths[0])}  " + "  ".join(cells))


def to_csv(rows: Sequence[Sequence[str]]) -> str:
    """The table as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())
