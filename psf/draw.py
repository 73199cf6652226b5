"""The shooting plan as one page: instructions above, blur against distance below."""

import textwrap

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .shooting import HELD, ShootingPlan
from .shooting_text import write_plan

A4_INCH = (8.27, 11.69)
# Characters in a line of the page's text.
COLUMNS = 128


def draw_plan(plan: ShootingPlan) -> Figure:
    """A page of paper: what to do, blur over distance for every focus, and how the display looks from there."""
    figure = Figure(figsize=A4_INCH)
    FigureCanvasAgg(figure)
    text = write_plan(plan).split("## Blur in pixels")[0]
    y = 0.965
    for paragraph in text.splitlines():
        plain = paragraph.replace("**", "").replace("`", "")
        is_head = plain.startswith("#")
        size = 15.0 if plain.startswith("# ") else 10.5 if is_head else 7.6
        hanging = "   " if plain[:2] in ("1.", "2.", "3.", "4.", "5.", "6.", "* ") else ""
        for line in textwrap.wrap(plain.lstrip("# "), COLUMNS, subsequent_indent=hanging) or [""]:
            figure.text(0.07, y, line, fontsize=size, weight="bold" if is_head else "normal", va="top")
            y -= size * (0.0019 if is_head else 0.00162)
        y -= 0.0015
    top = min(y - 0.03, 0.56)
    middle = 0.07 + 0.42 * (top - 0.07)
    blur = figure.add_axes((0.09, middle + 0.045, 0.83, top - middle - 0.045))
    _draw_blur(plan, blur)
    _draw_display(plan, figure.add_axes((0.09, 0.06, 0.83, middle - 0.06 - 0.02)))
    return figure


def _draw_blur(plan: ShootingPlan, axes: Axes) -> None:
    count = len(plan.focuses_m)
    dioptres = [1 / one for one in plan.distances_m]
    for n, focus in enumerate(plan.focuses_m):
        blurs = [one.blur_px for one in plan.shots[n::count]]
        colour = colormaps["viridis"](0.05 + 0.85 * n / max(count - 1, 1))
        axes.plot(dioptres, blurs, ".-", color=colour, lw=1.2, label=f"focus at {focus:.3g} m")
    axes.plot(dioptres, plan.sharp_blur_px, "k:", lw=1, label=f"sharp picture, f/{plan.camera.sharp_f_number:g}")
    axes.axhline(HELD * plan.kernel_px, color="tab:red", lw=1)
    axes.annotate(
        f"what a kernel of {plan.kernel_px} px holds",
        (dioptres[-1], HELD * plan.kernel_px),
        textcoords="offset points",
        xytext=(2, 3),
        fontsize=7,
        color="tab:red",
    )
    axes.set_ylim(0, 1.15 * max(HELD * plan.kernel_px, *(one.blur_px for one in plan.shots)))
    axes.set_ylabel("diameter of the blur (px)", fontsize=8)
    axes.set_xlabel("distance of the display (1/m)", fontsize=8)
    axes.set_title(
        "Every dot is a place for the display; blur must stay below the red line", fontsize=8.5, loc="left", pad=24
    )
    over = axes.secondary_xaxis("top")
    over.set_xticks(dioptres[:: max(1, len(dioptres) // 10)])
    over.set_xticklabels([f"{1 / one:.2f} m" for one in dioptres[:: max(1, len(dioptres) // 10)]])
    for one in (axes, over):
        one.tick_params(labelsize=7)
    axes.legend(fontsize=7, frameon=False, ncols=2)
    axes.spines[["right"]].set_visible(False)


def _draw_display(plan: ShootingPlan, axes: Axes) -> None:
    dioptres = [1 / one for one in plan.distances_m]
    axes.plot(dioptres, [100 * one for one in plan.cover], ".-", color="tab:blue", lw=1.2)
    axes.set_ylim(0, 108)
    axes.set_ylabel("display fills (% of the frame)", fontsize=8, color="tab:blue")
    axes.set_xlabel("distance of the display (1/m)", fontsize=8)
    other = axes.twinx()
    other.plot(dioptres, plan.display_pixel_px, ".-", color="tab:orange", lw=1.2)
    other.set_ylim(0, 1.15 * max(plan.display_pixel_px))
    other.set_ylabel("size of a display pixel (px)", fontsize=8, color="tab:orange")
    for one in (axes, other):
        one.tick_params(labelsize=7)
