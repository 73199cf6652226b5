"""A scene of surfaces through the lens at every focus distance, by the fields of these.

Every surface is blurred with the kernels of its own depth and of every pixel's own place, its mask with it, and what
it covers of the aperture is missing from those behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from psf.metrics import find_rms_radius_px
from psf.reading import LOBES
from psf.turning import polar_place
from render import depth_blend, focal_stack, layered, pixelwise
from render.camera_steps import cut_margin, surround_field
from render.stacks import Renderer, find_middle

from ..patch_optics import FieldExtent, find_radii, measure_extent, trim_field
from .scenes import StackScene, Surface, compose_surfaces

# How far the scale of the first field may be from 1: as exactly as photographs tell it.
SCALE_SLACK = 1e-3


@dataclass(frozen=True, eq=False)
class StackOptics:
    """The fields of one camera at N focus distances, made ready; `open_optics` checks them.

    Attributes:
        fields: In the order of their focus distances, the nearest first, single precision.
        extents: How far their kernels reach.
        variances_px2: Mean square distance of light from its centroid, of the middle channel, shape (D, R) each.
        margin_px: What a scene must have around the window.
    """

    fields: tuple[PolarPSFField, ...]
    extents: tuple[FieldExtent, ...]
    variances_px2: tuple[Tensor, ...]
    margin_px: int

    @property
    def image_shape_px(self) -> tuple[int, int]:
        """The sensor's (H, W)."""
        return self.fields[0].image_shape_px

    @property
    def focus_m(self) -> tuple[float, ...]:
        """Focus distances, ascending."""
        return tuple(float(one.focus_m) for one in self.fields)


def open_optics(fields: Sequence[PolarPSFField]) -> StackOptics:
    """Fields of one camera at several focus distances, checked against one another.

    Args:
        fields: At least two, in the order of their focus distances, the nearest first. Pictures and depth belong to
            the image scale of the first, whose magnification is 1, or nearly: scales count against it.
    """
    if len(fields) < 2:
        raise InputError("fields", f"{len(fields)} of them", "at least 2: a focal stack has several pictures")
    first = fields[0]
    for n, field in enumerate(fields):
        where = f"fields[{n}]"
        if n and not field.focus_m > fields[n - 1].focus_m:
            told = f"{field.focus_m:g} m after {fields[n - 1].focus_m:g} m"
            raise InputError(f"{where}.focus_m", told, "focus distances in ascending order, none twice")
        for name in ("image_shape_px", "pitch_um"):
            if (found := getattr(field, name)) != (wanted := getattr(first, name)):
                raise InputError(f"{where}.{name}", found, f"{wanted}, as the first field has")
        if len(field.channels) != 3:
            raise InputError(f"{where}.channels", len(field.channels), "3 of them, R, G and B")
    if abs(first.magnification - 1) > SCALE_SLACK:
        expected = "1: scenes have the image scale of the first focus distance (psf_grid(..., reference=first lens))"
        raise InputError("fields[0].magnification", first.magnification, expected)
    # A scale that was measured is near 1 and not 1: those of the others are told against it.
    scales = [field.magnification / first.magnification for field in fields]
    own = tuple(
        replace(field.to(dtype=torch.float32), magnification=scale) for field, scale in zip(fields, scales, strict=True)
    )
    half_px = max(field.kernel_px for field in own) // 2
    scale = max(abs(1 / field.magnification - 1) for field in own)
    reach_px = 0 if scale == 0 else int(scale * max(first.image_shape_px) / 2) + 1 + LOBES
    return StackOptics(
        own,
        tuple(measure_extent(field) for field in own),
        tuple(_measure_variance(field) for field in own),
        half_px + reach_px,
    )


