"""What the command line does for a report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from psf.errors import InputError
from psf.runs import whole_file

from .geometric import resolve_channels
from .lens import Lens
from .prescriptions import load
from .report_tables import ReportSettings

Progress = Callable[[int, int], None] | None


@dataclass(frozen=True)
class ReportOptions:
    """What a report is made of.

    Attributes:
        lens: A bundled name or a lens file.
        out: The page to write, .html.
        depths_m: Object distances, inf allowed; the first one is that of fans and field curves.
        radii: Image heights, 0 to 1.
        wavelengths_um: One channel each; none: the lens's channels.
        frequencies_per_mm: Of contrast against height, focus and depth; none: parts of the Nyquist frequency.
        circles_um: Circles of confusion; none: two pixels and parts of the diagonal.
        f_number: Stop the lens down to it.
        focus_m: Move the sensor to the sharpest image of an object at this distance.
    """

    lens: str
    out: Path
    depths_m: Sequence[float] = ()
    radii: Sequence[float] = (0.0, 0.35, 0.7, 1.0)
    wavelengths_um: Sequence[float] = ()
    frequencies_per_mm: Sequence[float] = ()
    circles_um: Sequence[float] = ()
    f_number: float | None = None
    focus_m: float | None = None


def report_command(
    options: ReportOptions, make: Callable[[Lens, ReportSettings, Progress], str], on_progress: Progress = None
) -> Path:
    """Write the report of a lens.

    Args:
        options: What to write.
        make: `report.make_report`, handed in: only a command line loads plots.
        on_progress: Called with (parts done, parts).

    Returns:
        The file.

    Raises:
        FileNotFoundError: No such lens, or no such folder.
        InputError: What cannot be used.
    """
    if options.out.suffix.lower() not in (".html", ".htm"):
        raise InputError("--out", f"the suffix {options.out.suffix!r}", ".html")
    if not options.out.parent.is_dir():
        raise FileNotFoundError(f"{options.out.parent}: no such folder to write {options.out.name} to")
    lens = load(options.lens)
    if options.f_number is not None:
        lens = lens.stopped_down(options.f_number)
    if options.focus_m is not None:
        lens = lens.refocused(options.focus_m, "spot")
    waves = [[one] for one in options.wavelengths_um]
    settings = ReportSettings(
        radii=options.radii,
        depths_m=options.depths_m or None,
        channels=resolve_channels(lens, waves, None) if waves else None,
        frequencies_per_mm=options.frequencies_per_mm or None,
        circles_um=options.circles_um or None,
    )
    page = make(lens, settings, on_progress)
    with whole_file(options.out) as part:
        part.write_text(page, encoding="utf-8")
    return options.out
