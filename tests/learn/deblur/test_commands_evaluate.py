import csv
import json

import pytest
import torch

from learn.deblur.commands_evaluate import (
    EvaluateOptions,
    FitRidgeOptions,
    MakeEvalOptions,
    draw_ridge_samples,
    make_ridge_settings,
    run_evaluate,
    run_fit_ridge,
    run_make_eval,
)
from learn.deblur.evaluation import EVALUATION_SEED, open_evaluation
from learn.deblur.notes import make_notes
from learn.networks import find_config, make_network, save_network
from learn.restorers import load_bank
from psf import InputError

SMALL = {"side_cells": 3, "radius_bins": 2, "azimuth_bins": 1, "iso_edges": (600.0,), "prior_cells": 500.0}


@pytest.fixture(scope="module")
def field_file(lens, tmp_path_factory):
    file = tmp_path_factory.mktemp("lens") / "lens.h5"
    lens().save(file)
    return file


@pytest.fixture(scope="module")
def other_field_file(lens, tmp_path_factory):
    file = tmp_path_factory.mktemp("lens") / "other.h5"
    lens(kernel_px=9).save(file)
    return file


@pytest.fixture(scope="module")
def made(photo_root, field_file, tmp_path_factory):
    """An evaluation set and what was said of it."""
    out, said = tmp_path_factory.mktemp("sets") / "eval", []
    options = MakeEvalOptions(photos=photo_root, field=field_file, out=out, count=5, cells=32, workers=0)
    assert run_make_eval(options, say=said.append) == 0
    return out, said


@pytest.fixture(scope="module")
def bank_file(photo_root, field_file, tmp_path_factory):
    out = tmp_path_factory.mktemp("banks") / "bank.pt"
    run_fit_ridge(FitRidgeOptions(photos=photo_root, field=field_file, out=out, count=12, cells=16, **SMALL))
    return out


def read_table(folder, name="table.csv"):
    with (folder / name).open() as file:
        return list(csv.DictReader(file))


def test_a_set_is_the_papers_and_says_what_it_repeats(made):
    out, said = made
    chosen = open_evaluation(out)
    settings = chosen.settings
    assert (settings.blur, settings.framing, settings.spread_share) == ("pixelwise", "centre", 0.0)
    assert settings.seed == EVALUATION_SEED
    assert [one.photo for one in chosen.drawn] == ["a.png", "b.png", "c.jpg", "d.png", "a.png"]
    assert chosen.drawn[0].window_px != chosen.drawn[4].window_px
    assert "5 samples of 4 photographs: the same centres" in said[0]
    assert "written: 5 samples" in said[-1]


def test_random_crops_are_offered_and_are_not_told_as_repeated(photo_root, field_file, tmp_path):
    said = []
    options = MakeEvalOptions(
        photos=photo_root,
        field=field_file,
        out=tmp_path / "s",
        count=5,
        cells=16,
        workers=0,
        framing="random",
        seed=3,
    )
    assert run_make_eval(options, say=said.append) == 0
    assert len(said) == 1
    settings = open_evaluation(tmp_path / "s").settings
    assert (settings.framing, settings.seed, settings.blur) == ("random", 3, "pixelwise")


def test_a_bank_is_fitted_to_the_samples_of_a_training(bank_file, field_file):
    bank = load_bank(bank_file)
    assert bank.settings.bins == (2, 2, 1)
    told = json.loads(bank_file.with_suffix(".json").read_text())
    assert (told["samples"], told["settings"]["cropping"]["shape_px"]) == (12, [32, 32])
    # 12 patches of 16 cells, less a border of one cell.
    assert int(bank.cells.sum()) == 12 * 14 * 14


@pytest.mark.parametrize(
    ("aux", "bins"), [("none", (1, 1, 1)), ("iso", (2, 1, 1)), ("field", (1, 2, 1)), ("iso_field", (2, 2, 1))]
)
def test_a_bank_has_bins_for_the_planes_that_it_may_know(field_file, tmp_path, aux, bins):
    options = FitRidgeOptions(photos=tmp_path, field=field_file, out=tmp_path / "b.pt", **SMALL)
    assert make_ridge_settings(options, aux).bins == bins


def test_every_sample_is_drawn_once_whatever_the_batch(synthesis):
    steps = []
    samples = list(draw_ridge_samples(synthesis, 3, on_progress=lambda done, of: steps.append((done, of))))
    assert sum(len(one.noisy) for one in samples) == 3
    assert steps[-1] == (3, 3)
    assert samples[0].noisy.shape[1:] == samples[0].sharp.shape[1:] == (4, 32, 32)
    assert samples[0].radius.shape == samples[0].azimuth_rad.shape == (3, 1, 32, 32)


