import dataclasses
import importlib.util
import math
import sys

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from psf import Channel, InputError, PolarPSFField, PSFModel
from psf.interpolation import INTERPOLATIONS
from psf.metrics import find_centroid_px, measure_l1
from psf.sampling import TURNINGS

F64 = torch.float64
MODES = [(i, t) for i in INTERPOLATIONS for t in TURNINGS]


def golden_field(v, dtype: torch.dtype) -> PolarPSFField:
    return PolarPSFField(
        kernels=v["field_kernels"].to(dtype),
        transmission=v["field_transmission"].to(dtype),
        lost=torch.zeros_like(v["field_transmission"], dtype=dtype),
        depths_m=v["field_depths_m"].to(dtype),
        radii=v["field_radii"].to(dtype),
        image_shape_px=tuple(v["field_image_shape_px"].tolist()),
        pitch_um=1.0,
        channels=tuple(Channel(name) for name in "RGB"),
        focus_m=1.0,
    )


@pytest.mark.parametrize(("dtype", "limit"), [(F64, 1e-10), (torch.float32, 1e-5)])
def test_plain_kernels_and_transmission_are_those_of_an_independent_implementation(golden, dtype, limit):
    field = golden_field(golden, dtype)
    places = tuple(golden[f"query_{name}"] for name in ("x_px", "y_px", "depth_m"))
    kernels = field.at_pixel(*places, interpolation="linear", turning="bilinear")
    assert kernels.dtype == dtype
    assert (kernels - golden["query_kernel"]).abs().max() < limit
    assert (field.transmission_at_pixel(*places) - golden["query_transmission"]).abs().max() < limit
    radius = golden["query_radius"]
    assert (field.transmission_at(radius, places[2]) - golden["query_transmission"]).abs().max() < limit


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    x_px=st.floats(-5, 45),
    y_px=st.floats(-5, 35),
    depth_m=st.floats(0.01, 1e6) | st.just(math.inf),
    mode=st.sampled_from(MODES),
    oversample=st.integers(1, 3),
)
def test_every_kernel_is_light_of_unit_sum(make_field, x_px, y_px, depth_m, mode, oversample):
    field = make_field(oversample=oversample)
    kernels = field.at_pixel(x_px, y_px, depth_m, *mode)
    assert kernels.shape == (2, 7, 7)
    assert (kernels.sum((-2, -1)) - 1).abs().max() < 1e-12
    assert kernels.min() >= 0


@pytest.mark.parametrize("mode", MODES)
def test_kernels_at_azimuth_0_are_their_own_mirror_images(make_field, mode):
    kernels = make_field().at(torch.linspace(0, 1, 9, dtype=F64), 0.2, *mode)
    assert (kernels - kernels.flip(-2)).abs().max() < 1e-12


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("oversample", [1, 2, 3])
def test_at_a_stored_place_the_stored_kernel_comes_out(make_field, mode, oversample):
    field = make_field(oversample=oversample)
    kernels = field.at(field.radii[None, :], field.depths_m[:, None], *mode)
    stored = field.kernels.reshape(3, 4, 2, 7, oversample, 7, oversample).sum((-3, -1))
    assert (kernels - stored).abs().max() < 1e-12


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("x_px", "y_px", "quarters"), [(30.5, 14.5, 0), (19.5, 3.5, 1), (8.5, 14.5, 2), (19.5, 25.5, 3)]
)
def test_a_pixel_right_above_left_or_below_gets_quarter_turns_counter_clockwise(make_field, mode, x_px, y_px, quarters):
    field = make_field()
    plain = field.at(11 / 25, 0.2, *mode)
    assert (field.at_pixel(x_px, y_px, 0.2, *mode) - torch.rot90(plain, quarters, (-2, -1))).abs().max() < 1e-12


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("x_px", "y_px"), [(35.0, 3.0), (5.0, 3.0), (5.0, 26.0), (35.0, 26.0)])
def test_light_that_leans_outwards_leans_outwards_in_all_four_quadrants(make_field, mode, x_px, y_px):
    kernels = torch.zeros(3, 4, 2, 7, 7, dtype=F64)
    kernels[..., 3, 3:6] = 1 / 3
    right, down = find_centroid_px(make_field(kernels=kernels).at_pixel(x_px, y_px, 0.3, *mode)).unbind(-1)
    outward = torch.tensor([x_px - 19.5, y_px - 14.5], dtype=F64)
    outward = outward / outward.norm()
    assert (right * outward[0] + down * outward[1]).min() > 0.8
    assert (right * outward[1] - down * outward[0]).abs().max() < 0.1


def test_kernels_turned_by_at_radius_are_those_of_the_pixel_there(make_field):
    field = make_field()
    kernels, depths_m = field.at_radius(0.5, math.pi / 3)
    x_px, y_px = 19.5 + 12.5 * math.cos(math.pi / 3), 14.5 - 12.5 * math.sin(math.pi / 3)
    assert torch.equal(depths_m, field.depths_m)
    assert kernels.shape == (3, 2, 7, 7)
    assert (kernels - field.at_pixel(x_px, y_px, depths_m)).abs().max() < 1e-12


