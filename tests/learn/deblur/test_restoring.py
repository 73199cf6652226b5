from dataclasses import replace

import pytest
import torch

from learn.deblur.fitting import FramePlace
from learn.deblur.notes import make_notes
from learn.deblur.restoring import (
    Handling,
    make_frame_planes,
    open_restorer,
    restore_light,
    restore_raw,
    restore_srgb,
)
from learn.networks import find_config, make_network, save_network
from learn.synthesis import draw_sample
from psf import InputError
from render import RawFile, develop
from render.developing import turn_upright


def make_restorer(synthesis, folder, *, in_planes=None, notes=None, **changes):
    """A tiny network with a random ending and random scales, so that every part of it does something."""
    varied = synthesis.varied(**changes)
    colours = 3 if varied.settings.space == "rgb" else 4
    g = torch.Generator().manual_seed(5)
    planes = len(varied.settings.planes) if in_planes is None else in_planes
    network = make_network(find_config("tiny", in_planes=planes, out_planes=colours), generator=g)
    with torch.no_grad():
        network.ending.weight.uniform_(-0.02, 0.02, generator=g)
        network.intro.weight.uniform_(-0.1, 0.1, generator=g)
        for name, values in network.named_parameters():
            if name.endswith(("beta", "gamma")):
                values.uniform_(-0.5, 0.5, generator=g)
    path = folder / "network.pt"
    save_network(network, path, notes=make_notes(varied, 10) if notes is None else notes)
    return path


SMALL_PX = (90, 106)


def small(**changes):
    """For a photograph that is smaller than the sensor."""
    return Handling(any_sensor=True, **changes)


@pytest.fixture
def restorer(synthesis, tmp_path):
    return open_restorer(make_restorer(synthesis, tmp_path))


def make_photo(shape_px=(220, 280), pattern="RGGB", seed=0, **changes):
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand((1, 1, 12, 12), generator=g)
    light = torch.nn.functional.interpolate(coarse, shape_px, mode="bilinear")[0, 0]
    light = (light + 0.02 * torch.randn(shape_px, generator=g)).clamp(0, 1)
    values = {
        "black_dn": torch.tensor([64.0, 64, 64, 64]),
        "white_dn": 1023.0,
        "white_balance": torch.tensor([2.0, 1, 1.6]),
        "color_matrices": ((21, torch.tensor([[0.7, -0.2, -0.05], [-0.4, 1.2, 0.2], [-0.1, 0.2, 0.6]])),),
        "iso": 800.0,
    }
    dn = (64 + 959 * light).round().to(torch.uint16)
    return RawFile(dn, pattern, **(values | changes))


def test_every_number_of_a_frames_planes_is_that_of_the_training(synthesis, tmp_path):
    for changes in (
        {},
        {"field_planes": "xy", "iso_plane": "sigma"},
        {"aux": "field"},
        {"space": "rgb"},
        {"deconvolved_dpt": (0.0, 4.0)},
    ):
        varied = synthesis.varied(**changes)
        sample = draw_sample(varied, 3)
        restorer = open_restorer(make_restorer(synthesis, tmp_path, **changes), field=synthesis.camera.field)
        colours = sample.input[: 3 if changes.get("space") == "rgb" else 4]
        x0, y0 = sample.drawn.window_px
        place = FramePlace(float(x0), float(y0), restorer.notes.image_shape_px)
        planes = make_frame_planes(colours, restorer, place, sample.drawn.iso)
        torch.testing.assert_close(planes, sample.input, rtol=0, atol=2e-7)


def test_a_frame_is_restored_as_the_network_restores_its_planes(restorer):
    photo = make_photo()
    place = FramePlace(0.0, 0.0, (220, 280))
    planes = make_frame_planes(photo.packed()[0], restorer, place, 800.0)[None]
    with torch.no_grad():
        wanted = restorer.network(planes, restorer.box_cells)
    light = restore_light(photo, restorer)
    found = torch.stack([light[0, 0, r::2, c::2] for r in (0, 1) for c in (0, 1)])
    torch.testing.assert_close(found[None], wanted, rtol=0, atol=2e-6)
    assert float((wanted - planes[:, :4]).abs().mean()) > 0.003  # the network does something


@pytest.mark.parametrize("tile_cells", [16, 24, 40])
def test_no_seam_shows_whatever_the_size_of_the_pieces(restorer, tile_cells):
    photo = make_photo(SMALL_PX)
    whole, pieces = (restore_light(photo, restorer, small(tile_cells=one)) for one in (512, tile_cells))
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-5)


