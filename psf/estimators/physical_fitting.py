"""Pupils that fit: Levenberg and Marquardt's steps towards kernels, or towards the pictures themselves.

What kernels of another estimator, or all pixels of all pairs, say of kernels is a quadratic form in their cells
(`KernelTarget`, `PictureTarget`). So a step costs one trace of some thousand kernels and one product with the form's
blocks, however many pixels there are.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from . import taps
from .parallel import map_parts
from .physical_pupil import Pupil
from .solving import Quadratic

Array = npt.NDArray[Any]

# Damping at first, on success and on failure; a step is given up after so many failures.
DAMPING, EASIER, HARDER, MOST_FAILURES = 1e-3, 0.2, 5.0, 12
# So many steps in a row that bring little are the last ones: the first out of a bad place are short.
MOST_IDLE = 3
# Unknowns of which the data say nothing are kept where they are.
RIDGE = 1e-8
# Forms of kernels at once.
AT_ONCE = 64


class Target(Protocol):
    """What kernels at N places are to fit."""

    @property
    def radius(self) -> Array:
        """Image height of each, shape (N,)."""
        ...

    @property
    def dioptre(self) -> Array:
        """Depth of each, shape (N,)."""
        ...

    @property
    def cells(self) -> Array:
        """As `sizing.find_cells`, shape (N, 4)."""
        ...

    @property
    def side(self) -> int:
        """Cells along a side."""
        ...

    @property
    def inner(self) -> int:
        """Half of those in the core."""
        ...

    def compare(self, kernels: Tensor) -> tuple[float, Tensor]:
        """Squared error of kernels (N, T), and minus half its gradient, shape (N, T)."""
        ...

    def project(self, slopes: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Its form between derivatives of kernels (N, T, L): pieces of left and right places (b,) and (b, L, L)."""
        ...


