"""The tables of a report: numbers that are known elsewhere, with their units."""

import math

import pytest

import optics
from optics.analysis import find_spots
from optics.report_tables import (
    describe_conjugates,
    describe_depth_of_field,
    describe_first_order,
    describe_prescription,
    describe_provenance,
    describe_spots,
)


@pytest.fixture(scope="module")
def phone():
    return optics.load("f2.2_fixedfocus")


def test_first_order_table_has_the_designs_numbers(phone):
    rows = dict(row for table in describe_first_order(phone) for row in table.rows)
    assert rows["Focal length"] == "3.2781 mm"  # 3.28 in the patent
    assert rows["f-number at infinity"] == "f/2.200"
    assert rows["Sensor"] == "4032 x 3024 px of 1.16 um"
    assert rows["Chief ray to the corner, object side"].startswith("40.8")


def test_conjugates_of_infinity_have_no_magnification(phone):
    table = describe_conjugates(phone, (math.inf, 0.5))
    assert table.rows[0][0] == "infinity"
    assert float(table.rows[0][3]) == 0
    assert float(table.rows[1][3]) == pytest.approx(-3.278e-3 / 0.5, rel=0.02)


def test_prescription_lists_every_surface_term_and_medium(phone):
    surfaces, terms, indices = describe_prescription(phone)
    assert len(surfaces.rows) == 15
    assert surfaces.rows[0][0] == "1 stop"
    assert surfaces.rows[1][2:4] == ("5.36700", "-39.156")
    assert terms.rows[0][0] == "2"
    assert float(terms.rows[0][1]) == -0.10152  # the r^4 term of the patent
    media = {row[0]: row for row in indices.rows}
    assert float(media["1.53500/55.70"][2]) == 1.535
    assert float(media["1.53500/55.70"][-1]) == pytest.approx(55.7, abs=0.02)


def test_depths_of_field_and_spots_have_a_column_per_height(phone):
    line = optics.LINE_CHANNELS[1:2]
    table = describe_depth_of_field(phone, (0.0,), (10.0,))
    assert table.rows[0][0] == "10.00 um = 8.6 px"
    assert table.rows[0][2].endswith("to infinity")
    spots = describe_spots(phone, find_spots(phone, (0.0, 0.5), (math.inf,), line, rings=1))
    assert len(spots.head) == len(spots.rows[0]) == 3
    assert "um" in spots.rows[0][1]


def test_provenance_tells_file_hash_version_and_source(phone):
    rows = dict(describe_provenance(phone, phone.channels).rows)
    assert rows["File, SHA-256"] == phone.file_sha256
    assert len(phone.file_sha256) == 64
    assert "psfield" in rows["Made by"]
    assert "9,651,759" in rows["Source"]
    assert "{" not in rows["Source"]
    assert rows["Channel G"].startswith("500.0 nm (25 %)")
