import pytest
import torch

from learn.dfd.alignment import align_sample
from learn.dfd.cost_volume import open_cost_volume
from learn.dfd.depth_stream import DepthStream, open_shelf
from learn.dfd.focal_stacks import view_stack
from learn.dfd.stack_files import write_stacks
from learn.dfd.stack_synthesis import draw_stack
from learn.sample_stream import make_loader
from psf import InputError


@pytest.fixture(scope="module")
def quick(synthesis):
    return synthesis.varied(blur="blend", scenes="one_plane", shape_px=(16, 16))


@pytest.fixture(scope="module")
def folder(quick, tmp_path_factory):
    place = tmp_path_factory.mktemp("shards") / "s"
    write_stacks(quick, place, 5, per_shard=2, workers=0)
    return place


def test_stored_stacks_are_those_that_were_made(quick, folder):
    shelf = open_shelf(folder, quick.describe())
    assert len(shelf) == 5
    assert torch.equal(shelf.read(3).stack, draw_stack(quick, 3).stack)


def test_every_epoch_has_each_of_them_once_in_another_order(folder):
    stream = DepthStream(source=open_shelf(folder), batch=1, seed=3)
    epochs = [[stream.make(n).drawn.index for n in range(5 * e, 5 * e + 5)] for e in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == [0, 1, 2, 3, 4]
    assert epochs[0] != epochs[1]


def test_stored_stacks_come_mirrored_one_way_in_one_epoch_and_another_in_the_next(folder):
    stream = DepthStream(source=open_shelf(folder), batch=1)
    ways = {}
    for n in range(40):
        sample = stream.make(n)
        ways.setdefault(sample.drawn.index, set()).add(sample.drawn.window_px)
    assert all(len(places) >= 2 for places in ways.values())
    assert torch.equal(stream.make(7).stack, stream.make(7).stack)


def test_a_step_has_the_same_stacks_however_many_processes_make_them(folder):
    def indices(rank, ranks):
        stream = DepthStream(source=open_shelf(folder), batch=4, rank=rank, ranks=ranks, first_step=2, steps=3)
        return next(iter(make_loader(stream))).index.tolist()

    assert indices(0, 1) == indices(0, 2) + indices(1, 2)


def test_stacks_come_aligned_if_asked_for(quick):
    scales = tuple(one.magnification for one in quick.optics.fields)
    stream = DepthStream(source=quick, magnifications=scales, batch=1)
    sample = draw_stack(quick, 2)
    assert torch.equal(stream.make(2).stack, align_sample(sample, scales).stack)
    assert not torch.equal(stream.make(2).stack, sample.stack)


def test_residuals_come_with_the_stacks_and_are_kept_beside_shards(quick, folder, fields):
    volume = open_cost_volume(fields, depth_m=(0.5, 1.415), candidates=5)
    fresh = DepthStream(source=quick, volume=volume, batch=1).make(2)
    assert torch.equal(fresh.costs, volume.find(view_stack(draw_stack(quick, 2))))
    shelf = open_shelf(folder)
    found = [shelf.read_costs(2, shelf.read(2), volume) for _ in range(2)]
    assert torch.equal(found[0], fresh.costs)
    assert torch.equal(found[0], found[1])
    assert (folder / f"costs-{volume.fingerprint}" / "000000002.npy").is_file()
    batch = next(iter(make_loader(DepthStream(source=shelf, volume=volume, batch=2, steps=1))))
    assert batch.costs.shape == (2, 5, 16, 16)


def test_shards_of_other_fields_are_refused(quick, folder, make, tmp_path):
    described = quick.describe() | {"fields_sha256": ["a", "b", "c"]}
    with pytest.raises(InputError, match="fields_sha256: found those of other fields"):
        open_shelf(folder, described)
    with pytest.raises(FileNotFoundError):
        open_shelf(tmp_path)
