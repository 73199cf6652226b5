"""Networks in files that carry their own configuration."""

import hashlib
import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from psf import InputError
from psf.runs import whole_file

from .config import NAFNetConfig
from .nafnet import NAFNet

FORMAT = "psfield.network"
FORMAT_VERSION = 1
KIND = "nafnet"
Note = str | int | float | bool | None


@dataclass(frozen=True, eq=False)
class SavedNetwork:
    """What a network's file holds.

    Attributes:
        network: In evaluation mode, on the device asked for.
        notes: What its maker wrote beside it: the field's hash, the patch's size, steps.
    """

    network: NAFNet
    notes: Mapping[str, Note]


def save_network(network: NAFNet, path: str | os.PathLike[str], *, notes: Mapping[str, Note] | None = None) -> None:
    """Write a network with its configuration; a file of that name is replaced once the new one is whole.

    Args:
        network: What to write; on any device.
        path: Where to; its folder must exist.
        notes: Names with texts, numbers, truths or None, to be read again by `load_network`.
    """
    if not isinstance(network, NAFNet):
        raise InputError("network", type(network).__name__, "a NAFNet")
    kept = dict(notes or {})
    for name, value in kept.items():
        if not isinstance(name, str) or not (value is None or isinstance(value, str | int | float)):
            raise InputError(f"notes[{name!r}]", type(value).__name__, "a text, a number, a truth or None")
    weights = {name: values.detach().cpu().contiguous() for name, values in network.state_dict().items()}
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "config": json.dumps(asdict(network.config)),
        "notes": json.dumps(kept),
        "weights": weights,
    }
    write_weights_file(content, path)


def load_network(
    path: str | os.PathLike[str], *, config: NAFNetConfig | None = None, device: torch.device | str = "cpu"
) -> SavedNetwork:
    """Read what `save_network` wrote.

    Args:
        path: The file.
        config: What the network must be; None takes what comes.
        device: Where to put it.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It holds something else, or a network of another configuration; names what differs.
    """
    source = str(path)
    content = read_weights_file(path)
    if content.get("format") != FORMAT:
        raise InputError(f"{source}: format", repr(content.get("format")), f"{FORMAT!r}, as save_network writes")
    if content.get("format_version") != FORMAT_VERSION:
        found = content.get("format_version")
        raise InputError(f"{source}: format_version", found, f"{FORMAT_VERSION}; a newer psfield may read it")
    if content.get("kind") != KIND:
        raise InputError(f"{source}: kind", repr(content.get("kind")), repr(KIND))
    found = _read_config(source, content.get("config"))
    if config is not None:
        for field in fields(config):
            here, wanted = getattr(found, field.name), getattr(config, field.name)
            if here != wanted:
                raise InputError(f"{source}: config.{field.name}", here, str(wanted))
    network = NAFNet(found)
    put_weights(network, content.get("weights"), source)
    return SavedNetwork(network.to(device).eval(), _read_notes(source, content.get("notes", "{}")))


def hash_weights(network: NAFNet) -> str:
    """SHA-256 of a network's weights and configuration, the same wherever it lies."""
    digest = hashlib.sha256(json.dumps(asdict(network.config)).encode())
    for name, values in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_weights_file(content: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a dictionary of tensors and plain values; a file of that name is replaced once the new one is whole."""
    with whole_file(path) as part, part.open("xb") as file:
        torch.save(content, file)


def read_weights_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The dictionary in a file of torch, on the CPU, without running any code that the file may hold."""
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no such file")
    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, OSError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(str(source), f"a file that torch cannot read ({reason[0][:120]})", "weights") from error
    if not isinstance(content, dict):
        raise InputError(str(source), type(content).__name__, "a dictionary of weights")
    return content


def put_weights(network: NAFNet, weights: Any, source: str) -> None:
    """Fill a network from weights by name, all of them and of the right shapes."""
    if not isinstance(weights, dict):
        raise InputError(f"{source}: weights", type(weights).__name__, "tensors by name")
    wanted = network.state_dict()
    for name in wanted:
        if name not in weights:
            raise InputError(f"{source}: weights", f"no {name}", f"{len(wanted)} tensors as the configuration has them")
    for name, values in weights.items():
        if name not in wanted:
            raise InputError(f"{source}: weights", f"{name}, which no part has", "what the configuration has")
        shape = tuple(wanted[name].shape)
        if not isinstance(values, torch.Tensor) or tuple(values.shape) != shape:
            found = f"shape {tuple(values.shape)}" if isinstance(values, torch.Tensor) else type(values).__name__
            raise InputError(f"{source}: {name}", found, f"shape {shape}")
        if not bool(values.isfinite().all()):
            raise InputError(f"{source}: {name}", "values that are NaN or infinite", "finite weights")
    dtype = next(iter(weights.values())).dtype
    if not dtype.is_floating_point:
        raise InputError(f"{source}: weights", dtype, "floating numbers")
    network.to(dtype).load_state_dict(weights)


def _read_notes(source: str, text: Any) -> Mapping[str, Note]:
    try:
        found: dict[str, Note] = json.loads(text)
        return MappingProxyType(found)
    except (TypeError, ValueError) as error:
        raise InputError(f"{source}: notes", f"{text!r} ({error})", "an object, as JSON") from error


def _read_config(source: str, text: Any) -> NAFNetConfig:
    try:
        found: dict[str, Any] = json.loads(text)
        return NAFNetConfig(**{n: tuple(v) if isinstance(v, list) else v for n, v in found.items()})  # type: ignore[arg-type]
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{source}: config", f"{text!r} ({error})", "the fields of NAFNetConfig, as JSON") from error
