"""What a restoring network's file says of the camera and the samples that it was trained on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psf import InputError
from psf.errors import one_line
from render import NoiseModel, RawSensor

from ..networks.checkpoints import Note
from ..synthesis import Synthesis
from ..variants import SynthesisSettings

SYNTHESIS, STEPS = "synthesis", "steps"


@dataclass(frozen=True, eq=False, kw_only=True)
class RestorerNotes:
    """Where a network is at home.

    Attributes:
        field_sha256: Hash of the lens's field (`learn.field_files.hash_field`); "" for a perfect lens.
        lens: Name of the lens.
        image_shape_px: The sensor's (H, W).
        pitch_um: Its pixel pitch; None for a perfect lens.
        sensor: Its counts and pattern.
        noise: Its noise; None for a sensor without.
        settings: Of the samples: which planes the network wants, the patch, the range of ISO.
        steps: That it was trained.
    """

    field_sha256: str
    lens: str
    image_shape_px: tuple[int, int]
    pitch_um: float | None
    sensor: RawSensor
    noise: NoiseModel | None
    settings: SynthesisSettings
    steps: int

    @property
    def patch_cells(self) -> tuple[int, int]:
        """Rows and columns of the patches in cells of the network: of 2 x 2 sensor pixels, in "rgb" single pixels."""
        height, width = self.settings.shape_px
        return (height, width) if self.settings.space == "rgb" else (height // 2, width // 2)


def make_notes(synthesis: Synthesis, steps: int) -> dict[str, Note]:
    """What `learn.networks.save_network` keeps beside a network, for `read_notes`.

    Args:
        synthesis: What it was trained on.
        steps: How long.
    """
    field = synthesis.camera.field
    whole = synthesis.describe() | {"pitch_um": None if field is None else field.pitch_um}
    return {SYNTHESIS: json.dumps(whole), STEPS: steps, "field_sha256": whole["field_sha256"], "lens": whole["lens"]}


def read_notes(notes: Mapping[str, Note], source: str) -> RestorerNotes:
    """What `make_notes` wrote.

    Args:
        notes: Of a `SavedNetwork`.
        source: The network's file, for messages.

    Raises:
        InputError: They are missing or broken: the network was not trained by `python -m learn.deblur train`.
    """
    try:
        whole: dict[str, Any] = json.loads(str(notes[SYNTHESIS]))
        height, width = whole["image_shape_px"]
        return RestorerNotes(
            field_sha256=str(whole["field_sha256"]),
            lens=str(whole["lens"]),
            image_shape_px=(int(height), int(width)),
            pitch_um=None if whole["pitch_um"] is None else float(whole["pitch_um"]),
            sensor=RawSensor(**whole["sensor"]),
            noise=None if whole["noise"] is None else NoiseModel.from_json(whole["noise"]),
            settings=SynthesisSettings.from_json(whole["settings"]),
            steps=int(str(notes[STEPS])),
        )
    except (KeyError, TypeError, ValueError) as error:
        found = f"none of its training ({one_line(error)[:120]})"
        raise InputError(f"{source}: notes", found, "a network that python -m learn.deblur train made") from error
