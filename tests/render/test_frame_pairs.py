import math

import pytest
import torch

from psf import InputError
from render.frame_pairs import find_fault, measure_pair

F64 = torch.float64
WHITE = 1023.0


@pytest.fixture(autouse=True)
def one_thread():
    """Small frames: threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def expose(light_dn, sd_dn, shape=(2, 128, 160), seed=0, fixed=0.0, rows_dn=0.0):
    """Two frames of black 64 with noise that does not depend on the light; `fixed` is the same in both."""
    generator = seeded(seed)
    own = fixed * torch.randn(shape, generator=generator, dtype=F64)
    frames = []
    for _ in range(2):
        rows = rows_dn * torch.randn(*shape[:2], 1, generator=generator, dtype=F64)
        noise = sd_dn * torch.randn(shape, generator=generator, dtype=F64)
        frames.append((64 + light_dn + own + noise + rows).round().clamp(0, WHITE))
    return frames


def measure(*args, **options):
    return measure_pair(*expose(*args, **options), white_dn=WHITE)


def fault(stats, row_dark_dn2=0.0):
    return find_fault(stats, 0, 64.0, WHITE, row_dark_dn2)


def test_what_is_fixed_cancels_and_noise_stays():
    stats = measure(300.0, 5.0, fixed=20.0)
    assert (stats.variance_dn2 / (25 + 1 / 12) - 1).abs().max() < 0.05  # 5 standard errors of 20480 pixels
    assert (stats.pattern_sd_dn / 20 - 1).abs().max() < 0.03
    assert (stats.mean_dn - 364).abs().max() < 1
    assert stats.pixels.tolist() == [20480, 20480]
    assert fault(stats) == ""


def test_defects_are_cut_and_counted():
    first, second = expose(300.0, 5.0)
    first[0, 3, ::16] = 900.0
    stats = measure_pair(first, second, white_dn=WHITE)
    assert stats.pixels.tolist() == [20470, 20480]
    assert stats.variance_dn2[0] < 27
    assert fault(stats) == ""
    first[0, ::3, ::16] = 900.0
    stats = measure_pair(first, second, white_dn=WHITE)
    assert fault(stats).startswith("jumps: 2.1 %")
    assert stats.variance_dn2[0] > 1000  # nothing is hidden


def test_noise_narrower_than_a_step_is_not_cut_away():
    for sd in (0.2, 0.3, 0.4):
        stats = measure(0.0, sd)
        assert stats.pixels.tolist() == [20480, 20480]


@pytest.mark.parametrize(
    ("light_dn", "change", "word"),
    [
        (900.0, {"sd_dn": 20.0}, "clipped: 964"),  # four deviations reach beyond white
        (0.0, {"sd_dn": 20.0}, "clipped: 64.1 DN with noise of 20.1 DN is within 4 sd of 0 DN"),
        (-5.0, {}, "dark: 59.0 DN is not above black"),
        (300.0, {}, ""),
    ],
)
def test_levels_at_the_ends_are_left_out(light_dn, change, word):
    assert fault(measure(light_dn, **({"sd_dn": 3.0} | change))).startswith(word)


def test_saturated_spots_are_found():
    first, second = expose(300.0, 5.0)
    first[:, :5, :5] = second[:, :5, :5] = WHITE
    assert fault(measure_pair(first, second, white_dn=WHITE)).startswith("clipped: 0.12 % of the pixels")


def test_light_that_drifts_is_found_and_dim_light_is_not_accused():
    first, second = expose(300.0, 5.0)
    assert fault(measure_pair(first, second + 6, white_dn=WHITE)).startswith("drift: the light changed by 2.0 %")
    assert fault(measure_pair(first, second + 2, white_dn=WHITE)) == ""
    for seed in range(8):
        assert fault(measure(1.0, 5.0, seed=seed)) == ""  # 1 % of it is a seventh of its standard error


def test_flicker_bands_are_found_unless_the_dark_has_them_too():
    stats = measure(300.0, 5.0, rows_dn=2.0)
    assert fault(stats).startswith("flicker: rows differ")
    assert stats.row_variance_dn2[0] == pytest.approx(4, rel=0.6)
    assert fault(stats, row_dark_dn2=4.0) == ""
    assert abs(measure(300.0, 5.0).row_variance_dn2[0]) < 0.1


def test_a_flat_that_is_not_flat_is_found_and_noise_is_not_taken_for_it():
    ramp = torch.linspace(-40, 40, 160, dtype=F64)
    assert fault(measure(300.0 + ramp, 5.0)).startswith("uneven: brightness spans 2")
    assert fault(measure(300.0 + ramp / 2, 5.0)) == ""
    assert fault(measure(4.0, 8.0)) == ""  # its block means span 90 %


def test_noise_reduction_shows_in_the_correlation_of_neighbours():
    assert measure(300.0, 5.0).correlation.abs().max() < 0.035
    assert measure(300.0, 5.0, rows_dn=2.0).correlation.abs().max() < 0.035  # rows alone are not that
    first, second = ((one[:, 1:] + one[:, :-1]).div(2).round() for one in expose(300.0, 5.0))
    assert measure_pair(first, second, white_dn=WHITE).correlation.min() > 0.4


def test_a_dark_pair_is_asked_less():
    stats = measure_pair(*expose(0.0, 3.0), white_dn=WHITE)
    assert find_fault(stats, 1, 64.3, WHITE, None) == ""


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (torch.zeros(4, 31, 64), torch.zeros(4, 31, 64), ["(4, 31, 64)", "32 x 32"]),
        (torch.zeros(4, 64, 64), torch.zeros(4, 64, 32), ["(4, 64, 32)", "one shape"]),
        (torch.zeros(64, 64), torch.zeros(64, 64), ["(64, 64)"]),
        (torch.full((1, 64, 64), 0.5), torch.zeros(1, 64, 64), ["not whole", "averaged"]),
        (torch.full((1, 64, 64), math.nan), torch.zeros(1, 64, 64), ["not whole"]),
        (torch.ones(1, 64, 64), torch.ones(1, 64, 64), ["equal in every pixel", "not one file twice"]),
    ],
)
def test_bad_frames_are_named_in_one_line(first, second, words):
    with pytest.raises(InputError) as caught:
        measure_pair(first, second, white_dn=WHITE, name="a.dng and b.dng")
    assert all(word in str(caught.value) for word in ["a.dng and b.dng", *words]), str(caught.value)
    with pytest.raises(InputError, match="white_dn"):
        measure_pair(torch.zeros(1, 64, 64), torch.ones(1, 64, 64), white_dn=0)
