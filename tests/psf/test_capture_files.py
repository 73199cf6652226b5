import json

import numpy as np
import pytest
import torch

from psf.capture_files import CapturePhoto, bin_pixels, read_captures, read_npy, write_captures
from psf.captures import Captures
from psf.errors import InputError

K = 5


def make_captures(count=4, channels=1, height=20, width=24):
    generator = torch.Generator().manual_seed(0)
    sharp = torch.rand((count, channels, height + K - 1, width + K - 1), generator=generator)
    return Captures.from_arrays(
        sharp,
        sharp[..., 2:-2, 2:-2],
        torch.arange(count),
        2 * torch.arange(count),
        [0.5, 0.5, 0.8, 1.0][:count],
        (60, 80),
        K,
        [0.5, 0.7] * (count // 2),
        pitch_um=3.5,
        sharp_f_number=22,
        provenance={"made": "here"},
    )


def same(found, wanted):
    assert len(found) == len(wanted)
    for name in ("sharp", "blurred", "x0_px", "y0_px", "depth_m", "focus_m"):
        assert getattr(found, name).equal(getattr(wanted, name)), name
    for name in ("image_shape_px", "kernel_px", "pitch_um", "f_number", "sharp_f_number", "provenance"):
        assert getattr(found, name) == getattr(wanted, name), name


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["shots", "shots.npz"])
def test_what_is_written_is_read_again(tmp_path, channels, name):
    captures = make_captures(channels=channels)
    write_captures(tmp_path / name, captures)
    same(read_captures(tmp_path / name), captures)
    assert not list(tmp_path.rglob("*.part"))


def test_pictures_are_read_when_a_pair_is_asked_for(tmp_path):
    write_captures(tmp_path / "shots", make_captures())
    seen = []

    def read(file, bin_px, encoding):
        seen.append(file.name)
        return read_npy(file, bin_px, encoding)

    captures = read_captures(tmp_path / "shots", read)
    assert seen == ["0000_sharp.npy", "0000_blurred.npy"]
    chosen = captures.at_focus(0.7)
    assert len(seen) == 2
    assert chosen[1].blurred.shape == (1, 20, 24)
    assert seen[2:] == ["0003_sharp.npy", "0003_blurred.npy"]


