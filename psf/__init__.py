"""PSF fields of cameras as values: interpolate, turn, crop, resample, measure, keep in files."""

from .channels import Channel
from .discs import thin_lens_field
from .errors import InputError
from .field import PolarPSFField
from .files.deeplens import from_deeplens
from .hdf5 import load
from .models import PolarPSFModel, PSFModel
from .provenance import Provenance
from .turning import turn

__all__ = [
    "Channel",
    "InputError",
    "PSFModel",
    "PolarPSFField",
    "PolarPSFModel",
    "Provenance",
    "from_deeplens",
    "load",
    "thin_lens_field",
    "turn",
]
