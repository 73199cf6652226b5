"""Networks for programs without torch: ONNX files, checked against torch before they get their name."""

import importlib
import math
import os
import warnings
from types import ModuleType

import torch

from psf import InputError
from psf.runs import whole_file

from .local_means import check_box
from .nafnet import NAFNet

OPSET = 18
TOLERANCE = 1e-4  # of results about 1: float32 sums in another order
CHECK_CELLS = (37, 52)  # not the size it was traced with, nor a multiple of anything


def write_onnx(
    network: NAFNet, path: str | os.PathLike[str], *, box_cells: int | None = None, generator: torch.Generator
) -> float:
    """Write a network as ONNX: input `planes`, output `restored`, any batch and any size.

    The file is run by onnxruntime on random input of another size, and thrown away if it disagrees with torch.

    Args:
        network: In float32, on the CPU.
        path: Where to; replaced once the new file is whole and checked.
        box_cells: None, for means over the frame. Boxes are refused: their sums need float64 over a whole frame.
        generator: For the check's input.

    Returns:
        The largest difference to torch.
    """
    check_box(box_cells)
    if box_cells is not None:
        raise InputError("box_cells", box_cells, "None: means over boxes are not exported")
    if not isinstance(network, NAFNet):
        raise InputError("network", type(network).__name__, "a NAFNet")
    weight = network.intro.weight
    if weight.dtype != torch.float32 or weight.device.type != "cpu":
        raise InputError("network", f"{weight.dtype} on {weight.device}", "float32 on the CPU")
    training = network.training
    try:
        network.eval()
        with whole_file(path) as part:
            for module in ("onnx", "onnxscript", "onnxruntime"):
                _optional(module)
            planes = torch.rand((2, network.config.in_planes, 48, 64), generator=generator)
            batch, height, width = (torch.export.Dim(name, min=1) for name in ("batch", "height", "width"))
            with warnings.catch_warnings(action="ignore"), torch.no_grad():  # the exporter's own, of its own workings
                torch.onnx.export(
                    network,
                    (planes,),
                    str(part),
                    input_names=["planes"],
                    output_names=["restored"],
                    opset_version=OPSET,
                    dynamic_shapes={"planes": {0: batch, 2: height, 3: width}},
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                )
            error = compare_onnx(network, part, generator=generator)
            if not error <= TOLERANCE:
                raise InputError(str(path), f"a difference of {error:g} to torch", f"at most {TOLERANCE:g}")
    finally:
        network.train(training)
    return error


def compare_onnx(network: NAFNet, path: str | os.PathLike[str], *, generator: torch.Generator) -> float:
    """The largest difference between a file and a network, on random input relative to the result's largest value.

    Args:
        network: In float32.
        path: As `write_onnx` wrote it.
        generator: For the input.
    """
    runtime = _optional("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    planes = torch.rand((1, network.config.in_planes, *CHECK_CELLS), generator=generator)
    (found,) = session.run(None, {session.get_inputs()[0].name: planes.numpy()})
    with torch.no_grad():
        wanted = network(planes)
    if tuple(found.shape) != tuple(wanted.shape):
        return math.inf
    return float((torch.from_numpy(found) - wanted).abs().max() / wanted.abs().max().clamp_min(1))


def _optional(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(f"{module} is not installed; this needs: pip install 'psfield[onnx]'") from error
