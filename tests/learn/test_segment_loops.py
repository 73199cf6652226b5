import numpy as np
import pytest

from learn.segment_loops import (
    STEPS,
    fill_planes,
    find,
    join_edges,
    number_regions,
    sort_edges,
    sum_places,
    weigh_edges,
)


def weigh(samples):
    counts = np.zeros(STEPS, np.int64)
    across, down = (np.zeros(samples.shape[:2], np.uint16) for _ in range(2))
    weigh_edges(samples, counts, across, down)
    return across, down, counts


def test_edges_are_differences_of_means_over_four_pixels():
    samples = np.random.default_rng(0).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    across, down, counts = weigh(samples)
    padded = np.pad(samples.astype(int), ((0, 2), (0, 2), (0, 0)), "edge")
    sums = padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]
    assert (across[:, :-1] == np.abs(sums[:9, 1:12] - sums[:9, :11]).sum(-1) // 4).all()
    assert (down[:-1] == np.abs(sums[1:9, :12] - sums[:8, :12]).sum(-1) // 4).all()
    assert counts.sum() == 9 * 11 + 8 * 12


def test_black_and_white_differ_most():
    samples = np.zeros((4, 6, 3), np.uint8)
    samples[:, 3:] = 255
    across, down, counts = weigh(samples)
    assert across.max() < STEPS
    assert down.max() == 0
    assert counts[0] > 0


def test_edges_are_sorted_and_all_there():
    samples = np.random.default_rng(1).integers(0, 256, (8, 7, 3)).astype(np.uint8)
    across, down, counts = weigh(samples)
    edges = np.empty(counts.sum(), np.int64)
    sort_edges(across, down, np.cumsum(counts) - counts, edges)
    pixels, is_down = edges >> 1, edges & 1
    steps = np.where(is_down, down.ravel()[pixels], across.ravel()[pixels])
    assert (np.diff(steps.astype(int)) >= 0).all()
    assert len(set(edges.tolist())) == 8 * 6 + 7 * 7


def join_slowly(edges, width, across, down, allowance, least):
    """The method as it is told: sets of pixels."""
    count = across.size
    owner = list(range(count))
    members = {n: [n] for n in range(count)}
    inside = dict.fromkeys(range(count), 0)
    for turn in range(2):
        for edge in edges.tolist():
            pixel, is_down = edge >> 1, edge & 1
            step = int((down if is_down else across).ravel()[pixel])
            a, b = owner[pixel], owner[pixel + (width if is_down else 1)]
            if a == b:
                continue
            near = min(inside[n] + allowance / len(members[n]) for n in (a, b))
            small = min(len(members[a]), len(members[b])) < least
            if step <= near if turn == 0 else small:
                for n in members[b]:
                    owner[n] = a
                members[a] += members.pop(b)
                inside[a] = step
    return owner


@pytest.mark.parametrize(("allowance", "least"), [(100.0, 1), (1000.0, 1), (400.0, 6)])
def test_regions_are_those_of_the_plain_method(allowance, least):
    samples = np.random.default_rng(2).integers(0, 256, (12, 13, 3)).astype(np.uint8)
    across, down, counts = weigh(samples)
    edges = np.empty(counts.sum(), np.int64)
    sort_edges(across, down, np.cumsum(counts) - counts, edges)
    parents, sizes = np.arange(156, dtype=np.int32), np.ones(156, np.int32)
    join_edges(edges, 13, across, down, allowance, least, parents, sizes)
    labels = np.empty(156, np.int32)
    count = number_regions(parents, labels)
    owner = join_slowly(edges, 13, across, down, allowance, least)
    assert count == len(set(owner))
    assert len(set(zip(owner, labels.tolist(), strict=True))) == count
    assert all(find(parents, n) == find(parents, int(np.argmax(labels == labels[n]))) for n in range(156))
    assert np.bincount(labels).min() >= least
    # In the order of their first pixels.
    firsts = [int(np.argmax(labels == n)) for n in range(count)]
    assert firsts == sorted(firsts)


def test_planes_pass_through_their_constants_and_fold():
    labels = np.array([[0, 0, 1, 1]] * 4, np.int32)
    shares = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    sums = np.zeros((2, 4))
    sum_places(labels, shares, sums)
    assert sums[:, 0].tolist() == [8, 8]
    assert sums[:, 2] / 8 == pytest.approx([-0.25, 0.25])
    assert sums[0, 3] / 8 == pytest.approx(shares[:, :2].mean())
    planes = np.array([[0.5, 0.2, 0.0, 0.0], [1.3, 0.0, 0.0, 0.0]])
    out = np.empty((4, 4), np.float32)
    fill_planes(labels, shares, planes, out)
    assert out[:, 0] == pytest.approx(0.5 + 0.2 * np.array([-0.375, -0.125, 0.125, 0.375]))
    assert out[:, 3] == pytest.approx(0.7)  # 1.3 turns back at 1
