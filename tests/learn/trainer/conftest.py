"""What tests of the loop share: a network of a few numbers that learns a straight line."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from learn.trainer import Evaluation, Measured, TrainerSettings
from psf.runs import make_generator


@dataclass(frozen=True)
class Points:
    """A batch."""

    x: torch.Tensor
    y: torch.Tensor

    def to(self, device, *, non_blocking=False):
        return Points(self.x.to(device, non_blocking=non_blocking), self.y.to(device, non_blocking=non_blocking))


@dataclass(frozen=True)
class LineTask:
    """y = 2 x1 - x2 + 0.5, from random points of step and place."""

    name: str = "line"
    lost_at: int = -1

    part_names = ("l1", "l1_gradient")
    evaluation_names = ("error",)

    def describe(self):
        return {"task": {"name": self.name}}

    def make_network(self, generator):
        network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        for values in network.parameters():
            nn.init.uniform_(values, -0.5, 0.5, generator=generator)
        return network

    def open_loader(self, *, batch, rank, ranks, first_step, steps, workers, pin_memory):
        share = batch // ranks
        for step in range(first_step, steps):
            points = [self._draw(step * batch + rank * share + n) for n in range(share)]
            x = torch.stack(points)
            y = 2 * x[:, :1] - x[:, 1:] + 0.5
            yield Points(x, y * float("nan") if step == self.lost_at else y)

    def _draw(self, index):
        return torch.rand(2, generator=make_generator(7, index))

    def measure(self, network, batch, *, with_slopes):
        loss = (network(batch.x) - batch.y).abs().mean()
        parts = {"l1": loss.detach()}
        if with_slopes:
            parts["l1_gradient"] = torch.ones(())
        return Measured(loss, parts)

    @torch.no_grad()
    def evaluate(self, network, device):
        x = torch.stack([self._draw(10**6 + n) for n in range(16)]).to(device)
        error = (network(x) - (2 * x[:, :1] - x[:, 1:] + 0.5)).abs().mean()
        return Evaluation({"error": float(error)}, {"step": torch.full((3, 4, 6), 0.25)})

    def save(self, network, path, step):
        torch.save({"step": step, **network.state_dict()}, path)


def read_weights(folder: Path):
    return torch.load(folder / "network.pt", weights_only=True)


@pytest.fixture
def line():
    """Makes the task."""
    return LineTask


@pytest.fixture
def short():
    """Settings of a training of a second."""
    return TrainerSettings(
        steps=30, batch=4, rate=1e-2, warmup_steps=3, save_every=7, evaluate_every=10, log_every=4, slope_steps=6
    )


@pytest.fixture
def weights_of():
    """Reads what `LineTask.save` wrote."""
    return read_weights
