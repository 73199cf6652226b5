import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import optics
from optics.geometric import image_scale, kernels_at, window_px
from psf.errors import InputError

F64 = torch.float64
LENSES = ("phone_us9651759", "cooke_triplet", "camera_rf50mm_f1p8")


def _case_kernels(kernels, name, case):
    lens = kernels.lens(name, case["image_plane_shift_mm"])
    depth_m = math.inf if case["depth_mm"] is None else 1e-3 * case["depth_mm"]
    azimuth = math.radians(case["azimuth_deg"])
    return kernels_at(
        lens, [case["radius_fraction"]], [azimuth], [depth_m], lens.channels, kernel_px=65, check_loss=False
    )


@pytest.mark.parametrize("name", LENSES)
def test_kernels_agree_with_brute_force_at_every_azimuth(kernels, name):
    for case in kernels.cases(name):
        found = _case_kernels(kernels, name, case)
        # Two brute-force runs differ by up to 0.003; sampling costs as much again where the blur is wide.
        assert kernels.l1(found.kernels[0], case["kernel"]).max() < 0.011, case["case"]
        shift = kernels.centroid_px(found.kernels[0]) - kernels.centroid_px(case["kernel"])
        assert np.abs(shift).max() < 0.005, case["case"]
        assert np.abs(1 - found.lost[0].numpy() - case["fraction_inside_65"]).max() < 3e-4, case["case"]


@pytest.mark.parametrize("name", LENSES)
def test_relative_illumination_agrees_with_the_table(kernels, name):
    for case in kernels.cases(name):
        lens = kernels.lens(name, case["image_plane_shift_mm"])
        depth_m = math.inf if case["depth_mm"] is None else 1e-3 * case["depth_mm"]
        found = optics.relative_illumination(lens, [case["radius_fraction"]], [depth_m])[0, 0]
        assert np.abs(found.numpy() / case["relative_illumination"] - 1).max() < 5e-4, case["case"]


def test_a_pinhole_obeys_the_law_of_cos_to_the_fourth():
    air = optics.Surface(optics.Plane(), 0.05, 10.0, optics.AIR)
    plate = optics.Surface(optics.Conic(1e-9, 0.0), 5.0, 1e-6, optics.ModelGlass.from_numbers(1.5, 60.0))
    lens = optics.Lens(
        "pinhole",
        (replace(air, thickness_mm=torch.tensor(1e-6, dtype=F64)), plate, air),
        1,
        optics.Sensor((1000, 1000), 10.0),
    )
    lens = replace(
        lens, surfaces=(*lens.surfaces[:2], replace(lens.surfaces[2], semi_aperture_mm=torch.tensor(5.0, dtype=F64)))
    )
    radii = [0.3, 0.7, 1.0]
    for depth_m in (math.inf, 0.5):
        light = optics.relative_illumination(lens, radii, [depth_m])[0, :, 1]
        for r, found in zip(radii, light.tolist(), strict=True):
            cosine = math.cos(math.atan(r * lens.sensor.half_diagonal_mm / 10.0))
            assert found == pytest.approx(cosine**4, rel=1e-4)


@pytest.mark.parametrize(("x_px", "y_px"), [(3500, 400), (400, 400), (400, 2700), (3500, 2700)])
def test_light_of_the_phone_lens_leans_towards_the_centre_from_all_four_quadrants(kernels, x_px, y_px):
    lens = kernels.lens("phone_us9651759")
    kernel = optics.psf_at(lens, x_px, y_px, math.inf, kernel_px=65)
    column, row = kernels.centroid_px(kernel[2])
    assert math.copysign(1, column) == math.copysign(1, 2015.5 - x_px)
    assert math.copysign(1, row) == math.copysign(1, 1511.5 - y_px)


def test_kernel_of_a_pixel_is_that_of_its_radius_turned_by_its_azimuth(kernels):
    lens = kernels.lens("cooke_triplet")
    height, width = lens.sensor.image_shape_px
    # Straight above the centre: the stored kernel turned counter-clockwise by a quarter is a rotation of the array.
    up = 1500.0
    above = optics.psf_at(lens, (width - 1) / 2, (height - 1) / 2 - up, 5.0, kernel_px=41)
    radius = up / (0.5 * math.hypot(width, height))
    stored = kernels_at(lens, [radius], [0.0], [5.0], lens.channels, kernel_px=41).kernels[0]
    assert torch.allclose(above, torch.rot90(stored, 1, (-2, -1)), atol=1e-6)


