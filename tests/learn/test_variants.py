import json

import pytest

from learn.photos import Cropping
from learn.variants import SynthesisSettings
from psf import InputError


def test_defaults_are_those_of_the_paper():
    settings = SynthesisSettings()
    assert settings.shape_px == (512, 512)
    assert settings.planes == ("R", "Gr", "Gb", "B", "ISO", "radius")
    assert (settings.blur, settings.depth, settings.iso_plane, settings.iso_range) == (
        "blend",
        "varying",
        "linear",
        (100, 3200),
    )
    assert (settings.spread_px, settings.spread_share) == (0.7, 0.5)
    assert settings.scaling.rules == ("linear", "quadratic", "exponential")


def test_settings_survive_json(tmp_path):
    changed = SynthesisSettings().changed(
        seed=9, blur="pixelwise", near_m=(0.2, 0.4), shape_px=(64, 64), shrink=(0.7, 0.9), folder=tmp_path
    )
    again = SynthesisSettings.from_json(json.loads(json.dumps(changed.to_json())))
    assert again == changed
    assert again.cropping.shrink == (0.7, 0.9)


def test_what_json_leaves_out_has_its_default():
    assert SynthesisSettings.from_json({"seed": 4}) == SynthesisSettings(seed=4)


@pytest.mark.parametrize(
    ("aux", "field_planes", "space", "planes"),
    [
        ("none", "radius", "raw", ("R", "Gr", "Gb", "B")),
        ("iso", "radius", "raw", ("R", "Gr", "Gb", "B", "ISO")),
        ("field", "xy", "raw", ("R", "Gr", "Gb", "B", "x", "y")),
        ("iso_field", "radius", "rgb", ("R", "G", "B", "ISO", "radius")),
    ],
)
def test_planes_are_named_in_their_order(aux, field_planes, space, planes):
    assert SynthesisSettings(aux=aux, field_planes=field_planes, space=space).planes == planes


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SynthesisSettings(blur="soft"), "settings.blur: found 'soft', expected one of blend, pixelwise"),
        (lambda: SynthesisSettings(iso_range=(400, 100)), "settings.iso_range: found (400, 100), expected two ISO"),
        (lambda: SynthesisSettings(seed=1.5), "settings.seed: found 1.5"),
        (lambda: SynthesisSettings(spread_share=2), "settings.spread_share: found 2, expected a share"),
        (lambda: SynthesisSettings(cropping=Cropping((63, 63))), "shape_px: found (63, 63), expected even numbers"),
        (lambda: SynthesisSettings(cropping=Cropping((64, 32))), "expected a square, or turn=False"),
        (lambda: SynthesisSettings(space="rgb", transmission="both"), "expected 'off' in space 'rgb'"),
        (lambda: SynthesisSettings().changed(colour=1), "settings.colour: found a name that is not known"),
        (lambda: SynthesisSettings.from_json({"blurr": 1}), "settings.blurr: found a name that is not known"),
        (lambda: SynthesisSettings.from_json({"scaling": {"far": 1}}), "settings.scaling.far: found a name"),
        (lambda: SynthesisSettings.from_json({"scaling": 3}), "settings.scaling: found int, expected an object"),
        (lambda: SynthesisSettings.from_json([1]), "settings: found list, expected an object"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(make, words):
    with pytest.raises(InputError) as caught:
        make()
    assert words in str(caught.value)
