from dataclasses import replace

import torch

import optics
from learn.joint.controls import measure_difference, refocus_for_restorer, reread, sharpen_spots
from learn.joint.design_grid import DesignGrid
from optics import FOCUS


def test_refocusing_changes_nothing_but_the_way_to_the_sensor(lens, patches, settings):
    found = refocus_for_restorer(lens, patches(4), settings(free=("surface2.asphere_4", FOCUS))).best.lens
    changed = [n for n, value in found.parameters().items() if not torch.equal(value, lens.parameters()[n])]
    assert changed == [f"surface{len(lens.surfaces)}.thickness_mm"]


def test_spots_become_smaller(lens, settings):
    far = settings(slack=0.2)
    found = sharpen_spots(lens.refocused(0.2), replace(far, grid=replace(far.grid, depths_m=(1.0,))), lenses=24)
    wanted = float(lens.refocused(1.0, "spot").surfaces[-1].thickness_mm)
    assert abs(float(found.surfaces[-1].thickness_mm) - wanted) < 0.002


def test_a_lens_comes_back_from_zmx_with_the_same_kernels(wide_lens, tmp_path):
    changed = wide_lens.with_parameters({"surface2.asphere_4": wide_lens.parameters()["surface2.asphere_4"] + 0.01})
    again = reread(replace(changed, name="changed"), tmp_path)
    again = replace(again, channels=changed.channels)
    grid = DesignGrid((0.2,), (0.7,), 65, True, optics.Sampling(12, 12, 8), False)
    assert measure_difference(changed, again, grid) < 1e-6
    assert measure_difference(changed, wide_lens, grid) > 0.1
