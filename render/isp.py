"""From sRGB back to what a sensor saw, and forth again: unprocess and process.

    camera = unprocess(srgb, metadata)                 # linear light in the sensor's own colours
    packed = pack(mosaic(camera, "RGGB"), "RGGB")
    srgb   = process(packed, metadata, full=True)      # the same picture, up to demosaicing

Brooks et al., Unprocessing Images for Learned Raw Denoising, CVPR 2019: tone curve, gamma, colour matrix, and gains
that keep white white. Their `process` leaves out brightening and tone curve on purpose: it shows a darker, flatter
picture than `unprocess` was given, and is meant for comparing two packed pictures, both of which go through it.
`full=True` has both, and undoes `unprocess` wherever nothing was clipped and no highlight was protected.
"""

from typing import Any

import torch
from torch import Tensor

from psf import InputError
from psf.convolve import check_alike, check_finite

from . import demosaicing
from .bayer import Pattern, unpack
from .demosaicing import Method
from .metadata import ColourMetadata

GAMMA = 2.2  # Brooks et al.: a power, not the two pieces of sRGB
LOSS_GAMMA = 2.0  # system A's loss
GAMMA_FLOOR = 1e-8  # keeps the power's slope finite
LOSS_GRADIENT_FLOOR = 1e-4  # half precision overflows with the slope at GAMMA_FLOOR
TONE_GRADIENT_FLOOR = 1e-6  # the inverse tone curve is vertical at 0 and 1
HIGHLIGHT_START, HIGHLIGHT_SPAN = 0.9, 0.1  # from here to white the inverse gains fade out
BAND_PX = 512 * 512  # three float32 colours of so many pixels stay in the cache: half the time of a batch of 8 at once


def unprocess(srgb: Tensor, metadata: ColourMetadata, *, clip: bool = True) -> Tensor:
    """Linear light in a camera's own colours, from 0 (black) to 1 (saturation), that develops to this picture.

    Args:
        srgb: R, G, B from 0 to 1, float32 or float64, or uint8 (0 to 255, by table: faster), shape (B, 3, H, W).
        metadata: Of B pictures, or of one for all. Its dtype is that of floats, and of the result.
        clip: Cut what the colour matrix makes above 1 or below 0, as Brooks et al.; False leaves it to the sensor.

    Returns:
        Shape (B, 3, H, W). Differentiable in both; the slope at black and white is finite.
    """
    _check_images("srgb", srgb, metadata, planes=3, also=(torch.uint8,))
    _check_unit_range("srgb", srgb)
    matrix, gains = metadata.rgb_to_camera, inverse_gains(metadata)
    table = _linear_levels(matrix) if srgb.dtype == torch.uint8 else None
    if _wants_gradient(srgb, matrix, gains):
        linear = expand_gamma(invert_tone(srgb)) if table is None else table.take(srgb.long())
        camera = apply_matrix(linear, matrix)
        camera = camera * safe_gains(camera, gains)
        return _clip(camera) if clip else camera
    out = torch.empty_like(srgb, dtype=matrix.dtype)
    for part in _bands(srgb):
        of = part[0] if len(metadata) > 1 else slice(None)
        _unprocess_into(srgb[part], matrix[of], gains[of, :, None, None], table, clip, out[part])
    return out


def process(
    packed: Tensor,
    metadata: ColourMetadata,
    *,
    pattern: Pattern = "RGGB",
    gamma: float | Tensor = GAMMA,
    demosaic: Method = "bilinear",
    full: bool = False,
    gradient_floor: float | None = None,
) -> Tensor:
    """Develop a packed mosaic: white balance, demosaic, colour matrix, gamma; clipped to 0..1 on the way.

    Args:
        packed: R, Gr, Gb, B, black 0, white 1, float32 or float64, shape (B, 4, H/2, W/2).
        metadata: Of B pictures, or of one for all.
        pattern: Of the mosaic.
        gamma: The power, or one per picture, shape (B,).
        demosaic: "bilinear" or "malvar".
        full: Brightening and tone curve as well, which the original leaves out.
        gradient_floor: As in `compress_gamma`.

    Returns:
        R, G, B from 0 to 1, shape (B, 3, H, W). Differentiable.
    """
    _check_images("packed", packed, metadata, planes=4)
    _check_gamma(gamma, packed)
    _check_gradient_floor(gradient_floor)
    demosaicing.check_demosaic(demosaic)
    check_finite("packed", packed)
    balanced = _clip(packed * _gains(metadata, 4, full))
    camera = demosaicing.demosaic(unpack(balanced, pattern), pattern, demosaic)
    return _develop(camera, metadata, gamma, full, gradient_floor)


