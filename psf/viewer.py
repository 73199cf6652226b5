"""One HTML page to look at fields with: drag a point over the sensor, slide the depth, see the kernel.

The page holds its numbers and its script, fetches nothing and opens without a network. Its script does what
`PolarPSFField.at_pixel` does, so that what it shows between the stored depths and radii is what a renderer would use.
"""

import base64
import hashlib
import html
import json
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .errors import InputError
from .field import PolarPSFField
from .metrics import measure_l1

# A value is kept as the root of its share of the kernel's peak: one step is 2e-10 of the peak, where tails lie.
LEVELS = 65535
SCRIPTS = ("kernels.js", "drawing.js", "panels.js", "page.js")
# Kernels left out of a page that are compared with what the page makes of their neighbours.
MOST_COMPARED = 64
MOST_FIELDS = 2


@dataclass(frozen=True)
class ViewerPage:
    """A page and what is to be known of it.

    Attributes:
        html: The document.
        size_mb: Its size, in millions of bytes.
        notes: One line per field: what of it is inside, and how exactly.
    """

    html: str
    size_mb: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PackedField:
    """A field as a page holds it.

    Attributes:
        meta: What is not a long list of numbers; fit for JSON.
        data: Transmission and lost (float64), boxes (uint16 x 4: first row, first column, rows, columns) and the values
            inside the boxes (uint16), little-endian, compressed with zlib.
        kept: The field that the page shows: what was left of depths, radii and window, kernels as they were rounded.
    """

    meta: dict[str, Any]
    data: bytes
    kept: PolarPSFField


def make_page(
    fields: Sequence[PolarPSFField],
    names: Sequence[str] = (),
    depths: int | None = None,
    radii: int | None = None,
    kernel_px: int | None = None,
    most_mb: float = 16.0,
) -> ViewerPage:
    """A page that shows one field, or two beside one another.

    Args:
        fields: One or two.
        names: What they are called, as many; by default the names of their lenses.
        depths: Keep at most so many of the stored depths, at least 2, the first and the last among them.
        radii: Keep at most so many of the stored radii, likewise.
        kernel_px: Keep a window of at most this side, odd.
        most_mb: Bound of the page's size, in millions of bytes. Where a field does not fit, every other radius or
            depth is left out until it does; the note says so.

    Returns:
        The page.

    Raises:
        InputError: An argument that cannot be meant, or a bound that nothing fits in.
    """
    if not 1 <= len(fields) <= MOST_FIELDS:
        raise InputError("fields", f"{len(fields)} of them", "one or two")
    names = list(names) or [field.provenance.lens or f"field {place}" for place, field in enumerate(fields, start=1)]
    if len(names) != len(fields):
        raise InputError("names", f"{len(names)} of them", f"one for each of {len(fields)} fields")
    if not (math.isfinite(most_mb) and most_mb > 0):
        raise InputError("most_mb", most_mb, "a size above 0")
    frame = len(_fill_template([], "").encode())
    room = (1e6 * most_mb - frame) / len(fields)
    packed = [
        _pack_within(field, name, room, depths, radii, kernel_px) for field, name in zip(fields, names, strict=True)
    ]
    page = _fill_template(packed, " and ".join(names))
    return ViewerPage(page, len(page.encode()) / 1e6, tuple(_note(one) for one in packed))


def pack_field(
    field: PolarPSFField,
    name: str,
    depths: int | None = None,
    radii: int | None = None,
    kernel_px: int | None = None,
) -> PackedField:
    """A field as a page holds it; its meta tells how far that is from the field.

    Args:
        field: The field.
        name: What it is called.
        depths: As for `make_page`.
        radii: As for `make_page`.
        kernel_px: As for `make_page`.
    """
    whole = field.to(device="cpu", dtype=torch.float64)
    if kernel_px is not None and kernel_px < field.kernel_px:
        whole = whole.cropped(kernel_px)
    at_depths, at_radii = _pick("depths", depths, len(field.depths_m)), _pick("radii", radii, len(field.radii))
    thin = _thinned(whole, at_depths, at_radii)
    boxes, values, kernels = _round_kernels(thin.kernels.numpy())
    kept = replace(thin, kernels=torch.from_numpy(kernels))
    parts = (thin.transmission.numpy().astype("<f8"), thin.lost.numpy().astype("<f8"), boxes, values)
    data = zlib.compress(b"".join(part.tobytes() for part in parts), 9)
    rounding = float(measure_l1(_odd(kept.kernels), _odd(thin.kernels)).max())
    meta = {
        "name": name,
        "shape": list(kept.transmission.shape),
        "kernel_px": kept.kernel_px,
        "oversample": kept.oversample,
        "depths_m": [None if math.isinf(one) else one for one in kept.depths_m.tolist()],
        "radii": kept.radii.tolist(),
        "image_shape_px": list(kept.image_shape_px),
        "pitch_um": kept.pitch_um,
        "focus_m": None if math.isinf(kept.focus_m) else kept.focus_m,
        "magnification": kept.magnification,
        "channels": [{"name": one.name, "wavelengths_um": one.wavelengths_um} for one in kept.channels],
        "lens": field.provenance.lens,
        "source": field.provenance.source,
        "file_sha256": field.provenance.file_sha256,
        "version": field.provenance.version,
        "stored": [*field.transmission.shape[:2], field.kernel_px],
        "rounding_l1": rounding,
        "thinning_l1": _compare(kept, whole, at_depths, at_radii),
    }
    return PackedField(meta, data, kept)


