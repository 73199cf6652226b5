"""Depth networks made, written to files that carry their own configuration, and read again."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

import torch

from psf import InputError

from ...networks.checkpoints import Note, put_weights, read_weights_file, write_weights_file
from .config import DepthConfig
from .cost_net import CostVolumeNet
from .defocus_net import DefocusNet
from .dual_dfd import DualDfDNet

FORMAT, FORMAT_VERSION = "psfield.depth_network", 1
DepthNetwork = DefocusNet | DualDfDNet | CostVolumeNet
MAKERS: dict[str, type[DefocusNet] | type[DualDfDNet] | type[CostVolumeNet]] = {
    "defocus_net": DefocusNet,
    "dual_dfd": DualDfDNet,
    "cost_volume": CostVolumeNet,
}


@dataclass(frozen=True, eq=False)
class SavedDepthNetwork:
    """What a network's file holds.

    Attributes:
        network: In evaluation mode, on the device asked for.
        notes: What its maker wrote beside it.
    """

    network: DepthNetwork
    notes: Mapping[str, Note]


def make_depth_network(config: DepthConfig, *, generator: torch.Generator) -> DepthNetwork:
    """A network to be trained.

    Args:
        config: Its shape.
        generator: On the CPU; two of the same seed give the same network.
    """
    network = MAKERS[config.kind](config)
    network.fill(generator)
    return network


def check_stack(network: DepthNetwork, stack: torch.Tensor, focus_m: torch.Tensor, radius: torch.Tensor | None) -> None:
    """Refuse what a network cannot take.

    Args:
        network: To be called.
        stack: Shape (B, N, 3, H, W); of a "cost_volume" residuals, shape (B, Z, H, W).
        focus_m: Shape (B, N).
        radius: Shape (B, 1, H, W), or None.
    """
    config = network.config
    if config.kind == "cost_volume":
        expected = f"floats of shape (B, {config.candidates}, H, W)"
        if stack.ndim != 4 or stack.shape[1] != config.candidates or not stack.is_floating_point() or 0 in stack.shape:
            raise InputError("costs", f"{stack.dtype} of shape {tuple(stack.shape)}", expected)
        if not bool((stack > 0).all()):
            raise InputError("costs", float(stack.min()), "residuals above 0")
        return
    if stack.ndim != 5 or stack.shape[2] != 3 or not stack.is_floating_point() or 0 in stack.shape:
        raise InputError("stack", f"{stack.dtype} of shape {tuple(stack.shape)}", "floats of shape (B, N, 3, H, W)")
    if stack.shape[1] < 2:
        raise InputError("stack", f"{stack.shape[1]} picture", "at least 2")
    if config.kind == "dual_dfd" and stack.shape[1] != config.pictures:
        raise InputError("stack", f"{stack.shape[1]} pictures", f"the {config.pictures} that the network was made for")
    if focus_m.shape != stack.shape[:2]:
        raise InputError("focus_m", f"shape {tuple(focus_m.shape)}", f"shape {tuple(stack.shape[:2])}")
    if not bool((focus_m > 0).all()) or not bool(focus_m.isfinite().all()):
        raise InputError("focus_m", focus_m.flatten().tolist(), "finite distances above 0")
    if (radius is not None) != config.with_radius:
        found, wanted = ("none", "that of every pixel") if radius is None else ("a map", "none for this network")
        raise InputError("radius", found, wanted)
    if radius is not None and radius.shape != (len(stack), 1, *stack.shape[-2:]):
        raise InputError("radius", f"shape {tuple(radius.shape)}", f"shape {(len(stack), 1, *stack.shape[-2:])}")


def save_depth_network(
    network: DepthNetwork, path: str | os.PathLike[str], *, notes: Mapping[str, Note] | None = None
) -> None:
    """Write a network with its configuration; a file of that name is replaced once the new one is whole.

    Args:
        network: What to write; on any device.
        path: Where to; its folder must exist.
        notes: Names with texts, numbers, truths or None, to be read again by `load_depth_network`.
    """
    if not isinstance(network, DepthNetwork):
        raise InputError("network", type(network).__name__, "a depth network")
    weights = {name: values.detach().cpu().contiguous() for name, values in network.state_dict().items()}
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": json.dumps(network.config.to_json()),
        "notes": json.dumps(dict(notes or {})),
        "weights": weights,
    }
    write_weights_file(content, path)


def load_depth_network(path: str | os.PathLike[str], *, device: torch.device | str = "cpu") -> SavedDepthNetwork:
    """Read what `save_depth_network` wrote.

    Args:
        path: The file.
        device: Where to put it.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It holds something else.
    """
    source = str(path)
    content = read_weights_file(path)
    if content.get("format") != FORMAT:
        expected = f"{FORMAT!r}, a network that python -m learn.dfd train made"
        raise InputError(f"{source}: format", repr(content.get("format")), expected)
    if content.get("format_version") != FORMAT_VERSION:
        found = content.get("format_version")
        raise InputError(f"{source}: format_version", found, f"{FORMAT_VERSION}; a newer psfield may read it")
    try:
        config = DepthConfig.from_json(json.loads(content["config"]))
        notes = dict(json.loads(content["notes"]))
    except InputError as error:
        raise InputError(f"{source}: {error.where}", error.found, error.expected) from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{source}: config", f"none that can be read ({error})", "that of a depth network") from error
    network = MAKERS[config.kind](config)
    put_weights(cast(Any, network), content.get("weights"), source)
    return SavedDepthNetwork(network.to(device).eval(), MappingProxyType(notes))


def hash_depth_network(network: DepthNetwork) -> str:
    """SHA-256 of a network's weights and configuration, the same wherever it lies."""
    digest = hashlib.sha256(json.dumps(network.config.to_json()).encode())
    for name, values in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
