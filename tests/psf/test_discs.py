import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from psf import Channel, InputError, thin_lens_field
from psf.discs import disc_overlap, image_distance_m
from psf.metrics import find_centroid_px, find_rms_radius_px

F64 = torch.float64


def disc(radius_px: float, x: float = 0.0, y: float = 0.0, size: int = 25) -> torch.Tensor:
    return disc_overlap(torch.tensor(radius_px, dtype=F64), torch.tensor([x, y], dtype=F64), size)


def overlap_by_quadrature(radius: float, x: float, y: float, col: int, row: int) -> float:
    """The slow twin: chord lengths inside one square, integrated over its width."""

    def chord(u: float) -> float:
        half = math.sqrt(max(radius**2 - (u - x) ** 2, 0.0))
        return max(min(y + half, row + 0.5) - max(y - half, row - 0.5), 0.0)

    corners = [x - radius, x + radius]
    for edge in (row - 0.5, row + 0.5):
        if abs(edge - y) < radius:
            corners += [x - math.sqrt(radius**2 - (edge - y) ** 2), x + math.sqrt(radius**2 - (edge - y) ** 2)]
    ends = sorted({col - 0.5, col + 0.5, *(one for one in corners if abs(one - col) < 0.5)})
    parts = [integrate.quad(chord, a, b, epsabs=1e-12)[0] for a, b in itertools.pairwise(ends)]
    return sum(parts) / (math.pi * radius**2)


@pytest.mark.parametrize(
    ("radius", "x", "y"), [(0.3, 0.1, 0.45), (1.0, 0.0, 0.0), (2.37, 0.31, -0.72), (3.0, -0.5, 0.5)]
)
def test_shares_are_those_of_numerical_integration(radius, x, y):
    found = disc(radius, x, y, 9)
    for row in range(-4, 5):
        for col in range(-4, 5):
            want = overlap_by_quadrature(radius, x, y, col, row)
            assert float(found[row + 4, col + 4]) == pytest.approx(want, abs=1e-10)


@settings(max_examples=40)
@given(radius=st.floats(0, 8), x=st.floats(-3, 3), y=st.floats(-3, 3))
def test_a_disc_inside_the_window_gives_all_its_light_about_its_centre(radius, x, y):
    found = disc(radius, x, y)
    assert float(found.sum()) == pytest.approx(1, abs=1e-12)
    assert found.min() >= 0
    # Light is tallied at pixel centres: a small disc's centroid moves in steps, a large one's hardly.
    reach = 0.5 if radius < 1 else 0.1
    assert (find_centroid_px(found) - torch.tensor([x, y], dtype=F64)).abs().max() <= reach + 1e-9


@pytest.mark.parametrize(
    ("radius", "centre"), [(0.0, 1.0), (0.4, 1.0), (0.5, 1.0), (1.0, 1 / math.pi), (2.0, 1 / (4 * math.pi))]
)
def test_the_middle_square_of_a_centred_disc_in_closed_form(radius, centre):
    assert float(disc(radius)[12, 12]) == pytest.approx(centre, abs=1e-12)


def test_the_circle_through_the_corners_of_one_square():
    # Radius 1/sqrt(2): the square takes 2/pi of the area, each of the four neighbours a segment.
    found = disc(math.sqrt(0.5))
    assert float(found[12, 12]) == pytest.approx(2 / math.pi, abs=1e-12)
    assert float(found[11, 12]) == pytest.approx((1 - 2 / math.pi) / 4, abs=1e-12)


def test_a_disc_has_the_symmetries_of_the_square():
    found = disc(5.3)
    for other in (found.flip(0), found.flip(1), found.T):
        assert (found - other).abs().max() < 1e-15


def test_a_disc_off_the_middle_moves_with_its_centre():
    assert (disc(2.3, 3.0, -2.0) - disc(2.3).roll((-2, 3), (0, 1))).abs().max() < 1e-12


def test_half_a_disc_falls_outside_when_its_centre_is_on_the_edge():
    assert float(disc(2.0, 12.5, 0.0).sum()) == pytest.approx(0.5, abs=1e-12)


def test_diameters_and_scales_are_those_of_the_thin_lens(golden):
    focus_m, depth_m = golden["real_focus_m"], golden["real_depth_m"]
    order = depth_m.argsort()
    for row, focus in enumerate(focus_m.tolist()):
        assert 1000 * image_distance_m(12.0, focus) == pytest.approx(
            float(golden["real_image_distance_mm"][row]), rel=1e-9
        )
        field = thin_lens_field(
            12,
            2.8,
            focus,
            0.25,
            (300, 400),
            depth_m[order],
            reference_focus_m=float(focus_m[0]),
            dtype=F64,
            channels=(Channel("G"),),
            radii=torch.zeros(1),
        )
        assert field.magnification == pytest.approx(float(golden["real_scale_to_first"][row]), rel=1e-9)
        diameter_px = golden["real_coc_diameter_um"][row][order] / 0.25
        found = find_rms_radius_px(field.kernels[:, 0, 0])
        large = diameter_px > 20
        # An even disc's RMS radius is d / sqrt(8); tallying at pixel centres adds a sixth to its square.
        assert torch.allclose(found[large] ** 2, diameter_px[large] ** 2 / 8 + 1 / 6, rtol=2e-3)


