import csv
import math
from dataclasses import replace

import pytest
import torch

import learn.joint.commands_judge as commands
from learn.joint.commands_judge import JudgeOptions, run_judge
from learn.joint.filter_bank import FilterSettings
from learn.joint.sights import JudgePlan, Sight, View
from optics import keep_limits
from psf import InputError

SMALL = JudgeOptions(
    side_px=24, judged=1, fitted=4, judges=("ridge", "waves", "tiny"), tiny_shared_steps=1, tiny_steps=1, tiny_pool=2
)

PLAN = JudgePlan(
    fit_depths_m=(math.inf, 0.5),
    fit_radii=((0.0,),),
    depths_m=(math.inf,),
    radii=(0.1,),
    kernel_px=25,
    filters=FilterSettings(side_cells=3),
)


@pytest.fixture
def looks(monkeypatch, patches):
    """No lens is traced and no photograph is opened: every lens draws a point, of half the light where it has waves."""
    found = []

    def look(lens, published, plan):
        found.append(plan.model)
        kernels = torch.zeros(len(plan.depths_m), len(plan.radii), 3, plan.kernel_px, plan.kernel_px)
        kernels[..., plan.kernel_px // 2, plan.kernel_px // 2] = 1
        light = torch.ones(kernels.shape[:3]) * (0.5 if plan.model == "diffraction" else 1.0)
        fitted = [len(plan.fit_depths_m), len(plan.all_fit_radii)]
        return Sight(
            View(kernels[:1, :1].expand(*fitted, *kernels.shape[2:]), light[:1, :1].expand(*fitted, 3)),
            View(kernels, light),
        )

    monkeypatch.setattr(commands, "look_at_lens", look)
    monkeypatch.setattr(commands, "draw_patches", lambda _, count, side, margin, own: patches(count, side, margin + 1))
    return found


def test_every_judge_has_a_table_and_a_word(looks, lens, tmp_path):
    said, calls = [], []
    lenses = {"published": lens, "joint": lens.refocused(0.5)}
    found = run_judge(
        SMALL, lenses, keep_limits(lens, slack=0.02), None, None, tmp_path,
        plan=PLAN, say=said.append, on_progress=lambda *told: calls.append(told),
    )  # fmt: skip
    assert looks == ["geometric"] * 2 + ["diffraction"] * 2
    assert set(found.compared) == set(found.sights) == set(lenses)
    for judge in SMALL.judges:
        with (tmp_path / f"judged_{judge}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["lens"] for row in rows] == list(lenses)
        assert found.told[judge]["gains_db"] == [0.0]
    assert sum("over the best control: +0.00 dB" in line for line in said) == 3
    # Half the light is a dark picture.
    ridge, waves = (found.told[judge]["lenses"]["joint"]["worst_blurred_psnr_db"][0] for judge in ("ridge", "waves"))
    assert ridge > waves + 3
    assert calls[-1] == ("joint", 1, 1)


def test_only_those_judge_who_are_asked(looks, lens, tmp_path):
    options = replace(SMALL, judges=("tiny",))
    found = run_judge(options, {"published": lens, "joint": lens}, (), None, None, tmp_path, plan=PLAN)
    assert set(found.told) == {"depths_m", "radii", "outside_limits", "tiny"}
    assert not found.compared


@pytest.mark.parametrize(("name", "value"), [("judgings", 0), ("fitted", 3), ("tiny_steps", 0), ("made", -1)])
def test_options_of_nothing_are_refused(name, value):
    with pytest.raises(InputError, match=name.replace("_", "-")):
        replace(SMALL, **{name: value}).check()
