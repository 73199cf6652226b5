"""Dispersion: formulas against the numbers of others, gradients, ranges, and media of lens files."""

import json
import math

import pytest
import torch

import lenses
from optics.formulas import AGF_FORMULAS, FORMULAS
from optics.glass import (
    AIR,
    ConstantIndex,
    FormulaIndex,
    Medium,
    ModelGlass,
    TabulatedIndex,
    check_range,
    measure_nd_vd,
    medium_from_entry,
)
from psf.errors import InputError

F64 = torch.float64
LINES_UM = torch.tensor([0.4861327, 0.5875618, 0.6562725], dtype=F64)
N_BK7 = [1.03961212, 0.00600069867, 0.231792344, 0.0200179144, 1.01046945, 103.560653]

ENTRIES = [
    (path.stem, name, entry)
    for path in sorted(lenses.DIRECTORY.glob("*.json"))
    for name, entry in json.loads(path.read_text(encoding="utf-8"))["media"].items()
]


def bk7() -> FormulaIndex:
    return FormulaIndex.from_coefficients("sellmeier1", N_BK7, name="N-BK7", range_um=(0.3, 2.5))


@pytest.mark.parametrize(("file", "name", "entry"), ENTRIES, ids=[f"{file}-{name}" for file, name, _ in ENTRIES])
def test_medium_of_a_bundled_file_has_the_index_that_the_file_lists(file, name, entry):
    medium = medium_from_entry(name, entry, file)
    for line_nm, index in entry["index_at_nm"].items():
        assert float(medium.index(torch.tensor(1e-3 * float(line_nm), dtype=F64))) == pytest.approx(index, abs=1e-9)


def test_sellmeier_of_bk7_gives_the_indices_of_the_makers_sheet():
    # Schott's data sheet of N-BK7: i, h, F', e, C', r, s and 1060.0 nm, to five or six digits.
    wavelengths_um = torch.tensor([0.3650, 0.4047, 0.4799914, 0.546074, 0.6438469, 0.7065, 0.8521, 1.06], dtype=F64)
    sheet = torch.tensor([1.53627, 1.53024, 1.52283, 1.51872, 1.51472, 1.51289, 1.50980, 1.50669], dtype=F64)
    assert (bk7().index(wavelengths_um) - sheet).abs().max() < 1e-5


def reference_index(formula: str, c: list[float], w: float) -> float:
    """The formulas one by one as Zemax's manual and refractiveindex.info print them: the slow twin of the one sum."""
    pairs = list(zip(c[0::2], c[1::2], strict=False))
    offset_pairs = list(zip(c[1::2], c[2::2], strict=True)) if len(c) % 2 else []
    h = 1 / (w**2 - 0.028)
    if formula in ("sellmeier1", "sellmeier3", "sellmeier5"):
        return math.sqrt(1 + sum(k * w**2 / (w**2 - pole) for k, pole in pairs))
    if formula == "schott":
        return math.sqrt(c[0] + c[1] * w**2 + c[2] / w**2 + c[3] / w**4 + c[4] / w**6 + c[5] / w**8)
    if formula == "sellmeier2":
        return math.sqrt(1 + c[0] + c[1] * w**2 / (w**2 - c[2] ** 2) + c[3] / (w**2 - c[4] ** 2))
    if formula == "sellmeier4":
        return math.sqrt(c[0] + c[1] * w**2 / (w**2 - c[2]) + c[3] * w**2 / (w**2 - c[4]))
    if formula == "herzberger":
        return c[0] + c[1] * h + c[2] * h**2 + c[3] * w**2 + c[4] * w**4 + c[5] * w**6
    if formula == "conrady":
        return c[0] + c[1] / w + c[2] / w**3.5
    if formula == "handbook1":
        return math.sqrt(c[0] + c[1] / (w**2 - c[2]) - c[3] * w**2)
    if formula == "handbook2":
        return math.sqrt(c[0] + c[1] * w**2 / (w**2 - c[2]) - c[3] * w**2)
    if formula == "extended1":
        return math.sqrt(c[0] + c[1] * w**2 + sum(a * w ** (-2 * i) for i, a in enumerate(c[2:], start=1)))
    if formula == "extended2":
        return math.sqrt(
            c[0] + c[1] * w**2 + c[2] / w**2 + c[3] / w**4 + c[4] / w**6 + c[5] / w**8 + c[6] * w**4 + c[7] * w**6
        )
    if formula == "extended3":
        return math.sqrt(c[0] + c[1] * w**2 + c[2] * w**4 + sum(a * w ** (-2 * i) for i, a in enumerate(c[3:], 1)))
    if formula == "rii1":
        return math.sqrt(1 + c[0] + sum(k * w**2 / (w**2 - pole**2) for k, pole in offset_pairs))
    if formula == "rii2":
        return math.sqrt(1 + c[0] + sum(k * w**2 / (w**2 - pole) for k, pole in offset_pairs))
    if formula == "rii3":
        return math.sqrt(c[0] + sum(a * w**p for a, p in offset_pairs))
    assert formula == "rii5"
    return c[0] + sum(a * w**p for a, p in offset_pairs)


