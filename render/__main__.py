"""The command line of `render`: `python -m render simulate`, `stack`, `develop` and `calibrate-noise`."""

import io
import math
import secrets
import shutil
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import torch
import tyro
from torch import Tensor
from tqdm import tqdm

import psf
from psf import InputError, PolarPSFField
from psf.arguments import parse_arguments
from psf.command_line import run_command
from psf.metrics import find_rms_radius_px

from .framing import fit_field, place_window
from .pictures import METRES_PER, WRITABLE, check_writable, read_depth, read_picture, write_picture
from .stacks import Renderer, focal_stack

# Depth maps that are nearer or farther than a scene that anybody photographs with this camera.
# The median nearer than this share of the field's nearest depth: most pixels would only be clamped to it.
NEAR_SHARE = 0.5
# All of it beyond this, of several depths, and no difference in blur to see: as metres of a map in mm or cm look.
FAR_M, SEVERAL, INVISIBLE_PX = 30.0, 1.2, 0.25
LINE_M = "{:.4g} m"


@dataclass(frozen=True)
class Scene:
    """What both commands take."""

    image: tyro.conf.Positional[Path]
    """The sharp picture: PNG, JPEG, TIFF, EXR or NPY."""
    depth: Path
    """Its depth map, of the same size: PNG, TIFF, EXR or NPY."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """What to write."""
    unit: Literal["m", "cm", "mm", "dpt"] = "m"
    """Unit of the depth map: metres, centimetres, millimetres, or dioptres (1/m, 0 is infinity)."""
    scale: float = 1.0
    """Unit per stored step: 0.0002 for 5000 steps to the metre."""
    offset: float = 0.0
    """Added after the scale, in the unit."""
    missing: tuple[float, ...] = ()
    """Stored values that mean that nothing was measured, often 0 or 65535."""
    fill: Literal["refuse", "nearest", "inf"] = "refuse"
    """What stands for missing depth: an error, the nearest measured pixel's, or infinity."""
    trust_depth: bool = False
    """Render even if the depths look as if the unit were wrong."""
    encoding: Literal["auto", "srgb", "linear"] = "auto"
    """Of the picture's values: auto takes integers as sRGB and floats as linear light."""
    window: tuple[int, int] | None = None
    """Sensor pixel (column, row) of the picture's first pixel. By default the picture lies in the sensor's middle."""
    fit: bool = False
    """Take the picture as the whole sensor (or its largest centred part of the picture's shape), whatever its size: the
    field is resampled to pixels of that size. Without it pixels of the picture are pixels of the sensor."""
    padding: Literal["reflect", "replicate", "zeros"] = "reflect"
    """What stands outside the frame."""
    bits: int | None = None
    """Per sample of what is written: 8 or 16 for PNG, 16 or 32 for TIFF and EXR, 32 or 64 for NPY."""


@dataclass(frozen=True)
class Simulate(Scene):
    """Photograph a sharp picture with a depth map through the PSF field of a camera.

    Example: python -m render simulate photo.png --depth depth.png --unit mm --field lens.h5 -o blurred.png
    """

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The photograph to write, .png, .tif, .exr or .npy."""
    field: Path = tyro.MISSING
    """The camera: a field file (.h5)."""
    method: Literal["pixelwise", "layered", "blend"] = "pixelwise"
    """pixelwise: every pixel its own kernel. layered: near surfaces hide far ones too. blend: the kernels of the middle
    of the picture everywhere."""
    form: Literal["gather", "scatter", "normalised"] = "gather"
    """Of pixelwise: the kernel of the pixel that receives light, or of the one that sends it."""


@dataclass(frozen=True)
class Stack(Scene):
    """Photograph a sharp picture with a depth map at several focus distances: a field for each, a picture for each.

    Example: python -m render stack photo.png --depth depth.exr --unit m --fields near.h5 far.h5 -o stack
    """

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """A folder for the photographs."""
    fields: tuple[Path, ...] = tyro.MISSING
    """Field files (.h5), one per focus distance, in the order of the photographs."""
    method: Literal["pixelwise", "layered", "blend"] = "pixelwise"
    """pixelwise: every pixel its own kernel. layered: near surfaces hide far ones too. blend: the kernels of the middle
    of the picture everywhere."""
    suffix: Literal[".png", ".tif", ".exr", ".npy"] = ".png"
    """Kind of the photographs; they are named NAME_00 and so on."""


@dataclass(frozen=True)
class Develop:
    """Develop a RAW file or a DNG into a picture.

    Example: python -m render develop photo.dng -o photo.tif --exposure-ev 0.5
    """

    raw: tyro.conf.Positional[Path]
    """The camera file."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The picture to write, .png, .tif, .exr or .npy."""
    bits: int | None = None
    """Per sample; by default 16 for PNG and TIFF."""
    method: Literal["bilinear", "malvar"] = "malvar"
    """How to demosaic."""
    white_balance: tuple[float, float, float] | None = None
    """Multipliers of R, G, B instead of the file's."""
    camera_colours: bool = False
    """Take the camera's colours for sRGB's, where nobody knows its matrix."""
    exposure_ev: float = 0.0
    """Brighter by so many stops."""
    crop: bool = True
    """Only the part that the maker shows."""


