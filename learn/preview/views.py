"""What stands behind a sample, as pictures for a screen: the steps of the chain that a network never sees."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from psf import InputError
from render import RawSensor, process
from render.bayer import check_pattern, find_sites, unpack
from render.camera_steps import cut_margin

from ..samples import Drawn, Sample
from ..synthesis import Scene, Synthesis, draw_scene, expose
from ..variants import COLOURS

# A mosaic shows its pixels in a part of so many; a whole patch would only look grey.
DETAIL_PX = 32
BLURS = ("none", "blend", "pixelwise", "layered")


@dataclass(frozen=True, eq=False)
class View:
    """One sample, step by step; pictures are sRGB from 0 to 1.

    Attributes:
        sharp: The photograph, shape (3, H, W).
        depth_m: Shape (H, W).
        blurred: Through the lens, without noise, developed, shape (3, H, W).
        noisy: What was recorded, developed, shape (3, H, W).
        detail: Middle of what was recorded, every pixel in the colour that it measured, shape (3, N, N).
        planes: What the network is given, shape (P, h, w).
        names: Of the planes.
        drawn: All that was drawn.
    """

    sharp: Tensor
    depth_m: Tensor
    blurred: Tensor
    noisy: Tensor
    detail: Tensor
    planes: Tensor
    names: tuple[str, ...]
    drawn: Drawn


def make_view(synthesis: Synthesis, index: int) -> View:
    """Sample `index`, step by step."""
    return show_scene(synthesis, draw_scene(synthesis, index))


def compare_blurs(
    synthesis: Synthesis,
    index: int,
    blurs: tuple[str, ...] = BLURS,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, View]:
    """Sample `index` under each kind of blur: the same scene, place, ISO, colours and random numbers.

    Args:
        synthesis: What it is made of.
        index: Of the sample.
        blurs: Kinds of blur.
        on_progress: Called with kinds done and in all.
    """
    found = {}
    for done, blur in enumerate(blurs, start=1):
        varied = synthesis.varied(blur=blur)
        found[blur] = make_view(varied, index)
        if on_progress is not None:
            on_progress(done, len(blurs))
    return found


def show_scene(synthesis: Synthesis, scene: Scene) -> View:
    """A scene and its photograph, step by step."""
    settings, camera = synthesis.settings, synthesis.camera
    sample = expose(synthesis, scene)
    quiet_sensor = RawSensor(pattern=camera.sensor.pattern, bits=16, black_dn=0)
    quiet = replace(
        synthesis,
        camera=replace(camera, noise=None, sensor=quiet_sensor),
        settings=settings.changed(rgb_noise_sd=0.0),
    )
    noisy = find_colours(sample)
    return View(
        sharp=cut_margin(scene.srgb, synthesis.margin_px),
        depth_m=cut_margin(scene.depth_m, synthesis.margin_px)[0],
        blurred=develop_sample(expose(quiet, scene), camera.sensor.pattern),
        noisy=develop_sample(sample, camera.sensor.pattern),
        detail=find_detail_part(noisy, sample, camera.sensor.pattern),
        planes=sample.input,
        names=settings.planes,
        drawn=sample.drawn,
    )


def find_colours(sample: Sample) -> Tensor:
    """The planes of a sample that were recorded, shape (4, h, w), of "rgb" (3, H, W)."""
    return sample.input[: len(COLOURS["rgb" if sample.metadata is None else "raw"])]


def develop_sample(sample: Sample, pattern: str) -> Tensor:
    """What was recorded as a viewer would see it, shape (3, H, W)."""
    colours = find_colours(sample)
    if sample.metadata is None:
        return colours.clamp(0, 1)
    return process(colours[None], sample.metadata, pattern=check_pattern(pattern), demosaic="malvar", full=True)[0]


def find_detail_part(colours: Tensor, sample: Sample, pattern: str) -> Tensor:
    """Middle of what was recorded, pixel by pixel.

    Args:
        colours: Packed, shape (4, h, w), or of "rgb" (3, H, W).
        sample: For its white balance.
        pattern: Of the sensor.

    Returns:
        For a screen, 0 to 1, shape (3, N, N).
    """
    if colours.ndim != 3:
        raise InputError("find_detail_part(colours)", f"shape {tuple(colours.shape)}", "shape (4, h, w) or (3, H, W)")
    height, width = colours.shape[-2:]
    if sample.metadata is None:
        side = min(DETAIL_PX, height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return colours[:, top : top + side, left : left + side].clamp(0, 1)
    cells = min(DETAIL_PX // 2, height, width)
    top, left = (height - cells) // 2, (width - cells) // 2
    part = colours[:, top : top + cells, left : left + cells]
    one = torch.ones_like(sample.metadata.red_gain)
    gains = torch.stack([sample.metadata.red_gain, one, one, sample.metadata.blue_gain], 1)[0]
    # As bright as the developed picture, roughly: balanced, and on a screen's curve.
    bright = (part * (gains * sample.metadata.brightening)[:, None, None]).clamp(0, 1).pow(1 / 2.2)
    mosaic = unpack(bright[None], check_pattern(pattern))[0]
    shown = torch.zeros((3, *mosaic.shape))
    for channel, (row, column) in zip((0, 1, 1, 2), find_sites(check_pattern(pattern)), strict=True):
        shown[channel, row::2, column::2] = mosaic[row::2, column::2]
    return shown