def test_beyond_the_stored_depths_and_radii_the_last_kernel_stays(make_field):
    field = make_field(
        depths_m=torch.tensor([0.1, 0.4, 2.0], dtype=F64), radii=torch.tensor([0.1, 0.3, 0.5, 0.6], dtype=F64)
    )
    assert (field.at(0.9, math.inf) - field.kernels[2, 3]).abs().max() < 1e-12
    assert (field.at(0.0, 0.01) - field.kernels[0, 0]).abs().max() < 1e-12


def test_shapes_of_the_places_are_the_leading_shapes_of_the_kernels(make_field):
    field = make_field()
    assert field.at(0.2, 1.0).shape == (2, 7, 7)
    assert field.at(torch.rand(3, 1), torch.ones(4)).shape == (3, 4, 2, 7, 7)
    assert field.at_pixel(torch.zeros(0), torch.zeros(0), torch.ones(0)).shape == (0, 2, 7, 7)
    assert field.transmission_at(torch.rand(5), 1.0).shape == (5, 2)
    assert field.lost_at(0.3, 1.0).shape == (2,)
    assert field.kernels_at(torch.tensor(0.3), torch.tensor(1.0)).shape == (1, 2, 7, 7)


def test_a_batch_is_its_members(make_field):
    field = make_field()
    x_px, y_px, depth_m = torch.tensor([3.0, 30.0]), torch.tensor([20.0, 2.0]), torch.tensor([0.15, 5.0])
    batch = field.at_pixel(x_px, y_px, depth_m)
    for one in range(2):
        assert torch.equal(batch[one], field.at_pixel(x_px[one], y_px[one], depth_m[one]))
    assert torch.equal(field.kernels_at_pixel(x_px, y_px, depth_m), batch)


def test_a_field_is_a_psf_model(make_field):
    assert isinstance(make_field(), PSFModel)


@pytest.mark.parametrize("mode", [("linear", "bilinear"), ("linear", "cubic"), ("sized", "cubic"), ("sized", "spline")])
@pytest.mark.parametrize("oversample", [1, 2])
def test_gradients_in_kernels_and_places(make_field, mode, oversample):
    field = make_field(kernel_px=5, oversample=oversample)
    raw = field.kernels.clone().requires_grad_()
    x_px = torch.tensor([4.0, 31.0], dtype=F64, requires_grad=True)
    y_px = torch.tensor([3.0, 12.0], dtype=F64)
    depth_m = torch.tensor([0.17, 0.9], dtype=F64, requires_grad=True)

    def kernels(raw, x_px, depth_m):
        unit = raw / raw.sum((-2, -1), keepdim=True)
        return dataclasses.replace(field, kernels=unit).at_pixel(x_px, y_px, depth_m, *mode)

    assert torch.autograd.gradcheck(kernels, (raw, x_px, depth_m), atol=1e-6, fast_mode=True)


def test_gradients_are_finite_at_the_centre_and_at_infinity(make_field):
    field = make_field()
    kernels = field.kernels.clone().requires_grad_()
    found = dataclasses.replace(field, kernels=kernels).at_pixel(19.5, 14.5, math.inf)
    (found**2).sum().backward()
    assert kernels.grad.isfinite().all()


def test_cropping_puts_the_light_cut_off_into_lost(make_field):
    field = make_field()
    small = field.cropped(3)
    kept = field.kernels[..., 2:5, 2:5].sum((-2, -1))
    assert small.kernel_px == 3
    assert (1 - small.lost - (1 - field.lost) * kept).abs().max() < 1e-12
    assert (small.kernels * kept[..., None, None] - field.kernels[..., 2:5, 2:5]).abs().max() < 1e-12
    assert torch.equal(field.cropped(7).kernels, field.kernels / field.kernels.sum((-2, -1), keepdim=True))


def test_cropping_a_fine_field_counts_sensor_pixels(make_field):
    field = make_field(oversample=2)
    assert field.cropped(5).kernels.shape[-1] == 10
    assert field.cropped(5).kernel_px == 5


def test_binning_three_by_three_adds_pixels_up(make_field):
    field = make_field(kernel_px=9, image_shape_px=(30, 60))
    binned = field.resampled(6.0)
    want = field.kernels.reshape(3, 4, 2, 3, 3, 3, 3).sum((-3, -1))
    assert binned.image_shape_px == (10, 20)
    assert binned.pitch_um == 6.0
    assert (binned.kernels - want).abs().max() < 1e-12


