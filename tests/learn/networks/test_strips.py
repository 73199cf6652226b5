import pytest
import torch

from learn.networks import NAFNetConfig, make_network, run_strips
from psf import InputError

CONFIG = NAFNetConfig(6, (1, 0, 2), 1, (0, 1, 1))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def network():
    made, own = make_network(CONFIG, generator=generator()), generator(1)
    with torch.no_grad():
        for values in made.parameters():
            values += 0.2 * torch.randn(values.shape, generator=own)
    return made


@pytest.mark.parametrize("box_cells", [None, 9, 24, 500])
@pytest.mark.parametrize("strip_cells", [1, 300, 10**6])
def test_strips_give_what_one_piece_gives(network, box_cells, strip_cells):
    planes = torch.rand(2, 6, 45, 61, generator=generator())
    with torch.no_grad():
        wanted = network(planes, box_cells)
    found = run_strips(network, planes, box_cells=box_cells, strip_cells=strip_cells)
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()  # float32 sums in another order


def test_strips_mix_candidates_as_one_piece_does():
    made, own = (
        make_network(NAFNetConfig(6, (1,), 1, (1,), in_planes=13, candidates=2), generator=generator()),
        generator(1),
    )
    with torch.no_grad():
        for values in made.parameters():
            values += 0.2 * torch.randn(values.shape, generator=own)
        planes = torch.rand(1, 13, 21, 33, generator=generator())
        wanted = made(planes, 9)
    found = run_strips(made, planes, box_cells=9, strip_cells=100)
    assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_strips_are_exact_in_double_precision(network):
    double = make_network(CONFIG, generator=generator()).double()
    double.load_state_dict(network.state_dict())
    planes = torch.rand(1, 6, 45, 61, generator=generator(), dtype=torch.float64)
    with torch.no_grad():
        wanted = double(planes, 9)
    assert (run_strips(double, planes, box_cells=9, strip_cells=300) - wanted).abs().max() < 1e-12 * wanted.abs().max()


def test_progress_ends_where_it_said(network):
    told = []
    run_strips(network, torch.rand(2, 6, 16, 16), on_progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert {total for _, total in told} == {len(told)}


def test_the_input_is_left_as_it_was(network):
    planes = torch.rand(1, 6, 16, 16, generator=generator())
    kept = planes.clone()
    assert not run_strips(network, planes).requires_grad
    assert planes.equal(kept)


def test_planes_of_another_network_are_refused(network):
    with pytest.raises(InputError, match="planes"):
        run_strips(network, torch.rand(1, 4, 16, 16))
