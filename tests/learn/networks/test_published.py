import pytest
import torch

from learn.networks import NAFNetConfig, import_published, make_network
from psf import InputError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def publish(config, seed=0):
    """Random weights in the public code's naming, and the network that they belong to."""
    network, own = make_network(config, generator=generator(seed)), generator(seed + 1)
    with torch.no_grad():
        for values in network.parameters():
            values += 0.2 * torch.randn(values.shape, generator=own)
    names = {}
    for name, values in network.state_dict().items():
        public = name.replace("middle.", "middle_blks.").replace(".sca.", ".sca.1.")
        if public.startswith("ups."):
            public = public.replace(".weight", ".0.weight")
        names[public] = values.clone()
    return names, network


def test_weights_of_the_same_planes_give_the_same_network(tmp_path):
    config = NAFNetConfig(4, (1, 2), 3, (2, 1), 6, 6)
    names, network = publish(config)
    torch.save({"params": names}, tmp_path / "public.pth")
    found = import_published(tmp_path / "public.pth", in_planes=6, out_planes=6)
    planes = torch.rand(1, 6, 13, 18, generator=generator())
    assert found.config == config
    assert found(planes).equal(network(planes))


def test_the_result_is_cut_to_its_first_planes():
    names, network = publish(NAFNetConfig(4, (1,), 1, (1,), 6, 6))
    planes = torch.rand(1, 6, 8, 8, generator=generator())
    assert (import_published(names)(planes) - network(planes)[:, :4]).abs().max() < 1e-6


def test_new_planes_begin_without_influence():
    names, network = publish(NAFNetConfig(4, (1,), 1, (1,), 4, 4))
    planes = torch.rand(1, 6, 8, 8, generator=generator())
    assert (import_published({"module." + name: values for name, values in names.items()})(planes)).equal(
        network(planes[:, :4])
    )


def test_a_network_for_three_colours_restores_a_grey_mosaic_as_it_restores_the_picture():
    names, network = publish(NAFNetConfig(4, (1, 1), 1, (1, 1), 3, 3))
    rgb = torch.rand(1, 3, 12, 8, generator=generator())
    packed = torch.cat([rgb[:, [0, 1, 1, 2]], torch.rand(1, 2, 12, 8, generator=generator(1))], 1)
    assert (import_published(names)(packed) - network(rgb)[:, [0, 1, 1, 2]]).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("change", "arguments", "words"),
    [
        (lambda n: n.pop("intro.weight"), {}, "no intro.weight"),
        (lambda n: n.pop("middle_blks.0.sca.1.bias"), {}, "no middle.0.sca.bias"),
        (lambda n: n.update(other=torch.zeros(1)), {}, "other, which no part has"),
        (lambda n: n.pop("ups.0.0.weight"), {}, "1 halvings and 0 doublings"),
        (lambda n: None, {"in_planes": 4}, "6 planes of input, expected at most in_planes, 4"),
        (lambda n: None, {"in_planes": 8, "out_planes": 7}, "6 planes of result, expected at least out_planes, 7"),
    ],
)
def test_weights_that_do_not_fit_are_named_in_one_line(change, arguments, words):
    names, _ = publish(NAFNetConfig(4, (1,), 1, (1,), 6, 6))
    change(names)
    with pytest.raises(InputError) as caught:
        import_published(names, **arguments)
    assert words in str(caught.value)
