"""examples/custom_field.py: optics of one's own as a `PSFModel`."""

import importlib.util
import io
import math
import os
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest
import torch

from psf import PSFModel

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "custom_field.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("custom_field", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kernels_of(example, waves, *depths_m):
    return example.CubicPlate(waves).kernels_at(torch.zeros(len(depths_m)), torch.tensor(depths_m))


def test_plate_is_a_psf_model_whose_kernels_have_unit_sum(example):
    assert isinstance(example.CubicPlate(6.0), PSFModel)
    kernels = kernels_of(example, 6.0, 0.15, 0.25, math.inf)
    assert kernels.shape == (3, 1, 65, 65)
    assert torch.allclose(kernels.sum((-2, -1)), torch.ones(3, 1), atol=1e-6)
    assert (kernels >= 0).all()


def test_in_focus_and_without_a_plate_the_kernel_is_airys(example):
    (kernel,) = kernels_of(example, 0.0, 0.25)[:, 0]
    assert torch.allclose(kernel, kernel.flip(0), atol=1e-6)
    assert torch.allclose(kernel, kernel.T, atol=1e-6)
    # The first dark ring has a radius of 1.22 x 0.55 x 2 = 1.34 um: the pixel of 2 um holds most of the 83.8 % inside.
    assert 0.78 < float(kernel[32, 32]) < 0.9


def test_defocused_kernel_is_the_disc_of_geometry(example):
    (kernel,) = kernels_of(example, 0.0, 0.125)[:, 0]
    # 4 dioptres of defocus through a pupil of 2 mm, 4 mm before the sensor: a disc of 32 um, 16 px.
    y, x = torch.meshgrid(torch.arange(65.0) - 32, torch.arange(65.0) - 32, indexing="ij")
    inside = float(kernel[(x**2 + y**2).sqrt() <= 9].sum())
    assert inside > 0.95
    assert float(kernel[(x**2 + y**2).sqrt() <= 4].sum()) < 0.5


def test_plate_makes_kernels_alike_over_depth(example):
    def apart(waves):
        near, focus = kernels_of(example, waves, 0.2, 0.25)[:, 0]
        return float((near - focus).abs().sum() / 2)

    assert apart(6.0) < 0.1 < 0.7 < apart(0.0)


def test_plate_is_not_turned_with_the_azimuth(example):
    plate = example.CubicPlate(6.0)
    places = torch.tensor([0.0, 100.0, 4000.0])
    kernels = plate.kernels_at_pixel(places, places, torch.full((3,), 0.2))
    assert kernels[0].equal(kernels[1])
    assert kernels[0].equal(kernels[2])


def test_filter_undoes_the_kernel_it_is_told(example):
    generator = torch.Generator().manual_seed(3)
    sharp = torch.rand((1, 1, 16, 16), generator=generator).repeat_interleave(12, 2).repeat_interleave(12, 3)
    kernel = kernels_of(example, 2.0, 0.25)[0]
    padded = torch.nn.functional.pad(sharp, [32] * 4, mode="reflect")
    blurred = torch.nn.functional.conv2d(padded, kernel.flip((-2, -1))[None])
    restored = example.restore(blurred, kernel)
    assert (restored - sharp).square().mean() < 0.2 * (blurred - sharp).square().mean()


def test_example_draws_prints_and_is_better_where_the_lens_is_out_of_focus(tmp_path):
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "there/plate.png"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there" / "plate.png").read_bytes().startswith(b"\x89PNG")
    rows = [[float(one) for one in line.split()[-6:]] for line in done.stdout.splitlines()]
    assert len(rows) == 4
    plain, coded = rows[1], rows[3]
    assert coded[0] > plain[0] + 1
    assert coded[4] > plain[4] + 2
    assert min(coded) > min(plain) + 1


def test_all_of_it_takes_less_than_sixty_lines_of_code():
    source = EXAMPLE.read_text(encoding="utf-8")
    kinds = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines, last = set(), None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        opens = last is None or last.type in (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT)
        if token.type not in kinds and not (token.type == tokenize.STRING and opens):
            lines |= set(range(token.start[0], token.end[0] + 1))
        last = token
    assert len(lines) < 60
