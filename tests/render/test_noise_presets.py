import math

import numpy as np
import pytest
import torch

from psf import InputError
from render.noise_presets import load_noise, load_random_noise, make_camera_its, read_noise_profile

F64 = torch.float64


@pytest.fixture(scope="module")
def golden(root):
    with np.load(root / "tests" / "data" / "sensor_golden.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def test_golden_imx586_as_published(golden):
    shot, read = load_noise("imx586", published=True).levels(golden["iso"])
    assert (shot / golden["imx586_shot"] - 1).abs().max() < 1e-12
    assert (read / golden["imx586_read"] - 1).abs().max() < 1e-12
    assert (shot * 959 - golden["imx586_k_dn"]).abs().max() < 1e-12
    assert (read * 959**2 - golden["imx586_sigma2_dn2"]).abs().max() < 1e-12


def test_golden_brooks_line(golden):
    noise = load_random_noise("brooks")
    assert (noise.read_at(golden["brooks_shot"]) / golden["brooks_read_median"] - 1).abs().max() < 1e-12
    assert (noise.read_at(golden["brooks_shot"], 1.0) / golden["brooks_read_plus1sd"] - 1).abs().max() < 1e-12


def test_golden_release_formula_and_its_range(golden):
    model = load_noise("release")
    shot, read = model.levels(golden["iso"], outside="extend")
    found = shot[:, None] * 959 * golden["release_dn_signal"] + read[:, None] * 959**2
    assert (found / golden["release_var_dn2"] - 1).abs().max() < 1e-12
    with pytest.raises(InputError, match="ISO 1600"):
        model.levels(1600)


@pytest.mark.parametrize(("name", "iso", "span"), [("imx586", 100, 959), ("imx586", 1600, 959), ("imx385", 1600, 3855)])
def test_a_twelfth_is_taken_off_presets_that_were_measured_on_whole_dn(name, iso, span):
    iso = torch.tensor(float(iso), dtype=F64)
    shots, reads = zip(*(load_noise(name, published=one).levels(iso) for one in (True, False)), strict=True)
    assert shots[0] == shots[1]
    assert (reads[0] - reads[1]) * span**2 == pytest.approx(1 / 12, rel=1e-9)
    assert reads[1] > 0


def test_imx385_is_its_table_at_the_knots_and_between_them_in_between():
    shot, read = load_noise("imx385", published=True).levels(torch.tensor([1600.0, 2263.0, 25600.0], dtype=F64))
    assert (shot * 3855)[[0, 2]].tolist() == pytest.approx([3.513262, 52.032536], rel=1e-12)
    assert (read * 3855**2)[[0, 2]].tolist() == pytest.approx([11.917691, 1819.818657], rel=1e-12)
    assert float(shot[1] * 3855) == pytest.approx(math.sqrt(3.513262 * 6.955588), rel=1e-3)


def test_eld_levels_are_the_published_line_in_dn():
    noise = load_random_noise("eld_sony_a7s2", published=True)
    k_dn = torch.tensor([0.1, 1.0, 30.0], dtype=F64)
    sigma_dn = noise.read_at(k_dn / 15583).sqrt() * 15583
    assert (sigma_dn.log() - 0.5407496 * k_dn.log() - 1.2182371).abs().max() < 1e-12
    wide = noise.read_at(k_dn / 15583, 1.0).sqrt() * 15583
    assert ((wide / sigma_dn).log() - 0.2675116).abs().max() < 1e-12
    off = load_random_noise("eld_sony_a7s2").read_at(k_dn / 15583)
    assert (noise.read_at(k_dn / 15583) - off) * 15583**2 == pytest.approx(1 / 12, abs=1e-9)


def test_camera_its_is_its_formula():
    model = make_camera_its(1e-6, -2e-4, 1e-12, -1e-9, analog_iso_max=400, iso_range=(50, 1600))
    shot, read = model.levels(torch.tensor([50.0, 400.0, 1600.0], dtype=F64))
    assert shot.tolist() == pytest.approx([0, 2e-4, 1.4e-3], rel=1e-9)
    assert read.tolist() == pytest.approx([1.5e-9, 1.59e-7, 2.544e-6], rel=1e-9)


def test_a_noise_profile_holds_for_its_own_iso():
    model = read_noise_profile([1.56201e-4, 4.88e-8], 100)
    shot, read = model.levels(torch.tensor(100.0, dtype=F64))
    assert (float(shot), float(read)) == (1.56201e-4, 4.88e-8)
    with pytest.raises(InputError, match="ISO 100 to 100"):
        model.levels(200)
    planes = read_noise_profile([1e-4, 1e-8, 2e-4, 2e-8, 3e-4, 3e-8], 100).levels(torch.tensor(100.0, dtype=F64))
    assert planes[0].tolist() == [[1e-4, 2e-4, 2e-4, 3e-4]]
    off = read_noise_profile([1e-4, 1e-6], 100, range_dn=959).levels(torch.tensor(100.0, dtype=F64))[1]
    assert float(off) == pytest.approx(1e-6 - 1 / 12 / 959**2, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: load_noise("imx999"), ["'imx999'", "imx586", "imx385"]),
        (lambda: load_random_noise("imx586"), ["'imx586'", "brooks"]),
        (lambda: read_noise_profile([1e-4], 100), ["NoiseProfile", "1 numbers"]),
        (lambda: read_noise_profile([1e-4, -1e-8], 100), ["NoiseProfile", "-1e-08"]),
        (lambda: read_noise_profile([1e-4, 1e-8], 0), ["Table.iso", "[0]"]),
        (lambda: read_noise_profile([1e-4, 1e-8], 100, range_dn=0), ["range_dn", "0"]),
        (lambda: make_camera_its(math.nan, 0, 0, 0, analog_iso_max=1, iso_range=(1, 2)), ["Polynomial.shot_1", "nan"]),
    ],
)
def test_bad_input_is_named_in_one_line(call, words):
    with pytest.raises(InputError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
