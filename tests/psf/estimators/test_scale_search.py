import pytest
import torch

from psf import Captures
from psf.estimators.normal_equations import View
from psf.estimators.scale_search import MOST_STEPS, find_minimum, refine_magnification
from psf.estimators.sizing import find_cells, fit_moments, shift_moments
from psf.estimators.taps import fold


@pytest.mark.parametrize("place", [-2.3, -0.5, 0.0, 0.07, 1.0, 3.4])
@pytest.mark.parametrize(
    "steep", [lambda off: off * off, lambda off: abs(off) ** 1.5, lambda off: off * off / (1 + off * off)]
)
def test_the_bottom_of_a_valley_is_found(place, steep):
    looked: list[float] = []

    def measure(at: float) -> float:
        looked.append(at)
        return 1 + steep(at - place)

    assert find_minimum(measure) == pytest.approx(place, abs=0.06)
    assert len(looked) == len(set(looked)) <= 2 * MOST_STEPS + 5


def test_a_slope_without_end_leaves_things_as_they_are():
    assert find_minimum(lambda at: -at) == 0


def moments():
    """Of Gaussians of 0.8 px, in cells of a pixel."""
    offset = torch.arange(11, dtype=torch.float64) - 5
    line = torch.exp(-0.5 * (offset / 0.8) ** 2)
    kernel = line[:, None] * line / line.sum() ** 2
    radius, dioptre = torch.tensor([0.1, 0.5, 0.9, 0.3]).double(), torch.tensor([1.0, 1.0, 2.0, 2.0]).double()
    return fit_moments(fold(kernel).expand(4, -1), radius, dioptre, torch.ones(4).double(), 11)


def test_shifted_kernels_lie_farther_outwards():
    plain, radius, dioptre = moments(), torch.tensor([0.0, 0.5, 1.0]).double(), torch.full((3,), 1.5).double()
    cells, moved = (find_cells(one, radius, dioptre, 11) for one in (plain, shift_moments(plain, 0.4)))
    assert torch.allclose(moved[:, 0] - cells[:, 0], 0.4 * radius)
    assert torch.equal(moved[:, 1:3], cells[:, 1:3])


@pytest.mark.parametrize("off_px", [-1.2, 0.0, 0.7])
def test_the_scale_of_the_pictures_is_found(waves, off_px):
    scale, half_px = 0.985, 250
    begun = 1 / (1 / scale + off_px / half_px)
    found_as = shift_moments(moments(), off_px)
    view = View(11, 15, 4, found_as, begun)
    radii = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    found = refine_magnification(waves(scale), 0, view, found_as, radii, 1e-6, seed=0, threads=1)
    # In pixels at the corner.
    assert half_px * abs(1 / found - 1 / scale) < 0.1


def test_a_few_pairs_do_not_tell():
    found_as = moments()
    view = View(11, 15, 4, found_as, 0.99)
    few = Captures.from_arrays(torch.rand(11, 20, 20), torch.rand(11, 10, 10), 5, 5, 1.0, (300, 400), 11, 0.5)
    assert refine_magnification(few, 0, view, found_as, torch.tensor([0.0, 1.0]), 1e-6, seed=0, threads=1) == 0.99
