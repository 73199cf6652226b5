"""PSF fields in HDF5 files, readable with h5py alone.

Layout, version 1 (`docs/field_format.md` says the same with examples). D depths, R radii, C channels, S = oversample
times kernel_px stored values per side.

| name | type, shape | unit | meaning |
|---|---|---|---|
| `/` attribute `format` | text | | `psfield.PolarPSFField` |
| `/` attribute `format_version` | integer | | 1 |
| `/` attribute `image_shape_px` | integer (2,) | px | sensor's height, width |
| `/` attribute `pitch_um` | float | um | sensor's pixel pitch |
| `/` attribute `focus_m` | float | m | focus, `inf` allowed |
| `/` attribute `magnification` | float | 1 | image scale against the reference focus |
| `/` attribute `oversample` | integer | 1 | stored values per pixel and axis |
| `/` attribute `provenance` | text | | JSON: lens, source, file_sha256, version, arguments |
| `/kernels` | float (D, R, C, S, S) | share of the light | azimuth 0, rows down, columns right, unit sum |
| `/transmission` | float (D, R, C) | share of the axis's | relative illumination |
| `/lost` | float (D, R, C) | share of the light | outside the window |
| `/depths_m` | float (D,) | m | ascending, `inf` allowed |
| `/radii` | float (R,) | half diagonal | ascending, 0 to 1 |
| `/channels/0` ... | group per channel, attribute `name` | | in the order of C |
| `/channels/0/wavelengths_um` | float (L,) | um | may be empty |
| `/channels/0/weights` | float (L,) | 1 | share of each wavelength |

Every data set has an attribute `unit`. All are little-endian IEEE floats, float32 or float64, compressed with gzip
after byte shuffling and protected by checksums.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .channels import Channel
from .errors import InputError, one_line
from .field import PolarPSFField
from .provenance import Provenance
from .runs import whole_file

if TYPE_CHECKING:
    import h5py

FORMAT = "psfield.PolarPSFField"
FORMAT_VERSION = 1
UNITS = {
    "kernels": "share of the light",
    "transmission": "share of the axis's",
    "lost": "share of the light",
    "depths_m": "m",
    "radii": "half diagonal",
}
CHANNEL_UNITS = {"wavelengths_um": "um", "weights": "1"}
ATTRIBUTES = ("format_version", "image_shape_px", "pitch_um", "focus_m", "magnification", "oversample", "provenance")


def write_field(field: PolarPSFField, path: str | os.PathLike[str]) -> None:
    """Write a field; a file of that name is replaced once the new one is whole.

    Args:
        field: What to write.
        path: Where to; its folder must exist.
    """
    import h5py

    with whole_file(path) as part, h5py.File(part, "x") as file:
        _fill(file, field)


def _fill(file: h5py.File, field: PolarPSFField) -> None:
    file.attrs["format"] = FORMAT
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["image_shape_px"] = np.array(field.image_shape_px, dtype="<i8")
    for name in ("pitch_um", "focus_m", "magnification"):
        file.attrs[name] = float(getattr(field, name))
    file.attrs["oversample"] = field.oversample
    file.attrs["provenance"] = field.provenance.to_json()
    for name, unit in UNITS.items():
        values = getattr(field, name).detach().cpu().numpy()
        # One chunk per place: reading one kernel does not unpack the file.
        chunks = (1, 1, *values.shape[2:]) if name == "kernels" else values.shape
        _put(file, name, values, unit, chunks)
    for index, channel in enumerate(field.channels):
        group = file.create_group(f"channels/{index}")
        group.attrs["name"] = channel.name
        for name, unit in CHANNEL_UNITS.items():
            group.create_dataset(name, data=np.array(getattr(channel, name), dtype="<f8")).attrs["unit"] = unit


def _put(group: h5py.Group, name: str, values: Any, unit: str, chunks: tuple[int, ...]) -> None:
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    options = {"compression": "gzip", "compression_opts": 4, "shuffle": True, "fletcher32": True}
    group.create_dataset(name, data=little, chunks=chunks, **options).attrs["unit"] = unit


def load(path: str | os.PathLike[str]) -> PolarPSFField:
    """Read a field that `PolarPSFField.save` wrote.

    Args:
        path: The file.

    Returns:
        The field, on the CPU, in the floating type it was written in.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: The file is something else, of another version, damaged or inconsistent; names the file and the
            data set.
    """
    import h5py

    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no such file")
    try:
        file = h5py.File(source, "r")
    except OSError as error:
        raise InputError(
            str(source), f"a file that HDF5 cannot open ({one_line(error)})", "a PSF field in HDF5"
        ) from error
    try:
        with file:
            return _read(file, str(source))
    except InputError:
        raise
    # A file that HDF5 can open and not read on may look like anything to it.
    except Exception as error:
        raise InputError(str(source), f"a file that HDF5 cannot read ({one_line(error)})", "a whole field") from error


def _read(file: h5py.File, source: str) -> PolarPSFField:
    form = file.attrs.get("format")
    if form != FORMAT:
        raise InputError(f"{source}: attribute format", repr(form), repr(FORMAT))
    for name in ATTRIBUTES:
        if name not in file.attrs:
            raise InputError(f"{source}: attribute {name}", "nothing", "a value")
    version = file.attrs["format_version"]
    if version != FORMAT_VERSION:
        raise InputError(
            f"{source}: attribute format_version", version, f"{FORMAT_VERSION}; a newer psfield may read it"
        )
    arrays = {name: torch.from_numpy(_get(file, name, unit, source)) for name, unit in UNITS.items()}
    try:
        return PolarPSFField(
            **arrays,
            image_shape_px=tuple(int(one) for one in np.ravel(file.attrs["image_shape_px"])),  # type: ignore[arg-type]
            pitch_um=float(file.attrs["pitch_um"]),
            channels=_channels(file, source),
            focus_m=float(file.attrs["focus_m"]),
            magnification=float(file.attrs["magnification"]),
            oversample=int(file.attrs["oversample"]),
            provenance=Provenance.from_json(str(file.attrs["provenance"])),
        )
    except InputError as error:
        if error.where.startswith(source):
            raise
        raise InputError(
            f"{source}: {error.where.removeprefix('PolarPSFField.')}", error.found, error.expected
        ) from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{source}: attributes", one_line(error), "values as docs/field_format.md has them") from error


def _channels(file: h5py.File, source: str) -> tuple[Channel, ...]:
    import h5py

    group = file.get("channels")
    if not isinstance(group, h5py.Group) or not len(group):
        raise InputError(f"{source}: channels", "nothing", "a group per channel")
    found = []
    for index in range(len(group)):
        one = group.get(str(index))
        if not isinstance(one, h5py.Group) or "name" not in one.attrs:
            raise InputError(f"{source}: channels/{index}", "nothing", "a group with an attribute name")
        numbers = (_get(one, name, unit, source) for name, unit in CHANNEL_UNITS.items())
        found.append(Channel(str(one.attrs["name"]), *(tuple(map(float, values)) for values in numbers)))
    return tuple(found)


def _get(group: h5py.Group, name: str, unit: str, source: str) -> Any:
    import h5py

    where = f"{source}: {group.name.lstrip('/')}/{name}".replace(": /", ": ")
    dataset = group.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(where, "nothing", "a data set")
    if dataset.dtype.kind != "f" or dataset.dtype.itemsize not in (4, 8):
        raise InputError(where, f"type {dataset.dtype}", "float32 or float64")
    if dataset.attrs.get("unit") != unit:
        raise InputError(f"{where}, attribute unit", repr(dataset.attrs.get("unit")), repr(unit))
    try:
        values = dataset[()]
    except (OSError, RuntimeError) as error:
        raise InputError(where, f"data that cannot be read ({one_line(error)})", "a whole data set") from error
    return np.atleast_1d(values.astype(values.dtype.newbyteorder("="), copy=False))
