"""Whether a photograph is of the camera that a network was trained for, and where on that camera's sensor it lies.

A network knows one lens and one sensor. The sensor is checked by the size of the picture. The lens cannot be seen in a
RAW file: only photographs of the simulated camera bear the lens's own name, makers write names of their own. So whoever
restores says with a field file which lens it was, and the field's numbers decide.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from psf import InputError, PolarPSFField
from render import RawFile
from render.camera import Camera

from ..field_files import hash_field
from ..synthesis_options import read_field
from .notes import RestorerNotes

# Makers show some pixels more or less at the borders than a sensor's data sheet names. Within this share of a side the
# two centres are taken for one; beyond it the file is a crop, or its pixels are binned and blur has another size.
SIDE_SHARE = 0.02
SIMULATED_MAKE = "psfield"  # what photographs of `render.Camera` name as their maker
SHORT_HASH = 12


@dataclass(frozen=True)
class FramePlace:
    """Where a photograph lies on a sensor.

    Attributes:
        left_px: Sensor column of its first pixel; half pixels and columns outside the sensor occur.
        top_px: Sensor row of it.
        image_shape_px: The sensor's (H, W).
    """

    left_px: float
    top_px: float
    image_shape_px: tuple[int, int]


def place_frame(
    shape_px: tuple[int, int],
    notes: RestorerNotes,
    *,
    window_px: tuple[int, int] | None = None,
    any_sensor: bool = False,
) -> FramePlace:
    """Where on the sensor of a network's training a photograph lies.

    Args:
        shape_px: (H, W) of the area that light reaches.
        notes: Of the network.
        window_px: Sensor column and row of its first pixel, for a part of a frame. By default it is the whole sensor,
            with its centre in the sensor's, and each side may differ by 2 %.
        any_sensor: Take the photograph for the whole of its own sensor, whatever its size: image height is 1 at its
            corner. Blur then has the size that the network expects only if the pixels have.

    Raises:
        InputError: The photograph does not fit.
    """
    (height, width), (sensor_height, sensor_width) = shape_px, notes.image_shape_px
    if any_sensor:
        if window_px is not None:
            raise InputError("window_px", window_px, "none with any_sensor: the photograph is all of its own sensor")
        return FramePlace(0.0, 0.0, (height, width))
    found, sensor = f"a photograph of {width} x {height} px", f"{sensor_width} x {sensor_height} px"
    if window_px is not None:
        left, top = window_px
        if not (0 <= left <= sensor_width - width and 0 <= top <= sensor_height - height):
            place = f"{found} at column {left}, row {top}"
            raise InputError("sensor", place, f"a part of the network's sensor of {sensor}")
        return FramePlace(float(left), float(top), notes.image_shape_px)
    scales = (height / sensor_height, width / sensor_width)
    if any(abs(scale - 1) > SIDE_SHARE for scale in scales):
        why = "--any-sensor to take it for all of another one"
        if height <= sensor_height and width <= sensor_width:
            left, top = ((whole - part) // 4 * 2 for whole, part in ((sensor_width, width), (sensor_height, height)))
            why = f"--window {left} {top} if it is the middle of that sensor, pixel by pixel; {why}"
        raise InputError("sensor", found, f"the network's {sensor} (2 % more or less); {why}")
    return FramePlace((sensor_width - width) / 2, (sensor_height - height) / 2, notes.image_shape_px)


def read_lens(path: Path) -> PolarPSFField | None:
    """The field of a lens in single precision; None: a perfect lens.

    Args:
        path: A field file (.h5), or a folder that `Camera.save` wrote.
    """
    return Camera.load(path).to(dtype=torch.float32).field if path.is_dir() else read_field(path)


def check_lens(field: PolarPSFField | None, path: Path, notes: RestorerNotes, source: str) -> None:
    """Refuse a lens that a network was not trained for.

    Args:
        field: As `read_lens` gave it.
        path: Its file, for messages.
        notes: Of the network.
        source: The network's file, for messages.
    """
    digest = "" if field is None else hash_field(field)
    if digest != notes.field_sha256:
        found = _name_lens("" if field is None else field.provenance.lens, digest)
        wanted = _name_lens(notes.lens, notes.field_sha256)
        raise InputError(str(path), found, f"{wanted}, for which {source} was trained; --any-lens does without")


def knows_lens(photo: RawFile, notes: RestorerNotes, source: str) -> bool:
    """Whether a photograph itself tells that it was taken through the network's lens.

    Args:
        photo: What `read_raw` gave.
        notes: Of the network.
        source: The network's file, for messages.

    Raises:
        InputError: It tells that it was taken through another one.
    """
    if not photo.lens or not notes.lens:
        return False
    if photo.lens != notes.lens and photo.make == SIMULATED_MAKE:
        raise InputError("lens", photo.lens, f"{notes.lens}, for which {source} was trained; --any-lens does without")
    return photo.lens == notes.lens


def _name_lens(name: str, digest: str) -> str:
    return f"the lens {name!r} ({digest[:SHORT_HASH]})" if digest else "a perfect lens"
