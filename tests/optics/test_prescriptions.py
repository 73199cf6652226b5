import copy
import json
import math
import os
import random
import stat
import warnings
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import lenses
from optics.glass import AIR, LINE_D_UM, ConstantIndex, ModelGlass
from optics.grid import default_depths_m, psf_grid
from optics.lens import DEFAULT_CHANNELS, Lens, Sensor
from optics.prescriptions import bundled, from_json, load, save, to_json
from optics.rays import Rays
from optics.surface import Conic, EvenAsphere, Plane, PolynomialAsphere, Surface
from optics.tracing import trace
from psf import Channel
from psf.errors import InputError

F64 = torch.float64


def f64(value):
    return torch.tensor(value, dtype=F64)


def document():
    """A lens file with every key that means something; small enough to read."""
    return {
        "schema": "psfield-lens-1",
        "name": "probe",
        "title": "A lens to break",
        "source": {"patent": None, "published_in": "nowhere"},
        "notes": "own",
        "reference_wavelength_nm": 587.5618,
        "object_space_medium": "air",
        "air_index": 1.0,
        "stop_surface_index": 2,
        "sensor": {"width_px": 40, "height_px": 30, "pitch_um": 5.0},
        "focus_m": 2.0,
        "nearest_m": 0.5,
        "channels": [
            {"name": "R", "wavelengths_um": [0.6, 0.65], "weights": [1.0, 2.0]},
            {"name": "B", "wavelengths_um": [0.45], "weights": [1.0]},
        ],
        "surfaces": [
            surface(1, "sphere", 20.0, 2.0, "N-BK7"),
            surface(2, "stop", None, 0.5, "air"),
            surface(3, "conic", 15.0, 1.0, "1.53500/55.70", conic_k=-0.5),
            surface(4, "even_asphere", -30.0, 0.8, "air", asphere_coefficients={"4": -1e-4, "6": 2e-6}),
            surface(5, "odd_asphere", None, 1.5, "plastic", asphere_coefficients={"3": 1e-4}),
            surface(6, "plane", None, 20.0, "air"),
        ],
        "media": {"plastic": {"model": "nd_vd_cauchy", "nd": 1.6, "vd": 30.0}},
    }


def surface(index, kind, radius_mm, thickness_mm, medium, **more):
    row = {"index": index, "kind": kind, "radius_mm": radius_mm, "conic_k": 0.0, "semi_aperture_mm": 3.0}
    return row | {"thickness_to_next_mm": thickness_mm, "medium_after": medium} | more


def changed(*path_and_value):
    """The document with the value at a path replaced; `...` removes it."""
    data = document()
    *path, last, value = path_and_value
    place = data
    for step in path:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return data


def assert_same(a, b):
    """Every number of two lenses is the same to the last bit."""
    mine, other = a.parameters(), b.parameters()
    assert list(mine) == list(other)
    for name, value in mine.items():
        assert torch.equal(value.detach(), other[name].detach()), name
        assert value.dtype == other[name].dtype
    for one, two in zip(a.surfaces, b.surfaces, strict=True):
        assert type(one.shape) is type(two.shape)
        assert getattr(one.shape, "powers", ()) == getattr(two.shape, "powers", ())
        wave = f64([0.45, 0.5876, 0.65])
        assert torch.equal(one.medium.index(wave), two.medium.index(wave))
        assert one.medium.range_um == two.medium.range_um
    for key in ("name", "title", "stop_surface", "sensor", "reference_wavelength_um", "focus_m", "nearest_m"):
        assert getattr(a, key) == getattr(b, key), key
    assert a.channels == b.channels
    assert json.dumps(a.source) == json.dumps(b.source)


# Reading and writing.


@pytest.mark.parametrize("name", bundled())
def test_a_bundled_lens_survives_load_save_load_to_the_last_bit(name, tmp_path):
    lens = load(name)
    save(lens, tmp_path / "lens.json")
    again = load(tmp_path / "lens.json")
    assert_same(lens, again)
    assert to_json(again) == to_json(lens)


