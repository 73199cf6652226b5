"""Before and after: both pictures side by side, and below them the same detail of each, enlarged."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from psf import InputError

COLUMN_PX, GAP_PX, TEXT_PX = 800, 12, 22
DETAIL_PX, ENLARGED = 200, 4  # a detail fills its column: 200 x 4
PAPER, INK, MARK = (255, 255, 255), (20, 20, 20), (255, 200, 0)
# Structure of this size, in pixels, is what restoring brings out; finer is noise, coarser was there before.
FINE_PX, COARSE_PX = 3, 9


def draw_comparison(
    before: Tensor, after: Tensor, *, caption: str = "", detail_px: tuple[int, int] | None = None
) -> Any:
    """A picture of two pictures.

    Args:
        before: sRGB from 0 to 1, shape (1, 3, H, W).
        after: Likewise.
        caption: A line below them.
        detail_px: Column and row of the detail's first pixel; by default where `find_detail` says.

    Returns:
        A `PIL.Image.Image` of RGB, two columns of 800 px wide.
    """
    from PIL import Image, ImageDraw, ImageFont

    _check_pair(before, after)
    height, width = before.shape[-2:]
    side = min(DETAIL_PX, height, width)
    left, top = find_detail(before, after) if detail_px is None else detail_px
    if not (0 <= left <= width - side and 0 <= top <= height - side):
        expected = f"a place for {side} x {side} px inside {width} x {height} px"
        raise InputError("detail_px", (left, top), expected)
    tall_px = max(1, round(height * COLUMN_PX / width))
    shown_px = DETAIL_PX * ENLARGED
    line_px = TEXT_PX + GAP_PX
    sheet_px = (2 * COLUMN_PX + 3 * GAP_PX, 3 * line_px + tall_px + shown_px + 2 * GAP_PX)
    sheet = Image.new("RGB", sheet_px, PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT_PX)
    for column, (name, picture) in enumerate((("before", before), ("after", after))):
        x = GAP_PX + column * (COLUMN_PX + GAP_PX)
        draw.text((x, GAP_PX // 2), name, INK, font)
        whole = functional.interpolate(picture.float(), (tall_px, COLUMN_PX), mode="bilinear", antialias=True)
        sheet.paste(_to_image(whole), (x, line_px))
        scale = COLUMN_PX / width
        corners = [x + left * scale, line_px + top * scale, x + (left + side) * scale, line_px + (top + side) * scale]
        draw.rectangle(corners, outline=MARK, width=2)
        detail = _to_image(picture[..., top : top + side, left : left + side])
        y = line_px + tall_px + GAP_PX
        draw.text((x, y), f"{name}: {side} x {side} px from column {left}, row {top}", INK, font)
        sheet.paste(detail.resize((shown_px, shown_px), Image.Resampling.NEAREST), (x, y + line_px))
    draw.text((GAP_PX, sheet_px[1] - line_px), caption, INK, font)
    return sheet


def find_detail(before: Tensor, after: Tensor, *, side_px: int = DETAIL_PX) -> tuple[int, int]:
    """Where most structure was gained.

    Args:
        before: sRGB from 0 to 1, shape (1, 3, H, W).
        after: Likewise.
        side_px: Of the square that is looked for; smaller in smaller pictures.

    Returns:
        Column and row of its first pixel.
    """
    _check_pair(before, after)
    side = min(side_px, *before.shape[-2:])
    gained = _find_structure(after) - _find_structure(before)
    step = max(1, side // 4)
    means = functional.avg_pool2d(gained, side, step)[0, 0]
    best = int(means.argmax())
    return best % means.shape[1] * step, best // means.shape[1] * step


def _find_structure(picture: Tensor) -> Tensor:
    """Energy of a band of sizes, of the mean of the colours, (1, 3, H, W) to (1, 1, H, W)."""
    grey = picture.float().mean(1, keepdim=True)
    bands = [functional.avg_pool2d(grey, side, 1, side // 2, count_include_pad=False) for side in (FINE_PX, COARSE_PX)]
    return (bands[0] - bands[1]).square()


def _to_image(picture: Tensor) -> Any:
    from PIL import Image

    levels = (picture[0].detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(levels.movedim(0, -1).contiguous().numpy())


def _check_pair(before: Tensor, after: Tensor) -> None:
    for name, picture in (("before", before), ("after", after)):
        shape = tuple(picture.shape)
        if len(shape) != 4 or shape[:2] != (1, 3) or 0 in shape[2:] or not picture.is_floating_point():
            raise InputError(name, f"{picture.dtype} of shape {shape}", "floats of shape (1, 3, H, W)")
    if before.shape != after.shape:
        raise InputError("after", f"shape {tuple(after.shape)}", f"{tuple(before.shape)}, as before has")
