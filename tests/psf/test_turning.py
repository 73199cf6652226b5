import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psf import InputError, turn
from psf.metrics import measure_l1
from psf.sampling import TURNINGS
from psf.turning import polar_place

F64 = torch.float64


def lopsided(size: int = 7) -> torch.Tensor:
    kernel = torch.zeros(size, size, dtype=F64)
    kernel[size // 2, -1] = 1.0  # to the right of the middle
    return kernel


@pytest.mark.parametrize("turning", ["bilinear", "cubic"])
def test_turned_kernels_are_those_of_an_independent_implementation(golden, turning):
    v = golden
    found = turn(v["turn_kernel"], v["turn_angle_rad"], turning)
    assert (found - v[f"turn_{turning}"]).abs().max() < 1e-12
    single = turn(v["turn_kernel"].float(), v["turn_angle_rad"].float(), turning)
    assert (single - v[f"turn_{turning}"]).abs().max() < 2e-6


@pytest.mark.parametrize(("turning", "limit"), [("bilinear", 1.2e-4), ("cubic", 0.4e-4), ("spline", 0.12e-4)])
def test_turning_a_smooth_kernel_is_near_the_turned_function(golden, turning, limit):
    v = golden
    found = turn(v["turn_kernel"], v["turn_angle_rad"], turning)
    assert (found - v["turn_exact"]).abs().mean((-2, -1)).max() < limit


@pytest.mark.parametrize("turning", TURNINGS)
@pytest.mark.parametrize("quarters", [0, 1, 2, 3, 4, -1])
@pytest.mark.parametrize("size", [1, 7, 8])
def test_a_quarter_turn_is_the_array_turned_counter_clockwise(turning, quarters, size):
    kernel = torch.rand(size, size, dtype=F64, generator=torch.Generator().manual_seed(3))
    found = turn(kernel, quarters * math.pi / 2, turning)
    assert (found - torch.rot90(kernel, quarters)).abs().max() < 1e-13  # the cosine of pi/2 is 6e-17


@pytest.mark.parametrize("turning", TURNINGS)
@pytest.mark.parametrize(("degrees", "right", "up"), [(45, 1, 1), (135, -1, 1), (225, -1, -1), (315, 1, -1)])
def test_light_right_of_the_middle_goes_to_the_quadrant_of_the_angle(turning, degrees, right, up):
    kernel = lopsided()
    kernel[3, 4:] = 1.0
    found = turn(kernel, math.radians(degrees), turning)
    offset = torch.arange(7, dtype=F64) - 3
    assert torch.sign((found.sum(0) * offset).sum()) == right
    assert torch.sign((found.sum(1) * offset).sum()) == -up


@settings(max_examples=40)
@given(angle=st.floats(-7, 7), seed=st.integers(0, 5), turning=st.sampled_from(TURNINGS))
def test_a_full_turn_changes_nothing_and_turning_is_linear(angle, seed, turning):
    kernels = torch.rand(2, 9, 9, dtype=F64, generator=torch.Generator().manual_seed(seed))
    once = turn(kernels, angle, turning)
    assert (turn(kernels, angle + 2 * math.pi, turning) - once).abs().max() < 1e-12
    assert (turn(kernels[0] - 2 * kernels[1], angle, turning) - once[0] + 2 * once[1]).abs().max() < 1e-12


@settings(max_examples=40)
@given(angle=st.floats(-4, 4), turning=st.sampled_from(TURNINGS))
def test_turning_a_mirror_image_is_the_mirror_image_turned_the_other_way(angle, turning):
    kernel = torch.rand(9, 9, dtype=F64, generator=torch.Generator().manual_seed(1))
    assert (turn(kernel.flip(0), angle, turning) - turn(kernel, -angle, turning).flip(0)).abs().max() < 1e-12


def test_leading_shapes_broadcast():
    assert turn(torch.rand(5, 1, 3, 3), torch.zeros(4)).shape == (5, 4, 3, 3)
    assert turn(torch.rand(0, 3, 3), 0.3).shape == (0, 3, 3)


@pytest.mark.parametrize("turning", TURNINGS)
def test_gradients_of_turning(turning):
    generator = torch.Generator().manual_seed(0)
    kernels = torch.rand(2, 5, 5, dtype=F64, generator=generator, requires_grad=True)
    angle = torch.tensor([0.4, 2.2], dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda k, a: turn(k, a, turning), (kernels, angle), fast_mode=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((torch.rand(3, 4), 0.0), ["kernels", "(3, 4)", "(..., K, K)"]),
        ((torch.rand(3, 3), math.nan), ["azimuth_rad", "finite"]),
        ((torch.rand(3, 3), 0.0, "nearest"), ["turning", "'nearest'", "'cubic'"]),
        ((torch.rand(2, 3, 3), torch.zeros(3)), ["azimuth_rad", "(3,)", "(2, 3, 3)"]),
    ],
)
def test_wrong_arguments_are_named(arguments, words):
    with pytest.raises(InputError) as error:
        turn(*arguments)
    assert all(word in str(error.value) for word in words)


def test_places_of_pixels_are_those_of_an_independent_implementation(golden):
    v = golden
    radius, cosine, sine = polar_place(v["polar_x_px"], v["polar_y_px"], tuple(v["polar_image_shape_px"].tolist()))
    azimuth = v["polar_azimuth_rad"]
    assert (radius - v["polar_radius"]).abs().max() < 1e-12
    assert torch.hypot(cosine - azimuth.cos(), sine - azimuth.sin()).max() < 1e-12


def test_the_place_of_the_picture_centre_has_azimuth_0_and_finite_gradients():
    x_px = torch.tensor([19.5, 25.0], dtype=F64, requires_grad=True)
    parts = polar_place(x_px, torch.tensor([14.5, 14.5], dtype=F64), (30, 40))
    assert [float(part[0].detach()) for part in parts] == [0.0, 1.0, 0.0]
    sum(part.sum() for part in parts).backward()
    assert x_px.grad.isfinite().all()


@pytest.mark.parametrize(
    ("lens", "plain", "turned"), [("phone_us9651759", 2, 8), ("phone_us9651759", 7, 9), ("cooke_triplet", 6, 8)]
)
def test_kernels_of_real_lenses_turn_into_those_traced_at_the_other_azimuth(reference, lens, plain, turned):
    with np.load(reference / "psf" / f"{lens}.npz") as file:
        case = json.loads(str(file["meta"]))["cases"][turned]
        kernels = [torch.from_numpy(file[f"kernel_{one:02d}"]).to(F64) for one in (plain, turned)]
    before, truth = (one / one.sum((-2, -1), keepdim=True) for one in kernels)
    l1 = {}
    for turning in TURNINGS:
        found = turn(before, math.radians(case["azimuth_deg"]), turning).clamp_min(0)
        l1[turning] = float(measure_l1(found / found.sum((-2, -1), keepdim=True), truth).mean())
    wrong = float(measure_l1(turn(before, -math.radians(case["azimuth_deg"])), truth).mean())
    assert l1["cubic"] < 0.075  # what turning costs on a grid of whole pixels
    assert l1["cubic"] < min(l1["bilinear"], l1["spline"])
    assert wrong > 0.3
