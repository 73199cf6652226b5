"""A bank of linear filters fitted in closed form: the baseline that any trained network must beat with the same planes.

Packed mosaic in, packed mosaic out: every cell of the result is a weighted sum of the 7 x 7 cells about it, all four
planes, added to what was there. One filter per bin of ISO, image height and azimuth, each pulled towards that of the
coarser bin it is part of (all, ISO, ISO and height, all three), the coarsest towards doing nothing. The bins are hard:
no filter is mixed with its neighbour.
"""

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from psf import InputError
from render import radius_plane

from ..networks.checkpoints import read_weights_file, write_weights_file

PLANES = 4
FORMAT, FORMAT_VERSION = "psfield.ridge_bank", 1


@dataclass(frozen=True)
class RidgeSettings:
    """What a bank is made of.

    Attributes:
        side_cells: Of the filters, odd.
        iso_edges: Where ISO bins meet, ascending.
        radius_bins: Evenly wide, from 0 to 1.
        azimuth_bins: Evenly wide, the first one begins at the right.
        use_iso: Whether ISO bins count; the planes that a network would be given.
        use_field: Whether height and azimuth bins count.
        prior_cells: As how many cells a coarser bin's filter counts in the fit of a finer one.
        ridge: Share of the mean diagonal that pulls the coarsest filter towards zero.
        dark_floor: The error counts by 1 / (light + this): as a viewer sees it, behind a gamma of 2.
    """

    side_cells: int = 7
    iso_edges: tuple[float, ...] = (200.0, 400.0, 800.0, 1600.0)
    radius_bins: int = 4
    azimuth_bins: int = 8
    use_iso: bool = True
    use_field: bool = True
    prior_cells: float = 2e6
    ridge: float = 1e-5
    dark_floor: float = 0.02

    def __post_init__(self) -> None:
        object.__setattr__(self, "iso_edges", tuple(float(edge) for edge in self.iso_edges))
        if self.side_cells < 1 or self.side_cells % 2 == 0:
            raise InputError("RidgeSettings.side_cells", self.side_cells, "an odd positive integer")
        if any(a >= b for a, b in pairwise((0.0, *self.iso_edges))):
            raise InputError("RidgeSettings.iso_edges", self.iso_edges, "ISOs above 0, ascending")
        for name in ("radius_bins", "azimuth_bins"):
            if getattr(self, name) < 1:
                raise InputError(f"RidgeSettings.{name}", getattr(self, name), "a positive integer")
        for name in ("prior_cells", "ridge", "dark_floor"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"RidgeSettings.{name}", getattr(self, name), "a positive finite number")

    @property
    def features(self) -> int:
        """Inputs of a filter: the cells about one, and a constant."""
        return PLANES * self.side_cells**2 + 1

    @property
    def bins(self) -> tuple[int, int, int]:
        """How many of ISO, of height, of azimuth."""
        field = (self.radius_bins, self.azimuth_bins) if self.use_field else (1, 1)
        return (len(self.iso_edges) + 1 if self.use_iso else 1, *field)


class RidgeSample(NamedTuple):
    """A batch to fit a bank to, or to restore.

    Attributes:
        noisy: Packed, shape (B, 4, H, W).
        sharp: What it should be, shape (B, 4, H, W).
        iso: Shape (B,).
        radius: Image height of every cell, 0 to 1, shape (B, 1, H, W).
        azimuth_rad: Counter-clockwise from the right, shape (B, 1, H, W).
    """

    noisy: Tensor
    sharp: Tensor
    iso: Tensor
    radius: Tensor
    azimuth_rad: Tensor


@dataclass(frozen=True, eq=False)
class RidgeBank:
    """Fitted filters.

    Attributes:
        settings: What they were fitted with.
        filters: On cells about one, plane by plane and row by row, then the constant; shape (I, R, A, F, 4).
        cells: How many cells each was fitted to, shape (I, R, A).
    """

    settings: RidgeSettings
    filters: Tensor
    cells: Tensor

    def __post_init__(self) -> None:
        shape = (*self.settings.bins, self.settings.features, PLANES)
        if tuple(self.filters.shape) != shape:
            raise InputError("RidgeBank.filters", f"shape {tuple(self.filters.shape)}", f"shape {shape}")
        if not bool(self.filters.isfinite().all()):
            raise InputError("RidgeBank.filters", "values that are NaN or infinite", "finite filters")


