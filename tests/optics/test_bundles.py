"""Spectra, image heights, and where light begins and ends along lines."""

import pytest
import torch

from optics.bundles import find_lit, read_radii, read_spectrum
from psf import Channel, InputError

UNIT = torch.zeros((), dtype=torch.float64)


def test_channels_are_mixed_by_their_weights():
    spectrum = read_spectrum([Channel("A", (0.5, 0.6), (1.0, 3.0)), Channel("B", (0.7,))], UNIT)
    assert spectrum.wavelength_um.tolist() == [0.5, 0.6, 0.7]
    assert spectrum.channel_of.tolist() == [0, 0, 1]
    values = torch.tensor([[[1.0], [2.0], [5.0]]], dtype=torch.float64)
    assert spectrum.mixed(values).flatten().tolist() == pytest.approx([1.75, 5.0])
    assert spectrum.mixed(values * 1j).imag.flatten().tolist() == pytest.approx([1.75, 5.0])
    assert spectrum.middle_um().tolist() == pytest.approx([0.575, 0.7])
    assert spectrum.mix.tolist() == [[0.25, 0.75, 0.0], [0.0, 0.0, 1.0]]


def test_longest_stretch_of_light_is_found_to_rounding():
    begin, end = torch.tensor([[-0.3], [0.123]]), torch.tensor([[0.71], [0.9]])

    def alive(places):
        return ((places > begin) & (places < end)) | ((places > -0.9) & (places < -0.8))

    low, high = find_lit(alive, 2, UNIT)
    assert torch.allclose(low, begin.double(), atol=1e-7)
    assert torch.allclose(high, end.double(), atol=1e-7)


def test_a_line_without_light_is_an_error():
    with pytest.raises(InputError, match="lets no light through"):
        find_lit(lambda places: places > 2, 1, UNIT)


@pytest.mark.parametrize("radii", [(), (-0.1,), (1.1,), (float("nan"),)])
def test_impossible_image_heights_are_refused(radii):
    with pytest.raises(InputError, match="radii"):
        read_radii(radii)


@pytest.mark.parametrize("channels", [(), (Channel("X"),)])
def test_channels_without_wavelengths_are_refused(channels):
    with pytest.raises(InputError, match="channels"):
        read_spectrum(channels, UNIT)
