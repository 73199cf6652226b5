"""CODE V sequence files: one doublet in three guises, private glasses, and what is refused with its line."""

from pathlib import Path

import pytest
import torch

import optics
from optics.files.opening import read_lens_bytes
from psf.errors import InputError

DATA = Path(__file__).parents[2] / "data" / "lens_files"
DOUBLET = (DATA / "doublet.seq").read_text()


def read(text, **keys):
    return read_lens_bytes(text.encode(), "lens.seq", **keys)


def test_radii_curvatures_and_centimetres_are_the_same_lens():
    names = ("doublet", "curvatures", "centimetres")
    lenses = [read_lens_bytes((DATA / f"{name}.seq").read_bytes(), "a.seq").lens for name in names]
    for other in lenses[1:]:
        for name, value in lenses[0].parameters().items():
            assert torch.allclose(value, other.parameters()[name], rtol=1e-13, atol=0), name


def test_the_numbers_of_the_doublet_are_those_of_the_file():
    found = read(DOUBLET)
    lens = found.lens
    assert [float(1 / s.shape.curvature_per_mm) for s in lens.surfaces] == pytest.approx([61.47, -44.64, -129.94])
    # The defocus of SI belongs to the last distance.
    assert [float(s.thickness_mm) for s in lens.surfaces] == [6.0, 2.5, 95.95 - 0.05]
    assert lens.surfaces[0].medium.name == "schott/N-BK7"
    assert [float(v) for v in lens.surfaces[1].medium.parameters().values()] == pytest.approx([1.648, 33.9])
    assert float(optics.first_order(lens).entrance_pupil_semi_diameter_mm) == pytest.approx(10)
    assert found.wavelengths_um == pytest.approx((0.6562725, 0.5875618, 0.4861327))
    assert lens.reference_wavelength_um == pytest.approx(0.5875618)
    assert found.fields.points == ((0, 0), (0, 2))
    assert lens.title == "Doublet of own making"


def test_private_glasses_are_splines_through_their_indices():
    found = read_lens_bytes((DATA / "private.seq").read_bytes(), "a.seq")
    medium = found.lens.surfaces[0].medium
    index = medium.index(torch.tensor([0.5876, 0.6563, 0.4861], dtype=torch.float64))
    assert float(index[0]) == pytest.approx(1.53116, abs=1e-12)
    assert 1.527 < float(index[1]) < 1.5286
    assert float(index[2]) == pytest.approx(1.5378, abs=1e-12)
    shape = found.lens.surfaces[0].shape
    assert {p: float(a) for p, a in zip(shape.powers, shape.coefficients, strict=True) if a} == {
        4: -0.158e-4,
        6: -0.277e-6,
    }
    assert found.lens.focus_m == 1.0
    assert any("COEFF" in one.text for one in found.notices)


def test_commands_with_the_number_of_a_surface_work_on_that_one():
    lens = read_lens_bytes((DATA / "commands.seq").read_bytes(), "a.seq").lens
    assert [float(s.shape.vertex_curvature_per_mm) * 25.4 for s in lens.surfaces] == pytest.approx([0, 1 / 1.2, -0.5])
    assert [float(s.thickness_mm) / 25.4 for s in lens.surfaces] == pytest.approx([0.1, 0.2, 1.4])
    assert lens.surfaces[1].medium.name == "schott/N-SF5"
    assert lens.stop_surface == 1


REFUSED = [
    (("  STO\n", "  STO\n  XDE 0.1\n"), "18: .*decentre"),
    (("  STO\n", "  STO\n  ADE 5\n"), "tilt"),
    (("  STO\n", "  STO\n  BEN\n"), "bend"),
    (("  STO\n", "  STO\n  DIF DOE\n"), "diffractive"),
    (("  STO\n", "  STO\n  GRT\n"), "grating"),
    (("  STO\n", "  STO\n  SPS XYP\n"), "special surface"),
    (("  STO\n", "  STO\n  YTO\n"), "toroid"),
    (("  STO\n", "  STO\n  REX 3\n"), "rectangular"),
    (("  STO\n", "  STO\n  CIR OBS 3\n"), "CIR OBS"),
    (("  STO\n", "  STO\n  QQQ 3\n"), "command 'QQQ'"),
    (("NBK7_SCHOTT", "NBK7_SCHOTT 5 6"), "behind the glass"),
    (("  STO\n", ""), "no aperture stop"),
]
FAILED = [
    (("648.339", "REFL"), "22: .*mirror"),
    (("648.339", "NOGLASS9"), "22: .*unknown glass"),
    (("SI    0.0 -0.05\n", ""), "SO, at least one S, SI"),
    (("SO    0.0 0.1e14\n", ""), "SO, the object"),
    (("61.47", "sixty"), "'sixty'"),
    (("EPD   20.0", "EPD"), "without a number"),
    (("DIM   M", "DIM  X"), "the unit"),
    (("  STO\n", "  STO\n  THI S9 3\n"), "surface 9"),
    (("XAN   0.0", "AFO\nXAN 0.0"), "afocal"),
]


@pytest.mark.parametrize(("pair", "said"), REFUSED)
def test_what_bends_or_blocks_light_is_refused_or_left_out_and_told(pair, said):
    assert pair[0] in DOUBLET
    text = DOUBLET.replace(pair[0], pair[1], 1)
    with pytest.raises(InputError, match=said):
        read(text)
    assert [one for one in read(text, strict=False).notices if one.kind == "dropped"]


@pytest.mark.parametrize(("pair", "said"), FAILED)
def test_what_makes_no_lens_is_an_error_for_everyone(pair, said):
    assert pair[0] in DOUBLET
    with pytest.raises(InputError, match=said):
        read(DOUBLET.replace(pair[0], pair[1], 1), strict=False)


def test_the_paraxial_image_is_where_code_v_put_it():
    # Edmund Optics 32327, whose file says PIM: CODE V solved this last distance for the paraxial image at 587.6 nm.
    text = DOUBLET.replace("EPD   20.0", "EPD 24.0").replace("WL    656.2725 587.5618 486.1327", "WL 587.6")
    text = text.replace("REF   2", "REF 1").replace("648.339", "NSF5_SCHOTT").replace("61.47", "61.46999999999995")
    text = text.replace("-44.64", "-44.63999999999994").replace("-129.94", "-129.9400000000001")
    text = text.replace("   95.95", "   95.95194415183156").replace("0.0 -0.05", "0.0 0.0")
    facts = optics.first_order(read(text).lens)
    assert float(facts.paraxial_defocus_of_image_plane_mm) == pytest.approx(0, abs=1e-10)
    assert float(facts.efl_mm) == pytest.approx(100, abs=0.05)
