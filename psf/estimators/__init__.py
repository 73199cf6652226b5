"""Estimators: from pairs of photographs to a camera's kernels. `psf.estimate` calls them by name.

`direct` knows nothing of lenses, `physical`, the default, goes on from there and looks for a pupil, `networks` has
PSF-Net and rivals.
"""

from .direct import DirectOptions, estimate_direct
from .direct_model import DirectModel
from .physical import PhysicalOptions, estimate_physical
from .physical_model import PhysicalModel
from .priors import Strengths

__all__ = [
    "DirectModel",
    "DirectOptions",
    "PhysicalModel",
    "PhysicalOptions",
    "Strengths",
    "estimate_direct",
    "estimate_physical",
]
