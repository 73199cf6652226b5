"""Pairs of photographs, sharp and blurred, of one textured plane: what a PSF field is estimated from.

    captures = psf.Captures.from_arrays(sharp, blurred, x0_px, y0_px, depth_m, image_shape_px, kernel_px, focus_m)
    captures = psf.read_captures("shots", read=render.read_capture)           # a folder, pictures read when asked for
    for pair in captures.at_focus(0.5): pair.sharp, pair.blurred, pair.radius(), pair.azimuth_rad()
    batch = captures.draw(16, 64, generator=g)                                # random patches of pairs with texture

A pair holds linear light, and `blurred(p) = sum over q of K_p(q) sharp(p - q)` with the kernel of the pixel p: the
sharp picture reaches half a kernel further on every side, so that nothing outside is guessed.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from .capture_arrays import check_light, check_window, find_distinct, to_column, to_light
from .errors import InputError
from .resampling import check_odd
from .turning import polar_place

# Below this standard deviation of light (white is 1) a patch says nothing of a kernel.
LEAST_CONTRAST = 0.02
# So many patches are drawn, per one that is wanted, before a set counts as flat.
MOST_DRAWS = 50
# Distances that differ by less are the same distance, m per m.
SAME_DISTANCE = 1e-5


class PairSource(Protocol):
    """Where the pixels of pairs come from."""

    def read_pair(self, row: int) -> tuple[Tensor, Tensor]:
        """Sharp and blurred picture of pair `row`, shapes (C, h + K - 1, w + K - 1) and (C, h, w)."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Patches:
    """One pair, or a batch of them, with where on the sensor and at what distance it lies.

    Attributes:
        sharp: Linear light, shape (..., C, h + K - 1, w + K - 1).
        blurred: Linear light, shape (..., C, h, w).
        x0_px: Sensor column of `blurred[..., 0, 0]`, shape (...).
        y0_px: Sensor row of it, shape (...).
        depth_m: Of the plane, along the axis, shape (...).
        focus_m: Depth that the camera was focused to, shape (...).
        image_shape_px: The sensor's (H, W).
        index: Which pair of the captures this is, shape (...).
    """

    sharp: Tensor
    blurred: Tensor
    x0_px: Tensor
    y0_px: Tensor
    depth_m: Tensor
    focus_m: Tensor
    image_shape_px: tuple[int, int]
    index: Tensor

    @property
    def kernel_px(self) -> int:
        """Side K of the kernels that fit."""
        return int(self.sharp.shape[-1] - self.blurred.shape[-1]) + 1

    @property
    def x_px(self) -> Tensor:
        """Sensor column of every column of `blurred`, shape (..., w)."""
        return self.x0_px[..., None] + torch.arange(self.blurred.shape[-1], device=self.x0_px.device)

    @property
    def y_px(self) -> Tensor:
        """Sensor row of every row of `blurred`, shape (..., h)."""
        return self.y0_px[..., None] + torch.arange(self.blurred.shape[-2], device=self.y0_px.device)

    def polar(self) -> tuple[Tensor, Tensor, Tensor]:
        """Radius, cosine and sine of the azimuth of every pixel of `blurred`, each of shape (..., h, w)."""
        return polar_place(self.x_px[..., None, :], self.y_px[..., :, None], self.image_shape_px)

    def radius(self) -> Tensor:
        """Image height of every pixel of `blurred`, 0 at the picture's centre, 1 at the corner, shape (..., h, w)."""
        return self.polar()[0]

    def azimuth_rad(self) -> Tensor:
        """Azimuth of every pixel of `blurred`, counter-clockwise, 0 to the right, shape (..., h, w)."""
        _, cosine, sine = self.polar()
        return torch.atan2(sine, cosine)

    def middle(self) -> tuple[Tensor, Tensor]:
        """Sensor place (x_px, y_px) of the middle of `blurred`, each of shape (...)."""
        return self.x0_px + (self.blurred.shape[-1] - 1) / 2, self.y0_px + (self.blurred.shape[-2] - 1) / 2

    def cut(self, top_px: int, left_px: int, height_px: int, width_px: int) -> "Patches":
        """The part whose `blurred` begins `top_px` and `left_px` inside, with the sharp picture that it needs."""
        rows, columns = self.blurred.shape[-2:]
        if not (0 <= top_px <= rows - height_px and 0 <= left_px <= columns - width_px and height_px and width_px):
            found = f"{width_px} x {height_px} px at column {left_px}, row {top_px}"
            raise InputError("cut", found, f"a part of {columns} x {rows} px")
        more = self.kernel_px - 1
        return replace(
            self,
            sharp=self.sharp[..., top_px : top_px + height_px + more, left_px : left_px + width_px + more],
            blurred=self.blurred[..., top_px : top_px + height_px, left_px : left_px + width_px],
            x0_px=self.x0_px + left_px,
            y0_px=self.y0_px + top_px,
        )


