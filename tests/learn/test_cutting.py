import pytest
import torch

from learn.cutting import cut_axis


@pytest.mark.parametrize("side", [1, 7, 33, 40, 100, 233])
@pytest.mark.parametrize(
    ("tile", "halo", "multiple"), [(16, 0, 1), (32, 8, 8), (48, 16, 16), (200, 8, 4), (31, 5, 1), (96, 32, 8)]
)
def test_weights_of_all_tiles_add_up_to_one(side, tile, halo, multiple):
    total = torch.zeros(side, dtype=torch.float64)
    for segment in cut_axis(side, tile, halo, multiple):
        total[segment.place] += segment.weight
        assert len(segment.source) <= tile
        assert len(segment.source) % multiple == 0
        assert segment.weight.min() >= 0
    assert (total - 1).abs().max() < 1e-12


@pytest.mark.parametrize("side", [7, 40, 233])
def test_a_tile_reads_what_it_writes(side):
    for segment in cut_axis(side, 32, 8, 8):
        own = torch.arange(side)[segment.place]
        assert segment.source[segment.inner].equal(own)


def test_the_frame_is_mirrored_about_its_outermost_cells():
    (segment,) = cut_axis(4, 32, 8, 4)
    assert segment.source.tolist() == [2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1]


def test_the_border_of_a_tile_has_no_weight_inside_the_frame():
    first, *_, last = cut_axis(200, 48, 12)
    assert first.inner.stop == len(first.source) - 6
    assert last.inner.start == 6
