"""Looking glasses up, and the catalogue against what makers print."""

import gzip
import json
from collections import Counter

import pytest
import torch

import lenses
from optics.catalogue import CATALOGUES, find_glass, list_glasses
from optics.glass import AIR, FormulaIndex, ModelGlass, measure_nd_vd
from psf.errors import InputError

# nd and Vd of the makers' data sheets and catalogues, as printed.
PRINTED = [
    ("schott/N-BK7", 1.51680, 64.17),
    ("schott/N-SF11", 1.78472, 25.68),
    ("schott/F2", 1.62004, 36.37),
    ("schott/N-LAK22", 1.65113, 55.89),
    ("schott/N-SK16", 1.62041, 60.32),
    ("ohara/S-FPL51", 1.49700, 81.55),
    ("ohara/S-BSL7", 1.51633, 64.14),
    ("ohara/S-TIH6", 1.80518, 25.42),
    ("ohara/S-LAH55V", 1.83481, 42.73),
    ("hoya/TAC8", 1.72916, 54.67),
    ("hoya/FCD1", 1.49700, 81.61),
    ("cdgm/H-ZK9A", 1.62041, 60.37),
    ("cdgm/H-K9L", 1.51680, 64.20),
    ("hikari/J-LAK7", 1.65160, 58.57),
    ("hikari/E-FKH1", 1.49782, 82.52),
    ("hoya/M-PCD51", 1.59201, 67.02),
    ("sumita/K-PSFn2(M)", 1.99670, 20.6),
]


def stored() -> dict[str, list]:
    with gzip.open(lenses.DIRECTORY / "glass_catalogue.json.gz", "rt", encoding="utf-8") as file:
        return json.load(file)["glasses"]


def plastics() -> dict[str, dict]:
    return json.loads((lenses.DIRECTORY / "plastics.json").read_text(encoding="utf-8"))["media"]


@pytest.mark.parametrize(("name", "nd", "vd"), PRINTED, ids=[name for name, _, _ in PRINTED])
def test_glass_has_the_nd_and_vd_that_its_maker_prints(name, nd, vd):
    measured_nd, measured_vd = measure_nd_vd(find_glass(name))
    assert float(measured_nd) == pytest.approx(nd, abs=1.1e-5)  # printed to five digits
    assert float(measured_vd) == pytest.approx(vd, abs=0.05)  # printed to two digits, Sumita to one


def test_formula_of_every_glass_agrees_with_the_nd_and_vd_stored_beside_it():
    rows = {key: row for key, row in stored().items() if row[3] is not None}
    assert len(rows) > 1600
    wrong = {}
    for key, (*_, nd, vd) in rows.items():
        measured_nd, measured_vd = map(float, measure_nd_vd(find_glass(key)))
        if abs(measured_nd - nd) > 5e-5 or abs(measured_vd / vd - 1) > 0.005:
            wrong[key] = measured_nd - nd, measured_vd - vd
    # The one that README.md names: its formula and its sheet differ.
    assert list(wrong) == ["schott/BOROFLOAT33"]


def test_index_of_every_catalogue_glass_falls_and_stays_physical_over_its_range():
    for key in list_glasses():
        glass = find_glass(key)
        index = glass.index(torch.linspace(*glass.range_um, 50, dtype=torch.float64))
        assert bool((index.diff() < 0).all()), key
        assert 1.2 < float(index[-1]) <= float(index[0]) < 3.5, key


def test_catalogue_is_small_and_holds_the_promised_makers():
    assert (lenses.DIRECTORY / "glass_catalogue.json.gz").stat().st_size < 100_000
    counts = Counter(key.partition("/")[0] for key in stored())
    assert counts == {"schott": 169, "ohara": 410, "hoya": 190, "cdgm": 314, "hikari": 375, "sumita": 176}


@pytest.mark.parametrize("name", ["N-BK7", "n-bk7", " N-BK7 ", "schott/N-BK7", "SCHOTT/n-bk7"])
def test_name_may_have_its_maker_and_any_capitals(name):
    assert find_glass(name).name == "schott/N-BK7"


def test_bare_name_of_two_makers_goes_by_the_order_of_the_catalogues():
    assert find_glass("F2").name == "schott/F2"
    assert find_glass("F2", ("hikari", "schott")).name == "hikari/F2"
    assert find_glass("hikari/F2").name == "hikari/F2"
    bare = Counter(key.partition("/")[2].casefold() for key in stored())
    assert sum(count > 1 for count in bare.values()) == 28


def test_model_glass_and_air_are_names_too():
    model = find_glass("1.53500/55.70")
    assert isinstance(model, ModelGlass)
    assert (float(model.nd), float(model.vd), model.name) == (1.535, 55.7, "1.53500/55.70")
    assert find_glass("AIR") is AIR


