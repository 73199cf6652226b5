import math
from dataclasses import replace

import pytest
import torch

from learn.joint.exposures import Exposure
from learn.joint.filter_bank import FilterSettings
from learn.joint.judging import fit_restorer, judge_fitted, judge_restorer
from learn.joint.sights import JudgePlan, trace_fitted, trace_judged
from learn.joint.tiny_restorer import crop
from optics import Sampling
from psf import InputError
from render import RawSensor

PLAN = JudgePlan(
    fit_depths_m=(math.inf, 0.5),
    fit_radii=((0.0, 0.3),),
    depths_m=(math.inf, 0.7),
    radii=(0.2,),
    kernel_px=25,
    sampling=Sampling(16, 24, 8),
    filters=FilterSettings(side_cells=3),
)
QUIET = Exposure(RawSensor(bits=12), 1e-6, 1e-8)


def test_a_restorer_lifts_the_worst_depth_where_it_was_not_fitted(lens, patches):
    near = lens.refocused(0.5)
    view = trace_fitted(near, lens, PLAN)
    fitted = fit_restorer(view, patches(32), QUIET, PLAN, torch.Generator().manual_seed(1))
    fresh = patches(3, seed=7)
    judged = trace_judged(near, lens, PLAN)
    verdict = judge_fitted(fitted, judged, fresh, QUIET, PLAN, torch.Generator().manual_seed(2))
    assert verdict.psnr_db.shape == (2,)
    assert verdict.places_psnr_db.shape == (2, 1)
    # Weights of depths have settled for the worst of them; the others may pay for it.
    assert verdict.worst_psnr_db == float(verdict.psnr_db.min())
    plan = replace(PLAN, depths_m=PLAN.fit_depths_m)
    there = trace_judged(near, lens, plan)
    settled = judge_fitted(fitted, there, fresh, QUIET, plan, torch.Generator().manual_seed(2))
    assert settled.worst_psnr_db > float(settled.blurred_psnr_db.min()) + 0.4


def test_a_restorer_that_does_nothing_is_worth_what_it_was_given(lens, patches):
    def cut(noisy):
        return crop(noisy, PLAN.filters.border_cells).contiguous()

    view = trace_judged(lens, lens, PLAN)
    verdict = judge_restorer(cut, view, patches(2), QUIET, PLAN, torch.Generator().manual_seed(2))
    assert torch.equal(verdict.psnr_db, verdict.blurred_psnr_db)


def test_too_few_patches_for_fit_weights_and_choice_are_refused(lens, patches):
    with pytest.raises(InputError, match="patches"):
        fit_restorer(trace_fitted(lens, lens, PLAN), patches(3), QUIET, PLAN, torch.Generator())
