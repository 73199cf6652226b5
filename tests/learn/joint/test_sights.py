import math
from dataclasses import replace

import pytest
import torch

import optics
from learn.joint.filter_bank import FilterSettings
from learn.joint.sights import JudgePlan, look_at_lens, trace_fitted, trace_judged
from optics import Sampling
from psf import InputError

PLAN = JudgePlan(
    fit_depths_m=(math.inf, 0.5),
    fit_radii=((0.0, 0.3),),
    depths_m=(math.inf, 0.7),
    radii=(0.2,),
    kernel_px=25,
    sampling=Sampling(16, 24, 8),
    filters=FilterSettings(side_cells=3),
)


def place(lens, radius):
    """The pixel at an image height, to the right of the centre."""
    height, width = lens.sensor.image_shape_px
    return 0.5 * (width - 1) + radius * 0.5 * math.hypot(height, width), 0.5 * (height - 1)


@pytest.mark.filterwarnings("ignore:.* a window of 25 px")
@pytest.mark.parametrize("model", ["geometric", "diffraction"])
def test_judged_kernels_are_those_of_psf_at(lens, model):
    view = trace_judged(lens, lens, replace(PLAN, model=model))
    truth = optics.psf_at(lens, *place(lens, 0.2), 0.7, kernel_px=25, sampling=PLAN.sampling, model=model)
    # But for the light outside the window, which is haze here: rings of f/4 hold some hundredths.
    found, truth = view.kernels[1, 0].flatten(1), truth.float().flatten(1)
    kept = (found.std(1) / truth.std(1))[:, None]
    torch.testing.assert_close(found, kept * truth + (1 - kept) / truth.shape[1], atol=1e-6, rtol=2e-3)
    assert bool((kept > (0.99 if model == "geometric" else 0.95)).all())
    torch.testing.assert_close(view.kernels.sum((-1, -2)), torch.ones_like(view.light))
    torch.testing.assert_close(view.light, torch.ones_like(view.light))


def test_fitted_kernels_keep_the_order_of_the_plan(lens):
    view = trace_fitted(lens, lens, PLAN)
    peaks = view.kernels.amax((-1, -2))[:, 0, 1]
    assert float(peaks[0]) > float(peaks[1])  # infinity first, where the lens is in focus


def test_a_lens_is_seen_where_restorers_are_fitted_and_where_they_are_judged(lens):
    sight = look_at_lens(lens, lens, PLAN)
    assert sight.fitted.kernels.shape == (2, 2, 3, 25, 25)
    assert sight.judged.kernels.shape == (2, 1, 3, 25, 25)
    one = sight.fitted[:, 1:]
    assert torch.equal(one.kernels, sight.fitted.kernels[:, 1:])
    assert one.light.shape == (2, 1, 3)


def test_groups_of_image_heights_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="fit_radii"):
        JudgePlan(radii=(0.5,))
    with pytest.raises(InputError, match="fit_radii"):
        JudgePlan(radii=(0.5, 0.6), fit_radii=((0.5,), (0.5, 0.6)))
