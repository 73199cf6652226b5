"""The command line of joint design: `python -m learn.joint LENS --photos PHOTOS --free ... --restorer ridge -o OUT`."""

import functools
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tqdm import tqdm

import optics
from optics import FOCUS, Lens
from optics.analysis import trace_fans
from psf import InputError
from psf.arguments import parse_arguments
from psf.command_line import run_command
from psf.runs import make_generator, whole_file, write_json

from ..networks import save_network
from ..networks.checkpoints import Note
from ..photos import PhotoFolder, open_photos
from .commands_judge import Judgement, JudgeOptions, run_judge
from .controls import measure_difference, refocus_for_restorer, reread, sharpen_spots
from .designing import JointDesign
from .exposures import set_exposure
from .iterates import Iterate
from .patches import draw_patches
from .settings import JointSettings, Mode, Restorer, ScanAxis
from .showing import show_patch
from .sights import JudgePlan
from .starts import Search, search_jointly

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DESIGN_FOLDER, FOCUS_FOLDER = "design", "refocus"
DRAWN_RADII = (0.0, 0.35, 0.7, 1.0)
# Every so many photographs one is kept from the design and its restorers, to judge them with.
FRESH_EVERY = 4
# Number of the generator of the patch that is shown.
SHOWN = -13
# Patches of which the liveliest is shown.
SHOWN_OF = 8


@dataclass(frozen=True, kw_only=True)
class Arguments(JudgeOptions):
    """Move a lens's free parameters and its restorer together. The same command goes on with an interrupted run.

    Example: python -m learn.joint f2.2_fixedfocus --photos photos --depths-m inf 0.4 0.2 --iso 100 -o design
    """

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
    """Of the lens, in every descent."""
    scan: tuple[str, ...] = ()
    """Free parameters to scan before any descent, as NAME=LOW:HIGH:PLACES; changes in what the parameter counts in."""
    starts: int = 1
    """Descents from the best places of the scan."""
    box_steps: float = 1.5
    """How far a parameter may move in the first step, in steps of the lens's variables."""
    depths_m: tuple[float, ...] = (math.inf, 0.4, 0.2, 0.13, 0.1)
    """Depths that count, in m."""
    radii: tuple[float, ...] = (0.0, 0.4, 0.7, 0.95)
    """Image heights that count, 0 to 1."""
    kernel_px: int = 65
    """Side of the kernels of the design."""
    slack: float = 0.02
    """Share by which track, thicknesses and slopes may be worse than the lens's own."""
    pool: int = 32
    """Patches that are cut for the design."""
    fit_patches: int = 10
    """Of these, for the fit of the filters."""
    loss_patches: int = 8
    """Of these, for the lens's loss; what is left chooses among descents."""
    controls: Literal["none", "focus", "all"] = "all"
    """Lenses beside it: the one that was given, refocused (focus), and optimised for spots as well (all)."""
    pictures: bool = True
    """Field, report and pictures beside prescriptions and tables."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used, 130 for Ctrl-C."""
    return run_command(lambda: run(parse_arguments(lambda: read_words(argv))))


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
        scan=tuple(map(read_axis, args.scan)),
        starts=args.starts,
        box_steps=args.box_steps,
        seed=args.seed,
        pool=args.pool,
        fit_patches=args.fit_patches,
        loss_patches=args.loss_patches,
        side_px=args.side_px,
        iso=args.iso,
        slack=args.slack,
        grid=grid,
    )


def read_axis(words: str) -> ScanAxis:
    """NAME=LOW:HIGH:PLACES."""
    name, _, rest = words.partition("=")
    try:
        low, high, places = rest.split(":")
        return ScanAxis(name, float(low), float(high), int(places))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError("--scan", repr(words), "NAME=LOW:HIGH:PLACES, such as focus_mm=-0.03:0.15:7") from None


