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
        weight_rate: How fast the restorer's fit turns towards the worst depth, per dB and step. With 0 all depths count
            alike in it, and lenses are compared by one objective; the final restorer may still be another one.
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
    weight_rate: float = 0.0
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
        for name in ("steps", "pool", "fit_patches", "loss_patches"):
            if getattr(self, name) < 1:
                raise InputError(f"JointSettings.{name}", getattr(self, name), "at least 1")
        for name in ("network_steps", "network_head_start"):
            if getattr(self, name) < 0:
                raise InputError(f"JointSettings.{name}", getattr(self, name), "0 or more")
        for name in ("box_steps", "iso"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"JointSettings.{name}", getattr(self, name), "a positive number")
        if not 0 <= self.weight_rate < math.inf:
            raise InputError("JointSettings.weight_rate", self.weight_rate, "0 or more")
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


def _as_text(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _as_text(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_text(one) for one in value]
    return value
