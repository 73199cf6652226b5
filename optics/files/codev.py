"""CODE V sequence files (.seq): commands of three letters, surfaces in the order of the light.

`!` begins a comment, `;` separates commands, `&` at a line's end goes on in the next one, quotes keep blanks together.
SO, S (or S1, S2, ...) and SI are object, surfaces and image, each followed by what belongs to it. Radii where RDM says
so, else curvatures. Wavelengths are nm.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import torch

from psf.files.texts import decode_text

from ..glass import AIR, Medium, ModelGlass, TabulatedIndex
from .agf import Catalogue
from .codev_words import ASPHERE_POWERS, HARMLESS, OFF_AXIS, REFUSED, SOLVES, Statement, split_statements
from .drafts import Aperture, ApertureKind, Draft, DraftSurface, FieldKind, Fields
from .materials import MAKERS, Shelf, find_hyphenless
from .notices import Log
from .texts import parse_count, parse_number

UNITS_MM = {"M": 1.0, "MM": 1.0, "C": 10.0, "CM": 10.0, "I": 25.4, "IN": 25.4}
FAR_MM = 1e10
_SURFACE = re.compile(r"S(O|I|\d{1,4})?")
_PLACE = re.compile(r"S(\d{1,4}|O|I|S)")
_FICTITIOUS = re.compile(r"(\d{3,8})\.(\d{1,8})")
_MOST_SURFACES = 2000
_APERTURES: dict[str, ApertureKind] = {
    "EPD": "entrance_pupil_mm",
    "FNO": "f_number",
    "NA": "image_na",
    "NAO": "object_na",
}
_FIELDS: dict[str, FieldKind] = {
    "AN": "angle_deg",
    "OB": "object_height_mm",
    "IM": "image_height_mm",
    "RI": "real_image_height_mm",
}


def read_seq(content: bytes, file: str, log: Log, catalogues: Sequence[Catalogue] = ()) -> Draft:
    """Read a CODE V sequence file.

    Args:
        content: The file.
        file: Its path or name; the lens is called by its stem.
        log: Gets notices, and refuses what has no counterpart.
        catalogues: The caller's glass catalogues.

    Raises:
        InputError: It is no lens that we can hold; file and line stand in front.
    """
    text, _ = decode_text(content)
    return _Reader(file, log, catalogues).read(split_statements(text, log))


class _Reader:
    """The state of one reading; CODE V files are programs, each statement works on what the ones before have made."""

    def __init__(self, file: str, log: Log, catalogues: Sequence[Catalogue]) -> None:
        self.file, self.log, self.catalogues = file, log, catalogues
        self.unit_mm, self.radii, self.mode_told = 1.0, False, False
        self.title = ""
        self.aperture: Aperture | None = None
        self.lists: dict[str, tuple[float, ...]] = {}
        self.reference = 1
        self.surfaces: list[DraftSurface] = []  # object and image among them
        self.glasses: list[tuple[str, int]] = []
        self.image = False
        self.private: dict[str, Medium] = {}
        self.private_nm: tuple[float, ...] | None = None

    def read(self, statements: Sequence[Statement]) -> Draft:
        for one in statements:
            if self.private_nm is not None:
                self._private(one)
            elif _SURFACE.fullmatch(one.word) and one.word != "S0":
                self._begin_surface(one)
            elif one.word == "GO":
                continue
            elif not self._header(one):
                self._surface(one)
        return self._draft()

    def _numbers(self, one: Statement) -> tuple[float, ...]:
        return tuple(parse_number(word, self.log.at(one.line)) for word in one.values)

    def _first(self, one: Statement) -> float:
        if not one.values:
            self.log.fail(one.line, f"{one.word} without a number", "one")
        return parse_number(one.values[0], self.log.at(one.line))

    def _header(self, one: Statement) -> bool:
        word, log = one.word, self.log
        if word == "RDM":
            self.radii, self.mode_told = not (one.values and one.values[0].upper().startswith("N")), True
        elif word == "TIT":
            self.title = " ".join(one.values)[:500]
        elif word == "DIM":
            unit = one.values[0].upper() if one.values else ""
            if unit not in UNITS_MM:
                log.fail(one.line, f"the unit {unit[:20]!r}", "M (mm), C (cm) or I (inch)")
            self.unit_mm = UNITS_MM[unit]
        elif word in _APERTURES:
            self.aperture = Aperture(_APERTURES[word], self._first(one), one.line)
        elif word in ("WL", "WTW", "WTF") or (word[:1] in ("X", "Y") and word[1:] in _FIELDS):
            self.lists[word] = self._numbers(one)
        elif word == "REF":
            self.reference = parse_count(one.values[0] if one.values else "", log.at(one.line), 1, 1000)
        elif word in ("VUX", "VLX", "VUY", "VLY"):
            if any(self._numbers(one)):
                log.note("guessed", f"{word}: vignetting factors are left out; rims of surfaces stop light", one.line)
        elif word == "TEM" and self._first(one) != 20:
            log.note("guessed", f"{one.values[0]} degrees: indices here are those of 20 degrees in air", one.line)
        elif word == "PRE" and self._first(one) != 760:
            log.note("guessed", f"pressure {one.values[0]}: indices here are those of 760 mm of mercury", one.line)
        elif word == "PRV":
            self.private_nm = ()
        elif word == "ZOO":
            log.note("guessed", "zoom positions: the first one, as it stands at the surfaces, is taken", one.line)
        elif word == "AFO":
            log.fail(one.line, "an afocal lens", "one with an image")
        elif word in HARMLESS or word in ("TEM", "PRE", "LEN"):
            log.skip(f"{word}: no bearing on rays", one.line)
        else:
            return False
        return True

    def _private(self, one: Statement) -> None:
        """Statements between PRV and END: wavelengths, then a glass per statement."""
        assert self.private_nm is not None
        log = self.log
        if one.word == "END":
            self.private_nm = None
        elif one.word == "PWL":
            self.private_nm = self._numbers(one)
        else:
            try:
                indices = self._numbers(one)
            except ValueError:
                log.note("skipped", f"private glass {one.head[:20]} by coefficients; it is unknown then", one.line)
                return
            if len(indices) != len(self.private_nm) or len(indices) < 2:
                found = f"{len(indices)} indices of {one.head[:20]!r}"
                log.fail(one.line, found, f"{len(self.private_nm)}, one per wavelength of PWL, at least 2")
            pairs = sorted(zip((1e-3 * nm for nm in self.private_nm), indices, strict=True))
            waves, values = (torch.tensor(column, dtype=torch.float64) for column in zip(*pairs, strict=True))
            if not bool((waves.diff() > 0).all()) or not bool(waves[0] > 0):
                log.fail(one.line, "wavelengths of PWL twice or not positive", "different ones")
            name = one.head.upper()
            self.private[name] = TabulatedIndex(f"private/{one.head}", waves, values)
            log.note("guessed", f"private glass {one.head[:20]}: a spline through its {len(indices)} indices", one.line)

    def _begin_surface(self, one: Statement) -> None:
        log = self.log
        if self.image:
            log.fail(one.line, "a surface behind SI", "the image last")
        if len(self.surfaces) > _MOST_SURFACES:
            log.fail(one.line, "thousands of surfaces", "a lens")
        if (one.word == "SO") != (not self.surfaces):
            log.fail(one.line, one.word, "SO, the object, first and once")
        digits = one.word[1:]
        if digits.isdigit() and int(digits) != len(self.surfaces):
            log.fail(one.line, one.word, f"S{len(self.surfaces)}: surfaces in their order")
        if one.head and len(one.values) > 3:
            log.refuse(one.line, f"{' '.join(one.values[3:])[:30]!r} behind the glass", "radius, thickness, glass")
        where = log.at(one.line)
        radius, thickness = (parse_number(one.values[i], where) if i < len(one.values) else 0.0 for i in range(2))
        curvature = self._curvature(radius, radii=self.radii)
        self.surfaces.append(
            DraftSurface(one.line, AIR, curvature_per_mm=curvature, thickness_mm=thickness * self.unit_mm)
        )
        self.glasses.append((one.values[2] if len(one.values) > 2 else "AIR", one.line))
        self.image = one.word == "SI"

    def _curvature(self, value: float, *, radii: bool) -> float:
        if radii:
            return 0.0 if value == 0 else 1 / (value * self.unit_mm)
        return value / self.unit_mm

    def _surface(self, one: Statement) -> None:
        """A statement about the surface that was begun last, or the one that it names."""
        word, log = one.word, self.log
        if not self.surfaces:
            log.skip(f"{word[:20]}: not known, in front of the surfaces", one.line)
            return
        places = [value.upper() for value in one.values if _PLACE.fullmatch(value.upper())]
        values = [value for value in one.values if value.upper() not in places]
        at = self._place(places[0], one.line) if places else len(self.surfaces) - 1
        surface, where = self.surfaces[at], log.at(one.line)
        of_image = self.image and at == len(self.surfaces) - 1

        def number() -> float:
            if not values:
                log.fail(one.line, f"{word} without a number", "one")
            return parse_number(values[0], where)

        if word == "STO":
            surface = replace(surface, stop=True)
        elif word == "CIR":
            words = {value.upper() for value in values}
            if words & {"EDG"}:
                log.skip("CIR EDG: the rim of the glass", one.line)
            elif words & {"OBS", "HOL"}:
                log.refuse(one.line, f"CIR {' '.join(values)}"[:40], "surfaces without obscuration or hole")
            else:
                radius = number() * self.unit_mm
                surface = replace(surface, semi_aperture_mm=radius if radius > 0 else None, clips=radius > 0)
        elif word in ("RDY", "CUY"):
            surface = replace(surface, curvature_per_mm=self._curvature(number(), radii=word == "RDY"))
        elif word == "THI":
            surface = replace(surface, thickness_mm=number() * self.unit_mm)
        elif word == "GLA":
            self.glasses[at] = (values[0] if values else "AIR", one.line)
        elif word == "K":
            surface = replace(surface, conic_k=number())
        elif word in ASPHERE_POWERS:
            power = ASPHERE_POWERS[word]
            terms = {**surface.terms, power: number() * self.unit_mm ** (1 - power)}
            surface = replace(surface, terms=terms)
        elif word in ("SPH", "CON", "ASP"):
            log.skip(f"{word}: the shape; its numbers say it all", one.line)
        elif word in OFF_AXIS:
            if any(parse_number(value, where) for value in values):
                log.refuse(one.line, f"{word}: {OFF_AXIS[word]}", "a lens of revolution")
        elif word in REFUSED and not of_image:
            log.refuse(one.line, f"{word}: {REFUSED[word]}", "surfaces of revolution with round apertures")
        elif word in SOLVES:
            log.skip(f"{word}: a solve; the number in the file is taken", one.line)
        elif of_image or word in REFUSED:
            log.skip(f"{word[:20]}: behind the image or about it", one.line)
        else:
            log.refuse(one.line, f"the command {word[:20]!r}", "commands that are known not to move light")
        self.surfaces[at] = surface

    def _place(self, word: str, line: int) -> int:
        known = {"SO": 0, "SI": len(self.surfaces) - 1}
        stops = [i for i, s in enumerate(self.surfaces) if s.stop]
        at = known.get(word, stops[0] if word == "SS" and stops else None)
        if at is None:
            at = int(word[1:]) if word[1:].isdigit() else len(self.surfaces)
        if at >= len(self.surfaces):
            self.log.fail(line, f"surface {word[1:]}", f"a surface up to {len(self.surfaces) - 1}")
        return at

    def _medium(self, name: str, line: int, shelf: Shelf) -> Medium:
        log = self.log
        if name.upper() in ("AIR", ""):
            return AIR
        if name.upper() == "REFL":
            log.fail(line, "a mirror", "surfaces that refract")
        if name.upper() in self.private:
            return self.private[name.upper()]
        if match := _FICTITIOUS.fullmatch(name):
            nd, vd = 1 + int(match[1]) / 10 ** len(match[1]), 100 * float(f"0.{match[2]}")
            log.note("guessed", f"fictitious glass {nd:g} / {vd:g}: Cauchy's curve through nd and Vd", line)
            return ModelGlass.from_numbers(nd, vd, where=log.at(line))
        bare, _, maker = name.rpartition("_")
        if bare and (known := MAKERS.get(maker.casefold())) and (found := find_hyphenless(bare, known)) is not None:
            return found
        return replace(shelf, named=(maker,) if bare else ()).find(bare or name, line, log)

    def _draft(self) -> Draft:
        log = self.log
        if len(self.surfaces) < 3 or not self.image:
            log.fail(0, f"{len(self.surfaces)} surfaces, image {self.image}", "SO, at least one S, SI")
        if not self.mode_told:
            log.note("guessed", "no RDM: the numbers of surfaces are curvatures", self.surfaces[0].line)
        shelf = Shelf(given=tuple(self.catalogues))
        made = [
            replace(s, medium=self._medium(name, line, shelf))
            for s, (name, line) in zip(self.surfaces, self.glasses, strict=True)
        ]
        first, image = made[0], made[-1]
        if first.medium is not AIR:
            log.fail(first.line, f"an object in {first.medium.name}", "an object in air")
        if not image.is_flat:
            log.refuse(image.line, "a curved image surface", "a plane")
        body = made[1:-1]
        body[-1] = replace(body[-1], thickness_mm=body[-1].thickness_mm + image.thickness_mm)
        object_mm = first.thickness_mm
        if object_mm <= 0:
            log.refuse(first.line, f"an object {object_mm:g} mm in front of the lens", "a positive distance")
        far = object_mm >= FAR_MM or object_mm <= 0
        waves = tuple(1e-3 * nm for nm in self.lists.get("WL", ()))
        weights = (*self.lists.get("WTW", ()), *(1.0,) * len(waves))[: len(waves)]
        if waves and self.reference > len(waves):
            log.note("guessed", f"reference wavelength {self.reference} of {len(waves)}: the first one is taken")
        source: dict[str, Any] = {"source": {"file": PurePath(self.file.replace("\\", "/")).name}}
        aperture = self.aperture
        if aperture is not None and aperture.kind == "entrance_pupil_mm":
            aperture = replace(aperture, value=aperture.value * self.unit_mm)
        return Draft(
            surfaces=tuple(body),
            name=PurePath(self.file.replace("\\", "/")).stem,
            title=self.title,
            object_mm=float("inf") if far else object_mm,
            aperture=aperture,
            fields=self._fields(),
            wavelengths_um=waves,
            weights=tuple(max(weight, 0.0) for weight in weights),
            reference_um=(waves[self.reference - 1] if self.reference <= len(waves) else waves[0]) if waves else None,
            image_semi_mm=image.semi_aperture_mm,
            source=source,
        )

    def _fields(self) -> Fields:
        for tail, kind in _FIELDS.items():
            xs, ys = self.lists.get(f"X{tail}", ()), self.lists.get(f"Y{tail}", ())
            if xs or ys:
                count = max(len(xs), len(ys))
                unit = 1.0 if kind == "angle_deg" else self.unit_mm
                xs, ys = ((*values, *(0.0,) * count) for values in (xs, ys))
                weights = (*self.lists.get("WTF", ()), *(1.0,) * count)[:count]
                return Fields(kind, tuple((xs[i] * unit, ys[i] * unit) for i in range(count)), weights)
        return Fields()
