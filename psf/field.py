"""The PSF field of a camera over depth and image height, the value in which lens files and photographs end."""

import math
import operator
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from .augmentation import augment_kernels
from .channels import Channel
from .errors import InputError
from .interpolation import (
    Nodes,
    check_interpolation,
    combine_affine,
    find_moments,
    find_nodes,
    find_used,
    mix_weight,
    sizing_affine,
)
from .models import PolarPSFModel, to_unit_sum
from .provenance import Provenance
from .resampling import apply_matrices, check_odd, crop, overlap_matrix, renormalise
from .sampling import check_turning, prepare, sample
from .turning import polar_place, turning_affine
from .validation import check_field


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PolarPSFField(PolarPSFModel):
    """Kernels of a rotationally symmetric camera over depth, image height and channel.

    A kernel is what a unit point of light leaves on the upright picture, `kernel[row, col]`, rows downwards; its
    middle is where the chief ray of the reference wavelength at the reference focus lands. Stored kernels belong to
    azimuth 0 (image point to the right of the centre) and sum to 1.

    With `oversample` O above 1 a stored value is the light on a square of `pitch_um / O`. O of these per axis tile a
    sensor pixel, the middle of the stored square (between values where O is even) is the middle of the centre pixel,
    and the stored side is O times the odd `kernel_px`. What `at` and `at_pixel` return is always light per sensor
    pixel, `kernel_px` to a side: the fine kernel is read at the fine points of the turned pixels and each pixel's O
    x O points are added up. At a stored depth and radius, azimuth 0, that is the plain sum of O x O stored values.
    Turning a coarse kernel blurs it by a good part of a pixel, and a spot smaller than a pixel cannot be told from a
    pixel; `oversample=3` cures both, at nine times the memory.

    Attributes:
        kernels: Unit sum each, shape (D, R, C, O K, O K).
        transmission: Relative illumination, all light counted, against the axis at the same depth and channel, shape
            (D, R, C).
        lost: Share of the light outside the stored window, 0 to below 1, shape (D, R, C).
        depths_m: Along the axis from the first vertex, ascending, `inf` allowed, shape (D,).
        radii: Image heights, ascending, 0 (picture's centre) to 1 (sensor's corner), shape (R,).
        image_shape_px: The sensor's (H, W).
        pitch_um: The sensor's pixel pitch.
        channels: C of them.
        focus_m: Depth that the camera is focused to, may be `inf`.
        magnification: Image scale against the reference focus, about the picture's centre; a renderer applies it,
            the kernels hold the rest.
        oversample: Stored values per pixel and axis.
        provenance: Where this came from.

    All tensors have one floating dtype and one device.
    """

    kernels: Tensor
    transmission: Tensor
    lost: Tensor
    depths_m: Tensor
    radii: Tensor
    image_shape_px: tuple[int, int]
    pitch_um: float
    channels: tuple[Channel, ...]
    focus_m: float
    magnification: float = 1.0
    oversample: int = 1
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        # Numbers from numpy or a file count as integers too.
        shape = tuple(operator.index(one) if hasattr(one, "__index__") else one for one in self.image_shape_px)
        object.__setattr__(self, "image_shape_px", shape)
        check_field(self)

    def __repr__(self) -> str:
        depths, radii, channels = self.transmission.shape
        name = self.provenance.lens or "no name"
        return (
            f"PolarPSFField({name}: {depths} depths x {radii} radii x {channels} channels, "
            f"{self.kernel_px} px of {self.pitch_um:g} um, oversample {self.oversample}, focus at {self.focus_m:g} m)"
        )

    @property
    def kernel_px(self) -> int:
        """Side of the kernels that come out, in sensor pixels."""
        return int(self.kernels.shape[-1]) // self.oversample

    def at(
        self, radius: Tensor | float, depth_m: Tensor | float, interpolation: str = "sized", turning: str = "cubic"
    ) -> Tensor:
        """Kernels at azimuth 0.

        Args:
            radius: Image height, 0 at the picture's centre, 1 at the sensor's corner; beyond the stored radii the
                last one's kernels. Any shape.
            depth_m: Depths, `inf` allowed; beyond the stored depths the last one's kernels. Any shape that
                broadcasts with `radius`.
            interpolation: "sized" stretches the four neighbours to the size between them before mixing, "linear"
                mixes them as they are.
            turning: How kernels are read between samples: "cubic", "spline" or "bilinear". "linear" and "bilinear"
                are the plain definition.

        Returns:
            Unit sum, shape (..., C, K, K) with the broadcast shape; differentiable in `kernels` and in the places.
        """
        radius, depth_m = self._places(radius=radius, depth_m=depth_m)
        one = torch.ones_like(radius)
        return self._kernels(radius, depth_m, one, torch.zeros_like(one), interpolation, turning)

    def at_pixel(
        self,
        x_px: Tensor | float,
        y_px: Tensor | float,
        depth_m: Tensor | float,
        interpolation: str = "sized",
        turning: str = "cubic",
    ) -> Tensor:
        """Kernels at sensor pixels, turned to their azimuths.

        Args:
            x_px: Columns, any shape.
            y_px: Rows, downwards; shapes broadcast.
            depth_m: Depths, `inf` allowed; shapes broadcast.
            interpolation: As in `at`.
            turning: As in `at`.

        Returns:
            Unit sum, shape (..., C, K, K) with the broadcast shape.
        """
        x_px, y_px, depth_m = self._places(x_px=x_px, y_px=y_px, depth_m=depth_m)
        radius, cosine, sine = polar_place(x_px, y_px, self.image_shape_px)
        return self._kernels(radius, depth_m, cosine, sine, interpolation, turning)

    def at_radius(
        self, radius: float, azimuth_rad: float = 0.0, interpolation: str = "sized", turning: str = "cubic"
    ) -> tuple[Tensor, Tensor]:
        """Kernels of one image point at every stored depth.

        Args:
            radius: Image height, 0 to 1.
            azimuth_rad: Counter-clockwise from the right.
            interpolation: As in `at`.
            turning: As in `at`.

        Returns:
            Kernels, shape (D, C, K, K), and their depths in m, shape (D,).
        """
        place, angle = self._places(radius=radius, azimuth_rad=azimuth_rad)
        if place.ndim:
            raise InputError("radius, azimuth_rad", f"shape {tuple(place.shape)}", "one radius and one azimuth")
        place, cosine, sine = (one.expand(self.depths_m.shape) for one in (place, angle.cos(), angle.sin()))
        return self._kernels(place, self.depths_m, cosine, sine, interpolation, turning), self.depths_m

    def kernels_at(self, radius: Tensor, depth_m: Tensor) -> Tensor:
        """`at` for a flat batch (N,), as `PSFModel` has it: shape (N, C, K, K)."""
        return self.at(torch.as_tensor(radius).reshape(-1), torch.as_tensor(depth_m).reshape(-1))

    def kernels_at_pixel(self, x_px: Tensor, y_px: Tensor, depth_m: Tensor) -> Tensor:
        """`at_pixel` for a flat batch (N,), as `PSFModel` has it: shape (N, C, K, K)."""
        x_px, y_px, depth_m = (torch.as_tensor(one).reshape(-1) for one in (x_px, y_px, depth_m))
        return self.at_pixel(x_px, y_px, depth_m)

    def transmission_at(self, radius: Tensor | float, depth_m: Tensor | float) -> Tensor:
        """Relative illumination between the stored places, linear in radius and dioptres, (..., C)."""
        return self._mixed(self.transmission, *self._places(radius=radius, depth_m=depth_m))

    def transmission_at_pixel(self, x_px: Tensor | float, y_px: Tensor | float, depth_m: Tensor | float) -> Tensor:
        """`transmission_at` for sensor pixels; shape (..., C)."""
        x_px, y_px, depth_m = self._places(x_px=x_px, y_px=y_px, depth_m=depth_m)
        return self._mixed(self.transmission, polar_place(x_px, y_px, self.image_shape_px)[0], depth_m)

    def lost_at(self, radius: Tensor | float, depth_m: Tensor | float) -> Tensor:
        """Share of light outside the window between the stored places, linear in radius and dioptres, (..., C)."""
        return self._mixed(self.lost, *self._places(radius=radius, depth_m=depth_m))

    def cropped(self, kernel_px: int) -> "PolarPSFField":
        """The same field with smaller kernels: the light cut off goes to `lost`, what is left is divided by its sum.

        Args:
            kernel_px: New side in sensor pixels, odd, at most the present one.
        """
        check_odd("cropped(kernel_px)", kernel_px)
        if kernel_px > self.kernel_px:
            raise InputError("cropped(kernel_px)", kernel_px, f"at most the field's {self.kernel_px}")
        kernels, kept = renormalise(crop(self.kernels, kernel_px * self.oversample), "cropped(kernel_px)")
        return replace(self, kernels=kernels, lost=_add_loss(self.lost, kept))

    def resampled(self, pitch_um: float) -> "PolarPSFField":
        """The same camera behind a sensor of another pixel pitch and, to the nearest pixel, the same size.

        Light, taken as uniform over each stored square, is shared among the new squares by area: none is made or
        lost. The window grows to the next odd size. A finer pitch brings no detail that was not stored.

        Args:
            pitch_um: New pitch.
        """
        if not (math.isfinite(pitch_um) and pitch_um > 0):
            raise InputError("resampled(pitch_um)", pitch_um, "a positive pitch in um")
        scale = self.pitch_um / pitch_um
        kernel_px = 2 * math.ceil((self.kernel_px * scale * (1 - 1e-12) - 1) / 2) + 1
        shape = tuple(max(1, round(one * scale)) for one in self.image_shape_px)
        across = overlap_matrix(self.kernels.shape[-1], kernel_px * self.oversample, scale)
        kernels, _ = renormalise(apply_matrices(self.kernels, across, across), "resampled(pitch_um)")
        return replace(self, kernels=kernels, pitch_um=float(pitch_um), image_shape_px=(shape[0], shape[1]))

    def augmented(
        self,
        *,
        generator: torch.Generator,
        scale: float = 0.05,
        anisotropy: float = 0.03,
        spread_px: float = 0.7,
        spread_share: float = 0.5,
        shift_px: float = 0.2,
    ) -> "PolarPSFField":
        """A camera of the same make: all kernels changed at random in size, sharpness and place, the same everywhere.

        Stands for tolerances of manufacture. Changes keep the mirror symmetry of the stored kernels; light that
        leaves the window goes to `lost`.

        Args:
            generator: The same state of it gives the same field.
            scale: Kernels grow by a factor from 1 - scale to 1 + scale.
            anisotropy: Along the radius up to this much larger and across it smaller, or the reverse.
            spread_px: A Gaussian of standard deviation 0 to this is added (Yang et al. name the kind, not the
                amount) ...
            spread_share: ... in this share of calls.
            shift_px: Kernels move along the radius by up to this.
        """
        kernels, kept, drawn = augment_kernels(
            self.kernels, self.oversample, generator, scale, anisotropy, spread_px, spread_share, shift_px
        )
        provenance = self.provenance.with_arguments(augmented=drawn)
        return replace(self, kernels=kernels, lost=_add_loss(self.lost, kept), provenance=provenance)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "PolarPSFField":
        """The same field on another device or in another floating dtype."""
        return self._map(lambda tensor: tensor.to(device=device, dtype=dtype))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an HDF5 file (see `psf.hdf5`); a file of that name is replaced once the new one is whole."""
        from .hdf5 import write_field

        write_field(self, path)

    def _map(self, change: Callable[[Tensor], Tensor]) -> "PolarPSFField":
        names = ("kernels", "transmission", "lost", "depths_m", "radii")
        changed: dict[str, Any] = {name: change(getattr(self, name)) for name in names}
        return replace(self, **changed)

    def _places(self, **places: Tensor | float) -> list[Tensor]:
        """Arguments as tensors like `kernels`, broadcast against one another, checked."""
        found = {
            name: torch.as_tensor(place, dtype=self.kernels.dtype, device=self.kernels.device)
            for name, place in places.items()
        }
        for name, place in found.items():
            value = place.detach()
            if name == "depth_m":
                if not bool((value > 0).all()):
                    raise InputError(name, _first(value, ~(value > 0)), "depths above 0 m (inf is allowed)")
            elif not bool(value.isfinite().all()):
                raise InputError(name, _first(value, ~value.isfinite()), "finite values")
            elif name == "radius" and not bool((value >= 0).all()):
                raise InputError(
                    name, _first(value, value < 0), "image heights of at least 0 (1 at the sensor's corner)"
                )
        try:
            return list(torch.broadcast_tensors(*found.values()))
        except RuntimeError as error:
            shapes = " and ".join(str(tuple(one.shape)) for one in found.values())
            raise InputError(", ".join(found), f"shapes {shapes}", "shapes that broadcast") from error

    def _nodes(self, radius: Tensor, depth_m: Tensor) -> tuple[Nodes, Nodes]:
        # -1/depth ascends with depth and is the dioptre but for its sign.
        return find_nodes(-1 / self.depths_m, -1 / depth_m.reshape(-1)), find_nodes(self.radii, radius.reshape(-1))

    def _mixed(self, values: Tensor, radius: Tensor, depth_m: Tensor) -> Tensor:
        depth, height = self._nodes(radius, depth_m)
        near = values[depth.near_index[:, :, None], height.near_index[:, None, :]].flatten(1, 2)
        return (mix_weight(depth, height)[..., None] * near).sum(1).reshape(*radius.shape, values.shape[-1])

    def _kernels(
        self, radius: Tensor, depth_m: Tensor, cosine: Tensor, sine: Tensor, interpolation: str, turning: str
    ) -> Tensor:
        check_interpolation("interpolation", interpolation)
        check_turning("turning", turning)
        depth, height = self._nodes(radius, depth_m)
        turned = turning_affine(cosine.reshape(-1), sine.reshape(-1))
        if interpolation == "sized":
            stretch, shift = sizing_affine(self._moments(depth, height), depth, height)
        else:
            shift = turned.new_zeros((len(turned), 4, len(self.channels), 2))
            stretch = shift + 1
        affine = combine_affine(turned[:, None, None], stretch, shift)
        share = mix_weight(depth, height)[..., None] / stretch.prod(-1)
        nodes, index = self._stored(depth.near_index, height.near_index)
        own = index[..., None] * len(self.channels) + torch.arange(len(self.channels), device=index.device)
        # (N, 4, C) becomes (N C, 4): every channel is read on its own.
        own, share, affine = (one.transpose(1, 2).flatten(0, 1) for one in (own, share, affine))
        nodes = prepare(nodes, turning).flatten(0, 1)
        kernels = to_unit_sum(sample(nodes, own, share, affine, self.kernel_px, self.oversample, turning), turning)
        return kernels.reshape(*radius.shape, len(self.channels), self.kernel_px, self.kernel_px)

    def _moments(self, depth: Nodes, height: Nodes) -> Tensor:
        """Moments of the stored kernels around some places, shape (D, R, C, 4); zeros elsewhere."""
        depths, radii, channels = self.transmission.shape
        nodes, _ = self._stored(depth.wide_index, height.wide_index)
        which, _ = find_used(depth.wide_index, height.wide_index, (depths, radii))
        moments = nodes.new_zeros((depths * radii, channels, 4)).index_copy(0, which, find_moments(nodes))
        return moments.reshape(depths, radii, channels, 4)

    def _stored(self, depth_index: Tensor, radius_index: Tensor) -> tuple[Tensor, Tensor]:
        """The kernels that a batch needs, shape (U, C, O K, O K), and which of them each place does, shape (N, ...)."""
        depths, radii = self.kernels.shape[:2]
        which, index = find_used(depth_index, radius_index, (depths, radii))
        stored = self.kernels.flatten(0, 1)
        return (stored if len(which) == len(stored) else stored[which]), index


def _add_loss(lost: Tensor, kept: Tensor) -> Tensor:
    return (1 - (1 - lost) * kept).clamp(0, 1)


def _first(values: Tensor, bad: Tensor) -> float:
    return float(values[bad].reshape(-1)[0])
