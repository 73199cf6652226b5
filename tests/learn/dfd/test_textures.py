import math

import pytest
import torch

from learn.dfd.stack_settings import StackSettings
from learn.dfd.textures import cut_texture, draw_texture, vary_colours
from learn.photos import open_photos
from psf import InputError

KINDS = ("leaves", "noise", "lines")


def draw(kind, seed=0, shape_px=(72, 90), **changes):
    generator = torch.Generator().manual_seed(seed)
    return draw_texture(kind, shape_px, StackSettings(**changes), generator=generator)


@pytest.mark.parametrize("kind", KINDS)
def test_textures_are_light_with_contrast(kind):
    for seed in range(3):
        texture = draw(kind, seed)
        assert texture.shape == (3, 72, 90)
        assert texture.dtype == torch.float32
        assert 0 <= float(texture.min()) <= float(texture.max()) <= 1
        assert float(texture.std()) > 0.05
    assert torch.equal(draw(kind, 4), draw(kind, 4))


def test_a_larger_scale_shows_larger_leaves():
    """Neighbours differ less where things are larger."""
    steps = [float(draw("leaves", 1, texture_scale=(one, one)).diff(dim=-1).abs().mean()) for one in (0.5, 2.0)]
    assert steps[1] < 0.6 * steps[0]


def test_noise_falls_with_a_power_of_the_frequency():
    noise = draw("noise", 3, shape_px=(128, 128), texture_scale=(0.5, 0.5)).double()
    power = torch.fft.rfft2(noise - noise.mean((1, 2), keepdim=True)).abs().square().mean(0)
    assert float(power[0, 2:6].mean() / power[0, 16:48].mean()) > 10


def test_a_turn_of_the_hue_keeps_grey_and_its_light():
    grey = torch.full((3, 4, 4), 0.3)
    assert torch.allclose(vary_colours(grey, 1.0, 1.2), grey, atol=1e-6)
    colours = 0.3 + 0.2 * torch.rand((3, 8, 8), generator=torch.Generator().manual_seed(1))
    turned = vary_colours(colours, 0.5, 0.4)
    assert torch.allclose(turned.mean(0), 0.5 * colours.mean(0), atol=1e-6)
    third = vary_colours(colours, 1.0, 2 * math.pi / 3)
    assert torch.allclose(third, colours.roll(1, 0), atol=1e-6)


def test_a_faint_texture_has_its_share_of_the_contrast():
    texture = draw("leaves")
    faint = vary_colours(texture, 1.0, 0.0, 0.1)
    assert torch.allclose(faint.std((1, 2)), 0.1 * texture.std((1, 2)), rtol=1e-4)
    assert torch.allclose(faint.mean((1, 2)), texture.mean((1, 2)), atol=1e-5)


def test_photographs_are_cut_in_linear_light(photo_root, tmp_path):
    photos = open_photos(photo_root, index=tmp_path / "index.jsonl")
    generator = torch.Generator().manual_seed(2)
    texture, name, lost = cut_texture(photos, (60, 80), StackSettings(), generator=generator)
    assert texture.shape == (3, 60, 80)
    assert name in {one.name for one in photos.photos}
    assert lost == ()
    assert 0 <= float(texture.min()) <= float(texture.max()) <= 1


def test_unknown_textures_are_refused():
    with pytest.raises(InputError, match=r"draw_texture\(kind\): found 'tiles', expected one of leaves, noise, lines"):
        draw("tiles")
