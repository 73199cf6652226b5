"""What a camera records of sharp light through given kernels: blur, light lost, noise, whole DN; with gradients."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from psf import InputError
from psf.convolve import convolve_image
from render import ColourMetadata, NoiseModel, RawSensor, add_noise, load_noise, mosaic, pack


@dataclass(frozen=True, eq=False)
class Patches:
    """Sharp light, with a margin for the blur.

    Attributes:
        light: In the camera's colours, 0 black to 1 saturated, shape (N, 3, H + M, W + M) with a margin of M / 2 px.
        metadata: Colours of the N pictures.
    """

    light: Tensor
    metadata: ColourMetadata

    def __post_init__(self) -> None:
        if self.light.ndim != 4 or self.light.shape[1] != 3 or len(self.light) != len(self.metadata):
            found = f"shape {tuple(self.light.shape)} for {len(self.metadata)} pictures"
            raise InputError("Patches.light", found, "shape (N, 3, H, W), with metadata of N pictures")

    def __len__(self) -> int:
        return len(self.light)

    def __getitem__(self, index: slice | Tensor) -> "Patches":
        return Patches(self.light[index], self.metadata[index])


@dataclass(frozen=True, eq=False)
class Exposed:
    """Packed mosaics through D x R kernels.

    Attributes:
        noisy: As read, shape (D, R, N, 4, h, w); h and w are half the pixels'.
        sharp: Through a perfect lens, without noise, shape (N, 4, h, w).
    """

    noisy: Tensor
    sharp: Tensor


@dataclass(frozen=True, eq=False)
class Exposure:
    """How a sensor records.

    Attributes:
        sensor: Pattern, bits, black and white.
        shot: Noise variance per light, of light normalised to 1.
        read: Noise variance without light.
    """

    sensor: RawSensor
    shot: float
    read: float

    def __post_init__(self) -> None:
        if not (self.shot >= 0 and self.read >= 0):
            raise InputError("Exposure.shot, Exposure.read", (self.shot, self.read), "variances, 0 or more")


def set_exposure(iso: float, noise: NoiseModel | None = None, sensor: RawSensor | None = None) -> Exposure:
    """The exposure of a sensor at an ISO.

    Args:
        iso: As the noise model counts it.
        noise: By default that of a phone's sensor, `load_noise("imx586")`.
        sensor: By default 10 bits, RGGB.
    """
    shot, read = (noise or load_noise("imx586")).levels(iso)
    if shot.numel() != 1:
        raise InputError("noise", "levels per plane", "a noise model with one level for all planes")
    return Exposure(sensor or RawSensor(), float(shot), float(read))


def expose(patches: Patches, kernels: Tensor, light: Tensor, exposure: Exposure, generator: torch.Generator) -> Exposed:
    """Take the same pictures through every kernel.

    Noise is drawn for a deviation of 1 and scaled (reparameterised); rounding to DN lets gradients through where it
    does not clip.

    Args:
        patches: Sharp light.
        kernels: Shape (D, R, 3, K, K); the patches' margin is K - 1.
        light: Share of the light that arrives, shape (D, R, 3).
        exposure: The sensor.
        generator: Of the noise.
    """
    depths, heights, colours, kernel_px = kernels.shape[:4]
    if colours != 3 or light.shape != kernels.shape[:3]:
        found = f"kernels {tuple(kernels.shape)} and light {tuple(light.shape)}"
        raise InputError("kernels, light", found, "shapes (D, R, 3, K, K) and (D, R, 3)")
    half = kernel_px // 2
    rows, columns = (side - 2 * half for side in patches.light.shape[-2:])
    if rows < 2 or columns < 2 or rows % 2 or columns % 2:
        expected = f"even sides beyond the margin of {2 * half} px"
        raise InputError("patches", f"{patches.light.shape[-2]} x {patches.light.shape[-1]} px", expected)
    given = patches.light.to(kernels.dtype)
    # The border of the convolution is cut off: what stands outside does not matter.
    blurred = convolve_image(given, kernels[:, :, None], padding="zeros")
    inner = blurred[..., half : half + rows, half : half + columns] * light[:, :, None, :, None, None]
    count = depths * heights * len(patches)
    pattern = exposure.sensor.pattern
    packed = pack(mosaic(inner.reshape(count, 3, rows, columns), pattern), pattern)  # type: ignore[arg-type]
    noisy = add_noise(packed, exposure.shot, exposure.read, generator)
    read = exposure.sensor.quantise_through(noisy)
    inside = functional.pad(given, (-half,) * 4)
    sharp = pack(mosaic(inside, pattern), pattern)  # type: ignore[arg-type]
    return Exposed(read.reshape(depths, heights, len(patches), *read.shape[1:]), sharp)
