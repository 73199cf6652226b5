"""Judged lenses as a table: one line per restorer, judging and lens."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from psf.runs import whole_file

from .judging import Verdict


@dataclass(frozen=True, eq=False)
class Judging:
    """All lenses, judged with one kind of restorer by one set of pictures.

    Attributes:
        restorer: "ridge" or "tiny".
        model: Of the kernels, as `JudgePlan` has it.
        number: From 1: the same numbers have the same fresh pictures.
        verdicts: Of the lenses by name.
    """

    restorer: str
    model: str
    number: int
    verdicts: Mapping[str, Verdict]

    def gain_db(self, name: str = "joint") -> float:
        """Of one lens at the worst depth, over the best of the others, in dB."""
        best = max(one.worst_psnr_db for other, one in self.verdicts.items() if other != name)
        return self.verdicts[name].worst_psnr_db - best


def write_verdicts(path: Path, judgings: Sequence[Judging], depths_m: Sequence[float], design_seed: int) -> None:
    """Write what every lens was worth, every time that it was judged, as CSV.

    Args:
        path: The file.
        judgings: In order.
        depths_m: Of the verdicts.
        design_seed: Of the lenses.
    """
    depths = ["infinity" if math.isinf(depth) else f"{depth:.4g} m" for depth in depths_m]
    header = ["design_seed", "restorer", "kernels", "judging", "lens", "worst_psnr_db", "mean_psnr_db"]
    header += ["worst_blurred_psnr_db", *(f"psnr_db at {depth}" for depth in depths)]
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        for one in judgings:
            for name, verdict in one.verdicts.items():
                scores = [verdict.worst_psnr_db, float(verdict.psnr_db.mean()), float(verdict.blurred_psnr_db.min())]
                told = [f"{score:.3f}" for score in (*scores, *verdict.psnr_db.tolist())]
                table.writerow([design_seed, one.restorer, one.model, one.number, name, *told])
