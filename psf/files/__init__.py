"""Kernels of other programs: OpticStudio's text exports, folders of kernels, DeepLens.

made = import_field("exports/manifest.json")        # or a folder that holds one
made.field, made.notices                            # what was guessed, changed or is not in the files
field = from_deeplens(geolens, depths_m=[0.5, 1.0, math.inf], radii=[0.0, 0.5, 1.0])
"""

from .assembly import ImportedField, import_field
from .deeplens import from_deeplens
from .gridding import Gridded, grid_kernels
from .kernel_folder import read_kernel_file
from .manifests import Manifest, read_manifest
from .notices import Notice
from .opticstudio import OpticStudioPSF, read_opticstudio
from .placing import ScatteredKernel, place_kernel

__all__ = [
    "Gridded",
    "ImportedField",
    "Manifest",
    "Notice",
    "OpticStudioPSF",
    "ScatteredKernel",
    "from_deeplens",
    "grid_kernels",
    "import_field",
    "place_kernel",
    "read_kernel_file",
    "read_manifest",
    "read_opticstudio",
]