def test_every_kind_of_surface_survives_a_round_trip():
    lens = from_json(document())
    kinds = [type(s.shape) for s in lens.surfaces]
    assert kinds == [Conic, Plane, Conic, EvenAsphere, PolynomialAsphere, Plane]
    assert lens.surfaces[3].shape.powers == (2, 4, 6)
    data = json.loads(json.dumps(to_json(lens)))
    assert [row["kind"] for row in data["surfaces"]] == [row["kind"] for row in document()["surfaces"]]
    assert_same(lens, from_json(data))


@pytest.mark.parametrize("seed", [0, 1])
def test_numbers_of_an_optimisation_survive_to_the_last_bit(seed, tmp_path):
    # Half of all curvatures are the reciprocal of no float64: those are written as they are.
    draw = random.Random(seed)
    lens = from_json(document())
    written = set()
    for _ in range(40):
        factors = {n: v * draw.uniform(0.95, 1.02) for n, v in lens.parameters().items() if "aperture" not in n}
        focus, wave = draw.uniform(0.1, 9), draw.uniform(0.5, 0.6)
        other = replace(lens.with_parameters(factors), focus_m=focus, nearest_m=focus / 3, reference_wavelength_um=wave)
        save(other, tmp_path / "lens.json")
        assert_same(other, load(tmp_path / "lens.json"))
        written |= {key for row in to_json(other)["surfaces"] for key in row} | set(to_json(other))
    assert {"curvature_per_mm", "radius_mm", "reference_wavelength_nm", "reference_wavelength_um"} <= written


def test_infinite_focus_is_null_and_missing_keys_have_their_defaults():
    lens = from_json(document())
    assert to_json(replace(lens, focus_m=math.inf))["focus_m"] is None
    data = document()
    for key in ("focus_m", "nearest_m", "channels", "title", "reference_wavelength_nm", "object_space_medium"):
        del data[key]
    for row in data["surfaces"]:
        del row["index"], row["conic_k"]
    data["surfaces"][2]["kind"] = "sphere"
    plain = from_json(data)
    assert (plain.focus_m, plain.nearest_m, plain.title) == (math.inf, 0.1, "")
    assert plain.channels == DEFAULT_CHANNELS
    assert plain.reference_wavelength_um == LINE_D_UM


def test_what_people_wrote_beside_the_numbers_survives():
    data = document() | {"design": {"efl_mm": 10.0}, "near_objects_mm": [300.0], "my_own_key": "kept"}
    again = to_json(from_json(data))
    for key in ("source", "notes", "design", "near_objects_mm", "my_own_key"):
        assert again[key] == data[key]


def test_the_schema_of_the_reference_tables_is_read_too(reference):
    for path in sorted((reference / "prescriptions").glob("*.json")):
        assert_same(replace(load(path), nearest_m=load(path.stem).nearest_m), load(path.stem))


def test_nearest_distance_is_read_and_is_ten_centimetres_elsewhere():
    assert load("f2.2_fixedfocus").nearest_m == 0.1
    assert load("camera_rf50mm_f1p8").nearest_m == 3.0


@pytest.mark.parametrize("name", [name for name in bundled() if not name.startswith("asphere_")])
def test_nearest_distance_keeps_the_automatic_kernel_usable(name):
    # The two left out are tests of tracing: off their axis they blur over hundreds of pixels at any distance.
    lens = load(name)
    radii = torch.linspace(0, 1, 5, dtype=F64)
    field = psf_grid(lens, default_depths_m(lens.nearest_m, 5), radii)
    assert field.kernel_px <= 135


def test_hash_of_a_lens_is_that_of_its_file():
    import hashlib

    content = (lenses.DIRECTORY / "cooke_triplet.json").read_bytes()
    assert load("cooke_triplet").file_sha256 == hashlib.sha256(content).hexdigest()


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    path = tmp_path / "lens.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(document()).encode())
    assert_same(load(path), from_json(document()))


def test_a_path_wins_over_nothing_and_a_bundled_name_over_a_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cooke_triplet").write_text("{}")
    assert load("cooke_triplet").name == "cooke_triplet"
    with pytest.raises(InputError, match="schema"):
        load("./cooke_triplet")


