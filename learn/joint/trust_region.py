"""Steps of a joint design: a quadratic model of the objective, learnt from gradients (BFGS), inside a box.

The way to better lenses is a narrow valley: aspheres and focus act on blur in nearly the same way, and what is good
for one depth is bad for another. Plain gradients zigzag across it; the learnt curvature follows it. A step that turns
out worse is taken back, and the box shrinks.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from psf import InputError

# The box grows where the model was nearly right and shrinks where it was not.
_RIGHT, _WRONG, _GROWTH, _SHRINKAGE = 0.6, 0.1, 1.6, 0.4
_LARGEST, _SMALLEST = 6.0, 1e-3
# A step that makes it worse by less than this is taken: refitted restorers move the objective by as much.
TOLERANCE_DB = 0.01
# Curvature is learnt from steps along which the slope grew by at least this share (Nocedal and Wright 2006, 18.2).
_DAMPED = 0.2


@dataclass(frozen=True, eq=False)
class QuadraticModel:
    """What is known about lenses near one.

    Attributes:
        vector: The lens, in steps, shape (P,).
        objective_db: Its objective.
        slope_db: Gradient, shape (P,).
        curvature_db: Symmetric, positive, shape (P, P).
    """

    vector: Tensor
    objective_db: float
    slope_db: Tensor
    curvature_db: Tensor

    def predict_db(self, vector: Tensor) -> float:
        """The objective that the model promises for a lens, shape (P,)."""
        step = vector - self.vector
        return self.objective_db + float(self.slope_db @ step + 0.5 * step @ self.curvature_db @ step)

    def learn(self, vector: Tensor, slope_db: Tensor) -> "QuadraticModel":
        """The same lens with the curvature that a second lens's gradient tells (damped BFGS), both of shape (P,)."""
        step, change = vector - self.vector, slope_db - self.slope_db
        if not bool(step.abs().max() > 0):
            return self
        pushed = self.curvature_db @ step
        own, seen = step @ pushed, step @ change
        if seen < _DAMPED * own:
            share = (1 - _DAMPED) * own / (own - seen)
            change = share * change + (1 - share) * pushed
            seen = step @ change
        curvature = self.curvature_db - torch.outer(pushed, pushed) / own + torch.outer(change, change) / seen
        return replace(self, curvature_db=curvature)

    def moved(self, vector: Tensor, objective_db: float, slope_db: Tensor) -> "QuadraticModel":
        """The model about another lens: vector and slope of shape (P,), and what was learnt on the way."""
        return replace(self.learn(vector, slope_db), vector=vector, objective_db=objective_db, slope_db=slope_db)


def begin_model(vector: Tensor, objective_db: float, slope_db: Tensor, box_steps: float) -> QuadraticModel:
    """A model whose first step goes downhill as far as the box is wide.

    Args:
        vector: Shape (P,).
        objective_db: Of it.
        slope_db: Shape (P,).
        box_steps: Half the side of the box.
    """
    if not box_steps > 0:
        raise InputError("box_steps", box_steps, "a positive number of steps")
    size = (slope_db.norm() / box_steps).clamp_min(1e-6)
    return QuadraticModel(vector, objective_db, slope_db, size * torch.eye(len(vector)).to(vector))


def choose_step(model: QuadraticModel, low: Tensor, high: Tensor, box_steps: float) -> Tensor:
    """The best lens of the model inside a box about its own.

    Args:
        model: What is known.
        low: Lower bounds in steps, shape (P,).
        high: Upper bounds, shape (P,).
        box_steps: Half the side of the box.

    Returns:
        Shape (P,).
    """
    from scipy.optimize import minimize

    if not box_steps > 0:
        raise InputError("box_steps", box_steps, "a positive number of steps")
    ends = [(one - model.vector).clamp(-box_steps, box_steps).cpu().numpy() for one in (low, high)]
    slope, curvature = model.slope_db.cpu().numpy(), model.curvature_db.cpu().numpy()

    def value_and_slope(at: Any) -> tuple[float, Any]:
        pushed = curvature @ at
        return float(slope @ at + 0.5 * at @ pushed), slope + pushed

    found: Any = minimize(
        value_and_slope,
        np.zeros(len(slope)),
        jac=True,
        bounds=list(zip(ends[0], ends[1], strict=True)),
        method="L-BFGS-B",
        options={"maxiter": 300},
    )
    moved = model.vector + torch.from_numpy(np.asarray(found.x)).to(model.vector)
    # Rounding must not carry a parameter over its bound.
    return torch.minimum(torch.maximum(moved, low), high)


def resize_box(box_steps: float, promised_db: float, gained_db: float) -> float:
    """The next box_steps, by what a step promised and what it gained."""
    if promised_db <= 0:
        return max(box_steps * _SHRINKAGE, _SMALLEST)
    share = gained_db / promised_db
    if share > _RIGHT:
        return min(box_steps * _GROWTH, _LARGEST)
    return max(box_steps * _SHRINKAGE, _SMALLEST) if share < _WRONG else box_steps