def test_without_breathing_the_disc_is_that_of_a_fixed_image_distance():
    arguments = (50, 1.8, 2.0, 4.0, (3000, 4000), torch.tensor([1.5, 2.0, math.inf]))
    still, real = (thin_lens_field(*arguments, breathing=on, dtype=F64) for on in (False, True))
    sizes = [find_rms_radius_px(field.at(0.0, math.inf)[0]) for field in (still, real)]
    diameter_px = 0.05**2 / 1.8 / 2.0 / 4e-6
    assert float(sizes[0]) == pytest.approx(diameter_px / math.sqrt(8), rel=1e-4)
    assert float(sizes[1] / sizes[0]) == pytest.approx(2.0 / (2.0 - 0.05), rel=1e-4)
    assert still.magnification == 1.0


def test_breathing_as_a_shift_moves_every_kernel_outwards_by_its_radius_times_the_change():
    options = {"reference_focus_m": 0.5, "dtype": F64}
    arguments = (12, 2.8, 1.0, 8.0, (400, 600), torch.tensor([0.8, 1.0, 2.0]))
    moved = thin_lens_field(*arguments, breathing_as="shift", **options)
    scaled = thin_lens_field(*arguments, breathing_as="magnification", **options)
    change = image_distance_m(12, 1.0) / image_distance_m(12, 0.5) - 1
    assert change < 0
    assert moved.magnification == 1.0
    assert scaled.magnification == pytest.approx(1 + change)
    centroid = find_centroid_px(moved.kernels[0, :, 1])  # a large disc
    want = moved.radii * 0.5 * math.hypot(400, 600) * change
    assert (centroid[:, 0] - want).abs().max() < 0.05
    assert centroid[:, 1].abs().max() < 1e-12
    assert find_centroid_px(scaled.kernels).abs().max() < 1e-12


def test_at_the_focus_is_a_point_and_the_default_depths_are_even_in_dioptres_around_it():
    field = thin_lens_field(3.28, 2.2, 1.0, 1.4, (300, 400))
    assert field.at(0.5, 1.0, "sized")[0, field.kernel_px // 2, field.kernel_px // 2] > 0.4
    assert torch.allclose(1 / field.depths_m, torch.linspace(2, 0, 20), atol=1e-6)
    assert thin_lens_field(3.28, 2.2, math.inf, 1.4, (300, 400)).depths_m[0] == pytest.approx(0.1)
    assert field.lost.max() < 1e-12
    assert field.kernels[0, 0, 0, :, 0].max() > 0  # and no pixel wider than it must be


def test_a_window_too_small_for_a_disc_is_counted_as_lost():
    field = thin_lens_field(50, 1.8, 2.0, 4.0, (3000, 4000), torch.tensor([math.inf]), kernel_px=51, dtype=F64)
    radius_px = 0.5 * 0.05**2 / 1.8 / 2.0 / 4e-6 * 2.0 / 1.95
    assert float(field.lost.max()) == pytest.approx(1 - 51**2 / (math.pi * radius_px**2), abs=1e-9)
    assert float(field.kernels.sum((-2, -1)).min()) == pytest.approx(1)


def test_a_fine_field_summed_down_is_the_plain_field():
    arguments = (12, 2.8, 1.0, 8.0, (400, 600), torch.tensor([0.3, 1.0, 2.0]))
    plain, fine = (thin_lens_field(*arguments, oversample=one, dtype=F64) for one in (1, 3))
    assert fine.kernel_px == plain.kernel_px
    assert (fine.at(0.2, plain.depths_m) - plain.at(0.2, plain.depths_m)).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"focal_mm": 0.0}, ["focal_mm", "0.0"]),
        ({"f_number": -1.0}, ["f_number", "-1.0"]),
        ({"pitch_um": math.nan}, ["pitch_um", "nan"]),
        ({"focus_m": 0.05}, ["focus_m", "0.05 m"]),
        ({"focus_m": math.nan}, ["focus_m", "nan"]),
        ({"reference_focus_m": 0.01}, ["reference_focus_m", "0.01"]),
        ({"depths_m": torch.tensor([0.0, 1.0])}, ["depths_m"]),
        ({"depths_m": torch.tensor([2.0, 1.0])}, ["depths_m", "ascending"]),
        ({"radii": torch.tensor([0.0, 2.0])}, ["radii"]),
        ({"kernel_px": 10}, ["kernel_px", "10", "odd"]),
        ({"breathing_as": "zoom"}, ["breathing_as", "'zoom'"]),
        ({"oversample": 1.5}, ["oversample", "1.5"]),
        ({"depths_m": torch.tensor([0.1, 1.0])}, ["window", "513 px"]),
        ({"reference_focus_m": 0.2, "breathing_as": "shift", "kernel_px": 3}, ["kernel_px", "shift"]),
        ({"image_shape_px": (0, 5)}, ["image_shape_px"]),
    ],
)
def test_wrong_arguments_are_named(changes, words):
    arguments = {"focal_mm": 50.0, "f_number": 1.8, "focus_m": 2.0, "pitch_um": 4.0, "image_shape_px": (3000, 4000)}
    with pytest.raises(InputError) as error:
        thin_lens_field(**{**arguments, **changes})
    assert all(word in str(error.value) for word in words)
