import csv
from dataclasses import replace

import pytest
import torch

from learn.dfd.commands_depth_evaluate import EvaluateDepthOptions, open_untrained, run_evaluate_depth
from learn.dfd.depth_notes import make_depth_notes
from learn.dfd.networks import DepthConfig, make_depth_network, save_depth_network
from learn.dfd.report import draw_depth_report
from psf import InputError
from psf.threads import limit_threads


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks are slower with more."""
    with limit_threads(1):
        yield


@pytest.fixture(scope="module")
def folder(fields, synthesis, tmp_path_factory):
    place = tmp_path_factory.mktemp("evaluation")
    for field in fields:
        field.save(place / f"F_{field.focus_m:g}.h5")
        replace(field, transmission=0.9 * field.transmission).save(place / f"T_{field.focus_m:g}.h5")
    for seed in (0, 1):
        config = DepthConfig(kind="dual_dfd", width=2, pictures=3)
        network = make_depth_network(config, generator=torch.Generator().manual_seed(seed))
        notes = make_depth_notes(synthesis.optics, synthesis.describe(), aligned=True, steps=1)
        save_depth_network(network, place / f"{seed}.pt", notes=notes)
    return place


@pytest.fixture
def options(folder, tmp_path):
    """Makes the options of a small evaluation."""

    def make(**changes):
        given = {
            "fields": tuple(sorted(folder.glob("F_*.h5"))),
            "truth": tuple(sorted(folder.glob("T_*.h5"))),
            "out": tmp_path / "out",
            "shape_px": (32, 32),
            "textures": ("noise", "lines"),
            "blur": "blend",
            "judge": ("one_plane", "two_plane"),
            "depths": 2,
            "textures_each": 1,
            "others": 1,
            "shown": 2,
            "workers": 0,
            "mirrored": False,
        }
        return EvaluateDepthOptions(**{**given, **changes})

    return make


def test_a_table_of_networks_with_seeds_and_their_shuffled_controls(options, folder, tmp_path):
    said = []
    models = tuple(f"net={folder / f'{seed}.pt'}" for seed in (0, 1))
    assert run_evaluate_depth(options(model=models, shuffled=True), say=said.append, draw=draw_depth_report) == 0
    with (tmp_path / "out" / "table.csv").open(newline="") as file:
        rows = [(one["method"], one["scene"], one["seeds"]) for one in csv.DictReader(file)]
    assert rows[:3] == [("middle", "one_plane", "1"), ("net", "one_plane", "2"), ("net, shuffled", "one_plane", "2")]
    assert len(rows) == 6
    assert said[0].startswith("2 one_plane, 1 two_plane scenes of 32 x 32 px")
    assert "through fields that estimators are not told" in said[0]
    assert (tmp_path / "out" / "page.png").is_file()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": ("network.pt",)}, "--model: found 'network.pt', expected NAME=RUN/network.pt"),
        ({"methods": ()}, "--methods, --model: found none"),
        ({"shown": -1}, "--shown"),
        ({"judge": ("traced",)}, "files of them"),
        ({"depths": 0}, "depths"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(options, changes, words):
    with pytest.raises(InputError) as caught:
        run_evaluate_depth(options(**changes))
    assert words in str(caught.value)


def test_a_truth_of_other_focus_distances_or_another_sensor_is_refused(options, make, tmp_path):
    for name, changes in (("f", {"focus_m": (0.5, 0.8, 1.415)}), ("s", {"image_shape_px": (100, 160)})):
        paths = []
        for field in make(**changes):
            paths.append(tmp_path / f"{name}_{field.focus_m:g}.h5")
            field.save(paths[-1])
        with pytest.raises(InputError, match="--fields"):
            run_evaluate_depth(options(truth=tuple(paths)))


def test_methods_that_nobody_knows_are_refused(fields):
    with pytest.raises(InputError, match="'guess'"):
        open_untrained("guess", fields)
