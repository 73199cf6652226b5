"""Node spectra from a field, from kernels, and kept ones: they are the same."""

import numpy as np
import pytest
import torch

from render.node_sources import FieldNodes, KeptNodes, KernelNodes
from render.nodes import block_kernels, plane_runs, prepare_field, tap_step, wanted_nodes
from render.tiling import cut_picture


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("turning", ["bilinear", "cubic"])
def test_spectra_from_the_field_are_those_of_its_kernels(small_field, sign, turning):
    field = small_field()
    prepared = prepare_field(field, turning)
    block = cut_picture((40, 50), (40, 50), 5, (0, 0), "gather", "reflect", 10)[0]
    presence = np.random.default_rng(0).random((len(block.rows.size), len(block.cols.size), 3)) < 0.5
    wanted = wanted_nodes(presence)
    kernels = block_kernels(prepared, block, presence, sign).numpy()
    sources = (FieldNodes(prepared, block, wanted, tap_step(block, sign)), KernelNodes(kernels, block, wanted))
    for row in range(len(wanted)):
        rows = []
        for source in sources:
            made, jobs = source.begin(row, 1, 4)
            for job in jobs:
                job()
            rows.append(made)
        assert np.array_equal(rows[0].slot, rows[1].slot)
        assert np.array_equal(rows[0].slot >= 0, wanted[row, 1:4])
        assert np.abs(rows[0].values - rows[1].values).max(initial=0) < 1e-12
        assert np.abs(rows[0].moments - rows[1].moments).max(initial=0) < 1e-12
        begin = sources[1].start_of(row) + int(wanted[row, :1].sum())
        plain = torch.fft.rfft2(torch.from_numpy(kernels[begin : begin + len(rows[0].values)]), s=block.fft_shape)
        assert np.abs(rows[0].values - plain.numpy()).max(initial=0) < 1e-12
        assert np.abs(rows[0].moments[..., 0, 0] - plain[..., 0, 0].real.numpy()).max(initial=0) < 1e-12


def test_kept_rows_are_handed_out_column_by_column(small_field):
    prepared = prepare_field(small_field(), "bilinear")
    block = cut_picture((40, 50), (40, 50), 5, (0, 0), "gather", "reflect", 10)[0]
    wanted = np.ones((len(block.rows.size) + 1, len(block.cols.size) + 1, 3), bool)
    row, jobs = FieldNodes(prepared, block, wanted, (1.0, 1.0)).begin(0, 0, wanted.shape[1])
    for job in jobs:
        job()
    part, left = KeptNodes((row,)).begin(0, 2, 4)
    assert not left
    assert part.values is row.values
    assert np.array_equal(part.slot, row.slot[2:4])


def test_runs_of_planes_bridge_single_gaps():
    wanted = np.array([[1, 1, 0, 1, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0]], bool)
    node, planes = plane_runs(wanted)
    assert node.tolist() == [0, 0, 2]
    assert planes.tolist() == [[0, 3], [6, 6], [2, 2]]
