import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import psf
from psf import Channel, InputError, PolarPSFField
from render.bayer import PATTERNS, find_sites, mosaic, pack
from render.blending import depth_blend
from render.camera import Camera
from render.dng import write_dng
from render.isp import apply_matrix, inverse_gains, unprocess
from render.metadata import ColourMetadata, join_metadata, mix_matrices, random_metadata
from render.moments import expected_moments
from render.noise_presets import load_noise, make_camera_its
from render.occlusion import layered
from render.raw import read_raw
from render.sensor import RawSensor, add_noise
from render.spatial import pixelwise
from render.stacks import find_middle

F64 = torch.float64
DATA = Path(__file__).resolve().parents[1] / "data"
SENSOR_PX = (96, 128)
IMX586 = load_noise("imx586")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def make_field(dtype=F64, seed=0, kernel_px=7, **changes):
    """Lopsided kernels that differ at every depth and radius, and corners that are darker."""
    g = seeded(seed)
    kernels = torch.rand((3, 4, 3, kernel_px, kernel_px), generator=g, dtype=F64)
    kernels = kernels + kernels.flip(-2)
    radii = torch.tensor([0.0, 0.3, 0.7, 1.0], dtype=F64)
    values = {
        "kernels": kernels / kernels.sum((-2, -1), keepdim=True),
        "transmission": (1 - radii**2 / 2)[None, :, None].expand(3, 4, 3).clone(),
        "lost": torch.zeros((3, 4, 3), dtype=F64),
        "depths_m": torch.tensor([0.1, 0.4, math.inf], dtype=F64),
        "radii": radii,
        "image_shape_px": SENSOR_PX,
        "pitch_um": 2.0,
        "channels": tuple(Channel(name, (0.55,)) for name in "RGB"),
        "focus_m": 0.4,
        **changes,
    }
    return PolarPSFField(**values).to(dtype=dtype)


def make_camera(dtype=F64, field="made", **changes):
    return Camera(make_field(dtype) if field == "made" else field, changes.pop("sensor", RawSensor()), **changes)


