import math
import os
import random
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch

from psf import Channel, InputError, Provenance, load
from psf.hdf5 import ATTRIBUTES, CHANNEL_UNITS, UNITS, write_field

F64 = torch.float64
TENSORS = ("kernels", "transmission", "lost", "depths_m", "radii")


@pytest.fixture
def saved(make_field, tmp_path):
    path = tmp_path / "field.h5"
    make_field(provenance=Provenance("f2.2", "US 9,651,759 B2", "", "psfield 0.1", {"depths_m": [0.1, math.inf]})).save(
        path
    )
    return path


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("oversample", [1, 2])
def test_saved_and_loaded_is_the_same_to_the_bit(make_field, tmp_path, dtype, oversample):
    field = make_field(dtype=dtype, oversample=oversample, magnification=1.02, focus_m=math.inf)
    field.save(tmp_path / "field.h5")
    again = load(tmp_path / "field.h5")
    for name in TENSORS:
        assert torch.equal(getattr(field, name), getattr(again, name))
        assert getattr(again, name).dtype == dtype
    for name in ("image_shape_px", "pitch_um", "channels", "focus_m", "magnification", "oversample", "provenance"):
        assert getattr(field, name) == getattr(again, name)


def test_saving_keeps_no_gradient_and_needs_none(make_field, tmp_path):
    field = make_field()
    kernels = field.kernels.clone().requires_grad_()
    make_field(kernels=kernels).save(tmp_path / "field.h5")
    assert not load(tmp_path / "field.h5").kernels.requires_grad


def test_h5py_alone_reads_every_number_and_its_unit(saved):
    with h5py.File(saved) as file:
        assert file.attrs["format"] == "psfield.PolarPSFField"
        assert file.attrs["format_version"] == 1
        assert file["kernels"].shape == (3, 4, 2, 7, 7)
        assert file["kernels"].dtype == np.dtype("<f8")
        assert file["kernels"].compression == "gzip"
        assert file["depths_m"][:].tolist() == [0.1, 0.4, math.inf]
        assert file["channels/0"].attrs["name"] == "R"
        assert file["channels/0/wavelengths_um"][:].tolist() == [0.62, 0.65]
        datasets = []
        file.visititems(lambda name, item: datasets.append(name) if isinstance(item, h5py.Dataset) else None)
        assert all(file[name].attrs["unit"] for name in datasets)


def test_the_document_names_every_data_set_and_attribute(root, saved):
    text = (root / "docs" / "field_format.md").read_text()
    for name in (*UNITS, *ATTRIBUTES, *CHANNEL_UNITS, "format"):
        assert f"`{name}`" in text or f"/{name}`" in text
    for unit in {**UNITS, **CHANNEL_UNITS}.values():
        assert unit in text


def edit(change):
    def spoil(path):
        with h5py.File(path, "r+") as file:
            change(file)

    return spoil


def put(name, values):
    def change(file):
        unit = file[name].attrs["unit"]
        del file[name]
        file.create_dataset(name, data=values).attrs["unit"] = unit

    return edit(change)


def nan_kernel(file):
    file["kernels"][1, 2, 0, 3, 3] = np.nan


