import math

import numpy as np
import pytest
import torch

import optics
from optics.fastgrid import _Job, _reach
from psf.errors import InputError

F64 = torch.float64


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"radial": 7}, "radial"), ({"radial": 18}, "radial"), ({"angular": 5}, "angular"), ({"rings": 4096}, "rings")],
)
def test_samplings_that_cannot_work_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        optics.GridSampling(**arguments)


def test_wider_blur_gets_more_sub_rays(kernels):
    lens = kernels.lens("cooke_triplet")
    depths, radii = torch.tensor([2.0, math.inf], dtype=F64), torch.tensor([0.0, 1.0], dtype=F64)
    rings = _Job(lens, depths, radii, lens.channels, None, optics.GridSampling())._rings()
    assert np.all(rings[:, 0] > rings[:, 1])


def test_ellipses_that_are_too_small_are_enlarged(kernels, monkeypatch):
    lens = kernels.lens("cooke_triplet")
    depths, radii = torch.tensor([5.0, math.inf], dtype=F64), torch.tensor([0.5], dtype=F64)
    whole = _Job(lens, depths, radii, lens.channels, None, optics.GridSampling())
    import optics.fastgrid as module

    def too_small(*arguments):
        found = find_ellipses(*arguments)
        return optics.pupil.Ellipses(found.centre_mm, 0.96 * found.semi_u_mm, 0.96 * found.semi_v_mm)

    find_ellipses = module.find_ellipses
    monkeypatch.setattr(module, "find_ellipses", too_small)
    again = _Job(lens, depths, radii, lens.channels, None, optics.GridSampling())
    one, other = (job.run(41, 1, F64, None) for job in (whole, again))
    assert kernels.l1(one.kernels, other.kernels).max() < 0.01
    assert torch.allclose(one.beam, other.beam, rtol=1e-3)


def test_reach_is_where_the_share_is_first_held():
    extents = np.array([[0.5, 0.3, 0.15, 0.05]])
    assert _reach(extents, 0.9).tolist() == [2]
    assert _reach(extents, 0.5).tolist() == [0]
