import pytest
import torch

import psf
from psf import InputError
from psf.estimators.plots import draw_page, plot_estimate, ratios_by_height
from psf.residuals import PairResidual


def make(channels: int = 3, pairs: int = 5):
    names = "RGB" if channels == 3 else "G"
    field = psf.thin_lens_field(focal_mm=20, f_number=4, focus_m=1.0, pitch_um=12, image_shape_px=(60, 80))
    field = (
        field
        if channels == 3
        else psf.PolarPSFField(
            kernels=field.kernels[:, :, :1],
            transmission=field.transmission[:, :, :1],
            lost=field.lost[:, :, :1],
            depths_m=field.depths_m,
            radii=field.radii,
            image_shape_px=field.image_shape_px,
            pitch_um=12.0,
            channels=(psf.Channel(names),),
            focus_m=1.0,
        )
    )
    g = torch.Generator().manual_seed(0)
    left = []
    for n in range(pairs):
        seen = torch.rand(channels, 24, 24, generator=g)
        told = seen - 0.01 * torch.randn(seen.shape, generator=g)
        radius = torch.linspace(0.3, 0.6, 24).expand(24, 24)
        left.append(
            PairResidual(
                name=f"pair {n}",
                depth_m=0.5 + 0.1 * n,
                seen=seen,
                told=told,
                radius=radius,
                noise=torch.full((channels,), 0.01),
            )
        )
    return field, left


@pytest.mark.parametrize("channels", [1, 3])
def test_a_page_shows_kernels_pairs_and_what_is_left(channels):
    field, left = make(channels)
    figure = plot_estimate(field, left, "a lens")
    texts = [one.get_title() for sub in figure.subfigs for one in sub.axes]
    assert "0.00" in texts
    assert any(text.startswith("0.5 m, height 0.45") for text in texts)


def test_a_page_is_a_file():
    field, left = make(1, 1)
    assert draw_page(field, left, "a lens", False, "pdf").startswith(b"%PDF")


def test_what_is_left_by_height_is_that_of_its_pixels():
    _, left = make(1)
    heights, levels = ratios_by_height(left)
    assert heights == pytest.approx([0.35, 0.45, 0.55, 0.65][: len(heights)])
    # Noise of just that size; a thousand pixels a bin.
    assert levels[:3] == pytest.approx([1, 1, 1], abs=0.1)


def test_a_page_of_nothing_is_refused():
    field, _ = make(1)
    with pytest.raises(InputError, match="residuals"):
        plot_estimate(field, [], "")
