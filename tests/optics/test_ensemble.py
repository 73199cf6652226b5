"""Folders of fields: the same however they were made, whole, and honest about lenses that failed."""

import hashlib
import json
import math
from dataclasses import asdict

import pytest

import optics
import psf
from optics.ensemble import Ensemble, list_measured, make_ensemble
from optics.tolerance import GLASS, Tolerances, draw_departures, perturbed
from psf.errors import InputError
from psf.jobs import Failure
from psf.runs import make_generator

SMALL = {"depths_m": [math.inf], "radii": [0.0, 1.0], "seed": 3, "focus": "paraxial"}


@pytest.fixture(scope="module")
def lens():
    return optics.load("singlet_biconvex_nbk7")


@pytest.fixture(scope="module")
def made(lens, tmp_path_factory):
    """Three lenses, made here."""
    return make_ensemble(lens, tmp_path_factory.mktemp("run") / "fields", 3, workers=0, **SMALL)


def contents(folder):
    # Digests: a difference of megabytes would take minutes to print.
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def assert_same(folder, other):
    """The same fields; loops that a process compiled itself and those from the cache differ in last bits."""
    assert {path.name for path in folder.iterdir()} == {path.name for path in other.iterdir()}
    for path in folder.glob("*.h5"):
        one, two = psf.load(path), psf.load(other / path.name)
        assert (one.kernels - two.kernels).abs().max() < 1e-8
        assert (one.transmission - two.transmission).abs().max() < 1e-6
        assert (one.lost - two.lost).abs().max() < 1e-6
        assert one.provenance.arguments["departures"] == two.provenance.arguments["departures"]


def test_every_lens_has_its_file_and_its_row(made):
    names = ["nominal.h5", *(f"field_{index:05d}.h5" for index in range(3))]
    assert [path.name for path in made.files] == names
    assert set(contents(made.folder)) == {*names, "run.json", "manifest.json"}
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert manifest["fields"] == list_measured(made)
    assert [row["file"] for row in manifest["fields"]] == names
    assert manifest["failed"] == []
    assert len({row["efl_mm"] for row in manifest["fields"]}) == 4


def test_a_field_is_that_of_the_lens_that_its_provenance_tells(made, lens):
    field = psf.load(made.folder / "field_00002.h5")
    generator = make_generator(3, 2)
    drawn = perturbed(lens, GLASS, generator=generator, focus="paraxial")
    expected = optics.psf_grid(drawn, SMALL["depths_m"], SMALL["radii"], kernel_px=field.kernel_px)
    assert field.kernels.equal(expected.kernels)
    told = field.provenance.arguments
    assert told["departures"] == draw_departures(lens, GLASS, generator=make_generator(3, 2))
    assert (told["seed"], told["index"], told["focus"]) == (3, 2, "paraxial")
    assert told["tolerances"] == asdict(GLASS)
    assert told["measured"]["efl_mm"] == float(optics.first_order(drawn).efl_mm)


def test_the_nominal_field_is_among_them(made, lens):
    nominal = psf.load(made.files[0])
    expected = optics.psf_grid(lens, SMALL["depths_m"], SMALL["radii"])
    assert nominal.kernels.equal(expected.kernels)
    assert nominal.provenance.arguments["departures"] == {}


def test_all_fields_of_a_run_have_one_window(made):
    assert len({psf.load(path).kernels.shape for path in made.files}) == 1


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(made, lens, tmp_path):
    folder = tmp_path / "fields"
    make_ensemble(lens, folder, 1, workers=0, **SMALL)  # fewer at first
    (folder / "field_00000.h5").unlink()
    (folder / ".field_00002.h5.0123456789ab.part").write_bytes(b"half")
    progress = []
    again = make_ensemble(lens, folder, 3, workers=0, on_progress=lambda *at: progress.append(at), **SMALL)
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert len(again.files) == 4
    assert contents(folder) == contents(made.folder)


@pytest.mark.slow
def test_worker_processes_make_the_same_fields(made, lens, tmp_path):
    make_ensemble(lens, tmp_path / "fields", 3, workers=2, **SMALL)
    assert_same(tmp_path / "fields", made.folder)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_ray_cluster_makes_the_same_fields(made, lens, tmp_path):
    pytest.importorskip("ray")
    make_ensemble(lens, tmp_path / "fields", 3, workers=2, ray_address="local", **SMALL)
    assert_same(tmp_path / "fields", made.folder)


def test_other_settings_need_another_folder(made, lens):
    with pytest.raises(InputError, match=r"tolerances, seed"):
        make_ensemble(lens, made.folder, 3, workers=0, tolerances=GLASS.scaled(2), **(SMALL | {"seed": 4}))
    with pytest.raises(InputError, match="lens_sha256"):
        make_ensemble(lens.refocused(3.0), made.folder, 3, workers=0, **SMALL)


def test_a_lens_without_a_field_is_named_and_stops_no_other(lens, tmp_path):
    # Sensors so far from where they belong that some of the blur is wider than the window.
    wild = Tolerances(sensor_um=3000)
    run = make_ensemble(lens, tmp_path / "fields", 4, workers=0, tolerances=wild, **SMALL)
    assert run.failures
    assert len(run.files) > 1
    assert all(isinstance(one, Failure) and one.name.startswith("field_0000") for one in run.failures)
    assert len(run.files) + len(run.failures) == 5
    failed = json.loads((run.folder / "manifest.json").read_text())["failed"]
    assert [row["file"] for row in failed] == [one.name for one in run.failures]
    assert all(row["reason"] for row in failed)


@pytest.mark.parametrize("count", [0, 1.0, True])
def test_at_least_one_lens_is_made(lens, tmp_path, count):
    with pytest.raises(InputError, match="count"):
        make_ensemble(lens, tmp_path / "fields", count, **SMALL)
    assert not list(tmp_path.iterdir())


def test_a_damaged_field_is_named(made, tmp_path):
    damaged = tmp_path / "field_00000.h5"
    damaged.write_bytes(b"not HDF5")
    with pytest.raises(InputError, match=r"field_00000\.h5.*delete it"):
        list_measured(Ensemble(tmp_path, (made.files[0], damaged), ()))
