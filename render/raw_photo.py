"""Simulated photographs as values: what a network is trained on, and the camera file that the same picture would be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from psf import InputError

from .bayer import Pattern, check_pattern, unpack
from .demosaicing import Method
from .isp import process
from .metadata import RGB_TO_XYZ, ColourMetadata, join_metadata
from .moments import ROUNDING_DN2
from .photographs import D65, RawFile
from .sensor import RawSensor, iso_plane, radius_plane


@dataclass(frozen=True, eq=False, kw_only=True)
class RawPhoto:
    """B simulated photographs of one size, each with its sharp target, its colours and its place on the sensor.

    Light is normalised: 0 is the sensor's black, 1 its white. Planes are R, Gr, Gb, B. Pictures are upright.

    Attributes:
        packed: What the camera recorded, whole DN as light: noise goes below 0; shape (B, 4, H/2, W/2).
        target: Through a perfect lens, saturated at 1, without noise or rounding, shape (B, 4, H/2, W/2).
        metadata: Colours of B pictures.
        iso: Shape (B,).
        shot: Variance per light, normalised units, shape (B,) or per plane (B, 4).
        read: Variance without light and without rounding, normalised units, likewise.
        window_px: Sensor column and row of each first pixel, int64, shape (B, 2).
        image_shape_px: The sensor's (H, W).
        sensor: How it counts light.
        lens: Name of the lens, "" if there is none.
    """

    packed: Tensor
    target: Tensor
    metadata: ColourMetadata
    iso: Tensor
    shot: Tensor
    read: Tensor
    window_px: Tensor
    image_shape_px: tuple[int, int]
    sensor: RawSensor
    lens: str = ""

    def __post_init__(self) -> None:
        shape = tuple(self.packed.shape)
        if len(shape) != 4 or shape[1] != 4 or 0 in shape[2:] or not self.packed.is_floating_point():
            raise InputError("RawPhoto.packed", f"{self.packed.dtype} of shape {shape}", "floats (B, 4, H/2, W/2)")
        batch = shape[0]
        expected: dict[str, set[tuple[int, ...]]] = {"target": {shape}, "iso": {(batch,)}, "window_px": {(batch, 2)}}
        expected |= {"shot": {(batch,), (batch, 4)}, "read": {(batch,), (batch, 4)}}
        for name, shapes in expected.items():
            if (found := tuple(getattr(self, name).shape)) not in shapes:
                raise InputError(f"RawPhoto.{name}", f"shape {found}", f"shape {' or '.join(map(str, sorted(shapes)))}")
        if len(self.metadata) != batch:
            raise InputError("RawPhoto.metadata", f"{len(self.metadata)} pictures", f"{batch}, as packed has")

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, index: int | slice) -> "RawPhoto":
        """Part of the batch; one number gives a batch of one."""
        where = slice(place := range(len(self))[index], place + 1) if isinstance(index, int) else index
        changed: dict[str, Any] = {name: getattr(self, name)[where] for name in _BATCHED}
        return replace(self, metadata=self.metadata[where], **changed)

    @property
    def pattern(self) -> Pattern:
        """The sensor's Bayer pattern, which is also that of every photograph here."""
        return check_pattern(self.sensor.pattern)

    @property
    def shape_px(self) -> tuple[int, int]:
        """(H, W) of the mosaics."""
        return 2 * int(self.packed.shape[2]), 2 * int(self.packed.shape[3])

    @property
    def iso_plane(self) -> Tensor:
        """ISO / 1000 everywhere, shape (B, 1, H/2, W/2)."""
        return iso_plane(self.iso, self._cells, self.packed)

    @property
    def radius_plane(self) -> Tensor:
        """Image height of every cell, 0 at the sensor's centre, 1 at its outer corner, shape (B, 1, H/2, W/2)."""
        return radius_plane(self._cells, self.window_px, self.image_shape_px, self.packed)

    def network_input(self) -> Tensor:
        """R, Gr, Gb, B, ISO plane, radius plane, shape (B, 6, H/2, W/2)."""
        return torch.cat([self.packed, self.iso_plane, self.radius_plane], 1)

    def dn(self) -> Tensor:
        """What the sensor counted, int32, shape (B, 4, H/2, W/2)."""
        return self.sensor.quantised(self.packed).to(torch.int32)

    def developed(self, packed: Tensor | None = None, *, demosaic: Method = "malvar", full: bool = True) -> Tensor:
        """Photographs for the screen, each with its own colours.

        Args:
            packed: What to develop, shape (B, 4, H/2, W/2): the recorded photographs by default, or `target`, or what
                a network made of them.
            demosaic: "bilinear" or "malvar".
            full: Brightness and contrast of the picture that was simulated; without it the flat, darker picture that
                Brooks et al. compare.

        Returns:
            sRGB from 0 to 1, shape (B, 3, H, W).
        """
        values = self.packed if packed is None else packed
        return process(values, self.metadata, pattern=self.pattern, demosaic=demosaic, full=full)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "RawPhoto":
        """The same photographs elsewhere, or with another float type."""
        changed: dict[str, Any] = {name: getattr(self, name).to(device=device, dtype=dtype) for name in _FLOATS}
        window = self.window_px.to(device=device)
        return replace(self, metadata=self.metadata.to(device, dtype), window_px=window, **changed)

    def to_raw_file(self, index: int = 0) -> RawFile:
        """One photograph as a camera file's contents, for `write_dng`, and for whatever takes a RAW file.

        White balance and matrix say that the scene was lit by D65. `baseline_exposure_ev` is the brightening that the
        picture was darkened by. The noise profile contains the rounding, as that of a measured camera does.

        Args:
            index: Which of the B.
        """
        one = self[index]
        dn = one.sensor.quantised(one.packed).cpu()
        gains = torch.stack([one.metadata.red_gain[0], torch.ones_like(one.iso[0]), one.metadata.blue_gain[0]])
        gains = gains.detach().cpu().double()
        # Rows such that D65 comes out as the camera's own neutral, 1 / gains: matrix and white balance agree.
        matrix = one.metadata.rgb_to_camera[0].detach().cpu().double() / gains[:, None]
        to_rgb = torch.linalg.inv(torch.tensor(RGB_TO_XYZ, dtype=torch.float64))
        return RawFile(
            mosaic=unpack(dn[0], one.pattern).to(torch.uint16).contiguous(),
            pattern=one.pattern,
            black_dn=torch.tensor(one.sensor.blacks_dn),
            white_dn=one.sensor.white,
            white_balance=gains.float(),
            color_matrices=((D65, (matrix @ to_rgb).float()),),
            iso=float(one.iso[0]),
            make="psfield",
            model="simulated camera",
            lens=one.lens,
            noise_profile=one._noise_profile(),
            baseline_exposure_ev=math.log2(float(one.metadata.brightening[0])),
        )

    @property
    def _cells(self) -> tuple[int, int]:
        return int(self.packed.shape[2]), int(self.packed.shape[3])

    def _noise_profile(self) -> Tensor | None:
        """Rows (shot, read) of the first photograph: one, or R, G, B where the planes differ."""
        shot, read = (level[0].detach().cpu().double().reshape(-1) for level in (self.shot, self.read))
        if not bool((shot > 0).all()):
            return None
        planes = max(len(shot), len(read))
        spans = torch.tensor([self.sensor.white - black for black in self.sensor.blacks_dn], dtype=torch.float64)
        planes = 4 if len(set(self.sensor.blacks_dn)) > 1 else planes
        shot, read = shot.expand(planes), read.expand(planes) + ROUNDING_DN2 / spans[:planes].square()
        pairs = torch.stack([shot, read], 1)
        if planes == 4:
            pairs = torch.stack([pairs[0], pairs[1:3].mean(0), pairs[3]])
        return pairs.float()


_FLOATS = ("packed", "target", "iso", "shot", "read")
_BATCHED = (*_FLOATS, "window_px")


def join_photos(parts: Sequence[RawPhoto]) -> RawPhoto:
    """One batch of several photographs of one size, sensor and lens: what a data loader's `collate_fn` needs."""
    if not parts:
        raise InputError("join_photos(parts)", "none", "at least one photograph")
    first = parts[0]
    for n, part in enumerate(parts):
        for name in ("sensor", "image_shape_px", "shape_px", "lens"):
            if (found := getattr(part, name)) != (wanted := getattr(first, name)):
                raise InputError(f"join_photos(parts[{n}].{name})", found, f"{wanted}, as the first has")
        for name in ("shot", "read"):
            shapes = [("B", *getattr(one, name).shape[1:]) for one in (part, first)]
            if shapes[0] != shapes[1]:
                found, wanted = ("(" + ", ".join(map(str, shape)) + ")" for shape in shapes)
                raise InputError(f"join_photos(parts[{n}].{name})", f"shape {found}", f"{wanted}, as the first has")
    if len(parts) == 1:
        return first
    joined: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts]) for name in _BATCHED}
    return replace(first, metadata=join_metadata([part.metadata for part in parts]), **joined)