# Media.


def two_glasses(first, second, third=AIR):
    media = (first, second, third)
    surfaces = [Surface(Conic(f64(0.02), f64(0.0)), f64(2.0), f64(3.0), medium) for medium in media]
    return Lens("two_glasses", tuple(surfaces), 1, Sensor((10, 10), 5.0))


def test_media_of_one_name_that_differ_do_not_overwrite_each_other():
    first, second = ConstantIndex("glass", f64(1.5)), ConstantIndex("glass", f64(1.7))
    lens = two_glasses(first, second)
    data = to_json(lens)
    assert list(data["media"]) == ["glass", "glass (2)"]
    assert_same(lens, from_json(data))
    # And it stays so on the way back and forth.
    assert list(to_json(from_json(data))["media"]) == ["glass", "glass (2)"]


def test_a_name_that_was_numbered_before_is_not_taken_again():
    media = ConstantIndex("glass", f64(1.5)), ConstantIndex("glass (2)", f64(1.6)), ConstantIndex("glass", f64(1.7))
    lens = two_glasses(*media)
    assert list(to_json(lens)["media"]) == ["glass", "glass (2)", "glass (3)"]
    assert_same(lens, from_json(to_json(lens)))


def test_equal_media_of_one_name_share_an_entry():
    lens = two_glasses(ConstantIndex("glass", f64(1.5)), ConstantIndex("glass", f64(1.5)))
    assert list(to_json(lens)["media"]) == ["glass"]


def test_a_medium_that_calls_itself_air_is_still_no_air():
    lens = two_glasses(ConstantIndex("air", f64(1.33)), ModelGlass.from_numbers(1.5, 60.0))
    again = from_json(to_json(lens))
    assert float(again.surfaces[0].medium.index(f64(0.55))) == 1.33
    assert_same(lens, again)


def test_a_medium_of_the_file_goes_before_the_catalogue():
    data = document() | {"media": document()["media"] | {"N-BK7": {"model": "constant", "index": 1.4}}}
    assert float(from_json(data).surfaces[0].medium.index(f64(0.55))) == 1.4


def test_a_changed_catalogue_glass_is_written_with_its_own_numbers():
    lens = from_json(document())
    name = next(n for n in lens.parameters() if n.startswith("surface1.medium."))
    other = lens.with_parameters({name: lens.parameters()[name] * 1.01})
    assert_same(other, from_json(to_json(other)))


def test_wavelengths_outside_a_glass_range_warn():
    data = changed("channels", 0, "wavelengths_um", [0.6, 5.0])
    with pytest.warns(UserWarning, match="N-BK7: wavelength 5 um lies outside"):
        from_json(data)