def test_plain_tiles_are_close_to_the_whole(restorer):
    photo = make_photo((180, 210))
    tiles = small(exact=False, tile_cells=72, halo_cells=24)
    whole, found = (restore_light(photo, restorer, one) for one in (small(), tiles))
    assert not torch.equal(whole, found)
    assert float((found - whole).abs().quantile(0.9)) < 0.02  # means over a box reach farther than a tile


@pytest.mark.parametrize(("pattern", "top", "left"), [("GRBG", 0, 1), ("GBRG", 1, 0), ("BGGR", 1, 1)])
def test_other_patterns_are_cropped_to_that_of_the_training_and_get_their_border_back(restorer, pattern, top, left):
    photo = make_photo(SMALL_PX, pattern=pattern)
    restored = restore_raw(photo, restorer, Handling(window_px=(40, 30)))
    assert (restored.pattern, restored.shape_px) == (pattern, SMALL_PX)
    rows, columns = SMALL_PX[0] - 2 * top, SMALL_PX[1] - 2 * left
    inner = photo.cropped(left, top, columns, rows)
    assert inner.pattern == "RGGB"
    alone = restore_raw(inner, restorer, Handling(window_px=(40 + left, 30 + top)))
    inside = (slice(top, top + rows), slice(left, left + columns))
    assert torch.equal(restored.mosaic[inside].int(), alone.mosaic.int())
    untouched = torch.ones(SMALL_PX, dtype=torch.bool)
    untouched[inside] = False
    assert torch.equal(restored.mosaic.int()[untouched], photo.mosaic.int()[untouched])


def test_an_odd_side_keeps_its_last_line(restorer):
    photo = make_photo((89, 105))
    restored = restore_raw(photo, restorer, small())
    assert restored.shape_px == (89, 105)
    assert torch.equal(restored.mosaic[-1].int(), photo.mosaic[-1].int())


def test_a_masked_border_stays_as_it_was_and_does_not_move_the_centre(restorer):
    photo = make_photo(SMALL_PX)
    bordered = torch.full((100, 120), 64, dtype=torch.uint16)
    bordered[4:94, 8:114] = photo.mosaic
    whole = replace(photo, mosaic=bordered, active_area_px=(8, 4, 106, 90))
    restored = restore_raw(whole, restorer, small())
    assert torch.equal(restored.mosaic[4:94, 8:114].int(), restore_raw(photo, restorer, small()).mosaic.int())
    assert bool((restored.mosaic[:4].int() == 64).all())
    assert restored.active_area_px == (8, 4, 106, 90)


def test_everything_but_the_pixels_is_kept_and_the_noise_profile_is_left_out(restorer):
    profile = torch.tensor([[1e-4, 1e-6]])
    photo = make_photo(SMALL_PX, orientation=6, exposure_s=0.01, make="M", noise_profile=profile)
    restored = restore_raw(photo, restorer, small())
    for name in ("white_dn", "iso", "exposure_s", "orientation", "make", "pattern", "black_dn", "white_balance"):
        assert getattr(restored, name) is getattr(photo, name)
    assert restored.noise_profile is None


def test_black_and_white_of_the_file_change_nothing_but_the_rounding(restorer):
    photo = make_photo(SMALL_PX)
    other = replace(
        photo,
        mosaic=((photo.mosaic.float() - 64) * 16 + 256).to(torch.uint16),
        black_dn=torch.full((4,), 256.0),
        white_dn=256.0 + 16 * 959,
    )
    one, two = (restore_light(each, restorer, small()) for each in (photo, other))
    torch.testing.assert_close(two, one, rtol=0, atol=1e-6)


def test_strength_mixes_input_and_result(restorer):
    photo = make_photo(SMALL_PX)
    zero, half, one = (restore_light(photo, restorer, small(strength=s)) for s in (0.0, 0.5, 1.0))
    torch.testing.assert_close(half, (zero + one) / 2, rtol=0, atol=1e-6)
    assert torch.equal(restore_raw(photo, restorer, small(strength=0.0)).mosaic.int(), photo.mosaic.int())


