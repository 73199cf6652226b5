"""Focal stacks and batches of them as values: pictures, focus distances, place, depth, and all that was drawn.

batch = collate(samples)                       # the collate_fn of a data loader
loss(network(batch.stack, batch.focus_m, batch.radius), batch.depth_m)
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from psf import InputError
from render.stacks import find_middle

from ..samples import find_heights
from .scenes import Drawn


@dataclass(frozen=True, kw_only=True)
class DrawnStack:
    """Every number behind one focal stack.

    Attributes:
        index: Number of the stack.
        scene: What was drawn of the scene.
        window_px: Sensor column and row of the window's first pixel.
        radius: Image height of its middle, 0 to 1.
        azimuth_rad: Of its middle, counter-clockwise from the right.
        exposures: Factor by which each picture is brighter.
        iso: Of "sensor" noise, else 0.
        shot: Noise variance per light of R, G and B, normalised units.
        read: Noise variance without light, likewise.
    """

    index: int
    scene: Drawn
    window_px: tuple[int, int]
    radius: float
    azimuth_rad: float
    exposures: tuple[float, ...]
    iso: float
    shot: tuple[float, float, float]
    read: tuple[float, float, float]

    def to_json(self) -> dict[str, Any]:
        """The numbers as JSON holds them."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "DrawnStack":
        """What `to_json` wrote."""
        whole, scene = _tuples(found), found.get("scene")
        try:
            whole["scene"] = Drawn(**_tuples(scene if isinstance(scene, Mapping) else {}))
            return cls(**whole)
        except TypeError as error:
            raise InputError("drawn numbers of a stack", str(error), "what DrawnStack.to_json writes") from error


@dataclass(frozen=True, eq=False, kw_only=True)
class StackSample:
    """One focal stack of N pictures with its depth.

    Attributes:
        stack: What was recorded, 0 to 1, in the order of the focus distances, shape (N, 3, h, w).
        focus_m: Focus distances, ascending, shape (N,).
        depth_m: Of what is seen at the first focus distance, shape (1, h, w).
        in_front: Which pixels show the foremost surface, bool, shape (1, h, w); all, where there is one.
        blur_px: RMS radius of every pixel's kernel in each picture, about its centroid, to the nearest half-precision
            number, shape (N, h, w).
        image_shape_px: The sensor's (H, W).
        encoding: "linear" or "srgb".
        bits: Of the values.
        drawn: All that was drawn.
        costs: Residuals of candidate depths, where a network wants them, shape (Z, h, w).
    """

    stack: Tensor
    focus_m: Tensor
    depth_m: Tensor
    in_front: Tensor
    blur_px: Tensor
    image_shape_px: tuple[int, int]
    encoding: str
    bits: int
    drawn: DrawnStack
    costs: Tensor | None = None

    @property
    def depth_dpt(self) -> Tensor:
        """Inverse depth in dioptres, 0 at infinity, shape (1, h, w)."""
        return 1 / self.depth_m

    @property
    def radius(self) -> Tensor:
        """Image height of every pixel, 0 at the sensor's centre to 1 in its corner, shape (1, h, w)."""
        shape = (int(self.stack.shape[-2]), int(self.stack.shape[-1]))
        x, y = find_heights(shape, self.drawn.window_px, self.image_shape_px, 1)
        return torch.hypot(x[None, :], y[:, None])[None].to(self.stack)


def mirror_sample(sample: StackSample, *, across: bool, down: bool) -> StackSample:
    """The stack as the same camera takes it of the mirrored scene: a round lens is its own mirror image.

    What was drawn is told as before, only the place is the mirrored one.

    Args:
        sample: Of a lens that is round.
        across: Columns change places, and the window lies as far on the other side of the sensor's middle.
        down: Rows do.
    """
    axes = (*((-1,) if across else ()), *((-2,) if down else ()))
    if not axes:
        return sample
    drawn, (height, width) = sample.drawn, sample.image_shape_px
    rows, columns = int(sample.stack.shape[-2]), int(sample.stack.shape[-1])
    x_px, y_px = drawn.window_px
    window_px = (width - columns - x_px if across else x_px, height - rows - y_px if down else y_px)
    azimuth_rad = find_middle(sample.image_shape_px, (rows, columns), window_px)[1]
    tensors: dict[str, Any] = {
        name: getattr(sample, name).flip(axes) for name in ("stack", "depth_m", "in_front", "blur_px")
    }
    costs = None if sample.costs is None else sample.costs.flip(axes)
    return replace(sample, **tensors, costs=costs, drawn=replace(drawn, window_px=window_px, azimuth_rad=azimuth_rad))


