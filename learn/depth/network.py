"""Depth networks of the Depth Anything kind, through `transformers`, from files that are on this machine already.

Nothing is fetched. Depth Anything V2 Small is under Apache-2.0; Base and Large are not for commercial use.
"""

import contextlib
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from psf import InputError
from psf.errors import import_extra, one_line

DEFAULT_MODEL = "depth-anything/Depth-Anything-V2-Small-hf"
# In the configuration of a network with random weights, so that nobody takes its results for depth.
UNTRAINED_KEY = "psfield_untrained"
# A network that measures metres gives at least this many, so that dioptres stay finite.
NEAREST_M = 1e-3


@dataclass(frozen=True, eq=False)
class DepthNetwork:
    """A network that sees depth in one photograph.

    Attributes:
        model: Takes `pixel_values` (1, 3, h, w), gives `predicted_depth` (1, h, w).
        processor: Makes `pixel_values` of a picture.
        name: Under which it was loaded.
        weights_sha256: Of all weights.
        is_trained: False for random weights.
        is_metric: Whether it gives metres; else inverse depth without unit.
    """

    model: Any
    processor: Any
    name: str
    weights_sha256: str
    is_trained: bool
    is_metric: bool


def load_network(model: str | Path = DEFAULT_MODEL, *, device: str | torch.device = "cpu") -> DepthNetwork:
    """Load a depth network from a folder, or from the cache of `transformers`; nothing is fetched.

    Args:
        model: A folder with config.json, preprocessor_config.json and model.safetensors, or a name as
            "depth-anything/Depth-Anything-V2-Small-hf".
        device: Where it shall run.
    """
    transformers = import_extra("transformers", "depth")
    import_extra("torchvision", "depth")
    name = str(model)
    if Path(name).expanduser().is_dir():
        name = str(Path(name).expanduser())
        _check_folder(Path(name))
    with _without_bars(transformers):
        processor, network, notes = _load(transformers, name)
    lacking = [*notes.get("missing_keys", ()), *(str(one) for one in notes.get("mismatched_keys", ()))]
    if lacking:
        raise InputError(name, f"no weights for {len(lacking)} of its tensors, first {lacking[0]}", "all of them")
    try:
        network = network.eval().to(device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        raise InputError("load_network(device)", f"{device} ({one_line(error)})", "a device at hand") from error
    config = network.config
    is_metric = getattr(config, "depth_estimation_type", "relative") == "metric"
    is_trained = not getattr(config, UNTRAINED_KEY, False)
    return DepthNetwork(network, processor, str(model), _hash_weights(network), is_trained, is_metric)


def find_disparity(network: DepthNetwork, srgb: Tensor) -> Tensor:
    """Inverse depth of a picture: greater is nearer; dioptres if the network measures metres.

    Args:
        network: From `load_network`.
        srgb: 0 to 1, upright, shape (3, H, W).

    Returns:
        float32 at the network's own resolution, shape (h, w).
    """
    if srgb.ndim != 3 or srgb.shape[0] != 3 or min(srgb.shape) < 1:
        raise InputError("find_disparity(srgb)", f"shape {tuple(srgb.shape)}", "(3, H, W)")
    levels = (srgb.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    inputs = network.processor(images=levels.permute(1, 2, 0).numpy(), return_tensors="pt")
    with torch.inference_mode():
        values: Tensor = network.model(inputs["pixel_values"].to(network.model.device)).predicted_depth[0]
    values = values.float().cpu()
    if bad := int((~values.isfinite()).sum()):
        raise InputError(network.name, f"{bad} results that are not finite", "finite depth")
    return 1 / values.clamp_min(NEAREST_M) if network.is_metric else values


def save_untrained_network(folder: str | Path, *, generator: torch.Generator) -> None:
    """Write a tiny Depth Anything network with random weights, to try the machinery; its results are marked.

    Args:
        folder: Where to, made if it does not exist.
        generator: Random numbers.
    """
    transformers = import_extra("transformers", "depth")
    import_extra("torchvision", "depth")
    backbone = transformers.Dinov2Config(
        hidden_size=16,
        num_attention_heads=2,
        num_hidden_layers=4,
        image_size=56,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=8,
        **{UNTRAINED_KEY: True},
    )
    network = transformers.DepthAnythingForDepthEstimation(config)
    with torch.no_grad():
        for _, weights in sorted(network.named_parameters()):
            fan_in = max(weights[0].numel() if weights.ndim else 1, 1)
            drawn = torch.randn(weights.shape, generator=generator, device=generator.device).to(weights.device)
            weights.copy_(drawn / math.sqrt(fan_in))
    processor = transformers.DPTImageProcessor(
        size={"height": 56, "width": 56},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    with _without_bars(transformers):
        network.save_pretrained(str(folder))
        processor.save_pretrained(str(folder))


def _load(transformers: ModuleType, name: str) -> tuple[Any, Any, dict[str, Any]]:
    """Processor, network, and what was amiss with its weights."""
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(name, local_files_only=True)
        network, notes = transformers.AutoModelForDepthEstimation.from_pretrained(
            name, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise _missing(name) from error
    return processor, network, notes


@contextlib.contextmanager
def _without_bars(transformers: ModuleType) -> Iterator[None]:
    """Without the library's own progress bars, which would stand among ours."""
    bars = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _check_folder(folder: Path) -> None:
    wanted = ("config.json", "preprocessor_config.json")
    missing = [one for one in wanted if not (folder / one).is_file()]
    if not [*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]:
        missing.append("model.safetensors")
    if missing:
        raise FileNotFoundError(f"{folder}: no depth network there, {', '.join(missing)} missing")


def _missing(name: str) -> FileNotFoundError:
    if Path(name).is_dir():
        return FileNotFoundError(f"{name}: no depth network that transformers can read")
    constants = import_extra("huggingface_hub.constants", "depth")
    return FileNotFoundError(
        f"{name}: no such depth network in {constants.HF_HUB_CACHE}, and nothing is fetched; on a machine with "
        f"internet run 'hf download {name} --local-dir FOLDER', copy FOLDER here and give --model FOLDER"
    )


def _hash_weights(network: Any) -> str:
    digest = hashlib.sha256()
    for name, weights in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(weights.shape)} {weights.dtype}".encode())
        digest.update(weights.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