@dataclass(frozen=True)
class CalibrateNoise:
    """Measure a sensor's noise, from pairs of evenly lit RAW frames and of dark ones, or from single frames.

    Per ISO: 8 or more levels of light from 1 to 80 % of white, two frames each (defocus, or a diffuser), and two or
    more dark frames (cap on, shortest time). Names say what a file is: flat_iso400_03_a.dng, dark_iso400_b.dng; or a
    file frames.csv in the folder with the columns file, kind (flat, dark, scene), iso, pair.

    Example: python -m render calibrate-noise frames -o sensor.json
    """

    folder: tyro.conf.Positional[Path]
    """RAW files, or mosaics as NPY, 16-bit TIFF or PNG (these need --pattern and --white); subfolders count."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The noise model to write, .json; a plot of the same name, .png, is written beside it."""
    method: Literal["auto", "pairs", "tiles"] = "auto"
    """pairs: two frames of each light. tiles: single frames of a scene with calm parts, less sure. auto: pairs, if
    there are flat ones."""
    pattern: Literal["RGGB", "GRBG", "GBRG", "BGGR"] | None = None
    """Bayer pattern, instead of what files say."""
    black: tuple[float, ...] = ()
    """Black level in DN, one number or four for R Gr Gb B, instead of what files say."""
    white: float | None = None
    """White level in DN, instead of what files say."""
    crop: float = 0.5
    """Share of each side, in the middle, that is used."""
    lenient: bool = False
    """Leave out an ISO that cannot be fitted, with a warning, instead of giving up."""
    plot: bool = True
    """Draw the plot."""


