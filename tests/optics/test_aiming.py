import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from optics.aiming import TOLERANCE, aim_rays
from optics.prescriptions import bundled, load
from optics.rays import Fate
from optics.tracing import trace
from psf.errors import InputError

F64 = torch.float64
WIDE = sorted(path.stem for path in (Path(__file__).parents[1] / "data" / "wide_lenses").glob("*.json"))


def wide_lens(name):
    return load(Path(__file__).parents[1] / "data" / "wide_lenses" / f"{name}.json")


def stretched(lens, factor):
    """The lens behind a sensor with larger pixels."""
    return replace(lens, sensor=replace(lens.sensor, pitch_um=factor * lens.sensor.pitch_um))


def opened(lens, factor):
    """The lens with a larger stop, all else alike."""
    name = f"surface{lens.stop_surface}.semi_aperture_mm"
    return lens.with_parameters({name: factor * lens.parameters()[name]})


ANGLES = torch.linspace(0, 2 * math.pi, 9, dtype=F64)[:-1]
DISC = torch.cat([r * torch.stack([ANGLES.cos(), ANGLES.sin()], 1) for r in (0.3, 0.7, 1.0)])


def crossings(lens, aimed):
    traced = trace(lens, aimed.rays, path=True, clip=False)
    stop = lens.stop_surface - 1
    return traced.path_mm[:, stop, :2] / lens.surfaces[stop].semi_aperture_mm


@pytest.mark.parametrize("name", [*bundled(), *WIDE])
@pytest.mark.parametrize("depth_m", [0.1, math.inf])
def test_rays_meet_the_stop_where_they_were_aimed_or_say_why_not(name, depth_m):
    lens = wide_lens(name) if name in WIDE else load(name)
    for radius in (0.0, 1.0):
        aimed = aim_rays(lens, radius, depth_m, DISC)
        at_stop = crossings(lens, aimed)
        assert bool(aimed.rays.position_mm.isfinite().all())
        assert bool(aimed.rays.direction.isfinite().all())
        error = (at_stop - DISC).norm(dim=1)[aimed.reached]
        assert float(error.max()) < TOLERANCE * 1.01
        told = [bool(text) for text in aimed.reasons()]
        assert told == (~aimed.reached).tolist()
        # The middle of the pupil is in reach everywhere; the rim of a lens that vignettes need not be.
        assert bool(aimed.reached[: len(ANGLES)].all())


@pytest.mark.parametrize("name", [*WIDE, "phone_us9651759", "double_gauss_jp1987087922", "wide_laikin100"])
def test_the_whole_stop_is_in_reach_of_wide_and_fast_lenses_and_phones(name):
    lens = wide_lens(name) if name in WIDE else load(name)
    for radius in (0.5, 1.0):
        assert bool(aim_rays(lens, radius, 0.1, DISC).reached.all())


def test_rays_from_one_object_point_pass_it():
    lens = load("phone_us9651759")
    aimed = aim_rays(lens, 0.7, 0.2, DISC)
    way = (-200.0 - aimed.rays.position_mm[:, 2:]) / aimed.rays.direction[:, 2:]
    points = aimed.rays.position_mm + way * aimed.rays.direction
    assert float((points - points[0]).abs().max()) < 1e-9
    far = aim_rays(lens, 0.7, math.inf, DISC).rays.direction
    assert float((far - far[0]).abs().max()) < 1e-14


def test_the_middle_of_the_stop_is_the_chief_ray_at_every_wavelength_of_its_own():
    lens = load("camera_rf50mm_f1p8")
    middle = torch.zeros(1, 2, dtype=F64)
    reference = aim_rays(lens, 0.8, math.inf, middle)
    assert float(reference.rays.position_mm[0, :2].abs().max()) < 1e-9
    blue = aim_rays(lens, 0.8, math.inf, middle, 0.43)
    assert bool(blue.reached[0])
    assert 1e-6 < float(blue.rays.position_mm[0, :2].abs().max()) < 0.1


def test_points_far_outside_are_refused_with_a_surface_and_a_reason():
    # Six times the stop: rays would have to come past the glass or beyond total reflection.
    lens = load("double_gauss_jp1987087922")
    pupil = torch.tensor([[0.0, 0.0], [0.0, 6.0], [0.0, -6.0], [6.0, 0.0]], dtype=F64)
    aimed = aim_rays(lens, 0.9, math.inf, pupil)
    assert aimed.reached.tolist() == [True, False, False, False]
    assert aimed.reasons()[0] == ""
    for text in aimed.reasons()[1:]:
        assert text.split(" surface ")[0] in {fate.words.rsplit(" ", 1)[0] for fate in Fate}
        assert 1 <= int(text.rsplit(" ", 1)[1]) <= lens.stop_surface
    # Mirror images share their fate.
    assert aimed.reasons()[1] == aimed.reasons()[2]
    assert bool((aimed.miss[1:] > TOLERANCE).all())


def test_an_opened_stop_is_reached_as_far_as_glass_goes():
    """What one semi-aperture cannot give, twice the stop cannot give at half of it."""
    lens = wide_lens("wide_170_deg")
    wide = opened(lens, 2.0)
    rim = torch.stack([ANGLES.cos(), ANGLES.sin()], 1)
    one, half = aim_rays(lens, 0.9, math.inf, rim), aim_rays(wide, 0.9, math.inf, 0.5 * rim)
    assert one.reached.tolist() == half.reached.tolist()
    assert float((one.rays.position_mm - half.rays.position_mm)[one.reached].abs().max()) < 1e-8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"radius": 1.2}, "radius"),
        ({"depth_m": 0.0}, "depth_m"),
        ({"depth_m": math.nan}, "depth_m"),
        ({"pupil": torch.zeros(3, dtype=F64)}, "pupil"),
        ({"pupil": torch.full((1, 2), math.nan, dtype=F64)}, "pupil"),
        ({"wavelength_um": -1.0}, "wavelength_um"),
    ],
)
def test_what_cannot_be_aimed_is_refused_by_name(arguments, words):
    given = {"radius": 0.5, "depth_m": 1.0, "pupil": torch.zeros(1, 2, dtype=F64)} | arguments
    with pytest.raises(InputError, match=words):
        aim_rays(load("cooke_triplet"), **given)


def test_a_field_without_a_chief_ray_says_where_it_ends():
    lens = stretched(wide_lens("wide_170_deg"), 1.2)
    with pytest.raises(InputError, match=r"no chief ray at radius 1 .*beyond, it "):
        aim_rays(lens, 1.0, math.inf, DISC)
