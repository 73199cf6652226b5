"""What the applications share: a camera with the f/2.2 lens, restorers to compare, photographs developed.

camera = open_camera(None)                                   # the bundled lens, traced; or a field's file
photo = camera.simulate(...)
for restorer in (recorded(), *classical(camera), *from_files([Path("M.pt")], camera)):
srgb = restorer(photo, depth_m)                          # networks and ridge banks do not look at the depth
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
import tyro
from torch import Tensor
from tqdm import tqdm

import optics
import psf
from learn.deblur.fitting import FramePlace
from learn.deblur.methods import (
    CAUTION,
    POLYBLUR,
    Method,
    know_lens,
    load_ridge,
    make_blind_wiener,
    make_richardson_lucy,
    make_wiener,
)
from learn.deblur.restoring import Handling, make_frame_planes, open_restorer, restore_light
from learn.field_files import hash_field
from learn.networks.checkpoints import read_weights_file
from learn.restorers import restore_polyblur
from learn.restorers.ridge import FORMAT as RIDGE_FORMAT
from learn.samples import Drawn, Sample
from learn.tiles import run_tiled
from psf import InputError, PolarPSFField
from psf.arguments import parse_arguments
from psf.command_line import run_command as run_to_its_end
from psf.runs import whole_file
from render.bayer import pack
from render.camera import Camera
from render.demosaicing import Method as Demosaicing
from render.isp import process
from render.noise_presets import load_noise
from render.raw_photo import RawPhoto
from render.sensor import RawSensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LENS, NOISE = "f2.2_fixedfocus", "imx586"
ISOS = (100.0, 3200.0)  # that the sensor's noise is known for

Look = Literal["bright", "flat"]
Settings = TypeVar("Settings")


@dataclass(frozen=True, eq=False)
class Restorer:
    """One way to a picture, called with a photograph and its depth in m (1, 1, H, W); sRGB (1, 3, H, W) comes back.

    Attributes:
        name: For tables.
        raw: Light from a photograph and its depth, packed (1, 4, H/2, W/2); None: as taken.
        finish: sRGB from the developed picture and the photograph; None: as developed.
        knows_depth: Whether it looks at the depth.
    """

    name: str
    raw: Callable[[RawPhoto, Tensor], Tensor] | None = None
    finish: Callable[[Tensor, RawPhoto], Tensor] | None = None
    knows_depth: bool = False

    def __call__(self, photo: RawPhoto, depth_m: Tensor) -> Tensor:
        """Restored and developed for viewers."""
        return self.show(photo, self.restore(photo, depth_m))

    def restore(self, photo: RawPhoto, depth_m: Tensor) -> Tensor:
        """Light, packed (1, 4, H/2, W/2)."""
        return photo.packed if self.raw is None else self.raw(photo, depth_m)

    def show(self, photo: RawPhoto, light: Tensor, look: Look = "bright") -> Tensor:
        """Developed and finished: "bright" for viewers, "flat" as pictures are compared in tables."""
        srgb = develop(photo, light, look)
        return srgb if self.finish is None else self.finish(srgb, photo).clamp(0, 1)


def develop(photo: RawPhoto, light: Tensor, look: Look = "bright") -> Tensor:
    """A picture in sRGB (1, 3, H, W) of light, packed (1, 4, H/2, W/2), in the photograph's colours.

    Args:
        photo: Whose colours.
        light: Of one photograph.
        look: "bright" with Malvar's demosaicing and the tone curve, "flat" bilinear and without.
    """
    bright = look == "bright"
    demosaicing: Demosaicing = "malvar" if bright else "bilinear"
    return process(light, photo.metadata, pattern=photo.pattern, demosaic=demosaicing, full=bright)


def open_camera(field: Path | None) -> Camera:
    """A phone's 10-bit sensor behind the f/2.2 lens, which is traced, or behind a field's file."""
    whole = optics.psf_grid(optics.load(LENS)) if field is None else psf.load(field)
    return Camera(whole.to(dtype=torch.float32), RawSensor("RGGB", bits=10, black_dn=64), load_noise(NOISE))


def find_field(camera: Camera) -> PolarPSFField:
    """The lens of a camera that has one."""
    if camera.field is None:
        raise InputError("camera", "no field", "a camera with a lens")
    return camera.field


def find_blur_px(field: PolarPSFField, depth_m: float) -> float:
    """Diameter of an even disc with the second moment of the green kernel on the axis."""
    kernel = field.at(0.0, depth_m)[1].double()
    return 2 * math.sqrt(2) * float(psf.metrics.find_rms_radius_px(kernel))


def recorded() -> Restorer:
    """The photograph as it is."""
    return Restorer("camera")


def classical(camera: Camera, *, caution: float = CAUTION, rounds: int = 0) -> list[Restorer]:
    """Restorers that learn nothing; all but PolyBlur know the field, and two or three are told the depth.

    Args:
        camera: With a field.
        caution: Of Wiener: noise counts so many times. The usual one is that of photographs; a flat page needs less.
        rounds: Of Richardson-Lucy; 0 leaves it out.
    """
    lens = know_lens(find_field(camera))
    found = [
        Restorer("PolyBlur", finish=lambda srgb, _: restore_polyblur(srgb, POLYBLUR)),
        Restorer("Wiener, depth by blur", _from_method(make_blind_wiener(lens, caution=caution))),
        Restorer("Wiener, depth known", _from_method(make_wiener(lens, caution=caution)), knows_depth=True),
    ]
    if rounds:
        lucy = make_richardson_lucy(lens, rounds=rounds)
        found.append(Restorer("Richardson-Lucy, depth known", _from_method(lucy), knows_depth=True))
    return found


def from_files(paths: Sequence[Path], camera: Camera, *, any_lens: bool = False) -> list[Restorer]:
    """Networks of `python -m learn.deblur train` and ridge banks, each named after its file.

    Args:
        paths: Their files.
        camera: That takes the photographs: networks for another lens are refused ...
        any_lens: ... unless this is set. Banks do not say what lens they are for.
    """
    stems = [path.stem for path in paths]
    names = [path.stem if stems.count(path.stem) == 1 else f"{path.parent.name}/{path.stem}" for path in paths]
    if not paths:
        return []
    field = find_field(camera)
    digest = "" if any_lens else hash_field(field)
    return [_from_file(path, name, digest, field) for path, name in zip(paths, names, strict=True)]


def _from_file(path: Path, name: str, field_sha256: str, field: PolarPSFField) -> Restorer:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if read_weights_file(path).get("format") == RIDGE_FORMAT:
        return Restorer(name, _from_method(load_ridge(path)))
    network = open_restorer(path, field=field)
    if field_sha256 and network.notes.field_sha256 != field_sha256:
        found = f"a network for {network.notes.lens or 'a perfect lens'}"
        expected = "one that was trained with this camera's very field (--field), or --any-lens"
        raise InputError(str(path), found, expected)

    def restore_mosaic(photo: RawPhoto, _: Tensor) -> Tensor:
        handling = Handling(window_px=find_window(photo))
        return pack(restore_light(photo.to_raw_file(), network, handling)[0], photo.pattern)

    def restore_developed(srgb: Tensor, photo: RawPhoto) -> Tensor:
        place = FramePlace(*find_window(photo), photo.image_shape_px)
        planes = make_frame_planes(srgb[0], network, place, float(photo.iso[0]))
        return run_tiled(network.network, planes[None], box_cells=network.box_cells)

    return Restorer(name, restore_mosaic) if network.is_of_mosaics else Restorer(name, finish=restore_developed)


def _from_method(method: Method) -> Callable[[RawPhoto, Tensor], Tensor]:
    return lambda photo, depth_m: method.restore(to_sample(photo, depth_m))[None]


def to_sample(photo: RawPhoto, depth_m: Tensor) -> Sample:
    """One photograph as the methods of `learn.deblur` take it; nothing else of what was drawn is known of it.

    Args:
        photo: Of a batch of one.
        depth_m: Shape (1, 1, H, W).
    """
    height, width = photo.shape_px
    window = find_window(photo)
    x_px, y_px = (
        window[0] + width / 2 - photo.image_shape_px[1] / 2,
        photo.image_shape_px[0] / 2 - window[1] - height / 2,
    )
    drawn = Drawn(
        index=0,
        photo="",
        photo_px=(height, width),
        left_px=0,
        top_px=0,
        scale=1.0,
        mirrored=False,
        quarter_turns=0,
        exposure_ev=0.0,
        detail=math.nan,
        depth_source="file",
        depth_detail="",
        rule="measured",
        near_m=float(depth_m.min()),
        far_m=float(depth_m.max()),
        is_infinite=bool(depth_m.isinf().any()),
        depths_m=(float(depth_m.min()), float(depth_m.median()), float(depth_m.max())),
        window_px=window,
        radius=math.hypot(x_px, y_px) / (0.5 * math.hypot(*photo.image_shape_px)),
        azimuth_rad=math.atan2(y_px, x_px),
        blur_px=(math.nan, math.nan, math.nan),
        spread_px=0.0,
        field="",
        iso=float(photo.iso[0]),
    )
    return Sample(
        input=photo.packed[0],
        target=photo.target[0],
        metadata=photo.metadata,
        shot=photo.shot.reshape(-1),
        read=photo.read.reshape(-1),
        image_shape_px=photo.image_shape_px,
        drawn=drawn,
        depth_m=depth_m[0],
    )


def find_window(photo: RawPhoto) -> tuple[int, int]:
    """Sensor column and row of the first pixel of the first photograph."""
    return int(photo.window_px[0, 0]), int(photo.window_px[0, 1])


def write_table(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """A CSV of rows with the same keys."""
    listed = list(rows)
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(listed[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)


def write_figure(path: Path, figure: Figure, dpi: int = 100) -> None:
    """A figure as PNG, the same bytes for the same figure."""
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=dpi, metadata={"Software": None})


def to_pixels(srgb: Tensor) -> Any:
    """A picture (1, 3, H, W) from 0 to 1 as an array (H, W, 3) of uint8."""
    return (srgb[0].clamp(0, 1) * 255 + 0.5).to(torch.uint8).movedim(0, -1).contiguous().numpy()


def check_range(name: str, value: float, least: float, most: float, unit: str = "") -> None:
    """Refuse an argument outside of a range."""
    if not least <= value <= most:
        raise InputError(name, f"{value:g}", f"{least:g} to {most:g} {unit}".rstrip())


def make_folder(out: Path) -> Path:
    """The folder for results; what is in it stays, and is replaced by what bears the same name."""
    if out.exists() and not out.is_dir():
        raise InputError("--out", out, "a folder, or a name that is free")
    out.mkdir(parents=True, exist_ok=True)
    return out


def run_command(
    kind: type[Settings], doc: str | None, argv: Sequence[str] | None, run: Callable[[Settings], str]
) -> int:
    """A command line: 0 for done, 2 for input that cannot be used, in one line.

    Args:
        kind: The dataclass of its arguments.
        doc: What --help begins with.
        argv: Words; None: those that the program was started with.
        run: Does it, and returns what is said at the end.
    """
    said = ""

    def start() -> None:
        nonlocal said
        said = run(parse_arguments(lambda: tyro.cli(kind, args=argv, description=doc)))

    code = run_to_its_end(start, interrupted="interrupted; nothing is half written")
    if code == 0:
        print(said)
    return code


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal; yields a function that is called with what has been done."""
    with tqdm(total=total, desc=what, disable=None, leave=False, file=sys.stderr) as bar:

        def step(done: str) -> None:
            bar.set_postfix_str(done, refresh=False)
            bar.update()

        yield step
