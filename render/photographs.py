"""What a camera file holds, as values: `RawFile`, a Bayer mosaic, and `LinearFile`, camera RGB.

The file's numbers (DN) and light meet in one line: light = (DN - black) / (white - black), plane by plane.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime

import torch
from torch import Tensor

from psf import InputError

from .bayer import Pattern, check_pattern, find_sites, pack, shifted_pattern, unpack
from .metadata import RGB_TO_XYZ

LARGEST_DN = 65535
OPCODES_OF_MOSAIC, OPCODES_AFTER_DEMOSAIC = 51009, 51022
# Exif's LightSource -> colour temperature in K, as DNG reads it
ILLUMINANTS_K = {
    **{1: 5500, 2: 4230, 3: 2850, 4: 5500, 9: 5500, 10: 6500, 11: 7500, 12: 6430, 13: 5000, 14: 4230, 15: 3450},
    **{17: 2856, 18: 4874, 19: 6774, 20: 5503, 21: 6504, 22: 7504, 23: 5003, 24: 3200},
}
D65, D65_K = 21, 6504
ColorMatrices = tuple[tuple[int, Tensor], ...]
Area = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class Photograph:
    """What a RAW file tells of a photograph besides its pixels; what it does not tell is None, or "".

    Attributes:
        black_dn: Where no light is: R, Gr, Gb, B of a mosaic, shape (4,); R, G, B of a linear file, shape (3,).
        white_dn: Where a pixel is saturated.
        white_balance: What R, G, B are multiplied by to make a white object grey, G = 1, shape (3,).
        color_matrices: Pairs: Exif's number of a light source (17 is A, 21 D65), and the matrix from XYZ to camera RGB
            under it, shape (3, 3).
        iso: Sensitivity.
        exposure_s: Exposure time.
        f_number: Of the lens as it was used.
        focal_mm: Focal length.
        time: When the picture was taken, by the camera's clock.
        orientation: Exif's 1 to 8, how to turn the picture upright; not applied to the pixels.
        make: Who made the camera.
        model: Its name.
        lens: Its lens's name.
        noise_profile: Variance = shot x light + read, both in units of light: a row (shot, read) for all planes, shape
            (1, 2), or for R, G, B, shape (3, 2).
        baseline_exposure_ev: How much brighter than its numbers the maker wants the picture to look, in stops.
        pixel_aspect: Width of a pixel over its height.
        crop_px: Left, top, width, height of the part that the maker shows, from the first pixel here.
        opcodes: Corrections that a DNG asks its reader for (lens shading, distortion), handed on and never applied:
            pairs of tag (51009 before, 51022 after demosaicing) and bytes as they stand in the file.
        active_area_px: Left, top, width, height of the part that light reaches, if there is a masked border round it.
    """

    black_dn: Tensor
    white_dn: float
    white_balance: Tensor | None = None
    color_matrices: ColorMatrices = ()
    iso: float | None = None
    exposure_s: float | None = None
    f_number: float | None = None
    focal_mm: float | None = None
    time: datetime | None = None
    orientation: int = 1
    make: str = ""
    model: str = ""
    lens: str = ""
    noise_profile: Tensor | None = None
    baseline_exposure_ev: float | None = None
    pixel_aspect: float = 1.0
    crop_px: Area | None = None
    active_area_px: Area | None = None
    opcodes: tuple[tuple[int, bytes], ...] = ()

    @property
    def black(self) -> Tensor:
        """`black_dn`."""
        return self.black_dn

    @property
    def white(self) -> float:
        """`white_dn`."""
        return self.white_dn

    @property
    def xyz_to_camera(self) -> Tensor | None:
        """The colour matrix of the light nearest to D65, shape (3, 3); None if there is none."""

        def distance(one: tuple[int, Tensor]) -> float:
            kelvin = ILLUMINANTS_K.get(one[0])
            return abs(1 / kelvin - 1 / D65_K) if kelvin else math.inf

        return min(self.color_matrices, key=distance)[1] if self.color_matrices else None

    @property
    def gains(self) -> Tensor:
        """The white balance to use, shape (3,): the file's; without one daylight's (D65) by the matrix; else ones."""
        if self.white_balance is not None:
            return self.white_balance
        if (matrix := self.xyz_to_camera) is None:
            return torch.ones(3)
        white = matrix.double() @ torch.tensor(RGB_TO_XYZ, dtype=torch.float64).sum(1)
        return (white[1] / white).float() if bool((white > 0).all()) else torch.ones(3)

    def _check(self, shape_px: tuple[int, int], planes: int) -> None:
        """Refuse what cannot be a photograph of `planes` planes and this (H, W)."""
        where = type(self).__name__
        _check_numbers(f"{where}.black_dn", self.black_dn, (planes,), low=0)
        if not (math.isfinite(self.white_dn) and self.white_dn <= LARGEST_DN):
            raise InputError(f"{where}.white_dn", self.white_dn, f"at most {LARGEST_DN}")
        if not self.white_dn > float(self.black_dn.max()):
            found = f"white {self.white_dn:g} and black {float(self.black_dn.max()):g}"
            raise InputError(f"{where}.white_dn", found, "white above black")
        if self.white_balance is not None:
            _check_numbers(f"{where}.white_balance", self.white_balance, (3,), above=0)
        for _, matrix in self.color_matrices:
            _check_numbers(f"{where}.color_matrices", matrix, (3, 3))
            if abs(float(torch.linalg.det(matrix.double()))) < 1e-9:
                raise InputError(f"{where}.color_matrices", "a matrix without an inverse", "one that has an inverse")
        for name in ("iso", "exposure_s", "f_number", "focal_mm"):
            number = getattr(self, name)
            if number is not None and not (math.isfinite(number) and number > 0):
                raise InputError(f"{where}.{name}", number, "a number above 0, or None")
        if self.noise_profile is not None:
            rows = 3 if self.noise_profile.shape[:1] == (3,) else 1
            _check_numbers(f"{where}.noise_profile", self.noise_profile, (rows, 2), low=0)
        if self.orientation not in range(1, 9):
            raise InputError(f"{where}.orientation", self.orientation, "Exif's 1 to 8")
        if not (math.isfinite(self.pixel_aspect) and self.pixel_aspect > 0):
            raise InputError(f"{where}.pixel_aspect", self.pixel_aspect, "a number above 0")
        if self.baseline_exposure_ev is not None and not math.isfinite(self.baseline_exposure_ev):
            raise InputError(f"{where}.baseline_exposure_ev", self.baseline_exposure_ev, "a finite number, or None")
        for tag, data in self.opcodes:
            if tag not in (OPCODES_OF_MOSAIC, OPCODES_AFTER_DEMOSAIC) or not isinstance(data, bytes):
                raise InputError(
                    f"{where}.opcodes", f"{type(data).__name__} of tag {tag}", "bytes of tag 51009 or 51022"
                )
        for name in ("crop_px", "active_area_px"):
            if (area := getattr(self, name)) is not None:
                _check_area(f"{where}.{name}", area, shape_px)


@dataclass(frozen=True, eq=False)
class RawFile(Photograph):
    """A photograph as the sensor's Bayer mosaic; see `Photograph` for what else it holds.

    torch keeps uint16 in half the memory of its next type but does not compute with it: `mosaic.to(torch.float32)`,
    or the methods below.

    Attributes:
        mosaic: DN of the area that light reaches, uint16, shape (H, W).
        pattern: "RGGB", "GRBG", "GBRG" or "BGGR": the colours of the first cell of `mosaic`, row by row.
    """

    mosaic: Tensor
    pattern: Pattern

    def __post_init__(self) -> None:
        check_pattern(self.pattern)
        if self.mosaic.dtype != torch.uint16 or self.mosaic.ndim != 2 or min(self.mosaic.shape) < 2:
            found = f"{self.mosaic.dtype} of shape {tuple(self.mosaic.shape)}"
            raise InputError("RawFile.mosaic", found, "uint16 of shape (H, W), a cell of 2 x 2 at least")
        self._check(self.shape_px, 4)

    @property
    def shape_px(self) -> tuple[int, int]:
        """(H, W)."""
        return int(self.mosaic.shape[0]), int(self.mosaic.shape[1])

    def normalised(self) -> Tensor:
        """Light of every pixel, 0 black and 1 white (noise goes below, defects above), float32, shape (1, 1, H, W)."""
        light = self.mosaic.to(torch.float32)
        for black, (row, col) in zip(self.black_dn.tolist(), find_sites(self.pattern), strict=True):
            light[row::2, col::2].sub_(black).div_(self.white_dn - black)
        return light[None, None]

    def packed(self) -> Tensor:
        """Light as planes R, Gr, Gb, B, float32, shape (1, 4, H/2, W/2); odd sides: see `cropped`."""
        height, width = self.shape_px
        if height % 2 or width % 2:
            even = f"cropped(0, 0, {width // 2 * 2}, {height // 2 * 2}) makes it even"
            raise InputError("RawFile.packed", f"a mosaic of {height} rows and {width} columns", f"even sides; {even}")
        return pack(self.normalised()[0], self.pattern)

    def with_mosaic(self, mosaic: Tensor, *, noise_profile: Tensor | None = None) -> "RawFile":
        """The same photograph with other pixels, such as a restored mosaic.

        Light becomes DN with the black and white of the file, is rounded and clipped to 0..white.

        Args:
            mosaic: Light as `packed` or `normalised` give it, shape (1, 4, H/2, W/2), (1, 1, H, W) or (H, W); or DN,
                uint16, shape (H, W).
            noise_profile: Of the new pixels, shape (1, 2) or (3, 2); the old one is not true of them any more.
        """
        height, width = self.shape_px
        shape = tuple(mosaic.shape)
        is_dn, is_packed = mosaic.dtype == torch.uint16, shape == (1, 4, height // 2, width // 2)
        fits = shape == (height, width) or (not is_dn and shape == (1, 1, height, width))
        if (is_packed and (is_dn or height % 2 or width % 2)) or not (fits or is_packed) or mosaic.dtype in _INTEGERS:
            expected = f"DN (uint16) of shape {(height, width)}, or light (floats) of it or of (1, 4, H/2, W/2)"
            raise InputError("with_mosaic(mosaic)", f"{mosaic.dtype} of shape {shape}", expected)
        values = mosaic.detach().cpu()
        if not is_dn:
            flat = unpack(values[0], self.pattern) if is_packed else values.reshape(height, width)
            values = _to_dn(flat.clone(), self)
        return replace(self, mosaic=values.contiguous(), noise_profile=noise_profile)

    def with_image(self, image: Tensor) -> "LinearFile":
        """The same photograph demosaiced: camera RGB before the white balance, black at 0 and 16 bits.

        Args:
            image: Light, 0 to 1 (clipped), shape (1, 3, H, W).
        """
        if not image.is_floating_point() or image.shape != (1, 3, *self.shape_px):
            found = f"{image.dtype} of shape {tuple(image.shape)}"
            raise InputError("with_image(image)", found, f"floats of shape {(1, 3, *self.shape_px)}")
        _check_finite("with_image(image)", image)
        rest = {name: getattr(self, name) for name in Photograph.__dataclass_fields__}
        rest |= {"black_dn": torch.zeros(3), "white_dn": float(LARGEST_DN), "noise_profile": None}
        rest["opcodes"] = tuple(one for one in self.opcodes if one[0] == OPCODES_AFTER_DEMOSAIC)
        pixels = (image.detach().cpu()[0].double().clamp(0, 1) * LARGEST_DN).round().to(torch.uint16)
        return LinearFile(pixels, **rest)

    def cropped(self, left_px: int, top_px: int, width_px: int, height_px: int) -> "RawFile":
        """A part of it; an odd corner changes the pattern.

        Args:
            left_px: First column.
            top_px: First row.
            width_px: Columns, at least 2.
            height_px: Rows, at least 2.
        """
        _check_area("cropped", (left_px, top_px, width_px, height_px), self.shape_px)
        return replace(
            self,
            mosaic=self.mosaic[top_px : top_px + height_px, left_px : left_px + width_px].contiguous(),
            pattern=shifted_pattern(self.pattern, top_px, left_px),
            crop_px=_shift_area(self.crop_px, left_px, top_px, width_px, height_px),
            active_area_px=_shift_area(self.active_area_px, left_px, top_px, width_px, height_px),
            # They count from the corner of the whole picture.
            opcodes=self.opcodes if self.active_area_px == (left_px, top_px, width_px, height_px) else (),
        )


@dataclass(frozen=True, eq=False)
class LinearFile(Photograph):
    """A photograph as camera RGB, linear, before the white balance; see `Photograph` for what else it holds.

    Attributes:
        image_dn: DN, uint16, shape (3, H, W).
    """

    image_dn: Tensor

    def __post_init__(self) -> None:
        if self.image_dn.dtype != torch.uint16 or self.image_dn.ndim != 3 or self.image_dn.shape[0] != 3:
            found = f"{self.image_dn.dtype} of shape {tuple(self.image_dn.shape)}"
            raise InputError("LinearFile.image_dn", found, "uint16 of shape (3, H, W)")
        if not self.image_dn.numel():
            raise InputError("LinearFile.image_dn", f"shape {tuple(self.image_dn.shape)}", "at least one pixel")
        self._check(self.shape_px, 3)

    @property
    def shape_px(self) -> tuple[int, int]:
        """(H, W)."""
        return int(self.image_dn.shape[1]), int(self.image_dn.shape[2])

    def normalised(self) -> Tensor:
        """Light, 0 black and 1 white, float32, shape (1, 3, H, W)."""
        black = self.black_dn.float()[:, None, None]
        return ((self.image_dn.to(torch.float32) - black) / (self.white_dn - black))[None]


_INTEGERS = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint32, torch.uint64}


def _to_dn(light: Tensor, photo: RawFile) -> Tensor:
    """DN (H, W) of light (H, W), in whose memory it works."""
    _check_finite("with_mosaic(mosaic)", light)
    if light.dtype.itemsize < 4:
        light = light.float()  # half floats have no room for 16 bits
    for black, (row, col) in zip(photo.black_dn.tolist(), find_sites(photo.pattern), strict=True):
        light[row::2, col::2].mul_(photo.white_dn - black).add_(black)
    return light.round_().clamp_(0, math.floor(photo.white_dn)).to(torch.uint16)


def _check_finite(where: str, values: Tensor) -> None:
    if bad := int((~values.isfinite()).sum()):
        raise InputError(where, f"{bad} values that are not finite", "finite light")


def _check_numbers(
    where: str, values: Tensor, shape: tuple[int, ...], *, low: float = -math.inf, above: float = -math.inf
) -> None:
    if tuple(values.shape) != shape or not values.is_floating_point():
        raise InputError(where, f"{values.dtype} of shape {tuple(values.shape)}", f"floats of shape {shape}")
    if not bool((values.isfinite() & (values >= low) & (values > above)).all()):
        limit = "" if low == above else f" above {above:g}" if above > low else f" of {low:g} and more"
        raise InputError(where, values.tolist(), f"finite numbers{limit}")


def _check_area(where: str, area: Area, shape_px: tuple[int, int]) -> None:
    left, top, width, height = area
    if not (left >= 0 and top >= 0 and 2 <= width <= shape_px[1] - left and 2 <= height <= shape_px[0] - top):
        expected = f"2 x 2 px at least, within {shape_px[1]} x {shape_px[0]} px"
        raise InputError(where, f"{width} x {height} px at column {left}, row {top}", expected)


def _shift_area(area: Area | None, left_px: int, top_px: int, width_px: int, height_px: int) -> Area | None:
    """An area as seen from a crop, None if less than 2 x 2 px of it are left."""
    if area is None:
        return None
    left, top = max(area[0] - left_px, 0), max(area[1] - top_px, 0)
    right = min(area[0] + area[2] - left_px, width_px)
    bottom = min(area[1] + area[3] - top_px, height_px)
    return (left, top, right - left, bottom - top) if right - left >= 2 and bottom - top >= 2 else None
