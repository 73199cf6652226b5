from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from learn.networks import NAFNetConfig, find_config, make_network
from learn.networks.nafnet import NAFBlock, NAFNet, multiply_halves
from psf import InputError

F64 = torch.float64
SMALL = NAFNetConfig(4, (1, 1), 1, (1, 1))
# Golden arrays are float64 sums of another program.
TOLERANCE = 1e-10


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_network(config=SMALL, seed=0):
    """A network in which every weight counts."""
    network, own = make_network(config, generator=generator(seed)), generator(seed + 1)
    with torch.no_grad():
        for values in network.parameters():
            values += 0.3 * torch.randn(values.shape, generator=own)
    return network


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parents[2] / "data" / "nafnet_golden.npz") as file:
        return {name: torch.from_numpy(values) for name, values in file.items()}


def put(module, golden, prefix):
    with torch.no_grad():
        for name, values in module.named_parameters(recurse=False):
            values.copy_(golden[f"{prefix}{'_' if prefix[-1] != '.' else ''}{name[0]}"].reshape(values.shape))


def put_block(block, golden, prefix):
    for name, layer in block.named_children():
        put(layer, golden, prefix + name)
    with torch.no_grad():
        for name in ("beta", "gamma"):
            getattr(block, name).copy_(golden[prefix + name].reshape(1, -1, 1, 1))


def test_a_block_computes_what_the_published_one_does(golden):
    block = NAFBlock(8).double()
    put_block(block, golden, "block__")
    x = golden["block__x"]
    assert (block.norm1(x) - golden["block__norm1"]).abs().max() < TOLERANCE
    gated = multiply_halves(block.conv2(block.widen(x)))
    assert (gated - golden["block__gate"]).abs().max() < TOLERANCE
    means = gated.mean((2, 3), keepdim=True)
    assert (block.sca(means) - golden["block__sca"]).abs().max() < TOLERANCE
    assert (block(x) - golden["block__out"]).abs().max() < TOLERANCE


def golden_network(golden):
    network = NAFNet(SMALL).double()
    for name in ("intro", "ending"):
        put(getattr(network, name), golden, f"net__{name}")
    for level in range(2):
        put_block(network.encoders[level][0], golden, f"net__enc{level}.")
        put_block(network.decoders[level][0], golden, f"net__dec{level}.")
        put(network.downs[level], golden, f"net__down{level}")
        put(network.ups[level], golden, f"net__up{level}")
    put_block(network.middle[0], golden, "net__mid.")
    return network


def test_the_network_computes_what_the_published_one_does(golden):
    network = golden_network(golden)
    assert (network(golden["net__x"]) - golden["net__out"]).abs().max() < TOLERANCE
    single = network.float()(golden["net__x"].float())
    assert (single - golden["net__out"]).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["tiny", "nafnet32_sidd"])
def test_an_untrained_network_returns_the_picture_that_it_is_given(name):
    network = make_network(find_config(name), generator=generator())
    planes = torch.rand(2, 6, 19, 34, generator=generator())
    assert network(planes).equal(planes[:, :4])


def test_planes_beside_the_picture_start_without_influence():
    network = random_network()
    fresh = make_network(SMALL, generator=generator())
    network.intro.load_state_dict(fresh.intro.state_dict())
    planes = torch.rand(1, 6, 16, 16, generator=generator())
    other = torch.cat([planes[:, :4], 7 * planes[:, 4:]], 1)
    assert network(planes).equal(network(other))


def test_a_network_may_add_what_a_candidate_changes_and_that_alone():
    network = make_network(NAFNetConfig(4, (1,), 1, (1,), in_planes=13, candidates=2), generator=generator())
    planes = torch.rand(1, 13, 8, 8, generator=generator(1))
    assert torch.equal(network(planes), planes[:, :4])
    with torch.no_grad():
        network.ending.bias[5] = 1.0  # so much of the second one, everywhere
    torch.testing.assert_close(network(planes), planes[:, :4] + planes[:, 9:])


def test_the_start_is_the_same_whatever_a_network_is_told_besides():
    few, many = (make_network(NAFNetConfig(4, (1,), 1, (1,), in_planes=n), generator=generator()) for n in (4, 7))
    assert torch.equal(many.intro.weight[:, :4], few.intro.weight)
    assert torch.equal(many.middle[0].conv1.weight, few.middle[0].conv1.weight)


def test_every_weight_that_counts_has_a_finite_gradient():
    network = make_network(SMALL, generator=generator())
    planes = torch.rand(2, 6, 13, 18, generator=generator())
    optimiser = torch.optim.AdamW(network.parameters(), 1e-2)
    for _ in range(3):  # scales that start at zero hide what stands before them in the first steps
        optimiser.zero_grad()
        (network(planes) - planes[:, :4] ** 2).abs().mean().backward()
        optimiser.step()
    for name, values in network.named_parameters():
        assert values.grad is not None, name
        assert values.grad.isfinite().all(), name
        assert values.grad.abs().max() > 0, name


def test_gradient_by_the_picture_is_true():
    network = random_network().double()
    planes = torch.rand(1, 6, 5, 6, generator=generator(), dtype=F64).requires_grad_()
    assert torch.autograd.gradcheck(network, planes, fast_mode=True)
    assert torch.autograd.gradcheck(lambda x: network(x, 3), planes, fast_mode=True)


