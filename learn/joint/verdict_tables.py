"""Judged lenses as a table: one line per judging and lens."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from psf.runs import whole_file

from .comparison import Compared


def write_verdicts(
    path: Path, rounds: Sequence[Mapping[str, Compared]], depths_m: Sequence[float], design_seed: int
) -> None:
    """Write what every lens was worth, every time that it was judged, as CSV.

    Args:
        path: The file.
        rounds: Judgings in order, each with its lenses by name.
        depths_m: Of the verdicts.
        design_seed: Of the lenses.
    """
    depths = ["infinity" if math.isinf(depth) else f"{depth:.4g} m" for depth in depths_m]
    header = ["design_seed", "judging", "lens", "worst_psnr_db", "mean_psnr_db", "worst_blurred_psnr_db"]
    header += ["chosen_worst_psnr_db", "outside_limits", *(f"psnr_db at {depth}" for depth in depths)]
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        for number, compared in enumerate(rounds, start=1):
            for name, one in compared.items():
                verdict = one.verdict
                scores = [verdict.worst_psnr_db, float(verdict.psnr_db.mean()), float(verdict.blurred_psnr_db.min())]
                scores += [one.fitted.held_worst_db, one.violation, *verdict.psnr_db.tolist()]
                table.writerow([design_seed, number, name, *(f"{score:.3f}" for score in scores)])
