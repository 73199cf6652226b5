"""A folder of photographs to draw crops from."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from psf import InputError
from psf.errors import one_line

from .crops import Cropping, PhotoCrop, Place, draw_place, draw_turn, find_detail, scale_light
from .decoding import OpenPhoto
from .photo_index import Photo, Unusable, index_photos

# So many photographs that cannot be read, one after the other, are no accident.
LARGEST_LOSS = 20


@dataclass(frozen=True)
class PhotoFolder:
    """The photographs of a folder.

    Attributes:
        root: The folder.
        photos: Those that can be used, in the order of their names.
        unusable: Those that cannot, with reasons.
    """

    root: Path
    photos: tuple[Photo, ...]
    unusable: tuple[Unusable, ...] = ()

    def __len__(self) -> int:
        return len(self.photos)

    def path(self, i: int) -> Path:
        """The file of photograph `i`."""
        return self.root / self.photos[i].name

    def load(self, i: int) -> Tensor:
        """Photograph `i`, upright: sRGB 0 to 1, float32, shape (3, H, W)."""
        opened = self._open(i)
        height, width = opened.shape_px
        return scale_light(opened.cut((0, 0, width, height), (height, width)))

    def cut(self, i: int, place: Place) -> PhotoCrop:
        """A given part of photograph `i`, as `centre_place` and the manifest of an evaluation set name it."""
        opened = self._open(i)
        if place.photo_px != opened.shape_px:
            raise InputError(str(opened.path), f"{opened.shape_px} px", f"the place's {place.photo_px} px")
        samples = place.turn_samples(opened.cut(place.box, place.unturned_px))
        return PhotoCrop(scale_light(samples), self.photos[i].name, place, 0.0, find_detail(samples))

    def crop(self, i: int, cropping: Cropping, generator: torch.Generator) -> PhotoCrop:
        """A random crop of photograph `i`: the first place that is kept, else the sharpest of those tried.

        Args:
            i: Which photograph.
            cropping: How crops are drawn.
            generator: Random numbers.
        """
        return self._crop(i, cropping, generator)[0]

    def _crop(self, i: int, cropping: Cropping, generator: torch.Generator) -> tuple[PhotoCrop, bool]:
        opened = self._open(i)
        try:
            turn = draw_turn(opened.shape_px, cropping, generator)
        except InputError as error:
            raise InputError(str(opened.path), error.found, error.expected) from error
        best, best_detail = None, -1.0
        kept = False
        for _ in range(cropping.places):
            place = draw_place(opened.shape_px, cropping, turn, generator)
            samples = opened.cut(place.box, place.unturned_px)
            detail = find_detail(samples)
            kept = turn.keeps_plain or detail >= cropping.least_detail
            if kept or detail > best_detail:
                best, best_detail = (place, samples), detail
            if kept:
                break
        assert best is not None
        srgb = scale_light(best[0].turn_samples(best[1]), turn.exposure_ev)
        return PhotoCrop(srgb, self.photos[i].name, best[0], turn.exposure_ev, best_detail), kept

    def draw(self, cropping: Cropping, generator: torch.Generator) -> tuple[PhotoCrop, tuple[str, ...]]:
        """A random crop of a random photograph, and what could not be read on the way, one line each.

        Photographs without detail come up seldom: where no place was kept, another photograph is drawn.

        Args:
            cropping: How crops are drawn.
            generator: Random numbers.
        """
        if not self.photos:
            raise InputError(str(self.root), "no photograph that can be used", "at least one")
        lost: list[str] = []
        while True:
            i = int(torch.randint(len(self.photos), (), generator=generator, device=generator.device))
            try:
                crop, kept = self._crop(i, cropping, generator)
            except (InputError, OSError) as error:
                lost.append(one_line(error))
                if len(lost) >= LARGEST_LOSS:
                    found = f"{len(lost)} photographs in a row that cannot be used; the last: {lost[-1]}"
                    raise InputError(str(self.root), found, "photographs") from error
                continue
            if kept:
                return crop, tuple(lost)

    def subset(self, names: Iterable[str]) -> "PhotoFolder":
        """Only the photographs of these names; a name that is not there is an error."""
        wanted = set(names)
        photos = tuple(one for one in self.photos if one.name in wanted)
        if missing := sorted(wanted - {one.name for one in photos}):
            why = {one.name: one.reason for one in self.unusable}.get(missing[0], "no such photograph")
            found = f"{len(missing)} photographs that cannot be used, first {missing[0]} ({why})"
            raise InputError(str(self.root), found, "the photographs of the list")
        return replace(self, photos=photos)

    def at_least(self, shape_px: tuple[int, int]) -> "PhotoFolder":
        """Without the photographs that are smaller than a crop of that height and width, turned or not."""
        # A crop that may be turned has to fit both ways.
        large = max(shape_px)
        fits = [min(one.shape_px) >= large for one in self.photos]
        reason = f"smaller than the crop, {shape_px[1]} x {shape_px[0]} px"
        dropped = [one for one, fit in zip(self.photos, fits, strict=True) if not fit]
        kept = tuple(one for one, fit in zip(self.photos, fits, strict=True) if fit)
        if not kept:
            raise InputError(str(self.root), "no photograph that can be used", f"one of at least {large} px a side")
        unusable = tuple(Unusable(one.name, one.bytes, one.modified_ns, reason) for one in dropped)
        return replace(self, photos=kept, unusable=self.unusable + unusable)

    def report(self) -> str:
        """What can be used and what cannot, a line for each file that cannot."""
        lines = [f"{self.root}: {len(self.photos)} photographs, {len(self.unusable)} that cannot be used"]
        return "\n".join([*lines, *(f"  {one.name}: {one.reason}" for one in self.unusable)])

    def _open(self, i: int) -> OpenPhoto:
        if not -len(self.photos) <= i < len(self.photos):
            raise InputError("photograph", i, f"0 to {len(self.photos) - 1} of {self.root}")
        return OpenPhoto(self.path(i))


def open_photos(
    folder: str | Path,
    *,
    index: str | Path | None = None,
    workers: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> PhotoFolder:
    """Find the photographs of a folder and of the folders in it.

    Every file is read once; what was learnt is kept in an index, and the next time only changed files are read.

    Args:
        folder: JPEG, PNG, TIFF, DNG and RAW files count.
        index: The index file; by default a hidden file in the folder.
        workers: Files are read by so many threads.
        on_progress: Called with the number of files read and the number to read.
    """
    root = Path(folder)
    entries = index_photos(root, index=None if index is None else Path(index), workers=workers, on_progress=on_progress)
    photos = tuple(one for one in entries if isinstance(one, Photo))
    unusable = tuple(one for one in entries if isinstance(one, Unusable))
    if not photos:
        first = f", the first: {unusable[0].name}: {unusable[0].reason}" if unusable else ""
        raise InputError(str(root), f"no photograph that can be used ({len(unusable)} files{first})", "at least one")
    return PhotoFolder(root, photos, unusable)