@dataclass(frozen=True, eq=False)
class KernelTarget:
    """Kernels that are known, in cells; see `Target`.

    Attributes:
        kernels: Folded, unit sum, shape (N, T), float64.
        weight: Of the squared error of every cell, shape (N, T).
    """

    radius: Array
    dioptre: Array
    cells: Array
    side: int
    inner: int
    kernels: Tensor
    weight: Tensor

    @classmethod
    def of_kernels(
        cls, kernels: Tensor, area: Tensor, radius: Array, dioptre: Array, cells: Array, side: int, inner: int
    ) -> "KernelTarget":
        """Squared differences of light per area, each kernel's divided by its own sum of squares over the root.

        Args:
            kernels: Folded, unit sum, shape (N, T).
            area: Of their cells, shape (N, T).
            radius: Shape (N,).
            dioptre: Shape (N,).
            cells: Shape (N, 4).
            side: Cells along a side.
            inner: Half of those in the core.
        """
        weight = taps.multiplicity(side) / area
        power = (weight * kernels**2).sum(1, keepdim=True)
        return cls(radius, dioptre, cells, side, inner, kernels, weight / power.clamp_min(1e-12))

    def chosen(self, which: Array) -> "KernelTarget":
        """Some of the kernels."""
        picked = torch.from_numpy(which)
        parts = (self.radius[which], self.dioptre[which], self.cells[which])
        return KernelTarget(*parts, self.side, self.inner, self.kernels[picked], self.weight[picked])

    def compare(self, kernels: Tensor) -> tuple[float, Tensor]:
        """As `Target.compare`; the error is the mean over kernels, of 0 to about 1."""
        left = self.kernels - kernels
        gradient = self.weight * left / len(left)
        return float((gradient * left).sum()), gradient

    def project(self, slopes: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """As `Target.project`."""
        rooted = slopes * (self.weight / len(slopes)).sqrt().float()[:, :, None]
        every = torch.arange(len(slopes))
        return [(part, part, torch.bmm(rooted[part].mT, rooted[part])) for part in every.split(AT_ONCE)]


@dataclass(frozen=True, eq=False)
class PictureTarget:
    """All pixels of all pairs, as sums; see `Target`.

    Attributes:
        quadratic: The squared error in units of the noise.
    """

    radius: Array
    dioptre: Array
    cells: Array
    side: int
    inner: int
    quadratic: Quadratic

    def compare(self, kernels: Tensor) -> tuple[float, Tensor]:
        """As `Target.compare`; the error is less what no kernel changes."""
        errors, gradient = self.compare_each(kernels)
        return float(errors.sum()), gradient

    def compare_each(self, kernels: Tensor) -> tuple[Tensor, Tensor]:
        """The same with the error slot by slot, shape (N,)."""
        image = self.quadratic.at_slots(kernels.float()).double()
        light = self.quadratic.light.double() * self.quadratic.use.double()[:, None]
        return (kernels * (image - 2 * light)).sum(1), light - image

    def project(self, slopes: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """As `Target.project`; blocks beside the diagonal come twice, the second time transposed."""
        form = self.quadratic

        def multiply(part: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
            left, right = form.left[part], form.right[part]
            product = torch.bmm(slopes[left].mT, torch.bmm(form.gram[part], slopes[right]))
            product = product * form.use[left][:, None, None]
            apart = left != right
            return [(left, right, product), (right[apart], left[apart], product[apart].mT)]

        parts = torch.arange(len(form.gram)).split(AT_ONCE)
        return [one for found in map_parts(multiply, parts, form.threads) for one in found if len(one[0])]


def trace_cells(
    pupil: Pupil,
    target: Target,
    factors: Array,
    values: Array,
    rays: tuple[int, int],
    slopes: bool,
    threads: int = 1,
) -> tuple[Tensor, Tensor]:
    """Kernels of a target's places, (N, T), and their derivatives by locals with Zernike polynomials, (N, T, L)."""
    from . import physical_loops

    found = pupil.locals_at(factors, values)
    back = torch.from_numpy(pupil.monomials).float()

    def trace(part: slice) -> tuple[Tensor, Tensor]:
        kernels, by = physical_loops.fill_cells(
            found[part], target.cells[part], pupil.powers, rays, target.side // 2, target.inner, slopes=slopes
        )
        return torch.from_numpy(kernels), torch.from_numpy(by) @ back if slopes else torch.from_numpy(by)

    parts = [slice(first, first + AT_ONCE) for first in range(0, len(found), AT_ONCE)]
    pieces = list(map_parts(trace, parts, threads))
    return torch.cat([one for one, _ in pieces]), torch.cat([one for _, one in pieces])


def fit_pupil(
    pupil: Pupil,
    target: Target,
    rays: tuple[int, int],
    *,
    free: Array | None = None,
    steps: int = 15,
    least_gain: float = 1e-3,
    threads: int = 1,
) -> tuple[Pupil, float]:
    """A pupil that fits better.

    Args:
        pupil: Where to start.
        target: What to fit.
        rays: Rings, and angles of half the pupil.
        free: Which unknowns may change; None: all.
        steps: At most.
        least_gain: Share of the error (of a known kernel), or error per kernel (of pictures), that a step must bring.
        threads: How many; torch itself should use one.

    Returns:
        The pupil, and its error.
    """
    used = np.arange(len(pupil.terms)) if free is None else free
    factors = pupil.factors(target.radius, target.dioptre)
    values = pupil.values.copy()
    where = torch.from_numpy(pupil.places[used])
    some = torch.from_numpy(factors[:, used]).float()
    kernels, slopes = trace_cells(pupil, target, factors, values, rays, True, threads)
    error, left = target.compare(kernels)
    damping, idle = DAMPING, 0
    for _ in range(steps):
        by_local = torch.bmm(slopes.mT, left.float()[:, :, None])[:, :, 0]
        gradient = (by_local[:, where] * some).double().sum(0).numpy()
        matrix = torch.zeros((len(used), len(used)), dtype=torch.float64)
        for first, second, form in target.project(slopes):
            whole = form[:, where][:, :, where]
            matrix += torch.einsum("npq,np,nq->pq", whole, some[first], some[second]).double()
        curve = matrix.numpy()
        # In units in which every unknown matters as much, however many a far one would move.
        scale = np.sqrt(np.maximum(curve.diagonal(), 1e-12 * max(curve.diagonal().max(), 1e-30)))
        alike = curve / np.outer(scale, scale)
        before = error
        for _ in range(MOST_FAILURES):
            trial = values.copy()
            stiff = alike + (damping + RIDGE) * np.eye(len(used))
            trial[used] += np.linalg.solve(stiff, gradient / scale) / scale
            kernels, _ = trace_cells(pupil, target, factors, trial, rays, False, threads)
            now, _ = target.compare(kernels)
            if np.isfinite(now) and now < error:
                break
            damping *= HARDER
        else:
            break
        values, damping = trial, max(damping * EASIER, 1e-7)
        kernels, slopes = trace_cells(pupil, target, factors, values, rays, True, threads)
        error, left = target.compare(kernels)
        enough = abs(before) if isinstance(target, KernelTarget) else float(len(target.radius))
        idle = idle + 1 if before - error < least_gain * enough else 0
        if idle == MOST_IDLE:
            break
    return Pupil(pupil.order, pupil.terms, values, pupil.dioptres), error
