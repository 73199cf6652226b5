import math

import pytest
import torch

import psf
from learn.restorers import restore_wiener, restore_wiener_at
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
        pitch_um=3.5,
        image_shape_px=(300, 400),
        depths_m=torch.tensor([0.25, 0.5, math.inf]),
        breathing=False,
        dtype=F64,
    )


def draw_scene(side=72, seed=0):
    """Discs of random colours, blurred by half a pixel or so; a near half before a far one."""
    own = torch.Generator().manual_seed(seed)
    picture = torch.full((1, 3, side, side), 0.3, dtype=F64)
    y, x = torch.meshgrid(*[torch.arange(side)] * 2, indexing="ij")
    for _ in range(60):
        row, col, radius, *colour = torch.rand(6, generator=own, dtype=F64).tolist()
        inside = (y - side * row) ** 2 + (x - side * col) ** 2 < (side * (0.03 + 0.2 * radius**3)) ** 2
        picture[0, :, inside] = torch.tensor(colour, dtype=F64)[:, None]
    depth_m = torch.full((1, 1, side, side), 0.25, dtype=F64)
    depth_m[..., side // 2 :] = 0.5
    return picture, depth_m


def noise_like(picture, sd=NOISE_SD):
    return sd * torch.randn(picture.shape, generator=torch.Generator().manual_seed(3), dtype=picture.dtype)


def error_db(found, wanted):
    inner = (..., slice(8, -8), slice(8, -8))
    return float(-10 * (found[inner] - wanted[inner]).square().mean().log10())


def test_a_known_blur_is_undone(field):
    sharp, depth_m = draw_scene()
    depth_m = torch.full_like(depth_m, 0.25)
    taken = pixelwise(sharp, depth_m, field, window=(100, 60))
    taken = taken + noise_like(taken)
    found = restore_wiener(taken, depth_m, field, noise_variance=NOISE_SD**2, window=(100, 60))
    assert error_db(found, sharp) > error_db(taken, sharp) + 2


def test_two_depths_are_better_than_one_guess(field):
    sharp, depth_m = draw_scene()
    taken = pixelwise(sharp, depth_m, field, window=(100, 60))
    taken = taken + noise_like(taken)
    options = {"noise_variance": NOISE_SD**2, "window": (100, 60)}
    known = restore_wiener(taken, depth_m, field, **options)
    for guess in (0.25, 0.5):
        guessed = restore_wiener(taken, torch.full_like(depth_m, guess), field, **options)
        assert error_db(known, sharp) > error_db(guessed, sharp)
    assert error_db(known, sharp) > error_db(taken, sharp) + 1


def test_tiles_leave_no_seams(field):
    sharp, depth_m = draw_scene(144)
    taken = pixelwise(sharp, depth_m, field, window=(100, 60))
    options = {"noise_variance": 1e-4, "window": (100, 60)}
    whole = restore_wiener(taken, depth_m, field, tile_px=400, **options)
    tiles = restore_wiener(taken, depth_m, field, tile_px=1, **options)
    # The lens has the same kernels everywhere: tiles differ by what lies beyond their halo.
    assert (tiles - whole).abs().max() < 0.02
    assert (whole - taken).abs().max() > 0.3


def test_without_blur_and_noise_nothing_changes(field):
    sharp, depth_m = draw_scene()
    far = torch.full_like(depth_m, math.inf)
    found = restore_wiener(sharp, far, field.cropped(1), noise_variance=1e-12, window=(100, 60))
    assert (found - sharp).abs().max() < 1e-8


def test_a_batch_is_its_pictures_one_by_one(field):
    one, depth_m = draw_scene()
    two, _ = draw_scene(seed=1)
    noise = torch.tensor([1e-5, 1e-3], dtype=F64)
    both = restore_wiener(
        torch.cat([one, two]), depth_m.expand(2, -1, -1, -1), field, noise_variance=noise, window=(0, 0)
    )
    for number, single in enumerate((one, two)):
        alone = restore_wiener(single, depth_m, field, noise_variance=float(noise[number]), window=(0, 0))
        assert (both[number] - alone[0]).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"noise_variance": -1.0}, "noise_variance: found -1.0"),
        ({"signal_variance": 0.0}, "signal_variance: found 0.0"),
        ({"spectrum": "pink"}, "spectrum: found 'pink'"),
        ({"caution": 0.0}, "caution: found 0.0"),
        ({"tile_px": 0}, "tile_px: found 0"),
        ({"window": None}, "the whole sensor (300, 400), or a window"),
    ],
)
def test_bad_input_is_named_in_one_line(field, change, words):
    sharp, depth_m = draw_scene()
    options = {"noise_variance": 1e-5, "window": (0, 0), **change}
    with pytest.raises(InputError) as caught:
        restore_wiener(sharp, depth_m, field, **options)
    assert words in str(caught.value)


def test_one_depth_for_all_is_the_same_filter_whichever_way_it_is_asked_for(field):
    sharp, depth_m = draw_scene()
    taken = pixelwise(sharp, torch.full_like(depth_m, 0.5), field, window=(100, 60))
    several = restore_wiener_at(taken, field, field.depths_m[:2], noise_variance=NOISE_SD**2, corner_px=(100.0, 60.0))
    assert several.shape == (1, 2, *taken.shape[1:])
    for found, depth in zip(several[0], field.depths_m[:2], strict=True):
        everywhere = torch.full_like(depth_m, float(depth))
        wanted = restore_wiener(taken, everywhere, field, noise_variance=NOISE_SD**2, window=(100, 60))
        torch.testing.assert_close(found[None], wanted, rtol=0, atol=1e-12)
    with pytest.raises(InputError, match="above 0 m"):
        restore_wiener_at(taken, field, torch.tensor([0.0]), noise_variance=1e-5)
