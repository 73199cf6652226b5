import re

import numpy as np
import pytest
import torch

from psf import InputError
from render.layers import Quotient, blend_layers, blur, blur_valid, composite_planes


@pytest.fixture(scope="module")
def golden(root):
    with np.load(root / "tests/data/occlusion_golden.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def lopsided(channels=3, size=5, seed=0):
    kernel = torch.rand(channels, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return kernel / kernel.sum((-2, -1), keepdim=True)


def test_two_known_planes_agree_with_the_golden_vectors(golden):
    names = ("two_front", "two_alpha", "two_back")
    front, alpha, back = (golden[name].reshape(1, -1, 16, 20) for name in names)
    out = composite_planes(
        front, alpha, back, golden["two_kernel_front"], golden["two_kernel_back"], padding="replicate"
    )
    assert (out[0] - golden["two_out"]).abs().max() < 1e-10


def test_hard_layers_agree_with_the_golden_vectors(golden):
    label = golden["layers_label"]
    masks = torch.stack([(label == layer).double() for layer in range(len(golden["layers_kernels"]))])[None]
    out = blend_layers(golden["layers_image"][None], masks, golden["layers_kernels"], padding="replicate")
    assert (out[0] - golden["layers_out"]).abs().max() < 1e-10


def test_an_empty_front_leaves_the_blurred_background():
    back = torch.rand(2, 3, 12, 14, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    out = composite_planes(torch.ones_like(back), torch.zeros(2, 1, 12, 14), back, lopsided(), lopsided(seed=1))
    assert torch.allclose(out, blur(back, lopsided(seed=1), "reflect"), atol=1e-12)


def test_a_full_front_hides_the_background():
    front = torch.rand(1, 3, 12, 14, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    out = composite_planes(front, torch.ones(1, 1, 12, 14), 9 * front, lopsided(), lopsided(seed=1))
    assert torch.allclose(out, blur(front, lopsided(), "reflect"), atol=1e-12)


def test_blur_is_a_true_convolution_and_moves_a_point_as_the_kernel_is_drawn():
    image, kernel = torch.zeros(1, 1, 9, 9), torch.zeros(1, 5, 5)
    image[0, 0, 4, 4] = 1
    kernel[0, 1, 4] = 1  # one pixel up, two to the right
    assert abs(float(blur(image, kernel, "zeros")[0, 0, 3, 6]) - 1) < 1e-6


def test_blur_agrees_with_conv2d():
    image = torch.rand(2, 3, 11, 13, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    kernel = lopsided(size=7)
    plain = torch.nn.functional.conv2d(image, kernel.flip(-1, -2)[:, None], groups=3)
    assert torch.allclose(blur_valid(image, kernel), plain, atol=1e-12)


def test_layers_have_the_gradient_that_differences_have():
    image = torch.rand(1, 1, 6, 7, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    # Soft masks: where a layer covers nothing or all, its cover is held at 0 or 1 and has a kink.
    share = 0.2 + 0.6 * torch.rand(1, 6, 7, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    masks = torch.stack([share, 1 - share], 1)
    kernels = torch.stack([lopsided(1, 3, 1), lopsided(1, 3, 2)])
    assert torch.autograd.gradcheck(
        lambda i, k: blend_layers(i, masks, k), (image.requires_grad_(), kernels.requires_grad_())
    )


def test_what_no_layer_covers_is_the_sharp_picture():
    image = torch.full((1, 1, 3, 3), 0.7)
    assert Quotient.empty(image).result(image).equal(image)


GOOD = {
    "front": torch.ones(1, 3, 8, 9),
    "alpha": torch.ones(1, 1, 8, 9),
    "back": torch.ones(1, 3, 8, 9),
    "kernel_front": lopsided().float(),
    "kernel_back": lopsided().float(),
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"padding": "mirror"}, "padding: found 'mirror'"),
        ({"back": torch.ones(1, 3, 8, 8)}, "back: found shape"),
        ({"alpha": torch.full((1, 1, 8, 9), 1.5)}, "alpha"),
        ({"alpha": torch.ones(1, 8, 9)}, "alpha: found shape"),
        ({"front": torch.full((1, 3, 8, 9), float("nan"))}, "front"),
        ({"kernel_back": torch.ones(3, 4, 4)}, "odd"),
        ({"kernel_back": torch.ones(2, 5, 5)}, "2 channels"),
        ({"kernel_front": torch.ones(3, 17, 17)}, "reaches 8 px"),
        ({"kernel_front": lopsided()}, "float64"),
    ],
)
def test_input_that_cannot_be_composed_is_named(change, words):
    with pytest.raises(InputError, match=re.escape(words)):
        composite_planes(**{**GOOD, **change})
