from dataclasses import replace

import pytest
import torch

from learn.dfd.cost_volume import _project, open_cost_volume
from learn.dfd.judged_scenes import SceneSpec, photograph_scene
from learn.dfd.stack_settings import StackSettings
from learn.dfd.stack_synthesis import open_stacks
from psf import InputError


@pytest.fixture(scope="module")
def volume(fields):
    return open_cost_volume(fields, depth_m=(0.5, 1.415), candidates=9)


@pytest.fixture(scope="module")
def scene(fields):
    """A plane of noise at the fourth of the nine candidates."""
    settings = StackSettings(seed=5, shape_px=(48, 64), textures=("noise",), noise="even", noise_sd=0.002)
    depth_m = float(1 / torch.linspace(1 / 1.415, 2.0, 9)[3])
    return photograph_scene(open_stacks(fields, settings), SceneSpec(kind="one_plane", number=0, depth_m=depth_m))


def test_candidates_are_even_in_dioptres_from_the_farthest_to_the_nearest(volume):
    assert torch.allclose(1 / volume.depths_m, torch.linspace(1 / 1.415, 2.0, 9))


def test_the_residual_of_the_true_depth_is_the_least(volume, scene):
    residuals = volume.find(scene.stack)
    assert residuals.shape == (9, 48, 64)
    assert bool((residuals > 0).all())
    assert int(residuals.mean((1, 2)).argmin()) == 3
    # A neighbourhood of 8 px is enough for most pixels to be no more than a candidate off.
    assert float(((residuals.argmin(0) - 3).abs() <= 1).float().mean()) > 0.9


def test_a_part_of_a_picture_has_the_residuals_of_the_whole(volume, scene):
    part = scene.stack.cropped(0, 0, 48, 48)
    # Away from the cut by what a square sees around itself: light from beyond it is missing there.
    inner = (slice(None), slice(0, 48), slice(0, 48 - volume.reach_px))
    whole, cut = volume.find(scene.stack)[inner], volume.find(part)[inner]
    # Means over all of a picture are taken to be 1, and those of a part are others.
    ratio = (whole / cut).log()
    assert float((ratio - ratio.mean()).abs().max()) < 0.05


def test_squares_from_the_windows_corner_say_nearly_the_same(volume, scene):
    other = replace(volume, from_window=True, core_px=64)
    ratio = (other.find(scene.stack) / volume.find(scene.stack)).log()
    # The small camera's kernels change by little over 64 px.
    assert float(ratio.abs().median()) < 0.1
    assert other.fingerprint != volume.fingerprint


def test_another_camera_has_the_same_candidates(volume, make):
    other = volume.for_camera(make(f_number=4.0, kernel_px=9))
    assert torch.equal(other.depths_m, volume.depths_m)
    assert other.fingerprint != volume.fingerprint


def test_noise_makes_no_candidate_better_than_another(volume, scene):
    generator = torch.Generator().manual_seed(2)
    blank = 0.5 + 0.01 * torch.randn(scene.stack.pictures.shape, generator=generator)
    means = volume.find(replace(scene.stack, pictures=blank)).mean((1, 2))
    # Of so many pixels the mean is known to a few per cent.
    assert float(means.max() / means.min()) < 1.1


def test_a_residual_is_that_of_all_pairs():
    generator = torch.Generator().manual_seed(3)
    pictures, channels, size, candidates = 4, 3, 48, 2
    light = torch.fft.rfft2(torch.rand((pictures, channels, size, size), generator=generator, dtype=torch.float64))
    kernels = torch.rand((candidates, pictures, channels, size, size), generator=generator, dtype=torch.float64)
    # A strong middle keeps the sum of energies away from 0, where the floor would show.
    kernels[..., 0, 0] += 200
    transfers = torch.fft.rfft2(kernels)
    energy = transfers.abs().square().sum(1)
    slow = torch.zeros((candidates, size, size), dtype=torch.float64)
    for i in range(pictures):
        for j in range(i):
            cross = (light[i] * transfers[:, j] - light[j] * transfers[:, i]) / energy.sqrt()
            slow += torch.fft.irfft2(cross, s=(size, size)).square().sum(1)
    fast = _project(light, transfers, size, 8, 32)
    assert fast.shape == (candidates, 32, 32)
    # They agree as sums over a whole picture (Parseval), not pixel by pixel.
    whole = light - transfers * ((transfers.conj() * light).sum(1) / energy)[:, None]
    power = torch.fft.irfft2(whole, s=(size, size)).square().sum((1, 2))
    assert torch.allclose(power.sum((-2, -1)), slow.sum((-2, -1)), rtol=1e-9)
    assert torch.allclose(fast, power[:, 8:40, 8:40], rtol=1e-3, atol=1e-3 * float(power.mean()))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"core_px": 8}, "core_px: found 8"),
        ({"candidates": 2, "depth_m": (0.5, 1.0)}, "candidates: found 2"),
        ({"candidates": 9}, "depth_m: found None"),
        ({"depth_m": (1.0, 0.5)}, "depth_m: found (1.0, 0.5)"),
    ],
)
def test_volumes_that_cannot_be_are_refused(fields, options, words):
    with pytest.raises(InputError) as caught:
        open_cost_volume(fields, **options)
    assert words in str(caught.value)


def test_a_stack_of_other_focus_distances_is_refused(volume, scene):
    with pytest.raises(InputError, match="those of the pictures"):
        volume.find(replace(scene.stack, focus_m=scene.stack.focus_m * 2))
