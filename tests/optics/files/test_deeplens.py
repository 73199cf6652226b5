"""DeepLens JSON of the older and of the newer kind."""

import json
from pathlib import Path

import pytest

import optics
from optics.files.deeplens import parse_deeplens
from optics.files.opening import read_lens_bytes, read_lens_file
from psf.errors import InputError

DATA = Path(__file__).parents[2] / "data" / "lens_files"


def document():
    return json.loads((DATA / "deeplens.json").read_text())


def read(data, **keys):
    return read_lens_bytes(json.dumps(data).encode(), "lens.json", **keys)


def test_older_and_newer_files_of_one_lens_are_the_same():
    old, new = (read_lens_file(DATA / f"deeplens{tail}.json").lens for tail in ("", "_new"))
    for a, b in zip(old.surfaces, new.surfaces, strict=True):
        assert float(a.thickness_mm) == float(b.thickness_mm)
        assert float(a.shape.vertex_curvature_per_mm) == float(b.shape.vertex_curvature_per_mm)
    assert old.sensor == new.sensor == optics.Sensor((1200, 1600), 3.0)
    assert old.stop_surface == 1
    shape = new.surfaces[1].shape
    assert {p: float(a) for p, a in zip(shape.powers, shape.coefficients, strict=True) if a} == {4: -1e-5, 6: 2e-8}


def test_a_bundled_lens_in_the_format_of_deeplens_is_the_same_lens():
    lens = optics.load("phone_deeplens80")
    rows = []
    for i, surface in enumerate(lens.surfaces, start=1):
        row = {"type": "Aspheric", "r": float(surface.semi_aperture_mm), "d_next": float(surface.thickness_mm)}
        row["mat2"] = surface.medium.name
        if i == lens.stop_surface:
            row["type"] = "Stop"
        else:
            row |= {"roc": 1 / float(surface.shape.curvature_per_mm), "k": float(surface.shape.conic_k)}
            row |= {"ai": surface.shape.coefficients.tolist(), "use_ai2": True}
        rows.append(row)
    found = read({"foclen": 4.3, "r_sensor": 3.8, "surfaces": rows})
    # The names of its plastics mean the tables of the package here, which differ in the fifth place.
    efl_mm = float(optics.first_order(lens).efl_mm)
    assert float(optics.first_order(found.lens).efl_mm) == pytest.approx(efl_mm, rel=2e-5)
    assert found.lens.sensor.half_diagonal_mm == pytest.approx(3.8)


def test_other_json_is_not_deeplens():
    assert parse_deeplens(b'{"schema": "psfield-lens-1", "surfaces": []}') is None
    assert parse_deeplens(b"[1]") is None
    assert parse_deeplens(b"{") is None


def changed(index, **keys):
    data = document()
    data["surfaces"][index] |= keys
    return data


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (changed(2, type="Cubic"), r"surfaces\[2\]\.type.*Cubic"),
        (changed(3, is_square=True), "square aperture"),
        (changed(0, type="Plane"), "no aperture stop"),
        ({**document(), "DOE": {"type": "binary2"}}, "diffractive"),
    ],
)
def test_what_has_no_counterpart_is_refused_or_told(data, said):
    with pytest.raises(InputError, match=said):
        read(data)
    assert [one for one in read(data, strict=False).notices if one.kind == "dropped"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (changed(1, mat2="unobtainium"), r"surfaces\[1\]\.mat2.*unobtainium"),
        (changed(1, ai=["a"]), r"surfaces\[1\]\.ai"),
        (changed(1, ai4=3.0), "which the list ai has"),
        (changed(1, r=-1), r"surfaces\[1\]\.r"),
        (changed(1, d_next="x", d=None), "d_next"),
        ({**document(), "surfaces": []}, "surfaces"),
        (changed(2, roc=1e-9), "roc"),
    ],
)
def test_what_makes_no_lens_names_the_key(data, said):
    with pytest.raises(InputError, match=said):
        read(data, strict=False)
