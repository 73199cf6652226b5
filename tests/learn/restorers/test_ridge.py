import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from learn.restorers import (
    RidgeSample,
    RidgeSettings,
    find_cell_places,
    fit_ridge,
    load_bank,
    restore_ridge,
    save_bank,
)
from learn.restorers.ridge import FORMAT
from psf import InputError

SMALL = RidgeSettings(side_cells=3, iso_edges=(400.0,), radius_bins=2, azimuth_bins=4, prior_cells=200.0)


def draw_sample(count=12, side=24, seed=0, same_noise=False):
    """Smooth pictures behind a blur that grows with the image height, with noise that grows with the ISO."""
    own = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 4, side // 2, side // 2, generator=own)
    sharp = 0.1 + 0.8 * functional.interpolate(coarse, size=(side, side), mode="bilinear")
    iso = 100 * 2 ** (5 * torch.rand(count, generator=own))
    radius = torch.rand(count, 1, 1, 1, generator=own).expand(-1, 1, side, side)
    azimuth_rad = (math.pi * (2 * torch.rand(count, 1, 1, 1, generator=own) - 1)).expand(-1, 1, side, side)
    blurred = functional.avg_pool2d(sharp, 3, 1, 1, count_include_pad=False)
    soft = torch.where(radius > 0.5, blurred, sharp)
    sd = 0.03 if same_noise else (0.01 * (iso / 100) ** 0.7)[:, None, None, None]
    noisy = soft + sd * torch.randn(soft.shape, generator=own)
    return RidgeSample(noisy, sharp, iso, radius, azimuth_rad)


def restore(bank, sample):
    return restore_ridge(bank, sample.noisy, sample.iso, sample.radius, sample.azimuth_rad)


def error(found, sample, border=1):
    inner = (..., slice(border, -border), slice(border, -border))
    return float((found - sample.sharp)[inner].square().mean())


def test_one_bin_is_weighted_least_squares():
    sample = draw_sample(3, 12)
    settings = dataclasses.replace(SMALL, use_iso=False, use_field=False, ridge=1e-12, prior_cells=1e-6)
    (filters,) = fit_ridge([sample], settings).filters.double().flatten(0, 2)
    rows, wanted, weights = [], [], []
    for noisy, sharp in zip(sample.noisy.double(), sample.sharp.double(), strict=True):
        for row in range(1, 11):
            for col in range(1, 11):
                around = noisy[:, row - 1 : row + 2, col - 1 : col + 2].flatten()
                rows.append(torch.cat([around, torch.ones(1)]))
                wanted.append((sharp - noisy)[:, row, col])
                weights.append((around.mean() + 0.02) ** -0.5)
    root = torch.stack(weights)[:, None]
    solved = torch.linalg.lstsq(root * torch.stack(rows), root * torch.stack(wanted)).solution
    assert (filters - solved).abs().max() < 1e-3  # float32 sums of products


def test_a_bank_restores_what_it_has_not_seen_and_more_so_when_it_is_told_more():
    train, test = [draw_sample(80, seed=n) for n in range(2)], draw_sample(40, seed=9)
    errors = {}
    for use_iso in (False, True):
        for use_field in (False, True):
            settings = dataclasses.replace(SMALL, use_iso=use_iso, use_field=use_field)
            bank = fit_ridge(train, settings)
            assert bank.filters.shape[:3] == ((2 if use_iso else 1), *((2, 4) if use_field else (1, 1)))
            errors[use_iso, use_field] = error(restore(bank, test), test)
    assert errors[False, False] < 0.8 * error(test.noisy, test)
    assert errors[True, True] < min(errors[True, False], errors[False, True]) < errors[False, False]


