import pytest
import torch

from learn.dfd.networks import DepthConfig, load_depth_network, make_depth_network, save_depth_network
from learn.dfd.networks.checkpoints import check_stack, hash_depth_network
from learn.networks import NAFNetConfig, make_network, save_network
from psf import InputError

SMALL = DepthConfig(kind="dual_dfd", width=2, pictures=3)


@pytest.fixture
def network():
    return make_depth_network(SMALL, generator=torch.Generator().manual_seed(0))


def test_a_network_comes_back_with_its_configuration_and_notes(network, tmp_path):
    save_depth_network(network, tmp_path / "n.pt", notes={"steps": 4})
    saved = load_depth_network(tmp_path / "n.pt")
    assert saved.network.config == SMALL
    assert saved.notes["steps"] == 4
    assert hash_depth_network(saved.network) == hash_depth_network(network)
    assert not saved.network.training


def test_the_same_seed_gives_the_same_network(network):
    again, other = (make_depth_network(SMALL, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert hash_depth_network(again) == hash_depth_network(network) != hash_depth_network(other)


def test_files_of_something_else_are_refused(tmp_path):
    restorer = make_network(NAFNetConfig(4, (1,), 1, (1,)), generator=torch.Generator().manual_seed(0))
    save_network(restorer, tmp_path / "n.pt")
    with pytest.raises(InputError, match=r"learn\.dfd train made"):
        load_depth_network(tmp_path / "n.pt")
    torch.save({"format": "psfield.depth_network", "format_version": 9}, tmp_path / "v.pt")
    with pytest.raises(InputError, match="format_version: found 9"):
        load_depth_network(tmp_path / "v.pt")
    torch.save({"format": "psfield.depth_network", "format_version": 1, "config": "{}"}, tmp_path / "c.pt")
    with pytest.raises(InputError, match="config"):
        load_depth_network(tmp_path / "c.pt")
    with pytest.raises(FileNotFoundError):
        load_depth_network(tmp_path / "gone.pt")
    with pytest.raises(InputError, match="a depth network"):
        save_depth_network(restorer, tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((1, 3, 4, 8, 8), (1, 3), (1, 1, 8, 8)), r"stack: found torch.float32 of shape"),
        (((1, 1, 3, 8, 8), (1, 1), (1, 1, 8, 8)), "stack: found 1 picture, expected at least 2"),
        (((1, 2, 3, 8, 8), (1, 2), (1, 1, 8, 8)), "2 pictures, expected the 3 that the network was made for"),
        (((1, 3, 3, 8, 8), (1, 2), (1, 1, 8, 8)), "focus_m: found shape"),
        (((1, 3, 3, 8, 8), (1, 3), None), "radius: found none"),
        (((1, 3, 3, 8, 8), (1, 3), (1, 1, 4, 4)), "radius: found shape"),
    ],
)
def test_stacks_that_do_not_fit_are_refused(network, shapes, words):
    stack, focus, radius = (None if one is None else torch.ones(one) for one in shapes)
    with pytest.raises(InputError, match=words):
        check_stack(network, stack, focus, radius)
