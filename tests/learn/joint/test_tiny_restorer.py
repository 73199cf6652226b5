import pytest
import torch

from learn.joint.exposures import Exposed
from learn.joint.tiny_restorer import crop, make_trainer
from psf import InputError


def test_a_new_network_returns_its_input_and_learns_to_restore(patches):
    own = torch.Generator().manual_seed(0)
    sharp = torch.rand((2, 4, 12, 12), generator=own)
    noisy = (0.7 * sharp + 0.1).expand(2, 1, 2, 4, 12, 12).clone()
    trainer = make_trainer((0.0,), 100.0, own)
    assert torch.equal(trainer.restore(noisy), noisy)
    exposed = Exposed(noisy, sharp)
    metadata, weights = patches(2, 12, 5).metadata, torch.full((2,), 0.5)
    errors = [float(trainer.learn(exposed, metadata, weights, "RGGB", 1).mean()) for _ in range(12)]
    assert errors[-1] < 0.7 * errors[0]


def test_gradients_reach_the_pictures_that_a_network_was_given(patches):
    trainer = make_trainer((0.5,), 100.0, torch.Generator().manual_seed(0))
    noisy = torch.rand((1, 1, 1, 4, 8, 8), generator=torch.Generator().manual_seed(1), requires_grad=True)
    (slope,) = torch.autograd.grad(trainer.restore(noisy).square().sum(), noisy)
    assert float(slope.abs().min()) > 0


def test_borders_are_cut_off():
    pictures = torch.arange(16.0).reshape(1, 4, 4)
    assert crop(pictures, 1).tolist() == [[[5.0, 6.0], [9.0, 10.0]]]
    assert crop(pictures, 0) is pictures


def test_pictures_of_another_number_of_heights_are_refused():
    trainer = make_trainer((0.5,), 100.0, torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="noisy"):
        trainer.restore(torch.zeros(1, 2, 1, 4, 8, 8))
