"""Manifests and their files to a field: a traced field written as exports comes back."""

import itertools
import math

import numpy as np
import pytest
import torch

import optics
from psf import InputError, turn
from psf.files.assembly import import_field
from psf.metrics import find_centroid_px, measure_l1

F64 = torch.float64
LINES_UM = (0.6563, 0.5876, 0.4861)
FINE = 4


@pytest.fixture(scope="module")
def traced():
    """A few kernels of the phone-sized f/2.2 lens, four values per pixel and axis."""
    lens = optics.load("f2.2_fixedfocus")
    depths_m, radii = [0.4, 1.5], [0.0, 0.7]
    lines = [[one] for one in LINES_UM]
    return optics.psf_grid(lens, depths_m, radii, kernel_px=41, wavelengths_um=lines, oversample=FINE, dtype=F64)


def _half_mm(field):
    return 0.5 * math.hypot(*field.image_shape_px) * field.pitch_um / 1000


def _settings(field, **more):
    return {
        "pitch_um": field.pitch_um,
        "image_shape_px": list(field.image_shape_px),
        "focus_m": field.focus_m,
        "channels": [{"name": n, "wavelengths_um": [w]} for n, w in zip("RGB", LINES_UM, strict=True)],
        "kernel_px": 31,
        **more,
    }


def _nodes(field):
    depths, radii, channels = field.transmission.shape
    return itertools.product(range(depths), range(radii), range(channels))


def _write_exports(field, folder, export_text, own_centres, encoding="utf-16"):
    """One export per kernel, the field up along y, each channel centred on a point of its own if asked for."""
    files = []
    for d, r, c in _nodes(field):
        fine = field.kernels[d, r, c]
        # A grid of even size, as OpticStudio makes them, with room on all sides.
        size = fine.shape[-1] + 12
        values = torch.zeros((size, size), dtype=F64)
        values[6:-6, 6:-6] = torch.rot90(fine)  # from azimuth 0 to 90 degrees
        step_um = field.pitch_um / FINE
        # The fine field has its middle between values (there are 4 to a pixel): half a step off the middle sample.
        moved = 3 * (1 - c) if own_centres else 0
        row, column = size // 2 - moved, size // 2
        y_mm = float(field.radii[r]) * _half_mm(field) + moved * step_um / 1000
        # The middle sample lies half a step below and right of the chief ray.
        place_mm = (0.5 * step_um / 1000, y_mm - 0.5 * step_um / 1000)
        name = f"d{d}r{r}c{c}.txt"
        text = export_text(
            values,
            spacing_um=step_um,
            waves_um=(LINES_UM[c],),
            field=(0.0, 30.0 * float(field.radii[r])),
            centre=(row + 1, column + 1),
            place_mm=place_mm,
            comma=encoding == "utf-8",
        )
        (folder / name).write_text(text, encoding=encoding)
        files.append(
            {
                "file": name,
                "depth_m": float(field.depths_m[d]),
                "channel": "RGB"[c],
                "radius": float(field.radii[r]),
                "azimuth_deg": 90,
                "transmission": float(field.transmission[d, r, c]),
                "reference_x_mm": 0.0,
                "reference_y_mm": float(field.radii[r]) * _half_mm(field),
            }
        )
    return files


def _truth(field):
    whole = field.kernels.unflatten(-1, (41, FINE)).unflatten(-3, (41, FINE)).sum((-3, -1))[..., 5:-5, 5:-5]
    return whole / whole.sum((-2, -1), keepdim=True)


@pytest.mark.parametrize("own_centres", [False, True])
def test_traced_field_comes_back_from_text_exports(traced, tmp_path, export_text, write_manifest, own_centres):
    files = _write_exports(traced, tmp_path, export_text, own_centres, "utf-8" if own_centres else "utf-16")
    made = import_field(write_manifest(files, **_settings(traced)))
    truth = _truth(traced)
    # Points are not squares: a cubic through the fine values, integrated, against their sums. The kernels are a few
    # pixels wide with edges as sharp as rays make them.
    assert measure_l1(made.field.kernels.double(), truth).max() < 0.01
    assert (find_centroid_px(made.field.kernels.double()) - find_centroid_px(truth)).abs().max() < 0.02
    assert torch.allclose(made.field.transmission.double(), traced.transmission, atol=1e-6)
    assert made.files == len(files)
    assert [one.wavelengths_um for one in made.field.channels] == [(one,) for one in LINES_UM]
    assert not [str(one) for one in made.notices if one.kind == "lost"]


