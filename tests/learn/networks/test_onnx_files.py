import importlib

import pytest
import torch

from learn.networks import NAFNetConfig, compare_onnx, make_network, write_onnx
from learn.networks.nafnet import NAFNet
from psf import InputError

CONFIG = NAFNetConfig(4, (1, 1), 1, (1, 1))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_network(seed=0, config=CONFIG):
    network, own = make_network(config, generator=generator(seed)), generator(seed + 1)
    with torch.no_grad():
        for values in network.parameters():
            values += 0.2 * torch.randn(values.shape, generator=own)
    return network


@pytest.mark.slow
@pytest.mark.parametrize("config", [CONFIG, NAFNetConfig(4, (1,), 1, (1,), in_planes=13, candidates=2)])
def test_the_file_agrees_with_torch_at_any_size_and_with_no_other_network(tmp_path, config):
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module)
    network = random_network(config=config)
    error = write_onnx(network, tmp_path / "a.onnx", generator=generator())
    assert error < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]
    assert compare_onnx(random_network(7, config), tmp_path / "a.onnx", generator=generator()) > 1e-2


def test_what_cannot_be_exported_is_refused(tmp_path):
    with pytest.raises(InputError, match="box_cells"):
        write_onnx(NAFNet(CONFIG), tmp_path / "a.onnx", box_cells=9, generator=generator())
    with pytest.raises(InputError, match="float64"):
        write_onnx(NAFNet(CONFIG).double(), tmp_path / "a.onnx", generator=generator())
    with pytest.raises(FileNotFoundError, match="no such folder"):
        write_onnx(NAFNet(CONFIG), tmp_path / "none" / "a.onnx", generator=generator())


def test_a_missing_package_is_named_with_what_brings_it(tmp_path, monkeypatch):
    def refuse(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(ImportError, match=r"onnx is not installed; this needs: pip install 'psfield\[onnx\]'"):
        write_onnx(NAFNet(CONFIG), tmp_path / "a.onnx", generator=generator())
    assert not list(tmp_path.iterdir())
