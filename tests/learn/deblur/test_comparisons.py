import numpy as np
import pytest
import torch

from learn.deblur.comparisons import COLUMN_PX, GAP_PX, draw_comparison, find_detail
from psf import InputError


def pictures(shape_px=(400, 600)):
    """Grey, and the same with blocks of 6 px in one place."""
    before = torch.full((1, 3, *shape_px), 0.5)
    after = before.clone()
    block = torch.arange(200) // 6 % 2
    after[..., 150:350, 300:500] += 0.3 * (block[:, None] ^ block)
    return before, after


def test_the_detail_is_where_structure_was_gained():
    before, after = pictures()
    assert find_detail(before, after) == (300, 150)


def test_noise_that_was_removed_is_no_gain():
    g = torch.Generator().manual_seed(0)
    before, after = pictures()
    before[..., :200, :200] += 0.1 * torch.randn((1, 3, 200, 200), generator=g)
    assert find_detail(before, after) == (300, 150)


def test_before_stands_left_and_after_right_with_the_same_detail_enlarged():
    before, after = pictures()
    sheet = np.asarray(draw_comparison(before, after, caption="a caption"))
    assert sheet.shape[1] == 2 * COLUMN_PX + 3 * GAP_PX
    left, right = sheet[:, GAP_PX : GAP_PX + COLUMN_PX], sheet[:, 2 * GAP_PX + COLUMN_PX : -GAP_PX]
    rows = slice(-300, -100)  # inside the details
    assert left[rows].std() < 1
    assert right[rows].std() > 20


def test_small_pictures_are_drawn_too():
    picture = torch.rand((1, 3, 30, 20), generator=torch.Generator().manual_seed(0))
    assert draw_comparison(picture, picture).size[0] == 2 * COLUMN_PX + 3 * GAP_PX


@pytest.mark.parametrize(
    ("before", "after", "more", "words"),
    [
        (torch.zeros(3, 8, 8), torch.zeros(1, 3, 8, 8), {}, "before: found"),
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9), {}, "as before has"),
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), {"detail_px": (3, 0)}, "detail_px: found"),
    ],
)
def test_pictures_that_do_not_go_together_are_refused(before, after, more, words):
    with pytest.raises(InputError, match=words):
        draw_comparison(before, after, **more)
