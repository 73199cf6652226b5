"""A lens and its restorer optimised together: gradients run from restored pictures into the prescription.

settings = JointSettings(free=("surface2.asphere_4", "surface3.asphere_4", "focus_mm"))
found = design_jointly(optics.load("f2.2_fixedfocus"), learn.photos.open_photos("PHOTOS"), settings)
found.lens, found.iterates

With several starts: `search_jointly`.

The one room of `learn` that looks into `optics`.
"""

from .comparison import Compared, compare_lenses, judge_made
from .controls import refocus_for_restorer, sharpen_spots
from .design_grid import DesignGrid, DesignKernels, trace_design
from .designing import JointDesign, design_jointly, measure_slope, open_chain
from .exposures import Exposed, Exposure, Patches, expose, set_exposure
from .filter_bank import FilterSettings, apply_filters, solve_filters, sum_normals
from .imaging import Chain, Outcome, run_chain
from .iterates import Iterate, write_iterates
from .judging import Fitted, Verdict, fit_restorer, judge_fitted, judge_restorer
from .objective import Goal, find_soft_worst
from .patches import convert_patches, draw_patches
from .settings import JointSettings, ScanAxis
from .sights import JudgePlan, Sight, View, look_at_lens
from .starts import Scanned, Search, search_jointly
from .tiny_judging import TinyBudget, judge_tiny, train_tiny

__all__ = [
    "Chain",
    "Compared",
    "DesignGrid",
    "DesignKernels",
    "Exposed",
    "Exposure",
    "FilterSettings",
    "Fitted",
    "Goal",
    "Iterate",
    "JointDesign",
    "JointSettings",
    "JudgePlan",
    "Outcome",
    "Patches",
    "ScanAxis",
    "Scanned",
    "Search",
    "Sight",
    "TinyBudget",
    "Verdict",
    "View",
    "apply_filters",
    "compare_lenses",
    "convert_patches",
    "design_jointly",
    "draw_patches",
    "expose",
    "find_soft_worst",
    "fit_restorer",
    "judge_fitted",
    "judge_made",
    "judge_restorer",
    "judge_tiny",
    "look_at_lens",
    "measure_slope",
    "open_chain",
    "refocus_for_restorer",
    "run_chain",
    "search_jointly",
    "set_exposure",
    "sharpen_spots",
    "solve_filters",
    "sum_normals",
    "trace_design",
    "train_tiny",
    "write_iterates",
]
