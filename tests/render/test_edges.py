import numpy as np
import pytest

from render.edges import unmix_edges
from render.filling import jumps


def card(share, front=0.9, back=0.1, texture=0.0):
    """A near card over columns 0..9 and `share` of column 10; the depth of that column is its centre's."""
    generator = np.random.default_rng(0)
    image = np.full((20, 20, 3), back) + texture * generator.standard_normal((20, 20, 3))
    image[:, :10] = front
    image[:, 10] = share * front + (1 - share) * back
    dioptres = np.full((20, 20), 0.5)
    dioptres[:, : 11 if share > 0.5 else 10] = 2.0
    return image, dioptres


def taken_apart(image, dioptres):
    return unmix_edges(image, dioptres, *jumps(dioptres, 0.1), 0.1)


@pytest.mark.parametrize("share", [0.6, 0.75, 0.9])
def test_a_nearer_edge_pixel_is_partly_covered(share):
    edges = taken_apart(*card(share))
    assert np.allclose(edges.coverage[5, 10], share, atol=0.02)
    assert np.allclose(edges.colours[5, 10], 0.9, atol=0.02)
    assert np.allclose(edges.back_colours[5, 10], 0.1, atol=0.03)
    assert (edges.coverage[:, :9] == 1).all()


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4])
def test_a_farther_edge_pixel_has_a_rim_of_the_nearer_surface(share):
    edges = taken_apart(*card(share))
    assert edges.rim_dpt[5, 10] == 2.0
    assert np.allclose(edges.rim_coverage[5, 10], share, atol=0.02)
    assert np.allclose(edges.rim_colours[5, 10], 0.9, atol=0.03)
    assert np.allclose(edges.colours[5, 10], 0.1, atol=0.02)


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_the_parts_make_up_the_picture(share):
    image, dioptres = card(share, texture=0.1)
    edges = taken_apart(image, dioptres)
    part, rim = edges.coverage[..., None], edges.rim_coverage[..., None]
    below = part * edges.colours + (1 - part) * edges.back_colours
    assert np.allclose(rim * edges.rim_colours + (1 - rim) * below, image)


def test_where_colours_do_not_tell_the_prior_does():
    edges = taken_apart(*card(0.8, front=0.5, back=0.5))
    assert abs(edges.coverage[5, 10] - 0.75) < 0.05


def test_a_scene_without_jumps_is_left_alone():
    image, _ = card(0.8)
    edges = taken_apart(image, np.full((20, 20), 1.0))
    assert (edges.coverage == 1).all()
    assert np.array_equal(edges.colours, image)
    assert (edges.rim_dpt == -1).all()
