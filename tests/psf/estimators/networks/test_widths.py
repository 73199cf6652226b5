import pytest
import torch

from psf.estimators.networks.bodies import lay_gaussians
from psf.estimators.networks.known import KnownKernels
from psf.estimators.networks.places import PlaceScale
from psf.estimators.networks.widths import find_sigma_px, fit_gaussians


@pytest.mark.parametrize("sigma_px", [0.4, 1.3, 3.7])
def test_a_gaussian_is_found_again(sigma_px):
    kernels = lay_gaussians(torch.tensor([[sigma_px, 1.0]] * 3, dtype=torch.float64), 25)
    # The second search steps by 2 x 12.5 / 255^2 px.
    assert torch.allclose(find_sigma_px(kernels), torch.tensor([sigma_px, 1.0]), atol=5e-4)


def test_no_other_width_has_a_smaller_error_over_the_field():
    kernels = lay_gaussians(torch.tensor([[0.7], [1.0], [1.6], [2.5]], dtype=torch.float64), 15)
    kernels = kernels.roll((0, 1), (-2, -1))
    found = find_sigma_px(kernels)
    best = (kernels - lay_gaussians(found.double(), 15)).abs().mean()
    tried = torch.linspace(0.1, 7, 300, dtype=torch.float64)
    errors = torch.stack([(kernels - lay_gaussians(one, 15)).abs().mean() for one in tried])
    # Errors have kinks: other steps may find a little less.
    assert best <= errors.min() * 1.001


def test_every_depth_has_its_own_and_those_between_lie_between():
    scale = PlaceScale("none", (60, 80), (0.5, 2.0), 1.0)
    depth_m = torch.tensor([2.0, 0.5, 2.0, 0.5])
    sigma = torch.tensor([[1.0], [2.0], [1.0], [2.0]])
    known = KnownKernels(kernels=lay_gaussians(sigma, 15), radius=torch.zeros(4), depth_m=depth_m)
    network = fit_gaussians(known, scale)
    assert network.nodes.tolist() == pytest.approx([-1.0, 1.0])
    found = network.sigma_px(torch.tensor([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]))[:, 0]
    assert torch.allclose(found, torch.tensor([1.0, 1.5, 2.0]), atol=2e-3)
