import math

from learn.joint.comparison import compare_lenses, judge_made
from learn.joint.exposures import set_exposure
from learn.joint.filter_bank import FilterSettings
from learn.joint.sights import JudgePlan, look_at_lens
from optics import Sampling

PLAN = JudgePlan(
    fit_depths_m=(math.inf, 0.5),
    fit_radii=((0.0,),),
    depths_m=(math.inf,),
    radii=(0.1,),
    kernel_px=25,
    sampling=Sampling(10, 12, 6),
    filters=FilterSettings(side_cells=3),
)


def test_lenses_are_judged_by_the_same_pictures_and_noise(lens, patches):
    exposure, calls = set_exposure(100.0), []
    sights = dict.fromkeys(("one", "same"), look_at_lens(lens, lens, PLAN))
    found = compare_lenses(
        sights, patches(4), patches(2, seed=3), exposure, plan=PLAN, on_progress=lambda *told: calls.append(told)
    )
    assert found["one"].verdict.worst_psnr_db == found["same"].verdict.worst_psnr_db
    assert calls == [(1, 2), (2, 2)]
    made = judge_made(lens, found["one"].fitted, lens, patches(2, seed=3), exposure, 2, plan=PLAN)
    assert len({verdict.worst_psnr_db for verdict in made}) == 2
