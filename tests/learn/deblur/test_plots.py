import math

import pytest
import torch

from learn.deblur.evaluation import Shown
from learn.deblur.methods import Method
from learn.deblur.plots import draw_report, plot_bins, plot_page
from learn.deblur.scoring import ScoreRow
from learn.deblur.summaries import summarise
from psf import InputError


def make_shown(names=("input", "net"), seed=0):
    target = torch.rand((3, 60, 70), generator=torch.Generator().manual_seed(seed))
    return Shown(title=f"sample {seed}", target=target, results={name: 0.9 * target for name in names})


@pytest.fixture
def table():
    methods = [Method(name=name, restore=lambda sample: sample.target, takes="RAW") for name in ("input", "net")]
    rows = [
        ScoreRow(
            method=one.name,
            fingerprint="",
            index=n,
            photo="a.png",
            iso=200.0 * (n + 1),
            radius=0.2 * n,
            blur_px=7.0 * n,
            depth_spread_dpt=0.5 * n,
            psnr_db=25.0 + n + (one.name == "net"),
            ssim=0.9,
            distance=math.nan,
            squared_errors=(0.01, 0.02, math.nan, math.nan),
            pixels=(2000, 2000, 0, 0),
            time_s=0.1,
        )
        for one in methods
        for n in range(4)
    ]
    return summarise(rows, methods)


def test_a_page_has_a_row_for_each_sample_and_a_column_for_each_method():
    figure = plot_page([make_shown(seed=0), make_shown(seed=1)], "a title", part_px=20)
    figure.draw_without_rendering()
    titles = [ax.get_title() for ax in figure.axes]
    assert len(titles) == 2 * 4
    assert sum(title.startswith("net\n") and "dB, here" in title for title in titles) == 2
    assert titles.count("target") == 2
    assert figure.get_suptitle() == "a title"


def test_pages_of_nothing_and_of_other_methods_are_refused():
    with pytest.raises(InputError, match="at least one sample"):
        plot_page([])
    with pytest.raises(InputError, match="other methods"):
        plot_page([make_shown(), make_shown(("input",))])


def test_a_chart_shows_gains_by_blur_of_pixels_and_of_pictures(table):
    figure = plot_bins(table)
    figure.draw_without_rendering()
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[:2] == ["Blur of the pixels (px)", "Median blur of the picture (px)"]
    ticks = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert ticks == ["0-4\nn=4", "4-12\nn=4", "12-24\nn=0", "over 24\nn=0"]
    legend = figure.axes[-1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["net"]


def test_a_report_is_two_files(table, tmp_path):
    draw_report(table, [make_shown()], tmp_path, "a title")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bins.png", "page.png"]
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
