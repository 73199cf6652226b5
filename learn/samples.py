"""Training samples and batches of them as values: what a network is given, what it should make, and all that was drawn.

batch = collate(samples)                       # the collate_fn of a data loader
loss(network(batch.input), batch.target, batch.metadata)
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from render import ColourMetadata, iso_plane, radius_plane
from render.bayer import Pattern
from render.metadata import join_metadata

from .lens_planes import check_kernels, find_variance, make_lens_planes
from .variants import COLOURS, SynthesisSettings

# Light of the grey card, and the factor that brings the noise at it to the size of a picture's values.
GREY, SIGMA_SCALE = 0.18, 20.0


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Every number behind one sample, and where its picture and depth came from.

    Attributes:
        index: Number of the sample.
        photo: Name of the photograph in its folder.
        photo_px: Its height and width.
        left_px: First column of the crop, margin included, in the photograph's pixels.
        top_px: First row.
        scale: Sensor pixels per photograph pixel.
        mirrored: Left and right exchanged, before it is turned.
        quarter_turns: Counter-clockwise.
        exposure_ev: Stops by which its light was raised.
        detail: High-pass deviation of the crop; below 0.008 it is hardly sharp.
        depth_source: "file", "network", "untrained network" or "segments".
        depth_detail: File and network.
        rule: How relative depth became metres; "measured" if it was known; "constant" without variation.
        near_m: Where relative depth 0 lies.
        far_m: Where 1 lies.
        is_infinite: Whether the farthest part is at infinity.
        depths_m: 5 %, 50 % and 95 % quantile of the patch's depth.
        window_px: Sensor column and row of the patch's first pixel.
        radius: Image height of its middle, 0 to 1.
        azimuth_rad: Of its middle, counter-clockwise from the right.
        blur_px: 5 %, 50 % and 95 % quantile of the blur's diameter over the patch, as an even disc as wide.
        spread_px: Standard deviation of the Gaussian added to the kernels.
        field: File of the perturbed field, "" for the camera's own.
        iso: Of "rgb": one that stands for its noise, so that 3200 is the noisiest.
        lost: Photographs and depth maps that could not be read on the way, a line for each.
    """

    index: int
    photo: str
    photo_px: tuple[int, int]
    left_px: int
    top_px: int
    scale: float
    mirrored: bool
    quarter_turns: int
    exposure_ev: float
    detail: float
    depth_source: str
    depth_detail: str
    rule: str
    near_m: float
    far_m: float
    is_infinite: bool
    depths_m: tuple[float, float, float]
    window_px: tuple[int, int]
    radius: float
    azimuth_rad: float
    blur_px: tuple[float, float, float]
    spread_px: float
    field: str
    iso: float
    lost: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The numbers as JSON holds them."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Drawn":
        """What `to_json` wrote."""
        whole: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in found.items()
        }
        try:
            return cls(**whole)
        except TypeError as error:
            raise InputError("drawn numbers of a sample", str(error), "what Drawn.to_json writes") from error


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """One training sample. Light is normalised, 0 black to 1 white; "rgb" has sRGB values from 0 to 1 instead.

    Attributes:
        input: What the network is given, `SynthesisSettings.planes`, shape (P, h, w); h, w are half the sensor
            pixels', of "rgb" these.
        target: The same colours through a perfect lens, without noise or rounding, shape (4, h, w), of "rgb" (3, h, w).
        metadata: Gains and matrix, a batch of one; None in "rgb".
        shot: Noise variance per light, normalised units, shape (1,), or per plane (4,).
        read: Noise variance without light, normalised units, likewise.
        image_shape_px: The sensor's (H, W).
        drawn: All that was drawn.
        depth_m: Of the patch's sensor pixels, shape (1, H, W), if it was asked for.
    """

    input: Tensor
    target: Tensor
    metadata: ColourMetadata | None
    shot: Tensor
    read: Tensor
    image_shape_px: tuple[int, int]
    drawn: Drawn
    depth_m: Tensor | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """B samples of one size.

    Attributes:
        input: Shape (B, P, h, w).
        target: Shape (B, 4, h, w), of "rgb" (B, 3, h, w).
        metadata: Of B pictures; None in "rgb".
        iso: Shape (B,).
        shot: Normalised units, shape (B, 1) or (B, 4).
        read: Normalised units, likewise.
        window_px: Sensor column and row of each first pixel, int64, shape (B, 2).
        radius: Image height of each middle, shape (B,).
        azimuth_rad: Shape (B,).
        blur_px: Quantiles of the blur's diameter, shape (B, 3).
        index: Numbers of the samples, int64, shape (B,).
        image_shape_px: The sensor's (H, W).
        drawn: All that was drawn, B of them.
        depth_m: Shape (B, 1, H, W), if it was asked for.
    """

    input: Tensor
    target: Tensor
    metadata: ColourMetadata | None
    iso: Tensor
    shot: Tensor
    read: Tensor
    window_px: Tensor
    radius: Tensor
    azimuth_rad: Tensor
    blur_px: Tensor
    index: Tensor
    image_shape_px: tuple[int, int]
    drawn: tuple[Drawn, ...]
    depth_m: Tensor | None = None

    def __len__(self) -> int:
        return len(self.drawn)

    @property
    def depth_sources(self) -> tuple[str, ...]:
        """Where the depth of each came from."""
        return tuple(one.depth_source for one in self.drawn)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """The same batch on another device."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=non_blocking) for name, value in self._tensors().items()
        }
        return replace(self, metadata=None if self.metadata is None else self.metadata.to(device), **moved)

    def pin_memory(self) -> "Batch":
        """The same batch in memory that a GPU reads directly; data loaders call this."""
        moved: dict[str, Any] = {name: value.pin_memory() for name, value in self._tensors().items()}
        return replace(self, **moved)

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}


def collate(samples: Sequence[Sample]) -> Batch:
    """One batch of several samples of one size and one sensor."""
    if not samples:
        raise InputError("collate(samples)", "none", "at least one sample")
    first = samples[0]
    for n, sample in enumerate(samples):
        for name in ("input", "target", "shot", "read"):
            found, wanted = (tuple(getattr(one, name).shape) for one in (sample, first))
            if found != wanted:
                raise InputError(f"collate(samples[{n}].{name})", f"shape {found}", f"{wanted}, as the first has")
        if sample.image_shape_px != first.image_shape_px:
            where = f"collate(samples[{n}].image_shape_px)"
            raise InputError(where, sample.image_shape_px, f"{first.image_shape_px}, as the first has")
        if (sample.depth_m is None) != (first.depth_m is None) or (sample.metadata is None) != (first.metadata is None):
            raise InputError(f"collate(samples[{n}])", "other parts", "depth and colours as the first has them")
    drawn = tuple(sample.drawn for sample in samples)
    colours = [sample.metadata for sample in samples if sample.metadata is not None]
    depths = [sample.depth_m for sample in samples if sample.depth_m is not None]
    return Batch(
        input=torch.stack([sample.input for sample in samples]),
        target=torch.stack([sample.target for sample in samples]),
        metadata=join_metadata(colours) if colours else None,
        iso=torch.tensor([one.iso for one in drawn]),
        shot=torch.stack([sample.shot for sample in samples]),
        read=torch.stack([sample.read for sample in samples]),
        window_px=torch.tensor([one.window_px for one in drawn]),
        radius=torch.tensor([one.radius for one in drawn]),
        azimuth_rad=torch.tensor([one.azimuth_rad for one in drawn]),
        blur_px=torch.tensor([one.blur_px for one in drawn]),
        index=torch.tensor([one.index for one in drawn]),
        image_shape_px=first.image_shape_px,
        drawn=drawn,
        depth_m=torch.stack(depths) if depths else None,
    )


def make_planes(
    colours: Tensor,
    settings: SynthesisSettings,
    *,
    iso: float,
    shot: Tensor,
    read: Tensor,
    window_px: tuple[int, int],
    image_shape_px: tuple[int, int],
    field: PolarPSFField | None = None,
    pattern: Pattern = "RGGB",
) -> Tensor:
    """What a network is given: the colours, and the planes that the settings name.

    Args:
        colours: Packed, shape (4, h, w), or of "rgb" (3, H, W).
        settings: Which planes.
        iso: Of the photograph.
        shot: Noise variance per light, normalised units, shape (1,) or (4,).
        read: Noise variance without light, normalised units, shape (1,) or (4,).
        window_px: Sensor column and row of the first pixel.
        image_shape_px: The sensor's (H, W).
        field: The lens's, where settings ask for deconvolved planes: with the losses that the samples were made with.
        pattern: Of the mosaic.

    Returns:
        Shape (P, h, w).
    """
    wanted = len(COLOURS[settings.space])
    if colours.ndim != 3 or colours.shape[0] != wanted:
        raise InputError("make_planes(colours)", f"shape {tuple(colours.shape)}", f"shape ({wanted}, h, w)")
    shape = (int(colours.shape[1]), int(colours.shape[2]))
    planes = [colours]
    if settings.aux in ("iso", "iso_field"):
        if settings.iso_plane == "linear":
            planes.append(iso_plane(iso, shape, colours))
        else:
            sigma = SIGMA_SCALE * math.sqrt(float(read.mean()) + GREY * float(shot.mean()))
            planes.append(colours.new_full((1, *shape), sigma))
    if settings.aux in ("field", "iso_field"):
        if settings.field_planes == "radius" and settings.space == "raw":
            planes.append(radius_plane(shape, window_px, image_shape_px, colours))
        else:
            x, y = find_heights(shape, window_px, image_shape_px, 2 if settings.space == "raw" else 1)
            xy = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]))
            own = torch.hypot(xy[0], xy[1])[None] if settings.field_planes == "radius" else xy
            planes.append(own.to(colours))
    if settings.deconvolved_dpt:
        sharpened = make_lens_planes(
            colours,
            check_kernels(field),
            settings.deconvolved_dpt,
            noise_variance=find_variance(colours, shot, read),
            corner_px=window_px,
            pattern=pattern,
        )
        planes.append(sharpened)
    return torch.cat(planes)


def find_heights(
    shape: tuple[int, int], window_px: tuple[int, int], image_shape_px: tuple[int, int], cell_px: int
) -> tuple[Tensor, Tensor]:
    """Image heights along the axes at the middles of cells: 1 at the distance of the sensor's corner.

    Args:
        shape: Rows and columns of the patch, in cells.
        window_px: Sensor column and row of the first pixel.
        image_shape_px: The sensor's (H, W).
        cell_px: Side of a cell.

    Returns:
        x, to the right, shape (w,), and y, upwards, shape (h,), float64.
    """
    half = 0.5 * math.hypot(*image_shape_px)
    columns, rows = (cell_px * (torch.arange(count, dtype=torch.float64) + 0.5) for count in (shape[1], shape[0]))
    return (window_px[0] + columns - image_shape_px[1] / 2) / half, (image_shape_px[0] / 2 - window_px[1] - rows) / half
