import numpy as np
import pytest
import torch

from learn.segments import draw_planes, find_segments, invent_depth
from psf import InputError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(height, width):
    return ((torch.arange(height) + 0.5) / height)[None, :, None].expand(1, height, width)


@pytest.fixture
def patches():
    """Four even patches with a little noise, (3, 80, 100)."""
    srgb = torch.zeros(3, 80, 100)
    for n, colour in enumerate([(0.9, 0.1, 0.1), (0.1, 0.8, 0.2), (0.2, 0.2, 0.9), (0.7, 0.7, 0.2)]):
        srgb[:, 40 * (n // 2) : 40 * (n // 2) + 40, 50 * (n % 2) : 50 * (n % 2) + 50] = torch.tensor(colour)[
            :, None, None
        ]
    return (srgb + 0.02 * torch.randn(srgb.shape, generator=generator())).clamp(0, 1)


def test_regions_are_the_patches(patches):
    labels, count = find_segments(patches, least_share=0.02)
    assert (count, labels.dtype, labels.shape) == (4, torch.int32, (80, 100))
    want = (torch.arange(80)[:, None] >= 40).int() * 2 + (torch.arange(100) >= 50).int()
    assert (labels == want).float().mean() > 0.97  # edges are where they are to a pixel
    assert labels[0, 0] == 0


def test_one_colour_is_one_region_and_one_pixel_too():
    assert find_segments(torch.full((3, 30, 40), 0.4))[1] == 1
    assert find_segments(torch.full((3, 1, 1), 0.4))[1] == 1
    assert find_segments(torch.rand((3, 1, 9), generator=generator()))[1] >= 1


def test_no_region_is_smaller_than_asked(patches):
    noisy = (patches + 0.3 * torch.randn(patches.shape, generator=generator(1))).clamp(0, 1)
    labels, count = find_segments(noisy, allowance=300.0, least_share=0.01)
    assert torch.bincount(labels.flatten().long(), minlength=count).min() >= 80
    assert find_segments(noisy, allowance=30.0)[1] > find_segments(noisy, allowance=30000.0)[1]


def test_depth_jumps_at_edges_and_glides_inside(patches):
    t = invent_depth(patches, rows(80, 100), generator=generator(2))
    labels, _ = find_segments(patches)
    assert t.shape == (1, 80, 100)
    assert 0 <= t.min() <= t.max() <= 1
    for axis in (0, 1):
        steps, same = t[0].diff(dim=axis).abs(), labels.diff(dim=axis) == 0
        # A plane falls by at most 0.35 across the frame, and by 1 along it where it is ground.
        assert steps[same].max() < 1.4 / 80
    assert t[0].diff(dim=1).abs().max() > 0.03


def test_lower_in_the_frame_is_mostly_nearer():
    labels = torch.arange(40, dtype=torch.int32)[:, None].expand(40, 30).contiguous()
    means = [draw_planes(labels, 40, rows(40, 30), generator=generator(seed)).mean((0, 2)) for seed in range(30)]
    mean = torch.stack(means).mean(0)
    assert mean[:10].mean() > 0.7
    assert mean[-10:].mean() < 0.3


def test_the_same_seed_gives_the_same_depth(patches):
    one, other, third = (invent_depth(patches, rows(80, 100), generator=generator(seed)) for seed in (1, 1, 2))
    assert one.equal(other)
    assert not one.equal(third)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: find_segments(torch.zeros(1, 4, 4)), "find_segments"),
        (lambda: find_segments(torch.zeros(3, 4, 4, dtype=torch.uint8)), "floats"),
        (lambda: find_segments(torch.zeros(3, 4, 4), allowance=0.0), "allowance"),
        (lambda: draw_planes(torch.zeros(4, 5).int(), 1, torch.zeros(1, 5, 4), generator=generator()), "row_shares"),
        (lambda: draw_planes(torch.ones(4, 5).int(), 1, torch.zeros(1, 4, 5), generator=generator()), "count"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_natural_pictures_have_tens_of_regions(shared):
    from PIL import Image

    path = shared / "data" / "photos" / "facade.jpg"
    if not path.is_file():
        pytest.skip("the folder 'shared' holds no photographs")
    with Image.open(path) as opened:
        srgb = torch.from_numpy(np.array(opened.crop((500, 200, 900, 600))) / 255).permute(2, 0, 1).float()
    assert 8 < find_segments(srgb)[1] < 200
