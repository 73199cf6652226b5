import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from learn.deblur.commands_restore import RestoreOptions, make_handling, name_software, restore_files, run_restore
from learn.deblur.notes import make_notes
from learn.deblur.restoring import Handling, open_restorer, restore_raw
from learn.networks import find_config, make_network, save_network
from psf import InputError
from render import RawFile, read_picture, read_raw, write_dng
from render.tiff_tags import read_tags

ROOT = Path(__file__).resolve().parents[3]
SIDES_PX = (66, 84)  # smaller than the sensor, so that a test takes no time


def make_model(synthesis, path, **changes):
    varied = synthesis.varied(**changes)
    colours = 3 if varied.settings.space == "rgb" else 4
    g = torch.Generator().manual_seed(5)
    config = find_config("tiny", in_planes=len(varied.settings.planes), out_planes=colours)
    network = make_network(config, generator=g)
    with torch.no_grad():
        network.ending.weight.uniform_(-0.02, 0.02, generator=g)
    save_network(network, path, notes=make_notes(varied, 10))
    return path


def make_photo(seed=0, shape_px=SIDES_PX, **changes):
    g = torch.Generator().manual_seed(seed)
    light = torch.nn.functional.interpolate(torch.rand((1, 1, 12, 12), generator=g), shape_px, mode="bilinear")[0, 0]
    values = {
        "black_dn": torch.tensor([64.0, 64, 64, 64]),
        "white_dn": 1023.0,
        "white_balance": torch.tensor([2.0, 1, 1.6]),
        "color_matrices": ((21, torch.tensor([[0.7, -0.2, -0.05], [-0.4, 1.2, 0.2], [-0.1, 0.2, 0.6]])),),
        "iso": 800.0,
        "exposure_s": 0.01,
        "f_number": 2.2,
        "orientation": 6,
        "make": "Maker",
        "model": "Model",
    }
    return RawFile((64 + 959 * light).round().to(torch.uint16), "GRBG", **(values | changes))


@pytest.fixture
def model(synthesis, tmp_path):
    return make_model(synthesis, tmp_path / "network.pt")


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "in"
    place.mkdir()
    for seed, name in enumerate(("a", "b")):
        write_dng(place / f"{name}.dng", make_photo(seed))
    return place


def options(model, inputs, out, **more):
    return RestoreOptions(inputs=(inputs,), model=model, out=out, **({"any_lens": True, "any_sensor": True} | more))


def test_a_dng_comes_back_as_a_dng_with_all_that_it_told(model, folder, tmp_path):
    said, steps = [], []
    out = tmp_path / "out"
    code = run_restore(options(model, folder, out), say=said.append, on_progress=lambda *one: steps.append(one))
    assert code == 0
    assert said == [f"restored: 2 of 2; in {out}"]
    assert steps[-1] == (2000, 2000)
    assert steps == sorted(steps)
    source, restored = read_raw(folder / "a.dng"), read_raw(out / "a.dng")
    for name in ("white_dn", "iso", "exposure_s", "f_number", "orientation", "make", "model", "pattern", "shape_px"):
        assert getattr(restored, name) == getattr(source, name)
    for name in ("black_dn", "white_balance", "xyz_to_camera"):
        torch.testing.assert_close(getattr(restored, name), getattr(source, name))
    wanted = restore_raw(source, open_restorer(model), Handling(any_sensor=True))
    assert torch.equal(restored.mosaic.int(), wanted.mosaic.int())
    assert not torch.equal(restored.mosaic.int(), source.mosaic.int())
    assert "restored by network.pt for the lens" in read_tags(out / "a.dng").first.text(305)


def test_several_formats_and_a_picture_of_before_and_after(model, folder, tmp_path):
    out = tmp_path / "out"
    chosen = options(model, folder / "a.dng", out, format=("dng", "png", "tif"), before_after=True)
    assert run_restore(chosen) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.dng", "a.png", "a.tif", "a_before_after.png"]
    png, tif = (read_picture(out / f"a.{kind}") for kind in ("png", "tif"))
    assert png.shape == (1, 3, 84, 66)  # turned upright
    assert torch.equal(png, tif)
    with Image.open(out / "a_before_after.png") as sheet:
        assert sheet.size[0] > 1600