def process_linear(
    camera: Tensor,
    metadata: ColourMetadata,
    *,
    gamma: float | Tensor = GAMMA,
    full: bool = False,
    clip: bool = True,
    gradient_floor: float | None = None,
) -> Tensor:
    """As `process`, from all three colours at every pixel instead of a mosaic.

    Args:
        camera: Linear light in the camera's colours, as `unprocess` returns it, shape (B, 3, H, W).
        metadata: Of B pictures, or of one for all.
        gamma: The power, or one per picture, shape (B,).
        full: Brightening and tone curve as well: the inverse of `unprocess`, but for what it clipped or protected.
        clip: Cut at white before the colour matrix too, as `process` does. Without it highlights that `unprocess`
            protected, which the gains lift above white, come out coloured.
        gradient_floor: As in `compress_gamma`.

    Returns:
        R, G, B from 0 to 1, shape (B, 3, H, W). Differentiable.
    """
    _check_images("camera", camera, metadata, planes=3)
    _check_gamma(gamma, camera)
    _check_gradient_floor(gradient_floor)
    check_finite("camera", camera)
    balanced = camera * _gains(metadata, 3, full)
    return _develop(_clip(balanced) if clip else balanced, metadata, gamma, full, gradient_floor)


def process_for_loss(
    packed: Tensor,
    metadata: ColourMetadata,
    *,
    pattern: Pattern = "RGGB",
    gamma: float | Tensor = LOSS_GAMMA,
    gradient_floor: float | None = LOSS_GRADIENT_FLOOR,
) -> Tensor:
    """`process` as system A's loss compares pictures: gamma 2, bilinear, slopes that half precision can hold.

    Args:
        packed: R, Gr, Gb, B, shape (B, 4, H/2, W/2); a network's half precision goes through `.float()` first.
        metadata: The sample's own; or jittered, the same for result and target.
        pattern: Of the mosaic.
        gamma: The power, or one per picture, shape (B,), as `random_gamma` draws them.
        gradient_floor: As in `compress_gamma`.

    Returns:
        Shape (B, 3, H, W).
    """
    return process(packed, metadata, pattern=pattern, gamma=gamma, gradient_floor=gradient_floor)


def apply_tone(flat: Tensor) -> Tensor:
    """The tone curve 3 y² - 2 y³, a smooth step; values (...) from 0 to 1."""
    return flat * flat * (3 - 2 * flat)


def invert_tone(srgb: Tensor) -> Tensor:
    """The y whose tone curve this is.

    Args:
        srgb: Any shape (...); what is outside 0..1 is taken as the nearer end, and has no gradient.

    Returns:
        Shape (...). Within 1e-6 of either end, where the slope is infinite, gradients take the slope there.
    """
    return _InvertTone.apply(srgb)  # type: ignore[no-any-return]


def expand_gamma(values: Tensor, gamma: float | Tensor = GAMMA) -> Tensor:
    """Linear light of values of shape (B, C, H, W): max(x, 1e-8) to the power `gamma`, a number or shape (B,)."""
    return torch.pow(values.clamp_min(GAMMA_FLOOR), _exponent(gamma, values))


def compress_gamma(linear: Tensor, gamma: float | Tensor = GAMMA, *, gradient_floor: float | None = None) -> Tensor:
    """Values of linear light: max(x, 1e-8) to the power 1 / `gamma`.

    Args:
        linear: Shape (B, C, H, W).
        gamma: The power, or one per picture, shape (B,).
        gradient_floor: Darker light than this passes gradients with the slope that the curve has here, and blacks
            are not cut off from them; the value does not change. None: the true slope, up to 10,500 at 1e-8 and 0
            below. With a floor nothing flows to `gamma`, and second derivatives are 0.

    Returns:
        Shape (B, C, H, W).
    """
    power = 1 / _exponent(gamma, linear)
    if gradient_floor is None:
        return torch.pow(linear.clamp_min(GAMMA_FLOOR), power)
    _check_gradient_floor(gradient_floor)
    light = linear.detach()
    values = torch.pow(light.clamp_min(GAMMA_FLOOR), power)
    if not _wants_gradient(linear):
        return values
    slope = power * torch.pow(light.clamp_min(gradient_floor), power - 1)
    return values + slope * (linear - light)


