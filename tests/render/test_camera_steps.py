import math

import pytest
import torch

import psf
from psf import InputError
from render.camera_steps import (
    TRANSMISSION_CELLS,
    blur_mosaic,
    cut_margin,
    find_generators,
    find_transmission,
    make_light,
    place_windows,
    transmit_all,
)
from render.metadata import ColourMetadata

F64 = torch.float64


def make_lens(shape=(40, 60)):
    return psf.thin_lens_field(4.0, 2.0, math.inf, 2.0, shape, depths_m=torch.tensor([0.2, math.inf])).to(dtype=F64)


def test_windows_are_even_inside_the_sensor_and_one_per_picture():
    assert place_windows(None, 2, (10, 12), (41, 60)).tolist() == [[24, 14], [24, 14]]
    assert place_windows(None, 1, (40, 60), (40, 60)).tolist() == [[0, 0]]
    assert place_windows((4, 30), 2, (10, 12), (40, 60)).tolist() == [[4, 30], [4, 30]]
    assert place_windows(torch.tensor([[0, 0], [48, 30]]), 2, (10, 12), (40, 60)).dtype == torch.int64
    with pytest.raises(InputError, match="inside a sensor of 60 x 40 px"):
        place_windows([(0, 0), (50, 30)], 2, (10, 12), (40, 60))


def test_seeds_and_generators_stand_for_one_another():
    one = torch.Generator().manual_seed(3)
    found = find_generators([3, one], 2, torch.device("cpu"))
    assert found[1] is one
    assert torch.equal(*(torch.rand(4, generator=generator) for generator in found))
    assert find_generators(one, 3, torch.device("cpu")) == [one] * 3


def test_margin_is_cut_off_all_round():
    image = torch.arange(24.0).reshape(1, 4, 6)
    assert torch.equal(cut_margin(image, 1), image[:, 1:3, 1:5])
    assert torch.equal(cut_margin(image, 0), image)


def test_linear_light_of_a_neutral_camera_is_itself_but_for_the_gains():
    one = torch.ones(1)
    neutral = ColourMetadata(torch.eye(3)[None], 2 * one, 4 * one, one)
    light = torch.full((1, 3, 2, 2), 0.8)
    assert make_light(light, neutral, "linear", True)[0, :, 0, 0].tolist() == pytest.approx([0.4, 0.8, 0.2])
    assert make_light(5 * light, neutral, "camera", True).unique().tolist() == [1.0]
    assert make_light(5 * light, neutral, "camera", False).unique().tolist() == [4.0]
    eight = torch.full((1, 3, 2, 2), 51, dtype=torch.uint8)
    assert make_light(eight, neutral, "camera", True).unique().tolist() == pytest.approx([0.2])


def test_lens_in_focus_changes_nothing_and_the_margin_is_cut():
    lens = psf.thin_lens_field(4.0, 2.0, 1.0, 2.0, (40, 60), depths_m=torch.tensor([1.0]), kernel_px=3, breathing=False)
    light = torch.rand((1, 3, 20, 24), generator=torch.Generator().manual_seed(0))
    depth_m = torch.ones((1, 1, 20, 24))
    # To the right of the sensor's middle: at other azimuths a kernel of one pixel is blurred by being turned.
    kept = blur_mosaic(light, depth_m, lens, (36, 12), 2, "blend", "reflect", "RGGB")
    assert kept.shape == (1, 16, 20)
    assert torch.allclose(kept[0, 0::2, 0::2], light[0, 0, 2:-2:2, 2:-2:2], atol=1e-6)
    assert torch.allclose(kept[0, 0::2, 1::2], light[0, 1, 2:-2:2, 3:-2:2], atol=1e-6)
    assert torch.allclose(kept[0, 1::2, 1::2], light[0, 2, 3:-2:2, 3:-2:2], atol=1e-6)


def test_bands_of_transmission_do_not_show(monkeypatch):
    lens = make_lens()
    law = (1 - lens.radii**2 / 2)[None, :, None].expand_as(lens.transmission).contiguous()
    field = psf.PolarPSFField(
        **{**{name: getattr(lens, name) for name in lens.__dataclass_fields__}, "transmission": law}
    )
    depth_m = torch.full((1, 1, 40, 60), 0.3, dtype=F64)
    whole = find_transmission(field, depth_m, (0, 0))
    monkeypatch.setattr("render.camera_steps.TRANSMISSION_CELLS", 90)
    assert TRANSMISSION_CELLS > 90
    assert torch.equal(find_transmission(field, depth_m, (0, 0)), whole)
    assert whole.shape == (1, 4, 20, 30)
    assert torch.allclose(whole, whole.flip(-1).flip(-2), atol=1e-12)
    assert torch.equal(transmit_all(field).transmission, torch.ones_like(law))
    assert transmit_all(None) is None
