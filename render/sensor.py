"""What the silicon does: light to whole DN and back, noise that grows with light, and where on the sensor a patch lies.

Equations 6 and 7 of Yang et al., Efficient Depth- and Spatially-Varying Image Simulation for Defocus Deblur. Light is
normalised: 0 is the black level, 1 is white. A mosaic is (..., H, W), a packed one (..., 4, H/2, W/2) in the order R,
Gr, Gb, B (`render.bayer`). float32 holds 16 bits exactly; half precision does not and is refused.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from psf import InputError

from .bayer import PLANES, check_pattern, find_sites, pack, unpack

MOST_BITS = 16
# What a network reads as ISO: 100 to 3200 become 0.1 to 3.2.
ISO_SCALE = 0.001
Level = Tensor | float


@dataclass(frozen=True)
class RawSensor:
    """How a sensor counts light.

    Attributes:
        pattern: Bayer pattern of its first cell.
        bits: Of its DN, 1 to 16.
        black_dn: What no light gives, in DN, 0 or more: one number, or one per plane R, Gr, Gb, B.
        white_dn: What saturated light gives, whole DN; everything above is clipped to it. Default: 2^bits - 1.
    """

    pattern: str = "RGGB"
    bits: int = 10
    black_dn: float | tuple[float, float, float, float] = 64
    white_dn: float | None = None

    def __post_init__(self) -> None:
        check_pattern(self.pattern)
        if isinstance(self.bits, bool) or not isinstance(self.bits, int) or not 1 <= self.bits <= MOST_BITS:
            raise InputError("RawSensor.bits", repr(self.bits), f"a whole number from 1 to {MOST_BITS}")
        top = 2**self.bits - 1
        white_dn = top if self.white_dn is None else self.white_dn
        if not (_is_number(white_dn) and 0 < white_dn <= top and white_dn == math.floor(white_dn)):
            raise InputError("RawSensor.white_dn", repr(white_dn), f"a whole number of DN from 1 to {top}")
        if isinstance(self.black_dn, Sequence) and not isinstance(self.black_dn, str):
            black_dn = tuple(self.black_dn)
            if len(black_dn) != len(PLANES):
                raise InputError("RawSensor.black_dn", f"{len(black_dn)} numbers", "one, or four for R, Gr, Gb, B")
        else:
            black_dn = (self.black_dn,)
        for one in black_dn:
            if not (_is_number(one) and 0 <= one < white_dn):
                raise InputError("RawSensor.black_dn", repr(one), f"DN from 0 to below white, {white_dn:g}")
        one_for_all = len(set(black_dn)) == 1
        object.__setattr__(self, "black_dn", float(black_dn[0]) if one_for_all else tuple(map(float, black_dn)))
        object.__setattr__(self, "white_dn", float(white_dn))

    @property
    def white(self) -> float:
        """White in DN, always a number."""
        assert self.white_dn is not None
        return self.white_dn

    @property
    def blacks_dn(self) -> tuple[float, float, float, float]:
        """Black in DN of R, Gr, Gb and B."""
        black = self.black_dn
        return black if isinstance(black, tuple) else (black, black, black, black)

    @property
    def range_dn(self) -> float:
        """White less black, in DN; the mean of the planes where they differ."""
        return self.white - sum(self.blacks_dn) / len(PLANES)

    def quantised(self, image: Tensor, *, mosaic: bool = False) -> Tensor:
        """Whole DN: clip(round(black + range x), 0, white), halves to the even neighbour (Eq. 7).

        Args:
            image: Normalised light, packed, shape (..., 4, H/2, W/2); any shape if the planes share one black.
            mosaic: The image is a mosaic of this sensor's pattern, shape (..., H, W).

        Returns:
            Whole numbers in the image's own float dtype and shape, without a gradient.
        """
        _check_image("image", image)
        return self._counted(image.detach(), mosaic).round_().clamp_(0, self.white)

    def normalised(self, image_dn: Tensor, *, mosaic: bool = False) -> Tensor:
        """Light of DN: (DN - black) / range; not clipped, so that dark noise keeps its negative half.

        Args:
            image_dn: Float DN, packed, shape (..., 4, H/2, W/2); any shape if the planes share one black.
            mosaic: The image is a mosaic of this sensor's pattern, shape (..., H, W).

        Returns:
            Same shape and dtype.
        """
        _check_image("image_dn", image_dn)
        black, span = self._scales(image_dn, mosaic)
        if mosaic and isinstance(black, Tensor):
            return unpack((pack(image_dn, check_pattern(self.pattern)) - black) / span, check_pattern(self.pattern))
        return (image_dn - black) / span

    def quantise_through(self, image: Tensor, *, mosaic: bool = False) -> Tensor:
        """What a network reads: `normalised(quantised(image))`, with the gradient of the clipping alone.

        The gradient is 1 where 0 <= black + range x <= white, bounds included, and 0 elsewhere.

        Args:
            image: As in `quantised`.
            mosaic: As in `quantised`.

        Returns:
            Normalised light, same shape and dtype.
        """
        value = self.normalised(self.quantised(image, mosaic=mosaic), mosaic=mosaic)
        if not (image.requires_grad and torch.is_grad_enabled()):
            return value
        counted_dn = self._counted(image.detach(), mosaic)
        inside = (counted_dn >= 0) & (counted_dn <= self.white)
        carrier = torch.where(inside, image, image.detach())
        # The difference is exactly 0: the value stays that of the DN, to the last bit.
        return value + (carrier - carrier.detach())

    def _counted(self, image: Tensor, mosaic: bool) -> Tensor:
        black, span = self._scales(image, mosaic)
        if mosaic and isinstance(black, Tensor):
            return unpack(pack(image, check_pattern(self.pattern)) * span + black, check_pattern(self.pattern))
        return image * span + black

    def _scales(self, image: Tensor, mosaic: bool) -> tuple[Level, Level]:
        if not isinstance(self.black_dn, tuple):
            return self.black_dn, self.range_dn
        if not mosaic and (image.ndim < 3 or image.shape[-3] != len(PLANES)):
            expected = "shape (..., 4, H/2, W/2), or mosaic=True: the planes have levels of their own"
            raise InputError("image", f"shape {tuple(image.shape)}", expected)
        black = image.new_tensor(self.black_dn)[:, None, None]
        return black, self.white - black


def add_noise(
    image: Tensor, shot: Level, read: Level, generator: torch.Generator, *, pattern: str | None = None
) -> Tensor:
    """Gaussian noise whose variance is read + shot max(x, 0) (Eq. 6).

    Args:
        image: Normalised light, packed, shape (B, 4, H/2, W/2) or (4, H/2, W/2), or any shape (B, ...).
        shot: Variance per light, in normalised units: one number, shape () or (B,), or per plane (B or 1, 4).
        read: Variance without light, in normalised units, likewise.
        generator: On the image's device. One seed gives the same bytes with any number of threads.
        pattern: For levels per plane of a mosaic, shape (B, H, W), (B, 1, H, W) or (H, W): its Bayer pattern.

    Returns:
        Same shape and dtype, not clipped. Differentiable in image, shot and read.
    """
    _check_image("image", image)
    _check_generator(generator, image)
    shot = _spread("shot", shot, image, pattern)
    read = _spread("read", read, image, pattern)
    noise = torch.randn(image.shape, generator=generator, dtype=image.dtype, device=image.device)
    wants_gradient = torch.is_grad_enabled() and any(
        isinstance(one, Tensor) and one.requires_grad for one in (image, shot, read)
    )
    if not wants_gradient:  # in place: a patch of 4 x 256 x 256 is as fast as its random numbers
        return image.clamp_min(0).mul_(shot).add_(read).sqrt_().mul_(noise).add_(image)
    variance = image.clamp_min(0) * shot + read
    # Replace before the root: its slope at 0 is infinite, and no light without read noise has no noise.
    deviation = torch.where(variance > 0, variance, 1.0).sqrt() * (variance > 0)
    return image + noise * deviation


def add_row_noise(image: Tensor, row_sd: Level, generator: torch.Generator) -> Tensor:
    """A common offset for all pixels of a sensor row, as amplifiers and supplies leave it.

    R and Gr of a packed mosaic share their rows, as Gb and B do.

    Args:
        image: Normalised light, packed, shape (B, 4, H/2, W/2) or (4, H/2, W/2).
        row_sd: Standard deviation in normalised units, one number or shape (B,).
        generator: On the image's device.

    Returns:
        Same shape and dtype. Differentiable in image and deviation.
    """
    _check_image("image", image)
    _check_generator(generator, image)
    if image.ndim not in (3, 4) or image.shape[-3] != len(PLANES):
        raise InputError("image", f"shape {tuple(image.shape)}", "shape (B, 4, H/2, W/2) or (4, H/2, W/2)")
    spread = _spread("row_sd", row_sd, image, None)
    shape = (*image.shape[:-3], 2, image.shape[-2], 1)
    offsets = torch.randn(shape, generator=generator, dtype=image.dtype, device=image.device)
    return image + offsets.repeat_interleave(2, -3) * spread


def iso_plane(iso: Level, shape: tuple[int, int], like: Tensor | None = None) -> Tensor:
    """The network's input plane that says how the sensor was set: ISO / 1000 everywhere.

    Args:
        iso: Above 0, one number or shape (B,).
        shape: Rows and columns of the packed patch.
        like: Its dtype and device are taken, shape (...); default: those of `iso`, or float32.

    Returns:
        Shape (1, h, w), or (B, 1, h, w).
    """
    _check_shape(shape)
    dtype = like.dtype if like is not None else iso.dtype if isinstance(iso, Tensor) else torch.float32
    device = like.device if like is not None else iso.device if isinstance(iso, Tensor) else None
    values = torch.as_tensor(iso, dtype=dtype if dtype.is_floating_point else torch.float32, device=device)
    if values.ndim > 1 or not bool((values > 0).all() & values.isfinite().all()):
        raise InputError("iso", f"{values.tolist()}", "finite numbers above 0, one or shape (B,)")
    return (values * ISO_SCALE)[..., None, None, None].expand(*values.shape, 1, *shape)


def radius_plane(
    shape: tuple[int, int],
    window: tuple[int, int] | Tensor,
    image_shape_px: tuple[int, int],
    like: Tensor | None = None,
) -> Tensor:
    """The network's input plane that says where on the sensor it looks: image height at the middle of each cell.

    0 is the sensor's centre, 1 the outer corner of its corner pixel.

    Args:
        shape: Rows and columns of the packed patch, half the mosaic's.
        window: Sensor pixel (x0_px, y0_px) of the patch's first pixel, or shape (B, 2).
        image_shape_px: The sensor's (H, W).
        like: Its dtype and device are taken, shape (...); default: float32.

    Returns:
        Shape (1, h, w), or (B, 1, h, w).
    """
    _check_shape(shape)
    height_px, width_px = image_shape_px
    dtype, device = (torch.float32, None) if like is None else (like.dtype, like.device)
    # float64 inside: half pixels of a large sensor.
    corner = torch.as_tensor(window, dtype=torch.float64, device=device)
    if corner.shape[-1:] != (2,) or corner.ndim > 2:
        raise InputError("window", f"shape {tuple(corner.shape)}", "(x0_px, y0_px), or shape (B, 2)")
    room = corner.new_tensor([width_px - 2 * shape[1], height_px - 2 * shape[0]])
    if not bool(((corner >= 0) & (corner <= room)).all()):
        expected = f"a place for {2 * shape[1]} x {2 * shape[0]} px inside a sensor of {width_px} x {height_px} px"
        raise InputError("window", corner.tolist(), expected)
    x, y = (
        corner[..., axis, None] + 2 * torch.arange(shape[1 - axis], dtype=torch.float64, device=device) + 1 - side / 2
        for axis, side in ((0, width_px), (1, height_px))
    )
    radius = torch.hypot(x[..., None, :], y[..., :, None]) / (0.5 * math.hypot(width_px, height_px))
    return radius[..., None, :, :].to(dtype)


def _spread(name: str, level: Level, image: Tensor, pattern: str | None) -> Level:
    """A level as a number or as a tensor that broadcasts against the image; checked."""
    if not isinstance(level, Tensor):
        if not (_is_number(level) and level >= 0):
            raise InputError(name, repr(level), "a finite number, 0 or more")
        return float(level)
    if level.is_complex() or level.dtype == torch.bool:
        raise InputError(name, f"{level.dtype}", "real numbers")
    values = level.to(dtype=image.dtype, device=image.device)
    if not bool((values.detach() >= 0).all() & values.detach().isfinite().all()):
        bad = values.detach()[~((values.detach() >= 0) & values.detach().isfinite())]
        raise InputError(name, f"{float(bad[0]):g} (and {bad.numel() - 1} more)", "finite variances, 0 or more")
    batch = image.shape[0] if image.ndim else 1
    if values.ndim == 0:
        return values
    if values.ndim == 1 and values.shape[0] in (1, batch):
        return values.reshape(-1, *[1] * (image.ndim - 1))
    packed = image.ndim >= 3 and image.shape[-3] == len(PLANES) and pattern is None
    samples = image.shape[0] if image.ndim > (3 if packed else 2) else 1
    if values.ndim == 2 and values.shape[1] == len(PLANES) and values.shape[0] in (1, samples):
        if packed and image.ndim in (3, 4):
            return values[..., None, None] if image.ndim == 4 else values[0, :, None, None]
        if pattern is not None and image.ndim in (2, 3, 4):
            return _tile(values, image, pattern)
    expected = f"one number, ({batch},), or per plane ({samples}, 4) for a packed image (or with pattern=)"
    raise InputError(name, f"shape {tuple(level.shape)} for an image {tuple(image.shape)}", expected)


def _tile(values: Tensor, image: Tensor, pattern: str) -> Tensor:
    """Levels (B, 4) on every pixel of a mosaic (B, H, W), (B, 1, H, W) or (H, W)."""
    height, width = image.shape[-2:]
    if height % 2 or width % 2:
        raise InputError("image", f"{height} rows and {width} columns", "even numbers of both")
    cells = values.new_empty(values.shape[0], 2, 2)
    for plane, (row, col) in enumerate(find_sites(check_pattern(pattern))):
        cells[:, row, col] = values[:, plane]
    tiled = cells.repeat(1, height // 2, width // 2)
    return tiled.reshape(-1, *[1] * (image.ndim - 3), height, width) if image.ndim > 2 else tiled[0]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_image(where: str, image: Tensor) -> None:
    if not isinstance(image, Tensor) or image.dtype not in (torch.float32, torch.float64):
        found = image.dtype if isinstance(image, Tensor) else type(image).__name__
        raise InputError(where, found, "a tensor of float32 or float64")
    values = image.detach()
    # A sum is three times as fast as looking at each value, and finite unless a value is not (or they overflow).
    if not math.isfinite(float(values.sum())) and (bad := int((~values.isfinite()).sum())):
        raise InputError(where, f"{bad} values of {values.numel()} that are not finite", "finite light")


def _check_generator(generator: torch.Generator, image: Tensor) -> None:
    if not isinstance(generator, torch.Generator):
        raise InputError("generator", type(generator).__name__, "a torch.Generator")
    if generator.device.type != image.device.type:
        raise InputError("generator", f"one on {generator.device}", f"one on {image.device}, as the image")


def _check_shape(shape: tuple[int, int]) -> None:
    if len(shape) != 2 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise InputError("shape", shape, "rows and columns of the packed patch, above 0")
