import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import optics
import psf
from optics.geometric import image_scale, kernels_at
from psf.errors import InputError

F64 = torch.float64
LENSES = ("phone_us9651759", "cooke_triplet", "camera_rf50mm_f1p8")


@pytest.mark.parametrize("name", LENSES)
def test_fast_grid_agrees_with_brute_force(kernels, name):
    cases = [c for c in kernels.cases(name) if c["azimuth_deg"] == 0 and c["image_plane_shift_mm"] == 0]
    depths = sorted({math.inf if c["depth_mm"] is None else 1e-3 * c["depth_mm"] for c in cases})
    radii = sorted({c["radius_fraction"] for c in cases})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "lens camera_rf50mm_f1p8: a window of 65 px loses")
        field = optics.psf_grid(kernels.lens(name), depths, radii, kernel_px=65, dtype=F64)
    errors = []
    for case in cases:
        d = depths.index(math.inf if case["depth_mm"] is None else 1e-3 * case["depth_mm"])
        r = radii.index(case["radius_fraction"])
        errors.append(kernels.l1(field.kernels[d, r], case["kernel"]))
        shift = kernels.centroid_px(field.kernels[d, r]) - kernels.centroid_px(case["kernel"])
        assert np.abs(shift).max() < 0.02, case["case"]
        assert np.abs(field.transmission[d, r].numpy() / case["relative_illumination"] - 1).max() < 1e-3
        assert np.abs(1 - field.lost[d, r].numpy() - case["fraction_inside_65"]).max() < 1e-3
    assert np.mean(errors) < 0.007
    assert np.max(errors) < 0.02


@pytest.mark.parametrize("name", ["wide_laikin100", "double_gauss_jp1987087922", "phone_deeplens80"])
def test_fast_grid_agrees_with_plain_tracing(kernels, name):
    lens = kernels.lens(name)
    nearest = 100 * float(optics.first_order(lens).efl_mm) * 1e-3
    depths, radii = [nearest, 3 * nearest, math.inf], [0.0, 0.55, 1.0]
    field = optics.psf_grid(lens, depths, radii, kernel_px=129, dtype=F64)
    places = [(d, r) for d in range(3) for r in range(3)]
    plain = kernels_at(
        lens,
        [radii[r] for _, r in places],
        [0.0] * 9,
        [depths[d] for d, _ in places],
        lens.channels,
        kernel_px=129,
        check_loss=False,
    )
    light = optics.relative_illumination(lens, radii, depths)
    for i, (d, r) in enumerate(places):
        assert kernels.l1(field.kernels[d, r], plain.kernels[i]).max() < 0.02, (d, r)
        assert torch.allclose(field.transmission[d, r], light[d, r], rtol=3e-3)


def test_a_field_whose_bundle_ends_where_a_surface_ends_is_traced_plainly(kernels):
    lens = kernels.lens("asphere_conic_end")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        field = optics.psf_grid(lens, [math.inf], [0.0, 1.0], kernel_px=257, dtype=F64)
        plain = kernels_at(lens, [1.0], [0.0], [math.inf], lens.channels, kernel_px=257)
    assert kernels.l1(field.kernels[0, 1], plain.kernels[0]).max() < 0.02


def test_default_grid_has_20_depths_uniform_in_dioptres_and_20_radii():
    field = optics.psf_grid(optics.load("f2.2_fixedfocus"), kernel_px=87)
    assert field.kernels.shape == (20, 20, 3, 87, 87)
    assert field.kernels.dtype == torch.float32
    steps = torch.diff(1 / field.depths_m)
    assert float(field.depths_m[0]) == pytest.approx(0.1)
    assert math.isinf(float(field.depths_m[-1]))
    assert torch.allclose(steps, steps[0].expand(19), rtol=1e-4)
    assert torch.allclose(field.radii, torch.linspace(0, 1, 20))
    assert torch.allclose(field.kernels.sum((-1, -2)), torch.ones(20, 20, 3), atol=1e-5)
    assert torch.allclose(field.kernels, field.kernels.flip(-2), atol=1e-7)
    assert field.provenance.lens == "f2.2_fixedfocus"
    assert len(field.provenance.file_sha256) == 64
    assert [c.name for c in field.channels] == ["R", "G", "B"]


