"""One photograph through a lens and its restorer, at several depths: what a person would look at."""

import torch
from torch import Tensor

from render import process

from .exposures import Exposure, Patches, expose
from .filter_bank import apply_filters
from .judging import Fitted
from .sights import JudgePlan, View
from .tiny_restorer import crop


def show_patch(
    view: View,
    fitted: Fitted,
    patch: Patches,
    exposure: Exposure,
    plan: JudgePlan,
    generator: torch.Generator,
    place: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """A patch as recorded, as restored, and as it should be; developed with the tone curve of a photograph.

    Args:
        view: The lens, at the plan's `radii`.
        fitted: Its restorer.
        patch: One.
        exposure: The sensor.
        plan: Where.
        generator: Of the noise.
        place: Which of the plan's image heights.

    Returns:
        Shape (D, 3, H, W) twice, then (3, H, W); sRGB 0 to 1.
    """
    with torch.no_grad():
        here = view[:, place : place + 1]
        exposed = expose(patch, here.kernels, here.light, exposure, generator)
        restored = apply_filters(fitted.filters[place : place + 1], exposed.noisy, plan.filters)
        given, sharp = (crop(one, plan.filters.border_cells) for one in (exposed.noisy, exposed.sharp))
        pattern = exposure.sensor.pattern
        pictures = [
            process(one.contiguous(), patch.metadata, pattern=pattern, full=True).clamp(0, 1)  # type: ignore[arg-type]
            for one in (given[:, 0, 0], restored[:, 0, 0], sharp)
        ]
    return pictures[0], pictures[1], pictures[2][0]
