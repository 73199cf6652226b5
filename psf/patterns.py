"""Pictures for a display that a lens is to be measured with: dead leaves, and textures of one's own.

Light is linear here, 0 to 1; a monitor wants it encoded (sRGB), which `python -m psf plan` does.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .errors import InputError

# Neither black nor white: what a photograph clips is lost, and a little of both is left for noise and glare.
DARKEST, BRIGHTEST = 0.05, 0.9
# Leaves drawn at once.
LEAVES = 1 << 16
# Uncovered pixels take the last leaf's place once so few are left, share of all.
LEAST_UNCOVERED = 1e-5
# suffixes of textures; what reads them may know more
TEXTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".exr", ".npy")
MM_PER_INCH = 25.4


@dataclass(frozen=True)
class Display:
    """A monitor.

    Attributes:
        shape_px: (H, W) of its pixels.
        diagonal_inch: Of the lit area.
        luminance_cd_m2: Of its white.
        refresh_hz: Pictures per second.
    """

    shape_px: tuple[int, int] = (2160, 3840)
    diagonal_inch: float = 27.0
    luminance_cd_m2: float = 250.0
    refresh_hz: float = 60.0

    def __post_init__(self) -> None:
        if len(self.shape_px) != 2 or min(self.shape_px) < 16:
            raise InputError("Display.shape_px", self.shape_px, "(rows, columns) of 16 and more")
        for name in ("diagonal_inch", "luminance_cd_m2", "refresh_hz"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise InputError(f"Display.{name}", getattr(self, name), "a positive number")

    @property
    def pitch_mm(self) -> float:
        """From pixel to pixel."""
        return self.diagonal_inch * MM_PER_INCH / math.hypot(*self.shape_px)

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width of the lit area."""
        return self.shape_px[0] * self.pitch_mm, self.shape_px[1] * self.pitch_mm


def make_dead_leaves(
    shape_px: tuple[int, int],
    *,
    generator: torch.Generator,
    smallest_px: float = 1.5,
    largest_px: float = 60.0,
    is_coloured: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Discs of random grey that hide one another, as many small as large ones for their area (radius density r^-3).

    The best pattern to measure a lens with: edges of every direction at every scale, no period, and the same
    statistics from near and from far.

    Args:
        shape_px: (H, W).
        generator: The same state of it gives the same picture.
        smallest_px: Radius of the smallest discs.
        largest_px: Radius of the largest.
        is_coloured: Red, green and blue are drawn apart.
        dtype: Of the picture.

    Returns:
        Linear light, even between `DARKEST` and `BRIGHTEST`, shape (1, H, W), or (3, H, W) if coloured.
    """
    height, width = shape_px
    if min(height, width) < 1:
        raise InputError("make_dead_leaves(shape_px)", shape_px, "(H, W), 1 and more")
    if not (0.5 <= smallest_px < largest_px and math.isfinite(largest_px)):
        raise InputError("make_dead_leaves", f"radii of {smallest_px} to {largest_px} px", "0.5 px and more, ascending")
    from .pattern_loops import paint

    channels = 3 if is_coloured else 1
    canvas = torch.full((channels, height, width), 0.5 * (DARKEST + BRIGHTEST), dtype=torch.float64)
    covered = torch.zeros(height, width, dtype=torch.bool)
    left = height * width
    # Leaves about the frame reach into it.
    frame = (height + 2 * largest_px, width + 2 * largest_px)
    while left > LEAST_UNCOVERED * height * width:
        drawn = torch.rand(LEAVES, 3 + channels, generator=generator, dtype=torch.float64)
        # The share of discs wider than r falls as r^-2 between the two ends.
        ends = smallest_px**-2, largest_px**-2
        radius = (ends[0] - drawn[:, 0] * (ends[0] - ends[1])).rsqrt()
        x = drawn[:, 1] * frame[1] - largest_px
        y = drawn[:, 2] * frame[0] - largest_px
        colours = DARKEST + (BRIGHTEST - DARKEST) * drawn[:, 3:].contiguous()
        left -= paint(canvas.numpy(), covered.numpy(), x.numpy(), y.numpy(), radius.numpy(), colours.numpy())
    return canvas.to(dtype)


def fill_display(texture: Tensor, shape_px: tuple[int, int]) -> Tensor:
    """A texture as large as a display: mirrored over and over where it is smaller, its middle where it is larger.

    Light is stretched to lie between `DARKEST` and `BRIGHTEST`; of each 200 pixels the darkest and the brightest are
    clipped to these.

    Args:
        texture: Linear light, shape (C, H, W).
        shape_px: The display's (H, W).

    Returns:
        Shape (C, *shape_px).
    """
    if texture.ndim != 3 or not texture.numel() or not texture.is_floating_point():
        raise InputError("texture", f"{texture.dtype} of shape {tuple(texture.shape)}", "floats of shape (C, H, W)")
    picture = texture
    for axis, wanted in ((1, shape_px[0]), (2, shape_px[1])):
        size = picture.shape[axis]
        if size >= wanted:
            first = (size - wanted) // 2
            picture = picture.narrow(axis, first, wanted)
        else:
            place = torch.arange(wanted) % (2 * size)
            picture = picture.index_select(axis, torch.minimum(place, 2 * size - 1 - place))
    # Quantiles of a sample: sorting every pixel of a display takes longer than reading it.
    step = max(1, picture.numel() // (1 << 20))
    low, high = (float(one) for one in picture.reshape(-1)[::step].quantile(picture.new_tensor([0.005, 0.995])))
    if high - low < 1e-3:
        raise InputError("texture", f"light of {low:.3g} to {high:.3g}", "a picture with contrast")
    return (DARKEST + (picture - low) / (high - low) * (BRIGHTEST - DARKEST)).clamp(DARKEST, BRIGHTEST)


def find_textures(folder: Path) -> list[Path]:
    """Picture files of a folder and the folders in it, by name."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of textures")
    found = sorted(one for one in folder.rglob("*") if one.suffix.lower() in TEXTURES and one.is_file())
    if not found:
        raise InputError(str(folder), "no picture", "files of " + ", ".join(TEXTURES))
    return found


