"""Compiled weights and their gradients, against torch operations."""

import numpy as np
import pytest
import torch

from render import weighing
from render.nodes import prepare_field
from render.weights import PixelPlanes, plane_weights, weights_reference

F64 = torch.float64


def planes_of(field, seed=1):
    g = torch.Generator().manual_seed(seed)
    return plane_weights(1 / (6 * torch.rand((2, 40, 50), generator=g, dtype=F64)), field.depths_m)


@pytest.mark.parametrize("has_transmission", [True, False])
def test_gradients_are_those_of_torch_operations(small_field, has_transmission):
    field = small_field()
    prepared = prepare_field(field, "bilinear")
    before, share = planes_of(field)
    x, y = torch.arange(50, dtype=F64), torch.arange(40, dtype=F64)
    weight = torch.rand((2, 2, 2, 40, 50), generator=torch.Generator().manual_seed(2), dtype=F64)
    found = []
    for is_compiled in (True, False):
        tables = [one.clone().requires_grad_() for one in (prepared.sums, prepared.transmission, share)]
        own = type(prepared)(**{**vars(prepared), "sums": tables[0], "transmission": tables[1]})
        if is_compiled:
            out = PixelPlanes(before, tables[2], x, y, has_transmission).weights(own, slice(None))
        else:
            out = weights_reference(own, before, tables[2], x, y, has_transmission)
        gradients = torch.autograd.grad((weight * out).sum(), tables, allow_unused=not has_transmission)
        found.append([torch.zeros_like(t) if g is None else g for t, g in zip(tables, gradients, strict=True)])
    for compiled, plain in zip(*found, strict=True):
        assert (compiled - plain).abs().max() < 1e-10 * (1 + plain.abs().max())


def test_tiles_get_the_weights_of_their_pixels(small_field):
    field = small_field()
    prepared = prepare_field(field, "bilinear")
    before, share = planes_of(field)
    x, y = torch.arange(50, dtype=F64), torch.arange(40, dtype=F64)
    whole = PixelPlanes(before, share, x, y).weights(prepared, slice(None)).numpy()
    where = np.array([[1, 10, 20, 8, 9], [0, 0, 41, 7, 9]])
    spot = np.zeros((2, 5, 2), np.int64)
    spot[:, 2] = where[:, 1:3]
    out = np.empty((2, 2, 2, 8, 9))
    tables = (prepared.sums.numpy(), prepared.transmission.numpy(), prepared.radii_64, prepared.centre)
    planes = (before.numpy(), share.numpy(), x.numpy(), y.numpy())
    weighing.weigh_tiles(*tables, *planes, True, where, spot, out)
    for t, (b, top, left, height, width) in enumerate(where):
        part = whole[b, :, :, top : top + height, left : left + width]
        assert np.abs(out[t, :, :, :height, :width] - part).max() < 1e-14
