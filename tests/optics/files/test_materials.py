"""Where glasses come from, in which order, and when that is told."""

from pathlib import Path

import pytest

from optics.files.agf import parse_agf, read_catalogues
from optics.files.materials import Shelf, decode_mil, find_hyphenless, make_model, merge_catalogues
from optics.files.notices import Log
from optics.glass import AIR, ConstantIndex, ModelGlass
from psf.errors import InputError

DATA = Path(__file__).parents[2] / "data" / "lens_files"


def find(shelf, name):
    log = Log("f")
    return shelf.find(name, 7, log), log.notices()


def test_catalogues_that_the_file_names_come_first_and_in_order():
    medium, told = find(Shelf(("HIKARI", "SCHOTT")), "F2")
    assert (medium.name, told) == ("hikari/F2", ())
    medium, told = find(Shelf(("SCHOTT", "HIKARI")), "f2")
    assert (medium.name, told) == ("schott/F2", ())


def test_another_catalogue_is_told_with_the_line():
    medium, told = find(Shelf(("OHARA",)), "N-BK7")
    assert medium.name == "schott/N-BK7"
    assert [(one.kind, one.line) for one in told] == [("fallback", 7)]
    assert "not in OHARA" in told[0].text
    assert "names no catalogue" in find(Shelf(), "N-BK7")[1][0].text


def test_the_callers_catalogue_replaces_the_bundled_one_of_its_name():
    own = parse_agf(b"NM N-BK7 1 0 1.5 50\nCD 2.25 0 0 0 0 0\n", "schott.agf")
    medium, told = find(Shelf(("SCHOTT",), (own,)), "N-BK7")
    assert medium.name == "schott/N-BK7"
    assert float(medium.power_coefficients[0]) == 2.25
    assert told == ()


def test_a_glass_that_nobody_has_is_an_error_with_names_that_are_close():
    with pytest.raises(InputError, match=r"f:7: .*'N-BK77'.*N-BK7"):
        find(Shelf(("SCHOTT",)), "N-BK77")


def test_model_glasses_and_codes():
    log = Log("f")
    assert make_model(1.0, 0.0, 1, log) is AIR
    assert isinstance(make_model(1.4, 0.0, 1, log), ConstantIndex)
    assert isinstance(make_model(1.5, 60.0, 1, log), ModelGlass)
    assert [float(v) for v in decode_mil("517642", 1, log).parameters().values()] == [1.517, 64.2]
    with pytest.raises(InputError, match="f:1"):
        make_model(9.0, 60.0, 1, log)


def test_names_without_hyphens_are_found():
    assert find_hyphenless("NBK7", "schott").name == "schott/N-BK7"
    assert find_hyphenless("NBK99", "schott") is None


def test_the_first_catalogue_of_a_name_counts():
    own = read_catalogues([DATA / "own.agf"])
    other = parse_agf(b"NM A 1\nCD 2 0 0 0 0 0\n", "OWN.agf")
    assert merge_catalogues(own, [other]) == own
