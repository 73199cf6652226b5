"""Tables of time, truth and memory: depth-blend and per-pixel rendering."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from render_measures import (
    Cost,
    Seconds,
    at_places,
    blend_truth,
    compare,
    pixelwise_truth,
    print_table,
    random_places,
    run_fresh,
    shown,
    time_in_turn,
)
from render_peer import PART_PX, Peer
from render_scenes import (
    DEPTHS,
    depth_map,
    hard_picture,
    lopsided_kernels,
    make_field,
    photograph,
    stored_depths_m,
)
from torch import Tensor

from psf import PolarPSFField
from render import depth_blend, pixelwise, plan_pixelwise

AT_RADIUS, AT_AZIMUTH_RAD = 0.7, 0.3  # whose kernels depth-blend gets of a field
MEMORY_JOBS = ("depth_blend", "pixelwise", "scatter", "normalised", "plan", "gradient")
FRAME_PX = 3000, 4000


@dataclass(frozen=True)
class Run:
    """What all tables are told; as `render_report.Args`."""

    kernels_px: tuple[int, ...]
    fields: tuple[str, ...]
    size_px: int
    planes: int
    places: int
    threads: int
    repeats: int
    peer: Peer | None
    is_quick: bool


@dataclass(frozen=True, eq=False)
class Scene:
    """Float32: image (1, 3, H, W), depth_m (1, 1, H, W), a field and where on its sensor the picture begins."""

    image: Tensor
    depth_m: Tensor
    field: PolarPSFField
    window: tuple[int, int]


def make_scene(run: Run, name: str, kernel_px: int, depth: str = "scene", *, is_hard: bool = False) -> Scene:
    field, window = make_field(name, kernel_px, run.size_px, run.planes)
    image = (hard_picture if is_hard else photograph)(run.size_px)
    return Scene(
        image.float(), depth_map(run.size_px, run.size_px, depth).float(), field.to(dtype=torch.float32), window
    )


def plain_scene(run: Run, kernel_px: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Float32: image, depth_m, kernels, depths_m of the comparison with DeepLens."""
    depth_m, kernels = depth_map(run.size_px, run.size_px), lopsided_kernels(run.planes, kernel_px)
    image, depths_m = photograph(run.size_px), stored_depths_m(run.planes)
    return image.float(), depth_m.float(), kernels.float(), depths_m.float()


def gradient_call(run: Callable[..., Tensor], *leaves: Tensor) -> Callable[[], Any]:
    """Forward and backward: `run` of copies of the tensors that want gradients."""
    own = [one.detach().clone().requires_grad_() for one in leaves]

    def call() -> Any:
        with torch.enable_grad():
            out = run(*own)
            return torch.autograd.grad(out, own, torch.ones_like(out))

    return call