def test_the_filter_of_a_bin_is_used_in_that_bin():
    sample = draw_sample(40)
    bank = fit_ridge([sample], SMALL)
    one, side = draw_sample(1, 16, seed=3), 16
    radius = torch.where(torch.arange(side) < 7, 0.2, 0.8).expand(1, 1, side, side)
    azimuth = torch.where(torch.arange(side)[:, None] < 5, 1.0, -1.0).expand(1, 1, side, side)
    found = restore_ridge(bank, one.noisy, one.iso, radius, azimuth)
    padded = functional.pad(one.noisy, (1,) * 4, mode="reflect")
    for row, col in ((0, 0), (4, 6), (5, 6), (4, 7), (15, 15)):
        i, r, a = int(one.iso[0] >= 400), int(radius[0, 0, row, col] >= 0.5), 0 if azimuth[0, 0, row, col] > 0 else 3
        around = padded[0, :, row : row + 3, col : col + 3].flatten()
        change = torch.cat([around, torch.ones(1)]) @ bank.filters[i, r, a]
        assert (found[0, :, row, col] - one.noisy[0, :, row, col] - change).abs().max() < 1e-5


def test_a_bin_without_cells_takes_its_parents_filter():
    sample = draw_sample(20)
    low = RidgeSample(*(values[sample.iso < 400] for values in sample))
    bank = fit_ridge([low], SMALL)
    assert bank.cells[1].sum() == 0
    assert bank.filters.isfinite().all()
    assert (bank.filters[1] - bank.filters[1, 0, 0]).abs().max() < 1e-4
    assert error(restore(bank, sample), sample) < error(sample.noisy, sample)


def test_the_order_of_batches_does_not_matter():
    one, two = draw_sample(6, seed=1), draw_sample(6, seed=2)
    ahead, back = fit_ridge([one, two], SMALL), fit_ridge(iter([two, one]), SMALL)
    assert (ahead.filters - back.filters).abs().max() < 1e-5


@pytest.mark.parametrize("number", [0, 1, 2])
def test_places_of_cells_are_the_tabled_ones(number):
    with np.load(Path(__file__).parents[2] / "data" / "nafnet_golden.npz") as file:
        x, y, width, height = file[f"radial__window{number}"].tolist()
        radius, azimuth = (torch.from_numpy(file[f"radial__{name}{number}"]) for name in ("map", "azimuth"))
    found = find_cell_places((height, width), (x, y), (3024, 4032))
    assert (found[0][0] - radius).abs().max() < 1e-6
    assert (found[1][0] - azimuth).abs().max() < 1e-6


def test_a_bank_comes_back_from_its_file(tmp_path):
    bank = fit_ridge([draw_sample(6)], SMALL)
    save_bank(bank, tmp_path / "bank.pt")
    again = load_bank(tmp_path / "bank.pt")
    assert again.settings == SMALL
    assert again.filters.equal(bank.filters)
    torch.save({"format": "other"}, tmp_path / "other.pt")
    with pytest.raises(InputError, match=FORMAT):
        load_bank(tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: fit_ridge([], SMALL), "samples: found no cells"),
        (lambda s: fit_ridge([s._replace(noisy=s.noisy[:, :3])], SMALL), "noisy: found shape"),
        (lambda s: fit_ridge([s._replace(sharp=s.sharp[..., 1:])], SMALL), "sharp: found shape"),
        (lambda s: fit_ridge([s._replace(iso=s.iso[:1])], SMALL), "iso: found shape (1,)"),
        (lambda s: fit_ridge([s._replace(noisy=s.noisy[..., :2, :])], SMALL), "at least 3 to a side"),
        (lambda s: RidgeSettings(side_cells=4), "side_cells: found 4"),
        (lambda s: RidgeSettings(iso_edges=(400, 200)), "iso_edges"),
        (lambda s: RidgeSettings(radius_bins=0), "radius_bins: found 0"),
        (lambda s: RidgeSettings(prior_cells=0), "prior_cells: found 0"),
    ],
)
def test_bad_input_is_named_in_one_line(call, words):
    with pytest.raises(InputError) as caught:
        call(draw_sample(2, 8))
    assert words in str(caught.value)
