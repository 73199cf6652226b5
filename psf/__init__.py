"""PSF fields of cameras as values: interpolate, turn, crop, resample, measure, keep in files."""

from .capture_checks import check_captures
from .capture_files import read_captures, write_captures
from .captures import Captures, Patches
from .channels import Channel
from .discs import thin_lens_field
from .errors import InputError
from .estimation import EstimatedModel, estimate, estimate_each
from .field import PolarPSFField
from .files.deeplens import from_deeplens
from .hdf5 import load
from .models import PolarPSFModel, PSFModel
from .provenance import Provenance
from .turning import turn

__all__ = [
    "Captures",
    "Channel",
    "EstimatedModel",
    "InputError",
    "PSFModel",
    "Patches",
    "PolarPSFField",
    "PolarPSFModel",
    "Provenance",
    "check_captures",
    "estimate",
    "estimate_each",
    "from_deeplens",
    "load",
    "read_captures",
    "thin_lens_field",
    "turn",
    "write_captures",
]
