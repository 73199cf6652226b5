"""The plain renderer; its golden vectors are in the tests of `spatial`."""

import torch

from psf import thin_lens_field
from render.reference import gather_at, pad_picture, render_reference

F64 = torch.float64


def test_margins_mirror_repeat_or_are_dark():
    row = torch.arange(4.0)[None, None, None].expand(1, 1, 3, 4)
    assert pad_picture(row, 2, "reflect")[0, 0, 2].tolist() == [2, 1, 0, 1, 2, 3, 2, 1]
    assert pad_picture(row, 2, "replicate")[0, 0, 2].tolist() == [0, 0, 0, 1, 2, 3, 3, 3]
    assert pad_picture(row, 2, "zeros")[0, 0, 2].tolist() == [0, 0, 0, 1, 2, 3, 0, 0]


def test_some_pixels_are_those_of_the_whole():
    field = thin_lens_field(focal_mm=5, f_number=2.0, focus_m=0.5, pitch_um=4, image_shape_px=(20, 24), kernel_px=9).to(
        dtype=F64
    )
    g = torch.Generator().manual_seed(0)
    image = torch.rand((1, field.kernels.shape[2], 20, 24), generator=g, dtype=F64)
    depth_m = torch.full((1, 1, 20, 24), 0.6, dtype=F64)
    whole = render_reference(image, depth_m, field, (0, 0), "gather", "reflect", "sized", "cubic")
    x, y = torch.tensor([0, 5, 23]), torch.tensor([0, 19, 7])
    some = gather_at(image, depth_m, field, x, y, window=(0, 0))
    assert (some - whole[0, :, y, x].mT).abs().max() < 1e-14
