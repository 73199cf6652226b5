import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optics.footprints import _shares, deposit, spline_width

F64 = torch.float64


def _dense(x, y, w, h, light, kernel_px, spread):
    """The slow twin: one product of row and column shares per sub-ray."""
    columns, rows = _shares(x, w, kernel_px, spread), _shares(-y, h, kernel_px, spread)
    return torch.einsum("bnr,bnc->brc", rows * light[..., None], columns)


def _random(seed, count=40, reach=3.0):
    g = torch.Generator().manual_seed(seed)
    x, y = reach * torch.randn(2, 2, count, generator=g, dtype=F64)
    w, h, light = 0.05 + torch.rand(3, 2, count, generator=g, dtype=F64)
    return x, y, w, h, light


@pytest.mark.parametrize("spread", ["box", "spline"])
@pytest.mark.parametrize("kernel_px", [1, 7, 8, 31])
def test_compiled_deposit_equals_the_dense_product(spread, kernel_px):
    arguments = _random(0)
    assert torch.allclose(
        deposit(*arguments, kernel_px, spread), _dense(*arguments, kernel_px, spread), atol=1e-13, rtol=0
    )


@pytest.mark.parametrize("spread", ["box", "spline"])
def test_gradients_equal_those_of_the_dense_product(spread):
    target = torch.randn(2, 9, 9, generator=torch.Generator().manual_seed(5), dtype=F64)
    gradients = []
    for function in (deposit, _dense):
        arguments = [t.clone().requires_grad_() for t in _random(1)]
        (function(*arguments, 9, spread) * target).sum().backward()
        gradients.append([t.grad for t in arguments])
    for ours, twin in zip(*gradients, strict=True):
        assert torch.allclose(ours, twin, atol=1e-12, rtol=1e-10)


def test_a_second_derivative_is_refused_and_not_left_out():
    x, y, width, height, light = (t.clone().requires_grad_() for t in _random(1))
    kernel = deposit(x, y, width, height, light, 9, "spline")
    (by_x,) = torch.autograd.grad(kernel.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        by_x.sum().backward()


def test_spline_deposit_passes_gradcheck():
    arguments = tuple(t.clone().requires_grad_() for t in _random(2, count=4, reach=1.0))
    assert torch.autograd.gradcheck(lambda *a: deposit(*a, 7, "spline"), arguments, eps=1e-6, atol=1e-7)


@pytest.mark.parametrize("spread", ["box", "spline"])
@given(x=st.floats(-3, 3), y=st.floats(-3, 3), w=st.floats(0.01, 2), h=st.floats(0.01, 2))
def test_no_light_is_lost_or_made_inside_the_window(spread, x, y, w, h):
    one = [torch.tensor([[v]], dtype=F64) for v in (x, y, w, h, 1.0)]
    kernel = deposit(*one, 15, spread)[0]
    assert float(kernel.sum()) == pytest.approx(1.0, abs=1e-12)
    grid = torch.arange(15, dtype=F64) - 7
    # Spreads are symmetric, and integrating over whole pixels keeps the first moment of a spline of unit spacing only;
    # a narrower one may be off by less than a pixel's half.
    assert abs(float((kernel.sum(0) * grid).sum()) - x) <= 0.5
    assert abs(-float((kernel.sum(1) * grid).sum()) - y) <= 0.5


def test_a_point_up_and_to_the_right_lands_in_the_upper_right_of_the_window():
    one = [torch.tensor([[v]], dtype=F64) for v in (2.0, 1.0, 0.01, 0.01, 1.0)]
    kernel = deposit(*one, 7, "box")[0]
    assert float(kernel[3 - 1, 3 + 2]) == pytest.approx(1.0)


def test_spline_has_the_standard_deviation_that_its_factor_says():
    width = spline_width(torch.tensor(2.0, dtype=F64), 1.5)
    # Sampled finely: pixels of 1/50 of the width, whose own variance is 1/12.
    x = torch.zeros(1, 1, dtype=F64)
    fine = deposit(x, x, 50 * width.reshape(1, 1), 50 * width.reshape(1, 1), x + 1, 501, "spline")[0].sum(0)
    grid = torch.arange(501, dtype=F64) - 250
    deviation = math.sqrt(float((fine * grid**2).sum()) - 1 / 12) / 50
    assert deviation == pytest.approx(1.5 * 2.0 / math.sqrt(12), rel=1e-6)


def test_light_outside_the_window_is_not_in_the_kernel():
    one = [torch.tensor([[v]], dtype=F64) for v in (3.5, 0.0, 1.0, 1.0, 1.0)]
    assert float(deposit(*one, 7, "box").sum()) == pytest.approx(0.5)
