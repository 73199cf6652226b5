"""Steps of `Camera.simulate` that are nobody else's: scene to light, light through the lens, place on the sensor."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, cast

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from psf.resampling import apply_matrices, gaussian_matrix, renormalise

from .bayer import Pattern, mosaic, shifted_pattern
from .blending import depth_blend
from .isp import apply_matrix, inverse_gains, unprocess
from .metadata import ColourMetadata
from .stacks import Renderer, find_middle

RENDERERS = ("blend", "pixelwise", "layered", "none")
Space = Literal["srgb", "linear", "camera"]
Generators = torch.Generator | Sequence[torch.Generator | int]
Windows = Sequence[int] | Sequence[Sequence[int]] | Tensor
# So many cells' transmission is computed at once; some 200 bytes each.
TRANSMISSION_CELLS = 1 << 17
LEAST_SHARE = 1e-7


def make_light(image: Tensor, metadata: ColourMetadata, space: Space, clip: bool) -> Tensor:
    """Light in the camera's own colours.

    Args:
        image: One picture in the colours of `space`, shape (1, 3, H, W).
        metadata: Of one picture.
        space: As in `Camera.simulate`.
        clip: Saturate it.

    Returns:
        Shape (1, 3, H, W).
    """
    if space == "srgb":
        return unprocess(image, metadata, clip=clip)
    light = image.to(metadata.red_gain.dtype) / 255 if image.dtype == torch.uint8 else image
    values = light.detach()
    if not math.isfinite(float(values.sum())) or float(values.amin()) < 0:
        raise InputError("image", f"{float(values.amin()):g} to {float(values.amax()):g}", "finite light, 0 or more")
    if space == "linear":
        light = apply_matrix(light, metadata.rgb_to_camera) * inverse_gains(metadata)[..., None, None]
    return light.clamp(0, 1) if clip else light


def blur_mosaic(
    light: Tensor,
    depth_m: Tensor,
    field: PolarPSFField | None,
    window: tuple[int, int],
    margin_px: int,
    renderer: str | Renderer,
    padding: str,
    pattern: Pattern,
    spread_px: float = 0.0,
) -> Tensor:
    """The mosaic that a lens leaves on the sensor.

    Args:
        light: With its margin, shape (1, 3, H + 2 margin_px, W + 2 margin_px).
        depth_m: Of the same size, shape (1, 1, ...).
        field: Of the lens.
        window: Sensor column and row of the first pixel behind the margin.
        margin_px: As in `Camera.simulate`.
        renderer: As in `Camera.simulate`, but "none".
        padding: As in `Camera.simulate`.
        pattern: Of the sensor.
        spread_px: As in `Camera.simulate`, for this one picture.

    Returns:
        Shape (1, H, W).
    """
    if renderer == "blend" and field is not None:
        shape = (light.shape[2] - 2 * margin_px, light.shape[3] - 2 * margin_px)
        kernels, depths_m = field.at_radius(*find_middle(field.image_shape_px, shape, window))
        kernels = spread_kernels(kernels, spread_px)
        # Only what the mosaic keeps is computed.
        sites = shifted_pattern(pattern, -margin_px, -margin_px)
        kept = depth_blend(light, depth_m, kernels, depths_m, padding=padding, sites=sites)
        return cut_margin(kept, margin_px)[:, 0]
    corner = (window[0] - margin_px, window[1] - margin_px)
    if field is not None:
        field, corner = surround_field(field, window, margin_px, (light.shape[2], light.shape[3]))
    if renderer == "pixelwise" and field is not None:
        from .spatial import pixelwise

        blurred = pixelwise(light, depth_m, field, window=corner, padding=cast(Any, padding))
    elif renderer == "layered" and field is not None:
        from .occlusion import layered

        blurred = layered(light, depth_m, field, window=corner, padding=padding)
    else:
        render = cast("Renderer", renderer)
        blurred = render(light, depth_m, cast(PolarPSFField, field), corner, padding)
        if tuple(blurred.shape) != tuple(light.shape):
            raise InputError("renderer", f"a picture of shape {tuple(blurred.shape)}", f"shape {tuple(light.shape)}")
    return mosaic(cut_margin(blurred, margin_px), pattern)


def spread_kernels(kernels: Tensor, spread_px: float) -> Tensor:
    """Kernels (P, C, K, K) with a Gaussian of this standard deviation added to all of them, of unit sum again."""
    if spread_px == 0:
        return kernels
    share = gaussian_matrix(kernels.shape[-1], spread_px)
    # Tails that float32 does not add up would make every kernel as wide as its window.
    share = torch.where(share > LEAST_SHARE, share, 0.0)
    return renormalise(apply_matrices(kernels, share, share), "spread_px")[0]


def transmit_all(field: PolarPSFField | None) -> PolarPSFField | None:
    """A field with a transmission of 1: what the lens loses is applied by the camera, whoever renders."""
    return None if field is None else replace(field, transmission=torch.ones_like(field.transmission))


def find_transmission(field: PolarPSFField, depth_m: Tensor, window: tuple[int, int]) -> Tensor:
    """What reaches the cells of a packed mosaic, against the sensor's middle.

    Args:
        field: Of the lens.
        depth_m: Of the photograph's pixels, that of each cell's first pixel is taken, shape (1, 1, H, W).
        window: Sensor column and row of the first pixel.

    Returns:
        R, Gr, Gb, B at the middle of each cell, shape (1, 4, H/2, W/2).
    """
    depth = depth_m[0, 0, ::2, ::2]
    rows, columns = depth.shape
    x_px = window[0] + 0.5 + 2 * torch.arange(columns, dtype=depth.dtype, device=depth.device)
    y_px = window[1] + 0.5 + 2 * torch.arange(rows, dtype=depth.dtype, device=depth.device)
    step = max(1, TRANSMISSION_CELLS // columns)
    bands = [
        field.transmission_at_pixel(x_px[None, :], y_px[top : top + step, None], depth[top : top + step])
        for top in range(0, rows, step)
    ]
    return torch.cat(bands).permute(2, 0, 1)[None, [0, 1, 1, 2]]


def cut_margin(image: Tensor, margin_px: int) -> Tensor:
    """The middle of pictures (..., H + 2 margin_px, W + 2 margin_px): shape (..., H, W)."""
    height, width = image.shape[-2:]
    return image[..., margin_px : height - margin_px, margin_px : width - margin_px]


def place_windows(
    window: Windows | None, batch: int, shape_px: tuple[int, int], image_shape_px: tuple[int, int]
) -> Tensor:
    """Where on the sensor each of some pictures begins.

    Args:
        window: As in `Camera.simulate`: None, one pair, or shape (B, 2).
        batch: B.
        shape_px: (H, W) of the pictures.
        image_shape_px: The sensor's (H, W).

    Returns:
        Even columns and rows, int64, shape (B, 2).
    """
    room = torch.tensor([image_shape_px[1] - shape_px[1], image_shape_px[0] - shape_px[0]])
    sensor = f"a sensor of {image_shape_px[1]} x {image_shape_px[0]} px"
    picture = f"{shape_px[1]} x {shape_px[0]} px"
    if int(room.min()) < 0:
        raise InputError("image", f"{picture} without its margin", f"a part of {sensor} (or Camera.fitted)")
    if window is None:
        return (room // 4 * 2).expand(batch, 2)
    given = torch.as_tensor(window).detach().cpu()
    whole = given.double()
    if tuple(given.shape) not in {(2,), (1, 2), (batch, 2)} or not bool((whole % 2 == 0).all()):
        expected = f"even sensor columns and rows (x0_px, y0_px), one pair or {batch} of them"
        raise InputError("window", given.tolist(), expected)
    if not bool(((whole >= 0) & (whole <= room)).all()):
        raise InputError("window", given.tolist(), f"a place for {picture} inside {sensor}")
    return given.long().expand(batch, 2)


def find_generators(generator: Generators, batch: int, device: torch.device) -> list[torch.Generator]:
    """One generator per picture of a batch; seeds become generators on the device."""
    if isinstance(generator, torch.Generator):
        return [generator] * batch
    if not isinstance(generator, Sequence) or isinstance(generator, str) or len(generator) != batch:
        kind = f"{len(generator)} of them" if isinstance(generator, Sequence) else type(generator).__name__
        raise InputError("generator", kind, f"a torch.Generator, or {batch} generators or seeds")
    found = []
    for n, one in enumerate(generator):
        if isinstance(one, torch.Generator):
            found.append(one)
        elif isinstance(one, int) and not isinstance(one, bool):
            found.append(torch.Generator(device=device).manual_seed(one))
        else:
            raise InputError(f"generator[{n}]", type(one).__name__, "a torch.Generator or a whole number")
    return found


def surround_field(
    field: PolarPSFField, window: tuple[int, int], margin_px: int, shape_px: tuple[int, int]
) -> tuple[PolarPSFField, tuple[int, int]]:
    """The field and window of a picture with its margin; where that leaves the sensor, a sensor with a margin too.

    Args:
        field: Of the sensor.
        window: Sensor column and row of the picture's first pixel.
        margin_px: Around the picture.
        shape_px: Height and width of the picture, margin included.
    """
    corner = (window[0] - margin_px, window[1] - margin_px)
    height, width = field.image_shape_px
    if min(corner) >= 0 and corner[0] + shape_px[1] <= width and corner[1] + shape_px[0] <= height:
        return field, corner
    wider = (height + 2 * margin_px, width + 2 * margin_px)
    scale = math.hypot(height, width) / math.hypot(*wider)
    return replace(field, image_shape_px=wider, radii=field.radii * scale), window
