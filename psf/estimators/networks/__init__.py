"""Networks as estimators: PSF-Net, its rivals and its ablations."""

from .known import KnownKernels
from .methods import (
    estimate_gaussian,
    estimate_ih,
    estimate_none,
    estimate_psfnet,
    estimate_tseng,
    estimate_xy,
    estimate_yang,
)
from .network_model import NetworkModel
from .options import NetworkOptions

__all__ = [
    "KnownKernels",
    "NetworkModel",
    "NetworkOptions",
    "estimate_gaussian",
    "estimate_ih",
    "estimate_none",
    "estimate_psfnet",
    "estimate_tseng",
    "estimate_xy",
    "estimate_yang",
]
