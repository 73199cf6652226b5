"""What the loop asks of whoever wants a network trained."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Measured:
    """How far a network is off on a batch.

    Attributes:
        loss: What to minimise, shape ().
        parts: Numbers for the log under their names, detached, shape () each.
    """

    loss: Tensor
    parts: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good a network is on a fixed set.

    Attributes:
        numbers: For the log, under the names of `Task.evaluation_names`.
        pictures: Pages to look at, by name: sRGB from 0 to 1, shape (3, H, W).
    """

    numbers: Mapping[str, float]
    pictures: Mapping[str, Tensor] = field(default_factory=dict)


class Task(Protocol):
    """A network to be trained. What its members give hangs on their arguments alone."""

    @property
    def part_names(self) -> tuple[str, ...]:
        """Names of `Measured.parts`, those of the first steps too."""

    @property
    def evaluation_names(self) -> tuple[str, ...]:
        """Names of `Evaluation.numbers`."""

    def describe(self) -> Mapping[str, Any]:
        """All that the weights hang on besides the trainer's settings, as JSON holds it."""

    def make_network(self, generator: torch.Generator) -> nn.Module:
        """The network before the first step, on the CPU."""

    def open_loader(
        self, *, batch: int, rank: int, ranks: int, first_step: int, steps: int, workers: int, pin_memory: bool
    ) -> Iterable[Any]:
        """Batches of the steps from `first_step` to below `steps`, of one of `ranks` processes.

        Args:
            batch: Samples of a step over all processes.
            rank: Which of the processes.
            ranks: How many.
            first_step: Where to begin.
            steps: Where to end.
            workers: Processes that make them.
            pin_memory: As torch's `DataLoader` has it.

        Returns:
            Gives batches with a method `to(device, non_blocking=...)`.
        """

    def measure(self, network: nn.Module, batch: Any, *, with_slopes: bool) -> Measured:
        """The loss of a batch.

        Args:
            network: To call; it may be wrapped, and may compute in half precision.
            batch: On the network's device.
            with_slopes: Tell the norms of the gradients of the loss's parts as well.
        """

    def evaluate(self, network: nn.Module, device: torch.device) -> Evaluation:
        """How good the averaged network is."""

    def save(self, network: nn.Module, path: Path, step: int) -> None:
        """Write the averaged network after `step` steps."""
