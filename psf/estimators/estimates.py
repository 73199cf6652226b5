"""What all estimates have in common: pairs they take, places they answer at, the field they become."""

import hashlib
import json
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..captures import Captures
from ..channels import Channel
from ..errors import InputError
from ..field import PolarPSFField
from ..provenance import Provenance

# A field has a pitch; where nobody knows the sensor's, this stands for it.
UNKNOWN_PITCH_UM = 1.0
# Depths may lie outside the captured ones by this share of their range in dioptres before it is said.
SILENT_SHARE = 0.02


def check_pairs(captures: Captures) -> None:
    """Refuse no pairs, and pairs of several focus distances."""
    if len(captures) == 0:
        raise InputError("captures", "no pairs", "at least one")
    if len(captures.focuses_m) > 1:
        found = ", ".join(f"{one:g}" for one in captures.focuses_m.tolist())
        raise InputError("captures.focus_m", found, "one focus distance (captures.at_focus, or estimate_each)")


def identify_run(captures: Captures, told: Sequence[Any], arrays: Iterable[Tensor] = ()) -> str:
    """A hash of what a run depends on, but for most pixels of the pictures.

    Args:
        captures: Its pairs.
        told: Its seed and options, of types that JSON knows or that say what they are.
        arrays: What else it learns from, of any shapes.
    """
    digest = hashlib.sha256(json.dumps(told, default=str, sort_keys=True).encode())
    pairs = [captures[index] for index in sorted({0, len(captures) // 2, len(captures) - 1})]
    pictures = [picture for pair in pairs for picture in (pair.sharp, pair.blurred)]
    for one in (captures.x0_px, captures.y0_px, captures.depth_m, captures.focus_m, *arrays, *pictures):
        digest.update(one.detach().double().cpu().numpy().tobytes())
    return digest.hexdigest()


def read_places(depth_range_m: tuple[float, float], **places: Tensor | float) -> list[Tensor]:
    """Places as a model is asked for them, each of shape (N,), float64; its depths kept to the captured ones.

    Args:
        depth_range_m: Nearest and farthest captured depth; depths clearly outside are warned of.
        places: `depth_m`, and `radius` or `x_px` and `y_px`, of shapes () or (N,).
    """
    found = {name: torch.as_tensor(one, dtype=torch.float64).detach().cpu().reshape(-1) for name, one in places.items()}
    depth = found["depth_m"]
    if not bool((depth > 0).all()):
        raise InputError("depth_m", float(depth[~(depth > 0)][0]), "depths above 0 m (inf is allowed)")
    for name, values in found.items():
        if name != "depth_m" and not bool(values.isfinite().all()):
            raise InputError(name, "a value that is not finite", "finite values")
        if name == "radius" and not bool((values >= 0).all()):
            raise InputError("radius", float(values.min()), "image heights of at least 0 (1 at the sensor's corner)")
    nearest, farthest = depth_range_m
    slack = SILENT_SHARE * (1 / nearest - 1 / farthest) + 1e-9
    outside = (1 / depth > 1 / nearest + slack) | (1 / depth < 1 / farthest - slack)
    if bool(outside.any()):
        text = f"depth {float(depth[outside][0]):g} m is outside the captured {nearest:g} to {farthest:g} m"
        # Told where the model was asked: two calls up.
        warnings.warn(f"{text}: the nearest captured depth answers", stacklevel=3)
    found["depth_m"] = depth.clamp(nearest, farthest)
    try:
        return list(torch.broadcast_tensors(*found.values()))
    except RuntimeError as error:
        lengths = ", ".join(f"{len(one)} of {name}" for name, one in found.items())
        raise InputError("places", lengths, "the same number of each") from error


def spread_places(depths_m: Sequence[float] | Tensor, radii: Sequence[float] | Tensor) -> tuple[Tensor, ...]:
    """Depths (D,) and image heights (R,) of a field, then both at each of its D R kernels, float64."""
    depths, heights = (torch.as_tensor(one, dtype=torch.float64).reshape(-1) for one in (depths_m, radii))
    shape = (len(depths), len(heights))
    return depths, heights, depths[:, None].expand(shape).reshape(-1), heights.expand(shape).reshape(-1)


def make_field(
    kernels: Tensor,
    depths_m: Tensor,
    radii: Tensor,
    fall_off: Tensor,
    *,
    image_shape_px: tuple[int, int],
    pitch_um: float | None,
    focus_m: float,
    magnification: float,
    method: str,
    oversample: int = 1,
) -> PolarPSFField:
    """The field of an estimated camera; its `lost` is 0, since pairs do not tell what falls outside the window.

    Args:
        kernels: In the order of `spread_places`, shape (D R, C, K, K), float32.
        depths_m: Ascending, shape (D,).
        radii: Shape (R,).
        fall_off: Light of the blurred pictures against the sharp ones, 1 on the axis, shape (R, C).
        image_shape_px: The sensor's (H, W).
        pitch_um: None where nobody knows it.
        focus_m: Depth that the camera was focused to.
        magnification: Scale of the blurred pictures that kernels do not hold.
        method: Told in the field's provenance.
        oversample: Stored values per pixel and axis.
    """
    shape, channels = (len(depths_m), len(radii)), kernels.shape[1]
    told = {"pitch": "given" if pitch_um else f"unknown, {UNKNOWN_PITCH_UM:g} um stands for it"}
    return PolarPSFField(
        kernels=kernels.reshape(*shape, *kernels.shape[1:]),
        transmission=fall_off.float().expand(*shape, channels).contiguous(),
        lost=torch.zeros((*shape, channels)),
        depths_m=depths_m.float(),
        radii=radii.float(),
        image_shape_px=image_shape_px,
        pitch_um=float(pitch_um or UNKNOWN_PITCH_UM),
        channels=tuple(Channel(name) for name in ("RGB" if channels == 3 else map(str, range(channels)))),
        focus_m=focus_m,
        magnification=magnification,
        oversample=oversample,
        provenance=Provenance(lens="estimated", source="photographs", arguments={"method": method, **told}),
    )
