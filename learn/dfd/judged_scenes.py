"""Scenes that estimators of depth are judged on, photographed through a lens that no training has seen.

    "one_plane"   flat pictures parallel to the sensor, so many depths times so many textures: the paper's test
    "slanted"     one tilted plane
    "two_plane"   a plane before another
    "traced"      path-traced scenes of an ideal lens, with truly hidden background (`traced_scenes`)

Every scene hangs on the seed and on its number alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from psf.runs import make_generator

from .alignment import find_aligned
from .depth_metrics import EDGE_PX, find_edge_distance_px
from .focal_stacks import FocalStack, view_stack
from .scenes import StackScene, draw_scene, stand
from .stack_synthesis import StackSynthesis, photograph_stack
from .textures import cut_texture, draw_texture, vary_colours
from .traced_scenes import open_traced

SceneName = Literal["one_plane", "slanted", "two_plane", "traced"]
SCENES: tuple[SceneName, ...] = get_args(SceneName)
# Far from the seeds that people give to trainings.
SCENE_SEED = 2_000_000
# Pixels beside a window's sides are not judged: no estimator has seen what lies behind them.
BORDER_PX = 16
# Gains of evaluation leave those of the training (0.4 to 1) at the dark end.
GAIN = (0.3, 1.0)


@dataclass(frozen=True, kw_only=True)
class SceneSpec:
    """Which scene.

    Attributes:
        kind: See above.
        number: Within its kind, from 0.
        depth_m: Of "one_plane".
        texture: Of "one_plane", its number.
        file: Of "traced".
    """

    kind: SceneName
    number: int
    depth_m: float | None = None
    texture: int = 0
    file: Path | None = None

    @property
    def key(self) -> str:
        """Its name in files."""
        return f"{self.kind}-{self.number:03d}" if self.file is None else f"{self.kind}-{self.file.stem}"


@dataclass(frozen=True, eq=False, kw_only=True)
class JudgedScene:
    """A photographed scene, and where estimates of it count.

    Attributes:
        spec: Which.
        stack: What estimators are given.
        depth_m: The truth, shape (1, h, w).
        judged: Pixels that count, bool, shape (1, h, w).
        near_edge: Those within 12 px of the edge of what stands in front, or in the band of a path-traced scene, bool,
            shape (1, h, w); None where there is one surface.
        texture: What it shows.
        fields: Of a "traced" scene's own camera; else None.
    """

    spec: SceneSpec
    stack: FocalStack
    depth_m: Tensor
    judged: Tensor
    near_edge: Tensor | None
    texture: str
    fields: tuple[PolarPSFField, ...] | None = None


def plan_scenes(
    kinds: Sequence[SceneName],
    depth_m: tuple[float, float],
    *,
    depths: int = 20,
    textures: int = 3,
    others: int = 20,
    traced: Sequence[Path] = (),
) -> tuple[SceneSpec, ...]:
    """The scenes of an evaluation.

    Args:
        kinds: Which kinds.
        depth_m: Nearest and farthest depth of "one_plane", whose depths are even in metres, as the paper's.
        depths: So many of these.
        textures: So many for each depth.
        others: Scenes of "slanted" and of "two_plane".
        traced: Files of path-traced scenes.
    """
    if not kinds or len(set(kinds)) != len(kinds) or set(kinds) - set(SCENES):
        raise InputError("scenes", " ".join(kinds), "some of " + ", ".join(SCENES) + ", each once")
    for name, value in (("depths", depths), ("textures", textures), ("others", others)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(name, repr(value), "a whole number from 1")
    if ("traced" in kinds) != bool(traced):
        expected = "files of them for the scenes 'traced'" if not traced else "'traced' among the scenes"
        raise InputError("traced", f"{len(traced)} files", expected)
    near_m, far_m = depth_m
    found: list[SceneSpec] = []
    for kind in kinds:
        if kind == "traced":
            found += [SceneSpec(kind=kind, number=n, file=file) for n, file in enumerate(traced)]
        elif kind == "one_plane":
            for n in range(depths * textures):
                share = (n // textures) / max(1, depths - 1)
                own_m = near_m + (far_m - near_m) * share
                found.append(SceneSpec(kind=kind, number=n, depth_m=own_m, texture=n % textures))
        else:
            found += [SceneSpec(kind=kind, number=n) for n in range(others)]
    return tuple(found)


def photograph_scene(synthesis: StackSynthesis, spec: SceneSpec) -> JudgedScene:
    """Photograph one scene.

    Args:
        synthesis: The camera that is the truth, and how it records; its `scenes` and seed do not count.
        spec: Which scene.
    """
    if spec.file is not None:
        return _judge_traced(synthesis, spec, spec.file)
    settings, optics = synthesis.settings, synthesis.optics
    generator = make_generator(SCENE_SEED + SCENES.index(spec.kind), spec.number)
    across, down = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    room = (optics.image_shape_px[1] - settings.shape_px[1], optics.image_shape_px[0] - settings.shape_px[0])
    window_px = (min(int(across * (room[0] + 1)), room[0]), min(int(down * (room[1] + 1)), room[1]))
    if spec.kind == "one_plane":
        scene, texture = _make_plane(synthesis, spec)
    else:
        own = settings.changed(scenes=spec.kind, one_plane_share=0.0, low_contrast_share=0.0, gain=GAIN)
        scene = draw_scene(own, synthesis.photos, optics.margin_px, generator=generator)
        texture = "" if scene.drawn is None else " ".join(scene.drawn.textures)
    sample = photograph_stack(synthesis, scene, window_px, index=spec.number, generator=generator)
    scales = [one.magnification for one in optics.fields]
    judged = find_aligned(settings.shape_px, scales, optics.image_shape_px, window_px) & _leave_border(
        settings.shape_px, min(BORDER_PX, min(settings.shape_px) // 4)
    )
    near_edge = find_edge_distance_px(sample.in_front) <= EDGE_PX if spec.kind == "two_plane" else None
    return JudgedScene(
        spec=spec,
        stack=view_stack(sample),
        depth_m=sample.depth_m,
        judged=judged,
        near_edge=near_edge,
        texture=texture,
    )


def _make_plane(synthesis: StackSynthesis, spec: SceneSpec) -> tuple[StackScene, str]:
    """A texture by its number, the same at every depth, at the scene's depth."""
    settings = synthesis.settings
    margin_px = synthesis.optics.margin_px
    shape = (settings.shape_px[0] + 2 * margin_px, settings.shape_px[1] + 2 * margin_px)
    generator = make_generator(SCENE_SEED, -1 - spec.texture)
    kinds = [one for one in settings.textures if one != "photos" or synthesis.photos is not None]
    if not kinds:
        raise InputError("settings.textures", settings.textures, "photographs to cut them from, or others beside them")
    name = str(kinds[spec.texture % len(kinds)])
    if name == "photos" and synthesis.photos is not None:
        light, photo, _ = cut_texture(synthesis.photos, shape, settings, generator=generator)
        name = f"photos: {photo}"
    else:
        light = draw_texture(name, shape, settings, generator=generator)
    gain, hue = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    hue_rad = math.radians(settings.hue_deg * (2 * hue - 1))
    varied = vary_colours(light, GAIN[0] * (GAIN[1] / GAIN[0]) ** gain, hue_rad)
    if spec.depth_m is None:
        raise InputError("SceneSpec.depth_m", None, "the depth of the plane")
    return stand(varied, spec.depth_m), name


def _judge_traced(synthesis: StackSynthesis, spec: SceneSpec, file: Path) -> JudgedScene:
    traced = open_traced(file, encoding=synthesis.settings.encoding)
    border = _leave_border(traced.stack.shape_px, BORDER_PX)
    return JudgedScene(
        spec=spec,
        stack=traced.stack,
        depth_m=traced.depth_m,
        judged=border,
        near_edge=traced.band,
        texture=file.stem,
        fields=traced.fields,
    )


def _leave_border(shape_px: tuple[int, int], border_px: int) -> Tensor:
    inner = torch.zeros((1, *shape_px), dtype=torch.bool)
    inner[:, border_px : shape_px[0] - border_px, border_px : shape_px[1] - border_px] = True
    return inner
