import pytest
import torch

from learn.networks.config import NAMED, NAFNetConfig, count_macs, count_parameters, find_config
from learn.networks.nafnet import NAFNet
from psf import InputError

# Millions of parameters, 1e9 multiplications at 256 x 256 cells and at 12 megapixels, as tabled for these shapes.
PUBLISHED = {
    "nafnet64": (67.89, 63.3, 2946),
    "nafnet32": (17.11, 16.1, 747),
    "nafnet32_sidd": (29.16, 16.2, 753),
    "tiny": (0.41, 1.2, 55),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_networks_cost_what_is_published(name):
    parameters, patch, frame = PUBLISHED[name]
    config = find_config(name)
    assert abs(count_parameters(config) / 1e6 - parameters) < 0.006
    # The table counts the frame's 1512 columns, the network pads them to 1520; and it rounds.
    assert abs(count_macs(config, 256, 256) / 1e9 / patch - 1) < 0.025
    assert abs(count_macs(config, 2016, 1512) / 1e9 / frame - 1) < 0.01


@pytest.mark.parametrize(
    "config",
    [
        find_config("tiny"),
        NAFNetConfig(4, (1, 0, 2), 3, (2, 1, 0), 7, 3),
        NAFNetConfig(5, (), 2, (), 4, 4),
        NAFNetConfig(4, (1,), 1, (1,), 12, 4, 2),
    ],
)
def test_counted_parameters_are_those_of_the_network(config):
    assert sum(values.numel() for values in NAFNet(config).parameters()) == count_parameters(config)


@pytest.mark.parametrize("candidates", [0, 3])
def test_counted_multiplications_are_those_of_its_convolutions(candidates):
    config, total = NAFNetConfig(4, (1, 2), 1, (1, 1), in_planes=17, candidates=candidates), 0

    def count(layer, _, out):
        nonlocal total
        total += out.numel() * layer.weight[0].numel()

    network = NAFNet(config)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    network(torch.rand(1, 17, 13, 18))
    assert total == count_macs(config, 13, 18)


def test_reach_is_the_sum_over_all_layers():
    assert find_config("nafnet32").reach_cells == 294
    assert find_config("tiny").reach_cells == 46


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: find_config("large"), "'nafnet64' or"),
        (lambda: NAFNetConfig(width=0), "width: found 0"),
        (lambda: NAFNetConfig(encoder_blocks=(1, 1)), "decoder_blocks: found 4 levels, expected 2"),
        (lambda: NAFNetConfig(encoder_blocks=(1, 1, 1, -1)), "encoder_blocks: found -1"),
        (lambda: NAFNetConfig(middle_blocks=1.5), "middle_blocks: found 1.5"),
        (lambda: NAFNetConfig(in_planes=3), "at most in_planes, 3"),
        (lambda: NAFNetConfig(in_planes=13, candidates=3), "candidates: found 3, expected at most 2"),
        (lambda: count_macs(NAFNetConfig(), 0, 8), "height_cells: found 0"),
    ],
)
def test_bad_shapes_are_named_in_one_line(make, words):
    with pytest.raises(InputError) as caught:
        make()
    assert words in str(caught.value)
