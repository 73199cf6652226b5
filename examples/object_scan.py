"""Photographs of a small object, taken too near, made ready for a 3-D reconstruction; see object_scan.md.

    python examples/object_scan.py                                          # 24 rendered views, told by numbers
    python examples/object_scan.py --model runs/M.pt                        # with a network's restorations as well
    python examples/object_scan.py PHOTOS --model runs/M.pt -o out/vase     # your own RAW files

Own photographs are restored by the network and developed into OUT/restored/images, which COLMAP and all splatting tools
take. Without photographs a still life of 3 cm is rendered from 24 sides at 12 cm, photographed through the f/2.2 lens
that is focused at infinity (each pixel its own kernel, noise, 10 bits), and restored: by Wiener, which is told the
depth, and by networks, which are not. Where pycolmap is installed (pip install pycolmap) every set is reconstructed
and the table says how many views found their place, how many points, how long their tracks are, how far points land
from where they were seen, and, as the true poses are known, how far the cameras are from where they stood.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import shots
import torch
import tyro
from PIL import Image
from scan_views import Pose, draw_view, make_scene, place_cameras
from torch import Tensor

from learn.deblur.fitting import check_lens, knows_lens, read_lens
from learn.deblur.outputs import list_photos
from learn.deblur.restoring import open_restorer, restore_raw, restore_srgb
from psf import InputError
from psf.runs import whole_file
from render.developing import develop
from render.metadata import random_metadata
from render.raw import read_raw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOCAL_MM = 3.2781
CAUTION = 10.0  # of Wiener: edges in depth, but little else that it does not know
LEAST_VIEWS = 3


@dataclass(frozen=True)
class Args:
    """Restore photographs of a small object for a 3-D reconstruction, and reconstruct it."""

    photos: tyro.conf.Positional[Path | None] = None
    """Folder of RAW files; none: views of a still life are rendered."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/scan")
    """Folder for the sets of pictures and the tables."""
    model: tuple[Path, ...] = ()
    """Networks of python -m learn.deblur train; exactly one for own photographs."""
    any_lens: bool = False
    """Take networks that were trained for another lens."""
    views: int = 24
    """How many are rendered."""
    distance_m: float = 0.12
    """From the lens to the middle of the still life."""
    view_px: tuple[int, int] = (960, 1280)
    """Height and width of the views, in the middle of the sensor."""
    iso: float = 200.0
    """Of rendered views, 100 to 3200."""
    field: Path | None = None
    """A PSF field (.h5) in place of the f/2.2 lens, which is traced anew each time."""
    reconstruct: bool = True
    """Run COLMAP's sparse reconstruction if pycolmap is installed."""
    features: int = 4000
    """Points that are looked for in each view."""
    seed: int = 1
    """Of textures, colours, noise and the reconstruction."""


