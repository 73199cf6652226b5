"""The names of the dispersion formulas, and what each does with the coefficients of a catalogue.

Every formula of the glass makers, of Zemax's manual and of refractiveindex.info is one sum (L: wavelength in um),

    s(L) = sum_i a_i L^p_i + sum_j b_j L^q_j / (L^2 - c_j)^m_j,        n = sqrt(s) or n = s,

with exponents that the formula's name fixes and numbers a, b, c that belong to the glass. A function here turns a
catalogue's coefficients, shape (T,), into those numbers; `glass.FormulaIndex` adds them up.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

HERZBERGER_POLE_UM2 = 0.028  # Herzberger 1942; the same constant stands in Zemax's manual

# a (I,), p, b (J,), c (J,), pairs (q, m), whether the sum is n^2: the fields of `FormulaIndex` in its order.
Terms = tuple[Tensor, tuple[float, ...], Tensor, Tensor, tuple[tuple[int, int], ...], bool]


def _power_terms(*powers: float, squared: bool = True) -> Callable[[Tensor], Terms]:
    """Coefficients that belong to fixed powers, in their order."""
    return lambda c: (c, powers, c[:0], c[:0], (), squared)


def _pair_terms(c: Tensor) -> Terms:
    """Sellmeier: n^2 - 1 = sum B L^2 / (L^2 - C), coefficients B1, C1, B2, C2, ..."""
    return c.new_ones(1), (0,), c[0::2], c[1::2], ((2, 1),) * (len(c) // 2), True


def _sellmeier2_terms(c: Tensor) -> Terms:
    """n^2 - 1 = A + B1 L^2 / (L^2 - l1^2) + B2 / (L^2 - l2^2)."""
    return 1 + c[:1], (0,), c[1::2], c[2::2] ** 2, ((2, 1), (0, 1)), True


def _offset_terms(c: Tensor) -> Terms:
    """n^2 - 1 = A + sum B L^2 / (L^2 - C), coefficients A, B1, C1, B2, C2, ..."""
    return 1 + c[:1], (0,), c[1::2], c[2::2], ((2, 1),) * (len(c) // 2), True


def _offset_squared_terms(c: Tensor) -> Terms:
    """n^2 - 1 = A + sum B L^2 / (L^2 - C^2), coefficients A, B1, C1, B2, C2, ..."""
    return 1 + c[:1], (0,), c[1::2], c[2::2] ** 2, ((2, 1),) * (len(c) // 2), True


def _sellmeier4_terms(c: Tensor) -> Terms:
    """n^2 = A + B L^2 / (L^2 - C) + D L^2 / (L^2 - E)."""
    return c[:1], (0,), c[1::2], c[2::2], ((2, 1), (2, 1)), True


def _herzberger_terms(c: Tensor) -> Terms:
    """Herzberger: n = A + B H + C H^2 + D L^2 + E L^4 + F L^6 with H = 1 / (L^2 - 0.028)."""
    poles_um2 = c.new_full((2,), HERZBERGER_POLE_UM2)
    return torch.cat([c[:1], c[3:]]), (0, 2, 4, 6), c[1:3], poles_um2, ((0, 1), (0, 2)), False


def _handbook_terms(numerator_power: int) -> Callable[[Tensor], Terms]:
    """n^2 = A + B / (L^2 - C) - D L^2, or with L^2 over the pole."""
    return lambda c: (torch.stack([c[0], -c[3]]), (0, 2), c[1:2], c[2:3], ((numerator_power, 1),), True)


def _free_power_terms(*, squared: bool) -> Callable[[Tensor], Terms]:
    """C1 + sum C2 L^C3 + ...: the exponents stand among the coefficients."""
    return lambda c: (torch.cat([c[:1], c[1::2]]), (0.0, *c[2::2].tolist()), c[:0], c[:0], (), squared)


# Name: terms, and how many coefficients belong to it (None: any odd number). Zemax's formulas take the coefficients in
# the order of its manual and of AGF files, the "rii" ones in that of refractiveindex.info (rii5 is Cauchy's).
FORMULAS: Mapping[str, tuple[Callable[[Tensor], Terms], int | None]] = MappingProxyType(
    {
        "schott": (_power_terms(0, 2, -2, -4, -6, -8), 6),
        "sellmeier1": (_pair_terms, 6),
        "sellmeier2": (_sellmeier2_terms, 5),
        "sellmeier3": (_pair_terms, 8),
        "sellmeier4": (_sellmeier4_terms, 5),
        "sellmeier5": (_pair_terms, 10),
        "herzberger": (_herzberger_terms, 6),
        "conrady": (_power_terms(0, -1, -3.5, squared=False), 3),
        "handbook1": (_handbook_terms(0), 4),
        "handbook2": (_handbook_terms(2), 4),
        "extended1": (_power_terms(0, 2, -2, -4, -6, -8, -10, -12), 8),
        "extended2": (_power_terms(0, 2, -2, -4, -6, -8, 4, 6), 8),
        "extended3": (_power_terms(0, 2, 4, -2, -4, -6, -8, -10, -12), 9),
        "rii1": (_offset_squared_terms, None),
        "rii2": (_offset_terms, None),
        "rii3": (_free_power_terms(squared=True), None),
        "rii5": (_free_power_terms(squared=False), None),
    }
)


# The formula numbers that AGF files write after the glass's name.
AGF_FORMULAS: Mapping[int, str] = MappingProxyType(
    {
        1: "schott",
        2: "sellmeier1",
        3: "herzberger",
        4: "sellmeier2",
        5: "conrady",
        6: "sellmeier3",
        7: "handbook1",
        8: "handbook2",
        9: "sellmeier4",
        10: "extended1",
        11: "sellmeier5",
        12: "extended2",
        13: "extended3",
    }
)
