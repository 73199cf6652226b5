import pytest
import torch

from psf import tiles
from psf.tiles import Plan, find_tile, sum_tiles

F64 = torch.float64


def random(*shape: int, seed: int = 0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("phases", [1, 4])
@pytest.mark.parametrize("group_bytes", [1, 1 << 28])
def test_threads_over_tiles_and_torch_operations_agree_and_so_do_their_gradients(
    per_sample, phases, group_bytes, monkeypatch
):
    monkeypatch.setattr(tiles, "GROUP_BYTES_CPU", group_bytes)
    kernel, planes, shape = 5, 4, (23, 17)
    channels = (0, 1, 1, 2) if phases == 4 else None
    outs = 4 if channels else 3
    plan = Plan(12, kernel, shape, planes, planes if per_sample else 0, channels)
    source = random(2, 3, phases, shape[0] + kernel - 1, shape[1] + kernel - 1)
    sets = random(planes * (2 if per_sample else 1), outs, phases, kernel, kernel, seed=1)
    place = 2.2 * random(2, outs if channels else 1, *shape, seed=2)
    lower, share = place.floor(), place.frac()
    cotangent = random(2, outs, *shape, seed=3)
    tensors = source, sets, lower, share
    looped = [one.clone().requires_grad_() for one in (source, sets, share)]
    found = sum_tiles(looped[0], looped[1], lower, looped[2], plan)
    gradients = torch.autograd.grad((found * cotangent).sum(), looped)
    want, pairs = tiles._sum_forward(*tensors, plan)
    assert (found - want).abs().max() < 1e-13
    wanted = tiles._sum_backward(tensors, cotangent, plan, pairs, (True, True, True))
    for one, other in zip(gradients, wanted, strict=True):
        assert (one - other).abs().max() < 1e-11


def test_one_plane_without_weights_is_the_same_in_both_forms():
    plan = Plan(16, 5, (20, 30), 1, 0, None)
    source, sets = random(2, 3, 1, 24, 34).requires_grad_(), random(1, 3, 1, 5, 5, seed=1).requires_grad_()
    found = sum_tiles(source, sets, None, None, plan)
    want, pairs = tiles._sum_forward(source.detach(), sets.detach(), None, None, plan)
    assert (found - want).abs().max() < 1e-13
    gradients = torch.autograd.grad(found.square().sum(), (source, sets))
    tensors = source.detach(), sets.detach(), None, None
    wanted = tiles._sum_backward(tensors, 2 * found.detach(), plan, pairs, (True, True, False))
    for one, other in zip(gradients, wanted, strict=False):
        assert (one - other).abs().max() < 1e-11


def test_gradients_are_the_same_bytes_every_time():
    plan = Plan(16, 5, (60, 70), 3, 0, None)
    source, sets = random(1, 3, 1, 64, 74), random(3, 3, 1, 5, 5, seed=1)
    place = 1.9 * random(1, 1, 60, 70, seed=2)

    def gradients():
        leaves = [source.clone().requires_grad_(), sets.clone().requires_grad_()]
        summed = sum_tiles(*leaves, place.floor(), place.frac(), plan).square().sum()
        return torch.autograd.grad(summed, leaves)

    first = gradients()
    for _ in range(3):
        assert all(a.equal(b) for a, b in zip(first, gradients(), strict=True))


@pytest.mark.parametrize("kernel_px", [1, 3, 5, 25, 65, 129, 401])
@pytest.mark.parametrize("shape", [(1, 1), (30, 2000), (512, 512), (3000, 4000)])
@pytest.mark.parametrize(("planes", "phases"), [(1, 1), (20, 1), (20, 4)])
def test_a_tile_holds_its_kernel_and_is_a_good_size_for_transforms(kernel_px, shape, planes, phases):
    size = find_tile(kernel_px, *shape, planes, phases)
    assert kernel_px < size <= max(128, 3 * kernel_px)
    for factor in (2, 3, 5):
        while size % factor == 0:
            size //= factor
    assert size == 1