def write_folder(folder, changes=None, pairs=None, sharp=None, blurred=None):
    """Two whole photographs of a sensor of 40 x 30, and a manifest."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(1)
    light = torch.rand(30, 40, generator=generator).numpy() if sharp is None else sharp
    np.save(folder / "s.npy", light)
    np.save(folder / "b.npy", light if blurred is None else blurred)
    entry = {"sharp": "s.npy", "blurred": "b.npy", "depth_m": 0.6}
    data = {"schema": "psfield-captures-1", "kernel_px": K, "focus_m": 0.5, "pairs": [entry]}
    if pairs is not None:
        data["pairs"] = [{key: value for key, value in {**entry, **one}.items() if value is not None} for one in pairs]
    data = {key: value for key, value in {**data, **(changes or {})}.items() if value is not None}
    (folder / "captures.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


def test_pictures_of_one_size_lose_the_border_that_kernels_need(tmp_path):
    captures = read_captures(write_folder(tmp_path / "a"))
    assert captures.image_shape_px == (30, 40)
    assert captures.shape_px == (26, 36)
    assert (float(captures.x0_px), float(captures.y0_px)) == (2, 2)
    pair = captures[0]
    assert pair.sharp.shape == (1, 30, 40)
    assert pair.blurred.equal(pair.sharp[:, 2:-2, 2:-2])


def test_windows_count_from_the_files_first_pixel_and_pairs_speak_before_the_top(tmp_path):
    changes = {"image_shape_px": [300, 400], "window_px": [10, 20], "f_number": 2.8}
    folder = write_folder(tmp_path / "a", changes, [{}, {"window_px": [30, 40], "focus_m": 0.9}])
    captures = read_captures(folder / "captures.json")
    assert captures.x0_px.tolist() == [12, 32]
    assert captures.y0_px.tolist() == [22, 42]
    assert captures.focus_m.tolist() == [0.5, 0.9]
    assert captures.f_number == 2.8
    assert captures.names == ("b.npy", "b.npy")


def test_pixels_are_binned_and_counted_after_it(tmp_path):
    captures = read_captures(write_folder(tmp_path / "a", {"bin": 3}))
    assert captures.image_shape_px == (10, 13)
    light = np.load(tmp_path / "a" / "s.npy")
    assert float(captures[0].sharp[0, 1, 2]) == pytest.approx(float(light[3:6, 6:9].mean()))
    with pytest.raises(InputError, match="bin: found 9"):
        bin_pixels(torch.zeros(1, 8, 8), 9)


BAD_JSON = [
    ({"schema": "other"}, None, ["schema", "'other'", "psfield-captures-1"]),
    ({"kernel_pixels": 5}, None, ["kernel_pixels", "nobody knows"]),
    ({"kernel_px": 4}, None, ["kernel_px", "4", "odd"]),
    ({"kernel_px": None}, None, ["kernel_px", "None"]),
    ({"bin": 0}, None, ["bin", "0"]),
    ({"encoding": "gamma"}, None, ["encoding", "gamma", "linear"]),
    ({"pairs": []}, None, ["pairs", "at least one"]),
    ({"pairs": [3]}, None, ["pairs[0]", "int"]),
    ({"focus_m": None}, None, ["pairs[0].focus_m", "None"]),
    ({"pitch_um": "small"}, None, ["pitch_um", "'small'"]),
    ({"image_shape_px": [5]}, None, ["image_shape_px", "[5]"]),
    ({"image_shape_px": [20, 40]}, None, ["b.npy", "36 x 26", "40 x 20"]),
    ({"provenance": 1}, None, ["provenance", "int"]),
    ({}, [{"depth_m": 0}], ["pairs[0].depth_m", "0"]),
    ({}, [{"depth_m": None}], ["pairs[0].depth_m", "None"]),
    ({}, [{}, {"depht_m": 1}], ["pairs[1].depht_m", "a key that no pair has"]),
    ({}, [{"sharp": 7}], ["pairs[0].sharp", "7"]),
    ({}, [{"window_px": [1]}], ["pairs[0].window_px", "[1]"]),
    ({}, [{"window_px": [3, 0]}], ["b.npy", "x0_px", "5, 2"]),
]


@pytest.mark.parametrize(("changes", "pairs", "words"), BAD_JSON, ids=[words[0] + words[1] for _, _, words in BAD_JSON])
def test_manifests_that_cannot_be_are_one_line(tmp_path, changes, pairs, words):
    folder = write_folder(tmp_path / "a", changes, pairs)
    with pytest.raises(InputError) as caught:
        read_captures(folder)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "psfield-captures-1"'])
def test_manifest_that_is_no_json_object_is_named(tmp_path, text):
    (tmp_path / "captures.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"captures\.json"):
        read_captures(tmp_path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_captures(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"captures\.json"):
        read_captures(tmp_path)
    folder = write_folder(tmp_path / "a", pairs=[{}, {"blurred": "gone.npy"}])
    with pytest.raises(FileNotFoundError, match=r"gone\.npy.*pairs\[1\]\.blurred"):
        read_captures(folder)


def test_pictures_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(InputError, match=r"s\.npy: found 40 x 30 px of 1 channels beside 39 x 30 px"):
        read_captures(write_folder(tmp_path / "a", blurred=np.ones((30, 39), np.float32)))
    folder = write_folder(tmp_path / "b", {}, [{}, {"sharp": "s2.npy", "blurred": "b2.npy"}])
    for name in ("s2.npy", "b2.npy"):
        np.save(folder / name, np.ones((20, 40), np.float32))
    captures = read_captures(folder)
    with pytest.raises(InputError, match=r"b2\.npy: found 36 x 16 px of 1 channels, expected 36 x 26 px"):
        captures[1]


def test_pixels_that_are_not_numbers_are_found_in_their_file(tmp_path):
    light = np.full((30, 40), 0.5, np.float32)
    light[3, 4] = np.nan
    with pytest.raises(InputError, match=r"b\.npy: found 1 pixels that are not finite, the first at \(0, 3, 4\)"):
        read_captures(write_folder(tmp_path / "a", blurred=light))


@pytest.mark.parametrize(
    ("content", "words"),
    [(np.ones((3, 3), np.uint8), "uint8"), (np.ones(3, np.float32), r"\(3,\)"), (b"no array", "whole NPY file")],
)
def test_npy_files_without_linear_light_are_refused(tmp_path, content, words):
    file = tmp_path / "a.npy"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.save(file, content)
    with pytest.raises(InputError, match=words):
        read_npy(file, 1, "auto")
    with pytest.raises(InputError, match=r"render\.read_capture"):
        read_npy(tmp_path / "a.dng", 1, "auto")


def test_npz_files_that_miss_something_say_what(tmp_path):
    np.savez(tmp_path / "a.npz", sharp=np.ones(3))
    with pytest.raises(InputError, match=r"a\.npz: found no blurred, x0_px"):
        read_captures(tmp_path / "a.npz")
    write_captures(tmp_path / "whole.npz", make_captures())
    damaged = bytearray((tmp_path / "whole.npz").read_bytes())
    damaged[len(damaged) // 3 : len(damaged) // 3 + 8] = bytes(8)
    # No archive, what begins or ends as one, and one that cannot be unpacked.
    for content in (b"zip it", b"PK\x03\x04", b"PK\x05\x06", bytes(damaged)):
        (tmp_path / "b.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"b\.npz"):
            read_captures(tmp_path / "b.npz")
    write_captures(tmp_path / "c.npz", make_captures())
    with np.load(tmp_path / "c.npz") as file:
        arrays = {name: file[name] for name in file.files} | {"depth_m": np.zeros(4)}
    np.savez(tmp_path / "c.npz", **arrays)
    with pytest.raises(InputError, match=r"c\.npz: pair 0: depth_m"):
        read_captures(tmp_path / "c.npz")


def test_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "shots").mkdir()
    (tmp_path / "shots" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="new or an empty folder"):
        write_captures(tmp_path / "shots", make_captures())
    assert [one.name for one in (tmp_path / "shots").iterdir()] == ["mine.txt"]


def test_photograph_may_know_what_the_light_does_not_tell():
    photo = CapturePhoto(light=torch.zeros(1, 2, 2), f_number=2.8)
    assert photo.clipped is None
    assert not photo.is_raw


@pytest.mark.parametrize("kind", [">f4", ">f8", "<f2", np.longdouble])
def test_npy_files_of_any_float_are_read_whatever_machine_wrote_them(tmp_path, kind):
    light = np.linspace(0, 1, 12).reshape(3, 4).astype(kind)
    np.save(tmp_path / "a.npy", light)
    found = read_npy(tmp_path / "a.npy", 1, "auto").light
    assert found.dtype == (torch.float64 if np.dtype(kind).itemsize > 4 else torch.float32)
    assert np.array_equal(found[0].numpy(), light.astype(found.numpy().dtype))


def test_manifest_may_begin_with_the_mark_that_editors_of_windows_write(tmp_path):
    captures = make_captures()
    write_captures(tmp_path / "shots", captures)
    manifest = tmp_path / "shots" / "captures.json"
    manifest.write_text(manifest.read_text(encoding="utf-8"), encoding="utf-8-sig")
    same(read_captures(manifest), captures)