# Not glasses, but every number is used and the indices lie between 1.3 and 2.
COEFFICIENTS = {
    "schott": [2.27, -0.0102, 0.0105, 2.3e-4, -6.6e-6, 4.4e-7],
    "sellmeier1": N_BK7,
    "sellmeier2": [0.2, 1.05, 0.1, 0.01, 0.2],
    "sellmeier3": [*N_BK7, 0.01, 0.03],
    "sellmeier4": [1.2, 1.04, 0.006, 0.9, 100.0],
    "sellmeier5": [*N_BK7, 0.01, 0.03, 0.02, 0.04],
    "herzberger": [1.5, 0.004, 3e-4, -1e-3, -2e-4, 1e-5],
    "conrady": [1.485, 0.009, 0.00055],
    "handbook1": [2.27, 0.0105, 0.01, 0.0102],
    "handbook2": [1.27, 1.0, 0.0105, 0.0102],
    "extended1": [2.27, -0.0102, 0.0105, 2.3e-4, -6.6e-6, 4.4e-7, 1e-8, -1e-9],
    "extended2": [2.27, -0.0102, 0.0105, 2.3e-4, -6.6e-6, 4.4e-7, -1e-4, 1e-5],
    "extended3": [2.27, -0.0102, -1e-4, 0.0105, 2.3e-4, -6.6e-6, 4.4e-7, 1e-8, -1e-9],
    "rii1": [0.1, 1.03, 0.0774, 0.23, 0.1415],
    "rii2": [0.1, 1.03, 0.006, 0.23, 0.02],
    "rii3": [2.27, -0.0102, 2.0, 0.0105, -2.0, 2.3e-4, -3.5],
    "rii5": [1.5, 0.004, -2.0, 1e-4, -4.0],
}


