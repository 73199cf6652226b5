"""Does a network that was trained on patches restore a whole photograph as well? PSNR gains over a simulated frame.

    python benchmarks/whole_frame.py PHOTOS --field F.h5 --model RUN/network.pt [--table EVAL/table.csv --method NAME]

The scene fills the sensor of the field (4032 x 3024 px for the f/2.2 lens): walls of 504 px, each the middle of a
photograph, shrunk as an evaluation set shrinks it, tilted, at distances from 0.12 m to infinity, even in the logarithm,
the last sixth of them at infinity; and before every third wall a disc of another photograph, 1.2 to 3 times as near.
Which wall stands where is drawn, so that every part of the frame has every distance. `render.Camera` photographs it
(every pixel its own kernel, noise, 10 bits), `write_dng` writes it, the code of `python -m learn.deblur restore`
restores the file, and what comes back from its DNG is developed as evaluation sets are (own gains and matrix, bilinear,
gamma 2.2) and compared with the sharp scene.

Three gains stand side by side: over the whole frame; the mean over its blocks of 512 px, which is how a set of patches
is averaged; and of the same blocks cut out of the photograph and restored one by one, as the training saw them, so that
the difference of the last two is what the whole frame costs. The gain of the patch set comes from its table.
Give photographs that training has not seen.
"""

import csv
import itertools
import math
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image
from torch import Tensor

from learn.deblur.commands_restore import RestoreOptions, restore_files
from learn.deblur.fitting import FramePlace
from learn.deblur.restoring import Restorer, make_frame_planes, open_restorer
from learn.photos import load_split, open_photos
from learn.synthesis_options import read_field, read_noise
from psf.command_line import run_command
from psf.runs import whole_file
from render import process, read_raw, write_dng
from render.camera import Camera
from render.metadata import random_metadata
from render.raw_photo import RawPhoto
from render.sensor import RawSensor

WALL_PX, DISC_SHARE = 504, 0.6
NEAREST_M, FARTHEST_M, AT_INFINITY = 0.12, 5.0, 6  # one wall of so many
TILT = 0.15  # of a wall's nearness, from one side to the other
EVERY_DISC, NEARER = 3, (1.2, 3.0)
BLOCK_PX = 512
DEPTH_EDGES_M = (0.0, 0.2, 0.4, 1.0, 3.0, math.inf)
THIRDS = (0.0, 1 / 3, 2 / 3, 1.0 + 1e-6)


@dataclass(frozen=True)
class Args:
    photos: tyro.conf.Positional[Path]
    """A folder of sharp photographs."""
    field: Path
    """The lens."""
    model: Path
    """The network."""
    index: Path | None = None
    """The index file of the photographs, instead of a hidden file in their folder."""
    split: Path | None = None
    """A manifest of learn.photos split: its evaluation side is taken."""
    table: Path | None = None
    """table.csv of a patch set ..."""
    method: str = ""
    """... and the row of it that is this network's."""
    iso: tuple[float, ...] = (100.0, 400.0, 1600.0)
    part_px: tuple[int, int] | None = None
    """Height and width of a part in the sensor's middle, instead of all of it: for a trial."""
    noise: str = "imx586"
    seed: int = 0
    patches: bool = True
    """Restore the blocks one by one, too."""
    keep: Path | None = None
    """A folder for the photographs, the restored files and a picture of before and after."""
    out: Path | None = None
    """A CSV file for all numbers."""


