import math
import pickle
from dataclasses import fields, replace

import pytest
import torch

from psf import InputError
from render.developing import develop
from render.isp import process
from render.metadata import RGB_TO_XYZ, make_metadata, random_metadata
from render.raw_photo import RawPhoto, join_photos
from render.sensor import RawSensor, iso_plane, radius_plane


def make_photo(batch=2, sensor=None, seed=0, **changes):
    g = torch.Generator().manual_seed(seed)
    sensor = RawSensor() if sensor is None else sensor
    values = {
        "packed": sensor.quantise_through(torch.rand((batch, 4, 12, 16), generator=g)),
        "target": torch.rand((batch, 4, 12, 16), generator=g),
        "metadata": random_metadata(batch, generator=g),
        "iso": torch.tensor([100.0, 800.0, 3200.0])[:batch],
        "shot": torch.tensor([1e-4, 8e-4, 32e-4])[:batch],
        "read": torch.tensor([1e-6, 2e-6, 3e-6])[:batch],
        "window_px": torch.tensor([[0, 0], [20, 10], [4, 6]])[:batch],
        "image_shape_px": (60, 80),
        "sensor": sensor,
        "lens": "a lens",
    }
    return RawPhoto(**{**values, **changes})


def tensors_of(photo):
    named = {one.name: getattr(photo, one.name) for one in fields(photo)}
    named |= {one.name: getattr(photo.metadata, one.name) for one in fields(photo.metadata)}
    return {name: value for name, value in named.items() if isinstance(value, torch.Tensor)}


def test_planes_are_those_of_the_sensor_module():
    photo = make_photo()
    assert torch.equal(photo.iso_plane, iso_plane(photo.iso, (12, 16), photo.packed))
    assert torch.equal(photo.radius_plane, radius_plane((12, 16), photo.window_px, (60, 80), photo.packed))
    wanted = torch.cat([photo.packed, photo.iso_plane, photo.radius_plane], 1)
    assert torch.equal(photo.network_input(), wanted)


@pytest.mark.parametrize("sensor", [RawSensor(), RawSensor("BGGR", 16, (0, 1, 2, 3)), RawSensor(bits=8, black_dn=0)])
def test_dn_are_the_whole_numbers_that_the_light_came_from(sensor):
    dn = torch.randint(0, int(sensor.white) + 1, (1, 4, 12, 16), generator=torch.Generator().manual_seed(1))
    photo = make_photo(1, sensor, packed=sensor.normalised(dn.float()))
    assert torch.equal(photo.dn(), dn.int())


def test_parts_joined_are_the_whole():
    photo = make_photo(3)
    assert len(photo) == 3
    assert len(photo[-1]) == 1
    assert len(photo[1:]) == 2
    whole, again = tensors_of(photo), tensors_of(join_photos([photo[0], photo[1:]]))
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    with pytest.raises(IndexError):
        photo[3]


def test_to_changes_every_float_and_keeps_windows_whole():
    photo = make_photo().to(dtype=torch.float64)
    kinds = {name: value.dtype for name, value in tensors_of(photo).items()}
    assert kinds.pop("window_px") == torch.int64
    assert set(kinds.values()) == {torch.float64}


def test_developed_is_the_full_chain_of_the_photographs_own_colours():
    photo = make_photo(sensor=RawSensor("GRBG"))
    wanted = process(photo.packed, photo.metadata, pattern="GRBG", demosaic="malvar", full=True)
    assert torch.equal(photo.developed(), wanted)
    flat = process(photo.target, photo.metadata, pattern="GRBG", demosaic="bilinear")
    assert torch.equal(photo.developed(photo.target, demosaic="bilinear", full=False), flat)


def test_matrix_and_white_balance_of_the_file_are_those_of_the_photograph():
    photo = make_photo()
    for n in range(2):
        file = photo.to_raw_file(n)
        again = make_metadata(file.xyz_to_camera.double(), file.white_balance.double())
        assert torch.allclose(again.rgb_to_camera[0].float(), photo.metadata.rgb_to_camera[n], atol=1e-6)
        assert float(again.red_gain[0]) == pytest.approx(float(photo.metadata.red_gain[n]))
        assert float(again.blue_gain[0]) == pytest.approx(float(photo.metadata.blue_gain[n]))
        assert file.baseline_exposure_ev == pytest.approx(math.log2(float(photo.metadata.brightening[n])))
        # The light of the scene is D65: what the matrix makes of it is what the white balance undoes.
        neutral = file.xyz_to_camera.double() @ torch.tensor(RGB_TO_XYZ, dtype=torch.float64).sum(1)
        assert torch.allclose(neutral * file.white_balance, torch.ones(3, dtype=torch.float64), atol=1e-6)
        assert torch.allclose(replace(file, white_balance=None).gains, file.white_balance, atol=1e-5)


