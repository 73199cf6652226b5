import math

import pytest
import torch

from psf.reading import LOBES, mirror_index, read_matrix, weigh_sinc


@pytest.mark.parametrize(("wave_px", "least"), [(2.5, 0.97), (3.0, 0.99), (4.0, 0.995), (8.0, 0.997)])
def test_fine_waves_keep_their_contrast_wherever_they_are_read(wave_px, least):
    part = torch.linspace(0, 1, 41, dtype=torch.float64)
    shares = weigh_sinc(part)
    place = torch.arange(1 - LOBES, LOBES + 1, dtype=torch.float64)
    kept = (shares * torch.exp(2j * math.pi * (place[:, None] - part) / wave_px)).sum(0)
    assert float(kept.abs().min()) > least
    assert float((kept - 1).abs().max()) < 0.03
    assert torch.allclose(shares.sum(0), torch.ones_like(part))


def test_a_wave_is_read_where_it_should_be():
    side, scale, centre = 64, 0.985, 20.0
    place = torch.arange(side, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * 0.2 * place)
    read = read_matrix(centre + (place - centre) * scale, side) @ wave
    wanted = torch.cos(2 * math.pi * 0.2 * (centre + (place - centre) * scale))
    # Twelve taps of a windowed sinc hold a fifth of a cycle per pixel to a hundredth.
    assert (read - wanted)[8:-8].abs().max() < 0.01


def test_samples_are_read_as_they_are_and_beyond_the_ends_stand_their_mirror_images():
    place = torch.arange(-3, 12, dtype=torch.float64)
    expected = torch.eye(9, dtype=torch.float64)[mirror_index(place.long(), 9)]
    assert torch.equal(read_matrix(place, 9).round(decimals=9), expected)
    assert torch.allclose(read_matrix(place + 0.3, 9).sum(1), torch.ones(15, dtype=torch.float64))


def test_places_outside_a_row_are_mirrored_about_its_ends_as_often_as_needed():
    assert mirror_index(torch.arange(-4, 8), 3).tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]
    assert mirror_index(torch.arange(-2, 3), 1).tolist() == [0] * 5
