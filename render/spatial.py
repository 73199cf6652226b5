"""Full per-pixel rendering: every pixel its own kernel, from a polar field at its own place and depth."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from psf.interpolation import check_interpolation
from psf.sampling import check_turning

from .nodes import Prepared, prepare_field
from .reference import Form, Padding, pad_picture, render_reference
from .spectra import (
    BlockSpectra,
    NodeRow,
    NodeSource,
    gather_block,
    keep_spectra,
    scatter_block,
    spectra_source,
    wanted_nodes,
)
from .tiling import TILE_PX, Block, cut_picture
from .weights import PixelPlanes, find_presence, plane_weights

FORMS = ("gather", "scatter", "normalised")
PADDINGS = ("reflect", "replicate", "zeros")
# What a block that the normalised form divides by may hold at least: light that reaches a pixel at all.
LEAST_WEIGHT = 1e-6
METHODS = ("auto", "tiles", "direct")
# Up to so many kernel values (pixels times K^2) the plain sums are as fast as tiles, and exact.
DIRECT_VALUES = 1 << 20


@dataclass(frozen=True, eq=False)
class PixelwisePlan:
    """A field made ready for pictures of one shape at one place of the sensor: the dear part, done once.

    Attributes:
        field: Whose kernels these are.
        image_shape_px: (H, W) of the pictures.
        window: Sensor column and row of their first pixel.
        form: As in `pixelwise`.
        padding: As in `pixelwise`.
        turning: As in `pixelwise`.
        tile_px: As in `pixelwise`.
        prepared: The field as its pixels are weighted.
        spectra: Of every block, one for the picture and, in the scatter forms, one per piece of padding.
    """

    field: PolarPSFField
    image_shape_px: tuple[int, int]
    window: tuple[int, int]
    form: str
    padding: str
    turning: str
    tile_px: int
    prepared: Prepared
    spectra: tuple[BlockSpectra, ...]

    @property
    def memory_mb(self) -> float:
        """What the spectra take."""
        return sum(one.numel() * one.element_size() for block in self.spectra for one in block.rows) / 1e6


def pixelwise(
    image: Tensor,
    depth_m: Tensor,
    field: PolarPSFField | PixelwisePlan,
    *,
    window: tuple[int, int] | None = None,
    form: Form = "gather",
    padding: Padding = "reflect",
    turning: str = "bilinear",
    method: str = "auto",
    tile_px: int = TILE_PX,
    memory_mb: float = 512.0,
) -> Tensor:
    """A picture as the camera takes it where nothing hides anything: every pixel with its own kernel and transmission.

    Kernels are mixed linearly between the field's radii and, in dioptres, its depths ("linear" of
    `PolarPSFField.at_pixel`; `refinement.refine` brings a field closer to "sized"). Between tiles' corners they are
    interpolated; the depth of a pixel is not approximated. Differentiable in `image` and in the field's tensors.

    Args:
        image: Linear light, shape (B, C, H, W).
        depth_m: Along the axis, positive, `inf` allowed, shape (B, 1, H, W).
        field: The camera's kernels; or a plan made from them, which brings window, form, padding and turning.
        window: Sensor column and row of the picture's first pixel. None: the picture is the whole sensor.
        form: "gather" (the kernel of the pixel that receives), "scatter" (the kernel of the pixel that sends: keeps
            energy) or "normalised" (scatter divided by what a picture of ones gives).
        padding: Outside the frame: "reflect", "replicate" or "zeros". A padded source brings the kernel of the pixel
            that it copies.
        turning: How turned kernels are read: "bilinear" (the definition) or "cubic" (sharper, slower).
        method: "tiles", "direct" (`pixelwise_reference` with "linear": exact, slow) or "auto": direct where there are
            at most DIRECT_VALUES kernel values, tiles otherwise and with every plan.
        tile_px: Side of the tiles; half of it costs up to twice as much and lowers the error by 4 to 7 dB.
        memory_mb: About how much memory may be used beside inputs, result and plan.

    Returns:
        Shape (B, C, H, W).
    """
    if isinstance(field, PixelwisePlan):
        plan: PixelwisePlan | None = field
        window, form, padding = field.window, field.form, field.padding  # type: ignore[assignment]
        turning, tile_px, camera = field.turning, field.tile_px, field.field
        if tuple(image.shape[-2:]) != field.image_shape_px:
            raise InputError("image", f"shape {tuple(image.shape)}", f"(B, C, {field.image_shape_px}) as planned")
    else:
        plan, camera = None, field
    window = _check(image, depth_m, camera, window, form, padding, turning)
    _check_numbers(tile_px, memory_mb)
    if method not in METHODS:
        raise InputError("method", repr(method), " or ".join(map(repr, METHODS)))
    if image.shape[0] == 0:
        return image.clone()
    few = depth_m.numel() * camera.kernel_px**2 <= DIRECT_VALUES
    if plan is None and (method == "direct" or (method == "auto" and few)):
        return render_reference(image, depth_m, camera, window, form, padding, "linear", turning)
    height, width = image.shape[-2:]
    sensor = camera.image_shape_px
    blocks = cut_picture((height, width), sensor, camera.kernel_px, window, form, padding, tile_px)
    if plan is None:
        prepared = prepare_field(camera, turning)
        sources = [spectra_source(prepared, block, 1 if form == "gather" else -1) for block in blocks]
    else:
        prepared = plan.prepared
        sources = [_planned(one) for one in plan.spectra]
    before, share = plane_weights(depth_m[:, 0], camera.depths_m)
    if form == "gather":
        return _gather(image, before, share, prepared, blocks, sources, padding, memory_mb)
    lit = _scatter(image, before, share, prepared, blocks, sources, memory_mb)
    if form == "scatter":
        return lit
    ones = torch.ones_like(image)
    return lit / _scatter(ones, before, share, prepared, blocks, sources, memory_mb, False).clamp_min(LEAST_WEIGHT)


def plan_pixelwise(
    field: PolarPSFField,
    image_shape_px: tuple[int, int],
    *,
    window: tuple[int, int] | None = None,
    depth_m: Tensor | None = None,
    form: Form = "gather",
    padding: Padding = "reflect",
    turning: str = "bilinear",
    tile_px: int = TILE_PX,
) -> PixelwisePlan:
    """Do what depends on the field only, for many pictures of one shape at one place.

    Args:
        field: The camera's kernels.
        image_shape_px: (H, W) of the pictures.
        window: As in `pixelwise`.
        depth_m: Depth maps that the pictures will have, shape (B, 1, H, W): only what these need is made. None: all
            depths everywhere, which may be large (`PixelwisePlan.memory_mb`).
        form: As in `pixelwise`.
        padding: As in `pixelwise`.
        turning: As in `pixelwise`.
        tile_px: As in `pixelwise`.
    """
    height, width = image_shape_px
    kernels = field.kernels
    image = kernels.new_zeros(()).expand(1, kernels.shape[2], height, width)
    depths = kernels.new_ones(()).expand(1, 1, height, width) if depth_m is None else depth_m
    window = _check(image.expand(len(depths), -1, -1, -1), depths, field, window, form, padding, turning)
    _check_numbers(tile_px, 1.0)
    blocks = cut_picture((height, width), field.image_shape_px, field.kernel_px, window, form, padding, tile_px)
    prepared = prepare_field(field, turning)
    before, share = plane_weights(depths[:, 0], field.depths_m)
    found = []
    for block in blocks:
        own_before, own_share = _sources((before, share), block)
        presence = find_presence(own_before, own_share, block, len(field.depths_m)).any(0).cpu().numpy()
        if depth_m is None:
            presence = np.ones_like(presence)
            presence[block.hole] = False
        needed = wanted_nodes(presence)
        source = spectra_source(prepared, block, 1 if form == "gather" else -1)
        found.append(keep_spectra(source, needed))
    return PixelwisePlan(field, (height, width), window, form, padding, turning, tile_px, prepared, tuple(found))


def pixelwise_reference(
    image: Tensor,
    depth_m: Tensor,
    field: PolarPSFField,
    *,
    window: tuple[int, int] | None = None,
    form: Form = "gather",
    padding: Padding = "reflect",
    interpolation: str = "sized",
    turning: str = "cubic",
) -> Tensor:
    """What `pixelwise` approximates, sum by sum and slowly: every pixel's kernel asked of the field.

    Args:
        image: Shape (B, C, H, W).
        depth_m: Shape (B, 1, H, W).
        field: The camera's kernels.
        window: As in `pixelwise`.
        form: As in `pixelwise`.
        padding: As in `pixelwise`.
        interpolation: As in `PolarPSFField.at_pixel`; "linear" is what `pixelwise` does.
        turning: As in `PolarPSFField.at_pixel`.

    Returns:
        Shape (B, C, H, W).
    """
    window = _check(image, depth_m, field, window, form, padding, turning, is_reference=True)
    check_interpolation("interpolation", interpolation)
    return render_reference(image, depth_m, field, window, form, padding, interpolation, turning)


def _planned(spectra: BlockSpectra) -> NodeSource:
    """Spectra that are there already; a picture may ask for no others."""

    def source(row: int, first: int, end: int, wanted: "np.ndarray[Any, Any]") -> NodeRow:
        values, moments, slot = spectra.source(row, first, end, wanted)
        if bool((wanted & (slot < 0)).any()):
            raise InputError("depth_m", "depths that the plan was not made for", "those of plan_pixelwise")
        return values, moments, slot

    return source


def _planes(before: Tensor, share: Tensor, block: Block, has_transmission: bool = True) -> PixelPlanes:
    x, y = (axis.place_0 + axis.place_step * torch.arange(axis.length).double() for axis in (block.cols, block.rows))
    return PixelPlanes(before, share, x.to(share.device), y.to(share.device), has_transmission)


def _sources(pictures: tuple[Tensor, ...], block: Block) -> list[Tensor]:
    """The block's own pixels of pictures (..., H, W): a view of them, or mirrored or repeated copies."""
    if block.rows.source_step == 1 and block.cols.source_step == 1:
        rows, cols = (slice(axis.source_0, axis.source_0 + axis.length) for axis in (block.rows, block.cols))
        return [one[..., rows, cols] for one in pictures]
    y, x = (axis.sources().to(pictures[0].device) for axis in (block.rows, block.cols))
    return [one[..., y[:, None], x] for one in pictures]


