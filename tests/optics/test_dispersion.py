import pytest
import torch

from optics.dispersion import FormulaIndex, TabulatedIndex, check_wavelength
from psf.errors import InputError

F64 = torch.float64


def test_a_tabulated_index_goes_through_its_samples_and_follows_cauchy_between():
    wavelengths = torch.tensor([0.4, 0.45, 0.5, 0.55, 0.6, 0.7], dtype=F64)
    table = TabulatedIndex("table", wavelengths, 1.5 + 0.005 / wavelengths**2, None)
    assert torch.allclose(table.index(wavelengths), 1.5 + 0.005 / wavelengths**2, atol=1e-14)
    between = torch.tensor([0.42, 0.58, 0.66], dtype=F64)
    assert torch.allclose(table.index(between), 1.5 + 0.005 / between**2, atol=1e-12)


def test_index_has_gradients_in_wavelength_and_coefficients():
    a = torch.tensor([2.27, -0.009, 0.011, 2e-4, -9e-6, 6e-7], dtype=F64)
    medium = FormulaIndex.from_coefficients("schott", a.tolist(), name="x", range_um=None, where="x")
    wavelength = torch.tensor([0.5, 0.6], dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(medium.index, (wavelength,))
    changed = {name: value.clone().requires_grad_() for name, value in medium.parameters().items()}
    medium.with_parameters(changed).index(wavelength.detach()).sum().backward()
    assert any(value.grad is not None and float(value.grad.abs().max()) > 0 for value in changed.values())


@pytest.mark.parametrize("wrong", [0.5, torch.tensor(1)])
def test_a_wavelength_that_is_no_floating_tensor_is_refused(wrong):
    with pytest.raises(InputError, match="wavelength_um"):
        check_wavelength(wrong)
