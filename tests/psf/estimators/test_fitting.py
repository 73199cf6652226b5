import torch

from psf.estimators import taps
from psf.estimators.fitting import find_areas, fit_kernels, start_fit
from psf.estimators.normal_equations import View, add_pair, empty_sums, lay_out
from psf.estimators.priors import Strengths

F64 = torch.float64


def sums_of(captures, view):
    layout = lay_out(captures, torch.linspace(0, 1, 3, dtype=F64), 20, view)
    sums = empty_sums(layout, len(captures))
    for n in range(len(captures)):
        add_pair(sums, captures, n, 0, view, most_pixels=300, generator=torch.Generator().manual_seed(n))
    return sums


def test_gain_and_fall_off_are_found_beside_the_kernels(captures):
    from dataclasses import replace

    view = View(9, 9, 4)
    radius = torch.stack([captures.radius(n) for n in range(len(captures))])[:, None]
    seen = captures.stacked()
    gain = torch.linspace(0.9, 1.2, len(captures), dtype=F64)
    blurred = seen.blurred * gain[:, None, None, None] * (1 - 0.3 * radius**2)
    changed = replace(captures, source=replace(captures.source, blurred=blurred))
    sums = sums_of(changed, view)
    fit = fit_kernels(sums, view, start_fit(sums, sums.layout.dioptres, 4e-6), Strengths(), rounds=3)
    # Pairs of 32 px lie on all sides of the centre; few reach the corner.
    assert (fit.fall_off - torch.tensor([1, 1 - 0.075, 0.7], dtype=F64)).abs().max() < 0.04
    assert (fit.gain / gain - 1).abs().max() < 0.02
    assert float((fit.kernels @ taps.multiplicity(9).float() - 1).abs().max()) < 1e-5


def test_areas_are_those_of_the_core_and_larger_outside():
    cells = find_areas(View(9, 9, 4), torch.tensor([0.0, 1.0], dtype=F64), torch.tensor([1.0], dtype=F64))
    torch.testing.assert_close(cells, torch.ones(2, taps.count_taps(9)))
