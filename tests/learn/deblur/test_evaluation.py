import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from learn.deblur.evaluation import (
    SCORES_FILE,
    choose_shown,
    collect_shown,
    find_picture,
    open_evaluation,
    read_place,
    read_shown,
    run_methods,
)
from learn.deblur.methods import Method, make_input
from learn.deblur.scoring import develop_result, read_scores
from learn.patch_optics import measure_extent
from learn.sample_files import read_samples, write_samples
from learn.variants import EVALUATION
from psf import InputError
from psf.jobs import JobError


def give_target(sample):
    return sample.target


def give_half(sample):
    return 0.5 * (sample.input[:4] + sample.target)


def give_nan(sample):
    return sample.target / 0 if sample.drawn.index == 2 else sample.target


def method(name, restore, fingerprint="1"):
    return Method(name=name, restore=restore, takes="RAW", fingerprint=fingerprint)


@pytest.fixture(scope="module")
def set_folder(synthesis, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets") / "eval"
    write_samples(synthesis.varied(**EVALUATION), folder, 5, per_shard=2, workers=0)
    return folder


@pytest.fixture(scope="module")
def chosen(set_folder):
    return open_evaluation(set_folder)


def test_a_set_is_opened_with_all_that_was_drawn(chosen, synthesis):
    assert len(chosen) == len(chosen.drawn) == 5
    assert (chosen.settings.blur, chosen.settings.framing, chosen.pattern) == ("pixelwise", "centre", "RGGB")
    assert chosen.field_sha256 == synthesis.describe()["field_sha256"]


def test_one_sample_is_read_as_all_of_them_are(chosen, set_folder):
    for number, whole in enumerate(read_samples(set_folder)):
        alone = chosen.read_sample(number)
        assert alone.drawn == whole.drawn
        assert torch.equal(alone.input, whole.input)
        assert torch.equal(alone.depth_m, whole.depth_m)
    with pytest.raises(InputError, match="no sample 000000009"):
        read_place((chosen.places[0][0], "000000009"), chosen.settings)


def test_a_run_has_a_row_for_each_method_and_sample(chosen, tmp_path, synthesis):
    steps = []
    rows = run_methods(
        [make_input(), method("half", give_half)],
        chosen,
        tmp_path / "out",
        distance="ms-ssim",
        extent=measure_extent(synthesis.camera.field),
        workers=0,
        on_progress=lambda done, of: steps.append((done, of)),
    )
    assert [(row.method, row.index) for row in rows] == [(name, n) for name in ("input", "half") for n in range(5)]
    assert steps == [(n, 10) for n in range(1, 11)]
    assert all(sum(row.pixels) == 64 * 64 and row.distance > 0 for row in rows)
    assert all(rows[n + 5].psnr_db > rows[n].psnr_db for n in range(5))
    assert len(read_scores(tmp_path / "out" / SCORES_FILE)) == 10


def test_a_run_goes_on_where_it_stopped(chosen, tmp_path):
    out, methods = tmp_path / "out", [make_input(), method("bad", give_nan)]
    with pytest.raises(JobError, match=r"bad on sample 2: .*NaN"):
        run_methods(methods, chosen, out, workers=0)
    assert len(read_scores(out / SCORES_FILE)) == 5 + 2
    steps = []
    good = [make_input(), method("bad", give_target)]
    rows = run_methods(good, chosen, out, workers=0, on_progress=lambda done, of: steps.append(done))
    assert steps == [7, 8, 9, 10]
    assert len(rows) == 10


def test_a_method_that_has_changed_is_measured_anew_and_others_stay(chosen, tmp_path):
    out = tmp_path / "out"
    run_methods([make_input(), method("half", give_half)], chosen, out, workers=0)
    rows = run_methods([method("half", give_target, "2")], chosen, out, workers=0)
    assert {row.fingerprint for row in rows} == {"2"}
    kept = [(row.method, row.fingerprint) for row in read_scores(out / SCORES_FILE)]
    assert kept == [("half", "2")] * 5 + [("input", make_input().fingerprint)] * 5


def test_workers_change_nothing_but_the_time(chosen, tmp_path):
    methods = [make_input(), make_input("again")]
    alone = run_methods(methods, chosen, tmp_path / "alone", workers=0)
    shared = run_methods(methods, chosen, tmp_path / "shared", workers=1)
    assert [replace(row, time_s=0.0, distance=0.0, squared_errors=()) for row in alone] == [
        replace(row, time_s=0.0, distance=0.0, squared_errors=()) for row in shared
    ]


def test_pictures_are_kept_for_the_page_and_made_again_if_lost(chosen, tmp_path):
    out, methods = tmp_path / "out", [make_input(), method("half", give_half)]
    run_methods(methods, chosen, out, workers=0, shown=(1, 3))
    shown = collect_shown(chosen, out, methods, (1, 3))
    assert [list(one.results) for one in shown] == [["input", "half"]] * 2
    sample = chosen.read_sample(3)
    wanted = develop_result(sample.target, sample)[0]
    assert float((shown[1].target - wanted).abs().max()) <= 0.5 / 255 + 1e-6
    lost = find_picture(out, methods[1], 3)
    lost.unlink()
    run_methods(methods, chosen, out, workers=0, shown=(1, 3))
    assert torch.equal(read_shown(lost), shown[1].results["half"])


def test_the_page_shows_the_least_and_the_most_blurred():
    drawn = [SimpleNamespace(blur_px=(0, blur, 0)) for blur in (5.0, 1.0, 9.0, 3.0, 7.0)]
    assert choose_shown(drawn, 3) == (1, 0, 2)
    assert choose_shown(drawn, 9) == (1, 3, 0, 4, 2)
    assert choose_shown(drawn, 1) == (0,)
    assert choose_shown(drawn, 0) == ()


def test_another_set_does_not_go_into_the_same_folder(chosen, set_folder, tmp_path):
    run_methods([make_input()], chosen, tmp_path / "out", workers=0, count=2)
    with pytest.raises(InputError, match="distance"):
        run_methods([make_input()], chosen, tmp_path / "out", workers=0, distance="ms-ssim")
    other = shutil.copytree(set_folder, tmp_path / "other")
    about = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(about | {"lens": "another"}))
    with pytest.raises(InputError, match="set_sha256"):
        run_methods([make_input()], open_evaluation(other), tmp_path / "out", workers=0)


def test_what_is_no_whole_set_of_mosaics_is_refused(set_folder, synthesis, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run\.json"):
        open_evaluation(tmp_path)
    half = shutil.copytree(set_folder, tmp_path / "half")
    (half / "samples.json").unlink()
    with pytest.raises(FileNotFoundError, match="the set is not whole"):
        open_evaluation(half)
    write_samples(synthesis.varied(space="rgb"), tmp_path / "rgb", 1, workers=0)
    with pytest.raises(InputError, match="space: found 'rgb'"):
        open_evaluation(tmp_path / "rgb")


@pytest.mark.parametrize(
    ("methods", "options", "said"),
    [
        ([], {}, "methods: found none"),
        ([make_input(), make_input()], {}, "the same one twice"),
        ([make_input()], {"count": 0}, "count: found 0"),
        ([make_input()], {"count": 2, "shown": (3,)}, "shown: found 3"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(chosen, tmp_path, methods, options, said):
    with pytest.raises(InputError, match=said):
        run_methods(methods, chosen, tmp_path / "out", workers=0, **options)
    assert not (tmp_path / "out").exists()
