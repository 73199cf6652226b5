"""One kernel on a sensor's pixels: direction, centre and light."""

import math

import pytest
import torch

from psf.errors import InputError
from psf.files.placing import find_reach_um, integral_matrix, place_kernel
from psf.metrics import find_centroid_px, measure_l1
from psf.resampling import overlap_matrix

F64 = torch.float64


@pytest.mark.parametrize("azimuth_deg", [0, 90, 180, -90, 30, 117, -163])
def test_light_that_leans_outwards_lies_to_the_right_at_azimuth_0(scattered, lopsided, azimuth_deg):
    azimuth_rad = math.radians(azimuth_deg)
    placed = place_kernel(scattered(lopsided(azimuth_rad), azimuth_rad=azimuth_rad), 2.0, 17)
    straight = place_kernel(scattered(lopsided(0.0)), 2.0, 17)
    right_px, down_px = find_centroid_px(placed).tolist()
    assert right_px > 0.5
    assert abs(right_px - find_centroid_px(straight)[0]) < 0.005
    assert abs(down_px) < 0.005
    # Quarter turns are exact; others read a cubic between samples that are a third of the width apart.
    assert measure_l1(placed, straight) < (1e-9 if azimuth_deg % 90 == 0 else 0.002)


@pytest.mark.parametrize("azimuth_deg", [0, 90, 40])
def test_offset_right_and_up_moves_the_light_along_its_own_axes(scattered, lopsided, azimuth_deg):
    azimuth_rad = math.radians(azimuth_deg)
    outwards = (3.0 * math.cos(azimuth_rad), 3.0 * math.sin(azimuth_rad))
    at_rest, moved = (
        find_centroid_px(
            place_kernel(scattered(lopsided(azimuth_rad), azimuth_rad=azimuth_rad, offset_um=one), 2.0, 25)
        )
        for one in ((0.0, 0.0), outwards)
    )
    assert torch.allclose(moved - at_rest, torch.tensor([1.5, 0.0], dtype=F64), atol=2e-3)


def test_even_grid_is_centred_on_the_point_that_it_names(scattered):
    values = torch.zeros(32, 32, dtype=F64)
    values[16, 15] = 1  # row 17 and column 16 of 32, as an FFT PSF has its middle
    placed = place_kernel(scattered(values, centre_px=(16, 15)), 2.0, 5)
    assert torch.allclose(find_centroid_px(placed), torch.zeros(2, dtype=F64), atol=1e-9)


@pytest.mark.parametrize("scale", [0.3, 0.5, 1.0, 1.7])
def test_integral_of_points_keeps_centroid_and_width(scale):
    x = torch.arange(61, dtype=F64) - 30
    points = torch.exp(-((x - 2.3) ** 2) / (2 * 4.0**2))
    pixels = integral_matrix(61, 121, scale, 0.4) @ points
    y = torch.arange(121, dtype=F64) - 60
    mean = (pixels * y).sum() / pixels.sum()
    variance = (pixels * (y - mean) ** 2).sum() / pixels.sum()
    own = (points * x).sum() / points.sum()
    width = (points * (x - own) ** 2).sum() / points.sum()
    assert torch.isclose(pixels.sum(), points.sum(), rtol=1e-9)
    assert abs(mean - (own * scale + 0.4)) < 1e-5
    # Pixels are read as points in their middles: a pixel's own square adds 1/12.
    assert abs(variance - (width * scale**2 + 1 / 12)) < 1e-3


def test_integral_of_points_is_nearer_the_truth_than_boxes(scattered):
    x = torch.arange(-20, 21, dtype=F64)
    points = torch.exp(-(x**2) / (2 * 1.2**2))
    edges = (torch.arange(26, dtype=F64) - 12.5) / 0.6
    truth = torch.special.ndtr(edges / 1.2).diff()
    errors = [
        (one(41, 25, 0.6) @ points / points.sum() - truth).abs().sum() for one in (integral_matrix, overlap_matrix)
    ]
    assert errors[0] < 0.02
    assert errors[0] < 0.3 * errors[1]


def test_squares_of_light_add_up_to_pixels(scattered):
    values = torch.rand(12, 12, generator=torch.Generator().manual_seed(1), dtype=F64)
    kernel = scattered(values, spacing_um=(0.5, 0.5), centre_px=(5.5, 5.5), is_integrated=True)
    placed = place_kernel(kernel, 2.0, 3)
    whole = values.reshape(3, 4, 3, 4).sum((1, 3)) / values.sum()
    assert torch.allclose(placed, whole, atol=1e-12)


def test_light_outside_the_window_is_missing_in_the_sum(scattered):
    values = torch.zeros(9, 9, dtype=F64)
    values[4, 4], values[4, 8] = 3.0, 1.0
    placed = place_kernel(scattered(values, spacing_um=(1.0, 1.0), is_integrated=True), 1.0, 3)
    assert float(placed.sum()) == pytest.approx(0.75)


@pytest.mark.parametrize(("azimuth_deg", "reach_um"), [(0, 1.25), (90, 1.25), (45, 1.25 / math.sqrt(2))])
def test_data_reach_as_far_as_their_nearest_edge(scattered, azimuth_deg, reach_um):
    kernel = scattered(torch.ones(7, 9, dtype=F64), centre_px=(4, 4), azimuth_rad=math.radians(azimuth_deg))
    assert find_reach_um(kernel) == pytest.approx(reach_um)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"values": torch.zeros(3, 3)}, "light"),
        ({"values": torch.tensor([[1.0, math.nan]])}, "not finite"),
        ({"values": torch.ones(3, 3, dtype=torch.long)}, "floats"),
        ({"radius": 1.2}, "radius"),
        ({"depth_m": 0.0}, "depth"),
        ({"spacing_um": (0.0, 1.0)}, "spacing"),
        ({"azimuth_rad": math.inf}, "finite"),
    ],
)
def test_kernel_that_cannot_be_meant_is_refused(scattered, changes, words):
    with pytest.raises(InputError, match=words):
        scattered(**{"values": torch.ones(3, 3), **changes})


def test_turning_needs_equal_spacing(scattered):
    kernel = scattered(torch.ones(5, 5), spacing_um=(0.5, 0.6), azimuth_rad=0.3)
    with pytest.raises(InputError, match="same spacing"):
        place_kernel(kernel, 2.0, 3)
