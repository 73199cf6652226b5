"""Depth of field where things hide one another: lens rays marched past edges, or flat layers."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from psf.discs import disc_overlap

from .layers import Quotient, blur_between, check_images, check_padding, check_reach, spaced_nodes
from .pupils import Discs, PupilRays, disc_rays, field_rays

Array = npt.NDArray[Any]

# A step of the blur's diameter between neighbouring pixels from which on they are two surfaces. Below half a pixel
# nothing that is hidden could be seen.
JUMP_PX = 0.5
# Half a pixel's diagonal on either side, and the pixel beside the jump.
FOOTPRINT_PX = 1.5
# Sets of rays that neighbouring pixels take in turn, 4 x 4: the residual grain has no structure.
PATTERNS = 16
# Radii that gathered discs are computed at; between them linear (far below 60 dB).
DISC_STEP_PX = 0.05
# Spacing of a layer's kernels over the picture, the same as a field's own radii on pictures of some 1000 px.
NODE_STEP_PX = 64
# Kernel values that a gather holds at a time, some 64 MB of float32.
GATHER_VALUES = 1 << 24
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
    kernel of their own place and depth. It is deterministic, runs on the CPU and has no gradient.

    "layers" cuts the scene into planes even in dioptres, each pixel in the nearest one, blurs them with kernels that
    change over the picture, and lays them over one another. It is differentiable in the picture, runs on any device,
    and shows seams on slanted surfaces.

    "gather" is every pixel with its own kernel and nothing hidden, what "march" does outside the reach of jumps.

    Args:
        image: All in focus, linear light, shape (B, C, H, W).
        depth_m: Depth at the pixels' centres, `inf` allowed, shape (B, 1, H, W).
        field: A camera's field, or ideal discs.
        window: Sensor pixel (x0_px, y0_px) of the picture's upper left pixel. Default: the picture is the whole
            sensor. Discs are the same everywhere and need none.
        mode: "march", "layers" or "gather".
        padding: What stands outside the frame: "reflect", "replicate", "circular" or "zeros".
        rays: Of each marched pixel.
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
    out = torch.empty_like(image, memory_format=torch.contiguous_format)
    for one, depth, into in zip(image, depth_m, out, strict=True):
        scene = _Scene.of(one, depth[0], field, place, padding, rays)
        found = scene.gathered(field) if mode == "gather" else scene.marched(field)
        into.copy_(torch.from_numpy(np.ascontiguousarray(found.transpose(2, 0, 1))))
    return out


def occlusion_band(dioptres_dpt: Array, reach_px: Array, drift_px_per_dpt: float) -> Array:
    """Pixels that the blur of a jump in depth can reach, a boolean map (H, W).

    Args:
        dioptres_dpt: Shape (H, W).
        reach_px: How far each pixel's own blur reaches, shape (H, W).
        drift_px_per_dpt: Growth of the blur's radius with defocus.
    """
    from . import filling, marching

    far, near = filling.jumps(dioptres_dpt, 0.5 * JUMP_PX / drift_px_per_dpt)
    edge = far | near
    # Both pixels of a pair reach as far as the more blurred of them.
    reach = np.where(edge, reach_px, 0)
    for axis in (0, 1):
        r = np.moveaxis(reach, axis, 0)
        wide = r.copy()
        wide[1:] = np.maximum(wide[1:], r[:-1])
        wide[:-1] = np.maximum(wide[:-1], r[1:])
        reach = np.moveaxis(wide, 0, axis)
    band = np.zeros(dioptres_dpt.shape, np.bool_)
    rows, cols = np.nonzero(edge)
    marching.paint(rows, cols, reach[rows, cols] + FOOTPRINT_PX, band)
    return band


@dataclass(frozen=True, eq=False)
class _Scene:
    """One picture as the loops see it: image (H, W, C), dioptres (H, W), rays, the sensor pixel it begins at."""

    image: Array
    dioptres: Array
    depth_m: Tensor
    rays: PupilRays
    count: int
    origin: tuple[int, int]
    padding: int
    mode: str

    @classmethod
    def of(
        cls,
        image: Tensor,
        depth_m: Tensor,
        field: PolarPSFField | Discs,
        origin: tuple[int, int],
        padding: str,
        count: int,
    ) -> "_Scene":
        from . import marching

        picture = np.ascontiguousarray(image.detach().numpy().transpose(1, 2, 0))
        dioptres = (1 / depth_m.detach()).to(image.dtype).numpy()
        near, far, total = float(dioptres.max()), float(dioptres.min()), count * PATTERNS
        if isinstance(field, Discs):
            rays = disc_rays(field, near, far, len(image), total)
        else:
            height, width = dioptres.shape
            radius = _radii(field, origin, height, width)
            rays = field_rays(field, near, far, float(radius.min()), float(radius.max()), total)
        scene = cls(picture, dioptres, depth_m, rays, count, origin, marching.PADDINGS[padding], padding)
        reach = math.ceil(float(np.abs(rays.offsets_px).max()))
        check_reach("image", reach, dioptres.shape, padding)
        return scene

    def gathered(self, field: PolarPSFField | Discs) -> Array:
        """Every pixel with its own kernel, (H, W, C). The one place that render.spatial could stand in."""
        from . import marching

        height, width, channels = self.image.shape
        rows, cols = (one.ravel() for one in np.indices((height, width)))
        out = np.zeros((height * width, channels), self.image.dtype)
        threads = torch.get_num_threads()
        if isinstance(field, Discs):
            defocus = np.abs(self.dioptres.ravel() - 1 / field.focus_m)
            radius = (0.5 * field.diameter_px_per_dpt * defocus).astype(self.image.dtype)
            stored = math.ceil(float(radius.max()) / DISC_STEP_PX) + 2
            radii = DISC_STEP_PX * torch.arange(stored, dtype=torch.float64)
            size = 2 * math.ceil(float(radii[-1]) + 0.5) + 1
            discs = disc_overlap(radii, torch.zeros((stored, 2), dtype=torch.float64), size)
            shares = (discs / discs.sum((-2, -1), keepdim=True)).numpy().astype(self.image.dtype)

            def work(part: slice) -> None:
                marching.gather_discs(
                    *(rows[part], cols[part], radius[part], self.image, shares, DISC_STEP_PX, self.padding, out[part])
                )

            marching.spread(work, len(rows), threads)
            return out.reshape(height, width, channels)
        depth = self.depth_m.to(field.kernels.dtype).reshape(-1)
        step = max(1, GATHER_VALUES // (channels * field.kernel_px**2))
        for first in range(0, len(rows), step):
            part = slice(first, first + step)
            where = (
                torch.from_numpy(cols[part] + self.origin[0]),
                torch.from_numpy(rows[part] + self.origin[1]),
                depth[part],
            )
            with torch.no_grad():
                kernels = field.at_pixel(*where) * field.transmission_at_pixel(*where)[..., None, None]
            values = kernels.to(torch.from_numpy(self.image).dtype).numpy()

            def dot(own: slice, part: slice = part, values: Array = values) -> None:
                one = (rows[part][own], cols[part][own], self.image, values[own], self.padding, out[part][own])
                marching.gather_kernels(*one)

            marching.spread(dot, len(values), threads)
        return out.reshape(height, width, channels)

    def marched(self, field: PolarPSFField | Discs) -> Array:
        """Rays where a jump is within reach, gathered elsewhere, (H, W, C)."""
        out = self.gathered(field)
        band = occlusion_band(self.dioptres, self.reach_px(), self.rays.drift_px_per_dpt)
        if band.any():
            rows, cols = np.nonzero(band)
            out[rows, cols] = self.march(rows, cols, out[rows, cols], field)
        return out

    def reach_px(self) -> Array:
        """Distance from each pixel to the farthest of its rays at its own depth, (H, W)."""
        reach = np.hypot(self.rays.offsets_px[..., 0], self.rays.offsets_px[..., 1]).max((0, 1, 3))
        knots = self.rays.knots_dpt
        if len(self.rays.radii) == 1 and len(knots) == 2:
            # Straight lines: the offset's length is the absolute value of one, not between absolute values.
            place = self.rays.offsets_px[0, 0, :, :, :].astype(float)
            share = (knots[0] - self.dioptres) / (knots[0] - knots[1])
            furthest = np.hypot(place[..., 0], place[..., 1]).argmax(1)[int(reach[1] > reach[0])]
            x, y = (place[0, furthest, k] + share * (place[1, furthest, k] - place[0, furthest, k]) for k in (0, 1))
            straight: Array = np.hypot(x, y)
            return straight
        found: Array = np.interp(self.dioptres.ravel(), knots[::-1], reach[::-1]).reshape(self.dioptres.shape)
        return found

    def march(self, rows: Array, cols: Array, control: Array, field: PolarPSFField | Discs) -> Array:
        """Colours (M, C) that the rays of some pixels meet, given what they gather (M, C)."""
        from scipy.ndimage import maximum_filter

        from . import edges, filling, marching

        rays, kind = self.rays, self.image.dtype
        threshold = 0.5 * JUMP_PX / rays.drift_px_per_dpt
        threads = torch.get_num_threads()
        far, near = filling.jumps(self.dioptres, threshold)
        mixed = edges.unmix_edges(self.image, self.dioptres, far, near, threshold)
        surfaces = filling.fill_hidden(self.image, self.dioptres, threshold, rays.drift_px_per_dpt, threads=threads)
        depths = np.concatenate((mixed.rim_dpt[None], surfaces.dioptres_dpt))
        colours = np.concatenate((mixed.rim_colours[None], mixed.colours[None], surfaces.colours[1:]))
        coverage = np.ones_like(depths)
        coverage[0], coverage[1] = mixed.rim_coverage, mixed.coverage
        partly = mixed.coverage < 1
        if len(depths) > 2:
            colours[2][partly] = mixed.back_colours[partly]
        around = 2 * math.ceil(float(np.abs(rays.offsets_px).max())) + 3
        wrap = {"reflect": "mirror", "circular": "wrap"}.get(self.mode, "nearest")
        # A hair above, so that rays start in front of what they may meet.
        start = maximum_filter(depths.max(0), around, mode=wrap)[rows, cols] + 1e-3 * threshold
        place = _place(field, rays, rows, cols, self.origin, kind)
        own = self.dioptres[rows, cols]
        out = np.empty((len(rows), self.image.shape[2]), kind)
        knots = rays.knots_dpt.astype(kind)
        for group, channels in enumerate(rays.groups):
            some = list(channels)
            picture, paint = (np.ascontiguousarray(one[..., some]) for one in (self.image, colours))
            gathered, found = np.ascontiguousarray(control[:, some]), np.empty((len(rows), len(some)), kind)
            offsets = np.ascontiguousarray(rays.offsets_px[group]).astype(kind)
            light = np.ascontiguousarray(rays.transmission[..., some]).astype(kind)

            def work(
                part: slice,
                picture: Array = picture,
                paint: Array = paint,
                gathered: Array = gathered,
                found: Array = found,
                offsets: Array = offsets,
                light: Array = light,
            ) -> None:
                marching.march(
                    *(rows[part], cols[part], start[part], own[part], place[part]),
                    *(picture, depths, paint, coverage, knots, offsets, self.count, light),
                    *(kind.type(threshold), self.padding, gathered[part], found[part]),
                )

            marching.spread(work, len(rows), threads)
            out[:, some] = found
        return out


def _radii(field: PolarPSFField, origin: tuple[int, int], height: int, width: int) -> Array:
    full_h, full_w = field.image_shape_px
    up = (full_h - 1) / 2 - origin[1] - np.arange(height)[:, None]
    right = origin[0] + np.arange(width)[None, :] - (full_w - 1) / 2
    found: Array = np.hypot(right, up) / (0.5 * math.hypot(full_h, full_w))
    return found


def _place(
    field: PolarPSFField | Discs, rays: PupilRays, rows: Array, cols: Array, origin: tuple[int, int], kind: Any
) -> Array:
    """Index of the inner radius, weight of the outer, cosine and sine of the azimuth of some pixels, (M, 4)."""
    place = np.zeros((len(rows), 4), kind)
    place[:, 2] = 1
    if isinstance(field, Discs):
        return place
    height, width = field.image_shape_px
    right, up = cols + origin[0] - (width - 1) / 2, (height - 1) / 2 - rows - origin[1]
    distance = np.hypot(right, up)
    radius = distance / (0.5 * math.hypot(height, width))
    if len(rays.radii) > 1:
        inner = np.clip(np.searchsorted(rays.radii, radius, side="right") - 1, 0, len(rays.radii) - 2)
        low, high = rays.radii[inner], rays.radii[inner + 1]
        place[:, 0], place[:, 1] = inner, np.clip((radius - low) / (high - low), 0, 1)
    off = distance > 0
    place[off, 2], place[off, 3] = right[off] / distance[off], up[off] / distance[off]
    return place


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
        nodes, rows, cols, light = _layer_kernels(image, depth, field, origin)
        check_reach("image", nodes.shape[-1] // 2, tuple(image.shape[-2:]), padding)
        colour = blur_between(mask * image, nodes, rows, cols, padding)
        cover = blur_between(mask.expand_as(image), nodes, rows, cols, padding)
        blend = blend.under(colour, cover, light)
    return blend.result(image)


def _layer_kernels(
    image: Tensor, depth_m: float, field: PolarPSFField | Discs, origin: tuple[int, int]
) -> tuple[Tensor, list[int], list[int], Tensor | float]:
    """Kernels (rows, cols, C, K, K) of one depth, the nodes they belong to, and the transmission of each pixel."""
    channels, height, width = image.shape[1:]
    if isinstance(field, Discs):
        radius = 0.5 * field.diameter_px_per_dpt * abs(1 / depth_m - 1 / field.focus_m)
        size = 2 * math.ceil(max(radius - 0.5, 0)) + 1
        disc = disc_overlap(torch.tensor(radius, dtype=torch.float64), torch.zeros(2, dtype=torch.float64), size)
        kernels = (disc / disc.sum()).to(image).expand(1, 1, channels, size, size)
        return kernels, [0], [0], 1.0
    rows, cols = spaced_nodes(height, NODE_STEP_PX), spaced_nodes(width, NODE_STEP_PX)
    y, x = (torch.tensor(one, dtype=image.dtype, device=image.device) for one in (rows, cols))
    kernels = field.at_pixel(x[None, :] + origin[0], y[:, None] + origin[1], depth_m)
    across = torch.arange(width, dtype=image.dtype, device=image.device) + origin[0]
    down = torch.arange(height, dtype=image.dtype, device=image.device) + origin[1]
    light = field.transmission_at_pixel(across[None, :], down[:, None], depth_m).permute(2, 0, 1)
    return kernels, rows, cols, light


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
    check_images(image=image)
    check_padding(padding)
    if mode not in MODES:
        raise InputError("mode", repr(mode), "one of " + ", ".join(repr(one) for one in MODES))
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
    if mode != "layers":
        if image.device.type != "cpu":
            raise InputError("image", f"device {image.device}", f"a tensor on the CPU for mode {mode!r}")
        if torch.is_grad_enabled() and (image.requires_grad or depth_m.requires_grad):
            raise InputError("image", "a tensor that wants a gradient", f"none for mode {mode!r} (use 'layers')")
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