def test_lateral_colour_comes_back_from_centre_coordinates(traced, tmp_path, export_text, write_manifest):
    files = _write_exports(traced, tmp_path, export_text, own_centres=True)
    free = [{key: one for key, one in entry.items() if not key.startswith("reference_")} for entry in files]
    restored = import_field(write_manifest(free, **_settings(traced))).field
    truth = _truth(traced)
    # Against the reference channel's centre, whatever half step that one lies beside the chief ray.
    apart = find_centroid_px(restored.kernels.double()) - find_centroid_px(truth)
    assert (apart - apart[:, :, 1:2]).abs().max() < 0.02
    told = import_field(write_manifest(free, **_settings(traced, reference="centroid"))).notices
    assert any(one.kind == "lost" and "lateral colour" in one.text for one in told)


@pytest.mark.parametrize("azimuth_deg", [90, 37])
def test_folder_of_numbers_comes_back(traced, tmp_path, azimuth_deg):
    lines = [f"# pitch_um: {traced.pitch_um}", f"# image_shape_px: {list(traced.image_shape_px)}"]
    lines += [f"# focus_m: {traced.focus_m}", f"# spacing_um: {traced.pitch_um / FINE}", "# kernel_px: 31"]
    lines += ['# channels: ["R", "G", "B"]', "file,depth_m,radius,azimuth_deg"]
    quarters, rest = divmod(azimuth_deg, 90)
    for d, r in itertools.product(range(2), range(2)):
        values = turn(traced.kernels[d, r], math.radians(rest)).clamp_min(0)
        values = torch.rot90(values, quarters, (1, 2))
        np.save(tmp_path / f"{d}{r}.npy", values.permute(1, 2, 0).numpy())
        lines.append(f"{d}{r}.npy,{float(traced.depths_m[d])},{float(traced.radii[r])},{azimuth_deg}")
    (tmp_path / "kernels.csv").write_text("\n".join(lines))
    field = import_field(tmp_path).field
    tolerance = 0.03 if rest else 1e-6  # turning there and back reads between values of rays' sharp edges twice
    assert measure_l1(field.kernels.double(), _truth(traced)).max() < tolerance
    assert (find_centroid_px(field.kernels.double()) - find_centroid_px(_truth(traced))).abs().max() < 0.02


def test_row_direction_of_files_is_the_manifest_s(tmp_path, lopsided, write_manifest):
    up = lopsided(math.pi / 2)
    np.save(tmp_path / "a.npy", up.flip(0).numpy())
    entry = {"file": "a.npy", "depth_m": 1.0, "channel": "G", "x_px": 199.5, "y_px": 40.0, "spacing_um": 0.5}
    made = import_field(write_manifest([entry], rows="up", samples="points"))
    assert find_centroid_px(made.field.kernels)[..., 0].min() > 0.5
    assert float(made.field.radii[0]) == pytest.approx((149.5 - 40) / 250)
    with pytest.raises(InputError, match=r"a\.npy"):
        # Upside down, the centre row's light still mirrors, but at another azimuth it cannot.
        import_field(write_manifest([{**entry, "x_px": 350.0}], samples="points"))


@pytest.fixture
def one_export(tmp_path, export_text, lopsided):
    """An export of a field up along y, and its entry."""

    def make(entry=None, **said):
        text = export_text(lopsided(math.pi / 2), **{"field": (0.0, 14.0), "waves_um": (0.55,), **said})
        (tmp_path / "a.txt").write_text(text, encoding="utf-16")
        return {"file": "a.txt", "depth_m": 1.0, "channel": "G", **(entry or {})}

    return make


