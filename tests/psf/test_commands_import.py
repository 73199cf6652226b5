"""The command that reads kernels of other programs."""

import numpy as np
import pytest
import torch

import psf
from psf.commands_import import ImportOptions, run_import
from psf.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """A folder with one round kernel on the axis."""
    x = torch.arange(9) - 4
    np.save(tmp_path / "a.npy", torch.exp(-0.5 * (x[:, None] ** 2 + x[None, :] ** 2)).double().numpy())
    settings = "# pitch_um: 2.0\n# image_shape_px: [300, 400]\n# focus_m: 1.0\n# spacing_um: 2.0\n"
    (tmp_path / "kernels.csv").write_text(settings + "file,depth_m,channel,radius\na.npy,0.5,G,0\n")
    return tmp_path


def test_folder_becomes_a_field_file_and_everything_is_said(folder):
    said = []
    out = run_import(ImportOptions(manifest=folder, out=folder / "a.h5", kernel_px=7), say=said.append)
    field = psf.load(out)
    assert field.kernels.shape == (1, 1, 1, 7, 7)
    assert any("no transmission" in line for line in said)
    assert said[-1].startswith("1 files: PolarPSFField(")


def test_strict_refuses_what_the_files_do_not_say(folder):
    with pytest.raises(InputError, match="--strict"):
        run_import(ImportOptions(manifest=folder, out=folder / "a.h5", strict=True), say=str)
    assert not (folder / "a.h5").exists()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"out": "a.npy"}, InputError, r"\.h5"),
        ({"out": "none/a.h5"}, FileNotFoundError, "no such folder"),
        ({"most_asymmetry": 2.0}, InputError, "most-asymmetry"),
        ({"kernel_px": 4}, InputError, "odd"),
        ({"manifest": "none.json"}, FileNotFoundError, "no such file"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(folder, changes, error, words):
    paths = {"manifest": folder, "out": folder / "a.h5"}
    paths |= {key: folder / one if key in paths else one for key, one in changes.items()}
    with pytest.raises(error, match=words):
        run_import(ImportOptions(**paths), say=str)
