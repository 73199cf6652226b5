"""The colour side of a camera, one set of numbers per picture: matrix, white balance, exposure; as Brooks draws them.

Brooks et al., Unprocessing Images for Learned Raw Denoising, CVPR 2019 (figures as in the code published with it).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from psf import InputError
from psf.convolve import check_finite

# XYZ to camera of the four cameras that Brooks et al. mix.
XYZ_TO_CAMERAS = (
    ((1.0234, -0.2969, -0.2266), (-0.5625, 1.6328, -0.0469), (-0.0703, 0.2188, 0.6406)),
    ((0.4913, -0.0541, -0.0202), (-0.6130, 1.3513, 0.2906), (-0.1564, 0.2151, 0.7183)),
    ((0.8380, -0.2630, -0.0639), (-0.2887, 1.0725, 0.2496), (-0.0627, 0.1427, 0.5438)),
    ((0.6596, -0.2079, -0.0562), (-0.4782, 1.3016, 0.1933), (-0.0970, 0.1581, 0.5181)),
)
# Linear sRGB to XYZ, white D65.
RGB_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
# Brooks et al.: weights uniform, then divided by their sum; 1 / brightening normal; gains uniform.
WEIGHT_RANGE = (1e-8, 1e8)
DIMMING_MEAN, DIMMING_SD = 0.8, 0.1
DIMMING_RANGE = (0.5, 1.1)  # three standard deviations; the published code has no guard against 0
RED_GAIN_RANGE = (1.9, 2.4)
BLUE_GAIN_RANGE = (1.5, 1.9)
# Noise, natural logarithms.
SHOT_RANGE = (1e-4, 0.012)
READ_SLOPE, READ_OFFSET, READ_SD = 2.18, 1.20, 0.26
# Of the loss's ISP, as in the public DeepLens release.
GAMMA_SD, GAIN_SD, MATRIX_SD = 0.01, 0.1, 0.01
# Rows of a matrix that are divided by their sums must have sums.
SMALLEST = 1e-6


@dataclass(frozen=True, eq=False)
class ColourMetadata:
    """Colours of B pictures: what lies between linear sRGB and a sensor's own red, green and blue.

    A sensor's values times the white balance's gains and the brightening, then times `camera_to_rgb`, are linear sRGB.

    Attributes:
        rgb_to_camera: Linear sRGB to camera, shape (B, 3, 3). Where rows sum to 1 grey stays grey.
        red_gain: White balance of red, green being 1; shape (B,).
        blue_gain: White balance of blue, shape (B,).
        brightening: Exposure gain on top, shape (B,).
    """

    rgb_to_camera: Tensor
    red_gain: Tensor
    blue_gain: Tensor
    brightening: Tensor

    def __post_init__(self) -> None:
        matrix = self.rgb_to_camera
        if matrix.ndim != 3 or matrix.shape[1:] != (3, 3) or matrix.dtype not in (torch.float32, torch.float64):
            found = f"{matrix.dtype} of shape {tuple(matrix.shape)}"
            raise InputError("rgb_to_camera", found, "float32 or float64 of shape (B, 3, 3)")
        check_finite("rgb_to_camera", matrix)
        if bool((torch.linalg.det(matrix.detach()).abs() < SMALLEST).any()):
            raise InputError("rgb_to_camera", "a matrix without an inverse", "matrices that can be inverted")
        for name in ("red_gain", "blue_gain", "brightening"):
            values = getattr(self, name)
            if values.shape != matrix.shape[:1] or values.dtype != matrix.dtype or values.device != matrix.device:
                found = f"{values.dtype} of shape {tuple(values.shape)} on {values.device}"
                expected = f"{matrix.dtype} of shape ({matrix.shape[0]},) on {matrix.device}, as the matrices"
                raise InputError(name, found, expected)
            if not bool(((values > 0) & (values < torch.inf)).all()):
                raise InputError(name, values.tolist(), "positive finite numbers")

    def __len__(self) -> int:
        return len(self.red_gain)

    def __getitem__(self, index: int | slice | Tensor) -> "ColourMetadata":
        """Part of the batch; one number gives a batch of one."""
        where: slice | Tensor = slice(place := range(len(self))[index], place + 1) if isinstance(index, int) else index
        return self._each(lambda values: values[where])

    @property
    def camera_to_rgb(self) -> Tensor:
        """Camera to linear sRGB, shape (B, 3, 3)."""
        return torch.linalg.inv(self.rgb_to_camera)  # type: ignore[no-any-return]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "ColourMetadata":
        """The same numbers elsewhere, or in another type."""
        return self._each(lambda values: values.to(device=device, dtype=dtype))

    def repeated(self, times: int) -> "ColourMetadata":
        """Every picture's numbers so many times in a row: for patches of the same pictures."""
        return self._each(lambda values: values.repeat_interleave(times, 0))

    def jittered(
        self, *, generator: torch.Generator, gain_sd: float = GAIN_SD, matrix_sd: float = MATRIX_SD
    ) -> "ColourMetadata":
        """Another development of the same pictures, for a loss that must not lean on one set of colours.

        Drawn in this order: red and blue gains, normal about theirs (never below half of them), then the entries of
        `camera_to_rgb`, whose rows are scaled back to the sums they had.

        Args:
            generator: 11 normal numbers per picture come from it.
            gain_sd: Standard deviation of the gains.
            matrix_sd: Of the entries of the matrix.
        """
        for name, sd in (("gain_sd", gain_sd), ("matrix_sd", matrix_sd)):
            _check_sd(f"jittered({name})", sd)
        to_rgb = self.camera_to_rgb
        gains = gain_sd * _draw_normal((2, len(self)), generator).to(to_rgb)
        changed = to_rgb + matrix_sd * _draw_normal((len(self), 3, 3), generator).to(to_rgb)
        changed = changed * (to_rgb.sum(-1, keepdim=True) / changed.sum(-1, keepdim=True))
        return ColourMetadata(
            rgb_to_camera=torch.linalg.inv(changed),
            red_gain=torch.maximum(self.red_gain + gains[0], 0.5 * self.red_gain),
            blue_gain=torch.maximum(self.blue_gain + gains[1], 0.5 * self.blue_gain),
            brightening=self.brightening,
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> "ColourMetadata":
        return ColourMetadata(*(change(getattr(self, field.name)) for field in fields(self)))


def make_metadata(xyz_to_camera: Tensor, white_balance: Tensor, brightening: float = 1.0) -> ColourMetadata:
    """Colours of a known camera, such as a RAW file tells them.

    Args:
        xyz_to_camera: Shape (3, 3), or (B, 3, 3) for several pictures.
        white_balance: Gains of R, G, B, shape (3,) or (B, 3); only their ratios count.
        brightening: Exposure gain.

    Returns:
        A batch of one, or of B.
    """
    matrix = xyz_to_camera if xyz_to_camera.ndim == 3 else xyz_to_camera[None]
    if matrix.shape[1:] != (3, 3):
        raise InputError("xyz_to_camera", f"shape {tuple(xyz_to_camera.shape)}", "shape (3, 3) or (B, 3, 3)")
    gains = white_balance if white_balance.ndim == 2 else white_balance[None]
    if gains.shape[1:] != (3,) or len(gains) not in (1, len(matrix)):
        raise InputError("white_balance", f"shape {tuple(white_balance.shape)}", f"shape (3,) or ({len(matrix)}, 3)")
    if not bool((gains > 0).all()):
        raise InputError("white_balance", gains.tolist(), "positive gains of R, G, B")
    gains = (gains / gains[:, 1:2]).to(matrix).expand(len(matrix), 3)
    camera = normalise_rows(matrix @ matrix.new_tensor(RGB_TO_XYZ))
    return ColourMetadata(camera, gains[:, 0], gains[:, 2], torch.full_like(gains[:, 0], brightening))


def normalise_rows(matrix: Tensor) -> Tensor:
    """Matrices (..., 3, 3) with every row divided by its sum: grey stays grey."""
    sums = matrix.sum(-1, keepdim=True)
    if bool((sums.detach().abs() < SMALLEST).any()):
        raise InputError("matrix", "a row whose sum is 0", "rows that can be divided by their sums")
    return matrix / sums


def mix_matrices(weights: Tensor) -> Tensor:
    """Matrices between those of four real cameras.

    Args:
        weights: Of the four, positive, of any sum, shape (B, 4).

    Returns:
        Linear sRGB to camera, rows of unit sum, shape (B, 3, 3). Blue makes some reds slightly negative.
    """
    if weights.ndim != 2 or weights.shape[1] != 4:
        raise InputError("weights", f"shape {tuple(weights.shape)}", "shape (B, 4)")
    if not bool((weights >= 0).all() & (weights.sum(1) > 0).all() & (weights < torch.inf).all()):
        raise InputError("weights", weights.tolist(), "finite numbers of at least 0, not all of them 0")
    shares = weights / weights.sum(1, keepdim=True)
    # A sum of products, not a matrix product: those may be computed in fewer bits where the caller allows it.
    mixed = (shares[..., None, None] * weights.new_tensor(XYZ_TO_CAMERAS)).sum(1)
    return normalise_rows((mixed[..., None] * weights.new_tensor(RGB_TO_XYZ)).sum(-2))


def random_metadata(batch: int, *, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> ColourMetadata:
    """Colours of cameras as Brooks et al. draw them.

    Drawn in this order: weights of the four matrices, brightening (drawn again while 1 / brightening is outside
    0.5..1.1), red gain, blue gain. `random_noise_levels` with the same generator comes next.

    Args:
        batch: How many.
        generator: The result lies on its device.
        dtype: Of the result; drawn in float64.
    """
    _check_batch(batch)
    matrices = mix_matrices(_draw_uniform((batch, 4), WEIGHT_RANGE, generator))
    dimming = DIMMING_MEAN + DIMMING_SD * _draw_normal((batch,), generator)
    while bool((again := (dimming < DIMMING_RANGE[0]) | (dimming > DIMMING_RANGE[1])).any()):
        dimming[again] = DIMMING_MEAN + DIMMING_SD * _draw_normal((int(again.sum()),), generator)
    red = _draw_uniform((batch,), RED_GAIN_RANGE, generator)
    blue = _draw_uniform((batch,), BLUE_GAIN_RANGE, generator)
    return ColourMetadata(*(values.to(dtype) for values in (matrices, red, blue, 1 / dimming)))


def random_noise_levels(
    batch: int, *, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Noise of cameras as Brooks et al. draw it: variance = read + shot x, x from 0 (black) to 1 (white).

    Args:
        batch: How many.
        generator: Draws shot first, then read; the result lies on its device.
        dtype: Of the result; drawn in float64.

    Returns:
        Shot and read, variances in units of the white level, each of shape (B,).
    """
    _check_batch(batch)
    low, high = (math.log(end) for end in SHOT_RANGE)
    shot = _draw_uniform((batch,), (low, high), generator).exp()
    read = brooks_read(shot, _draw_normal((batch,), generator))
    return shot.to(dtype), read.to(dtype)


def brooks_read(shot: Tensor, deviations: float | Tensor = 0.0) -> Tensor:
    """The read noise that goes with a shot noise, so many standard deviations of its logarithm off the median.

    Args:
        shot: Variance per signal, white being 1, shape (...).
        deviations: A number, or shape (...).

    Returns:
        Variance, white being 1, shape (...).
    """
    if not bool((shot > 0).all()):
        raise InputError("shot", f"{float(shot.min()):g}", "positive variances")
    return (READ_SLOPE * shot.log() + READ_OFFSET + READ_SD * deviations).exp()


def random_gamma(
    batch: int,
    *,
    generator: torch.Generator,
    mean: float = 2.0,
    sd: float = GAMMA_SD,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Gammas for a loss's ISP, normal about `mean`, drawn before the metadata is jittered.

    Args:
        batch: How many, shape (B,) of the result.
        generator: One number per picture comes from it.
        mean: 2.0 is system A's.
        sd: Standard deviation.
        dtype: Of the result; drawn in float64.
    """
    _check_batch(batch)
    _check_sd("random_gamma(sd)", sd)
    if not 0 < mean < math.inf:
        raise InputError("random_gamma(mean)", mean, "a positive number")
    return (mean + sd * _draw_normal((batch,), generator)).clamp_min(0.5 * mean).to(dtype)


def join_metadata(parts: Sequence[ColourMetadata]) -> ColourMetadata:
    """One batch of several."""
    if not parts:
        raise InputError("parts", "none", "at least one batch")
    return ColourMetadata(*(torch.cat([getattr(p, field.name) for p in parts]) for field in fields(ColourMetadata)))


def _draw_uniform(shape: tuple[int, ...], ends: tuple[float, float], generator: torch.Generator) -> Tensor:
    numbers = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)
    return ends[0] + (ends[1] - ends[0]) * numbers


def _draw_normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float64)


def _check_batch(batch: int) -> None:
    if batch < 0:
        raise InputError("batch", batch, "a number of pictures")


def _check_sd(where: str, sd: float) -> None:
    if not 0 <= sd < math.inf:
        raise InputError(where, sd, "a finite standard deviation of at least 0")
