import math

import numpy as np
import pytest
import torch

from psf import InputError
from render import tile_noise
from render.noise_presets import load_noise
from render.sensor import RawSensor, add_noise
from render.tile_noise import fit_tiles, measure_tiles

F64 = torch.float64
SENSOR = RawSensor(bits=12, black_dn=256)
MODEL = load_noise("imx586")
SIZE = 768


@pytest.fixture(autouse=True)
def one_thread():
    """Small tiles: threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def levels_at(iso):
    return tuple(float(one) for one in MODEL.levels(torch.tensor(float(iso), dtype=F64)))


def make_chart(generator, textured, patch=64):
    """Patches from dark to bright, a share of them with waves and fine grain of some 10 %."""
    n = SIZE // patch
    light = torch.from_numpy(np.geomspace(0.005, 0.8, n * n))[torch.randperm(n * n, generator=generator)].reshape(n, n)
    has_texture = torch.rand(n, n, generator=generator) < textured
    light, has_texture = (one.repeat_interleave(patch, 0).repeat_interleave(patch, 1) for one in (light, has_texture))
    rows, columns = torch.arange(SIZE)[:, None], torch.arange(SIZE)[None]
    texture = 0.12 * torch.sin(2 * math.pi * (rows / 7.3 + columns / 9.1))
    texture = texture + 0.1 * torch.randn(SIZE, SIZE, generator=generator)
    return (light * (1 + has_texture * texture)).float()


def expose(light, iso, generator, planes=1, unequal=0.0):
    shot, read = levels_at(iso)
    whole = light.expand(planes, SIZE, SIZE)
    gain = 1 + unequal * torch.randn(whole.shape, generator=generator)
    return measure_tiles(SENSOR.quantised(add_noise(whole * gain, shot, read, generator)), white_dn=4095, name="chart")


def fit(frames, iso, **options):
    return fit_tiles(frames, **({"white_dn": 4095, "black_dn": 256, "iso": iso} | options))


def test_constants_are_those_of_white_noise():
    noise = measure_tiles((1e5 + 1e3 * torch.randn(1, 3200, 1600, generator=seeded(), dtype=F64)).round(), white_dn=1e9)
    ratio = noise.variance_dn2[0] / 1e6
    seen = ratio[ratio < 1].mean()
    # Standard errors of 20,000 tiles: 0.0013, 0.0014, 0.0008.
    assert ratio.mean() == pytest.approx(1, abs=0.006)
    assert ratio.quantile(0.1) == pytest.approx(tile_noise.TENTH, abs=0.007)
    assert seen == pytest.approx(tile_noise.SEEN, abs=0.004)
    moved = (1.02 * ratio)[1.02 * ratio < 1].mean()
    assert 0.02 / (moved / seen - 1) == pytest.approx(tile_noise.GAIN, rel=0.1)
    assert noise.wander_dn2[0].mean() == pytest.approx(1e6, rel=0.02)
    assert abs(torch.corrcoef(torch.stack([noise.variance_dn2[0], noise.wander_dn2[0]]))[0, 1]) < 0.04


def test_slopes_and_shading_are_no_variance():
    ramp = (100 + torch.arange(128)[:, None] * 3 + 5 * torch.arange(160)).double()[None]
    stats = measure_tiles(ramp, white_dn=4095)
    assert stats.variance_dn2[0].max() == 0
    assert stats.wander_dn2[0].max() < 1e-6
    assert stats.tiles == len(stats.mean_dn[0]) == 80


@pytest.mark.parametrize(
    ("textured", "iso", "k_off", "sigma2_off"), [(0.0, 100, 0.04, 0.4), (0.5, 800, 0.06, 0.7), (0.5, 3200, 0.06, 0.3)]
)
def test_one_frame_gives_the_slope_of_a_scene_that_is_partly_calm(textured, iso, k_off, sigma2_off):
    for seed in range(3):
        found = fit([expose(make_chart(seeded(seed), textured), iso, seeded(seed + 50))], iso)
        shot, read, _, _ = found.normalised()
        assert shot.item() == pytest.approx(levels_at(iso)[0], rel=k_off)
        assert read.item() == pytest.approx(levels_at(iso)[1], rel=sigma2_off)
        assert found.method == "tiles"
        assert "single frames" in found.notes[0]


def test_a_dark_frame_makes_the_intercept_sure():
    generator, iso = seeded(3), 800
    frames = [expose(make_chart(generator, 0.5), iso, generator), expose(torch.zeros(1), iso, generator)]
    shot, read, _, read_error = fit(frames, iso).normalised()
    assert shot.item() == pytest.approx(levels_at(iso)[0], rel=0.06)
    assert read.item() == pytest.approx(levels_at(iso)[1], rel=0.03)
    assert read_error < 0.02 * read


def test_unequal_pixels_are_told_from_the_noise():
    generator, iso = seeded(1), 100
    found = fit([expose(make_chart(generator, 0.0), iso, generator, unequal=0.01)], iso)
    # At the brightest patch 1 % of the light is ten times the noise.
    assert found.normalised()[0].item() == pytest.approx(levels_at(iso)[0], rel=0.12)
    assert [note for note in found.notes if "a fixed pattern of" in note and "% of the light was told" in note]


def test_clipped_tiles_do_not_count():
    generator, iso = seeded(2), 1600
    light = make_chart(generator, 0.0) * 1.6
    found = fit([expose(light, iso, generator)], iso)
    assert found.normalised()[0].item() == pytest.approx(levels_at(iso)[0], rel=0.05)
    assert found.lines[0].mean_dn.max() < 4095 - 256


REFUSED = {
    "nothing": (lambda: fit([], 100), ["ISO 100", "no frame"]),
    "texture everywhere": (
        lambda: fit([expose(make_chart(seeded(), 1.0), 100, seeded())], 100),
        ["plane 0", "tiles without texture", "120 or more"],
    ),
    "one level": (
        lambda: fit([expose(torch.full((1, 1), 0.3), 400, seeded())], 400),
        ["calm tiles within a factor of 1.0", "4 or more"],
    ),
    "white": (
        lambda: fit([expose(torch.full((1, 1), 1.2), 400, seeded())], 400),
        ["0 of 2304 tiles", "not clipped"],
    ),
    "black": (lambda: fit([expose(torch.zeros(1, 1), 400, seeded())], 400, black_dn=5000), ["black_dn", "5000"]),
    "iso": (lambda: fit([expose(torch.zeros(1, 1), 400, seeded())], -1), ["fit_tiles(iso)", "-1"]),
    "planes": (
        lambda: fit([expose(torch.zeros(1, 1), 400, seeded()), expose(torch.zeros(1, 1), 400, seeded(), 4)], 400),
        ["different numbers of planes"],
    ),
    "shape": (lambda: measure_tiles(torch.zeros(1, 60, 80), white_dn=1023, name="a.dng"), ["a.dng", "(1, 60, 80)"]),
    "fractions": (lambda: measure_tiles(torch.full((1, 64, 64), 0.5), white_dn=1023), ["not whole"]),
    "white level": (lambda: measure_tiles(torch.zeros(1, 64, 64), white_dn=0), ["white_dn", "0"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_support_a_line_is_refused_by_name(name):
    call, words = REFUSED[name]
    with pytest.raises(InputError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tone_curve_is_not_taken_for_a_line():
    generator, iso = seeded(5), 1600
    shot, read = levels_at(iso)
    frame = SENSOR.normalised(SENSOR.quantised(add_noise(make_chart(generator, 0.0)[None], shot, read, generator)))
    bent = SENSOR.quantised(frame.clamp_min(0).pow(0.6))
    with pytest.raises(InputError, match=r"off the line|grows with light|known to"):
        fit([measure_tiles(bent, white_dn=4095)], iso)
