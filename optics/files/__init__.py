"""Lens files of other programs: Zemax, CODE V, DeepLens; glass catalogues in AGF files.

found = optics.read_lens_file("triplet.zmx", catalogues=["glass/"])
found.lens, found.notices          # everything that was skipped or guessed, with its line
optics.write_zmx(found.lens, "again.zmx")
"""

from .agf import Catalogue, read_catalogues
from .drafts import Fields
from .notices import Notice
from .opening import LensFile, read_lens_bytes, read_lens_file
from .zemax_writer import write_zmx

__all__ = [
    "Catalogue",
    "Fields",
    "LensFile",
    "Notice",
    "read_catalogues",
    "read_lens_bytes",
    "read_lens_file",
    "write_zmx",
]
