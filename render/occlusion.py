"""Depth of field where things hide one another: lens rays marched past edges, or flat layers."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from psf.discs import disc_overlap

from .layers import Quotient, blur, check_images, check_padding, check_reach
from .pupils import Discs, PupilRays, disc_rays, field_rays
from .spatial import pixelwise

Array = npt.NDArray[Any]

# Radii that gathered discs are computed at; between them linear (far below 60 dB).
DISC_STEP_PX = 0.05
MODES = ("march", "layers", "gather")


def layered(
    image: Tensor,
    depth_m: Tensor,
    field: PolarPSFField | Discs,
    *,
    window: tuple[int, int] | None = None,
    mode: str = "march",
    padding: str = "reflect",
    rays: int = 256,
    planes: int = 20,
) -> Tensor:
    """What a camera makes of a picture with depth when near things hide far ones from parts of the lens.

    "march" follows each pixel's rays through the pupil from near to far until they meet something: the visible
    surface, or what is guessed to lie behind its edges (edge pixels are taken apart, hidden surfaces continue those
    beside them). Only pixels that the blur of a jump in depth can reach are marched, all others gather with the
    kernel of their own place and depth. It is deterministic and runs on the CPU. It is differentiable in the picture:
    what is decided first (what hides what, how much of an edge pixel is covered) is held fixed, given that it is
    linear and the gradient exact.

    "layers" cuts the scene into planes even in dioptres, each pixel in the nearest one, blurs them with kernels that
    change over the picture, and lays them over one another. It is differentiable in the picture and in the field's
    kernels, runs on any device, and shows seams on slanted surfaces.

    "gather" is every pixel with its own kernel and nothing hidden, what "march" does outside the reach of jumps. For
    a field it is `pixelwise`, on any device and with all its gradients.

    Args:
        image: All in focus, linear light, shape (B, C, H, W).
        depth_m: Depth at the pixels' centres, `inf` allowed, shape (B, 1, H, W).
        field: A camera's field, or ideal discs.
        window: Sensor pixel (x0_px, y0_px) of the picture's upper left pixel. Default: the picture is the whole
            sensor. Discs are the same everywhere and need none.
        mode: "march", "layers" or "gather".
        padding: What stands outside the frame: "reflect", "replicate", "circular" or "zeros".
        rays: Of each marched pixel. Half as many cost 0.1 to 0.2 dB.
        planes: Of the mode "layers".

    Returns:
        Shape (B, C, H, W).
    """
    place = _check(image, depth_m, field, window, mode, padding, rays, planes)
    if mode == "layers":
        each = [
            _lay(one[None], depth[0], field, place, padding, planes) for one, depth in zip(image, depth_m, strict=True)
        ]
        return torch.cat(each) if each else torch.zeros_like(image)
    gathered = _gather(image, depth_m, field, place, padding)
    if mode == "gather":
        return gathered
    shown = [
        _march(one, depth[0], seen, field, place, padding, rays)
        for one, depth, seen in zip(image, depth_m, gathered, strict=True)
    ]
    return torch.stack(shown) if shown else gathered


def _march(
    image: Tensor,
    depth_m: Tensor,
    gathered: Tensor,
    field: PolarPSFField | Discs,
    origin: tuple[int, int],
    padding: str,
    count: int,
) -> Tensor:
    """Rays where a jump is within reach, what is gathered elsewhere; image, gathered (C, H, W), depth (H, W)."""
    from .sightlines import PATTERNS, find_sightlines

    picture = np.ascontiguousarray(image.detach().numpy().transpose(1, 2, 0))
    dioptres = (1 / depth_m.detach()).to(image.dtype).numpy()
    threads, total = torch.get_num_threads(), count * PATTERNS
    height, width, channels = picture.shape
    if isinstance(field, Discs):
        rays = disc_rays(field, channels, total)
        place = np.broadcast_to(np.array([0, 0, 1, 0], dioptres.dtype), (height, width, 4))
    else:
        radius, cosine, sine = _polar(field, origin, height, width)
        near, far = float(dioptres.max()), float(dioptres.min())
        rays = field_rays(field, near, far, float(radius.min()), float(radius.max()), total, threads)
        place = _place(rays, radius, cosine, sine).astype(dioptres.dtype)
    lines = find_sightlines(picture, dioptres, rays, place, count, padding, threads)
    if lines is None:
        return gathered
    where, flat = torch.from_numpy(lines.rows * width + lines.cols), gathered.flatten(1)
    met = lines.see(image, flat[:, where].T)
    return flat.index_copy(1, where, met.T).reshape(gathered.shape)


def _gather(
    image: Tensor, depth_m: Tensor, field: PolarPSFField | Discs, origin: tuple[int, int], padding: str
) -> Tensor:
    """Every pixel with its own kernel, (B, C, H, W)."""
    if isinstance(field, Discs):
        each = [_gather_discs(one, depth[0], field, padding) for one, depth in zip(image, depth_m, strict=True)]
        return torch.stack(each) if each else torch.zeros_like(image)
    depth_m = depth_m.to(image.dtype)
    if padding != "circular":
        return pixelwise(image, depth_m, field, window=origin, padding=padding)  # type: ignore[arg-type]
    # The same camera with a sensor larger all round, a picture that brings its surroundings, and the middle of it.
    half = field.kernel_px // 2
    height, width = field.image_shape_px
    scale = math.hypot(height, width) / math.hypot(height + 2 * half, width + 2 * half)
    larger = replace(field, image_shape_px=(height + 2 * half, width + 2 * half), radii=field.radii * scale)
    check_reach("image", half, tuple(image.shape[-2:]), padding)
    wide, deep = (torch.nn.functional.pad(one, (half,) * 4, mode="circular") for one in (image, depth_m))
    found = pixelwise(wide, deep, larger, window=origin, padding="zeros")
    return found[..., half : half + image.shape[-2], half : half + image.shape[-1]]


def _gather_discs(image: Tensor, depth_m: Tensor, discs: Discs, padding: str) -> Tensor:
    """Every pixel with its own disc; image (C, H, W), depth (H, W)."""
    dioptres = (1 / depth_m.detach()).to(image.dtype).numpy()
    radius = (0.5 * discs.diameter_px_per_dpt * np.abs(dioptres - 1 / discs.focus_m)).astype(dioptres.dtype)
    check_reach("image", math.ceil(float(radius.max())), dioptres.shape, padding)
    found: Tensor = _GatherDiscs.apply(image, radius, padding)
    return found


class _GatherDiscs(torch.autograd.Function):
    """Discs of each pixel's own radius (H, W) times a picture (C, H, W)."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, radius: Array, padding: str) -> Tensor:
        from . import marching

        stored = math.ceil(float(radius.max()) / DISC_STEP_PX) + 2
        radii = DISC_STEP_PX * torch.arange(stored, dtype=torch.float64)
        size = 2 * math.ceil(float(radii[-1]) + 0.5) + 1
        discs = disc_overlap(radii, torch.zeros((stored, 2), dtype=torch.float64), size)
        shares = (discs / discs.sum((-2, -1), keepdim=True)).numpy().astype(radius.dtype)
        ctx.radius, ctx.padding, ctx.shares = radius, padding, shares
        margin, (height, width) = size // 2, radius.shape
        pads, lit = marching.pad_frame(height, width, margin, padding)
        padded = image.detach().numpy().transpose(1, 2, 0)[pads] * lit.astype(radius.dtype)
        out = np.zeros((height * width, len(image)), radius.dtype)
        rows, cols = (one.ravel() for one in np.indices(radius.shape))

        def work(part: slice) -> None:
            marching.gather_discs(
                *(rows[part], cols[part], radius.ravel()[part], shares, DISC_STEP_PX, margin, False, 0),
                *(padded, out[part]),
            )

        marching.spread(work, len(rows), torch.get_num_threads())
        return torch.from_numpy(out.reshape(height, width, -1).transpose(2, 0, 1).copy())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None, None]:
        from . import marching

        radius, shares = ctx.radius, ctx.shares
        margin, (height, width) = shares.shape[-1] // 2, radius.shape
        pads, lit = marching.pad_frame(height, width, margin, ctx.padding)
        given = np.ascontiguousarray(slopes.numpy().transpose(1, 2, 0)).reshape(height * width, -1)
        wide = np.zeros((height + 2 * margin, width + 2 * margin, given.shape[1]), given.dtype)
        rows, cols = (one.ravel() for one in np.indices(radius.shape))

        def work(part: slice, first_row: int, sums: tuple[Array, ...]) -> None:
            marching.gather_discs(
                *(rows[part], cols[part], radius.ravel()[part], shares, DISC_STEP_PX, margin, True, first_row),
                *(*sums, given[part]),
            )

        marching.spread_back(work, rows, margin, (wide,), torch.get_num_threads())
        found = marching.fold(wide * lit.astype(wide.dtype), pads, (height, width))
        return torch.from_numpy(found.transpose(2, 0, 1).copy()), None, None


