"""What the rays of one picture may meet, made ready for the march, and the march as a function with a gradient.

Depth decides: which pixels a jump can reach, what is hidden behind it, which ray meets what. How much of an edge pixel
is covered is read from the picture's colours too. Given these decisions the photograph is a linear function of the
picture, and that function's transpose is the gradient.
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from . import edges, filling, marching
from .pupils import PupilRays

Array = npt.NDArray[Any]

# A step of the blur's diameter between neighbouring pixels from which on they are two surfaces. Below half a pixel
# nothing that is hidden could be seen.
JUMP_PX = 0.5
# Half a pixel's diagonal on either side, and the pixel beside the jump.
FOOTPRINT_PX = 1.5
# Sets of rays that neighbouring pixels take in turn, 4 x 4: the residual grain has no structure.
PATTERNS = 16
# Surfaces: rims of nearer things on farther pixels, what is visible, and what is guessed behind.
RIM, VISIBLE, BEHIND = 0, 1, 2
HIDDEN = 2


def occlusion_band(dioptres_dpt: Array, reach_px: Array, drift_px_per_dpt: float) -> Array:
    """Pixels that the blur of a jump in depth can reach, a boolean map (H, W).

    Args:
        dioptres_dpt: Shape (H, W).
        reach_px: How far each pixel's own blur reaches, shape (H, W).
        drift_px_per_dpt: Growth of the blur's radius with defocus.
    """
    far, near = filling.jumps(dioptres_dpt, 0.5 * JUMP_PX / drift_px_per_dpt)
    edge = far | near
    # Both pixels of a pair reach as far as the more blurred of them.
    reach = np.where(edge, reach_px, 0)
    for axis in (0, 1):
        r = np.moveaxis(reach, axis, 0)
        wide = r.copy()
        wide[1:] = np.maximum(wide[1:], r[:-1])
        wide[:-1] = np.maximum(wide[:-1], r[1:])
        reach = np.moveaxis(wide, 0, axis)
    band = np.zeros(dioptres_dpt.shape, np.bool_)
    rows, cols = np.nonzero(edge)
    marching.paint(rows, cols, reach[rows, cols] + FOOTPRINT_PX, band)
    return band


@dataclass(frozen=True, eq=False)
class Sightlines:
    """Decisions about one picture (H, W, C).

    Attributes:
        rows: Pixels that are marched, shape (M,).
        cols: Shape (M,).
        start_dpt: Where their rays begin, shape (M,).
        place: Of the pixels among the rays' radii, and their azimuths, shape (M, 4).
        dioptres_dpt: What is visible, shape (H, W).
        surfaces_dpt: Padded, shape (H', W', L).
        coverage: Padded, shape (H', W', L).
        apart: Edge pixels taken apart.
        hidden: Guessed surfaces.
        threshold_dpt: What makes a jump.
        rays: Lines, already in the picture's dtype.
        count: Rays of each pixel.
        margin_px: Of the padding.
        padding: One of `marching.PADDINGS`.
        threads: To use at a time.
    """

    rows: Array
    cols: Array
    start_dpt: Array
    place: Array
    dioptres_dpt: Array
    surfaces_dpt: Array
    coverage: Array
    apart: edges.Edges
    hidden: filling.Hidden
    threshold_dpt: float
    rays: PupilRays
    count: int
    margin_px: int
    padding: str
    threads: int

    def see(self, image: Tensor, control: Tensor) -> Tensor:
        """What the rays of the marched pixels meet; differentiable, decisions held fixed.

        Args:
            image: Shape (C, H, W).
            control: What these pixels gather, shape (M, C).

        Returns:
            Shape (M, C).
        """
        found: Tensor = _See.apply(image, control, self)
        return found

    def frame(self) -> tuple[tuple[Array, Array], Array]:
        """As `marching.pad_frame` has it."""
        height, width = self.dioptres_dpt.shape
        return marching.pad_frame(height, width, self.margin_px, self.padding)

    def colours(self, image: Array) -> Array:
        """Of all surfaces, shape (H, W, L, C), of a picture (H, W, C)."""
        layers, apart = self.surfaces_dpt.shape[-1], self.apart
        found = np.zeros((*image.shape[:2], layers, image.shape[2]), image.dtype)
        found[:, :, VISIBLE] = image
        hidden = found[:, :, BEHIND:]
        filling.colour_hidden(self.hidden, self.dioptres_dpt, self.threshold_dpt, image, hidden, threads=self.threads)
        front, rear = (np.zeros((len(apart.rows), image.shape[2]), image.dtype) for _ in range(2))
        edges.split_colours(apart, self.dioptres_dpt, image, front, rear)
        for surface, which, colour in self.parts():
            found[apart.rows[which], apart.cols[which], surface] = (front, rear)[colour][which]
        return found

    def colours_back(self, slopes: Array) -> Array:
        """The transpose of `colours`: from (H, W, L, C) to (H, W, C)."""
        slopes, apart = slopes.copy(), self.apart
        front, rear = (np.zeros((len(apart.rows), slopes.shape[-1]), slopes.dtype) for _ in range(2))
        for surface, which, colour in self.parts():
            into = (front, rear)[colour]
            into[which] += slopes[apart.rows[which], apart.cols[which], surface]
            slopes[apart.rows[which], apart.cols[which], surface] = 0
        found = slopes[:, :, VISIBLE].copy()
        edges.split_colours(apart, self.dioptres_dpt, found, front, rear, back=True)
        filling.colour_hidden(
            self.hidden, self.dioptres_dpt, self.threshold_dpt, found, slopes[:, :, BEHIND:], back=True
        )
        return found

    def parts(self) -> list[tuple[int, Array, int]]:
        """Which surface of which edge pixels (N,) has which of the two colours, front (0) or rear (1)."""
        nearer = self.dioptres_dpt[self.apart.rows, self.apart.cols] > self.apart.other_dpt
        parts = [(RIM, ~nearer, 0), (VISIBLE, nearer, 0), (VISIBLE, ~nearer, 1)]
        if len(self.hidden.dioptres_dpt):
            parts.append((BEHIND, nearer, 1))
        return parts


def find_sightlines(
    image: Array,
    dioptres_dpt: Array,
    rays: PupilRays,
    place: Array,
    count: int,
    padding: str,
    threads: int,
) -> Sightlines | None:
    """Decide what can be met where; None where no jump is within reach of anything.

    Args:
        image: Shape (H, W, C).
        dioptres_dpt: Shape (H, W).
        rays: At least PATTERNS times `count` lines.
        place: Of every pixel: index of the inner radius, weight of the next one, cosine and sine of the azimuth,
            shape (H, W, 4).
        count: Rays of each pixel.
        padding: One of `marching.PADDINGS`.
        threads: To use at a time.
    """
    from scipy.ndimage import maximum_filter

    band = occlusion_band(dioptres_dpt, rays.reach_px(dioptres_dpt), rays.drift_px_per_dpt)
    if not band.any():
        return None
    kind = dioptres_dpt.dtype
    threshold = 0.5 * JUMP_PX / rays.drift_px_per_dpt
    far, near = filling.jumps(dioptres_dpt, threshold)
    apart = edges.weigh_edges(image, dioptres_dpt, far, near, threshold)
    hidden = filling.find_hidden(dioptres_dpt, threshold, rays.drift_px_per_dpt, HIDDEN, threads)
    surfaces = np.full((*dioptres_dpt.shape, BEHIND + len(hidden.dioptres_dpt)), -1, kind)
    surfaces[:, :, VISIBLE] = dioptres_dpt
    surfaces[:, :, BEHIND:] = hidden.dioptres_dpt.transpose(1, 2, 0)
    coverage = np.ones_like(surfaces)
    nearer = dioptres_dpt[apart.rows, apart.cols] > apart.other_dpt
    rows, cols = apart.rows[~nearer], apart.cols[~nearer]
    surfaces[rows, cols, RIM], coverage[rows, cols, RIM] = apart.other_dpt[~nearer], apart.share[~nearer]
    coverage[apart.rows[nearer], apart.cols[nearer], VISIBLE] = apart.share[nearer]
    lowest, highest = float(dioptres_dpt.min()) - threshold, float(dioptres_dpt.max()) + threshold
    reach = math.ceil(float(rays.reach_px(np.array([lowest, highest])).max()))
    rows, cols = np.nonzero(band)
    wrap = {"reflect": "mirror", "circular": "wrap"}.get(padding, "nearest")
    # A hair above, so that rays start in front of what they may meet.
    start = maximum_filter(surfaces.max(-1), 2 * reach + 3, mode=wrap)[rows, cols] + 1e-3 * threshold
    found = Sightlines(
        rows=rows,
        cols=cols,
        start_dpt=start.astype(kind),
        place=place[rows, cols],
        dioptres_dpt=dioptres_dpt,
        surfaces_dpt=surfaces,
        coverage=coverage,
        apart=apart,
        hidden=hidden,
        threshold_dpt=threshold,
        rays=rays,
        count=count,
        margin_px=reach + 2,
        padding=padding,
        threads=threads,
    )
    pads, _ = found.frame()
    return replace(found, surfaces_dpt=surfaces[pads], coverage=coverage[pads])


class _See(torch.autograd.Function):
    """The march, linear in the picture and in what is gathered."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, control: Tensor, lines: Sightlines) -> Tensor:
        ctx.lines, ctx.shape = lines, image.shape
        picture = np.ascontiguousarray(image.detach().numpy().transpose(1, 2, 0))
        pads, lit = lines.frame()
        lit = lit.astype(picture.dtype)
        colours = lines.colours(picture)[pads] * lit[..., None]
        out = np.zeros(tuple(control.shape), picture.dtype)
        _march(lines, picture[pads] * lit, colours, control.detach().numpy(), out)
        return torch.from_numpy(out)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, Tensor, None]:
        lines, (channels, height, width) = ctx.lines, ctx.shape
        (pads, lit), given = lines.frame(), slopes.contiguous().numpy()
        lit = lit.astype(given.dtype)
        image = np.zeros((*lit.shape[:2], channels), given.dtype)
        colours = np.zeros((*lit.shape[:2], lines.surfaces_dpt.shape[-1], channels), given.dtype)
        control = np.zeros_like(given)
        _march(lines, image, colours, control, given, back=True)
        plain = marching.fold(image * lit, pads, (height, width))
        plain += lines.colours_back(marching.fold(colours * lit[..., None], pads, (height, width)))
        return torch.from_numpy(plain.transpose(2, 0, 1).copy()), torch.from_numpy(control), None