def make_patterns(
    display: Display,
    *,
    leaves: int,
    textures: Sequence[Path] = (),
    read: Callable[[Path], Tensor] | None = None,
    generator: torch.Generator,
    smallest_px: float = 1.5,
    largest_px: float = 60.0,
) -> list[tuple[str, Callable[[], Tensor]]]:
    """Names of patterns and what makes each: dead leaves first, then textures. Made one by one, for they are large.

    Args:
        display: What will show them.
        leaves: How many pictures of dead leaves.
        textures: Files of textures.
        read: Reads such a file as linear light, shape (C, H, W).
        generator: Of all dead leaves; each picture has its own seed from it.
        smallest_px: Radius of the smallest leaf in display pixels.
        largest_px: Radius of the largest.

    Returns:
        Pairs of a name without suffix and a function that gives a picture (C, H, W) of the display's shape.
    """
    if leaves < 0 or leaves + len(textures) == 0:
        raise InputError("make_patterns(leaves)", leaves, "one pattern at least")
    if textures and read is None:
        raise InputError("make_patterns(read)", "None", "a function that reads textures")
    seeds = torch.randint(1 << 62, (max(leaves, 1),), generator=generator).tolist()

    def draw(seed: int) -> Tensor:
        one = torch.Generator().manual_seed(seed)
        return make_dead_leaves(display.shape_px, generator=one, smallest_px=smallest_px, largest_px=largest_px)

    def fill(file: Path) -> Tensor:
        if read is None:
            raise InputError("make_patterns(read)", "None", "a function that reads textures")
        try:
            return fill_display(read(file), display.shape_px)
        except InputError as error:
            where = error.where if str(file) in error.where else f"{file}: {error.where}"
            raise InputError(where, error.found, error.expected) from error

    made: list[tuple[str, Callable[[], Tensor]]] = []
    made += [(f"leaves_{n:02d}", functools.partial(draw, seed)) for n, seed in enumerate(seeds[:leaves])]
    return made + [(f"texture_{n:02d}_{one.stem}", functools.partial(fill, one)) for n, one in enumerate(textures)]
