"""Depth-blend: a picture blurred by the kernels of a few depth planes, mixed pixel by pixel in dioptres.

Equations 3 to 5 of Yang et al., Efficient Depth- and Spatially-Varying Image Simulation for Defocus Deblur, with true
convolution and interpolation in dioptres, in which blur grows in a straight line. One kernel per plane serves the
whole picture: right for a patch, an approximation for a frame. The weights belong to the output pixel (a gather).
"""

import torch
from torch import Tensor

from psf import InputError
from psf.convolve import Blend, Sites, check_alike, check_method, check_pictures, sum_convolutions


def depth_blend(
    image: Tensor,
    depth_m: Tensor,
    kernels: Tensor,
    depths_m: Tensor,
    *,
    padding: str = "reflect",
    sites: str | None = None,
    method: str = "auto",
) -> Tensor:
    """Blur a picture by its depth; takes what `PolarPSFField.at_radius` returns.

    A pixel between two planes takes both kernels, weighted linearly in dioptres; nearer than the nearest plane or
    farther than the farthest it takes that plane's kernel. Only planes that the depth map uses are computed, and only
    where it uses them; zeros around the kernels cost nothing (unless a gradient by the kernels is wanted).

    Args:
        image: Linear light, shape (B, C, H, W).
        depth_m: Positive, `inf` allowed, shape (B, 1, H, W).
        kernels: Odd sides, shape (P, C, K, K), or (B, P, C, K, K) for one set per sample. A transmission belongs into
            them: their sum is what a constant picture is multiplied by.
        depths_m: The planes, ascending, the last may be `inf`, shape (P,).
        padding: What stands outside the frame: "reflect", "replicate", "circular" or "zeros".
        sites: The four letters of a Bayer cell, row by row ("RGGB", "BGGR", "GRBG", "GBRG"): compute only the samples
            that this mosaic keeps of a picture whose channels are R, G, B. The cell begins at the first pixel.
        method: "direct" (shifted sums), "tiles" (Fourier transforms) or "auto" (tiles, unless it is one or two
            planes of a single pixel, on a GPU of 3 px).

    Returns:
        Shape (B, C, H, W); with `sites` the mosaic, (B, 1, H, W). Differentiable in image, kernels and depth.
    """
    check_pictures(image, kernels, padding, kernel_ndim=4)
    check_method(method)
    _check_blend(image, depth_m, kernels, depths_m)
    mosaic = None if sites is None else _find_sites(sites, image.shape[1])
    blend = find_blend(depth_m, depths_m) if len(depths_m) > 1 else None
    return sum_convolutions(image, kernels, blend, padding=padding, method=method, sites=mosaic)


def find_blend(depth_m: Tensor, depths_m: Tensor) -> Blend:
    """The two planes of every pixel and how much of each, linear in dioptres.

    Args:
        depth_m: Positive, `inf` allowed, shape (B, 1, H, W).
        depths_m: At least two planes, ascending, the last may be `inf`, shape (P,).
    """
    planes = -1 / depths_m.detach()  # ascends as depth does
    if depth_m.device.type == "cpu" and not depth_m.requires_grad:
        from psf.tile_loops import place_depths

        arrays = place_depths(depth_m.contiguous().numpy(), planes.numpy(), torch.get_num_threads())
        lower, share = map(torch.from_numpy, arrays)
        return Blend(lower, share)
    places = (-1 / depth_m).clamp(float(planes[0]), float(planes[-1]))
    index = torch.bucketize(places.detach(), planes[1:-1], right=True)
    share = (places - planes[index]) / planes.diff()[index]
    return Blend(index.to(share.dtype), share)


def _check_blend(image: Tensor, depth_m: Tensor, kernels: Tensor, depths_m: Tensor) -> None:
    if image.ndim != 4:
        raise InputError("image", f"shape {tuple(image.shape)}", "shape (B, C, H, W)")
    expected = (image.shape[0], 1, *image.shape[2:])
    if depth_m.shape != expected:
        raise InputError("depth_m", f"shape {tuple(depth_m.shape)}", f"shape (B, 1, H, W) = {expected}")
    if kernels.ndim > 5 or (kernels.ndim == 5 and kernels.shape[0] != image.shape[0]):
        shape = f"shape (P, C, K, K) or (B, P, C, K, K) with B = {image.shape[0]}"
        raise InputError("kernels", f"shape {tuple(kernels.shape)}", shape)
    if depths_m.shape != kernels.shape[-4:-3]:
        raise InputError("depths_m", f"shape {tuple(depths_m.shape)}", f"one depth per plane, {kernels.shape[-4]}")
    check_alike("depth_m", depth_m, image)
    check_alike("depths_m", depths_m, image)
    planes = depths_m.detach()
    if not bool(((planes > 0) & (planes[:-1] < planes[1:]).all() & (planes[:-1] < torch.inf).all()).all()):
        raise InputError("depths_m", planes.tolist(), "positive depths in m, ascending, only the last may be inf")
    depth = depth_m.detach()
    right = depth.numpy() > 0 if depth.device.type == "cpu" else depth > 0
    if not bool(right.all()):  # NaN is not above 0
        bad = ~(depth > 0)
        wrong = depth[bad]
        nan = int(wrong.isnan().sum())
        least = "" if nan == len(wrong) else f" (least {float(wrong[~wrong.isnan()].min()):g} m)"
        found = f"{len(wrong)} values of {depth.numel()} that are not positive{least}, {nan} of them NaN"
        raise InputError("depth_m", found, "positive depths in m, inf allowed")


def _find_sites(sites: str, channels: int) -> Sites:
    if len(sites) != 4 or set(sites) - set("RGB"):
        raise InputError("sites", repr(sites), "the four letters of a Bayer cell row by row, such as 'RGGB'")
    if channels != 3:
        raise InputError("image", f"{channels} channels", "3 (R, G, B) when sites are asked for")
    r, g, b, w = ("RGB".index(letter) for letter in sites)
    return Sites((r, g, b, w))