@dataclass(frozen=True)
class Sparse:
    """What a sparse reconstruction came to.

    Attributes:
        name: Of the set of pictures.
        views: In the set.
        registered: Whose place was found.
        points: In space.
        track: Views in which a point is seen, in the mean.
        reprojection_px: From where a point is seen to where it projects to, in the mean.
        position_mm: Root mean square of the cameras' distance from where they stood; NaN if that is not known.
        turn_deg: The same of their direction.
    """

    name: str
    views: int
    registered: int = 0
    points: int = 0
    track: float = math.nan
    reprojection_px: float = math.nan
    position_mm: float = math.nan
    turn_deg: float = math.nan


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used."""
    return shots.run_command(Args, Args.__doc__, argv, run)


def run(args: Args) -> str:
    """Everything between the arguments and the files; returns what is said at the end."""
    start = time.perf_counter()
    if args.photos is not None:
        sets, poses, focal_px = restore_photos(args)
    else:
        sets, poses, focal_px = photograph_views(args)
    said = []
    if args.reconstruct and importlib.util.find_spec("pycolmap") is None:
        said.append("pycolmap is not installed, nothing was reconstructed; pip install pycolmap")
    elif args.reconstruct:
        rows = []
        with shots.progress("reconstructions", len(sets)) as step:
            for folder in sets:
                rows.append(reconstruct(folder, poses, focal_px, args.features, args.seed))
                step(folder.name)
        shots.write_table(args.out / "scan.csv", [vars(row) for row in rows])
        said.append(print_table(rows))
    best = sets[-1]
    said.append(f"written: {', '.join(str(folder / 'images') for folder in sets)}")
    said.append(f"splatting: ns-train splatfacto colmap --data {best} --colmap-path sparse/0 --downscale-factor 1")
    said.append(f"       or: python simple_trainer.py default --data_dir {best} --data_factor 1 --result_dir RESULT")
    return "\n".join(said) + f"\n({time.perf_counter() - start:.0f} s)"


def restore_photos(args: Args) -> tuple[list[Path], None, None]:
    """Own RAW files, as taken and restored, developed alike."""
    if len(args.model) != 1 or args.photos is None:
        raise InputError("--model", f"{len(args.model)} networks", "one for own photographs")
    lens = None if args.field is None else read_lens(args.field)
    restorer = open_restorer(args.model[0], field=lens)
    if args.field is not None and not args.any_lens:
        check_lens(lens, args.field, restorer.notes, restorer.source)
    files = list_photos([args.photos])
    stems = [file.stem for file in files]
    if twice := [stem for stem in stems if stems.count(stem) > 1]:
        raise InputError(str(args.photos), f"two photographs called {twice[0]}", "each under a name of its own")
    out = shots.make_folder(args.out)
    plain, restored = (shots.make_folder(out / name / "images") for name in ("camera", "restored"))
    with shots.progress("photographs", len(files)) as step:
        for file in files:
            photo = read_raw(file)
            if not args.any_lens:
                knows_lens(photo, restorer.notes, restorer.source)  # refuses one that names another lens
            write_png(plain / f"{file.stem}.png", develop(photo))
            sharp = develop(restore_raw(photo, restorer)) if restorer.is_of_mosaics else restore_srgb(photo, restorer)
            write_png(restored / f"{file.stem}.png", sharp)
            step(file.name)
    return [plain.parent, restored.parent], None, None


def photograph_views(args: Args) -> tuple[list[Path], list[Pose], float]:
    """Rendered views as a perfect lens would see them, as the camera takes them, and restored."""
    check(args)
    camera = shots.open_camera(args.field)
    field = shots.find_field(camera)
    if any(used > whole for used, whole in zip(args.view_px, field.image_shape_px, strict=True)):
        raise InputError("--view-px", args.view_px, f"at most the sensor's {field.image_shape_px}")
    restorers = [
        shots.recorded(),
        *(one for one in shots.classical(camera, caution=CAUTION) if one.knows_depth),
        *shots.from_files(args.model, camera, any_lens=args.any_lens),
    ]
    names = ["camera", "wiener", *(one.name.replace("/", "_") for one in restorers[2:])]
    out = shots.make_folder(args.out)
    folders = [shots.make_folder(out / name / "images") for name in ("sharp", *names)]
    focal_px = 1e3 * FOCAL_MM / field.pitch_um
    generator = torch.Generator().manual_seed(args.seed)
    scene = make_scene(generator)
    colours = random_metadata(1, generator=generator)
    poses = place_cameras(args.views, 1e3 * args.distance_m)
    shown: list[Tensor] = []
    with shots.progress("views", args.views) as step:
        for number, pose in enumerate(poses):
            image, depth_m = draw_view(scene, pose, focal_px, args.view_px)
            near = float(depth_m.min())
            if near < 0.099:
                raise InputError("--distance-m", args.distance_m, f"more: view {number} comes as near as {near:.3f} m")
            photo = camera.simulate(
                image, depth_m, iso=args.iso, metadata=colours, renderer="pixelwise", generator=generator
            )
            pictures = [shots.develop(photo, photo.target), *(one(photo, depth_m) for one in restorers)]
            for folder, picture in zip(folders, pictures, strict=True):
                write_png(folder / name_view(number), picture)
            shown = shown or pictures
            step(name_view(number))
    shots.write_figure(out / "scan.png", show_sets(["sharp", *names], shown))
    return [folder.parent for folder in folders], poses, focal_px


def check(args: Args) -> None:
    """Refuse arguments before anything takes time."""
    shots.check_range("--views", args.views, LEAST_VIEWS, 999)
    shots.check_range("--distance-m", args.distance_m, 0.1, 1.0, "m")
    shots.check_range("--iso", args.iso, *shots.ISOS)
    shots.check_range("--features", args.features, 50, 100000)
    for side in args.view_px:
        shots.check_range("--view-px", side, 64, 4032, "px")
        if side % 2:
            raise InputError("--view-px", side, "even numbers")


def name_view(number: int) -> str:
    """File of a rendered view."""
    return f"view_{number:03d}.png"


def write_png(path: Path, srgb: Tensor) -> None:
    """A picture of 8 bits, as reconstruction tools take them."""
    with whole_file(path) as part:
        Image.fromarray(shots.to_pixels(srgb)).save(part, format="PNG")


def show_sets(names: Sequence[str], pictures: Sequence[Tensor]) -> Figure:
    """The first view in every set, and the middle of it."""
    from matplotlib.figure import Figure

    height, width = pictures[0].shape[2:]
    side = min(height, width) // 3
    top, left = (height - side) // 2, (width - side) // 2
    wide = 4.2
    tall, head = wide * height / width, 0.35
    whole = tall + wide + head + 0.05
    figure = Figure(figsize=(wide * len(names), whole))
    for number, (name, picture) in enumerate(zip(names, pictures, strict=True)):
        pixels = shots.to_pixels(picture)
        for part, bottom, high in (
            (pixels, wide + 0.05, tall),
            (pixels[top : top + side, left : left + side], 0, wide),
        ):
            axes = figure.add_axes(((number + 0.01) / len(names), bottom / whole, 0.98 / len(names), high / whole))
            axes.imshow(part, interpolation="antialiased")
            axes.set_axis_off()
            if bottom:
                axes.set_title(name, fontsize=13)
    return figure


def reconstruct(folder: Path, poses: Sequence[Pose] | None, focal_px: float | None, features: int, seed: int) -> Sparse:
    """COLMAP's sparse reconstruction of FOLDER/images into FOLDER/sparse/0.

    Args:
        folder: Of a set; an older reconstruction in it is replaced.
        poses: Of the cameras, in order of the views, if they are known.
        focal_px: To start from; None: COLMAP's guess, with a lens that distorts.
        features: Points at most that are looked for in each view.
        seed: Of its random numbers.
    """
    colmap = importlib.import_module("pycolmap")
    colmap.logging.minloglevel = 3
    images, sparse, database = folder / "images", folder / "sparse", folder / "database.db"
    database.unlink(missing_ok=True)
    for old in sparse.glob("[0-9]*"):
        shutil.rmtree(old)
    sparse.mkdir(exist_ok=True)
    files = sorted(path.name for path in images.glob("*.png"))
    reader = colmap.ImageReaderOptions()
    reader.camera_model = "SIMPLE_RADIAL" if focal_px is None else "SIMPLE_PINHOLE"
    if focal_px is not None:
        with Image.open(images / files[0]) as first:
            width, height = first.size
        reader.camera_params = f"{focal_px},{width / 2},{height / 2}"
    extraction = colmap.FeatureExtractionOptions()
    extraction.sift.max_num_features = features
    colmap.set_random_seed(seed)
    colmap.extract_features(
        database, images, files, colmap.CameraMode.SINGLE, reader, extraction, device=colmap.Device.cpu
    )
    verification = colmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = seed
    colmap.match_exhaustive(database, verification_options=verification, device=colmap.Device.cpu)
    options = colmap.IncrementalPipelineOptions()
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = seed
    options.num_threads = options.mapper.num_threads = 1  # in the same order each time
    models = colmap.incremental_mapping(database, images, sparse, options)
    if not models:
        return Sparse(folder.name, len(files))
    number, model = max(models.items(), key=lambda item: item[1].num_reg_images())
    if number:  # tools look for the reconstruction in sparse/0
        (sparse / "0").rename(sparse / "spare")
        (sparse / str(number)).rename(sparse / "0")
        (sparse / "spare").rename(sparse / str(number))
    position_mm, turn_deg = math.nan, math.nan
    if poses is not None:
        found = [one for one in model.images.values() if one.has_pose]
        placed = [one.cam_from_world() for one in found]
        true = [poses[files.index(one.name)] for one in found]
        position_mm, turn_deg = compare_poses(
            [np.asarray(one.rotation.matrix()) for one in placed], [np.asarray(one.translation) for one in placed], true
        )
    return Sparse(
        folder.name,
        len(files),
        model.num_reg_images(),
        model.num_points3D(),
        model.compute_mean_track_length(),
        model.compute_mean_reprojection_error(),
        position_mm,
        turn_deg,
    )


def compare_poses(rotations: Sequence[Any], shifts: Sequence[Any], true: Sequence[Pose]) -> tuple[float, float]:
    """How far cameras are from where they stood, once turned, scaled and shifted to fit best (Umeyama 1991).

    Args:
        rotations: Of the cameras as found, arrays (3, 3).
        shifts: Likewise, arrays (3,): a point p lies at R p + t before the camera.
        true: As they stood.

    Returns:
        Root mean squares of the distance in mm and of the angle in degrees; NaN for fewer than three cameras.
    """
    if len(true) < LEAST_VIEWS:
        return math.nan, math.nan
    here = np.stack([-r.T @ t for r, t in zip(rotations, shifts, strict=True)])
    there = np.stack([pose.centre_mm.numpy() for pose in true])
    a, b = here - here.mean(0), there - there.mean(0)
    u, s, v = np.linalg.svd(b.T @ a)
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ v))])
    turn = u @ sign @ v
    scale = np.trace(np.diag(s) @ sign) / (a * a).sum()
    distance = np.linalg.norm(scale * a @ turn.T - b, axis=1)
    # R maps the found scene to the camera, R turn^T the true one.
    cosines = [
        (np.trace(r @ turn.T @ pose.rotation.numpy().T) - 1) / 2 for r, pose in zip(rotations, true, strict=True)
    ]
    angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    return float(np.sqrt((distance**2).mean())), float(np.sqrt((angles**2).mean()))


def print_table(rows: Sequence[Sparse]) -> str:
    """All sets, a row each."""
    wide = max(len("pictures"), *(len(row.name) for row in rows))
    head = f"{'pictures':<{wide}}  registered  points  track length  reprojection px  position mm  turn deg"
    lines = [
        f"{row.name:<{wide}}  {row.registered:>4} of {row.views:<2}  {row.points:>6}  {row.track:>12.2f}  "
        f"{row.reprojection_px:>15.3f}  {row.position_mm:>11.4f}  {row.turn_deg:>8.4f}"
        for row in rows
    ]
    return "\n".join([head, *lines])


if __name__ == "__main__":
    sys.exit(main())
