from dataclasses import replace

import pytest
import torch

import psf
from learn.deblur.lens_restoring import LensHandling, find_noise_variance, place_window, restore_by_lens
from psf import InputError
from render import Camera, RawSensor, demosaic
from render.metadata import random_metadata
from render.noise_presets import load_noise

SHAPE_PX = (200, 260)
DEPTH_M = 0.16


@pytest.fixture(autouse=True)
def one_thread():
    """Two on busy cores wait for each other at each of some thousand small operations."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def field():
    return psf.thin_lens_field(
        focal_mm=3.28,
        f_number=2.2,
        focus_m=float("inf"),
        pitch_um=2.0,
        image_shape_px=SHAPE_PX,
        depths_m=1 / torch.linspace(9.0, 0.0, 16),
        breathing=False,
        dtype=torch.float32,
    )


def draw_page(seed=0):
    """Dark strokes on bright paper."""
    own = torch.Generator().manual_seed(seed)
    page = torch.full((1, 3, *SHAPE_PX), 0.75)
    for _ in range(150):
        row, col, turn = torch.rand(3, generator=own).tolist()
        top, left = int(SHAPE_PX[0] * row), int(SHAPE_PX[1] * col)
        high, wide = (24, 5) if turn < 0.5 else (5, 24)
        page[..., top : top + high, left : left + wide] = 0.1
    return page


@pytest.fixture(scope="module")
def photo(field):
    own = torch.Generator().manual_seed(3)
    camera = Camera(field, RawSensor("RGGB", bits=10, black_dn=64), load_noise("imx586"))
    return camera.simulate(
        draw_page(), DEPTH_M, iso=200, metadata=random_metadata(1, generator=own), padding="replicate", generator=own
    )


def error_db(light, photo):
    """Of the mosaic, its border left out."""
    sharp = photo.to_raw_file().with_mosaic(photo.target).normalised()
    return float(-10 * (light - sharp)[..., 30:-30, 30:-30].square().mean().log10())


def test_a_page_is_restored_without_a_depth_as_well_as_with_it(photo, field):
    raw = photo.to_raw_file()
    taken = error_db(raw.normalised(), photo)
    found = error_db(restore_by_lens(raw, field), photo)
    told = error_db(restore_by_lens(raw, field, LensHandling(depth_m=DEPTH_M)), photo)
    wrong = error_db(restore_by_lens(raw, field, LensHandling(depth_m=5.0)), photo)
    assert found > taken + 1.5
    assert found > told - 0.3
    assert found > wrong + 1


def test_other_patterns_and_odd_corners_are_restored_alike(photo, field):
    raw = photo.to_raw_file()
    whole = restore_by_lens(raw, field)
    part = restore_by_lens(raw.cropped(1, 1, SHAPE_PX[1] - 2, SHAPE_PX[0] - 2), field, LensHandling(window_px=(1, 1)))
    # Tiles lie elsewhere: alike, not the same.
    change = (part - whole[..., 1:-1, 1:-1])[..., 30:-30, 30:-30]
    moved = (whole - raw.normalised())[..., 30:-30, 30:-30]
    assert float(change.square().mean()) < 0.02 * float(moved.square().mean())


def test_noise_is_read_off_the_picture_where_the_file_says_nothing(photo):
    raw = photo.to_raw_file()
    light = demosaic(raw.normalised()[0], raw.pattern, "malvar")
    told = find_noise_variance(raw, light)
    seen = find_noise_variance(replace(raw, noise_profile=None), light)
    assert told > 0
    assert 0.25 * told < seen < 4 * told


def test_progress_rises_to_the_end(photo, field):
    steps = []
    restore_by_lens(photo.to_raw_file(), field, on_progress=lambda done, of: steps.append(done / of))
    assert steps == sorted(steps)
    assert steps[-1] == 1


def test_a_photograph_lies_where_it_is_said_to_lie():
    assert place_window((3000, 4000), (3024, 4032), None) == (16, 12)
    assert place_window((100, 200), (3024, 4032), (7, 9)) == (7, 9)
    for shape, window in (((100, 200), None), ((100, 200), (4000, 0)), ((3040, 4032), None)):
        with pytest.raises(InputError, match="sensor"):
            place_window(shape, (3024, 4032), window)


@pytest.mark.parametrize("change", [{"caution": 0.0}, {"depth_m": -1.0}, {"noise_variance": float("nan")}])
def test_numbers_that_make_no_sense_are_refused(change):
    with pytest.raises(InputError, match=next(iter(change))):
        LensHandling(**change)


def test_a_field_of_one_channel_is_refused(photo, field):
    grey = replace(
        field,
        kernels=field.kernels[:, :, :1],
        transmission=field.transmission[:, :, :1],
        lost=field.lost[:, :, :1],
        channels=field.channels[:1],
    )
    with pytest.raises(InputError, match="field: found 1 channels"):
        restore_by_lens(photo.to_raw_file(), grey)
