"""Kernels at the corners of tiles, read from a polar field so that they serve every pixel around.

With windows on the input, light from source `s` that lands at `o = s + d` is `w_j(s) K_j(d)`, summed over the corners
`s_j` of the source's tile. What it should be is the kernel of the output pixel (gather), `K_o(d)`; so tap `d` of the
node at `s_j` is read at `s_j + d`, the node's own idea of the output pixel, and the interpolation has only to follow
how `K_{s+d}(d)` changes with `s`. Scatter wants the kernel of the source: its windows lie on the output, and tap `d`
of the node at `o_j` is read at `o_j - d`.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from psf import PolarPSFField
from psf.sampling import sample, tap_weights
from psf.turning import polar_place, turning_affine

from .tiling import TILE_PX, Block

# Zeros around every stored kernel; the compiled loops count on it.
PAD = 3
# Azimuths between 0 and 90 degrees at which sums of turned kernels are known: linear in between, this limits the whole
# to some 80 dB. With "cubic" each sum is a kernel turned and clamped, so there are fewer.
ANGLES = {"bilinear": 64, "cubic": 17}
# Light of a plane that may be left out when its kernels are cropped to their support.
NEGLIGIBLE_LIGHT = 1e-7
# How far (L1) kernels may change over a tile, and the least side that tiles shrink to: a phone lens, all of its sensor
# squeezed into 512 px, changes by 1.2 over 64 px (50 dB, largest error 0.038), by 0.4 over 21 px (62 dB, 0.011).
CHANGE_PER_TILE, LEAST_TILE_PX = 0.4, 16


@dataclass(frozen=True, eq=False)
class Prepared:
    """A field as the node reader wants it.

    Attributes:
        stored: Kernels with zeros round them, shape (R, S + 2 PAD, S + 2 PAD, P C).
        sums: What a turned kernel sums to at even steps of the azimuth's index, shape (R, A, P C).
        radii: Image heights, shape (R,).
        reach_px: Distance from the middle beyond which a plane's kernels hold next to nothing, shape (P,).
        transmission: Shape (R, P C).
        planes: P, the field's depths.
        channels: C.
        kernel_px: K.
        oversample: Stored values per pixel and axis.
        turning: "bilinear" or "cubic".
        image_shape_px: The sensor's (H, W).
    """

    stored: Tensor
    sums: Tensor
    radii: Tensor
    reach_px: Tensor
    transmission: Tensor
    planes: int
    channels: int
    kernel_px: int
    oversample: int
    turning: str
    image_shape_px: tuple[int, int]

    @property
    def centre(self) -> "np.ndarray[Any, Any]":
        """Column and row of the sensor's centre, half its diagonal, shape (3,)."""
        height, width = self.image_shape_px
        return np.array([(width - 1) / 2, (height - 1) / 2, 0.5 * (height**2 + width**2) ** 0.5])

    @property
    def radii_64(self) -> "np.ndarray[Any, Any]":
        """`radii` as the compiled loops take them."""
        return np.asarray(self.radii.detach().numpy(), dtype=np.float64)


def prepare_field(field: PolarPSFField, turning: str) -> Prepared:
    """Lay a field out for `node_kernels`; depends on the field only."""
    kernels = field.kernels
    depths, radii, channels = kernels.shape[:3]
    if kernels.device.type == "cpu" and not kernels.requires_grad:
        from . import preparing

        # No torch operation that large: its threads go on spinning for a while and take the cores of those that follow.
        counts = _tap_counts(kernels.shape[-1], *_azimuths(turning, kernels))
        tables = (_rings(kernels).numpy(), counts.numpy() if turning == "bilinear" else counts.numpy()[..., :0])
        laid = preparing.lay_out(kernels.contiguous().numpy(), *tables, PAD, torch.get_num_threads())
        stored, light, sums = (torch.from_numpy(one) for one in laid)
    else:
        stored = torch.nn.functional.pad(kernels.permute(1, 3, 4, 0, 2).flatten(3), (0, 0, PAD, PAD, PAD, PAD))
        light, sums = light_by_ring(kernels.detach()), stored[:, :0, 0]
    if not sums.shape[1]:
        sums = turned_sums(field, turning).reshape(depths, radii, channels, -1).permute(1, 3, 0, 2).flatten(2)
    return Prepared(
        stored=stored.contiguous(),
        sums=sums.contiguous(),
        radii=field.radii,
        reach_px=find_reach_px(light.unflatten(1, (depths, channels)), field.oversample),
        transmission=field.transmission.transpose(0, 1).flatten(1).contiguous(),
        planes=depths,
        channels=channels,
        kernel_px=field.kernel_px,
        oversample=field.oversample,
        turning=turning,
        image_shape_px=field.image_shape_px,
    )


