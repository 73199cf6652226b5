import torch

from psf.estimators import taps

F64 = torch.float64


def test_unfolding_gives_back_what_was_folded():
    lower = torch.rand(3, 7, 7, dtype=F64, generator=torch.Generator().manual_seed(1))
    kernels = lower + lower.flip(-2)
    torch.testing.assert_close(taps.unfold(taps.fold(kernels), 7), kernels)


def test_folded_light_times_its_multiplicity_is_all_the_light():
    folded = torch.rand(taps.count_taps(9), dtype=F64, generator=torch.Generator().manual_seed(2))
    total = taps.unfold(folded, 9).sum()
    torch.testing.assert_close(folded @ taps.multiplicity(9), total)