def run(args: Arguments) -> None:
    """Design, judge, write."""
    args.check()
    if args.out.is_file():
        raise InputError("--out", f"{args.out}, which is a file", "a folder")
    lens, settings = optics.load(args.lens), make_settings(args)
    training, fresh = split_folder(open_photos(args.photos))
    args.out.mkdir(parents=True, exist_ok=True)
    search, lenses = design_lenses(args, lens, settings, training)
    found = search.best
    optics.save(found.lens, args.out / f"{found.lens.name}.json")
    again = replace(reread(found.lens, args.out), name=found.lens.name, channels=found.lens.channels)
    difference = measure_difference(found.lens, again, settings.grid)
    print(f"read back from .zmx: kernels differ by {difference:.1e} of their light at most")
    if found.chain.trainer is not None:
        notes: dict[str, Note] = {"lens": found.lens.name, "iso": settings.iso, "steps": len(found.iterates)}
        save_network(found.chain.trainer.network, args.out / "restorer.pt", notes=notes)
    if args.pictures:
        picture_lens(again, lens, args.out)
        picture_search(search, lenses, args.out)
    summary: dict[str, Any] = {
        "lens": found.lens.name,
        "settings": dict(settings.to_json()),
        "free": tabulate(found, lenses),
        "zmx_kernel_difference": difference,
        "lenses_tried": search.lenses_tried,
        "descents_held_db": [str(value) for value in search.held_db],
    }
    if args.judged:
        with tqdm(unit="", leave=False, disable=None) as bar:
            judgement = run_judge(
                args, lenses, found.chain.limits, training, fresh, args.out,
                plan=JudgePlan(filters=settings.filters), say=tqdm.write, on_progress=functools.partial(count_up, bar),
            )  # fmt: skip
        summary["judged"] = dict(judgement.told)
        if args.pictures:
            picture_judgement(args, judgement, fresh)
    write_json(args.out / "summary.json", summary)
    print(f"written: {args.out}")


