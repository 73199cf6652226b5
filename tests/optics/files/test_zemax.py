"""Commands of .zmx: what each does to the lens, what is refused with its line, what a lenient reader says instead."""

from pathlib import Path

import pytest

import optics
from optics.files.opening import read_lens_bytes
from psf.errors import InputError

DATA = Path(__file__).parents[2] / "data" / "lens_files"
TRIPLET = (DATA / "triplet.zmx").read_text()


def read(text, **keys):
    return read_lens_bytes(text.encode(), "lens.zmx", **keys)


def changed(*pairs):
    text = TRIPLET
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def terms(shape):
    return {power: float(value) for power, value in zip(shape.powers, shape.coefficients, strict=True) if value}


def facts(name):
    return optics.first_order(read_lens_bytes((DATA / name).read_bytes(), name).lens)


def test_entrance_pupil_and_f_number_open_the_stop():
    assert float(facts("triplet.zmx").entrance_pupil_semi_diameter_mm) == pytest.approx(5, rel=1e-12)
    assert float(facts("f_number.zmx").f_number_infinity) == pytest.approx(5, rel=1e-12)


def test_an_object_aperture_fills_the_pupil_from_the_object():
    seen = facts("object_na.zmx")
    # sin u = 0.01 from an object 500 mm in front of the first vertex.
    distance_mm = 500 + float(seen.entrance_pupil_from_first_vertex_mm)
    assert float(seen.entrance_pupil_semi_diameter_mm) == pytest.approx(
        distance_mm * 0.01 / (1 - 1e-4) ** 0.5, rel=1e-12
    )


def test_float_by_stop_takes_the_stop_as_it_stands():
    lens = read_lens_bytes((DATA / "float_by_stop.zmx").read_bytes(), "a.zmx").lens
    assert float(lens.surfaces[3].semi_aperture_mm) == 3.9


def test_a_working_f_number_counts_the_object_distance():
    lens = read(changed(("ENPD 10", "FNUM 6 1"), ("DISZ INFINITY", "DISZ 200"))).lens
    assert float(optics.conjugate(lens, 0.2).working_f_number) == pytest.approx(6, rel=1e-12)
    assert lens.focus_m == 0.2


def test_a_small_fixed_stop_cuts_a_large_pupil_and_says_so():
    found = read(changed(("DIAM 4.4 0", "DIAM 2 1")))
    assert float(found.lens.surfaces[3].semi_aperture_mm) == 2
    assert any("the smaller one counts" in one.text for one in found.notices)


def test_inches_are_scaled_with_every_power():
    # a_4 = -2e-5 / mm^3 in a file that says inch.
    text = (DATA / "even_asphere.zmx").read_text().replace("UNIT MM", "UNIT IN")
    shape = read_lens_bytes(text.encode(), "a.zmx").lens.surfaces[1].shape
    assert float(shape.coefficients[1]) == pytest.approx(-2e-5 / 25.4**3, rel=1e-14)
    assert float(shape.curvature_per_mm) == pytest.approx(0.05 / 25.4, rel=1e-14)


def test_extended_and_even_aspheres_of_the_same_surface_are_the_same():
    shapes = [
        read_lens_bytes((DATA / name).read_bytes(), name).lens.surfaces[1].shape
        for name in ("even_asphere.zmx", "extended_asphere.zmx", "extended_polynomial.zmx")
    ]
    even, extended, polynomial = (terms(shape) for shape in shapes)
    assert even == {4: -2e-5, 6: 3e-8}
    assert extended == pytest.approx({**even, 20: 1e-22}, rel=1e-14)
    assert polynomial == {4: -2e-5}


def test_odd_and_extended_odd_aspheres_are_the_same():
    odd, extended = (
        read_lens_bytes((DATA / name).read_bytes(), name).lens.surfaces[1].shape
        for name in ("odd_asphere.zmx", "extended_odd_asphere.zmx")
    )
    terms = [{p: float(a) for p, a in zip(s.powers, s.coefficients, strict=True)} for s in (odd, extended)]
    assert terms == [{2: 1e-4, 3: 2e-5, 4: -2e-5}, {2: 1e-4, 3: 2e-5}]


def test_clear_apertures_come_before_semi_diameters():
    lens = read(changed(("CLAP 0 6 0", "CLAP 0 5.5 0"))).lens
    assert float(lens.surfaces[4].semi_aperture_mm) == 5.5


def test_semi_diameters_of_the_programs_own_making_are_a_guess():
    found = read_lens_bytes((DATA / "automatic_rims.zmx").read_bytes(), "a.zmx")
    assert sum("light outside is lost" in one.text for one in found.notices) == 5


def test_empty_planes_vanish_and_object_distances_count_on():
    text = (DATA / "empty_planes.zmx").read_text().replace("DISZ INFINITY", "DISZ 495")
    found = read_lens_bytes(text.encode(), "a.zmx")
    assert len(found.lens.surfaces) == 6
    assert found.lens.focus_m == 0.5
    assert any("distances count from the next surface" in one.text for one in found.notices)


def test_merit_function_tolerances_and_unknown_lines_behind_the_surfaces_are_told_together():
    found = read(TRIPLET + "OPXY 1 2 3\nOPXY 2 2 3\n")
    lines = [one for one in found.notices if one.text.startswith("OPXY")]
    assert len(lines) == 1
    assert lines[0].text.endswith("(2 lines)")
    assert lines[0].line == len(TRIPLET.splitlines()) + 1


