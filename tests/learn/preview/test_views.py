import pytest
import torch

from learn.preview.views import compare_blurs, find_detail_part, make_view
from learn.synthesis import draw_sample
from psf import InputError


def test_a_view_shows_the_sample_that_a_network_gets(synthesis):
    view, sample = make_view(synthesis, 2), draw_sample(synthesis, 2)
    assert torch.equal(view.planes, sample.input)
    assert view.drawn == sample.drawn
    assert view.names == ("R", "Gr", "Gb", "B", "ISO", "radius")
    for picture in (view.sharp, view.blurred, view.noisy):
        assert picture.shape == (3, 64, 64)
        assert picture.min() >= 0
        assert picture.max() <= 1
    assert view.depth_m.shape == (64, 64)


def test_what_was_recorded_is_the_blurred_picture_and_noise(synthesis):
    view = make_view(synthesis, 2)
    difference = view.noisy - view.blurred
    assert 0 < float(difference.std()) < 0.2
    assert abs(float(difference.mean())) < 0.02


def test_pixels_of_a_mosaic_have_one_colour_each(synthesis):
    detail = make_view(synthesis, 0).detail
    assert detail.shape == (3, 32, 32)
    assert int((detail > 0).sum(0).max()) == 1
    assert bool((detail[0, 1::2] == 0).all())  # red stands in even rows only


def test_blurs_are_compared_on_one_scene(synthesis):
    done = []
    found = compare_blurs(synthesis, 1, ("none", "blend", "pixelwise"), on_progress=lambda n, of: done.append((n, of)))
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert all(torch.equal(found["none"].sharp, view.sharp) for view in found.values())
    assert not torch.equal(found["none"].blurred, found["blend"].blurred)


def test_rgb_samples_have_views_too(synthesis):
    view = make_view(synthesis.varied(space="rgb"), 1)
    assert view.names == ("R", "G", "B", "ISO", "radius")
    assert view.detail.shape == (3, 32, 32)


def test_colours_of_another_shape_are_refused(synthesis):
    with pytest.raises(InputError, match="find_detail_part"):
        find_detail_part(torch.zeros((4, 4)), draw_sample(synthesis, 0), "RGGB")