@pytest.mark.parametrize("formula", list(FORMULAS))
def test_formula_is_the_printed_one(formula):
    numbers = COEFFICIENTS[formula]
    medium = FormulaIndex.from_coefficients(formula, numbers, name=formula)
    wavelengths = [0.4, 0.55, 0.7, 1.0]
    expected = [reference_index(formula, numbers, w) for w in wavelengths]
    assert all(1.3 < index < 2 for index in expected)
    torch.testing.assert_close(
        medium.index(torch.tensor(wavelengths, dtype=F64)), torch.tensor(expected, dtype=F64), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("formula", list(FORMULAS))
def test_gradients_of_a_formula_are_right_in_coefficients_and_wavelength(formula):
    numbers = torch.tensor(COEFFICIENTS[formula], dtype=F64)
    # The exponents of refractiveindex.info's series stand among the coefficients and are constants.
    free = torch.ones(len(numbers), dtype=torch.bool)
    if formula in ("rii3", "rii5"):
        free[2::2] = False

    def index(values, wavelength_um):
        coefficients = torch.where(free, values, numbers)
        return FormulaIndex.from_coefficients(formula, coefficients, name=formula).index(wavelength_um)

    wavelength_um = LINES_UM.clone().requires_grad_()
    assert torch.autograd.gradcheck(index, (numbers.clone().requires_grad_(), wavelength_um))


@pytest.mark.parametrize(
    "medium",
    [
        bk7(),
        ModelGlass.from_numbers(1.544, 55.9),
        ConstantIndex("water", torch.tensor(1.333, dtype=F64)),
        TabulatedIndex(
            "table",
            torch.tensor([0.4, 0.45, 0.5, 0.6, 0.7], dtype=F64),
            torch.tensor([1.53, 1.525, 1.521, 1.516, 1.513], dtype=F64),
        ),
    ],
    ids=lambda medium: type(medium).__name__,
)
def test_gradients_are_right_in_the_parameters_that_an_optimiser_sees(medium):
    names, values = zip(*medium.parameters().items(), strict=True)

    def index(wavelength_um, *changed):
        return medium.with_parameters(dict(zip(names, changed, strict=True))).index(wavelength_um)

    inputs = [value.clone().requires_grad_() for value in (LINES_UM, *values)]
    assert torch.autograd.gradcheck(index, inputs)


def test_model_glass_keeps_nd_and_vd():
    nd, vd = measure_nd_vd(ModelGlass.from_numbers(1.661, 20.4))
    assert float(nd) == pytest.approx(1.661, abs=1e-14)
    assert float(vd) == pytest.approx(20.4, rel=1e-12)


def test_air_is_exactly_one_and_has_nothing_to_optimise():
    assert torch.equal(AIR.index(LINES_UM), torch.ones(3, dtype=F64))
    assert AIR.parameters() == {}


def test_spline_through_samples_of_a_glass_follows_its_formula():
    knots_um = torch.linspace(0.4, 0.7, 16, dtype=F64)
    table = TabulatedIndex("table", knots_um, bk7().index(knots_um))
    between_um = torch.linspace(0.4, 0.7, 301, dtype=F64)
    error = (table.index(between_um) - bk7().index(between_um)).abs().max()
    assert error < 1e-7
    assert (table.index(knots_um) - bk7().index(knots_um)).abs().max() < 1e-15


def test_spline_reproduces_every_cubic_of_the_inverse_square():
    knots_um = torch.tensor([0.4, 0.43, 0.55, 0.56, 0.8], dtype=F64)

    def cubic(w):
        u = w**-2
        return 1.5 + 0.01 * u - 0.002 * u**2 + 1e-4 * u**3

    at_um = torch.linspace(0.38, 0.9, 50, dtype=F64)  # and beyond its ends
    table = TabulatedIndex("table", knots_um, cubic(knots_um), (0.38, 0.9))
    torch.testing.assert_close(table.index(at_um), cubic(at_um), rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [2, 3])
def test_table_of_two_or_three_points_is_the_polynomial_through_them(count):
    knots_um = torch.tensor([0.45, 0.55, 0.65], dtype=F64)[:count]
    curve = torch.tensor([1.5, 0.005, 0.0001], dtype=F64)[:count]

    def polynomial(w):
        return sum(a * w ** (-2 * i) for i, a in enumerate(curve))

    table = TabulatedIndex("table", knots_um, polynomial(knots_um))
    torch.testing.assert_close(table.index(LINES_UM), polynomial(LINES_UM), rtol=0, atol=1e-14)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3)])
def test_index_has_the_shape_of_the_wavelengths(shape):
    wavelength_um = torch.full(shape, 0.55, dtype=F64)
    table = TabulatedIndex("table", LINES_UM, bk7().index(LINES_UM))
    constant = ConstantIndex("water", torch.tensor(1.333, dtype=F64))
    media: list[Medium] = [AIR, constant, ModelGlass.from_numbers(1.5, 60), bk7(), table]
    for medium in media:
        assert isinstance(medium, Medium)
        assert medium.index(wavelength_um).shape == shape


def test_medium_moves_to_single_precision_as_a_whole():
    moved = bk7().to(dtype=torch.float32)
    assert {value.dtype for value in moved.parameters().values()} == {torch.float32}
    assert moved.index(LINES_UM.float()).dtype == torch.float32
    assert moved.name == "N-BK7"
    assert moved.range_um == (0.3, 2.5)


def test_wavelength_outside_the_range_warns_with_glass_wavelength_and_range():
    with pytest.warns(UserWarning, match=r"N-BK7: wavelength 0\.2 um .* 0\.3 to 2\.5 um"):
        assert not check_range(bk7(), torch.tensor([0.2, 0.5], dtype=F64))


