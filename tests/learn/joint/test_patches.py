import numpy as np
import torch
from PIL import Image

from learn.joint.patches import convert_patches, draw_patches
from learn.photos import open_photos
from render import process_linear


def test_patches_of_a_folder_have_their_margin_and_hang_on_the_seed(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (120, 130, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    photos = open_photos(tmp_path)
    once, twice = (draw_patches(photos, 2, 32, 16, torch.Generator().manual_seed(1)) for _ in range(2))
    assert once.light.shape == (2, 3, 48, 48)
    assert torch.equal(once.light, twice.light)
    assert len(once) == len(once.metadata) == 2


def test_light_develops_to_the_picture_again():
    own = torch.Generator().manual_seed(2)
    srgb = 0.2 + 0.4 * torch.rand((2, 3, 8, 8), generator=own)
    found = convert_patches(srgb, own)
    again = process_linear(found.light, found.metadata, full=True)
    assert float((again - srgb).abs().max()) < 0.02
