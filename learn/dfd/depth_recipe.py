"""All that a depth network's training is told, in one value with a JSON form.

{"network": "defocus_net", "width": 16, "with_radius": true, "head": "dioptres", "align": true, "blur_unit_px": 12,
 "settings": {...}, "trainer": {...}}

`settings` has the keys of `StackSettings`, `trainer` those of `TrainerSettings`; what is missing has its default.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from psf import InputError
from psf.runs import read_json

from ..trainer.settings import TrainerSettings
from .networks import DepthConfig
from .networks.config import KINDS, WIDTHS, Head, Kind, Shown
from .networks.heads import BLUR_UNIT_PX
from .stack_settings import StackSettings

# An epoch of the paper is 5,000 stacks: 100 of them in batches of 4, at DefocusNet's rate.
FULL = TrainerSettings(
    steps=125_000,
    batch=4,
    rate=1e-4,
    final_rate=1e-6,
    betas=(0.9, 0.999),
    weight_decay=0.0,
    clip_norm=1.0,
    save_every=1000,
    evaluate_every=1250,
    slope_steps=0,
)


@dataclass(frozen=True, kw_only=True)
class DepthRecipe:
    """How a depth network is trained; defaults are those of the full scale.

    Attributes:
        network: Which.
        width: Channels of its first layers; None: as published.
        with_radius: Whether it is told the image height of every pixel; a "cost_volume" never is.
        head: What its result is linear in, "dioptres" or "metres"; errors are minimised in that.
        shown: What it sees of pictures, "light" or "detail": see `DepthConfig`; a "cost_volume" sees none.
        blur_unit_px: RMS radius of a kernel that DefocusNet's maps of blur call 1. Smaller ones weigh blur more in the
            loss: as much as depth where blur reaches this.
        align: Whether pictures are brought to one image scale, that of the fields, before it sees them.
        settings: Of the stacks that it is trained on.
        trainer: How long and how fast.
    """

    network: Kind = "defocus_net"
    width: int | None = None
    with_radius: bool = True
    head: Head = "dioptres"
    shown: Shown = "light"
    blur_unit_px: float = BLUR_UNIT_PX
    align: bool = True
    settings: StackSettings = field(default_factory=StackSettings)
    trainer: TrainerSettings = FULL

    def __post_init__(self) -> None:
        if self.network not in KINDS:
            raise InputError("recipe.network", repr(self.network), " or ".join(map(repr, KINDS)))
        for name in ("with_radius", "align"):
            if not isinstance(value := getattr(self, name), bool):
                raise InputError(f"recipe.{name}", repr(value), "true or false")
        unit_px = self.blur_unit_px
        if isinstance(unit_px, bool) or not isinstance(unit_px, int | float) or not 0 < unit_px < math.inf:
            raise InputError("recipe.blur_unit_px", repr(unit_px), "a finite number of px above 0")
        self.find_config(2)

    def find_config(self, pictures: int) -> DepthConfig:
        """The network's shape for so many pictures."""
        return DepthConfig(
            kind=self.network,
            width=WIDTHS[self.network] if self.width is None else self.width,
            pictures=pictures,
            with_radius=self.with_radius and self.network != "cost_volume",
            head=self.head,
            shown=self.shown if self.network != "cost_volume" else "light",
            depth_m=self.settings.depth_m,
        )

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON holds it."""
        return {
            "network": self.network,
            "width": self.width,
            "with_radius": self.with_radius,
            "head": self.head,
            "shown": self.shown,
            "blur_unit_px": self.blur_unit_px,
            "align": self.align,
            "settings": self.settings.to_json(),
            "trainer": self.trainer.to_json(),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "DepthRecipe":
        """A recipe from what `to_json` wrote; what is missing has its default."""
        if not isinstance(found, Mapping):
            raise InputError("recipe", type(found).__name__, "an object")
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(found) - known):
            raise InputError(f"recipe.{unknown[0]}", "a name that is not known", ", ".join(sorted(known)))
        whole = dict(found)
        if "settings" in whole:
            whole["settings"] = StackSettings.from_json(whole["settings"])
        if "trainer" in whole:
            if not isinstance(whole["trainer"], Mapping):
                raise InputError("recipe.trainer", type(whole["trainer"]).__name__, "an object")
            whole["trainer"] = TrainerSettings.from_json({**FULL.to_json(), **whole["trainer"]})
        return cls(**whole)


def read_depth_recipe(path: Path) -> DepthRecipe:
    """A recipe from a JSON file.

    Args:
        path: The file.
    """
    found = read_json(path, "a recipe")
    try:
        return DepthRecipe.from_json(found)
    except InputError as error:
        raise InputError(f"{path}: {error.where}", error.found, error.expected) from error
