"""Runs: files that are whole or not there, folders that keep to their settings, random numbers by place."""

import functools
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from psf.errors import InputError
from psf.jobs import Failure, JobError
from psf.runs import (
    begin_run,
    load_npy,
    load_tiff,
    make_files,
    make_generator,
    read_json,
    read_settings,
    whole_file,
    write_json,
)


def draw(seed, index):
    return torch.rand(4, generator=make_generator(seed, index)).tolist()


def test_random_numbers_hang_on_seed_and_place_and_nothing_else():
    before = torch.get_rng_state()
    assert draw(3, 5) == draw(3, 5)
    assert len({tuple(draw(seed, index)) for seed in range(-2, 3) for index in range(5)}) == 25
    assert torch.get_rng_state().equal(before)


def test_random_numbers_of_neighbouring_places_are_unrelated():
    drawn = torch.stack([torch.randn(2000, generator=make_generator(0, index)) for index in range(20)])
    correlation = torch.corrcoef(drawn) - torch.eye(20)
    assert correlation.abs().max() < 0.1  # four standard deviations of 2000 numbers, 190 pairs


@pytest.mark.parametrize(("seed", "index"), [(1.5, 0), (0, "1"), (True, 0)])
def test_a_place_is_two_whole_numbers(seed, index):
    with pytest.raises(InputError, match="whole number"):
        make_generator(seed, index)


def test_a_file_is_whole_or_the_old_one(tmp_path):
    target = tmp_path / "a.txt"
    with whole_file(target) as part:
        part.write_text("old")
    with pytest.raises(RuntimeError), whole_file(target) as part:  # noqa: PT012
        part.write_text("ne")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"


def test_what_a_killed_run_left_goes_when_the_file_is_made(tmp_path):
    (tmp_path / ".a.txt.0123456789ab.part").write_text("half")
    (tmp_path / ".b.txt.0123456789ab.part").write_text("of another file")
    with whole_file(tmp_path / "a.txt") as part:
        part.write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", ".b.txt.0123456789ab.part"}


def test_a_file_needs_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"), whole_file(tmp_path / "no" / "a.txt"):
        pass
    with pytest.raises(InputError, match="the name of a file"), whole_file(tmp_path):
        pass


def test_a_run_goes_on_with_its_settings_only(tmp_path):
    folder = tmp_path / "run"
    begin_run(folder, {"seed": 1, "depths_m": (0.5, float("inf"))})
    assert read_settings(folder) == {"seed": 1, "depths_m": [0.5, float("inf")]}
    begin_run(folder, {"seed": 1, "depths_m": [0.5, float("inf")]})
    with pytest.raises(InputError, match=r'run: seed: found \{"seed": 1\}, expected \{"seed": 2\}'):
        begin_run(folder, {"seed": 2, "depths_m": [0.5, float("inf")]})


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(InputError, match=r"no run\.json"):
        begin_run(tmp_path, {})
    with pytest.raises(InputError, match="a folder"):
        begin_run(tmp_path / "photo.jpg", {})
    with pytest.raises(FileNotFoundError):
        begin_run(tmp_path / "no" / "run", {})
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize("text", ["{", "[]"])
def test_damaged_settings_are_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json"):
        read_settings(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_settings(tmp_path / "no")


def write(log, item, part):
    log.append(item)
    if item == 2:
        part.write_text("half")
        raise ValueError("no twos")
    part.write_text(str(item))


def test_files_that_are_there_are_not_made_again(tmp_path):
    log, progress = [], []
    paths = [tmp_path / f"{n}.txt" for n in range(4)]
    paths[1].write_text("there")
    made = make_files(
        functools.partial(write, log),
        range(4),
        paths,
        workers=0,
        on_error="keep",
        on_progress=lambda *at: progress.append(at),
    )
    assert log == [0, 2, 3]
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [made[n] for n in (0, 1, 3)] == [paths[n] for n in (0, 1, 3)]
    assert isinstance(made[2], Failure)
    assert (made[2].index, str(made[2])) == (2, "2.txt: ValueError: no twos")
    assert {path.name for path in tmp_path.iterdir()} == {"0.txt", "1.txt", "3.txt"}
    with pytest.raises(JobError, match=r"2\.txt: ValueError: no twos"):
        make_files(functools.partial(write, log), range(4), paths, workers=0)


def test_another_run_that_was_first_is_no_failure(tmp_path):
    def overtaken(_item, part):
        write_json(tmp_path / "a.json", [1])  # takes our part for a leftover
        assert not part.exists()

    assert make_files(overtaken, [0], [tmp_path / "a.json"], workers=0) == [tmp_path / "a.json"]


@pytest.mark.parametrize("paths", [["a"], ["a", "a"]])
def test_every_item_has_its_own_path(paths):
    with pytest.raises(InputError, match="one per item"):
        make_files(Path.write_text, [1, 2], paths, workers=0)


def test_brackets_in_a_name_are_no_pattern(tmp_path):
    (tmp_path / ".lens1.json.0123456789ab.part").write_text("another file, being written")
    (tmp_path / ".lens[1].json.0123456789ab.part").write_text("left of this one")
    write_json(tmp_path / "lens[1].json", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lens1.json.0123456789ab.part", "lens[1].json"]


def test_json_of_any_editor_is_read(tmp_path):
    (tmp_path / "a.json").write_text('\ufeff{"a": "é"}', encoding="utf-8")
    assert read_json(tmp_path / "a.json", "settings") == {"a": "é"}


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b"[" * 20_000])
def test_what_is_no_json_is_named_in_one_line(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json: found text that is not JSON .* expected settings") as caught:
        read_json(tmp_path / "a.json", "settings")
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"b\.json: no such file"):
        read_json(tmp_path / "b.json", "settings")