def make_scene(height=32, width=40, batch=1, dtype=F64, seed=0):
    g = seeded(seed)
    image = torch.rand((batch, 3, height, width), generator=g, dtype=F64)
    depth_m = 1 / (0.01 + 9 * torch.rand((batch, 1, height, width), generator=g, dtype=F64))
    depth_m[..., : height // 4, :] = math.inf
    return image.to(dtype), depth_m.to(dtype)


def make_colours(batch=1, dtype=F64, seed=5):
    return random_metadata(batch, generator=seeded(seed), dtype=dtype)


def alike(first, second):
    pairs = [(getattr(first, name), getattr(second, name)) for name in ("packed", "target", "iso", "shot", "read")]
    pairs += [(first.window_px, second.window_px), (first.metadata.red_gain, second.metadata.red_gain)]
    return all(torch.equal(*pair) for pair in pairs)


# The chain


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-12), (torch.float32, 1e-5)])
def test_target_is_that_of_the_golden_vectors(pattern, dtype, tolerance):
    """The tolerances are the golden vectors' own. Their pictures are excerpts: the rows named there are compared."""
    arrays = np.load(DATA / "unprocessing_isp.npz")
    brightening, red, blue = torch.from_numpy(arrays["gains"])[:, None].to(dtype)
    matrix = mix_matrices(torch.from_numpy(arrays["ccm_weights"])[None]).to(dtype)
    metadata = ColourMetadata(matrix, red, blue, brightening)
    rows = torch.from_numpy(arrays["rows"]).long()
    srgb = torch.zeros((1, 3, 28, 44), dtype=dtype)
    srgb[0, :, rows] = torch.from_numpy(arrays["srgb"]).permute(2, 0, 1).to(dtype)
    camera = Camera(None, RawSensor(pattern), None, (28, 44))
    photo = camera.simulate(srgb, 1.0, metadata=metadata, generator=seeded())
    wanted = torch.from_numpy(arrays[f"packed_{pattern}"]).to(dtype)
    for row in rows.tolist():
        planes = [plane for plane, site in enumerate(find_sites(pattern)) if site[0] == row % 2]
        assert (photo.target[0, planes, row // 2] - wanted[planes, row // 2]).abs().max() <= tolerance
    # Without noise the photograph is the target in whole DN.
    assert torch.equal(photo.dn()[0].double(), (64 + 959 * photo.target[0].double()).round())


@pytest.mark.parametrize("pattern", PATTERNS)
def test_chain_is_the_parts_put_together_by_hand(pattern):
    image, depth_m = make_scene()
    colours, camera = make_colours(), make_camera(sensor=RawSensor(pattern), noise=IMX586)
    window = (62, 14)
    photo = camera.simulate(image, depth_m, iso=800, window=window, metadata=colours, generator=seeded(3))
    light = unprocess(image, colours)
    kernels, depths_m = camera.field.at_radius(*find_middle(SENSOR_PX, (32, 40), window))
    blurred = mosaic(depth_blend(light, depth_m, kernels, depths_m), pattern)
    shot, read = IMX586.levels(800.0)
    noisy = add_noise(pack(blurred, pattern), float(shot), float(read), seeded(3))
    dn = (64 + 959 * noisy).round().clamp(0, 1023)
    assert torch.equal(photo.dn(), dn.int())
    assert torch.allclose(photo.packed, (dn - 64) / 959, atol=1e-12)
    assert torch.equal(photo.target, pack(mosaic(light, pattern), pattern))
    assert (photo.shape_px, photo.pattern) == ((32, 40), pattern)


@pytest.mark.parametrize("renderer", ["pixelwise", "layered"])
def test_other_renderers_are_called_with_their_own_window(renderer):
    image, depth_m = make_scene()
    colours, camera = make_colours(), make_camera()
    photo = camera.simulate(image, depth_m, window=(80, 60), metadata=colours, renderer=renderer, generator=seeded())
    field = replace(camera.field, transmission=torch.ones_like(camera.field.transmission))
    render = {"pixelwise": pixelwise, "layered": layered}[renderer]
    blurred = render(unprocess(image, colours), depth_m, field, window=(80, 60))
    wanted = camera.sensor.quantised(pack(mosaic(blurred, "RGGB"), "RGGB"))
    assert torch.equal(photo.dn(), wanted.int())


def test_a_function_renders():
    image, depth_m = make_scene()
    colours, camera = make_colours(), make_camera()
    seen = []

    def render(light, depth, field, window, padding):
        seen.append((tuple(light.shape), tuple(depth.shape), float(field.transmission.min()), window, padding))
        return 0.5 * light

    photo = camera.simulate(image, depth_m, window=(4, 6), metadata=colours, renderer=render, generator=seeded())
    assert seen == [((1, 3, 32, 40), (1, 1, 32, 40), 1.0, (4, 6), "reflect")]
    assert torch.equal(photo.dn(), camera.sensor.quantised(0.5 * photo.target).int())


def test_margin_brings_light_from_beyond_the_frame():
    """A patch with its surroundings is the same as the middle of a larger photograph, for a lens without azimuth."""
    disc = psf.thin_lens_field(
        focal_mm=4.0,
        f_number=2.0,
        focus_m=math.inf,
        pitch_um=2.0,
        image_shape_px=SENSOR_PX,
        depths_m=torch.tensor([0.2, 1.0, math.inf]),
    ).to(dtype=F64)
    image, depth_m = make_scene(60, 80)
    colours, camera = make_colours(), Camera(disc)
    margin = disc.kernel_px // 2
    margin += margin % 2
    whole = camera.simulate(image, depth_m, window=(20, 20), metadata=colours, generator=seeded())
    cut = (..., slice(20 - margin, 40 + margin), slice(30 - margin, 60 + margin))
    part = camera.simulate(
        image[cut], depth_m[cut], window=(50, 40), margin_px=margin, metadata=colours, generator=seeded()
    )
    inner = (..., slice(10, 20), slice(15, 30))
    assert torch.equal(part.packed, whole.packed[inner])
    assert torch.equal(part.target, whole.target[inner])
    bare = camera.simulate(image[..., 20:40, 30:60], depth_m[..., 20:40, 30:60], metadata=colours, generator=seeded())
    assert not torch.equal(part.packed, bare.packed)  # mirrored surroundings are not the true ones


@pytest.mark.parametrize("renderer", ["blend", "pixelwise", "layered"])
@pytest.mark.parametrize("margin", [3, 4])
def test_margin_may_reach_beyond_the_sensor(renderer, margin):
    image, depth_m = make_scene(16 + 2 * margin, 20 + 2 * margin)
    colours, camera = make_colours(), make_camera()
    take = {"metadata": colours, "generator": seeded(), "renderer": renderer}
    photo = camera.simulate(image, depth_m, window=(0, 0), margin_px=margin, **take)
    # The same pixels a little further in have kernels that differ little: nothing is shifted or turned over.
    near = camera.simulate(image, depth_m, window=(margin + margin % 2,) * 2, margin_px=margin, **take)
    assert photo.shape_px == (16, 20)
    assert (photo.packed - near.packed).abs().max() < 0.08
    assert torch.equal(photo.target, near.target)


def test_whole_sensor_is_one_window():
    image, depth_m = make_scene(*SENSOR_PX)
    photo = make_camera().simulate(image, depth_m, renderer="pixelwise", generator=seeded())
    assert photo.window_px.tolist() == [[0, 0]]
    assert photo.shape_px == SENSOR_PX


def test_8_bits_are_their_floats():
    image = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8, generator=seeded())
    colours, camera = make_colours(), make_camera()
    taken = [
        camera.simulate(one, 0.3, metadata=colours, generator=seeded()).target for one in (image, image.double() / 255)
    ]
    assert torch.allclose(*taken, atol=1e-12)


def test_linear_light_and_camera_light_skip_what_is_undone_already():
    colours, camera = make_colours(), Camera(None, image_shape_px=SENSOR_PX)
    light = 2 * make_scene()[0]
    take = {"metadata": colours, "generator": seeded()}
    own = apply_matrix(light, colours.rgb_to_camera) * inverse_gains(colours)[..., None, None]
    linear = camera.simulate(light, 1.0, space="linear", **take)
    assert torch.equal(linear.target, pack(mosaic(own.clamp(0, 1), "RGGB"), "RGGB"))
    same = camera.simulate(own.clamp(0, 1), 1.0, space="camera", **take)
    assert torch.equal(same.packed, linear.packed)


def test_unclipped_highlights_spread_and_the_sensor_saturates():
    """A lamp of 20 times white: clipped it fades into its surroundings, unclipped its disc is white."""
    light = torch.zeros((1, 3, 32, 32), dtype=F64)
    light[..., 16, 16] = 20.0
    colours = make_colours()
    take = {"metadata": colours, "generator": seeded(), "space": "camera", "renderer": "blend"}
    camera = make_camera()
    clipped, free = (camera.simulate(light, 0.1, clip=clip, **take) for clip in (True, False))
    assert float(clipped.packed.max()) < 0.1
    assert float(free.packed.max()) > 0.2
    assert float(free.target.max()) == 1.0
    bright = camera.simulate(50 * light, 0.1, clip=False, **take)
    assert int(bright.dn().max()) == 1023


def test_spread_is_added_to_the_kernels_of_each_photograph():
    """Variances of convolved kernels add up: a point of light is spread by so much more, and keeps its light."""
    lens = psf.thin_lens_field(
        4.0, 2.0, math.inf, 2.0, SENSOR_PX, torch.tensor([0.5, math.inf]), kernel_px=17, dtype=F64
    )
    light = torch.zeros((2, 3, 32, 32), dtype=F64)
    light[..., 16, 16] = 0.9
    camera = Camera(lens, RawSensor(bits=16, black_dn=0))
    take = {"space": "camera", "metadata": make_colours(), "window": (48, 32), "generator": seeded()}
    wide = camera.simulate(light, 0.5, spread_px=torch.tensor([0.0, 1.5]), **take)
    at = torch.arange(32, dtype=F64)
    spread = []
    for packed in wide.packed[:, 1:3]:  # the two greens, a quincunx that samples what is wider than a pixel
        rows = torch.zeros((32, 32), dtype=F64)
        rows[0::2, 1::2], rows[1::2, 0::2] = packed
        share = rows / rows.sum()
        middle = (share.sum(1) * at).sum()
        spread.append(float((share.sum(1) * (at - middle) ** 2).sum()))
    assert spread[1] - spread[0] == pytest.approx(1.5**2, rel=0.02)  # 16 bits
    assert float(wide.packed[1].sum()) == pytest.approx(float(wide.packed[0].sum()), rel=0.01)
    assert torch.equal(wide.target[0], wide.target[1])


def test_kernels_of_a_camera_lie_close_together():
    """Else every patch would copy the whole field: six times the price of its kernels for that of the f/2.2 lens."""
    field = make_field()
    spaced = replace(field, kernels=torch.cat([field.kernels, field.kernels], 1)[:, :4])
    assert not spaced.kernels.is_contiguous()
    camera = Camera(spaced)
    assert camera.field.kernels.is_contiguous()
    assert torch.equal(camera.field.kernels, field.kernels)


# Random numbers


def test_batch_with_one_generator_is_its_pictures_one_by_one():
    image, depth_m = make_scene(batch=3, dtype=torch.float32)
    camera = make_camera(torch.float32, noise=IMX586)
    windows, isos = torch.tensor([[0, 0], [88, 64], [20, 30]]), torch.tensor([100.0, 800.0, 3200.0])
    together = camera.simulate(image, depth_m, iso=isos, window=windows, generator=seeded(1))
    shared = seeded(1)
    for n in range(3):
        take = {"iso": float(isos[n]), "window": windows[n], "generator": shared}
        assert alike(together[n], camera.simulate(image[n : n + 1], depth_m[n : n + 1], **take))


def test_photograph_with_its_own_seed_does_not_depend_on_its_batch():
    image, depth_m = make_scene(batch=3, dtype=torch.float32)
    camera = make_camera(torch.float32, noise=IMX586)
    together = camera.simulate(image, depth_m, generator=[7, seeded(8), 9])
    turned = camera.simulate(image.flip(0), depth_m.flip(0), generator=[9, 8, 7])
    alone = camera.simulate(image[1:2], depth_m[1:2], generator=[8])
    assert alike(together[1], alone)
    assert all(alike(together[n], turned[2 - n]) for n in range(3))
    assert not torch.equal(together.packed[0], together.packed[2])


def test_given_colours_leave_the_noise_its_own_numbers():
    image, depth_m = make_scene(batch=2)
    camera, colours = make_camera(noise=IMX586), make_colours(2)
    taken = camera.simulate(image, depth_m, metadata=colours, generator=seeded(4))
    parts = join_metadata([colours[0], colours[0]])
    other = camera.simulate(
        image[:1].expand(2, -1, -1, -1), depth_m[:1].expand(2, -1, -1, -1), metadata=parts, generator=seeded(4)
    )
    assert torch.equal(taken.packed[0], other.packed[0])
    one_for_all = camera.simulate(image, depth_m, metadata=colours[0], generator=seeded(4))
    assert torch.equal(one_for_all.packed[0], taken.packed[0])
    assert torch.equal(one_for_all.metadata.red_gain, colours.red_gain[[0, 0]])


@pytest.mark.parametrize("iso", [100.0, 400.0, 1600.0, 3200.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_grey_stays_grey_at_every_iso(iso, seed):
    """Means within 4.5 standard errors of the target, variances within 4.5 of Eq. 6 with its rounding."""
    side, colours = 256, make_colours(dtype=torch.float32)
    camera = Camera(make_field(torch.float32), RawSensor(), IMX586)
    camera = camera.fitted((side, side))
    grey = torch.full((1, 3, side, side), 0.6)
    photo = camera.simulate(grey, 0.3, iso=iso, metadata=colours, generator=seeded(seed))
    cells = side * side / 4
    shot, read = (float(one) for one in IMX586.levels(iso))
    gains = torch.tensor([float(one) for one in (colours.red_gain[0], 1.0, 1.0, colours.blue_gain[0])], dtype=F64)
    white = photo.target.double().mean((0, 2, 3)) * gains
    assert white.max() - white.min() < 1e-5  # float32
    for plane in range(4):
        mean = photo.target[0, plane, 0, 0].double()
        sd_dn = 959 * (read + shot * mean).sqrt()
        wanted_dn, variance_dn2 = expected_moments(64 + 959 * mean, sd_dn, low_dn=0, high_dn=1023)
        seen = photo.dn()[0, plane].double()
        assert abs(seen.mean() - wanted_dn) < 4.5 * (variance_dn2 / cells).sqrt()
        assert abs(seen.var() - variance_dn2) < 4.5 * variance_dn2 * math.sqrt(2 / cells)


def test_noise_of_planes_that_differ_and_levels_of_ones_own():
    model = make_camera_its((1e-6, 2e-6, 3e-6, 4e-6), 0.0, 1e-12, 1e-7, analog_iso_max=400.0, iso_range=(100.0, 800.0))
    image, depth_m = make_scene(batch=2)
    camera = make_camera(noise=model)
    photo = camera.simulate(image, depth_m, iso=torch.tensor([100.0, 800.0]), generator=seeded())
    assert photo.shot.shape == (2, 4)
    assert torch.allclose(photo.shot[1], torch.tensor([8e-4, 16e-4, 24e-4, 32e-4], dtype=F64))
    given = make_camera().simulate(image, depth_m, iso=100, levels=(photo.shot, photo.read), generator=seeded())
    assert torch.equal(given.packed, photo.packed)
    silent = make_camera(noise=model).simulate(image, depth_m, levels=(0.0, 0.0), generator=[1, 2])
    assert torch.equal(silent.packed, make_camera().simulate(image, depth_m, generator=[1, 2]).packed)


# The lens's transmission


@pytest.mark.parametrize("renderer", ["blend", "pixelwise", "layered", "none"])
def test_transmission_darkens_the_corners_of_the_photograph_alone_or_of_both(renderer):
    grey = torch.full((1, 3, *SENSOR_PX), 0.5, dtype=F64)
    take = {"metadata": make_colours(), "renderer": renderer}
    camera = make_camera(sensor=RawSensor(bits=16, black_dn=0))
    off, dark, both = (
        camera.simulate(grey, 0.3, transmission=one, generator=seeded(), **take) for one in ("off", "input", "both")
    )
    falloff = dark.packed / off.packed
    # The field's own law; its radii are four, with straight lines between.
    x, y = 2 * torch.arange(64) + 0.5, 2 * torch.arange(48) + 0.5
    wanted = camera.field.transmission_at_pixel(x[None, :].double(), y[:, None].double(), 0.3)
    assert (falloff[0, 0] - wanted[..., 0]).abs().max() < 2e-3  # 16 bits of a grey of 0.03
    assert torch.equal(dark.target, off.target)
    assert (both.target / off.target - falloff).abs().max() < 2e-3
    assert torch.equal(both.packed, dark.packed)


def test_transmission_of_a_patch_is_that_of_its_place():
    camera = make_camera(sensor=RawSensor(bits=16, black_dn=0))
    image, depth_m = make_scene(*SENSOR_PX)
    take = {"metadata": make_colours(), "renderer": "none", "transmission": "both", "generator": seeded()}
    whole = camera.simulate(image, depth_m, **take)
    cut = (..., slice(20 - 4, 52 + 4), slice(80 - 4, 120 + 4))
    part = camera.simulate(image[cut], depth_m[cut], window=(80, 20), margin_px=4, **take)
    assert torch.allclose(part.target, whole.target[..., 10:26, 40:60], atol=1e-12)


# Planes


def test_planes_are_those_of_the_window():
    image, depth_m = make_scene(batch=2)
    windows = [(0, 0), (88, 64)]
    photo = make_camera().simulate(image, depth_m, iso=torch.tensor([100.0, 3200.0]), window=windows, generator=[1, 2])
    planes = photo.network_input()
    assert planes.shape == (2, 6, 16, 20)
    assert torch.equal(planes[:, :4], photo.packed)
    assert planes[:, 4].amax((1, 2)).tolist() == planes[:, 4].amin((1, 2)).tolist() == pytest.approx([0.1, 3.2])
    # Cells of opposite corners are equally far from the sensor's middle.
    assert planes[0, 5, 0, 0] == planes[1, 5, -1, -1] == pytest.approx(math.hypot(63, 47) / math.hypot(64, 48))


def test_window_lies_in_the_middle_on_even_pixels_by_default():
    photo = make_camera().simulate(*make_scene(30, 42), generator=seeded())
    assert photo.window_px.tolist() == [[42, 32]]


# Gradients


def test_gradients_reach_image_kernels_and_depth_straight_through_the_rounding():
    image, depth_m = make_scene(16, 16)
    image, depth_m = image.clamp(0.05, 0.7).requires_grad_(), depth_m.clamp(0.12, 0.35).requires_grad_()
    field = make_field()
    kernels = field.kernels.clone().requires_grad_()
    camera = Camera(replace(field, kernels=kernels), RawSensor(), IMX586)
    take = {"metadata": make_colours(), "iso": 1600, "generator": [1]}
    photo = camera.simulate(image, depth_m, **take)
    slopes = torch.rand(photo.packed.shape, generator=seeded(), dtype=F64)
    found = torch.autograd.grad((photo.packed * slopes).sum(), (image, depth_m, kernels))
    assert all(bool(one.isfinite().all()) and float(one.abs().sum()) > 0 for one in found)
    # Against differences of the same camera without the stairs of its rounding: 2^16 of them in place of 2^10.
    fine = replace(camera, sensor=RawSensor(bits=16, black_dn=4096))

    def total(picture):
        with torch.no_grad():
            return float((fine.simulate(picture, depth_m.detach(), **take).packed * slopes).sum())

    step = torch.randn(image.shape, generator=seeded(1), dtype=F64)
    with torch.no_grad():
        change = (total(image + 0.02 * step.clamp(-1, 1)) - total(image - 0.02 * step.clamp(-1, 1))) / 0.04
    assert change == pytest.approx(float((found[0] * step.clamp(-1, 1)).sum()), rel=0.02)


def test_gradients_reach_the_field_through_pixelwise_and_none_where_the_sensor_is_saturated():
    field = make_field()
    kernels = field.kernels.clone().requires_grad_()
    camera = Camera(replace(field, kernels=kernels))
    light = torch.full((1, 3, 16, 16), 0.5, dtype=F64)
    light[..., 8:] = 3.0
    light.requires_grad_()
    take = {"metadata": make_colours(), "renderer": "pixelwise", "space": "camera", "clip": False, "generator": [1]}
    photo = camera.simulate(light, 0.3, **take)
    by_light, by_kernels = torch.autograd.grad(photo.packed.square().sum(), (light, kernels))
    assert float(by_kernels.abs().sum()) > 0
    assert float(by_light[..., :4].abs().sum()) > 0
    assert float(by_light[..., 12:].abs().max()) == 0


def test_without_gradients_nothing_is_recorded():
    photo = make_camera(noise=IMX586).simulate(*make_scene(), generator=seeded())
    assert not photo.packed.requires_grad
    assert not photo.target.requires_grad


# Extremes


@pytest.mark.parametrize("renderer", ["blend", "pixelwise", "layered", "none"])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_black_white_and_infinity_make_no_nan(renderer, level):
    image = torch.full((1, 3, 16, 20), level, dtype=F64)
    depth_m = torch.full((1, 1, 16, 20), math.inf, dtype=F64)
    depth_m[..., :10] = 1e-3
    photo = make_camera(noise=IMX586).simulate(image, depth_m, iso=3200, renderer=renderer, generator=seeded())
    assert bool(photo.network_input().isfinite().all())
    assert bool(photo.developed().isfinite().all())
    assert 0 <= int(photo.dn().min()) <= int(photo.dn().max()) <= 1023


def test_smallest_picture_is_one_cell():
    photo = make_camera(noise=IMX586).simulate(*make_scene(2, 2), renderer="none", generator=seeded())
    assert photo.network_input().shape == (1, 6, 1, 1)


def test_fitted_camera_has_the_picture_all_over_its_sensor():
    camera = make_camera().fitted((48, 64))
    assert camera.image_shape_px == camera.field.image_shape_px == (48, 64)
    assert camera.simulate(*make_scene(48, 64), generator=seeded()).window_px.tolist() == [[0, 0]]
    assert Camera(None, image_shape_px=(9, 9)).fitted((48, 64)).image_shape_px == (48, 64)


# Files


def test_simulated_photograph_survives_a_dng(tmp_path):
    image, depth_m = make_scene(48, 64, batch=2, dtype=torch.float32)
    camera = make_camera(torch.float32, sensor=RawSensor("GBRG", 12, (240, 241, 242, 243)), noise=IMX586)
    photo = camera.simulate(image, depth_m, iso=torch.tensor([100.0, 1250.0]), generator=seeded())
    file = photo.to_raw_file(1)
    write_dng(tmp_path / "a.dng", file)
    back = read_raw(tmp_path / "a.dng")
    assert torch.equal(back.mosaic, file.mosaic)
    assert torch.allclose(back.packed(), photo.packed[1:], atol=1e-6)
    assert (back.pattern, back.white_dn, back.iso) == ("GBRG", 4095.0, 1250.0)
    for name in ("black_dn", "white_balance", "noise_profile", "xyz_to_camera"):
        assert torch.allclose(getattr(back, name), getattr(file, name), rtol=1e-6), name
    assert back.baseline_exposure_ev == pytest.approx(file.baseline_exposure_ev, abs=1e-6)


@pytest.mark.parametrize("field", ["made", None])
def test_camera_survives_its_folder(tmp_path, field):
    camera = make_camera(
        field=field, sensor=RawSensor("BGGR", 14, (1, 2, 3, 4)), noise=IMX586, image_shape_px=SENSOR_PX
    )
    camera.save(tmp_path / "camera")
    back = Camera.load(tmp_path / "camera")
    assert (back.sensor, back.noise, back.image_shape_px) == (camera.sensor, camera.noise, camera.image_shape_px)
    image, depth_m = make_scene()
    assert alike(*(one.simulate(image, depth_m, generator=seeded()) for one in (camera, back)))
    assert [path.name for path in tmp_path.iterdir()] == ["camera"]
    with pytest.raises(InputError, match="not there yet"):
        camera.save(tmp_path / "camera")


def test_save_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("render.camera.write_whole", fail)
    with pytest.raises(OSError, match="No space"):
        make_camera(noise=IMX586).save(tmp_path / "camera")
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match="nowhere"):
        make_camera().save(tmp_path / "nowhere" / "camera")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "x"}, ["camera.json (format)", "'x'", "psfield.Camera"]),
        ({"format_version": 2}, ["format_version", "2"]),
        ({"sensor": {"pattern": "RGBG"}}, ["camera.json", "RGBG", "RGGB"]),
        ({"sensor": {"bit": 3}}, ["camera.json", "bit"]),
        ({"sensor": None}, ["camera.json"]),
        ({"image_shape_px": [1, 2]}, ["camera.json (Camera.image_shape_px)", "(1, 2)", "(96, 128)"]),
        ({"field": None, "image_shape_px": [0, 0]}, ["image_shape_px"]),
        ({"noise": "lost.json"}, ["lost.json", "no such file"]),
        (None, ["camera.json (noise)", "nothing"]),
    ],
)
def test_folder_that_is_no_camera_is_one_line(tmp_path, change, words):
    make_camera(noise=IMX586).save(tmp_path / "camera")
    file = tmp_path / "camera" / "camera.json"
    data = json.loads(file.read_text())
    data = {key: value for key, value in data.items() if key != "noise"} if change is None else {**data, **change}
    file.write_text(json.dumps(data))
    with pytest.raises((InputError, FileNotFoundError)) as caught:
        Camera.load(tmp_path / "camera")
    check_line(caught.value, words)


