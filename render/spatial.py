"""Full per-pixel rendering: every pixel its own kernel, from a polar field at its own place and depth."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from psf import InputError, PolarPSFField
from psf.interpolation import check_interpolation
from psf.sampling import check_turning

from .nodes import Prepared, choose_tile_px, prepare_field, wanted_nodes
from .reference import Form, Padding, render_reference
from .spectra import BlockSpectra, keep_spectra, spectra_source
from .tiling import cut_picture
from .weights import find_presence, plane_weights

FORMS = ("gather", "scatter", "normalised")
PADDINGS = ("reflect", "replicate", "zeros")
METHODS = ("auto", "tiles", "torch", "direct")
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
    tile_px: int | None = None,
    memory_mb: float = 512.0,
    on_progress: Callable[[int, int], None] | None = None,
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
        method: "tiles", "torch" (the same tiles in torch operations, which is what a GPU does), "direct"
            (`pixelwise_reference` with "linear": exact, slow) or "auto": direct where there are at most DIRECT_VALUES
            kernel values, tiles otherwise and with every plan.
        tile_px: Side of the tiles; half of it costs up to twice as much and lowers the error by 4 to 10 dB. None: 64,
            or less where kernels change faster than that (`nodes.choose_tile_px`).
        memory_mb: About how much memory may be used beside inputs, result and plan.
        on_progress: Called with rows of tiles done and in all; at the end only where gradients are recorded, or where
            no tiles are compiled.

    Returns:
        Shape (B, C, H, W).
    """
    from .passes import Pass

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
    tile_px = choose_tile_px(camera) if tile_px is None else tile_px
    blocks = cut_picture((height, width), sensor, camera.kernel_px, window, form, padding, tile_px)
    if plan is None:
        prepared = prepare_field(camera, turning)
        kept: list[BlockSpectra | None] = [None] * len(blocks)
    else:
        prepared, kept = plan.prepared, list(plan.spectra)
    is_compiled = method != "torch" and image.device.type == "cpu"
    before, share = plane_weights(depth_m[:, 0], camera.depths_m)
    total = sum(len(block.rows.size) for block in blocks)
    counter = itertools.count(1)
    on_row = None if on_progress is None else lambda _: on_progress(next(counter), total)
    work = Pass(prepared, blocks, kept, before, share, memory_mb, is_compiled, on_row)
    if form == "gather":
        found = work.gather(image, padding)
    elif form == "scatter":
        found = work.scatter(image)
    else:
        found = work.normalised(image, window)
    if on_progress is not None:
        on_progress(total, total)
    return found


def plan_pixelwise(
    field: PolarPSFField,
    image_shape_px: tuple[int, int],
    *,
    window: tuple[int, int] | None = None,
    depth_m: Tensor | None = None,
    form: Form = "gather",
    padding: Padding = "reflect",
    turning: str = "bilinear",
    tile_px: int | None = None,
) -> PixelwisePlan:
    """Do what depends on the field only, for many pictures of one shape at one place.

    What is rendered with the plan has gradients in picture and depth, none in the field.

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
    from .passes import sources, without_gradients

    height, width = image_shape_px
    kernels = field.kernels
    image = kernels.new_zeros(()).expand(1, kernels.shape[2], height, width)
    depths = kernels.new_ones(()).expand(1, 1, height, width) if depth_m is None else depth_m
    window = _check(image.expand(len(depths), -1, -1, -1), depths, field, window, form, padding, turning)
    _check_numbers(tile_px, 1.0)
    tile_px = choose_tile_px(field) if tile_px is None else tile_px
    blocks = cut_picture((height, width), field.image_shape_px, field.kernel_px, window, form, padding, tile_px)
    prepared = without_gradients(prepare_field(field, turning))
    before, share = plane_weights(depths[:, 0], field.depths_m)
    found = []
    for block in blocks:
        own_before, own_share = sources((before, share), block)
        presence = find_presence(own_before, own_share, block, len(field.depths_m)).any(0).cpu().numpy()
        if depth_m is None:
            presence = np.ones_like(presence)
            presence[block.hole] = False
        source = spectra_source(prepared, block, 1 if form == "gather" else -1)
        found.append(keep_spectra(source, wanted_nodes(presence)))
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


def _check_numbers(tile_px: int | None, memory_mb: float) -> None:
    if tile_px is not None and (isinstance(tile_px, bool) or not isinstance(tile_px, int) or tile_px < 4):
        raise InputError("tile_px", repr(tile_px), "an integer of at least 4, or None")
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
    _refuse("depth_m", depth_m, True, "depths above 0 m (inf is allowed)")
    _refuse("image", image, False, "finite light")
    return x, y


def _refuse(name: str, values: Tensor, is_depth: bool, expected: str) -> None:
    values = values.detach()
    # In numpy: threads of torch operations go on spinning for a while and take the cores of those that follow.
    one: Any = values.numpy() if values.device.type == "cpu" else values
    good = one > 0 if is_depth else (np.isfinite(one) if values.device.type == "cpu" else values.isfinite())
    if not bool(good.all()):
        raise InputError(name, float(one[~good].reshape(-1)[0]), expected)
