import json

import numpy as np
import pytest
import torch

from psf import InputError
from render.bayer import unpack
from render.calibration_files import Reading
from render.calibration_folder import calibrate_folder, tabulate
from render.dng import write_dng
from render.noise import NoiseModel
from render.noise_presets import load_noise
from render.photographs import RawFile
from render.sensor import RawSensor, add_noise

SENSOR, MODEL = RawSensor("GRBG"), load_noise("imx586")
READING = Reading("GRBG", (64.0,), 1023.0, 1.0)


@pytest.fixture(autouse=True)
def one_thread():
    """Small frames: threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Bench:
    """Writes frames of a sensor of 2 x 64 x 64 px."""

    def __init__(self, folder, iso, seed=0, size=64):
        self.folder, self.iso = folder, iso
        self.generator = torch.Generator().manual_seed(seed)
        self.gain = 1 + 0.01 * torch.randn(4, size, size, generator=self.generator)
        self.shot, self.read = (float(one) for one in MODEL.levels(float(iso)))

    def mosaic(self, light):
        noisy = add_noise(light * self.gain, self.shot, self.read, self.generator)
        return unpack(SENSOR.quantised(noisy), SENSOR.pattern).to(torch.int32)

    def write(self, name, light):
        np.save(self.folder / f"{name}.npy", self.mosaic(light).numpy().astype(np.uint16))

    def series(self, levels=6, darks=4, high=0.8, change=1.0):
        for n, light in enumerate(np.geomspace(0.01, high, levels)):
            self.write(f"flat_iso{self.iso}_{n}_a", light)
            self.write(f"flat_iso{self.iso}_{n}_b", light * change)
        for n in range(darks):
            self.write(f"dark_iso{self.iso}_{n}", 0.0)


def check(model, iso, share):
    for found, want in zip(model.levels(float(iso)), MODEL.levels(float(iso)), strict=True):
        assert (found / want - 1).abs().max() < share


def test_a_folder_of_arrays_becomes_the_sensors_model(tmp_path):
    for iso in (400, 1600):
        Bench(tmp_path, iso, seed=iso).series()
    calls = []
    found = calibrate_folder(tmp_path, READING, on_progress=lambda done, files: calls.append((done, files)))
    check(found.model, 400, 0.08)  # 5 standard errors of so few pixels
    check(found.model, 1600, 0.08)
    assert found.model.planes == 4
    assert found.model.name == tmp_path.name
    assert found.notes == ()
    assert calls[0] == (1, 64)
    assert calls[-1] == (64, 64)
    lines = tabulate(found).splitlines()
    assert len(lines) == 9
    assert lines[1].split()[:3] == ["400", "R", "8/8"]
    found.model.save(tmp_path / "sensor.json", found.details())
    assert NoiseModel.load(tmp_path / "sensor.json") == found.model
    details = json.loads((tmp_path / "sensor.json").read_text())["details"]
    assert len(details["measured"][1]["planes"][3]["mean_dn"]) == 8


def test_a_folder_of_dng_files_needs_no_word_at_all(tmp_path):
    bench = Bench(tmp_path, 800, seed=3)
    for n, light in enumerate((*[0.0] * 4, *np.geomspace(0.02, 0.8, 6).repeat(2))):
        facts = {"black_dn": torch.full((4,), 64.0), "white_dn": 1023.0, "iso": 800.0, "exposure_s": 0.01}
        photo = RawFile(mosaic=bench.mosaic(light).to(torch.uint16), pattern=SENSOR.pattern, **facts)
        write_dng(tmp_path / f"IMG_{n:04d}.dng", photo)
    found = calibrate_folder(tmp_path, Reading(crop=1.0))
    check(found.model, 800, 0.08)
    assert found.notes == ("one ISO only: the model holds at ISO 800 and nowhere else",)


def test_single_frames_of_a_scene_do_where_there_are_no_pairs(tmp_path):
    light = torch.from_numpy(np.geomspace(0.005, 0.8, 64)).float()
    light = light[torch.randperm(64, generator=torch.Generator().manual_seed(0))].reshape(8, 8)
    light = light.repeat_interleave(48, 0).repeat_interleave(48, 1)
    for iso in (800, 3200):
        bench = Bench(tmp_path, iso, size=384)
        bench.gain = torch.ones(4, 384, 384)
        bench.write(f"scene_iso{iso}", light)
        bench.write(f"dark_iso{iso}", 0.0)
    found = calibrate_folder(tmp_path, READING)
    assert [one.method for one in found.transfers] == ["tiles", "tiles"]
    check(found.model, 800, 0.12)
    check(found.model, 3200, 0.12)
    assert any("from single frames" in note for note in found.notes)
    with pytest.raises(InputError, match="no pair among them"):
        calibrate_folder(tmp_path, READING, method="pairs")


def test_frames_without_a_partner_are_left_out_with_a_note(tmp_path):
    bench = Bench(tmp_path, 400)
    bench.series()
    bench.write("flat_iso400_extra", 0.1)
    bench.write("scene_iso400", 0.3)
    found = calibrate_folder(tmp_path, READING)
    assert "flat_iso400_extra.npy left out: there is no second frame of its light" in found.notes


def test_an_iso_that_cannot_be_fitted_is_an_error_unless_it_may_be_left_out(tmp_path):
    Bench(tmp_path, 400).series()
    Bench(tmp_path, 1600).series(change=1.05)
    with pytest.raises(InputError, match=r"ISO 1600, plane R: found \d usable levels .*drift"):
        calibrate_folder(tmp_path, READING)
    found = calibrate_folder(tmp_path, READING, lenient=True)
    assert [one.iso for one in found.transfers] == [400]
    assert any(note.startswith("left out: ISO 1600") for note in found.notes)


def test_a_file_given_twice_is_refused_with_its_names(tmp_path):
    bench = Bench(tmp_path, 400)
    bench.series()
    twin = (tmp_path / "flat_iso400_2_a.npy").read_bytes()
    (tmp_path / "flat_iso400_2_b.npy").write_bytes(twin)
    with pytest.raises(InputError, match=r"flat_iso400_2_a\.npy and flat_iso400_2_b\.npy: .* not one file twice"):
        calibrate_folder(tmp_path, READING)


def test_frames_of_two_sizes_or_two_cameras_are_refused(tmp_path):
    bench = Bench(tmp_path, 400)
    bench.series()
    np.save(tmp_path / "flat_iso400_0_b.npy", np.full((64, 64), 74, np.uint16))
    with pytest.raises(InputError, match="one size"):
        calibrate_folder(tmp_path, READING)
    facts = {"black_dn": torch.full((4,), 64.0), "white_dn": 4095.0, "iso": 400.0}
    photo = RawFile(mosaic=torch.full((128, 128), 300, dtype=torch.int32).to(torch.uint16), pattern="GRBG", **facts)
    write_dng(tmp_path / "flat_a.dng", photo)
    photo = RawFile(mosaic=photo.mosaic, pattern="GRBG", **(facts | {"white_dn": 1023.0}))
    write_dng(tmp_path / "flat_b.dng", photo)
    for path in tmp_path.glob("*.npy"):
        path.unlink()
    with pytest.raises(InputError, match=r"\[1023.0, 4095.0\] DN, expected frames of one camera"):
        calibrate_folder(tmp_path, Reading(crop=1.0))


def test_an_unknown_method_is_named(tmp_path):
    with pytest.raises(InputError, match="'best'"):
        calibrate_folder(tmp_path, READING, method="best")
