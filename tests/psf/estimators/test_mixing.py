import torch

from psf.estimators.mixing import EvenMixing, find_cell, mix_depths, mix_places

F64 = torch.float64


def test_transpose_is_the_transpose():
    g = torch.Generator().manual_seed(0)
    dioptres, radii = torch.tensor([0.0, 1, 3], dtype=F64), torch.tensor([0.0, 0.5, 1], dtype=F64)
    mixing = mix_places(
        dioptres, radii, torch.rand(5, generator=g, dtype=F64), 3 * torch.rand(5, generator=g, dtype=F64)
    )
    x, y = torch.rand(9, 4, generator=g, dtype=F64), torch.rand(5, 4, generator=g, dtype=F64)
    torch.testing.assert_close((mixing.apply(x) * y).sum(), (x * mixing.transpose(y, 9)).sum())


def test_weights_of_a_place_sum_to_one_and_reproduce_what_is_bilinear():
    dioptres, radii = torch.tensor([0.0, 1, 3], dtype=F64), torch.tensor([0.0, 0.5, 1], dtype=F64)
    nodes = (2 * dioptres[:, None] + 5 * radii + 1).reshape(-1, 1)
    radius, dioptre = torch.tensor([0.3, 0.9], dtype=F64), torch.tensor([2.2, 0.1], dtype=F64)
    found = mix_places(dioptres, radii, radius, dioptre).apply(nodes)[:, 0]
    torch.testing.assert_close(found, 2 * dioptre + 5 * radius + 1)


def test_one_depth_answers_for_all():
    mixing = mix_depths(torch.tensor([2.0], dtype=F64), 1, torch.tensor([0, 0]), torch.tensor([1.0, 9.0], dtype=F64))
    torch.testing.assert_close(mixing.apply(torch.tensor([[4.0]], dtype=F64))[:, 0], torch.tensor([4.0, 4], dtype=F64))


def test_places_beyond_the_ends_take_the_end():
    low, share = find_cell(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.0, 9.0]))
    assert low.tolist() == [0, 1]
    assert share.tolist() == [0, 1]


def test_even_mixing_makes_mirror_images_and_its_transpose_does_as_well():
    g = torch.Generator().manual_seed(0)
    mixing = EvenMixing(torch.tensor([1, 2]), torch.tensor([0, 1]), torch.tensor([1.0, 0.5], dtype=F64), 2, 3)
    x, y = torch.rand(3, 6, generator=g, dtype=F64), torch.rand(2, 6, generator=g, dtype=F64)
    found = mixing.apply(x)
    assert torch.equal(found, mixing.mirror(found))
    torch.testing.assert_close(
        found[1, :3], 0.5 * torch.stack((0.5 * (x[2, 0] + x[2, 2]), x[2, 1], 0.5 * (x[2, 0] + x[2, 2])))
    )
    torch.testing.assert_close((found * y).sum(), (x * mixing.transpose(y, 3)).sum())