def dim_kernel(file):
    file["kernels"][1, 2, 1] *= 0.9


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_byte(path):
    with h5py.File(path) as file:
        chunk = file["kernels"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def drop(name):
    return edit(lambda file: file.__delitem__(name))


def set_attribute(name, value, at="/"):
    return edit(lambda file: file[at].attrs.__setitem__(name, value))


def drop_attribute(name, at="/"):
    return edit(lambda file: file[at].attrs.__delitem__(name))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_text("no field"), ["cannot open", "a PSF field in HDF5"]),
        (lambda path: path.write_bytes(b""), ["cannot open"]),
        (cut, ["cannot open", "truncated"]),
        (flip_a_byte, ["kernels", "cannot be read"]),
        (drop("kernels"), ["kernels", "nothing", "a data set"]),
        (drop("lost"), ["lost", "nothing"]),
        (drop("channels"), ["channels", "a group per channel"]),
        (drop("channels/1"), ["channels", "1 of them", "2"]),
        (drop("channels/0"), ["channels/0", "nothing"]),
        (drop("channels/0/weights"), ["channels/0/weights", "nothing"]),
        (put("channels/0/weights", [1.0]), ["weights", "1 of them", "2 wavelengths"]),
        (set_attribute("format", "other"), ["format", "'other'"]),
        (drop_attribute("format"), ["format", "None"]),
        (set_attribute("format_version", 99), ["format_version", "99", "1"]),
        (drop_attribute("pitch_um"), ["pitch_um", "nothing"]),
        (set_attribute("pitch_um", -1.0), ["pitch_um", "-1.0"]),
        (set_attribute("pitch_um", "wide"), ["attributes", "wide"]),
        (set_attribute("oversample", 3), ["kernels", "side 7", "oversample 3"]),
        (set_attribute("provenance", "{"), ["provenance"]),
        (set_attribute("image_shape_px", [1, 2, 3]), ["image_shape_px", "(1, 2, 3)"]),
        (set_attribute("unit", "mm", "depths_m"), ["depths_m", "unit", "'mm'", "'m'"]),
        (drop_attribute("unit", "radii"), ["radii", "unit", "None"]),
        (put("depths_m", [3, 2, 1]), ["depths_m", "int64", "float32 or float64"]),
        (put("depths_m", [3.0, 2.0, 1.0]), ["depths_m", "ascending"]),
        (put("radii", [0.0, 0.5, 1.0]), ["radii", "(3,)", "(4,)"]),
        (put("lost", np.zeros((3, 4, 2), "f4")), ["lost", "float32", "float64"]),
        (put("transmission", np.zeros(3)), ["transmission", "(3,)", "(3, 4, 2)"]),
        (edit(nan_kernel), ["kernels", "(1, 2, 0)", "nan"]),
        (edit(dim_kernel), ["kernels", "(1, 2, 1)", "0.9", "sum 1"]),
    ],
)
def test_what_is_wrong_with_a_file_is_named_in_one_line(saved, spoil, words):
    spoil(saved)
    with pytest.raises(InputError) as error:
        load(saved)
    message = str(error.value)
    assert message.startswith(f"{saved}: ")
    assert "\n" not in message
    assert all(word in message for word in words)


def test_a_missing_file_or_folder_stays_a_missing_file(make_field, tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "none.h5"))):
        load(tmp_path / "none.h5")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        make_field().save(tmp_path / "none" / "field.h5")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(make_field, saved, monkeypatch):
    before = saved.read_bytes()

    def fail(*_):
        raise OSError("disc full")

    monkeypatch.setattr("psf.hdf5._put", fail)
    with pytest.raises(OSError, match="disc full"):
        write_field(make_field(1), saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


WRITER = """
import sys, time, psf, psf.hdf5
put = psf.hdf5._put
def slow(*arguments):
    put(*arguments)
    print("writing", flush=True)
    time.sleep(60)
psf.hdf5._put = slow
psf.load(sys.argv[1]).cropped(5).save(sys.argv[1])
"""


def test_a_writer_killed_half_way_leaves_the_old_file(saved, root):
    before = saved.read_bytes()
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", WRITER, str(saved)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as writer:
        assert writer.stdout.readline() == "writing\n"
        writer.kill()
        writer.wait(timeout=30)
    assert saved.read_bytes() == before
    assert load(saved).kernel_px == 7


def test_channels_keep_their_order_beyond_ten(make_field, tmp_path):
    names = [f"band {one}" for one in range(12)]
    shape = (1, 1, 12)
    make_field(
        kernels=torch.ones(*shape, 1, 1, dtype=F64),
        transmission=torch.ones(shape, dtype=F64),
        lost=torch.zeros(shape, dtype=F64),
        depths_m=torch.ones(1, dtype=F64),
        radii=torch.zeros(1, dtype=F64),
        channels=tuple(map(Channel, names)),
    ).save(tmp_path / "bands.h5")
    assert [one.name for one in load(tmp_path / "bands.h5").channels] == names


@pytest.mark.skipif(h5py.version.hdf5_version_tuple < (2, 0), reason="older HDF5 libraries crash on damaged files")
def test_bytes_that_changed_anywhere_are_told_in_one_line_or_do_not_matter(saved, tmp_path):
    whole, draw, told = saved.read_bytes(), random.Random(1), []
    for _ in range(80):
        content = bytearray(whole)
        for _ in range(draw.choice((1, 4, 16))):
            content[draw.randrange(2048)] = draw.randrange(256)
        (tmp_path / "damaged.h5").write_bytes(content)
        try:
            load(tmp_path / "damaged.h5")
        except InputError as error:
            told.append(str(error))
    assert len(told) > 40
    assert not any("\n" in one for one in told)
