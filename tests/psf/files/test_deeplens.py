"""Fields of DeepLens's lens objects: a lens of known numbers, and the real package where it can be had."""

import json
import math
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from psf import Channel, InputError
from psf.files import from_deeplens
from psf.metrics import find_centroid_px, measure_l1

F64 = torch.float64


class KnownLens:
    """A lens with 5 % of distortion at the corner, comets for kernels, and rays that all arrive."""

    sensor_size = (4.0, 3.0)
    sensor_res = (400, 300)
    foclen = 5.0
    fnum = 2.0
    wvln_rgb = (0.65, 0.55, 0.45)
    primary_wvln = 0.55

    def __init__(self):
        self.asked = []

    def surf_d(self, index):
        return torch.tensor(0.5)

    def calc_scale(self, depth):
        return -depth / self.foclen

    def calc_focal_plane(self):
        return -1999.5

    def psf_center(self, points, method):
        tangent = -points[..., :2] / points[..., 2:]
        image = self.foclen * tangent
        return image * (1 - 0.05 * image.square().sum(-1, keepdim=True) / 2.5**2)

    def psf(self, points, wvln, ks, spp, model, recenter):
        self.asked.append((points.clone(), wvln, ks, spp, model, recenter))
        axis = torch.arange(ks, dtype=F64) - ks // 2
        shift = points[:, 0].double()[:, None, None] * 2 + (wvln - 0.55) * 10
        light = torch.exp(-((axis[None, None, :] - shift) ** 2 + axis[None, :, None] ** 2) / 4)
        return (light / light.sum((-2, -1), keepdim=True) + 1e-6 * torch.rand(ks, ks, generator=None)).float()

    def sample_from_points(self, points, num_rays, wvln):
        d = torch.zeros(*points.shape[:-1], num_rays, 3)
        d[..., 2] = (-points[:, 2] / points.norm(dim=-1))[:, None]
        return types.SimpleNamespace(d=d, points=points)

    def trace2sensor(self, bundle):
        o = -self.psf_center(bundle.points, "chief_ray")[:, None].expand(*bundle.d.shape[:-1], 2)
        o = torch.cat([o, torch.zeros_like(o[..., :1])], -1)
        return types.SimpleNamespace(o=o, d=bundle.d, is_valid=torch.ones(bundle.d.shape[:-1]))


DEPTHS_M, RADII = [0.5, math.inf], [0.0, 0.5, 1.0]


def test_object_points_are_those_whose_chief_rays_land_at_the_radii():
    lens = KnownLens()
    field = from_deeplens(lens, DEPTHS_M, RADII, kernel_px=17, rays=256)
    assert (field.image_shape_px, field.pitch_um, field.focus_m) == ((300, 400), 10.0, 2.0)
    for (shares, *_), depth_mm in zip(lens.asked[::3], (499.5, None), strict=True):
        if depth_mm:
            assert shares[:, 2].tolist() == [-depth_mm] * 3
        # What `psf` gets is a share of half the sensor's width, at a pinhole's scale.
        points = torch.stack([shares[:, 0] * lens.calc_scale(shares[:, 2]) * 2.0, shares[:, 1], shares[:, 2]], -1)
        landed_mm = lens.psf_center(points, "chief_ray")
        assert torch.allclose(landed_mm[:, 0], 2.5 * torch.tensor(RADII), atol=1e-4)
        assert landed_mm[:, 1].abs().max() == 0


def test_kernels_lean_as_the_lens_says_and_lateral_colour_stays():
    lens = KnownLens()
    field = from_deeplens(lens, DEPTHS_M, RADII, kernel_px=17, rays=256)
    shares = lens.asked[0][0][:, 0].double()
    expected = shares[:, None] * 2 + (torch.tensor(lens.wvln_rgb) - 0.55) * 10
    assert (find_centroid_px(field.kernels)[0, ..., 0] - expected).abs().max() < 0.02
    assert torch.equal(field.kernels, field.kernels.flip(-2))
    assert [one.wavelengths_um for one in field.channels] == [(0.65,), (0.55,), (0.45,)]


def test_transmission_is_cos4_and_what_distortion_does():
    field = from_deeplens(KnownLens(), [math.inf], [0.0, 0.3, 0.6, 1.0], kernel_px=17, rays=256)
    # Irradiance goes with cos^4 and with the piece of the object behind a piece of the image.
    for radius, found in zip(field.radii.double(), field.transmission[0, :, 0].double(), strict=True):
        high = torch.tensor(2.5 * float(radius), dtype=F64)
        ideal = high.clone()
        for _ in range(60):
            ideal = high / (1 - 0.05 * ideal**2 / 6.25)
        stretch = 1 if radius == 0 else (ideal / high) / (1 - 0.15 * ideal**2 / 6.25)
        cos4 = (1 + (ideal / 5) ** 2) ** -2
        assert abs(found - cos4 * stretch) < 0.01


def test_same_seed_gives_the_same_field_and_leaves_the_generator_alone():
    torch.rand(1, generator=None)
    before = torch.get_rng_state()
    one, two, other = (from_deeplens(KnownLens(), [1.0], [0.5], kernel_px=9, rays=256, seed=seed) for seed in (3, 3, 4))
    assert one.kernels.equal(two.kernels)
    assert not one.kernels.equal(other.kernels)
    assert torch.get_rng_state().equal(before)