def _pack_within(
    field: PolarPSFField, name: str, room: float, depths: int | None, radii: int | None, kernel_px: int | None
) -> PackedField:
    counts = [_count("depths", depths, len(field.depths_m)), _count("radii", radii, len(field.radii))]
    while True:
        packed = pack_field(field, name, counts[0], counts[1], kernel_px)
        if len(_embed(packed, 0).encode()) <= room:
            return packed
        axis = 0 if counts[0] > counts[1] else 1
        if counts[axis] <= 3:
            found = f"{len(_embed(packed, 0)) / 1e6:.2g} MB for {counts[0]} depths and {counts[1]} radii"
            raise InputError(
                "most_mb", found, f"at most {max(room, 0) / 1e6:.2g} MB; keep a smaller kernel_px, or allow more"
            )
        counts[axis] = (counts[axis] + 1) // 2


def _count(name: str, most: int | None, stored: int) -> int:
    if most is None or most == stored:
        return stored
    if isinstance(most, bool) or most < 2:
        raise InputError(name, most, "at least 2")
    return min(most, stored)


def _pick(name: str, most: int | None, stored: int) -> list[int]:
    count = _count(name, most, stored)
    return sorted({round(one) for one in np.linspace(0, stored - 1, count)})


def _thinned(field: PolarPSFField, depths: list[int], radii: list[int]) -> PolarPSFField:
    """The field with fewer nodes."""
    places = {name: getattr(field, name)[depths][:, radii] for name in ("kernels", "transmission", "lost")}
    return replace(field, **places, depths_m=field.depths_m[depths], radii=field.radii[radii])


def _round_kernels(
    kernels: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16], npt.NDArray[np.float64]]:
    """Boxes of the lit parts, the rounded roots inside them, and the kernels that these stand for."""
    shape = kernels.shape
    flat = kernels.reshape(-1, *shape[-2:])
    # What photographs' estimators leave below zero is none of a picture's light.
    light = np.maximum(flat, 0)
    roots = np.rint(np.sqrt(light / light.max((1, 2), keepdims=True)) * LEVELS).astype("<u2")
    boxes = np.zeros((len(flat), 4), dtype="<u2")
    inside = []
    for place, one in enumerate(roots):
        rows, cols = (np.flatnonzero(one.any(axis)) for axis in (1, 0))
        boxes[place] = rows[0], cols[0], rows[-1] - rows[0] + 1, cols[-1] - cols[0] + 1
        inside.append(one[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].ravel())
    squares = roots.astype(np.float64) ** 2
    return boxes, np.concatenate(inside), (squares / squares.sum((1, 2), keepdims=True)).reshape(shape)


def _odd(kernels: Tensor) -> Tensor:
    """With a column and a row of zeros where the side is even, as that of a fine kernel may be."""
    grow = 1 - kernels.shape[-1] % 2
    return torch.nn.functional.pad(kernels, (0, grow, 0, grow))


def _compare(kept: PolarPSFField, whole: PolarPSFField, depths: list[int], radii: list[int]) -> list[float] | None:
    """Mean and greatest L1 distance of left-out kernels from what is shown in their place; None if none is left out."""
    stored = [(d, r) for d in range(len(whole.depths_m)) for r in range(len(whole.radii))]
    left_out = [(d, r) for d, r in stored if d not in depths or r not in radii]
    if not left_out:
        return None
    some = [left_out[round(one)] for one in np.linspace(0, len(left_out) - 1, min(MOST_COMPARED, len(left_out)))]
    d, r = (torch.tensor(one) for one in zip(*some, strict=True))
    place = (whole.radii[r], whole.depths_m[d])
    apart = measure_l1(kept.at(*place), whole.at(*place)).amax(-1)
    return [float(apart.mean()), float(apart.max())]


def _note(packed: PackedField) -> str:
    meta = packed.meta
    depths, radii = meta["shape"][:2]
    stored = meta["stored"]
    sizes = zip((depths, radii, meta["kernel_px"]), stored, ("depths", "image heights", "px"), strict=True)
    inside = ", ".join(f"{here} {what}" if here == of else f"{here} of {of} {what}" for here, of, what in sizes)
    thinning = meta["thinning_l1"]
    between = "" if thinning is None else f", left-out kernels within {thinning[1]:.1g} (mean {thinning[0]:.1g})"
    return f"{meta['name']}: {inside}; kernels within {meta['rounding_l1']:.0e} of the field's{between}"


def _embed(packed: PackedField, place: int) -> str:
    # "<" would end a script element; JSON has another word for it.
    meta = json.dumps(packed.meta, ensure_ascii=False).replace("<", "\\u003c")
    data = base64.b64encode(packed.data).decode()
    return (
        f'<script type="application/json" id="meta-{place}">{meta}</script>\n'
        f'<script type="text/plain" id="data-{place}">{data}</script>\n'
    )


def _fill_template(packed: Sequence[PackedField], title: str) -> str:
    folder = files(__package__) / "view_page"
    text = {name: (folder / name).read_text(encoding="utf-8") for name in ("page.html", "style.css", *SCRIPTS)}
    script = '"use strict";\n(() => {\n' + "\n".join(text[name] for name in SCRIPTS) + "})();\n"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {
        # This script runs and no other; nothing is fetched.
        "policy": f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:",
        "title": html.escape(title),
        "style": text["style.css"],
        "data": "".join(_embed(one, place) for place, one in enumerate(packed)),
        "script": script,
    }
    return re.sub(r"@@(\w+)@@", lambda match: parts[match.group(1)], text["page.html"])
