import csv
import math

import pytest
import torch

from learn.joint.judging import Verdict
from learn.joint.verdict_tables import Judging, write_verdicts


def judge(best_db):
    return Verdict(torch.tensor([best_db, 26.0]), torch.zeros(2, 1), torch.tensor([23.0, 25.0]))


def test_table_has_a_line_per_judging_and_lens(tmp_path):
    verdicts = {"published": judge(24.0), "joint": judge(25.0)}
    rounds = [Judging("ridge", "geometric", 1, verdicts), Judging("tiny", "geometric", 1, verdicts)]
    write_verdicts(tmp_path / "judged.csv", rounds, [math.inf, 0.1], 7)
    with (tmp_path / "judged.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["restorer"], row["lens"]) for row in rows] == [
        ("ridge", "published"), ("ridge", "joint"), ("tiny", "published"), ("tiny", "joint"),
    ]  # fmt: skip
    assert rows[0]["design_seed"] == "7"
    assert float(rows[0]["worst_psnr_db"]) == float(rows[0]["psnr_db at infinity"]) == 24.0
    assert float(rows[0]["worst_blurred_psnr_db"]) == 23.0


def test_a_gain_is_that_over_the_best_of_the_others():
    one = Judging("ridge", "geometric", 1, {"a": judge(24.0), "b": judge(24.5), "joint": judge(25.0)})
    assert one.gain_db() == pytest.approx(0.5)
    assert one.gain_db("a") == pytest.approx(-1.0)
