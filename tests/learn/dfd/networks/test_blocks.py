import pytest
import torch
from torch import nn

from learn.dfd.networks.blocks import (
    LeakyLayers,
    SharedBatchNorm,
    double,
    draw_weights,
    find_maximum,
    make_convolution,
    pad_to,
    show_detail,
)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_batch_normalisation_is_torchs_own():
    norm, plain = SharedBatchNorm(3), nn.BatchNorm2d(3)
    for seed in range(3):
        features = 2 + 3 * noise(4, 3, 5, 6, seed=seed)
        assert torch.allclose(norm(features), plain(features), atol=1e-5)
    assert torch.allclose(norm.eval()(features), plain.eval()(features), atol=1e-5)


def test_the_maximum_over_pictures_stays_within_its_stack():
    features = torch.arange(6.0).reshape(6, 1, 1, 1)
    assert find_maximum(features, 3).flatten().tolist() == [2, 2, 2, 5, 5, 5]


def test_detail_is_the_same_in_whatever_light_and_contrast_and_says_which_picture_is_sharp():
    sharp = (0.5 + 0.1 * noise(1, 1, 3, 40, 40)).clamp(0, 1)
    blurred = nn.functional.avg_pool2d(sharp[0], 5, 1, 2, count_include_pad=False)[None]
    stack = torch.cat([sharp, blurred], 1)
    detail = show_detail(stack)
    assert torch.allclose(detail.square().mean(), torch.tensor(1.0), atol=0.1)
    assert detail[:, 0].square().mean() > 10 * detail[:, 1].square().mean()
    # The floor is 3 % of this contrast, and counts a little more in half the light.
    assert torch.allclose(show_detail(0.5 * stack + 0.2), detail, atol=0.01 * float(detail.abs().max()))


def test_detail_of_an_even_picture_is_none():
    assert show_detail(torch.full((1, 2, 3, 20, 30), 0.4)).abs().max() < 1e-3


def test_padding_mirrors_and_keeps_what_fits():
    features = noise(1, 2, 10, 16)
    padded = pad_to(features, 8)
    assert padded.shape == (1, 2, 16, 16)
    assert torch.equal(padded[..., 10, :], features[..., 8, :])
    assert pad_to(features[..., :8, :], 8) is not None
    assert pad_to(features[..., :3, :], 8).shape[-2] == 8


def test_doubling_keeps_constants():
    assert torch.equal(double(torch.full((1, 1, 3, 4), 0.5)), torch.full((1, 1, 6, 8), 0.5))


@torch.no_grad()
def test_first_weights_keep_the_size_of_features():
    network = nn.ModuleDict({"body": LeakyLayers(8, 32, 32, 32, 32), "last": make_convolution(32, 1)})
    draw_weights(network, network["last"], slope=0.2, generator=torch.Generator().manual_seed(1))
    found = network["body"](noise(1, 8, 24, 24))
    assert 0.5 < float(found.square().mean().sqrt()) < 2
    assert float(network["last"](found).mean()) == pytest.approx(0.5, abs=0.3)
