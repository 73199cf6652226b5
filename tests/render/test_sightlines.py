import math

import numpy as np
import pytest

from render.pupils import Discs, disc_rays
from render.sightlines import PATTERNS, find_sightlines, occlusion_band

COUNT = 16


def lines_of(dioptres, image=None, padding="reflect"):
    height, width = dioptres.shape
    rays = disc_rays(Discs(diameter_px_per_dpt=10.0, focus_m=2.0), 3, COUNT * PATTERNS)
    place = np.broadcast_to(np.array([0.0, 0.0, 1.0, 0.0]), (height, width, 4))
    picture = np.random.default_rng(0).random((height, width, 3)) if image is None else image
    return picture, find_sightlines(picture, dioptres, rays, place, COUNT, padding, 1)


def box(height=24, width=26):
    dioptres = np.full((height, width), 0.4)
    dioptres[8:16, 8:18] = 1.2
    return dioptres


def test_the_band_is_what_the_blur_reaches():
    dioptres = np.zeros((20, 60))
    dioptres[:, :30] = 1.0
    band = occlusion_band(dioptres, np.full((20, 60), 4.0), 8.0)
    assert band[10].nonzero()[0].tolist() == list(range(24, 36))
    assert not occlusion_band(np.zeros((20, 60)), np.full((20, 60), 4.0), 8.0).any()


def test_without_a_jump_there_is_nothing_to_march():
    assert lines_of(np.full((12, 12), 0.7))[1] is None


def test_rays_begin_in_front_of_all_within_reach_and_surfaces_lie_in_order():
    _, lines = lines_of(box())
    assert (lines.start_dpt > 1.2).any()
    stack = np.where(lines.surfaces_dpt < 0, np.nan, lines.surfaces_dpt)[..., 1:]
    assert (np.diff(stack, axis=-1)[~np.isnan(np.diff(stack, axis=-1))] < 0).all()


@pytest.mark.parametrize("padding", ["reflect", "replicate", "circular", "zeros"])
def test_the_frame_is_as_wide_as_the_farthest_ray(padding):
    _, lines = lines_of(box(), padding=padding)
    # 5 px per dpt from the focus at 0.5 dpt to the nearest at 1.2, and cells round about.
    assert 4 <= lines.margin_px <= 7
    assert lines.surfaces_dpt.shape[:2] == (24 + 2 * lines.margin_px, 26 + 2 * lines.margin_px)


def test_colours_backwards_are_their_transpose():
    image, lines = lines_of(box())
    other = np.random.default_rng(1).random(image.shape)
    there = lines.colours(other)
    slopes = np.random.default_rng(2).random(there.shape)
    assert math.isclose((there * slopes).sum(), (lines.colours_back(slopes) * other).sum())


def test_away_from_edges_the_visible_surface_has_the_pictures_colours():
    image, lines = lines_of(box())
    colours = lines.colours(image)
    assert np.array_equal(colours[10:14, 10:16, 1], image[10:14, 10:16])
    assert np.array_equal(colours[:6, :, 1], image[:6])