def test_stored_kernels_are_their_own_mirror_image(kernels):
    lens = kernels.lens("phone_us9651759")
    kernel = kernels_at(lens, [0.9], [0.0], [0.3], lens.channels, kernel_px=65).kernels
    assert torch.allclose(kernel, kernel.flip(-2), atol=1e-12)


def test_finer_sampling_changes_less_and_less(kernels):
    lens = kernels.lens("camera_rf50mm_f1p8")

    def at(rings):
        sampling = optics.Sampling(rings=rings, angles=2 * rings)
        return optics.psf_at(lens, 5000, 600, 6.0, kernel_px=65, sampling=sampling)

    fine = at(192)
    errors = [float(kernels.l1(at(rings), fine).max()) for rings in (24, 48, 96)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.006


def test_spline_and_box_agree(kernels):
    lens = kernels.lens("cooke_triplet")
    one, other = (optics.psf_at(lens, 5200, 700, 3.0, kernel_px=65, spread=s) for s in ("box", "spline"))
    assert kernels.l1(one, other).max() < 0.01


def test_automatic_window_is_the_smallest_that_holds_99_per_cent(kernels):
    lens = kernels.lens("cooke_triplet")
    height, width = lens.sensor.image_shape_px
    size = optics.psf_at(lens, width - 1, height - 1, 2.0).shape[-1]
    azimuth = math.atan2(-(height - 1) / 2, (width - 1) / 2)
    for kernel_px, enough in ((size, True), (size - 2, False)):
        lost = kernels_at(lens, [1.0], [azimuth], [2.0], lens.channels, kernel_px=kernel_px, check_loss=False).lost
        assert (float(lost.max()) <= 0.0101) == enough


def test_window_of_a_point_is_one_pixel():
    assert window_px(torch.zeros(1, 3), torch.ones(1, 3), 0.99) == 1


def test_oversampled_kernels_sum_to_the_pixels(kernels):
    lens = kernels.lens("cooke_triplet")
    coarse, fine = (
        kernels_at(lens, [0.6], [0.4], [6.0], lens.channels, kernel_px=41, oversample=n).kernels[0] for n in (1, 3)
    )
    assert fine.shape[-1] == 3 * 41
    summed = fine.unflatten(-1, (41, 3)).sum(-1).unflatten(-2, (41, 3)).sum(-2)
    assert kernels.l1(coarse, summed).max() < 1e-9


def test_several_wavelengths_mix_by_their_weights(kernels):
    lens = kernels.lens("cooke_triplet")
    one, two = ((0.48,), (0.64,))
    apart = optics.psf_at(lens, 5200, 700, math.inf, kernel_px=31, wavelengths_um=[one, two])
    mixed = optics.psf_at(lens, 5200, 700, math.inf, kernel_px=31, wavelengths_um=[[0.48, 0.64]], weights=[[1.0, 3.0]])
    # Vignetting differs by colour a little, so the light is not in the ratio of the weights to the last digit.
    assert kernels.l1(mixed[0], 0.25 * apart[0] + 0.75 * apart[1]) < 2e-3


def test_a_refocused_lens_shows_its_breathing_against_the_reference():
    lens = replace(optics.load("stack_12mm_f2.8"), channels=optics.LINE_CHANNELS)
    far, near = lens.refocused(1.415), lens.refocused(0.5)
    scale = image_scale(near, far)
    ratio = float(near.vertices_mm[-1] / far.vertices_mm[-1])
    # The image grows with the image distance; its exact ratio is that of the distances from the exit pupil.
    pupil = float(optics.first_order(lens).exit_pupil_from_last_vertex_mm)
    last = [float(part.surfaces[-1].thickness_mm) for part in (near, far)]
    assert scale == pytest.approx((last[0] - pupil) / (last[1] - pupil), rel=0.01)
    assert 1 < scale < ratio * 1.05


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x_px": 5000.0}, "image height 1.25"),
        ({"y_px": math.nan}, "image height nan"),
        ({"depth_m": 0.0}, "depth_m: found 0.0"),
        ({"depth_m": math.nan}, "depth_m: found nan"),
        ({"kernel_px": 32}, "kernel_px: found 32"),
        ({"weights": [[1.0]]}, "weights: found weights alone"),
        ({"wavelengths_um": [[0.5], [0.6]], "weights": [[1.0], [1.0, 2.0]]}, "weights: found [1, 2]"),
        ({"wavelengths_um": []}, "wavelengths_um: found [] wavelengths"),
        ({"wavelengths_um": [[0.55], []]}, "wavelengths_um: found [1, 0] wavelengths"),
        ({"kernel_px": 5, "depth_m": 0.1}, "loses"),
    ],
)
def test_wrong_arguments_are_named(arguments, words):
    lens = optics.load("f2.2_fixedfocus")
    with pytest.raises(InputError) as caught:
        optics.psf_at(lens, **({"x_px": 3000.0, "y_px": 500.0, "depth_m": 1.0} | arguments))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_window_that_loses_some_light_is_a_warning():
    lens = optics.load("cooke_triplet")
    with pytest.warns(UserWarning, match="loses up to"):
        optics.psf_at(lens, 5999, 0, 2.0, kernel_px=47)


