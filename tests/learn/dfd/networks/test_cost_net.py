import pytest
import torch

from learn.dfd.networks import CostVolumeNet, DepthConfig, load_depth_network, make_depth_network, save_depth_network
from learn.dfd.networks.checkpoints import check_stack
from psf import InputError

CONFIG = DepthConfig(kind="cost_volume", width=3, with_radius=False, candidates=12)


@pytest.fixture
def network():
    return make_depth_network(CONFIG, generator=torch.Generator().manual_seed(1)).eval()


def valley(place, *, noise=0.01, shape=(32, 48), width=0.15):
    """Residuals with a valley at one place, 0 to 1, of a quadratic that levels off."""
    candidates = torch.linspace(0, 1, 12)[:, None, None]
    depth = ((candidates - place) / width).square()
    return (noise * (1 + 8 * depth / (1 + depth))).expand(12, *shape)[None].contiguous()


@pytest.mark.parametrize("place", [0.2, 0.5, 0.77])
def test_before_anything_is_learnt_the_answer_is_the_valley(network, place):
    found = network(valley(place)).place
    assert found.shape == (1, 1, 32, 48)
    # A mean over a softmax that is not sharp leans to the middle.
    assert (found - place).abs().max() < 0.06


def test_neither_light_nor_noise_changes_the_answer(network):
    one, two = (network(valley(0.4, noise=level)).place for level in (1e-4, 1e-1))
    assert torch.allclose(one, two, atol=1e-4)


def test_any_size_is_taken(network):
    generator = torch.Generator().manual_seed(0)
    costs = 0.1 + torch.rand((2, 12, 21, 35), generator=generator)
    assert network(costs).place.shape == (2, 1, 21, 35)


def test_slopes_reach_every_weight(network):
    costs = 0.1 + torch.rand((1, 12, 16, 16), generator=torch.Generator().manual_seed(0))
    network(costs).place.square().sum().backward()
    assert all(one.grad is not None and bool((one.grad != 0).any()) for one in network.parameters())


def test_it_learns_which_of_two_valleys_is_the_true_one():
    """The wider of two equally deep ones, in places that no training pixel had: candidates are treated alike."""
    network = make_depth_network(CONFIG, generator=torch.Generator().manual_seed(1))
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)

    def draw(true, false):
        return torch.minimum(valley(true, shape=(16, 16), width=0.2), valley(false, shape=(16, 16), width=0.05))

    pairs = [(0.2, 0.6), (0.6, 0.2), (0.3, 0.8), (0.8, 0.3), (0.45, 0.9), (0.9, 0.45)]
    costs, places = torch.cat([draw(*pair) for pair in pairs]), torch.tensor([one for one, _ in pairs])
    for _ in range(60):
        loss = (network(costs).place - places[:, None, None, None]).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        found = network(torch.cat([draw(0.35, 0.7), draw(0.7, 0.35)])).place.mean((1, 2, 3))
    assert (found - torch.tensor([0.35, 0.7])).abs().max() < 0.1


def test_it_comes_back_from_its_file(network, tmp_path):
    save_depth_network(network, tmp_path / "n.pt")
    loaded = load_depth_network(tmp_path / "n.pt").network
    assert isinstance(loaded, CostVolumeNet)
    assert torch.equal(loaded(valley(0.3)).place, network(valley(0.3)).place)


def test_what_is_no_cost_volume_is_refused(network):
    with pytest.raises(InputError, match=r"config\.kind"):
        CostVolumeNet(DepthConfig())
    with pytest.raises(InputError, match=r"config\.with_radius: found True"):
        DepthConfig(kind="cost_volume")
    with pytest.raises(InputError, match=r"floats of shape \(B, 12, H, W\)"):
        check_stack(network, torch.ones(1, 5, 3, 8, 8), torch.ones(1, 5), None)
    with pytest.raises(InputError, match="residuals above 0"):
        check_stack(network, torch.zeros(1, 12, 8, 8), torch.ones(1, 5), None)
