import csv
import math

import pytest

from learn.dfd.depth_scores import DepthScore
from learn.dfd.depth_tables import format_table, summarise, write_table
from psf import InputError


def score(method, key, mae_m, *, fingerprint="a", scene="one_plane", **more):
    told = {"method": method, "fingerprint": fingerprint, "scene": scene, "key": key, "texture": "", "true_m": 1.0}
    return DepthScore(**told, radius=0.5, pixels=10, mae_m=mae_m, rmse_m=mae_m, **more)


def test_means_are_over_scenes_then_over_seeds():
    scores = [score("net", "1", 0.1), score("net", "2", 0.3), score("net", "1", 0.5, fingerprint="b")]
    (row,) = summarise(scores)
    assert (row.seeds, row.scenes) == (2, 2)
    assert row.means["mae_m"] == pytest.approx((0.2 + 0.5) / 2)
    assert row.spreads["mae_m"] == pytest.approx(0.3 / math.sqrt(2))
    # Squares are averaged before the root.
    assert row.means["rmse_m"] == pytest.approx((math.sqrt(0.05) + 0.5) / 2)


def test_parts_of_pictures_count_by_their_pixels():
    scores = [
        score("net", "1", 0.1, edge_mae_m=0.2, edge_pixels=30),
        score("net", "2", 0.1, edge_mae_m=0.6, edge_pixels=10),
        score("net", "3", 0.1),
    ]
    assert summarise(scores)[0].means["edge_mae_m"] == pytest.approx(0.3)


def test_scenes_that_were_refused_are_counted_and_not_averaged():
    refused = score("net", "2", math.nan, scene="traced", refused="no")
    rows = summarise([score("net", "1", 0.1), refused])
    assert [(row.scene, row.scenes, row.refused) for row in rows] == [("one_plane", 1, 0), ("traced", 0, 1)]
    assert "(1 refused)" in format_table(rows)


def test_the_table_can_be_read_again(tmp_path):
    rows = summarise([score("a, shuffled", "1", 0.125), score("b", "1", 0.5)])
    write_table(rows, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(one["method"], float(one["mae_m"]), one["mae_m_sd"]) for one in found] == [
        ("a, shuffled", 0.125, ""),
        ("b", 0.5, ""),
    ]
    text = format_table(rows)
    assert text.splitlines()[0].startswith("one_plane")
    assert len(text.splitlines()) == 3


def test_no_scores_are_refused():
    with pytest.raises(InputError):
        summarise([])
