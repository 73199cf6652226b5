"""The lens files as data: copies that changed nothing, and the derived lenses."""

import importlib.util
import json
import math

import pytest

import lenses

COPIES = [
    "asphere_conic_end",
    "asphere_planohyperbolic",
    "camera_rf50mm_f1p8",
    "cooke_triplet",
    "double_gauss_jp1987087922",
    "phone_deeplens80",
    "phone_us7535658",
    "phone_us9651759",
    "singlet_biconvex_nbk7",
    "wide_laikin100",
]
DERIVED = ["f2.2_fixedfocus", "stack_12mm_f2.8"]
SCALE = 3.725


def read(name: str) -> dict:
    return json.loads((lenses.DIRECTORY / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tool(root):
    spec = importlib.util.spec_from_file_location("make_stack_lens", root / "tools" / "make_stack_lens.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_folder_holds_these_lenses_and_no_others():
    names = {path.stem for path in lenses.DIRECTORY.glob("*.json")} - {"plastics"}
    assert names == {*COPIES, *DERIVED}


@pytest.mark.parametrize("name", [*COPIES, *DERIVED])
def test_lens_file_names_itself_its_version_its_source_and_every_medium(name):
    lens = read(name)
    assert lens["schema"] == "psfield-lens-1"
    assert lens["name"] == name
    assert lens["source"]["published_in"]
    assert [surface["index"] for surface in lens["surfaces"]] == list(range(1, len(lens["surfaces"]) + 1))
    assert 1 <= lens["stop_surface_index"] <= len(lens["surfaces"])
    assert {surface["medium_after"] for surface in lens["surfaces"]} - {"air"} == set(lens["media"])


@pytest.mark.parametrize("name", COPIES)
def test_copy_differs_from_the_reference_in_nothing_but_the_schemas_name_and_the_nearest_distance(name, shared):
    path = shared / "reference" / "prescriptions" / f"{name}.json"
    reference = json.loads(path.read_text(encoding="utf-8"))
    assert {k: v for k, v in read(name).items() if k != "nearest_m"} == reference | {"schema": "psfield-lens-1"}


def test_fixed_focus_lens_is_the_phone_lens_under_another_name():
    phone, fixed = read("phone_us9651759"), read("f2.2_fixedfocus")
    for key in ("surfaces", "media", "sensor", "stop_surface_index", "reference_wavelength_nm"):
        assert fixed[key] == phone[key]
    assert fixed["focus_m"] is None
    assert (fixed["sensor"]["width_px"], fixed["sensor"]["height_px"], fixed["sensor"]["pitch_um"]) == (
        4032,
        3024,
        1.16,
    )


def sag_mm(surface: dict, r_mm: float) -> float:
    c = 0.0 if surface["radius_mm"] is None else 1 / surface["radius_mm"]
    conic = c * r_mm**2 / (1 + math.sqrt(1 - (1 + surface["conic_k"]) * c**2 * r_mm**2))
    return conic + sum(a * r_mm ** int(p) for p, a in surface.get("asphere_coefficients", {}).items())


def test_every_surface_of_the_stack_lens_is_the_phones_magnified():
    for small, large in zip(read("phone_us9651759")["surfaces"], read("stack_12mm_f2.8")["surfaces"], strict=True):
        for part in (0.3, 0.7, 1.0):
            r_mm = part * small["semi_aperture_mm"]
            assert sag_mm(large, SCALE * r_mm) == pytest.approx(SCALE * sag_mm(small, r_mm), rel=1e-13, abs=1e-15)
        assert large["thickness_to_next_mm"] == pytest.approx(SCALE * small["thickness_to_next_mm"], rel=1e-15)
        assert large["medium_after"] == small["medium_after"]
        if small["kind"] != "stop":
            assert large["semi_aperture_mm"] == pytest.approx(SCALE * small["semi_aperture_mm"], rel=1e-15)


def test_stack_lens_has_f_12_2_mm_and_exactly_f_2_8(tool):
    lens = read("stack_12mm_f2.8")
    efl_mm = tool.find_efl_mm(lens)
    stop = lens["surfaces"][lens["stop_surface_index"] - 1]
    assert stop["kind"] == "stop"
    assert lens["stop_surface_index"] == 1  # in front of the lens in air: its own entrance pupil
    assert efl_mm / (2 * stop["semi_aperture_mm"]) == pytest.approx(2.8, rel=1e-15)
    assert efl_mm == pytest.approx(SCALE * tool.find_efl_mm(read("phone_us9651759")), rel=1e-13)
    assert efl_mm == pytest.approx(12.2, abs=0.02)


def test_image_circle_of_the_stack_lens_covers_its_sensor():
    phone, stack = read("phone_us9651759")["sensor"], read("stack_12mm_f2.8")["sensor"]
    half = [0.5e-3 * math.hypot(s["width_px"], s["height_px"]) * s["pitch_um"] for s in (phone, stack)]
    assert half[1] == pytest.approx(10.886, abs=1e-3)
    assert half[1] <= SCALE * half[0]


def test_focal_lengths_of_the_tool_are_those_of_the_reference_tables(tool, shared):
    table = json.loads((shared / "reference" / "first_order.json").read_text(encoding="utf-8"))["lenses"]
    for name in COPIES:
        assert tool.find_efl_mm(read(name)) == pytest.approx(table[name]["587.5618"]["efl_mm"], rel=1e-11)


def test_derived_files_are_what_the_tool_makes_of_the_phone_lens(tool):
    phone = read("phone_us9651759")
    assert tool.make_fixed_focus(phone) == read("f2.2_fixedfocus")
    assert tool.make_stack(phone) == read("stack_12mm_f2.8")