def test_the_isos_scale_changes_its_plane_alone(restorer):
    photo = make_photo(SMALL_PX)
    told = restore_light(photo, restorer, small(iso=1600.0))
    assert torch.equal(told, restore_light(photo, restorer, small(iso_scale=2.0)))
    assert torch.equal(told, restore_light(replace(photo, iso=None), restorer, small(iso=1600.0)))
    assert not torch.equal(told, restore_light(photo, restorer, small()))


def test_a_missing_iso_is_an_error_only_for_networks_that_are_told_it(synthesis, restorer, tmp_path):
    photo = make_photo(SMALL_PX, iso=None)
    with pytest.raises(InputError, match=r"^ISO: found none in the photograph, expected a number; .*--iso"):
        restore_raw(photo, restorer, small())
    without = open_restorer(make_restorer(synthesis, tmp_path, aux="field"))
    restore_raw(photo, without, small())


def test_an_iso_that_the_training_did_not_know_is_told(restorer):
    with pytest.warns(UserWarning, match="ISO 6400 lies outside 100 to 3200"):
        restore_raw(make_photo(SMALL_PX, iso=6400.0), restorer, small())


def test_a_network_of_developed_pictures_restores_them(synthesis, tmp_path):
    restorer = open_restorer(make_restorer(synthesis, tmp_path, space="rgb"))
    photo = make_photo(SMALL_PX, orientation=6, crop_px=(2, 4, 96, 80))
    restored = restore_srgb(photo, restorer, small())
    assert restored.shape == (1, 3, 96, 80)
    assert float((restored - develop(photo)).abs().mean()) > 0.003
    srgb = develop(replace(photo, orientation=1), crop=False)
    planes = make_frame_planes(srgb[0], restorer, FramePlace(0.0, 0.0, SMALL_PX), 800.0)[None]
    with torch.no_grad():
        wanted = restorer.network(planes, restorer.box_cells).clamp(0, 1)[..., 4:84, 2:98]
    torch.testing.assert_close(restored, turn_upright(wanted, 6), rtol=0, atol=2e-6)


def test_each_kind_of_network_has_its_own_function(synthesis, restorer, tmp_path):
    with pytest.raises(InputError, match="a network of mosaics, expected one of developed pictures"):
        restore_srgb(make_photo(), restorer)
    of_rgb = open_restorer(make_restorer(synthesis, tmp_path, space="rgb"))
    with pytest.raises(InputError, match="a network of developed pictures, expected one of mosaics"):
        restore_raw(make_photo(), of_rgb)
    with pytest.raises(InputError, match=r"pixels: found 1.5 times as wide as high"):
        restore_srgb(make_photo(pixel_aspect=1.5), of_rgb)


def test_a_network_whose_planes_are_not_those_of_its_notes_is_refused(synthesis, tmp_path):
    path = make_restorer(synthesis, tmp_path, in_planes=7)
    with pytest.raises(
        InputError, match=r"planes: found a network from 7 to 4 planes, expected 6 to 4, .* ISO, radius"
    ):
        open_restorer(path)


def test_a_network_from_elsewhere_is_refused(synthesis, tmp_path):
    path = make_restorer(synthesis, tmp_path, notes={"made_by": "another program"})
    with pytest.raises(InputError, match=r"a network that python -m learn.deblur train made"):
        open_restorer(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iso": 0.0}, "iso: found 0.0"),
        ({"iso_scale": float("nan")}, "iso_scale: found nan"),
        ({"strength": 1.5}, "strength: found 1.5, expected a share from 0 to 1"),
    ],
)
def test_handling_that_makes_no_sense_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        Handling(**changes)


def test_progress_comes_to_its_end(restorer):
    seen = []
    restore_raw(make_photo(SMALL_PX), restorer, small(), on_progress=lambda done, of: seen.append((done, of)))
    assert seen[-1][0] == seen[-1][1] == len(seen)


def test_a_network_with_planes_of_its_lens_asks_for_the_lens_and_its_own_sensor(synthesis, tmp_path):
    path = make_restorer(synthesis, tmp_path, deconvolved_dpt=(0.0, 4.0))
    with pytest.raises(InputError, match="deconvolved ones, expected the field"):
        open_restorer(path)
    restorer = open_restorer(path, field=synthesis.camera.field)
    with pytest.raises(InputError, match="the field's own"):
        restore_light(make_photo(SMALL_PX), restorer, small())
    restored = restore_light(make_photo(synthesis.camera.image_shape_px), restorer)
    assert bool(restored.isfinite().all())