def _march(lines: Sightlines, image: Array, colours: Array, control: Array, out: Array, *, back: bool = False) -> None:
    """All channels of all pixels, forwards into `out` or back into the others."""
    kind, rays = out.dtype, lines.rays
    tall, width, layers = lines.surfaces_dpt.shape
    flat = [one.reshape(tall * width, layers) for one in (lines.surfaces_dpt, lines.coverage)]
    top = flat[0].max(-1)
    own = lines.dioptres_dpt[lines.rows, lines.cols]
    # A hair below, so that rays do not end in front of the farthest.
    lowest = kind.type(lines.dioptres_dpt.min() - 1e-2 * lines.threshold_dpt)
    knots = rays.knots_dpt.astype(kind)
    for group, channels in enumerate(rays.groups):
        some = list(channels)
        table = np.ascontiguousarray(rays.lines[group]).astype(kind)
        light = np.ascontiguousarray(rays.transmission[..., some]).astype(kind)
        picture, paint, gathered, found = (
            np.ascontiguousarray(one[..., some]) for one in (image, colours, control, out)
        )

        def work(
            part: slice,
            first_row: int,
            sums: tuple[Array, ...],
            table: Array = table,
            light: Array = light,
            some: list[int] = some,
            gathered: Array = gathered,
            found: Array = found,
        ) -> None:
            marching.march(
                *(lines.rows[part], lines.cols[part], lines.start_dpt[part], own[part], lines.place[part]),
                *(width, flat[0], top, flat[1], lowest, table, lines.count, knots, light),
                *(kind.type(lines.threshold_dpt), lines.margin_px, back, first_row * width),
                *(sums[0].reshape(-1, len(some)), sums[1].reshape(-1, len(some)), gathered[part], found[part]),
            )

        if back:
            marching.spread_back(work, lines.rows, lines.margin_px, (picture, paint), lines.threads)
            image[..., some], colours[..., some], control[..., some] = picture, paint, gathered
        else:
            forwards = partial(work, first_row=0, sums=(picture, paint))
            marching.spread(forwards, len(lines.rows), lines.threads)
            out[..., some] = found