@pytest.mark.parametrize("medium", [bk7(), ModelGlass.from_numbers(1.5, 60), AIR], ids=lambda medium: medium.name)
def test_wavelength_inside_the_range_or_without_one_is_silent(medium):
    assert check_range(medium, torch.tensor([0.3, 0.5, 2.5], dtype=F64))
    assert check_range(medium, torch.zeros(0, dtype=F64))


def test_changed_medium_is_a_new_one():
    glass = ModelGlass.from_numbers(1.5, 60)
    changed = glass.with_parameters({"nd": torch.tensor(1.6, dtype=F64)})
    assert float(glass.nd) == 1.5
    assert float(changed.index(LINES_UM)[1]) == pytest.approx(1.6)
    assert float(changed.vd) == 60


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"index": torch.tensor(1.0)}, "no such parameter"), ({"nd": torch.ones(2, dtype=F64)}, r"shape \(2,\)")],
)
def test_change_of_what_is_not_there_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        ModelGlass.from_numbers(1.5, 60).with_parameters(changes)


@pytest.mark.parametrize("number", sorted(AGF_FORMULAS))
def test_every_formula_number_of_agf_files_is_known_and_its_padding_ignored(number):
    formula = AGF_FORMULAS[number]
    numbers = COEFFICIENTS[formula]
    padded = FormulaIndex.from_coefficients(formula, numbers + [0.0] * 3, name="padded")
    plain = FormulaIndex.from_coefficients(formula, numbers, name="plain")
    assert torch.equal(padded.index(LINES_UM), plain.index(LINES_UM))


@pytest.mark.parametrize(
    "medium",
    [
        AIR,
        bk7(),
        ModelGlass.from_numbers(1.544, 55.9, name="plastic"),
        ConstantIndex("water", torch.tensor(1.333, dtype=F64), (0.4, 0.7)),
        TabulatedIndex("table", LINES_UM, bk7().index(LINES_UM)),
        *(FormulaIndex.from_coefficients(f, COEFFICIENTS[f], name=f) for f in FORMULAS),
    ],
    ids=lambda medium: medium.name,
)
def test_entry_written_for_a_lens_file_reads_back_to_the_same_numbers(medium):
    text = json.dumps(medium.to_entry(), allow_nan=False)
    again = medium_from_entry(medium.name, json.loads(text), "file.json")
    wavelength_um = torch.linspace(0.45, 0.7, 7, dtype=F64)
    assert torch.equal(again.index(wavelength_um), medium.index(wavelength_um))
    assert again.range_um == medium.range_um
    assert again.name == medium.name


def test_formula_text_of_the_first_files_stands_in_for_a_missing_model():
    for _, name, entry in ENTRIES:
        if "formula" in entry:
            without = {key: value for key, value in entry.items() if key != "model"}
            assert isinstance(medium_from_entry(name, without, name), ModelGlass | FormulaIndex)


