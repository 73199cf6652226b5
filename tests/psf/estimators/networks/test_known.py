import pytest
import torch

import psf
from psf.errors import InputError
from psf.estimators.networks.known import KnownKernels

EVEN = torch.full((2, 1, 3, 3), 1 / 9)


def test_a_field_gives_its_kernels_at_every_depth_and_image_height():
    field = psf.thin_lens_field(
        focal_mm=50, f_number=4, focus_m=2.0, pitch_um=20, image_shape_px=(100, 150), kernel_px=9
    )
    known = KnownKernels.of_model(field, [1.5, 3.0], [0.0, 0.5, 1.0])
    assert len(known) == 6
    assert known.depth_m.tolist() == [1.5, 1.5, 1.5, 3.0, 3.0, 3.0]
    expected = field.at(torch.tensor(0.5), torch.tensor(3.0))
    assert torch.allclose(known.kernels[4], expected)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kernels": torch.ones(2, 1, 3, 3)}, "unit sum"),
        ({"kernels": torch.full((2, 1, 4, 4), 1 / 16)}, "odd K"),
        ({"kernels": EVEN[0]}, "shape"),
        ({"kernels": EVEN * float("nan")}, "not finite"),
        ({"radius": torch.zeros(3)}, "radius"),
        ({"radius": torch.tensor([-0.1, 0.0])}, "negative"),
        ({"depth_m": torch.tensor([0.0, 1.0])}, "0 m"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(changes, words):
    given = {"kernels": EVEN, "radius": torch.zeros(2), "depth_m": torch.ones(2), **changes}
    with pytest.raises(InputError, match=words) as error:
        KnownKernels(**given)
    assert "\n" not in str(error.value)