def _rings(kernels: Tensor) -> Tensor:
    """Distance from the middle, rounded up, of kernels (..., S, S): shape (S, S)."""
    size = kernels.shape[-1]
    offset = torch.arange(size, dtype=torch.float64, device=kernels.device) - (size - 1) / 2
    return torch.hypot(offset[:, None], offset).ceil().long()


def light_by_ring(kernels: Tensor) -> Tensor:
    """Light in each ring round the middle.

    Args:
        kernels: Shape (D, R, C, S, S).

    Returns:
        Shape (R, D C, rings).
    """
    ring = _rings(kernels).reshape(-1)
    light = kernels.transpose(0, 1).flatten(1, 2).flatten(2)
    return light.new_zeros((*light.shape[:2], int(ring.max()) + 1)).index_add_(2, ring, light)


def choose_tile_px(field: PolarPSFField) -> int:
    """Side of tiles over which a field's kernels change little enough to be interpolated.

    TILE_PX, or where a kernel's L1 distance to its neighbours grows faster than CHANGE_PER_TILE over that, a smaller
    side down to LEAST_TILE_PX: a sensor squeezed into a small picture.
    """
    kernels = field.kernels.detach()
    if kernels.shape[1] < 2:
        return TILE_PX
    if kernels.device.type == "cpu":
        from . import preparing

        change = float(preparing.change_between_radii(kernels.contiguous().numpy(), torch.get_num_threads()).sum())
    else:
        change = float((kernels[:, 1:] - kernels[:, :-1]).abs().sum((-2, -1)).mean((0, 2)).sum())
    height, width = field.image_shape_px
    span_px = float(field.radii[-1] - field.radii[0]) * 0.5 * (height**2 + width**2) ** 0.5
    side = CHANGE_PER_TILE * span_px / max(change, 1e-9)
    return int(min(TILE_PX, max(LEAST_TILE_PX, side)))


def find_reach_px(light: Tensor, oversample: int) -> Tensor:
    """Distance in pixels beyond which no kernel of a plane holds more than NEGLIGIBLE_LIGHT.

    Args:
        light: By ring, shape (R, D, C, rings).
        oversample: Stored values per pixel and axis.

    Returns:
        Shape (D,).
    """
    outside = light.flip(-1).cumsum(-1).flip(-1)  # of this ring and those beyond
    reach = (outside > NEGLIGIBLE_LIGHT).sum(-1).amax((0, 2))
    # Turning reads up to two samples beyond the support.
    return (reach + 2) / oversample + 1.0


def turned_sums(field: PolarPSFField, turning: str) -> Tensor:
    """What stored kernels sum to once they are turned, before the sum is restored.

    Args:
        field: D, R, C as its kernels have them.
        turning: "bilinear" or "cubic".

    Returns:
        Shape (D R C, A): azimuths with `sin / (sin + cos)` even from 0 to 1.
    """
    kernels = field.kernels.reshape(-1, *field.kernels.shape[-2:])
    cosine, sine = _azimuths(turning, kernels)
    if turning == "bilinear":
        return kernels.flatten(1) @ _tap_counts(kernels.shape[-1], cosine, sine).flatten(0, 1)
    index = torch.arange(len(kernels), device=kernels.device)[:, None]
    found = []
    for c, s in zip(cosine, sine, strict=True):
        affine = turning_affine(c, s).expand(len(kernels), 1, 6)
        turned = sample(
            kernels, index, torch.ones_like(affine[..., 0]), affine, field.kernel_px, field.oversample, turning
        )
        found.append(turned.clamp_min(0).sum((-2, -1)))
    return torch.stack(found, 1)


