from dataclasses import replace

import pytest
import torch

from learn.deblur.notes import make_notes, read_notes
from learn.field_files import hash_field
from learn.networks import find_config, load_network, make_network, save_network
from psf import InputError


def test_a_networks_file_tells_where_it_was_trained(synthesis, tmp_path):
    varied = synthesis.varied(aux="iso", iso_plane="sigma")
    save_network(
        make_network(find_config("tiny"), generator=torch.Generator().manual_seed(0)),
        tmp_path / "n.pt",
        notes=make_notes(varied, 120),
    )
    notes = read_notes(load_network(tmp_path / "n.pt").notes, "n.pt")
    assert notes.field_sha256 == hash_field(varied.camera.field)
    assert notes.settings == replace(varied.settings, sources=replace(varied.settings.sources, folder=None))
    assert (notes.image_shape_px, notes.pitch_um) == (varied.camera.image_shape_px, varied.camera.field.pitch_um)
    assert notes.sensor == varied.camera.sensor
    assert notes.noise.levels(400.0) == varied.camera.noise.levels(400.0)
    assert (notes.steps, notes.patch_cells) == (120, tuple(side // 2 for side in varied.settings.shape_px))


def test_patches_of_rgb_are_counted_in_pixels(synthesis):
    notes = read_notes(make_notes(synthesis.varied(space="rgb"), 1), "n.pt")
    assert notes.patch_cells == notes.settings.shape_px


@pytest.mark.parametrize("found", [{}, {"synthesis": "{", "steps": 3}, {"synthesis": "{}", "steps": 3}])
def test_a_network_from_elsewhere_is_refused(found):
    with pytest.raises(InputError, match=r"^n.pt: notes: .*learn.deblur train"):
        read_notes(found, "n.pt")
