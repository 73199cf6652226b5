import math

import pytest
import torch

from learn.joint.iterates import Iterate
from learn.joint.plots import (
    plot_landscape,
    plot_mtf_through_depth,
    plot_restored,
    plot_verdicts,
    plot_way,
    stack_colours,
)
from psf import InputError


def test_pictures_of_a_design_are_drawn(lens):
    one = Iterate(0, -24.0, (26.0, 24.0), 0.0, (0.5, 0.5), (0.24,), 1.0)
    way = plot_way([one, one], ["focus_mm"], [math.inf, 0.1])
    assert len(way.axes) == 2
    contrast = plot_mtf_through_depth({"a": lens, "b": lens}, radii=(0.0,), count=2)
    assert len(contrast.axes[0].lines) == 3
    pictures = plot_restored({"a": [torch.rand((3, 4, 4), generator=torch.Generator())] * 2}, ["one", "two"])
    assert len(pictures.axes) == 2
    curve = plot_verdicts({"a": torch.tensor([24.0, 26.0])}, [math.inf, 0.1])
    assert curve.axes[0].lines[0].get_xdata().tolist() == [0.0, 10.0]
    marks, ways = {"x": (0.5, 1.0)}, [[(0.0, 0.0), (1.0, 1.5)]]
    map_ = plot_landscape([0.0, 1.0], [0.0, 1.0, 2.0], torch.arange(6.0).reshape(2, 3), ("a", "b"), marks, ways)
    assert map_.axes[0].get_xlabel() == "a"
    assert map_.axes[0].lines[0].get_ydata().tolist() == [0.0, 1.5]


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="rows"):
        plot_restored({"a": []}, ["one"])
    with pytest.raises(InputError, match="iterates"):
        plot_way([], [], [])
    with pytest.raises(InputError, match="worst_psnr_db"):
        plot_landscape([0.0], [0.0], torch.zeros(2, 2), ("a", "b"))


def test_kernels_become_pictures():
    found = stack_colours(torch.tensor([0.0, 0.25, 1.0]).reshape(3, 1, 1))
    assert found.flatten().tolist() == [0.0, 0.5, 1.0]