def _polar(field: PolarPSFField, origin: tuple[int, int], height: int, width: int) -> tuple[Array, Array, Array]:
    """Image height, cosine and sine of the azimuth of a picture's pixels, (H, W) each."""
    full_h, full_w = field.image_shape_px
    up = ((full_h - 1) / 2 - origin[1] - np.arange(height)[:, None]) + np.zeros((1, width))
    right = (origin[0] + np.arange(width)[None, :] - (full_w - 1) / 2) + np.zeros((height, 1))
    distance = np.hypot(right, up)
    off = distance > 0
    whole = np.where(off, distance, 1.0)
    return distance / (0.5 * math.hypot(full_h, full_w)), np.where(off, right / whole, 1.0), up / whole


def _place(rays: PupilRays, radius: Array, cosine: Array, sine: Array) -> Array:
    """Index of the inner radius, weight of the outer, cosine and sine of some pixels, (..., 4)."""
    inner, weight = np.zeros(radius.shape), np.zeros(radius.shape)
    if len(rays.radii) > 1:
        inner = np.clip(np.searchsorted(rays.radii, radius, side="right") - 1, 0, len(rays.radii) - 2)
        low, high = rays.radii[inner], rays.radii[inner + 1]
        weight = np.clip((radius - low) / (high - low), 0, 1)
    return np.stack((inner, weight, cosine, sine), -1)


