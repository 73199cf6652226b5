"""What the command line does to estimate a field: pairs to kernels, kernels to files, and a page to trust them by.

A run keeps what it has in a folder beside the field, FIELD.run: the estimator's checkpoint, and the fields of focus
distances that are done. The same command goes on from there, and removes the folder at the end.
"""

import dataclasses
import hashlib
import importlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from .capture_files import MANIFEST, ReadPhoto, read_captures
from .captures import Captures
from .errors import InputError
from .estimation import METHODS, estimate
from .estimators import DirectOptions
from .field import PolarPSFField
from .jobs import Progress
from .residuals import PairResidual, find_residuals
from .runs import begin_run, whole_file

# From a field, what it leaves of pairs, a title, and whether these were held back, to the bytes of a picture file of
# that suffix.
DrawPage = Callable[[PolarPSFField, Sequence[PairResidual], str, bool, str], bytes]

MethodName = Literal["direct", "physical", "psfnet", "gaussian", "tseng", "yang", "none", "ih"]
# Pictures of up to so many bytes are read once and kept.
MOST_BYTES = 2_000_000_000
# Share of the progress that the residuals take.
STEPS = 1000
# Methods whose kernels may have several values per pixel and axis.
FINE_METHODS = ("physical", "direct", "psfnet", "ih")
# What is left of pairs held back: below this in units of the noise a field explains its photographs.
GOOD_RATIO = 1.25


@dataclass(frozen=True, kw_only=True)
class EstimateOptions:
    """Estimate the PSF field of a camera from pairs of photographs."""

    captures: Path
    """A folder with a captures.json, or an .npz file of captures."""
    out: Path
    """The field to write, .h5; of several focus distances one each, FIELD_0.5m.h5 and so on."""
    method: MethodName = "physical"
    """physical and direct, its longer first part, see the pairs and need no network; psfnet, none and ih are networks
    that see the pairs; gaussian, tseng and yang are baselines."""
    focus_m: tuple[float, ...] = ()
    """Only these of the focus distances."""
    depths: int = 20
    """Depths of the field, even in dioptres over the captured ones."""
    radii: int = 20
    """Image heights of the field, even from the centre to the corner."""
    oversample: int = 1
    """Stored values per pixel and axis; 3 keeps what kernels in focus hold between pixels (physical, direct; and
    psfnet, ih, whose network then answers with so many)."""
    breathing: Literal["auto", "fit", "kernels"] = "auto"
    """Where the change of image scale with focus goes: fit measures it and stores it as the field's magnification,
    kernels leaves it in the kernels. auto is fit for several focus distances; for one it is kernels as long as they
    hold it."""
    held: float = 0.1
    """Share of the pairs that is held back to judge by; 0 holds none back and judges by some of those used."""
    page: Path | None = None
    """The page of pictures, .png or .pdf; by default FIELD.png beside FIELD.h5."""
    pitch_um: float | None = None
    """Pixel pitch, if the captures do not know it."""
    steps: int | None = None
    """How long a network learns; by default as its method wants."""
    seed: int = 0
    """Of pairs held back and of whatever is random in the method."""


def run_estimate(
    options: EstimateOptions,
    *,
    read: ReadPhoto,
    draw: DrawPage,
    say: Callable[[str], None],
    on_progress: Progress | None = None,
) -> list[Path]:
    """Estimate and write.

    Args:
        options: What to do.
        read: Reads picture files.
        draw: Draws the page.
        say: Told what was found, a line each.
        on_progress: Called with (steps done, steps in all).

    Returns:
        The fields' files, by focus distance.
    """
    page = options.page or options.out.with_suffix(".png")
    _check(options, page)
    captures = read_captures(options.captures, read)
    focuses = _choose_focuses(captures, options.focus_m)
    if options.pitch_um is not None:
        captures = replace(captures, pitch_um=options.pitch_um)
    folder = options.out.with_name(f"{options.out.name}.run")
    begin_run(folder, _settings(options, captures, focuses))
    try:
        done = _estimate_all(captures, focuses, options, page, folder, draw, say, on_progress)
    except InputError:
        # What cannot be used leaves nothing behind that would refuse other options.
        if not any(folder.glob("*.h5")):
            shutil.rmtree(folder)
        raise
    for n, (out, shown) in enumerate(done):
        for source, target in ((folder / f"{n}.h5", out), (folder / f"{n}{page.suffix}", shown)):
            with whole_file(target) as part:
                shutil.copyfile(source, part)
    shutil.rmtree(folder)
    return [out for out, _ in done]