def find_cell_places(
    shape: tuple[int, int], window: tuple[int, int], image_shape_px: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Image height and azimuth at the middle of every cell.

    Args:
        shape: Rows and columns of the packed picture.
        window: Sensor pixel (x0_px, y0_px) of its first pixel.
        image_shape_px: The sensor's (H, W).

    Returns:
        Radius 0 to 1 and azimuth in rad, counter-clockwise from the right, each of shape (1, h, w), float32.
    """
    radius = radius_plane(shape, window, image_shape_px)
    x, y = (
        start + 2 * torch.arange(count, dtype=torch.float64) + 1 - side / 2
        for start, count, side in zip(window, shape[::-1], image_shape_px[::-1], strict=True)
    )
    return radius, torch.atan2(-y[:, None], x[None])[None].to(radius.dtype)


def fit_ridge(samples: Iterable[RidgeSample], settings: RidgeSettings | None = None) -> RidgeBank:
    """Fit a bank to noisy and sharp pictures, seen once each.

    Args:
        samples: Batches; a border of half a filter is left out of each picture.
        settings: None for the usual ones.

    Returns:
        The bank, in float32 on the CPU.
    """
    settings = RidgeSettings() if settings is None else settings
    bins, size = settings.bins, settings.features
    grams = torch.zeros((*bins, size, size), dtype=torch.float64)
    sums = torch.zeros((*bins, size, PLANES), dtype=torch.float64)
    cells = torch.zeros(bins, dtype=torch.float64)
    half = settings.side_cells // 2
    for sample in samples:
        _check_sample(sample, settings)
        height, width = (side - 2 * half for side in sample.noisy.shape[-2:])
        inner = (slice(half, half + height), slice(half, half + width))
        for number in range(len(sample.noisy)):
            noisy = sample.noisy[number]
            rows = _gather(noisy, settings)
            centre = noisy[:, inner[0], inner[1]].reshape(PLANES, -1).T
            wanted = sample.sharp[number][:, inner[0], inner[1]].reshape(PLANES, -1).T - centre
            light = rows[:, :-1].mean(1).clamp_min(0) + settings.dark_floor
            weighted = rows / light[:, None]
            place = _find_bins(sample, number, settings)
            own = place[inner[0], inner[1]].flatten()
            for bin_number in own.unique().tolist():
                chosen = own == bin_number
                i, r, a = _split_bin(bin_number, bins)
                part = weighted[chosen]
                grams[i, r, a] += (part.T @ rows[chosen]).cpu()
                sums[i, r, a] += (part.T @ wanted[chosen]).cpu()
                cells[i, r, a] += int(chosen.sum())
    if not bool(cells.any()):
        raise InputError("samples", "no cells", "at least one picture larger than a filter")
    return RidgeBank(settings, _solve(grams, sums, cells, settings).float(), cells.float())


def restore_ridge(bank: RidgeBank, noisy: Tensor, iso: Tensor, radius: Tensor, azimuth_rad: Tensor) -> Tensor:
    """Restore packed mosaics by a bank.

    Args:
        bank: Fitted filters.
        noisy: Packed, shape (B, 4, H, W), mirrored at the border.
        iso: Shape (B,).
        radius: Shape (B, 1, H, W).
        azimuth_rad: Shape (B, 1, H, W).

    Returns:
        Not clipped, shape (B, 4, H, W).
    """
    settings = bank.settings
    sample = RidgeSample(noisy, noisy, iso, radius, azimuth_rad)
    _check_sample(sample, settings)
    half, bins = settings.side_cells // 2, settings.bins
    padded = functional.pad(noisy, (half,) * 4, mode="reflect")
    filters = bank.filters.to(noisy)
    out = noisy.clone()
    for number in range(len(noisy)):
        place = _find_bins(sample, number, settings)
        for bin_number in place.unique().tolist():
            chosen = place == bin_number
            rows, cols = (_extent(chosen.any(axis)) for axis in (1, 0))
            own = filters[_split_bin(bin_number, bins)]
            taps = own[:-1].T.reshape(PLANES, PLANES, settings.side_cells, settings.side_cells)
            source = padded[
                number : number + 1, :, rows.start : rows.stop + 2 * half, cols.start : cols.stop + 2 * half
            ]
            change = functional.conv2d(source, taps, own[-1])[0]
            out[number, :, rows, cols] += torch.where(chosen[rows, cols], change, 0)
    return out


def save_bank(bank: RidgeBank, path: str | os.PathLike[str]) -> None:
    """Write a bank; a file of that name is replaced once the new one is whole."""
    content = {"format": FORMAT, "format_version": FORMAT_VERSION, "settings": asdict(bank.settings)}
    write_weights_file(content | {"filters": bank.filters, "cells": bank.cells}, path)


def load_bank(path: str | os.PathLike[str]) -> RidgeBank:
    """Read what `save_bank` wrote."""
    content = read_weights_file(path)
    for key, wanted in (("format", FORMAT), ("format_version", FORMAT_VERSION)):
        if content.get(key) != wanted:
            raise InputError(f"{path}: {key}", repr(content.get(key)), repr(wanted))
    try:
        return RidgeBank(RidgeSettings(**content["settings"]), content["filters"], content["cells"])
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(str(path), f"parts that do not fit ({error})", "a bank as save_bank writes it") from error


def _solve(grams: Tensor, sums: Tensor, cells: Tensor, settings: RidgeSettings) -> Tensor:
    """Filters from coarse to fine: each bin's own cells, and its parent's as a prior of `prior_cells` cells."""
    gram, total, count = grams.sum((0, 1, 2)), sums.sum((0, 1, 2)), cells.sum()
    penalty = settings.ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    penalty[-1, -1] *= 1e-3  # the constant is not a light
    coarse = torch.linalg.solve(gram + penalty, total)
    filters = torch.empty_like(sums)
    isos, heights, azimuths = settings.bins

    def refine(parent: tuple[Tensor, Tensor, Tensor], own: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """From (filter, gram, cells) above and (gram, sum, cells) here."""
        above, above_gram, above_cells = parent
        prior = above_gram * (settings.prior_cells / above_cells) + penalty * (settings.prior_cells / count)
        return torch.as_tensor(torch.linalg.solve(own[0] + prior, own[1] + prior @ above))

    for i in range(isos):
        level = coarse, gram, count
        own = grams[i].sum((0, 1)), sums[i].sum((0, 1)), cells[i].sum()
        by_iso = refine(level, own)
        parent = (by_iso, own[0], own[2]) if own[2] > 0 else (by_iso, gram, count)
        for r in range(heights):
            ring = grams[i, r].sum(0), sums[i, r].sum(0), cells[i, r].sum()
            by_ring = refine(parent, ring)
            finest = (by_ring, ring[0], ring[2]) if ring[2] > 0 else (by_ring, parent[1], parent[2])
            for a in range(azimuths):
                filters[i, r, a] = refine(finest, (grams[i, r, a], sums[i, r, a], cells[i, r, a]))
    return filters


def _gather(noisy: Tensor, settings: RidgeSettings) -> Tensor:
    """Cells about every inner cell and a constant: (4, H, W) to (N, F)."""
    columns = functional.unfold(noisy[None], settings.side_cells)[0]
    return torch.cat([columns.T, columns.new_ones((columns.shape[1], 1))], 1)


def _find_bins(sample: RidgeSample, number: int, settings: RidgeSettings) -> Tensor:
    """The bin of every cell of one picture as one number, shape (H, W)."""
    _, heights, azimuths = settings.bins
    edges = settings.iso_edges if settings.use_iso else ()
    i = sum(float(sample.iso[number]) >= edge for edge in edges)
    r = (sample.radius[number, 0] * heights).long().clamp(0, heights - 1)
    turn = (sample.azimuth_rad[number, 0] / (2 * math.pi)).remainder(1)
    a = (turn * azimuths).long().clamp(0, azimuths - 1)
    return (i * heights + r) * azimuths + a


def _split_bin(number: int, bins: tuple[int, int, int]) -> tuple[int, int, int]:
    return number // (bins[1] * bins[2]), number // bins[2] % bins[1], number % bins[2]


def _extent(used: Tensor) -> slice:
    places = used.nonzero()[:, 0]
    return slice(int(places[0]), int(places[-1]) + 1)


def _each_plane(sample: RidgeSample) -> Iterator[tuple[str, Any, tuple[int, ...]]]:
    batch, _, height, width = sample.noisy.shape
    yield "sharp", sample.sharp, (batch, PLANES, height, width)
    yield "iso", sample.iso, (batch,)
    yield "radius", sample.radius, (batch, 1, height, width)
    yield "azimuth_rad", sample.azimuth_rad, (batch, 1, height, width)


def _check_sample(sample: RidgeSample, settings: RidgeSettings) -> None:
    noisy = sample.noisy
    if not isinstance(noisy, Tensor) or noisy.ndim != 4 or noisy.shape[1] != PLANES or not noisy.is_floating_point():
        found = f"shape {tuple(noisy.shape)}" if isinstance(noisy, Tensor) else type(noisy).__name__
        raise InputError("noisy", found, "floating numbers of shape (B, 4, H, W)")
    if min(noisy.shape[2:]) < settings.side_cells:
        found = f"{noisy.shape[2]} x {noisy.shape[3]} cells"
        raise InputError("noisy", found, f"at least {settings.side_cells} to a side, as the filters")
    for name, values, shape in _each_plane(sample):
        if not isinstance(values, Tensor) or tuple(values.shape) != shape:
            found = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
            raise InputError(name, found, f"shape {shape}")
