import math

import pytest
import torch

from psf import InputError
from render.noise_curves import Polynomial, Table

F64 = torch.float64


def column(*iso):
    return torch.tensor(iso, dtype=F64)[:, None]


def test_a_polynomial_is_camera_its_with_a_linear_term():
    curve = Polynomial((1e-5,), (1e-6,), (1e-8,), (1e-11,), (1e-13,), (2e-8,), 400)
    shot, read = curve.levels(column(100, 800))
    assert shot[:, 0].tolist() == pytest.approx([1.1e-4, 8.1e-4], rel=1e-12)
    assert read[:, 0].tolist() == pytest.approx([1e-8 + 1e-9 + 1e-9 + 2e-8, 1e-8 + 8e-9 + 6.4e-8 + 8e-8], rel=1e-12)


def test_levels_are_never_below_0():
    shot, read = Polynomial((-1e-4,), (1e-6,), (-1e-6,), read_1=(1e-9,)).levels(column(50, 2000))
    assert shot[:, 0].tolist() == pytest.approx([0, 1.9e-3], rel=1e-12)
    assert read[:, 0].tolist() == pytest.approx([0, 1e-6], rel=1e-12)


def test_a_table_is_a_straight_line_between_logarithms_and_goes_on_beyond_its_ends():
    table = Table((100, 400, 1600), ((1e-4,), (4e-4,), (16e-4,)), ((1e-8,), (4e-8,), (64e-8,)))
    shot, read = table.levels(column(100, 200, 400, 800, 1600, 3200, 50))
    assert shot[:, 0].tolist() == pytest.approx([1e-4, 2e-4, 4e-4, 8e-4, 16e-4, 32e-4, 0.5e-4], rel=1e-12)
    assert read[:, 0].tolist() == pytest.approx([1e-8, 2e-8, 4e-8, 16e-8, 64e-8, 256e-8, 0.5e-8], rel=1e-12)


def test_a_table_of_one_row_is_constant_and_planes_stay_apart():
    table = Table((100,), ((1e-4, 2e-4, 3e-4, 4e-4),), ((0.0, 1e-8, 1e-8, 1e-8),))
    shot, read = table.levels(column(100, 100))
    assert shot.shape == read.shape == (2, 4)
    assert shot[1].tolist() == [1e-4, 2e-4, 3e-4, 4e-4]
    assert table.planes == 4


def test_a_measured_zero_stays_finite_between_its_neighbours():
    _, read = Table((100, 400), ((1e-4,), (4e-4,)), ((0.0,), (4e-8,))).levels(column(100, 200))
    assert read.isfinite().all()
    assert read[0, 0] < 1e-13


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Polynomial(shot_0=(math.nan,)), ["Polynomial.shot_0", "nan"]),
        (lambda: Polynomial(shot_0=(1.0, 2.0)), ["Polynomial.shot_0", "four for R, Gr, Gb, B"]),
        (lambda: Polynomial(read_after="x"), ["Polynomial.read_after", "'x'"]),
        (lambda: Polynomial(analog_iso_max=0), ["Polynomial.analog_iso_max", "0"]),
        (lambda: Table((), (), ()), ["Table.iso", "[]"]),
        (lambda: Table((100, 100), ((1.0,), (1.0,)), ((1.0,), (1.0,))), ["Table.iso", "ascending"]),
        (lambda: Table((100,), ((1.0,), (1.0,)), ((1.0,),)), ["Table.shot", "2 rows", "1 rows"]),
        (lambda: Table((100,), ((1.0,),), ((1.0,) * 4,)), ["Table.read", "planes"]),
        (lambda: Table((100,), ((-1.0,),), ((1.0,),)), ["Table.shot", "-1", "0 or more"]),
    ],
)
def test_bad_input_is_named_in_one_line(call, words):
    with pytest.raises(InputError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_row_of_one_number_may_be_the_number():
    assert Table((100, 400), (1e-4, 4e-4), (1e-8, 4e-8)) == Table((100, 400), ((1e-4,), (4e-4,)), ((1e-8,), (4e-8,)))