def photograph(
    scene: StackScene,
    optics: StackOptics,
    window_px: tuple[int, int],
    *,
    blur: str = "pixelwise",
    turning: str = "cubic",
    transmission: bool = True,
) -> Tensor:
    """The focal stack of a scene.

    Args:
        scene: With the optics' margin around the window.
        optics: The fields.
        window_px: Sensor column and row of the window's first pixel.
        blur: As in `StackSettings`.
        turning: Of "pixelwise": how turned kernels are read, "cubic" or "bilinear".
        transmission: Whether corners are as dark as the fields say.

    Returns:
        Linear light, one picture for each focus distance, shape (N, 3, H, W).
    """
    margin_px, height, width = optics.margin_px, *scene.shape_px
    shape = (height - 2 * margin_px, width - 2 * margin_px)
    room = (optics.image_shape_px[1] - shape[1], optics.image_shape_px[0] - shape[0])
    if min(shape) < 1:
        raise InputError("photograph(scene)", f"{width} x {height} px", f"more than a margin of {margin_px} px a side")
    if not all(0 <= place <= free for place, free in zip(window_px, room, strict=True)):
        expected = f"0 to {room[0]} and 0 to {room[1]}: {shape[1]} x {shape[0]} px inside the sensor"
        raise InputError("photograph(window_px)", window_px, expected)
    render = _make_renderer(blur, turning, margin_px, shape)
    light, cover = zip(
        *(_blur_surface(one, optics, window_px, shape, render, transmission) for one in scene.surfaces), strict=True
    )
    masks = [one for one in cover if one is not None]
    return compose_surfaces(torch.stack(light), torch.stack(masks) if masks else None)


def find_blur_maps(depth_m: Tensor, optics: StackOptics, window_px: tuple[int, int]) -> Tensor:
    """RMS radius of the kernel of every pixel at every focus distance, about its centroid.

    Between stored depths and radii the mean squares are mixed, as those of mixed kernels are.

    Args:
        depth_m: Of the window, shape (1, H, W).
        optics: The fields.
        window_px: Sensor column and row of the window's first pixel.

    Returns:
        In px, shape (N, H, W).
    """
    radius = _find_radii(optics.image_shape_px, window_px, (int(depth_m.shape[-2]), int(depth_m.shape[-1])))
    read = [
        _read_grid(variance[..., None], field, radius, depth_m[0])
        for field, variance in zip(optics.fields, optics.variances_px2, strict=True)
    ]
    return torch.cat(read).sqrt()


