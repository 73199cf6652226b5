"""What a PSF field must satisfy before anything is done with it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .channels import Channel
from .errors import InputError
from .provenance import Provenance

if TYPE_CHECKING:
    from .field import PolarPSFField

# Kernels of single precision are sums of thousands of values: theirs hold to about 1e-6.
UNIT_SUM_TOLERANCE = 1e-4


def check_field(field: PolarPSFField) -> None:
    """Raise InputError, naming the attribute, unless a field is complete and consistent."""
    _check_numbers(field)
    _check_shapes(field)
    _check_axes(field)
    _check_values(field)


def _where(name: str) -> str:
    return f"PolarPSFField.{name}"


def _check_numbers(field: PolarPSFField) -> None:
    for name in ("pitch_um", "magnification", "focus_m"):
        value = getattr(field, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and value > 0 and (math.isfinite(value) or name == "focus_m")):
            raise InputError(_where(name), repr(value), "a positive number")
    shape = field.image_shape_px
    if len(shape) != 2 or not all(isinstance(one, int) and one > 0 for one in shape):
        raise InputError(_where("image_shape_px"), shape, "(H, W), two positive integers")
    if isinstance(field.oversample, bool) or not isinstance(field.oversample, int) or field.oversample < 1:
        raise InputError(_where("oversample"), repr(field.oversample), "a positive integer")
    if not all(isinstance(one, Channel) for one in field.channels):
        raise InputError(_where("channels"), field.channels, "psf.Channel values")
    if not isinstance(field.provenance, Provenance):
        raise InputError(_where("provenance"), type(field.provenance).__name__, "psf.Provenance")


def _check_shapes(field: PolarPSFField) -> None:
    kernels = field.kernels
    for name in ("kernels", "transmission", "lost", "depths_m", "radii"):
        tensor = getattr(field, name)
        if not isinstance(tensor, Tensor) or tensor.dtype not in (torch.float32, torch.float64):
            raise InputError(
                _where(name), getattr(tensor, "dtype", type(tensor).__name__), "a tensor of float32 or float64"
            )
        if tensor.dtype != kernels.dtype or tensor.device != kernels.device:
            there = f"{tensor.dtype} on {tensor.device}"
            raise InputError(_where(name), there, f"{kernels.dtype} on {kernels.device} as the kernels")
    shape = tuple(kernels.shape)
    if len(shape) != 5 or shape[3] != shape[4] or 0 in shape:
        raise InputError(_where("kernels"), f"shape {shape}", "shape (D, R, C, S, S)")
    if shape[3] % field.oversample or (shape[3] // field.oversample) % 2 == 0:
        raise InputError(
            _where("kernels"), f"side {shape[3]}", f"oversample {field.oversample} times an odd number of pixels"
        )
    expected = {"transmission": shape[:3], "lost": shape[:3], "depths_m": shape[:1], "radii": shape[1:2]}
    for name, wanted in expected.items():
        if tuple(getattr(field, name).shape) != wanted:
            raise InputError(
                _where(name), f"shape {tuple(getattr(field, name).shape)}", f"shape {wanted} as the kernels have it"
            )
    if len(field.channels) != shape[2]:
        raise InputError(_where("channels"), f"{len(field.channels)} of them", f"{shape[2]} as the kernels have them")


def _check_axes(field: PolarPSFField) -> None:
    depths, radii = field.depths_m.detach(), field.radii.detach()
    if not bool((depths > 0).all()) or not bool((depths[1:] > depths[:-1]).all()):
        raise InputError(_where("depths_m"), depths.tolist(), "positive depths, ascending (inf may be the last)")
    if not bool(((radii >= 0) & (radii <= 1)).all()) or not bool((radii[1:] > radii[:-1]).all()):
        raise InputError(_where("radii"), radii.tolist(), "image heights from 0 to 1, ascending")


def _check_values(field: PolarPSFField) -> None:
    sums = field.kernels.detach().sum((-2, -1))
    # A sum is finite where every value is, and costs no second copy of the kernels.
    _refuse("kernels", sums, ~sums.isfinite(), "finite values")
    _refuse("kernels", sums, (sums - 1).abs() > UNIT_SUM_TOLERANCE, "kernels of sum 1")
    transmission, lost = field.transmission.detach(), field.lost.detach()
    _refuse(
        "transmission", transmission, ~(transmission.isfinite() & (transmission >= 0)), "finite values of at least 0"
    )
    _refuse("lost", lost, ~((lost >= 0) & (lost < 1)), "shares from 0 to below 1")


def _refuse(name: str, values: Tensor, bad: Tensor, expected: str) -> None:
    if bool(bad.any()):
        place = tuple(int(one) for one in bad.nonzero()[0])
        raise InputError(f"{_where(name)} at (depth, radius, channel) {place}", f"{float(values[place]):g}", expected)
