from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from psf.sampling import TURNINGS, sample, sample_reference

F64 = torch.float64


@pytest.mark.parametrize("turning", TURNINGS)
@pytest.mark.parametrize("seed", range(4))
def test_skipping_dark_rows_and_columns_loses_no_light(turning, seed):
    g = torch.Generator().manual_seed(seed)
    kernels = torch.zeros(3, 15, 15, dtype=F64)
    kernels[0, 2:5, 9:13] = torch.rand(3, 4, generator=g, dtype=F64)
    kernels[1, 14, 0] = 1.0  # and the last one is dark
    index = torch.tensor([[0, 1, 2]] * 20)
    weight = torch.rand(20, 3, generator=g, dtype=F64)
    affine = torch.randn(20, 3, 6, generator=g, dtype=F64) * torch.tensor([1, 1, 6, 1, 1, 6])
    affine[:3, :, :2] = 0.0  # all points in one row
    middle = affine + affine.new_tensor([0, 0, 7, 0, 0, 7])
    found = sample(kernels, index, weight, affine, 15, 1, turning)
    want = sample_reference(kernels, index, weight, middle, 15, 1, turning)
    assert (found - want).abs().max() < 1e-13


def test_the_number_of_threads_changes_no_byte():
    g = torch.Generator().manual_seed(0)
    kernels, index = torch.rand(5, 9, 9, generator=g), torch.randint(0, 5, (7, 4), generator=g)
    arguments = (kernels, index, torch.rand(7, 4, generator=g), torch.randn(7, 4, 6, generator=g), 9, 1, "cubic")
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(sample(*arguments))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_several_threads_may_read_at_once():
    g = torch.Generator().manual_seed(0)
    kernels, index = torch.rand(5, 9, 9, generator=g), torch.randint(0, 5, (50, 4), generator=g)
    arguments = (kernels, index, torch.rand(50, 4, generator=g), torch.randn(50, 4, 6, generator=g), 9, 1, "cubic")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: sample(*arguments), range(16)))
    assert all(torch.equal(one, found[0]) for one in found)