def apply_matrix(image: Tensor, matrix: Tensor) -> Tensor:
    """Colours (B, 3, H, W) times matrices (B, 3, 3) or (1, 3, 3).

    In single multiplications: a matrix product could be computed in fewer bits under autocast, or as TF32.
    """
    _check_colours("image", image)
    if matrix.shape not in {(1, 3, 3), (len(image), 3, 3)}:
        raise InputError("matrix", f"shape {tuple(matrix.shape)}", f"shape (1, 3, 3) or ({len(image)}, 3, 3)")
    m = matrix[..., None, None]
    red, green, blue = image.unbind(1)
    if _wants_gradient(image, matrix):
        return torch.stack([red * m[:, i, 0] + green * m[:, i, 1] + blue * m[:, i, 2] for i in range(3)], 1)
    out = torch.empty_like(image)
    for i in range(3):
        torch.mul(red, m[:, i, 0], out=out[:, i]).addcmul_(green, m[:, i, 1]).addcmul_(blue, m[:, i, 2])
    return out


def inverse_gains(metadata: ColourMetadata) -> Tensor:
    """What a camera's R, G, B were before white balance and brightening, as factors, shape (B, 3)."""
    one = torch.ones_like(metadata.red_gain)
    return torch.stack([1 / metadata.red_gain, one, 1 / metadata.blue_gain], 1) / metadata.brightening[:, None]


def highlight_mask(camera: Tensor) -> Tensor:
    """How far the gains must fade: 0 below a grey of 0.9, 1 at white, more above; (B, 3, H, W) to (B, 1, H, W)."""
    _check_colours("camera", camera)
    grey = camera.mean(1, keepdim=True)
    return ((grey - HIGHLIGHT_START).clamp_min(0) / HIGHLIGHT_SPAN) ** 2


def safe_gains(camera: Tensor, gains: Tensor) -> Tensor:
    """Factors that fade to 1 towards white, lest white becomes coloured and dim; never below the gains.

    Args:
        camera: What they will be applied to, shape (B, 3, H, W).
        gains: As from `inverse_gains`, shape (B, 3) or (1, 3).

    Returns:
        Shape (B, 3, H, W).
    """
    if gains.shape not in {(1, 3), (len(camera), 3)}:
        raise InputError("gains", f"shape {tuple(gains.shape)}", f"shape (1, 3) or ({len(camera)}, 3)")
    # max(m + (1 - m) g, g) of Brooks et al. is g + m max(1 - g, 0), m being at least 0.
    g = gains[..., None, None]
    return g + highlight_mask(camera) * (1 - g).clamp_min(0)


class _InvertTone(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, srgb: Tensor) -> Tensor:
        flat = 0.5 - torch.sin(torch.asin(1 - 2 * srgb.clamp(0, 1)) / 3)
        ctx.save_for_backward(srgb, flat)
        return flat

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        srgb, flat = ctx.saved_tensors
        # One over the slope 6 y (1 - y) of the curve, with y from the square root that the curve is near its ends.
        end = (TONE_GRADIENT_FLOOR / 3) ** 0.5
        y = flat.clamp(end, 1 - end)
        return torch.where((srgb >= 0) & (srgb <= 1), grad / (6 * y * (1 - y)), 0)


