"""PSF-Net, its rivals and its ablations as estimators: pairs of pictures in, a model of kernels out.

    model = estimate_psfnet(captures, NetworkOptions(steps=6000))
    model = estimate_yang(captures, NetworkOptions(known=KnownKernels.of_model(field, depths_m, radii)))

PSF-Net (Wu, Monno and Okutomi, ICIP 2024) learns from pairs alone: a sharp patch, blurred by the network's kernel for
the patch's image height and depth, turned to its azimuth, has to become the blurred patch. Its rivals learn from the
same pairs with the same loss, or, as the paper has it, from kernels that are known.
"""

import os
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ...capture_levels import level_captures, magnify_captures
from ...captures import Captures
from ...errors import InputError
from ...jobs import Progress
from ...models import bin_kernels, turn_to
from ...runs import make_generator
from ..breathing import choose_magnification
from ..estimates import check_pairs, identify_run
from .bodies import draw_weights
from .evening import fit_quick_levels
from .known import KnownKernels
from .learning import Schedule, learn_weights
from .losses import find_pair_loss
from .network_model import NetworkModel
from .options import NetworkOptions
from .places import PlaceScale
from .recipes import RECIPES, Recipe, Training, build_network
from .widths import fit_gaussians


def estimate_by_network(
    method: str,
    captures: Captures,
    options: NetworkOptions | None = None,
    *,
    generator: torch.Generator | None = None,
    on_progress: Progress | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> NetworkModel:
    """A camera's kernels as a network has learned them.

    Args:
        method: One of `RECIPES`.
        captures: Pairs of one focus distance; one network for each of several (`psf.estimation.estimate_each`).
        options: See `NetworkOptions`.
        generator: Draws weights and patches; the same state gives the same model. None: always the same numbers.
        on_progress: Called with (steps done, steps in all).
        checkpoint: A file that is written now and then, and from which a run that was stopped goes on to the same
            weights; removed at the end.

    Raises:
        InputError: Several focus distances, no texture, a checkpoint of something else.
    """
    options, recipe = options or NetworkOptions(), RECIPES[method]
    _check(captures, options)
    seed = int(torch.randint(0, 2**62, (1,), generator=generator or torch.Generator().manual_seed(0)))
    scale = PlaceScale.of_captures(captures, recipe.inputs)
    channels, size = captures.channel_count, captures.kernel_px
    network = build_network(recipe, options, scale.count, channels, size)
    draw_weights(getattr(network, "body", network), generator=make_generator(seed, -1))
    magnification, fall_off = 1.0, torch.zeros(channels, 2)
    known = options.known
    if known is not None and recipe.body == "gaussian":
        network = fit_gaussians(known, scale)
        if on_progress is not None:
            on_progress(1, 1)
    else:
        usual = recipe.pairs if known is None else recipe.known
        training = Training(
            options.steps or usual.steps, options.batch or usual.batch, options.step_size or usual.step_size
        )
        if known is None:
            magnification = choose_magnification(captures, options.magnification)
            ready, fall_off = prepare_captures(captures, magnification, options.evens_light)
            find_loss = _pair_loss(network, recipe, ready, scale, options, training.batch)
        else:
            find_loss = _known_loss(network, known, scale, options.known_loss or recipe.known_loss, training.batch)
        learn_weights(
            network,
            find_loss,
            Schedule(training.steps, training.step_size, min(options.last_step_size, training.step_size)),
            seed=seed,
            identity=_identify(method, captures, options, seed) if checkpoint is not None else "",
            on_progress=on_progress,
            checkpoint=None if checkpoint is None else Path(checkpoint),
        )
    return NetworkModel(
        method=method,
        network=network.requires_grad_(False).cpu(),
        scale=scale,
        is_turned=recipe.is_turned,
        turning=options.turning,
        oversample=options.oversample,
        image_shape_px=captures.image_shape_px,
        kernel_px=size,
        channel_count=channels,
        depth_range_m=(float(captures.depths_m[0]), float(captures.depths_m[-1])),
        magnification=magnification,
        fall_off=fall_off,
        pitch_um=captures.pitch_um,
    )


# PSF-Net: image height, depth and focus to a kernel at azimuth 0; and under the name of the paper's second table.
estimate_psfnet = partial(estimate_by_network, "psfnet")
estimate_ih = partial(estimate_by_network, "ih")
# Its ablations: told of pixels, (x, y), turning nothing, with a model that refuses `to_field`; told of depth alone, one
# kernel for all of the field, the best for its loss.
estimate_xy = partial(estimate_by_network, "xy")
estimate_none = partial(estimate_by_network, "none")
# Rivals, from pairs or from `options.known`: Tseng et al., Yang et al., a round Gaussian per depth.
estimate_tseng = partial(estimate_by_network, "tseng")
estimate_yang = partial(estimate_by_network, "yang")
estimate_gaussian = partial(estimate_by_network, "gaussian")


def prepare_captures(captures: Captures, magnification: float, evens_light: bool) -> tuple[Captures, Tensor]:
    """Pairs whose kernels are all that differs between the two pictures.

    Args:
        captures: Pairs of one focus distance.
        magnification: Scale of the blurred pictures to take out, as `magnify_captures` does.
        evens_light: Whether to take exposure and fall-off out.

    Returns:
        The pairs, in memory, and the fall-off that was taken out, shape (C, 2), as `Levels.fall_off`.
    """
    ready = magnify_captures(captures, magnification).loaded()
    if not evens_light:
        return ready, torch.zeros(captures.channel_count, 2)
    levels = fit_quick_levels(ready)
    return level_captures(ready, levels).loaded(), levels.fall_off.float()


def _check(captures: Captures, options: NetworkOptions) -> None:
    if not isinstance(options, NetworkOptions):
        raise InputError("options", type(options).__name__, "NetworkOptions, or None")
    check_pairs(captures)
    known = options.known
    if known is not None:
        wanted = (captures.channel_count, captures.kernel_px, captures.kernel_px)
        if tuple(known.kernels.shape[1:]) != wanted:
            found = f"kernels of shape {tuple(known.kernels.shape[1:])}"
            raise InputError("NetworkOptions.known", found, f"shape {wanted} as the captures'")


def _pair_loss(
    network: nn.Module,
    recipe: Recipe,
    captures: Captures,
    scale: PlaceScale,
    options: NetworkOptions,
    batch: int,
) -> Callable[[torch.Generator], Tensor]:
    """Equation 1 over patches, each with the kernel of its middle."""
    side = min(options.patch_px, *captures.shape_px)
    device = captures[0].sharp.device
    network.to(device)

    def find_loss(generator: torch.Generator) -> Tensor:
        patches = captures.draw(batch, side, generator=generator, least_contrast=options.least_contrast)
        places, cosine, sine = scale.at_pixel(*patches.middle(), patches.depth_m)
        fine = network(places.to(device))
        kernels = bin_kernels(fine, options.oversample)
        turned = kernels
        if recipe.is_turned:
            azimuth = (cosine.float().to(device), sine.float().to(device))
            turned = turn_to(fine, *azimuth, options.turning, options.oversample)
        loss = find_pair_loss(
            patches.sharp.float(),
            patches.blurred.float(),
            kernels,
            turned,
            smooth_weight=options.smooth_weight,
            radial_weight=options.radial_weight,
            radial_centre=options.radial_centre,
        )
        mean: Tensor = loss.mean()
        return mean

    return find_loss


def _known_loss(
    network: nn.Module, known: KnownKernels, scale: PlaceScale, loss: str, batch: int
) -> Callable[[torch.Generator], Tensor]:
    """Difference to known kernels, in units of an even kernel's taps."""
    kernels = known.kernels.float()
    places = scale.at_radius(known.radius.double(), known.depth_m.double()).to(kernels.device)
    network.to(kernels.device)
    taps = kernels.shape[-1] ** 2

    def find_loss(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(known), (batch,), generator=generator).to(kernels.device)
        off: Tensor = taps * (network(places[chosen]) - kernels[chosen])
        return off.abs().mean() if loss == "l1" else off.square().mean()

    return find_loss


def _identify(method: str, captures: Captures, options: NetworkOptions, seed: int) -> str:
    told = {one.name: getattr(options, one.name) for one in fields(options) if one.name != "known"}
    known = options.known
    arrays = () if known is None else (known.kernels, known.radius, known.depth_m)
    return identify_run(captures, [method, seed, told], arrays)