def _lay(
    image: Tensor,
    depth_m: Tensor,
    field: PolarPSFField | Discs,
    origin: tuple[int, int],
    padding: str,
    planes: int,
) -> Tensor:
    """Hard layers of one picture (1, C, H, W) with depth (H, W)."""
    dioptres = 1 / depth_m.detach().double()
    near, far = float(dioptres.max()), float(dioptres.min())
    steps = planes - 1 if near > far else 0
    label = ((near - dioptres) / (near - far) * steps).round().long() if steps else torch.zeros_like(dioptres).long()
    blend = Quotient.empty(image)
    for layer in range(steps + 1):
        mask = (label == layer)[None, None].to(image)
        if not bool((mask != 0).any()):
            continue
        plane_dpt = near - (near - far) * layer / steps if steps else near
        depth = math.inf if plane_dpt == 0 else 1 / plane_dpt
        both = torch.cat((mask * image, mask.expand_as(image)))
        colour, cover, light = _blur_layer(both, depth, field, origin, padding)
        blend = blend.under(colour, cover, light)
    return blend.result(image)


def _blur_layer(
    both: Tensor, depth_m: float, field: PolarPSFField | Discs, origin: tuple[int, int], padding: str
) -> tuple[Tensor, Tensor, Tensor | float]:
    """Colour and cover of one layer (2, C, H, W) blurred as its depth is, (1, C, H, W) each, and its transmission."""
    channels, height, width = both.shape[1:]
    if isinstance(field, Discs):
        radius = 0.5 * field.diameter_px_per_dpt * abs(1 / depth_m - 1 / field.focus_m)
        size = 2 * math.ceil(max(radius - 0.5, 0)) + 1
        check_reach("image", size // 2, (height, width), padding)
        disc = disc_overlap(torch.tensor(radius, dtype=torch.float64), torch.zeros(2, dtype=torch.float64), size)
        colour, cover = blur(both, (disc / disc.sum()).to(both).expand(channels, size, size), padding).split(1)
        return colour, cover, 1.0
    clear = replace(field, transmission=torch.ones_like(field.transmission))
    level = torch.full_like(both[:, :1], depth_m)
    colour, cover = _gather(both, level, clear, origin, padding).split(1)
    x = torch.arange(width, dtype=both.dtype, device=both.device) + origin[0]
    y = torch.arange(height, dtype=both.dtype, device=both.device) + origin[1]
    return colour, cover, field.transmission_at_pixel(x[None, :], y[:, None], depth_m).permute(2, 0, 1)


def _check(
    image: Tensor,
    depth_m: Tensor,
    field: PolarPSFField | Discs,
    window: tuple[int, int] | None,
    mode: str,
    padding: str,
    rays: int,
    planes: int,
) -> tuple[int, int]:
    """Raise InputError for what cannot be rendered; the sensor pixel that the picture begins at."""
    if mode not in MODES:
        raise InputError("mode", repr(mode), "one of " + ", ".join(repr(one) for one in MODES))
    compiled = mode == "march" or (mode == "gather" and isinstance(field, Discs))
    if compiled and isinstance(image, Tensor) and image.device.type != "cpu":
        # Copies to and fro would hide what stalls a GPU: who wants them writes them.
        raise InputError("image", f"device {image.device}", f"a tensor on the CPU for mode {mode!r} (or 'layers')")
    check_images(image=image)
    check_padding(padding)
    for name, count in (("rays", rays), ("planes", planes)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InputError(name, repr(count), "a positive integer")
    batch, channels, height, width = image.shape
    if not isinstance(depth_m, Tensor) or tuple(depth_m.shape) != (batch, 1, height, width):
        found = f"shape {tuple(depth_m.shape)}" if isinstance(depth_m, Tensor) else type(depth_m).__name__
        raise InputError("depth_m", found, f"a tensor of shape {(batch, 1, height, width)}")
    bad = ~(depth_m.detach() > 0)
    if bool(bad.any()):
        raise InputError("depth_m", float(depth_m.detach()[bad][0]), "depths above 0 m (inf is allowed)")
    if depth_m.device != image.device or not depth_m.is_floating_point():
        found = f"{depth_m.dtype} on {depth_m.device}"
        raise InputError("depth_m", found, f"floating point on {image.device} as the picture")
    if compiled and torch.is_grad_enabled():
        if depth_m.requires_grad:
            raise InputError("depth_m", "a tensor that wants a gradient", f"none for mode {mode!r}")
        if isinstance(field, PolarPSFField) and (field.kernels.requires_grad or field.transmission.requires_grad):
            expected = f"none for mode {mode!r} ('layers' and 'gather' have one)"
            raise InputError("field", "kernels that want a gradient", expected)
    if isinstance(field, Discs):
        return (0, 0)
    if not isinstance(field, PolarPSFField):
        raise InputError("field", type(field).__name__, "a PolarPSFField or Discs")
    if field.kernels.device != image.device or field.kernels.dtype != image.dtype:
        found = f"{field.kernels.dtype} on {field.kernels.device}"
        raise InputError("field", found, f"{image.dtype} on {image.device} as the picture")
    if len(field.channels) != channels:
        raise InputError("field", f"{len(field.channels)} channels", f"{channels} as the picture has them")
    if abs(field.magnification - 1) > 1e-9:
        raise InputError("field.magnification", field.magnification, "1 (scale the picture first)")
    full = field.image_shape_px
    if window is None:
        if (height, width) != tuple(full):
            raise InputError("window", None, f"(x0_px, y0_px) for a picture that is not the sensor's {full} px")
        return (0, 0)
    if len(window) != 2 or any(isinstance(one, bool) or not isinstance(one, int) for one in window):
        raise InputError("window", repr(window), "(x0_px, y0_px), two integers")
    x0, y0 = window
    if x0 < 0 or y0 < 0 or x0 + width > full[1] or y0 + height > full[0]:
        raise InputError("window", repr(window), f"a picture of {height} x {width} px inside the sensor's {full}")
    return (x0, y0)
