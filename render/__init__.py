"""Image formation: what a camera with a given PSF field records of a picture and its depth map.

    blurred = render.depth_blend(image, depth_m, *field.at_radius(0.7))    # a few depth planes, one image height
    blurred = render.pixelwise(image, depth_m, field)                      # every pixel its own kernel
    blurred = render.layered(image, depth_m, field)                        # and what hides what
    stack = render.focal_stack(image, depth_m, fields)                     # one photograph per focus distance

Images are (B, C, H, W) in linear light, depth maps (B, 1, H, W) in metres.
"""

from .blending import depth_blend
from .framing import fit_field, magnify, place_window
from .layers import blend_layers, composite_planes
from .occlusion import layered
from .pictures import decode_srgb, encode_srgb, read_depth, read_picture, write_picture
from .pupils import Discs
from .refinement import refine
from .spatial import PixelwisePlan, pixelwise, pixelwise_reference, plan_pixelwise
from .stacks import focal_stack

__all__ = [
    "Discs",
    "PixelwisePlan",
    "blend_layers",
    "composite_planes",
    "decode_srgb",
    "depth_blend",
    "encode_srgb",
    "fit_field",
    "focal_stack",
    "layered",
    "magnify",
    "pixelwise",
    "pixelwise_reference",
    "place_window",
    "plan_pixelwise",
    "read_depth",
    "read_picture",
    "refine",
    "write_picture",
]
