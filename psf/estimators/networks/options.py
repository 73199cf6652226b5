"""What an estimate by a network may be told; nothing has to be."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from ...captures import LEAST_CONTRAST
from ...errors import InputError
from ...sampling import check_turning
from .known import KnownKernels
from .losses import RADIAL_CENTRES, RadialCentre

KnownLoss = Literal["l1", "l2"]
KNOWN_LOSSES: tuple[str, ...] = get_args(KnownLoss)


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkOptions:
    """How networks learn kernels; None stands for the method's own default (`methods.RECIPES`).

    Attributes:
        steps: Of Adam, the last of which is the smallest (a quarter of a cosine's period).
        batch: Patches or known kernels per step.
        step_size: The first one.
        last_step_size: The last one.
        patch_px: Side of the patches, each with the kernel of its middle; smaller pictures are taken whole.
        least_contrast: Patches below this standard deviation of light are passed over.
        width: Channels at the U-Net's full size, or a linear layer's.
        levels: How often the U-Net halves its maps.
        has_coordinates: Whether the U-Net is told where on the kernel it is.
        oversample: Values of the U-Net's kernels per pixel and axis: fine kernels can be turned, those of pixels not
            without blur. 3 is nearer than the paper's 1 at pixels that are turned to, not at azimuth 0, and not
            after few steps (2,400).
        is_mirrored: Kernels at azimuth 0 are their own mirror images about the row axis, as a lens of revolution's are.
        turning: How kernels are turned, in training and afterwards: "cubic", "spline" or "bilinear".
        smooth_weight: Of the loss's second term; the paper's is 1.
        radial_weight: Of its third; the paper's is 10. Rings and kernels off centre want 0.
        radial_centre: "kernel" (the paper) or "centroid": about what point light may not rise.
        magnification: Scale of the blurred pictures against the sharp ones (focus breathing); "kernels" leaves it in
            the kernels, "fit" measures it, "auto" measures it and leaves it in the kernels as long as they hold it.
        evens_light: Whether each pair's exposure ratio and the fall-off of light are fitted and taken out.
        known: Learn from these kernels instead of from the pictures: what the paper calls supervised.
        known_loss: Of the difference to known kernels, "l1" or "l2" (squares).
    """

    steps: int | None = None
    batch: int | None = None
    step_size: float | None = None
    last_step_size: float = 1e-5
    patch_px: int = 64
    least_contrast: float = LEAST_CONTRAST
    width: int | None = None
    levels: int = 4
    has_coordinates: bool = True
    oversample: int = 1
    is_mirrored: bool = True
    turning: str = "cubic"
    smooth_weight: float = 1.0
    radial_weight: float = 10.0
    radial_centre: RadialCentre = "kernel"
    magnification: float | str = "auto"
    evens_light: bool = True
    known: KnownKernels | None = None
    known_loss: KnownLoss | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "patch_px", "width", "levels"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InputError(f"NetworkOptions.{name}", repr(value), "a whole number of at least 1")
        if isinstance(self.oversample, bool) or not isinstance(self.oversample, int) or not 1 <= self.oversample <= 9:
            raise InputError("NetworkOptions.oversample", repr(self.oversample), "1 to 9")
        for name in ("step_size", "last_step_size"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise InputError(f"NetworkOptions.{name}", value, "a positive number")
        for name in ("smooth_weight", "radial_weight", "least_contrast"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise InputError(f"NetworkOptions.{name}", value, "a number of at least 0")
        check_turning("NetworkOptions.turning", self.turning)
        if self.radial_centre not in RADIAL_CENTRES:
            expected = " or ".join(map(repr, RADIAL_CENTRES))
            raise InputError("NetworkOptions.radial_centre", repr(self.radial_centre), expected)
        if self.known_loss is not None and self.known_loss not in KNOWN_LOSSES:
            expected = " or ".join(map(repr, KNOWN_LOSSES))
            raise InputError("NetworkOptions.known_loss", repr(self.known_loss), expected)
        given = self.magnification
        if not (given in ("auto", "fit", "kernels") or (isinstance(given, float | int) and 0.5 < given < 2)):
            raise InputError("NetworkOptions.magnification", repr(given), '"auto", "fit", "kernels" or a scale near 1')
