"""DeepLens's renderers (`deeplens-core`) in a process of their own, which may be another environment's Python.

    python -m pip install --no-deps --ignore-requires-python deeplens-core==2.5.6     # it asks for Python 3.12

`Peer` starts this file with that Python and asks it, line by line in JSON, to run one call and say what it took. Run
so, the file needs torch, numpy and deeplens-core only. Its depths are negative and in mm, its planes ascend from far to
near, it has no infinity, and its kernels turn clockwise.
"""

import contextlib
import io
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

PART_PX = 64  # what renders per pixel does a piece of this side, and its time is scaled to the picture
PART_AT = 224, 320  # row and column
FARTHEST_M = 1e6


class Peer:
    """Asks the other process. `seconds` of a call on a scene; `picture` is what its last "blend" gave."""

    def __init__(self, python: str, threads: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name)
        command = [python, str(Path(__file__).resolve()), str(threads), self._folder.name]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.version = str(self._answer()["version"])

    def give(self, name: str, **tensors: Tensor) -> None:
        """A scene: image (1, C, H, W), depth_m (1, 1, H, W), kernels (P, C, K, K) or (P, R, C, K, K), depths_m (P,)."""
        np.savez(self._path / f"{name}.npz", **{key: one.detach().float().numpy() for key, one in tensors.items()})

    def seconds(self, call: str, name: str) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"call": call, "scene": name}) + "\n")
        self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def picture(self) -> Tensor:
        return torch.from_numpy(np.load(self._path / "picture.npy"))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return dict(answer)


def find_peer(python: str | None, threads: int) -> Peer | None:
    """The peer, or None and a line that says why."""
    try:
        return Peer(python or sys.executable, threads)
    except (RuntimeError, OSError) as error:
        print(f"no peer to compare with: {error} (--peer-python names the Python of an environment that has it)")
        return None


# What follows runs in the other process.


def pixel_kernels(scene: dict[str, Tensor], module: Any) -> Tensor:
    """Kernels of the piece: bilinear in image height and dioptre, turned, of unit sum, shape (h, w, C, K, K)."""
    field, depths_m, z = scene["kernels"], scene["depths_m"].clamp(max=FARTHEST_M), scene["depth_m"][0, 0]
    (height, width), (top, left) = z.shape, PART_AT
    y, x = torch.meshgrid(torch.arange(top, top + PART_PX), torch.arange(left, left + PART_PX), indexing="ij")
    u, v = (x - (width - 1) / 2).flatten(), ((height - 1) / 2 - y).flatten()
    last_depth, last_radius = field.shape[0] - 1, field.shape[1] - 1
    r = torch.hypot(u, v) / (0.5 * math.hypot(height, width)) * last_radius
    nearest, farthest = 1 / depths_m[0], 1 / depths_m[-1]
    t = ((nearest - 1 / z[y, x].flatten()) / (nearest - farthest)).clamp(0, 1) * last_depth
    i, j = t.floor().clamp(0, last_depth - 1).long(), r.floor().clamp(0, last_radius - 1).long()
    f, g = (t - i)[:, None, None, None], (r - j)[:, None, None, None]
    near = field[i, j] * (1 - g) + field[i, j + 1] * g
    mixed = near * (1 - f) + (field[i + 1, j] * (1 - g) + field[i + 1, j + 1] * g) * f
    turned = module.rotate_psf(mixed, -torch.atan2(v, u))
    turned = turned / turned.sum((-2, -1), keepdim=True)
    return turned.reshape(PART_PX, PART_PX, *field.shape[-3:])  # type: ignore[no-any-return]


def run(call: str, scene: dict[str, Tensor], module: Any) -> tuple[float, Tensor]:
    """Seconds for the whole picture, and what came out."""
    image, depth_m = scene["image"], scene["depth_m"]
    scale = 1.0
    if call == "blend":
        kernels, depths_m = scene["kernels"].flip(0).contiguous(), scene["depths_m"].clamp(max=FARTHEST_M).flip(0)
        start = time.perf_counter()
        out = module.conv_psf_depth_interp(image, -1000 * depth_m, kernels, -1000 * depths_m, interp_mode="disparity")
    else:
        scale = image.shape[-2] * image.shape[-1] / PART_PX**2
        top, left = PART_AT
        part = image[:, :, top : top + PART_PX, left : left + PART_PX].contiguous()
        kernels = pixel_kernels(scene, module) if call == "splat" else None
        start = time.perf_counter()
        kernels = pixel_kernels(scene, module) if kernels is None else kernels
        out = module.splat_psf_per_pixel(part, kernels, chunk_size=32)
    return scale * (time.perf_counter() - start), out


def serve(arguments: Sequence[str]) -> None:
    """Answer until nobody asks any more."""
    threads, folder = int(arguments[0]), Path(arguments[1])
    answers = sys.stdout
    scenes: dict[str, dict[str, Tensor]] = {}
    with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():  # it prints
        torch.set_num_threads(threads)
        try:
            import importlib.metadata

            import deeplens.imgsim.psf as module

            version = importlib.metadata.version("deeplens-core")
        except ImportError as error:
            print(json.dumps({"error": f"deeplens-core cannot be imported: {error}"}), file=answers, flush=True)
            return
        print(json.dumps({"version": version}), file=answers, flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            if asked["scene"] not in scenes:
                with np.load(folder / f"{asked['scene']}.npz") as file:
                    scenes[asked["scene"]] = {key: torch.from_numpy(file[key]) for key in file.files}
            seconds, out = run(asked["call"], scenes[asked["scene"]], module)
            if asked["call"] == "blend":
                np.save(folder / "picture.npy", out.numpy())
            print(json.dumps({"seconds": seconds}), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1:])