def test_a_glass_that_is_picked_up_has_the_name_in_the_file():
    found = read_lens_bytes((DATA / "pickup_glass.zmx").read_bytes(), "a.zmx")
    assert found.lens.surfaces[4].medium.name == "schott/N-SK16"
    assert any("picked up from surface 1" in one.text for one in found.notices)


SURFACE = "SURF 2\n"
REFUSED = [
    (("TYPE STANDARD\n  CURV -0.0450167", "TYPE COORDBRK\n  CURV -0.0450167"), "54: .*COORDBRK"),
    (("TYPE STANDARD\n  CURV -0.0450167", "TYPE DGRATING\n  CURV -0.0450167"), "54: .*DGRATING"),
    (("TYPE STANDARD\n  CURV -0.0450167", "TYPE PARAXIAL\n  CURV -0.0450167"), "PARAXIAL"),
    (("  FLAP 0 6.5 0", "  SQAP 5 5"), "50: .*rectangular aperture"),
    (("  FLAP 0 6.5 0", "  ELAP 5 4"), "elliptical"),
    (("  FLAP 0 6.5 0", "  OBSC 0 2"), "central obscuration"),
    (("  FLAP 0 6.5 0", "  CLAP 1 6 0"), "a ring"),
    (("  FLAP 0 6.5 0", "  OBDC 0.5 0"), "off the axis"),
    (("  FLAP 0 6.5 0", "  SPID 0.1 3"), "spider"),
    (("  FLAP 0 6.5 0", "  IGNR 1"), "IGNR"),
    (("  FLAP 0 6.5 0", "  WXYZ 1"), "surface command 'WXYZ'"),
    (("  FLAP 0 6.5 0", "  FLAP 1 6.5 0"), "hole"),
    (("SURF 7\n  TYPE STANDARD\n  CURV 0.0", "SURF 7\n  TYPE STANDARD\n  CURV 0.01"), "curved image"),
    (("  STOP\n", ""), "no aperture stop"),
    (("SURF 3\n", "SURF 3\n  STOP\n"), "2 aperture stops"),
]
FAILED = [
    (("GLAS N-F2", "GLAS MIRROR"), "60: .*mirror"),
    (("GLAS N-F2", "GLAS NOGLASS9"), "60: .*unknown glass 'NOGLASS9'"),
    (("MODE SEQ", "MODE NSC"), "2: .*NSC"),
    (("UNIT MM", "UNIT PARSEC"), "5: .*PARSEC"),
    (("ENPD 10", "ENPD -1"), "6: .*positive"),
    (("ENPD 10", "ENPD wide"), "6: .*'wide'.*number"),
    (("DISZ 6.008", "DISZ nan"), "finite|number"),
    (("DISZ 6.008", "DISZ INFINITY"), "INFINITY"),
    (("DISZ 6.008", "DISZ -6"), r"lens\.zmx:44: surfaces\[1\]\.thickness"),
    (("SURF 5", "SURF 9"), "SURF 5: surfaces in their order"),
    (("DISZ 40.5", "DISZ 40.5\n  GLAS N-F2 0 0"), "air behind the last surface"),
    (("SURF 0\n  TYPE STANDARD", "SURF 0\n  GLAS N-F2\n  TYPE STANDARD"), "an object in air"),
    (("CURV 0.0493194", "CURV 1e300"), "surfaces"),
]


@pytest.mark.parametrize(("pair", "said"), REFUSED)
def test_what_bends_or_blocks_light_is_refused_with_its_line(pair, said):
    with pytest.raises(InputError, match=said) as caught:
        read(changed(pair))
    assert str(caught.value).startswith("lens.zmx")


@pytest.mark.parametrize(("pair", "said"), REFUSED)
def test_a_lenient_reader_leaves_it_out_and_says_so(pair, said):
    found = read(changed(pair), strict=False)
    assert [one for one in found.notices if one.kind == "dropped"]


@pytest.mark.parametrize(("pair", "said"), FAILED)
@pytest.mark.parametrize("strict", [True, False])
def test_what_makes_no_lens_is_an_error_for_everyone(pair, said, strict):
    with pytest.raises(InputError, match=said):
        read(changed(pair), strict=strict)


def test_an_empty_file_is_no_lens():
    with pytest.raises(InputError, match="0 surfaces"):
        read("")


GUESSED = [
    (("ENVD 2.0E+1 1 0", "ENVD 40 1 0"), "40 degrees"),
    (("VCYN 0 0 0", "VCYN 0 0 0.3"), "vignetting"),
    (("MNUM 1 1", "MNUM 4 2"), "4 configurations"),
    (("PWAV 2", "PWAV 9"), "primary wavelength 9 of 3"),
    (("FTYP 0 0 3 3 0 0 0\n", ""), "does not say how many"),
    (("ENPD 10\n", ""), "no pupil or f-number"),
    (("FTYP 0 0", "FTYP 0 1"), "telecentric"),
    (("ENPD 10", "ENPD 10\nFNUM 5 0"), "second statement"),
]


@pytest.mark.parametrize(("pair", "said"), GUESSED)
def test_what_the_file_leaves_open_is_told(pair, said):
    found = read(changed(pair))
    assert any(said in one.text for one in found.notices if one.kind == "guessed"), found.notices
