"""All that a restorer's training is told, in one value with a JSON form.

{"network": "tiny", "synthesis": {...}, "trainer": {...}, "distance": "ms-ssim", "distance_weight": 0.1}

`synthesis` has the keys of `SynthesisSettings`, `trainer` those of `TrainerSettings`; what is missing has its default.
A network is one of the named ones, or an object with the keys of `NAFNetConfig`; its planes follow from the synthesis.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from psf import InputError
from psf.runs import read_json

from ..losses import PERCEPTUAL_WEIGHT
from ..networks import NAFNetConfig, find_config
from ..networks.config import NAMED
from ..perceptual import NAMES
from ..trainer.settings import TrainerSettings
from ..variants import COLOURS, SynthesisSettings

NO_DISTANCE = "none"
_PLANES = ("in_planes", "out_planes", "candidates")


@dataclass(frozen=True, kw_only=True)
class DeblurRecipe:
    """How a restorer is trained; defaults are those of the full scale.

    Attributes:
        network: Its shape; the planes of `config` count, not those given here.
        synthesis: What the samples are.
        trainer: How long and how fast.
        distance: Perceptual part of the loss, as `learn.perceptual.load_distance` names them, or "none".
        distance_weight: Its share.
        told_scale: What the planes of ISO and place are multiplied by while the network learns; its file has weights
            for the planes as they are. AdamW's steps are as large for all weights: planes that are even and much
            brighter than the picture are learnt many times faster than it, and shake it.
        choosing: Deconvolved planes are candidates, of which the network finds how much of each is right, cell by cell;
            else planes like others.
    """

    network: NAFNetConfig = field(default_factory=lambda: find_config("nafnet32"))
    synthesis: SynthesisSettings = field(default_factory=SynthesisSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    distance: str = "auto"
    distance_weight: float = PERCEPTUAL_WEIGHT
    told_scale: float = 1.0
    choosing: bool = True

    def __post_init__(self) -> None:
        if self.distance not in (*NAMES, NO_DISTANCE):
            raise InputError("recipe.distance", repr(self.distance), " or ".join((*NAMES, NO_DISTANCE)))
        weight = self.distance_weight
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise InputError("recipe.distance_weight", repr(weight), "a finite number, 0 or more")
        scale = self.told_scale
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < math.inf:
            raise InputError("recipe.told_scale", repr(scale), "a finite number above 0")

    @property
    def config(self) -> NAFNetConfig:
        """The network's shape with the planes that the samples have."""
        colours = len(COLOURS[self.synthesis.space])
        count = len(self.synthesis.deconvolved_dpt) if self.choosing else 0
        return replace(self.network, in_planes=len(self.synthesis.planes), out_planes=colours, candidates=count)

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON holds it."""
        shape: dict[str, Any] = json.loads(json.dumps(asdict(self.network)))
        for name in _PLANES:
            del shape[name]
        named = [
            name
            for name, like in NAMED.items()
            if replace(self.network, in_planes=6, out_planes=4, candidates=0) == like
        ]
        return {
            "network": named[0] if named else shape,
            "synthesis": self.synthesis.to_json(),
            "trainer": self.trainer.to_json(),
            "distance": self.distance,
            "distance_weight": self.distance_weight,
            "told_scale": self.told_scale,
            "choosing": self.choosing,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "DeblurRecipe":
        """A recipe from what `to_json` wrote; what is missing has its default."""
        if not isinstance(found, Mapping):
            raise InputError("recipe", type(found).__name__, "an object")
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(found) - known):
            raise InputError(f"recipe.{unknown[0]}", "a name that is not known", ", ".join(sorted(known)))
        whole = dict(found)
        if "network" in whole:
            whole["network"] = find_shape(whole["network"])
        if "synthesis" in whole:
            whole["synthesis"] = SynthesisSettings.from_json(whole["synthesis"])
        if "trainer" in whole:
            whole["trainer"] = TrainerSettings.from_json(whole["trainer"])
        return cls(**whole)


def find_shape(found: object) -> NAFNetConfig:
    """A network's shape from its name or from the keys of `NAFNetConfig`.

    Args:
        found: As JSON holds it.
    """
    if isinstance(found, str):
        if found not in NAMED:
            raise InputError("recipe.network", repr(found), " or ".join(map(repr, NAMED)))
        return find_config(found)
    if not isinstance(found, Mapping):
        raise InputError("recipe.network", type(found).__name__, "a name or an object")
    known = {one.name for one in fields(NAFNetConfig)} - set(_PLANES)
    if unknown := sorted(set(found) - known):
        raise InputError(f"recipe.network.{unknown[0]}", "a name that is not known", ", ".join(sorted(known)))
    whole: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in found.items()}
    try:
        return NAFNetConfig(**whole)
    except TypeError as error:
        raise InputError("recipe.network", str(error), "the keys of NAFNetConfig") from error


def read_recipe(path: Path) -> DeblurRecipe:
    """A recipe from a JSON file.

    Args:
        path: The file.
    """
    found = read_json(path, "a recipe")
    try:
        return DeblurRecipe.from_json(found)
    except InputError as error:
        raise InputError(f"{path}: {error.where}", error.found, error.expected) from error
