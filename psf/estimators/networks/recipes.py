"""How each method is made and trained where nobody says otherwise: about 200 s of one core at most.

Sizes of steps were looked for alike for all: short trainings at three sizes, judged by their loss, never by the error
of kernels. `docs/psfnet.md` tells what came of it.
"""

from dataclasses import dataclass

import torch
from torch import nn

from ...errors import InputError
from .bodies import GaussianKernels, PerceptronKernels, UNetKernels, UpsamplingKernels
from .network_model import MirroredKernels
from .options import NetworkOptions

# Nodes of depth of a Gaussian that is learned from pictures.
GAUSSIAN_NODES = 12


@dataclass(frozen=True)
class Training:
    """Of Adam: how many steps, of how many samples, how large the first step is."""

    steps: int
    batch: int
    step_size: float


@dataclass(frozen=True)
class Recipe:
    """A method.

    Attributes:
        body: "unet", "perceptron", "upsampling" or "gaussian".
        inputs: What it is told of a place, see `PlaceScale`.
        is_turned: Whether its kernels are turned to the pixels' azimuths.
        width: Of its layers.
        pairs: How it learns from pairs of pictures.
        known: How it learns from known kernels.
        known_loss: The loss then.
    """

    body: str
    inputs: str
    is_turned: bool
    width: int
    pairs: Training
    known: Training
    known_loss: str = "l1"


_UNET_TRAINING = Training(7200, 8, 4e-3)

RECIPES: dict[str, Recipe] = {
    "psfnet": Recipe("unet", "ih", True, 8, _UNET_TRAINING, _UNET_TRAINING),
    "ih": Recipe("unet", "ih", True, 8, _UNET_TRAINING, _UNET_TRAINING),
    "xy": Recipe("unet", "xy", False, 8, _UNET_TRAINING, _UNET_TRAINING),
    "none": Recipe("unet", "none", False, 8, _UNET_TRAINING, _UNET_TRAINING),
    "tseng": Recipe("upsampling", "ih", True, 256, Training(4800, 16, 1e-3), Training(4800, 32, 1e-3)),
    # More steps among 20 depths of known kernels make it learn those depths by heart.
    "yang": Recipe("perceptron", "ih", True, 256, Training(10500, 16, 1e-3), Training(6000, 128, 1e-3)),
    "gaussian": Recipe("gaussian", "none", False, 0, Training(600, 16, 5e-2), Training(1, 1, 1.0)),
}


def build_network(recipe: Recipe, options: NetworkOptions, inputs: int, channels: int, kernel_px: int) -> nn.Module:
    """The method's network, its weights not yet drawn.

    Args:
        recipe: Of the method.
        options: Width, levels, mirror, coordinates.
        inputs: P, numbers per place.
        channels: C.
        kernel_px: K.
    """
    width = options.width or recipe.width
    body: nn.Module
    if options.oversample > 1 and (recipe.body != "unet" or options.known is not None):
        expected = "1 for other networks than U-Nets, and where known kernels are learned"
        raise InputError("NetworkOptions.oversample", options.oversample, expected)
    if recipe.body == "gaussian":
        return GaussianKernels(channels, kernel_px, torch.linspace(-1, 1, GAUSSIAN_NODES))
    if recipe.body == "unet":
        if 2**options.levels > 4 * kernel_px:
            found = f"{options.levels}, maps of {2**options.levels} px"
            raise InputError("NetworkOptions.levels", found, f"fewer for kernels of {kernel_px} px")
        body = UNetKernels(
            inputs,
            channels,
            kernel_px,
            width=width,
            levels=options.levels,
            has_coordinates=options.has_coordinates,
            oversample=options.oversample,
        )
    elif recipe.body == "perceptron":
        body = PerceptronKernels(inputs, channels, kernel_px, width=width)
    else:
        body = UpsamplingKernels(inputs, channels, kernel_px, width=width)
    # A lens of revolution over a rectangular sensor leaves an invariant kernel both mirrors, a pixel's kernel neither.
    axes = {"ih": (-2,), "none": (-2, -1), "xy": ()}[recipe.inputs]
    return MirroredKernels(body, axes) if options.is_mirrored and axes else body