def check_line(error, words):
    assert len(str(error).splitlines()) == 1
    for word in words:
        assert word in str(error)


# What cannot be


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"field": 3}, ["Camera.field", "int"]),
        ({"field": None}, ["Camera.image_shape_px", "(0, 0)"]),
        ({"sensor": "RGGB"}, ["Camera.sensor", "str"]),
        ({"noise": (1e-3, 1e-5)}, ["Camera.noise", "tuple"]),
        ({"image_shape_px": (3, 4)}, ["Camera.image_shape_px", "(3, 4)", "(96, 128)"]),
        ({"field": make_field(magnification=1.01)}, ["magnification", "1.01", "render.magnify"]),
    ],
)
def test_camera_that_cannot_be_is_one_line(arguments, words):
    with pytest.raises(InputError) as caught:
        make_camera(**arguments)
    check_line(caught.value, words)


def test_field_of_one_colour_is_refused():
    field = make_field()
    one = {name: getattr(field, name)[:, :, :1] for name in ("kernels", "transmission", "lost")}
    with pytest.raises(InputError, match="1 channels"):
        Camera(replace(field, channels=field.channels[:1], **one))


GOOD_IMAGE, GOOD_DEPTH = make_scene()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": GOOD_IMAGE[0]}, ["image", "(3, 32, 40)", "(B, 3, H, W)"]),
        ({"image": GOOD_IMAGE[:0], "depth_m": 1.0}, ["image", "(0, 3, 32, 40)", "B above 0"]),
        ({"image": GOOD_IMAGE[:, :2]}, ["image", "(1, 2, 32, 40)"]),
        ({"image": GOOD_IMAGE[..., 1:], "depth_m": 1.0}, ["image", "39 columns", "even"]),
        ({"image": GOOD_IMAGE[:, :, 1:], "depth_m": 1.0}, ["image", "31 rows", "even"]),
        ({"image": GOOD_IMAGE.numpy()}, ["image", "ndarray"]),
        ({"image": GOOD_IMAGE.half()}, ["image", "float16"]),
        ({"image": GOOD_IMAGE.float()}, ["image", "float32", "float64", "Camera.to"]),
        ({"image": GOOD_IMAGE + 0.5}, ["srgb", "outside 0..1"]),
        ({"image": GOOD_IMAGE * math.nan}, ["srgb", "NaN"]),
        ({"image": -GOOD_IMAGE, "space": "linear"}, ["image", "0 or more"]),
        ({"image": GOOD_IMAGE / 0, "space": "camera"}, ["image", "finite"]),
        ({"image": torch.zeros((1, 3, 98, 40), dtype=F64), "depth_m": 1.0}, ["image", "40 x 98", "128 x 96"]),
        ({"depth_m": GOOD_DEPTH[..., 1:]}, ["depth_m", "(1, 1, 32, 39)", "(1, 1, 32, 40)"]),
        ({"depth_m": -GOOD_DEPTH}, ["depth_m", "above 0 m"]),
        ({"depth_m": GOOD_DEPTH * math.nan}, ["depth_m", "nan"]),
        ({"depth_m": GOOD_DEPTH.float()}, ["depth_m", "float32"]),
        ({"depth_m": 0}, ["depth_m", "0", "above 0 m"]),
        ({"depth_m": None}, ["depth_m", "None"]),
        ({"iso": 0.0}, ["iso", "0.0"]),
        ({"iso": math.nan}, ["iso", "nan"]),
        ({"iso": 6400.0}, ["iso", "6400", "imx586"]),
        ({"iso": torch.tensor([100.0, 200.0])}, ["iso", "(2,)", "(1,)"]),
        ({"window": (3, 4)}, ["window", "[3, 4]", "even"]),
        ({"window": (-2, 4)}, ["window", "-2", "inside a sensor of 128 x 96 px"]),
        ({"window": (90, 4)}, ["window", "90", "40 x 32 px"]),
        ({"window": torch.zeros(3, 2)}, ["window", "one pair or 1"]),
        ({"window": (2.5, 4)}, ["window", "2.5"]),
        ({"window": (math.nan, 4)}, ["window", "nan"]),
        ({"margin_px": -1}, ["margin_px", "-1"]),
        ({"margin_px": 2.0}, ["margin_px", "2.0"]),
        ({"margin_px": 16}, ["image", "margin of 16 px"]),
        ({"metadata": make_colours(3)}, ["metadata", "3 pictures", "1 or 1"]),
        ({"metadata": make_colours(dtype=torch.float32)}, ["metadata", "float32", "float64"]),
        ({"levels": (-1e-3, 0.0)}, ["levels (shot)", "-0.001", "0 or more"]),
        ({"levels": (1e-3, math.inf)}, ["levels (read)", "inf"]),
        ({"levels": (torch.zeros(3), 0.0)}, ["levels (shot)", "(3,)"]),
        ({"renderer": "fast"}, ["renderer", "'fast'", "'pixelwise'"]),
        ({"renderer": lambda light, *_: light[..., 1:]}, ["renderer", "(1, 3, 32, 39)"]),
        ({"padding": "mirror"}, ["padding", "'mirror'"]),
        ({"spread_px": -0.5}, ["spread_px", "-0.5"]),
        ({"spread_px": torch.zeros(2)}, ["spread_px", "one or 1"]),
        ({"spread_px": 0.5, "renderer": "pixelwise"}, ["spread_px", "'blend'", "augmented"]),
        ({"transmission": "on"}, ["transmission", "'on'", "'both'"]),
        ({"space": "rgb"}, ["space", "'rgb'", "'srgb'"]),
        ({"generator": None}, ["generator", "NoneType"]),
        ({"generator": [1, 2]}, ["generator", "2 of them", "1 generators or seeds"]),
        ({"generator": ["1"]}, ["generator[0]", "str"]),
    ],
)
def test_input_that_cannot_be_is_one_line(change, words):
    call = {"image": GOOD_IMAGE, "depth_m": GOOD_DEPTH, "generator": seeded(), **change}
    with pytest.raises(InputError) as caught:
        make_camera(noise=IMX586).simulate(**call)
    check_line(caught.value, words)


def test_camera_without_a_lens_has_no_transmission():
    camera = Camera(None, image_shape_px=SENSOR_PX)
    with pytest.raises(InputError, match="without a field"):
        camera.simulate(GOOD_IMAGE, GOOD_DEPTH, transmission="both", generator=seeded())
    plain = camera.simulate(GOOD_IMAGE, GOOD_DEPTH, generator=[3])
    assert torch.equal(plain.packed, camera.simulate(GOOD_IMAGE, 1.0, renderer="none", generator=[3]).packed)
