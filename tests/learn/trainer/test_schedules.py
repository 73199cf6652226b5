import itertools

import pytest

from learn.trainer import TrainerSettings, find_rate
from psf import InputError

SETTINGS = TrainerSettings(steps=110, warmup_steps=10, rate=1e-3, final_rate=1e-5)


def test_rate_rises_evenly_over_the_warm_up():
    assert [find_rate(SETTINGS, step) for step in (0, 4, 9)] == pytest.approx([1e-4, 5e-4, 1e-3])


def test_rate_is_halfway_between_its_ends_in_the_middle_of_the_cosine():
    assert find_rate(SETTINGS, 60) == pytest.approx((1e-3 + 1e-5) / 2)


def test_rate_ends_at_its_final_value_and_stays_there():
    assert find_rate(SETTINGS, 110) == pytest.approx(1e-5)
    assert find_rate(SETTINGS, 500) == pytest.approx(1e-5)


def test_rate_never_rises_after_the_warm_up():
    rates = [find_rate(SETTINGS, step) for step in range(9, 111)]
    assert all(one >= two for one, two in itertools.pairwise(rates))


def test_without_a_warm_up_the_first_step_has_the_whole_rate():
    assert find_rate(TrainerSettings(steps=5, warmup_steps=0, rate=1e-3), 0) == 1e-3


@pytest.mark.parametrize("step", [-1, 1.0, True])
def test_steps_that_are_none_are_refused(step):
    with pytest.raises(InputError, match=r"find_rate\(step\)"):
        find_rate(SETTINGS, step)