def test_an_array_is_read_and_nothing_else(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    assert load_npy(tmp_path / "a.npy").tolist() == [[0, 1, 2], [3, 4, 5]]
    np.savez(tmp_path / "b.npz", x=np.ones(2))
    np.save(tmp_path / "c.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "d.npy").write_bytes(b"PK\x05\x06")
    for name in ("b.npz", "c.npy", "d.npy"):
        with pytest.raises(ValueError, match=r"archive|pickle|zip"):
            load_npy(tmp_path / name)


def test_a_tiff_file_is_read_as_rows_columns_and_channels(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    picture = np.arange(24, dtype=np.uint16).reshape(2, 4, 3)
    tifffile.imwrite(tmp_path / "rgb.tif", picture, photometric="rgb")
    tifffile.imwrite(tmp_path / "planes.tif", np.moveaxis(picture, 2, 0), photometric="rgb", planarconfig="separate")
    tifffile.imwrite(tmp_path / "grey.tif", picture[..., 0], photometric="minisblack")
    assert np.array_equal(load_tiff(tmp_path / "rgb.tif", kinds=("RGB",)), picture)
    assert np.array_equal(load_tiff(tmp_path / "planes.tif"), picture)
    assert np.array_equal(load_tiff(tmp_path / "grey.tif"), picture[..., 0])


def test_what_is_no_tiff_file_of_one_picture_is_refused(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "pages.tif", np.zeros((2, 4, 5), np.uint8), photometric="minisblack")
    tifffile.imwrite(tmp_path / "white.tif", np.zeros((4, 5), np.uint8), photometric="miniswhite")
    (tmp_path / "none.tif").write_bytes(b"II*\0")
    with pytest.raises(InputError, match=r"pages.tif: found 2 pages, expected one"):
        load_tiff(tmp_path / "pages.tif")
    with pytest.raises(InputError, match="found photometric kind MINISWHITE, expected MINISBLACK or RGB"):
        load_tiff(tmp_path / "white.tif", kinds=("MINISBLACK", "RGB"))
    with pytest.raises(ValueError, match=r".+"):
        load_tiff(tmp_path / "none.tif")


@pytest.mark.parametrize(("name", "load"), [("a.npy", load_npy), ("a.tif", load_tiff)])
def test_whatever_a_damaged_file_does_to_its_reader_is_one_kind_of_error(tmp_path, name, load):
    file, draw, refused = tmp_path / name, random.Random(2), 0
    picture = np.arange(600, dtype=np.uint16).reshape(20, 30)
    if name == "a.npy":
        np.save(file, picture)
    else:
        pytest.importorskip("tifffile").imwrite(file, picture, photometric="minisblack", compression="zlib")
    whole = file.read_bytes()
    for n in range(120):
        content = bytearray(whole[: draw.randrange(len(whole))] if n % 3 == 0 else whole)
        for _ in range(draw.choice((1, 4, 16)) if content else 0):
            content[draw.randrange(min(len(content), 400))] = draw.randrange(256)
        file.write_bytes(content)
        try:
            load(file)
        except (OSError, ValueError, RuntimeError, EOFError, KeyError, IndexError):
            refused += 1
    assert refused > 30
