"""Smooth functions on the pupil's disc from few nodes: powers of rho times harmonics of the angle.

A smooth function of an affine disc has cos(k phi) and sin(k phi) only with radial powers of k's parity. Nodes at the
positive half of an even number of Chebyshev points therefore do the work of twice as many, and half a turn of angles is
enough for functions that are even (cosines) or odd (sines) under the mirror symmetry of the field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from torch import Tensor

from psf.errors import InputError

Array = NDArray[np.float64]

# Powers of rho are safe as a basis on 0..1 in double precision up to about this degree.
HIGHEST_DEGREE = 31


@dataclass(frozen=True)
class DiscNodes:
    """Nodes in half the unit disc: `radial` radii x `angular` angles; the fit is exact interpolation.

    Attributes:
        radial: Radii n; radial degree 2 n - 1.
        angular: Angles m, even; harmonics up to m - 1 (cosines) or m (sines).
    """

    radial: int
    angular: int

    def __post_init__(self) -> None:
        if 2 * self.radial - 1 > HIGHEST_DEGREE or self.angular % 2:
            found = f"degree {2 * self.radial - 1} and {self.angular} angles"
            raise InputError("DiscNodes", found, f"a degree up to {HIGHEST_DEGREE}, and an even number of angles")

    @property
    def rho(self) -> Array:
        """Radii, descending, shape (n,)."""
        return np.cos(math.pi * (2 * np.arange(self.radial) + 1) / (4 * self.radial))

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        return self.radial, self.angular

    @property
    def phi(self) -> Array:
        """Angles, ascending, shape (m,)."""
        return math.pi * (np.arange(self.angular) + 0.5) / self.angular

    def fit(self, values: Tensor, *, odd: bool) -> Tensor:
        """Coefficients of functions given at the nodes.

        Args:
            values: Shape (..., n, m).
            odd: Whether the functions change sign under the mirror (sines instead of cosines).

        Returns:
            Shape (..., 2, n, m / 2): [parity p, j, i] belongs to rho^(2 j + p) and harmonic `harmonics(odd)[p][i]`.
        """
        matrix = torch.from_numpy(_fit_matrix(self, odd)).to(values)
        flat: Tensor = values.flatten(-2) @ matrix
        return torch.unflatten(flat, -1, (2, self.radial, self.angular // 2))

    def harmonics(self, *, odd: bool) -> tuple[Array, Array]:
        """Harmonics of even and of odd order, m / 2 of each."""
        even_k = np.arange(0, self.angular, 2, dtype=np.float64)
        odd_k = np.arange(1, self.angular, 2, dtype=np.float64)
        return (even_k + 2, odd_k) if odd else (even_k, odd_k)

    def table(self, phi: Array, *, odd: bool) -> Array:
        """Harmonics at angles: shape (2, m / 2, A) for `phi` (A,)."""
        wave = np.sin if odd else np.cos
        return np.stack([wave(k[:, None] * phi) for k in self.harmonics(odd=odd)])

    def radial_fit(self, parity: int) -> Array:
        """From values at the radii to coefficients of rho^parity, rho^(parity + 2) ...; shape (n, n)."""
        degrees = np.arange(self.radial) * 2 + parity
        basis = chebyshev.chebvander(self.rho, int(degrees[-1]))[:, degrees]
        to_powers = np.zeros((self.radial, self.radial))
        for column, degree in enumerate(degrees):
            unit = np.zeros(degree + 1)
            unit[degree] = 1.0
            powers = chebyshev.cheb2poly(unit)[parity::2]
            to_powers[: len(powers), column] = powers
        return to_powers @ np.linalg.inv(basis)


def lagrange(nodes: Array, at: Array) -> Array:
    """Weights of values at `nodes` (N,) in the interpolating polynomial at `at` (A,); shape (A, N)."""
    weights = np.ones((len(at), len(nodes)))
    for i, node in enumerate(nodes):
        for j, other in enumerate(nodes):
            if i != j:
                weights[:, i] *= (at - other) / (node - other)
    return weights


def chebyshev_nodes(low: float, high: float, count: int) -> Array:
    """`count` Chebyshev points of an interval, descending; the one value itself where low == high."""
    if high <= low:
        return np.array([low])
    return 0.5 * (low + high) + 0.5 * (high - low) * np.cos(math.pi * (np.arange(count) + 0.5) / count)


@lru_cache(maxsize=16)
def _fit_matrix(nodes: DiscNodes, odd: bool) -> Array:
    """From values at all nodes to all coefficients, shape (n m, 2 n m / 2)."""
    parts = []
    for parity, k in enumerate(nodes.harmonics(odd=odd)):
        table = (np.sin if odd else np.cos)(k[:, None] * nodes.phi)
        # Discrete orthogonality at midpoints: m / 2 each, m at the two ends of the spectrum.
        angular = table / np.where((k == 0) | (k == nodes.angular), nodes.angular, nodes.angular / 2)[:, None]
        parts.append(np.einsum("ji,ka->iajk", nodes.radial_fit(parity), angular))
    stacked = np.stack(parts, axis=2)
    return stacked.reshape(nodes.radial * nodes.angular, -1)