def test_place_comes_from_the_header_where_the_manifest_has_none(one_export, write_manifest):
    half_mm = 0.5  # 500 px of 2 um in the diagonal
    made = import_field(write_manifest([one_export(place_mm=(0.0, 0.3))]))
    assert float(made.field.radii[0]) == pytest.approx(0.3 / half_mm)
    assert find_centroid_px(made.field.kernels)[..., 0].min() > 0.5
    made = import_field(write_manifest([one_export()], focal_mm=1.0))
    assert float(made.field.radii[0]) == pytest.approx(math.tan(math.radians(14)) / half_mm)
    assert any("without distortion" in one.text for one in made.notices)
    made = import_field(write_manifest([one_export({"radius": 0.25})]))
    assert float(made.field.radii[0]) == 0.25
    assert find_centroid_px(made.field.kernels)[..., 0].min() > 0.5


REFUSED = [
    ({}, {}, {}, "focal_mm: found nothing"),
    ({}, {"unit": "mm"}, {}, "of objects or images"),
    ({"radius": 0.3}, {"unit": "mm"}, {}, "azimuth_deg"),
    ({"channel": None}, {}, {}, "channel: found nothing"),
    ({"spacing_um": 1.0}, {}, {}, "says it itself"),
    ({"wavelength_um": 0.65}, {}, {}, r"wavelengths 0\.55 to 0\.55 um, expected 0\.65"),
    ({"x_deg": 0, "y_deg": 10}, {}, {}, "as the manifest says"),
    ({"image_x_mm": 0, "image_y_mm": 0.7}, {}, {}, "the sensor's corner"),
    ({"radius": 0.3, "azimuth_deg": 0}, {}, {}, "mirror image"),
    ({"radius": 0.3}, {}, {"channels": [{"name": "G", "wavelengths_um": [0.6]}]}, r"0\.55 um .* expected 0\.6 um"),
    ({"radius": 0.3}, {"waves_um": (0.5, 0.6)}, {"channels": [{"name": "G", "wavelengths_um": [0.6]}]}, "0.6 to 0.6"),
    ({"radius": 0.3, "reference_x_mm": 0, "reference_y_mm": 0}, {}, {}, "centre coordinates to compare"),
    ({"radius": 0.3, "file": "none.txt"}, {}, {}, "no such file"),
]


@pytest.mark.parametrize(("entry", "said", "settings", "words"), REFUSED, ids=[words for *_, words in REFUSED])
def test_file_and_manifest_that_contradict_are_refused(one_export, write_manifest, entry, said, settings, words):
    found = {key: one for key, one in one_export(entry, **said).items() if one is not None}
    with pytest.raises((InputError, FileNotFoundError), match=words) as caught:
        import_field(write_manifest([found], **settings))
    assert "\n" not in str(caught.value)
    assert "manifest.json" in str(caught.value) or "channel" in str(caught.value)


def test_polychromatic_exports_of_a_channel_span_the_same_wavelengths(tmp_path, export_text, lopsided, write_manifest):
    files = []
    for n, waves in enumerate([(0.5, 0.6), (0.5, 0.65)]):
        text = export_text(lopsided(math.pi / 2), waves_um=waves, field=(0, 5.0 + n))
        (tmp_path / f"{n}.txt").write_text(text, encoding="utf-8")
        files.append({"file": f"{n}.txt", "depth_m": 1.0, "channel": "G", "radius": 0.3 + 0.1 * n})
    with pytest.raises(InputError, match=r"0\.5 to 0\.65 um, expected 0\.5 to 0\.6 um as elsewhere"):
        import_field(write_manifest(files))


def test_field_knows_where_it_came_from(one_export, write_manifest):
    path = write_manifest([one_export({"radius": 0.3})], lens="a lens", source="somebody")
    first, second = (import_field(path).field.provenance for _ in range(2))
    assert (first.lens, first.source, len(first.file_sha256)) == ("a lens", "somebody", 64)
    assert first == second
    assert first.arguments["kinds"] == ["OpticStudio huygens PSF"]


def test_a_window_of_no_pixels_is_refused_and_not_taken_for_none(one_export, write_manifest):
    manifest = write_manifest([one_export({"radius": 0.25})])
    with pytest.raises(InputError, match="kernel_px: found 0"):
        import_field(manifest, kernel_px=0)
