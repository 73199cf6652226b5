import pytest
import torch

from optics.dispersion import FormulaIndex
from optics.formulas import AGF_FORMULAS, FORMULAS

L = torch.tensor([0.45, 0.5876, 0.7], dtype=torch.float64)


def _index(formula, coefficients):
    return FormulaIndex.from_coefficients(formula, coefficients, name="test", range_um=None, where="test").index(L)


def test_schott_formula_is_the_sum_of_its_powers():
    a = [2.27, -0.009, 0.011, 2e-4, -9e-6, 6e-7]
    square = a[0] + a[1] * L**2 + a[2] * L**-2 + a[3] * L**-4 + a[4] * L**-6 + a[5] * L**-8
    assert _index("schott", a) == pytest.approx(square.sqrt(), abs=1e-14)


def test_sellmeier_formula_is_the_sum_of_its_terms():
    b, c = (1.03961212, 0.231792344, 1.01046945), (0.00600069867, 0.0200179144, 103.560653)
    square = 1 + sum(bi * L**2 / (L**2 - ci) for bi, ci in zip(b, c, strict=True))
    flat = [number for pair in zip(b, c, strict=True) for number in pair]
    assert _index("sellmeier1", flat) == pytest.approx(square.sqrt(), abs=1e-14)


def test_every_formula_number_of_the_catalogue_files_has_a_formula():
    assert set(AGF_FORMULAS) == set(range(1, 14))
    assert set(AGF_FORMULAS.values()) <= set(FORMULAS)
