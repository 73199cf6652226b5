from dataclasses import replace

import pytest

from learn.dfd.plots import plot_stacks, tell_stack
from learn.dfd.stack_synthesis import draw_stack
from psf import InputError


def test_a_page_has_a_row_for_each_stack(synthesis):
    samples = [draw_stack(synthesis, index) for index in (0, 1)]
    figure = plot_stacks(samples, "two")
    assert len(figure.axes) >= 2 * (3 + 4)
    figure.canvas.draw()
    assert "stack 1:" in tell_stack(samples[1])
    assert "ISO" in tell_stack(samples[1])


def test_even_noise_is_told_by_its_deviation(synthesis):
    assert "noise 0.005" in tell_stack(draw_stack(synthesis.varied(noise="even"), 0))


def test_stacks_of_several_lengths_make_no_page(synthesis):
    sample = draw_stack(synthesis, 0)
    with pytest.raises(InputError, match="stacks of several lengths"):
        plot_stacks([sample, replace(sample, stack=sample.stack[:2])])
    with pytest.raises(InputError, match="at least one focal stack"):
        plot_stacks([])
