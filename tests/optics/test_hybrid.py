import math
import warnings
from dataclasses import replace

import pytest
import torch

import optics
from optics.diffraction import WaveSampling
from optics.geometric import Kernels
from optics.hybrid import RAYS_FROM, WAVES_UP_TO, add_far_rings, mix_models, share_of_rays
from psf.errors import InputError

F64 = torch.float64
LINE = {"wavelengths_um": [[0.55]]}


@pytest.fixture(scope="module")
def lens():
    return optics.load("f2.2_fixedfocus")


def at_radius(lens, radius, azimuth_rad=0.0):
    height, width = lens.sensor.image_shape_px
    half = 0.5 * math.hypot(height, width)
    return (width - 1) / 2 + radius * half * math.cos(azimuth_rad), (height - 1) / 2 - radius * half * math.sin(
        azimuth_rad
    )


def apart(a, b):
    return float(0.5 * (a - b).abs().sum((-1, -2)).max())


def test_grid_and_single_kernels_agree(lens):
    # Depths between the grid's nodes, and one that is far from all.
    depths = [0.12, 0.17, 0.3, 0.45, 0.8, 1.5, 4.0, math.inf]
    field = optics.psf_grid(lens, depths, [0.0, 0.6], kernel_px=61, model="diffraction", dtype=F64, **LINE)
    for d, r in ((0, 0), (2, 1), (4, 1), (7, 1)):
        x_px, y_px = at_radius(lens, float(field.radii[r]))
        single = optics.psf_at(lens, x_px, y_px, depths[d], kernel_px=61, model="diffraction", **LINE)
        assert apart(single, field.kernels[d, r]) < 2e-3, (d, r)
    assert field.provenance.arguments["model"] == "diffraction"
    assert torch.allclose(field.kernels.sum((-1, -2)), torch.ones(8, 2, 1, dtype=F64))
    plain = optics.psf_grid(lens, depths, [0.0, 0.6], kernel_px=61, dtype=F64, **LINE)
    # The light that a lens takes in is the same for waves and rays.
    assert (field.transmission - plain.transmission).abs().max() < 5e-4


def test_a_pixels_kernel_is_that_of_its_radius_turned(lens):
    height, width = lens.sensor.image_shape_px
    up = 0.6 * 0.5 * math.hypot(height, width)
    above = optics.psf_at(lens, (width - 1) / 2, (height - 1) / 2 - up, 0.4, kernel_px=41, model="diffraction", **LINE)
    right = optics.psf_at(lens, *at_radius(lens, 0.6), 0.4, kernel_px=41, model="diffraction", **LINE)
    assert apart(above, torch.rot90(right, 1, (-2, -1))) < 1e-6
    assert apart(right, right.flip(-2)) < 1e-12


def test_a_channel_is_the_sum_of_its_wavelengths_by_their_light(lens):
    place = (*at_radius(lens, 0.5), 1.0)
    both = optics.psf_at(lens, *place, kernel_px=41, model="diffraction", wavelengths_um=[[0.5, 0.6]], weights=[[1, 3]])
    parts = [optics.psf_at(lens, *place, kernel_px=41, model="diffraction", wavelengths_um=[[w]]) for w in (0.5, 0.6)]
    assert apart(both, 0.25 * parts[0] + 0.75 * parts[1]) < 2e-3