def test_a_padded_picture_is_cut_again():
    network = random_network()
    planes = torch.rand(1, 6, 13, 10, generator=generator())
    padded = functional.pad(planes, (0, 2, 0, 3))
    assert (network(planes) - network(padded)[..., :13, :10]).abs().max() < 1e-6


def test_no_cell_farther_than_the_reach_is_seen():
    # A network whose channel weights are constant, one cell perturbed.
    config = NAFNetConfig(4, (1, 1), 1, (1, 1), 4, 4)
    network = random_network(config).double()
    for module in network.modules():
        if isinstance(module, NAFBlock):
            torch.nn.init.zeros_(module.sca.weight)
    planes = torch.rand(1, 4, 80, 80, generator=generator(), dtype=F64)
    changed = planes.clone()
    changed[..., 40, 41] += 1
    seen = (network(planes) - network(changed)).abs().amax((0, 1)) > 0
    rows, cols = seen.nonzero().unbind(1)
    farthest = max((rows - 40).abs().max(), (cols - 41).abs().max())
    assert config.reach_cells / 2 < farthest <= config.reach_cells


def test_the_same_seed_gives_the_same_network_whatever_torch_has_drawn():
    one = make_network(SMALL, generator=generator(3)).state_dict()
    torch.rand(5)
    two = make_network(SMALL, generator=generator(3)).state_dict()
    other = make_network(SMALL, generator=generator(4)).state_dict()
    assert all(values.equal(two[name]) for name, values in one.items())
    assert not one["downs.0.weight"].equal(other["downs.0.weight"])


def test_building_a_network_draws_nothing_from_torch():
    before = torch.get_rng_state()
    make_network(SMALL, generator=generator())
    assert before.equal(torch.get_rng_state())


def test_channels_last_is_the_same_network():
    network = random_network()
    planes = torch.rand(1, 6, 24, 20, generator=generator())
    wanted = network(planes)
    last = network.to(memory_format=torch.channels_last)(planes.contiguous(memory_format=torch.channels_last))
    assert (last - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_half_precision_trains_and_is_close():
    network = random_network()
    planes = torch.rand(2, 6, 24, 20, generator=generator())
    wanted = network(planes)
    with torch.autocast("cpu", torch.bfloat16):
        found = network(planes)
    assert (found - wanted).abs().mean() < 0.02 * wanted.abs().mean()  # 8 bits
    found.float().square().mean().backward()
    for values in network.parameters():
        assert values.grad.dtype == torch.float32
        assert values.grad.isfinite().all()


def test_an_empty_batch_stays_empty():
    assert make_network(SMALL, generator=generator())(torch.zeros(0, 6, 8, 8)).shape == (0, 4, 8, 8)


@pytest.mark.parametrize(
    ("planes", "box_cells", "words"),
    [
        (torch.zeros(1, 4, 8, 8), None, "planes: found shape (1, 4, 8, 8), expected shape (B, 6, H, W)"),
        (torch.zeros(6, 8, 8), None, "shape (6, 8, 8)"),
        (torch.zeros(1, 6, 0, 8), None, "at least one cell"),
        (torch.zeros(1, 6, 8, 8, dtype=F64), None, "torch.float64, expected torch.float32"),
        (torch.zeros(1, 6, 8, 8, dtype=torch.int32), None, "floating numbers"),
        (torch.zeros(1, 6, 8, 8), 0, "box_cells: found 0"),
    ],
)
def test_bad_input_is_named_in_one_line(planes, box_cells, words):
    with pytest.raises(InputError) as caught:
        NAFNet(SMALL)(planes, box_cells)
    assert words in str(caught.value)


def test_a_network_needs_a_configuration():
    with pytest.raises(InputError, match="find_config"):
        NAFNet("tiny")


# A task small enough for a test: dead leaves, a lopsided blur, and noise.


def draw_leaves(count, side, own):
    """Discs of random grey on one another, four planes of one picture a little apart."""
    pictures = torch.full((count, 4, side, side), 0.5)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    for picture in pictures:
        for _ in range(40):
            row, col, radius, *grey = torch.rand(7, generator=own).tolist()
            inside = (y - side * row) ** 2 + (x - side * col) ** 2 < (side * (0.04 + 0.2 * radius**3)) ** 2
            picture[:, inside] = torch.tensor(grey)[:, None]
    return pictures


def spoil(sharp, own):
    kernel = torch.tensor([[0.0, 0.1, 0.1], [0.1, 0.2, 0.2], [0.1, 0.1, 0.1]]).expand(4, 1, 3, 3)
    blurred = functional.conv2d(functional.pad(sharp, (1,) * 4, mode="replicate"), kernel, groups=4)
    return blurred + 0.08 * torch.randn(sharp.shape, generator=own)


def test_a_tiny_network_learns_to_restore():
    own = generator(5)
    sharp = draw_leaves(72, 32, own)
    network = make_network(find_config("tiny", in_planes=4), generator=own)
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3, betas=(0.9, 0.9))
    for _ in range(90):
        wanted = sharp[torch.randint(64, (4,), generator=own)]
        loss = (network(spoil(wanted, own)) - wanted).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    wanted = sharp[64:]  # which it has not seen
    noisy = spoil(wanted, own)
    with torch.no_grad():
        before, after = ((one - wanted).square().mean() for one in (noisy, network(noisy)))
    assert 10 * torch.log10(before / after) > 1
