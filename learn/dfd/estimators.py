"""What finds depth in a focal stack, trained or not, behind one face.

    estimator = load_estimator("RUN/network.pt")
    estimate = estimator.estimate(stack)            # estimate.depth_m, estimate.confidence

Whatever has a name, a fingerprint and `estimate` joins the same tables and the same `apply`.
"""

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from psf import InputError, PolarPSFField

from .alignment import align_pictures
from .cost_volume import CostVolume, open_cost_volume
from .depth_notes import DepthNotes, read_depth_notes
from .focal_stacks import FocalStack, check_focus
from .networks import CostVolumeNet, DepthConfig, load_depth_network, to_depth_m
from .networks.checkpoints import DepthNetwork, check_stack, hash_depth_network

# A spread over mirrored views that halves the confidence, and over how many pixels it is gathered.
TYPICAL_DPT, GATHER_PX = 0.05, 9
# What names of estimators end with that are given shuffled stacks.
SHUFFLED = ", shuffled"


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthEstimate:
    """What was found.

    Attributes:
        depth_m: At the image scale of the first picture, finite and above 0, shape (1, h, w).
        confidence: How sure it is of each pixel, 0 not at all to 1, shape (1, h, w).
    """

    depth_m: Tensor
    confidence: Tensor


class DepthEstimator(Protocol):
    """Finds depth in focal stacks.

    Attributes:
        name: The row of a table; several of one name are seeds.
        fingerprint: Changes whenever results could.
        reach_px: How far a pixel's result reaches into the pictures; tiles overlap by so much.
    """

    @property
    def name(self) -> str:
        """As above."""

    @property
    def fingerprint(self) -> str:
        """As above."""

    @property
    def reach_px(self) -> int:
        """As above."""

    def estimate(self, stack: FocalStack) -> DepthEstimate:
        """Depth of every pixel; raises InputError if the stack is none that it can take."""

    def for_camera(self, fields: Sequence[PolarPSFField]) -> "DepthEstimator":
        """The same, told the fields of another camera, one for each focus distance; without training."""


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkEstimator:
    """A trained network.

    Its confidence is how well it agrees with itself: the same stack mirrored about the sensor's axes, as a camera of
    a round lens could have taken it, must give the same depth mirrored.

    Attributes:
        name: The row of a table.
        network: In evaluation mode.
        notes: Of its training.
        magnifications: Image scale of each picture, by the fields that are believed; by default those of the training.
        mirrored: Whether to look at mirrored stacks too; else every pixel is as sure as any other.
        any_camera: Take stacks of another sensor and other focus distances all the same.
        volume: Candidate depths by the fields that are believed, of a network that is given their residuals.
    """

    name: str
    network: DepthNetwork
    notes: DepthNotes
    magnifications: tuple[float, ...] | None = None
    mirrored: bool = True
    any_camera: bool = False
    volume: CostVolume | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of the weights and of how they are used."""
        believed = self.magnifications if self.volume is None else self.volume.fingerprint
        told = repr((hash_depth_network(self.network), believed, self.mirrored))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    @property
    def reach_px(self) -> int:
        """Of the network, and of the residuals that it is given."""
        return self.network.reach_px + (0 if self.volume is None else self.volume.reach_px)

    @torch.no_grad()
    def estimate(self, stack: FocalStack) -> DepthEstimate:
        """Depth of every pixel.

        Args:
            stack: Of the sensor and the number of pictures that the network is for, in either encoding.
        """
        self.check(stack)
        weight = next(self.network.parameters())
        focus_m = stack.focus_m.to(weight)
        if self.volume is not None:
            seen, radius = self.volume.find(stack).to(weight), None
        else:
            seen = stack.encoded(self.notes.encoding).pictures
            if self.notes.aligned:
                scales = self.magnifications or self.notes.magnifications
                seen = align_pictures(seen, scales, stack.image_shape_px, stack.window_px)
            seen = seen.to(weight)
            radius = stack.radius.to(weight) if self.network.config.with_radius else None
        depth_m = self._run(seen, radius, focus_m, ()).to(stack.pictures)
        if not self.mirrored:
            return DepthEstimate(depth_m=depth_m, confidence=torch.ones_like(depth_m))
        views = [depth_m]
        for axes in ((-1,), (-2,), (-2, -1)):
            views.append(self._run(seen, radius, focus_m, axes).to(stack.pictures))
        return DepthEstimate(depth_m=depth_m, confidence=_find_confidence(torch.stack(views)))

    def for_camera(self, fields: Sequence[PolarPSFField]) -> "NetworkEstimator":
        """The same weights, told the image scale of each picture; residuals are those of the other fields.

        Args:
            fields: One for each focus distance.
        """
        scales = tuple(one.magnification for one in fields)
        volume = None if self.volume is None else self.volume.for_camera(fields)
        return replace(self, magnifications=scales, volume=volume, any_camera=True)

    def check(self, stack: FocalStack) -> None:
        """Refuse a stack that the network is not for."""
        notes, config = self.notes, self.network.config
        if config.kind == "dual_dfd" and len(stack.pictures) != config.pictures:
            expected = f"{config.pictures} pictures, as {self.name} was trained with"
            raise InputError("stack", f"{len(stack.pictures)} pictures", expected)
        if not self.any_camera:
            check_focus(notes.focus_m, stack.focus_m.tolist(), self.name)
            if stack.image_shape_px != notes.image_shape_px:
                height, width = stack.image_shape_px
                expected = f"{notes.image_shape_px[1]} x {notes.image_shape_px[0]} px, as {self.name} was trained for"
                raise InputError("stack", f"a sensor of {width} x {height} px", expected)
        scales = self.magnifications or notes.magnifications
        if self.volume is None and notes.aligned and len(scales) != len(stack.pictures):
            found = f"{len(scales)} image scales"
            raise InputError("fields", found, f"{len(stack.pictures)}, one for each picture")

    def _run(self, pictures: Tensor, radius: Tensor | None, focus_m: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Depth (1, h, w) from a mirrored view of pictures or of residuals, mirrored back."""
        seen = pictures.flip(axes)[None] if axes else pictures[None]
        heights = None if radius is None else (radius.flip(axes) if axes else radius)[None]
        check_stack(self.network, seen, focus_m[None], heights)
        found = to_depth_m(self.network(seen, focus_m[None], heights).place, self.network.config)[0]
        return found.flip(axes) if axes else found


