"""Better lenses: free parameters are moved until a merit is as small as it gets.

found = optimise(lens, ["surface*.curvature_per_mm", "focus_mm"], Merit(limits=keep_limits(lens)))
found.lens, found.before.rms, found.after.rms, found.message

"damped" is least squares in a trust region (SciPy's, which keeps bounds) with every ray's own derivatives, and the one
to use. "lbfgs" and "adam" see the sum of squares alone. All of them work in rounds: pupils move with the lens, so rays
are laid anew from time to time. Two equal calls give the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psf.errors import InputError
from psf.threads import limit_threads

from .merit import Merit, RayPlan, plan_rays
from .residuals import Quality, find_residuals, judge, linearise
from .variables import Variable, Variables, choose_variables

if TYPE_CHECKING:
    from .lens import Lens

Array = NDArray[np.float64]
Method = Literal["damped", "lbfgs", "adam"]

_METHODS = ("damped", "lbfgs", "adam")
_MOMENTUM, _SECOND, _TINY = 0.9, 0.999, 1e-12  # Adam, Kingma and Ba 2015
# Adam's steps shrink to this share of the first one.
_LAST_STEP = 0.05
# A lost ray costs at least so many times the RMS with which a round begins: losing light is no way out.
_DEARER = 3.0
# A round ends early when its merit has fallen to this share: the pupils are no longer those of its rays.
_FALLEN = 0.5
# Rounds may be cut short so many times as often as there are rounds.
_MOST_CUT = 4
# Fewer rays than this are followed faster by one thread, and to the same bits on every machine.
_RAYS_WORTH_A_THREAD = 20_000
# Length of a trust region's first step, in shares of the merit.
_FIRST_STEP = 0.3
# Where a trial lens cannot be, the sum of squares of a line search is this much larger than the best, and rises.
_WALL = 2.0


@dataclass(frozen=True, eq=False)
class Step:
    """One lens that was tried.

    Attributes:
        round: From 0; values of different rounds are of different rays.
        evaluation: From 1, over all rounds.
        value: Root of the sum of squares; inf for a lens that cannot be.
        best: Smallest value of the round so far.
        vector: The free parameters in steps, shape (P,).
    """

    round: int
    evaluation: int
    value: float
    best: float
    vector: Tensor


@dataclass(frozen=True, eq=False)
class Optimised:
    """What became of a lens.

    Attributes:
        lens: The better one, or the old one where nothing better was found.
        variables: What was free.
        vector: Its free parameters in steps, shape (P,).
        before: How good the lens was, with rays laid for it.
        after: The same for the better one.
        history: Every lens that was tried.
        converged: Whether it ended because nothing changed any more.
        message: Why it ended.
    """

    lens: Lens
    variables: Variables
    vector: Tensor
    before: Quality
    after: Quality
    history: tuple[Step, ...]
    converged: bool
    message: str


def optimise(
    lens: Lens,
    variables: Variables | Iterable[Variable | str],
    merit: Merit,
    *,
    method: Method = "damped",
    rounds: int = 10,
    iterations: int = 40,
    tolerance: float = 1e-4,
    goal: float = 0.0,
    learning_rate: float = 0.05,
    on_progress: Callable[[Step], bool | None] | None = None,
) -> Optimised:
    """Make a lens better.

    Args:
        lens: Where to start.
        variables: What is free: names, patterns, `Variable`s with bounds, or `Variables`.
        merit: What counts.
        method: "damped", "lbfgs" or "adam".
        rounds: How often rays are laid anew, at most; rounds that are cut short because the merit halved do not count.
        iterations: Lenses tried per round, at most.
        tolerance: It ends when a round makes the merit better by less than this share.
        goal: It ends as soon as the merit, with rays laid for the lens, is no larger than this.
        learning_rate: Adam's first step, as the share of the merit that one step of one parameter may change.
        on_progress: Called with every lens tried; where it returns True, the best one so far is the result.

    Raises:
        InputError: Unknown parameters, none free, a start outside the bounds, a lens without light at an image height.
    """
    if method not in _METHODS:
        raise InputError("method", repr(method), " or ".join(repr(name) for name in _METHODS))
    for name, count in (("rounds", rounds), ("iterations", iterations)):
        if count < 1:
            raise InputError(name, count, "at least 1")
    for name, number in (("tolerance", tolerance), ("learning_rate", learning_rate)):
        if not (math.isfinite(number) and number > 0):
            raise InputError(name, number, "a positive number")
    if math.isnan(goal):
        raise InputError("goal", goal, "a number")
    free = choose_variables(lens, variables.items if isinstance(variables, Variables) else variables)
    start = free.read()
    plan = plan_rays(lens, merit)
    before = judge(lens, merit, plan)
    if not math.isfinite(before.value):
        raise InputError(f"lens {lens.name}", f"a merit of {before.value}", "rays that can be followed")
    best_vector, best = start, before
    search = _Search(free, goal, on_progress)
    current, vector = before, start
    converged, message = False, f"ended after {rounds} rounds"
    threads = 1 if plan.rays < _RAYS_WORTH_A_THREAD else torch.get_num_threads()
    number = full = 0
    try:
        with limit_threads(threads):
            while full < rounds and number < _MOST_CUT * rounds:
                search.begin(number, _priced(plan, current), vector)
                number += 1
                try:
                    finished = _SOLVERS[method](search, iterations, tolerance, learning_rate)
                    full += 1
                except _Reached:  # cut short: it does not count
                    finished = False
                vector = search.best_vector
                plan = plan_rays(free.apply(vector), merit)
                new = judge(free.apply(vector), merit, plan)
                if new.value < best.value:
                    best_vector, best = vector, new
                if new.value <= goal:
                    converged, message = True, f"goal reached in round {number}"
                    break
                gained = current.value - new.value
                current = new
                if finished and abs(gained) <= tolerance * max(current.value, _TINY):
                    converged, message = True, f"converged in {number} rounds"
                    break
    except _Stopped:
        message = "stopped by on_progress"
        if search.best < search.first:
            stopped = judge(free.apply(search.best_vector), merit)
            if stopped.value < best.value:
                best_vector, best = search.best_vector, stopped
    unchanged = best is before
    return Optimised(
        lens=lens if unchanged else free.apply(best_vector),
        variables=free,
        vector=best_vector,
        before=before,
        after=best,
        history=tuple(search.history),
        converged=converged,
        message=message,
    )


def _priced(plan: RayPlan, quality: Quality) -> RayPlan:
    if plan.merit.lost_ray is not None:
        return plan
    return replace(plan, price=max(plan.price, _DEARER * float(quality.rms.max())))


class _Stopped(Exception):
    """The caller has seen enough."""


class _Reached(Exception):
    """The merit has fallen so far that new rays are due, or to the goal."""


class _Search:
    """Lenses tried around the start of a round; a unit of any parameter changes residuals by as much as they are."""

    def __init__(self, free: Variables, goal: float, on_progress: Callable[[Step], bool | None] | None) -> None:
        self.free, self.goal, self.on_progress = free, goal, on_progress
        self.history: list[Step] = []
        self.round, self.best, self.first = 0, math.inf, math.inf
        self.best_vector = self.origin = free.read()

    def begin(self, number: int, plan: RayPlan, origin: Tensor) -> None:
        self.round, self.plan, self.origin, self.best_vector = number, plan, origin, origin
        residuals, jacobian = linearise(self.free, origin, plan)
        self.first = self.best = float(residuals.norm())
        sizes = jacobian.norm(dim=0)
        # A parameter that does nothing keeps its own steps.
        self.unit = torch.where(sizes > 0, max(self.first, _TINY) / sizes.clamp_min(1e-300), 1.0)
        self.known = (np.zeros(len(origin)), residuals, jacobian)
        self.low = ((self.free.low - origin) / self.unit).clamp_max(0).cpu().numpy()
        self.high = ((self.free.high - origin) / self.unit).clamp_min(0).cpu().numpy()

    def vector(self, at: Array) -> Tensor:
        moved = self.origin + torch.from_numpy(np.array(at, float)).to(self.origin) * self.unit
        # Rounding must not carry a parameter over its bound.
        return torch.minimum(torch.maximum(moved, self.free.low), self.free.high)

    def best_at(self) -> Array:
        return np.asarray(((self.best_vector - self.origin) / self.unit).cpu().numpy())

    def record(self, vector: Tensor, value: float) -> None:
        if value < self.best:
            self.best, self.best_vector = value, vector
        step = Step(self.round, len(self.history) + 1, value, self.best, vector)
        self.history.append(step)
        if self.on_progress is not None and self.on_progress(step):
            raise _Stopped
        if value <= max(self.goal, _FALLEN * self.first):
            raise _Reached

    def residuals(self, at: Array) -> Array:
        """Residuals (M,), inf where no lens can be: SciPy's trust region then shrinks."""
        vector = self.vector(at)
        try:
            with torch.no_grad():
                found = find_residuals(self.free.apply(vector), self.plan)
            value = float(found.norm())
        except InputError:
            value = math.inf
        if not math.isfinite(value):
            self.record(vector, math.inf)
            return np.full(len(self.known[1]), np.inf)
        self.record(vector, value)
        return np.asarray(found.cpu().numpy())

    def jacobian(self, at: Array) -> Array:
        """Derivatives (M, P) by the unit parameters."""
        if not np.array_equal(at, self.known[0]):
            self.known = (at.copy(), *linearise(self.free, self.vector(at), self.plan))
        return np.asarray((self.known[2] * self.unit).cpu().numpy())

    def slope(self, at: Array) -> tuple[float, Array] | None:
        """Half the sum of squares, against that of the start, and its gradient; None where no lens can be."""
        vector = self.vector(at)
        scale = max(self.first, _TINY) ** 2
        try:
            with torch.enable_grad():
                theta = vector.clone().requires_grad_()
                total = 0.5 * find_residuals(self.free.apply(theta), self.plan).square().sum()
                (gradient,) = torch.autograd.grad(total, theta)
            value = math.sqrt(2 * float(total.detach()))
        except InputError:
            value = math.inf
        if not math.isfinite(value):
            self.record(vector, math.inf)
            return None
        self.record(vector, value)
        return 0.5 * value**2 / scale, np.asarray((gradient * self.unit / scale).cpu().numpy())