Command = Simulate | Stack | Develop | CalibrateNoise


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 2 for input that cannot be used, 130 for Ctrl-C."""

    def start() -> None:
        written = run(parse_arguments(lambda: read_words(argv)))
        print("written: " + ", ".join(map(str, written)))

    return run_command(start, interrupted="interrupted; nothing is half written")


def read_words(argv: Sequence[str] | None) -> Command:
    """One of the commands, filled in."""
    found: Command = tyro.extras.subcommand_cli_from_dict(
        {"simulate": Simulate, "stack": Stack, "develop": Develop, "calibrate-noise": CalibrateNoise},
        args=argv,
        prog="python -m render",
        description="Photographs of a sharp picture and its depth map through a camera's PSF field; RAW files; noise.",
    )
    return found


def run(args: Command) -> list[Path]:
    """Do what is asked for; the files that were written."""
    if isinstance(args, Develop):
        from .commands_raw import develop_command

        return [develop_command(**vars(args))]
    if isinstance(args, CalibrateNoise):
        return calibrate_noise(args)
    return simulate(args) if isinstance(args, Simulate) else stack(args)


def simulate(args: Simulate) -> list[Path]:
    """Render one photograph and write it."""
    check_writable(args.out, args.bits)
    image, depth_m = load_scene(args)
    field, image, window = place(args, args.field, image)
    check_depth(args, depth_m, [field])
    if args.method != "pixelwise" and args.form != "gather":
        raise InputError("--form", args.form, f"gather for --method {args.method}")
    with tqdm(total=1, unit="row of tiles", leave=False, disable=None) as bar:
        method = render_form(args.form, bar) if args.method == "pixelwise" else args.method
        photo = focal_stack(image, depth_m, [field], method, window=window, padding=args.padding)[0]
    write_picture(args.out, photo, bits=args.bits)
    return [args.out]


def stack(args: Stack) -> list[Path]:
    """Render a photograph per field; write all of them or none."""
    if not args.fields:
        raise InputError("--fields", "none", "at least one field file")
    folder = args.out
    if folder.exists() and not folder.is_dir():
        raise InputError("--out", f"{folder}, which is a file", "a folder")
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"{folder.parent}: no such folder to make {folder.name} in")
    if args.bits is not None and args.bits not in WRITABLE[args.suffix]:
        raise InputError("--bits", args.bits, " or ".join(map(str, WRITABLE[args.suffix])) + f" for {args.suffix}")
    image, depth_m = load_scene(args)
    placed = [place(args, path, image) for path in args.fields]
    fields, image, window = [field for field, _, _ in placed], placed[0][1], placed[0][2]
    check_depth(args, depth_m, fields)
    with tqdm(total=len(fields), unit="photograph", leave=False, disable=None) as bar:
        photos = focal_stack(
            image,
            depth_m,
            fields,
            args.method,
            window=window,
            padding=args.padding,
            on_progress=lambda done, _: advance(bar, done),
        )
    names = [f"{args.image.stem}_{n:02d}{args.suffix}" for n in range(len(fields))]
    return write_all(folder, dict(zip(names, photos.unbind(), strict=True)), args.bits)


def calibrate_noise(args: CalibrateNoise) -> list[Path]:
    """Measure the noise, print a table, write the model and its plot."""
    from .calibration_files import Reading
    from .calibration_folder import calibrate_folder, tabulate
    from .noise import write_whole

    if args.out.suffix.lower() != ".json":
        raise InputError("--out", f"the suffix {args.out.suffix!r}", ".json")
    if not args.out.parent.is_dir():
        raise FileNotFoundError(f"{args.out.parent}: no such folder to write {args.out.name} to")
    reading = Reading(args.pattern, args.black or None, args.white, args.crop)
    with tqdm(unit="file", leave=False, disable=None) as bar:

        def on_progress(done: int, files: int) -> None:
            bar.total = files
            advance(bar, done)

        found = calibrate_folder(
            args.folder, reading, method=args.method, lenient=args.lenient, on_progress=on_progress
        )
    for note in found.notes:
        warnings.warn(note, stacklevel=1)
    print(tabulate(found))
    picture = args.out.with_suffix(".png")
    if args.plot:
        from .noise_plots import plot_calibration

        drawn = io.BytesIO()
        plot_calibration(found.transfers, found.model).savefig(drawn, format="png", dpi=110)
        write_whole(picture, drawn.getvalue())
    found.model.save(args.out, found.details())
    return [args.out, picture] if args.plot else [args.out]


def render_form(form: Literal["gather", "scatter", "normalised"], bar: "tqdm[NoReturn]") -> Renderer:
    """A renderer of that form, every pixel with its own kernel, that moves a bar."""
    from .spatial import pixelwise

    def on_progress(done: int, total: int) -> None:
        bar.total = total
        advance(bar, done)

    def render(image: Tensor, depth_m: Tensor, field: PolarPSFField, window: tuple[int, int], padding: Any) -> Tensor:
        options: dict[str, Any] = {"window": window, "form": form, "padding": padding}
        return pixelwise(image, depth_m, field, **options, on_progress=on_progress)

    return render


def advance(bar: "tqdm[NoReturn]", done: int) -> None:
    """Move a progress bar to `done`."""
    bar.update(done - bar.n)


def load_scene(args: Scene) -> tuple[Tensor, Tensor]:
    """Picture (1, C, H, W) and depth map (1, 1, H, W), of the same size."""
    image = read_picture(args.image, encoding=args.encoding)
    depth_m = read_depth(
        args.depth, unit=args.unit, scale=args.scale, offset=args.offset, missing=args.missing, fill=args.fill
    )
    sizes = [f"{one.shape[-1]} x {one.shape[-2]} px" for one in (depth_m, image)]
    if depth_m.shape[-2:] != image.shape[-2:]:
        raise InputError(str(args.depth), sizes[0], f"{sizes[1]}, the size of {args.image}")
    return image, depth_m


def place(args: Scene, path: Path, image: Tensor) -> tuple[PolarPSFField, Tensor, tuple[int, int]]:
    """A field for a picture (1, C, H, W), the picture in the field's channels, and its window."""
    field = psf.load(path).to(dtype=image.dtype)
    shape = (int(image.shape[-2]), int(image.shape[-1]))
    if args.fit:
        field = fit_field(field, shape)
    elif min(have - want for have, want in zip(field.image_shape_px, shape, strict=True)) < 0:
        found = f"{shape[1]} x {shape[0]} px"
        sensor = f"{field.image_shape_px[1]} x {field.image_shape_px[0]} px"
        expected = f"at most the sensor's {sensor} of {path}, or --fit to squeeze the whole sensor into the picture"
        raise InputError(str(args.image), found, expected)
    channels = len(field.channels)
    if image.shape[1] == 1:
        image = image.expand(-1, channels, -1, -1)
    if image.shape[1] != channels:
        raise InputError(str(args.image), f"{image.shape[1]} channels", f"the {channels} of {path}, or grey")
    return field, image, place_window(field.image_shape_px, shape, args.window)


