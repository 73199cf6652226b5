import json
from dataclasses import replace

import pytest

from learn.deblur.recipe import DeblurRecipe, find_shape, read_recipe
from learn.networks import NAFNetConfig, find_config
from learn.trainer import TrainerSettings
from learn.variants import SynthesisSettings
from psf import InputError


def test_a_recipe_survives_its_json_form():
    recipe = DeblurRecipe(
        network=NAFNetConfig(8, (1, 2), 1, (2, 1)),
        synthesis=SynthesisSettings(seed=4, aux="iso", space="raw"),
        trainer=TrainerSettings(steps=900, batch=6, rate=1e-3),
        distance="lite0",
        distance_weight=0.05,
    )
    assert DeblurRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_named_networks_are_written_by_their_name():
    assert DeblurRecipe(network=find_config("tiny", in_planes=5)).to_json()["network"] == "tiny"
    assert DeblurRecipe.from_json({"network": "nafnet64"}).network == find_config("nafnet64")


@pytest.mark.parametrize(
    ("changes", "planes"),
    [({}, (6, 4)), ({"aux": "none"}, (4, 4)), ({"field_planes": "xy"}, (7, 4)), ({"space": "rgb"}, (5, 3))],
)
def test_the_networks_planes_follow_from_the_samples(changes, planes):
    config = DeblurRecipe(synthesis=SynthesisSettings(**changes)).config
    assert (config.in_planes, config.out_planes) == planes


def test_the_default_is_the_full_scale_of_the_paper():
    recipe = DeblurRecipe()
    assert recipe.config == find_config("nafnet32")
    assert (recipe.synthesis.shape_px, recipe.trainer.batch, recipe.trainer.rate) == ((512, 512), 64, 1e-4)


def test_the_shipped_recipes_are_what_they_are_called(root):
    full = read_recipe(root / "examples" / "recipes" / "deblur_full.json")
    assert full == DeblurRecipe(trainer=replace(TrainerSettings(), precision="bf16", workers=8))
    assert read_recipe(root / "examples" / "recipes" / "deblur_cpu.json").network == find_config("tiny")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "text that is not JSON"),
        ("[]", "recipe: found list, expected an object"),
        ('{"networks": "tiny"}', "recipe.networks: found a name that is not known, expected choosing.*network"),
        ('{"network": "large"}', "recipe.network: found 'large'"),
        ('{"network": 3}', "recipe.network: found int"),
        ('{"network": {"in_planes": 6}}', "recipe.network.in_planes: found a name that is not known"),
        ('{"trainer": {"epochs": 3}}', "trainer.epochs: found a name that is not known"),
        ('{"synthesis": {"cells": 3}}', "settings.cells: found a name that is not known"),
        ('{"distance": "eye"}', "recipe.distance: found 'eye'"),
        ('{"distance_weight": -1}', "recipe.distance_weight: found -1"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_by_its_name(tmp_path, text, words):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputError, match=rf"r.json.*{words}"):
        read_recipe(tmp_path / "r.json")


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"r.json: no such file"):
        read_recipe(tmp_path / "r.json")


def test_a_shape_may_be_given_by_its_numbers():
    assert find_shape({"width": 8, "encoder_blocks": [1], "decoder_blocks": [1]}).levels == 1
