import math

import pytest
import torch

from learn.dfd.masks import SHAPES, draw_mask
from psf import InputError


def draw(shape, share, seed=0, margin_px=6, shape_px=(48, 64)):
    return draw_mask(shape, share, shape_px, margin_px, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_front_covers_the_share_that_was_asked_for(shape, share):
    for seed in range(4):
        mask = draw(shape, share, seed)
        assert mask.shape == (1, 60, 76)
        # Pixels on the edge count in part: the share is right to a row of them.
        assert abs(float(mask[:, 6:-6, 6:-6].mean()) - share) < 0.02


@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_are_covered_in_part_along_the_edge_only(shape):
    mask = draw(shape, 0.5, seed=3, shape_px=(96, 96))
    partly = float(((mask > 0) & (mask < 1)).float().mean())
    assert 0 < partly < (0.25 if shape == "blobs" else 0.08)


def test_a_half_plane_has_a_straight_edge():
    inside = draw("half_plane", 0.4, seed=1)[0] >= 0.5
    ends = inside.float().diff(dim=1).abs().sum(1)
    assert int(ends.max()) <= 1


def test_polygons_have_straight_sides_that_meet_in_corners():
    """A convex hull of few corners holds them: none bulges beyond the lines between its own corners."""
    mask = draw("polygon", 0.3, seed=2, shape_px=(128, 128), margin_px=0)[0]
    assert 0.2 < float(mask.mean()) < 0.4
    assert {round(float(one), 3) for one in (mask.min(), mask.max())} == {0.0, 1.0}


def test_the_same_numbers_give_the_same_shape_and_others_another():
    for shape in SHAPES:
        assert torch.equal(draw(shape, 0.5, 7), draw(shape, 0.5, 7))
        assert not torch.equal(draw(shape, 0.5, 7), draw(shape, 0.5, 8))


@pytest.mark.parametrize(
    ("shape", "share", "words"), [("star", 0.5, "half_plane"), ("disc", 0.0, "above 0"), ("disc", 1, "below 1")]
)
def test_shapes_that_cannot_be_are_refused(shape, share, words):
    with pytest.raises(InputError, match=words):
        draw(shape, share)


def test_a_disc_is_round():
    mask = draw("disc", 0.2, seed=11, shape_px=(129, 129), margin_px=0)[0]
    inside = mask if float(mask[0, 0]) < 0.5 else 1 - mask
    area = float(inside.sum())
    y, x = torch.meshgrid(torch.arange(129.0), torch.arange(129.0), indexing="ij")
    spread = [float((inside * (one - float((inside * one).sum()) / area) ** 2).sum()) / area for one in (x, y)]
    if 0.19 < area / 129**2 < 0.21:  # whole inside the window, and no hole
        for one in spread:
            assert abs(one - area / math.pi / 4) < 0.25 * one
