"""Lenses: prescriptions, glass, real rays, pupils, and the PSF field of a camera.

lens = optics.load("f2.2_fixedfocus")      # a bundled name or a path
facts = optics.first_order(lens)           # focal length, pupils, f-number
field = optics.psf_grid(lens)              # 20 depths x 20 image heights x RGB
truth = optics.psf_at(lens, x_px, y_px, depth_m)
"""

from .aiming import Aimed, aim_rays
from .apertures import float_apertures
from .catalogue import find_glass, list_glasses
from .constraints import Limit, find_violations, keep_limits
from .diffraction import WaveSampling, find_pattern
from .ensemble import make_ensemble
from .fastgrid import GridSampling
from .files import LensFile, Notice, read_lens_file, write_zmx
from .geometric import psf_at, relative_illumination
from .glass import AIR, ConstantIndex, FormulaIndex, Medium, ModelGlass, TabulatedIndex
from .grid import default_depths_m, psf_grid
from .landing import Sampling
from .lens import DEFAULT_CHANNELS, LINE_CHANNELS, Lens, Sensor
from .merit import Merit, RayPlan, plan_rays
from .optimisation import Optimised, Step, optimise
from .paraxial import Conjugate, FirstOrder, conjugate, first_order
from .prescriptions import bundled, from_json, load, save, to_json
from .pupil import ChiefRays, chief_rays
from .rays import Fate, Loss, Rays, Traced
from .residuals import Quality, find_residuals, judge, linearise
from .surface import Conic, EvenAsphere, Plane, PolynomialAsphere, Shape, Surface
from .tolerance import Tolerances, choose_tolerances, find_sensitivities, perturbed
from .tracing import trace
from .variables import FOCUS, Pickup, Variable, Variables, choose_variables
from .wavefront import Wavefront, find_wavefront
from .zernike import evaluate_zernikes, find_noll_orders, fit_zernikes

__all__ = [
    "AIR",
    "DEFAULT_CHANNELS",
    "FOCUS",
    "LINE_CHANNELS",
    "Aimed",
    "ChiefRays",
    "Conic",
    "Conjugate",
    "ConstantIndex",
    "EvenAsphere",
    "Fate",
    "FirstOrder",
    "FormulaIndex",
    "GridSampling",
    "Lens",
    "LensFile",
    "Limit",
    "Loss",
    "Medium",
    "Merit",
    "ModelGlass",
    "Notice",
    "Optimised",
    "Pickup",
    "Plane",
    "PolynomialAsphere",
    "Quality",
    "RayPlan",
    "Rays",
    "Sampling",
    "Sensor",
    "Shape",
    "Step",
    "Surface",
    "TabulatedIndex",
    "Tolerances",
    "Traced",
    "Variable",
    "Variables",
    "WaveSampling",
    "Wavefront",
    "aim_rays",
    "bundled",
    "chief_rays",
    "choose_tolerances",
    "choose_variables",
    "conjugate",
    "default_depths_m",
    "evaluate_zernikes",
    "find_glass",
    "find_noll_orders",
    "find_pattern",
    "find_residuals",
    "find_sensitivities",
    "find_violations",
    "find_wavefront",
    "first_order",
    "fit_zernikes",
    "float_apertures",
    "from_json",
    "judge",
    "keep_limits",
    "linearise",
    "list_glasses",
    "load",
    "make_ensemble",
    "optimise",
    "perturbed",
    "plan_rays",
    "psf_at",
    "psf_grid",
    "read_lens_file",
    "relative_illumination",
    "save",
    "to_json",
    "trace",
    "write_zmx",
]
