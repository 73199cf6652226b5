from psf.capture_files import KEYS, SCHEMA
from psf.patterns import Display
from psf.shooting import PlannedCamera, plan_shots
from psf.shooting_text import manifest_of, write_plan

CAMERA = PlannedCamera(12.0, 2.8, 22.0, (3888, 5184), 3.36, 4)
PLAN = plan_shots(CAMERA, Display(), near_m=0.5, far_m=1.4, distances=6, focuses=3, patterns=2)


def test_page_has_a_row_per_distance_and_a_column_per_focus():
    text = write_plan(PLAN)
    rows = [line for line in text.splitlines() if line.startswith("| 0.") or line.startswith("| 1.")]
    assert len(rows) == 6
    # Distance, dioptres, three focuses, sharp, display pixel, cover.
    assert {row.count("|") for row in rows} == {9}
    for words in ("48 photographs", "f/22", "13.44 µm", "python -m psf check", *PLAN.warnings()):
        assert words in text


def test_manifest_to_fill_in_names_every_blurred_photograph_once():
    manifest = manifest_of(PLAN)
    assert manifest["schema"] == SCHEMA
    assert set(manifest) <= set(KEYS)
    pairs = manifest["pairs"]
    assert isinstance(pairs, list)
    assert len(pairs) == len({one["blurred"] for one in pairs}) == 6 * 2 * 3
    assert len({one["sharp"] for one in pairs}) == 6 * 2
    assert manifest["image_shape_px"] == [972, 1296]