# Writing to disk.


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "lens.json"
    path.write_text("old")

    def stop(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", stop)
    with pytest.raises(KeyboardInterrupt):
        save(load("cooke_triplet"), path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["lens.json"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of another kind")
def test_a_saved_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    save(load("cooke_triplet"), tmp_path / "lens.json")
    assert stat.S_IMODE((tmp_path / "lens.json").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def with_first_shape(lens, shape):
    return replace(lens, surfaces=(replace(lens.surfaces[0], shape=shape), *lens.surfaces[1:]))


class Foreign:
    """A shape that the files have no kind for."""

    def __init__(self, inner):
        self.inner = inner


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lens: replace(lens, source={"source": object()}), "not JSON serializable"),
        (lambda lens: replace(lens, source={"design": {"efl_mm": math.nan}}), "nan"),
        (lambda lens: lens.with_parameters({"surface1.thickness_mm": -1.0}), "surfaces[0].thickness_to_next_mm"),
        (lambda lens: lens.with_parameters({"surface1.semi_aperture_mm": 1e7}), "surfaces[0].semi_aperture_mm"),
        (lambda lens: with_first_shape(lens, Foreign(lens.surfaces[0].shape)), "surface 1: found Foreign"),
    ],
)
def test_a_lens_that_could_not_be_read_back_is_not_written(change, words, tmp_path):
    with pytest.raises(InputError) as caught:
        save(change(from_json(document())), tmp_path / "lens.json")
    assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_saving_where_no_file_can_be_says_so(tmp_path):
    for path in (tmp_path, tmp_path / "no" / "lens.json"):
        with pytest.raises(InputError, match="folder"):
            save(load("cooke_triplet"), path)


# What is wrong, and how it is said.

TEXT = json.dumps(document(), indent=1)
LINE_AFTER_NOTES = TEXT[: TEXT.index('"reference_')].count("\n") + 1
FILES = [
    (b"", [":1: found", "complete JSON document"]),
    (TEXT[:900].encode(), [f":{TEXT[:900].count(chr(10)) + 1}: found", "complete JSON document"]),
    (
        TEXT.replace('"notes": "own",', '"notes": "own"').encode(),
        [f":{LINE_AFTER_NOTES}: found", "delimiter"],
    ),
    (TEXT.encode("utf-16"), ["not text", "UTF-8"]),
    (bytes(range(256)), ["not text", "offset 128"]),
    (TEXT.replace("2.0", "NaN", 1).encode(), ["focus_m: found nan", "finite number"]),
    (TEXT.replace("20.0", "-Infinity", 1).encode(), ["found -inf", "finite number"]),
    (TEXT.replace("2.0", "1e999", 1).encode(), ["focus_m", "inf"]),
    (TEXT.replace("2.0", "1" + 5000 * "0", 1).encode(), ["digits"]),
    (TEXT.replace("2.0", "1" + 400 * "0", 1).encode(), ["focus_m", "a number from"]),
    (b"[" * 100_000, ["nested too deeply"]),
    (b'{"a":' * 100_000, ["nested too deeply"]),
    (TEXT.replace('"notes"', '"name"').encode(), ["'name' twice"]),
    (TEXT.replace('"nd"', '"vd"').encode(), ["'vd' twice"]),
    (b"[1, 2]", ["[1, 2]", "a JSON object"]),
    (b"null", ["None", "a JSON object"]),
    (b"{}", ["schema", "nothing"]),
]


@pytest.mark.parametrize(("content", "words"), FILES, ids=range(len(FILES)))
def test_a_broken_file_is_named_in_one_line(content, words, tmp_path):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < 500
    for word in words:
        assert word in message


ENTRIES = [
    (changed("schema", "psfield-lens-9"), "schema: found 'psfield-lens-9'"),
    (changed("schema", 1), "schema: found 1"),
    (changed("name", ...), "name: found nothing"),
    (changed("name", ""), "name: found ''"),
    (changed("name", "a/b"), "name: found 'a/b'"),
    (changed("name", "two\nlines"), "name: found 'two\\nlines'"),
    (changed("name", "x" * 1000), "name: found"),
    (changed("title", 3), "title: found 3"),
    (changed("object_space_medium", "water"), "object_space_medium: found 'water'"),
    (changed("air_index", 1.0003), "air_index: found 1.0003"),
    (changed("reference_wavelength_nm", -1), "reference_wavelength_nm: found -1"),
    (changed("reference_wavelength_nm", 0.5876), "reference_wavelength_nm: found 0.5876"),
    (changed("reference_wavelength_um", 0.5876), "reference_wavelength_um: found the wavelength in nm too"),
    (changed("focus_m", 0), "focus_m: found 0"),
    (changed("focus_m", "inf"), "focus_m: found 'inf'"),
    (changed("nearest_m", -0.1), "nearest_m: found -0.1"),
    (changed("nearest_m", None), "nearest_m: found None"),
    (changed("stop_surface_index", 0), "stop_surface_index: found 0, expected a whole number from 1 to 6"),
    (changed("stop_surface_index", 7), "stop_surface_index: found 7"),
    (changed("stop_surface_index", 2.0), "stop_surface_index: found 2.0"),
    (changed("stop_surface_index", True), "stop_surface_index: found True"),
    (changed("stop_surface_index", 3), "surfaces[1].kind: found 'stop', expected no second stop beside surface 3"),
    (changed("sensor", ...), "sensor: found nothing"),
    (changed("sensor", []), "sensor: found []"),
    (changed("sensor", "width_px", 0), "sensor.width_px: found 0"),
    (changed("sensor", "height_px", 30.5), "sensor.height_px: found 30.5"),
    (changed("sensor", "height_px", 10**400), "sensor.height_px: found 1000"),
    (changed("sensor", "pitch_um", -5), "sensor.pitch_um: found -5"),
    (changed("sensor", "pitch_um", "5"), "sensor.pitch_um: found '5'"),
    (changed("channels", {}), "channels: found {}"),
    (changed("channels", 0, 7), "channels[0]: found 7"),
    (changed("channels", 0, "name", ...), "channels[0].name: found nothing"),
    (changed("channels", 0, "wavelengths_um", []), "channels[0].wavelengths_um: found []"),
    (changed("channels", 0, "wavelengths_um", [600, 650]), "channels[0].wavelengths_um: found [600, 650]"),
    (changed("channels", 0, "wavelengths_um", [True, 0.6]), "channels[0].wavelengths_um: found [True"),
    (changed("channels", 0, "weights", [1.0]), "channels[0].weights: found [1.0], expected one weight per"),
    (changed("channels", 0, "weights", [0.0, 0]), "channels[0].weights: found [0.0, 0]"),
    (changed("channels", 0, "weights", [1.0, -1.0]), "channels[0].weights: found [1.0, -1.0]"),
    (changed("channels", 0, "weights", [1.0, 10**400]), "channels[0].weights: found [1.0, 1000"),
    (changed("surfaces", []), "surfaces: found an empty list"),
    (changed("surfaces", None), "surfaces: found None"),
    (changed("surfaces", 2, "x"), "surfaces[2]: found 'x'"),
    (changed("surfaces", 2, "index", 2), "surfaces[2].index: found 2, expected 3"),
    (changed("surfaces", 2, "kind", ...), "surfaces[2].kind: found nothing"),
    (changed("surfaces", 2, "kind", "toroid"), "surfaces[2].kind: found 'toroid', expected one of stop, plane"),
    (changed("surfaces", 2, "kind", "plane"), "surfaces[2].kind: found 'plane' with curvature 0.0666667"),
    (changed("surfaces", 2, "kind", "sphere"), "surfaces[2].kind: found 'sphere' with curvature"),
    (changed("surfaces", 3, "kind", "conic"), "surfaces[3].kind: found 'conic' with"),
    (changed("surfaces", 0, "asphere_coefficients", {"4": 0.1}), "surfaces[0].kind: found 'sphere' with"),
    (changed("surfaces", 0, "radius_mm", 0.0), "surfaces[0].radius_mm: found 0.0"),
    (changed("surfaces", 0, "radius_mm", 1e-300), "surfaces[0].radius_mm: found 1e-300"),
    (changed("surfaces", 0, "radius_mm", [20]), "surfaces[0].radius_mm: found [20]"),
    (changed("surfaces", 0, "radius_mm", 10**400), "surfaces[0].radius_mm: found 1000"),
    (changed("surfaces", 0, "curvature_per_mm", 0.05), "surfaces[0].curvature_per_mm: found a radius and a curv"),
    (changed("surfaces", 2, "conic_k", 1e9), "surfaces[2].conic_k: found 1000000000.0"),
    (changed("surfaces", 3, "asphere_coefficients", [1]), "surfaces[3].asphere_coefficients: found [1]"),
    (changed("surfaces", 3, "asphere_coefficients", {"3": 1e-4}), "found power 3, expected even powers"),
    (changed("surfaces", 3, "asphere_coefficients", {"0": 1e-4}), "found power '0'"),
    (changed("surfaces", 3, "asphere_coefficients", {"41": 1e-4}), "found power '41'"),
    (changed("surfaces", 3, "asphere_coefficients", {"04": 1e-4}), "found power '04'"),
    (changed("surfaces", 3, "asphere_coefficients", {"r4": 1e-4}), "found power 'r4'"),
    (changed("surfaces", 3, "asphere_coefficients", {"9" * 5000: 1e-4}), "found power '999"),
    (changed("surfaces", 3, "asphere_coefficients", {"4": "x"}), "asphere_coefficients['4']: found 'x'"),
    (changed("surfaces", 3, "asphere_coefficients", {"4": 1e200}), "surfaces[3].asphere_coefficients: found a height"),
    (changed("surfaces", 0, "semi_aperture_mm", 0), "surfaces[0].semi_aperture_mm: found 0"),
    (changed("surfaces", 0, "semi_aperture_mm", 20.1), "surfaces[0].semi_aperture_mm: found 20.1, expected at most 20"),
    (changed("surfaces", 1, "semi_aperture_mm", 1e9), "surfaces[1].semi_aperture_mm: found 1000000000.0"),
    (changed("surfaces", 0, "thickness_to_next_mm", -2.0), "surfaces[0].thickness_to_next_mm: found -2.0"),
    (changed("surfaces", 4, "thickness_to_next_mm", -0.1), "surfaces[4].thickness_to_next_mm: found -0.1"),
    (changed("surfaces", 5, "thickness_to_next_mm", 0.0), "surfaces[5].thickness_to_next_mm: found 0.0"),
    (changed("surfaces", 5, "thickness_to_next_mm", math.nan), "surfaces[5].thickness_to_next_mm: found nan"),
    (changed("surfaces", 5, "thickness_to_next_mm", 1e7), "surfaces[5].thickness_to_next_mm: found 10000000.0"),
    (changed("surfaces", 0, "medium_after", "N-BK8"), "surfaces[0].medium_after: found unknown glass 'N-BK8'"),
    (changed("surfaces", 0, "medium_after", "x" * 10**6), "surfaces[0].medium_after: found"),
    (changed("surfaces", 0, "medium_after", None), "surfaces[0].medium_after: found None"),
    (changed("surfaces", 0, "medium_after", "0.5/50"), "surfaces[0].medium_after"),
    (changed("media", []), "media: found []"),
    (changed("media", "plastic", None), "media['plastic']: found None"),
    (changed("media", "plastic", "nd", "1.6"), "media['plastic'].nd: found '1.6'"),
    (changed("media", "plastic", "model", "magic"), "media['plastic'].model: found 'magic'"),
    (changed("media", "air", {"model": "constant", "index": 1.3}), "media['air']: found another medium"),
    (changed("media", ...), "surfaces[4].medium_after: found unknown glass 'plastic'"),
]


@pytest.mark.parametrize(("data", "words"), ENTRIES, ids=range(len(ENTRIES)))
def test_a_wrong_entry_is_named_with_what_was_found(data, words):
    with pytest.raises(InputError) as caught:
        from_json(data, "some.json")
    message = str(caught.value)
    assert message.startswith("some.json: ")
    assert words in message
    assert "\n" not in message
    assert len(message) < 500


def test_an_unknown_glass_is_answered_with_close_names():
    with pytest.raises(InputError, match=r"close: .*schott/N-BK7"):
        from_json(changed("surfaces", 0, "medium_after", "NBK7"))


def test_missing_files_folders_and_impossible_names_are_said_in_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no_such_lens: no such file.*cooke_triplet"):
        load("no_such_lens")
    with pytest.raises(InputError, match="directory"):
        load(tmp_path)
    for name in ("a" * 5000, "with\0nul"):
        with pytest.raises((InputError, FileNotFoundError)) as caught:
            load(name)
        assert "\n" not in str(caught.value)


def test_the_way_to_and_from_a_stop_may_lead_back_through_air():
    data = changed("surfaces", 1, "thickness_to_next_mm", -0.2)
    lens = from_json(data)
    assert float(lens.surfaces[1].thickness_mm) == -0.2
    assert_same(lens, from_json(to_json(lens)))


def test_a_colon_in_the_files_name_does_not_hide_the_field():
    with pytest.raises(InputError, match=r"^a: b\.json: surfaces\[0\]\.radius_mm: found 0"):
        from_json(changed("surfaces", 0, "radius_mm", 0), "a: b.json")


# Random damage: an InputError or a lens, and nothing else.

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.sampled_from([0, -1, 1e-320, 1e-9, -0.0, 1e9, 1e300, -1e308, 10**30, 10**400, math.nan, math.inf]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["", "air", "stop", "sphere", "even_asphere", "odd_asphere", "N-BK7", "plastic", "sum", "schott"]),
    st.text(max_size=5),
    st.sampled_from([[], {}, [[]], [1.0, 0.5], {"4": 0.1}, {"2": 1e300}, {"model": "constant", "index": 1e9}]),
)


