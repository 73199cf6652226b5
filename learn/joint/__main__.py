"""The command line of joint design: `python -m learn.joint LENS --photos PHOTOS --free ... --restorer ridge -o OUT`."""

import functools
import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from matplotlib.figure import Figure
from tqdm import tqdm

import optics
from optics import FOCUS, Lens, draw
from optics.analysis import trace_fans
from optics.report import make_report
from psf import InputError
from psf import plots as field_plots
from psf.arguments import ArgumentError, parse_arguments
from psf.runs import make_generator, whole_file, write_json

from ..networks import save_network
from ..networks.checkpoints import Note
from ..photos import PhotoFolder, open_photos
from .comparison import Compared, compare_lenses, judge_made
from .controls import refocus_for_restorer, reread, sharpen_spots
from .designing import JointDesign, design_jointly
from .exposures import Patches, set_exposure
from .iterates import Iterate
from .judging import JudgePlan
from .patches import draw_patches
from .plots import plot_mtf_through_depth, plot_restored, plot_verdicts, plot_way
from .settings import JointSettings, Mode, Restorer
from .showing import show_patch

DESIGN_FOLDER, FOCUS_FOLDER = "design", "refocus"
DRAWN_RADII = (0.0, 0.35, 0.7, 1.0)
# Every so many photographs one is kept from the design and its restorers, to judge them with.
FRESH_EVERY = 4
# Numbers of the generators; the design's own count up from 0.
SEEN, FRESH, SHOWN = -11, -12, -13


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Move a lens's free parameters and its restorer together. The same command goes on with an interrupted run."""

    lens: tyro.conf.Positional[str]
    """A bundled name or a lens file."""
    photos: Path
    """Photographs; a quarter of them is kept apart to judge with."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the results."""
    free: tuple[str, ...] = (FOCUS,)
    """Names or patterns of the lens's parameters, such as surface2.asphere_4 and focus_mm."""
    restorer: Restorer = "ridge"
    """Linear filters in closed form, a small network, or none: pictures count as they are recorded."""
    mode: Mode = "joint"
    """Of ridge: gradients through the filters' fit (joint), or filters that are held for them (alternating)."""
    steps: int = 30
    """Of the lens."""
    box_steps: float = 1.5
    """How far a parameter may move in the first step, in steps of the lens's variables."""
    depths_m: tuple[float, ...] = (math.inf, 0.4, 0.2, 1 / 7.5, 0.1)
    """Depths that count, in m."""
    radii: tuple[float, ...] = (0.0, 0.4, 0.7, 0.95)
    """Image heights that count, 0 to 1."""
    kernel_px: int = 65
    """Side of the kernels of the design."""
    iso: float = 100.0
    """Of the sensor."""
    slack: float = 0.02
    """Share by which track, thicknesses and slopes may be worse than the lens's own."""
    pool: int = 32
    """Patches that are cut for the design."""
    side_px: int = 64
    """Of a patch."""
    seed: int = 1
    """Of photographs, noise and weights."""
    controls: Literal["none", "focus", "all"] = "all"
    """Lenses beside it: the one that was given, refocused (focus), and optimised for spots as well (all)."""
    judged: int = 24
    """Fresh patches to judge with; 0: no judgement."""
    fitted: int = 24
    """Patches that the judged restorers are fitted to."""
    made: int = 0
    """Lenses with manufacturing errors to judge as well."""
    pictures: bool = True
    """Field, report and pictures beside prescriptions and tables."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used, 130 for Ctrl-C."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
        try:
            run(parse_arguments(lambda: read_words(argv)))
        except (ArgumentError, InputError, ImportError, OSError) as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted; the same command goes on where this stopped", file=sys.stderr)
            return 130
    return 0


def read_words(argv: Sequence[str] | None) -> Arguments:
    """The arguments."""
    return tyro.cli(Arguments, args=argv, prog="python -m learn.joint", description=Arguments.__doc__)


def make_settings(args: Arguments) -> JointSettings:
    """The design that was asked for."""
    grid = replace(JointSettings().grid, depths_m=args.depths_m, radii=args.radii, kernel_px=args.kernel_px)
    return JointSettings(
        free=args.free,
        restorer=args.restorer,
        mode=args.mode,
        steps=args.steps,
        box_steps=args.box_steps,
        seed=args.seed,
        pool=args.pool,
        side_px=args.side_px,
        iso=args.iso,
        slack=args.slack,
        grid=grid,
    )


def run(args: Arguments) -> None:
    """Design, judge, write."""
    for name in ("judged", "fitted", "made"):
        if getattr(args, name) < 0 or (name == "fitted" and args.fitted < 2):
            raise InputError(f"--{name}", getattr(args, name), "0 or more; --fitted at least 2")
    if args.out.is_file():
        raise InputError("--out", f"{args.out}, which is a file", "a folder")
    lens, settings = optics.load(args.lens), make_settings(args)
    training, fresh = split_folder(open_photos(args.photos))
    args.out.mkdir(parents=True, exist_ok=True)
    with tqdm(total=settings.steps, desc="design", unit="lens", leave=False, disable=None) as bar:
        folder = args.out / DESIGN_FOLDER
        found = design_jointly(lens, training, settings, folder=folder, on_progress=lambda one: advance(bar, one))
    lenses = {"published": lens}
    if args.controls != "none":
        with tqdm(total=settings.steps, desc="refocus", unit="lens", leave=False, disable=None) as bar:
            folder = args.out / FOCUS_FOLDER
            tell = functools.partial(advance, bar)
            lenses["refocused"] = refocus_for_restorer(lens, training, settings, folder=folder, on_progress=tell)
    if args.controls == "all":
        lenses["sharpest spots"] = sharpen_spots(lens, settings)
    lenses["joint"] = found.lens
    optics.save(found.lens, args.out / f"{found.lens.name}.json")
    again = reread(found.lens, args.out)
    if args.pictures:
        picture_lens(replace(again, name=found.lens.name, channels=found.lens.channels), lens, args.out)
    if found.chain.trainer is not None:
        steps = len(found.iterates)
        notes: dict[str, Note] = {"lens": found.lens.name, "iso": settings.iso, "steps": steps}
        save_network(found.chain.trainer.network, args.out / "restorer.pt", notes=notes)
    if args.pictures:
        depths_m, names = settings.grid.depths_m, found.chain.variables.names
        write_figure(args.out / "way.png", plot_way(found.iterates, names, depths_m, lens.title))
        write_figure(args.out / "mtf.png", plot_mtf_through_depth(lenses, nearest_m=min(depths_m)))
    summary = {"lens": found.lens.name, "settings": dict(settings.to_json()), "free": tabulate(found, lenses)}
    if args.judged:
        summary["judged"] = judge(args, found, lenses, training, fresh)
    write_json(args.out / "summary.json", summary)
    print(f"written: {args.out}")


def split_folder(photos: PhotoFolder) -> tuple[PhotoFolder, PhotoFolder]:
    """Photographs for the design, and those kept apart."""
    names = [one.name for one in photos.photos]
    fresh = names[FRESH_EVERY - 1 :: FRESH_EVERY]
    if not fresh:
        raise InputError(str(photos.root), f"{len(names)} photographs", f"at least {FRESH_EVERY}")
    return photos.subset([name for name in names if name not in fresh]), photos.subset(fresh)


def picture_lens(lens: Lens, published: Lens, out: Path) -> None:
    """Field, report and drawings of the new lens as it comes back from its .zmx file, and drawings of the old one."""
    optics.psf_grid(lens).save(out / f"{lens.name}.h5")
    with whole_file(out / f"{lens.name}.html") as part:
        part.write_text(make_report(lens), encoding="utf-8")
    for one in (published, lens):
        write_figure(out / f"{one.name}_layout.png", draw.plot_layout(one, trace_fans(one, DRAWN_RADII)))
        few = optics.psf_grid(one, [0.1, 1 / 7.5, 0.2, 0.4, math.inf], DRAWN_RADII)
        write_figure(out / f"{one.name}_montage.png", field_plots.plot_montage(few))


def judge(
    args: Arguments, found: JointDesign, lenses: Mapping[str, Lens], training: PhotoFolder, fresh: PhotoFolder
) -> dict[str, object]:
    """All lenses with ridge restorers of their own, on fresh photographs; tables, pictures, what is written."""
    chain, plan = found.chain, JudgePlan(filters=found.chain.settings.filters)
    margin = plan.kernel_px - 1
    seen = draw_patches(training, args.fitted, args.side_px, margin, make_generator(args.seed, SEEN))
    new = draw_patches(fresh, args.judged, args.side_px, margin, make_generator(args.seed, FRESH))
    exposure, published = set_exposure(args.iso), lenses["published"]
    with tqdm(total=len(lenses), desc="judge", unit="lens", leave=False, disable=None) as bar:
        compared = compare_lenses(
            lenses, published, chain.limits, seen, new, exposure, plan=plan, seed=args.seed,
            on_progress=lambda *_: bar.update(),
        )  # fmt: skip
    best = max(one.verdict.worst_psnr_db for name, one in compared.items() if name != "joint")
    for name, one in compared.items():
        row = "  ".join(f"{value:6.2f}" for value in one.verdict.psnr_db.tolist())
        print(f"{name:>15}  worst {one.verdict.worst_psnr_db:.2f} dB  at all depths {row}  limits {one.violation:.2f}")
    print(f"joint over the best control: {compared['joint'].verdict.worst_psnr_db - best:+.2f} dB at the worst depth")
    curves = {name: one.verdict.psnr_db for name, one in compared.items()}
    if args.pictures:
        title = "Fresh photographs, kernels really traced"
        write_figure(args.out / "judged.png", plot_verdicts(curves, plan.depths_m, title))
        write_figure(args.out / "crops.png", draw_crops(args, compared, fresh, plan))
    told: dict[str, object] = {
        name: {
            "worst_psnr_db": one.verdict.worst_psnr_db,
            "psnr_db": one.verdict.psnr_db.tolist(),
            "blurred_psnr_db": one.verdict.blurred_psnr_db.tolist(),
            "places_psnr_db": one.verdict.places_psnr_db.tolist(),
            "outside_limits": one.violation,
        }
        for name, one in compared.items()
    }
    if args.made:
        for name, one in compared.items():
            made = judge_made(one, published, new, exposure, args.made, plan=plan, seed=args.seed)
            worst = sorted(verdict.worst_psnr_db for verdict in made)
            print(f"{name:>15}  as made, {args.made} times: worst depth {worst[0]:.2f} to {worst[-1]:.2f} dB")
            told[f"{name}, as made"] = worst
    return {"depths_m": [str(depth) for depth in plan.depths_m], "radii": list(plan.radii), **told}


def draw_crops(args: Arguments, compared: Mapping[str, Compared], fresh: PhotoFolder, plan: JudgePlan) -> Figure:
    """One fresh patch through every lens, as recorded and as restored, at every judged depth."""
    generator = make_generator(args.seed, SHOWN)
    patch: Patches = draw_patches(fresh, 1, 2 * args.side_px, plan.kernel_px - 1, generator)
    rows = {}
    for name, one in compared.items():
        given, restored, sharp = show_patch(
            one.lens, compared["published"].lens, one.fitted, patch, set_exposure(args.iso), plan,
            make_generator(args.seed, SHOWN),
        )  # fmt: skip
        rows[f"{name}\nrecorded"] = [*given, sharp]
        rows[f"{name}\nrestored"] = [*restored, sharp]
    headings = ["infinity" if math.isinf(depth) else f"{depth:.3g} m" for depth in plan.depths_m]
    return plot_restored(rows, [*headings, "sharp"])


def tabulate(found: JointDesign, lenses: Mapping[str, Lens]) -> dict[str, dict[str, float]]:
    """Every free parameter of every lens."""
    values = found.chain.variables.tabulate(*lenses.values())
    return {name: dict(zip(lenses, row, strict=True)) for name, row in values.items()}


def write_figure(path: Path, figure: Figure) -> None:
    """Write a picture, whole or not at all."""
    with whole_file(path) as part:
        figure.savefig(part, dpi=120, format="png")


def advance(bar: "tqdm[None]", one: Iterate) -> None:
    """Move a bar to an iterate."""
    bar.update(one.step + 1 - bar.n)
    bar.set_postfix_str(f"worst {one.worst_psnr_db:.2f} dB", refresh=False)


if __name__ == "__main__":
    sys.exit(main())
