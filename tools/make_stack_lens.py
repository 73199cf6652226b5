"""Make the lens files that are derived from `lenses/phone_us9651759.json`: the fixed-focus camera and the stack camera.

    python tools/make_stack_lens.py

`f2.2_fixedfocus.json` is that design as it stands, named after its use. `stack_12mm_f2.8.json` is the design scaled by
3.725 and stopped down to f/2.8 on a larger sensor. Scaling multiplies every length by s: radii, thicknesses and
semi-apertures by s, a coefficient of r^p, which has the unit mm^(1-p), by s^(1-p); conics stay. The stop lies in front
of the lens in air, so that it is its own entrance pupil, and its semi-aperture is efl / (2 * 2.8) with the paraxial
focal length at the reference wavelength. The same input makes the same bytes.
"""

import copy
import json
import os
from pathlib import Path
from typing import Any

LENSES = Path(__file__).parents[1] / "lenses"
SCALE = 3.725  # 3.278 mm to 12.21 mm: the image circle of 2.923 mm covers the half diagonal of 10.886 mm
F_NUMBER = 2.8
NEAREST_M = 0.2  # at 10 cm the blur of this lens, focused at infinity, takes 171 px
SENSOR = {
    "width_px": 5184,
    "height_px": 3888,
    "pitch_um": 3.36,
    "comment": "20 Mpx, 17.42 x 13.06 mm: half diagonal 10.886 mm, within the scaled image circle",
}


def find_efl_mm(lens: dict[str, Any]) -> float:
    """Paraxial focal length at the reference wavelength, by one ray parallel to the axis (y-nu trace)."""
    line_nm = f"{lens['reference_wavelength_nm']:.4f}"
    height_mm, slope, index = 1.0, 0.0, 1.0
    for surface in lens["surfaces"]:
        name = surface["medium_after"]
        next_index = 1.0 if name == "air" else lens["media"][name]["index_at_nm"][line_nm]
        curvature = 0.0 if surface["radius_mm"] is None else 1 / surface["radius_mm"]
        curvature += 2 * surface.get("asphere_coefficients", {}).get("2", 0.0)
        slope = (index * slope - height_mm * (next_index - index) * curvature) / next_index
        index = next_index
        height_mm += slope * surface["thickness_to_next_mm"]
    return -1 / slope


def make_fixed_focus(phone: dict[str, Any]) -> dict[str, Any]:
    """The phone design as the fixed-focus camera: nothing but names and the statement of the focus differ."""
    lens = copy.deepcopy(phone)
    lens["name"] = "f2.2_fixedfocus"
    lens["title"] = "Fixed-focus camera, f = 3.28 mm, f/2.2, 82 degrees, 12 Mpx: US 9,651,759 B2, third embodiment"
    lens["notes"] += " This file is phone_us9651759.json under the name of its use; all numbers are the same."
    return _with_focus(lens)


def make_stack(phone: dict[str, Any]) -> dict[str, Any]:
    """The phone design scaled and stopped down."""
    lens = copy.deepcopy(phone)
    lens["name"] = "stack_12mm_f2.8"
    lens["title"] = "Focal-stack camera, f = 12.2 mm, f/2.8: US 9,651,759 B2, third embodiment, scaled by 3.725"
    lens["source"]["derived"] = f"scaled by {SCALE} and stopped down to f/{F_NUMBER} by tools/make_stack_lens.py"
    for surface in lens["surfaces"]:
        for key in ("radius_mm", "thickness_to_next_mm", "semi_aperture_mm"):
            if surface[key] is not None:
                surface[key] *= SCALE
        terms = surface.get("asphere_coefficients", {})
        terms |= {power: value * SCALE ** (1 - int(power)) for power, value in terms.items()}
    efl_mm = find_efl_mm(lens)
    lens["surfaces"][lens["stop_surface_index"] - 1]["semi_aperture_mm"] = efl_mm / (2 * F_NUMBER)
    lens["design"] = {"efl_mm": efl_mm, "f_number": F_NUMBER, "half_field_deg": phone["design"]["half_field_deg"]}
    lens["sensor"] = dict(SENSOR)
    lens["notes"] = (
        f"Lengths of phone_us9651759.json times {SCALE}, coefficients of r^p times {SCALE}^(1-p), conics as they are; "
        f"stop semi-aperture efl / (2 x {F_NUMBER}) with the paraxial focal length at 587.5618 nm, the stop being its "
        "own entrance pupil. A stand-in for a focal-stack camera (focus 0.5 to 1.415 m), not a product: plastic is "
        "not moulded at this size. The other clear apertures are the scaled ones."
    )
    return _with_focus(lens, NEAREST_M)


def _with_focus(lens: dict[str, Any], nearest_m: float | None = None) -> dict[str, Any]:
    """The keys `focus_m` (null: infinity) and, where it is not the default, `nearest_m` before the surfaces."""
    ordered = {}
    for key, value in lens.items():
        if key == "surfaces":
            ordered["focus_m"] = None
            if nearest_m is not None:
                ordered["nearest_m"] = nearest_m
        ordered[key] = value
    return ordered


def _write(lens: dict[str, Any]) -> None:
    target = LENSES / f"{lens['name']}.json"
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_text(json.dumps(lens, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(target)
    print(target)


def main() -> int:
    """Write both files."""
    phone = json.loads((LENSES / "phone_us9651759.json").read_text(encoding="utf-8"))
    _write(make_fixed_focus(phone))
    _write(make_stack(phone))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