def places_of(data, path=()):
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from places_of(value, (*path, key))


PLACES = [path for path in places_of(document()) if path]


def damage(data, path, how, junk):
    place = data
    try:
        for step in path[:-1]:
            place = place[step]
        old = place[path[-1]]
    except (KeyError, IndexError, TypeError):  # damaged already
        return
    if how == "delete":
        del place[path[-1]]
    elif how == "repeat" and isinstance(place, list):
        place.insert(path[-1], copy.deepcopy(old))
    elif how == "scale" and isinstance(junk, float) and isinstance(old, float):
        place[path[-1]] = old * junk
    elif isinstance(place, dict | list):
        place[path[-1]] = junk


def read_or_refusal(make, where):
    """The lens, or None where an InputError of one line named the file."""
    with warnings.catch_warnings(action="ignore"):
        try:
            return make()
        except InputError as error:
            message = str(error)
    assert message.startswith(where), message
    assert "\n" not in message
    assert len(message) < 600
    return None


def check_survival(data):
    lens = read_or_refusal(lambda: from_json(data, "fuzz"), "fuzz")
    if lens is not None:
        text = json.dumps(to_json(lens))
        with warnings.catch_warnings(action="ignore"):
            assert_same(lens, from_json(json.loads(text)))
        rays = Rays(f64([[0.0, 0.1, -1.0]]), f64([[0.0, 0.0, 1.0]]), f64(lens.reference_wavelength_um))
        assert bool(trace(lens, rays).position_mm.isfinite().all())
    return lens is not None


