import pytest
import torch

from learn.dfd.networks import DefocusNet, DepthConfig, make_depth_network
from psf import InputError

FOCUS_M = torch.tensor([[0.5, 0.72, 1.415]])


def draw(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def network():
    config = DepthConfig(width=2, with_radius=False, pictures=3)
    return make_depth_network(config, generator=torch.Generator().manual_seed(1)).eval()


@pytest.mark.parametrize(("with_radius", "count"), [(False, 3_729_042), (True, 3_729_186)])
def test_it_has_as_many_weights_as_the_public_code(with_radius, count):
    assert sum(one.numel() for one in DefocusNet(DepthConfig(with_radius=with_radius)).parameters()) == count


def test_pictures_and_focus_distances_in_another_order_give_the_same_depth(network):
    stack, order = draw(1, 3, 3, 32, 32), [2, 0, 1]
    one, two = network(stack, FOCUS_M), network(stack[:, order], FOCUS_M[:, order])
    assert torch.allclose(one.place, two.place, atol=1e-6)
    assert torch.allclose(one.blur[:, order], two.blur, atol=1e-6)
    shuffled = network(stack[:, order], FOCUS_M)
    assert not torch.allclose(one.place, shuffled.place, atol=1e-6)


def test_any_number_of_pictures_of_any_size_will_do(network):
    for pictures, shape in ((2, (19, 33)), (5, (16, 16))):
        found = network(draw(2, pictures, 3, *shape), draw(2, pictures) + 0.5)
        assert found.place.shape == (2, 1, *shape)
        assert found.blur.shape == (2, pictures, *shape)


def test_stacks_of_a_batch_do_not_see_each_other(network):
    stacks = draw(2, 3, 3, 32, 32)
    both = network(stacks, FOCUS_M.expand(2, -1)).place
    assert torch.allclose(both[1:], network(stacks[1:], FOCUS_M).place, atol=1e-6)


def test_with_detail_the_light_of_a_scene_does_not_count():
    config = DepthConfig(width=2, with_radius=False, pictures=3, shown="detail")
    seeing = make_depth_network(config, generator=torch.Generator().manual_seed(1)).eval()
    stack = draw(1, 3, 3, 32, 32)
    assert torch.allclose(seeing(stack, FOCUS_M).place, seeing(0.6 * stack, FOCUS_M).place, atol=1e-3)
    assert seeing.reach_px == 128 + 18


def test_another_kind_is_refused():
    with pytest.raises(InputError, match=r"config\.kind"):
        DefocusNet(DepthConfig(kind="dual_dfd"))