def _gather(
    image: Tensor,
    before: Tensor,
    share: Tensor,
    prepared: Prepared,
    blocks: list[Block],
    sources: list[NodeSource],
    padding: str,
    memory_mb: float,
) -> Tensor:
    margin = prepared.kernel_px - 1
    padded = pad_picture(image, margin // 2, padding)
    out = torch.zeros_like(image)
    for block, source in zip(blocks, sources, strict=True):
        y, x, height, width = block.rows.source_0, block.cols.source_0, block.rows.length, block.cols.length
        own_before, own_share = _sources((before, share), block)
        presence = find_presence(own_before, own_share, block, prepared.planes).cpu().numpy()
        if not presence.any():
            continue
        own = padded[..., y : y + height + margin, x : x + width + margin]
        planes = _planes(own_before, own_share, block)
        strip = _strip_tiles(presence, block, image, memory_mb)
        out[..., y : y + height, x : x + width] += gather_block(
            own, planes, prepared, presence, block, source, prepared.kernel_px, strip
        )
    return out


def _scatter(
    light: Tensor,
    before: Tensor,
    share: Tensor,
    prepared: Prepared,
    blocks: list[Block],
    sources: list[NodeSource],
    memory_mb: float,
    has_transmission: bool = True,
) -> Tensor:
    height, width = light.shape[-2:]
    half = prepared.kernel_px // 2
    margin = 2 * half
    canvas = light.new_zeros((*light.shape[:2], height + 2 * margin, width + 2 * margin))
    for block, source in zip(blocks, sources, strict=True):
        own_light, own_before, own_share = _sources((light, before, share), block)
        presence = find_presence(own_before, own_share, block, prepared.planes).cpu().numpy()
        if not presence.any():
            continue
        strip = _strip_tiles(presence, block, light, memory_mb)
        planes = _planes(own_before, own_share, block, has_transmission)
        landed = scatter_block(own_light, planes, prepared, presence, block, source, prepared.kernel_px, strip)
        x, y = block.canvas_xy
        canvas[..., y : y + landed.shape[-2], x : x + landed.shape[-1]] += landed
    return canvas[..., margin : margin + height, margin : margin + width]


def _strip_tiles(presence: "np.ndarray[Any, Any]", block: Block, image: Tensor, memory_mb: float) -> int:
    """Columns of tiles that the budget allows at once."""
    batch, channels = image.shape[:2]
    tall, wide = block.fft_shape
    spectrum_mb = channels * tall * (wide + 2) * image.element_size() / 1e6
    pairs = presence.sum((0, 3)).max()
    planes = presence.any(0).sum(-1).max()
    # Windows of tiles, products and their parts, two rows of nodes and the one being made.
    column_mb = spectrum_mb * (6 * batch + 5 * pairs + 8 * planes)
    return max(1, int(memory_mb / column_mb))


def _check_numbers(tile_px: int, memory_mb: float) -> None:
    if isinstance(tile_px, bool) or not isinstance(tile_px, int) or tile_px < 4:
        raise InputError("tile_px", repr(tile_px), "an integer of at least 4")
    if not (math.isfinite(memory_mb) and memory_mb > 0):
        raise InputError("memory_mb", memory_mb, "a positive number")


def _check(
    image: Tensor,
    depth_m: Tensor,
    field: PolarPSFField,
    window: tuple[int, int] | None,
    form: str,
    padding: str,
    turning: str,
    is_reference: bool = False,
) -> tuple[int, int]:
    """Raise InputError on anything that cannot be rendered; the window, filled in."""
    if not isinstance(field, PolarPSFField):
        raise InputError("field", type(field).__name__, "a PolarPSFField or a PixelwisePlan")
    for name, value, allowed in (("form", form, FORMS), ("padding", padding, PADDINGS)):
        if value not in allowed:
            raise InputError(name, repr(value), " or ".join(map(repr, allowed)))
    check_turning("turning", turning)
    if turning == "spline" and not is_reference:
        raise InputError("turning", "'spline'", "'bilinear' or 'cubic'")
    for name, tensor, count in (("image", image, field.kernels.shape[2]), ("depth_m", depth_m, 1)):
        if not isinstance(tensor, Tensor):
            raise InputError(name, type(tensor).__name__, "a tensor")
        if tensor.dtype != field.kernels.dtype or tensor.device != field.kernels.device:
            there = f"{field.kernels.dtype} on {field.kernels.device} as the field"
            raise InputError(name, f"{tensor.dtype} on {tensor.device}", there)
        if tensor.ndim != 4 or tensor.shape[1] != count or 0 in tensor.shape[1:]:
            raise InputError(name, f"shape {tuple(tensor.shape)}", f"shape (B, {count}, H, W)")
    if depth_m.shape[::2] != image.shape[::2] or depth_m.shape[3] != image.shape[3]:
        raise InputError("depth_m", f"shape {tuple(depth_m.shape)}", f"one depth per pixel of {tuple(image.shape)}")
    height, width = image.shape[-2:]
    if window is None:
        if (height, width) != field.image_shape_px:
            raise InputError("image", f"{height} x {width} px", f"the whole sensor {field.image_shape_px}, or a window")
        window = (0, 0)
    if len(window) != 2 or not all(isinstance(one, int | np.integer) for one in window):
        raise InputError("window", window, "(x0_px, y0_px), two integers")
    x, y = (int(one) for one in window)
    if x < 0 or y < 0 or x + width > field.image_shape_px[1] or y + height > field.image_shape_px[0]:
        sensor = f"a place on the sensor, {field.image_shape_px[0]} x {field.image_shape_px[1]} px"
        raise InputError("window", f"({x}, {y}) and {height} x {width} px", sensor)
    if padding == "reflect" and field.kernel_px // 2 > min(height, width) - 1:
        most = f"at most {2 * min(height, width) - 1} px to reflect"
        raise InputError("field", f"kernels of {field.kernel_px} px", most)
    if field.magnification != 1:
        raise InputError("field.magnification", field.magnification, "1; scale the picture and its depth first")
    _refuse("depth_m", depth_m, ~(depth_m.detach() > 0), "depths above 0 m (inf is allowed)")
    _refuse("image", image, ~image.detach().isfinite(), "finite light")
    return x, y


def _refuse(name: str, values: Tensor, bad: Tensor, expected: str) -> None:
    if bool(bad.any()):
        raise InputError(name, float(values.detach()[bad][0]), expected)
