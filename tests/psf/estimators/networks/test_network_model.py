import dataclasses

import pytest
import torch

import psf
from psf.errors import InputError
from psf.estimators.networks.bodies import UNetKernels, draw_weights
from psf.estimators.networks.network_model import MirroredKernels, NetworkModel
from psf.estimators.networks.places import PlaceScale
from psf.turning import turn

SHAPE_PX = (60, 80)


def model_of(inputs="ih", channels=1, **changes):
    scale = PlaceScale(inputs, SHAPE_PX, (0.5, 2.0), 1.0)
    network = UNetKernels(scale.count, channels, 9, width=4, levels=2, oversample=changes.get("oversample", 1))
    draw_weights(network, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        network.last.weight.mul_(20)  # kernels that change with their places
    given = {
        "method": inputs,
        "network": network.requires_grad_(False),
        "scale": scale,
        "is_turned": inputs == "ih",
        "turning": "cubic",
        "image_shape_px": SHAPE_PX,
        "kernel_px": 9,
        "channel_count": channels,
        "depth_range_m": (0.5, 2.0),
        "magnification": 0.99,
        "fall_off": torch.tensor([[-0.2, 0.0]]).expand(channels, 2),
    }
    return NetworkModel(**{**given, **changes})


def test_a_network_is_a_model_of_kernels():
    assert isinstance(model_of(), psf.PSFModel)


def test_a_pixel_above_the_middle_gets_the_kernel_turned_by_90_degrees():
    model = model_of()
    radius = torch.tensor([20 / 50])  # half the diagonal is 50 px
    canonical = model.kernels_at(radius, 1.0)[0, 0]
    found = model.kernels_at_pixel(39.5, 29.5 - 20, 1.0)[0, 0]
    assert torch.allclose(found, torch.rot90(canonical), atol=1e-6)


def test_an_oblique_pixel_gets_the_kernel_turned_to_its_azimuth():
    model = model_of()
    found = model.kernels_at_pixel(39.5 + 15, 29.5 + 20, 1.0)[0, 0]
    expected = turn(model.kernels_at(0.5, 1.0)[0, 0], torch.atan2(torch.tensor(-20.0), torch.tensor(15.0)))
    expected = expected.clamp_min(0) / expected.clamp_min(0).sum()
    assert torch.allclose(found, expected, atol=1e-6)


def test_the_invariant_model_has_one_kernel_for_all_pixels():
    found = model_of("none").kernels_at_pixel(torch.tensor([0.0, 70.0, 39.5]), torch.tensor([0.0, 5.0, 29.5]), 0.7)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_model_of_pixels_tells_them_apart_and_refuses_to_be_a_field():
    model = model_of("xy")
    found = model.kernels_at_pixel(torch.tensor([10.0, 69.0]), torch.tensor([29.5, 29.5]), 0.7)
    assert not torch.allclose(found[0], found[1], atol=1e-4)
    assert torch.allclose(model.kernels_at(0.3, 0.7), model.kernels_at_pixel(39.5 + 15, 29.5, 0.7), atol=1e-6)
    with pytest.raises(InputError, match="to_field"):
        model.to_field([0.7], [0.0, 1.0])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_field_has_the_models_kernels_magnification_and_fall_off(channels):
    model = model_of(channels=channels)
    field = model.to_field([0.5, 1.0, 2.0], [0.0, 0.5, 1.0], pitch_um=3.0)
    assert field.kernels.shape == (3, 3, channels, 9, 9)
    assert torch.allclose(field.kernels[1, 2], model.kernels_at(1.0, 1.0)[0])
    assert field.magnification == 0.99
    assert field.focus_m == 1.0
    assert field.pitch_um == 3.0
    assert torch.allclose(field.transmission[0, :, 0], torch.tensor([0.0, -0.05, -0.2]).exp())
    assert field.provenance.arguments["method"] == "ih"


def test_the_captures_pitch_is_taken_and_an_unknown_one_is_told():
    assert model_of(pitch_um=2.5).to_field([1.0], [0.0, 1.0]).pitch_um == 2.5
    assert "unknown" in model_of().to_field([1.0], [0.0, 1.0]).provenance.arguments["pitch"]


def test_depths_outside_the_captured_ones_are_warned_of_and_take_the_nearest():
    model = model_of()
    with pytest.warns(UserWarning, match="outside the captured"):
        found = model.kernels_at(0.2, 10.0)
    assert torch.equal(found, model.kernels_at(0.2, 2.0))


def test_no_places_have_no_kernels():
    none = torch.zeros(0)
    assert model_of(channels=3).kernels_at_pixel(none, none, none).shape == (0, 3, 9, 9)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((-0.1, 1.0), "radius"), ((0.1, 0.0), "depth_m"), ((float("nan"), 1.0), "radius")],
)
def test_places_that_do_not_exist_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        model_of().kernels_at(*arguments)


def test_places_of_different_numbers_are_refused():
    with pytest.raises(InputError, match="2 of radius, 3 of depth_m"):
        model_of().kernels_at(torch.zeros(2), torch.ones(3))


def test_the_mirror_makes_kernels_their_own_mirror_images():
    body = model_of().network
    places = torch.tensor([[0.1, 0.2, 0.3]])
    kernels = MirroredKernels(body, (-2,))(places)
    assert torch.equal(kernels, kernels.flip(-2))
    assert not torch.allclose(kernels, kernels.flip(-1), atol=1e-4)
    both = MirroredKernels(body, (-2, -1))(places)
    assert torch.allclose(both, both.flip(-1))


def test_models_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        model_of().method = "other"


@pytest.mark.parametrize("inputs", ["ih", "none"])
def test_fine_kernels_are_turned_before_they_are_binned(inputs):
    model = model_of(inputs, channels=2, oversample=3)
    field = model.to_field([0.5, 1.0, 2.0], torch.linspace(0, 1, 5))
    assert field.oversample == 3
    assert field.kernels.shape == (3, 5, 2, 27, 27)
    fine = field.kernels[1, 2]
    whole = model.kernels_at(0.5, 1.0)[0]
    assert torch.allclose(whole, fine.reshape(2, 9, 3, 9, 3).sum((2, 4)), atol=1e-6)
    # The fine kernel at 53 degrees, read by the field; the invariant model's is the same everywhere.
    found = model.kernels_at_pixel(39.5 + 15, 29.5 - 20, 1.0)[0]
    expected = field.at_pixel(39.5 + 15, 29.5 - 20, 1.0) if inputs == "ih" else whole
    assert found.shape == (2, 9, 9)
    assert torch.allclose(found, expected, atol=1e-6)
    assert found.sum((-2, -1)) == pytest.approx([1, 1], abs=1e-5)