@dataclass(frozen=True, eq=False, kw_only=True)
class ShuffledEstimator:
    """Another one, given every stack with its pictures shuffled against their focus distances: it must fail.

    One that does not has guessed depth from something else than blur: from texture, gain or size.

    Attributes:
        inner: Which.
    """

    inner: DepthEstimator

    @property
    def name(self) -> str:
        """The row of a table."""
        return f"{self.inner.name}{SHUFFLED}"

    @property
    def fingerprint(self) -> str:
        """Of the other one, and that it is shuffled."""
        return f"{self.inner.fingerprint}-shuffled"

    @property
    def reach_px(self) -> int:
        """Of the other one."""
        return self.inner.reach_px

    def for_camera(self, fields: Sequence[PolarPSFField]) -> "ShuffledEstimator":
        """The other one for that camera, shuffled.

        Args:
            fields: One for each focus distance.
        """
        return replace(self, inner=self.inner.for_camera(fields))

    def estimate(self, stack: FocalStack) -> DepthEstimate:
        """What the other one finds in the shuffled stack.

        Args:
            stack: In its right order.
        """
        return self.inner.estimate(stack.shuffled())


@dataclass(frozen=True, kw_only=True)
class MiddleEstimator:
    """Answers the middle of a range, in metres, whatever it sees: what an estimator must beat.

    Attributes:
        depth_m: Nearest and farthest depth.
        name: The row of a table.
    """

    depth_m: tuple[float, float]
    name: str = "middle"

    @property
    def fingerprint(self) -> str:
        """Of the range."""
        return f"middle-{self.depth_m[0]:g}-{self.depth_m[1]:g}"

    @property
    def reach_px(self) -> int:
        """None."""
        return 0

    def for_camera(self, fields: Sequence[PolarPSFField]) -> "MiddleEstimator":
        """The middle between the nearest and the farthest focus distance.

        Args:
            fields: One for each focus distance.
        """
        focus_m = [float(one.focus_m) for one in fields]
        return replace(self, depth_m=(min(focus_m), max(focus_m)))

    def estimate(self, stack: FocalStack) -> DepthEstimate:
        """The middle everywhere, surely.

        Args:
            stack: Of any camera.
        """
        shape = (1, *stack.shape_px)
        middle = stack.pictures.new_full(shape, math.fsum(self.depth_m) / 2)
        return DepthEstimate(depth_m=middle, confidence=torch.ones_like(middle))


def load_estimator(
    path: str | os.PathLike[str],
    *,
    name: str = "",
    magnifications: Sequence[float] | None = None,
    fields: Sequence[PolarPSFField] | None = None,
    mirrored: bool = True,
    any_camera: bool = False,
    device: torch.device | str = "cpu",
) -> NetworkEstimator:
    """A network that `python -m learn.dfd train` made, ready to be used.

    Args:
        path: Its file.
        name: By default the network's kind.
        magnifications: As in `NetworkEstimator`, and so are the others; by default those of `fields`, if given.
        fields: That are believed of the camera; a "cost_volume" network cannot do without.
        mirrored: As there.
        any_camera: As there.
        device: Where to run it.
    """
    saved = load_depth_network(path, device=device)
    config, scales = saved.network.config, magnifications
    volume = None
    if fields is not None and scales is None:
        scales = [one.magnification for one in fields]
    if isinstance(saved.network, CostVolumeNet):
        if fields is None:
            raise InputError("fields", None, f"those of the camera: {path} is given residuals of their kernels")
        volume = open_volume(fields, config)
    return NetworkEstimator(
        name=name or config.kind,
        network=saved.network,
        notes=read_depth_notes(saved.notes, str(path)),
        magnifications=None if scales is None else tuple(scales),
        mirrored=mirrored,
        any_camera=any_camera,
        volume=volume,
    )


def open_volume(fields: Sequence[PolarPSFField], config: DepthConfig, **options: Any) -> CostVolume:
    """The candidate depths whose residuals a "cost_volume" network is given.

    Args:
        fields: Of the camera.
        config: Of the network.
        options: As `open_cost_volume` takes them.
    """
    return open_cost_volume(fields, depth_m=config.depth_m, candidates=config.candidates, **options)


def _find_confidence(views_m: Tensor) -> Tensor:
    """From the depths of several views, (V, 1, h, w)."""
    variance = (1 / views_m).var(0, correction=0)
    half = GATHER_PX // 2
    wide = functional.pad(variance[None], (half,) * 4, mode="replicate")
    spread_dpt = functional.avg_pool2d(wide, GATHER_PX, stride=1)[0].clamp_min(0).sqrt()
    return 1 / (1 + spread_dpt / TYPICAL_DPT)
