import subprocess
import sys

import pytest
import torch
from matplotlib.figure import Figure

from psf import InputError
from render.calibration import PhotonTransfer, PlaneLine, fit_iso_model
from render.noise_plots import plot_calibration
from render.noise_presets import load_noise


def transfer(iso, planes=4, dark=True, sigma2_dn2=None, left_out=True):
    shot, read = (float(one) for one in load_noise("imx586").levels(iso))
    generator = torch.Generator().manual_seed(iso)
    k_dn, sigma2_dn2 = shot * 959, read * 959**2 if sigma2_dn2 is None else sigma2_dn2
    lines = []
    for _ in range(planes):
        mean = torch.logspace(0.9, 2.9, 8, dtype=torch.float64)
        mean = torch.cat([mean, mean.new_zeros(2 if dark else 0)])
        error = 0.01 * (k_dn * mean + sigma2_dn2) + 1e-3
        variance = k_dn * mean + sigma2_dn2 + error * torch.randn(len(mean), generator=generator, dtype=torch.float64)
        used = torch.ones(len(mean), dtype=torch.bool)
        used[7] = not left_out
        covariance = torch.diag(torch.tensor([(0.003 * k_dn) ** 2, 1e-6], dtype=torch.float64))
        lines.append(PlaneLine(k_dn, sigma2_dn2, covariance, 1.0, 64.0, mean, variance, error, used))
    return PhotonTransfer(float(iso), tuple(lines), 1023.0)


@pytest.mark.parametrize(
    "transfers",
    [
        [transfer(iso) for iso in (100, 400, 1600, 3200)],
        [transfer(400, planes=1, dark=False)],
        [transfer(iso, sigma2_dn2=0.0, left_out=False) for iso in (100, 200)],
    ],
    ids=["series", "one iso, one plane", "no read noise"],
)
def test_calibrations_are_drawn_with_labelled_axes(transfers, tmp_path):
    figure = plot_calibration(transfers, fit_iso_model(transfers, name="mine")[0])
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 4
    assert all(ax.get_xlabel() and ax.get_ylabel() and ax.get_title() for ax in figure.axes)
    assert {ax.get_xlabel() for ax in figure.axes} == {"ISO", "mean above black (DN)"}
    figure.savefig(tmp_path / "plot.png", dpi=40)
    assert (tmp_path / "plot.png").stat().st_size > 2000


def test_nothing_to_draw_is_an_error():
    with pytest.raises(InputError, match="transfers"):
        plot_calibration([], load_noise("imx586"))


def test_matplotlib_is_loaded_when_something_is_drawn_and_not_before(root):
    code = "import sys, render.noise_plots, render.calibration_folder; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
