import importlib

import pytest

from learn.trainer.logs import open_log, read_log
from psf import InputError

COLUMNS = ("loss", "psnr_db")


def test_rows_come_back_and_what_is_missing_stays_empty(tmp_path):
    with open_log(tmp_path, COLUMNS, 0) as log:
        log.write({"step": 0.0, "psnr_db": 25.0})
        log.write({"step": 10.0, "loss": 0.125})
    assert (tmp_path / "log.csv").read_text() == "step,loss,psnr_db\n0,,25\n10,0.125,\n"
    assert read_log(tmp_path / "log.csv") == [{"step": 0.0, "psnr_db": 25.0}, {"step": 10.0, "loss": 0.125}]


def test_a_run_that_goes_on_tells_no_step_twice(tmp_path):
    with open_log(tmp_path, COLUMNS, 0) as log:
        for step in (0, 10, 20, 30):
            log.write({"step": step, "loss": 1.0})
    with open_log(tmp_path, COLUMNS, 20) as log:
        log.write({"step": 30, "loss": 2.0})
    assert [(row["step"], row["loss"]) for row in read_log(log.path)] == [(0, 1), (10, 1), (20, 1), (30, 2)]


def test_a_run_that_begins_anew_has_an_empty_log(tmp_path):
    with open_log(tmp_path, COLUMNS, 0) as log:
        log.write({"step": 0, "loss": 1.0})
    with open_log(tmp_path, COLUMNS, 0) as log:
        assert read_log(log.path) == []


def test_a_line_that_a_killed_run_left_unfinished_is_passed_over(tmp_path):
    with open_log(tmp_path, COLUMNS, 0) as log:
        log.write({"step": 10, "loss": 1.0})
    with log.path.open("a") as file:
        file.write("20,0.5,2")
    assert [row["step"] for row in read_log(log.path)] == [10]


def test_a_row_of_other_columns_is_refused(tmp_path):
    with open_log(tmp_path, COLUMNS, 0) as log, pytest.raises(InputError, match=r"\['speed'\]: found no such column"):
        log.write({"step": 0, "speed": 1.0})


def test_tensorboard_gets_the_numbers_where_it_is_installed(tmp_path, monkeypatch):
    told = []

    class Writer:
        def __init__(self, folder, purge_step):
            told.append((folder, purge_step))

        def add_scalar(self, name, value, step):
            told.append((name, value, step))

        def flush(self):
            pass

        def close(self):
            told.append("closed")

    module = type("module", (), {"SummaryWriter": Writer})
    monkeypatch.setattr(importlib, "import_module", lambda name: module)
    with open_log(tmp_path, COLUMNS, 8) as log:
        log.write({"step": 10, "loss": 0.5})
    assert told == [(str(tmp_path / "tensorboard"), 9), ("loss", 0.5, 10), "closed"]


def test_without_tensorboard_there_is_the_csv_file_alone(tmp_path, monkeypatch):
    def refuse(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with open_log(tmp_path, COLUMNS, 0) as log:
        assert log.board is None
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]
