"""The record of a joint design: every lens that was tried, in one table and as prescriptions."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from psf.runs import whole_file


@dataclass(frozen=True)
class Iterate:
    """One lens that was tried.

    Attributes:
        step: From 0, which is the lens that was given.
        objective_db: What is made small, with patches and noise of this step; lower is better.
        depth_psnr_db: Of restored pictures at every depth, nearest last as the grid has them.
        violation: Norm of the constraints' violations in units of their softness.
        depth_weights: What each depth counted in the restorer's fit.
        values: Free parameters in what they count in, in the order of the variables.
        seconds: Wall time of the step.
        refused: Why the step from here was cut short; "" where it was not.
    """

    step: int
    objective_db: float
    depth_psnr_db: tuple[float, ...]
    violation: float
    depth_weights: tuple[float, ...]
    values: tuple[float, ...]
    seconds: float
    refused: str = ""

    @property
    def worst_psnr_db(self) -> float:
        """At the worst depth."""
        return min(self.depth_psnr_db)


def write_iterates(path: Path, iterates: Sequence[Iterate], names: Sequence[str], depths_m: Sequence[float]) -> None:
    """Write the table as CSV: one line per iterate.

    Args:
        path: The file.
        iterates: In order.
        names: Of the free parameters.
        depths_m: Of the grid.
    """
    psnr = [f"psnr_db at {depth:g} m" for depth in depths_m]
    weights = [f"weight at {depth:g} m" for depth in depths_m]
    header = ["step", "objective_db", "worst_psnr_db", *psnr, "violation", *weights, *names, "seconds", "refused"]
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        for one in iterates:
            scores = (one.objective_db, one.worst_psnr_db, *one.depth_psnr_db)
            told = [f"{value:.4f}" for value in (*scores, one.violation, *one.depth_weights)]
            table.writerow(
                [one.step, *told, *(f"{value:.10g}" for value in one.values), f"{one.seconds:.2f}", one.refused]
            )
