"""Shards: what goes in comes out, by our reader and by WebDataset's, and the bytes are the same whoever wrote them."""

import hashlib
import importlib
import json
import sys
import tarfile
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from learn.shards import (
    ShardDataset,
    decode_sample,
    list_shards,
    open_webdataset,
    read_about,
    read_shard,
    write_shards,
)
from psf.errors import InputError
from psf.jobs import JobError
from psf.runs import make_generator

# A module of its own: worker processes cannot import a test.
MAKER = """
import torch
from psf.errors import InputError
from psf.runs import make_generator

def make(seed, number):
    generator = make_generator(seed, number)
    if number == 5:
        raise InputError("photo_5.jpg", "0 bytes", "a picture")
    return {
        "input": torch.rand(4, 3, 5, generator=generator),
        "target": (255 * torch.rand(2, 2, generator=generator)).to(torch.uint8),
        "about": {"iso": 400, "photo": "grün.jpg", "window": [1, 2]},
        "thumb.jpg": bytes([255, 216, number]),
    }
"""
COUNT, PER_SHARD = 11, 4


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    """A module that makes samples; every process that shares this one's path can import it."""
    folder = tmp_path_factory.mktemp("maker")
    (folder / "sample_maker.py").write_text(MAKER, encoding="utf-8")
    sys.path.insert(0, str(folder))
    yield importlib.import_module("sample_maker")
    sys.path.remove(str(folder))
    del sys.modules["sample_maker"]


def write(maker, folder, **options):
    given = {"settings": {"seed": 7}, "per_shard": PER_SHARD, "workers": 0} | options
    return write_shards(partial(maker.make, 7), folder, COUNT, **given)


@pytest.fixture(scope="module")
def run(maker, tmp_path_factory):
    return write(maker, tmp_path_factory.mktemp("run") / "shards")


def contents(folder):
    # Digests: a difference of megabytes would take minutes to print.
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.equal(other[name]) if isinstance(value, torch.Tensor) else value == other[name], name


def test_what_goes_in_comes_out(run, maker):
    samples = [sample for path in run.shards for sample in read_shard(path)]
    numbers = [number for number in range(COUNT) if number != 5]
    assert [int(sample.pop("__key__")) for sample in samples] == numbers
    for number, sample in zip(numbers, samples, strict=True):
        same(sample, maker.make(7, number))


def test_a_sample_that_cannot_be_made_is_left_out_and_told(run):
    assert run.samples == COUNT - 1
    assert run.failed == {5: "photo_5.jpg: found 0 bytes, expected a picture"}
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert manifest["failed"] == {"000000005": run.failed[5]}
    assert [(row["first"], row["samples"]) for row in manifest["shards"]] == [(0, 4), (4, 3), (8, 3)]


def test_tar_files_tell_neither_time_nor_owner(run):
    for path in run.shards:
        with tarfile.open(path) as file:
            for member in file:
                assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
                assert member.uname == member.gname == ""


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(run, maker, tmp_path):
    folder = tmp_path / "shards"

    def stop(done, _shards):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(maker, folder, on_progress=stop)
    assert [path.name for path in list_shards(folder)] == ["shard-000000.tar", "shard-000001.tar"]
    progress = []
    again = write(maker, folder, on_progress=lambda *at: progress.append(at))
    assert progress == [(2, 3), (3, 3)]
    assert again.failed == run.failed  # told by the shard, not remembered
    assert contents(folder) == contents(run.folder)


def test_worker_processes_write_the_same_bytes(run, maker, tmp_path):
    write(maker, tmp_path / "shards", workers=2)
    assert contents(tmp_path / "shards") == contents(run.folder)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_ray_cluster_writes_the_same_bytes(run, maker, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path), prepend=":")
    write(maker, tmp_path / "shards", workers=2, ray_address="local")
    assert contents(tmp_path / "shards") == contents(run.folder)


@pytest.mark.filterwarnings("ignore")  # webdataset's own
def test_webdataset_reads_the_same_samples(run):
    pytest.importorskip("webdataset")
    found = list(open_webdataset(run.shards))
    own = [sample for path in run.shards for sample in read_shard(path)]
    assert len(found) == len(own)
    for theirs, ours in zip(found, own, strict=True):
        same({name: value for name, value in theirs.items() if name in ours}, ours)


@pytest.mark.skipif(importlib.util.find_spec("webdataset") is not None, reason="webdataset is installed")
def test_without_webdataset_the_message_says_how_to_get_it(run):
    with pytest.raises(ImportError, match=r"pip install 'psfield\[scale\]'"):
        open_webdataset(run.shards)


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", [None, 3])
def test_ranks_share_the_samples_and_each_comes_once(run, ranks, seed):
    keys = [
        sample["__key__"]
        for rank in range(ranks)
        for sample in ShardDataset(run.shards, rank=rank, ranks=ranks, seed=seed)
    ]
    assert sorted(keys) == [f"{number:09d}" for number in range(COUNT) if number != 5]


