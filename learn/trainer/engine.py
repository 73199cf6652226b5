"""Devices, precision and processes: Lightning Fabric, as the loop uses it."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from psf import InputError
from psf.errors import import_extra

from .settings import Precision

Device = Literal["auto", "cpu", "cuda"]
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@contextmanager
def open_engine(precision: Precision, device: Device = "auto") -> Iterator[Any]:
    """A `lightning_fabric.Fabric` for this process: alone, or one of those that `torchrun` started.

    Args:
        precision: Of the network.
        device: "auto" takes CUDA where there is any.

    Raises:
        ImportError: Lightning Fabric is not installed; says how to get it.
    """
    if precision not in PRECISIONS:
        raise InputError("precision", repr(precision), " or ".join(map(repr, PRECISIONS)))
    if device not in ("auto", "cpu", "cuda"):
        raise InputError("device", repr(device), "'auto', 'cpu' or 'cuda'")
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise InputError("device", "'cuda'", "'cpu': torch finds no GPU of that kind here")
    on_gpu = has_gpu and device != "cpu"
    if precision == "fp16" and not on_gpu:
        raise InputError("precision", "'fp16' on a CPU", "'fp32' or 'bf16' there")
    fabric_module = import_extra("lightning_fabric", "learn")
    environment = importlib.import_module("lightning_fabric.plugins.environments").TorchElasticEnvironment
    ranks = environment().world_size() if environment.detect() else 1
    # Fabric wants devices per machine and machines; torchrun tells processes in all, which is what counts.
    devices = min(ranks, torch.cuda.device_count()) if on_gpu else ranks
    fabric = fabric_module.Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        devices=devices,
        num_nodes=max(1, ranks // devices),
        strategy="ddp" if ranks > 1 else "auto",
        precision=PRECISIONS[precision],
    )
    had_group = torch.distributed.is_available() and torch.distributed.is_initialized()
    fabric.launch()
    try:
        yield fabric
    finally:
        if ranks > 1 and not had_group and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
