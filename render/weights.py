"""What share each stored depth has at each pixel, and which stored depths a tile needs.

The kernel of a pixel is a mix of two stored depths, turned and then divided by its sum. Bilinear turning changes the
sum of a sharp kernel by up to a third, so two kernels of unit sum do not mix with the weights of the depths alone:
plane p has the share `a_p n_p / sum(a n)`, `a` linear in dioptres and `n` what the turned plane sums to at this pixel.
"""

from dataclasses import dataclass
from typing import Any, cast

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
    if depth_m.device.type == "cpu" and not (depth_m.requires_grad or planes.requires_grad):
        from psf.tile_loops import place_depths

        found = place_depths(depth_m.contiguous().numpy(), planes.numpy(), torch.get_num_threads(), np.int32)
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])
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
    shape = (len(before), len(block.rows.size), len(block.cols.size), planes)
    if device.type == "cpu":
        from . import tile_loops

        seen = torch.zeros(shape, dtype=torch.bool)
        rows, cols = (np.repeat(np.arange(len(axis.size)), axis.size) for axis in (block.rows, block.cols))
        tile_loops.mark(before.numpy(), share.detach().numpy(), rows, cols, seen.numpy())
        seen[:, block.hole[0], block.hole[1]] = False
        return seen
    tile_row = torch.repeat_interleave(torch.tensor(block.rows.size, device=device))
    tile_col = torch.repeat_interleave(torch.tensor(block.cols.size, device=device))
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
        if before.device.type != "cpu":
            return weights_reference(prepared, before, share, self.x_px, y_px, self.has_transmission)
        places = (before.contiguous(), self.x_px, y_px, self.has_transmission)
        return cast(Tensor, _Compiled.apply(prepared.sums, prepared.transmission, share, prepared, *places))


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sums: Tensor, transmission: Tensor, share: Tensor, *given: Any) -> Tensor:
        from . import weighing

        prepared, before, x_px, y_px, has_transmission = given
        out = share.new_empty((len(before), 2, prepared.channels, *before.shape[1:]))
        share = share.contiguous()
        ctx.save_for_backward(sums, transmission, share)
        ctx.tables = (prepared.radii_64, prepared.centre, before.numpy())
        ctx.places = (x_px.numpy(), y_px.numpy())
        ctx.options = {"has_transmission": has_transmission, "threads": torch.get_num_threads()}
        tables: list[Any] = [sums.detach().numpy(), transmission.detach().numpy(), *ctx.tables, share.detach().numpy()]
        weighing.weigh(*[*tables, *ctx.places, out.numpy()], **ctx.options)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from . import weighing

        sums, transmission, share = (one.detach().numpy() for one in ctx.saved_tensors)
        tables: list[Any] = [sums, transmission, *ctx.tables, share]
        tables += [*ctx.places, grads[0].contiguous().numpy()]
        found = weighing.weigh_back(*tables, **ctx.options)
        return (*(torch.from_numpy(one) for one in found), None, None, None, None, None)


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
