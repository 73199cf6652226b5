"""AGF catalogues: every formula number, glasses that are broken, folders."""

from pathlib import Path

import pytest
import torch

from optics.files.agf import parse_agf, read_catalogues
from optics.formulas import AGF_FORMULAS
from psf.errors import InputError

DATA = Path(__file__).parents[2] / "data" / "lens_files"
D = torch.tensor([0.5875618], dtype=torch.float64)


def test_a_catalogue_is_read_with_ranges_and_name():
    catalogue = read_catalogues([DATA / "own.agf"])[0]
    assert catalogue.name == "own"
    glass = catalogue.find("myglass")
    assert glass.range_um == (0.31, 2.5)
    assert float(glass.index(D)) == pytest.approx(1.62041, abs=2e-5)
    assert float(catalogue.find("MYFLINT").index(D)) == pytest.approx(1.62, abs=2e-2)
    assert catalogue.find("nothing") is None


def test_a_broken_glass_is_an_error_only_when_it_is_asked_for():
    catalogue = read_catalogues([DATA])[0]
    with pytest.raises(InputError, match=r"own\.agf:\d+: .*formula 77"):
        catalogue.find("BROKEN")


# n at 0.5 um by the formulas of the manual, written out.
L = 0.5
EXPECTED = {
    1: (2.2 - 0.01 * L**2 + 0.01 / L**2) ** 0.5,
    2: (1 + 2.2 * L**2 / (L**2 + 0.01) + 0.01 * L**2 / (L**2 - 0.0)) ** 0.5,
    3: 2.2 - 0.01 / (L**2 - 0.028) + 0.01 / (L**2 - 0.028) ** 2,
    4: (1 + 2.2 - 0.01 * L**2 / (L**2 - 0.01**2)) ** 0.5,
    5: 2.2 - 0.01 / L + 0.01 / L**3.5,
    6: (1 + 2.2 * L**2 / (L**2 + 0.01) + 0.01 * L**2 / (L**2 - 0.0)) ** 0.5,
    7: (2.2 - 0.01 / (L**2 - 0.01)) ** 0.5,
    8: (2.2 - 0.01 * L**2 / (L**2 - 0.01)) ** 0.5,
    9: (2.2 - 0.01 * L**2 / (L**2 - 0.01)) ** 0.5,
    10: (2.2 - 0.01 * L**2 + 0.01 / L**2) ** 0.5,
    11: (1 + 2.2 * L**2 / (L**2 + 0.01) + 0.01 * L**2 / (L**2 - 0.0)) ** 0.5,
    12: (2.2 - 0.01 * L**2 + 0.01 / L**2) ** 0.5,
    13: (2.2 - 0.01 * L**2 + 0.01 * L**4) ** 0.5,
}


@pytest.mark.parametrize("number", sorted(AGF_FORMULAS))
def test_every_formula_number_is_the_formula_of_the_manual(number):
    text = f"NM G {number} 0 1.5 50\nCD 2.2 -0.01 0.01 0 0 0 0 0 0 0\nLD 0.3 2\nIT 0.3 0.5 10\n"
    index = parse_agf(text.encode(), "c.agf").find("G").index(torch.tensor([L], dtype=torch.float64))
    assert float(index) == pytest.approx(EXPECTED[number], rel=1e-14)


def test_utf16_and_short_coefficient_lines_are_read():
    text = "\ufeffNM G 1 0 1.5 50\r\nCD 2.25\r\n"
    assert float(parse_agf(text.encode("utf-16-le"), "c.agf").find("G").index(D)) == 1.5


def test_what_is_no_catalogue_is_refused(tmp_path):
    with pytest.raises(InputError, match="no line NM"):
        parse_agf(b"hello", "c.agf")
    with pytest.raises(InputError, match="folder of glass catalogues"):
        read_catalogues([tmp_path])
    with pytest.raises(FileNotFoundError, match=r"none\.agf"):
        read_catalogues([tmp_path / "none.agf"])
