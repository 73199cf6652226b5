import pytest
import torch

from psf.errors import InputError
from psf.estimators.networks.bodies import GaussianKernels, PerceptronKernels, UNetKernels, UpsamplingKernels
from psf.estimators.networks.network_model import MirroredKernels
from psf.estimators.networks.options import NetworkOptions
from psf.estimators.networks.recipes import RECIPES, build_network

BODIES = {
    "psfnet": UNetKernels,
    "ih": UNetKernels,
    "xy": UNetKernels,
    "none": UNetKernels,
    "tseng": UpsamplingKernels,
    "yang": PerceptronKernels,
    "gaussian": GaussianKernels,
}


@pytest.mark.parametrize("method", RECIPES)
def test_every_method_has_its_body(method):
    network = build_network(RECIPES[method], NetworkOptions(), 3, 1, 9)
    body = network.body if isinstance(network, MirroredKernels) else network
    assert type(body) is BODIES[method]
    assert isinstance(network, MirroredKernels) == (method not in ("xy", "gaussian"))


def test_the_ablations_are_trained_as_psfnet_is():
    assert RECIPES["ih"] == RECIPES["psfnet"]
    assert RECIPES["xy"].pairs == RECIPES["none"].pairs == RECIPES["psfnet"].pairs
    assert not RECIPES["xy"].is_turned
    assert not RECIPES["none"].is_turned


def test_the_mirror_and_the_width_are_options():
    network = build_network(RECIPES["psfnet"], NetworkOptions(is_mirrored=False, width=4, levels=2), 3, 1, 9)
    assert isinstance(network, UNetKernels)
    assert network.last.weight.shape == (1, 4, 1, 1)


def test_more_halvings_than_a_kernel_has_are_refused():
    with pytest.raises(InputError, match="levels"):
        build_network(RECIPES["psfnet"], NetworkOptions(levels=6), 3, 1, 9)


def test_gaussian_nodes_span_the_captured_depths():
    network = build_network(RECIPES["gaussian"], NetworkOptions(), 2, 3, 9)
    assert torch.equal(network.nodes[[0, -1]], torch.tensor([-1.0, 1.0]))


def test_fine_kernels_are_those_of_u_nets_that_learn_from_pairs():
    network = build_network(RECIPES["psfnet"], NetworkOptions(oversample=3), 3, 1, 9)
    assert network(torch.zeros(2, 3)).shape == (2, 1, 27, 27)
    for method in ("yang", "tseng", "gaussian"):
        with pytest.raises(InputError, match=r"oversample: found 3, expected 1 for other networks"):
            build_network(RECIPES[method], NetworkOptions(oversample=3), 3, 1, 9)