def _azimuths(turning: str, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the azimuths at which sums of turned kernels are known."""
    share = torch.linspace(0, 1, ANGLES[turning], dtype=like.dtype, device=like.device)
    length = torch.hypot(share, 1 - share)
    return (1 - share) / length, share / length


def _tap_counts(size: int, cosine: Tensor, sine: Tensor) -> Tensor:
    """How much of each stored value the taps of a turned kernel read in all, shape (S, S, A)."""
    from . import preparing

    return torch.from_numpy(preparing.count_taps(size, cosine.cpu().numpy(), sine.cpu().numpy())).to(cosine.device)


def node_kernels(
    prepared: Prepared, node_xy: "np.ndarray[Any, Any]", step: tuple[float, float], wanted: Any
) -> tuple[Tensor, "np.ndarray[Any, Any]"]:
    """Kernels of the wanted planes at some nodes.

    Args:
        prepared: From `prepare_field`.
        node_xy: Sensor columns and rows, shape (N, 2).
        step: Sensor columns and rows that one tap to the right and one tap down stand for: (1, 1) for a gather,
            (-1, -1) for a scatter, other signs in mirrored padding.
        wanted: Which planes of which node, bool, shape (N, P).

    Returns:
        Kernels, shape (M, C, K, K), and which of them is whose, -1 for none, shape (N, P).
    """
    slot = np.where(wanted, np.cumsum(wanted).reshape(wanted.shape) - 1, -1)
    node, planes = plane_runs(wanted)
    arguments = (prepared, np.ascontiguousarray(node_xy[node], dtype=np.float64), step, planes, slot[node])
    if prepared.stored.device.type == "cpu":
        return cast(Tensor, _Compiled.apply(prepared.stored, prepared.sums, *arguments)), slot
    return node_kernels_reference(*arguments), slot


def wanted_nodes(presence: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Planes that a node's tiles need, bool (rows + 1, columns + 1, P), from presence (rows, columns, P)."""
    rows, cols, planes = presence.shape
    wanted = np.zeros((rows + 1, cols + 1, planes), dtype=bool)
    for a in (0, 1):
        for b in (0, 1):
            wanted[a : a + rows, b : b + cols] |= presence
    return wanted


def tap_step(block: Block, sign: int) -> tuple[float, float]:
    """Sensor columns and rows that one tap to the right and one tap down stand for; sign: 1 gather, -1 scatter."""
    return float(sign * block.cols.place_step), float(sign * block.rows.place_step)


def block_kernels(prepared: Prepared, block: Block, presence: "np.ndarray[Any, Any]", sign: int) -> Tensor:
    """Kernels of all nodes of a block, row by row.

    Args:
        prepared: The field.
        block: How pixels are cut.
        presence: Planes of tiles, bool, shape (rows, columns, P).
        sign: 1 for a gather, -1 for a scatter.

    Returns:
        Those of `wanted_nodes`, in its order, shape (M, C, K, K).
    """
    places = [(block.cols.place_of(x), block.rows.place_of(y)) for y in block.rows.border for x in block.cols.border]
    wanted = wanted_nodes(presence).reshape(len(places), -1)
    return node_kernels(prepared, np.array(places), tap_step(block, sign), wanted)[0]


def plane_runs(wanted: "np.ndarray[Any, Any]") -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """Runs of planes that nodes want, read at once; a single unwanted one between two runs is read with them.

    Args:
        wanted: Bool, shape (N, P).

    Returns:
        Node of each run, shape (M,), and its first and last plane, shape (M, 2).
    """
    closed = np.pad(wanted, ((0, 0), (1, 1)))
    closed[:, 1:-1] |= closed[:, :-2] & closed[:, 2:]
    edges = np.diff(closed.astype(np.int8), axis=1)
    node, first = np.nonzero(edges > 0)
    last = np.nonzero(edges < 0)[1] - 1
    return node, np.stack((first, last), 1)


def numpy_tables(prepared: Prepared, step: tuple[float, float]) -> "tuple[np.ndarray[Any, Any], ...]":
    """First arguments of the compiled loops: stored, sums, radii, reach, centre and step."""
    return (
        prepared.stored.detach().numpy(),
        prepared.sums.detach().numpy(),
        prepared.radii_64,
        prepared.reach_px.numpy().astype(np.float64),
        prepared.centre,
        np.array(step, dtype=np.float64),
    )


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, stored: Tensor, sums: Tensor, *arguments: Any) -> Tensor:
        from . import gathering

        prepared, node_xy, step, planes, slot = arguments
        out = stored.new_zeros(
            (int(slot.max(initial=-1)) + 1, prepared.channels, prepared.kernel_px, prepared.kernel_px)
        )
        arrays = [*numpy_tables(prepared, step), node_xy, planes, slot]
        ctx.arrays = arrays[2:]
        ctx.options = {
            "oversample": prepared.oversample,
            "cubic": prepared.turning == "cubic",
            "threads": torch.get_num_threads(),
        }
        ctx.save_for_backward(stored, sums)
        gathering.read_nodes(*[*arrays, out.numpy()], **ctx.options)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from . import gathering

        stored, sums = (one.detach().numpy() for one in ctx.saved_tensors)
        grad = grads[0].contiguous().numpy()
        found = gathering.transpose_nodes(stored, sums, *ctx.arrays, grad, **ctx.options)  # type: ignore[call-arg,arg-type]
        return torch.from_numpy(found[0]), torch.from_numpy(found[1]), None, None, None, None, None