SUM = bk7().to_entry()
BAD_ENTRIES = [
    (3, "media: found 3"),
    ({}, "media.model: found None"),
    ({"model": ["schott"]}, "model"),
    ({"model": "buchdahl"}, "model: found 'buchdahl'"),
    ({"formula": "n = 1.5 everywhere"}, "model: found 'n = 1.5 everywhere'"),
    ({"model": "nd_vd_cauchy", "nd": 1.5}, "media.vd: found nothing"),
    ({"model": "nd_vd_cauchy", "nd": math.nan, "vd": 60}, "media.nd: found nan"),
    ({"model": "nd_vd_cauchy", "nd": 0.9, "vd": 60}, "media.nd: found 0.9"),
    ({"model": "nd_vd_cauchy", "nd": 1.5, "vd": -60}, "media.vd: found -60"),
    ({"model": "nd_vd_cauchy", "nd": True, "vd": 60}, "media.nd: found True"),
    ({"model": "nd_vd_cauchy", "nd": 10**400, "vd": 60}, "media.nd"),
    ({"model": "nd_vd_cauchy", "nd": 1.5, "vd": 60, "cauchy_A": 1.4}, "cauchy_A: found 1.4"),
    ({"model": "schott"}, "media.coefficients: found nothing"),
    ({"model": "schott", "coefficients": "2.2"}, "media.coefficients: found '2.2'"),
    ({"model": "schott", "coefficients": [2.2, 0.1]}, "coefficients: found 2 numbers, expected 6"),
    ({"model": "schott", "coefficients": [2.2, 0, 0, 0, 0, 0, 1]}, "coefficients: found 7 numbers, expected 6"),
    ({"model": "sellmeier", "coefficients": N_BK7}, "an odd number"),
    ({"model": "schott", "coefficients": [2.2, None, 0, 0, 0, 0]}, r"coefficients\[1\]: found None"),
    ({"model": "schott", "coefficients": [2.2, math.inf, 0, 0, 0, 0]}, r"coefficients\[1\]: found inf"),
    ({"model": "schott", "coefficients": [-2.2, 0, 0, 0, 0, 0]}, "index nan"),
    (
        {"model": "sellmeier1", "coefficients": N_BK7, "index_at_nm": {"587.5618": 1.51681}},
        r"index_at_nm\['587.5618'\]",
    ),
    ({"model": "sellmeier1", "coefficients": N_BK7, "index_at_nm": {"d": 1.5168}}, "index_at_nm: found 'd'"),
    ({"model": "sellmeier1", "coefficients": N_BK7, "index_at_nm": [1.5168]}, "index_at_nm"),
    ({"model": "sellmeier1", "coefficients": N_BK7, "range_um": [0.7, 0.4]}, "range_um"),
    ({"model": "constant"}, "media.index: found nothing"),
    ({"model": "constant", "index": 0.5}, "index 0.5"),
    ({"model": "tabulated", "wavelengths_um": [0.5, 0.4], "indices": [1.5, 1.5]}, "ascending"),
    ({"model": "tabulated", "wavelengths_um": [0.5], "indices": [1.5]}, "two or more"),
    ({"model": "tabulated", "wavelengths_um": [0.4, 0.5], "indices": [1.5]}, "indices: found 1 numbers"),
    (SUM | {"squared": 1}, "squared: found 1"),
    (SUM | {"pole_powers": [[2]]}, "pole_powers"),
    (SUM | {"poles_um2": [0.006]}, "poles_um2: found 1 numbers, expected 3"),
]


@pytest.mark.parametrize(("entry", "words"), BAD_ENTRIES, ids=[words for _, words in BAD_ENTRIES])
def test_entry_that_makes_no_sense_is_refused_in_one_line_that_says_where(entry, words):
    with pytest.raises(InputError, match=words) as caught:
        medium_from_entry("glass", entry, "lens.json: media")
    assert str(caught.value).startswith("lens.json: media")
    assert "\n" not in str(caught.value)


BAD_CALLS = [
    (lambda: bk7().index(0.55), "wavelength_um: found float"),
    (lambda: AIR.index(torch.tensor([1])), "wavelength_um"),
    (lambda: FormulaIndex.from_coefficients("sellmeier9", N_BK7, name="x"), "formula: found 'sellmeier9'"),
    (lambda: FormulaIndex.from_coefficients("schott", torch.ones(2, 3, dtype=F64), name="x"), r"shape \(2, 3\)"),
    (lambda: FormulaIndex.from_coefficients("schott", [math.nan] * 6, name="x"), "finite numbers"),
    (lambda: ModelGlass(torch.ones(1), torch.tensor(60.0)), r"ModelGlass.nd: found shape \(1,\)"),
    (lambda: ModelGlass(1.5, 60.0), "ModelGlass.nd: found float"),
    (lambda: ConstantIndex("x", torch.tensor(1.5), (0.7, 0.4)), "range_um"),
    (lambda: TabulatedIndex("x", torch.tensor(0.5), torch.tensor(1.5)), "wavelengths_um"),
    (lambda: TabulatedIndex("x", LINES_UM, torch.ones(2, dtype=F64)), "indices"),
    (lambda: TabulatedIndex("x", LINES_UM.flip(0), torch.ones(3, dtype=F64)), "ascending"),
]


@pytest.mark.parametrize(("call", "words"), BAD_CALLS, ids=[words for _, words in BAD_CALLS])
def test_bad_argument_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()
