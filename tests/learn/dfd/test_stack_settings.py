import json
from pathlib import Path

import pytest

from learn.depth_source import DepthSources
from learn.dfd.stack_settings import StackSettings
from psf import InputError


def test_settings_survive_json(tmp_path):
    settings = StackSettings(
        seed=3, shape_px=(64, 96), textures=("lines",), sources=DepthSources(order=("file",), folder=tmp_path)
    )
    assert StackSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    assert StackSettings.from_json({}) == StackSettings()


def test_the_papers_camera_is_the_default():
    settings = StackSettings()
    assert settings.depth_m == (0.5, 1.415)
    assert settings.depth_dpt == (1 / 1.415, 2.0)
    assert settings.exposure_jitter == 0.03
    assert settings.noise_sd == 0.005


def test_a_change_leaves_the_rest():
    assert StackSettings(seed=2).changed(bits=8) == StackSettings(seed=2, bits=8)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scenes": "three_plane"}, "settings.scenes: found 'three_plane', expected one of two_plane, one_plane"),
        ({"depth_m": (1.0, 0.5)}, "settings.depth_m: found (1.0, 0.5), expected two distances above 0, ascending"),
        ({"depth_m": (0.0, 0.5)}, "settings.depth_m"),
        ({"shapes": ()}, "settings.shapes: found (), expected some of half_plane"),
        ({"textures": ("tiles",)}, "settings.textures"),
        ({"front_share": (0.0, 0.5)}, "settings.front_share"),
        ({"shape_px": (8, 8)}, "settings.shape_px: found (8, 8), expected 16 px or more each"),
        ({"bits": 17}, "settings.bits: found 17, expected a whole number from 1 to 16"),
        ({"seed": 0.5}, "settings.seed: found 0.5, expected a whole number"),
        ({"exposure_jitter": 1.0}, "settings.exposure_jitter"),
        ({"photosites": (4, 8)}, "settings.photosites"),
        ({"noise_sd": -0.1}, "settings.noise_sd"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, words):
    with pytest.raises(InputError) as caught:
        StackSettings(**changes)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_that_are_not_known_are_named():
    with pytest.raises(InputError, match=r"settings.colour: found a name that is not known"):
        StackSettings.from_json({"colour": 1})
    with pytest.raises(InputError, match=r"settings.colour: found a name that is not known"):
        StackSettings().changed(colour=1)
    with pytest.raises(FileNotFoundError, match="no such folder of depth maps"):
        StackSettings.from_json({"sources": {"folder": str(Path("nowhere_at_all"))}})
