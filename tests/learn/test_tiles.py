import pytest
import torch
from torch.nn import functional

from learn.networks import NAFNetConfig, find_config, make_network
from learn.networks.nafnet import NAFBlock
from learn.tiles import run_tiled
from psf import InputError

CONFIG = NAFNetConfig(6, (1, 1), 1, (1, 1))  # reaches 22 cells


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads on busy cores wait for each other at each of some thousand small operations."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_network(config, strength=0.2, seed=0):
    network, own = make_network(config, generator=generator(seed)), generator(seed + 1)
    with torch.no_grad():
        for values in network.parameters():
            values += strength * torch.randn(values.shape, generator=own)
    return network.eval()


def smooth_planes(height, width, seed=0):
    """Planes that vary slowly and a little from cell to cell, as pictures do."""
    coarse = torch.rand(1, 6, height // 8 + 2, width // 8 + 2, generator=generator(seed))
    large = functional.interpolate(coarse, size=(height, width), mode="bicubic")
    return large + 0.02 * torch.randn(large.shape, generator=generator(seed + 1))


@pytest.mark.parametrize("tile_cells", [16, 64, 512])
@pytest.mark.parametrize("box_cells", [None, 72])
def test_exact_tiles_give_what_one_piece_gives(tile_cells, box_cells):
    network = random_network(find_config("tiny"), 0.05)
    planes = smooth_planes(131, 190)
    with torch.no_grad():
        wanted = network(planes, box_cells)
    found = run_tiled(network, planes, box_cells=box_cells, tile_cells=tile_cells)
    assert (found - wanted).abs().max() < 1e-5
    assert (wanted - planes[:, :4]).abs().max() > 0.05  # the network does something


def test_plain_tiles_are_exact_where_channel_weights_are_constant_and_the_halo_is_wide():
    network = random_network(CONFIG).double()
    for module in network.modules():
        if isinstance(module, NAFBlock):
            torch.nn.init.zeros_(module.sca.weight)
    planes = smooth_planes(101, 140).double()
    edge = 48
    rows, cols = (
        torch.arange(-edge, side + edge + 3)
        .abs()
        .sub(side - 1)
        .abs()
        .neg()
        .add(side - 1)[: (side + 2 * edge + 3) // 4 * 4]
        for side in planes.shape[2:]
    )
    with torch.no_grad():
        wanted = network(planes[:, :, rows][..., cols])[..., edge : edge + 101, edge : edge + 140]
    found = run_tiled(network, planes, exact=False, tile_cells=160, halo_cells=48)
    assert (found - wanted).abs().max() < 1e-11 * wanted.abs().max()


def test_plain_tiles_leave_no_step_at_their_borders():
    network = random_network(find_config("tiny"), 0.03)
    planes = smooth_planes(160, 288)
    with torch.no_grad():
        whole = network(planes, 48)
    found = run_tiled(network, planes, exact=False, box_cells=48, tile_cells=160, halo_cells=32)
    away = slice(48, -48)  # the frame's own edges are mirrored in one and zero in the other
    difference = (found - whole)[..., away, away]
    assert difference.abs().flatten().quantile(0.999) < 1 / 1023
    assert (whole - planes[:, :4]).abs().mean() > 10 / 1023  # of a change that is far larger


def test_a_batch_is_its_pictures_one_by_one():
    network, planes = random_network(CONFIG), torch.rand(2, 6, 60, 70, generator=generator())
    for exact in (True, False):
        both = run_tiled(network, planes, exact=exact, tile_cells=48, halo_cells=8)
        single = [run_tiled(network, one, exact=exact, tile_cells=48, halo_cells=8) for one in planes.split(1)]
        assert both.equal(torch.cat(single))


@pytest.mark.parametrize("exact", [True, False])
def test_progress_is_told_and_ends_at_its_total(exact):
    told = []
    network, planes = random_network(CONFIG), torch.rand(1, 6, 60, 70)
    run_tiled(
        network,
        planes,
        exact=exact,
        tile_cells=48,
        halo_cells=8,
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1][0] == told[-1][1] == len(told)


@pytest.mark.parametrize("exact", [True, False])
def test_an_untrained_network_changes_nothing(exact):
    network, planes = make_network(CONFIG, generator=generator()), torch.rand(1, 6, 60, 70)
    found = run_tiled(network, planes, exact=exact, tile_cells=48, halo_cells=8)
    assert (found - planes[:, :4]).abs().max() < 1e-6  # weights of tiles add up to one


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": torch.nn.Identity()}, "network: found Identity"),
        ({"planes": torch.rand(1, 4, 8, 8)}, "planes: found shape (1, 4, 8, 8)"),
        ({"tile_cells": 0}, "tile_cells: found 0"),
        ({"exact": False, "halo_cells": 6}, "halo_cells: found 6, expected a multiple of 4"),
        ({"exact": False, "halo_cells": -4}, "halo_cells: found -4"),
        ({"exact": False, "tile_cells": 16, "halo_cells": 8}, "at least 3 halos of 8"),
        ({"exact": False, "tile_cells": 50, "halo_cells": 8}, "a multiple of 4"),
        ({"box_cells": -1}, "box_cells: found -1"),
    ],
)
def test_bad_input_is_named_in_one_line(change, words):
    good = {"network": make_network(CONFIG, generator=generator()), "planes": torch.rand(1, 6, 8, 8)}
    arguments = {**good, **change}
    with pytest.raises(InputError) as caught:
        run_tiled(arguments.pop("network"), arguments.pop("planes"), **arguments)
    assert words in str(caught.value)
