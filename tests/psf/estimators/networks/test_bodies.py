import pytest
import torch

from psf.discs import disc_overlap
from psf.estimators.networks.bodies import (
    GaussianKernels,
    PerceptronKernels,
    UNetKernels,
    UpsamplingKernels,
    draw_weights,
    lay_gaussians,
    share_out,
)
from psf.estimators.networks.learning import Schedule, learn_weights
from psf.estimators.networks.losses import blur_patches, find_reconstruction_loss
from psf.patterns import make_dead_leaves

MAKERS = {
    "unet": lambda channels, size: UNetKernels(3, channels, size, width=4, levels=2),
    "perceptron": lambda channels, size: PerceptronKernels(3, channels, size, width=16, layers=2),
    "upsampling": lambda channels, size: UpsamplingKernels(3, channels, size, width=16),
    "gaussian": lambda channels, size: GaussianKernels(channels, size, torch.linspace(-1, 1, 4)),
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("body", MAKERS)
@pytest.mark.parametrize(("channels", "size"), [(1, 9), (3, 25), (1, 33)])
def test_answers_are_kernels(body, channels, size):
    network = MAKERS[body](channels, size)
    draw_weights(network, generator=generator())
    kernels = network(2 * torch.rand(5, 3, generator=generator()) - 1)
    assert kernels.shape == (5, channels, size, size)
    assert (kernels >= 0).all()
    assert torch.allclose(kernels.sum((-2, -1)), torch.ones(5, channels), atol=1e-5)


@pytest.mark.parametrize("body", MAKERS)
def test_gradients_reach_every_weight(body):
    network = MAKERS[body](1, 9)
    draw_weights(network, generator=generator())
    target = torch.rand(8, 1, 9, 9, generator=generator())
    (network(2 * torch.rand(8, 3, generator=generator()) - 1) - target).square().sum().backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in network.parameters())


def test_equal_seeds_draw_equal_weights_and_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    first, second, other = MAKERS["unet"](1, 9), MAKERS["unet"](1, 9), MAKERS["unet"](1, 9)
    for network, seed in ((first, 1), (second, 1), (other, 2)):
        draw_weights(network, generator=generator(seed))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.last.weight, other.last.weight)
    assert torch.equal(before, torch.get_rng_state())


def test_the_textbook_unet_of_the_defaults_has_the_parameters_of_the_specification():
    network = UNetKernels(3, 1, 25)
    assert 1.8e6 < sum(one.numel() for one in network.parameters()) < 2.0e6
    assert network.coordinates.shape == (3, 32, 32)


def test_coordinates_are_zero_at_the_kernels_middle_and_one_at_its_edge():
    network = UNetKernels(3, 1, 25)
    inner = network.coordinates[:, network.first : network.first + 25, network.first : network.first + 25]
    assert inner[:, 12, 12].tolist() == [0, 0, 0]
    assert inner[0, 12, 24] == 1
    assert inner[1, 24, 12] == 1
    assert inner[2, 12, 0] == 1


def test_a_network_without_coordinates_has_no_such_maps():
    assert UNetKernels(3, 1, 9, has_coordinates=False).downs[0][0].weight.shape[1] == 3


def test_gaussians_have_the_moments_that_they_are_asked_for():
    kernels = lay_gaussians(torch.tensor([1.0, 2.0], dtype=torch.float64), 25)
    offset = torch.arange(25, dtype=torch.float64) - 12
    variance = (kernels.sum(-2) * offset**2).sum(-1)
    # Sampling a Gaussian of 1 px and more leaves its variance to 1e-7.
    assert torch.allclose(variance, torch.tensor([1.0, 4.0], dtype=torch.float64), atol=1e-6)


def test_gaussian_widths_are_linear_between_nodes_of_depth():
    network = GaussianKernels(1, 9, torch.tensor([-1.0, 1.0])).with_sigma_px(torch.tensor([[1.0], [3.0]]))
    places = torch.tensor([[-1.0, 0], [0.0, 0], [1.0, 0], [5.0, 0]])
    assert torch.allclose(network.sigma_px(places)[:, 0], torch.tensor([1.0, 2.0, 3.0, 3.0]), atol=1e-5)


def test_a_single_node_answers_everywhere():
    network = GaussianKernels(2, 9, torch.tensor([0.0])).with_sigma_px(torch.tensor([[1.0, 2.0]]))
    assert torch.allclose(network.sigma_px(torch.zeros(3, 2)), torch.tensor([[1.0, 2.0]]).expand(3, 2), atol=1e-5)


def test_shares_sum_to_one():
    assert torch.allclose(share_out(torch.randn(2, 3, 5, 5, generator=generator())).sum((-2, -1)), torch.ones(2, 3))


def spots(count):
    """Discs of 0.6 px radius in the middle to 8.6 px at the ends of what networks are told, with their places."""
    place = torch.linspace(-1, 1, count)
    kernels = disc_overlap(0.6 + 8 * place.abs(), torch.zeros(count, 2), 25)
    return torch.stack((place, 0 * place, 0 * place), 1), (kernels / kernels.sum((-2, -1), keepdim=True))[:, None]


def difference(first, second):
    """Share of light in another place, times two."""
    return float((first - second).abs().sum((-2, -1)).mean())


def test_the_perceptron_leaves_the_mean_kernel_behind():
    places, kernels = spots(16)
    network = PerceptronKernels(3, 1, 25)
    draw_weights(network, generator=generator())

    def find_loss(g):
        chosen = torch.randint(16, (16,), generator=g)
        return 625 * (network(places[chosen]) - kernels[chosen]).abs().mean()

    learn_weights(network, find_loss, Schedule(150, 1e-3, 1e-5), seed=0, identity="")
    with torch.no_grad():
        found = network(places)
    # Sigmoids that begin at one half saturate on the way: one kernel for all places, worse than the mean.
    assert difference(found, kernels) < 0.5 * difference(kernels.mean(0), kernels)


def test_the_unet_does_not_put_all_light_into_one_tap_on_its_way_from_pairs():
    places, kernels = spots(16)
    leaves = make_dead_leaves((160, 160), generator=generator(1)).float().reshape(1, 160, 160)
    network = UNetKernels(3, 1, 25)
    draw_weights(network, generator=generator())

    def find_loss(g):
        chosen = torch.randint(16, (8,), generator=g)
        corners = torch.randint(160 - 56, (8, 2), generator=g).tolist()
        sharp = torch.stack([leaves[:, top : top + 56, left : left + 56] for top, left in corners])
        return find_reconstruction_loss(sharp, blur_patches(sharp, kernels[chosen]), network(places[chosen])).mean()

    learn_weights(network, find_loss, Schedule(100, 2e-3, 1e-5), seed=0, identity="")
    with torch.no_grad():
        spot, disc = network(places[7:8]), network(places[:1])
    assert float(disc.max()) < 0.1
    # Without maps of one scale both are the same single tap by now.
    assert difference(spot, disc) > 1
