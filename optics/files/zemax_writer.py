"""Lenses as Zemax files, with a glass catalogue beside them where a glass is not a maker's."""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from psf.errors import InputError
from psf.runs import whole_file

from ..catalogue import CATALOGUES, find_glass
from ..dispersion import FormulaIndex
from ..glass import Air, Medium, ModelGlass, measure_nd_vd
from ..lens import Lens
from ..prescriptions import to_json
from ..surface import Conic, EvenAsphere, Plane, PolynomialAsphere, Surface
from .carried import write_carried
from .materials import is_model
from .notices import Log, Notice

_MOST_PARAMETERS = 8
_AGF_DIGITS = 17
# Powers of L that each of Zemax's sums of powers has, in the order of their coefficients.
_POWER_FORMULAS: tuple[tuple[int, bool, tuple[float, ...]], ...] = (
    (1, True, (0, 2, -2, -4, -6, -8)),
    (5, False, (0, -1, -3.5)),
    (10, True, (0, 2, -2, -4, -6, -8, -10, -12)),
    (12, True, (0, 2, -2, -4, -6, -8, 4, 6)),
    (13, True, (0, 2, 4, -2, -4, -6, -8, -10, -12)),
)
_SELLMEIER_FORMULAS = ((2, 3), (6, 4), (11, 5))  # number of the formula, poles


def write_zmx(lens: Lens, path: str | os.PathLike[str]) -> tuple[Notice, ...]:
    """Write a lens as a Zemax file that `read_lens_file` reads back to the same numbers.

    Glasses of other sources than the makers' catalogues go to an AGF file of the same stem beside it. What `.zmx` has
    no command for stands in NOTE lines, which other programs show and do not read.

    Args:
        lens: What to write.
        path: Ends in .zmx; an interrupted write leaves the old file.

    Returns:
        What another program will not know, or will take in another way.

    Raises:
        FileNotFoundError: There is no such folder.
        InputError: The path does not end in .zmx, or a shape that Zemax does not have.
    """
    target = Path(path)
    if target.suffix.lower() != ".zmx":
        raise InputError(str(target), f"the suffix {target.suffix!r}", ".zmx")
    log = Log(str(target))
    text, catalogue = format_zmx(lens, target.stem, log)
    with whole_file(target) as part:
        part.write_bytes(text.encode("utf-8"))
    if catalogue:
        beside = target.with_suffix(".agf")
        with whole_file(beside) as part:
            part.write_bytes(catalogue.encode("utf-8"))
        log.note("lost", f"glasses of no maker stand in {beside.name}: copy it to the program's glass folder")
    return log.notices()


def format_zmx(lens: Lens, stem: str, log: Log) -> tuple[str, str]:
    """The text of a Zemax file, and that of its glass catalogue ("" where it needs none).

    Args:
        lens: What to write.
        stem: Name of the catalogue.
        log: Gets what another program will not know.

    Raises:
        InputError: A shape that Zemax does not have.
    """
    data = to_json(lens)
    glasses = _Glasses(lens, re.sub(r"\W", "_", stem).upper() or "LENS", log)
    carried = {key: data[key] for key in ("name", "title", "sensor", "channels", "focus_m", "nearest_m")}
    carried |= {"reference_wavelength_um": lens.reference_wavelength_um, "media": glasses.carried}
    carried["source"] = dict(lens.source)
    log.note("lost", "sensor, colour channels, nearest distance and source: in NOTE lines, unknown to other programs")
    half = lens.sensor.half_diagonal_mm
    waves = _waves(lens)
    heights = " ".join(repr(share * half) for share in (0.0, 0.7, 1.0))
    title = " ".join((lens.title or lens.name).split())
    lines = [
        "VERS 140124 0 0",
        "MODE SEQ",
        f"NAME {title}",
        *(f"NOTE 0 {text}" for text in write_carried(carried)),
        "UNIT MM X W X CM MR CPMM",
        "FLOA",
        "ENVD 2.0E+1 1 0",
        "GFAC 0 0",
        *([f"GCAT {' '.join(glasses.catalogues)}"] if glasses.catalogues else []),
        "RAIM 0 2 1 1 0 1 0 0 0",
        f"FTYP 3 0 3 {len(waves)} 0 0 0",
        "XFLN 0 0 0",
        f"YFLN {heights}",
        "FWGN 1 1 1",
        *(f"WAVM {i} {wave!r} {weight!r}" for i, (wave, weight) in enumerate(waves, start=1)),
        f"PWAV {1 + [wave for wave, _ in waves].index(lens.reference_wavelength_um)}",
    ]
    far = math.isinf(lens.focus_m)
    lines += _block(0, ["DISZ INFINITY" if far else f"DISZ {1e3 * lens.focus_m!r}", 'DIAM 0 0 0 0 1 ""'])
    for i, surface in enumerate(lens.surfaces, start=1):
        lines += _surface(i, surface, glasses.names[i - 1], stop=i == lens.stop_surface)
    lines += _block(len(lens.surfaces) + 1, ["DISZ 0", f'DIAM {half!r} 0 0 0 1 ""'])
    return "\n".join([*lines, ""]), glasses.text


