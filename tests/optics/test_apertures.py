import math
from pathlib import Path

import pytest
import torch

from optics.aiming import aim_rays
from optics.apertures import float_apertures
from optics.geometric import relative_illumination
from optics.prescriptions import load
from optics.tracing import trace
from psf.errors import InputError

F64 = torch.float64
WIDE = sorted(path.stem for path in (Path(__file__).parents[1] / "data" / "wide_lenses").glob("*.json"))


def wide_lens(name):
    return load(Path(__file__).parents[1] / "data" / "wide_lenses" / f"{name}.json")


def semis(lens):
    return torch.stack([s.semi_aperture_mm for s in lens.surfaces])


def test_a_lens_that_vignettes_no_longer_does():
    lens = load("camera_rf50mm_f1p8")
    free = float_apertures(lens)
    angle = torch.linspace(0, 2 * math.pi, 33, dtype=F64)
    rim = 0.999 * torch.stack([angle.cos(), angle.sin()], 1)
    for radius in (0.0, 0.6, 1.0):
        aimed = aim_rays(free, radius, math.inf, rim)
        assert bool(aimed.reached.all())
        assert bool(trace(free, aimed.rays).alive.all())
    assert not bool(trace(lens, aim_rays(lens, 1.0, math.inf, rim).rays).alive.all())
    assert float(relative_illumination(free, [1.0], [math.inf])[0, 0, 1]) > 2 * float(
        relative_illumination(lens, [1.0], [math.inf])[0, 0, 1]
    )


def test_the_stop_and_surfaces_that_are_not_named_stay():
    lens = load("double_gauss_jp1987087922")
    free = float_apertures(lens, [1, lens.stop_surface])
    changed = (semis(free) != semis(lens)).nonzero()[:, 0].tolist()
    assert changed == [0]


def test_floating_again_changes_nothing():
    lens = float_apertures(load("phone_us7535658"))
    again = float_apertures(lens)
    assert float((semis(again) / semis(lens) - 1).abs().max()) < 1e-6


def test_margin_is_a_factor_on_every_beam():
    lens = load("wide_laikin100")
    tight, loose = (semis(float_apertures(lens, margin=m)) for m in (1.0, 1.1))
    others = torch.arange(len(tight)) != lens.stop_surface - 1
    assert float((loose / tight - 1.1)[others].abs().max()) < 1e-9


@pytest.mark.parametrize("name", WIDE)
def test_no_aperture_reaches_beyond_the_end_of_its_surface(name):
    for surface in wide_lens(name).surfaces:
        assert 0 < float(surface.semi_aperture_mm) < surface.shape.end_mm


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"surfaces": [0]}, "surfaces"),
        ({"surfaces": [99]}, "surfaces"),
        ({"margin": 0.9}, "margin"),
        ({"radii": [1.5]}, "radii"),
        ({"depths_m": []}, "depths_m"),
        ({"depths_m": [-1.0]}, "depths_m"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(arguments, words):
    with pytest.raises(InputError, match=words):
        float_apertures(load("cooke_triplet"), **arguments)
