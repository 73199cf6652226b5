"""What a joint design is told: which numbers are free, which restorer, how long, from which seed."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from optics import FOCUS, Variable
from psf import InputError

from .design_grid import DesignGrid
from .filter_bank import FilterSettings
from .objective import Goal

Restorer = Literal["ridge", "tiny", "none"]
Mode = Literal["joint", "alternating"]


@dataclass(frozen=True)
class ScanAxis:
    """One parameter of a scan.

    Attributes:
        name: Of a free parameter.
        low: Change from the lens that was given, in what the parameter counts in.
        high: The largest one.
        places: Evenly spaced from `low` to `high`.
    """

    name: str
    low: float
    high: float
    places: int

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise InputError(f"scan of {self.name}", f"{self.low:g} to {self.high:g}", "a low below the high")
        if self.places < 2:
            raise InputError(f"scan of {self.name}: places", self.places, "at least 2")


@dataclass(frozen=True, kw_only=True)
class JointSettings:
    """A joint design.

    Attributes:
        free: Names or patterns of the lens's parameters, or `optics.Variable`s with bounds.
        restorer: "ridge", filters in closed form, "tiny", a small NAFNet, or "none": pictures count as they are.
        mode: Of "ridge". "joint": gradients go through the filters' solution. "alternating": filters are fitted to each
            lens and then held while it is asked for its gradient, as networks always are. Held filters mislead: a
            picture that they sharpen too much gets better when the lens blurs it.
        steps: Of the lens.
        network_steps: Of the network before each step of the lens ("tiny").
        network_head_start: Of the network before the lens moves at all ("tiny").
        box_steps: How far a parameter may move in the first step, in the steps of `optics.Variables`; later ones grow
            or shrink with how well they were foretold.
        seed: Of photographs, noise and weights.
        pool: Patches that are cut; networks draw from all of them.
        fit_patches: Of these, for the filters' fit.
        loss_patches: Of these, for the lens's loss: others than those of the fit.
        side_px: Of a patch, without the margin for the blur.
        settle_rounds: Of "ridge": how often depths are weighed anew in the filters' fit for the lens that a descent
            begins with, and for each of a scan; in the descent the weights are free beside the lens's parameters.
            0: they are not, `weight_rate` weighs them.
        weight_rate: How fast the fit of a restorer whose weights do not settle turns towards the worst depth, per dB
            and step of the lens; with 0 all depths count alike.
        least_gain_db: Where the next step promises less than this the curvature is learnt anew; where that gains
            nothing a design ends before its last step (not "tiny").
        scan: Which parameters are moved over a grid of places before any descent; of `starts`, none: from the lens.
        starts: Descents from the best places of the scan, each of `steps`; the best by patches that none has seen.
        iso: Of the sensor.
        slack: Share by which constraints of the starting lens may be exceeded (`optics.keep_limits`).
        grid: Depths and image heights.
        filters: Of "ridge".
        goal: What is made small.
    """

    free: tuple[Variable | str, ...] = (FOCUS,)
    restorer: Restorer = "ridge"
    mode: Mode = "joint"
    steps: int = 30
    network_steps: int = 4
    network_head_start: int = 100
    box_steps: float = 1.5
    seed: int = 1
    pool: int = 32
    fit_patches: int = 10
    loss_patches: int = 8
    side_px: int = 64
    settle_rounds: int = 12
    weight_rate: float = 0.0
    least_gain_db: float = 0.001
    scan: tuple[ScanAxis, ...] = ()
    starts: int = 1
    iso: float = 100.0
    slack: float = 0.02
    grid: DesignGrid = field(default_factory=DesignGrid)
    filters: FilterSettings = field(default_factory=FilterSettings)
    goal: Goal = field(default_factory=Goal)

    def __post_init__(self) -> None:
        object.__setattr__(self, "free", tuple(self.free))
        if not self.free:
            raise InputError("JointSettings.free", "no parameter", "at least one name of lens.parameters()")
        for name, allowed in (("restorer", Restorer), ("mode", Mode)):
            if getattr(self, name) not in get_args(allowed):
                expected = " or ".join(map(repr, get_args(allowed)))
                raise InputError(f"JointSettings.{name}", repr(getattr(self, name)), expected)
        object.__setattr__(self, "scan", tuple(self.scan))
        for name in ("steps", "pool", "fit_patches", "loss_patches", "starts"):
            if getattr(self, name) < 1:
                raise InputError(f"JointSettings.{name}", getattr(self, name), "at least 1")
        for name in ("network_steps", "network_head_start", "settle_rounds"):
            if getattr(self, name) < 0:
                raise InputError(f"JointSettings.{name}", getattr(self, name), "0 or more")
        for name in ("box_steps", "iso"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"JointSettings.{name}", getattr(self, name), "a positive number")
        for name in ("weight_rate", "least_gain_db"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"JointSettings.{name}", getattr(self, name), "0 or more")
        if self.starts > 1 and not self.scan:
            raise InputError("JointSettings.starts", self.starts, "1 without a scan")
        if self.starts > 1 and self.fit_patches + self.loss_patches == self.pool:
            raise InputError("JointSettings.pool", self.pool, "patches left over, to choose among descents")
        if self.fit_patches + self.loss_patches > self.pool:
            found = f"{self.fit_patches} + {self.loss_patches}"
            raise InputError("JointSettings.fit_patches, .loss_patches", found, f"at most pool, {self.pool}")
        if self.side_px % 2 or self.side_px // 2 <= self.filters.side_cells:
            expected = f"an even number above {2 * self.filters.side_cells}, so that filters fit"
            raise InputError("JointSettings.side_px", self.side_px, expected)

    def to_json(self) -> Mapping[str, Any]:
        """All of it as JSON holds it; infinite bounds and depths as text."""
        free = [one if isinstance(one, str) else asdict(one) for one in self.free]
        plain = {name: value for name, value in asdict(self).items() if name != "free"}
        whole: Mapping[str, Any] = _as_text({"free": free, **plain})
        return whole

    def to_run_json(self) -> dict[str, Any]:
        """The same without what may change when a run is gone on with: how many steps, where no network counts them."""
        return {name: value for name, value in self.to_json().items() if name != "steps" or self.restorer == "tiny"}


def _as_text(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _as_text(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_text(one) for one in value]
    return value