def test_automatic_window_holds_99_per_cent_of_the_light_of_99_per_cent_of_the_kernels():
    field = optics.psf_grid(optics.load("f2.2_fixedfocus"), default_like(6), torch.linspace(0, 1, 6))
    share = (field.lost <= 0.0101).float().mean()
    assert float(share) >= 0.99
    smaller = optics.psf_grid(
        optics.load("f2.2_fixedfocus"), default_like(6), torch.linspace(0, 1, 6), kernel_px=field.kernel_px - 4
    )
    assert float((smaller.lost <= 0.01).float().mean()) < 0.99


def default_like(count):
    return optics.default_depths_m(0.1, count)


def test_a_grid_is_the_same_each_time():
    lens = optics.load("cooke_triplet")
    one, other = (optics.psf_grid(lens, [4.0, math.inf], [0.0, 0.7], kernel_px=41) for _ in range(2))
    assert torch.equal(one.kernels, other.kernels)


def test_progress_counts_all_kernels():
    seen = []
    lens = optics.load("cooke_triplet")
    optics.psf_grid(
        lens, [4.0, 5.0, math.inf], [0.0, 0.7], kernel_px=41, on_progress=lambda n, of: seen.append((n, of))
    )
    assert seen[-1] == (18, 18)
    assert seen == sorted(seen)


def test_oversampled_grid_sums_to_the_plain_one(kernels):
    lens = kernels.lens("cooke_triplet")
    coarse, fine = (
        optics.psf_grid(lens, [3.0, math.inf], [0.2, 0.9], kernel_px=65, oversample=n, dtype=F64) for n in (1, 2)
    )
    assert fine.kernels.shape[-1] == 130
    summed = fine.kernels.unflatten(-1, (65, 2)).sum(-1).unflatten(-2, (65, 2)).sum(-2)
    assert kernels.l1(coarse.kernels, summed).max() < 1e-6


def test_several_wavelengths_per_channel_are_interpolated_truly(kernels):
    lens = optics.load("f2.2_fixedfocus")
    field = optics.psf_grid(lens, [0.3, math.inf], [0.5, 0.8], kernel_px=65, dtype=F64)
    plain = kernels_at(lens, [0.8], [0.0], [math.inf], lens.channels, kernel_px=65)
    assert kernels.l1(field.kernels[1, 1], plain.kernels[0]).max() < 0.01


def test_refocused_fields_carry_magnification_and_the_rest_of_the_breathing(kernels):
    lens = replace(optics.load("stack_12mm_f2.8"), channels=optics.LINE_CHANNELS)
    near, far = lens.refocused(0.5), lens.refocused(1.415)
    field = optics.psf_grid(far, [1.0, 1.415], [0.3, 0.8], kernel_px=65, reference=near, dtype=F64)
    assert field.magnification == pytest.approx(image_scale(far, near), rel=1e-12)
    assert field.magnification < 1
    assert field.focus_m == 1.415
    # The kernels are those of the fields where the same chief rays land, shifted by what the scale leaves of breathing.
    chief = optics.chief_rays(near, torch.tensor([0.3, 0.8], dtype=F64), far)
    rest_px = (chief.landing_mm - field.magnification * chief.radius_mm) / (1e-3 * lens.sensor.pitch_um)
    own = optics.psf_grid(far, [1.0, 1.415], chief.landing_mm / lens.sensor.half_diagonal_mm, kernel_px=65, dtype=F64)
    shift = kernels.centroid_px(field.kernels[:, :, 1]) - kernels.centroid_px(own.kernels[:, :, 1])
    assert float(rest_px.abs().min()) > 1
    # Shares of whole pixels move the centroid of a small spot by a few hundredths.
    assert np.abs(shift[..., 0] - rest_px.numpy()).max() < 0.05


