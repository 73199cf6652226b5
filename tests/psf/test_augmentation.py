import pytest
import torch

from psf import InputError
from psf.metrics import find_centroid_px, find_rms_radius_px

F64 = torch.float64


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_field(make_field):
    field = make_field()
    first, again, other = (field.augmented(generator=generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(first.kernels, again.kernels)
    assert first.provenance == again.provenance
    assert not torch.equal(first.kernels, other.kernels)


def test_augmented_kernels_keep_unit_sum_and_mirror_symmetry_and_count_what_left(make_field):
    field = make_field()
    for seed in range(5):
        kernels = field.augmented(generator=generator(seed)).kernels
        assert (kernels.sum((-2, -1)) - 1).abs().max() < 1e-12
        assert (kernels - kernels.flip(-2)).abs().max() < 1e-12
        assert kernels.min() >= 0
    assert (field.augmented(generator=generator(1), scale=0.3).lost >= field.lost).all()


def test_nothing_to_vary_changes_nothing(make_field):
    field = make_field()
    same = field.augmented(generator=generator(0), scale=0, anisotropy=0, spread_px=0, shift_px=0)
    assert (same.kernels - field.kernels).abs().max() < 1e-13


@pytest.mark.parametrize("oversample", [1, 3])
def test_what_was_drawn_is_what_happened(make_field, oversample):
    kernels = torch.zeros(3, 4, 2, 21 * oversample, 21 * oversample, dtype=F64)
    middle = 21 * oversample // 2
    reach = 4 * oversample
    kernels[..., middle - reach : middle + reach + 1, middle - reach : middle + reach + 1] = 1.0
    kernels = kernels / kernels.sum((-2, -1), keepdim=True)
    field = make_field(kernels=kernels, oversample=oversample)
    changed = field.augmented(generator=generator(3), scale=0.2, spread_px=0, shift_px=1.0)
    drawn = changed.provenance.arguments["augmented"]
    before, after = field.at(0.0, 1.0, turning="bilinear"), changed.at(0.0, 1.0, turning="bilinear")
    # Sharing light by area adds up to a sixth of a squared pixel.
    growth = ((drawn["scale_along_radius"] ** 2 + drawn["scale_across"] ** 2) / 2) ** 0.5
    assert float((find_rms_radius_px(after) / find_rms_radius_px(before))[0]) == pytest.approx(growth, abs=0.02)
    # So does the centroid ripple, by how the edges of the square fall between pixels.
    assert float(find_centroid_px(after)[0, 0]) == pytest.approx(drawn["shift_px"], abs=2e-3)
    assert float(find_centroid_px(after)[0, 1]) == pytest.approx(0, abs=1e-9)


def test_the_spread_comes_in_its_share_of_calls(make_field):
    field = make_field()
    source = generator(0)
    spreads = [
        field.augmented(generator=source, spread_share=0.25).provenance.arguments["augmented"]["spread_px"]
        for _ in range(60)
    ]
    assert 5 <= sum(one > 0 for one in spreads) <= 27
    assert max(spreads) < 0.7


@pytest.mark.parametrize(
    "bad",
    [
        {"scale": 1.0},
        {"anisotropy": -0.1},
        {"spread_px": float("nan")},
        {"spread_share": 2.0},
        {"shift_px": float("inf")},
    ],
)
def test_impossible_amounts_are_named(make_field, bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        make_field().augmented(generator=generator(0), **bad)
