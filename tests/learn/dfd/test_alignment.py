import pytest
import torch

from learn.dfd.alignment import align_pictures, align_sample, find_aligned
from learn.dfd.scenes import stand
from learn.dfd.stack_synthesis import photograph_stack
from psf import InputError
from psf.metrics import find_centroid_px

SENSOR_PX, WINDOW_PX, SIDE_PX = (120, 160), (100, 70), 32


@pytest.fixture(scope="module")
def dots(synthesis):
    """A broad dot off the sensor's centre, photographed without noise."""
    quiet = synthesis.varied(noise="none", exposure_jitter=0.0, bits=16, blur="blend")
    side = SIDE_PX + 2 * quiet.optics.margin_px
    y, x = torch.meshgrid(*[torch.arange(float(side)) - side // 2] * 2, indexing="ij")
    dot = torch.exp(-(x**2 + y**2) / (2 * 2.5**2)).expand(3, -1, -1)
    return photograph_stack(quiet, stand(dot, 0.8), WINDOW_PX, generator=torch.Generator().manual_seed(0))


def test_what_breathing_moved_comes_back(synthesis, dots):
    scales = [one.magnification for one in synthesis.optics.fields]
    before = [find_centroid_px(one[1, :-1, :-1]) for one in dots.stack]
    after = [find_centroid_px(one[1, :-1, :-1]) for one in align_sample(dots, scales).stack]
    assert float((before[-1] - before[0]).norm()) > 0.5
    assert float((after[-1] - after[0]).norm()) < 0.05


def test_pictures_of_one_scale_stay_as_they_are():
    stack = torch.rand((2, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    assert torch.equal(align_pictures(stack, [1.0, 1.0], SENSOR_PX, (3, 4)), stack)
    assert bool(find_aligned((8, 8), [1.0, 1.0], SENSOR_PX, (3, 4)).all())


def test_what_comes_from_outside_the_window_is_told():
    """In the lower right corner a smaller picture is read nearer to the centre: the window lacks its left and top."""
    mask = find_aligned((32, 32), [1.0, 0.98], SENSOR_PX, (128, 88))
    assert not bool(mask[0, 0].any())
    assert bool(mask[0, -1, -1])
    whole = find_aligned(SENSOR_PX, [1.0, 0.98], SENSOR_PX, (0, 0))
    assert bool(whole.all())
    assert not bool(find_aligned(SENSOR_PX, [1.0, 1.02], SENSOR_PX, (0, 0))[0, 0].any())


def test_scales_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="magnifications: found 1 of them, expected 2"):
        align_pictures(torch.ones(2, 3, 8, 8), [1.0], SENSOR_PX, (0, 0))
    with pytest.raises(InputError, match="numbers above 0"):
        find_aligned((8, 8), [1.0, 0.0], SENSOR_PX, (0, 0))