def _estimate_all(
    captures: Captures,
    focuses: list[float],
    options: EstimateOptions,
    page: Path,
    folder: Path,
    draw: DrawPage,
    say: Callable[[str], None],
    on_progress: Progress | None,
) -> list[tuple[Path, Path]]:
    """Fields and pages in the run's folder; where each belongs."""
    done = []
    for n, focus_m in enumerate(focuses):
        field_file, page_file = folder / f"{n}.h5", folder / f"{n}{page.suffix}"
        count = len(focuses)
        done.append((_with_focus(options.out, focus_m, count), _with_focus(page, focus_m, count)))
        if field_file.is_file() and page_file.is_file():
            continue

        def tell(share: float, n: int = n) -> None:
            if on_progress is not None:
                on_progress(round((n + share) * STEPS), len(focuses) * STEPS)

        several = len(focuses) > 1
        field, left, line = _estimate_one(captures.at_focus(focus_m), options, several, folder / f"{n}.part", tell)
        title = f"{options.captures.name}: {options.method}, focus {focus_m:g} m"
        with whole_file(page_file) as part:
            part.write_bytes(draw(field, left, title, options.held > 0, page.suffix.lstrip(".")))
        with whole_file(field_file) as part:
            field.save(part)
        say(line)
    return done


def hold_back(captures: Captures, share: float, seed: int) -> tuple[Captures, Captures]:
    """Pairs to estimate from and pairs to judge by; the nearest and farthest depth stay with the estimate.

    Args:
        captures: Of one focus distance.
        share: Of the pairs that is held back; 0: all are estimated from, and some of them judge.
        seed: Draws them.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(captures), generator=generator)
    ends = captures.is_at(float(captures.depths_m[0])) | captures.is_at(float(captures.depths_m[-1]))
    inner = order[~ends[order]]
    if share == 0 or len(captures) < 4 or not len(inner):
        return captures, captures.chosen(order[: max(1, len(captures) // 10)].sort().values)
    count = min(max(round(share * len(captures)), 1), len(inner))
    held = torch.zeros(len(captures), dtype=torch.bool)
    held[inner[:count]] = True
    return captures.chosen(~held), captures.chosen(held)


def make_options(options: EstimateOptions, several: bool) -> Any:
    """The method's own options, where something is to be said.

    Args:
        options: Of the command.
        several: Whether there are several focus distances.
    """
    place = options.breathing if options.breathing != "auto" or not several else "fit"
    name = {"direct": "DirectOptions", "physical": "PhysicalOptions"}.get(options.method, "NetworkOptions")
    module = "psf.estimators" if name == "DirectOptions" else METHODS[options.method][0]
    kind = getattr(importlib.import_module(module), name)
    known = {one.name for one in dataclasses.fields(kind)}
    wanted: dict[str, Any] = {"magnification": place, "oversample": options.oversample}
    if "direct" in known:
        wanted["direct"] = DirectOptions(magnification=place)
    if options.steps is not None:
        if name != "NetworkOptions":
            expected = f"no such option with --method {options.method}, which learns nothing"
            raise InputError("--steps", options.steps, expected)
        wanted["steps"] = options.steps
    return kind(**{key: value for key, value in wanted.items() if key in known})


def _estimate_one(
    captures: Captures,
    options: EstimateOptions,
    several: bool,
    checkpoint: Path,
    tell: Callable[[float], None],
) -> tuple[PolarPSFField, tuple[PairResidual, ...], str]:
    size = captures.channel_count * captures.shape_px[0] * captures.shape_px[1]
    if 8 * size * len(captures) < MOST_BYTES:
        captures = captures.loaded()
    used, held = hold_back(captures, options.held, options.seed)
    model = estimate(
        used,
        options.method,
        options=make_options(options, several),
        generator=torch.Generator().manual_seed(options.seed),
        on_progress=lambda done, of: tell(0.9 * done / max(of, 1)),
        checkpoint=checkpoint,
    )
    nearest, farthest = float(used.depths_m[0]), float(used.depths_m[-1])
    if nearest < farthest:
        depths = 1 / torch.linspace(1 / nearest, 1 / farthest, options.depths, dtype=torch.float64)
    else:
        depths = torch.tensor([nearest], dtype=torch.float64)
    more: dict[str, Any] = {"oversample": options.oversample} if options.method in ("physical", "direct") else {}
    field = model.to_field(depths, torch.linspace(0, 1, options.radii, dtype=torch.float64), **more)
    left = find_residuals(
        model,
        held,
        magnification=field.magnification,
        on_progress=lambda done, of: tell(0.9 + 0.1 * done / max(of, 1)),
    )
    return field, left, _sum_up(captures, field, left, options.held > 0)


def _sum_up(captures: Captures, field: PolarPSFField, left: Sequence[PairResidual], held_back: bool) -> str:
    ratio = (sum(one.ratio**2 for one in left) / len(left)) ** 0.5
    worst = max(left, key=lambda one: one.ratio)
    kind = "held back" if held_back else "used"
    line = (
        f"focus {float(captures.focus_m[0]):g} m: {len(captures)} pairs, magnification {field.magnification:.5f}; "
        f"of {len(left)} pairs {kind} {ratio:.2f} times the noise is left, at most {worst.ratio:.2f} ({worst.name})"
    )
    return line if ratio <= GOOD_RATIO else f"{line}: more than noise, see the page before you trust it"


def _check(options: EstimateOptions, page: Path) -> None:
    if options.out.suffix != ".h5":
        raise InputError("--out", f"the suffix {options.out.suffix!r}", ".h5")
    if page.suffix not in (".png", ".pdf"):
        raise InputError("--page", f"the suffix {page.suffix!r}", ".png or .pdf")
    for target in (options.out, page):
        if not target.parent.is_dir():
            raise FileNotFoundError(f"{target.parent}: no such folder to write {target.name} to")
    if options.method not in METHODS:
        raise InputError("--method", options.method, ", ".join(METHODS))
    for name in ("depths", "radii"):
        if getattr(options, name) < 2:
            raise InputError(f"--{name}", getattr(options, name), "2 or more")
    if not 0 <= options.held <= 0.5:
        raise InputError("--held", options.held, "0 to 0.5")
    if options.oversample < 1 or (options.oversample > 1 and options.method not in FINE_METHODS):
        raise InputError("--oversample", options.oversample, f"1, or more with --method {' or '.join(FINE_METHODS)}")
    if options.pitch_um is not None and not options.pitch_um > 0:
        raise InputError("--pitch-um", options.pitch_um, "a pitch above 0")


def _choose_focuses(captures: Captures, wanted: tuple[float, ...]) -> list[float]:
    there = captures.focuses_m.tolist()
    chosen = []
    for focus_m in wanted:
        near = [one for one in there if abs(one - focus_m) <= 1e-3 * abs(focus_m) or one == focus_m]
        if not near:
            raise InputError("--focus-m", f"{focus_m:g}", "one of " + ", ".join(f"{one:g}" for one in there))
        chosen.append(min(near, key=lambda one: abs(one - focus_m)))
    return sorted(set(chosen)) if wanted else there


def _settings(options: EstimateOptions, captures: Captures, focuses: list[float]) -> dict[str, Any]:
    """All that a run's files depend on, but for the pictures, of which the estimators' checkpoints know."""
    digest = hashlib.sha256()
    for values in (captures.x0_px, captures.y0_px, captures.depth_m, captures.focus_m):
        digest.update(values.double().numpy().tobytes())
    file = options.captures / MANIFEST if options.captures.is_dir() else options.captures
    kept = ("method", "depths", "radii", "oversample", "breathing", "held", "pitch_um", "steps", "seed")
    return {
        **{name: getattr(options, name) for name in kept},
        "focus_m": focuses,
        "pairs": digest.hexdigest(),
        "file": hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def _with_focus(path: Path, focus_m: float, count: int) -> Path:
    return path if count == 1 else path.with_name(f"{path.stem}_{focus_m:.6g}m{path.suffix}")