class _Clip(torch.autograd.Function):
    """Clamp to 0..1 with a slope of 1 at the ends themselves, where releases of torch differ (1, 1/2 or 0)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        return values.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (values,) = ctx.saved_tensors
        return torch.where((values >= 0) & (values <= 1), grad, 0)


def _clip(values: Tensor) -> Tensor:
    clipped: Tensor = _Clip.apply(values)
    return clipped


def _linearise_in_place(steep: Tensor) -> Tensor:
    """Of 2 s - 1: inverse tone curve and gamma, in the same memory."""
    return steep.asin_().div_(3).sin_().add_(0.5).clamp_min_(GAMMA_FLOOR).pow_(GAMMA)


def _linear_levels(like: Tensor) -> Tensor:
    """Inverse tone curve and gamma of the 256 levels of 8 bits."""
    levels = torch.arange(256, device=like.device, dtype=torch.float64) / 255
    return _linearise_in_place(2 * levels - 1).to(like.dtype)


def _bands(images: Tensor) -> list[tuple[slice, slice, slice]]:
    """Parts of (B, C, H, W) that fit the cache; all of it where there is none to care for."""
    whole = slice(None)
    if images.device.type != "cpu":
        return [(whole, whole, whole)]
    count, _, height, width = images.shape
    rows = max(1, BAND_PX // width)
    return [(slice(n, n + 1), whole, slice(top, top + rows)) for n in range(count) for top in range(0, height, rows)]


def _unprocess_into(srgb: Tensor, matrix: Tensor, gains: Tensor, table: Tensor | None, clip: bool, out: Tensor) -> None:
    """`unprocess` without a gradient, and without a new tensor per operation."""
    linear = _linearise_in_place(2 * srgb - 1) if table is None else table.take(srgb.long())
    camera = apply_matrix(linear, matrix)
    mask = highlight_mask(camera)[:, 0]
    for channel in range(3):
        gain = gains[:, channel]
        camera[:, channel] *= torch.addcmul(gain, mask, (1 - gain).clamp_min(0))
    if clip:
        torch.clamp(camera, 0, 1, out=out)
    else:
        out.copy_(camera)


def _develop(
    camera: Tensor, metadata: ColourMetadata, gamma: float | Tensor, full: bool, gradient_floor: float | None
) -> Tensor:
    rgb = apply_matrix(camera, metadata.camera_to_rgb)
    if _wants_gradient(rgb, *([gamma] if isinstance(gamma, Tensor) else [])):
        values = compress_gamma(_clip(rgb), gamma, gradient_floor=gradient_floor)
        return apply_tone(values) if full else values
    rgb.clamp_(GAMMA_FLOOR, 1).pow_(1 / _exponent(gamma, rgb))
    if full:
        rgb.mul_((3 - 2 * rgb).mul_(rgb))
    return rgb


def _gains(metadata: ColourMetadata, planes: int, full: bool) -> Tensor:
    """White balance of the packed planes or the colours, shape (B, planes, 1, 1)."""
    one = torch.ones_like(metadata.red_gain)
    gains = torch.stack([metadata.red_gain, *[one] * (planes - 2), metadata.blue_gain], 1)
    return (gains * metadata.brightening[:, None] if full else gains)[..., None, None]


def _exponent(gamma: float | Tensor, values: Tensor) -> float | Tensor:
    _check_gamma(gamma, values)
    return gamma[:, None, None, None] if isinstance(gamma, Tensor) and gamma.ndim else gamma


def _wants_gradient(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(values.requires_grad for values in tensors)


def _check_images(
    where: str, images: Tensor, metadata: ColourMetadata, planes: int, also: tuple[torch.dtype, ...] = ()
) -> None:
    if not isinstance(images, Tensor) or images.dtype not in (torch.float32, torch.float64, *also):
        found = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise InputError(where, found, "a tensor of " + " or ".join(map(str, (torch.float32, torch.float64, *also))))
    if images.ndim != 4 or images.shape[1] != planes or 0 in images.shape[2:]:
        sides = "H, W" if planes == 3 else "H/2, W/2"
        raise InputError(where, f"shape {tuple(images.shape)}", f"shape (B, {planes}, {sides}), at least one pixel")
    if len(metadata) not in (1, len(images)):
        raise InputError("metadata", f"{len(metadata)} pictures", f"1 or {len(images)}, as {where} has")
    if images.dtype in also:
        images = images.new_empty(0, dtype=metadata.red_gain.dtype)
    check_alike("metadata", metadata.red_gain, images)


def _check_colours(where: str, images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3:
        raise InputError(where, f"shape {tuple(images.shape)}", "shape (B, 3, H, W)")


def _check_unit_range(where: str, values: Tensor) -> None:
    if values.dtype == torch.uint8 or not values.numel():
        return
    least, most = (float(end) for end in values.detach().aminmax())
    if not (least >= 0 and most <= 1):  # NaN is neither
        bad = int((~((values >= 0) & (values <= 1))).sum())
        raise InputError(where, f"{bad} values outside 0..1 or NaN ({least:g} to {most:g})", "values from 0 to 1")


def _check_gradient_floor(gradient_floor: float | None) -> None:
    if gradient_floor is not None and not 0 < gradient_floor < 1:
        raise InputError("gradient_floor", gradient_floor, "a light above 0 and below 1, or None")


def _check_gamma(gamma: float | Tensor, images: Tensor) -> None:
    if isinstance(gamma, Tensor):
        if gamma.ndim > 1 or (gamma.ndim == 1 and len(gamma) not in (1, len(images))):
            raise InputError("gamma", f"shape {tuple(gamma.shape)}", f"one number or shape ({len(images)},)")
        check_alike("gamma", gamma, images)
        right = bool(((gamma > 0) & (gamma < torch.inf)).all())
    else:
        right = 0 < gamma < float("inf")
    if not right:
        raise InputError("gamma", gamma.tolist() if isinstance(gamma, Tensor) else gamma, "positive finite powers")
