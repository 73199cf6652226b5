"""The shape of a depth network, as a value with a JSON form."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from psf import InputError

Kind = Literal["dual_dfd", "defocus_net", "cost_volume"]
Head = Literal["dioptres", "metres"]
Shown = Literal["light", "detail"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Of the publications, DefocusNet's that of its public code; the last one is our own.
WIDTHS: dict[str, int] = {"dual_dfd": 32, "defocus_net": 16, "cost_volume": 8}


@dataclass(frozen=True)
class DepthConfig:
    """What a depth network is.

    Attributes:
        kind: "dual_dfd", "defocus_net" or "cost_volume".
        width: Channels of its first layers.
        pictures: How many it was made for. A "dual_dfd" takes just as many, in the order of the training; a
            "defocus_net" any number in any order, and so does what makes the residuals of a "cost_volume".
        with_radius: Whether it is told the image height of every pixel; never a "cost_volume", whose residuals know it.
        head: What its result is linear in between the ends of `depth_m`, "dioptres" or "metres".
        depth_m: Nearest and farthest depth that it can answer; the farthest may be `inf` with "dioptres".
        shown: What it sees of pictures: their "light", as published, or their "detail" against that of the whole stack
            (`blocks.show_detail`), from which it learns many times faster. A "cost_volume" sees no pictures.
        candidates: Of a "cost_volume": depths whose residuals it is given, evenly spaced in dioptres from the farthest
            to the nearest.
    """

    kind: Kind = "defocus_net"
    width: int = 16
    pictures: int = 5
    with_radius: bool = True
    head: Head = "dioptres"
    depth_m: tuple[float, float] = (0.5, 1.415)
    candidates: int = 24
    shown: Shown = "light"

    def __post_init__(self) -> None:
        for name, known in (("kind", KINDS), ("head", get_args(Head)), ("shown", get_args(Shown))):
            if (value := getattr(self, name)) not in known:
                raise InputError(f"config.{name}", repr(value), " or ".join(map(repr, known)))
        for name, least in (("width", 1), ("pictures", 2), ("candidates", 3)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"config.{name}", repr(value), f"a whole number from {least}")
        if not isinstance(self.with_radius, bool):
            raise InputError("config.with_radius", repr(self.with_radius), "True or False")
        if self.with_radius and self.kind == "cost_volume":
            raise InputError("config.with_radius", True, "False: residuals have the image height in them")
        if self.shown != "light" and self.kind == "cost_volume":
            raise InputError("config.shown", repr(self.shown), "'light': a cost_volume sees no pictures")
        ends = self.depth_m
        if len(ends) != 2 or not 0 < ends[0] < ends[1]:
            raise InputError("config.depth_m", ends, "two depths above 0, ascending")
        if self.head == "metres" and math.isinf(ends[1]):
            raise InputError("config.depth_m", ends, "a finite farthest depth, or the head 'dioptres'")

    def to_json(self) -> dict[str, Any]:
        """The configuration as JSON holds it."""
        return asdict(self) | {"depth_m": list(self.depth_m)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "DepthConfig":
        """What `to_json` wrote; what is missing has its default."""
        if not isinstance(found, Mapping):
            raise InputError("config", type(found).__name__, "an object")
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(found) - known):
            raise InputError(f"config.{unknown[0]}", "a name that is not known", ", ".join(sorted(known)))
        whole: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in found.items()}
        return cls(**whole)
