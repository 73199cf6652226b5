"""Graphs: that they show what they are given, with units. Whether they are good, only eyes can tell."""

import math

import pytest
import torch

from optics import plots
from optics.aberrations import AxialColour, FocusCurves, RayFans
from optics.analysis import FieldCurves
from optics.depth_of_field import Blur
from optics.energy import EncircledEnergy
from optics.mtf import ModulationTransfer
from psf import Channel, InputError

CHANNELS = (Channel("R", (0.65,)), Channel("G", (0.55,)))
RADII = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
DEPTHS = torch.tensor([0.2, math.inf], dtype=torch.float64)


def ramp(*shape):
    return torch.linspace(0, 1, math.prod(shape), dtype=torch.float64).reshape(shape)


def fans():
    pupil = torch.linspace(-1, 1, 5, dtype=torch.float64).expand(3, 5)
    alive = torch.ones(3, 2, 5, dtype=torch.bool)
    alive[:, :, 0] = False
    values = [ramp(3, 2, 5) for _ in range(4)]
    return RayFans(RADII, math.inf, CHANNELS, ramp(2), pupil, pupil, *values, alive, alive)


def transfer():
    return ModulationTransfer(
        DEPTHS, RADII, ramp(4), 100 * ramp(6), CHANNELS, ramp(2, 3, 4, 2, 6), ramp(2, 3, 4, 2, 6), ramp(2, 2, 6), False
    )


def curves():
    return FieldCurves(RADII, math.inf, RADII, RADII, RADII, 0.1 * RADII, ramp(3, 2), ramp(3, 2), RADII, CHANNELS)


def axial():
    return AxialColour(math.inf, ramp(4) + 0.4, ramp(4), CHANNELS, ramp(5), ramp(2, 5))


def focus():
    return FocusCurves(RADII, math.inf, CHANNELS, RADII, ramp(3, 2), ramp(3, 2), RADII)


def energy():
    return EncircledEnergy(DEPTHS, RADII, 10 * ramp(7), CHANNELS, ramp(2, 3, 2, 7), ramp(2, 2, 7))


def blur():
    return Blur(DEPTHS, RADII, 5 * ramp(2, 3) + 1)


DRAWN = [
    (lambda: plots.plot_field_aberrations(axial(), focus(), curves(), "t"), 3, ("um", "um", "%")),
    (lambda: plots.plot_colour(axial(), curves(), 2.0, "t"), 3, ("nm", "height", "height")),
    (lambda: plots.plot_mtf(transfer(), 20.0, 1, "t"), 2, ("per mm", "per mm")),
    (lambda: plots.plot_mtf_field(transfer(), 0, "t"), 2, ("height", "height")),
    (lambda: plots.plot_mtf_focus(transfer(), 1, "t"), 3, ("um", "um", "um")),
    (lambda: plots.plot_mtf_depth(transfer(), 0, "t"), 3, ("1/m", "1/m", "1/m")),
    (lambda: plots.plot_energy(energy(), 2.0, 1, "t"), 2, ("um", "um")),
    (lambda: plots.plot_blur(blur(), (2.0, 4.0), 2.0, "t"), 1, ("1/m",)),
]


@pytest.mark.parametrize(("make", "panels", "units"), DRAWN)
def test_axes_say_what_they_show_and_in_what(make, panels, units):
    figure = make()
    assert len(figure.axes) == panels
    for ax, unit in zip(figure.axes, units, strict=True):
        assert unit in ax.get_xlabel()
        assert ax.get_ylabel()
        assert ax.lines
    assert figure.get_size_inches()[0] == plots.WIDTH_IN
    figure.canvas.draw()


@pytest.mark.parametrize("paths", [False, True])
def test_fans_have_a_row_per_height_and_leave_lost_rays_out(paths):
    given = fans()
    if paths:
        figure = plots.plot_path_fans(given)
        assert "waves" in figure.get_supylabel()
    else:
        figure = plots.plot_ray_fans(given, 1.0, "title")
        assert "um" in figure.get_supylabel()
    assert len(figure.axes) == 6
    line = figure.axes[2].lines[0]
    assert math.isnan(line.get_ydata()[0])
    assert line.get_ydata()[1:].tolist() == pytest.approx(given.tangential_um[1, 0, 1:].tolist())
    figure.canvas.draw()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plots.plot_ray_fans(fans(), 0.0), "pitch_um"),
        (lambda: plots.plot_colour(axial(), curves(), math.nan), "pitch_um"),
        (lambda: plots.plot_mtf(transfer(), -1.0), "pitch_um"),
        (lambda: plots.plot_mtf(transfer(), 1.0, 2), "channel"),
        (lambda: plots.plot_mtf_depth(transfer(), -1), "channel"),
        (lambda: plots.plot_energy(energy(), 1.0, 5), "channel"),
        (lambda: plots.plot_blur(blur(), (), 0.0), "pitch_um"),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()
