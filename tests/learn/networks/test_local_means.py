import pytest
import torch

from learn.networks.local_means import RowMeans, average_boxes, find_box
from learn.networks.nafnet import shrink_box
from psf import InputError

F64 = torch.float64


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def average_slowly(features, box_cells):
    """Every cell's box by itself, moved inside the frame."""
    height, width = features.shape[-2:]
    tall, wide = min(height, box_cells), min(width, box_cells)
    out = torch.empty_like(features)
    for row in range(height):
        for col in range(width):
            top = min(max(row - (tall - 1) // 2, 0), height - tall)
            left = min(max(col - (wide - 1) // 2, 0), width - wide)
            out[..., row, col] = features[..., top : top + tall, left : left + wide].mean((-2, -1))
    return out


@pytest.mark.parametrize("box_cells", [1, 2, 5, 8, 9, 12])
def test_a_mean_is_that_of_the_nearest_box_inside_the_frame(box_cells):
    features = random(2, 3, 9, 13)
    assert (average_boxes(features, box_cells) - average_slowly(features, box_cells)).abs().max() < 1e-13


def test_a_box_larger_than_the_frame_is_one_mean():
    features = random(2, 3, 9, 13)
    assert average_boxes(features, 13).equal(features.mean((2, 3), keepdim=True))


@pytest.mark.parametrize("box_cells", [1, 4, 7, 20, 31])
@pytest.mark.parametrize("step", [1, 5, 40])
def test_means_made_some_rows_at_a_time_are_the_same(box_cells, step):
    features = random(3, 29, 11)
    rows = RowMeans(features, box_cells)
    parts = [rows.rows(top, min(29, top + step)) for top in range(0, 29, step)]
    wanted = average_boxes(features[None], box_cells)[0].expand(3, 29, 11)
    assert (torch.cat(parts, 1) - wanted).abs().max() < 1e-13


def test_rows_that_have_gone_by_are_refused():
    rows = RowMeans(random(3, 29, 11), 5)
    rows.rows(10, 20)
    with pytest.raises(InputError, match="start: found 0"):
        rows.rows(0, 4)


def test_sums_over_a_large_frame_keep_their_digits():
    # Running sums in float32 over so many cells are wrong in the third digit.
    features = 1000 + random(1, 1, 1500, 1500).float()
    means = average_boxes(features, 3)
    wanted = torch.nn.functional.avg_pool2d(features.double(), 3, 1)
    assert (means[..., 1:-1, 1:-1] - wanted).abs().max() < 1e-4


def test_gradient_is_true():
    features = random(1, 2, 5, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: average_boxes(x, 3), features)


def test_the_box_is_half_again_as_large_as_the_patch_and_shrinks_with_the_picture():
    assert find_box(256) == 384
    assert [shrink_box(384, level) for level in range(5)] == [384, 192, 96, 48, 24]
    assert shrink_box(None, 3) is None
    assert shrink_box(4, 3) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: average_boxes(random(3, 4, 5), 3), "features: found shape (3, 4, 5)"),
        (lambda: average_boxes(random(1, 1, 4, 5), 0), "box_cells: found 0"),
        (lambda: average_boxes(random(1, 1, 4, 5), 2.5), "box_cells: found 2.5"),
        (lambda: find_box(0), "patch_cells: found 0"),
    ],
)
def test_bad_input_is_named_in_one_line(call, words):
    with pytest.raises(InputError) as caught:
        call()
    assert words in str(caught.value)
