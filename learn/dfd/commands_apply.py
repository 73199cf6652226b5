"""What `python -m learn.dfd apply` does: a folder of photographs in, a depth map and what shows it out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from psf import InputError, PolarPSFField
from psf.runs import write_json

from ..field_files import hash_field
from .applying import TILE_PX, check_depth_file, estimate_depth, write_depth, write_points, write_views
from .commands_data import read_field
from .commands_depth_evaluate import open_untrained
from .estimators import DepthEstimator, NetworkEstimator, load_estimator
from .stack_folder import StackFolder, read_stack_folder

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class ApplyDepthOptions:
    """Find depth in a folder of photographs, each focused elsewhere.

    Beside the depth map come NAME_colour.png, NAME_confidence.png, NAME.ply (where the focal length is known) and
    NAME.json with all that was used.
    """

    stack: Path
    """The folder: RAW files or pictures, and stack.json if Exif does not tell the focus distances."""
    fields: tuple[Path, ...]
    """Field files (.h5) of the camera, one for each focus distance, the nearest focus first."""
    out: Path
    """The depth map: .exr, .tif or .npy in metres, or .png in millimetres."""
    model: Path | None = None
    """A network of python -m learn.dfd train ..."""
    method: Literal["likelihood"] | None = None
    """... or a method that needs no training."""
    focus_m: tuple[float, ...] | None = None
    """Focus distances, in the order of the files' names, counted from the lens."""
    lens_to_sensor_mm: float = 0.0
    """How far the lens's first surface stands before the sensor, from which Exif's focus distances count."""
    window: tuple[int, int] | None = None
    """Sensor column and row of the pictures' first pixel, where they are a part of the frame."""
    focal_mm: float | None = None
    """Focal length, for the point cloud; by default what the first file tells."""
    level: bool = True
    """Bring all pictures to the same mean light."""
    any_camera: bool = False
    """Use a network for pictures of another sensor and other focus distances than those of its training."""
    ends_m: tuple[float, float] | None = None
    """Depths of the brightest and of the darkest colour; by default those of the map."""
    points_every: int = 1
    """Every so manieth row and column becomes points; 0: no point cloud."""
    least_confidence: float = 0.0
    """Pixels less sure than this become no points."""
    tile_px: int = TILE_PX
    """Side of the tiles, halo and all."""
    device: str = "cpu"
    """Where to run a network: cpu, cuda ..."""


def run_apply_depth(options: ApplyDepthOptions, *, say: Say | None = None, on_progress: Progress | None = None) -> int:
    """Find the depth, and write it.

    Args:
        options: As they were typed.
        say: Told a line for each file.
        on_progress: Called with tiles done and in all.

    Returns:
        0 for done.
    """
    tell = say or (lambda line: None)
    check_depth_file(options.out)
    if options.points_every < 0:
        raise InputError("--points-every", options.points_every, "0 or more")
    fields = [read_field(path) for path in options.fields]
    estimator = open_estimator(options, fields)
    folder = read_stack_folder(
        options.stack,
        fields,
        focus_m=options.focus_m,
        lens_to_sensor_mm=options.lens_to_sensor_mm,
        window_px=options.window,
        level=options.level,
    )
    estimate = estimate_depth(estimator, folder.stack, tile_px=options.tile_px, on_progress=on_progress)
    write_depth(options.out, estimate.depth_m)
    tell(f"written: {options.out}, {tell_range(options, folder)}")
    stem = options.out.with_suffix("")
    for path in write_views(stem, estimate, ends_m=options.ends_m):
        tell(f"written: {path}")
    focal_mm = folder.focal_mm if options.focal_mm is None else options.focal_mm
    if focal_mm is None and options.points_every:
        tell("no point cloud: no file tells the focal length (--focal-mm)")
    if focal_mm is not None and options.points_every:
        cloud = stem.with_name(f"{stem.name}.ply")
        count = write_points(
            cloud,
            estimate,
            folder.stack,
            focal_mm=focal_mm,
            pitch_um=fields[0].pitch_um,
            every=options.points_every,
            least_confidence=options.least_confidence,
        )
        tell(f"written: {cloud}, {count} points")
    about = stem.with_name(f"{stem.name}.json")
    write_json(
        about,
        {
            "method": estimator.name,
            "fingerprint": estimator.fingerprint,
            "files": [one.name for one in folder.files],
            "focus_m": [round(one, 6) for one in folder.stack.focus_m.tolist()],
            "window_px": list(folder.stack.window_px),
            "binned": folder.binned,
            "pitch_um": fields[0].pitch_um,
            "focal_mm": focal_mm,
            "fields_sha256": [hash_field(one) for one in fields],
            "depth_m": [float(estimate.depth_m.min()), float(estimate.depth_m.median()), float(estimate.depth_m.max())],
            "confidence": float(estimate.confidence.mean()),
        },
    )
    tell(f"written: {about}")
    return 0


def open_estimator(options: ApplyDepthOptions, fields: Sequence[PolarPSFField]) -> DepthEstimator:
    """The network or the method of a command line.

    Args:
        options: As they were typed.
        fields: Of the camera.
    """
    if (options.model is None) == (options.method is None):
        raise InputError("--model, --method", "both" if options.model else "neither", "one of them")
    if options.model is None:
        return open_untrained(str(options.method), fields)
    estimator: NetworkEstimator = load_estimator(
        options.model,
        fields=fields,
        any_camera=options.any_camera,
        device=options.device,
    )
    own = estimator.network.config
    if own.kind == "dual_dfd" and len(fields) != own.pictures:
        raise InputError("--fields", f"{len(fields)} of them", f"{own.pictures}, as {options.model} was trained with")
    return estimator


def tell_range(options: ApplyDepthOptions, folder: StackFolder) -> str:
    """What was read, in a few words."""
    height, width = folder.stack.shape_px
    binned = f" (binned by {folder.binned})" if folder.binned > 1 else ""
    focus = ", ".join(f"{one:g}" for one in folder.stack.focus_m.tolist())
    return f"{width} x {height} px{binned} of {len(folder.files)} pictures focused at {focus} m"
