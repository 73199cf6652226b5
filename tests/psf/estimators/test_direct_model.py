import math

import pytest
import torch

from psf import PolarPSFField, PSFModel
from psf.errors import InputError
from psf.estimators import DirectModel, taps
from psf.estimators.direct_model import NodeKernels
from psf.estimators.normal_equations import View

F64 = torch.float64


def make_model(**changes) -> DirectModel:
    cells = torch.rand(6, taps.count_taps(5), generator=torch.Generator().manual_seed(0), dtype=F64)
    cells = cells / (cells @ taps.multiplicity(5))[:, None]
    nodes = NodeKernels(
        cells=cells,
        dioptres=torch.tensor([1.0, 3.0], dtype=F64),
        radii=torch.tensor([0.0, 0.5, 1.0], dtype=F64),
        view=View(9, 5, 2),
        fall_off=torch.tensor([1.0, 0.9, 0.7], dtype=F64),
        gain=torch.ones(4, dtype=F64),
        noise=0.01,
        factor=1.0,
    )
    given = {
        "nodes": (nodes, nodes, nodes),
        "image_shape_px": (30, 40),
        "kernel_px": 9,
        "focus_m": 0.5,
        "magnification": 1.0,
        "depth_range_m": (1 / 3, 1.0),
    }
    return DirectModel(**{**given, **changes})


def test_kernels_have_unit_sum_and_are_their_own_mirror_image():
    kernels = make_model().kernels_at(torch.tensor([0.1, 0.8]), torch.tensor([0.5, 0.9]))
    assert kernels.shape == (2, 3, 9, 9)
    torch.testing.assert_close(kernels.sum((-2, -1)), torch.ones(2, 3))
    torch.testing.assert_close(kernels, kernels.flip(-2))
    assert isinstance(make_model(), PSFModel)


def test_a_pixel_above_the_centre_has_the_kernel_turned_by_90_deg():
    model = make_model()
    above = model.kernels_at_pixel(19.5, 14.5 - 10, 0.5)
    flat = model.kernels_at(10 / 25, 0.5)
    torch.testing.assert_close(above[0], flat[0].rot90(1, (-2, -1)), atol=1e-6, rtol=0)


def test_a_field_answers_as_the_model_at_its_nodes():
    model = make_model()
    depths, radii = torch.tensor([0.4, 0.8]), torch.tensor([0.0, 0.25, 1.0])
    field = model.to_field(depths, radii, pitch_um=3.0)
    assert isinstance(field, PolarPSFField)
    torch.testing.assert_close(field.kernels[1, 1], model.kernels_at(0.25, 0.8)[0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(field.transmission[0, :, 0], torch.tensor([1.0, 0.95, 0.7]))
    assert field.pitch_um == 3.0
    assert model.to_field(depths, radii).pitch_um == 1.0
    assert model.to_field(depths, radii, oversample=3).kernels.shape[-1] == 27


def test_depths_outside_the_captures_are_warned_of_and_clamped():
    model = make_model()
    with pytest.warns(UserWarning, match="outside the captured"):
        far = model.kernels_at(0.3, math.inf)
    torch.testing.assert_close(far, model.kernels_at(0.3, 1.0))


@pytest.mark.parametrize(
    ("radius", "depth_m", "words"), [(-0.1, 1.0, "radius"), (0.2, 0.0, "depth_m"), (math.nan, 1.0, "radius")]
)
def test_places_that_are_none_are_refused(radius, depth_m, words):
    with pytest.raises(InputError, match=words):
        make_model().kernels_at(radius, depth_m)