def _waves(lens: Lens) -> list[tuple[float, float]]:
    """Wavelengths of all channels, each once, with summed weights; the reference among them."""
    weights: dict[float, float] = {}
    for channel in lens.channels:
        for wave, weight in zip(channel.wavelengths_um, channel.weights, strict=True):
            weights[wave] = weights.get(wave, 0.0) + weight
    weights.setdefault(lens.reference_wavelength_um, 0.0)
    # Zemax has 24 places; the reference keeps its own.
    kept = sorted(weights, key=lambda wave: (wave != lens.reference_wavelength_um, -weights[wave]))[:24]
    return [(wave, weights[wave]) for wave in sorted(kept)]


def _block(number: int, inner: Sequence[str], kind: str = "STANDARD", curvature: float = 0.0) -> list[str]:
    head = [f"TYPE {kind}", f'CURV {curvature!r} 0 0 0 0 ""']
    return [f"SURF {number}", *(f"  {line}" for line in (*head, *inner))]


def _surface(number: int, surface: Surface, glass: str, *, stop: bool) -> list[str]:
    shape = surface.shape
    if not isinstance(shape, Plane | Conic | EvenAsphere | PolynomialAsphere):
        raise InputError(f"surface {number}", type(shape).__name__, "a plane, conic or asphere of powers of r")
    kind, curvature, inner = "STANDARD", 0.0, ["STOP"] if stop else []
    if not isinstance(shape, Plane):
        curvature, conic = float(shape.curvature_per_mm.detach()), float(shape.conic_k.detach())
        if conic:
            inner.append(f"CONI {conic!r}")
    if isinstance(shape, EvenAsphere | PolynomialAsphere):
        pairs = zip(shape.powers, shape.coefficients.detach().tolist(), strict=True)
        kind, parameters = _asphere({power: value for power, value in pairs if value})
        inner += parameters
    semi, thickness = float(surface.semi_aperture_mm.detach()), float(surface.thickness_mm.detach())
    inner += [f"DISZ {thickness!r}", *([glass] if glass else []), f'DIAM {semi!r} 1 0 0 1 ""', f"CLAP 0 {semi!r} 0"]
    return _block(number, inner, kind, curvature)


def _asphere(terms: dict[int, float]) -> tuple[str, list[str]]:
    if not terms:
        return "STANDARD", []
    step = 1 if any(power % 2 for power in terms) else 2
    count = max(terms) // step
    values = [terms.get(step * i, 0.0) for i in range(1, count + 1)]
    if count <= _MOST_PARAMETERS:
        return "EVENASPH" if step == 2 else "ODDASPHE", [f"PARM {i} {v!r}" for i, v in enumerate(values, start=1)]
    extra = [float(count), 1.0, *values]
    return "XASPHERE" if step == 2 else "XOSPHERE", [f'XDAT {i} {v!r} 0 0 1 0 0 ""' for i, v in enumerate(extra, 1)]


