"""Writing .zmx: every bundled lens comes back to the last bit, by its numbers and by the rays that go through it."""

import math
from dataclasses import replace

import pytest
import torch

import optics
from optics.files.agf import parse_agf
from optics.files.opening import read_lens_file
from optics.files.zemax_writer import find_agf_formula, write_zmx
from psf import Channel
from psf.errors import InputError

F64 = torch.float64
WAVES_UM = torch.tensor([0.4358, 0.4861, 0.5461, 0.5876, 0.6563, 0.7065], dtype=F64)


def terms(shape):
    pairs = zip(shape.powers, shape.coefficients, strict=True) if hasattr(shape, "powers") else ()
    return {power: float(value) for power, value in pairs if value}


def assert_same_optics(a, b):
    for one, other in zip(a.surfaces, b.surfaces, strict=True):
        assert terms(one.shape) == terms(other.shape)
        for name in ("curvature_per_mm", "conic_k"):
            assert float(getattr(one.shape.packed(), name)) == float(getattr(other.shape.packed(), name))
        assert torch.equal(one.thickness_mm, other.thickness_mm)
        assert torch.equal(one.semi_aperture_mm, other.semi_aperture_mm)
        assert torch.equal(one.medium.index(WAVES_UM), other.medium.index(WAVES_UM))
        assert one.medium.name == other.medium.name


def rays(lens):
    generator = torch.Generator().manual_seed(3)
    radius = float(lens.surfaces[0].semi_aperture_mm)
    # Many near the axis: of a wide lens only those come through.
    xy = (2 * torch.rand(200, 2, generator=generator, dtype=F64) - 1) ** 3 * radius
    tilt = (2 * torch.rand(200, 2, generator=generator, dtype=F64) - 1) * 0.2
    direction = torch.cat([tilt, torch.ones(200, 1, dtype=F64)], dim=1)
    direction = direction / direction.norm(dim=1, keepdim=True)
    position = torch.cat([xy, torch.full((200, 1), -5.0, dtype=F64)], dim=1)
    return optics.Rays(position, direction, torch.tensor(0.55, dtype=F64))


@pytest.mark.parametrize("name", optics.bundled())
def test_a_lens_comes_back_from_zmx_to_the_last_bit(name, tmp_path):
    lens = optics.load(name)
    lost = write_zmx(lens, tmp_path / f"{name}.zmx")
    found = read_lens_file(tmp_path / f"{name}.zmx")
    again = found.lens
    assert_same_optics(lens, again)
    for key in (
        "name",
        "title",
        "stop_surface",
        "sensor",
        "channels",
        "focus_m",
        "nearest_m",
        "reference_wavelength_um",
    ):
        assert getattr(lens, key) == getattr(again, key), key
    assert dict(lens.source) == dict(again.source)
    assert any("NOTE lines" in one.text for one in lost)
    assert not [one for one in found.notices if one.kind != "skipped"]
    # And once more through our own format, as JSON -> .zmx -> JSON.
    assert optics.to_json(optics.from_json(optics.to_json(again)))["surfaces"] == optics.to_json(again)["surfaces"]
    before, after = optics.trace(lens, rays(lens)), optics.trace(again, rays(lens))
    assert torch.equal(before.alive, after.alive)
    assert bool(before.alive.any())
    assert torch.equal(before.position_mm[before.alive], after.position_mm[after.alive])


def test_a_lens_that_was_changed_elsewhere_comes_back_changed(tmp_path):
    place = tmp_path / "lens.zmx"
    write_zmx(optics.load("cooke_triplet"), place)
    old = float(optics.load("cooke_triplet").surfaces[0].thickness_mm)
    text = place.read_text().replace(f"DISZ {old!r}", "DISZ 3.5").replace("DISZ INFINITY", "DISZ 750")
    place.write_text(text)
    lens = read_lens_file(place).lens
    assert float(lens.surfaces[0].thickness_mm) == 3.5
    assert lens.focus_m == 0.75


