import pytest
import torch

from learn.dfd.stack_files import write_stacks
from learn.dfd.stack_samples import collate
from learn.dfd.stack_stream import StackStream, StoredStacks
from learn.dfd.stack_synthesis import draw_stack
from learn.sample_stream import make_loader
from learn.shards import ShardDataset


@pytest.fixture(scope="module")
def quick(synthesis):
    return synthesis.varied(blur="blend", scenes="one_plane", textures=("noise",))


def test_a_loader_gives_the_batches_of_its_steps(quick):
    batch = next(iter(make_loader(StackStream(quick, batch=2, first_step=3, steps=4))))
    expected = collate([draw_stack(quick, index) for index in (6, 7)])
    assert torch.equal(batch.stack, expected.stack)
    assert batch.drawn == expected.drawn


def test_ranks_divide_a_step(quick):
    stream = StackStream(quick, batch=4, rank=1, ranks=2, steps=1)
    assert [one.drawn.index for one in stream] == [2, 3]


@pytest.mark.slow
def test_two_workers_make_the_batches_of_one(quick):
    stream = StackStream(quick, batch=2, steps=3)
    alone, together = list(make_loader(stream)), list(make_loader(stream, workers=2))
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.stack, other.stack)
        assert torch.equal(one.blur_px, other.blur_px)
        assert one.drawn == other.drawn


def test_stored_stacks_are_read_again_in_every_epoch(quick, tmp_path):
    run = write_stacks(quick, tmp_path / "shards", 3, per_shard=1, workers=0)
    stored = StoredStacks(ShardDataset(run.shards.shards, seed=2))
    orders = [[one.drawn.index for one in stored.in_epoch(epoch)] for epoch in range(4)]
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    assert len(set(map(tuple, orders))) > 1
