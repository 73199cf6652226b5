"""What training samples are made of: every choice of the synthesis in one value, with a JSON form.

Defaults are those of Yang et al., Efficient depth- and spatially-varying image simulation for defocus deblur, where
that says something, and this project's choice where it does not.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from psf import InputError

from .depth_scaling import DepthScaling
from .depth_source import DepthSources
from .photos import Cropping

Aux = Literal["none", "iso", "field", "iso_field"]
FieldPlanes = Literal["radius", "xy"]
IsoPlane = Literal["linear", "sigma"]
DepthVariant = Literal["varying", "constant", "constant_matched"]
Space = Literal["raw", "rgb"]
Blur = Literal["blend", "pixelwise", "layered", "none"]
Transmission = Literal["off", "input", "both"]
Framing = Literal["random", "centre"]

COLOURS = {"raw": ("R", "Gr", "Gb", "B"), "rgb": ("R", "G", "B")}
HEIGHTS = {"radius": ("radius",), "xy": ("x", "y")}
# What sets an evaluation apart from training, as in the paper: every photograph's centre in turn, every pixel its own
# kernel, the lens as it is.
EVALUATION: Mapping[str, Any] = MappingProxyType({"framing": "centre", "blur": "pixelwise", "spread_share": 0.0})


@dataclass(frozen=True)
class SynthesisSettings:
    """How samples are drawn. Two settings that differ in a variant draw the same scenes: crop, depth, place, ISO.

    Attributes:
        seed: Of all samples: number i hangs on the seed and on i.
        cropping: Of photographs; `shape_px` is the patch, twice the packed cells, to which the blur's margin is added.
        framing: "random" crops, or the "centre" of photograph i, shrunk to the patch, as evaluation sets take it.
        sources: Where depth comes from.
        scaling: How relative depth becomes metres.
        keep_metres: Depth that is known in metres stays as it is.
        depth: "varying"; "constant", one depth a patch, even in dioptres between `constant_dpt`, which is how Yang et
            al. describe Chen et al. 2021 (nearer ones likelier); "constant_matched", that of a random pixel of the
            varying map, so that blur is distributed as before and only its variation is missing.
        constant_dpt: The least and the greatest of "constant".
        blur: "blend": the kernels of the patch's middle, by depth. "pixelwise": every pixel its own. "layered": that,
            and near surfaces hide far ones. "none": a perfect lens.
        spread_px: A Gaussian of standard deviation 0 to this is added to the kernels ...
        spread_share: ... of this share of the samples. A folder of perturbed fields takes its place.
        transmission: What the lens loses towards the corners: "off"; "input", dark there; "both", the target too.
        space: "raw" mosaics; or "rgb": sRGB values blurred as they are, with even noise, in 8 bits, for comparison.
        iso_range: The ISO is drawn evenly over its logarithm.
        rgb_noise_sd: Of "rgb": the greatest standard deviation, of values from 0 to 1; drawn evenly from 0.
        aux: Planes beside the colours: the ISO's, the place in the field, both or none.
        field_planes: "radius": image height, 0 to 1; "xy": the same along the axes, x to the right and y upwards.
        iso_plane: "linear": ISO / 1000; "sigma": 20 times the noise's deviation at 18 % grey.
        deconvolved_dpt: Of "raw": more planes, the mosaic deconvolved by the lens's field as if all of it lay at each
            of these depths (`learn.lens_planes`), in dioptres, 0 for infinity.
    """

    seed: int = 0
    cropping: Cropping = field(default_factory=lambda: Cropping((512, 512)))
    framing: Framing = "random"
    sources: DepthSources = field(default_factory=DepthSources)
    scaling: DepthScaling = field(default_factory=DepthScaling)
    keep_metres: bool = False
    depth: DepthVariant = "varying"
    constant_dpt: tuple[float, float] = (0.0, 10.0)
    blur: Blur = "blend"
    spread_px: float = 0.7
    spread_share: float = 0.5
    transmission: Transmission = "off"
    space: Space = "raw"
    iso_range: tuple[float, float] = (100.0, 3200.0)
    rgb_noise_sd: float = 0.03
    aux: Aux = "iso_field"
    field_planes: FieldPlanes = "radius"
    iso_plane: IsoPlane = "linear"
    deconvolved_dpt: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise InputError(f"settings.{name}", repr(value), "one of " + ", ".join(known))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise InputError("settings.seed", repr(self.seed), "a whole number")
        checks = {
            "constant_dpt": (_ascend(self.constant_dpt, 0), "two numbers of dioptres, ascending, 0 or more"),
            "spread_px": (0 <= self.spread_px < math.inf, "0 px or more"),
            "spread_share": (0 <= self.spread_share <= 1, "a share from 0 to 1"),
            "iso_range": (_ascend(self.iso_range, 1), "two ISO values, ascending, 1 or more"),
            "deconvolved_dpt": (
                all(0 <= one < math.inf for one in self.deconvolved_dpt)
                and len(set(self.deconvolved_dpt)) == len(self.deconvolved_dpt),
                "different numbers of dioptres, 0 or more",
            ),
            "rgb_noise_sd": (0 <= self.rgb_noise_sd < 1, "a standard deviation from 0 to below 1"),
        }
        for name, (holds, expected) in checks.items():
            if not holds:
                raise InputError(f"settings.{name}", getattr(self, name), expected)
        height, width = self.cropping.shape_px
        if height % 2 or width % 2:
            raise InputError("settings.cropping.shape_px", (height, width), "even numbers: cells of 2 x 2 px")
        if height != width and self.cropping.turn and self.framing == "random":
            raise InputError("settings.cropping.shape_px", (height, width), "a square, or turn=False")
        if self.space == "rgb" and self.transmission != "off":
            raise InputError("settings.transmission", repr(self.transmission), "'off' in space 'rgb'")
        if self.space == "rgb" and self.deconvolved_dpt:
            raise InputError("settings.deconvolved_dpt", self.deconvolved_dpt, "none in space 'rgb'")

    @property
    def planes(self) -> tuple[str, ...]:
        """What a network is given, plane by plane."""
        iso = ("ISO",) if self.aux in ("iso", "iso_field") else ()
        place = HEIGHTS[self.field_planes] if self.aux in ("field", "iso_field") else ()
        colours = COLOURS[self.space]
        sharpened = tuple(f"{one} at {depth:g} dpt" for depth in self.deconvolved_dpt for one in colours)
        return colours + iso + place + sharpened

    @property
    def told(self) -> slice:
        """Where the planes of ISO and place are."""
        colours = len(COLOURS[self.space])
        return slice(colours, len(self.planes) - colours * len(self.deconvolved_dpt))

    @property
    def shape_px(self) -> tuple[int, int]:
        """Height and width of the patch in sensor pixels."""
        return self.cropping.shape_px

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON's own types."""
        whole = asdict(self)
        folder = self.sources.folder
        whole["sources"]["folder"] = None if folder is None else folder.as_posix()
        plain: dict[str, Any] = json.loads(json.dumps(whole))
        return plain

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "SynthesisSettings":
        """Settings from what `to_json` wrote; what is missing has its default."""
        whole = _filled(cls, found, "settings")
        for name, kind in (("cropping", Cropping), ("scaling", DepthScaling), ("sources", DepthSources)):
            if name in whole:
                inner = _filled(kind, whole[name], f"settings.{name}")
                if inner.get("folder") is not None:
                    inner["folder"] = Path(inner["folder"])
                try:
                    whole[name] = kind(**inner)
                except TypeError as error:
                    raise InputError(f"settings.{name}", str(error), "what to_json writes") from error
        try:
            return cls(**whole)
        except TypeError as error:
            raise InputError("settings", str(error), "what to_json writes") from error

    def changed(self, **changes: Any) -> "SynthesisSettings":
        """The same settings but for some; those of cropping, scaling and sources go by their own names, too."""
        own = {one.name for one in fields(self)}
        direct = {name: value for name, value in changes.items() if name in own}
        for part in ("cropping", "scaling", "sources"):
            value = direct.get(part, getattr(self, part))
            inner = {one.name for one in fields(value)} & (set(changes) - own)
            if inner:
                direct[part] = replace(value, **{name: changes[name] for name in inner})
                changes = {name: one for name, one in changes.items() if name not in inner}
        if unknown := sorted(set(changes) - own):
            raise InputError(f"settings.{unknown[0]}", "a name that is not known", ", ".join(sorted(own)))
        return replace(self, **direct)


_CHOICES: dict[str, tuple[str, ...]] = {
    "framing": get_args(Framing),
    "depth": get_args(DepthVariant),
    "blur": get_args(Blur),
    "transmission": get_args(Transmission),
    "space": get_args(Space),
    "aux": get_args(Aux),
    "field_planes": get_args(FieldPlanes),
    "iso_plane": get_args(IsoPlane),
}


def _ascend(ends: tuple[float, float], least: float) -> bool:
    return len(ends) == 2 and least <= ends[0] <= ends[1] < math.inf


def _filled(kind: Any, found: object, where: str) -> dict[str, Any]:
    """Arguments of a dataclass from a JSON object: known names, lists as tuples."""
    if not isinstance(found, Mapping):
        raise InputError(where, type(found).__name__, "an object")
    known = {one.name for one in dataclasses.fields(kind)}
    if unknown := sorted(set(found) - known):
        raise InputError(f"{where}.{unknown[0]}", "a name that is not known", ", ".join(sorted(known)))
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
