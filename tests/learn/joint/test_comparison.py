import math

from learn.joint.comparison import compare_lenses, judge_made
from learn.joint.exposures import set_exposure
from learn.joint.filter_bank import FilterSettings
from learn.joint.judging import JudgePlan
from optics import Sampling, keep_limits

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
    exposure = set_exposure(100.0)
    lenses = {"one": lens, "same": lens}
    calls = []
    found = compare_lenses(
        lenses, lens, keep_limits(lens, slack=0.01), patches(4), patches(2, seed=3), exposure,
        plan=PLAN, on_progress=lambda *told: calls.append(told),
    )  # fmt: skip
    assert found["one"].verdict.worst_psnr_db == found["same"].verdict.worst_psnr_db
    assert found["one"].violation == 0
    assert calls == [(1, 2), (2, 2)]
    made = judge_made(found["one"], lens, patches(2, seed=3), exposure, 2, plan=PLAN)
    assert len({verdict.worst_psnr_db for verdict in made}) == 2
