"""What focal stacks are made of: every choice in one value, with a JSON form.

Defaults are those of Wu, Monno and Okutomi, Self-supervised spatially variant PSF estimation, where that says
something (focus and depth from 0.5 to 1.415 m, scenes of two planes), and this project's choice where it does not.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from psf import InputError

from ..depth_source import DepthSources
from .masks import SHAPES, Shape

SceneKind = Literal["two_plane", "one_plane", "slanted", "photos"]
Texture = Literal["photos", "leaves", "noise", "lines"]
StackBlur = Literal["pixelwise", "layered", "blend"]
Noise = Literal["sensor", "even", "none"]
Encoding = Literal["linear", "srgb"]
TEXTURES: tuple[Texture, ...] = get_args(Texture)
MOST_BITS = 16


@dataclass(frozen=True)
class StackSettings:
    """How focal stacks are drawn. Blur, noise, bits and encoding change nothing of what is photographed.

    Attributes:
        seed: Of all stacks: number i hangs on the seed and on i.
        shape_px: Height and width of the window on the sensor.
        scenes: "two_plane": a textured plane before another. "one_plane": one, as the paper's test pictures are.
            "slanted": one that is tilted. "photos": photographs with depth from files, a network or invention.
        depth_m: Nearest and farthest depth; all depths are drawn evenly in dioptres.
        one_plane_share: So many of the scenes of two planes have one only.
        low_contrast_share: So many textures are faint ...
        low_contrast: ... their contrast multiplied by this.
        front_share: Least and greatest share of the window that the front plane covers.
        shapes: Of the front plane; one is drawn.
        textures: Where textures come from; one is drawn for each plane. "photos" counts where there are any.
        texture_scale: Size of what procedural textures show; evenly in its logarithm. Photographs are only made
            smaller, down to the first of them: enlarged ones would be blurred before the lens blurs them.
        gain: Light of a texture is multiplied by a number between these, evenly in its logarithm.
        hue_deg: Colours are turned about grey by up to this much, either way.
        sources: Of "photos": where depth comes from.
        keep_metres: Of "photos": depth that is known in metres stays as it is.
        blur: How one surface is blurred. "pixelwise": every pixel its own kernel. "layered": that, and in "photos"
            near parts hide far ones (planes always do). "blend": the kernels of the window's middle.
        turning: How turned kernels are read, "cubic" or "bilinear"; of "pixelwise".
        transmission: Whether corners are as dark as the fields say.
        exposure_jitter: Pictures of a stack are brighter or darker by up to this share, each on its own.
        noise: "sensor": that of a noise model at a random ISO. "even": the same for all light. "none".
        noise_sd: Of "even": standard deviation, of light from 0 to 1.
        iso_range: Of "sensor": the ISO is drawn evenly over its logarithm.
        photosites: Of "sensor": how many R, G and B photosites a pixel is the mean of (a mosaic binned by 4).
        encoding: Of the values: linear light, or as sRGB encodes it.
        bits: Of the values; black is 0 and white the greatest.
    """

    seed: int = 0
    shape_px: tuple[int, int] = (128, 128)
    scenes: SceneKind = "two_plane"
    depth_m: tuple[float, float] = (0.5, 1.415)
    one_plane_share: float = 0.1
    low_contrast_share: float = 0.05
    low_contrast: float = 0.1
    front_share: tuple[float, float] = (0.1, 0.9)
    shapes: tuple[Shape, ...] = SHAPES
    textures: tuple[Texture, ...] = TEXTURES
    texture_scale: tuple[float, float] = (0.5, 2.0)
    gain: tuple[float, float] = (0.4, 1.0)
    hue_deg: float = 30.0
    sources: DepthSources = field(default_factory=DepthSources)
    keep_metres: bool = False
    blur: StackBlur = "pixelwise"
    turning: Literal["cubic", "bilinear"] = "cubic"
    transmission: bool = True
    exposure_jitter: float = 0.03
    noise: Noise = "sensor"
    noise_sd: float = 0.005
    iso_range: tuple[float, float] = (100.0, 3200.0)
    photosites: tuple[int, int, int] = (4, 8, 4)
    encoding: Encoding = "linear"
    bits: int = 12

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise InputError(f"settings.{name}", repr(value), "one of " + ", ".join(known))
        for name, names in (("shapes", SHAPES), ("textures", TEXTURES)):
            if not (value := getattr(self, name)) or set(value) - set(names):
                raise InputError(f"settings.{name}", value, "some of " + ", ".join(names))
        if not _is_whole(self.seed):
            raise InputError("settings.seed", repr(self.seed), "a whole number")
        low, high = self.front_share if len(self.front_share) == 2 else (1.0, 0.0)
        checks = {
            "shape_px": (
                len(self.shape_px) == 2 and all(_is_whole(n, 16) for n in self.shape_px),
                "16 px or more each",
            ),
            "depth_m": (_ascend(self.depth_m, 1e-3), "two distances above 0, ascending"),
            "one_plane_share": (0 <= self.one_plane_share <= 1, "a share from 0 to 1"),
            "low_contrast_share": (0 <= self.low_contrast_share <= 1, "a share from 0 to 1"),
            "low_contrast": (0 <= self.low_contrast <= 1, "a factor from 0 to 1"),
            "front_share": (0 < low <= high < 1, "two shares above 0 and below 1, ascending"),
            "texture_scale": (_ascend(self.texture_scale, 0.1), "two scales, ascending, 0.1 or more"),
            "gain": (_ascend(self.gain, 1e-3), "two factors above 0, ascending"),
            "hue_deg": (0 <= self.hue_deg <= 180, "0 to 180 degrees"),
            "exposure_jitter": (0 <= self.exposure_jitter < 1, "a share from 0 to below 1"),
            "noise_sd": (0 <= self.noise_sd < 1, "a standard deviation from 0 to below 1"),
            "iso_range": (_ascend(self.iso_range, 1), "two ISO values, ascending, 1 or more"),
            "photosites": (
                len(self.photosites) == 3 and all(_is_whole(n, 1) for n in self.photosites),
                "three whole numbers from 1",
            ),
            "bits": (_is_whole(self.bits, 1) and self.bits <= MOST_BITS, f"a whole number from 1 to {MOST_BITS}"),
        }
        for name, (holds, expected) in checks.items():
            if not holds:
                raise InputError(f"settings.{name}", getattr(self, name), expected)

    @property
    def depth_dpt(self) -> tuple[float, float]:
        """Least and greatest dioptres, of the farthest and of the nearest depth."""
        return 1 / self.depth_m[1], 1 / self.depth_m[0]

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON's own types."""
        whole = asdict(self)
        folder = self.sources.folder
        whole["sources"]["folder"] = None if folder is None else folder.as_posix()
        plain: dict[str, Any] = json.loads(json.dumps(whole))
        return plain

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "StackSettings":
        """Settings from what `to_json` wrote; what is missing has its default."""
        whole = _filled(cls, found, "settings")
        if "sources" in whole:
            inner = _filled(DepthSources, whole["sources"], "settings.sources")
            if inner.get("folder") is not None:
                inner["folder"] = Path(inner["folder"])
            whole["sources"] = DepthSources(**inner)
        try:
            return cls(**whole)
        except TypeError as error:
            raise InputError("settings", str(error), "what to_json writes") from error

    def changed(self, **changes: Any) -> "StackSettings":
        """The same settings but for some."""
        own = {one.name for one in dataclasses.fields(self)}
        if unknown := sorted(set(changes) - own):
            raise InputError(f"settings.{unknown[0]}", "a name that is not known", ", ".join(sorted(own)))
        return replace(self, **changes)


_CHOICES: dict[str, tuple[str, ...]] = {
    "scenes": get_args(SceneKind),
    "blur": get_args(StackBlur),
    "turning": ("cubic", "bilinear"),
    "noise": get_args(Noise),
    "encoding": get_args(Encoding),
}


def _is_whole(value: object, least: int | None = None) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and (least is None or value >= least)


def _ascend(ends: tuple[float, ...], least: float) -> bool:
    return len(ends) == 2 and least <= ends[0] <= ends[1] < math.inf


def _filled(kind: Any, found: object, where: str) -> dict[str, Any]:
    """Arguments of a dataclass from a JSON object: known names, lists as tuples."""
    if not isinstance(found, Mapping):
        raise InputError(where, type(found).__name__, "an object")
    known = {one.name for one in dataclasses.fields(kind)}
    if unknown := sorted(set(found) - known):
        raise InputError(f"{where}.{unknown[0]}", "a name that is not known", ", ".join(sorted(known)))
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