def test_an_epoch_has_its_own_order_of_shards_and_keeps_it(run):
    def firsts(dataset):
        return [int(sample["__key__"]) // PER_SHARD for sample in dataset]

    dataset = ShardDataset(run.shards, seed=1)
    orders = {tuple(firsts(dataset.in_epoch(epoch))) for epoch in range(8)}
    assert len(orders) > 1
    assert firsts(dataset.in_epoch(3)) == firsts(ShardDataset(run.shards, seed=1, epoch=3))


def test_a_loader_takes_the_dataset(run):
    loader = DataLoader(ShardDataset(run.shards[:1]), batch_size=2)
    assert [batch["input"].shape for batch in loader] == [(2, 4, 3, 5)] * 2


def test_arrays_keep_their_kind(tmp_path):
    values = {
        "a": torch.arange(6, dtype=torch.float64).reshape(2, 3).T,
        "b": torch.tensor(True),
        "c": torch.zeros(0, 3, dtype=torch.int16),
        "d": np.arange(4, dtype=">f4"),
    }
    write_shards(lambda _: values, tmp_path / "shards", 1, settings={}, workers=0)
    (sample,) = read_shard(tmp_path / "shards" / "shard-000000.tar")
    for name in "abc":
        assert sample[name].dtype == values[name].dtype
        assert sample[name].equal(values[name])
    assert sample["d"].tolist() == [0, 1, 2, 3]
    sample["a"][0, 0] = 5  # a tensor of its own


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        ({}, "at least one"),
        ({"Input": torch.zeros(1)}, "Input"),
        ({"a/b": torch.zeros(1)}, "a/b"),
        ({"__key__": "x"}, "__key__"),
        ({"picture": b"x"}, "suffix"),
        ({"a.npy": b"x"}, "suffix"),
        ({"a.b": 1}, "suffix"),
        ({"a": torch.zeros(1, dtype=torch.bfloat16)}, "dtype that NumPy has"),
        ({"a": np.array(["x"])}, "numbers"),
        ({"a": object()}, "what JSON holds"),
    ],
)
def test_samples_that_a_shard_cannot_hold_are_named(tmp_path, sample, words):
    with pytest.raises(JobError) as caught:
        write_shards(lambda _: sample, tmp_path / "shards", 1, settings={}, workers=0, on_error="raise")
    assert str(caught.value).startswith("shard-000000.tar: sample 0: ")
    assert words in str(caught.value)
    assert not list((tmp_path / "shards").glob("*shard-*"))


def test_a_run_without_any_sample_is_not_one_bad_picture(tmp_path):
    def refuse(_number):
        raise InputError("photos", "no usable picture", "at least one")

    with pytest.raises(JobError, match=r"samples 0 to 2: none can be made: photos: found no usable picture"):
        write_shards(refuse, tmp_path / "shards", 6, settings={}, per_shard=3, workers=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"per_shard": 0}, "per_shard: found 0"),
        ({"on_error": "x"}, "on_error: found 'x'"),
        ({"workers": -1}, "workers: found -1"),
        ({"settings": {"seed": 8}}, "seed"),
        ({"per_shard": 5}, "per_shard"),
    ],
)
def test_other_settings_and_wrong_numbers_are_named(run, maker, options, words):
    with pytest.raises(InputError) as caught:
        write(maker, run.folder, **options)
    assert words in str(caught.value)


def test_what_is_no_shard_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no shards"):
        list_shards(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        next(read_shard(tmp_path / "a.tar"))
    (tmp_path / "a.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(InputError, match=r"a\.tar"):
        next(read_shard(tmp_path / "a.tar"))
    with pytest.raises(InputError, match=r"a\.tar"):
        read_about(tmp_path / "a.tar")
    with pytest.raises(InputError, match="rank"):
        ShardDataset((), rank=1, ranks=1)


def test_a_shard_that_was_cut_off_is_named(run, tmp_path):
    cut = tmp_path / "shard-000000.tar"
    cut.write_bytes(run.shards[0].read_bytes()[:3000])
    with pytest.raises(InputError, match=r"shard-000000\.tar"):
        list(read_shard(cut))


def test_keys_in_underscores_are_not_decoded():
    raw = {"__key__": "1", "__url__": "x", "a.json": b"[1]"}
    assert decode_sample(raw) == {"__key__": "1", "__url__": "x", "a": [1]}


def test_samples_can_be_drawn_again(run, maker):
    number = 9
    again = maker.make(7, number)
    stored = [sample for sample in read_shard(run.shards[2]) if int(sample["__key__"]) == number]
    assert stored[0]["input"].equal(again["input"])
    assert torch.rand(4, 3, 5, generator=make_generator(7, number)).equal(again["input"])
