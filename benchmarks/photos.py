"""What does a crop of a photograph with its depth cost, and how fast is a folder indexed?

    python benchmarks/photos.py [--repeats 24] [--source PICTURE]

A picture is scaled to 2, 6 and 12 Mpx and written as JPEG of quality 92, with and without restart markers. Without
`--source` the picture is made up of clouds with edges, whose files are larger than those of most photographs. Crops
have 577 x 577 px: 512 and a margin for a kernel of 65. Milliseconds of processor time in one thread.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image
from scipy.ndimage import gaussian_filter

from learn.depth_source import DepthSources, draw_pair, find_depth
from learn.photos import Cropping, open_photos

SIZES_PX = {"2 Mpx": (1600, 1200), "6 Mpx": (3000, 2000), "12 Mpx": (4000, 3000)}
CROP_PX = (577, 577)


@dataclass(frozen=True)
class Args:
    repeats: int = 24
    source: Path | None = None


def make_picture() -> Image.Image:
    rng = np.random.default_rng(0)
    clouds = gaussian_filter(rng.normal(size=(1000, 1500, 3)), (1.5, 1.5, 0))
    edges = np.sign(gaussian_filter(rng.normal(size=(1000, 1500)), 20))[..., None]
    return Image.fromarray((128 + 30 * clouds / clouds.std() + 50 * edges).clip(0, 255).astype(np.uint8))


def measure_ms(call: Callable[[], object], repeats: int) -> float:
    call()
    start = time.process_time()
    for _ in range(repeats):
        call()
    return 1000 * (time.process_time() - start) / repeats


def main() -> None:
    args = tyro.cli(Args)
    torch.set_num_threads(1)
    source = Image.open(args.source).convert("RGB") if args.source else make_picture()
    print("file                        MB   index     crop   + depth file   + invented depth   (ms)")
    for label, size in SIZES_PX.items():
        picture = source.resize(size, Image.Resampling.BICUBIC)
        for kind, options in (("plain", {}), ("restart markers", {"restart_marker_rows": 1})):
            with tempfile.TemporaryDirectory() as folder:
                picture.save(Path(folder) / "a.jpg", quality=92, **options)
                print(f"{label:>7} {kind:<16}{measure_folder(Path(folder), size, args.repeats)}")


def measure_folder(folder: Path, size: tuple[int, int], repeats: int) -> str:
    generator, cropping = torch.Generator().manual_seed(0), Cropping(CROP_PX)
    start = time.process_time()
    photos = open_photos(folder)
    index_ms = 1000 * (time.process_time() - start)
    crop_ms = measure_ms(lambda: photos.draw(cropping, generator), repeats)
    pair_ms = measure_ms(lambda: draw_pair(photos, cropping, DepthSources(), generator), repeats)
    depth_m = np.linspace(1, 9, size[0] * size[1], dtype=np.float32).reshape(size[::-1])
    np.save(folder / "a.depth_m.npy", depth_m)
    crop = photos.crop(0, cropping, generator)
    file_ms = measure_ms(lambda: find_depth(photos, crop, DepthSources(), generator), repeats)
    megabytes = photos.path(0).stat().st_size / 1e6
    return f"{megabytes:6.2f}{index_ms:8.1f}{crop_ms:9.1f}{file_ms:12.1f}{pair_ms - crop_ms:16.1f}"


if __name__ == "__main__":
    main()
