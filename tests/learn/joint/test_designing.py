import csv
import itertools
import math
from dataclasses import replace

import pytest
import torch

import optics
from learn.joint.design_grid import DesignGrid
from learn.joint.designing import LENSES_FOLDER, RESTART_GAIN_DB, TABLE_FILE, design_jointly, draw_pictures
from optics import FOCUS, Sampling
from psf import InputError

SAMPLING = Sampling(12, 12, 6)


def toy(settings, depths_m, steps, **changes):
    """A camera whose focus alone is free, and a restorer that does nothing."""
    grid = DesignGrid(depths_m, (0.0,), 25, True, SAMPLING, False)
    return settings(free=(FOCUS,), restorer="none", grid=grid, steps=steps, box_steps=0.5, slack=0.5, **changes)


def test_one_depth_without_a_restorer_ends_at_its_best_focus(lens, patches, settings):
    start = lens.refocused(0.3, "spot")
    found = design_jointly(start, patches(4), toy(settings, (1.0,), 9))
    best_mm = float(lens.refocused(1.0, "spot").surfaces[-1].thickness_mm)
    begun_mm, ended_mm = (float(one.surfaces[-1].thickness_mm) for one in (start, found.lens))
    # A few um of 24 between the two: the sharpest picture is not exactly that of the smallest RMS spot.
    assert abs(begun_mm - best_mm) > 0.02
    assert abs(ended_mm - best_mm) < 0.003


def test_two_depths_without_a_restorer_meet_in_the_middle(lens, patches, settings):
    found = design_jointly(lens.refocused(math.inf, "spot"), patches(4), toy(settings, (math.inf, 0.25), 9))
    # Two discs are alike where the image of the middle lies, in dioptres: 2 of 0 and 4.
    middle_mm = float(lens.refocused(0.5, "spot").surfaces[-1].thickness_mm)
    assert abs(float(found.lens.surfaces[-1].thickness_mm) - middle_mm) < 0.004
    kept = [one.depth_psnr_db for one in found.iterates if not one.refused]
    (far, near), (begun_far, begun_near) = kept[-1], kept[0]
    # A soft maximum and a tenth of the mean leave a little between the two.
    assert abs(far - near) < 0.1 * abs(begun_far - begun_near)


def test_a_design_that_promises_nothing_begins_anew_until_that_gains_nothing(lens, patches, settings):
    options = toy(settings, (1.0,), 20, least_gain_db=10.0)
    found = design_jointly(lens.refocused(0.3, "spot"), patches(4), options)
    best_db = [min(one.objective_db for one in found.iterates[:count]) for count in range(1, len(found.iterates) + 1)]
    assert 2 < len(best_db) < 20
    gains_db = [before - after for before, after in itertools.pairwise(best_db)]
    assert all(gain >= RESTART_GAIN_DB for gain in gains_db[:-1])
    assert gains_db[-1] < RESTART_GAIN_DB


def test_a_design_that_was_stopped_goes_on_with_the_same_steps(lens, patches, settings, tmp_path):
    options = settings(steps=3)
    whole = design_jointly(lens, patches(4), options)
    design_jointly(lens, patches(4), options, folder=tmp_path / "run", on_progress=lambda one: one.step == 0)
    again = design_jointly(lens, patches(4), options, folder=tmp_path / "run")
    assert torch.equal(whole.vector, again.vector)
    assert [one.values for one in whole.iterates] == [one.values for one in again.iterates]
    with (tmp_path / "run" / TABLE_FILE).open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [0, 1, 2]
    first = optics.load(tmp_path / "run" / LENSES_FOLDER / "0000.json")
    assert float(first.surfaces[-1].thickness_mm) == pytest.approx(float(lens.surfaces[-1].thickness_mm), rel=1e-12)


def test_a_design_is_gone_on_with_for_more_steps(lens, patches, settings, tmp_path):
    whole = design_jointly(lens, patches(4), settings(steps=2, restorer="none"))
    design_jointly(lens, patches(4), settings(steps=1, restorer="none"), folder=tmp_path / "run")
    longer = design_jointly(lens, patches(4), settings(steps=2, restorer="none"), folder=tmp_path / "run")
    assert torch.equal(whole.vector, longer.vector)


def test_a_network_that_was_stopped_goes_on_with_the_same_steps(lens, patches, settings, tmp_path):
    options = settings(restorer="tiny", steps=2, side_px=24)
    given = patches(4, 24)
    whole = design_jointly(lens, given, options)
    design_jointly(lens, given, options, folder=tmp_path / "run", on_progress=lambda one: one.step == 0)
    again = design_jointly(lens, given, options, folder=tmp_path / "run")
    assert torch.equal(whole.vector, again.vector)
    for one, other in zip(
        whole.chain.trainer.network.parameters(), again.chain.trainer.network.parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_pictures_of_a_design_are_drawn_once(patches, settings):
    once, twice = (draw_pictures(patches(6), settings(pool=6)) for _ in range(2))
    assert torch.equal(once[0].light, twice[0].light)
    assert torch.equal(once[1].get_state(), twice[1].get_state())


def test_a_lens_that_cannot_be_is_stepped_back_from(lens, patches, settings):
    # Half a millimetre in one step: no ray leaves the first element any more, or all leave the window.
    options = settings(free=("surface2.curvature_per_mm",), steps=3, box_steps=2000.0, slack=0.9)
    options = replace(options, goal=replace(options.goal, limit_weight_db=0.0))
    found = design_jointly(lens, patches(4), options)
    assert any(one.refused for one in found.iterates[1:])
    assert bool(torch.isfinite(found.vector).all())


def test_too_few_patches_are_refused(lens, patches, settings):
    with pytest.raises(InputError, match="photos"):
        design_jointly(lens, patches(3), settings())


def test_a_folder_of_another_design_is_refused(lens, patches, settings, tmp_path):
    design_jointly(lens, patches(4), settings(steps=1), folder=tmp_path / "run")
    with pytest.raises(InputError, match="settings"):
        design_jointly(lens, patches(4), settings(steps=1, seed=2), folder=tmp_path / "run")
