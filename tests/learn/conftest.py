"""What tests of the synthesis share: a few small photographs, a small camera whose kernels lean, and what they make."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from learn.photos import Cropping, open_photos
from learn.synthesis import open_synthesis
from learn.variants import SynthesisSettings
from psf import Channel, PolarPSFField
from render import RawSensor, load_noise
from render.camera import Camera

PATCH_PX = 64
RGB = (Channel("R", (0.62,)), Channel("G", (0.54,)), Channel("B", (0.46,)))


def make_lens(kernel_px=11, image_shape_px=(220, 280), seed=0):
    """Mirror-symmetric kernels that lean outwards, larger the nearer and the farther out, another for each colour."""
    g = torch.Generator().manual_seed(seed)
    depths_m, radii = torch.tensor([0.1, 0.25, 0.6, 2.0, math.inf]), torch.linspace(0, 1, 6)
    half = kernel_px // 2
    y, x = torch.meshgrid(*[torch.arange(-half, half + 1.0)] * 2, indexing="ij")
    near, radius, colour = (1 / depths_m)[:, None, None], radii[None, :, None], torch.arange(3.0)[None, None]
    size = (0.5 + half * (0.06 * near + 0.1 * radius + 0.02 * colour))[..., None, None]
    radius = radius[..., None, None]
    spot = ((x - 0.6 * radius * size) ** 2 + (y * (1 + 0.3 * radius)) ** 2).sqrt()
    kernels = (size + 0.5 - spot).clamp(0, 1) * (1 + 0.2 * torch.rand((kernel_px,), generator=g))
    return PolarPSFField(
        kernels=kernels / kernels.sum((-2, -1), keepdim=True),
        transmission=1 - 0.4 * radii[None, :, None].expand(5, 6, 3).contiguous() ** 2,
        lost=torch.zeros((5, 6, 3)),
        depths_m=depths_m,
        radii=radii,
        image_shape_px=image_shape_px,
        pitch_um=2.0,
        channels=RGB,
        focus_m=math.inf,
    )


def make_picture(seed, shape_px=(150, 180)):
    """Blocks and fine texture, uint8 (H, W, 3)."""
    g = np.random.default_rng(seed)
    blocks = g.integers(30, 220, (6, 6, 3)).repeat(-(-shape_px[0] // 6), 0).repeat(-(-shape_px[1] // 6), 1)
    texture = g.integers(-28, 29, (*shape_px, 3))
    return np.clip(blocks[: shape_px[0], : shape_px[1]] + texture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def lens():
    """Makes the field of a small camera."""
    return make_lens


@pytest.fixture(scope="session")
def camera():
    """A small camera of 280 x 220 px."""
    return Camera(make_lens(), RawSensor(), load_noise("imx586"))


@pytest.fixture(scope="session")
def photo_root(tmp_path_factory):
    """A folder of four photographs, one with a depth file; nothing else is ever written to it."""
    root = tmp_path_factory.mktemp("photos")
    for seed, name in enumerate(("a.png", "b.png", "c.jpg", "d.png")):
        Image.fromarray(make_picture(seed)).save(root / name)
    ramp_m = np.linspace(0.3, 4.0, 150, dtype=np.float32)[:, None].repeat(180, 1)
    np.save(root / "d.depth_m.npy", ramp_m)
    return root


@pytest.fixture(scope="session")
def patch_settings():
    """Settings for patches of 64 px."""
    return SynthesisSettings(seed=3, cropping=Cropping((PATCH_PX, PATCH_PX)))


@pytest.fixture(scope="session")
def synthesis(photo_root, camera, patch_settings):
    """Samples of 32 x 32 cells from the small photographs and the small camera."""
    return open_synthesis(open_photos(photo_root), camera, patch_settings)
