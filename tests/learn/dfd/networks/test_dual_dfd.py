import pytest
import torch

from learn.dfd.networks import DepthConfig, DualDfDNet, make_depth_network
from psf import InputError

FOCUS_M = torch.tensor([[0.5, 0.72, 1.415]])


def draw(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def make(**changes):
    config = DepthConfig(**{"kind": "dual_dfd", "width": 2, "pictures": 3, **changes})
    return make_depth_network(config, generator=torch.Generator().manual_seed(1)).eval()


def test_the_extractor_is_shared_and_its_features_stand_side_by_side():
    network = DualDfDNet(DepthConfig(kind="dual_dfd", width=32))
    assert [tuple(one.weight.shape[:2]) for one in network.extractor] == [(32, 3), (32, 32), (32, 32)]
    assert network.encoders[0].layers[0].weight.shape[1] == 161
    assert [len(one.norms[-1].weight) for one in network.encoders] == [64, 128, 256, 512]


def test_focus_distances_are_not_told_and_the_order_of_pictures_counts():
    network, stack, radius = make(), draw(1, 3, 3, 24, 24), draw(1, 1, 24, 24)
    place = network(stack, FOCUS_M, radius).place
    assert torch.equal(place, network(stack, 2 * FOCUS_M, radius).place)
    assert not torch.allclose(place, network(stack.flip(1), FOCUS_M, radius).place, atol=1e-6)


def test_image_height_can_be_left_out():
    network = make(with_radius=False)
    found = network(draw(2, 3, 3, 13, 21), FOCUS_M.expand(2, -1))
    assert found.place.shape == (2, 1, 13, 21)
    assert found.blur is None


def test_it_sees_detail_if_it_is_to_and_reaches_further_then():
    network, stack, radius = make(shown="detail"), draw(1, 3, 3, 24, 24), draw(1, 1, 24, 24)
    place = network(stack, FOCUS_M, radius).place
    darker = network(0.6 * stack, FOCUS_M, radius).place
    assert torch.allclose(place, darker, atol=1e-3)
    assert not torch.allclose(
        make()(stack, FOCUS_M, radius).place, make()(0.6 * stack, FOCUS_M, radius).place, atol=1e-3
    )
    assert network.reach_px == make().reach_px + 18


def test_it_says_that_it_is_a_reconstruction():
    from learn.dfd.networks import dual_dfd

    assert "reconstruction" in dual_dfd.__doc__
    with pytest.raises(InputError, match=r"config\.kind"):
        DualDfDNet(DepthConfig())
