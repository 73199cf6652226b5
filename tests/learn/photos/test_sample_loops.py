import numpy as np
import pytest
from scipy.ndimage import correlate1d

from learn.photos.sample_loops import look_up, measure_high_pass


@pytest.mark.parametrize("shape", [(20, 31, 3), (7, 7, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_high_pass_is_grey_less_smoothed_grey(shape, dtype):
    samples = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    line = np.array([1, 2, 3, 4, 3, 2, 1], np.float32) / 16
    grey = samples.astype(float).sum(-1)
    high = (grey - correlate1d(correlate1d(grey, line, 0), line, 1))[3:-3, 3:-3]
    total, squares = measure_high_pass(samples, line)
    assert squares == pytest.approx((high**2).sum(), rel=1e-5)
    assert total == pytest.approx(high.sum(), abs=1e-4 * np.abs(high).sum())


def test_a_table_gives_planes():
    samples = np.random.default_rng(2).integers(0, 255, (5, 6, 3)).astype(np.uint8)
    table = np.random.default_rng(3).random(256).astype(np.float32)
    out = np.empty((3, 5, 6), np.float32)
    look_up(samples, table, out)
    assert (out == table[samples].transpose(2, 0, 1)).all()