def test_file_develops_to_the_photographs_colours():
    """A flat picture: the same linear light, whichever way it is developed."""
    photo = make_photo(1, RawSensor("BGGR", 14, 256))
    flat = photo.packed[..., :1, :1].expand(-1, -1, 12, 16) * 0.3
    photo = replace(photo, packed=photo.sensor.quantise_through(flat.contiguous()))
    light = develop(photo.to_raw_file(), encoding="linear", exposure_ev=0.0)
    own = photo.developed(full=False).double() ** 2.2
    # develop clips after dividing by the smallest gain, which is 1 here as there; 14 bits.
    assert (light - own).abs().max() < 2e-4


def test_noise_profile_of_the_file_has_the_rounding_in_it():
    photo = make_photo()
    profile = photo.to_raw_file(1).noise_profile
    assert torch.allclose(profile, torch.tensor([[8e-4, 2e-6 + 1 / 12 / 959**2]]))
    four = torch.tensor([[1e-4, 2e-4, 4e-4, 5e-4]])
    planes = make_photo(1, shot=four, read=0.01 * four).to_raw_file().noise_profile
    assert torch.allclose(planes[:, 0], torch.tensor([1e-4, 3e-4, 5e-4]))
    blacks = make_photo(1, RawSensor(black_dn=(0, 64, 64, 500))).to_raw_file().noise_profile
    assert torch.allclose(blacks[:, 1] - 1e-6, 1 / 12 / torch.tensor([1023.0, 959.0, 523.0]) ** 2, atol=1e-12)
    assert make_photo(1, shot=torch.zeros(1)).to_raw_file().noise_profile is None


def test_file_names_lens_and_iso():
    file = make_photo().to_raw_file(1)
    assert (file.lens, file.iso, file.pattern, file.white_dn) == ("a lens", 800.0, "RGGB", 1023.0)
    assert file.black_dn.tolist() == [64.0] * 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"packed": torch.zeros(2, 3, 12, 16)}, ["RawPhoto.packed", "(2, 3, 12, 16)"]),
        ({"packed": torch.zeros((2, 4, 12, 16), dtype=torch.int32)}, ["RawPhoto.packed", "int32"]),
        ({"target": torch.zeros(2, 4, 12, 8)}, ["RawPhoto.target", "(2, 4, 12, 16)"]),
        ({"iso": torch.ones(3)}, ["RawPhoto.iso", "(3,)", "(2,)"]),
        ({"shot": torch.ones(2, 3)}, ["RawPhoto.shot", "(2, 3)", "(2, 4)"]),
        ({"window_px": torch.zeros(2)}, ["RawPhoto.window_px", "(2, 2)"]),
        ({"metadata": random_metadata(1, generator=torch.Generator())}, ["RawPhoto.metadata", "1 pictures"]),
    ],
)
def test_photograph_that_cannot_be_is_one_line(changes, words):
    with pytest.raises(InputError) as caught:
        make_photo(**changes)
    assert len(str(caught.value).splitlines()) == 1
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([], ["none"]),
        ([make_photo(), make_photo(sensor=RawSensor("BGGR"))], ["parts[1].sensor", "BGGR"]),
        ([make_photo(), make_photo(image_shape_px=(62, 80))], ["parts[1].image_shape_px", "(62, 80)"]),
        ([make_photo(), make_photo(lens="another")], ["parts[1].lens", "another"]),
        ([make_photo(1), make_photo(1, shot=torch.ones(1, 4))], ["parts[1].shot", "(B, 4)"]),
    ],
)
def test_photographs_of_different_cameras_are_not_joined(parts, words):
    with pytest.raises(InputError) as caught:
        join_photos(parts)
    assert all(word in str(caught.value) for word in words)


def test_photograph_travels_between_processes():
    photo = make_photo()
    again = pickle.loads(pickle.dumps(photo))
    assert all(torch.equal(value, tensors_of(again)[name]) for name, value in tensors_of(photo).items())
    assert (again.sensor, again.lens) == (photo.sensor, photo.lens)
