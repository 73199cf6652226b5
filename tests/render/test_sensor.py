import math

import numpy as np
import pytest
import torch

from psf import InputError
from render.bayer import PATTERNS, pack, unpack
from render.moments import expected_moments
from render.noise_presets import load_noise
from render.sensor import RawSensor, add_noise, add_row_noise, iso_plane, radius_plane

F64 = torch.float64


@pytest.fixture(autouse=True)
def one_thread():
    """Small frames: threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def light(*shape, seed=1, dtype=F64):
    return torch.rand(*shape, generator=seeded(seed), dtype=F64).to(dtype)


@pytest.fixture(scope="module")
def golden(root):
    with np.load(root / "tests" / "data" / "sensor_golden.npz") as arrays:
        return {name: torch.from_numpy(arrays[name].astype(np.float64)) for name in arrays.files}


@pytest.mark.parametrize("n", range(5))
def test_golden_noise_is_quantised_to_the_golden_numbers(golden, n):
    sensor, noisy = RawSensor(), golden["noisy"][n]
    dn = sensor.quantised(noisy)
    assert dn.equal(golden["dn"][n])
    assert (sensor.normalised(dn) - golden["netin"][n]).abs().max() < 1e-12
    single = sensor.quantised(noisy.float())
    assert single.dtype == torch.float32
    assert single.double().equal(golden["dn"][n])  # none of the values falls on a tie
    assert (sensor.quantise_through(noisy.float()) - golden["netin"][n]).abs().max() < 1e-5


@pytest.mark.parametrize("n", range(5))
def test_golden_noise_is_equation_6_for_the_golden_random_numbers(golden, monkeypatch, n):
    monkeypatch.setattr(torch, "randn", lambda shape, **options: golden["eps"][n].to(options["dtype"]))
    shot, read = float(golden["imx586_shot"][n]), float(golden["imx586_read"][n])
    found = add_noise(golden["packed_RGGB"], shot, read, seeded())
    assert (found - golden["noisy"][n]).abs().max() < 1e-12
    per_plane = [torch.full((1, 4), level, dtype=F64, requires_grad=True) for level in (shot, read)]
    again = add_noise(golden["packed_RGGB"], *per_plane, seeded())  # the way gradients go
    assert (again - golden["noisy"][n]).abs().max() < 1e-12


@pytest.mark.parametrize(("name", "bits", "black_dn"), [("dn_12bit_black256", 12, 256), ("dn_8bit_black0", 8, 0)])
def test_golden_sensors_of_other_depths(golden, name, bits, black_dn):
    assert RawSensor(bits=bits, black_dn=black_dn).quantised(golden["noisy"][2]).equal(golden[name])


def test_golden_straight_through_gradient_counts_both_bounds(golden):
    x = golden["ste_x"].clone().requires_grad_()
    found = RawSensor().quantise_through(x)
    found.backward(golden["ste_gout"])
    assert (found - golden["ste_y"]).abs().max() < 1e-15
    assert x.grad.equal(golden["ste_gin"])
    assert RawSensor().quantised(x).equal(golden["ste_dn"])


@pytest.mark.parametrize(
    ("name", "window"), [("radius_origin", (0, 0)), ("radius_center", (2008, 1504)), ("radius_1000_502", (1000, 502))]
)
def test_golden_radius_plane(golden, name, window):
    found = radius_plane(tuple(golden[name].shape), window, (3024, 4032), like=golden[name])
    assert (found[0] - golden[name]).abs().max() < 1e-12


def test_golden_iso_plane(golden):
    found = iso_plane(golden["iso"], (2, 3))
    assert found.shape == (5, 1, 2, 3)
    assert (found[:, 0, 1, 2] - golden["iso_plane_value"]).abs().max() < 1e-12
    assert iso_plane(400, (2, 3), like=torch.zeros(1)).equal(torch.full((1, 2, 3), 0.4))


def test_radius_is_one_at_the_outer_corner_of_the_corner_pixel():
    found = radius_plane((3, 4), torch.tensor([[0, 0], [392, 294]]), (300, 400), like=torch.zeros(1, dtype=F64))
    assert found.shape == (2, 1, 3, 4)
    # The first cell's middle lies one pixel inside the corner along both axes.
    assert found[0, 0, 0, 0] == pytest.approx(math.hypot(199, 149) / math.hypot(200, 150), abs=1e-15)
    assert found[1, 0, -1, -1] == pytest.approx(float(found[0, 0, 0, 0]), abs=1e-15)
    assert found[0, 0, 0, 3] == pytest.approx(math.hypot(193, 149) / 250, abs=1e-15)  # x runs along the columns


ISOS = (100.0, 400.0, 800.0, 1600.0, 3200.0)
LEVELS = (0.0, 0.004, 0.05, 0.5, 0.99)


def standard_errors(mean_dn, sd_dn, low_dn, high_dn, rounded, samples):
    """Of mean and variance; the fourth moment comes from the same sums as the second."""
    mean, variance = expected_moments(mean_dn, sd_dn, low_dn=low_dn, high_dn=high_dn, rounded=rounded)
    steps = torch.arange(-200, 1224, dtype=F64) if rounded else None
    if not rounded:
        return mean, variance, (variance / samples).sqrt(), variance * math.sqrt(2 / (samples - 1))
    edges = torch.special.ndtr((steps[1:] - 0.5 - mean_dn) / sd_dn)
    share = torch.diff(edges, prepend=edges.new_zeros(1), append=edges.new_ones(1))
    values = steps.clamp(low_dn, high_dn)
    fourth = (share * (values - mean).pow(4)).sum()
    assert abs((share * (values - mean).square()).sum() - variance) < 1e-9 * variance + 1e-9
    return mean, variance, (variance / samples).sqrt(), ((fourth - variance.square()) / samples).sqrt()


@pytest.mark.parametrize("iso", ISOS)
@pytest.mark.parametrize("level", LEVELS)
def test_a_million_samples_have_the_moments_of_equation_6_before_and_after_quantisation(iso, level):
    sensor, samples = RawSensor(), 1_000_000
    shot, read = load_noise("imx586").levels(torch.tensor(iso, dtype=F64))
    noisy = add_noise(torch.full((4, 500, 500), level), float(shot), float(read), seeded(int(iso) + int(1000 * level)))
    mean = torch.tensor(sensor.black_dn + sensor.range_dn * level, dtype=F64)
    sd = sensor.range_dn * (read + shot * level).sqrt()
    before = sensor.black_dn + sensor.range_dn * noisy.double()
    for values, low, high, rounded in (
        (before, -math.inf, math.inf, False),
        (sensor.quantised(noisy).double(), 0.0, 1023.0, True),
    ):
        want, want_variance, error, variance_error = standard_errors(mean, sd, low, high, rounded, samples)
        assert abs(values.mean() - want) < 4.5 * error
        assert abs(values.var() - want_variance) < 4.5 * variance_error


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_threads():
    threads, image = torch.get_num_threads(), light(4, 200, 200, dtype=torch.float32)
    try:
        found = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(RawSensor().quantise_through(add_noise(image, 1e-3, 1e-5, seeded(7))))
    finally:
        torch.set_num_threads(threads)
    assert found[0].equal(found[1])
    assert found[0].equal(found[2])
    assert not found[0].equal(RawSensor().quantise_through(add_noise(image, 1e-3, 1e-5, seeded(8))))


def test_levels_of_a_batch_and_of_planes_go_to_their_samples_and_planes():
    image = torch.full((3, 4, 64, 64), 0.25, dtype=F64)
    shot = torch.tensor([1e-4, 4e-4, 16e-4], dtype=F64)
    sd = (add_noise(image, shot, 0.0, seeded()) - image).std((1, 2, 3))
    assert (sd / (0.25 * shot).sqrt() - 1).abs().max() < 0.03  # 4.7 standard errors of 16384 samples
    planes = torch.tensor([1e-4, 4e-4, 16e-4, 64e-4], dtype=F64).repeat(3, 1) * torch.tensor([[1.0], [2], [3]])
    sd = (add_noise(image, 0.0, planes, seeded()) - image).std((2, 3))
    assert (sd / planes.sqrt() - 1).abs().max() < 0.06
    one = (add_noise(image[0], 0.0, planes[:1], seeded()) - image[0]).std((1, 2))
    assert (one / planes[0].sqrt() - 1).abs().max() < 0.06


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("shape", [(2, 64, 64), (2, 1, 64, 64)])
def test_a_mosaic_gets_the_levels_of_its_planes(pattern, shape):
    read = torch.tensor([[1e-4, 4e-4, 16e-4, 64e-4], [4e-4, 1e-4, 1e-4, 1e-4]], dtype=F64)
    noisy = add_noise(torch.zeros(shape, dtype=F64), 0.0, read, seeded(), pattern=pattern)
    sd = pack(noisy.reshape(2, 64, 64), pattern).std((2, 3))
    assert (sd / read.sqrt() - 1).abs().max() < 0.1
    single = add_noise(torch.zeros(64, 64, dtype=F64), 0.0, read[:1], seeded(), pattern=pattern)
    assert (pack(single, pattern).std((1, 2)) / read[0].sqrt() - 1).abs().max() < 0.1


def test_rows_share_their_noise_and_no_more_than_that():
    noise = add_row_noise(torch.zeros(2, 4, 4000, 8, dtype=F64), torch.tensor([0.1, 0.2], dtype=F64), seeded())
    assert noise.std(-1).max() < 1e-15
    assert noise[:, 0].equal(noise[:, 1])  # R and Gr stand in one row of the sensor, Gb and B in the next
    assert noise[:, 2].equal(noise[:, 3])
    for b, want in enumerate((0.1, 0.2)):
        assert noise[b, [0, 2], :, 0].std() == pytest.approx(want, rel=0.05)
    assert abs(torch.corrcoef(noise[0, [0, 2], :, 0])[0, 1]) < 0.08


def test_gradients_of_the_noise_are_those_of_the_formula():
    image = light(2, 4, 3, 3).requires_grad_()
    shot, read = (light(2, 4, seed=n).mul(1e-2).requires_grad_() for n in (2, 3))
    assert torch.autograd.gradcheck(lambda *all_: add_noise(*all_, seeded(5)), (image, shot, read))


def test_no_light_and_no_read_noise_leave_a_finite_gradient():
    image = torch.tensor([[-0.1, 0.0, 0.5]], dtype=F64, requires_grad=True)
    found = add_noise(image, 1e-3, 0.0, seeded())
    found.sum().backward()
    assert found[0, :2].equal(image[0, :2])
    assert image.grad.isfinite().all()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_planes_may_have_blacks_of_their_own(pattern):
    sensor = RawSensor(pattern, bits=12, black_dn=(200.0, 201.0, 202.5, 199.0), white_dn=4000)
    x = light(2, 4, 6, 5).requires_grad_()
    dn = sensor.quantised(x)
    black = torch.tensor(sensor.blacks_dn, dtype=F64)[:, None, None]
    assert dn.equal((black + (4000 - black) * x).round().detach())
    mosaic = unpack(x.detach(), pattern)
    assert sensor.quantised(mosaic, mosaic=True).equal(unpack(dn, pattern))
    assert sensor.normalised(unpack(dn, pattern), mosaic=True).equal(unpack(sensor.normalised(dn), pattern))
    seen = sensor.quantise_through(x)
    assert (seen - x).abs().max() < 0.5001 / (4000 - 202.5)
    assert sensor.quantise_through(mosaic, mosaic=True).equal(unpack(seen.detach(), pattern))
    seen.sum().backward()
    assert x.grad.equal(torch.ones_like(x))


def test_white_and_black_stay_where_they_are():
    sensor = RawSensor(bits=14, black_dn=1023.5, white_dn=15000)
    assert (sensor.white, sensor.range_dn) == (15000.0, 13976.5)
    assert sensor.quantised(torch.tensor([-1.0, 0.0, 1.0, 2.0])).tolist() == [0.0, 1024.0, 15000.0, 15000.0]
    assert RawSensor(black_dn=(64, 64, 64, 64)).black_dn == 64.0
    assert RawSensor().white_dn == 1023.0


IMAGE = torch.full((2, 4, 6, 6), 0.5)
NAN = torch.tensor([0.0, math.nan, math.inf])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: RawSensor("RGBG"), ["pattern", "'RGBG'", "RGGB"]),
        (lambda: RawSensor(bits=17), ["RawSensor.bits", "17", "1 to 16"]),
        (lambda: RawSensor(bits=10.0), ["RawSensor.bits", "10.0"]),
        (lambda: RawSensor(black_dn=1023), ["RawSensor.black_dn", "1023", "below white, 1023"]),
        (lambda: RawSensor(black_dn=-1), ["RawSensor.black_dn", "-1"]),
        (lambda: RawSensor(black_dn=math.nan), ["RawSensor.black_dn", "nan"]),
        (lambda: RawSensor(black_dn=(64, 64)), ["RawSensor.black_dn", "2 numbers"]),
        (lambda: RawSensor(white_dn=1024), ["RawSensor.white_dn", "1024", "1 to 1023"]),
        (lambda: RawSensor(white_dn=512, black_dn=600), ["RawSensor.black_dn", "600", "below white, 512"]),
        (lambda: RawSensor().quantised(NAN), ["image", "2 values of 3", "finite"]),
        (lambda: RawSensor().quantised(IMAGE.half()), ["image", "torch.float16", "float32 or float64"]),
        (lambda: RawSensor().normalised(IMAGE.int()), ["image_dn", "torch.int32"]),
        (lambda: RawSensor(black_dn=(1, 2, 3, 4)).quantised(IMAGE[:, :3]), ["image", "(2, 3, 6, 6)", "mosaic=True"]),
        (lambda: RawSensor(black_dn=(1, 2, 3, 4)).quantised(IMAGE[..., :5], mosaic=True), ["5 columns", "even"]),
        (lambda: add_noise(IMAGE, -1e-3, 0.0, seeded()), ["shot", "-0.001", "0 or more"]),
        (lambda: add_noise(IMAGE, math.inf, 0.0, seeded()), ["shot", "inf"]),
        (lambda: add_noise(IMAGE, 0.0, torch.tensor([1e-4, math.nan]), seeded()), ["read", "nan", "finite"]),
        (lambda: add_noise(IMAGE, 0.0, torch.tensor([1e-4, -1e-4]), seeded()), ["read", "-0.0001"]),
        (lambda: add_noise(IMAGE, torch.zeros(3), 0.0, seeded()), ["shot", "(3,)", "(2,)"]),
        (lambda: add_noise(IMAGE, torch.zeros(2, 3), 0.0, seeded()), ["shot", "(2, 3)", "(2, 4)"]),
        (lambda: add_noise(IMAGE[:, :1], torch.zeros(2, 4), 0.0, seeded()), ["shot", "(2, 4)", "pattern="]),
        (lambda: add_noise(IMAGE[:, 0, 1:], torch.zeros(2, 4), 0.0, seeded(), pattern="RGGB"), ["5 rows", "even"]),
        (lambda: add_noise(IMAGE[:, 0], torch.zeros(2, 4), 0.0, seeded(), pattern="RRGB"), ["pattern", "'RRGB'"]),
        (lambda: add_noise(IMAGE * math.nan, 0.0, 0.0, seeded()), ["image", "288 values of 288"]),
        (lambda: add_noise(IMAGE, 0.0, 0.0, None), ["generator", "NoneType"]),
        (lambda: add_row_noise(IMAGE[:, :3], 0.1, seeded()), ["image", "(2, 3, 6, 6)"]),
        (lambda: add_row_noise(IMAGE, -0.1, seeded()), ["row_sd", "-0.1"]),
        (lambda: iso_plane(0, (3, 3)), ["iso", "0", "above 0"]),
        (lambda: iso_plane(100, (0, 3)), ["shape", "(0, 3)"]),
        (lambda: radius_plane((8, 8), (0, 285), (300, 400)), ["window", "285", "16 x 16 px", "400 x 300 px"]),
        (lambda: radius_plane((8, 8), (-1, 0), (300, 400)), ["window", "-1"]),
        (lambda: radius_plane((8, 8), (0, 0, 0), (300, 400)), ["window", "(3,)", "(B, 2)"]),
    ],
)
def test_bad_input_is_named_in_one_line(call, words):
    with pytest.raises(InputError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)
