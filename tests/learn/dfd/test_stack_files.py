import json

import pytest
import torch

from learn.dfd.depth_stream import open_shelf
from learn.dfd.stack_files import decode_stack, encode_stack, write_stacks
from learn.dfd.stack_synthesis import draw_stack
from learn.shards import decode_sample
from psf import InputError


@pytest.fixture(scope="module")
def quick(synthesis):
    return synthesis.varied(blur="blend", scenes="one_plane", textures=("noise",))


def check_same(one, other):
    for name in ("stack", "focus_m", "depth_m", "in_front", "blur_px", "radius"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    for name in ("image_shape_px", "encoding", "bits", "drawn"):
        assert getattr(one, name) == getattr(other, name), name


@pytest.mark.parametrize("changes", [{}, {"bits": 8, "encoding": "srgb"}, {"bits": 16, "noise": "none"}])
def test_a_stack_comes_out_as_it_went_in(synthesis, changes):
    sample = draw_stack(synthesis.varied(**changes), 2)
    record = encode_stack(sample)
    assert record["dn"].dtype == ("uint8" if sample.bits == 8 else "uint16")
    stored = {name: torch.as_tensor(value) if name != "about" else value for name, value in record.items()}
    check_same(decode_stack(stored | {"about": json.loads(json.dumps(record["about"]))}), sample)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.startswith(".")}


def test_shards_hold_the_stacks_and_a_run_goes_on_where_it_stopped(quick, tmp_path):
    folder = tmp_path / "shards"
    run = write_stacks(quick, folder, 5, per_shard=2, workers=0)
    assert run.shards.samples == 5
    assert run.lost == ()
    shelf = open_shelf(folder)
    for index in range(5):
        check_same(shelf.read(index), draw_stack(quick, index))
    assert len(json.loads((folder / "stacks.json").read_text())["stacks"]) == 5
    whole = contents(folder)
    (folder / "shard-000001.tar").unlink()
    (folder / "manifest.json").unlink()
    write_stacks(quick, folder, 5, per_shard=2, workers=0)
    assert contents(folder) == whole
    with pytest.raises(InputError, match="to go on with this run, or another folder"):
        write_stacks(quick.varied(seed=8), folder, 5, per_shard=2, workers=0)


@pytest.mark.slow
def test_shards_are_the_same_whoever_makes_them(quick, tmp_path):
    for workers in (0, 2):
        write_stacks(quick, tmp_path / str(workers), 4, per_shard=1, workers=workers)
    assert contents(tmp_path / "0") == contents(tmp_path / "2")


def test_other_samples_are_refused():
    with pytest.raises(InputError, match="stack 000000003: found no dn"):
        decode_stack(decode_sample({"__key__": "000000003", "about.json": b"{}"}))
