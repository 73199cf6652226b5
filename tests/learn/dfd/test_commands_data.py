import json

import pytest

from learn.dfd.commands_data import StackOptions, make_settings, open_side
from learn.dfd.stack_settings import StackSettings
from psf import InputError


def options(tmp_path, **changes):
    return StackOptions(**({"fields": (tmp_path / "F.h5",)} | changes))


def test_what_is_not_typed_is_as_the_file_has_it(tmp_path):
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"settings": StackSettings(seed=7, bits=10).to_json()}))
    typed = {"bits": 8, "shape_px": (64, 64), "depth_m": (0.6, 1.2), "jitter": 0.01, "depth_sources": ("segments",)}
    settings = make_settings(options(tmp_path, settings=file, **typed))
    assert (settings.seed, settings.bits, settings.shape_px, settings.depth_m) == (7, 8, (64, 64), (0.6, 1.2))
    assert settings.exposure_jitter == 0.01
    assert settings.sources.order == ("segments",)


def test_settings_that_cannot_be_read_are_named(tmp_path):
    file = tmp_path / "settings.json"
    with pytest.raises(FileNotFoundError, match=r"settings\.json: no such file"):
        make_settings(options(tmp_path, settings=file))
    file.write_text("{")
    with pytest.raises(InputError, match=r"settings\.json: found text that is not JSON"):
        make_settings(options(tmp_path, settings=file))
    file.write_text('{"bits": 99}')
    with pytest.raises(InputError, match=r"settings\.json: settings\.bits: found 99"):
        make_settings(options(tmp_path, settings=file))


def test_a_split_needs_its_photographs(tmp_path):
    assert open_side(options(tmp_path)) is None
    with pytest.raises(InputError, match=r"--photos beside it"):
        open_side(options(tmp_path, split=tmp_path / "split.json"))
