"""Averaged weights: those of the last steps, nearer ones more, which restore better than the last ones alone."""

import copy
from typing import TypeVar

import torch
from torch import nn

from psf import InputError

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def copy_network(network: AnyModule) -> AnyModule:
    """A network of the same weights that is not trained itself."""
    return copy.deepcopy(network).requires_grad_(False).eval()


@torch.no_grad()
def average_weights(average: nn.Module, network: nn.Module, memory: float, step: int) -> None:
    """Move averaged weights towards those of a network, in place.

    While few steps are done the memory is shorter, (1 + n) / (10 + n) after n of them, lest the first weights weigh on
    the result of a short training.

    Args:
        average: As `copy_network` made it.
        network: After a step.
        memory: Share of the average that stays, from 0 to below 1.
        step: Steps done before this one.
    """
    if not 0 <= memory < 1 or step < 0:
        raise InputError("average_weights(memory, step)", f"{memory}, {step}", "0 to below 1, and 0 or more")
    kept = min(memory, (1 + step) / (10 + step)) if memory else 0.0
    old, new = list(average.parameters()), list(network.parameters())
    # One call for all of them where torch has it: a small network has hundreds of small tensors.
    torch.optim.swa_utils.get_ema_multi_avg_fn(kept)(old, new, step)
    for one, two in zip(average.buffers(), network.buffers(), strict=True):
        one.copy_(two)
