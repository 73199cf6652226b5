"""One gather or scatter over the blocks of a picture: compiled tiles on a CPU, torch operations elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from psf import InputError

from .node_sources import FieldNodes, KeptNodes, KernelNodes
from .nodes import Prepared, block_kernels, tap_step, wanted_nodes
from .reference import pad_picture
from .spectra import BlockSpectra, NodeRow, NodeSource, gather_block, scatter_block, spectra_source
from .tile_jobs import BlockTiles
from .tile_jobs import NodeRow as TileRow
from .tile_jobs import NodeSource as TileSource
from .tile_sums import BlockPlanes, BlockSum, differentiable_sum
from .tiling import Block
from .weights import PixelPlanes, find_presence

Array = np.ndarray[Any, Any]
# What the normalised form divides by at least: light that reaches a pixel at all.
LEAST_WEIGHT = 1e-6


@dataclass(frozen=True, eq=False)
class Pass:
    """What the gathers and scatters of one call share.

    Attributes:
        prepared: The field.
        blocks: The picture's.
        kept: Spectra of each block, or None where they are made from the field.
        before: First plane of each pixel, int32, shape (B, H, W).
        share: Share of the next one, shape (B, H, W).
        memory_mb: About how much may be used.
        is_compiled: Compiled tiles, which a CPU has, in place of torch operations.
        on_row: Called, by one thread at a time, when a row of tiles is done without gradients on a CPU.
    """

    prepared: Prepared
    blocks: list[Block]
    kept: list[BlockSpectra | None]
    before: Tensor
    share: Tensor
    memory_mb: float
    is_compiled: bool
    on_row: Callable[[int], None] | None = None

    def gather(self, image: Tensor, padding: str) -> Tensor:
        """Every pixel its own kernel: shape (B, C, H, W), as `image`; `padding` as in `pad_picture`."""
        margin = self.prepared.kernel_px - 1
        is_plain = self.is_compiled and not self._needs_grad(image)
        if is_plain:  # no large torch operation: see `prepare_field`
            padded = torch.from_numpy(_pad(image.numpy(), margin // 2, padding))
            out = torch.from_numpy(np.zeros(image.shape, padded.numpy().dtype))
        else:
            padded, out = pad_picture(image, margin // 2, padding), torch.zeros_like(image)
        for block, kept in zip(self.blocks, self.kept, strict=True):
            y, x, height, width = block.rows.source_0, block.cols.source_0, block.rows.length, block.cols.length
            before, share = sources((self.before, self.share), block)
            presence: Array = find_presence(before, share, block, self.prepared.planes).cpu().numpy()
            if not presence.any():
                continue
            own = padded[..., y : y + height + margin, x : x + width + margin]
            planes = _planes(before, share, block)
            if not self.is_compiled:
                strip = _strip_tiles(presence, block, image, self.memory_mb)
                source = self._torch_source(block, kept, 1)
                done = gather_block(own, planes, self.prepared, presence, block, source, margin + 1, strip)
                out[..., y : y + height, x : x + width] += done
            elif not is_plain:
                out[..., y : y + height, x : x + width] += self._differentiable(own, planes, presence, block, kept, 1)
            else:
                given = BlockPlanes(
                    self.before.numpy(), self.share.numpy(), (y, x), planes.x_px.numpy(), planes.y_px.numpy(),
                    self.prepared, has_transmission=True,
                )  # fmt: skip
                tiles = self._block_tiles(block, presence, 1)
                source_of = self._tile_source(block, presence, kept, 1)
                BlockSum(tiles, given, torch.get_num_threads()).gather(
                    source_of, padded.numpy(), (y, x), out.numpy(), self.on_row
                )
        return out

    def scatter(self, light: Tensor, has_transmission: bool = True) -> Tensor:
        """What every pixel leaves with its own kernel: shape (B, C, H, W), as `light`."""
        height, width = light.shape[-2:]
        half = self.prepared.kernel_px // 2
        margin = 2 * half
        canvas = _zeros(light, (*light.shape[:2], height + 2 * margin, width + 2 * margin))
        for block, kept in zip(self.blocks, self.kept, strict=True):
            own_light, before, share = sources((light, self.before, self.share), block)
            presence: Array = find_presence(before, share, block, self.prepared.planes).cpu().numpy()
            if not presence.any():
                continue
            planes = _planes(before, share, block, has_transmission)
            if not self.is_compiled:
                strip = _strip_tiles(presence, block, light, self.memory_mb)
                source = self._torch_source(block, kept, -1)
                landed = scatter_block(own_light, planes, self.prepared, presence, block, source, margin + 1, strip)
            elif self._needs_grad(own_light):
                landed = self._differentiable(own_light, planes, presence, block, kept, -1)
            else:
                given = BlockPlanes(
                    before.contiguous().numpy(), share.contiguous().numpy(), (0, 0), planes.x_px.numpy(),
                    planes.y_px.numpy(), self.prepared, has_transmission,
                )  # fmt: skip
                landed = _zeros(light, (*light.shape[:2], block.rows.length + margin, block.cols.length + margin))
                done = BlockSum(self._block_tiles(block, presence, -1), given, torch.get_num_threads())
                source_of = self._tile_source(block, presence, kept, -1)
                done.scatter(source_of, own_light.contiguous().numpy(), landed.numpy(), self.on_row)
            x, y = block.canvas_xy
            place = (..., slice(y, y + landed.shape[-2]), slice(x, x + landed.shape[-1]))
            if self.is_compiled and not landed.requires_grad:
                canvas.detach().numpy()[place] += landed.numpy()
            else:
                canvas[place] += landed
        return canvas[..., margin : margin + height, margin : margin + width]

    def normalised(self, image: Tensor, window: tuple[int, int]) -> Tensor:
        """`scatter` over what a picture of ones would give: shape (B, C, H, W), as `image`.

        Both go through the same node spectra, as one batch; light is lost before, pixel by pixel.
        """
        x, y = (first + torch.arange(n).double() for first, n in zip(window, image.shape[:1:-1], strict=True))
        planes = PixelPlanes(self.before, self.share, x.to(image.device), y.to(image.device))
        light = image * planes.weights(self.prepared, slice(None)).sum(1)
        both = replace(self, before=torch.cat((self.before, self.before)), share=torch.cat((self.share, self.share)))
        lit, weight = both.scatter(torch.cat((light, torch.ones_like(light))), has_transmission=False).chunk(2)
        return lit / weight.clamp_min(LEAST_WEIGHT)

    def _needs_grad(self, picture: Tensor) -> bool:
        tables = (self.prepared.stored, self.prepared.sums, self.prepared.transmission)
        return torch.is_grad_enabled() and any(one.requires_grad for one in (picture, self.share, *tables))

    def _differentiable(
        self, picture: Tensor, planes: PixelPlanes, presence: Array, block: Block, kept: BlockSpectra | None, sign: int
    ) -> Tensor:
        """One block with gradients; all of its node kernels are held at once."""
        tiles = BlockTiles(block, presence, self.prepared.kernel_px, sign, presence.shape[2])
        weights = planes.weights(self.prepared, slice(None))
        given = BlockPlanes(
            planes.before.contiguous().numpy(), planes.share.detach().contiguous().numpy(), (0, 0),
            planes.x_px.numpy(), planes.y_px.numpy(), self.prepared, planes.has_transmission,
        )  # fmt: skip
        block_sum = BlockSum(tiles, given, torch.get_num_threads())
        if kept is not None:
            source = self._tile_source(block, presence, kept, sign)
            return differentiable_sum(picture, weights, None, block_sum, source)
        kernels = block_kernels(self.prepared, block, np.any(presence, 0), sign)
        nodes = KernelNodes(kernels.detach().numpy(), block, wanted_nodes(np.any(presence, 0)))
        return differentiable_sum(picture, weights, kernels, block_sum, nodes)

    def _block_tiles(self, block: Block, presence: Array, sign: int) -> BlockTiles:
        tall, wide = block.fft_shape
        spectrum_mb = self.prepared.channels * tall * (wide + 2) * self.prepared.stored.element_size() / 1e6
        # Three rows of nodes: those of the tiles, and the one being made.
        column_mb = 3 * spectrum_mb * max(1, int(np.any(presence, 0).sum(-1).max()))
        strip = max(1, int(self.memory_mb / column_mb))
        return BlockTiles(block, presence, self.prepared.kernel_px, sign, strip)

    def _tile_source(self, block: Block, presence: Array, kept: BlockSpectra | None, sign: int) -> TileSource:
        wanted = wanted_nodes(np.any(presence, 0))
        if kept is None:
            return FieldNodes(self.prepared, block, wanted, tap_step(block, sign))
        for row, slot in enumerate(kept.slots):
            _refuse_others(wanted[row], slot)
        rows = zip(kept.rows, kept.moments, kept.slots, strict=True)
        return KeptNodes(tuple(TileRow(values.numpy(), m.double().numpy(), slot) for values, m, slot in rows))

    def _torch_source(self, block: Block, kept: BlockSpectra | None, sign: int) -> NodeSource:
        if kept is None:
            return spectra_source(self.prepared, block, sign)

        def source(row: int, first: int, end: int, wanted: Array) -> NodeRow:
            values, moments, slot = kept.source(row, first, end, wanted)
            _refuse_others(wanted, slot)
            return values, moments, slot

        return source


def _zeros(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    if like.device.type != "cpu":
        return like.new_zeros(shape)
    return torch.from_numpy(np.zeros(shape, like.detach().numpy().dtype))


def _pad(picture: Array, margin_px: int, padding: str) -> Array:
    """`pad_picture` in numpy."""
    (height, width), m = picture.shape[-2:], margin_px
    out = np.zeros((*picture.shape[:2], height + 2 * m, width + 2 * m), picture.dtype)
    out[..., m : m + height, m : m + width] = picture
    if padding == "reflect":
        out[..., m : m + height, :m] = picture[..., m:0:-1]
        out[..., m : m + height, m + width :] = picture[..., -2 : -2 - m : -1]
        out[..., :m, :] = out[..., 2 * m : m : -1, :]
        out[..., m + height :, :] = out[..., m + height - 2 : height - 2 : -1, :]
    elif padding == "replicate":
        out[..., m : m + height, :m] = picture[..., :1]
        out[..., m : m + height, m + width :] = picture[..., -1:]
        out[..., :m, :] = out[..., m : m + 1, :]
        out[..., m + height :, :] = out[..., m + height - 1 : m + height, :]
    return out


def without_gradients(prepared: Prepared) -> Prepared:
    """The same tables as constants."""
    tensors = ("stored", "sums", "transmission", "radii")
    return replace(prepared, **{name: getattr(prepared, name).detach() for name in tensors})


def sources(pictures: tuple[Tensor, ...], block: Block) -> list[Tensor]:
    """The block's own pixels of pictures (..., H, W): a view of them, or mirrored or repeated copies."""
    if block.rows.place_step == block.cols.place_step == 1:
        rows, cols = (slice(axis.source_0, axis.source_0 + axis.length) for axis in (block.rows, block.cols))
        return [one[..., rows, cols] for one in pictures]
    y, x = (axis.sources().to(pictures[0].device) for axis in (block.rows, block.cols))
    return [one[..., y[:, None], x] for one in pictures]


def _refuse_others(wanted: Array, slot: Array) -> None:
    """A picture may ask for no spectra that its plan does not hold."""
    if bool((wanted & (slot < 0)).any()):
        raise InputError("depth_m", "depths that the plan was not made for", "those of plan_pixelwise")


def _planes(before: Tensor, share: Tensor, block: Block, has_transmission: bool = True) -> PixelPlanes:
    x, y = (axis.place_0 + axis.place_step * torch.arange(axis.length).double() for axis in (block.cols, block.rows))
    return PixelPlanes(before, share, x.to(share.device), y.to(share.device), has_transmission)


def _strip_tiles(presence: Array, block: Block, image: Tensor, memory_mb: float) -> int:
    """Columns of tiles that the budget allows at once."""
    batch, channels = image.shape[:2]
    tall, wide = block.fft_shape
    spectrum_mb = channels * tall * (wide + 2) * image.element_size() / 1e6
    pairs = presence.sum((0, 3)).max()
    planes = np.any(presence, 0).sum(-1).max()
    # Windows of tiles, products and their parts, two rows of nodes and the one being made.
    column_mb = spectrum_mb * (6 * batch + 5 * pairs + 8 * planes)
    return max(1, int(memory_mb / column_mb))
