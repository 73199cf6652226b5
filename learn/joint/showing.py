"""One photograph through a lens and its restorer, at several depths: what a person would look at."""

import torch
from torch import Tensor

from optics import Lens
from render import process

from .exposures import Exposure, Patches, expose
from .filter_bank import apply_filters
from .judging import Fitted, JudgePlan, trace_places
from .tiny_restorer import crop


def show_patch(
    lens: Lens,
    published: Lens,
    fitted: Fitted,
    patch: Patches,
    exposure: Exposure,
    plan: JudgePlan,
    generator: torch.Generator,
    place: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """A patch as recorded, as restored, and as it should be; developed with the tone curve of a photograph.

    Args:
        lens: The lens.
        published: By whose light the exposure is set.
        fitted: Its restorer.
        patch: One.
        exposure: The sensor.
        plan: At whose judged depths.
        generator: Of the noise.
        place: Which of the plan's image heights.

    Returns:
        Shape (D, 3, H, W) twice, then (3, H, W); sRGB 0 to 1.
    """
    with torch.no_grad():
        kernels, light = trace_places(lens, published, plan)
        chosen = slice(place, place + 1)
        exposed = expose(patch, kernels[:, chosen], light[:, chosen], exposure, generator)
        restored = apply_filters(fitted.filters[chosen], exposed.noisy, plan.filters)
        border = plan.filters.side_cells // 2
        pattern = exposure.sensor.pattern
        pictures = [
            process(one.contiguous(), patch.metadata, pattern=pattern, full=True).clamp(0, 1)  # type: ignore[arg-type]
            for one in (crop(exposed.noisy, border)[:, 0, 0], restored[:, 0, 0], crop(exposed.sharp, border))
        ]
    return pictures[0], pictures[1], pictures[2][0]
