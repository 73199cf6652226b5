import math

import numpy as np
import pytest
import torch

from psf.capture_arrays import check_light, check_window, find_distinct, to_column, to_light
from psf.errors import InputError


def test_light_of_numpy_lists_and_tensors_is_the_same():
    values = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    for one in (values, torch.from_numpy(values), values[:, ::-1][:, ::-1]):
        assert to_light("a", one).equal(torch.from_numpy(values))
    assert to_light("a", torch.ones(1, 2, 2, requires_grad=True)).requires_grad is False


def test_one_number_is_repeated_and_many_are_copied():
    assert to_column("a", 2, 3).tolist() == [2, 2, 2]
    assert to_column("a", np.array([1, 2, 3], dtype=np.int16), 3).dtype == torch.float64
    with pytest.raises(InputError, match="a: found 2 numbers, expected one, or 3"):
        to_column("a", [1, 2], 3)


def test_first_bad_pixel_is_named():
    light = torch.zeros(2, 3, 4)
    light[1, 2, 3] = math.inf
    with pytest.raises(InputError, match=r"f.npy: found 1 pixels .* \(1, 2, 3\)"):
        check_light("f.npy", light)


def test_window_may_touch_the_edges_and_no_more():
    check_window("a", (0, 0), (5, 6), (5, 6))
    check_window("a", (4, 2.5), (5, 6), (8, 10))
    with pytest.raises(InputError, match="0 to 4 and 0 to 3"):
        check_window("a", (4.5, 0), (5, 6), (8, 10))


def test_values_within_rounding_are_one_and_infinity_stands_alone():
    values = torch.tensor([math.inf, 2.0, 1.0, 2.0000001, math.inf])
    assert find_distinct(values, 1e-5).tolist() == [1, 2, math.inf]
