import json
from dataclasses import replace

import pytest
import torch

from learn.synthesis_options import (
    SynthesisOptions,
    make_camera,
    make_settings,
    open_options,
    open_side,
    read_field,
    read_file,
    read_noise,
)
from psf import InputError
from render import RawSensor, load_noise
from render.camera import Camera


@pytest.fixture(scope="module")
def field_file(lens, tmp_path_factory):
    path = tmp_path_factory.mktemp("field") / "lens.h5"
    lens().save(path)
    return path


def test_what_is_not_typed_is_as_in_the_paper(field_file):
    settings = make_settings(SynthesisOptions(field=field_file), {})
    assert settings.planes[-2:] == ("ISO", "radius")
    assert settings.blur == "blend"


def test_typed_options_go_over_the_file_and_the_file_over_the_command(field_file, tmp_path):
    typed = SynthesisOptions(
        field=field_file, cells=32, iso=(200, 800), near_m=(0.2, 0.3), dioptre=True, metres=True, spread_px=0.3, seed=8
    )
    settings = make_settings(typed, {"blur": "pixelwise"})
    assert settings.shape_px == (64, 64)
    assert settings.iso_range == (200, 800)
    assert settings.scaling.near_m == (0.2, 0.3)
    assert "dioptre" in settings.scaling.rules
    assert (settings.keep_metres, settings.spread_px, settings.seed, settings.blur) == (True, 0.3, 8, "pixelwise")
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"settings": settings.to_json(), "lens": "whatever"}))
    again = make_settings(SynthesisOptions(field=field_file, settings=file, seed=2), {"blur": "none"})
    assert again == replace(settings, seed=2)


def test_a_camera_has_its_lens_its_bits_and_its_noise(field_file, tmp_path):
    camera = make_camera(SynthesisOptions(field=field_file, bits=12, noise="none"))
    assert camera.noise is None
    assert camera.sensor == RawSensor(bits=12, black_dn=256)
    whole = Camera(read_field(field_file), RawSensor(bits=12), load_noise("imx586"))
    whole.save(tmp_path / "camera")
    assert make_camera(SynthesisOptions(field=tmp_path / "camera")).sensor.bits == 12


def test_the_scale_of_another_focus_is_left_out(lens, tmp_path):
    replace(lens(), magnification=1.02).to(dtype=torch.float64).save(tmp_path / "near.h5")
    found = read_field(tmp_path / "near.h5")
    assert found.magnification == 1
    assert found.kernels.dtype == torch.float32


def test_one_side_of_a_split_is_taken(field_file, photo_root, tmp_path):
    from learn.photos import open_photos, split_photos

    split = split_photos(open_photos(photo_root), share=0.3, generator=torch.Generator().manual_seed(0))
    split.save(tmp_path / "split.json")
    sides = [
        {one.name for one in open_side(photo_root, SynthesisOptions(field=field_file, split=path, side=side)).photos}
        for path, side in ((tmp_path / "split.json", "training"), (tmp_path / "split.json", "evaluation"))
    ]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == {"a.png", "b.png", "c.jpg", "d.png"}


def test_options_make_a_synthesis(field_file, photo_root):
    found = open_options(photo_root, SynthesisOptions(field=field_file, cells=32), changes={"framing": "centre"})
    assert found.settings.framing == "centre"
    assert len(found.photos) == 4


def test_noise_comes_by_name_or_file(tmp_path):
    load_noise("imx586").save(tmp_path / "mine.json")
    assert read_noise(str(tmp_path / "mine.json")).name == "imx586"
    assert read_noise("imx385").iso_range[0] == 1600
    with pytest.raises(InputError, match=r"--noise: found 'quiet', expected one of imx586"):
        read_noise("quiet")


def test_a_settings_file_that_is_none_is_named(tmp_path):
    file = tmp_path / "s.json"
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_file(file)
    file.write_text("{")
    with pytest.raises(InputError, match="text that is not JSON"):
        read_file(file)
    file.write_text('{"blurr": 1}')
    with pytest.raises(InputError, match=r"s\.json: settings\.blurr: found a name that is not known"):
        read_file(file)