def test_one_photograph_may_go_to_one_named_file(model, folder, tmp_path):
    assert run_restore(options(model, folder / "a.dng", tmp_path / "better.tif")) == 0
    assert read_picture(tmp_path / "better.tif").shape == (1, 3, 84, 66)


def test_a_bad_file_among_many_is_named_and_stops_nothing(model, folder, tmp_path):
    (folder / "aa.dng").write_text("nothing")
    with pytest.warns(UserWarning, match=r"^not restored: aa.dng: found .* expected a whole file"):
        code = run_restore(options(model, folder, tmp_path / "out"))
    assert code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.dng", "b.dng"]


def test_a_photograph_of_another_sensor_is_refused_unless_told(model, folder, tmp_path):
    one = options(model, folder / "a.dng", tmp_path / "out", any_sensor=False)
    with pytest.warns(UserWarning, match=r"^not restored: a.dng: sensor: found a photograph of 84 x 66 px"):
        assert run_restore(one) == 2
    assert run_restore(replace(one, window=(10, 20))) == 0


def test_nothing_but_bad_files_ends_with_2(model, tmp_path):
    (tmp_path / "a.dng").write_text("nothing")
    with pytest.warns(UserWarning, match="not restored: a.dng"):
        assert run_restore(options(model, tmp_path / "a.dng", tmp_path / "out")) == 2
    with pytest.warns(UserWarning, match="no such file"):
        assert run_restore(options(model, tmp_path / "gone.dng", tmp_path / "out")) == 2


def test_what_is_there_is_kept_and_what_is_missing_is_made(model, folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.dng").write_bytes(b"mine")
    (out / ".b.dng.0123456789ab.part").write_bytes(b"half")
    made = restore_files(options(model, folder, out))
    assert ([path.name for path in made.kept], [path.name for path in made.written]) == (["a.dng"], ["b.dng"])
    assert (out / "a.dng").read_bytes() == b"mine"
    assert sorted(path.name for path in out.iterdir()) == ["a.dng", "b.dng"]
    restore_files(options(model, folder, out, overwrite=True))
    assert read_raw(out / "a.dng").shape_px == SIDES_PX


def test_a_killed_run_leaves_whole_files_only_and_goes_on(model, folder, tmp_path):
    for seed in range(2, 40):
        write_dng(folder / f"p{seed:02d}.dng", make_photo(seed))
    out = tmp_path / "out"
    lines = [
        "from pathlib import Path",
        "from learn.deblur.commands_restore import RestoreOptions, run_restore",
        f"run_restore(RestoreOptions(inputs=(Path({str(folder)!r}),), model=Path({str(model)!r}), "
        f"out=Path({str(out)!r}), any_lens=True, any_sensor=True, format=('dng', 'png')))",
    ]
    process = subprocess.Popen([sys.executable, "-c", "\n".join(lines)], cwd=ROOT)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline and not (out / "p03.dng").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = [path for path in out.iterdir() if not path.name.startswith(".")]
    assert 0 < len(found) < 80
    for path in found:
        if path.suffix == ".dng":
            assert read_raw(path).shape_px == SIDES_PX
        else:
            read_picture(path)
    for path in folder.glob("p[123]*.dng"):
        path.unlink()
    made = restore_files(options(model, folder, out, format=("dng", "png")))
    assert made.failed == ()
    assert not list(out.glob(".*"))


def test_a_photograph_through_another_lens_is_refused_unless_told(model, folder, lens, tmp_path):
    lens().save(tmp_path / "same.h5")
    lens(seed=1).save(tmp_path / "other.h5")
    one = folder / "a.dng"
    with pytest.raises(InputError, match=r"other.h5: found the lens .*--any-lens"):
        restore_files(options(model, one, tmp_path / "out", any_lens=False, field=tmp_path / "other.h5"))
    assert restore_files(options(model, one, tmp_path / "1", any_lens=False, field=tmp_path / "same.h5")).written
    assert restore_files(options(model, one, tmp_path / "2", field=tmp_path / "other.h5")).written
    with pytest.warns(UserWarning, match="nothing of the lens"):
        assert restore_files(options(model, one, tmp_path / "3", any_lens=False)).written


def test_the_simulated_cameras_files_name_their_lens(synthesis, lens, tmp_path):
    field = lens()
    named = replace(field, provenance=replace(field.provenance, lens="own lens"))
    own = replace(synthesis, camera=replace(synthesis.camera, field=named))
    model = make_model(own, tmp_path / "network.pt")
    for name in ("own lens", "another"):
        write_dng(tmp_path / f"{name}.dng", make_photo(make="psfield", lens=name))
    assert run_restore(options(model, tmp_path / "own lens.dng", tmp_path / "out", any_lens=False)) == 0
    with pytest.warns(UserWarning, match="another.dng: lens: found another, expected own lens"):
        assert run_restore(options(model, tmp_path / "another.dng", tmp_path / "out", any_lens=False)) == 2


def test_a_network_of_developed_pictures_writes_pictures_only(synthesis, folder, tmp_path):
    model = make_model(synthesis, tmp_path / "network.pt", space="rgb")
    with pytest.raises(InputError, match=r"--format: found dng for network.pt, a network of developed pictures"):
        restore_files(options(model, folder, tmp_path / "out", format=("dng",)))
    restore_files(options(model, folder / "a.dng", tmp_path / "out", before_after=True))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "a_before_after.png"]