def check_depth(args: Scene, depth_m: Tensor, fields: Sequence[PolarPSFField]) -> None:
    """Refuse depths (1, 1, H, W) that look as if they were in another unit."""
    if args.trust_depth:
        return
    found = find_doubt(depth_m, fields[0])
    if found is None:
        return
    fitting = [unit for unit in METRES_PER if unit != args.unit and suits(args, depth_m, unit, fields[0])]
    hint = f" (in {' or '.join(fitting)} they would do: --unit)" if fitting else ""
    raise InputError(
        f"{args.depth} as {args.unit}", *found[:1], found[1] + hint + "; --trust-depth renders all the same"
    )


def suits(args: Scene, depth_m: Tensor, unit: str, field: PolarPSFField) -> bool:
    """Whether the stored numbers behind depths (1, 1, H, W) make sense in another unit of length."""
    numbers = 1 / depth_m if args.unit == "dpt" else depth_m / METRES_PER[args.unit]
    other_m = numbers * METRES_PER[unit]
    return bool((other_m > 0).all()) and find_doubt(other_m, field) is None


def find_doubt(depth_m: Tensor, field: PolarPSFField) -> tuple[str, str] | None:
    """What was found and expected if depths (1, 1, H, W) do not look like a scene before this camera."""
    three_m = torch.stack([depth_m.min(), depth_m.median(), depth_m.max()])
    blur_px = measure_blur_px(field, three_m)
    nearest_m = float(field.depths_m[0])
    finite = depth_m[depth_m.isfinite()]
    near = float(three_m[1]) < NEAR_SHARE * nearest_m
    far = (
        finite.numel() > 0
        and float(finite.min()) > FAR_M
        and float(finite.max() / finite.min()) > SEVERAL
        and float(blur_px.max() - blur_px.min()) < INVISIBLE_PX
    )
    if not (near or far):
        return None
    depths = " / ".join(LINE_M.format(float(one)) for one in three_m)
    blurs = " / ".join(f"{float(one):.1f}" for one in blur_px)
    why = (
        f"the camera's depths, which begin at {LINE_M.format(nearest_m)}"
        if near
        else f"depths within {FAR_M:g} m, or blur that differs by {INVISIBLE_PX:g} px"
    )
    return f"depths of {depths} (min / median / max), blurred by {blurs} px", why


def measure_blur_px(field: PolarPSFField, depths_m: Tensor) -> Tensor:
    """Diameters of even discs as wide as the kernels of the picture's middle, middle channel, shape (N,)."""
    kernels = field.at(torch.zeros_like(depths_m), depths_m)[:, len(field.channels) // 2]
    # A disc's RMS radius is its radius over the root of 2; a pixel's own square has a variance of 1/12 per axis.
    square = find_rms_radius_px(kernels).square() - 1 / 6
    return 2 * math.sqrt(2) * square.clamp_min(0).sqrt()


def write_all(folder: Path, photos: dict[str, Tensor], bits: int | None) -> list[Path]:
    """Write pictures (1, C, H, W) under their names: all of them are whole before the first one gets its name."""
    part = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.part")
    part.mkdir()
    try:
        for name, photo in photos.items():
            write_picture(part / name, photo, bits=bits)
        if not folder.exists():
            part.replace(folder)
        else:
            for name in photos:
                (part / name).replace(folder / name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return [folder / name for name in photos]


if __name__ == "__main__":
    sys.exit(main())
