from pathlib import Path

import numpy as np
import pytest
import torch

from learn.losses import compare_developed, find_gradient_norms, measure_loss
from learn.perceptual import load_distance
from psf import InputError
from render import ColourMetadata, process_for_loss


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parents[1] / "data" / "nafnet_golden.npz") as file:
        return {n.removeprefix("loss__"): torch.from_numpy(v) for n, v in file.items() if n.startswith("loss__")}


@pytest.fixture(scope="module")
def metadata(golden):
    gains = golden["gains"]
    matrix = torch.linalg.inv(golden["cam2rgb"]).expand(2, 3, 3)
    return ColourMetadata(matrix, gains[:, 0], gains[:, 2], torch.ones(2, dtype=torch.float64))


def test_the_loss_and_its_gradient_are_the_tabled_ones(golden, metadata):
    found = golden["pred"].clone().requires_grad_()
    loss = measure_loss(found, golden["clean"], metadata, gradient_floor=None)
    loss.total.backward()
    assert abs(loss.total - golden["l1"]) < 1e-10
    assert loss.l1 is loss.total
    assert (found.grad - golden["grad_pred"]).abs().max() < 1e-10
    for name, packed in (("isp_pred", golden["pred"]), ("isp_clean", golden["clean"])):
        assert (process_for_loss(packed, metadata) - golden[name]).abs().max() < 1e-10


def test_single_precision_is_close(golden, metadata):
    found, clean = golden["pred"].float().requires_grad_(), golden["clean"].float()
    loss = measure_loss(found, clean, metadata.to(dtype=torch.float32), gradient_floor=None)
    loss.total.backward()
    assert abs(loss.total - golden["l1"]) < 1e-5
    assert (found.grad - golden["grad_pred"]).abs().max() < 1e-5


def random_batch(golden, metadata, side=24):
    own = torch.Generator().manual_seed(0)
    target = torch.rand(2, 4, side, side, generator=own, dtype=torch.float64)
    found = (target + 0.1 * torch.randn(target.shape, generator=own, dtype=torch.float64)).requires_grad_()
    return found, target, metadata


def test_the_perceptual_part_is_added_by_its_weight(golden, metadata):
    found, target, metadata = random_batch(golden, metadata)
    loss = measure_loss(found, target, metadata, distance=load_distance("ms-ssim"), weight=0.3)
    assert loss.perceptual is not None
    assert abs(loss.total - (loss.l1 + 0.3 * loss.perceptual)) < 1e-12
    loss.total.backward()
    assert found.grad.isfinite().all()


def test_a_black_picture_has_a_finite_gradient(golden, metadata):
    found = torch.zeros(2, 4, 24, 24, dtype=torch.float64, requires_grad=True)
    target = torch.rand(found.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    measure_loss(found, target, metadata, distance=load_distance("ms-ssim")).total.backward()
    assert found.grad.isfinite().all()
    assert found.grad.abs().max() > 0  # black can be left again


def test_norms_of_both_gradients_can_be_told_before_the_step(golden, metadata):
    found, target, metadata = random_batch(golden, metadata)
    loss = measure_loss(found, target, metadata, distance=load_distance("ms-ssim"))
    l1, perceptual = find_gradient_norms(loss, found)
    (slope,) = torch.autograd.grad(loss.total, found)  # the graph is still there
    assert l1 > 0
    assert perceptual > 0
    assert slope.norm() <= l1 + 0.1 * perceptual + 1e-12
    assert find_gradient_norms(measure_loss(found, target, metadata), found)[1] == 0


def test_bad_input_is_named_in_one_line(golden, metadata):
    found, target, metadata = random_batch(golden, metadata)
    with pytest.raises(InputError, match="target"):
        measure_loss(found, target[:1], metadata)
    with pytest.raises(InputError, match="weight"):
        measure_loss(found, target, metadata, weight=-1)
    with pytest.raises(InputError, match="target"):
        compare_developed(found[:, :3], target)
