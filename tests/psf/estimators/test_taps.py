import torch

from psf.estimators import row_loops, taps

F64 = torch.float64


def test_unfolding_gives_back_what_was_folded():
    lower = torch.rand(3, 7, 7, dtype=F64, generator=torch.Generator().manual_seed(1))
    kernels = lower + lower.flip(-2)
    torch.testing.assert_close(taps.unfold(taps.fold(kernels), 7), kernels)


def test_folded_light_times_its_multiplicity_is_all_the_light():
    folded = torch.rand(taps.count_taps(9), dtype=F64, generator=torch.Generator().manual_seed(2))
    total = taps.unfold(folded, 9).sum()
    torch.testing.assert_close(folded @ taps.multiplicity(9), total)


def test_covariance_of_rows_is_that_of_rows_read_from_white_noise():
    generator = torch.Generator().manual_seed(3)
    side, wide, high = 5, 0.6, 0.9
    wanted = taps.find_noise_covariance(side, wide, high)
    total = torch.zeros_like(wanted)
    count = 40_000
    picture = torch.randn(400, 400, generator=generator)
    angle = 2 * torch.pi * torch.rand(count, generator=generator)
    x, y = 10 + 380 * torch.rand(2, count, generator=generator)
    places = torch.stack((x, y, angle.cos(), angle.sin(), 0 * x, wide + 0 * x, high + 0 * x), 1)
    rows = torch.from_numpy(row_loops.read_rows(picture.numpy(), places.numpy(), 2, 1)[:, :-1]).double()
    total = rows.mT @ rows / count
    # 40,000 rows know a variance to 0.7 %; averaging the cells' directions is an approximation of 2 %.
    assert (total - wanted).abs().max() < 0.06 * wanted.max()
