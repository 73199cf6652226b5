"""Estimators: from pairs of photographs to a camera's kernels. `psf.estimate` calls them by name."""

from .direct import DirectOptions, estimate_direct
from .direct_model import DirectModel
from .priors import Strengths

__all__ = ["DirectModel", "DirectOptions", "Strengths", "estimate_direct"]
