"""What the command line does before anything is estimated: plan a session, check its photographs."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from .capture_checks import CaptureReport, check_captures
from .capture_files import MANIFEST, ReadPhoto, read_captures
from .errors import InputError
from .jobs import Progress
from .patterns import Display, find_textures, make_patterns
from .runs import whole_file, write_json
from .shooting import PlannedCamera, ShootingPlan, plan_shots
from .shooting_text import manifest_of, write_plan


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Plan a session: patterns for a monitor, and one page that says what to photograph."""

    out: Path
    """Folder for patterns, plan.md, plan.pdf and a captures.json to fill in; new or empty."""
    focal_mm: float
    """Focal length of the lens."""
    f_number: float
    """Of the blurred pictures: wide open."""
    sharp_f_number: float = 22.0
    """Of the sharp pictures: stopped down."""
    image_shape_px: tuple[int, int] = (4000, 6000)
    """Rows and columns of the whole picture."""
    pitch_um: float = 4.0
    """Pixel pitch of the camera."""
    bin: int = 1
    """So many pixels a side will be made one."""
    iso: float = 200.0
    """Sensitivity."""
    near_m: float
    """Nearest distance of the display."""
    far_m: float
    """Farthest."""
    distances: int = 20
    """How many, even in dioptres."""
    focuses: int = 1
    """How many focus distances, even in dioptres from the nearest to the farthest; one lies in the middle."""
    focus_m: tuple[float, ...] = ()
    """Focus distances of your own instead."""
    kernel_px: int = 25
    """Side of the kernels, odd, in binned pixels."""
    screen_px: tuple[int, int] = (2160, 3840)
    """Rows and columns of the display."""
    screen_inch: float = 27.0
    """Its diagonal."""
    screen_cd_m2: float = 250.0
    """Luminance of its white."""
    leaves: int = 3
    """How many patterns of dead leaves."""
    textures: Path | None = None
    """A folder of pictures that are shown, too."""
    most_textures: int = 10
    """At most so many of them, by name."""
    seed: int = 0
    """Of the patterns."""


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Look for what ruins an estimate, and say in which file."""

    captures: Path
    """A folder with a captures.json, or an .npz file of captures."""
    out: Path | None = None
    """Write all findings and numbers to this .json file, too."""
    fail_on: Literal["serious", "any", "never"] = "serious"
    """Which findings make the exit code 1."""


def run_plan(
    options: PlanOptions,
    *,
    read: Callable[[Path], Tensor],
    write: Callable[[Path, Tensor], None],
    draw: Callable[[ShootingPlan], bytes],
    say: Callable[[str], None],
    on_progress: Progress | None = None,
) -> Path:
    """Write patterns and plan.

    Args:
        options: What to do.
        read: Reads a texture as linear light, shape (C, H, W).
        write: Writes linear light (C, H, W) to a picture file.
        draw: Draws the plan as the bytes of a PDF file.
        say: Told what was planned, a line each.
        on_progress: Called with (patterns written, patterns in all).

    Returns:
        The folder.
    """
    camera = PlannedCamera(
        options.focal_mm,
        options.f_number,
        options.sharp_f_number,
        options.image_shape_px,
        options.pitch_um,
        options.bin,
        options.iso,
    )
    display = Display(options.screen_px, options.screen_inch, options.screen_cd_m2)
    textures = [] if options.textures is None else find_textures(options.textures)[: max(options.most_textures, 0)]
    patterns = make_patterns(
        display,
        leaves=options.leaves,
        textures=textures,
        read=read,
        generator=torch.Generator().manual_seed(options.seed),
    )
    plan = plan_shots(
        camera,
        display,
        near_m=options.near_m,
        far_m=options.far_m,
        distances=options.distances,
        focuses=options.focus_m or options.focuses,
        patterns=len(patterns),
        kernel_px=options.kernel_px,
    )
    folder = options.out
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(str(folder), "something that is there already", "a new or an empty folder")
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"{folder.parent}: no such folder to make {folder.name} in")
    folder.mkdir(exist_ok=True)
    (folder / "patterns").mkdir()
    for n, (name, make) in enumerate(patterns):
        write(folder / "patterns" / f"{name}.png", make())
        if on_progress is not None:
            on_progress(n + 1, len(patterns))
    with whole_file(folder / "plan.pdf") as part:
        part.write_bytes(draw(plan))
    with whole_file(folder / "plan.md") as part:
        part.write_text(write_plan(plan), encoding="utf-8")
    write_json(folder / MANIFEST, manifest_of(plan))
    for warning in plan.warnings():
        say(f"note: {warning}")
    say(f"{plan.photographs} photographs at {len(plan.distances_m)} distances, {len(patterns)} patterns")
    return folder


def run_check(
    options: CheckOptions, *, read: ReadPhoto, say: Callable[[str], None], on_progress: Progress | None = None
) -> bool:
    """Check captures and say what was found; whether it is good enough for `fail_on`.

    Args:
        options: What to do.
        read: Reads picture files.
        say: Told each finding and a summary, a line each.
        on_progress: Called with (steps done, steps in all).
    """
    if options.out is not None and options.out.suffix.lower() != ".json":
        raise InputError("--out", f"the suffix {options.out.suffix!r}", ".json")
    captures = read_captures(options.captures, read)
    report = check_captures(captures, on_progress)
    for one in report.findings:
        say(("serious: " if one.is_serious else "note: ") + one.line())
    serious = sum(one.is_serious for one in report.findings)
    say(f"{captures!r}: {serious} serious findings, {len(report.findings) - serious} notes")
    if options.out is not None:
        write_json(options.out, tell_report(captures.names, report))
    return options.fail_on == "never" or (report.is_good if options.fail_on == "serious" else not report.findings)


def tell_report(names: tuple[str, ...], report: CaptureReport) -> dict[str, object]:
    """A report as JSON holds it."""
    return {
        "findings": [vars(one) for one in report.findings],
        "pairs": [{"name": name, **vars(one)} for name, one in zip(names, report.measures, strict=True)],
        "fall_off": report.levels.fall_off.tolist(),
    }


def to_pdf(figure: object) -> bytes:
    """The bytes of a matplotlib figure's PDF file."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="pdf")  # type: ignore[attr-defined]
    return drawn.getvalue()
