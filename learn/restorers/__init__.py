"""Restorers that need no network: what the trained ones are measured against.

restored = restore_polyblur(srgb)                                                # knows nothing of the camera
restored = restore_wiener(linear, depth_m, field, noise_variance=1e-4)           # knows field and depth
restored = restore_wiener_at(linear, field, 0.12, noise_variance=1e-4)            # as if all lay at one depth
depth_m = find_depth_by_blur(linear, field, noise_variance=1e-4)                 # for those that must be told it
restored = restore_richardson_lucy(linear, depth_m, field, rounds=20)            # the same, every pixel its kernel
restored = restore_least_squares(linear, depth_m, field, read=1e-5, shot=1e-4)   # the same, slowest and best
restored = restore_ridge(fit_ridge(samples), packed, iso, radius, azimuth_rad)   # has seen what a network has seen
"""

from .depth_by_blur import find_depth_by_blur
from .least_squares import restore_least_squares
from .polyblur import GaussianBlur, PolyBlur, estimate_blur, restore_polyblur
from .richardson_lucy import restore_richardson_lucy
from .ridge import (
    RidgeBank,
    RidgeSample,
    RidgeSettings,
    find_cell_places,
    fit_ridge,
    load_bank,
    restore_ridge,
    save_bank,
)
from .wiener import restore_wiener, restore_wiener_at

__all__ = [
    "GaussianBlur",
    "PolyBlur",
    "RidgeBank",
    "RidgeSample",
    "RidgeSettings",
    "estimate_blur",
    "find_cell_places",
    "find_depth_by_blur",
    "fit_ridge",
    "load_bank",
    "restore_least_squares",
    "restore_polyblur",
    "restore_richardson_lucy",
    "restore_ridge",
    "restore_wiener",
    "restore_wiener_at",
    "save_bank",
]
