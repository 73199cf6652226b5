import math

import numpy as np
import pytest

from render.edges import split_colours, weigh_edges
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
    """The edges, and (front, rear) colours (N, C)."""
    edges = weigh_edges(image, dioptres, *jumps(dioptres, 0.1), 0.1)
    front, rear = (np.zeros((len(edges.rows), image.shape[2])) for _ in range(2))
    split_colours(edges, dioptres, image, front, rear)
    return edges, front, rear


def column(edges, col):
    return (edges.cols == col) & (edges.rows == 5)


@pytest.mark.parametrize("share", [0.6, 0.75, 0.9, 0.1, 0.25, 0.4])
def test_the_share_that_the_nearer_surface_covers_is_found(share):
    edges, front, rear = taken_apart(*card(share))
    at = column(edges, 10)
    # Beside it in the edge stand others as mixed as itself, which count a little.
    assert np.allclose(edges.share[at], share, atol=0.06)
    assert np.allclose(front[at], 0.9, atol=0.06)
    assert np.allclose(rear[at], 0.1, atol=0.06)
    assert edges.other_dpt[at] == (0.5 if share > 0.5 else 2.0)


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_the_parts_make_up_the_picture(share):
    image, dioptres = card(share, texture=0.1)
    edges, front, rear = taken_apart(image, dioptres)
    together = edges.share[:, None] * front + (1 - edges.share[:, None]) * rear
    assert np.allclose(together, image[edges.rows, edges.cols])


def test_where_colours_do_not_tell_the_prior_does():
    edges, _, _ = taken_apart(*card(0.8, front=0.5, back=0.5))
    assert abs(edges.share[column(edges, 10)] - 0.75) < 0.05


def test_the_colours_backwards_are_their_transpose():
    image, dioptres = card(0.8, texture=0.1)
    edges, front, rear = taken_apart(image, dioptres)
    generator = np.random.default_rng(2)
    other, back = generator.random(image.shape), np.zeros_like(image)
    split_colours(edges, dioptres, other, front, rear)
    slopes = generator.random((2, *front.shape))
    split_colours(edges, dioptres, back, *slopes, back=True)
    assert math.isclose((slopes[0] * front).sum() + (slopes[1] * rear).sum(), (back * other).sum())


def test_a_scene_without_jumps_has_no_edges():
    image, _ = card(0.8)
    edges, _, _ = taken_apart(image, np.full((20, 20), 1.0))
    assert len(edges.rows) == 0
    assert not edges.is_edge.any()