def test_catalogue_glasses_go_by_their_names_and_others_to_a_catalogue_beside(tmp_path):
    lens = optics.load("double_gauss_jp1987087922")
    media = [optics.find_glass("schott/N-BK7"), optics.find_glass("ohara/S-LAH79"), optics.find_glass("plastics/OKP4")]
    places = [i for i, s in enumerate(lens.surfaces) if s.medium.name != "air"][:3]
    surfaces = list(lens.surfaces)
    for place, medium in zip(places, media, strict=True):
        surfaces[place] = replace(surfaces[place], medium=medium)
    lens = replace(lens, surfaces=tuple(surfaces))
    write_zmx(lens, tmp_path / "mixed.zmx")
    text = (tmp_path / "mixed.zmx").read_text()
    assert "GCAT SCHOTT OHARA MIXED\n" in text
    assert "GLAS N-BK7 0 0" in text
    catalogue = parse_agf((tmp_path / "mixed.agf").read_bytes(), "mixed.agf")
    index = catalogue.find("OKP4").index(WAVES_UM)
    assert float((index - media[2].index(WAVES_UM)).abs().max()) < 1e-14
    again = read_lens_file(tmp_path / "mixed.zmx").lens
    assert again.surfaces[places[0]].medium.name == "schott/N-BK7"
    assert torch.equal(again.surfaces[places[2]].medium.index(WAVES_UM), media[2].index(WAVES_UM))


def test_focus_channels_and_shapes_of_every_kind_come_back(tmp_path):
    lens = optics.load("cooke_triplet").refocused(0.7)
    shape = optics.PolynomialAsphere(0.04, -0.3, torch.tensor([1e-5, 1e-9, 1e-15], dtype=F64), (3, 9, 12))
    high = optics.EvenAsphere(0.01, 0.0, torch.tensor([0.0, *[1e-6 / 10**i for i in range(9)]], dtype=F64))
    surfaces = list(lens.surfaces)
    surfaces[0], surfaces[4] = replace(surfaces[0], shape=shape), replace(surfaces[4], shape=high)
    channels = (Channel("X", (0.5, 0.6), (1.0, 0.25)), Channel("Y", (0.6, 0.61), (0.3, 0.7)))
    lens = replace(lens, surfaces=tuple(surfaces), channels=channels, reference_wavelength_um=0.555, title="two  words")
    write_zmx(lens, tmp_path / "lens.zmx")
    again = read_lens_file(tmp_path / "lens.zmx").lens
    assert_same_optics(lens, again)
    assert (again.channels, again.focus_m, again.title) == (channels, 0.7, "two  words")
    assert again.reference_wavelength_um == 0.555
    text = (tmp_path / "lens.zmx").read_text()
    assert "TYPE XOSPHERE" in text
    assert "TYPE XASPHERE" in text


@pytest.mark.parametrize(
    "key", ["N-BK7", "ohara/S-FPL53", "hikari/J-LAK7", "plastics/OKP4", "cdgm/H-ZK9A", "sumita/K-PBK40"]
)
def test_a_formula_of_agf_is_the_same_sum(key):
    medium = optics.find_glass(key)
    formula, coefficients = find_agf_formula(medium)
    text = f"NM G {formula}\nCD " + " ".join(map(repr, coefficients))
    again = parse_agf(text.encode(), "c.agf").find("g")
    assert float((again.index(WAVES_UM) - medium.index(WAVES_UM)).abs().max()) < 1e-14


def test_a_table_of_indices_is_lost_to_other_programs_but_not_to_us(tmp_path):
    lens = optics.load("singlet_biconvex_nbk7")
    glass = optics.TabulatedIndex(
        "table", torch.tensor([0.4, 0.5, 0.6, 0.7], dtype=F64), torch.tensor([1.53, 1.52, 1.516, 1.513], dtype=F64)
    )
    place = next(i for i, s in enumerate(lens.surfaces) if s.medium.name != "air")
    surfaces = list(lens.surfaces)
    surfaces[place] = replace(surfaces[place], medium=glass)
    lost = write_zmx(replace(lens, surfaces=tuple(surfaces)), tmp_path / "lens.zmx")
    assert any("glass table" in one.text for one in lost)
    assert not (tmp_path / "lens.agf").exists()
    again = read_lens_file(tmp_path / "lens.zmx").lens
    inside = torch.tensor([0.45, 0.55, 0.65], dtype=F64)
    assert torch.equal(again.surfaces[place].medium.index(inside), glass.index(inside))


def test_only_zmx_in_a_folder_that_is_there_is_written(tmp_path):
    lens = optics.load("cooke_triplet")
    with pytest.raises(InputError, match="suffix"):
        write_zmx(lens, tmp_path / "lens.txt")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        write_zmx(lens, tmp_path / "no" / "lens.zmx")
    assert math.isinf(lens.focus_m)
