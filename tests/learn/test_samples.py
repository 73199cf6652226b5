import math
from dataclasses import replace

import pytest
import torch

from learn.samples import Drawn, collate, find_heights, make_planes
from learn.synthesis import draw_sample
from learn.variants import SynthesisSettings
from psf import InputError
from render import radius_plane

PLACE = {"iso": 400.0, "shot": torch.tensor([0.01]), "read": torch.tensor([0.0004])}
SENSOR = {"window_px": (40, 20), "image_shape_px": (220, 280)}


def test_planes_follow_the_colours():
    colours = torch.rand((4, 8, 10), generator=torch.Generator().manual_seed(0))
    planes = make_planes(colours, SynthesisSettings(), **PLACE, **SENSOR)
    assert planes.shape == (6, 8, 10)
    assert torch.equal(planes[:4], colours)
    assert planes[4].unique().tolist() == pytest.approx([0.4])
    assert torch.equal(planes[5:], radius_plane((8, 10), (40, 20), (220, 280)))


def test_sigma_plane_is_the_noise_of_a_grey_card():
    planes = make_planes(torch.zeros((4, 2, 2)), SynthesisSettings(aux="iso", iso_plane="sigma"), **PLACE, **SENSOR)
    assert planes[4].unique().tolist() == pytest.approx([20 * math.sqrt(0.0004 + 0.18 * 0.01)])


def test_x_and_y_planes_point_right_and_up_and_make_the_radius():
    settings = SynthesisSettings(aux="field", field_planes="xy")
    x, y = make_planes(torch.zeros((4, 8, 10)), settings, **PLACE, **SENSOR)[4:]
    assert (x.diff(dim=1) > 0).all()
    assert (y.diff(dim=0) < 0).all()
    assert torch.allclose(torch.hypot(x, y), radius_plane((8, 10), (40, 20), (220, 280))[0], atol=1e-6)


def test_heights_of_pixels_lie_in_pairs_about_those_of_cells():
    fine, _ = find_heights((8, 8), (40, 20), (220, 280), 1)
    coarse, _ = find_heights((4, 4), (40, 20), (220, 280), 2)
    assert torch.allclose(fine.reshape(4, 2).mean(1), coarse)


def test_a_batch_is_its_samples(synthesis):
    samples = [draw_sample(synthesis, index) for index in (5, 1, 9)]
    batch = collate(samples)
    assert len(batch) == 3
    assert batch.index.tolist() == [5, 1, 9]
    assert batch.input.shape == (3, 6, 32, 32)
    assert batch.window_px.tolist() == [list(one.drawn.window_px) for one in samples]
    assert batch.depth_sources == tuple(one.drawn.depth_source for one in samples)
    for n, sample in enumerate(samples):
        assert torch.equal(batch.input[n], sample.input)
        assert torch.equal(batch.target[n], sample.target)
        assert torch.equal(batch.metadata.red_gain[n], sample.metadata.red_gain[0])
        assert float(batch.iso[n]) == pytest.approx(sample.drawn.iso)
    moved = batch.to("cpu")
    assert torch.equal(moved.input, batch.input)
    assert moved.drawn == batch.drawn


def test_drawn_numbers_survive_json(synthesis):
    drawn = draw_sample(synthesis, 2).drawn
    assert Drawn.from_json(drawn.to_json()) == drawn
    with pytest.raises(InputError, match=r"what Drawn\.to_json writes"):
        Drawn.from_json({"index": 1})


def test_samples_that_do_not_fit_together_are_refused(synthesis):
    sample = draw_sample(synthesis, 0)
    with pytest.raises(InputError, match=r"collate\(samples\): found none"):
        collate([])
    with pytest.raises(InputError, match=r"samples\[1\].input\): found shape \(6, 32, 30\)"):
        collate([sample, replace(sample, input=sample.input[..., :30])])
    with pytest.raises(InputError, match=r"samples\[1\].image_shape_px\): found \(8, 8\)"):
        collate([sample, replace(sample, image_shape_px=(8, 8))])
    with pytest.raises(InputError, match=r"samples\[1\]\): found other parts"):
        collate([sample, draw_sample(synthesis, 0, with_depth=True)])
    with pytest.raises(InputError, match=r"make_planes\(colours\): found shape \(3, 8, 8\)"):
        make_planes(torch.zeros((3, 8, 8)), SynthesisSettings(), **PLACE, **SENSOR)