def _damped(search: _Search, iterations: int, tolerance: float, _: float) -> bool:
    from scipy.optimize import least_squares

    found = least_squares(
        search.residuals,
        np.zeros(len(search.origin)),
        jac=search.jacobian,
        bounds=(np.minimum(search.low, -_TINY), np.maximum(search.high, _TINY)),
        method="trf",
        x_scale=_FIRST_STEP,
        ftol=tolerance,
        xtol=1e-9,
        gtol=1e-12,
        max_nfev=iterations,
    )
    return bool(found.status > 0)


def _lbfgs(search: _Search, iterations: int, tolerance: float, _: float) -> bool:
    from scipy.optimize import minimize

    def value_and_slope(at: Array) -> tuple[float, Array]:
        found = search.slope(at)
        if found is None:
            # A wall round the best lens, rising outwards: line searches turn back.
            away = at - search.best_at()
            return _WALL + float(np.sum(away**2)), 2 * away
        return found

    found: Any = minimize(
        value_and_slope,
        np.zeros(len(search.origin)),
        jac=True,
        bounds=list(zip(search.low, search.high, strict=True)),
        method="L-BFGS-B",
        options={"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": 30, "ftol": 0.1 * tolerance, "gtol": 1e-9},
    )
    return bool(found.success)


def _adam(search: _Search, iterations: int, tolerance: float, learning_rate: float) -> bool:
    count = len(search.origin)
    at, first, second = np.zeros(count), np.zeros(count), np.zeros(count)
    rate, taken = learning_rate, 0
    for i in range(iterations):
        found = search.slope(at)
        if found is None:
            at = search.best_at()
            first, second, taken, rate = np.zeros(count), np.zeros(count), 0, 0.5 * rate
            continue
        taken += 1
        first = _MOMENTUM * first + (1 - _MOMENTUM) * found[1]
        second = _SECOND * second + (1 - _SECOND) * found[1] ** 2
        now = rate * (_LAST_STEP + (1 - _LAST_STEP) * 0.5 * (1 + math.cos(math.pi * i / iterations)))
        way = (first / (1 - _MOMENTUM**taken)) / (np.sqrt(second / (1 - _SECOND**taken)) + _TINY)
        at = np.clip(at - now * way, search.low, search.high)
    # It has no end of its own: a round that gained nothing is one.
    return search.first - search.best <= tolerance * search.first


_SOLVERS: dict[str, Callable[[_Search, int, float, float], bool]] = {"damped": _damped, "lbfgs": _lbfgs, "adam": _adam}