def node_kernels_reference(
    prepared: Prepared, node_xy: Any, step: tuple[float, float], planes: Any, slot: Any
) -> Tensor:
    """The compiled loops' twin in torch operations, which any device has.

    Args:
        prepared: As in `node_kernels`.
        node_xy: Shape (N, 2).
        step: As in `node_kernels`.
        planes: First and last plane that a node needs, shape (N, 2).
        slot: Shape (N, P), -1 where nothing is wanted.

    Returns:
        Shape (M, C, K, K).
    """
    stored, size, k = prepared.stored, prepared.stored.shape[1], prepared.kernel_px
    channels = prepared.channels
    offset = torch.arange(k, dtype=stored.dtype, device=stored.device) - k // 2
    down, right = offset[:, None].expand(k, k).reshape(-1), offset.expand(k, k).reshape(-1)
    far = torch.hypot(down, right)
    fine = torch.arange(prepared.oversample, dtype=stored.dtype, device=stored.device) - (prepared.oversample - 1) / 2
    out = []
    for (x, y), own, (first, last) in zip(node_xy.tolist(), slot, planes, strict=True):
        radius, cosine, sine = polar_place(x + step[0] * right, y + step[1] * down, prepared.image_shape_px)
        j, j1, f = radius_index(prepared.radii, radius)
        span = slice(first * channels, (last + 1) * channels)
        value = stored.new_zeros((k * k, (last + 1 - first) * channels))
        for v in fine:
            for u in fine:
                e, d = prepared.oversample * down + v, prepared.oversample * right + u
                row = (size - 1) / 2 + cosine * e + sine * d
                col = (size - 1) / 2 - sine * e + cosine * d
                value = value + _read_points(stored[..., span], row, col, j, j1, f, prepared.turning)
        if prepared.turning == "cubic":
            value = value.clamp_min(0)
        i, g = angle_index(cosine, sine, prepared.sums.shape[1])
        g = g[:, None]
        near, next_one = (prepared.sums[r, i, span] * (1 - g) + prepared.sums[r, i + 1, span] * g for r in (j, j1))
        value = value / (near * (1 - f[:, None]) + next_one * f[:, None])
        value = torch.where(far[:, None] > prepared.reach_px[first : last + 1].amax(), 0.0, value)
        kernels = value.reshape(k, k, last + 1 - first, channels).permute(2, 3, 0, 1)
        out += [kernels[p - first] for p in range(first, last + 1) if own[p] >= 0]
    return torch.stack(out) if out else stored.new_zeros((0, channels, k, k))


def radius_index(radii: Tensor, radius: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Stored radii around a place and the share of the second.

    Args:
        radii: Shape (R,).
        radius: Shape (...).

    Returns:
        Each of shape (...); beyond the ends both are the end and the share is 0.
    """
    last = len(radii) - 1
    after = torch.searchsorted(radii, radius.contiguous(), right=True)
    j, j1 = (after - 1).clamp(0, last), after.clamp(0, last)
    gap = torch.where(j == j1, 1.0, radii[j1] - radii[j])
    return j, j1, torch.where(j == j1, 0.0, (radius - radii[j]) / gap)


def angle_index(cosine: Tensor, sine: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Entry in `Prepared.sums` before an azimuth, and the share of the one after it.

    A turned kernel's sum repeats after 90 degrees, and `sin / (sin + cos)` needs no arc tangent.

    Args:
        cosine: Shape (...).
        sine: Shape (...).
        count: Entries, A.

    Returns:
        Each of shape (...).
    """
    a, b = cosine.abs(), sine.abs()
    b = torch.where(cosine * sine < 0, a, b)
    t = b / (cosine.abs() + sine.abs()) * (count - 1)
    k = t.long().clamp_max(count - 2)
    return k, t - k


def _read_points(stored: Tensor, row: Tensor, col: Tensor, j: Tensor, j1: Tensor, f: Tensor, turning: str) -> Tensor:
    size = stored.shape[1]
    r, c = row.floor(), col.floor()
    total = stored.new_zeros((len(row), stored.shape[-1]))
    for i, u in tap_weights(turning, row - r).items():
        for k, v in tap_weights(turning, col - c).items():
            inside = (r + i >= 0) & (r + i < size) & (c + k >= 0) & (c + k < size)
            where = ((r + i).clamp(0, size - 1).long(), (c + k).clamp(0, size - 1).long())
            weight = torch.where(inside, u * v, 0.0)[:, None]
            total = total + weight * ((1 - f)[:, None] * stored[(j, *where)] + f[:, None] * stored[(j1, *where)])
    return total