@given(
    st.lists(
        st.tuples(st.sampled_from(PLACES), st.sampled_from(["delete", "replace", "repeat", "scale"]), JUNK),
        min_size=1,
        max_size=3,
    )
)
def test_a_damaged_document_is_refused_or_read(damages):
    data = document()
    for path, how, junk in damages:
        damage(data, path, how, copy.deepcopy(junk))
    check_survival(data)


@pytest.mark.parametrize("seed", [0, 1])
def test_thousands_of_damaged_documents_are_refused_or_read(seed):
    draw = random.Random(seed)
    numbers = [0, -1, 1, True, None, "", "air", "x", [], {}, 1e-320, 1e300, -1e308, 10**400, math.nan, math.inf, -0.0]
    read = 0
    for _ in range(1500):
        data = document()
        for _ in range(draw.randint(1, 3)):
            junk = draw.choice([draw.choice(numbers), draw.uniform(-3, 3), 10 ** draw.uniform(-12, 12)])
            how = draw.choice(["delete", "replace", "repeat", "scale", "scale"])
            damage(data, draw.choice(PLACES), how, copy.deepcopy(junk))
        read += check_survival(data)
    assert 100 < read < 1400  # both ends of the road are taken


@given(st.integers(0, len(TEXT) - 1), st.integers(0, 255), st.sampled_from(["cut", "change", "insert"]))
def test_a_file_with_a_damaged_byte_is_refused_or_read(tmp_path_factory, at, byte, how):
    content = TEXT.encode()
    tail = b"" if how == "cut" else content[at + (how == "change") :]
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_bytes(content[:at] + bytes([byte]) + tail)
    read_or_refusal(lambda: load(path), str(path))


def test_channels_come_through_in_their_order():
    lens = from_json(document())
    assert lens.channels == (Channel("R", (0.6, 0.65), (1.0, 2.0)), Channel("B", (0.45,), (1.0,)))
