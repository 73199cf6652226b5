import csv
import math

import torch

from learn.joint.comparison import Compared
from learn.joint.judging import Fitted, Verdict
from learn.joint.verdict_tables import write_verdicts


def test_table_has_a_line_per_judging_and_lens(tmp_path):
    verdict = Verdict(torch.tensor([24.0, 26.0]), torch.zeros(2, 1), torch.tensor([23.0, 25.0]))
    one = Compared(None, Fitted(torch.zeros(1, 5, 4), torch.ones(2), 24.5), verdict, 0.1)
    write_verdicts(tmp_path / "judged.csv", [{"published": one, "joint": one}] * 2, [math.inf, 0.1], 7)
    with (tmp_path / "judged.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["judging"], row["lens"]) for row in rows] == [
        ("1", "published"), ("1", "joint"), ("2", "published"), ("2", "joint"),
    ]  # fmt: skip
    assert rows[0]["design_seed"] == "7"
    assert float(rows[0]["worst_psnr_db"]) == float(rows[0]["psnr_db at infinity"]) == 24.0
    assert float(rows[0]["worst_blurred_psnr_db"]) == 23.0
    assert float(rows[0]["chosen_worst_psnr_db"]) == 24.5
