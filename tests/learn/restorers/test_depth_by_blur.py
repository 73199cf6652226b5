import math

import pytest
import torch

import psf
from learn.restorers import find_depth_by_blur, restore_wiener
from psf import InputError
from render import pixelwise

F64 = torch.float64
NOISE_SD = 0.003


@pytest.fixture(scope="module")
def field():
    return psf.thin_lens_field(
        focal_mm=3.28,
        f_number=2.2,
        focus_m=math.inf,
        pitch_um=2.0,
        image_shape_px=(300, 400),
        depths_m=1 / torch.linspace(9.0, 0.0, 16, dtype=F64),
        breathing=False,
        dtype=F64,
    )


def draw_texture(shape, seed=0):
    """Bars and blots of every size, in grey."""
    own = torch.Generator().manual_seed(seed)
    picture = torch.full((1, 3, *shape), 0.4, dtype=F64)
    for _ in range(220):
        row, col, height, width, value = torch.rand(5, generator=own, dtype=F64).tolist()
        top, left = int(shape[0] * row), int(shape[1] * col)
        bottom, right = top + 2 + int(30 * height**3), left + 2 + int(30 * width**3)
        picture[..., top:bottom, left:right] = value
    return picture


def photograph(sharp, depth_m, field, window):
    taken = pixelwise(sharp, depth_m, field, window=window, padding="replicate")
    return taken + NOISE_SD * torch.randn(taken.shape, generator=torch.Generator().manual_seed(3), dtype=F64)


@pytest.mark.parametrize("depth_m", [0.12, 0.17, 0.2, 0.25])
def test_the_depth_of_a_flat_page_is_found(field, depth_m):
    window, shape = (120, 80), (160, 200)
    taken = photograph(draw_texture(shape), torch.full((1, 1, *shape), depth_m, dtype=F64), field, window)
    found = find_depth_by_blur(taken, field, noise_variance=NOISE_SD**2, window=window, highest=0.5)
    assert found.shape == (1, 1, *shape)
    assert float((1 / found - 1 / depth_m).abs().amax()) < 0.25, "dioptres"


def test_two_halves_at_two_depths_are_told_apart(field):
    window, shape = (40, 60), (160, 320)
    depth_m = torch.full((1, 1, *shape), 0.15, dtype=F64)
    depth_m[..., 160:] = 0.3
    taken = photograph(draw_texture(shape, seed=1), depth_m, field, window)
    found = find_depth_by_blur(taken, field, noise_variance=NOISE_SD**2, window=window, highest=0.5)
    assert float((1 / found[..., :64] - 1 / 0.15).abs().mean()) < 0.4
    assert float((1 / found[..., -64:] - 1 / 0.3).abs().mean()) < 0.4


def test_a_page_is_restored_as_well_as_if_its_depth_had_been_told(field):
    window, shape = (40, 60), (200, 260)
    depth_m = torch.full((1, 1, *shape), 0.16, dtype=F64)
    sharp = draw_texture(shape, seed=4)
    taken = photograph(sharp, depth_m, field, window)
    found = find_depth_by_blur(taken, field, noise_variance=NOISE_SD**2, window=window, highest=0.5)

    def error_db(picture):
        return float(-10 * (picture - sharp)[..., 24:-24, 24:-24].square().mean().log10())

    def restore(depth):
        return restore_wiener(taken, depth, field, noise_variance=NOISE_SD**2, window=window, caution=30)

    assert error_db(restore(found)) > error_db(taken) + 1.5
    assert error_db(restore(found)) > error_db(restore(depth_m)) - 0.5


def test_an_empty_wall_takes_the_depth_of_what_is_beside_it(field):
    window, shape = (40, 60), (160, 320)
    sharp = draw_texture(shape, seed=2)
    sharp[..., 192:] = 0.5
    taken = photograph(sharp, torch.full((1, 1, *shape), 0.2, dtype=F64), field, window)
    found = find_depth_by_blur(taken, field, noise_variance=NOISE_SD**2, window=window, highest=0.5)
    assert float((1 / found - 1 / 0.2).abs().amax()) < 0.5


def test_pictures_of_a_batch_do_not_see_each_other(field):
    window, shape = (120, 80), (130, 140)
    flat = [torch.full((1, 1, *shape), depth, dtype=F64) for depth in (0.13, 0.3)]
    taken = torch.cat([photograph(draw_texture(shape, n), one, field, window) for n, one in enumerate(flat)])
    whole = find_depth_by_blur(taken, field, noise_variance=NOISE_SD**2, window=window)
    for number in range(2):
        alone = find_depth_by_blur(taken[number : number + 1], field, noise_variance=NOISE_SD**2, window=window)
        assert torch.equal(whole[number : number + 1], alone)


def test_pictures_smaller_than_a_kernel_and_fields_of_one_depth_are_taken(field):
    small = draw_texture((12, 9))
    found = find_depth_by_blur(small, field, noise_variance=0.0, window=(0, 0))
    assert found.shape == (1, 1, 12, 9)
    assert bool((found > 0).all())
    one = psf.thin_lens_field(
        focal_mm=3.28, f_number=2.2, focus_m=math.inf, pitch_um=2.0, image_shape_px=(30, 40),
        depths_m=torch.tensor([0.3]), dtype=F64,
    )  # fmt: skip
    found = find_depth_by_blur(draw_texture((30, 40)), one, noise_variance=0.0)
    assert torch.equal(found, torch.full((1, 1, 30, 40), float(one.depths_m[0]), dtype=F64))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"highest": 0.0}, "highest"),
        ({"noise_variance": -1.0}, "noise_variance"),
        ({"window": (399, 0)}, "window"),
        ({"image": torch.full((1, 3, 20, 20), math.nan, dtype=F64)}, "image"),
        ({"image": torch.zeros((1, 2, 20, 20), dtype=F64)}, "image"),
        ({"image": torch.zeros((1, 3, 8, 8), dtype=F64)}, "more pixels"),
        ({"image": None}, "image"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(field, change, word):
    given = {"image": draw_texture((20, 20)), "field": field, "noise_variance": 1e-4, "window": (0, 0)} | change
    with pytest.raises(InputError, match=word) as error:
        find_depth_by_blur(**given)
    assert "\n" not in str(error.value)
