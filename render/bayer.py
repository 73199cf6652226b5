"""Bayer mosaics: the four patterns, and mosaics as four planes, cropped, shifted and flipped.

A pattern names the colours of the sites (0, 0), (0, 1), (1, 0), (1, 1), (row, column), of the visible picture. Gr is
the green of a row with red. A packed mosaic has the planes R, Gr, Gb, B whatever the pattern is. Packing does not move
samples: plane R of RGGB lies half a pixel left of and above its cell's centre, that of BGGR right and below. Who has
learned from one pattern sees a shifted picture in another; `align` makes one pattern of the other by cropping.

Nothing here computes with samples, so that every real dtype will do: floats (gradients pass), and integers as a file
holds them (uint8, int16, uint16, int32, ...; `torch.from_numpy` of a mosaic).
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from psf import InputError

Pattern = Literal["RGGB", "GRBG", "GBRG", "BGGR"]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
PLANES = ("R", "Gr", "Gb", "B")
Site = tuple[int, int]


def check_pattern(pattern: str) -> Pattern:
    """The same letters, or InputError if they are no Bayer pattern."""
    for known in PATTERNS:
        if pattern == known:
            return known
    raise InputError("pattern", repr(pattern), "one of " + ", ".join(PATTERNS))


def find_sites(pattern: Pattern) -> tuple[Site, Site, Site, Site]:
    """(row, column) of R, Gr, Gb and B in the cell."""
    letters = check_pattern(pattern)
    red, blue = divmod(letters.index("R"), 2), divmod(letters.index("B"), 2)
    return red, (red[0], blue[1]), (blue[0], red[1]), blue


def shifted_pattern(pattern: Pattern, rows: int, cols: int) -> Pattern:
    """The pattern of a crop that begins so many rows and columns inside; negative: outside."""
    letters = check_pattern(pattern)
    return check_pattern("".join(letters[2 * ((i + rows) % 2) + (j + cols) % 2] for i in (0, 1) for j in (0, 1)))


def mosaic(image: Tensor, pattern: Pattern) -> Tensor:
    """What a sensor keeps of a picture: one colour per pixel.

    Args:
        image: R, G, B, shape (..., 3, H, W).
        pattern: Of the picture's first cell.

    Returns:
        Shape (..., H, W). Differentiable.
    """
    sites = find_sites(pattern)
    _check_tensor("image", image, "(..., 3, H, W)", ndim=3, planes=3)
    kept = image.new_empty((*image.shape[:-3], *image.shape[-2:]))
    for (row, col), channel in zip(sites, (0, 1, 1, 2), strict=True):
        kept[..., row::2, col::2] = image[..., channel, row::2, col::2]
    return kept


def pack(mosaic: Tensor, pattern: Pattern, *, crop: bool = False) -> Tensor:
    """A mosaic's four planes.

    Args:
        mosaic: Shape (..., H, W).
        pattern: Of its first cell.
        crop: Leave out the last row or column of odd sides, which are an error otherwise.

    Returns:
        R, Gr, Gb, B, shape (..., 4, H/2, W/2). Differentiable.
    """
    sites = find_sites(pattern)
    _check_tensor("mosaic", mosaic, "(..., H, W)")
    height, width = mosaic.shape[-2:]
    if (height % 2 or width % 2) and not crop:
        raise InputError("mosaic", f"{height} rows and {width} columns", "even numbers of both, or crop=True")
    whole = mosaic[..., : height - height % 2, : width - width % 2]
    if 0 in whole.shape[-2:]:
        raise InputError("mosaic", f"{height} rows and {width} columns", "at least 2 of both")
    return torch.stack([whole[..., row::2, col::2] for row, col in sites], -3)


def unpack(packed: Tensor, pattern: Pattern) -> Tensor:
    """The mosaic of four planes, the inverse of `pack`.

    Args:
        packed: R, Gr, Gb, B, shape (..., 4, H/2, W/2).
        pattern: Of the mosaic.

    Returns:
        Shape (..., H, W). Differentiable.
    """
    sites = find_sites(pattern)
    _check_tensor("packed", packed, "(..., 4, H/2, W/2)", ndim=3, planes=4)
    whole = packed.new_empty((*packed.shape[:-3], 2 * packed.shape[-2], 2 * packed.shape[-1]))
    for plane, (row, col) in enumerate(sites):
        whole[..., row::2, col::2] = packed[..., plane, :, :]
    return whole


@dataclass(frozen=True, eq=False)
class AlignedMosaic:
    """A mosaic cropped so that it begins with another pattern and has even sides.

    Attributes:
        mosaic: Shape (..., h, w).
        pattern: Its pattern.
        top: Rows cut off above it, 0 or 1.
        left: Columns cut off left of it, 0 or 1.
        source_shape_px: (H, W) before the crop.
    """

    mosaic: Tensor
    pattern: Pattern
    top: int
    left: int
    source_shape_px: tuple[int, int]

    def restore(self, picture: Tensor, border: Tensor | None = None) -> Tensor:
        """What was made of the crop, in the size of the source.

        Args:
            picture: Of the crop's size, mosaic or colour, shape (..., h, w).
            border: Where the lines that were cut off come from, shape (..., H, W), such as the source itself; by
                default they mirror the picture about its outermost lines, which keeps a mosaic's pattern.

        Returns:
            Shape (..., H, W). Differentiable.
        """
        sides = self.mosaic.shape[-2:]
        _check_tensor("picture", picture, "(..., h, w)")
        if picture.shape[-2:] != sides:
            expected = f"(..., {sides[0]}, {sides[1]}), as the crop has"
            raise InputError("picture", f"shape {tuple(picture.shape)}", expected)
        if border is None:
            for axis, (before, size) in enumerate(zip((self.top, self.left), self.source_shape_px, strict=True)):
                count = sides[axis]
                places = [_mirror(place - before, count) for place in range(size)]
                picture = picture.index_select(axis - 2, torch.tensor(places, device=picture.device))
            return picture
        expected_shape = (*picture.shape[:-2], *self.source_shape_px)
        if border.shape != expected_shape or border.dtype != picture.dtype or border.device != picture.device:
            found = f"{border.dtype} of shape {tuple(border.shape)} on {border.device}"
            raise InputError("border", found, f"{picture.dtype} of shape {expected_shape} on {picture.device}")
        whole = border.clone()
        whole[..., self.top : self.top + sides[0], self.left : self.left + sides[1]] = picture
        return whole


def align(mosaic: Tensor, pattern: Pattern, target: Pattern = "RGGB") -> AlignedMosaic:
    """Crop a mosaic to another pattern: at most one line from each side.

    Unlike a permutation of the planes this keeps every colour where a network for `target` expects it.

    Args:
        mosaic: Shape (..., H, W).
        pattern: Of its first cell.
        target: Wanted.

    Returns:
        The crop (a view), where it was, and how to get back to the source's size.
    """
    from_red, to_red = find_sites(pattern)[0], find_sites(target)[0]
    _check_tensor("mosaic", mosaic, "(..., H, W)")
    height, width = mosaic.shape[-2:]
    top, left = (from_red[0] - to_red[0]) % 2, (from_red[1] - to_red[1]) % 2
    rows, cols = (height - top) // 2 * 2, (width - left) // 2 * 2
    if rows < 2 or cols < 2:
        raise InputError("mosaic", f"{height} x {width} px", f"a whole cell of {target} in it")
    return AlignedMosaic(mosaic[..., top : top + rows, left : left + cols], target, top, left, (height, width))


def flip_mosaic(mosaic: Tensor, *, up_down: bool = False, left_right: bool = False, even: bool = True) -> Tensor:
    """A mirrored mosaic with the pattern it had: a line is dropped where mirroring alone would change the pattern.

    A depth map or a packed picture's full-size companion goes through the same function and stays in register.

    Args:
        mosaic: Shape (..., H, W).
        up_down: Exchange top and bottom.
        left_right: Exchange left and right.
        even: Drop another line where a flipped side would be odd, so that the result can be packed.

    Returns:
        Shape (..., H - 2, W - 2) for even sides that were flipped, H - 1, W - 1 for odd ones; with `even=False` the
        largest possible, H - 1 of even, H of odd ones. Differentiable.
    """
    _check_tensor("mosaic", mosaic, "(..., H, W)")
    for axis, wanted in ((-2, up_down), (-1, left_right)):
        if not wanted:
            continue
        size = mosaic.shape[axis]
        # New line i is old line size - 1 - first - i: its parity is kept if size - 1 - first is even.
        first = (size + 1) % 2
        count = size - first - even
        if count < 1:
            raise InputError("mosaic", f"{size} {'columns' if axis == -1 else 'rows'}", "more, for a flip drops some")
        mosaic = mosaic.flip(axis).narrow(axis, first, count)
    return mosaic


def _mirror(place: int, count: int) -> int:
    """The line that stands for one outside: -1 is 1, `count` is `count` - 2."""
    return -place if place < 0 else 2 * (count - 1) - place if place >= count else place


def _check_tensor(where: str, values: Tensor, expected: str, *, ndim: int = 2, planes: int | None = None) -> None:
    if not isinstance(values, Tensor):
        raise InputError(where, type(values).__name__, "a torch tensor (torch.from_numpy makes one of an array)")
    shape = tuple(values.shape)
    if len(shape) < ndim or 0 in shape[-2:] or (planes is not None and shape[-3] != planes):
        raise InputError(where, f"shape {shape}", f"shape {expected}, none of the sides 0")
