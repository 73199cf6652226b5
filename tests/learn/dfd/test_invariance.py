from dataclasses import replace

import pytest
import torch

from learn.dfd.invariance import make_invariant, weigh_radii
from psf import InputError


def test_one_kernel_serves_the_whole_sensor(lens):
    field = lens()
    found = make_invariant(field)
    assert torch.equal(found.kernels[:, 0], found.kernels[:, -1])
    assert torch.allclose(found.kernels.sum((-2, -1)), torch.ones(()), atol=1e-5)
    assert torch.equal(found.transmission, field.transmission)
    assert found.focus_m == field.focus_m


def test_it_does_not_change_when_it_is_turned(lens):
    """Down to what reading between the pixels of a kernel of whole pixels does to it."""
    found = make_invariant(lens())
    one, two = (found.at_pixel(torch.tensor(x), torch.tensor(y), 1.0) for x, y in ((250.0, 110.0), (40.0, 30.0)))
    assert float((one - two).abs().sum((-2, -1)).max()) / 2 < 0.05


def test_round_kernels_of_an_ideal_lens_stay(fields):
    """Discs are round; only the square pixels are not, which shows where a disc is no larger than these."""
    field = fields[0]
    change = (make_invariant(field).kernels - field.kernels).abs().sum((-2, -1)).amax((1, 2)) / 2
    assert float(change[-1]) < 0.03
    assert float(change.max()) < 0.2


def test_radii_count_as_much_as_their_area(lens):
    field = lens()
    weights = weigh_radii(field)
    assert float(weights.sum()) == pytest.approx(1)
    # The centre is a point, the corner four.
    assert float(weights[0]) < float(weights[2]) > float(weights[-1])
    assert weigh_radii(replace(field, **first_radius(field))).tolist() == [1.0]


def first_radius(field):
    cut = {name: getattr(field, name)[:, :1] for name in ("kernels", "transmission", "lost")}
    return {**cut, "radii": field.radii[:1]}


def test_an_estimate_may_stand_in_for_the_mean(lens):
    field = lens()
    own = field.kernels[:, 2]
    assert torch.equal(make_invariant(field, own).kernels[:, 0], make_invariant(field, own).kernels[:, 3])
    with pytest.raises(InputError, match=r"kernels\): found shape"):
        make_invariant(field, own[..., :-2])
    with pytest.raises(InputError, match="a kernel without light"):
        make_invariant(field, torch.zeros_like(own))
