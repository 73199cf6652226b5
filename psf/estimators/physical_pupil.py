"""What is unknown of a camera's pupil: aberrations and rims as polynomials of image height and dioptre.

In geometrical optics a kernel is the image of the pupil: the ray through the pupil point (u, v) lands at the gradient
of one function W(u, v), and rims of lens elements cut the pupil to what several circles have in common. Symmetry about
the axis leaves W the Zernike polynomials Z(n, m) that are even in v, with coefficients h^m times a polynomial of h^2, h
the image height; a ray's landing point is linear in dioptres but for little.

The unit disc is the aperture stop, whatever it looks like from the image point: an ellipse is taken up by `ratio`,
which scales the picture of the pupil across the radius.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]

# Circles that clip the stop's disc: rims before it and behind it.
CIRCLES = 2
# Where their middles start to move with image height, and how large they start, in radii of the stop.
RIM_PLACES, RIM_RADIUS = (0.35, -0.35), 1.15
# ratio, tilt, hollow, skew: as `physical_loops`.
PLAIN = ("ratio", "tilt", "hollow", "skew")


class Term(NamedTuple):
    """One unknown: what it adds to is multiplied by h^start P_step(2 h^2 - 1) t^depth, P Legendre's, t in -1..1.

    Attributes:
        what: "wave", "ratio", "tilt", "hollow", "skew", "place" or "radius".
        first: n of a Zernike polynomial, or which circle.
        second: m of a Zernike polynomial, else 0.
        start: Power of image height.
        step: Degree in its square.
        depth: Power of the scaled dioptre.
    """

    what: str
    first: int
    second: int
    start: int
    step: int
    depth: int


def list_waves(order: int) -> list[tuple[int, int]]:
    """(n, m) of the Zernike polynomials of W: even in v, not constant."""
    return [(n, m) for n in range(1, order + 1) for m in range(n, -1, -2)]


def list_terms(order: int, steps: int) -> tuple[Term, ...]:
    """Unknowns of a pupil.

    Low aberrations change a little more than linearly with depth.

    Args:
        order: Highest n.
        steps: Degrees in the square of image height.
    """
    terms = []
    for n, m in list_waves(order):
        for step in range(steps):
            less = n > 2 and step >= (2 if steps > 2 else 1)
            more = n <= 4 and steps > 2 and step < 2
            terms += [Term("wave", n, m, m, step, depth) for depth in range(2 - less + more)]
    terms += [Term("ratio", 0, 0, 2, step, 0) for step in range(2)]
    terms += [Term("tilt", 0, 0, 1, step, 0) for step in range(2)]
    terms += [Term("hollow", 0, 0, 0, step, 0) for step in range(2)]
    terms += [Term("skew", 0, 0, 1, 0, 0)]
    for circle in range(CIRCLES):
        terms += [Term("place", circle, 0, 1, step, 0) for step in range(3)] + [Term("place", circle, 0, 1, 0, 1)]
        terms += [Term("radius", circle, 0, 0, step, 0) for step in range(2)] + [Term("radius", circle, 0, 0, 0, 1)]
    return tuple(terms)


@dataclass(frozen=True, eq=False)
class Pupil:
    """A camera's pupil.

    Attributes:
        order: Highest n of its Zernike polynomials.
        terms: P unknowns.
        values: Of each, in pixels or radii of the stop, shape (P,), float64.
        dioptres: What t = -1 and t = 1 stand for.
    """

    order: int
    terms: tuple[Term, ...]
    values: Array
    dioptres: tuple[float, float]

    @cached_property
    def powers(self) -> Array:
        """Of u and of u^2 + v^2 of every monomial of W, shape (2, Q)."""
        found = [(k, (n - k) // 2) for n in range(1, self.order + 1) for k in range(n, -1, -2)]
        return np.array(found).T.copy()

    @cached_property
    def places(self) -> Array:
        """Which local every term adds to, shape (P,)."""
        waves = {one: n for n, one in enumerate(list_waves(self.order))}
        plain = {name: len(waves) + n for n, name in enumerate(PLAIN)}
        found = []
        for term in self.terms:
            if term.what == "wave":
                found.append(waves[term.first, term.second])
            elif term.what in plain:
                found.append(plain[term.what])
            else:
                found.append(len(waves) + len(PLAIN) + 2 * term.first + (term.what == "radius"))
        return np.array(found)

    @cached_property
    def monomials(self) -> Array:
        """From locals with Zernike polynomials to locals with monomials, shape (L, L)."""
        waves = list_waves(self.order)
        where = {(int(k), int(j)): n for n, (k, j) in enumerate(self.powers.T)}
        out = np.eye(len(waves) + len(PLAIN) + 2 * CIRCLES)
        out[: len(waves), : len(waves)] = 0
        for column, (n, m) in enumerate(waves):
            # rho^m cos(m phi) in powers of u and of rho^2.
            angular: dict[tuple[int, int], int] = {}
            for p in range(m // 2 + 1):
                for q in range(p + 1):
                    power = (m - 2 * p + 2 * q, p - q)
                    angular[power] = angular.get(power, 0) + (-1) ** (p + q) * math.comb(m, 2 * p) * math.comb(p, q)
            for s in range((n - m) // 2 + 1):
                radial = (-1) ** s * math.comb(n - s, s) * math.comb(n - 2 * s, (n - m) // 2 - s)
                for (k, j), factor in angular.items():
                    power = (k, j + (n - m) // 2 - s)
                    if power != (0, 0):
                        # So that rays move by about a pixel for a coefficient of 1.
                        out[where[power], column] += radial * factor / n**1.5
        return out

    def factors(self, radius: Array, dioptre: Array) -> Array:
        """What every unknown is multiplied by at N places, shape (N, P)."""
        low, high = self.dioptres
        t = (2 * dioptre - low - high) / max(high - low, 1e-9)
        most = max(one.step for one in self.terms) + 1
        degrees = np.polynomial.legendre.legvander(2 * radius * radius - 1, most).T
        return np.stack([radius**one.start * degrees[one.step] * t**one.depth for one in self.terms], 1)

    def locals_at(self, factors: Array, values: Array | None = None) -> Array:
        """What describes the kernels of N places, as `physical_loops` takes it, shape (N, L)."""
        size = len(list_waves(self.order)) + len(PLAIN) + 2 * CIRCLES
        spread = np.zeros((len(self.terms), size))
        spread[np.arange(len(self.terms)), self.places] = self.values if values is None else values
        found: Array = factors @ spread
        found[:, len(list_waves(self.order))] += 1  # the ratio's own value
        return np.ascontiguousarray(found @ self.monomials.T)

    def kernels_at(
        self,
        radius: Tensor,
        dioptre: Tensor,
        cosine: Tensor,
        sine: Tensor,
        kernel_px: int,
        oversample: int,
        rays: tuple[int, int],
    ) -> Tensor:
        """Turned kernels of places (N,), unit sum, shape (N, O K, O K), float64."""
        from . import physical_loops

        found = self.locals_at(self.factors(radius.numpy(), dioptre.numpy()))
        turned = torch.stack((cosine, sine), 1).double().numpy()
        return torch.from_numpy(
            physical_loops.fill_kernels(found, turned, self.powers, rays, kernel_px, oversample=oversample)
        )

    def grown(self, order: int, steps: int) -> "Pupil":
        """The same pupil with more unknowns, the new ones 0."""
        terms = list_terms(order, steps)
        known = dict(zip(self.terms, self.values.tolist(), strict=True))
        return Pupil(order, terms, np.array([known.get(one, 0.0) for one in terms]), self.dioptres)


def start_pupil(
    radius: Array, dioptre: Array, variance: Array, dioptres: tuple[float, float], *, sphere_px: float = 0.0
) -> Pupil:
    """A pupil with focus, field curvature and astigmatism as the sizes of kernels tell them.

    A ray lands at a distance that is linear in dioptres, so variances are parabolas in them: their curvature is the
    square of how fast the blur grows, their lowest places are where the two focal surfaces lie.

    Args:
        radius: Image heights of N kernels.
        dioptre: Their depths.
        variance: Along and across the radius, in px^2, shape (N, 2).
        dioptres: First and last depth.
        sphere_px: Spherical aberration to start from: its sign decides on which side of focus the rings lie.
    """
    terms = list_terms(6, 2)
    low, high = dioptres
    t = (2 * dioptre - low - high) / max(high - low, 1e-9)
    squared = radius * radius
    columns = np.stack((np.ones_like(t), t, t * t, squared, squared * t), 1)
    growth, focus, bend = [], [], []
    for axis in range(2):
        weight = 1 / (variance[:, axis] + 0.2)
        found = np.linalg.lstsq(columns * weight[:, None], variance[:, axis] * weight, rcond=None)[0]
        curve = max(float(found[2]), 1e-2)
        growth.append(math.sqrt(curve))
        focus.append(float(np.clip(-found[1] / (2 * curve), -2, 2)))
        bend.append(float(np.clip(-found[4] / (2 * curve), -2, 2)))
    rate, scale = 0.5 * sum(growth), 2**1.5
    middle, curved = sum(focus), sum(bend)
    known = {
        Term("wave", 2, 0, 0, 0, 1): rate / 2 * scale,
        Term("wave", 2, 0, 0, 0, 0): -rate * (middle + curved / 2) / 4 * scale,
        Term("wave", 2, 0, 0, 1, 0): -rate * curved / 8 * scale,
        Term("wave", 2, 2, 2, 0, 0): rate * (bend[1] - bend[0]) / 2 * scale,
        Term("wave", 4, 0, 0, 0, 0): sphere_px,
    }
    for circle, place in enumerate(RIM_PLACES):
        known[Term("place", circle, 0, 1, 0, 0)] = place
        known[Term("radius", circle, 0, 0, 0, 0)] = RIM_RADIUS
    return Pupil(6, terms, np.array([known.get(one, 0.0) for one in terms]), dioptres)
