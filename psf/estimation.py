"""A PSF field from photographs, in one call: whichever estimator is asked for, the same captures and the same answer.

    captures = psf.Captures.from_arrays(sharp, blurred, x0_px, y0_px, depth_m, image_shape_px, kernel_px, focus_m)
    model = psf.estimate(captures)
    field = model.to_field(depths_m, radii)

An estimator is a function `(captures, options, *, generator, on_progress, checkpoint)` that returns a `PSFModel`, and a
line in METHODS.
"""

import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from .captures import Captures
from .errors import InputError
from .field import PolarPSFField
from .jobs import Progress
from .models import PSFModel

NETWORKS = "psf.estimators.networks"
# Name of a method: the module that knows it, loaded when it is asked for, and the function there.
METHODS = {
    "direct": ("psf.estimators.direct", "estimate_direct"),
    "physical": ("psf.estimators.physical", "estimate_physical"),
    "psfnet": (NETWORKS, "estimate_psfnet"),
    "gaussian": (NETWORKS, "estimate_gaussian"),
    "tseng": (NETWORKS, "estimate_tseng"),
    "yang": (NETWORKS, "estimate_yang"),
    "none": (NETWORKS, "estimate_none"),
    "xy": (NETWORKS, "estimate_xy"),
    "ih": (NETWORKS, "estimate_ih"),
}

# The nearest of them on every lens that was tried; see docs/estimate_psfs.md.
DEFAULT = "physical"


@runtime_checkable
class EstimatedModel(PSFModel, Protocol):
    """What estimators return: a model of kernels that also becomes a field."""

    def to_field(self, depths_m: Sequence[float] | Tensor, radii: Sequence[float] | Tensor) -> PolarPSFField:
        """The field at these depths, ascending, and image heights."""
        ...


def find_estimator(method: str) -> Callable[..., EstimatedModel]:
    """The function behind a name."""
    if method not in METHODS:
        raise InputError("method", repr(method), " or ".join(map(repr, METHODS)))
    module, name = METHODS[method]
    found: Callable[..., EstimatedModel] = getattr(importlib.import_module(module), name)
    return found


def estimate(
    captures: Captures,
    method: str = DEFAULT,
    *,
    options: Any = None,
    generator: torch.Generator | None = None,
    on_progress: Progress | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> EstimatedModel:
    """A camera's kernels from pairs of photographs of one focus distance.

    Args:
        captures: The pairs.
        method: Which estimator, one of METHODS.
        options: The estimator's own, e.g. `psf.estimators.physical.PhysicalOptions`; None: its defaults, which need no
            tuning.
        generator: What is random in it; the same state gives the same model. None: always the same numbers.
        on_progress: Called with (steps done, steps in all).
        checkpoint: A file from which a run that was stopped goes on to the same result.

    Returns:
        A model with `kernels_at`, `kernels_at_pixel` and `to_field`.
    """
    found = find_estimator(method)
    if not isinstance(captures, Captures):
        raise InputError("captures", type(captures).__name__, "psf.Captures (psf.Captures.from_arrays makes them)")
    return found(captures, options, generator=generator, on_progress=on_progress, checkpoint=checkpoint)


def estimate_each(
    captures: Captures,
    method: str = DEFAULT,
    *,
    options: Any = None,
    generator: torch.Generator | None = None,
    on_progress: Progress | None = None,
) -> tuple[EstimatedModel, ...]:
    """One model per focus distance, in the order of `captures.focuses_m`.

    Args:
        captures: Pairs of several focus distances.
        method: As in `estimate`, and so are the others.
        options: The same for each.
        generator: Shared, one distance after the other.
        on_progress: Called with (steps done, steps in all), all distances together.
    """
    focuses = captures.focuses_m.tolist()
    models = []
    for n, focus_m in enumerate(focuses):

        def tell(done: int, steps: int, n: int = n) -> None:
            if on_progress is not None:
                on_progress(n * steps + done, len(focuses) * steps)

        models.append(
            estimate(captures.at_focus(focus_m), method, options=options, generator=generator, on_progress=tell)
        )
    return tuple(models)
