"""Every file of tests/data/lens_files, formats by content, `optics.load`, and a few hundred broken files per reader."""

import warnings
from pathlib import Path

import pytest
import torch

import optics
from optics.files.opening import find_format, read_lens_bytes, read_lens_file
from psf.errors import InputError

DATA = Path(__file__).parents[2] / "data" / "lens_files"
LENSES = sorted(path.name for path in DATA.iterdir() if path.suffix != ".agf")
# Focal length in mm at the file's reference wavelength; those of one prescription in many guises are the same.
TRIPLET_EFL_MM = 49.99971
SAME = [
    name for name in LENSES if name.endswith(".zmx") and not any(w in name for w in ("asphere", "own", "model", "poly"))
]


@pytest.mark.parametrize("name", LENSES)
def test_each_file_makes_a_lens_whose_numbers_are_finite(name):
    found = read_lens_file(DATA / name)
    assert all(bool(value.isfinite().all()) for value in found.lens.parameters().values())
    assert found.lens.file_sha256
    assert all(one.kind in ("skipped", "guessed", "fallback") for one in found.notices)


@pytest.mark.parametrize("name", SAME)
def test_one_triplet_in_many_guises_has_one_focal_length(name):
    lens = read_lens_file(DATA / name).lens
    assert float(optics.first_order(lens).efl_mm) == pytest.approx(TRIPLET_EFL_MM, abs=1e-5)


def test_the_same_text_in_every_encoding_makes_the_same_lens():
    lenses = [read_lens_file(DATA / f"triplet{tail}.zmx").lens for tail in ("", "_utf16le", "_utf16be")]
    for other in lenses[1:]:
        for name, value in lenses[0].parameters().items():
            assert torch.equal(value, other.parameters()[name])


@pytest.mark.parametrize("name", ["triplet.zmx", "triplet_utf16le.zmx", "doublet.seq", "deeplens.json"])
def test_a_file_without_its_ending_is_known_by_its_content(name):
    content = (DATA / name).read_bytes()
    assert find_format(content, "lens") == find_format(content, name)


def test_load_reads_foreign_files_and_warns_of_what_was_guessed():
    with pytest.warns(UserWarning, match=r"triplet\.zmx: guessed: .* more; optics\.read_lens_file tells all"):
        lens = optics.load(DATA / "triplet.zmx")
    assert lens.name == "triplet"


def test_our_own_json_has_nothing_to_tell(tmp_path):
    optics.save(optics.load("cooke_triplet"), tmp_path / "lens.json")
    found = read_lens_file(tmp_path / "lens.json", pitch_um=2.5, image_shape_px=(30, 40))
    assert found.format == "psfield"
    assert found.notices == ()
    assert (found.lens.sensor.image_shape_px, found.lens.sensor.pitch_um) == ((30, 40), 2.5)


def test_fields_and_wavelengths_of_the_file_are_handed_on():
    found = read_lens_file(DATA / "triplet.zmx")
    assert found.wavelengths_um == (0.4861327, 0.5875618, 0.6562725)
    assert found.weights == (1, 2, 1)
    assert (found.fields.kind, found.fields.points) == ("angle_deg", ((0, 0), (0, 10), (0, 14)))
    assert found.lens.reference_wavelength_um == 0.5875618


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no_such"):
        read_lens_file(tmp_path / "no_such.zmx")
    with pytest.raises(InputError, match=tmp_path.name):
        read_lens_file(tmp_path)


@pytest.mark.parametrize(("keys", "said"), [({"pitch_um": 0}, "pitch_um"), ({"image_shape_px": (0, 4)}, "image_shape")])
def test_a_sensor_that_cannot_be_is_refused(keys, said):
    with pytest.raises(InputError, match=said):
        read_lens_file(DATA / "triplet.zmx", **keys)


def test_a_sensor_of_the_callers_choice_is_no_guess():
    found = read_lens_file(DATA / "triplet.zmx", pitch_um=4.0, image_shape_px=(400, 600))
    assert found.lens.sensor == optics.Sensor((400, 600), 4.0)
    assert not [one for one in found.notices if one.text.startswith("sensor")]


def test_pixels_of_a_pitch_cover_the_fields_of_the_file():
    sensor = read_lens_file(DATA / "image_height.zmx", pitch_um=2.0).lens.sensor
    assert sensor.half_diagonal_mm == pytest.approx(11.5, rel=1e-3)


@pytest.mark.parametrize("old", [False, True])
def test_an_archive_is_unpacked_and_its_catalogue_is_used(fuzz, old):
    parts = {name: (DATA / name).read_bytes() for name in ("own_glass.zmx", "own.agf")}
    found = read_lens_bytes(fuzz.pack_zar({**parts, "COATING.DAT": b"MATE SIO2"}, old=old), "lens.zar")
    assert found.format == "zemax archive"
    assert found.lens.surfaces[0].medium.name == "own/MYGLASS"
    assert any("COATING.DAT" in one.text for one in found.notices)


@pytest.mark.parametrize("seed", [1, 2])
def test_broken_files_are_lenses_or_clear_errors(fuzz, seed):
    outcomes = [
        fuzz.examine(name, content, strict=strict)
        for name, content, strict in fuzz.draw_cases(fuzz.read_seeds(), 400, seed)
    ]
    # Both must happen, or the mutations test nothing.
    assert 40 < outcomes.count("lens") < 300


def test_wavelengths_outside_the_data_of_a_glass_are_told():
    text = (DATA / "triplet.zmx").read_text().replace("WAVM 3 0.6562725 1", "WAVM 3 2.8 1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_lens_bytes(text.encode(), "far.zmx")
    assert "range" in {one.kind for one in found.notices}
    assert [c.name for c in found.lens.channels] == ["all"]
