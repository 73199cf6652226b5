"""What a depth network's file says of the camera and the stacks that it was trained on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psf import InputError

from ..networks.checkpoints import Note
from .stack_optics import StackOptics
from .stack_settings import StackSettings

TRAINING, STEPS = "training", "steps"


@dataclass(frozen=True, kw_only=True)
class DepthNotes:
    """Where a network is at home.

    Attributes:
        focus_m: Focus distances, ascending.
        magnifications: Image scale of each picture against the first.
        image_shape_px: The sensor's (H, W).
        pitch_um: Its pixel pitch.
        aligned: Whether pictures are brought to one image scale before the network sees them.
        encoding: Of the values, "linear" or "srgb".
        fields_sha256: Hashes of the fields (`learn.field_files.hash_field`).
        lenses: Their names.
        settings: Of the stacks.
        steps: That it was trained.
    """

    focus_m: tuple[float, ...]
    magnifications: tuple[float, ...]
    image_shape_px: tuple[int, int]
    pitch_um: float
    aligned: bool
    encoding: str
    fields_sha256: tuple[str, ...]
    lenses: tuple[str, ...]
    settings: StackSettings
    steps: int


def make_depth_notes(
    optics: StackOptics, described: Mapping[str, Any], *, aligned: bool, steps: int
) -> dict[str, Note]:
    """What `save_depth_network` keeps beside a network, for `read_depth_notes`.

    Args:
        optics: The fields.
        described: `StackSynthesis.describe` of what it was trained on.
        aligned: As in `DepthNotes`.
        steps: How long.
    """
    whole = dict(described) | {
        "magnifications": [one.magnification for one in optics.fields],
        "pitch_um": optics.fields[0].pitch_um,
        "aligned": aligned,
    }
    return {TRAINING: json.dumps(whole), STEPS: steps}


def read_depth_notes(notes: Mapping[str, Note], source: str) -> DepthNotes:
    """What `make_depth_notes` wrote.

    Args:
        notes: Of a `SavedDepthNetwork`.
        source: The network's file, for messages.

    Raises:
        InputError: They are missing or broken: the network was not trained by `python -m learn.dfd train`.
    """
    try:
        whole: dict[str, Any] = json.loads(str(notes[TRAINING]))
        height, width = whole["image_shape_px"]
        settings = StackSettings.from_json(whole["settings"])
        return DepthNotes(
            focus_m=tuple(float(one) for one in whole["focus_m"]),
            magnifications=tuple(float(one) for one in whole["magnifications"]),
            image_shape_px=(int(height), int(width)),
            pitch_um=float(whole["pitch_um"]),
            aligned=bool(whole["aligned"]),
            encoding=settings.encoding,
            fields_sha256=tuple(str(one) for one in whole["fields_sha256"]),
            lenses=tuple(str(one) for one in whole["lenses"]),
            settings=settings,
            steps=int(str(notes[STEPS])),
        )
    except (KeyError, TypeError, ValueError) as error:
        found = f"none of its training ({' '.join(str(error).split())[:120]})"
        raise InputError(f"{source}: notes", found, "a network that python -m learn.dfd train made") from error