def test_methods_are_measured_and_the_table_is_told(made, field_file, bank_file, synthesis, tmp_path):
    networks = []
    for seed in range(2):
        file = tmp_path / f"{seed}.pt"
        network = make_network(find_config("tiny"), generator=torch.Generator().manual_seed(seed))
        save_network(network, file, notes=make_notes(synthesis, 7))
        networks.append(f"ours={file}")
    said, drawn = [], []
    options = EvaluateOptions(
        set=made[0],
        out=tmp_path / "out",
        methods=("input", "wiener"),
        field=field_file,
        ridge=(f"bank={bank_file}",),
        model=tuple(networks),
        distance="ms-ssim",
        reference="ours",
        shown=2,
        workers=0,
    )
    code = run_evaluate(options, say=said.append, draw=lambda *report: drawn.append(report))
    assert code == 0
    rows = {row["method"]: row for row in read_table(tmp_path / "out")}
    assert list(rows) == ["input", "wiener", "bank", "ours"]
    # Untrained networks give back the input; they are this lens's.
    assert float(rows["ours"]["gain_db"]) == pytest.approx(0, abs=1e-4)
    assert (rows["ours"]["networks"], rows["ours"]["knows"]) == ("2", "place ISO")
    assert "another lens" not in rows["ours"]["note"] + rows["bank"]["note"]
    assert rows["wiener"]["knows"] == "depth field place ISO"
    assert rows["wiener"]["stand_in_name"] == "ms-ssim"
    assert sum(bool(rows["wiener"][f"gain_of_pixels_{one}_px_db"]) for one in ("0_4", "4_12", "12_24")) >= 1
    assert len(read_table(tmp_path / "out", "scores.csv")) == 5 * 5
    assert any("ms-ssim" in line and "bank" in line for line in said)
    table, shown, folder, title = drawn[0]
    assert [line.method for line in table.lines] == list(rows)
    assert [list(one.results) for one in shown] == [list(rows)] * 2
    assert folder == tmp_path / "out"
    assert "5 samples of 64 x 64 px from 4 photographs" in title


def test_another_lens_is_refused_or_told(made, other_field_file, tmp_path):
    words = {"set": made[0], "out": tmp_path / "out", "methods": ("input", "wiener"), "distance": "none", "workers": 0}
    with pytest.raises(InputError, match="or --any-field"):
        run_evaluate(EvaluateOptions(**words, field=other_field_file))
    assert run_evaluate(EvaluateOptions(**words, field=other_field_file, any_field=True, shown=0)) == 0
    row = read_table(tmp_path / "out")[1]
    assert "told another lens" in row["note"]
    # Blur is that of the lens that took the samples, which nobody has named.
    assert row["gain_of_pixels_0_4_px_db"] == ""


def test_a_bank_of_another_lens_or_of_none_that_is_known_says_so(made, bank_file, tmp_path):
    for name, change in (("other", {"field_sha256": "0", "lens": "big"}), ("bare", None)):
        file = tmp_path / f"{name}.pt"
        file.write_bytes(bank_file.read_bytes())
        if change is not None:
            told = json.loads(bank_file.with_suffix(".json").read_text())
            file.with_suffix(".json").write_text(json.dumps(told | change))
    options = EvaluateOptions(
        set=made[0],
        out=tmp_path / "out",
        methods=("input",),
        ridge=(f"other={tmp_path / 'other.pt'}", f"bare={tmp_path / 'bare.pt'}"),
        distance="none",
        shown=0,
        workers=0,
        count=1,
    )
    assert run_evaluate(options) == 0
    notes = [row["note"] for row in read_table(tmp_path / "out")]
    assert notes[1].endswith("fitted to 12 samples of another lens (big)")
    assert notes[2].endswith("fitted to nobody knows what")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"methods": ("wiener",)}, "--field: found none, expected the lens's field file for wiener"),
        ({"methods": ()}, "--methods: found none"),
        ({"model": ("network.pt",)}, "--model: found 'network.pt', expected NAME=RUN/network.pt"),
        ({"reference": "best"}, "--reference: found 'best', expected one of input"),
        ({"guess_m": 0.0}, "--guess-m: found 0.0"),
        ({"shown": -1}, "--shown: found -1"),
        ({"workers": -1}, "workers: found -1"),
        ({"count": 0}, "count: found 0"),
    ],
)
def test_bad_words_are_one_line_each(made, tmp_path, more, said):
    words = {"set": made[0], "out": tmp_path / "out", "methods": ("input",), "distance": "none"}
    with pytest.raises(InputError) as caught:
        run_evaluate(EvaluateOptions(**words | more))
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"out": "bank.txt"}, "--out: found the suffix '.txt', expected .pt"),
        ({"count": 0}, "--count: found 0"),
        ({"workers": -1}, "--workers: found -1"),
        ({"space": "rgb"}, "--space: found 'rgb'"),
        ({"side_cells": 4}, "side_cells: found 4"),
    ],
)
def test_banks_that_cannot_be_are_refused(photo_root, field_file, tmp_path, more, said):
    out = tmp_path / more.pop("out", "bank.pt")
    with pytest.raises(InputError) as caught:
        run_fit_ridge(FitRidgeOptions(photos=photo_root, field=field_file, out=out, **{"count": 2, "cells": 16} | more))
    assert said in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_sets_of_developed_pictures_are_refused(photo_root, field_file, tmp_path):
    options = MakeEvalOptions(photos=photo_root, field=field_file, out=tmp_path / "s", cells=16, space="rgb")
    with pytest.raises(InputError, match="--space: found 'rgb'"):
        run_make_eval(options)
