"""What drafts leave open."""

import math

import pytest

import optics
from optics.files.assembly import assemble
from optics.files.drafts import Aperture, Draft, DraftSurface, Fields
from optics.files.notices import Log
from optics.glass import AIR, ModelGlass
from psf.errors import InputError

GLASS = ModelGlass.from_numbers(1.5, 60)


TEN_DEG = Fields("angle_deg", ((0, 10),))


def draft(*, semi=None, clips=True, fields=TEN_DEG, **keys):
    surfaces = (
        DraftSurface(1, AIR, thickness_mm=1.0, semi_aperture_mm=3.0, stop=True),
        DraftSurface(2, GLASS, curvature_per_mm=0.02, thickness_mm=3.0, semi_aperture_mm=semi, clips=clips),
        DraftSurface(3, AIR, curvature_per_mm=-0.02, thickness_mm=48.0, semi_aperture_mm=8.0, clips=True),
    )
    return Draft(**{"surfaces": surfaces, "name": "lens/one two", "fields": fields} | keys)


def test_names_are_made_fit_for_files():
    assert assemble(draft(semi=5.0), Log("f")).name == "lens_one_two"


def test_rims_that_nobody_gives_hold_marginal_and_chief_ray():
    lens = assemble(draft(), Log("f"))
    # The stop is 1 mm in front: the chief ray of 10 degrees is at 0.176 mm there, the marginal ray at 3 mm.
    assert float(lens.surfaces[1].semi_aperture_mm) == pytest.approx(1.1 * (3 + math.tan(math.radians(10))))


def test_a_rim_beyond_the_end_of_its_conic_is_cut_and_told():
    log = Log("f")
    lens = assemble(draft(semi=60.0), log)
    assert float(lens.surfaces[1].semi_aperture_mm) == pytest.approx(50)
    assert any("where the surface ends" in one.text for one in log.notices())


def test_the_sensor_holds_the_largest_field():
    lens = assemble(draft(semi=5.0), Log("f"))
    efl_mm = float(optics.first_order(lens).efl_mm)
    assert lens.sensor.half_diagonal_mm == pytest.approx(efl_mm * math.tan(math.radians(10)))


def test_a_file_whose_only_field_is_the_axis_gets_a_small_picture():
    lens = assemble(draft(semi=5.0, fields=Fields(), image_semi_mm=0.003), Log("f"))
    assert lens.sensor.half_diagonal_mm == pytest.approx(0.1 * float(optics.first_order(lens).efl_mm))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"surfaces": ()}, "no surface"),
        ({"aperture": Aperture("f_number", 0.0, 4)}, "f:4"),
        ({"aperture": Aperture("object_na", 0.1, 4)}, "not far away"),
        ({"reference_um": 99.0}, "reference_wavelength"),
        ({"object_mm": 1e-9}, "focus_m"),
    ],
)
def test_drafts_that_make_no_lens(keys, said):
    with pytest.raises(InputError, match=said):
        assemble(draft(semi=5.0, **keys), Log("f"))
