import pytest
import torch

from psf.estimators import sizing, taps

F64 = torch.float64
SIDE = 25


def discs():
    dioptre = torch.linspace(0, 4, 9, dtype=F64)[:, None].expand(9, 3).reshape(-1)
    radius = torch.tensor([0.0, 0.5, 1.0], dtype=F64).expand(9, 3).reshape(-1)
    right, below = taps.find_places(SIDE)
    size = (1 + (2.5 * (dioptre - 2)) ** 2).sqrt()
    kernels = (torch.hypot(right - 0.5 * radius[:, None], below) / size[:, None] < 2).double() + 1e-9
    kernels = kernels / (kernels @ taps.multiplicity(SIDE))[:, None]
    return kernels, radius, dioptre, size


def test_moments_follow_the_discs_they_were_fitted_to():
    kernels, radius, dioptre, size = discs()
    moments = sizing.fit_moments(kernels, radius, dioptre, torch.ones_like(radius), SIDE)
    centroid, variance = moments.at(radius, dioptre)
    # Discs of pixels are discs to a few tenths of a pixel.
    assert (variance.sqrt().mean(1) - size).abs().max() < 0.35
    assert (centroid - 0.5 * radius).abs().max() < 0.3


def test_cells_are_fine_in_focus_and_stay_within_the_window():
    kernels, radius, dioptre, _ = discs()
    moments = sizing.fit_moments(kernels, radius, dioptre, torch.ones_like(radius), SIDE)
    cells = sizing.find_cells(moments, torch.zeros(2, dtype=F64), torch.tensor([2.0, 0.0], dtype=F64), SIDE)
    assert cells[0, 1] < 0.4 * cells[1, 1]
    assert (cells[:, 3] + cells[:, 0].abs() <= SIDE / 2 + 1e-9).all()


def test_nodes_cover_all_depths():
    kernels, radius, dioptre, _ = discs()
    moments = sizing.fit_moments(kernels, radius, dioptre, torch.ones_like(radius), SIDE)
    nodes = sizing.place_nodes(moments, torch.linspace(0, 4, 30, dtype=F64), 40)
    assert nodes[0] == pytest.approx(0, abs=1e-3)
    assert nodes[-1] == pytest.approx(4, abs=1e-3)
    assert (nodes.diff() > 0).all()
    assert 5 < len(nodes) <= 40


def test_one_depth_has_one_node():
    kernels, radius, dioptre, _ = discs()
    moments = sizing.fit_moments(kernels, radius, dioptre, torch.ones_like(radius), SIDE)
    assert sizing.place_nodes(moments, torch.tensor([1.5], dtype=F64), 40).tolist() == [1.5]


def test_sizes_stay_as_they_are_where_too_little_is_seen():
    kernels, radius, dioptre, _ = discs()
    moments = sizing.fit_moments(kernels, radius, dioptre, torch.ones_like(radius), SIDE, reach=0.7)
    depth = torch.tensor([3.0, 3.0], dtype=F64)
    centroid, variance = moments.at(torch.tensor([0.7, 1.0], dtype=F64), depth)
    assert torch.equal(variance[0], variance[1])
    # Centroids go on in proportion to image height.
    torch.testing.assert_close(centroid[1], centroid[0] / 0.7)