@dataclass(frozen=True, eq=False, kw_only=True)
class StackBatch:
    """B focal stacks of one size.

    Attributes:
        stack: Shape (B, N, 3, h, w).
        focus_m: Shape (B, N).
        radius: Image height of every pixel, shape (B, 1, h, w).
        depth_m: Shape (B, 1, h, w).
        in_front: Bool, shape (B, 1, h, w).
        blur_px: Shape (B, N, h, w).
        window_px: Sensor column and row of each first pixel, int64, shape (B, 2).
        index: Numbers of the stacks, int64, shape (B,).
        image_shape_px: The sensor's (H, W).
        encoding: "linear" or "srgb".
        drawn: All that was drawn, B of them.
        costs: Residuals of candidate depths, where a network wants them, shape (B, Z, h, w).
    """

    stack: Tensor
    focus_m: Tensor
    radius: Tensor
    depth_m: Tensor
    in_front: Tensor
    blur_px: Tensor
    window_px: Tensor
    index: Tensor
    image_shape_px: tuple[int, int]
    encoding: str
    drawn: tuple[DrawnStack, ...]
    costs: Tensor | None = None

    def __len__(self) -> int:
        return len(self.drawn)

    @property
    def depth_dpt(self) -> Tensor:
        """Inverse depth in dioptres, 0 at infinity, shape (B, 1, h, w)."""
        return 1 / self.depth_m

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "StackBatch":
        """The same batch on another device."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=non_blocking) for name, value in self._tensors().items()
        }
        return replace(self, **moved)

    def pin_memory(self) -> "StackBatch":
        """The same batch in memory that a GPU reads directly; data loaders call this."""
        moved: dict[str, Any] = {name: value.pin_memory() for name, value in self._tensors().items()}
        return replace(self, **moved)

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}


def collate(samples: Sequence[StackSample]) -> StackBatch:
    """One batch of several stacks of one size, one sensor and one encoding."""
    if not samples:
        raise InputError("collate(samples)", "none", "at least one stack")
    first = samples[0]
    for n, sample in enumerate(samples):
        for name in ("image_shape_px", "encoding"):
            if (other := getattr(sample, name)) != (own := getattr(first, name)):
                raise InputError(f"collate(samples[{n}].{name})", repr(other), f"{own!r}, as the first has")
        for name in ("stack", "depth_m", "blur_px"):
            found, wanted = (tuple(getattr(one, name).shape) for one in (sample, first))
            if found != wanted:
                raise InputError(f"collate(samples[{n}].{name})", f"shape {found}", f"{wanted}, as the first has")
    drawn = tuple(sample.drawn for sample in samples)
    names = ("stack", "focus_m", "radius", "depth_m", "in_front", "blur_px")
    tensors: dict[str, Any] = {name: torch.stack([getattr(one, name) for one in samples]) for name in names}
    costs = [sample.costs for sample in samples if sample.costs is not None]
    if costs and len(costs) < len(samples):
        raise InputError("collate(samples)", f"{len(costs)} with residuals of {len(samples)}", "all or none")
    return StackBatch(
        **tensors,
        costs=torch.stack(costs) if costs else None,
        window_px=torch.tensor([one.window_px for one in drawn]),
        index=torch.tensor([one.index for one in drawn]),
        image_shape_px=first.image_shape_px,
        encoding=first.encoding,
        drawn=drawn,
    )


def _tuples(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
