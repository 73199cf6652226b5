"""Where a training stands, in a file: the last state and the one before.

    RUN/state.pt             network, average, optimiser, step, sums of the log
    RUN/state.previous.pt    the one before, should the disk have lost the last

Each is written under another name and renamed when it is whole.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psf import InputError

from ..networks.checkpoints import read_weights_file, write_weights_file

STATE_FILE, PREVIOUS_FILE = "state.pt", "state.previous.pt"
FORMAT, FORMAT_VERSION = "psfield.training", 1


@dataclass(frozen=True, eq=False)
class TrainingState:
    """All that a run needs to go on.

    Attributes:
        step: Steps done.
        network: Weights by name.
        average: Averaged weights by name.
        optimiser: Its `state_dict`.
        sums: What the next line of the log will be the mean of: name to sum and count.
        scaler: Of "fp16": its `state_dict`, else empty.
    """

    step: int
    network: Mapping[str, Any]
    average: Mapping[str, Any]
    optimiser: Mapping[str, Any]
    sums: Mapping[str, tuple[float, int]]
    scaler: Mapping[str, Any]


def write_state(state: TrainingState, folder: Path) -> None:
    """Make this the last state of a run; the one that was becomes the previous.

    Args:
        state: To be kept.
        folder: Of the run.
    """
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "step": state.step,
        "network": dict(state.network),
        "average": dict(state.average),
        "optimiser": dict(state.optimiser),
        "sums": {name: tuple(one) for name, one in state.sums.items()},
        "scaler": dict(state.scaler),
    }
    last, fresh = folder / STATE_FILE, folder / f".{STATE_FILE}.new"
    write_weights_file(content, fresh)
    if last.is_file():
        last.replace(folder / PREVIOUS_FILE)
    fresh.replace(last)
    # What killed runs have left.
    for left in folder.glob(f".{fresh.name}.*.part"):
        left.unlink(missing_ok=True)


def read_state(folder: Path) -> TrainingState | None:
    """The last state of a run; the one before, with a warning, if that cannot be read; None if there is none.

    Args:
        folder: Of the run.

    Raises:
        InputError: There are files, and none can be read.
    """
    # A run that was killed between two renames left the new one without its name, and the last under the previous'.
    paths = [folder / name for name in (STATE_FILE, f".{STATE_FILE}.new", PREVIOUS_FILE)]
    failed: InputError | None = None
    for path in paths:
        if not path.is_file():
            continue
        try:
            state = _read(path)
        except InputError as error:
            failed = failed or error
            continue
        if failed is not None:
            warnings.warn(f"going on from step {state.step} of {path.name}: {failed}", stacklevel=2)
        return state
    if failed is not None:
        raise failed
    return None


def _read(path: Path) -> TrainingState:
    try:
        content = read_weights_file(path)
    except InputError:
        raise
    except Exception as error:  # half a file may look like anything to whoever unpacks it
        found = f"a file that torch cannot read ({type(error).__name__})"
        raise InputError(str(path), found, "a state that a training wrote") from error
    if content.get("format") != FORMAT or content.get("format_version") != FORMAT_VERSION:
        found = f"{content.get('format')!r}, version {content.get('format_version')}"
        raise InputError(str(path), found, f"{FORMAT!r}, version {FORMAT_VERSION}")
    try:
        return TrainingState(
            int(content["step"]),
            content["network"],
            content["average"],
            content["optimiser"],
            {name: (float(one[0]), int(one[1])) for name, one in content["sums"].items()},
            content["scaler"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(str(path), f"a state without its parts ({error})", "what a training writes") from error
