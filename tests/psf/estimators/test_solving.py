import pytest
import torch

from psf.estimators import taps
from psf.estimators.mixing import Mixing
from psf.estimators.priors import Strengths, make_prior
from psf.estimators.solving import Quadratic, invert_blocks, solve, to_unit_sum

SIDE = 5
T = taps.count_taps(SIDE)


def make():
    """One kernel seen by random rows, without noise."""
    g = torch.Generator().manual_seed(0)
    count = taps.multiplicity(SIDE).float()
    truth = to_unit_sum((torch.rand(1, T, generator=g) - 0.5), count)
    rows = torch.randn(400, T, generator=g)
    gram, zero = (rows.mT @ rows)[None], torch.tensor([0])
    slots = Mixing(zero, zero, torch.ones(1), 1)
    light = (rows.mT @ (rows @ truth[0]))[None]
    quadratic = Quadratic(gram, zero, zero, torch.tensor([1e8]), slots, light, 1)
    one = torch.ones(1, dtype=torch.float64)
    prior = make_prior(torch.full((1, T), 0.05), torch.ones(1, T), one, one, SIDE, Strengths())
    start = to_unit_sum(torch.ones(1, T), count)
    return quadratic, prior, start, truth, count


def test_a_kernel_with_empty_taps_is_found():
    quadratic, prior, start, truth, count = make()
    found = solve(quadratic, prior, start, SIDE)
    assert (found >= 0).all()
    assert float(found[0] @ count) == pytest.approx(1, abs=1e-5)
    assert (found - truth).abs().max() < 1e-3


def test_blocks_are_inverted_with_their_springs():
    g = torch.Generator().manual_seed(1)
    root = torch.randn(2, 6, 6, generator=g)
    base, spring = root @ root.mT + 0.5 * torch.eye(6), torch.rand(2, 6, generator=g)
    product = invert_blocks(base, spring) @ (base + torch.diag_embed(spring))
    torch.testing.assert_close(product, torch.eye(6).expand(2, 6, 6), atol=1e-3, rtol=0)
