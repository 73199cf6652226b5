import math
from dataclasses import replace

import pytest
import torch
from matplotlib.figure import Figure

from psf import Channel, InputError, thin_lens_field
from psf.plots import plot_encircled_energy, plot_kernel, plot_montage, plot_sensor, plot_transmission


@pytest.fixture(scope="module")
def field():
    return thin_lens_field(3.0, 2.0, 1.0, 2.0, (300, 400), radii=torch.linspace(0, 1, 4))


@pytest.mark.parametrize(
    "plot",
    [
        plot_montage,
        lambda field: plot_kernel(field.at(0.3, 0.3)[1], "a disc", field.pitch_um),
        lambda field: plot_kernel(field.at(0.3, 0.3)[1]),
        lambda field: plot_sensor(field, math.inf),
        lambda field: plot_sensor(field, 0.5, channel=2, columns=3),
        plot_transmission,
        plot_encircled_energy,
    ],
)
def test_plots_are_drawn_with_labelled_axes(field, plot, tmp_path):
    figure = plot(field)
    assert isinstance(figure, Figure)
    labels = [ax.get_xlabel() + ax.get_ylabel() for ax in figure.axes]
    assert any(labels)
    figure.savefig(tmp_path / "plot.png", dpi=40)
    assert (tmp_path / "plot.png").stat().st_size > 2000


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda field: plot_montage(field, channel=3), ["channel", "3", "0 to 2"]),
        (lambda field: plot_kernel(torch.zeros(3, 3)), ["kernel", "no light"]),
        (lambda field: plot_kernel(torch.ones(2, 3)), ["kernel", "(2, 3)"]),
    ],
)
def test_wrong_arguments_are_named(field, call, words):
    with pytest.raises(InputError) as error:
        call(field)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    "plot", [plot_montage, plot_transmission, plot_encircled_energy, lambda f: plot_sensor(f, 1.0)]
)
def test_a_field_of_one_channel_needs_no_channel_named(field, plot):
    kernels, transmission, lost = (one[:, :, :1] for one in (field.kernels, field.transmission, field.lost))
    grey = replace(field, kernels=kernels, transmission=transmission, lost=lost, channels=(Channel("Y"),))
    assert isinstance(plot(grey), Figure)
