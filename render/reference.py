"""Full per-pixel rendering as it is defined: every pixel's kernel from the field, sum by sum. Slow, and right."""

from typing import Literal

import torch
from torch import Tensor

from psf import PolarPSFField

Form = Literal["gather", "scatter", "normalised"]
Padding = Literal["reflect", "replicate", "zeros"]

# Kernel values held at once.
VALUES_AT_ONCE = 1 << 24


def pad_picture(picture: Tensor, margin_px: int, padding: str) -> Tensor:
    """A picture with a margin: mirrored about its edge pixels, its edge pixels repeated, or zeros.

    Args:
        picture: Shape (B, C, H, W).
        margin_px: Width of the margin.
        padding: "reflect", "replicate" or "zeros".
    """
    margin = (margin_px,) * 4
    if padding == "zeros":
        return torch.nn.functional.pad(picture, margin)
    return torch.nn.functional.pad(picture, margin, mode=padding)


def gather_at(
    image: Tensor,
    depth_m: Tensor,
    field: PolarPSFField,
    x_px: Tensor,
    y_px: Tensor,
    *,
    window: tuple[int, int],
    padding: str = "reflect",
    interpolation: str = "sized",
    turning: str = "cubic",
) -> Tensor:
    """Some pixels of the first picture's gather.

    Args:
        image: Shape (1, C, H, W).
        depth_m: Shape (1, 1, H, W).
        field: C channels.
        x_px: Columns of the picture, integers, shape (N,).
        y_px: Rows of the picture, integers, shape (N,).
        window: Sensor column and row of the picture's first pixel.
        padding: As in `pad_picture`.
        interpolation: As in `PolarPSFField.at_pixel`.
        turning: As in `PolarPSFField.at_pixel`.

    Returns:
        Shape (N, C).
    """
    size = field.kernel_px
    patches = pad_picture(image, size // 2, padding)[0].unfold(1, size, 1).unfold(2, size, 1)
    step = max(1, VALUES_AT_ONCE // (size * size * image.shape[1]))
    found = []
    for x, y in zip(x_px.split(step), y_px.split(step), strict=True):
        place = (x + window[0], y + window[1], depth_m[0, 0, y, x])
        kernels = field.at_pixel(*place, interpolation=interpolation, turning=turning)
        light = (kernels.flip(-2, -1) * patches[:, y, x].transpose(0, 1)).sum((-2, -1))
        found.append(light * field.transmission_at_pixel(*place))
    return torch.cat(found) if found else image.new_zeros((0, image.shape[1]))


def scatter_at(
    light: Tensor, field: PolarPSFField, x_px: Tensor, y_px: Tensor, depth_m: Tensor, interpolation: str, turning: str
) -> Tensor:
    """What a block of sources leaves on itself and half a kernel all round.

    Args:
        light: Of each source, shape (C, h, w).
        field: C channels.
        x_px: Sensor places, shape (h, w).
        y_px: Sensor places, shape (h, w).
        depth_m: Shape (h, w).
        interpolation: As in `PolarPSFField.at_pixel`.
        turning: As in `PolarPSFField.at_pixel`.

    Returns:
        Shape (C, h + K - 1, w + K - 1).
    """
    size, (channels, height, width) = field.kernel_px, light.shape
    canvas = light.new_zeros((channels, height + size - 1, width + size - 1))
    rows = max(1, VALUES_AT_ONCE // (size * size * channels * width))
    for y in range(0, height, rows):
        part = slice(y, y + rows)
        kernels = field.at_pixel(x_px[part], y_px[part], depth_m[part], interpolation=interpolation, turning=turning)
        spread = kernels * light[:, part].permute(1, 2, 0)[..., None, None]
        columns = spread.permute(2, 3, 4, 0, 1).flatten(1, 2).flatten(2)
        tall = len(x_px[part]) + size - 1
        landed = torch.nn.functional.fold(columns, (tall, width + size - 1), size)[:, 0]
        canvas = canvas + torch.nn.functional.pad(landed, (0, 0, y, canvas.shape[1] - y - tall))
    return canvas


def render_reference(
    image: Tensor,
    depth_m: Tensor,
    field: PolarPSFField,
    window: tuple[int, int],
    form: str,
    padding: str,
    interpolation: str,
    turning: str,
) -> Tensor:
    """All pixels; arguments checked by `spatial.pixelwise_reference`, whose they are: image (B, C, H, W)."""
    height, width = image.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = x.to(image.device), y.to(image.device)
    if form == "gather":
        options = {"padding": padding, "interpolation": interpolation, "turning": turning}
        pictures = [
            gather_at(one[None], z[None], field, x.reshape(-1), y.reshape(-1), window=window, **options)
            for one, z in zip(image, depth_m, strict=True)
        ]
        return torch.stack(pictures).mT.reshape(image.shape) if pictures else image.clone()
    half = field.kernel_px // 2
    if padding != "zeros":
        # Exact in floating point: a place is a copy of the place of the pixel that it copies.
        places = pad_picture(torch.stack((x, y)).to(torch.float64)[None], half, padding)[0]
        x, y = places[0].long(), places[1].long()
    crop = half if padding == "zeros" else 2 * half
    pictures = []
    for one, z in zip(image, depth_m, strict=True):
        depth, place = z[0, y, x], (x + window[0], y + window[1])
        transmission = field.transmission_at_pixel(*place, depth).permute(2, 0, 1)
        sources = one[:, y, x]

        def spread(light: Tensor, depth: Tensor = depth, place: tuple[Tensor, Tensor] = place) -> Tensor:
            canvas = scatter_at(light, field, *place, depth, interpolation, turning)
            return canvas[:, crop : crop + height, crop : crop + width]

        picture = spread(transmission * sources)
        pictures.append(picture / spread(torch.ones_like(sources)) if form == "normalised" else picture)
    return torch.stack(pictures) if pictures else image.clone()
