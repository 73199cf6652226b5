"""NAFNet tiny as the restorer of a joint design: trained between the lens's steps, frozen while the lens moves."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from psf import InputError
from render import ColourMetadata
from render.sensor import ISO_SCALE

from ..networks import NAFNet, find_config, make_network
from .exposures import Exposed
from .objective import find_errors

# The image height and the ISO that the network is told are planes beside the four of the mosaic.
IN_PLANES = 6
CLIPPED_NORM = 1.0


@dataclass(frozen=True, eq=False)
class NetworkTrainer:
    """A network and its optimiser; both change as it learns.

    Attributes:
        network: The network.
        optimiser: Adam of its weights.
        radii: Image heights of the R kernels, told to the network.
        iso: Told to it as well.
    """

    network: NAFNet
    optimiser: torch.optim.Adam
    radii: tuple[float, ...]
    iso: float

    def restore(self, noisy: Tensor) -> Tensor:
        """Restore packed mosaics (D, R, N, 4, h, w); the result has the same shape."""
        return restore_packed(self.network, noisy, self.radii, self.iso)

    def learn(
        self, exposed: Exposed, metadata: ColourMetadata, depth_weights: Tensor, pattern: str, border_cells: int
    ) -> Tensor:
        """One step on pictures whose lens is given.

        Args:
            exposed: The pictures; no gradient goes back to the lens.
            metadata: Their colours.
            depth_weights: What each depth counts, shape (D,), of sum 1.
            pattern: Of the mosaics.
            border_cells: Left out of the error on all sides.

        Returns:
            Errors before the step, shape (D, R).
        """
        restored = crop(self.restore(exposed.noisy.detach()), border_cells)
        errors = find_errors(restored, crop(exposed.sharp, border_cells), metadata, pattern)
        # Of a logarithm, so that the step does not hang on how dark the pictures are.
        loss = (errors.mean(1) * depth_weights).sum().clamp_min(1e-10).log()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIPPED_NORM)
        if bool(norm.isfinite()):
            self.optimiser.step()
        return errors.detach()


def make_trainer(
    radii: tuple[float, ...], iso: float, generator: torch.Generator, learning_rate: float = 2e-3
) -> NetworkTrainer:
    """A new NAFNet tiny that returns its input, and its optimiser.

    Args:
        radii: Image heights of the kernels.
        iso: Of the pictures.
        generator: Of its weights.
        learning_rate: Adam's.
    """
    network = make_network(find_config("tiny", in_planes=IN_PLANES), generator=generator)
    return NetworkTrainer(network, torch.optim.Adam(network.parameters(), lr=learning_rate), radii, iso)


def restore_packed(network: NAFNet, noisy: Tensor, radii: Sequence[float], iso: float) -> Tensor:
    """Restore packed mosaics with a network that is told where and how they were taken.

    Args:
        network: Of `IN_PLANES` planes.
        noisy: Shape (D, R, N, 4, h, w).
        radii: The R image heights.
        iso: Of all pictures.

    Returns:
        Shape (D, R, N, 4, h, w).
    """
    shape = noisy.shape
    if len(shape) != 6 or shape[1] != len(radii):
        raise InputError("noisy", f"shape {tuple(shape)}", f"shape (D, {len(radii)}, N, 4, h, w)")
    told = torch.tensor(radii, dtype=noisy.dtype, device=noisy.device).reshape(1, -1, 1, 1, 1, 1)
    plane = noisy.new_ones((*shape[:3], 1, *shape[4:]))
    planes = torch.cat([noisy, plane * (iso * ISO_SCALE), plane * told], 3)
    restored: Tensor = network(planes.flatten(0, 2)).reshape(shape)
    return restored


def crop(pictures: Tensor, border_cells: int) -> Tensor:
    """Pictures (..., h, w) without their border."""
    return pad(pictures, (-border_cells,) * 4) if border_cells else pictures
