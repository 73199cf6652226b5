import csv
import math

import pytest

from learn.deblur.methods import Method
from learn.deblur.scoring import ScoreRow
from learn.deblur.summaries import BY_PIXEL, estimate, format_table, summarise, write_bins, write_table
from psf import InputError


def method(name, fingerprint="0", **more):
    return Method(name=name, restore=lambda sample: sample.target, takes="RAW", fingerprint=fingerprint, **more)


def row(name, index, psnr_db, fingerprint="0", **more):
    blur_px = more.pop("blur_px", 6.0)
    error = 10 ** (-psnr_db / 10)
    return ScoreRow(
        **{
            "method": name,
            "fingerprint": fingerprint,
            "index": index,
            "photo": "a.png",
            "iso": 800.0,
            "radius": 0.5,
            "blur_px": blur_px,
            "depth_spread_dpt": 1.0,
            "psnr_db": psnr_db,
            "ssim": 0.8,
            "distance": 0.25,
            "squared_errors": (error, error, math.nan, error),
            "pixels": (2000, 4000, 0, 10),
            "time_s": 1.0 + index,
        }
        | more
    )


def read_rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def rows():
    found = [row("input", n, 25.0 + n, blur_px=blur) for n, blur in enumerate((2.0, 6.0, 30.0, 8.0))]
    for seed in range(2):
        gains = ((3.0, 1.0, 0.5, 2.0), (4.0, 2.0, 1.5, 3.0))[seed]
        found += [row("net", n, 25.0 + n + gain, str(seed), blur_px=found[n].blur_px) for n, gain in enumerate(gains)]
    return found


@pytest.fixture
def table(rows):
    return summarise(rows, [method("input"), method("net", "0", note="7 steps"), method("net", "1", note="7 steps")])


def test_a_mean_has_the_standard_error_of_a_mean():
    found = estimate([1.0, 2.0, 3.0, math.nan])
    assert (found.mean, found.count) == (2.0, 3)
    assert found.error == pytest.approx(1 / math.sqrt(3))
    assert math.isnan(estimate([5.0]).error)
    assert (estimate([]).count, math.isnan(estimate([]).mean)) == (0, True)


def test_seeds_of_one_name_make_one_row(table):
    assert [line.method for line in table.lines] == ["input", "net"]
    net = table.lines[1]
    assert (net.networks, net.psnr_db.count, net.note) == (2, 4, "7 steps")
    assert net.psnr_db.mean == pytest.approx(26.5 + 2.125)
    assert net.psnr_seed_error_db == pytest.approx(0.5)
    assert math.isnan(table.lines[0].psnr_seed_error_db)


def test_differences_are_paired_by_picture(table):
    gain = table.lines[1].gain_db
    assert gain.mean == pytest.approx((3.5 + 1.5 + 1.0 + 2.5) / 4)
    # Of the differences 3.5, 1.5, 1, 2.5; the pictures' own spread, 1.3 dB, is not in it.
    assert gain.error == pytest.approx(estimate([3.5, 1.5, 1.0, 2.5]).error)
    assert table.lines[1].difference_db == gain
    assert table.lines[1].difference_seed_error_db == pytest.approx(0.5)


def test_pictures_count_in_the_bin_of_their_median_blur(table):
    bins = table.lines[1].bins
    found = {label: (bins["blur_px", label].mean, bins["blur_px", label].count) for label in ("0-4", "4-12", "over 24")}
    assert found == {"0-4": (3.5, 1), "4-12": (2.0, 2), "over 24": (1.0, 1)}
    assert bins["blur_px", "12-24"].count == 0
    assert bins["iso", "400-1600"].count == bins["radius", "1/3-2/3"].count == 4


def test_pixels_count_in_the_bin_of_their_own_blur_if_there_are_enough(table):
    bins = table.lines[1].bins
    assert bins[BY_PIXEL, "0-4"].mean == pytest.approx(2.125)
    assert bins[BY_PIXEL, "12-24"].count == 0
    assert bins[BY_PIXEL, "over 24"].count == 0  # ten pixels of each picture


def test_a_picture_that_one_seed_lacks_does_not_count(rows):
    methods = [method("input"), method("net", "0"), method("net", "1")]
    table = summarise(rows[:-1], methods)
    assert table.lines[1].psnr_db.count == 3
    assert table.lines[1].gain_db.mean == pytest.approx((3.5 + 1.5 + 1.0) / 3)


def test_as_many_seeds_of_the_reference_are_taken_pair_by_pair(rows):
    twin = [row("twin", one.index, one.psnr_db - 0.25, one.fingerprint) for one in rows if one.method == "net"]
    methods = [method("net", "0"), method("net", "1"), method("twin", "0"), method("twin", "1")]
    table = summarise([one for one in rows if one.method == "net"] + twin, methods, reference="twin")
    assert table.lines[0].difference_db.mean == pytest.approx(0.25)
    assert table.lines[0].difference_seed_error_db == pytest.approx(0, abs=1e-9)
    assert table.lines[0].gain_db.count == 0  # there is no input to gain over


def test_what_belongs_to_no_method_is_refused(rows):
    with pytest.raises(InputError, match="fingerprint '1'"):
        summarise(rows, [method("input"), method("net", "0")])
    with pytest.raises(InputError, match="reference: found 'best', expected one of input, net"):
        summarise(rows, [method("input"), method("net", "0"), method("net", "1")], reference="best")


@pytest.mark.parametrize(
    ("distance", "lpips", "stand_in"),
    [("none", "", ""), ("ms-ssim", "", "0.25"), ("lite0", "", "0.25"), ("lpips-alex", "0.25", "")],
)
def test_nothing_but_lpips_stands_in_its_column(rows, tmp_path, distance, lpips, stand_in):
    methods = [method("input"), method("net", "0"), method("net", "1")]
    write_table(summarise(rows, methods, distance=distance), tmp_path / "table.csv")
    found = read_rows(tmp_path / "table.csv")
    assert [one["method"] for one in found] == ["input", "net"]
    assert (found[1]["lpips"], found[1]["stand_in"]) == (lpips, stand_in)
    assert found[1]["stand_in_name"] == (distance if stand_in else "")
    assert found[1]["gain_4_12_px_db"] == "2"
    assert found[1]["gain_12_24_px_db"] == ""
    assert found[1]["gain_of_pixels_0_4_px_db"] == "2.125"


def test_bins_are_written_with_their_counts(table, tmp_path):
    write_bins(table, tmp_path / "bins.csv")
    found = read_rows(tmp_path / "bins.csv")
    chosen = next(one for one in found if (one["method"], one["by"], one["bin"]) == ("net", "blur_px", "4-12"))
    assert (chosen["pictures"], chosen["gain_db"], chosen["reference"]) == ("2", "2", "input")


def test_the_text_names_the_seeds_and_the_notes(rows):
    methods = [method("input"), method("net", "0", note="7 steps", knows=("ISO",)), method("net", "1", note="7 steps")]
    text = format_table(summarise(rows, methods, distance="lite0", reference="net"))
    assert "lite0" in text.splitlines()[0]
    assert "LPIPS" not in text
    assert "28.62 +-0.66 (2 seeds +-0.50)" in text
    assert "net: 7 steps" in text
    assert "to net" in text
