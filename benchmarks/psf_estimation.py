"""PSF fields from photographs: the two tables of Wu, Monno and Okutomi (ICIP 2024) on lenses that are really traced.

    python benchmarks/psf_estimation.py -o FOLDER                                # four lenses, every method, seed 1
    python benchmarks/psf_estimation.py -o FOLDER --seeds 1 2 3                  # the table with its spread
    python benchmarks/psf_estimation.py -o FOLDER --lenses stack --methods psfnet yang --steps-share 0.3
    python benchmarks/psf_estimation.py -o FOLDER --lenses stack --pairs 45 90 180 --noise 0.0025 0.005 0.01
    python benchmarks/psf_estimation.py -o FOLDER --lenses stack --depths 5 20 0  # so many depths; 0: one per pair
    python benchmarks/psf_estimation.py -o FOLDER --lenses triplet gauss phone2 wide --methods gaussian direct

A row of FOLDER/psf_estimation_LENS.csv per method, seed and setting; rows that are there are not made again. Pictures
are dead leaves, photographed by `render.simulate_captures` with kernels traced for every crop; gaussian, tseng and yang
learn from kernels of 20 depths at a grid of 16 x 16 pixels, as in the paper, their `_pairs` twins and all others from
the pictures alone. `_free` leaves out the loss that punishes rings and kernels off centre, which the paper weighs with
10 and real lenses break (`tseng_free` and `yang_free` learn from pictures, too); `psfnet_fine` has besides three values
per pixel and axis, which turn without blur. All are judged at kernels of `psf_at` at pixels and depths that nobody has
seen, and at azimuth 0, where no turning is involved (the ablation (x, y) has none). MAE is the mean absolute difference
of 25 x 25 taps of unit-sum kernels, in 1e-4; besides L1 (share of light in the wrong place), centroid and RMS radius,
and what re-blurring leaves of 12 pairs that no method has seen, in units of their noise (`held_noise`, 1 is all that
can be had).
"""

import csv
import io
import math
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from torch import Tensor

import optics
from optics.geometric import kernels_at
from psf import Channel, InputError, PolarPSFField
from psf.capture_files import read_captures, write_captures
from psf.captures import Captures
from psf.estimation import estimate
from psf.estimators import networks
from psf.estimators.networks.recipes import RECIPES
from psf.metrics import find_centroid_px, find_rms_radius_px
from psf.patterns import make_dead_leaves
from psf.residuals import find_residuals
from psf.runs import make_generator, whole_file
from psf.turning import polar_place
from render.capture_simulation import SimulatedFocus, simulate_captures

KERNEL_PX = 25
WAVELENGTH_UM = 0.5876
# What a crop's kernels are traced at: so far apart in image height, and this many times finer than pixels.
RADIUS_STEP, OVERSAMPLE = 0.02, 7
KNOWN_DEPTHS, KNOWN_GRID = 20, 16
# Pairs that are photographed for nobody but the judge.
HELD_PAIRS = 12


