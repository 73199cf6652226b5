import pytest
import torch

from learn.preview.plots import find_part, plot_comparison, plot_samples, plot_statistics, tell_numbers
from learn.preview.views import compare_blurs, make_view
from learn.synthesis import draw_scene
from psf import InputError


def test_a_page_has_a_row_for_each_sample(synthesis):
    figure = plot_samples([make_view(synthesis, index) for index in (0, 1)], "a title")
    figure.draw_without_rendering()
    assert len([ax for ax in figure.axes if ax.get_title() == "sharp"]) == 1
    assert figure.get_suptitle() == "a title"
    told = " ".join(text.get_text() for ax in figure.axes for text in ax.texts)
    assert "sample 0" in told
    assert "sample 1" in told


def test_a_comparison_tells_the_difference_from_the_reference(synthesis):
    figure = plot_comparison(compare_blurs(synthesis, 0, ("none", "blend", "pixelwise")))
    figure.draw_without_rendering()
    titles = [ax.get_title() for ax in figure.axes]
    assert "the reference" in titles
    assert sum(title.startswith("less pixelwise, x 4") for title in titles) == 2
    with pytest.raises(InputError, match="found 'layered', expected one of none, blend"):
        plot_comparison(compare_blurs(synthesis, 0, ("none", "blend")), "layered")


def test_statistics_count_every_sample(synthesis):
    figure = plot_statistics([draw_scene(synthesis, index).drawn for index in range(12)])
    figure.draw_without_rendering()
    radius = next(ax for ax in figure.axes if "radius" in ax.get_title())
    assert sum(patch.get_height() for patch in radius.patches) == 12


def test_numbers_of_a_sample_are_told(synthesis):
    told = tell_numbers(draw_scene(synthesis, 4).drawn)
    assert told.startswith("sample 4\n")
    assert "ISO" in told


def test_the_part_with_most_difference_is_found():
    difference = torch.zeros((100, 120))
    difference[60:80, 90:110] = 1
    top, left, side = find_part(difference, 40)
    assert side == 40
    assert top <= 60 <= 80 <= top + 40
    assert left <= 90 <= 110 <= left + 40


@pytest.mark.parametrize("plot", [plot_samples, plot_statistics])
def test_pages_of_nothing_are_refused(plot):
    with pytest.raises(InputError, match="found none, expected at least one sample"):
        plot([])
