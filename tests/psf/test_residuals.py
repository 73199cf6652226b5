import math

import pytest
import torch

import psf
from psf import Captures, InputError
from psf.residuals import find_residuals, reblur

SHAPE_PX, KERNEL_PX = (90, 120), 7


def field_of(magnification: float = 1.0) -> psf.PolarPSFField:
    """Kernels that lean along the radius, the more the higher they lie."""
    kernels = torch.zeros(2, 3, 1, KERNEL_PX, KERNEL_PX)
    lean = torch.tensor([0.0, 0.2, 0.4])[None, :, None]
    kernels[..., 3, 3] = 0.6 - lean
    for row, col in ((2, 3), (4, 3), (3, 2), (3, 4)):
        kernels[..., row, col] = 0.1
    kernels[..., 3, 4] += lean
    whole = torch.ones(2, 3, 1)
    return psf.PolarPSFField(
        kernels=kernels,
        transmission=whole,
        lost=0 * whole,
        depths_m=torch.tensor([0.5, 1.0]),
        radii=torch.tensor([0.0, 0.5, 1.0]),
        image_shape_px=SHAPE_PX,
        pitch_um=4.0,
        channels=(psf.Channel("G"),),
        focus_m=0.7,
        magnification=magnification,
    )


def photograph(field: psf.PolarPSFField, noise: float = 0.0, gain: float = 1.0, size: int = 40) -> Captures:
    """Every pixel by its own kernel, in plain sums; pairs left, right and in the middle."""
    g = torch.Generator().manual_seed(0)
    half, more = KERNEL_PX // 2, KERNEL_PX - 1
    fine = torch.rand(3, (size + more) // 4 + 3, (size + more) // 4 + 3, generator=g, dtype=torch.float64)
    sharp = torch.nn.functional.interpolate(fine[:, None], scale_factor=4, mode="bicubic")[:, 0]
    sharp = sharp[:, : size + more, : size + more]
    x0, y0 = torch.tensor([2, 70, 41]), torch.tensor([6, 40, 25])
    windows = sharp.unfold(1, KERNEL_PX, 1).unfold(2, KERNEL_PX, 1).flip(-1, -2)
    row, col = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    seen = []
    for n in range(3):
        kernels = field.at_pixel(x0[n] + col.float(), y0[n] + row.float(), 0.7)[..., 0, :, :]
        seen.append(gain * (windows[n] * kernels).sum((-2, -1)))
    blurred = torch.stack(seen)
    blurred = blurred + noise * torch.randn(blurred.shape, generator=g, dtype=torch.float64)
    assert half == 3
    return Captures.from_arrays(sharp, blurred, x0, y0, 0.7, SHAPE_PX, KERNEL_PX, 0.7)


def test_a_sharp_picture_becomes_the_blurred_one_by_the_kernels_that_made_it():
    field = field_of()
    captures = photograph(field, size=12)
    told, inside = reblur(field, captures[0], node_px=1)
    assert inside == (slice(0, 12), slice(0, 12))
    torch.testing.assert_close(told, captures[0].blurred, atol=1e-5, rtol=0)


def test_what_the_true_field_leaves_is_noise():
    field = field_of()
    found = find_residuals(field, photograph(field, noise=0.01, gain=1.3))
    for one in found:
        assert one.rms == pytest.approx(0.01, rel=0.1)
        assert one.ratio == pytest.approx(1, abs=0.25)


def test_a_wrong_field_leaves_more():
    right, wrong = field_of(), field_of()
    wrong.kernels.copy_(right.kernels.flip(-1))
    found = find_residuals(wrong, photograph(right, noise=0.002))
    assert min(one.ratio for one in found) > 2


def test_breathing_is_undone_where_the_sharp_picture_suffices():
    # Pictures of waves: they can be scaled exactly.
    def waves(x, y):
        return 0.5 + 0.2 * torch.sin(0.7 * x) + 0.2 * torch.sin(0.5 * y + 0.3 * x)

    size, more, scale = 30, KERNEL_PX - 1, 1.05
    y, x = torch.meshgrid(torch.arange(size + more).double(), torch.arange(size + more).double(), indexing="ij")
    x0, y0, centre = 85, 50, (59.5, 44.5)
    sharp = waves(x + x0 - 3, y + y0 - 3)
    x, y = x[:size, :size] + x0, y[:size, :size] + y0
    seen = waves(centre[0] + (x - centre[0]) / scale, centre[1] + (y - centre[1]) / scale)
    captures = Captures.from_arrays(sharp[None], seen[None], x0, y0, 0.7, SHAPE_PX, KERNEL_PX, 0.7)
    point = field_of()
    point.kernels.zero_()
    point.kernels[..., 3, 3] = 1
    told, inside = reblur(point, captures[0], magnification=scale)
    left = (told - captures[0].blurred)[:, inside[0], inside[1]]
    # Half a kernel left of column 85 lies 1.1 px outside the sharp picture once it is scaled, above row 50 0.1 px.
    assert left.shape == (1, 29, 28)
    # Bicubic reading of waves 9 px long.
    assert left.abs().max() < 0.02
    assert (waves(x, y) - seen).abs().max() > 0.2
    assert math.isfinite(find_residuals(point, captures, magnification=scale)[0].ratio)


def test_kernels_of_another_size_are_refused():
    field = field_of()
    captures = photograph(field)
    with pytest.raises(InputError, match="model: found kernels of shape"):
        reblur(field.cropped(5), captures[0])