class _Glasses:
    """What GLAS lines say of a lens's media, which catalogues that needs, and what the NOTE lines must hold."""

    def __init__(self, lens: Lens, own: str, log: Log) -> None:
        self.catalogues: list[str] = []
        self.carried: dict[str, Any] = {}
        self.text = ""
        self._own, self._log = own, log
        self._rows: list[str] = []
        self.names = [self._line(surface.medium) for surface in lens.surfaces]
        if self._rows:
            self.text = "\n".join(["CC Glasses of one lens, written by psfield", *self._rows, ""])

    def _line(self, medium: Medium) -> str:
        if isinstance(medium, Air):
            return ""
        if is_model(medium):
            return self._model(medium)
        maker, stroke, bare = medium.name.partition("/")
        if stroke and maker in CATALOGUES and maker != "plastics" and not re.search(r"\s", bare):
            known = find_glass(medium.name)
            if known.to_entry() == medium.to_entry():
                self._name(maker.upper())
                return f"GLAS {bare} 0 0 1.5 4.0E+1 0 0 0 0 0 0"
        token = self._carry(re.sub(r"[^\w.+-]", "_", bare if stroke else medium.name) or "GLASS", medium)
        return f"GLAS {token} 0 0 1.5 4.0E+1 0 0 0 0 0 0"

    def _model(self, medium: Medium) -> str:
        values = [float(value.detach()) for value in medium.parameters().values()]
        nd, vd = values if isinstance(medium, ModelGlass) else (values[0], 0.0)
        if medium.range_um is not None or medium.name != f"{nd:.5f}/{vd:.2f}":
            self.carried[medium.name or "medium"] = medium.to_entry()
        if vd:
            text = f"model glass {nd:g} / {vd:g}: other programs draw another curve through nd and Vd"
            if text not in {one.text for one in self._log.notices()}:
                self._log.note("lost", text)
        return f"GLAS ___BLANK 1 0 {nd!r} {vd!r} 0 0 0 0 0 0"

    def _name(self, catalogue: str) -> None:
        if catalogue not in self.catalogues:
            self.catalogues.append(catalogue)

    def _carry(self, wanted: str, medium: Medium) -> str:
        """A name that no other medium has; the medium goes to the NOTE lines and, if it can, to the catalogue."""
        entry, token, number = medium.to_entry(), wanted, 1
        while self.carried.get(token, entry) != entry:
            number += 1
            token = f"{wanted}_{number}"
        if token in self.carried:
            return token
        self.carried[token] = entry
        found = find_agf_formula(medium) if isinstance(medium, FormulaIndex) else None
        if found is None:
            self._log.note("lost", f"glass {token}: no formula of AGF files; other programs will not know it")
            return token
        formula, coefficients = found
        nd, vd = (float(value.detach()) for value in measure_nd_vd(medium))
        low, high = medium.range_um or (0.365, 2.5)
        self._rows += [
            f"NM {token} {formula} 0 {nd:.7g} {vd:.6g} 0 0",
            "ED 0 0 0 0 0",
            "CD " + " ".join(f"{value:.{_AGF_DIGITS}g}" for value in (*coefficients, *(0.0,) * 10)[:10]),
            "TD 0 0 0 0 0 0 20",
            "OD -1 -1 -1 -1 -1 -1",
            f"LD {low!r} {high!r}",
        ]
        self._name(self._own)
        return token


def find_agf_formula(medium: FormulaIndex) -> tuple[int, list[float]] | None:
    """Number and coefficients of the AGF formula that is the same sum, or None.

    Args:
        medium: Any formula.
    """
    powers = dict(zip(medium.powers, medium.power_coefficients.detach().tolist(), strict=True))
    powers = {power: value for power, value in powers.items() if value}
    weights, poles = medium.pole_coefficients.detach().tolist(), medium.poles_um2.detach().tolist()
    pairs = [(b, c) for b, c in zip(weights, poles, strict=True) if b]
    if not pairs:
        for number, squared, places in _POWER_FORMULAS:
            if squared == medium.squared and set(powers) <= set(places):
                return number, [powers.get(power, 0.0) for power in places]
        return None
    if not medium.squared or set(medium.pole_powers) != {(2, 1)} or set(powers) - {0}:
        return None
    # A constant beside the 1 is a pole at zero: b L^2 / (L^2 - 0).
    if offset := powers.get(0, 0.0) - 1:
        pairs.insert(0, (offset, 0.0))
    for number, most in _SELLMEIER_FORMULAS:
        if len(pairs) <= most:
            return number, [value for pair in (*pairs, *((0.0, 0.0),) * most)[:most] for value in pair]
    return None
