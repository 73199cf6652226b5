import math
from dataclasses import replace

import pytest
import torch

import optics
from learn.joint.exposures import Exposure
from learn.joint.filter_bank import FilterSettings
from learn.joint.judging import JudgePlan, fit_restorer, judge_lens, trace_fit, trace_places
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
    fitted = fit_restorer(near, lens, patches(32), QUIET, PLAN, torch.Generator().manual_seed(1))
    verdict = judge_lens(near, lens, fitted, patches(3, seed=7), QUIET, PLAN, torch.Generator().manual_seed(2))
    assert verdict.psnr_db.shape == (2,)
    assert verdict.places_psnr_db.shape == (2, 1)
    # Weights of depths have settled for the worst of them; the others may pay for it.
    assert verdict.worst_psnr_db == float(verdict.psnr_db.min())
    fit_depths = replace(PLAN, depths_m=PLAN.fit_depths_m)
    settled = judge_lens(near, lens, fitted, patches(3, seed=7), QUIET, fit_depths, torch.Generator().manual_seed(2))
    assert settled.worst_psnr_db > float(settled.blurred_psnr_db.min()) + 0.4


def test_judged_kernels_are_those_of_psf_at(lens):
    kernels, light = trace_places(lens, lens, PLAN)
    half = 0.5 * math.hypot(*lens.sensor.image_shape_px)
    height, width = lens.sensor.image_shape_px
    x_px, y_px = 0.5 * (width - 1) + 0.2 * half, 0.5 * (height - 1)
    truth = optics.psf_at(lens, x_px, y_px, 0.7, kernel_px=25, sampling=PLAN.sampling)
    # Here the light outside the window is haze.
    torch.testing.assert_close(kernels[1, 0], truth.float(), atol=1e-4, rtol=2e-3)
    torch.testing.assert_close(light, torch.ones_like(light))


def test_fitted_kernels_keep_the_order_of_the_plan(lens):
    kernels, _ = trace_fit(lens, lens, PLAN)
    peaks = kernels.amax((-1, -2))[:, 0, 1]
    assert float(peaks[0]) > float(peaks[1])  # infinity first, where the lens is in focus


def test_too_few_patches_for_fit_weights_and_choice_are_refused(lens, patches):
    with pytest.raises(InputError, match="patches"):
        fit_restorer(lens, lens, patches(3), QUIET, PLAN, torch.Generator())


def test_groups_of_image_heights_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="fit_radii"):
        JudgePlan(radii=(0.5,))
    with pytest.raises(InputError, match="fit_radii"):
        JudgePlan(radii=(0.5, 0.6), fit_radii=((0.5,), (0.5, 0.6)))