def _find_radii(image_shape_px: tuple[int, int], window_px: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    """Image height of a window's pixels, shape (H, W)."""
    rows, columns = (torch.arange(side) + start for side, start in zip(shape, window_px[::-1], strict=True))
    return polar_place(columns[None, :].float(), rows[:, None].float(), image_shape_px)[0]


def _read_grid(values: Tensor, field: PolarPSFField, radius: Tensor, depth_m: Tensor) -> Tensor:
    """Values (D, R, C) on a field's grid at places (H, W), linear in radius and dioptres: shape (C, H, W)."""
    found = torch.zeros((values.shape[2], *radius.shape))
    table = values.flatten(0, 1).T.contiguous()
    planes = _find_share(-1 / field.depths_m, -1 / depth_m)
    rings = _find_share(field.radii, radius)
    for plane, plane_share in planes:
        for ring, ring_share in rings:
            index = (plane * len(field.radii) + ring).flatten()
            found += plane_share * ring_share * table.index_select(1, index).unflatten(1, radius.shape)
    return found


def _find_share(nodes: Tensor, places: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The nodes before and after some places and how much of each counts; beyond the ends, the end."""
    if len(nodes) == 1:
        return [(torch.zeros_like(places, dtype=torch.int64), torch.ones_like(places))]
    after = torch.searchsorted(nodes, places.contiguous()).clamp(1, len(nodes) - 1)
    share = ((places - nodes[after - 1]) / (nodes[after] - nodes[after - 1])).clamp(0, 1)
    return [(after - 1, 1 - share), (after, share)]


def _measure_variance(field: PolarPSFField) -> Tensor:
    """Mean square radius (D, R) of the middle channel's kernels, as finely as they are stored."""
    kernels = field.kernels[:, :, len(field.channels) // 2]
    if kernels.shape[-1] % 2 == 0:  # moves the middle and not the spread
        kernels = torch.nn.functional.pad(kernels, (0, 1, 0, 1))
    return (find_rms_radius_px(kernels) / field.oversample).square()


def _blur_surface(
    surface: Surface,
    optics: StackOptics,
    window_px: tuple[int, int],
    shape: tuple[int, int],
    render: Renderer,
    transmission: bool,
) -> tuple[Tensor, Tensor | None]:
    """Light (N, 3, H, W) of a surface where it covers, and the share of the aperture (N, 3, H, W) that it covers."""
    picture = surface.light[None]
    if surface.cover is not None:
        cover = surface.cover.expand_as(surface.light)[None]
        picture = torch.cat((picture * cover, cover))
    depth_m = surface.depth_m[None].expand(len(picture), -1, -1, -1)
    margin_px = optics.margin_px
    corner = (window_px[0] - margin_px, window_px[1] - margin_px)
    radii = find_radii(optics.image_shape_px, corner, (picture.shape[2], picture.shape[3]))
    nearest, farthest = (float(one) for one in surface.depth_m.aminmax())
    parts, fields = [], []
    for extent in optics.extents:
        part = trim_field(extent, radii, (nearest, farthest))
        if nearest == farthest:
            part = _mix_depths(part, nearest)
        # Coverage is no light: what the lens loses comes last.
        bare = replace(part, transmission=torch.ones_like(part.transmission))
        wide, corner = surround_field(bare, window_px, margin_px, (picture.shape[2], picture.shape[3]))
        parts.append(part)
        fields.append(wide)
    found = cut_margin(focal_stack(picture, depth_m, fields, render, window=corner), margin_px)
    light = found[:, 0]
    if transmission:
        inner = cut_margin(surface.depth_m, margin_px)[0]
        radius = _find_radii(optics.image_shape_px, window_px, shape)
        light = light * torch.stack([_read_grid(one.transmission, one, radius, inner) for one in parts])
    return light, found[:, 1] if surface.cover is not None else None


def _mix_depths(field: PolarPSFField, depth_m: float) -> PolarPSFField:
    """The one depth of a flat surface in place of those around it: mixing and turning commute, and half is to do."""
    shares = _find_share(-1 / field.depths_m, torch.tensor(-1 / depth_m))
    values = {name: getattr(field, name) for name in ("kernels", "transmission", "lost")}
    mixed: dict[str, Any] = {
        name: sum(share * value[plane] for plane, share in shares)[None] for name, value in values.items()
    }
    return replace(field, **mixed, depths_m=field.depths_m.new_tensor([depth_m]))


def _make_renderer(blur: str, turning: str, margin_px: int, shape: tuple[int, int]) -> Renderer:
    """Blurs the part of a picture that the window needs, once the picture has its scale."""

    def render(image: Tensor, depth_m: Tensor, field: PolarPSFField, window: tuple[int, int], padding: Any) -> Tensor:
        cut = margin_px - field.kernel_px // 2
        inner, depth = cut_margin(image, cut), cut_margin(depth_m, cut)
        corner = (window[0] + cut, window[1] + cut)
        if blur == "blend":
            middle = (corner[0] + margin_px - cut, corner[1] + margin_px - cut)
            kernels, depths_m = field.at_radius(*find_middle(field.image_shape_px, shape, middle))
            blurred = depth_blend(inner, depth, kernels, depths_m, padding=padding)
        elif blur == "layered" and bool((depth != depth[0, 0, 0, 0]).any()):
            blurred = layered(inner, depth, field, window=corner, padding=padding)
        elif blur in ("pixelwise", "layered"):
            blurred = pixelwise(inner, depth, field, window=corner, padding=padding, turning=turning, method="tiles")
        else:
            raise InputError("photograph(blur)", repr(blur), "pixelwise, layered or blend")
        return torch.nn.functional.pad(blurred, (cut,) * 4)

    return render