@dataclass(frozen=True)
class Scene:
    """A lens, how its sensor is binned, its focus, and the dioptres of the pairs."""

    lens: str
    binning: int
    focus_m: float
    farthest_dpt: float
    nearest_dpt: float

    def camera(self) -> optics.Lens:
        lens = optics.load(self.lens)
        height, width = lens.sensor.image_shape_px
        shape = (height // self.binning, width // self.binning)
        sensor = optics.Sensor(image_shape_px=shape, pitch_um=lens.sensor.pitch_um * self.binning)
        lens = replace(lens, sensor=sensor).refocused(self.focus_m, method="spot")
        return replace(lens, channels=(Channel("G", (WAVELENGTH_UM,)),))


# 25 px hold 98 % of the light everywhere, of the first four 99 %.
SCENES = {
    "stack": Scene("stack_12mm_f2.8", 4, 0.72, 0.01, 3.9),
    "phone": Scene("f2.2_fixedfocus", 3, 0.2, 2.2, 8.0),
    "rf50": Scene("camera_rf50mm_f1p8", 4, 2.0, 0.33, 0.67),
    "singlet": Scene("singlet_biconvex_nbk7", 5, 1.5, 0.6, 0.85),
    # Nothing was ever chosen on these but how `physical` decides, and that it takes a mean.
    "triplet": Scene("cooke_triplet", 4, 2.0, 0.2, 0.9),
    "gauss": Scene("double_gauss_jp1987087922", 4, 2.0, 0.33, 0.67),
    "phone2": Scene("phone_us9651759", 2, 0.5, 0.5, 3.5),
    "wide": Scene("wide_laikin100", 4, 0.4, 0.1, 6.0),
}
LENSES = ("stack", "phone", "rf50", "singlet")
SUPERVISED = ("gaussian", "tseng", "yang")
ABLATIONS = ("none", "xy")
OTHERS = ("direct", "physical")
METHODS = (*SUPERVISED, "psfnet", *ABLATIONS, *OTHERS)
TWINS = tuple(f"{name}_pairs" for name in SUPERVISED)
# Without the loss that punishes rings and kernels off centre.
FREE = ("psfnet_free", "none_free", "xy_free", "tseng_free", "yang_free")
# And with kernels finer than pixels, so many values per pixel and axis, which are turned before they are binned.
FINE, FINE_OVERSAMPLE = ("psfnet_fine",), 3
KEY = ["lens", "method", "seed", "pairs", "crop_px", "noise", "depths", "steps", "turning"]
ERRORS = ["mae_pixel", "mae_axis", "l1_pixel", "l1_axis", "centroid_px", "rms_radius_share", "held_noise"]
COLUMNS = [*KEY, "supervised", *ERRORS, "seconds", "cpu_s", "peak_mb"]


@dataclass(frozen=True)
class Args:
    """Make the rows that are not there yet, then print the tables."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for rows and pictures."""
    lenses: tuple[str, ...] = LENSES
    """Besides these four: triplet, gauss, phone2, wide, on which next to nothing was chosen."""
    methods: tuple[str, ...] = METHODS
    """Besides these: gaussian_pairs, tseng_pairs, yang_pairs; psfnet_free, none_free, xy_free, tseng_free, yang_free;
    psfnet_fine."""
    seeds: tuple[int, ...] = (1,)
    """Of pictures, places, weights; three for the table."""
    pairs: tuple[int, ...] = (180,)
    noise: tuple[float, ...] = (0.005,)
    depths: tuple[int, ...] = (0,)
    """Different depths of the pairs, even in dioptres; 0: one per pair, at random."""
    steps_share: float = 1.0
    """Of every training's usual steps."""
    crop_px: int = 128
    node_px: int = 8
    """Kernels of the pictures stand at every so many pixels."""
    turning: str = "cubic"
    """How networks' kernels are turned, in training and when judged."""
    test_depths: int = 8
    test_places: int = 48
    """Pixels, and as many image heights, at each of them."""
    note: str = ""
    """Words for the head of the CSV."""
    threads: int = 1


def trace_crop(lens: optics.Lens, x_px: Tensor, y_px: Tensor, depth_m: Tensor) -> Tensor:
    """Kernels (N, 1, K, K) of a crop's pixels at one depth: traced at its image heights, fine, and read turned."""
    radius = polar_place(x_px, y_px, lens.sensor.image_shape_px)[0]
    ends = max(float(radius.min()) - 1e-6, 0.0), min(float(radius.max()) + 1e-6, 1.0)
    count = max(4, math.ceil((ends[1] - ends[0]) / RADIUS_STEP) + 1)
    radii = torch.linspace(*ends, count, dtype=torch.float64)
    depths = depth_m[:1].double()
    options = {"kernel_px": KERNEL_PX, "oversample": OVERSAMPLE, "check_loss": False}
    fine = kernels_at(lens, radii.tolist(), [0.0] * count, depths.tolist() * count, lens.channels, **options)
    field = PolarPSFField(
        kernels=fine.kernels[None],
        transmission=torch.ones(1, count, 1, dtype=torch.float64),
        lost=fine.lost[None].clamp(0, 0.99),
        depths_m=depths,
        radii=radii,
        image_shape_px=lens.sensor.image_shape_px,
        pitch_um=lens.sensor.pitch_um,
        channels=lens.channels,
        focus_m=1.0,
        oversample=OVERSAMPLE,
    )
    return field.at_pixel(x_px.double(), y_px.double(), float(depths), "linear", "cubic")


def photograph(scene: Scene, args: Args, seed: int, pairs: int, noise: float, depths: int, stream: int = 0) -> Captures:
    """Pairs as an estimator sees them; the same seed shows the same leaves at the same places, whatever the noise."""
    lens, generator = scene.camera(), make_generator(seed, stream)
    count = depths or pairs
    drawn = torch.rand(count, generator=generator, dtype=torch.float64)
    if depths:
        # Few depths are spread as a photographer spreads them: what lies beyond the outermost nobody can estimate.
        drawn = torch.linspace(0, 1, depths, dtype=torch.float64)
    dioptres = scene.farthest_dpt + (scene.nearest_dpt - scene.farthest_dpt) * drawn
    side = 3 * args.crop_px + KERNEL_PX
    displays = [make_dead_leaves((side, side), generator=generator) for _ in range(max(1, -(-pairs // 20)))]
    return simulate_captures(
        displays,
        [SimulatedFocus(lambda x, y, z: trace_crop(lens, x, y, z), scene.focus_m)],
        (1 / dioptres).repeat(-(-pairs // count))[:pairs],
        image_shape_px=lens.sensor.image_shape_px,
        kernel_px=KERNEL_PX,
        generator=generator,
        crop_px=(args.crop_px, args.crop_px),
        noise=noise,
        node_px=args.node_px,
        pitch_um=lens.sensor.pitch_um,
    )


@dataclass(frozen=True, eq=False)
class Truth:
    """Kernels (N, K, K) at pixels and at azimuth 0, and what learns from kernels (`known`)."""

    pixel: tuple[Tensor, Tensor, Tensor, Tensor]
    axis: tuple[Tensor, Tensor, Tensor]
    known: networks.KnownKernels | None


def trace_truth(scene: Scene, args: Args, seed: int, is_known_wanted: bool) -> Truth:
    """All of it by `kernels_at`, which is what `psf_at` calls."""
    lens, generator = scene.camera(), make_generator(seed, 1)
    height, width = lens.sensor.image_shape_px
    span = scene.nearest_dpt - scene.farthest_dpt

    def draw(count: int) -> Tensor:
        return torch.rand(count, generator=generator, dtype=torch.float64)

    def trace(radius: Tensor, azimuth: Tensor, depth_m: Tensor) -> Tensor:
        found = [
            kernels_at(lens, *(one.tolist() for one in part), lens.channels, kernel_px=KERNEL_PX, check_loss=False)
            for part in zip(radius.split(64), azimuth.split(64), depth_m.split(64), strict=True)
        ]
        return torch.cat([one.kernels[:, 0] for one in found])

    depth = (1 / (scene.farthest_dpt + span * draw(args.test_depths))).repeat_interleave(args.test_places)
    x, y = draw(len(depth)) * (width - 1), draw(len(depth)) * (height - 1)
    radius, cosine, sine = polar_place(x, y, (height, width))
    kernels = trace(radius, torch.atan2(sine, cosine), depth)
    along = draw(len(depth))
    axis = trace(along, 0 * along, depth)
    known = None
    if is_known_wanted:
        # A grid over the sensor, one quarter of it: the others have the same image heights.
        line = (torch.arange(KNOWN_GRID // 2, dtype=torch.float64) + 0.5) / KNOWN_GRID
        rows, columns = torch.meshgrid(line * height, line * width, indexing="ij")
        radii = (torch.hypot(rows, columns) / (0.5 * math.hypot(height, width))).reshape(-1)
        z = (1 / (scene.farthest_dpt + span * draw(KNOWN_DEPTHS))).repeat_interleave(len(radii))
        r = radii.repeat(KNOWN_DEPTHS)
        found = trace(r, 0 * r, z)[:, None]
        known = networks.KnownKernels(kernels=found.float(), radius=r.float(), depth_m=z.float())
    return Truth((x, y, depth, kernels), (along, depth, axis), known)


def measure(model: Any, method: str, truth: Truth, held: Captures) -> dict[str, float]:
    """Errors of kernels, and of pictures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # depths between the last pair's and the range's end
        x, y, depth, kernels = truth.pixel
        found = model.kernels_at_pixel(x, y, depth)[:, 0].double()
        radius, depth, axis = truth.axis
        canonical = model.kernels_at(radius, depth)[:, 0].double()
        ratios = [one.ratio for one in find_residuals(model, held, magnification=model.magnification)]
    has_axis = name_of(method) != "xy"
    # A point in focus is smaller than a pixel.
    spread = find_rms_radius_px(kernels).clamp_min(0.1)
    return {
        "mae_pixel": 1e4 * float((found - kernels).abs().mean()),
        "mae_axis": 1e4 * float((canonical - axis).abs().mean()) if has_axis else math.nan,
        "l1_pixel": 0.5 * float((found - kernels).abs().sum((-2, -1)).mean()),
        "l1_axis": 0.5 * float((canonical - axis).abs().sum((-2, -1)).mean()) if has_axis else math.nan,
        "centroid_px": float((find_centroid_px(found) - find_centroid_px(kernels)).norm(dim=-1).mean()),
        "rms_radius_share": float(((find_rms_radius_px(found) - find_rms_radius_px(kernels)).abs() / spread).mean()),
        "held_noise": math.sqrt(sum(one**2 for one in ratios) / len(ratios)),
    }


def run(method: str, captures: Captures, truth: Truth, args: Args, seed: int, checkpoint: Path) -> tuple[Any, int]:
    """The model, and the steps of its training (0 for none)."""
    generator = make_generator(seed, 2)
    if method in OTHERS:
        return estimate(captures, method, generator=generator), 0
    name, steps = name_of(method), steps_of(method, args)
    more: dict[str, Any] = {"radial_weight": 0.0} if method in (*FREE, *FINE) else {}
    if method in FINE:
        more["oversample"] = FINE_OVERSAMPLE
    known = truth.known if method in SUPERVISED else None
    options = networks.NetworkOptions(steps=steps or None, turning=args.turning, known=known, **more)
    estimator: Callable[..., Any] = getattr(networks, f"estimate_{name}")
    return estimator(captures, options, generator=generator, checkpoint=checkpoint), steps


def name_of(method: str) -> str:
    """Of the estimator."""
    return method.removesuffix("_pairs").removesuffix("_free").removesuffix("_fine")


def steps_of(method: str, args: Args) -> int:
    """Of the method's training."""
    if method in (*OTHERS, "gaussian"):
        return 0
    recipe = RECIPES[name_of(method)]
    return max(1, round(args.steps_share * (recipe.known if method in SUPERVISED else recipe.pairs).steps))


def peak_mb(is_reset: bool = False) -> float:
    """Largest resident memory since the last reset; NaN where the system does not tell."""
    try:
        if is_reset:
            Path("/proc/self/clear_refs").write_text("5")
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return math.nan


def read_rows(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


def write_rows(file: Path, rows: list[dict[str, str]], head: list[str]) -> None:
    text = io.StringIO()
    text.writelines(f"# {line}\n" for line in head)
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with whole_file(file) as part:
        part.write_text(text.getvalue(), encoding="utf-8")


def key_of(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in KEY)


def make_rows(lens: str, args: Args, head: list[str]) -> list[dict[str, str]]:
    file = args.out / f"psf_estimation_{lens}.csv"
    rows = read_rows(file)
    done = {key_of(row) for row in rows}
    truths: dict[int, Truth] = {}
    for seed in args.seeds:
        for pairs, noise, depths in [(p, n, d) for p in args.pairs for n in args.noise for d in args.depths]:
            captures = held = None
            for method in args.methods:
                turning = args.turning if method not in OTHERS else ""
                row: dict[str, Any] = {"lens": lens, "method": method, "seed": seed, "pairs": pairs}
                row |= {"crop_px": args.crop_px, "noise": noise, "depths": depths, "turning": turning}
                row |= {"steps": steps_of(method, args), "supervised": int(method in SUPERVISED)}
                if key_of(row) in done:
                    continue
                if seed not in truths:
                    truths[seed] = trace_truth(SCENES[lens], args, seed, bool(set(SUPERVISED) & set(args.methods)))
                if captures is None or held is None:
                    kept = args.out / f"{lens}_{seed}_{pairs}_{args.crop_px}_{noise}_{depths}_{args.node_px}.npz"
                    if not kept.is_file():
                        write_captures(kept, photograph(SCENES[lens], args, seed, pairs, noise, depths))
                    captures = read_captures(kept).loaded()
                    held = photograph(SCENES[lens], args, seed, HELD_PAIRS, noise, 0, stream=3)
                peak_mb(is_reset=True)
                begun, used = time.perf_counter(), time.process_time()
                try:
                    checkpoint = args.out / f".{'_'.join(key_of(row))}.checkpoint"
                    model, _ = run(method, captures, truths[seed], args, seed, checkpoint)
                except (ImportError, InputError) as error:
                    print(f"{lens} {method}: left out: {error}", file=sys.stderr)
                    continue
                row |= {"seconds": f"{time.perf_counter() - begun:.1f}", "cpu_s": f"{time.process_time() - used:.1f}"}
                row["peak_mb"] = f"{peak_mb():.0f}"
                row |= {name: f"{value:.5g}" for name, value in measure(model, method, truths[seed], held).items()}
                rows.append({name: str(row[name]) for name in COLUMNS})
                write_rows(file, rows, head)
                print(f"{lens} {method} seed {seed}: {row['mae_pixel']} at pixels", file=sys.stderr, flush=True)
    return rows


def show(rows: list[dict[str, str]]) -> None:
    """One line per lens, method and setting: means over seeds, and their standard deviation."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(tuple(v for k, v in zip(KEY, key_of(row), strict=True) if k != "seed"), []).append(row)
    print(
        "| lens | method | sees | MAE at pixels, 1e-4 | at azimuth 0 | centroid px | RMS radius % "
        "| left, noise = 1 | CPU s | MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for members in groups.values():
        one = members[0]

        def value(name: str, members: list[dict[str, str]] = members) -> Tensor:
            return torch.tensor([float(row[name]) for row in members], dtype=torch.float64)

        pixel, axis = value("mae_pixel"), value("mae_axis")
        spread = f" ± {float(pixel.std()):.2f}" if len(members) > 1 else ""
        azimuth_0 = "-" if bool(axis.isnan().all()) else f"{float(axis.mean()):.2f}"
        setting = "kernels" if one["supervised"] == "1" else f"{one['pairs']} pairs, noise {one['noise']}"
        setting += f", {one['depths']} depths" if one["depths"] != "0" else ""
        print(
            f"| {one['lens']} | {one['method']} | {setting} | {float(pixel.mean()):.2f}{spread} | {azimuth_0} "
            f"| {float(value('centroid_px').mean()):.3f} | {100 * float(value('rms_radius_share').mean()):.1f} "
            f"| {float(value('held_noise').mean()):.2f} "
            f"| {float(value('cpu_s').mean()):.0f} | {float(value('peak_mb').mean()):.0f} |"
        )


def show_scenes(lenses: tuple[str, ...]) -> None:
    """What stands fixed for every lens, and how much light its kernels lose at most, over depths and image heights."""
    print("| lens | focus m | depths m | pitch um | sensor px | kernel px | light lost at most |")
    print("|---|---|---|---|---|---|---|")
    for name in lenses:
        scene = SCENES[name]
        lens = scene.camera()
        dioptres = torch.linspace(scene.farthest_dpt, scene.nearest_dpt, 5).tolist()
        places = [(radius, 1 / one) for one in dioptres for radius in (0.0, 0.5, 0.8, 0.9, 1.0)]
        radii, lengths = zip(*places, strict=True)
        options = {"kernel_px": KERNEL_PX, "check_loss": False}
        lost = 100 * float(kernels_at(lens, radii, [0.0] * len(radii), lengths, lens.channels, **options).lost.max())
        height, width = lens.sensor.image_shape_px
        depths = f"{1 / scene.nearest_dpt:.3g} to {1 / scene.farthest_dpt:.3g}"
        shown = f"{scene.focus_m:g} | {depths} | {lens.sensor.pitch_um:.4g} | {width} x {height}"
        print(f"| {name}: {scene.lens} | {shown} | {KERNEL_PX} | {lost:.2f} % |")


def main() -> int:
    args = tyro.cli(Args, description=__doc__)
    for name, given, known in (
        ("lenses", args.lenses, SCENES),
        ("methods", args.methods, (*METHODS, *TWINS, *FREE, *FINE)),
    ):
        if unknown := set(given) - set(known):
            print(f"error: --{name} {' '.join(sorted(unknown))}: expected {' '.join(known)}", file=sys.stderr)
            return 2
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    words = [one for one in sys.argv[1:] if one not in ("-o", "--out", str(args.out), "--note", args.note)]
    head = [" ".join(["python benchmarks/psf_estimation.py", "-o FOLDER", *words])]
    head += [args.note] if args.note else []
    show_scenes(args.lenses)
    rows = [row for lens in args.lenses for row in make_rows(lens, args, head)]
    show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
