"""The log of a training: a CSV file, and TensorBoard's files where that is installed.

A line is the mean of the steps since the line before. A run that goes on cuts off the lines behind its state first, so
that no step is told twice.
"""

import csv
import importlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psf import InputError
from psf.runs import whole_file

LOG_FILE, BOARD_FOLDER = "log.csv", "tensorboard"


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """An open log; `open_log` makes it.

    Attributes:
        path: The CSV file.
        columns: Its columns, "step" first.
        board: A `SummaryWriter` of TensorBoard, or None.
    """

    path: Path
    columns: tuple[str, ...]
    board: Any

    def write(self, row: Mapping[str, float]) -> None:
        """Append a line.

        Args:
            row: Numbers by column; what is missing stays empty.
        """
        if unknown := sorted(set(row) - set(self.columns)):
            raise InputError(f"TrainingLog.write(row)[{unknown[0]!r}]", "no such column", ", ".join(self.columns))
        step = int(row["step"])
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(_line([_word(name, row.get(name)) for name in self.columns]))
        if self.board is not None:
            for name, value in row.items():
                if name != "step":
                    self.board.add_scalar(name, value, step)
            self.board.flush()


@contextmanager
def open_log(folder: Path, columns: Sequence[str], step: int) -> Iterator[TrainingLog]:
    """The log of a run that goes on behind `step`; lines of later steps are cut off.

    Args:
        folder: Of the run.
        columns: Names besides "step".
        step: Steps done; 0 for a new run.
    """
    whole = ("step", *columns)
    path = folder / LOG_FILE
    kept = [row for row in read_log(path) if row["step"] <= step] if path.is_file() and step else []
    with whole_file(path) as part:
        lines = [_line(whole), *(_line([_word(name, row.get(name)) for name in whole]) for row in kept)]
        part.write_text("".join(lines), encoding="utf-8", newline="")
    board = _open_board(folder / BOARD_FOLDER, step)
    try:
        yield TrainingLog(path, whole, board)
    finally:
        if board is not None:
            board.close()


def read_log(path: Path) -> list[dict[str, float]]:
    """The lines of a log, without empty cells; a line that a killed run left unfinished is passed over.

    Args:
        path: The CSV file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    rows = []
    text = path.read_text(encoding="utf-8")
    for found in csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])):
        try:
            row = {name: float(word) for name, word in found.items() if name and word}
        except (TypeError, ValueError):
            continue
        if "step" in row:
            rows.append(row)
    return rows


def _open_board(folder: Path, step: int) -> Any:
    try:
        tensorboard = importlib.import_module("torch.utils.tensorboard")
    except ImportError:
        return None
    return tensorboard.SummaryWriter(str(folder), purge_step=step + 1 if step else None)


def _word(name: str, value: float | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(int(value)) if name == "step" else f"{value:.7g}"


def _line(words: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(words)
    return text.getvalue()
