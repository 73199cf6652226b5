import torch

from psf.estimators import taps
from psf.estimators.priors import Strengths, find_amplitude, make_prior

SIDE = 5


def make(depths: int = 3, radii: int = 3):
    g = torch.Generator().manual_seed(0)
    amplitude = 0.02 + 0.02 * torch.rand(depths * radii, taps.count_taps(SIDE), generator=g)
    area = (1 + torch.rand(amplitude.shape[1:], generator=g)).expand_as(amplitude)
    places = torch.linspace(0, 1, depths, dtype=torch.float64), torch.linspace(0, 1, radii, dtype=torch.float64)
    return make_prior(amplitude, area, *places, SIDE, Strengths()), g


def test_form_is_symmetric_and_positive():
    prior, g = make()
    x, y = torch.randn(2, 9, taps.count_taps(SIDE), generator=g)
    one, two = (x * prior.apply(y)).sum(), (y * prior.apply(x)).sum()
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-2)
    assert (x * prior.apply(x)).sum() > 0


def test_blocks_are_those_of_the_form():
    prior, _ = make(2, 3)
    size = taps.count_taps(SIDE)
    unit = torch.zeros(6, size)
    unit[4, 7] = 1
    # Node 4 is the middle of its row of three, and what the node on the axis before it is compared with.
    torch.testing.assert_close(prior.blocks()[4, :, 7], prior.apply(unit)[4])


def test_on_the_axis_a_kernel_is_expected_to_be_the_next_one_without_its_one_sidedness():
    prior, g = make(1, 2)
    size = taps.count_taps(SIDE)
    grid = torch.rand(SIDE // 2 + 1, SIDE, generator=g)
    on_axis = 0.5 * (grid + grid.flip(1)).reshape(size)
    even, odd = torch.stack((on_axis, on_axis)), torch.stack((on_axis, grid.reshape(size)))
    # One statement more than smoothness within kernels, which has no maps.
    (weight,), (mixing,) = prior.weights, prior.maps
    for kernels in (even, odd):
        assert (weight * (kernels[:1] - mixing.apply(kernels)) ** 2).sum() < 1e-9
    assert (weight * (odd[1:] - mixing.apply(odd)) ** 2).sum() > 1


def test_even_kernels_cost_next_to_nothing():
    prior, g = make()
    even = 0.03 * prior.area
    rough = even + 0.01 * torch.randn(even.shape, generator=g)
    assert (even * prior.apply(even)).sum() < 0.1 * (rough * prior.apply(rough)).sum()


def test_amplitude_is_never_nothing():
    kernel = torch.zeros(1, taps.count_taps(9))
    kernel[0, 4] = 1
    amplitude = find_amplitude(kernel, torch.ones_like(kernel), 9)
    assert (amplitude > 0).all()
    assert amplitude.argmax() == 4


def test_at_the_outer_end_a_kernel_is_expected_to_be_like_the_one_before():
    prior, g = make(1, 3)
    kernels = torch.rand(3, taps.count_taps(SIDE), generator=g)
    ends = [(nodes.tolist(), mixing.source.tolist()) for nodes, mixing in zip(prior.nodes, prior.maps, strict=True)]
    assert ([2], [1]) in ends
    outer = prior.maps[ends.index(([2], [1]))]
    torch.testing.assert_close(outer.apply(kernels)[0], kernels[1])
