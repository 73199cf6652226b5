import math
import warnings
from types import SimpleNamespace

import pytest
import torch

from learn.deblur.methods import make_input
from learn.deblur.scoring import (
    LARGEST_PSNR_DB,
    choose_distance,
    develop_result,
    find_bin,
    find_blur_map_px,
    find_depth_spread_dpt,
    load_table_distance,
    read_scores,
    score_pictures,
    score_sample,
    write_scores,
)
from learn.patch_optics import find_blur_px, measure_extent
from learn.perceptual import load_distance
from learn.synthesis import draw_sample
from psf import InputError
from render import process


@pytest.fixture(scope="module")
def sample(synthesis):
    return draw_sample(synthesis.varied(blur="pixelwise"), 0, with_depth=True)


@pytest.fixture
def pair():
    g = torch.Generator().manual_seed(0)
    target = torch.rand((1, 3, 24, 20), generator=g)
    return target + 0.1 * torch.randn(target.shape, generator=g), target


def test_the_bins_errors_add_up_to_the_pictures(pair):
    found, target = pair
    blur_px = torch.linspace(0, 30, 24)[:, None].expand(24, 20)
    score = score_pictures(found, target, blur_px=blur_px)
    total = sum(error * count for error, count in zip(score.squared_errors, score.pixels, strict=True))
    assert sum(score.pixels) == 24 * 20
    assert -10 * math.log10(total / (24 * 20)) == pytest.approx(score.psnr_db, abs=1e-4)


def test_a_bin_without_pixels_has_no_error(pair):
    score = score_pictures(*pair, blur_px=torch.full((24, 20), 5.0))
    assert score.pixels == (0, 480, 0, 0)
    assert [math.isnan(one) for one in score.squared_errors] == [True, False, True, True]


def test_equal_pictures_have_a_finite_score(pair):
    score = score_pictures(pair[1], pair[1])
    assert (score.psnr_db, score.ssim) == (LARGEST_PSNR_DB, pytest.approx(1))
    assert math.isnan(score.distance)


def test_bins_hold_their_lower_edge():
    edges = (0.0, 4.0, 12.0, 24.0)
    assert find_bin(torch.tensor([0.0, 3.99, 4.0, 12.0, 23.9, 24.0, 90.0]), edges).tolist() == [0, 0, 1, 2, 2, 3, 3]


def test_a_mosaic_and_its_developed_picture_are_judged_alike(sample):
    developed = process(sample.target[None], sample.metadata)
    torch.testing.assert_close(develop_result(sample.target, sample), developed)
    torch.testing.assert_close(develop_result(developed[0], sample), developed)
    with pytest.raises(InputError, match=r"shape \(4, 3, 3\), expected \(4, 32, 32\) of a mosaic or \(3, 64, 64\)"):
        develop_result(torch.zeros(4, 3, 3), sample)


@pytest.mark.parametrize("window_px", [(0, 0), (108, 77), (210, 140)])
def test_the_blur_of_a_pixel_is_that_of_its_depth_and_its_own_place(lens, window_px):
    extent = measure_extent(lens())
    shape = extent.field.image_shape_px
    depth_m = torch.tensor([[0.05, 0.1, 0.17], [0.6, 3.0, math.inf]])
    found = find_blur_map_px(extent, depth_m, window_px, shape)
    for row in range(2):
        for col in range(3):
            y, x = window_px[1] + row - (shape[0] - 1) / 2, window_px[0] + col - (shape[1] - 1) / 2
            radius = math.hypot(x, y) / (0.5 * math.hypot(*shape))
            alone = find_blur_px(extent, radius, depth_m[row, col])
            assert float(found[row, col]) == pytest.approx(float(alone), rel=1e-5)


def test_a_row_tells_what_the_sample_was(synthesis, sample):
    extent = measure_extent(synthesis.camera.field)
    row = score_sample(make_input(), sample, sample.input[:4], 0.5, extent=extent, distance=load_distance("ms-ssim"))
    drawn = sample.drawn
    assert (row.method, row.index, row.photo, row.iso) == ("input", 0, drawn.photo, drawn.iso)
    assert row.blur_px == drawn.blur_px[1]
    assert sum(row.pixels) == 64 * 64
    assert row.distance > 0
    assert math.isfinite(row.psnr_db)
    bare = score_sample(make_input(), sample, sample.input[:4], 0.5)
    assert (bare.psnr_db, bare.pixels) == (row.psnr_db, (0, 0, 0, 0))


def test_depth_spreads_in_dioptres_up_to_infinity():
    assert find_depth_spread_dpt(SimpleNamespace(depths_m=(0.25, 0.5, math.inf))) == 4


def test_scores_are_read_as_they_were_written(sample, tmp_path):
    row = score_sample(make_input(), sample, sample.input[:4], 0.25)
    write_scores([row, row], tmp_path / "scores.csv")
    one, two = read_scores(tmp_path / "scores.csv")
    assert (one.method, one.fingerprint, one.index, one.pixels) == (row.method, row.fingerprint, 0, row.pixels)
    assert one.psnr_db == pytest.approx(row.psnr_db, rel=1e-7)
    assert math.isnan(two.distance)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("text", ["method,index\ninput,1\n", "\n".join(["method,fingerprint,index", "input,1,x"])])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "scores.csv").write_text(text)
    with pytest.raises(InputError, match=r"scores.csv: line 2"):
        read_scores(tmp_path / "scores.csv")


def test_without_lpips_a_stand_in_is_named(monkeypatch):
    load_table_distance.cache_clear()

    def load(name, weights=None):
        if name != "ms-ssim":
            raise FileNotFoundError(f"no weights of {name}")
        return load_distance(name)

    monkeypatch.setattr("learn.deblur.scoring.load_distance", load)
    with pytest.warns(
        UserWarning, match=r"no LPIPS; ms-ssim stands in for it, under its own name: no weights of lpips"
    ):
        assert choose_distance("auto") == "ms-ssim"
    load_table_distance.cache_clear()
    with pytest.raises(FileNotFoundError, match="no weights of lpips-alex"):
        choose_distance("lpips-alex")
    with warnings.catch_warnings(action="error"):
        assert choose_distance("none") == "none"
    load_table_distance.cache_clear()
