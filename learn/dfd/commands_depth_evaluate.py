"""What `python -m learn.dfd evaluate` does."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from psf import InputError, PolarPSFField
from psf.jobs import check_workers

from .commands_data import StackOptions, open_options, read_field
from .depth_evaluation import SCORES_FILE, ShownScene, choose_shown, read_shown, run_estimators
from .depth_scores import DepthScore
from .depth_tables import format_table, summarise, write_table
from .estimators import DepthEstimator, MiddleEstimator, ShuffledEstimator, load_estimator
from .focal_stacks import check_focus
from .judged_scenes import SceneName, plan_scenes
from .stack_synthesis import StackSynthesis

Known = Literal["middle", "likelihood"]
TABLE_FILE = "table.csv"
# Estimators that need no training: where they stand, and the function that makes one of fields.
UNTRAINED: dict[str, tuple[str, str]] = {"likelihood": ("learn.dfd.likelihood", "open_likelihood")}
Say = Callable[[str], None]
Progress = Callable[[int, int], None]
Draw = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class EvaluateDepthOptions(StackOptions):
    """Measure estimators of depth on scenes that no training has seen: scores.csv, table.csv, page.png, errors.png.

    A run that was interrupted goes on with the same command, and more methods may join it later.
    """

    out: Path
    """Folder for the results."""
    truth: tuple[Path, ...] = ()
    """Field files of the lens that really takes the pictures; by default --fields, which estimators are told."""
    judge: tuple[SceneName, ...] = ("one_plane", "slanted", "two_plane")
    """Scenes: one_plane, slanted, two_plane, traced."""
    traced: tuple[Path, ...] = ()
    """Path-traced scenes (.npz); estimators are told the fields of their ideal lens."""
    methods: tuple[Known, ...] = ("middle",)
    """Those that need no training: middle (answers the middle of the range), likelihood (re-blurs with --fields)."""
    model: tuple[str, ...] = ()
    """Networks, NAME=RUN/network.pt; several of one NAME are seeds of one row."""
    any_camera: bool = False
    """Give networks pictures of another sensor and other focus distances than those of their training."""
    shuffled: bool = False
    """Every method once more, with the pictures shuffled against their focus distances: it must fail."""
    depths: int = 20
    """Of one_plane, evenly over the range."""
    textures_each: int = 3
    """At each depth."""
    others: int = 20
    """Scenes of slanted and of two_plane."""
    mirrored: bool = True
    """Networks look at mirrored stacks as well, which gives them a confidence; takes four times as long."""
    shown: int = 6
    """Scenes on the page of maps; 0: no page."""
    workers: int | None = None
    """Processes; by default one per core, 0: none but this one."""


def run_evaluate_depth(
    options: EvaluateDepthOptions,
    *,
    say: Say | None = None,
    on_progress: Progress | None = None,
    on_index: Progress | None = None,
    draw: Draw | None = None,
) -> int:
    """Measure estimators, or go on with that; tell the table.

    Args:
        options: As they were typed.
        say: Told the table, and lines about it.
        on_progress: Called with scores done and in all.
        on_index: Called while photographs are listed, with files done and in all.
        draw: Writes figures: `learn.dfd.report.draw_depth_report`; None for none.

    Returns:
        0 for done.
    """
    tell = say or (lambda line: None)
    check_workers(options.workers)
    if options.shown < 0:
        raise InputError("--shown", options.shown, "0 or more")
    if not options.out.parent.is_dir():
        raise FileNotFoundError(f"{options.out.parent}: no such folder to make {options.out.name} in")
    believed = [read_field(path) for path in options.fields]
    synthesis = open_truth(options, believed, on_index)
    estimators = open_estimators(options, believed, synthesis)
    specs = plan_scenes(
        options.judge,
        synthesis.settings.depth_m,
        depths=options.depths,
        textures=options.textures_each,
        others=options.others,
        traced=options.traced,
    )
    shown = choose_shown(specs, options.shown)
    scores = run_estimators(
        estimators,
        synthesis,
        specs,
        options.out,
        shown=shown,
        workers=options.workers,
        on_progress=on_progress,
    )
    rows = summarise(scores)
    write_table(rows, options.out / TABLE_FILE)
    if draw is not None:
        names = name_firsts(estimators)
        scenes: list[ShownScene] = [read_shown(options.out, key, list(names)) for key in shown]
        draw(scores, scenes, names, options.out, encoding=synthesis.settings.encoding)
    tell(tell_scenes(options, synthesis, scores))
    tell(format_table(rows))
    tell(f"written: {SCORES_FILE}, {TABLE_FILE}{'' if draw is None else ' and figures'} in {options.out}")
    return 0


def open_truth(
    options: EvaluateDepthOptions, believed: Sequence[PolarPSFField], on_index: Progress | None = None
) -> StackSynthesis:
    """The camera that takes the pictures.

    Args:
        options: As they were typed.
        believed: The fields that estimators are told.
        on_index: As in `run_evaluate_depth`.
    """
    truth = options.truth or options.fields
    synthesis = open_options(replace(options, fields=truth), on_index)
    check_focus([float(one.focus_m) for one in believed], synthesis.optics.focus_m, "--fields")
    own = synthesis.optics.image_shape_px
    if wrong := [one.image_shape_px for one in believed if one.image_shape_px != own]:
        raise InputError("--fields", f"a sensor of {wrong[0]} px", f"{own}, as the truth has")
    return synthesis


def open_estimators(
    options: EvaluateDepthOptions, believed: Sequence[PolarPSFField], synthesis: StackSynthesis
) -> list[DepthEstimator]:
    """The rows that a command line asks for.

    Args:
        options: As they were typed.
        believed: The fields that estimators are told.
        synthesis: The camera that takes the pictures.
    """
    found: list[DepthEstimator] = []
    for name in dict.fromkeys(options.methods):
        if name == "middle":
            found.append(MiddleEstimator(depth_m=synthesis.settings.depth_m))
        else:
            found.append(open_untrained(name, believed))
    for word in options.model:
        row, _, path = word.partition("=")
        if not (row and path):
            raise InputError("--model", repr(word), "NAME=RUN/network.pt")
        found.append(
            load_estimator(
                path,
                name=row,
                fields=believed,
                mirrored=options.mirrored,
                any_camera=options.any_camera,
            )
        )
    if not found:
        raise InputError("--methods, --model", "none", "at least one method")
    if not options.shuffled:
        return found
    # The middle looks at nothing that could be shuffled.
    return [*found, *(ShuffledEstimator(inner=one) for one in found if not isinstance(one, MiddleEstimator))]


def open_untrained(name: str, fields: Sequence[PolarPSFField], **options: Any) -> DepthEstimator:
    """An estimator that needs fields and no training.

    Args:
        name: One of `UNTRAINED`.
        fields: One for each focus distance.
        options: As its maker takes them.
    """
    if name not in UNTRAINED:
        raise InputError("method", repr(name), " or ".join(map(repr, UNTRAINED)))
    module, maker = UNTRAINED[name]
    estimator: DepthEstimator = getattr(importlib.import_module(module), maker)(fields, **options)
    return estimator


def name_firsts(estimators: Sequence[DepthEstimator]) -> Mapping[str, str]:
    """Names by fingerprint, of several of one name the first."""
    firsts: dict[str, str] = {}
    for one in estimators:
        if one.name not in firsts.values():
            firsts[one.fingerprint] = one.name
    return firsts


def tell_scenes(options: EvaluateDepthOptions, synthesis: StackSynthesis, scores: Sequence[DepthScore]) -> str:
    """The scenes in a line."""
    counts = {kind: len({one.key for one in scores if one.scene == kind}) for kind in options.judge}
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    height, width = synthesis.settings.shape_px
    lens = synthesis.optics.fields[0].provenance.lens or "a lens without a name"
    other = "through fields that estimators are not told" if options.truth else "through the fields that they are told"
    return f"{told} scenes of {width} x {height} px, {lens}, {other}"
