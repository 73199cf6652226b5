"""The command line of `optics`: `python -m optics perturb`, `convert`, `report`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any, Literal

import tyro
from tqdm import tqdm

from psf.arguments import parse_arguments
from psf.command_line import run_command
from psf.errors import InputError

from .ensemble import Ensemble, list_measured, make_ensemble
from .grid import default_depths_m
from .lens import Lens
from .prescriptions import load
from .tolerance import GLASS, MOULDED, Tolerances, choose_tolerances

# So many of the lenses that gave no field are named one by one.
MOST_NAMED = 20


@dataclass(frozen=True)
class Limits:
    """Limits of your own instead of those of --grade, each meant as plus or minus."""

    radius_percent: float | None = None
    """Radius of curvature."""
    power_fringes: float | None = None
    """Curvature against the test plate, at 632.8 nm over the clear aperture."""
    form_um: float | None = None
    """Form error in rings, peak to valley."""
    conic_k: float | None = None
    """Conic constant."""
    asphere_percent: float | None = None
    """Every coefficient of an asphere; prefer --limits.form-um."""
    thickness_um: float | None = None
    """Centre thickness of glass or plastic."""
    airspace_um: float | None = None
    """Airspaces but the one to the sensor."""
    index: float | None = None
    """Refractive index."""
    abbe_percent: float | None = None
    """Abbe number."""
    semi_aperture_um: float | None = None
    """Clear semi-apertures."""
    sensor_um: float | None = None
    """The sensor's distance, after focusing."""
    distribution: Literal["normal", "uniform"] | None = None
    """Normal with the limits at two standard deviations, where it ends; or uniform."""


@dataclass(frozen=True)
class Perturb:
    """PSF fields of many lenses of one make, each with errors drawn from manufacturing tolerances.

    Errors keep the symmetry about the axis: curvature, form in rings, thickness, index, apertures, focus. Decentre and
    tilt are not drawn. A run that was interrupted goes on with the same command; -n may grow.

    Example: python -m optics perturb f2.2_fixedfocus -n 100 -o fields
    """

    lens: tyro.conf.Positional[str]
    """A bundled name such as f2.2_fixedfocus, or a lens file."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the fields: nominal.h5, field_00000.h5 ... and manifest.json."""
    count: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 100
    """How many lenses."""
    seed: int = 0
    """Lens i depends on the seed and on i only."""
    grade: Literal["auto", "moulded", "glass"] = "auto"
    """Tolerances of a moulded phone lens or of precision glass; auto: moulded up to 20 mm of length."""
    scale: float = 1.0
    """All limits times this."""
    limits: Limits = field(default_factory=Limits)
    """Limits of your own."""
    focus: Literal["fixed", "paraxial", "spot"] = "spot"
    """What the maker does about the errors: nothing, or moves the sensor to the paraxial or the sharpest focus."""
    depths: int = 20
    """Depths of every field, evenly in dioptres from the nearest to infinity."""
    nearest_m: float | None = None
    """Nearest depth in m; by default the lens file's."""
    radii: int = 20
    """Image heights of every field."""
    kernel_px: int | None = None
    """Window in px, odd; by default what the nominal lens needs."""
    workers: int | None = None
    """Processes; by default one per core. 0: none but this."""
    ray: str | None = None
    """Run on Ray: local, auto, or the address of a cluster that sees the folder under the same path."""


@dataclass(frozen=True)
class Convert:
    """A lens file of Zemax, CODE V or DeepLens as our JSON, or any lens as a Zemax file.

    Everything that was skipped or guessed is told with its line. What bends or blocks light and has no counterpart here
    is an error.

    Example: python -m optics convert my_lens.zmx -o my_lens.json
    """

    file: tyro.conf.Positional[Path]
    """The lens file: .zmx, .zar, .seq, or .json."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The file to write, .json or .zmx."""
    catalogue: tuple[Path, ...] = ()
    """Glass catalogues: AGF files, or folders of them."""
    lenient: bool = False
    """Leave out what has no counterpart here (apertures that are not round, unknown surface types), and say so."""
    pitch_um: float | None = None
    """Pixel pitch of the sensor; by default what the file's fields suggest."""
    image_shape_px: tuple[int, int] | None = None
    """Height and width of the sensor in pixels; by default 3000 4000."""


@dataclass(frozen=True)
class Report:
    """One page with all that can be said of a lens: vector plots and tables in a single HTML file.

    Example: python -m optics report f2.2_fixedfocus -o report.html
    """

    lens: tyro.conf.Positional[str]
    """A bundled name such as f2.2_fixedfocus, or a lens file."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The page to write, .html."""
    depths_m: tuple[float, ...] = ()
    """Object distances in m, inf allowed; fans and field curves take the first. By default the focus, the lens's
    nearest depth and one between."""
    radii: tuple[float, ...] = (0.0, 0.35, 0.7, 1.0)
    """Image heights, 0 to 1."""
    wavelengths_um: tuple[float, ...] = ()
    """One channel each, such as 0.656 0.588 0.486; by default the lens's channels."""
    frequencies_per_mm: tuple[float, ...] = ()
    """Of contrast against height, focus and depth; by default an eighth, a quarter and a half of Nyquist."""
    circles_um: tuple[float, ...] = ()
    """Circles of confusion; by default two pixels, a 1500th and a 750th of the diagonal."""
    f_number: float | None = None
    """Stop the lens down to it."""
    focus_m: float | None = None
    """Move the sensor to the sharpest image of an object at this distance; inf is allowed."""


