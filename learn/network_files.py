"""Results of a depth network, stored beside the photographs.

`NAME.jpg.network_depth.npy` holds 16-bit steps, (h, w) at the network's own resolution; the JSON file of the same name
says what they mean (`low` + (`high` - `low`) step / 65535, greater is nearer) and what they were made with. The JSON
file is written last: without it there is no result.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from psf import InputError
from psf.runs import load_npy
from render.noise import write_whole

from .depth_files import NETWORK_ENDING, NETWORK_FACTS, DepthMap

VERSION = 1
STEPS = 65535


@dataclass(frozen=True)
class NetworkFacts:
    """What a stored result was made with.

    Attributes:
        network: The name or path it was loaded by.
        weights_sha256: Of its weights.
        is_trained: False for random weights.
        is_metric: Whether the values are dioptres; else inverse depth without unit.
        photo_bytes: Size of the photograph's file.
        photo_modified_ns: When that was changed last.
        low: What step 0 stands for.
        high: What step 65535 stands for.
        version: Of this layout.
    """

    network: str
    weights_sha256: str
    is_trained: bool
    is_metric: bool
    photo_bytes: int
    photo_modified_ns: int
    low: float
    high: float
    version: int = VERSION


def name_result(photo: Path, folder: Path | None = None) -> tuple[Path, Path]:
    """The two files of a photograph's result: steps and facts.

    Args:
        photo: The photograph.
        folder: Where they lie; by default beside it.
    """
    where = photo.parent if folder is None else folder
    return where / f"{photo.name}{NETWORK_ENDING}", where / f"{photo.name}{NETWORK_FACTS}"


def find_network_file(photo: Path, folder: Path | None = None) -> Path | None:
    """The facts of a photograph's stored result, or None.

    Args:
        photo: The photograph.
        folder: Where it lies; by default beside the photograph.
    """
    steps, facts = name_result(photo, folder)
    return facts if facts.is_file() and steps.is_file() else None


def write_network_file(
    photo: Path, inverse_depth: Tensor, facts: dict[str, Any], folder: Path | None = None
) -> NetworkFacts:
    """Store a result.

    Args:
        photo: The photograph.
        inverse_depth: Greater is nearer, finite, shape (h, w).
        facts: Of `NetworkFacts`, but `low` and `high`.
        folder: Where to; by default beside the photograph.
    """
    values = inverse_depth.detach().cpu().double()
    if values.ndim != 2 or not values.numel() or not bool(values.isfinite().all()):
        found = f"a result of shape {tuple(values.shape)}, {int((~values.isfinite()).sum())} values of it not finite"
        raise InputError(str(photo), found, "finite depth of shape (h, w)")
    low, high = float(values.min()), float(values.max())
    span = high - low if high > low else 1.0
    stored = ((values - low) / span * STEPS).round().numpy().astype(np.uint16)
    told = NetworkFacts(**facts, low=low, high=low + span)
    steps_file, facts_file = name_result(photo, folder)
    facts_file.parent.mkdir(parents=True, exist_ok=True)
    # Facts of an older result must not stand beside newer steps.
    facts_file.unlink(missing_ok=True)
    write_whole(steps_file, _as_npy(stored))
    write_whole(facts_file, (json.dumps(asdict(told), indent=1) + "\n").encode())
    return told


def _as_npy(values: Any) -> bytes:
    import io

    written = io.BytesIO()
    np.save(written, values, allow_pickle=False)
    return written.getvalue()


def read_network_facts(path: Path) -> NetworkFacts:
    """What a stored result was made with.

    Args:
        path: The JSON file.
    """
    try:
        facts = NetworkFacts(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(
            str(path), f"no facts of a depth network ({error})", "what python -m learn.depth writes"
        ) from error
    if facts.version != VERSION:
        raise InputError(str(path), f"version {facts.version}", f"version {VERSION}: python -m learn.depth --redo")
    return facts


def read_network_file(path: Path) -> DepthMap:
    """A stored result.

    Args:
        path: Its JSON file.
    """
    facts = read_network_facts(path)
    steps_file = path.with_name(path.name.removesuffix(NETWORK_FACTS) + NETWORK_ENDING)
    try:
        stored = load_npy(steps_file)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(str(steps_file), f"no readable content ({error})", "a whole file") from error
    if stored.dtype != np.uint16 or stored.ndim != 2 or not stored.size:
        raise InputError(str(steps_file), f"{stored.dtype} of shape {stored.shape}", "uint16 of shape (h, w)")
    values = torch.from_numpy(stored.astype(np.float32)).mul_((facts.high - facts.low) / STEPS).add_(facts.low)
    source = "network" if facts.is_trained else "untrained network"
    return DepthMap(values[None], facts.is_metric, source, f"{facts.network} ({facts.weights_sha256[:12]})")