@pytest.mark.filterwarnings("ignore:.*no colour matrix of the camera; developing")
def test_pictures_need_the_cameras_colours(model, tmp_path):
    photo = make_photo(color_matrices=())
    write_dng(tmp_path / "a.dng", photo)
    with pytest.warns(UserWarning, match="colours: found no colour matrix"):
        assert run_restore(options(model, tmp_path / "a.dng", tmp_path / "out", format=("png",))) == 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"iso_scale": 0.0}, "--iso-scale: found 0.0"),
        ({"strength": 2.0}, "--strength: found 2.0"),
        ({"device": "toaster"}, "--device: found 'toaster'"),
        ({"model": Path("gone.pt")}, "gone.pt: no such file"),
        ({"inputs": (Path("gone"),), "out": Path("gone/out")}, "gone: no such folder to make out in"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(model, folder, tmp_path, more, words):
    chosen = replace(options(model, folder, tmp_path / "out"), **more)
    with pytest.raises((InputError, FileNotFoundError), match=words):
        restore_files(chosen)
    assert not (tmp_path / "out").exists()


def test_the_note_in_a_dng_is_plain_ascii_and_tells_what_was_asked_for(model, folder, tmp_path):
    restorer = open_restorer(model)
    named = replace(restorer, notes=replace(restorer.notes, lens="Objektiv 50 mm für Bärte"))
    note = name_software(named, options(model, folder, tmp_path, iso_scale=2.0, strength=0.5))
    assert note.isascii()
    assert note.endswith("ISO x 2, strength 0.5")
    assert make_handling(options(model, folder, tmp_path, iso_scale=2.0)).iso_scale == 2.0


def test_files_that_are_no_bayer_mosaics_are_told_in_one_line_each(model, tmp_path, shared):
    names = ("made_xtrans.dng", "made_linear_u16.dng", "made_mono.dng", "bad_truncated_70.dng")
    photos = tuple(shared / "data" / "raw" / name for name in names)
    if not all(photo.is_file() for photo in photos):
        pytest.skip("the folder 'shared' holds no RAW files")
    chosen = replace(options(model, photos[0], tmp_path / "out"), inputs=photos)
    reasons = [reason for _, reason in restore_files(chosen).failed]
    assert reasons[0].startswith("found an X-Trans mosaic")
    assert [reason.count("\n") for reason in reasons] == [0] * len(names)
