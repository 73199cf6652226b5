import math

import pytest
import torch

import psf
from learn.restorers import restore_richardson_lucy
from learn.restorers.richardson_lucy import apply_transpose
from psf import InputError
from render import pixelwise, plan_pixelwise

F64 = torch.float64
WINDOW = (100, 60)


@pytest.fixture(scope="module")
def field():
    return psf.thin_lens_field(
        focal_mm=3.28,
        f_number=2.2,
        focus_m=math.inf,
        pitch_um=3.5,
        image_shape_px=(300, 400),
        depths_m=torch.tensor([0.25, 0.5, math.inf]),
        breathing=False,
        dtype=F64,
    )


@pytest.fixture(scope="module")
def scene(field):
    own = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 12, 12, generator=own, dtype=F64)
    sharp = torch.nn.functional.interpolate(coarse, scale_factor=4)
    depth_m = torch.full((1, 1, 48, 48), 0.25, dtype=F64)
    depth_m[..., 20:] = 0.5
    return sharp, depth_m, pixelwise(sharp, depth_m, field, window=WINDOW)


def error_db(found, wanted):
    return float(-10 * (found - wanted).square().mean().log10())


def test_the_transpose_is_the_transpose(field, scene):
    sharp, depth_m, _ = scene
    plan = plan_pixelwise(field, (48, 48), window=WINDOW, depth_m=depth_m)
    other = torch.rand(sharp.shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    blurred, back = apply_transpose(sharp, depth_m, plan, lambda _: other)
    assert abs((blurred * other).sum() - (sharp * back).sum()) < 1e-9 * abs((blurred * other).sum())


def test_every_round_brings_the_picture_nearer(field, scene):
    sharp, depth_m, taken = scene
    errors = [error_db(taken, sharp)]
    errors += [
        error_db(restore_richardson_lucy(taken, depth_m, field, window=WINDOW, rounds=n), sharp) for n in (2, 8, 24)
    ]
    assert errors == sorted(errors)
    assert errors[-1] > errors[0] + 2


def test_light_is_kept_and_none_is_negative(field, scene):
    _, depth_m, taken = scene
    found = restore_richardson_lucy(taken, depth_m, field, window=WINDOW, rounds=5)
    predicted = pixelwise(found, depth_m, field, window=WINDOW)
    assert abs(predicted.sum() / taken.sum() - 1) < 1e-3
    assert found.min() >= 0


def test_a_sharp_picture_is_its_own_answer(field, scene):
    sharp, depth_m, _ = scene
    far = torch.full_like(depth_m, math.inf)
    point = field.cropped(1)
    found = restore_richardson_lucy(sharp, far, point, window=WINDOW, rounds=3)
    assert (found - sharp).abs().max() < 1e-9


def test_damping_holds_the_noise_down(field, scene):
    sharp, depth_m, taken = scene
    noisy = taken + 0.03 * torch.randn(taken.shape, generator=torch.Generator().manual_seed(2), dtype=F64)
    options = {"window": WINDOW, "rounds": 60}
    plain = restore_richardson_lucy(noisy, depth_m, field, **options)
    damped = restore_richardson_lucy(noisy, depth_m, field, read=0.03**2, damping=2.0, **options)
    assert error_db(damped, sharp) > error_db(plain, sharp) + 0.5


def test_no_rounds_and_no_pictures_give_what_came_in(field, scene):
    sharp, depth_m, _ = scene
    assert restore_richardson_lucy(sharp, depth_m, field, window=WINDOW, rounds=0).equal(sharp)
    assert restore_richardson_lucy(sharp[:0], depth_m[:0], field, window=WINDOW).shape == (0, 3, 48, 48)


def test_progress_is_told(field, scene):
    _, depth_m, taken = scene
    told = []
    restore_richardson_lucy(
        taken, depth_m, field, window=WINDOW, rounds=2, on_progress=lambda done, total: told.append((done, total))
    )
    assert told == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"rounds": -1}, "rounds: found -1"), ({"damping": -1.0}, "damping: found -1"), ({"read": -1.0}, "read: found")],
)
def test_bad_input_is_named_in_one_line(field, scene, change, words):
    sharp, depth_m, _ = scene
    with pytest.raises(InputError) as caught:
        restore_richardson_lucy(sharp, depth_m, field, window=WINDOW, **change)
    assert words in str(caught.value)
