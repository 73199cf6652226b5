"""Fields with more stored kernels."""

import math

import pytest
import torch

from psf import InputError, thin_lens_field
from render.refinement import refine


def field_of_discs():
    return thin_lens_field(
        focal_mm=5, f_number=2.0, focus_m=0.5, pitch_um=4, image_shape_px=(60, 80), kernel_px=25,
        depths_m=[0.3, 0.5, 1.0, math.inf],
    )  # fmt: skip


def test_stored_places_stay_what_they_are():
    field = field_of_discs()
    finer = refine(field, depths=3, radii=2)
    depths, radii = field.kernels.shape[:2]
    assert finer.kernels.shape[:2] == (3 * (depths - 1) + 1, 2 * (radii - 1) + 1)
    assert torch.equal(finer.depths_m[::3], field.depths_m)
    assert (finer.kernels[::3, ::2] - field.kernels).abs().max() < 1e-6


def test_linear_mixing_on_a_refined_field_comes_closer_to_sized_kernels():
    field = field_of_discs()
    radius, depth_m = torch.tensor([0.1, 0.6, 0.8]), torch.tensor([0.37, 0.7, 2.0])
    truth = field.at(radius, depth_m)
    coarse, fine = (
        (one.at(radius, depth_m, "linear") - truth).abs().sum() for one in (field, refine(field, depths=3, radii=1))
    )
    assert fine < coarse / 2


@pytest.mark.parametrize("name", ["depths", "radii"])
@pytest.mark.parametrize("count", [0, 1.5, True])
def test_counts_that_are_none_are_named(name, count):
    with pytest.raises(InputError, match=f"refine.{name}"):
        refine(field_of_discs(), **{name: count})