def test_found_glass_is_new_each_time_so_that_no_gradient_leaks():
    first = find_glass("N-BK7")
    assert isinstance(first, FormulaIndex)
    first.pole_coefficients.requires_grad_()
    assert not find_glass("N-BK7").parameters()["pole_coefficients"].requires_grad


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("N-BK8", "unknown glass 'N-BK8'.*close: schott/N-BK7"),
        ("schott/S-FPL51", "unknown glass 'schott/S-FPL51', expected a glass of schott"),
        ("zeiss/N-BK7", "a maker before the stroke"),
        ("", "unknown glass ''"),
        ("0.9/20.0", "nd: found 0.9"),
        ("1.5/0", "vd: found 0.0"),
        (None, "found None"),
        ("xyzzy", "unknown glass 'xyzzy'"),
    ],
)
def test_unknown_glass_is_refused_with_names_that_are_close(name, words):
    with pytest.raises(InputError, match=words) as caught:
        find_glass(name, where="lens.json: surfaces[2].medium_after")
    assert str(caught.value).startswith("lens.json: surfaces[2].medium_after")
    assert "\n" not in str(caught.value)


def test_unknown_catalogue_is_refused():
    with pytest.raises(InputError, match="catalogues: found 'zeiss'"):
        find_glass("N-BK7", ("zeiss",))
    with pytest.raises(InputError, match="catalogues: found 'zeiss'"):
        list_glasses(("schott", "zeiss"))


@pytest.mark.parametrize("name", list(plastics()))
def test_plastic_names_its_source_and_range_and_meets_the_stated_nd_and_vd(name):
    entry = plastics()[name]
    assert entry["source"]
    assert entry["range_source"]
    assert entry["material"]
    medium = find_glass(name)
    assert medium.name == f"plastics/{name}"
    assert medium.range_um == tuple(entry["range_um"])
    if "stated_nd_vd" in entry:
        nd, vd = map(float, measure_nd_vd(medium))
        assert nd == pytest.approx(entry["stated_nd_vd"][0], abs=1e-3)  # OKP's sheet has three digits
        assert vd == pytest.approx(entry["stated_nd_vd"][1], rel=0.015)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("PC", "POLYCARB"),
        ("ps", "POLYSTYR"),
        ("OKP-4HT", "OKP4HT"),
        ("E48R", "ZEONEX-E48R"),
        ("plastics/EP-8000", "EP8000"),
    ],
)
def test_plastic_is_found_by_its_other_names(alias, name):
    assert find_glass(alias).name == f"plastics/{name}"


def test_no_name_of_a_plastic_hides_behind_a_glass():
    glasses = {key.partition("/")[2].casefold() for key in stored()}
    names = [alias.casefold() for name, entry in plastics().items() for alias in (name, *entry.get("aliases", []))]
    assert not glasses & set(names)
    assert len(names) == len(set(names))


def test_list_of_glasses_is_complete_and_every_one_is_found():
    names = list_glasses()
    assert len(names) == len(stored()) + len(plastics())
    assert {name.partition("/")[0] for name in names} == set(CATALOGUES)


# Both sides read the makers' files, but not always of the same year: CDGM and Sumita have refitted in between.
OPTICALGLASS = [
    ("schott", "Schott", 100, 1e-9),
    ("ohara", "Ohara", 100, 1e-9),
    ("hoya", "Hoya", 150, 1e-9),
    ("hikari", "Hikari", 100, 1e-9),
    ("cdgm", "CDGM", 200, 5e-5),
    ("sumita", "Sumita", 100, 1e-4),
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("maker", "catalogue", "at_least", "tolerance"), OPTICALGLASS, ids=[m for m, *_ in OPTICALGLASS]
)
def test_catalogue_agrees_with_opticalglass_where_that_is_installed(maker, catalogue, at_least, tolerance):
    pytest.importorskip("opticalglass", exc_type=ImportError)
    glassfactory = pytest.importorskip("opticalglass.glassfactory", exc_type=ImportError)
    glasserror = pytest.importorskip("opticalglass.glasserror", exc_type=ImportError)
    lines_nm = [486.1327, 587.5618, 656.2725]
    off = {}
    for key in list_glasses((maker,)):
        try:
            other = glassfactory.create_glass(key.partition("/")[2], catalogue)
        except glasserror.GlassError:
            continue  # one of us has glasses that the other has not
        index = find_glass(key).index(1e-3 * torch.tensor(lines_nm, dtype=torch.float64)).tolist()
        off[key] = max(abs(float(other.rindex(nm)) - own) for nm, own in zip(lines_nm, index, strict=True))
    assert len(off) >= at_least
    # K-GIR79: the two sources contradict each other by 3e-3; ours agrees with the nd stated beside it, 1.85588.
    assert {key for key, error in off.items() if error > tolerance} <= {"sumita/K-GIR79"}
