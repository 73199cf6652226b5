"""A NAFNet run over a frame too large for one piece, block by block, with the result of one piece.

Only the channel weights look farther than a few cells: they need means over the frame, or over boxes of it, that no
tile has. So every block is run over the whole frame, in strips of rows, before the next begins: first what the means
are taken of, then, cell by cell and in place, the rest. Two feature maps of the full size and the skips are all that
is kept.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from .local_means import RowMeans
from .nafnet import NAFBlock, NAFNet, multiply_halves, shrink_box

Step = Callable[[], None]


def run_strips(
    network: NAFNet,
    planes: Tensor,
    *,
    box_cells: int | None = None,
    strip_cells: int = 1 << 16,
    on_progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """What `network(planes, box_cells)` returns, in bounded memory and without a gradient.

    Args:
        network: Any NAFNet.
        planes: Shape (B, in_planes, H, W).
        box_cells: As in `NAFNet.forward`.
        strip_cells: About how many cells of the full size a strip has.
        on_progress: Called with steps done and in all; a block is a step, and so is every change of size.

    Returns:
        Shape (B, out_planes, H, W).
    """
    network.check_planes(planes, box_cells)
    config = network.config
    blocks = sum(config.encoder_blocks) + config.middle_blocks + sum(config.decoder_blocks)
    total, done = len(planes) * (blocks + 2 * config.levels + 2), 0

    def step() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(done, total)

    out = planes.new_empty((len(planes), config.out_planes, *planes.shape[-2:]))
    with torch.no_grad():
        for picture, result in zip(planes.split(1), out.split(1), strict=True):
            _run_picture(network, picture, box_cells, strip_cells, step, result)
    return out


def _run_picture(
    network: NAFNet, picture: Tensor, box_cells: int | None, strip_cells: int, step: Step, out: Tensor
) -> None:
    config = network.config
    width = picture.shape[-1]
    padded = network.pad(picture)
    # The same number of rows at every size: half as many columns, twice as many channels.
    rows = max(1, strip_cells // padded.shape[-1])
    features = _new(padded, config.width, 0)
    for start, stop in _strips(padded, rows):
        features[:, :, start:stop] = _convolve_rows(network.intro, padded, start, stop)
    step()
    skips = []
    for level, (blocks, down) in enumerate(zip(network.encoders, network.downs, strict=True)):
        _run_blocks(blocks, features, rows, shrink_box(box_cells, level), step)
        skips.append(features)
        features = _new(padded, 2 * features.shape[1], level + 1)
        for start, stop in _strips(features, rows):
            features[:, :, start:stop] = down(skips[-1][:, :, 2 * start : 2 * stop])
        step()
    _run_blocks(network.middle, features, rows, shrink_box(box_cells, config.levels), step)
    for count, (up, blocks) in enumerate(zip(network.ups, network.decoders, strict=True)):
        larger = skips.pop()
        for start, stop in _strips(features, rows):
            larger[:, :, 2 * start : 2 * stop] += functional.pixel_shuffle(up(features[:, :, start:stop]), 2)
        features = larger
        del larger
        step()
        _run_blocks(blocks, features, rows, shrink_box(box_cells, config.levels - 1 - count), step)
    for start, stop in _strips(out, rows):
        found = _convolve_rows(network.ending, features, start, stop)
        out[:, :, start:stop] = network.compose(found, padded[:, :, start:stop])[..., :width]
    step()


def _run_blocks(blocks: nn.Module, features: Tensor, rows: int, box_cells: int | None, step: Step) -> None:
    """All blocks of a stage, in place."""
    gated = None
    for block in blocks.children():
        gated = torch.empty_like(features) if gated is None else gated
        _run_block(block, features, gated, rows, box_cells)  # type: ignore[arg-type]
        step()


def _run_block(block: NAFBlock, features: Tensor, gated: Tensor, rows: int, box_cells: int | None) -> None:
    height, width = features.shape[-2:]
    sums = features.new_zeros(features.shape[1], dtype=torch.float64)
    for start, stop in _strips(features, rows):
        strip = multiply_halves(_convolve_rows(block.conv2, features, start, stop, block.widen))
        sums += strip.sum((0, 2, 3), dtype=torch.float64)
        gated[:, :, start:stop] = strip
    whole = (sums / (height * width)).to(features.dtype)[None, :, None, None]
    boxes = None if box_cells is None or box_cells >= max(height, width) else RowMeans(gated[0], box_cells)
    for start, stop in _strips(features, rows):
        own = whole if boxes is None else boxes.rows(start, stop)[None]
        features[:, :, start:stop] = block.finish(features[:, :, start:stop], gated[:, :, start:stop], own)


def _convolve_rows(
    layer: nn.Conv2d, frame: Tensor, start: int, stop: int, prepare: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Rows `start` to `stop` of a 3x3 convolution of the prepared frame, which has zeros around it."""
    first, last = max(0, start - 1), min(frame.shape[2], stop + 1)
    source = frame[:, :, first:last]
    source = source if prepare is None else prepare(source)
    above, below = first - (start - 1), stop + 1 - last
    if above or below:
        source = functional.pad(source, (0, 0, above, below))
    return functional.conv2d(source, layer.weight, layer.bias, padding=(0, 1), groups=layer.groups)


def _new(like: Tensor, channels: int, level: int) -> Tensor:
    """An empty feature map; channels last, so that rows of it are one piece of memory."""
    shape = (1, channels, like.shape[2] >> level, like.shape[3] >> level)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _strips(frame: Tensor, rows: int) -> Iterator[tuple[int, int]]:
    height = frame.shape[2]
    for start in range(0, height, rows):
        yield start, min(height, start + rows)
