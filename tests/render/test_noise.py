import json
import math
import warnings

import pytest
import torch

from psf import InputError
from render.noise import NoiseModel, RandomNoise, draw_iso, write_whole
from render.noise_curves import Polynomial, Table
from render.noise_presets import load_noise, load_random_noise, make_camera_its

F64 = torch.float64
PER_PLANE = make_camera_its(
    (1e-6, 2e-6, 3e-6, 4e-6), 1e-5, 1e-12, 2e-8, analog_iso_max=400, iso_range=(100, 1600), name="mine"
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_levels_follow_the_iso_in_shape_and_dtype():
    model = load_noise("imx586")
    shot, read = model.levels(400)
    assert shot.shape == read.shape == ()
    assert shot.dtype == torch.float32
    many, _ = model.levels(torch.tensor([400.0, 800.0], dtype=F64))
    assert many.shape == (2,)
    assert many.dtype == F64
    assert PER_PLANE.levels(400)[0].shape == (1, 4)
    assert PER_PLANE.levels(torch.tensor([400.0, 800.0, 1600.0]))[1].shape == (3, 4)
    assert (PER_PLANE.planes, model.planes) == (4, 1)


def test_levels_have_a_gradient_by_the_iso():
    for model in (load_noise("imx586"), load_noise("imx385")):
        iso = torch.tensor([1700.0, 2500.0], dtype=F64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda iso, model=model: model.levels(iso), iso)


@pytest.mark.parametrize("iso", [50.0, 6400.0])
def test_an_iso_outside_the_range_is_refused_unless_it_is_asked_for(iso):
    model = load_noise("imx586")
    with pytest.raises(InputError, match="ISO 100 to 3200, where imx586 is known"):
        model.levels(iso)
    with pytest.warns(UserWarning, match="outside ISO 100 to 3200"):
        warned = model.levels(iso, outside="warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.stack(model.levels(iso, outside="extend")).equal(torch.stack(warned))


def test_the_ends_of_the_range_belong_to_it():
    model = NoiseModel(Polynomial(shot_1=(1e-6,)), (100.1, 3200.3))
    model.levels(torch.tensor([100.1, 3200.3]))  # float32 of both lies off the float64 bounds


def test_digital_gain_multiplies_shot_once_and_read_twice():
    model = load_noise("imx385")
    top = model.levels(torch.tensor(25600.0, dtype=F64))
    shot, read = model.extended(102400).levels(torch.tensor([25600.0, 102400.0], dtype=F64))
    assert shot[1] / top[0] == pytest.approx(4, rel=1e-12)
    assert read[1] / top[1] == pytest.approx(16, rel=1e-12)
    assert shot[0] == top[0]


@pytest.mark.parametrize(
    "model",
    [
        load_noise("imx586"),
        load_noise("imx385").extended(51200),
        PER_PLANE,
        NoiseModel(Table((100,), ((1e-4,) * 4,), ((0.0, 1e-8, 1e-8, 2e-8),)), (100, 100), "Größe"),
    ],
    ids=["polynomial", "extended table", "per plane", "one iso"],
)
def test_a_saved_model_comes_back_equal(model, tmp_path):
    model.save(tmp_path / "sensor.json", {"why": [1, 2]})
    assert NoiseModel.load(tmp_path / "sensor.json") == model
    assert json.loads((tmp_path / "sensor.json").read_text())["details"] == {"why": [1, 2]}
    assert [path.name for path in tmp_path.iterdir()] == ["sensor.json"]


def test_a_write_that_breaks_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "sensor.json").write_text("old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        load_noise("imx586").save(tmp_path / "sensor.json")
    assert [path.name for path in tmp_path.iterdir()] == ["sensor.json"]
    assert (tmp_path / "sensor.json").read_text() == "old"


def changed(**changes):
    whole = load_noise("imx586").to_json() | changes
    return json.dumps({name: value for name, value in whole.items() if value is not None})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["text that is not JSON"]),
        ("[1]", ["(format)", "[1]", "psfield.NoiseModel"]),
        (changed(format="lens"), ["(format)", "'lens'"]),
        (changed(format_version=2), ["(format_version)", "2"]),
        (changed(curve=None), ["(curve)", "nothing"]),
        (changed(curve={"kind": "spline"}), ["(spline)"]),
        (changed(curve={"kind": "polynomial", "shot_9": [1]}), ["shot_9"]),
        (changed(curve={"kind": "polynomial", "shot_0": ["x"]}), ["(Polynomial.shot_0)", "'x'"]),
        (changed(curve={"kind": "table", "iso": [100], "shot": [[1e-4]], "read": [[-1]]}), ["(Table.read)", "-1"]),
        (changed(curve={"kind": "table", "iso": [200, 100], "shot": [[1], [1]], "read": [[1], [1]]}), ["(Table.iso)"]),
        (changed(iso_range=[800, 100]), ["(NoiseModel.iso_range)", "800"]),
        (changed(iso_range=None), ["(iso_range)"]),
    ],
)
def test_a_file_that_is_no_model_is_named_with_what_is_wrong(text, words, tmp_path):
    (tmp_path / "sensor.json").write_text(text)
    with pytest.raises(InputError) as caught:
        NoiseModel.load(tmp_path / "sensor.json")
    assert all(word in str(caught.value) for word in ["sensor.json", *words]), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_or_folder_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        NoiseModel.load(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        write_whole(tmp_path / "none" / "sensor.json", b"")


def test_drawn_levels_are_spread_as_told_and_repeat_with_the_seed():
    noise = load_random_noise("brooks")
    shot, read = noise.draw(20_000, seeded(), dtype=F64)
    logs = shot.log()
    low, high = math.log(1e-4), math.log(0.012)
    assert low <= logs.min() < low + 0.01
    assert high - 0.01 < logs.max() <= high
    assert logs.mean() == pytest.approx((low + high) / 2, abs=0.05)  # 5 standard errors
    rest = read.log() - 2.18 * logs - 1.20
    assert rest.mean() == pytest.approx(0, abs=0.01)
    assert rest.std() == pytest.approx(0.26, rel=0.03)
    again = noise.draw(20_000, seeded(), dtype=F64)
    assert again[0].equal(shot)
    assert again[1].equal(read)
    assert not noise.draw(20_000, seeded(1), dtype=F64)[0].equal(shot)


def test_drawn_iso_values_are_even_over_their_logarithms():
    iso = draw_iso(20_000, seeded(), (100, 3200), dtype=F64)
    assert 100 <= iso.min() < 101
    assert 3170 < iso.max() <= 3200
    assert iso.log2().mean() == pytest.approx(math.log2(100) + 2.5, abs=0.06)
    assert draw_iso(5, seeded()).equal(draw_iso(5, seeded()))


CURVE = Polynomial(shot_1=(1e-6,))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: NoiseModel(None, (100, 200)), ["NoiseModel.curve", "NoneType"]),
        (lambda: NoiseModel(CURVE, (0, 200)), ["NoiseModel.iso_range", "(0, 200)"]),
        (lambda: NoiseModel(CURVE, (100, math.inf)), ["NoiseModel.iso_range", "inf"]),
        (lambda: NoiseModel(CURVE, (100, 200), digital_iso=50), ["NoiseModel.digital_iso", "50", "100 or more"]),
        (lambda: NoiseModel(CURVE, (100, 200)).levels(-100), ["iso", "-100"]),
        (lambda: NoiseModel(CURVE, (100, 200)).levels(math.nan), ["iso", "nan"]),
        (lambda: NoiseModel(CURVE, (100, 200)).levels(torch.ones(2, 2)), ["iso", "(B,)"]),
        (lambda: NoiseModel(CURVE, (100, 200)).levels(100, outside="clip"), ["levels(outside)", "'clip'"]),
        (lambda: NoiseModel(CURVE, (100, 200)).extended(150), ["extended(iso_max)", "150", "200 or more"]),
        (lambda: RandomNoise((0, 1), 1, 1, 1), ["RandomNoise.shot_range", "(0, 1)"]),
        (lambda: RandomNoise((0.1, 1), 1, 1, -1), ["RandomNoise.sd", "-1"]),
        (lambda: RandomNoise((0.1, 1), math.nan, 1, 1), ["RandomNoise.slope", "nan"]),
        (lambda: draw_iso(3, seeded(), (3200, 100)), ["draw_iso(iso_range)", "3200"]),
    ],
)
def test_bad_input_is_named_in_one_line(call, words):
    with pytest.raises(InputError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)