def compose_scene(files: list[Path], shape_px: tuple[int, int], seed: int) -> tuple[Tensor, Tensor]:
    """The scene, uint8 (1, 3, H, W), and its depth in m (1, 1, H, W)."""
    height, width = shape_px
    rows, columns = -(-height // WALL_PX), -(-width // WALL_PX)
    g = np.random.default_rng(seed)
    count = rows * columns
    far = max(1, count // AT_INFINITY)
    near_m = NEAREST_M * (FARTHEST_M / NEAREST_M) ** ((np.arange(count - far) + 0.5) / (count - far))
    near_m[0] = NEAREST_M
    nearness = g.permutation(np.concatenate([1 / near_m, np.zeros(far)]))
    order = np.concatenate([g.permutation(len(files)) for _ in range(-(-2 * count // len(files)))])
    image = np.zeros((rows * WALL_PX, columns * WALL_PX, 3), np.uint8)
    dioptres = np.zeros(image.shape[:2], np.float32)
    across = np.linspace(-0.5, 0.5, WALL_PX, dtype=np.float32)
    circle = np.hypot(across[:, None], across) < DISC_SHARE / 2
    for n in range(count):
        row, column = divmod(n, columns)
        place = np.s_[row * WALL_PX : (row + 1) * WALL_PX, column * WALL_PX : (column + 1) * WALL_PX]
        angle = g.uniform(0, 2 * np.pi)
        slope = TILT * (np.cos(angle) * across + np.sin(angle) * across[:, None])
        image[place] = shrink_middle(files[order[2 * n]], mirrored=bool(g.integers(2)))
        dioptres[place] = (nearness[n] * (1 + slope)).clip(0, 1 / NEAREST_M)
        times = g.uniform(*NEARER)
        if n % EVERY_DISC == 0:
            own = min(max(nearness[n], 1 / FARTHEST_M) * times, 1 / NEAREST_M)
            image[place][circle] = shrink_middle(files[order[2 * n + 1]], mirrored=bool(g.integers(2)))[circle]
            dioptres[place][circle] = own
    with np.errstate(divide="ignore"):
        depth_m = 1 / dioptres[:height, :width]
    picture = torch.from_numpy(image[:height, :width].copy()).permute(2, 0, 1)[None].contiguous()
    return picture, torch.from_numpy(depth_m)[None, None]


def shrink_middle(file: Path, *, mirrored: bool) -> np.ndarray:
    """The largest square in a photograph's middle, shrunk to a wall, uint8 (WALL_PX, WALL_PX, 3)."""
    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    small = picture.resize((WALL_PX, WALL_PX), Image.Resampling.BOX, (left, top, left + side, top + side))
    return np.asarray(small)[:, :: -1 if mirrored else 1]


def find_radius(shape_px: tuple[int, int], window: tuple[int, int], sensor_px: tuple[int, int]) -> Tensor:
    """Image height of every pixel, (H, W)."""
    y = window[1] + torch.arange(shape_px[0]) - (sensor_px[0] - 1) / 2
    x = window[0] + torch.arange(shape_px[1]) - (sensor_px[1] - 1) / 2
    return torch.hypot(y[:, None], x[None]) / (0.5 * math.hypot(*sensor_px))


def develop(packed: Tensor, photo: RawPhoto) -> Tensor:
    """As evaluation sets are developed, (3, H, W)."""
    return process(packed, photo.metadata, pattern=photo.pattern)[0]


def find_errors(packed: Tensor, photo: RawPhoto, sharp: Tensor) -> Tensor:
    """Squared error of every pixel, mean over colours, (H, W)."""
    return (develop(packed, photo) - sharp).square_().mean(0)


def to_db(error: Tensor) -> Tensor:
    """PSNR of mean squared errors."""
    return -10 * error.double().clamp_min(1e-10).log10()


def mean_blocks(errors: Tensor) -> Tensor:
    """Mean errors of the whole blocks in a frame, (N,)."""
    return torch.nn.functional.avg_pool2d(errors[None, None], BLOCK_PX).reshape(-1)


def restore_blocks(photo: RawPhoto, restorer: Restorer) -> Tensor:
    """The photograph's blocks restored one by one, what lies in no block left as it is, (1, 4, H/2, W/2)."""
    restored, cells = photo.packed.clone(), BLOCK_PX // 2
    for top in range(0, restored.shape[2] - cells + 1, cells):
        for left in range(0, restored.shape[3] - cells + 1, cells):
            here = (slice(None), slice(top, top + cells), slice(left, left + cells))
            x, y = (int(one) for one in photo.window_px[0])
            place = FramePlace(float(x + 2 * left), float(y + 2 * top), photo.image_shape_px)
            planes = make_frame_planes(photo.packed[0][here], restorer, place, float(photo.iso[0]))
            with torch.no_grad():
                restored[0][here] = restorer.network(planes[None], restorer.box_cells)[0]
    white = photo.sensor.quantised(restored)  # whole DN, as the file holds them
    return photo.sensor.normalised(white)


def read_table(args: Args) -> float | None:
    """Gain of the patch set in dB."""
    if args.table is None:
        return None
    with args.table.open(encoding="utf-8") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    if args.method not in rows:
        raise SystemExit(f"{args.table} has no row {args.method!r}, but {', '.join(rows)}")
    return float(rows[args.method]["gain_db"])


def bin_gains(
    before: Tensor, after: Tensor, values: Tensor, edges: tuple[float, ...]
) -> list[tuple[str, float, float]]:
    """Per bin of values (H, W): its name, share of the frame and gain in dB."""
    found = []
    for low, high in itertools.pairwise(edges):
        inside = (values >= low) & ((values < high) | ((high == math.inf) & (values == math.inf)))
        if bool(inside.any()):
            gain = float(to_db(after[inside].mean()) - to_db(before[inside].mean()))
            found.append((f"{low:.3g}-{high:.3g}", float(inside.double().mean()), gain))
    return found


def measure(args: Args, camera: Camera, image: Tensor, depth_m: Tensor, iso: float, folder: Path) -> dict[str, float]:
    """All numbers of one photograph."""
    shape_px = (int(image.shape[2]), int(image.shape[3]))
    sensor_px = camera.image_shape_px
    window = tuple((full - own) // 4 * 2 for full, own in zip(sensor_px[::-1], shape_px[::-1], strict=True))
    generator = torch.Generator().manual_seed(args.seed)
    colours = random_metadata(1, generator=generator)
    start = time.perf_counter()
    photo = camera.simulate(
        image, depth_m, iso=iso, metadata=colours, window=window, renderer="pixelwise", generator=generator
    )
    simulated_s, name = time.perf_counter() - start, f"frame_iso{iso:g}"
    write_dng(folder / f"{name}.dng", photo.to_raw_file())
    options = RestoreOptions(
        inputs=(folder / f"{name}.dng",),
        model=args.model,
        out=folder / "restored",
        field=args.field,
        window=None if shape_px == sensor_px else window,
        before_after=args.keep is not None,
        overwrite=True,
    )
    start = time.perf_counter()
    made = restore_files(options)
    restored_s = time.perf_counter() - start
    if made.failed:
        raise SystemExit(made.failed[0][1])
    sharp = develop(photo.target, photo)
    before = find_errors(photo.packed, photo, sharp)
    after = find_errors(read_raw(folder / "restored" / f"{name}.dng").packed(), photo, sharp)
    gains = to_db(mean_blocks(after)) - to_db(mean_blocks(before))
    found = {
        "input dB": float(to_db(before.mean())),
        "restored dB": float(to_db(after.mean())),
        "gain, frame": float(to_db(after.mean()) - to_db(before.mean())),
        "gain, mean of blocks": float(gains.mean()),
    }
    if args.patches:
        alone = find_errors(restore_blocks(photo, open_restorer(args.model, field=camera.field)), photo, sharp)
        found["gain, blocks alone"] = float((to_db(mean_blocks(alone)) - to_db(mean_blocks(before))).mean())
        found["frame less alone"] = found["gain, mean of blocks"] - found["gain, blocks alone"]
    radius = find_radius(shape_px, window, sensor_px)
    for kind, values, edges in (("height", radius, THIRDS), ("depth m", depth_m[0, 0], DEPTH_EDGES_M)):
        for label, share, gain in bin_gains(before, after, values, edges):
            found[f"{kind} {label} ({100 * share:.0f} %)"] = gain
    return found | {"simulated s": simulated_s, "restored s": restored_s}


def list_files(args: Args) -> list[Path]:
    photos = open_photos(args.photos, index=args.index)
    if args.split is not None:
        photos = photos.subset(load_split(args.split).evaluation)
    return [args.photos / one.name for one in photos.photos]


def show(columns: dict[float, dict[str, float]], table_db: float | None) -> None:
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    print("\n" + " " * 28 + "".join(f"{f'ISO {iso:g}':>10}" for iso in columns) + f"{'mean':>10}")
    for name in names:
        row = [column[name] for column in columns.values()]
        print(f"{name:<28}" + "".join(f"{one:>10.2f}" for one in [*row, sum(row) / len(row)]))
    if table_db is not None:
        mean = sum(column["gain, mean of blocks"] for column in columns.values()) / len(columns)
        print(f"{'gain of the patch set':<28}{table_db:>10.2f}   this frame {mean - table_db:+.2f}")


def main(args: Args) -> None:
    torch.set_num_threads(1)
    table_db = read_table(args)
    camera = Camera(read_field(args.field), RawSensor(), read_noise(args.noise))
    shape_px = camera.image_shape_px if args.part_px is None else args.part_px
    files = list_files(args)
    image, depth_m = compose_scene(files, (shape_px[0] // 2 * 2, shape_px[1] // 2 * 2), args.seed)
    print(f"{camera.field!r}\n{image.shape[3]} x {image.shape[2]} px of {len(files)} photographs, {args.model}")
    columns = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if args.keep is None else args.keep
        folder.mkdir(exist_ok=True)
        for iso in args.iso:
            columns[iso] = measure(args, camera, image, depth_m, iso, folder)
    torch.set_num_threads(1)
    show(columns, table_db)
    if args.out is not None:
        with whole_file(args.out) as part, part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["iso", "number", "value"])
            writer.writerows([iso, name, f"{value:.4f}"] for iso, one in columns.items() for name, value in one.items())
            if table_db is not None:
                writer.writerow(["", "gain of the patch set", f"{table_db:.4f}"])


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(tyro.cli(Args, description=__doc__))))