@dataclass(frozen=True, eq=False)
class HeldPairs:
    """Pairs in memory: sharp (N, C, h + K - 1, w + K - 1), blurred (N, C, h, w)."""

    sharp: Tensor
    blurred: Tensor

    def read_pair(self, row: int) -> tuple[Tensor, Tensor]:
        """As `PairSource.read_pair`."""
        return self.sharp[row], self.blurred[row]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Captures:
    """N pairs of one camera, all of one size.

    Attributes:
        source: Where their pixels come from, in memory or on disk.
        rows: Which of the source's pairs these are, N of them.
        names: What messages call them: the blurred picture's file, or "pair 0" and so on.
        x0_px: Sensor column of `blurred[..., 0, 0]` of each, shape (N,), float64 as the three below.
        y0_px: Sensor row of it, shape (N,).
        depth_m: Distance of the plane along the axis from the first vertex, shape (N,).
        focus_m: Depth that the camera was focused to for the blurred picture, shape (N,).
        shape_px: (h, w) of the blurred pictures.
        channel_count: C, 1 for grey, 3 for R, G, B.
        image_shape_px: The whole sensor's (H, W), in the pixels of these pictures.
        kernel_px: Side K of the kernels, odd: how much larger the sharp pictures are, plus 1.
        pitch_um: Of these pixels, None if nobody knows; a field needs it, an estimate does not.
        f_number: Of the blurred pictures, None if nobody knows.
        sharp_f_number: Of the sharp pictures, `inf` for a pinhole, None if nobody knows.
        provenance: Where this came from; names to anything that JSON holds.
    """

    source: PairSource
    rows: tuple[int, ...]
    names: tuple[str, ...]
    x0_px: Tensor
    y0_px: Tensor
    depth_m: Tensor
    focus_m: Tensor
    shape_px: tuple[int, int]
    channel_count: int
    image_shape_px: tuple[int, int]
    kernel_px: int
    pitch_um: float | None = None
    f_number: float | None = None
    sharp_f_number: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_odd("Captures.kernel_px", self.kernel_px)
        for name in ("pitch_um", "f_number", "sharp_f_number"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and (math.isfinite(value) or name == "sharp_f_number")):
                raise InputError(f"Captures.{name}", value, "a positive number, or None")
        for name in ("names", "x0_px", "y0_px", "depth_m", "focus_m"):
            if len(getattr(self, name)) != len(self.rows):
                found = f"{len(getattr(self, name))} of them"
                raise InputError(f"Captures.{name}", found, f"{len(self.rows)}, one per pair")
        for name in ("depth_m", "focus_m"):
            values = getattr(self, name)
            if bad := [n for n, one in zip(self.names, values.tolist(), strict=True) if not one > 0]:
                index = self.names.index(bad[0])
                expected = "a distance above 0 m (inf is allowed)"
                raise InputError(f"{bad[0]}: {name}", float(values[index]), expected)
        for name, x_px, y_px in zip(self.names, self.x0_px.tolist(), self.y0_px.tolist(), strict=True):
            check_window(name, (x_px, y_px), self.shape_px, self.image_shape_px)

    @classmethod
    def from_arrays(
        cls,
        sharp: Any,
        blurred: Any,
        x0_px: Any,
        y0_px: Any,
        depth_m: Any,
        image_shape_px: Sequence[int],
        kernel_px: int,
        focus_m: Any,
        *,
        pitch_um: float | None = None,
        f_number: float | None = None,
        sharp_f_number: float | None = None,
        names: Sequence[str] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> "Captures":
        """Captures from tensors, numpy arrays or lists; all that can be checked is checked here.

        Args:
            sharp: Linear light, floats, shape (N, h + K - 1, w + K - 1) or (N, C, ...). Its pixel [0, 0] lies (K - 1)/2
                left of and above that of `blurred`, and may lie outside the sensor. Halves become float32; where the
                two pictures differ in dtype, both get the wider one.
            blurred: Linear light, shape (N, h, w) or (N, C, h, w): the part that the sharp picture determines.
            x0_px: Sensor column of `blurred[..., 0, 0]`, one number or shape (N,).
            y0_px: Sensor row of it, counted down.
            depth_m: Of the plane, one number or shape (N,).
            image_shape_px: The whole sensor's (H, W).
            kernel_px: Side K of the kernels, odd.
            focus_m: Depth that the blurred pictures are focused to, one number or shape (N,).
            pitch_um: Pixel pitch.
            f_number: Of the blurred pictures.
            sharp_f_number: Of the sharp ones, `inf` for a pinhole.
            names: What messages call the pairs.
            provenance: Where they came from.
        """
        light, seen = to_light("sharp", sharp), to_light("blurred", blurred)
        if light.ndim != seen.ndim or light.shape[:-2] != seen.shape[:-2]:
            expected = f"{tuple(light.shape[:-2])} pictures as in sharp, of shape (N, h, w) or (N, C, h, w)"
            raise InputError("blurred", f"shape {tuple(seen.shape)}", expected)
        if light.ndim == 3:
            light, seen = light[:, None], seen[:, None]
        if not len(light) or not seen.numel():
            raise InputError("blurred", f"shape {tuple(seen.shape)}", "at least one picture of one pixel")
        check_odd("kernel_px", kernel_px)
        more = [int(a - b) for a, b in zip(light.shape[-2:], seen.shape[-2:], strict=True)]
        if more != [kernel_px - 1] * 2:
            found = f"{light.shape[-1]} x {light.shape[-2]} px for {seen.shape[-1]} x {seen.shape[-2]} px of blurred"
            raise InputError("sharp", found, f"{kernel_px - 1} px more on both sides (kernel_px - 1)")
        if light.dtype != seen.dtype:
            wider = torch.promote_types(light.dtype, seen.dtype)
            light, seen = light.to(wider), seen.to(wider)
        called = tuple(names) if names is not None else tuple(f"pair {n}" for n in range(len(light)))
        if len(called) != len(light):
            raise InputError("names", f"{len(called)} of them", f"{len(light)}, one per pair")
        for n, name in enumerate(called):
            check_light(f"{name}: sharp", light[n])
            check_light(f"{name}: blurred", seen[n])
        columns = {"x0_px": x0_px, "y0_px": y0_px, "depth_m": depth_m, "focus_m": focus_m}
        shape = tuple(int(one) for one in image_shape_px)
        if len(shape) != 2 or min(shape) < 1:
            raise InputError("image_shape_px", tuple(image_shape_px), "the sensor's (H, W)")
        captures = cls(
            source=HeldPairs(light, seen),
            rows=tuple(range(len(light))),
            names=called,
            shape_px=(int(seen.shape[-2]), int(seen.shape[-1])),
            channel_count=int(seen.shape[1]),
            image_shape_px=(shape[0], shape[1]),
            kernel_px=int(kernel_px),
            pitch_um=pitch_um,
            f_number=f_number,
            sharp_f_number=sharp_f_number,
            provenance=dict(provenance or {}),
            **{name: to_column(name, value, len(light)) for name, value in columns.items()},
        )
        contrast = light.std((-2, -1)).amax(1)
        if not bool((contrast >= LEAST_CONTRAST).any()):
            expected = f"texture: a standard deviation of {LEAST_CONTRAST} or more somewhere"
            raise InputError("sharp", f"a standard deviation of at most {float(contrast.max()):.2g}", expected)
        flat = [
            one for one in captures.depths_m.tolist() if float(contrast[captures.is_at(one)].max()) < LEAST_CONTRAST
        ]
        if flat:
            depths = ", ".join(f"{one:g}" for one in flat[:5]) + (" and more" if len(flat) > 5 else "")
            warnings.warn(f"no pair at depth {depths} m has texture: it says nothing of its kernels", stacklevel=2)
        return captures

    def __repr__(self) -> str:
        depths, size = self.depths_m, f"{self.shape_px[1]} x {self.shape_px[0]}"
        return (
            f"Captures({len(self)} pairs of {self.channel_count} x {size} px at {len(depths)} depths of "
            f"{float(depths[0]):g} to {float(depths[-1]):g} m, {len(self.focuses_m)} focus distances, "
            f"kernels of {self.kernel_px} px, sensor {self.image_shape_px[1]} x {self.image_shape_px[0]} px)"
            if len(self)
            else "Captures(no pairs)"
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Patches:
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        index %= len(self)
        sharp, blurred = self.source.read_pair(self.rows[index])
        places = {name: getattr(self, name)[index] for name in ("x0_px", "y0_px", "depth_m", "focus_m")}
        number = torch.tensor(index)
        return Patches(sharp=sharp, blurred=blurred, image_shape_px=self.image_shape_px, index=number, **places)

    def __iter__(self) -> Iterator[Patches]:
        return (self[index] for index in range(len(self)))

    @property
    def depths_m(self) -> Tensor:
        """Every depth once, ascending, shape (D,)."""
        return find_distinct(self.depth_m, SAME_DISTANCE)

    @property
    def focuses_m(self) -> Tensor:
        """Every focus distance once, ascending, shape (F,)."""
        return find_distinct(self.focus_m, SAME_DISTANCE)

    @property
    def sharp(self) -> Tensor:
        """All sharp pictures, read if they are not in memory, shape (N, C, h + K - 1, w + K - 1)."""
        return self.stacked().sharp

    @property
    def blurred(self) -> Tensor:
        """All blurred pictures, read if they are not in memory, shape (N, C, h, w)."""
        return self.stacked().blurred

    def stacked(self) -> Patches:
        """All pairs as one batch, shapes (N, ...)."""
        if isinstance(self.source, HeldPairs) and self.rows == tuple(range(len(self.source.sharp))):
            sharp, blurred = self.source.sharp, self.source.blurred
        else:
            if not len(self):
                raise InputError("captures", "no pairs", "at least one to stack")
            pairs = [self.source.read_pair(row) for row in self.rows]
            sharp, blurred = (torch.stack(list(one)) for one in zip(*pairs, strict=True))
        places = {name: getattr(self, name) for name in ("x0_px", "y0_px", "depth_m", "focus_m")}
        index = torch.arange(len(self))
        return Patches(sharp=sharp, blurred=blurred, image_shape_px=self.image_shape_px, index=index, **places)

    def loaded(self) -> "Captures":
        """The same pairs, all in memory."""
        if isinstance(self.source, HeldPairs):
            return self
        everything = self.stacked()
        return replace(self, source=HeldPairs(everything.sharp, everything.blurred), rows=tuple(range(len(self))))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Captures":
        """The same pairs in memory, their light on another device or in another floating dtype."""
        all_ = self.stacked()
        sharp, blurred = (one.to(device=device, dtype=dtype) for one in (all_.sharp, all_.blurred))
        return replace(self, source=HeldPairs(sharp, blurred), rows=tuple(range(len(self))))

    def radius(self, index: int) -> Tensor:
        """Image height of every pixel of pair `index`, shape (h, w), without reading its pictures."""
        return polar_place(*self._grid(index), self.image_shape_px)[0]

    def azimuth_rad(self, index: int) -> Tensor:
        """Azimuth of every pixel of pair `index`, shape (h, w), without reading its pictures."""
        _, cosine, sine = polar_place(*self._grid(index), self.image_shape_px)
        return torch.atan2(sine, cosine)

    def is_at(self, depth_m: float) -> Tensor:
        """Which pairs are of that depth, shape (N,)."""
        return self._is_near(self.depth_m, depth_m)

    def chosen(self, indices: Sequence[int] | Tensor) -> "Captures":
        """Some of the pairs, in that order; a mask of shape (N,) chooses, too."""
        picked = torch.as_tensor(indices)
        if picked.dtype == torch.bool:
            if picked.shape != (len(self),):
                raise InputError("indices", f"a mask of shape {tuple(picked.shape)}", f"shape ({len(self)},)")
            picked = picked.nonzero()[:, 0]
        picked = picked.reshape(-1).long()
        if bool(((picked < 0) | (picked >= len(self))).any()):
            raise InputError("indices", picked.tolist(), f"numbers from 0 to {len(self) - 1}")
        order = picked.tolist()
        return replace(
            self,
            rows=tuple(self.rows[n] for n in order),
            names=tuple(self.names[n] for n in order),
            **{name: getattr(self, name)[picked] for name in ("x0_px", "y0_px", "depth_m", "focus_m")},
        )

    def at_depth(self, depth_m: float) -> "Captures":
        """The pairs of one depth; an error if there are none."""
        return self._matching("depth_m", depth_m)

    def at_focus(self, focus_m: float) -> "Captures":
        """The pairs of one focus distance; an error if there are none."""
        return self._matching("focus_m", focus_m)

    def split(self, held_share: float, *, generator: torch.Generator) -> tuple["Captures", "Captures"]:
        """Pairs to learn from, and others to hold back (at least one of each), drawn at random.

        Args:
            held_share: Share of the pairs to hold back, above 0 and below 1.
            generator: The same state of it gives the same pairs.
        """
        if not 0 < held_share < 1 or len(self) < 2:
            raise InputError("split(held_share)", f"{held_share} of {len(self)} pairs", "0 to 1, of two pairs or more")
        order = torch.randperm(len(self), generator=generator)
        held = min(max(round(held_share * len(self)), 1), len(self) - 1)
        return self.chosen(order[held:].sort().values), self.chosen(order[:held].sort().values)

    def draw(
        self, count: int, patch_px: int, *, generator: torch.Generator, least_contrast: float = LEAST_CONTRAST
    ) -> Patches:
        """Random square patches, evenly over pairs and places; flat ones are passed over.

        Args:
            count: How many, B.
            patch_px: Side of `blurred`.
            generator: The same state of it gives the same patches.
            least_contrast: Standard deviation that the sharp patch must have in its best channel.

        Returns:
            A batch, shapes (B, ...).
        """
        height, width = self.shape_px
        if count < 1 or not len(self):
            raise InputError("draw(count)", f"{count} of {len(self)} pairs", "at least one of at least one")
        if not 1 <= patch_px <= min(height, width):
            raise InputError("draw(patch_px)", patch_px, f"1 to {min(height, width)}")
        found: list[Patches] = []
        for _ in range(MOST_DRAWS * count):
            shares = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
            index = int(shares[0] * len(self))
            top, left = int(shares[1] * (height - patch_px + 1)), int(shares[2] * (width - patch_px + 1))
            patch = self[index].cut(top, left, patch_px, patch_px)
            if float(patch.sharp.std((-2, -1)).max()) >= least_contrast:
                found.append(patch)
                if len(found) == count:
                    return join_patches(found)
        expected = f"texture: a standard deviation of {least_contrast} or more"
        raise InputError("captures", f"{MOST_DRAWS * count - len(found)} patches without contrast", expected)

    def _grid(self, index: int) -> tuple[Tensor, Tensor]:
        height, width = self.shape_px
        columns = self.x0_px[index] + torch.arange(width)
        return columns[None, :], (self.y0_px[index] + torch.arange(height))[:, None]

    def _is_near(self, values: Tensor, wanted: float) -> Tensor:
        return torch.isclose(values, torch.tensor(float(wanted), dtype=values.dtype), rtol=SAME_DISTANCE, atol=0)

    def _matching(self, name: str, wanted: float) -> "Captures":
        mask = self._is_near(getattr(self, name), wanted)
        if not bool(mask.any()):
            there = ", ".join(f"{one:g}" for one in find_distinct(getattr(self, name), SAME_DISTANCE).tolist()[:20])
            raise InputError(name, wanted, f"one of {there}")
        return self.chosen(mask)


def join_patches(patches: Sequence[Patches]) -> Patches:
    """Single pairs of one size as a batch (B, ...)."""
    if not patches:
        raise InputError("patches", "none", "at least one")
    names = ("sharp", "blurred", "x0_px", "y0_px", "depth_m", "focus_m", "index")
    joined: dict[str, Any] = {name: torch.stack([getattr(one, name) for one in patches]) for name in names}
    return Patches(image_shape_px=patches[0].image_shape_px, **joined)