def _whole_kernel_loss(lens, weight):
    kernel = optics.psf_at(lens, 4600.0, 900.0, 5.0, kernel_px=51, gradient=True, sampling=optics.Sampling(48, 96))
    return (kernel * weight).sum()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameter", "step"),
    [
        ("camera_rf50mm_f1p8", "surface1.curvature_per_mm", 1e-6),
        ("camera_rf50mm_f1p8", "surface7.thickness_mm", 1e-4),
        ("camera_rf50mm_f1p8", "surface9.asphere_4", 1e-9),
        ("camera_rf50mm_f1p8", "surface9.semi_aperture_mm", 1e-4),
        ("cooke_triplet", "surface5.curvature_per_mm", 1e-6),
    ],
)
def test_gradient_of_a_whole_kernel_agrees_with_finite_differences(name, parameter, step):
    lens = replace(optics.load(name), channels=optics.LINE_CHANNELS[1:2])
    grid = torch.arange(51, dtype=F64) - 25
    # A smooth weight: the kernel's second moment and a slow wave, as a training loss would see it.
    weight = 0.01 * (grid[:, None] ** 2 + grid**2) + torch.cos(0.3 * grid[:, None] + 0.5 * grid)
    value = lens.parameters()[parameter].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(_whole_kernel_loss(lens.with_parameters({parameter: value}), weight), value)
    ends = []
    for sign in (-1, 1):
        moved = lens.with_parameters({parameter: value.detach() + sign * step})
        ends.append(float(_whole_kernel_loss(moved, weight).detach()))
    assert float(gradient) == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=0.01)


def test_gradients_reach_every_parameter_that_bends_or_blocks_light():
    lens = optics.load("cooke_triplet")
    values = {name: v.clone().requires_grad_() for name, v in lens.parameters().items()}
    traced = lens.with_parameters(values)
    kernel = optics.psf_at(
        traced, 5200, 700, 4.0, kernel_px=41, gradient=True, sampling=optics.Sampling(16, 32), wavelengths_um=[[0.55]]
    )
    grid = torch.arange(41, dtype=F64) - 20
    gradients = torch.autograd.grad((kernel * grid).sum(), list(values.values()), allow_unused=True)
    found = {name for name, g in zip(values, gradients, strict=True) if g is not None and float(g.abs().max()) > 0}
    assert all(g is None or bool(g.isfinite().all()) for g in gradients)
    assert {f"surface{i}.curvature_per_mm" for i in range(1, 7)} <= found
    assert {f"surface{i}.thickness_mm" for i in range(1, 7)} <= found
    assert any(name.endswith("semi_aperture_mm") for name in found)


def test_without_the_word_gradient_nothing_is_recorded():
    lens = optics.load("cooke_triplet")
    value = lens.parameters()["surface1.curvature_per_mm"].clone().requires_grad_()
    traced = lens.with_parameters({"surface1.curvature_per_mm": value})
    assert not optics.psf_at(traced, 3000, 2000, math.inf, kernel_px=31).requires_grad
