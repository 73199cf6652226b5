"""`examples/compare_methods.py` and its charts: everything lies where it says, and what is measured is what it is."""

import csv
import importlib
import math
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional

import psf

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SIBLINGS = ("compare_methods", "charts", "shots")
SHAPE_PX = (320, 448)


@pytest.fixture(scope="module")
def modules():
    """The example and its siblings, as `python examples/compare_methods.py` finds them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield {name: importlib.import_module(name) for name in SIBLINGS}
    for name in SIBLINGS:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def chart(modules):
    return modules["charts"].draw_chart(SHAPE_PX)


@pytest.fixture(scope="module")
def lens(tmp_path_factory):
    file = tmp_path_factory.mktemp("lens") / "lens.h5"
    depths_m = torch.tensor([0.1, 0.12, 1.0, math.inf])
    psf.thin_lens_field(3.2781, 2.2, math.inf, 4.64, (360, 480), depths_m, kernel_px=17).save(file)
    return file


def test_line_groups_run_both_ways_and_hold_whole_periods(chart):
    assert {group.is_upright for group in chart.groups} == {True, False}
    for group in chart.groups:
        left, top, right, bottom = group.box_px
        across = right - left if group.is_upright else bottom - top
        assert across >= 2 * group.period_px
        assert across % group.period_px == 0


def test_contrast_of_sharp_lines_is_that_of_a_square_wave(modules, chart):
    mean, amplitude = (0.92 + 0.1) / 2, (0.92 - 0.1) / 2
    for group in chart.groups:
        # Boxes around pixels take 1.6 % at 10 px, and sampling at 6 px adds aliases of the harmonics.
        found = modules["charts"].find_contrast(chart.image, group)
        assert found == pytest.approx(4 / math.pi * amplitude / mean, rel=0.06)


def test_contrast_falls_as_a_box_blur_says(modules, chart):
    side = 9
    blurred = functional.avg_pool2d(chart.image, side, 1, side // 2)
    for group in chart.groups:
        if group.period_px < 14 or not group.is_upright:
            continue
        share = modules["charts"].find_contrast(blurred, group) / modules["charts"].find_contrast(chart.image, group)
        x = math.pi * side / group.period_px
        # The outermost lines have paper beside them instead of more lines: some percent.
        assert share == pytest.approx(math.sin(x) / x, abs=0.08)


def test_star_has_its_spokes_and_squares_their_slant(modules, chart):
    x, y, radius = chart.star
    angle = torch.arange(4000) / 4000 * 2 * math.pi
    rows, columns = (y + 0.7 * radius * angle.sin()).round().long(), (x + 0.7 * radius * angle.cos()).round().long()
    dark = chart.image[0, 0, rows, columns] < 0.5
    assert int((dark != dark.roll(1)).sum()) == 2 * modules["charts"].SPOKES
    for left, top, right, bottom in chart.edges_px:
        part = chart.image[0, 0, top:bottom, left:right]
        share = float((part < 0.5).float().mean())
        assert share == pytest.approx((1 / 1.2) ** 2, abs=0.03)
        assert float(part[0, 0]) == float(part[-1, -1]) == pytest.approx(0.92, abs=0.01)


def test_words_lie_in_their_boxes(chart):
    assert len(chart.texts_px) >= 2
    for size, (left, top, right, bottom) in chart.texts_px:
        part = chart.image[0, 0, top:bottom, left:right]
        assert 0.5 * size < bottom - top < 1.3 * size
        assert 0.05 < float((part < 0.5).float().mean()) < 0.6


def test_card_is_near_and_the_wall_far(modules):
    scene = modules["charts"].draw_near_and_far(
        SHAPE_PX, near_m=0.12, far_m=3.0, generator=torch.Generator().manual_seed(0)
    )
    assert scene.depth_m.unique().tolist() == pytest.approx([0.12, 3.0])
    assert torch.equal(scene.depth_m < 1, scene.card)
    assert 0.25 < float(scene.card.float().mean()) < 0.5
    assert float(scene.image.min()) >= 0
    assert float(scene.image.max()) <= 1


def test_mask_shrinks_from_its_edge_and_from_the_border(modules):
    mask = torch.zeros((1, 1, 40, 50), dtype=torch.bool)
    mask[..., 10:30, :20] = True
    wanted = torch.zeros_like(mask)
    wanted[..., 13:27, 3:17] = True
    assert torch.equal(modules["charts"].shrink(mask, 2.5), wanted)


def test_psnr_looks_at_the_region_alone(modules):
    target = torch.full((1, 3, 8, 8), 0.5)
    found = target.clone()
    found[..., :4] += 0.1
    region = torch.zeros((1, 1, 8, 8), dtype=torch.bool)
    region[..., :4] = True
    assert modules["charts"].find_region_psnr_db(found, target, region) == pytest.approx(20.0, abs=1e-4)
    assert modules["charts"].find_region_psnr_db(found, target, ~region) == math.inf


def test_command_line_compares_and_the_card_is_the_same_photograph_twice(modules, lens, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--field", str(lens), "--picture-px", "320", "448", "--rounds", "0"]
    assert modules["compare_methods"].main([*arguments, "-o", "a"]) == 0, capsys.readouterr().err
    assert "PolyBlur" in capsys.readouterr().out
    names = {"psnr.csv", "contrast.csv", "chart.png", "near_and_far.png", "contrast.png"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == names
    with (tmp_path / "a" / "psnr.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    camera = rows["camera"]
    assert camera["card_all_near_db"] == camera["card_before_wall_db"]
    assert float(rows["Wiener, depth known"]["chart_db"]) > float(camera["chart_db"]) + 0.5
    with (tmp_path / "a" / "contrast.csv").open(newline="", encoding="utf-8") as file:
        contrasts = {row["method"]: row for row in csv.DictReader(file)}
    assert float(contrasts["Wiener, depth known"]["20_px"]) > 1.2 * float(contrasts["camera"]["20_px"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--near-m", "0"], ["--near-m", "0"]),
        (["--far-m", "0.1"], ["--far-m", "0.1", "0.12"]),
        (["--picture-px", "100", "640"], ["--picture-px", "100", "320"]),
        (["--picture-px", "448", "641"], ["--picture-px", "641", "even"]),
        (["--iso", "1"], ["--iso", "1"]),
        (["--rounds", "-1"], ["--rounds", "-1"]),
        (["--model", "gone.pt"], ["gone.pt", "no such file"]),
        (["--field", "gone.h5"], ["gone.h5"]),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_one_line_and_exit_code_2(modules, lens, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    field = [] if "--field" in arguments else ["--field", str(lens)]
    assert modules["compare_methods"].main([*arguments, *field]) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1, error
    assert all(word in error for word in ["error: ", *words]), error