def without_gradients(call: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        with torch.no_grad():
            return call()

    return run


def ask(run: Run, call: str, name: str, **tensors: Tensor) -> Callable[[], Any] | None:
    """A call of the peer on a scene."""
    peer = run.peer
    if peer is None:
        return None
    peer.give(name, **tensors)
    return lambda: Seconds(peer.seconds(call, name))


def print_blend(run: Run) -> None:
    """Depth-blend against the peer, and what gradients and a mosaic's sites cost."""
    image, depth_m, _, depths_m = plain_scene(run, 3)
    x, y = random_places(run.size_px, run.size_px, run.places)

    def rows() -> Iterator[tuple[str, ...]]:
        for kernel_px in run.kernels_px:
            scene = plain_scene(run, kernel_px)
            kernels, double = scene[2], tuple(one.double() for one in scene)
            calls: dict[str, Callable[[], Any]] = {
                "depth_blend": without_gradients(lambda scene=scene: depth_blend(*scene)),
                "float64": without_gradients(lambda double=double: depth_blend(*double)),
                "Bayer sites only": without_gradients(lambda scene=scene: depth_blend(*scene, sites="RGGB")),
                "gradient: image": gradient_call(lambda one, k=kernels: depth_blend(one, depth_m, k, depths_m), image),
                "gradient: image, kernels": gradient_call(
                    lambda one, k: depth_blend(one, depth_m, k, depths_m), image, kernels
                ),
            }
            asked = ask(
                run, "blend", f"plain{kernel_px}", image=image, depth_m=depth_m, kernels=kernels, depths_m=depths_m
            )
            if asked is not None:
                calls = {"DeepLens": asked, **calls}
            found = time_in_turn(calls, run.repeats)
            truth = blend_truth(scene, x, y)
            own = found["depth_blend"]
            for name, cost in found.items():
                out = None
                if name == "DeepLens" and run.peer is not None:
                    out = run.peer.picture()
                elif name in ("depth_blend", "float64"):
                    out = calls[name]()
                error = "" if out is None else f"{compare(at_places(out, x, y), truth).largest:.1e}"
                yield (
                    str(kernel_px), name, cost.shown, shown(cost.cpu_ms, 1),
                    _ratio(found, "DeepLens", cost), shown(cost.wall_ms / own.wall_ms),
                    shown(cost.cpu_ms / own.cpu_ms), error,
                )  # fmt: skip

    size = f"1 x 3 x {run.size_px} x {run.size_px}, {run.planes} planes"
    header = (
        "px",
        "what",
        "ms (best)",
        "CPU ms",
        "times faster than DeepLens",
        "x depth_blend",
        "CPU x",
        "largest error",
    )
    print_table(f"Depth-blend, {size}", header, rows())


def _ratio(found: dict[str, Cost], name: str, cost: Cost) -> str:
    """How often `cost` goes into what `name` took, if that was measured."""
    return shown(found[name].wall_ms / cost.wall_ms, 1) if name in found else ""


def cold_and_warm(run: Run, scene: Scene) -> dict[str, Callable[[], Any]]:
    image, depth_m, field, window = scene.image, scene.depth_m, scene.field, scene.window
    kernels = field.at_radius(AT_RADIUS, AT_AZIMUTH_RAD)
    plan = plan_pixelwise(field, (run.size_px, run.size_px), depth_m=depth_m, window=window)
    calls = {
        "depth_blend": lambda: depth_blend(image, depth_m, *kernels),
        "pixelwise, cold": lambda: pixelwise(image, depth_m, field, window=window),
        "pixelwise, warm": lambda: pixelwise(image, depth_m, plan),
    }
    return {name: without_gradients(call) for name, call in calls.items()}


def all_forms(run: Run, scene: Scene) -> dict[str, Callable[[], Any]]:
    image, depth_m, field, window = scene.image, scene.depth_m, scene.field, scene.window

    def learned(picture: Tensor, kernels: Tensor, transmission: Tensor) -> Tensor:
        return pixelwise(picture, depth_m, replace(field, kernels=kernels, transmission=transmission), window=window)

    forms = {
        form: without_gradients(lambda form=form: pixelwise(image, depth_m, field, window=window, form=form))
        for form in ("scatter", "normalised")
    }
    return {
        **cold_and_warm(run, scene),
        **forms,
        "gradient: image": gradient_call(lambda one: pixelwise(one, depth_m, field, window=window), image),
        "gradient: image, kernels, transmission": gradient_call(learned, image, field.kernels, field.transmission),
    }


def print_pixelwise(run: Run) -> None:
    """Per-pixel rendering beside depth-blend and the peer."""

    def rows() -> Iterator[tuple[str, ...]]:
        for kernel_px in run.kernels_px:
            plain = plain_scene(run, kernel_px)
            names = ("image", "depth_m", "kernels", "depths_m")
            asked = ask(run, "blend", f"beside{kernel_px}", **dict(zip(names, plain, strict=True)))
            for name in run.fields:
                scene = make_scene(run, name, kernel_px)
                calls = all_forms(run, scene) if name in ("harsh", "traced") else cold_and_warm(run, scene)
                calls = {"plain": without_gradients(lambda plain=plain: depth_blend(*plain)), **calls}
                if asked is not None:
                    calls["DeepLens"] = asked
                found = time_in_turn(calls, run.repeats)
                for what, cost in found.items():
                    if what in ("plain", "DeepLens"):
                        continue
                    deeplens = cost.wall_ms / found["DeepLens"].wall_ms if "DeepLens" in found else math.nan
                    yield (
                        str(kernel_px), name, what, cost.shown, shown(cost.cpu_ms, 1),
                        shown(cost.wall_ms / found["depth_blend"].wall_ms),
                        shown(cost.wall_ms / found["plain"].wall_ms), shown(deeplens, 3),
                        shown(cost.wall_ms / found["pixelwise, cold"].wall_ms),
                    )  # fmt: skip

    title = f"Per-pixel rendering, 3 x {run.size_px} x {run.size_px}, {run.planes} stored depths; depth-blend with the "
    title += "field's own kernels, and with those of the table before, which have no zeros ('plain')"
    header = ("px", "field", "what", "ms (best)", "CPU ms", "x depth_blend", "x plain", "of DeepLens's blend", "x cold")
    print_table(title, header, rows())


def print_accuracy(run: Run) -> None:
    """Against the definition, for two pictures and finer tiles."""
    x, y = random_places(run.size_px, run.size_px, run.places)

    def rows() -> Iterator[tuple[str, ...]]:
        for kernel_px in run.kernels_px:
            for name in run.fields:
                for is_hard in (False, True):
                    scene = make_scene(run, name, kernel_px, is_hard=is_hard)
                    picture = (scene.image, scene.depth_m, scene.field)
                    truth = pixelwise_truth(*picture, scene.window, x, y)
                    row = [str(kernel_px), name, "hard" if is_hard else "photograph"]
                    for tile_px in (None, 64, 32, 16):
                        with torch.no_grad():
                            out = pixelwise(*picture, window=scene.window, tile_px=tile_px, method="tiles")
                        error = compare(at_places(out, x, y), truth)
                        row.append(f"{error.psnr_db:.1f} dB, {error.largest:.4f}")
                    yield tuple(row)

    title = f"Error of pixelwise at {run.places} random pixels: PSNR, largest; by the tile's side"
    print_table(title, ("px", "field", "picture", "default tiles", "64 px", "32 px", "16 px"), rows())


def print_depths(run: Run) -> None:
    """One depth, all, and a random one per pixel."""

    def rows() -> Iterator[tuple[str, ...]]:
        for kernel_px in run.kernels_px:
            for depth in DEPTHS:
                scene = make_scene(run, "harsh", kernel_px, depth)
                found = time_in_turn(cold_and_warm(run, scene), run.repeats)
                blend, cold, warm = (cost.wall_ms for cost in found.values())
                yield (
                    str(kernel_px), depth, shown(blend, 1), shown(cold, 1), shown(warm, 1), shown(cold / blend),
                    shown(warm / blend),
                )  # fmt: skip

    title = "Depth maps (harsh field): two objects on a floor, one depth, a floor over all depths, random per pixel"
    header = ("px", "depth map", "depth_blend ms", "cold ms", "warm ms", "cold x", "warm x")
    print_table(title, header, rows())


def print_memory(run: Run) -> None:
    """Peaks above the inputs, each in a process of its own."""

    def rows() -> Iterator[tuple[str, ...]]:
        for kernel_px in run.kernels_px:
            for field in [name for name in run.fields if name in ("harsh", "traced")]:
                row = [str(kernel_px), field]
                for job in MEMORY_JOBS:
                    asked = ("--what", job, "--field", field, "--kernel-px", str(kernel_px))
                    found = run_fresh([*asked, "--threads", str(run.threads)])
                    row.append(found.get("failed") or f"{found['added_mib']:.0f}")
                yield tuple(row)

    title = "Peak resident memory above the inputs, 3 x 512 x 512, in MiB (the result, 3 MiB, counts)"
    header = ("px", "field", "depth_blend", "cold", "scatter", "normalised", "plan", "gradient: image, kernels")
    print_table(title, header, rows())


def print_per_pixel_peer(run: Run) -> None:
    """The peer's per-pixel kernels and splat from the same field."""
    if run.peer is None:
        return

    def rows() -> Iterator[tuple[str, ...]]:
        for kernel_px in run.kernels_px:
            for name in [one for one in run.fields if one in ("harsh", "traced")]:
                scene = make_scene(run, name, kernel_px)
                image, depth_m, field = scene.image, scene.depth_m, scene.field
                tensors = {"image": image, "depth_m": depth_m, "kernels": field.kernels, "depths_m": field.depths_m}
                calls: dict[str, Callable[[], Any]] = {}
                for what in ("kernels and splat", "splat"):
                    asked = ask(run, what, f"{name}{kernel_px}", **tensors)
                    assert asked is not None
                    calls[what] = asked
                calls["cold"] = without_gradients(
                    lambda scene=scene: pixelwise(scene.image, scene.depth_m, scene.field)
                )
                both, bare, own = (cost.wall_ms for cost in time_in_turn(calls, run.repeats).values())
                yield (
                    str(kernel_px), name, shown(own, 1), shown(both, 0), shown(both / own, 0), shown(bare, 0),
                    shown(bare / own, 0),
                )  # fmt: skip

    title = f"DeepLens per pixel: a {PART_PX} x {PART_PX} px piece, its time scaled to {run.size_px} x {run.size_px}"
    header = (
        "px",
        "field",
        "pixelwise, cold, ms",
        "its kernels and splat, ms",
        "times",
        "its splat alone, ms",
        "times",
    )
    print_table(title, header, rows())


def print_frame(run: Run) -> None:
    """A whole frame in a process of its own."""
    height, width = (n // 4 for n in FRAME_PX) if run.is_quick else FRAME_PX

    def rows() -> Iterator[tuple[str, ...]]:
        for kernel_px in run.kernels_px:
            for job in ("depth_blend", "pixelwise"):
                asked = ["--what", job, "--field", "traced", "--kernel-px", str(kernel_px), "--repeats", "2"]
                asked += ["--height-px", str(height), "--width-px", str(width), "--threads", str(run.threads)]
                found = run_fresh(asked)
                if "failed" in found:
                    yield str(kernel_px), job, found["failed"], "", ""
                    continue
                peak, added = found["peak_mib"] / 1024, found["added_mib"] / 1024
                yield str(kernel_px), job, shown(found["seconds"]), shown(peak), shown(added)

    title = f"A frame of {height} x {width} px in three colours: traced lens at its own places, slanted depth"
    header = ("px", "what", "s", "peak of the process, GiB", "above the inputs, GiB")
    print_table(title, header, rows())
