import torch

from psf.estimators import taps
from psf.estimators.normal_equations import View
from psf.estimators.physical_judging import find_edges, find_least_regret, hold_back, regrid


def test_other_cells_hold_the_same_light():
    places = torch.tensor([0.2, 0.8]).double(), torch.tensor([1.0, 2.0]).double()
    old, new = View(9, 9, 4), View(9, 15, 7)
    kernels = torch.rand(2, taps.count_taps(9), generator=torch.Generator().manual_seed(0)).double()
    kernels = kernels / (kernels @ taps.multiplicity(9))[:, None]
    fine = regrid(kernels, find_edges(old, *places), find_edges(new, *places))
    torch.testing.assert_close(fine @ taps.multiplicity(15), torch.ones(2).double())
    # Light is even over a cell: the fine cell on the axis has (9 / 15)^2 of the coarse one's.
    middle = taps.unfold(fine, 15)[:, 7, 7]
    torch.testing.assert_close(middle, 0.36 * taps.unfold(kernels, 9)[:, 4, 4])


def test_the_same_cells_keep_what_they_have():
    places = torch.tensor([0.5]).double(), torch.tensor([1.0]).double()
    view = View(9, 9, 4)
    kernels = torch.rand(1, taps.count_taps(9), generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(regrid(kernels, find_edges(view, *places), find_edges(view, *places)), kernels)


def test_depths_to_judge_by_are_not_learnt_from():
    kept, held = hold_back(20, 6, 8)
    assert torch.equal(kept + held, torch.ones(20))
    assert held[3] == held[9] == held[15] == 1
    assert held.sum() == 3
    few, same = hold_back(5, 6, 8)
    assert torch.equal(few, torch.ones(5))
    assert torch.equal(few, same)


def test_one_depth_in_focus_does_not_outvote_the_others():
    errors = torch.tensor([[400.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0], [0.0, 25.0, 25.0, 25.0, 25.0, 25.0, 25.0, 25.0]])
    assert errors.sum(1).argmin() == 1
    assert find_least_regret(errors) == 0
    assert find_least_regret(errors[:, :3]) == 1


def test_of_equals_the_first_is_taken():
    assert find_least_regret(torch.zeros(3, 4)) == 0
