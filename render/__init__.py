"""Image formation: what a camera with a given PSF field records of a picture and its depth map.

    blurred = render.depth_blend(image, depth_m, *field.at_radius(0.7))    # a few depth planes, one image height
    blurred = render.pixelwise(image, depth_m, field)                      # every pixel its own kernel
    blurred = render.layered(image, depth_m, field)                        # and what hides what
    stack = render.focal_stack(image, depth_m, fields)                     # one photograph per focus distance

    camera = render.Camera(field, render.RawSensor(), render.load_noise("imx586"))
    photo = camera.simulate(srgb, depth_m, iso=400, generator=g)       # what its sensor records, and its sharp target

    linear = render.unprocess(srgb, render.random_metadata(1, generator=g))    # from a photograph to what a sensor sees
    noisy = render.add_noise(packed, *noise.levels(400), g)                # and what it adds
    photo = render.read_raw("photo.dng")                                   # from a camera, and back
    render.write_dng("restored.dng", photo.with_mosaic(restored))

Images are (B, C, H, W) in linear light, depth maps (B, 1, H, W) in metres.
"""

from .bayer import align, flip_mosaic, mosaic, pack, unpack
from .blending import depth_blend
from .camera import Camera
from .capture_reading import read_capture
from .capture_simulation import SimulatedFocus, simulate_captures
from .demosaicing import demosaic
from .developing import develop, turn_upright
from .dng import write_dng
from .framing import fit_field, magnify, place_window
from .isp import process, process_for_loss, process_linear, unprocess
from .layers import blend_layers, composite_planes
from .metadata import (
    ColourMetadata,
    join_metadata,
    make_metadata,
    random_gamma,
    random_metadata,
    random_noise_levels,
)
from .noise import NoiseModel, RandomNoise
from .noise_presets import load_noise, load_random_noise, make_camera_its, read_noise_profile
from .occlusion import layered
from .photographs import LinearFile, Photograph, RawFile
from .pictures import decode_srgb, encode_srgb, read_depth, read_picture, write_picture
from .pupils import Discs
from .raw import read_linear, read_photo, read_raw
from .raw_photo import RawPhoto, join_photos
from .refinement import refine
from .sensor import RawSensor, add_noise, add_row_noise, iso_plane, radius_plane
from .spatial import PixelwisePlan, pixelwise, pixelwise_reference, plan_pixelwise
from .stacks import focal_stack

__all__ = [
    "Camera",
    "ColourMetadata",
    "Discs",
    "LinearFile",
    "NoiseModel",
    "Photograph",
    "PixelwisePlan",
    "RandomNoise",
    "RawFile",
    "RawPhoto",
    "RawSensor",
    "SimulatedFocus",
    "add_noise",
    "add_row_noise",
    "align",
    "blend_layers",
    "composite_planes",
    "decode_srgb",
    "demosaic",
    "depth_blend",
    "develop",
    "encode_srgb",
    "fit_field",
    "flip_mosaic",
    "focal_stack",
    "iso_plane",
    "join_metadata",
    "join_photos",
    "layered",
    "load_noise",
    "load_random_noise",
    "magnify",
    "make_camera_its",
    "make_metadata",
    "mosaic",
    "pack",
    "pixelwise",
    "pixelwise_reference",
    "place_window",
    "plan_pixelwise",
    "process",
    "process_for_loss",
    "process_linear",
    "radius_plane",
    "random_gamma",
    "random_metadata",
    "random_noise_levels",
    "read_capture",
    "read_depth",
    "read_linear",
    "read_noise_profile",
    "read_photo",
    "read_picture",
    "read_raw",
    "refine",
    "simulate_captures",
    "turn_upright",
    "unpack",
    "unprocess",
    "write_dng",
    "write_picture",
]
