"""Flat layers that hide one another: two planes known in full, and one picture with depth cut into layers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from psf import InputError

from .tiling import smooth_length

# F.pad's names for what stands outside the frame.
PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}
# Below this share of light no layer says what a pixel looks like.
DARK = 1e-6


def composite_planes(
    front: Tensor, alpha: Tensor, back: Tensor, kernel_front: Tensor, kernel_back: Tensor, *, padding: str = "reflect"
) -> Tensor:
    """A thing in front of a background that is known in full, each at one depth.

    A = K_f * alpha, result = K_f * (alpha front) + (1 - A) (K_b * back). Exact if all rays to one pixel that pass the
    front meet the same average background.

    Args:
        front: Linear light, shape (B, C, H, W).
        alpha: Share of each pixel that the front covers, 0 to 1, shape (B, 1, H, W).
        back: Shape (B, C, H, W).
        kernel_front: Unit sum, odd side, shape (C, K, K).
        kernel_back: Shape (C, L, L).
        padding: What stands outside the frame: "reflect", "replicate", "circular" or "zeros".

    Returns:
        Shape (B, C, H, W); differentiable.
    """
    check_padding(padding)
    check_images(front=front, back=back)
    if front.shape != back.shape:
        raise InputError("back", f"shape {tuple(back.shape)}", f"shape {tuple(front.shape)} as the front")
    wanted = (front.shape[0], 1, *front.shape[2:])
    if tuple(alpha.shape) != wanted:
        raise InputError("alpha", f"shape {tuple(alpha.shape)}", f"shape {wanted}")
    if not bool(((alpha >= 0) & (alpha <= 1)).all()):
        raise InputError("alpha", "values outside 0 to 1", "shares from 0 to 1")
    for name, kernel in (("kernel_front", kernel_front), ("kernel_back", kernel_back)):
        if kernel.ndim != 3:
            raise InputError(name, f"shape {tuple(kernel.shape)}", "shape (C, K, K)")
        check_kernels(name, kernel, front, padding)
    covered = blur(alpha.to(front).expand_as(front), kernel_front, padding).clamp(0, 1)
    return blur(alpha.to(front) * front, kernel_front, padding) + (1 - covered) * blur(back, kernel_back, padding)


def blend_layers(image: Tensor, masks: Tensor, kernels: Tensor, *, padding: str = "reflect") -> Tensor:
    """One picture cut into layers, the nearer hiding the farther; what no layer shows is filled by a quotient.

    C = K * (mask image), A = K * mask, T the product of (1 - A) of all nearer layers, result = sum T C / sum T A.

    Args:
        image: Linear light, shape (B, C, H, W).
        masks: Nearest layer first; the sum over the layers is 1. Shape (B, L, H, W).
        kernels: Unit sum, odd side, shape (L, C, K, K).
        padding: As in `composite_planes`.

    Returns:
        Shape (B, C, H, W); differentiable.
    """
    check_padding(padding)
    check_images(image=image)
    if kernels.ndim != 4:
        raise InputError("kernels", f"shape {tuple(kernels.shape)}", "shape (L, C, K, K)")
    wanted = (image.shape[0], len(kernels), *image.shape[2:])
    if tuple(masks.shape) != wanted:
        raise InputError("masks", f"shape {tuple(masks.shape)}", f"shape {wanted}, a mask for each layer's kernel")
    check_kernels("kernels", kernels, image, padding)
    masks = masks.to(image)
    blend = Quotient.empty(image)
    for layer, kernel in enumerate(kernels):
        mask = masks[:, layer : layer + 1]
        if bool((mask != 0).any()):
            blend = blend.under(blur(mask * image, kernel, padding), blur(mask.expand_as(image), kernel, padding))
    return blend.result(image)


@dataclass(frozen=True, eq=False)
class Quotient:
    """Layers laid under one another so far; adding one gives a new value.

    Attributes:
        light: Summed over the layers, shape (B, C, H, W).
        weight: Summed cover of the layers, shape (B, C, H, W).
        through: What they still let through, shape (B, C, H, W).
    """

    light: Tensor
    weight: Tensor
    through: Tensor

    @classmethod
    def empty(cls, image: Tensor) -> "Quotient":
        """Nothing laid yet, for pictures of shape (B, C, H, W)."""
        zero = torch.zeros_like(image)
        return cls(zero, zero, torch.ones_like(image))

    def under(self, colour: Tensor, cover: Tensor, transmission: Tensor | float = 1.0) -> "Quotient":
        """Lay one beneath: blurred colour and cover (B, C, H, W), transmission of its depth that broadcasts."""
        cover = cover.clamp(0, 1)
        light = self.light + self.through * colour * transmission
        return Quotient(light, self.weight + self.through * cover, self.through * (1 - cover))

    def result(self, image: Tensor) -> Tensor:
        """Light over weight; the sharp picture (B, C, H, W) where there is no weight."""
        known = self.weight > DARK
        return torch.where(known, self.light / torch.where(known, self.weight, 1.0), image)


def blur(image: Tensor, kernels: Tensor, padding: str) -> Tensor:
    """True convolution of pictures (B, C, H, W) with kernels (C, K, K), by FFT."""
    half = kernels.shape[-1] // 2
    return blur_valid(torch.nn.functional.pad(image, (half,) * 4, mode=PAD_MODES[padding]), kernels)


def blur_valid(padded: Tensor, kernels: Tensor) -> Tensor:
    """The part of a true convolution that needs nothing from outside.

    Takes pictures (B, C, H + K - 1, W + K - 1) and kernels (C, K, K), gives (B, C, H, W).

    A transform as long as the picture is enough: what wraps round falls on the part that is cut away.
    """
    size = kernels.shape[-1]
    shape = tuple(smooth_length(one) for one in padded.shape[-2:])
    product = torch.fft.rfft2(padded, s=shape) * torch.fft.rfft2(kernels, s=shape)
    full: Tensor = torch.fft.irfft2(product, s=shape)
    found: Tensor = full[..., size - 1 : padded.shape[-2], size - 1 : padded.shape[-1]]
    return found


def check_padding(padding: str) -> None:
    """Raise InputError unless there is such a padding."""
    if padding not in PAD_MODES:
        raise InputError("padding", repr(padding), "one of " + ", ".join(repr(one) for one in PAD_MODES))


def check_images(**images: Tensor) -> None:
    """Raise InputError unless all are finite pictures (B, C, H, W) of real numbers."""
    for name, image in images.items():
        if not isinstance(image, Tensor) or image.dtype not in (torch.float32, torch.float64):
            found = getattr(image, "dtype", type(image).__name__)
            raise InputError(name, found, "a tensor of float32 or float64")
        if image.ndim != 4 or 0 in image.shape[1:]:
            raise InputError(name, f"shape {tuple(image.shape)}", "shape (B, C, H, W)")
        if not bool(image.detach().isfinite().all()):
            raise InputError(name, "values that are not finite", "finite linear light")


def check_kernels(name: str, kernels: Tensor, image: Tensor, padding: str) -> None:
    """Raise InputError unless kernels (..., C, K, K) fit a picture (B, C, H, W) and its padding."""
    channels, height, width = image.shape[1:]
    if kernels.shape[-1] != kernels.shape[-2] or kernels.shape[-1] % 2 == 0:
        raise InputError(name, f"shape {tuple(kernels.shape)}", "square kernels of an odd side")
    if kernels.shape[-3] != channels:
        raise InputError(name, f"{kernels.shape[-3]} channels", f"{channels} as the picture has them")
    if kernels.dtype != image.dtype or kernels.device != image.device:
        found = f"{kernels.dtype} on {kernels.device}"
        raise InputError(name, found, f"{image.dtype} on {image.device} as the picture")
    check_reach(name, kernels.shape[-1] // 2, (height, width), padding)


def check_reach(name: str, half: int, shape_px: tuple[int, ...], padding: str) -> None:
    """Raise InputError where blur reaches farther than a picture can be mirrored or repeated."""
    longest = {"reflect": min(shape_px) - 1, "circular": min(shape_px)}.get(padding, half)
    if half > longest:
        raise InputError(name, f"blur that reaches {half} px", f"at most {longest} px for padding {padding!r}")
