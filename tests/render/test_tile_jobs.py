"""Tiles in threads: their order, their groups, and what happens when one fails."""

import threading
import time

import numpy as np
import pytest

from render.tile_jobs import BlockTiles, Latch, NodeRow, run_stream
from render.tiling import cut_picture


class EmptyNodes:
    """Nodes without kernels, which remember in what order they were begun."""

    def __init__(self, wanted):
        self.wanted, self.begun, self.filled = wanted, [], []

    def begin(self, row, first, end):
        wanted = self.wanted[row, first:end]
        slot = np.where(wanted, np.cumsum(wanted).reshape(wanted.shape) - 1, -1)
        self.begun.append((row, first))
        made = NodeRow(np.zeros((int(wanted.sum()), 1, 1, 1)), np.zeros((int(wanted.sum()), 1, 2, 2)), slot)
        return made, [lambda: (time.sleep(0.002), self.filled.append((row, first)))]


@pytest.fixture
def block():
    return cut_picture((40, 50), (80, 100), 5, (0, 0), "gather", "reflect", 10)[0]


@pytest.mark.parametrize("threads", [1, 3])
def test_jobs_are_begun_in_their_order_and_all_done(threads):
    begun = []
    run_stream(iter([lambda i=i: begun.append(i) for i in range(50)]), threads, threading.Event())
    assert sorted(begun) == list(range(50))
    if threads == 1:
        assert begun == list(range(50))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_ends_it_and_is_raised_even_while_others_wait(threads):
    is_off, never, done = threading.Event(), Latch(1), []

    def fail():
        raise ValueError("no light")

    jobs = [fail, lambda: never.wait(is_off), lambda: done.append(1)]
    with pytest.raises(ValueError, match="no light"):
        run_stream(iter(jobs), threads, is_off)
    assert is_off.is_set()
    assert threads > 1 or not done


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("strip_tiles", [2, 100])
def test_every_pair_is_done_once_after_its_nodes(block, threads, strip_tiles):
    rng = np.random.default_rng(0)
    presence = rng.random((2, len(block.rows.size), len(block.cols.size), 3)) < 0.4
    tiles = BlockTiles(block, presence, 5, 1, strip_tiles)
    wanted = np.ones((len(block.rows.size) + 1, len(block.cols.size) + 1, 3), bool)
    source, seen, rows, lock = EmptyNodes(wanted), np.zeros_like(presence, dtype=int), [], threading.Lock()

    def work(group):
        strip = group.cols[0][0] // strip_tiles * strip_tiles
        assert {(group.row, strip), (group.row + 1, strip)} <= set(source.filled)
        with lock:
            for (col, sample), start, end in zip(group.cols, group.start[:-1], group.start[1:], strict=True):
                seen[sample, group.row, col, group.numbers[start:end]] += 1
                assert (group.owner[start:end] == group.cols.index((col, sample))).all()

    tiles.run(source, threads, work, rows.append)
    assert np.array_equal(seen, presence.astype(int))
    strips = -(-presence.shape[2] // min(strip_tiles, presence.shape[2]))
    assert rows == list(range(presence.shape[1])) * strips


def test_a_group_knows_where_its_tiles_lie_and_which_nodes_they_touch(block):
    presence = np.ones((1, len(block.rows.size), len(block.cols.size), 2), bool)
    source = EmptyNodes(np.ones((presence.shape[1] + 1, presence.shape[2] + 1, 2), bool))
    groups = []
    BlockTiles(block, presence, 5, 1, 100).run(source, 1, groups.append)
    for group in groups:
        for (col, sample), where in zip(group.cols, group.where, strict=True):
            expected = (
                block.rows.start[group.row],
                block.cols.start[col],
                block.rows.size[group.row],
                block.cols.size[col],
            )
            assert tuple(where) == (sample, *expected)
        col = np.array([col for col, _ in group.cols])[group.owner]
        # Two planes per node: entries count nodes and planes.
        assert np.array_equal(group.index[0], [2 * col + group.numbers, 2 * (col + 1) + group.numbers])
