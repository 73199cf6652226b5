"""Weights in the naming of NAFNet's public code (github.com/megvii-research/NAFNet), for other planes than its own.

The published networks turn three colours into three. For a packed mosaic the first convolution reads red from R, half
of green from each of Gr and Gb, blue from B, and the last one writes green twice; planes beyond those begin without an
influence. So an imported network starts as the published one run on the half-size picture.
"""

import os
import re
from typing import Any

import torch
from torch import Tensor

from psf import InputError

from .checkpoints import put_weights, read_weights_file
from .config import NAFNetConfig
from .nafnet import NAFNet

BASICSR_KEYS = ("params_ema", "params", "state_dict")  # where training programs put the weights, best first
COLOURS = 3
PACKED = 4
# What each of R, Gr, Gb, B takes of the first convolution's R, G, B weights; and gives of the last one's.
COLOUR_OF_PLANE = (0, 1, 1, 2)
SHARE_OF_PLANE = (1.0, 0.5, 0.5, 1.0)


def import_published(
    weights: str | os.PathLike[str] | dict[str, Any], *, in_planes: int = 6, out_planes: int = 4
) -> NAFNet:
    """A network from weights of the public code; its shape is read off them.

    Args:
        weights: A .pth file, or the dictionary in it.
        in_planes: Of the network to make. Planes that the weights do not know begin with zeros.
        out_planes: Of the network to make: four from three colours, else the first ones of the weights.

    Returns:
        The network in evaluation mode, in the dtype of the weights.
    """
    source = "weights" if isinstance(weights, dict) else str(weights)
    found: Any = weights if isinstance(weights, dict) else read_weights_file(weights)
    for key in BASICSR_KEYS:
        if isinstance(found.get(key), dict):
            found = found[key]
            break
    named = {rename_published(name.removeprefix("module.")): values for name, values in found.items()}
    for name in ("intro.weight", "intro.bias", "ending.weight", "ending.bias"):
        if not isinstance(named.get(name), Tensor):
            raise InputError(source, f"no {name}", "weights in the naming of NAFNet's public code")
    intro, ending, bias = named["intro.weight"], named["ending.weight"], named["ending.bias"]
    if intro.ndim != 4 or ending.ndim != 4:
        raise InputError(source, f"intro.weight of shape {tuple(intro.shape)}", "convolutions")
    config = NAFNetConfig(
        int(intro.shape[0]),
        _count_blocks(named, "encoders", source),
        _count(named, "middle"),
        _count_blocks(named, "decoders", source),
        in_planes,
        out_planes,
    )
    is_colour = intro.shape[1] == ending.shape[0] == COLOURS and out_planes == PACKED
    named["intro.weight"] = _grow_intro(intro, in_planes, is_colour, source)
    if is_colour:
        named["ending.weight"], named["ending.bias"] = ending[list(COLOUR_OF_PLANE)], bias[list(COLOUR_OF_PLANE)]
    elif ending.shape[0] < out_planes:
        raise InputError(source, f"{ending.shape[0]} planes of result", f"at least out_planes, {out_planes}")
    else:
        named["ending.weight"], named["ending.bias"] = ending[:out_planes], bias[:out_planes]
    network = NAFNet(config)
    put_weights(network, named, source)
    return network.eval()


def rename_published(name: str) -> str:
    """A weight's name here, from its name in the public code."""
    name = re.sub(r"^middle_blks\.", "middle.", name)
    name = re.sub(r"^ups\.(\d+)\.0\.", r"ups.\1.", name)
    return re.sub(r"\.sca\.1\.", ".sca.", name)


def _grow_intro(weight: Tensor, in_planes: int, is_colour: bool, source: str) -> Tensor:
    if is_colour:
        share = torch.tensor(SHARE_OF_PLANE, dtype=weight.dtype)[None, :, None, None]
        weight = weight[:, list(COLOUR_OF_PLANE)] * share
    if weight.shape[1] > in_planes:
        raise InputError(source, f"{weight.shape[1]} planes of input", f"at most in_planes, {in_planes}")
    grown = weight.new_zeros((weight.shape[0], in_planes, *weight.shape[2:]))
    grown[:, : weight.shape[1]] = weight
    return grown


def _count(named: dict[str, Any], stage: str) -> int:
    places = {int(m.group(1)) for name in named if (m := re.match(rf"{re.escape(stage)}\.(\d+)\.", name))}
    return len(places)


def _count_blocks(named: dict[str, Any], stage: str, source: str) -> tuple[int, ...]:
    """Blocks of every level; the levels are as many as there are halvings."""
    levels = _count(named, "downs")
    if _count(named, "ups") != levels:
        raise InputError(source, f"{levels} halvings and {_count(named, 'ups')} doublings", "as many of each")
    return tuple(_count(named, f"{stage}.{level}") for level in range(levels))
