import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psf import Channel, InputError, PolarPSFField
from psf.discs import disc_overlap
from psf.interpolation import check_interpolation, find_moments, find_nodes, find_used, mix_weight, sizing_affine
from psf.metrics import find_rms_radius_px, measure_l1

F64 = torch.float64

axes = (
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=7, unique=True)
    .map(sorted)
    .filter(lambda one: all(b - a > 1e-3 for a, b in itertools.pairwise(one)))
)


@given(nodes=axes, places=st.lists(st.floats(-2e3, 2e3), max_size=5))
def test_weights_sum_to_1_and_a_straight_line_is_kept_inside_the_axis(nodes, places):
    axis, where = torch.tensor(nodes, dtype=F64), torch.tensor(places, dtype=F64)
    found = find_nodes(axis, where)
    clamped = where.clamp(axis[0], axis[-1])
    for index, weight in ((found.near_index, found.weight), (found.wide_index, found.wide_weight)):
        assert (weight.sum(1) - 1).abs().max() < 1e-9 if len(where) else True
        assert torch.allclose((weight * axis[index]).sum(1), clamped, atol=1e-6 * (1 + axis.abs().max().item()))


@pytest.mark.parametrize("count", [3, 4, 7])
def test_a_parabola_between_uneven_nodes_is_exact(count):
    axis = torch.sort(torch.rand(count, generator=torch.Generator().manual_seed(count), dtype=F64))[0]
    places = torch.linspace(float(axis[0]), float(axis[-1]), 50, dtype=F64)
    found = find_nodes(axis, places)
    value = (found.wide_weight * (3 * axis**2 - axis + 2)[found.wide_index]).sum(1)
    assert (value - (3 * places**2 - places + 2)).abs().max() < 1e-9


def test_at_a_node_only_that_node_counts():
    axis = torch.tensor([-10.0, -3.0, -0.5, 0.0], dtype=F64)
    found = find_nodes(axis, axis)
    for index, weight in ((found.near_index, found.weight), (found.wide_index, found.wide_weight)):
        dense = torch.zeros(4, 4, dtype=F64).scatter_add(1, index, weight)
        assert torch.equal(dense, torch.eye(4, dtype=F64))


def test_only_the_nodes_needed_are_named_and_found_again():
    used, index = find_used(torch.tensor([[0, 1], [1, 2]]), torch.tensor([[3, 4], [3, 4]]), (3, 5))
    assert used.tolist() == [3, 4, 8, 9, 13, 14]
    assert used[index].tolist() == [[3, 4, 8, 9], [8, 9, 13, 14]]


def discs_field(radii_px: list[float], depths_dpt: list[float], centre_px: float = 0.0) -> PolarPSFField:
    """The same disc for every image height, a radius per depth."""
    discs = disc_overlap(
        torch.tensor(radii_px, dtype=F64), torch.tensor([centre_px, 0.0], dtype=F64).expand(len(radii_px), 2), 25
    )
    kernels = discs[:, None, None].repeat(1, 2, 1, 1, 1)
    return PolarPSFField(
        kernels=kernels / kernels.sum((-2, -1), keepdim=True),
        transmission=torch.ones(len(radii_px), 2, 1, dtype=F64),
        lost=torch.zeros(len(radii_px), 2, 1, dtype=F64),
        depths_m=1 / torch.tensor(depths_dpt, dtype=F64),
        radii=torch.tensor([0.0, 1.0], dtype=F64),
        image_shape_px=(100, 100),
        pitch_um=1.0,
        channels=(Channel("G"),),
        focus_m=1.0,
    )


def test_between_discs_of_4_and_8_px_lies_a_disc_of_6_px():
    field = discs_field([10.0, 8.0, 4.0, 2.0], [6.0, 5.0, 3.0, 2.0])
    truth = disc_overlap(torch.tensor(6.0, dtype=F64), torch.zeros(2, dtype=F64), 25)
    sized, linear = (measure_l1(field.at(0.5, 0.25, mode)[0], truth) for mode in ("sized", "linear"))
    assert sized < 0.03
    assert linear > 0.2


def test_through_focus_kernels_shrink_to_the_size_between():
    # Discs of 3 px on both sides of a focus half-way: the plain mix is a disc of 3 px where the truth is a point.
    field = discs_field([9.0, 3.0, 3.0, 9.0], [6.0, 4.0, 2.0, 0.5])
    sizes = [float(find_rms_radius_px(field.at(0.5, 1 / 3, mode)[0])) for mode in ("sized", "linear")]
    assert sizes[1] > 2.0
    assert sizes[0] < 0.6 * sizes[1]


def test_moments_of_known_kernels():
    kernel = torch.zeros(7, 7, dtype=F64)
    kernel[1, 5] = 0.5
    kernel[1, 3] = 0.5
    x, y, xx, yy = find_moments(kernel)
    assert [float(one) for one in (x, y)] == [1.0, -2.0]
    assert [float(one) for one in (xx, yy)] == pytest.approx([1 + 1 / 12, 1 / 12])


def test_equal_moments_need_no_stretch():
    moments = torch.tensor([0.3, -0.2, 2.0, 3.0], dtype=F64).expand(3, 3, 2, 4)
    places = torch.tensor([0.2, 0.9], dtype=F64)
    nodes = find_nodes(torch.tensor([0.0, 0.5, 1.0], dtype=F64), places)
    stretch, shift = sizing_affine(moments, nodes, nodes)
    assert stretch.shape == shift.shape == (2, 4, 2, 2)
    assert (stretch - 1).abs().max() < 1e-12
    assert shift.abs().max() < 1e-12
    assert (mix_weight(nodes, nodes).sum(1) - 1).abs().max() < 1e-12


def test_an_unknown_interpolation_is_named():
    with pytest.raises(InputError, match=r"interpolation: found 'nearest', expected 'linear' or 'sized'"):
        check_interpolation("interpolation", "nearest")


def test_dioptres_not_metres_are_what_is_linear():
    field = discs_field([8.0, 4.0], [5.0, 1.0])
    between = field.at(0.0, 1 / 3, "linear", "bilinear")[0]
    mean = (field.kernels[0, 0, 0] + field.kernels[1, 0, 0]) / 2
    assert (between - mean).abs().max() < 1e-12
    assert math.isclose(float(between.sum()), 1.0)
