"""The whole chain at once: free parameters to kernels, pictures, restored pictures, and their error at every depth."""

from dataclasses import dataclass

import torch
from torch import Tensor

from optics import Lens, Limit, Variables, find_violations
from render import ColourMetadata

from .design_grid import DesignKernels, find_light, trace_design
from .exposures import Exposed, Exposure, Patches, expose
from .filter_bank import Normals, apply_filters, solve_filters, sum_normals
from .objective import find_depth_errors_db, find_errors, find_soft_worst, settle_depth_weights
from .settings import JointSettings
from .tiny_restorer import NetworkTrainer, crop

# Per dB and round.
SETTLING_RATE = 0.3


@dataclass(frozen=True, eq=False)
class Chain:
    """What stays the same while a lens changes.

    Attributes:
        settings: Of the design.
        variables: The free parameters.
        limits: What the lens must keep.
        published: Kernels of the lens before any change: their light is what others are measured by.
        exposure: The sensor.
        trainer: The network of "tiny"; None for other restorers.
    """

    settings: JointSettings
    variables: Variables
    limits: tuple[Limit, ...]
    published: DesignKernels
    exposure: Exposure
    trainer: NetworkTrainer | None = None

    @property
    def settles(self) -> bool:
        """Whether depth weights of the filters' fit are free, beside the lens's parameters."""
        return self.settings.restorer == "ridge" and self.settings.settle_rounds > 0


@dataclass(frozen=True, eq=False)
class Outcome:
    """How good one lens is.

    Attributes:
        objective_db: What is made small, shape ().
        depth_errors_db: At every depth over all image heights, shape (D,).
        errors: Mean squared errors of developed pictures, shape (D, R).
        violations: Of the constraints, in units of their softness.
        depth_weights: What each depth counted in the restorer's fit, shape (D,).
    """

    objective_db: Tensor
    depth_errors_db: Tensor
    errors: Tensor
    violations: Tensor
    depth_weights: Tensor


def look_through(chain: Chain, lens: Lens) -> tuple[Tensor, Tensor]:
    """Kernels (D, R, 3, K, K) and light (D, R, 3) of a lens, single precision, with gradients."""
    found = trace_design(lens, chain.settings.grid)
    return found.kernels.float(), find_light(found, chain.published).float()


def run_chain(
    chain: Chain,
    vector: Tensor,
    patches: Patches,
    depth_weights: Tensor,
    generator: torch.Generator,
    *,
    settle: bool = False,
) -> Outcome:
    """From a vector of free parameters to the objective.

    Args:
        chain: All that stays.
        vector: In steps of the variables, shape (P,), or (P + D,) where logarithms of depth weights are free as well.
        patches: The first `fit_patches` fit the filters, the others are restored.
        depth_weights: What each depth counts in the fit, shape (D,); of no account where `vector` has them.
        generator: Of the noise; the same state gives the same numbers.
        settle: Whether to weigh the depths for this lens instead, without gradients (`JointSettings.settle_rounds`).

    Raises:
        InputError: A lens that cannot be, or through which an image height gets no light.
    """
    settings, free, count = chain.settings, len(chain.variables.names), chain.settings.fit_patches
    if len(vector) > free:
        depth_weights = vector[free:].softmax(0).float()
    lens = chain.variables.apply(vector[:free])
    kernels, light = look_through(chain, lens)
    given, metadata = expose(patches[count:], kernels, light, chain.exposure, generator), patches[count:].metadata
    border = settings.filters.border_cells
    if settings.restorer == "none":
        restored = crop(given.noisy, border).contiguous()
    elif chain.trainer is not None:
        restored = crop(chain.trainer.restore(given.noisy), border)
    else:
        if settings.mode == "alternating":
            kernels, light = kernels.detach(), light.detach()
        fitted = expose(patches[:count], kernels, light, chain.exposure, generator)
        normals = sum_normals(fitted, settings.filters)
        if settle:
            with torch.no_grad():
                depth_weights = _settle(chain, normals, given, metadata)
        filters = solve_filters(normals, depth_weights, settings.filters)
        restored = apply_filters(filters, given.noisy, settings.filters)
    errors = find_errors(restored, crop(given.sharp, border), metadata, chain.exposure.sensor.pattern)
    depth_errors_db = find_depth_errors_db(errors)
    violations = find_violations(lens, chain.limits)
    penalty_db = settings.goal.limit_weight_db * violations.square().sum()
    objective_db = find_soft_worst(depth_errors_db, settings.goal) + penalty_db
    return Outcome(objective_db, depth_errors_db, errors, violations, depth_weights)


def _settle(chain: Chain, normals: Normals, given: Exposed, metadata: ColourMetadata) -> Tensor:
    """Weights (D,) under which the worst depth is best, of some rounds of weighing; without gradients."""
    settings, pattern = chain.settings, chain.exposure.sensor.pattern
    sharp, worst_db = crop(given.sharp, settings.filters.border_cells), []

    def find_errors_db(weights: Tensor) -> Tensor:
        restored = apply_filters(solve_filters(normals, weights, settings.filters), given.noisy, settings.filters)
        errors_db = find_depth_errors_db(find_errors(restored, sharp, metadata, pattern))
        worst_db.append(float(errors_db.max()))
        return errors_db

    found = settle_depth_weights(find_errors_db, len(settings.grid.depths_m), settings.settle_rounds, SETTLING_RATE)
    return found[min(range(len(worst_db)), key=worst_db.__getitem__)]
