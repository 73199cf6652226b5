"""The shooting plan as Markdown: what to do, in order, and the tables."""

import math

from .capture_files import SCHEMA
from .shooting import HELD, WHITE_LEVEL, ShootingPlan, format_time

# The tables name at most so many focus distances beside one another.
MOST_COLUMNS = 8


def write_plan(plan: ShootingPlan) -> str:
    """One page of Markdown."""
    camera, display = plan.camera, plan.display
    blurred_s, sharp_s = plan.exposure_s
    focuses = ", ".join(f"{one:.3g}" for one in plan.focuses_m)
    lines = [
        "# Shooting plan",
        "",
        f"Camera: {camera.focal_mm:g} mm, f/{camera.f_number:g}, sensor {camera.image_shape_px[1]} x "
        f"{camera.image_shape_px[0]} px of {camera.pitch_um:g} µm, used as pixels of {camera.binned_um:g} µm "
        f"(bin {camera.bin_px}). Display: {display.diagonal_inch:g} inch, {display.shape_px[1]} x "
        f"{display.shape_px[0]} px of {display.pitch_mm:.3f} mm. Kernels of {plan.kernel_px} px.",
        "",
        f"**{plan.photographs} photographs**: {len(plan.distances_m)} distances x {plan.patterns} patterns x "
        f"({len(plan.focuses_m)} blurred + 1 sharp).",
        "",
        "## What to do",
        "",
        "1. Camera on a tripod, display upright and square to the lens, room dark. RAW, one ISO, one white balance, no "
        "stabiliser, no lens corrections, remote release.",
        "2. The display shows patterns pixel by pixel (full screen, no scaling, no dimming) and has been "
        "on for half an hour.",
        f"3. At every distance and for every pattern: focus to {plan.focuses_m[0]:.3g} m and take the **sharp** "
        f"picture at f/{camera.sharp_f_number:g}, about {format_time(sharp_s)} at ISO {camera.iso:g}; then, touching "
        f"nothing but aperture and focus, the **blurred** ones at f/{camera.f_number:g}, about "
        f"{format_time(blurred_s)}, focused to {focuses} m.",
        f"4. White of the display stays below {100 * WHITE_LEVEL:.0f} % of saturation; times are whole periods of the "
        "display "
        f"({format_time(1 / display.refresh_hz)}).",
        "5. Measure each distance from the first vertex of the lens to the display's surface, along the axis.",
        "6. Put the files into one folder, fill in captures.json, and run `python -m psf check FOLDER`.",
        "",
    ]
    if warnings := plan.warnings():
        lines += ["## Look at this first", "", *(f"* {one}" for one in warnings), ""]
    return "\n".join([*lines, *_table(plan)]) + "\n"


def _table(plan: ShootingPlan) -> list[str]:
    """Blur in pixels: a row per distance, a column per focus distance."""
    focuses = plan.focuses_m[:MOST_COLUMNS]
    heads = ["display at m", "1/m", *(f"focus {one:.3g} m" for one in focuses), "sharp", "display px", "fills"]
    rows = ["## Blur in pixels, as used", "", "| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    count = len(plan.focuses_m)
    for n, distance in enumerate(plan.distances_m):
        shots = plan.shots[n * count : n * count + len(focuses)]
        blurs = [f"{one.blur_px:.1f}" + ("" if one.is_held else " (!)") for one in shots]
        more = [f"{plan.sharp_blur_px[n]:.1f}", f"{plan.display_pixel_px[n]:.2f}", f"{100 * plan.cover[n]:.0f} %"]
        rows.append("| " + " | ".join([f"{distance:.3f}", f"{1 / distance:.2f}", *blurs, *more]) + " |")
    shifts = [f"{one.shift_px:+.1f}" for one in plan.shots[: len(focuses)]]
    told = f"A kernel of {plan.kernel_px} px holds {HELD * plan.kernel_px:.0f} px across; (!) is more."
    breathing = f"Against the first focus the corner moves by {', '.join(shifts)} px (outwards)." if count > 1 else ""
    airy = f"The sharp pictures' Airy disc is {plan.airy_px:.1f} px across."
    return [*rows, "", " ".join(one for one in (told, breathing, airy) if one)]


def manifest_of(plan: ShootingPlan) -> dict[str, object]:
    """A `captures.json` to fill in: every photograph of the plan under a name that tells what it is."""
    camera = plan.camera
    pairs = []
    for distance in plan.distances_m:
        for pattern in range(plan.patterns):
            place = f"{distance:.3f}m_p{pattern}"
            for focus in plan.focuses_m:
                blurred = f"{place}_f{camera.f_number:g}_at{focus:.3f}m.dng"
                pair = {"sharp": f"{place}_f{camera.sharp_f_number:g}.dng", "blurred": blurred}
                pairs.append({**pair, "depth_m": round(distance, 4), "focus_m": round(focus, 4)})
    shape = [math.floor(side / camera.bin_px) for side in camera.image_shape_px]
    return {
        "schema": SCHEMA,
        "kernel_px": plan.kernel_px,
        "bin": camera.bin_px,
        "pitch_um": camera.binned_um,
        "image_shape_px": shape,
        "f_number": camera.f_number,
        "sharp_f_number": camera.sharp_f_number,
        "pairs": pairs,
    }
