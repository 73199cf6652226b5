"""Pictures that look alike: 64 bits of each, and which differ in few of them.

The bits are signs of the lowest spatial frequencies (a DCT of 32 x 32 px of brightness) against their median. Another
size, a little crop, compression, another exposure change few of them; another scene changes half.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE_PX, KEPT = 32, 8
# Two scenes that have nothing to do with each other differ in so few bits once in 2e9 pairs, if their bits are even.
NEAR_BITS = 8
ROWS_AT_ONCE = 512


def find_fingerprint(small: npt.NDArray[Any]) -> int:
    """The 64 bits of a picture.

    Args:
        small: A small copy, upright, uint8, shape (h, w, 3).
    """
    from scipy.fft import dctn

    grey = Image.fromarray(np.ascontiguousarray(small)).convert("L").resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
    # Without the lowest row and column: light that fades from one side to the other is in most pictures.
    waves = dctn(np.asarray(grey, np.float64), norm="ortho")[1 : KEPT + 1, 1 : KEPT + 1].ravel()
    bits = waves > np.median(waves)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def find_lookalikes(fingerprints: Sequence[int], within_bits: int = NEAR_BITS) -> Iterator[tuple[int, int]]:
    """Pairs of places whose fingerprints differ in at most so many bits, the smaller place first.

    Of places with the same fingerprint only the first is paired with others, and each of them with the first.
    """
    firsts: dict[int, int] = {}
    for place, code in enumerate(fingerprints):
        first = firsts.setdefault(code, place)
        if first != place:
            yield first, place
    codes, places = np.array(list(firsts), np.uint64), list(firsts.values())
    for start in range(0, len(codes), ROWS_AT_ONCE):
        rows = codes[start : start + ROWS_AT_ONCE]
        differ = np.bitwise_count(rows[:, None] ^ codes[None, start:])
        for row, column in np.argwhere(differ <= within_bits).tolist():
            if column > row:
                yield places[start + row], places[start + column]
