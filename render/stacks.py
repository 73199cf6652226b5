"""Focal stacks: one scene, photographed at several focus distances."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from psf import InputError, PolarPSFField

from .framing import PADDINGS, magnify, place_window

# image (B, C, H, W), depth_m (B, 1, H, W), field, window (x0_px, y0_px), padding -> (B, C, H, W)
Renderer = Callable[[Tensor, Tensor, PolarPSFField, tuple[int, int], str], Tensor]
METHODS = ("pixelwise", "blend", "layered")


def focal_stack(
    image: Tensor,
    depth_m: Tensor,
    fields: Sequence[PolarPSFField],
    method: str | Renderer = "pixelwise",
    *,
    window: tuple[int, int] | None = None,
    padding: str = "reflect",
    on_progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """One photograph per focus distance.

    Image and depth belong to the reference focus. Where a field's image scale m differs from the reference's, picture
    and depth map are scaled first (`magnify`, about the sensor's centre) and the kernels bring the rest; where the
    kernels hold the whole of the breathing as a shift, nothing is scaled. Both give the same picture as far as a gather
    can: it takes depth and shift that belong to the pixel that receives the light, not to where the light comes from,
    which makes a shift too large by the factor m. Scattering has neither fault, and a field with a magnification suits
    every method.

    Args:
        image: Linear light, all in focus, shape (B, C, H, W).
        depth_m: Above 0, `inf` allowed, shape (B, 1, H, W).
        fields: N of them, of one camera: the same sensor and the same channels, C of them.
        method: "pixelwise": every pixel its own kernel. "blend": one set of kernels, that of the middle of the window,
            for the whole picture. "layered": every pixel its own kernel, and near surfaces hide far ones. Or a
            function of (image, depth_m, field, window, padding).
        window: Sensor pixel (x0_px, y0_px) of the picture's first column and row; by default the picture lies in the
            middle of the sensor.
        padding: What stands outside the frame: "reflect", "replicate", "zeros" or "circular".
        on_progress: Called with the number of photographs done and N.

    Returns:
        Shape (N, B, C, H, W).
    """
    render = _find_renderer(method)
    fields = list(fields)
    window = _check_stack(image, depth_m, fields, window, padding)
    stack = []
    for n, field in enumerate(fields):
        scaled, depth = magnify(
            image,
            depth_m,
            field.magnification,
            image_shape_px=field.image_shape_px,
            window=window,
            padding=padding,
        )
        # The scale is applied, so that the renderer sees none, whether it would apply it or not.
        photo = render(scaled, depth, replace(field, magnification=1.0), window, padding)
        if photo.shape != image.shape:
            raise InputError("method", f"a picture of shape {tuple(photo.shape)}", f"shape {tuple(image.shape)}")
        stack.append(photo)
        if on_progress is not None:
            on_progress(n + 1, len(fields))
    return torch.stack(stack)


def find_middle(
    image_shape_px: tuple[int, int], picture_shape_px: tuple[int, int], window: tuple[int, int]
) -> tuple[float, float]:
    """Radius and azimuth in rad of a window's middle.

    Args:
        image_shape_px: The sensor's (H, W).
        picture_shape_px: The picture's (H, W).
        window: Sensor pixel (x0_px, y0_px) of the picture's first column and row.
    """
    x_px, y_px = (torch.tensor(window[i] + (picture_shape_px[1 - i] - 1) / 2).double() for i in (0, 1))
    right = x_px - (image_shape_px[1] - 1) / 2
    up = (image_shape_px[0] - 1) / 2 - y_px
    diagonal = torch.hypot(*torch.tensor(image_shape_px).double())
    return float(2 * torch.hypot(right, up) / diagonal), float(torch.atan2(up, right))


def _find_renderer(method: str | Renderer) -> Renderer:
    if callable(method):
        return method
    found = {"pixelwise": _render_pixelwise, "blend": _render_blend, "layered": _render_layered}.get(method)
    if found is None:
        raise InputError("method", repr(method), "one of " + ", ".join(map(repr, METHODS)) + ", or a function")
    return found


def _render_pixelwise(
    image: Tensor, depth_m: Tensor, field: PolarPSFField, window: tuple[int, int], padding: Any
) -> Tensor:
    from .spatial import pixelwise

    return pixelwise(image, depth_m, field, window=window, padding=padding)


def _render_layered(
    image: Tensor, depth_m: Tensor, field: PolarPSFField, window: tuple[int, int], padding: Any
) -> Tensor:
    from .occlusion import layered

    return layered(image, depth_m, field, window=window, padding=padding)


def _render_blend(
    image: Tensor, depth_m: Tensor, field: PolarPSFField, window: tuple[int, int], padding: str
) -> Tensor:
    from .blending import depth_blend

    shape = (int(image.shape[-2]), int(image.shape[-1]))
    radius, azimuth_rad = find_middle(field.image_shape_px, shape, window)
    kernels, depths_m = field.at_radius(radius, azimuth_rad)
    # Kernels have unit sums; what the lens loses belongs to them as to every pixel's kernel.
    transmission = field.transmission_at(radius, depths_m)
    return depth_blend(image, depth_m, kernels * transmission[..., None, None], depths_m, padding=padding)


def _check_stack(
    image: Tensor, depth_m: Tensor, fields: list[PolarPSFField], window: tuple[int, int] | None, padding: str
) -> tuple[int, int]:
    """The window, when all fits together."""
    if not fields:
        raise InputError("fields", "none", "at least one field")
    if image.ndim != 4 or not image.is_floating_point() or not image.shape[-1] or not image.shape[-2]:
        raise InputError("image", f"{image.dtype} of shape {tuple(image.shape)}", "floats of shape (B, C, H, W)")
    batch, channels, height, width = image.shape
    if depth_m.shape != (batch, 1, height, width) or not depth_m.is_floating_point():
        expected = f"floats of shape {(batch, 1, height, width)}, as the image has it"
        raise InputError("depth_m", f"{depth_m.dtype} of shape {tuple(depth_m.shape)}", expected)
    depths = depth_m.detach()
    if not bool((depths > 0).all()):
        raise InputError("depth_m", float(depths[~(depths > 0)][0]), "depths above 0 m (inf is allowed)")
    if bad := int((~image.detach().isfinite()).sum()):
        raise InputError("image", f"{bad} values that are not finite", "finite light")
    if padding not in PADDINGS:
        raise InputError("padding", repr(padding), "one of " + ", ".join(map(repr, PADDINGS)))
    first = fields[0]
    for n, field in enumerate(fields):
        where = f"fields[{n}]"
        if len(field.channels) != channels:
            raise InputError(where, f"{len(field.channels)} channels", f"the image's {channels}")
        if field.image_shape_px != first.image_shape_px:
            expected = f"the first field's {first.image_shape_px}"
            raise InputError(f"{where}.image_shape_px", field.image_shape_px, expected)
        if abs(field.pitch_um - first.pitch_um) > 1e-6 * first.pitch_um:
            raise InputError(f"{where}.pitch_um", field.pitch_um, f"the first field's {first.pitch_um}")
        if field.kernels.dtype != image.dtype or field.kernels.device != image.device:
            found = f"{field.kernels.dtype} on {field.kernels.device}"
            raise InputError(where, found, f"the image's {image.dtype} on {image.device}")
    return place_window(first.image_shape_px, (height, width), window)