def test_wavelengths_of_a_channel_are_mixed_by_weight():
    mixed = from_deeplens(KnownLens(), [1.0], [0.5], kernel_px=17, channels=[Channel("W", (0.5, 0.6), (1.0, 3.0))])
    parts = from_deeplens(
        KnownLens(), [1.0], [0.5], kernel_px=17, channels=[Channel("a", (0.5,)), Channel("b", (0.6,))]
    )
    whole = 0.25 * parts.kernels[:, :, 0] + 0.75 * parts.kernels[:, :, 1]
    assert measure_l1(mixed.kernels[:, :, 0], whole).max() < 1e-3


class NearWindow(KnownLens):
    def trace2sensor(self, bundle):
        found = super().trace2sensor(bundle)
        found.o = found.o.clone()
        found.o[:, ::2, 0] += 1.0
        return found


@pytest.mark.parametrize(
    ("lens", "changes", "words"),
    [
        (object(), {}, "object without psf"),
        (KnownLens(), {"depths_m": [1.0, 0.5]}, "depths_m"),
        (KnownLens(), {"depths_m": [-1.0]}, "above 0"),
        (KnownLens(), {"radii": [0.0, 1.5]}, "radii"),
        (KnownLens(), {"kernel_px": 64}, "odd"),
        (KnownLens(), {"rays": 3}, "rays"),
        (KnownLens(), {"channels": [Channel("G")]}, "no wavelength"),
        (NearWindow(), {}, "kernel_px: found 17 px, which loses 50 %"),
    ],
)
def test_what_cannot_be_meant_is_refused(lens, changes, words):
    with pytest.raises(InputError, match=words):
        from_deeplens(lens, **{"depths_m": [1.0], "radii": [0.5], "kernel_px": 17, **changes})


# Runs beside DeepLens. Packages that its kernels do not need are stood in for.
REAL = """
import json, sys
from unittest.mock import MagicMock
for _ in range(30):
    try:
        import deeplens
        break
    except ModuleNotFoundError as error:
        sys.modules[error.name] = MagicMock(__path__=[], __spec__=None)
        for name in [name for name in sys.modules if name.split(".")[0] == "deeplens"]:
            del sys.modules[name]
import torch
torch.set_num_threads(1)
from deeplens import GeoLens
import optics
from psf import Channel
from psf.files import from_deeplens
from psf.metrics import find_centroid_px, find_second_moments_px2
file, out = sys.argv[1:]
lens = GeoLens(filename=file, device="cpu")
before = float(lens.d_sensor)
lines = [[0.60], [0.587], [0.575]]
bands = [Channel(name, line) for name, line in zip("RGB", lines)]
depths_m, radii = [0.077, 0.082], [0.0, 0.5, 0.9]
theirs = from_deeplens(lens, depths_m, radii, kernel_px=101, rays=16384, channels=bands)
own = optics.psf_grid(optics.read_lens_file(file).lens, depths_m, radii, kernel_px=101, wavelengths_um=lines)
moments = [find_second_moments_px2(one.kernels.double())[..., :2].sum(-1) for one in (theirs, own)]
apart = (find_centroid_px(theirs.kernels) - find_centroid_px(own.kernels)).abs()
result = {
    "shape": list(theirs.kernels.shape),
    "focus_m": theirs.focus_m,
    "centroid_px": float(apart.max()),
    "leaning_px": float(find_centroid_px(own.kernels)[..., 0].abs().max()),
    "size": float((moments[0] / moments[1] - 1).abs().max()),
    "l1": float(0.5 * (theirs.kernels - own.kernels).abs().sum((-2, -1)).max()),
    "transmission": float((theirs.transmission - own.transmission).abs().max()),
    "unchanged": float(lens.d_sensor) == before,
}
open(out, "w").write(json.dumps(result))
"""


@pytest.mark.slow
def test_real_deeplens_gives_the_field_that_is_traced_here(root, tmp_path):
    """DeepLens goes to a folder of its own, without what it asks for; skipped where the index has none."""
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--ignore-requires-python", "--target"]
    got = subprocess.run(
        [*install, str(tmp_path / "own"), "deeplens-core"], capture_output=True, text=True, timeout=300
    )
    if got.returncode:
        pytest.skip(f"deeplens-core cannot be had: {got.stderr.strip().splitlines()[-1:]}")
    file, out = root / "tests" / "data" / "lens_files" / "deeplens_new.json", tmp_path / "out.json"
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(tmp_path / "own")])}
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REAL, str(file), str(out)],
        capture_output=True,
        text=True,
        timeout=600,
        env=paths,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(Path(out).read_text())
    assert found["shape"] == [2, 3, 3, 101, 101]
    assert abs(found["focus_m"] - 0.0795) < 0.001
    assert found["leaning_px"] > 1  # there is something to agree in
    # Its chief ray is the drawn ray that is nearest to the stop's middle: about a hundredth of the blur beside it.
    assert found["centroid_px"] < 0.5
    assert found["size"] < 0.1
    assert found["l1"] < 0.15
    assert found["transmission"] < 0.03
    assert found["unchanged"]
