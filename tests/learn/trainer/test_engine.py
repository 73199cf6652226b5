import sys

import pytest
import torch

from learn.trainer import open_engine
from psf import InputError


@pytest.fixture
def fabric_installed():
    pytest.importorskip("lightning_fabric")


@pytest.mark.usefixtures("fabric_installed")
def test_one_process_is_the_default():
    with open_engine("fp32", "cpu") as fabric:
        assert (fabric.world_size, fabric.is_global_zero, fabric.device) == (1, True, torch.device("cpu"))


@pytest.mark.usefixtures("fabric_installed")
def test_half_precision_is_the_networks_alone():
    with open_engine("bf16", "cpu") as fabric:
        seen = []

        class Network(torch.nn.Linear):
            def forward(self, x):
                y = super().forward(x)
                seen.append(y.dtype)
                return y

        network = fabric.setup(Network(2, 2))
        assert network(torch.ones(1, 2)).dtype == torch.float32
        assert seen == [torch.bfloat16]
        assert next(network.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("precision", "device", "words"),
    [
        ("fp16", "cpu", "precision: found 'fp16' on a CPU, expected 'fp32' or 'bf16' there"),
        ("fp8", "cpu", "precision: found 'fp8'"),
        ("fp32", "tpu", "device: found 'tpu'"),
    ],
)
def test_what_this_machine_cannot_do_is_refused_in_a_line(precision, device, words):
    with pytest.raises(InputError, match=words), open_engine(precision, device):
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="device: found 'cuda'"), open_engine("fp32", "cuda"):
        pass


def test_a_missing_engine_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(ImportError, match=r"pip install 'psfield\[learn\]'"), open_engine("fp32", "cpu"):
        pass
