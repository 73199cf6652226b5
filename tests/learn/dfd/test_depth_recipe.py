import json

import pytest

from learn.dfd.depth_recipe import FULL, DepthRecipe, read_depth_recipe
from learn.dfd.stack_settings import StackSettings
from psf import InputError


def test_a_recipe_survives_json():
    recipe = DepthRecipe(network="dual_dfd", width=4, head="metres", align=False, settings=StackSettings(seed=3))
    assert DepthRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    assert DepthRecipe.from_json({}) == DepthRecipe()


def test_a_trainer_in_part_has_the_rest_of_the_full_scale():
    recipe = DepthRecipe.from_json({"trainer": {"steps": 600}})
    assert (recipe.trainer.steps, recipe.trainer.batch, recipe.trainer.betas) == (600, FULL.batch, (0.9, 0.999))


def test_networks_have_their_published_width():
    assert DepthRecipe().find_config(5).width == 16
    config = DepthRecipe(network="dual_dfd", settings=StackSettings(depth_m=(0.4, 2.0))).find_config(5)
    assert (config.width, config.pictures, config.depth_m) == (32, 5, (0.4, 2.0))


def test_the_shipped_recipes_are_what_they_are_called(root):
    full = read_depth_recipe(root / "examples" / "recipes" / "dfd_full.json")
    assert full.width is None
    assert full.settings.shape_px == (256, 256)
    cpu = read_depth_recipe(root / "examples" / "recipes" / "dfd_cpu.json")
    assert cpu.width == 4
    assert cpu.trainer.steps <= 2000


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"network": "unet"}, "recipe.network: found 'unet'"),
        ({"colour": 1}, "recipe.colour: found a name that is not known"),
        ({"align": 1}, "recipe.align"),
        ({"trainer": {"steps": 0}}, "trainer.steps"),
        ({"trainer": 3}, "recipe.trainer: found int"),
        ({"blur_unit_px": 0}, "recipe.blur_unit_px: found 0"),
        ({"width": 0}, "config.width"),
        ({"settings": {"depth_m": [2, 1]}}, "settings.depth_m"),
    ],
)
def test_what_is_no_recipe_is_refused_by_file_and_name(found, words, tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps(found))
    with pytest.raises(InputError) as caught:
        read_depth_recipe(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    with pytest.raises(FileNotFoundError):
        read_depth_recipe(tmp_path / "gone.json")
