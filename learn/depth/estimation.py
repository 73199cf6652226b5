"""A depth network run once over a folder of photographs; what is done already is not done again."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from psf import InputError
from psf.errors import one_line

from ..network_files import NetworkFacts, find_network_file, read_network_facts, write_network_file
from ..photos import PhotoFolder, centre_place
from ..photos.photo_index import Photo
from .network import DepthNetwork, find_disparity

# The networks see some 518 px on the shorter side: twice that is all that they can use.
SHORT_SIDE_PX = 1036


@dataclass(frozen=True)
class Estimation:
    """What became of a folder.

    Attributes:
        written: Names of photographs that got a result.
        kept: Names of those that had one, of the same network and the same file.
        failed: Pairs of a name and why it has none.
    """

    written: tuple[str, ...]
    kept: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


def estimate_folder(
    photos: PhotoFolder,
    network: DepthNetwork,
    *,
    out: str | Path | None = None,
    redo: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Estimation:
    """Run a depth network over a folder and store the results; a photograph that fails stops nothing.

    Args:
        photos: The folder.
        network: From `load_network`.
        out: Where to, under the photographs' names; by default beside them.
        redo: Also what is done already.
        on_progress: Called with the number of photographs done and of all.
    """
    written, kept, failed = [], [], []
    for i, photo in enumerate(photos.photos):
        folder = None if out is None else (Path(out) / photo.name).parent
        try:
            if not redo and _is_done(photos.path(i), photo, network, folder):
                kept.append(photo.name)
            else:
                estimate_photo(photos, i, network, folder)
                written.append(photo.name)
        except PermissionError as error:
            raise InputError(str(folder or photos.path(i).parent), f"no leave to write ({error})", "--out") from error
        except (InputError, OSError) as error:
            failed.append((photo.name, one_line(error)))
        if on_progress:
            on_progress(i + 1, len(photos))
    return Estimation(tuple(written), tuple(kept), tuple(failed))


def estimate_photo(photos: PhotoFolder, i: int, network: DepthNetwork, folder: Path | None = None) -> NetworkFacts:
    """Run a depth network on photograph `i` and store the result in `folder`, by default beside it."""
    photo = photos.photos[i]
    height, width = photo.shape_px
    scale = min(1.0, SHORT_SIDE_PX / min(height, width))
    place = centre_place(photo.shape_px, (max(int(height * scale), 1), max(int(width * scale), 1)), None)
    disparity = find_disparity(network, photos.cut(i, place).srgb)
    facts = {
        "network": network.name,
        "weights_sha256": network.weights_sha256,
        "is_trained": network.is_trained,
        "is_metric": network.is_metric,
        "photo_bytes": photo.bytes,
        "photo_modified_ns": photo.modified_ns,
    }
    return write_network_file(photos.path(i), disparity, facts, folder)


def _is_done(path: Path, photo: Photo, network: DepthNetwork, folder: Path | None) -> bool:
    found = find_network_file(path, folder)
    if found is None:
        return False
    try:
        facts = read_network_facts(found)
    except InputError:  # of another version, or broken: made anew
        return False
    of_photo = (facts.photo_bytes, facts.photo_modified_ns) == (photo.bytes, photo.modified_ns)
    return of_photo and facts.weights_sha256 == network.weights_sha256
