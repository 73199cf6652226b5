import math

import pytest
import torch

from psf import Channel, InputError

F64 = torch.float64


def spoil(name, place, value):
    def change(field):
        tensor = getattr(field, name).clone()
        tensor[place] = value
        return {name: tensor}

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (spoil("kernels", (1, 2, 0, 3, 3), math.nan), ["kernels", "(1, 2, 0)", "nan", "finite"]),
        (spoil("kernels", (1, 2, 1), 0.0), ["kernels", "(1, 2, 1)", "0", "sum 1"]),
        (spoil("transmission", (0, 0, 0), -0.1), ["transmission", "(0, 0, 0)", "-0.1"]),
        (spoil("transmission", (2, 3, 1), math.inf), ["transmission", "(2, 3, 1)", "inf"]),
        (spoil("lost", (0, 1, 0), 1.0), ["lost", "(0, 1, 0)", "below 1"]),
        (spoil("lost", (0, 1, 0), math.nan), ["lost", "nan"]),
        (spoil("depths_m", 1, 0.05), ["depths_m", "0.05", "ascending"]),
        (spoil("depths_m", 0, 0.0), ["depths_m", "positive"]),
        (spoil("depths_m", 1, math.nan), ["depths_m", "nan"]),
        (spoil("radii", 3, 1.1), ["radii", "1.1", "0 to 1"]),
        (spoil("radii", 1, 0.9), ["radii", "ascending"]),
        (lambda f: {"kernels": f.kernels[..., :5]}, ["kernels", "(3, 4, 2, 7, 5)"]),
        (lambda f: {"kernels": f.kernels[..., :6, :6]}, ["kernels", "side 6", "odd"]),
        (lambda f: {"oversample": 2, "kernels": f.kernels}, ["kernels", "side 7", "oversample 2"]),
        (lambda f: {"oversample": 0}, ["oversample", "0"]),
        (lambda f: {"kernels": f.kernels[0]}, ["kernels", "(D, R, C, S, S)"]),
        (lambda f: {"kernels": f.kernels.half()}, ["kernels", "float16", "float32 or float64"]),
        (lambda f: {"kernels": f.kernels.numpy()}, ["kernels", "tensor"]),
        (lambda f: {"lost": f.lost.float()}, ["lost", "float32", "float64"]),
        (lambda f: {"lost": f.lost[:, :3]}, ["lost", "(3, 3, 2)", "(3, 4, 2)"]),
        (lambda f: {"depths_m": f.depths_m[:2]}, ["depths_m", "(2,)", "(3,)"]),
        (lambda f: {"radii": f.radii[:2]}, ["radii", "(2,)", "(4,)"]),
        (lambda f: {"channels": (Channel("G"),)}, ["channels", "1 of them", "2"]),
        (lambda f: {"channels": ("R", "B")}, ["channels", "psf.Channel"]),
        (lambda f: {"image_shape_px": (30, 40, 3)}, ["image_shape_px", "(H, W)"]),
        (lambda f: {"image_shape_px": (30, 0)}, ["image_shape_px", "positive"]),
        (lambda f: {"pitch_um": 0.0}, ["pitch_um", "0.0"]),
        (lambda f: {"pitch_um": math.inf}, ["pitch_um", "inf"]),
        (lambda f: {"magnification": -1.0}, ["magnification", "-1.0"]),
        (lambda f: {"focus_m": math.nan}, ["focus_m", "nan"]),
        (lambda f: {"provenance": {}}, ["provenance", "dict"]),
    ],
)
def test_what_is_wrong_with_a_field_is_named(make_field, change, words):
    with pytest.raises(InputError) as error:
        make_field(**change(make_field()))
    message = str(error.value)
    assert message.startswith("PolarPSFField.")
    assert "\n" not in message
    assert all(word in message for word in words)


def test_one_depth_one_radius_and_one_pixel_are_a_field(make_field):
    one = torch.ones(1, 1, 1, dtype=F64)
    field = make_field(
        kernels=one[..., None, None],
        transmission=one,
        lost=0 * one,
        depths_m=torch.tensor([math.inf], dtype=F64),
        radii=torch.tensor([0.5], dtype=F64),
        channels=(Channel("G"),),
        focus_m=math.inf,
    )
    assert field.at_pixel(3.0, 4.0, 0.7).tolist() == [[[1.0]]]
