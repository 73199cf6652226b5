"""What share each stored depth has at each pixel, and which stored depths a tile needs.

The kernel of a pixel is a mix of two stored depths, turned and then divided by its sum. Bilinear turning changes the
sum of a sharp kernel by up to a third, so two kernels of unit sum do not mix with the weights of the depths alone:
plane p has the share `a_p n_p / sum(a n)`, `a` linear in dioptres and `n` what the turned plane sums to at this pixel.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .nodes import Prepared, angle_index, radius_index
from .tiling import Block


def plane_weights(depth_m: Tensor, depths_m: Tensor) -> tuple[Tensor, Tensor]:
    """Between which stored depths a pixel lies, linear in dioptres, clamped at both ends.

    Args:
        depth_m: Shape (...).
        depths_m: Ascending, shape (D,).

    Returns:
        The stored depth before, shape (...), integers; the share of the one after it, shape (...).
    """
    planes = -1 / depths_m  # ascends with depth, and is the dioptre but for its sign
    if len(planes) == 1:
        return torch.zeros(depth_m.shape, dtype=torch.int32, device=depth_m.device), torch.zeros_like(depth_m)
    place = (-1 / depth_m).clamp(planes[0], planes[-1])
    before = torch.searchsorted(planes, place.detach().contiguous(), right=True, out_int32=True) - 1
    before = before.clamp_(0, len(planes) - 2)
    low, gap = planes[:-1], planes.diff()
    return before, (place - low[before]) / gap[before]


def find_presence(before: Tensor, share: Tensor, block: Block, planes: int) -> Tensor:
    """Which planes have a weight in which tile.

    Args:
        before: From `plane_weights`, shape (B, H, W).
        share: From `plane_weights`, shape (B, H, W).
        block: How the pixels are cut.
        planes: D.

    Returns:
        Bool, shape (B, tile rows, tile columns, D).
    """
    device = before.device
    tile_row = torch.repeat_interleave(torch.tensor(block.rows.size, device=device))
    tile_col = torch.repeat_interleave(torch.tensor(block.cols.size, device=device))
    shape = (len(before), len(block.rows.size), len(block.cols.size), planes)
    batch = torch.arange(len(before), device=device)[:, None, None]
    tile = (batch * shape[1] + tile_row[:, None]) * shape[2] + tile_col
    found = torch.zeros(shape, dtype=torch.bool, device=device).reshape(-1)
    flat = tile * planes + before
    after = (flat + 1)[share > 0]
    found[flat[share < 1]] = True
    found[after] = True
    found = found.reshape(shape)
    found[:, block.hole[0], block.hole[1]] = False
    return found


@dataclass(frozen=True, eq=False)
class PixelPlanes:
    """Between which stored depths every pixel of a block lies, and where on the sensor it is.

    Attributes:
        before: The stored depth before, shape (B, H, W), integers.
        share: Share of the one after it, shape (B, H, W).
        x_px: Sensor column of every block column, shape (W,).
        y_px: Sensor row of every block row, shape (H,).
        has_transmission: Whether weights hold the transmission.
    """

    before: Tensor
    share: Tensor
    x_px: Tensor
    y_px: Tensor
    has_transmission: bool = True

    def weights(self, prepared: Prepared, rows: slice) -> Tensor:
        """Weights of the plane before and of the one after it in some rows, shape (B, 2, C, h, W)."""
        before, share, y_px = self.before[:, rows], self.share[:, rows], self.y_px[rows]
        tables = (prepared.sums, prepared.transmission)
        needs_grad = torch.is_grad_enabled() and any(one.requires_grad for one in (share, *tables))
        if before.device.type != "cpu" or needs_grad:
            return weights_reference(prepared, before, share, self.x_px, y_px, self.has_transmission)
        from . import gathering

        out = share.new_empty((len(before), 2, prepared.channels, *before.shape[1:]))
        gathering.weigh(
            prepared.sums.detach().numpy(),
            prepared.transmission.detach().numpy(),
            prepared.radii.detach().numpy().astype(np.float64),
            prepared.centre,
            before.contiguous().numpy(),
            share.detach().contiguous().numpy(),
            self.x_px.numpy(),
            y_px.numpy(),
            out.numpy(),
            has_transmission=self.has_transmission,
            threads=torch.get_num_threads(),
        )
        return out


def weights_reference(
    prepared: Prepared, before: Tensor, share: Tensor, x_px: Tensor, y_px: Tensor, has_transmission: bool
) -> Tensor:
    """`PixelPlanes.weights` in torch operations, which any device has.

    Args:
        prepared: Tables of sums and transmission.
        before: Shape (B, h, W).
        share: Shape (B, h, W).
        x_px: Shape (W,).
        y_px: Shape (h,).
        has_transmission: As in `PixelPlanes`.

    Returns:
        Shape (B, 2, C, h, W).
    """
    centre = prepared.centre
    u, v = x_px[None, :] - centre[0], centre[1] - y_px[:, None]
    distance = torch.hypot(u, v)
    away = distance > 0
    safe = torch.where(away, distance, 1.0)
    cosine, sine = torch.where(away, u / safe, 1.0), torch.where(away, v / safe, 0.0)
    j, j1, f = radius_index(prepared.radii, (distance / centre[2]).to(share))
    k, g = angle_index(cosine.to(share), sine.to(share), prepared.sums.shape[1])
    f, g = f[..., None], g[..., None]
    shape = (*prepared.sums.shape[:2], prepared.planes, prepared.channels)
    sums, light = prepared.sums.reshape(shape), prepared.transmission.reshape(shape[0], *shape[2:])
    amounts, lights = [], []
    for plane, part in ((before, 1 - share), ((before + 1).clamp_max(prepared.planes - 1), share)):
        plane = plane.long()
        near, far = (sums[r, k, plane] * (1 - g) + sums[r, k + 1, plane] * g for r in (j, j1))
        total = near * (1 - f) + far * f
        amounts.append(part[..., None] * total)
        lights.append(part[..., None] * (light[j, plane] * (1 - f) + light[j1, plane] * f))
    found = torch.stack(amounts) / (amounts[0] + amounts[1])
    if has_transmission:
        found = found * (lights[0] + lights[1])
    return found.permute(1, 0, 4, 2, 3)
