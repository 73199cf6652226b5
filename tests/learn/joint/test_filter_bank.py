import pytest
import torch

from learn.joint.exposures import Exposed
from learn.joint.filter_bank import FilterSettings, Normals, apply_filters, solve_filters, sum_normals
from psf import InputError

SMALL = FilterSettings(side_cells=3, ridge=1e-9, dark_floor=0.1)


def draw(depths=2, heights=1, count=3, side=9, seed=0, dtype=torch.float64):
    own = torch.Generator().manual_seed(seed)
    sharp = torch.rand((count, 4, side, side), generator=own, dtype=dtype)
    noise = torch.rand((depths, heights, count, 4, side, side), generator=own, dtype=dtype)
    return Exposed(sharp + 0.3 * (noise - 0.5), sharp)


def test_filters_are_weighted_least_squares():
    exposed = draw(depths=1)
    filters = solve_filters(sum_normals(exposed, SMALL), torch.ones(1), SMALL)[0]
    rows, wanted = [], []
    for noisy, sharp in zip(exposed.noisy[0, 0], exposed.sharp, strict=True):
        for row in range(1, 8):
            for col in range(1, 8):
                root = (sharp[:, row - 1 : row + 2, col - 1 : col + 2].mean() + 0.1) ** -0.5
                around = noisy[:, row - 1 : row + 2, col - 1 : col + 2].flatten()
                rows.append(root * torch.cat([around, torch.ones(1, dtype=torch.float64)]))
                wanted.append(root * (sharp - noisy)[:, row, col])
    plain = torch.linalg.lstsq(torch.stack(rows), torch.stack(wanted)).solution
    torch.testing.assert_close(filters, plain, atol=1e-5, rtol=1e-4)


def test_restored_is_the_filter_applied_cell_by_cell():
    exposed = draw(depths=2, heights=2)
    filters = torch.rand((2, SMALL.features, 4), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = apply_filters(filters, exposed.noisy, SMALL)
    around = torch.cat([exposed.noisy[1, 1, 2, :, 3:6, 4:7].flatten(), torch.ones(1, dtype=torch.float64)])
    expected = around @ filters[1] + exposed.noisy[1, 1, 2, :, 4, 5]
    torch.testing.assert_close(found[1, 1, 2, :, 3, 4], expected)


def test_gradients_pass_through_the_solution():
    exposed = draw(depths=2, count=1, side=3)

    def error(noisy):
        settings = FilterSettings(side_cells=1, ridge=1e-3)
        normals = sum_normals(Exposed(noisy, exposed.sharp), settings)
        filters = solve_filters(normals, torch.tensor([0.3, 0.7]), settings)
        return (apply_filters(filters, noisy, settings) - exposed.sharp).square().mean()

    assert torch.autograd.gradcheck(error, exposed.noisy.clone().requires_grad_())


def test_a_depth_that_weighs_more_is_restored_better():
    exposed = draw(depths=2, seed=2)
    exposed = Exposed(exposed.noisy * torch.tensor([1.0, 0.6]).reshape(2, 1, 1, 1, 1, 1), exposed.sharp)
    normals = sum_normals(exposed, SMALL)
    errors = []
    for weights in ((0.9, 0.1), (0.1, 0.9)):
        restored = apply_filters(solve_filters(normals, torch.tensor(weights), SMALL), exposed.noisy, SMALL)
        inner = exposed.sharp[..., 1:-1, 1:-1]
        errors.append((restored - inner).square().mean((1, 2, 3, 4, 5)))
    assert bool(errors[0][0] < errors[1][0])
    assert bool(errors[1][1] < errors[0][1])


def test_normals_are_per_cell():
    once, twice = draw(count=2), draw(count=2)
    doubled = Exposed(torch.cat([twice.noisy] * 2, 2), torch.cat([twice.sharp] * 2))
    torch.testing.assert_close(sum_normals(once, SMALL).gram, sum_normals(doubled, SMALL).gram)
    assert isinstance(sum_normals(once, SMALL), Normals)


@pytest.mark.parametrize("change", [{"side_cells": 2}, {"ridge": 0.0}, {"dark_floor": -1.0}])
def test_unusable_settings_are_refused(change):
    with pytest.raises(InputError, match="FilterSettings"):
        FilterSettings(**change)
