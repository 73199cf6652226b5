"""Files of the fields of one camera, made many times: which there are, whether they fit, what numbers they hold."""

import hashlib
from pathlib import Path

import torch

from psf import InputError, PolarPSFField, load


def list_fields(folder: Path | str | None) -> tuple[Path, ...]:
    """Files of perturbed fields in a folder, in order.

    Args:
        folder: As `python -m optics perturb` leaves it, its nominal field not counted; None: none.
    """
    if folder is None:
        return ()
    place = Path(folder)
    if not place.is_dir():
        raise FileNotFoundError(f"{place}: no such folder of perturbed fields")
    found = tuple(sorted(place.glob("field_*.h5")))
    if not found:
        raise InputError(str(place), "no file field_*.h5", "fields that python -m optics perturb made")
    return found


def load_alike(file: Path, own: PolarPSFField) -> PolarPSFField:
    """A field in single precision that can take the place of another one.

    Args:
        file: The field's.
        own: Whose sensor and channels it must have, and whose kernels are at least as large.
    """
    field = load(file).to(dtype=torch.float32)
    for name in ("image_shape_px", "pitch_um", "oversample", "magnification"):
        if (found := getattr(field, name)) != (wanted := getattr(own, name)):
            raise InputError(f"{file}: {name}", found, f"{wanted}, as the camera's field has")
    if field.kernel_px > own.kernel_px or len(field.channels) != len(own.channels):
        told = f"{len(field.channels)} channels of {field.kernel_px} px"
        raise InputError(str(file), told, f"{len(own.channels)} channels of at most {own.kernel_px} px, as the camera")
    return field


def hash_field(field: PolarPSFField) -> str:
    """SHA-256 of a field's numbers in single precision: two fields with the same hash blur alike."""
    digest = hashlib.sha256(repr((field.image_shape_px, field.oversample, field.magnification)).encode())
    for name in ("kernels", "transmission", "depths_m", "radii"):
        digest.update(getattr(field, name).detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