def design_lenses(
    args: Arguments, lens: Lens, settings: JointSettings, training: PhotoFolder
) -> tuple[Search, dict[str, Lens]]:
    """The joint design, and all lenses by name: as given, controls, joint."""
    with tqdm(desc="design", unit="lens", leave=False, disable=None) as bar:
        tell = functools.partial(advance, bar)
        search = search_jointly(
            lens, training, settings, folder=args.out / DESIGN_FOLDER, on_progress=tell,
            on_scan=lambda *_: bar.update() and None,
        )  # fmt: skip
    lenses = {"published": lens}
    if args.controls != "none":
        with tqdm(desc="refocus", unit="lens", leave=False, disable=None) as bar:
            folder, tell = args.out / FOCUS_FOLDER, functools.partial(advance, bar)
            focused = refocus_for_restorer(lens, training, settings, folder=folder, on_progress=tell)
            lenses["refocused"] = focused.best.lens
    if args.controls == "all":
        tried, others = search.lenses_tried, [lenses["refocused"]]
        lenses["sharpest spots"] = sharpen_spots(lens, settings, others=others, lenses=max(tried // 2, 3))
    return search, {**lenses, "joint": search.best.lens}


def split_folder(photos: PhotoFolder) -> tuple[PhotoFolder, PhotoFolder]:
    """Photographs for the design, and those kept apart."""
    names = [one.name for one in photos.photos]
    fresh = names[FRESH_EVERY - 1 :: FRESH_EVERY]
    if not fresh:
        raise InputError(str(photos.root), f"{len(names)} photographs", f"at least {FRESH_EVERY}")
    return photos.subset([name for name in names if name not in fresh]), photos.subset(fresh)


def picture_lens(lens: Lens, published: Lens, out: Path) -> None:
    """Field, report and drawings of the new lens as it comes back from its .zmx file, and drawings of the old one."""
    from optics import draw
    from optics.report import make_report
    from psf import plots as field_plots

    optics.psf_grid(lens).save(out / f"{lens.name}.h5")
    with whole_file(out / f"{lens.name}.html") as part:
        part.write_text(make_report(lens), encoding="utf-8")
    for one in (published, lens):
        write_figure(out / f"{one.name}_layout.png", draw.plot_layout(one, trace_fans(one, DRAWN_RADII)))
        few = optics.psf_grid(one, [0.1, 0.13, 0.2, 0.4, math.inf], DRAWN_RADII)
        write_figure(out / f"{one.name}_montage.png", field_plots.plot_montage(few))


def picture_search(search: Search, lenses: Mapping[str, Lens], out: Path) -> None:
    """The way of the best descent, the scan, and contrast through depth."""
    from .plots import plot_mtf_through_depth, plot_way

    found, published = search.best, lenses["published"]
    depths_m = found.chain.settings.grid.depths_m
    figure = plot_way(found.iterates, found.chain.variables.names, depths_m, published.title)
    write_figure(out / "way.png", figure)
    if search.scanned is not None and len(search.scanned.axes) == 2:
        write_figure(out / "landscape.png", draw_landscape(search))
    write_figure(out / "mtf.png", plot_mtf_through_depth(lenses, nearest_m=min(depths_m)))


def picture_judgement(args: Arguments, judgement: Judgement, fresh: PhotoFolder) -> None:
    """Kernels, verdicts and a photograph restored, of all lenses."""
    from .plots import plot_kernels, plot_verdicts

    plan, columns = judgement.plan, spread(len(judgement.plan.depths_m))
    kernels = {name: sight.judged.kernels[columns] for name, sight in judgement.sights.items()}
    depths_m = [plan.depths_m[column] for column in columns]
    write_figure(args.out / "kernels.png", plot_kernels(kernels, depths_m, plan.radii))
    if not judgement.compared:
        return
    curves = {name: one.verdict.psnr_db for name, one in judgement.compared.items()}
    figure = plot_verdicts(curves, plan.depths_m, "Fresh photographs, kernels really traced")
    write_figure(args.out / "judged.png", figure)
    write_figure(args.out / "crops.png", draw_crops(args, judgement, fresh))


def spread(count: int, shown: int = 6) -> list[int]:
    """Some of a count of columns, from the first to the last."""
    shown = min(shown, count)
    return sorted({round(number * (count - 1) / max(shown - 1, 1)) for number in range(shown)})


def say_parameter(name: str) -> str:
    """A parameter's name with its unit, which the names of aspheres do not have."""
    start, _, power = name.rpartition("_")
    return f"{name} (mm^{1 - int(power)})" if start.endswith("asphere") else name


def draw_landscape(search: Search) -> "Figure":
    """The scan, with the ways of the descents drawn in."""
    from .plots import plot_landscape

    scanned, names = search.scanned, search.best.chain.variables.names
    assert scanned is not None
    first, second = (names.index(axis.name) for axis in scanned.axes)
    ways = [
        [(one.values[first], one.values[second]) for one in way.iterates if not one.refused] for way in search.descents
    ]
    start = [search.published[number] for number in (first, second)]
    across, along = (values.tolist() for values in scanned.values)
    labels = (say_parameter(scanned.axes[0].name), say_parameter(scanned.axes[1].name))
    return plot_landscape(across, along, scanned.worst_psnr_db, labels, {"published": (start[0], start[1])}, ways)


def draw_crops(args: Arguments, judgement: Judgement, fresh: PhotoFolder) -> "Figure":
    """One fresh patch through every lens, as recorded and as restored, at some of the judged depths."""
    from .plots import plot_restored, say_depth

    plan = judgement.plan
    patches = draw_patches(fresh, SHOWN_OF, 2 * args.side_px, plan.kernel_px - 1, make_generator(args.seed, SHOWN))
    liveliest = int(patches.light.diff(dim=-1).abs().mean((1, 2, 3)).argmax())
    patch, columns = patches[liveliest : liveliest + 1], spread(len(plan.depths_m))
    exposure, rows = set_exposure(args.iso), {}
    for name, sight in judgement.sights.items():
        generator, fitted = make_generator(args.seed, SHOWN), judgement.compared[name].fitted
        given, restored, sharp = show_patch(sight.judged, fitted, patch, exposure, plan, generator)
        rows[f"{name}\nrecorded"] = [*given[columns], sharp]
        rows[f"{name}\nrestored"] = [*restored[columns], sharp]
    headings = [say_depth(plan.depths_m[column]) for column in columns]
    return plot_restored(rows, [*headings, "sharp"])


def tabulate(found: JointDesign, lenses: Mapping[str, Lens]) -> dict[str, dict[str, float]]:
    """Every free parameter of every lens."""
    values = found.chain.variables.tabulate(*lenses.values())
    return {name: dict(zip(lenses, row, strict=True)) for name, row in values.items()}


def write_figure(path: Path, figure: "Figure") -> None:
    """Write a picture, whole or not at all."""
    with whole_file(path) as part:
        figure.savefig(part, dpi=120, format="png")


def count_up(bar: "tqdm[None]", what: str, done: int, of: int) -> None:
    """So many of something, which may be another thing than before."""
    bar.set_description_str(what, refresh=False)
    bar.total, bar.n = of, done
    bar.refresh()


def advance(bar: "tqdm[None]", number: int, one: Iterate) -> None:
    """One lens more, of a descent."""
    bar.set_description_str(f"descent {number + 1}", refresh=False)
    bar.update()
    bar.set_postfix_str(f"worst {one.worst_psnr_db:.2f} dB", refresh=False)


if __name__ == "__main__":
    sys.exit(main())
