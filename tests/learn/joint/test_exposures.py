import pytest
import torch

from learn.joint.exposures import Exposure, Patches, expose, set_exposure
from psf import InputError
from render import RawSensor, mosaic, pack

QUIET = Exposure(RawSensor(bits=16, black_dn=0), 0.0, 0.0)


def point(kernel_px=5, depths=2, heights=1):
    kernels = torch.zeros(depths, heights, 3, kernel_px, kernel_px)
    kernels[..., kernel_px // 2, kernel_px // 2] = 1
    return kernels, torch.ones(depths, heights, 3)


def test_a_perfect_lens_without_noise_gives_the_sharp_mosaic(patches):
    kernels, light = point()
    found = expose(patches(2, 12, 5), kernels, light, QUIET, torch.Generator())
    assert found.noisy.shape == (2, 1, 2, 4, 6, 6)
    assert float((found.noisy - found.sharp).abs().max()) < 1e-4


def test_light_that_is_lost_darkens_the_picture(patches):
    kernels, light = point(depths=1)
    found = expose(patches(1, 12, 5), kernels, 0.5 * light, QUIET, torch.Generator())
    torch.testing.assert_close(found.noisy[0, 0], 0.5 * found.sharp, atol=1e-4, rtol=0)


def test_blur_is_the_convolution_of_the_inner_part(patches):
    given = patches(1, 8, 5)
    kernels = torch.rand((1, 1, 3, 5, 5), generator=torch.Generator().manual_seed(1))
    kernels /= kernels.sum((-1, -2), keepdim=True)
    plain = torch.zeros(3, 8, 8)
    for row in range(5):
        for col in range(5):  # a convolution: the kernel is turned over
            part = given.light[0, :, 4 - row : 12 - row, 4 - col : 12 - col]
            plain += kernels[0, 0, :, row, col, None, None] * part
    found = expose(given, kernels, torch.ones(1, 1, 3), QUIET, torch.Generator())
    assert float((found.noisy[0, 0, 0] - pack(mosaic(plain[None], "RGGB"), "RGGB")[0]).abs().max()) < 1e-4


def test_the_same_generator_gives_the_same_noise_and_gradients_pass_the_rounding(patches):
    kernels, light = point(depths=1)
    kernels.requires_grad_()
    exposure = set_exposure(400.0)
    once, twice = (
        expose(patches(2, 12, 5), kernels, light, exposure, torch.Generator().manual_seed(3)).noisy for _ in range(2)
    )
    assert torch.equal(once, twice)
    (slope,) = torch.autograd.grad(once.mean(), kernels)
    assert bool(slope.isfinite().all())
    assert float(slope.abs().sum()) > 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: Patches(p.light, p.metadata[:1]), "light"),
        (lambda p: expose(p, *point(4 + 20), QUIET, torch.Generator()), "patches"),
        (lambda p: expose(p, point()[0], torch.ones(1, 1, 3), QUIET, torch.Generator()), "light"),
        (lambda p: Exposure(RawSensor(), -1.0, 0.0), "shot"),
    ],
)
def test_unusable_input_is_refused(patches, call, words):
    with pytest.raises(InputError, match=words):
        call(patches(2, 12, 5))