def test_grid_with_gradients_has_the_kernels_of_the_fast_one(kernels):
    lens = kernels.lens("cooke_triplet")
    name = "surface3.curvature_per_mm"
    value = lens.parameters()[name].clone().requires_grad_()
    arguments = {"depths_m": [4.0, math.inf], "radii": [0.0, 0.8], "kernel_px": 41, "dtype": F64}
    field = optics.psf_grid(lens.with_parameters({name: value}), gradient=True, **arguments)
    fast = optics.psf_grid(lens, **arguments)
    assert kernels.l1(field.kernels.detach(), fast.kernels).max() < 0.01
    assert torch.allclose(field.transmission.detach(), fast.transmission, rtol=1e-3)
    grid = torch.arange(41, dtype=F64) - 20
    (gradient,) = torch.autograd.grad((field.kernels * grid**2).sum() + field.transmission.sum(), value)
    step = 1e-6
    ends = []
    for sign in (-1, 1):
        moved = optics.psf_grid(lens.with_parameters({name: value.detach() + sign * step}), gradient=True, **arguments)
        ends.append(float((moved.kernels * grid**2).sum() + moved.transmission.sum()))
    assert float(gradient) == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"depths_m": [1.0, 0.5]}, "depths_m"),
        ({"depths_m": [-1.0]}, "depth_m: found -1.0"),
        ({"depths_m": []}, "depths_m"),
        ({"radii": [0.0, 1.2]}, "radii"),
        ({"radii": [0.5, 0.5]}, "radii"),
        ({"kernel_px": 64}, "kernel_px: found 64"),
        ({"kernel_px": 9, "depths_m": [0.1, 1.0]}, "loses"),
        ({"oversample": 0}, "oversample: found 0"),
        ({"weights": [[1.0]]}, "weights"),
    ],
)
def test_wrong_arguments_are_named_in_one_line(arguments, words):
    with pytest.raises(InputError) as caught:
        optics.psf_grid(optics.load("f2.2_fixedfocus"), **arguments)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sensor_larger_than_the_image_circle_is_named():
    lens = optics.load("f2.2_fixedfocus")
    huge = replace(lens, sensor=optics.Sensor((9000, 12000), 1.16))
    with pytest.raises(InputError, match=r"no ray at radius 0\.\d+"):
        optics.psf_grid(huge)


def test_field_of_a_lens_survives_its_file(tmp_path):
    field = optics.psf_grid(optics.load("cooke_triplet"), [3.0, math.inf], [0.0, 1.0], kernel_px=65)
    field.save(tmp_path / "field.h5")
    again = psf.load(tmp_path / "field.h5")
    assert torch.equal(again.kernels, field.kernels)
    assert again.provenance == field.provenance


@pytest.mark.slow
def test_at_pixel_meets_really_traced_kernels_off_the_grid_and_better_on_a_finer_one(kernels):
    lens = kernels.lens("f2.2_fixedfocus")
    generator = torch.Generator().manual_seed(7)
    x, y, power = torch.rand(3, 30, generator=generator, dtype=F64).unbind()
    x_px, y_px, depths = x * 4031, y * 3023, 1 / (10 * power)
    truth = torch.stack(
        [optics.psf_at(lens, *(float(v) for v in p), kernel_px=97) for p in zip(x_px, y_px, depths, strict=True)]
    )
    means = []
    for count in (8, 20):
        field = optics.psf_grid(lens, default_like(count), torch.linspace(0, 1, count), kernel_px=97)
        found = field.at_pixel(x_px.float(), y_px.float(), depths.float())
        means.append(float(kernels.l1(found, truth).mean()))
    assert means[1] < 0.08
    assert means[1] < 0.8 * means[0]


def test_a_grid_leaves_torch_its_threads_and_kernels_in_one_piece():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        field = optics.psf_grid(optics.load("f2.2_fixedfocus"), torch.tensor([0.5, 1.0]), torch.tensor([0.0, 1.0]))
        assert torch.get_num_threads() == 1
        assert field.kernels.is_contiguous()
    finally:
        torch.set_num_threads(before)
