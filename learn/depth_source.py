"""Where the depth of a photograph comes from: a file beside it, a depth network's result, or invention.

    pair = learn.depth_source.draw_pair(photos, Cropping((577, 577)), DepthSources(), g)
    pair.crop.srgb, pair.depth.t, pair.depth.source

Sources are asked in order; which one answered is part of the sample.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from psf import InputError
from psf.errors import one_line

from .depth_files import DepthMap, check_proportions, find_depth_file, read_depth_file
from .depth_scaling import find_span, normalise_depth
from .network_files import find_network_file, read_network_file
from .photos import Cropping, PhotoCrop, PhotoFolder
from .photos.photo_folder import LARGEST_LOSS
from .segments import invent_depth

Kind = Literal["file", "network", "segments"]
KINDS: tuple[Kind, ...] = ("file", "network", "segments")
# Networks see the whole frame, squeezed until its sides are multiples of their patches.
NETWORK_STEP_PX = 14
INVENTED = "tilted planes over regions of the picture"


@dataclass(frozen=True)
class DepthSources:
    """Where depth is sought.

    Attributes:
        order: The first that has depth for a photograph is taken.
        folder: Holds depth maps under the photographs' names, folders included; by default they lie beside them.
        allow_untrained: Whether results of an untrained network count; they are noise, for tests only.
    """

    order: tuple[Kind, ...] = KINDS
    folder: Path | None = None
    allow_untrained: bool = False

    def __post_init__(self) -> None:
        if not self.order or set(self.order) - set(KINDS):
            raise InputError("DepthSources.order", self.order, "some of " + ", ".join(KINDS))
        if self.folder is not None and not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder}: no such folder of depth maps")


@dataclass(frozen=True, eq=False)
class CropDepth:
    """The depth of a crop.

    Attributes:
        t: Relative depth, 0 nearest to 1 farthest of the whole photograph, in dioptres evenly, shape (1, H, W).
        depth_m: Metres, where they are known, shape (1, H, W); else None.
        source: "file", "network", "untrained network" or "segments".
        detail: The file, and the network's name.
    """

    t: Tensor
    depth_m: Tensor | None
    source: str
    detail: str


@dataclass(frozen=True, eq=False)
class PhotoPair:
    """A crop with its depth.

    Attributes:
        crop: The picture.
        depth: Its depth.
        lost: Photographs and depth maps that could not be read on the way to this one, a line for each.
    """

    crop: PhotoCrop
    depth: CropDepth
    lost: tuple[str, ...]


def find_map(photo: Path, shape_px: tuple[int, int], sources: DepthSources, name: str | None = None) -> DepthMap | None:
    """The depth map of a whole photograph from a file or a network, or None.

    Args:
        photo: The photograph.
        shape_px: Its height and width.
        sources: Where to look.
        name: Of the photograph in its folder; by default its file name.
    """
    folder = None if sources.folder is None else (sources.folder / (name or photo.name)).parent
    for kind in sources.order:
        if kind == "file" and (path := find_depth_file(photo, folder)):
            return read_depth_file(path, shape_px)
        if kind == "network" and (path := find_network_file(photo, folder)):
            depth = read_network_file(path)
            if depth.source == "untrained network" and not sources.allow_untrained:
                expected = "one of a trained network, or allow_untrained=True in tests"
                raise InputError(str(path), "the result of an untrained network", expected)
            height, width = depth.inverse_depth.shape[1:]
            check_proportions(path, (int(height), int(width)), shape_px, NETWORK_STEP_PX)
            return depth
        if kind == "segments":
            return None
    return None


def find_depth(photos: PhotoFolder, crop: PhotoCrop, sources: DepthSources, generator: torch.Generator) -> CropDepth:
    """The depth of a crop.

    Args:
        photos: The folder that the crop is from.
        crop: The crop.
        sources: Where to look.
        generator: Random numbers, for what is invented.
    """
    path = photos.root / crop.name
    whole = find_map(path, crop.place.photo_px, sources, crop.name)
    if whole is not None:
        part = crop.place.cut_map(whole.inverse_depth)
        t = normalise_depth(part, find_span(whole.inverse_depth))
        return CropDepth(t, 1 / part if whole.is_metric else None, whole.source, whole.detail)
    if "segments" not in sources.order:
        expected = "a depth map beside it (python -m learn.depth makes them), or segments among the sources"
        raise InputError(str(path), "no depth", expected)
    t = invent_depth(crop.srgb, crop.place.row_shares(), generator=generator)
    return CropDepth(t, None, "segments", INVENTED)


def draw_pair(photos: PhotoFolder, cropping: Cropping, sources: DepthSources, generator: torch.Generator) -> PhotoPair:
    """A random crop of a random photograph, with its depth; what cannot be read is passed over and named.

    Args:
        photos: The folder.
        cropping: How crops are drawn.
        sources: Where depth is sought.
        generator: Random numbers.
    """
    lost: list[str] = []
    while True:
        crop, passed = photos.draw(cropping, generator)
        lost += passed
        try:
            return PhotoPair(crop, find_depth(photos, crop, sources, generator), tuple(lost))
        except (InputError, FileNotFoundError) as error:
            lost.append(one_line(error))
            if len(lost) >= LARGEST_LOSS:
                found = f"{len(lost)} pictures in a row without usable depth; the last: {lost[-1]}"
                raise InputError(str(photos.root), found, "pictures with depth") from error
