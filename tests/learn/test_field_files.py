from dataclasses import replace

import pytest
import torch

from learn.field_files import hash_field, list_fields, load_alike
from psf import InputError


def test_fields_of_a_folder_come_in_order_without_the_nominal_one(lens, tmp_path):
    for name in ("field_00001.h5", "nominal.h5", "field_00000.h5"):
        lens().save(tmp_path / name)
    assert [path.name for path in list_fields(tmp_path)] == ["field_00000.h5", "field_00001.h5"]
    assert list_fields(None) == ()


def test_folders_without_fields_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder of perturbed fields"):
        list_fields(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no file field_\*\.h5"):
        list_fields(tmp_path)


def test_a_field_of_double_precision_takes_the_place_of_a_single_one(lens, tmp_path):
    lens(seed=1).to(dtype=torch.float64).save(tmp_path / "f.h5")
    found = load_alike(tmp_path / "f.h5", lens())
    assert found.kernels.dtype == torch.float32
    assert hash_field(found) == hash_field(lens(seed=1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_shape_px": (240, 280)}, "image_shape_px: found (240, 280), expected (220, 280)"),
        ({"pitch_um": 3.0}, "pitch_um: found 3.0, expected 2.0"),
        ({"magnification": 1.1}, "magnification: found 1.1, expected 1.0"),
    ],
)
def test_a_field_of_another_camera_is_refused(lens, tmp_path, change, words):
    replace(lens(), **change).save(tmp_path / "f.h5")
    with pytest.raises(InputError) as caught:
        load_alike(tmp_path / "f.h5", lens())
    assert words in str(caught.value)


def test_a_field_of_larger_kernels_is_refused(lens, tmp_path):
    lens(kernel_px=13).save(tmp_path / "f.h5")
    with pytest.raises(InputError, match="3 channels of 13 px, expected 3 channels of at most 11 px"):
        load_alike(tmp_path / "f.h5", lens())


def test_the_hash_tells_fields_apart(lens):
    assert hash_field(lens(seed=1)) != hash_field(lens())
    assert hash_field(replace(lens(), image_shape_px=(222, 280))) != hash_field(lens())
