import csv

from learn.joint.iterates import Iterate, write_iterates


def test_table_has_a_line_per_iterate_with_every_parameter(tmp_path):
    one = Iterate(3, -24.5, (26.0, 24.4), 0.2, (0.25, 0.75), (0.238, -0.1), 1.5, "worse by 0.1 dB")
    write_iterates(tmp_path / "table.csv", [one, one], ["focus_mm", "surface2.asphere_4"], [float("inf"), 0.1])
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert float(rows[0]["worst_psnr_db"]) == one.worst_psnr_db == 24.4
    assert float(rows[0]["surface2.asphere_4"]) == -0.1
    assert float(rows[0]["psnr_db at 0.1 m"]) == 24.4
    assert rows[1]["refused"] == "worse by 0.1 dB"
