"""The loop behind every network here: steps of Adam that can be stopped and gone on with to the same weights.

What is random in a step hangs on the seed and the step's number alone, so that a run which was killed repeats the steps
since its last checkpoint with the same numbers.
"""

import math
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...jobs import Progress
from ...runs import make_generator, whole_file

# The first share of the steps grows to full size: large first steps of Adam switch units off for good.
WARM_UP = 0.05
# Seconds between two checkpoints.
CHECKPOINT_S = 60.0


@dataclass(frozen=True)
class Schedule:
    """How many steps, and how large.

    Attributes:
        steps: Their number.
        step_size: Of the largest, which comes after a rise along a line over the first 5 %.
        last_step_size: Of the last.
    """

    steps: int
    step_size: float
    last_step_size: float

    def at(self, step: int) -> float:
        """Size of step 0, 1 ...: a short rise, then a half cosine from the largest to the last."""
        rising = int(WARM_UP * self.steps)
        if step < rising:
            return self.step_size * (step + 1) / (rising + 1)
        share = (step - rising) / max(self.steps - 1 - rising, 1)
        return self.last_step_size + 0.5 * (self.step_size - self.last_step_size) * (1 + math.cos(math.pi * share))


def learn_weights(
    network: nn.Module,
    find_loss: Callable[[torch.Generator], Tensor],
    schedule: Schedule,
    *,
    seed: int,
    identity: str,
    on_progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> None:
    """Train a network in place.

    Args:
        network: Its parameters are changed.
        find_loss: The loss of a batch drawn with the generator it is given, shape ().
        schedule: Steps.
        seed: Of the batches.
        identity: What the run depends on, in short; a checkpoint of another is refused.
        on_progress: Called with (steps done, steps in all).
        checkpoint: A file to keep the state in, removed at the end.
    """
    optimiser = torch.optim.Adam(network.parameters(), lr=schedule.step_size)
    first = 0
    if checkpoint is not None and checkpoint.is_file():
        kept = _read(checkpoint, identity)
        network.load_state_dict(kept["network"])
        optimiser.load_state_dict(kept["optimiser"])
        first = kept["step"]
        if on_progress is not None:
            on_progress(first, schedule.steps)
    saved = time.monotonic()
    for step in range(first, schedule.steps):
        for group in optimiser.param_groups:
            group["lr"] = schedule.at(step)
        optimiser.zero_grad(set_to_none=True)
        loss = find_loss(make_generator(seed, step))
        loss.backward()
        optimiser.step()
        if not math.isfinite(float(loss.detach())):
            raise InputError("step_size", f"a loss of {float(loss.detach())} at step {step}", "a smaller step size")
        done = step + 1
        if checkpoint is not None and done < schedule.steps and time.monotonic() - saved >= CHECKPOINT_S:
            state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "step": done}
            with whole_file(checkpoint) as part:
                torch.save({"identity": identity, **state}, part)
            saved = time.monotonic()
        if on_progress is not None:
            on_progress(done, schedule.steps)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)


def _read(checkpoint: Path, identity: str) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(str(checkpoint), "a file that is no checkpoint", "one of this estimate, or no file") from error
    if not isinstance(kept, dict) or kept.get("identity") != identity:
        expected = "one of these captures with these options, or no file"
        raise InputError(str(checkpoint), "the checkpoint of another estimate", expected)
    return kept
