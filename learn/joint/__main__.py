"""The command line of joint design: `python -m learn.joint LENS --photos PHOTOS --free ... --restorer ridge -o OUT`."""

import functools
import math
import statistics
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
from .comparison import Compared, compare_lenses, judge_made
from .controls import measure_difference, refocus_for_restorer, reread, sharpen_spots
from .designing import JointDesign
from .exposures import set_exposure
from .iterates import Iterate
from .judging import JudgePlan, look_at_lens
from .patches import draw_patches
from .settings import JointSettings, Mode, Restorer, ScanAxis
from .showing import show_patch
from .starts import Search, search_jointly
from .verdict_tables import write_verdicts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DESIGN_FOLDER, FOCUS_FOLDER = "design", "refocus"
DRAWN_RADII = (0.0, 0.35, 0.7, 1.0)
# Every so many photographs one is kept from the design and its restorers, to judge them with.
FRESH_EVERY = 4
# Numbers of the generators; the design's own count up from 0.
SEEN, FRESH, SHOWN = -11, -12, -13
# Patches of which the liveliest is shown.
SHOWN_OF = 8


@dataclass(frozen=True, kw_only=True)
class Arguments:
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
    iso: float = 100.0
    """Of the sensor."""
    slack: float = 0.02
    """Share by which track, thicknesses and slopes may be worse than the lens's own."""
    pool: int = 32
    """Patches that are cut for the design."""
    fit_patches: int = 10
    """Of these, for the fit of the filters."""
    loss_patches: int = 8
    """Of these, for the lens's loss; what is left chooses among descents."""
    side_px: int = 64
    """Of a patch."""
    seed: int = 1
    """Of photographs, noise and weights."""
    controls: Literal["none", "focus", "all"] = "all"
    """Lenses beside it: the one that was given, refocused (focus), and optimised for spots as well (all)."""
    judged: int = 24
    """Fresh patches to judge with; 0: no judgement."""
    fitted: int = 32
    """Patches that the judged restorers are fitted to and their depth weights chosen by."""
    judgings: int = 1
    """How often all lenses are judged, with other patches and noise."""
    made: int = 0
    """Lenses with manufacturing errors to judge as well, of the joint design and of the best control."""
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
    for name, least in (("judged", 0), ("fitted", 4), ("judgings", 1), ("made", 0)):
        if getattr(args, name) < least:
            raise InputError(f"--{name}", getattr(args, name), f"at least {least}")
    if args.out.is_file():
        raise InputError("--out", f"{args.out}, which is a file", "a folder")
    lens, settings = optics.load(args.lens), make_settings(args)
    training, fresh = split_folder(open_photos(args.photos))
    args.out.mkdir(parents=True, exist_ok=True)
    with tqdm(desc="design", unit="lens", leave=False, disable=None) as bar:
        tell = functools.partial(advance, bar)
        search = search_jointly(
            lens, training, settings, folder=args.out / DESIGN_FOLDER, on_progress=tell,
            on_scan=lambda *_: bar.update() and None,
        )  # fmt: skip
    found = search.best
    lenses = {"published": lens}
    if args.controls != "none":
        with tqdm(desc="refocus", unit="lens", leave=False, disable=None) as bar:
            folder, tell = args.out / FOCUS_FOLDER, functools.partial(advance, bar)
            focused = refocus_for_restorer(lens, training, settings, folder=folder, on_progress=tell)
            lenses["refocused"] = focused.best.lens
    if args.controls == "all":
        tried, others = search.lenses_tried, [lenses["refocused"]]
        lenses["sharpest spots"] = sharpen_spots(lens, settings, others=others, lenses=max(tried // 2, 3))
    lenses["joint"] = found.lens
    optics.save(found.lens, args.out / f"{found.lens.name}.json")
    again = replace(reread(found.lens, args.out), name=found.lens.name, channels=found.lens.channels)
    difference = measure_difference(found.lens, again, settings.grid)
    print(f"read back from .zmx: kernels differ by {difference:.1e} of their light at most")
    if args.pictures:
        picture_lens(again, lens, args.out)
    if found.chain.trainer is not None:
        steps = len(found.iterates)
        notes: dict[str, Note] = {"lens": found.lens.name, "iso": settings.iso, "steps": steps}
        save_network(found.chain.trainer.network, args.out / "restorer.pt", notes=notes)
    if args.pictures:
        from .plots import plot_mtf_through_depth, plot_way

        depths_m, names = settings.grid.depths_m, found.chain.variables.names
        write_figure(args.out / "way.png", plot_way(found.iterates, names, depths_m, lens.title))
        if search.scanned is not None and len(search.scanned.axes) == 2:
            write_figure(args.out / "landscape.png", draw_landscape(search))
        write_figure(args.out / "mtf.png", plot_mtf_through_depth(lenses, nearest_m=min(depths_m)))
    summary: dict[str, Any] = {
        "lens": found.lens.name,
        "settings": dict(settings.to_json()),
        "free": tabulate(found, lenses),
    }
    summary["zmx_kernel_difference"] = difference
    summary |= {"lenses_tried": search.lenses_tried, "descents_held_db": [str(value) for value in search.held_db]}
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


def judge(
    args: Arguments, found: JointDesign, lenses: Mapping[str, Lens], training: PhotoFolder, fresh: PhotoFolder
) -> dict[str, object]:
    """All lenses with ridge restorers of their own, on fresh photographs; tables, pictures, what is written."""
    chain, plan = found.chain, JudgePlan(filters=found.chain.settings.filters)
    margin, published, exposure = plan.kernel_px - 1, lenses["published"], set_exposure(args.iso)
    rounds: list[dict[str, Compared]] = []
    with tqdm(total=len(lenses) * (1 + args.judgings), desc="judge", unit="lens", leave=False, disable=None) as bar:
        sights = {}
        for name, lens in lenses.items():
            sights[name] = look_at_lens(lens, published, plan)
            bar.update()
        for number in range(args.judgings):
            # Far from one another: seeds of designs are small numbers.
            seed = args.seed + 1000 * number
            seen = draw_patches(training, args.fitted, args.side_px, margin, make_generator(seed, SEEN))
            new = draw_patches(fresh, args.judged, args.side_px, margin, make_generator(seed, FRESH))
            rounds.append(
                compare_lenses(
                    lenses, published, chain.limits, seen, new, exposure, plan=plan, seed=seed, sights=sights,
                    on_progress=lambda *_: bar.update() and None,
                )
            )  # fmt: skip
            write_verdicts(args.out / "judged.csv", rounds, plan.depths_m, args.seed)
    gains = [gain_over_controls(one) for one in rounds]
    compared, worst = rounds[0], {}
    for name in lenses:
        worst[name] = [one[name].verdict.worst_psnr_db for one in rounds]
        row = "  ".join(f"{value:6.2f}" for value in compared[name].verdict.psnr_db.tolist())
        told = f"{statistics.fmean(worst[name]):.2f} dB"
        print(f"{name:>15}  worst {told}  at all depths {row}  limits {compared[name].violation:.2f}")
    ends = "" if len(gains) == 1 else f", {min(gains):+.2f} to {max(gains):+.2f}"
    print(f"joint over the best control: {statistics.fmean(gains):+.2f} dB at the worst depth{ends}")
    if args.pictures:
        from .plots import plot_kernels, plot_verdicts

        columns = spread(len(plan.depths_m))
        kernels = {name: sight.kernels[columns] for name, sight in sights.items()}
        depths_m = [plan.depths_m[column] for column in columns]
        write_figure(args.out / "kernels.png", plot_kernels(kernels, depths_m, plan.radii))
        curves = {name: one.verdict.psnr_db for name, one in compared.items()}
        title = "Fresh photographs, kernels really traced"
        write_figure(args.out / "judged.png", plot_verdicts(curves, plan.depths_m, title))
        write_figure(args.out / "crops.png", draw_crops(args, compared, fresh, plan))
    told_of: dict[str, object] = {
        name: {
            "worst_psnr_db": worst[name],
            "psnr_db": one.verdict.psnr_db.tolist(),
            "blurred_psnr_db": one.verdict.blurred_psnr_db.tolist(),
            "places_psnr_db": one.verdict.places_psnr_db.tolist(),
            "outside_limits": one.violation,
        }
        for name, one in compared.items()
    }
    if args.made:
        new = draw_patches(fresh, args.judged, args.side_px, margin, make_generator(args.seed, FRESH))
        controls = [name for name in lenses if name != "joint"]
        for name in (max(controls, key=lambda name: statistics.fmean(worst[name])), "joint"):
            one = compared[name]
            made = judge_made(one, published, new, exposure, args.made, plan=plan, seed=args.seed)
            ordered = sorted(verdict.worst_psnr_db for verdict in made)
            print(f"{name:>15}  as made, {args.made} times: worst depth {ordered[0]:.2f} to {ordered[-1]:.2f} dB")
            told_of[f"{name}, as made"] = ordered
    told_of |= {"depths_m": [str(depth) for depth in plan.depths_m], "radii": list(plan.radii), "gains_db": gains}
    return told_of


def gain_over_controls(compared: Mapping[str, Compared]) -> float:
    """Of the joint lens at the worst depth, over the best of the others, in dB."""
    best = max(one.verdict.worst_psnr_db for name, one in compared.items() if name != "joint")
    return compared["joint"].verdict.worst_psnr_db - best


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


def draw_crops(args: Arguments, compared: Mapping[str, Compared], fresh: PhotoFolder, plan: JudgePlan) -> "Figure":
    """One fresh patch through every lens, as recorded and as restored, at some of the judged depths."""
    from .plots import plot_restored

    patches = draw_patches(fresh, SHOWN_OF, 2 * args.side_px, plan.kernel_px - 1, make_generator(args.seed, SHOWN))
    liveliest = int(patches.light.diff(dim=-1).abs().mean((1, 2, 3)).argmax())
    patch, columns = patches[liveliest : liveliest + 1], spread(len(plan.depths_m))
    rows = {}
    for name, one in compared.items():
        given, restored, sharp = show_patch(
            one.lens, compared["published"].lens, one.fitted, patch, set_exposure(args.iso), plan,
            make_generator(args.seed, SHOWN),
        )  # fmt: skip
        rows[f"{name}\nrecorded"] = [*given[columns], sharp]
        rows[f"{name}\nrestored"] = [*restored[columns], sharp]
    depths_m = [plan.depths_m[column] for column in columns]
    headings = ["infinity" if math.isinf(depth) else f"{depth:.3g} m" for depth in depths_m]
    return plot_restored(rows, [*headings, "sharp"])


def tabulate(found: JointDesign, lenses: Mapping[str, Lens]) -> dict[str, dict[str, float]]:
    """Every free parameter of every lens."""
    values = found.chain.variables.tabulate(*lenses.values())
    return {name: dict(zip(lenses, row, strict=True)) for name, row in values.items()}


def write_figure(path: Path, figure: "Figure") -> None:
    """Write a picture, whole or not at all."""
    with whole_file(path) as part:
        figure.savefig(part, dpi=120, format="png")


def advance(bar: "tqdm[None]", number: int, one: Iterate) -> None:
    """One lens more, of a descent."""
    bar.set_description_str(f"descent {number + 1}", refresh=False)
    bar.update()
    bar.set_postfix_str(f"worst {one.worst_psnr_db:.2f} dB", refresh=False)


if __name__ == "__main__":
    sys.exit(main())