@settings(max_examples=25)
@given(pitch_um=st.floats(0.5, 20))
def test_resampling_keeps_all_light(pitch_um):
    kernels = torch.rand(1, 1, 1, 7, 7, dtype=F64, generator=torch.Generator().manual_seed(0))
    one = torch.ones(1, 1, 1, dtype=F64)
    field = PolarPSFField(
        kernels=kernels / kernels.sum(),
        transmission=one,
        lost=0 * one,
        depths_m=one[0, 0],
        radii=one[0, 0],
        image_shape_px=(300, 400),
        pitch_um=2.0,
        channels=(Channel("G"),),
        focus_m=1.0,
    )
    other = field.resampled(pitch_um)
    assert abs(float(other.kernels.sum()) - 1) < 1e-12
    assert float(other.lost) == 0
    assert other.kernel_px % 2 == 1
    assert field.resampled(2.0).kernel_px == 7
    assert torch.allclose(field.resampled(2.0).kernels, field.kernels, atol=1e-15)


def test_a_third_of_the_pitch_keeps_the_centroid_and_comes_back(make_field):
    field = make_field(image_shape_px=(30, 42))
    fine = field.resampled(2.0 / 3)
    assert fine.kernel_px == 21
    assert (find_centroid_px(fine.kernels) / 3 - find_centroid_px(field.kernels)).abs().max() < 1e-12
    assert (fine.resampled(2.0).kernels - field.kernels).abs().max() < 1e-12


def test_changing_a_field_leaves_the_first_one_alone(make_field):
    field = make_field()
    before = field.kernels.clone()
    field.cropped(3), field.resampled(1.0), field.augmented(generator=torch.Generator().manual_seed(0))
    field.at_pixel(1.0, 2.0, 0.3), field.at(0.5, 0.2)
    assert torch.equal(field.kernels, before)
    with pytest.raises(dataclasses.FrozenInstanceError):
        field.pitch_um = 3.0


def test_dtype_and_device_change_together(make_field):
    single = make_field().to(dtype=torch.float32)
    assert {one.dtype for one in (single.kernels, single.lost, single.depths_m, single.radii)} == {torch.float32}
    assert single.to("cpu", F64).at(0.3, 0.2).dtype == F64
    assert "3 depths x 4 radii x 2 channels, 7 px of 2 um" in repr(single)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: f.at(-0.1, 1.0), ["radius", "-0.1"]),
        (lambda f: f.at(math.nan, 1.0), ["radius", "nan", "finite"]),
        (lambda f: f.at(0.5, 0.0), ["depth_m", "0.0", "above 0"]),
        (lambda f: f.at(0.5, math.nan), ["depth_m", "nan"]),
        (lambda f: f.at(0.5, torch.tensor([1.0, -2.0])), ["depth_m", "-2.0"]),
        (lambda f: f.at(torch.rand(2), torch.rand(3)), ["radius, depth_m", "(2,) and (3,)", "broadcast"]),
        (lambda f: f.at_pixel(math.inf, 0.0, 1.0), ["x_px", "inf"]),
        (lambda f: f.at(0.5, 1.0, interpolation="cubic"), ["interpolation", "'cubic'", "'sized'"]),
        (lambda f: f.at(0.5, 1.0, turning="nearest"), ["turning", "'nearest'", "'spline'"]),
        (lambda f: f.at_radius(torch.rand(2)), ["radius", "(2,)"]),
        (lambda f: f.cropped(4), ["cropped(kernel_px)", "4", "odd"]),
        (lambda f: f.cropped(9), ["cropped(kernel_px)", "9", "at most the field's 7"]),
        (lambda f: f.resampled(0.0), ["resampled(pitch_um)", "0.0"]),
        (lambda f: f.augmented(generator=torch.Generator(), scale=-0.1), ["augmented(scale)", "-0.1"]),
    ],
)
def test_wrong_arguments_are_named(make_field, call, words):
    with pytest.raises(InputError) as error:
        call(make_field())
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def benchmark(root):
    """The measuring script, with its analytic lens."""
    spec = importlib.util.spec_from_file_location("field_interpolation", root / "benchmarks" / "field_interpolation.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_kernels_between_the_nodes_are_near_really_deposited_ones(benchmark):
    lens = benchmark.AnalyticLens(kernel_px=41, rays=100)
    depths_m, radii = benchmark.even_grid(12, 8)
    x_px, y_px, depth_m = benchmark.random_places(30, 4, lens.image_shape_px)
    truth = torch.stack([lens.truth(*one) for one in zip(x_px.tolist(), y_px.tolist(), depth_m.tolist(), strict=True)])
    l1 = {}
    for oversample in (1, 3):
        field = lens.field(depths_m, radii, oversample)
        for interpolation in ("linear", "sized"):
            found = field.at_pixel(x_px, y_px, depth_m, interpolation)
            l1[oversample, interpolation] = float(measure_l1(found, truth).mean())
    assert l1[1, "sized"] < 0.08
    assert l1[1, "sized"] < 0.7 * l1[1, "linear"]
    assert l1[3, "sized"] < 0.5 * l1[1, "sized"]