Command = Perturb | Convert | Report


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used, 130 for Ctrl-C."""
    return run_command(lambda: run(parse_arguments(lambda: read_words(argv))))


def read_words(argv: Sequence[str] | None) -> Command:
    """The command, filled in."""
    found: Command = tyro.extras.subcommand_cli_from_dict(
        {"perturb": Perturb, "convert": Convert, "report": Report},
        args=argv,
        prog="python -m optics",
        description="Lenses: fields of many lenses of one make, lens files of other programs, a report.",
        config=(tyro.conf.ConsolidateSubcommandArgs,),
    )
    return found


def run(args: Command) -> int:
    """Do what is asked for; the exit code."""
    if isinstance(args, Convert):
        return convert(args)
    if isinstance(args, Report):
        return write_report(args)
    return perturb(args)


def write_report(args: Report) -> int:
    """Write the report and name it."""
    # matplotlib is nothing that the other commands should wait for.
    from .commands_report import ReportOptions, report_command
    from .report import make_report

    with tqdm(unit="part", leave=False, disable=None) as bar:

        def on_progress(done: int, parts: int) -> None:
            bar.total = parts
            bar.update(done - bar.n)

        written = report_command(ReportOptions(**vars(args)), make_report, on_progress)
    print(f"written: {written}")
    return 0


def convert(args: Convert) -> int:
    """Convert a lens file and tell what became of it."""
    from .commands_convert import convert_command, tabulate

    made = convert_command(**vars(args))
    print("\n".join(tabulate(made)))
    print(f"written: {made.out}")
    return 0


def perturb(args: Perturb) -> int:
    """Make the fields, tell their spread and name the lenses that gave none."""
    lens = load(args.lens)
    if args.radii < 2:
        raise InputError("--radii", args.radii, "at least 2")
    tolerances = choose(args, lens)
    nearest_m = lens.nearest_m if args.nearest_m is None else args.nearest_m
    with tqdm(unit="field", leave=False, disable=None) as bar:

        def on_progress(done: int, fields: int) -> None:
            bar.total = fields
            bar.update(done - bar.n)

        made = make_ensemble(
            lens,
            args.out,
            args.count,
            tolerances=tolerances,
            focus=args.focus,
            seed=args.seed,
            depths_m=default_depths_m(nearest_m, args.depths),
            radii=[index / (args.radii - 1) for index in range(args.radii)],
            kernel_px=args.kernel_px,
            workers=args.workers,
            ray_address=args.ray,
            on_progress=on_progress,
        )
    return tell(made)


def choose(args: Perturb, lens: Lens) -> Tolerances:
    """Tolerances of the grade, with the limits that the user set, scaled."""
    grade = {"auto": choose_tolerances(lens), "moulded": MOULDED, "glass": GLASS}[args.grade]
    own = {name: value for name, value in vars(args.limits).items() if value is not None}
    return replace(grade, **own).scaled(args.scale)


def tell(made: Ensemble) -> int:
    """Print what came out."""
    rows = list_measured(made)
    nominal, lenses = rows[0], rows[1:]
    if lenses:
        print(f"{len(lenses)} lenses{'':<23}{'nominal':>10}{'mean':>10}{'deviation':>11}{'worst':>10}")
        for name, value_of in columns(nominal):
            values, drawn = [value_of(row) for row in lenses], value_of(nominal)
            spread = stdev(values) if len(values) > 1 else 0.0
            worst = max(values, key=lambda value: abs(value - drawn))
            print(f"{name:<31}{drawn:>10.4f}{mean(values):>10.4f}{spread:>11.4f}{worst:>10.4f}")
    for failure in made.failures[:MOST_NAMED]:
        print(f"warning: no field: {failure}", file=sys.stderr)
    if len(made.failures) > MOST_NAMED:
        more = len(made.failures) - MOST_NAMED
        print(f"warning: no field: {more} more, see {made.folder / 'manifest.json'}", file=sys.stderr)
    print(f"written: {len(made.files)} fields and manifest.json in {made.folder}")
    return 0 if lenses else 2


def columns(nominal: dict[str, Any]) -> list[tuple[str, Any]]:
    """Names of the numbers that are told, and how to find each."""
    found: list[tuple[str, Any]] = [("focal length mm", lambda row: row["efl_mm"])]
    for place, radius in enumerate(nominal["radii"]):
        name = f"RMS spot um at height {radius:.2f}"
        found.append((name, lambda row, place=place: row["rms_radius_um"][place]))
    return [*found, ("light outside the window", lambda row: row["lost"])]


if __name__ == "__main__":
    sys.exit(main())