def test_auto_is_waves_where_sharp_and_rays_where_not_and_never_jumps(lens):
    place = at_radius(lens, 0.0)
    sharp, blurred = 2.0, 0.06
    for depth_m, model in ((sharp, "diffraction"), (blurred, "geometric")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            auto, own = (optics.psf_at(lens, *place, depth_m, kernel_px=85, model=m, **LINE) for m in ("auto", model))
        assert apart(auto, own) < 1e-9, depth_m
    # Through the whole hand-over each step along the depth is as small as it is for waves and rays alone.
    depths = [1 / q for q in torch.linspace(9.0, 2.5, 14, dtype=F64).tolist()]
    fields = {
        m: optics.psf_grid(lens, depths, [0.0], kernel_px=61, model=m, dtype=F64, **LINE)
        for m in ("auto", "diffraction", "geometric")
    }
    steps = {m: 0.5 * f.kernels.diff(dim=0).abs().sum((-1, -2)).max() for m, f in fields.items()}
    assert steps["auto"] < 1.1 * max(steps["diffraction"], steps["geometric"])


def test_waves_and_rays_agree_at_the_hand_over_as_far_as_a_picture_can_show(lens):
    # Fresnel's fringes remain (an L1 of 0.15 to 0.2), but the transfer of every frequency agrees to some hundredths.
    place = (*at_radius(lens, 0.0), 0.13)
    waves, rays = (optics.psf_at(lens, *place, kernel_px=85, model=m, **LINE)[0] for m in ("diffraction", "geometric"))
    transfer = [torch.fft.rfft2(k).abs() for k in (waves, rays)]
    assert (transfer[0] - transfer[1]).abs().max() < 0.06


def test_the_share_of_rays_rises_smoothly_from_none_to_all():
    ratio = torch.linspace(0, 2 * RAYS_FROM, 201, dtype=F64)
    share = share_of_rays(ratio)
    assert (share[ratio <= WAVES_UP_TO] == 0).all()
    assert (share[ratio >= RAYS_FROM] == 1).all()
    assert (share.diff() >= 0).all()


def test_mixed_kernels_keep_their_sum_and_count_lost_light_once():
    g = torch.Generator().manual_seed(1)
    kernels = [torch.rand(2, 5, 5, generator=g, dtype=F64) for _ in range(2)]
    one, two = (
        Kernels(k / k.sum((-1, -2), keepdim=True), torch.tensor(lost, dtype=F64), torch.ones(2, dtype=F64))
        for k, lost in zip(kernels, ([0.1, 0.0], [0.0, 0.02]), strict=True)
    )
    mixed = mix_models(one, two, torch.tensor([0.5 * (WAVES_UP_TO + RAYS_FROM), 0.0], dtype=F64))
    assert torch.allclose(mixed.kernels.sum((-1, -2)), torch.ones(2, dtype=F64))
    assert torch.allclose(mixed.lost, torch.tensor([0.05, 0.0], dtype=F64))
    assert torch.allclose(mixed.kernels[1], one.kernels[1])


def test_far_rings_fill_a_wide_window_with_the_light_that_is_left():
    every = torch.tensor([1.0], dtype=F64)
    core = torch.zeros(1, 21, 21, dtype=F64)
    core[0, 10, 10] = 0.99
    wide = add_far_rings(core, every, 801)
    assert wide.shape == (1, 801, 801)
    assert torch.equal(wide[:, 390:411, 390:411], core)
    # Beyond a window that is 38 times as wide there is a thirty-eighth of it.
    assert float(1 - wide.sum()) == pytest.approx(0.01 * 21 / 801, rel=0.05)


def test_what_far_rings_replace_is_small():
    lens = optics.load("camera_rf50mm_f1p8").stopped_down(2.8)
    place = (*at_radius(lens, 0.3), math.inf)
    whole, short = (
        optics.psf_at(lens, *place, kernel_px=31, model="diffraction", wave_sampling=WaveSampling(rings=r), **LINE)
        for r in (0.0, 0.004)
    )
    assert apart(whole, short) < 2e-3


def test_gradients_of_a_diffraction_kernel_are_its_differences():
    lens = optics.load("cooke_triplet").stopped_down(8.0)
    weights = torch.rand(21, 21, generator=torch.Generator().manual_seed(0), dtype=F64)

    def score(thickness_mm, gradient=False):
        surfaces = (*lens.surfaces[:-1], replace(lens.surfaces[-1], thickness_mm=thickness_mm))
        moved = replace(lens, surfaces=surfaces)
        kernel = optics.psf_at(
            moved, *at_radius(lens, 0.0), math.inf, kernel_px=21, model="diffraction", gradient=gradient, **LINE
        )
        return (weights * kernel[0]).sum()

    value = lens.surfaces[-1].thickness_mm.detach().clone().requires_grad_()
    score(value, gradient=True).backward()
    with torch.no_grad():
        difference = (score(value + 1e-3) - score(value - 1e-3)) / 2e-3
    assert float(value.grad) == pytest.approx(float(difference), rel=1e-3)


def test_windows_hold_the_light_that_they_are_chosen_for(lens):
    for depth_m in (math.inf, 0.2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a loss of 2 % would warn
            kernel = optics.psf_at(lens, *at_radius(lens, 0.4), depth_m, model="diffraction", **LINE)
        assert 21 <= kernel.shape[-1] <= 301


def test_bundles_that_end_with_a_surface_take_rays_and_say_so():
    lens = optics.load("asphere_conic_end")
    x_px, y_px = at_radius(lens, 1.0)
    with pytest.raises(InputError, match="ends where a surface ends"):
        optics.psf_at(lens, x_px, y_px, math.inf, kernel_px=201, model="diffraction", **LINE)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        optics.psf_at(lens, x_px, y_px, math.inf, kernel_px=401, model="auto", **LINE)
    assert any("geometric kernels from radius" in str(w.message) for w in heard)


def test_an_unknown_model_is_refused(lens):
    with pytest.raises(InputError, match="model"):
        optics.psf_at(lens, 0, 0, 1.0, model="waves")
    with pytest.raises(InputError, match="model"):
        optics.psf_grid(lens, [1.0], [0.0], model="waves")
    with pytest.raises(InputError, match="gradient"):
        optics.psf_grid(lens, [1.0], [0.0], model="auto", gradient=True)
    with pytest.raises(InputError, match=r"WaveSampling\.fineness"):
        WaveSampling(fineness=0)
