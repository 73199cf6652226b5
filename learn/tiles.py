"""Restoring frames that are too large for one piece: exactly, or in overlapping tiles.

Both run in bounded memory. `exact=True` gives every block of the network the means of the whole frame and returns what
one piece would have returned. `exact=False` cuts the frame into tiles with their own means: less memory still, close
where means are taken over boxes, but not the same.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from psf import InputError

from .cutting import cut_axis
from .networks.nafnet import NAFNet
from .networks.strips import run_strips

TILE_CELLS, HALO_CELLS = 512, 32


def run_tiled(
    network: NAFNet,
    planes: Tensor,
    *,
    exact: bool = True,
    box_cells: int | None = None,
    tile_cells: int = TILE_CELLS,
    halo_cells: int = HALO_CELLS,
    on_progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Restore packed mosaics of any size, without a gradient.

    Args:
        network: As trained.
        planes: R, Gr, Gb, B and what the network is told besides, shape (B, in_planes, H, W).
        exact: As one piece would be restored, block by block; else tile by tile, neighbours faded into each other by a
            raised cosine over the halo, with the picture mirrored at the frame's edges.
        box_cells: Means over boxes of so many cells instead of over the frame (or the tile): as in `NAFNet.forward`.
        tile_cells: Side of a tile at most, halo and all; exact: strips of about so many cells squared are in work.
        halo_cells: How far tiles reach over their own part, exact=False; from twice the network's `config.reach_cells`
            on nothing but the means and the frame's edges can differ.
        on_progress: Called with steps done and in all.

    Returns:
        Shape (B, out_planes, H, W), on the device and in the dtype of the network.
    """
    if not isinstance(network, NAFNet):
        raise InputError("network", type(network).__name__, "a NAFNet")
    network.check_planes(planes, box_cells)
    _check_sizes(tile_cells, halo_cells, network.config.multiple_cells, exact)
    if exact:
        strip_cells = tile_cells**2
        return run_strips(network, planes, box_cells=box_cells, strip_cells=strip_cells, on_progress=on_progress)
    many = network.config.multiple_cells
    rows, cols = (cut_axis(side, tile_cells, halo_cells, many) for side in planes.shape[-2:])
    out = planes.new_zeros((len(planes), network.config.out_planes, *planes.shape[-2:]))
    total, done = len(planes) * len(rows) * len(cols), 0
    with torch.no_grad():
        for picture, result in zip(planes.split(1), out.split(1), strict=True):
            for row in rows:
                for col in cols:
                    source = picture[:, :, row.source.to(planes.device)][..., col.source.to(planes.device)]
                    restored = network(source.contiguous(memory_format=torch.channels_last), box_cells)
                    weight = (row.weight[:, None] * col.weight).to(out)
                    inner = restored[..., row.inner, col.inner] * weight
                    result[..., row.place, col.place] += inner
                    done += 1
                    if on_progress is not None:
                        on_progress(done, total)
    return out


def _check_sizes(tile_cells: int, halo_cells: int, many: int, exact: bool) -> None:
    for name, value in (("tile_cells", tile_cells), ("halo_cells", halo_cells)):
        if isinstance(value, bool) or not isinstance(value, int) or value < (name == "tile_cells"):
            raise InputError(
                name, repr(value), "a positive integer" if name == "tile_cells" else "an integer, 0 or more"
            )
    if exact:
        return
    if halo_cells % many:
        raise InputError("halo_cells", halo_cells, f"a multiple of {many}, which the network halves to one cell")
    if tile_cells % many or tile_cells < 3 * halo_cells:
        raise InputError("tile_cells", tile_cells, f"a multiple of {many}, and at least 3 halos of {halo_cells}")
