import math

import torch

from learn.joint.exposures import set_exposure
from learn.joint.filter_bank import FilterSettings
from learn.joint.judging import Fitted
from learn.joint.showing import show_patch
from learn.joint.sights import JudgePlan, trace_judged
from optics import Sampling

PLAN = JudgePlan(
    fit_radii=((0.0,), (0.5,)),
    depths_m=(math.inf, 0.3),
    radii=(0.0, 0.5),
    kernel_px=25,
    sampling=Sampling(8, 10, 6),
    filters=FilterSettings(side_cells=3),
)


def test_a_patch_is_shown_at_every_depth(lens, patches):
    fitted = Fitted(torch.zeros(2, PLAN.filters.features, 4), torch.full((2,), 0.5), held_worst_db=20.0)
    view = trace_judged(lens, lens, PLAN)
    given, restored, sharp = show_patch(
        view, fitted, patches(1), set_exposure(100.0), PLAN, torch.Generator().manual_seed(0)
    )
    assert given.shape == restored.shape == (2, 3, 16, 16)
    assert sharp.shape == (3, 16, 16)
    # Filters of zeros add nothing to what was there.
    assert torch.equal(given, restored)
