import importlib
import json

import pytest
import torch

from learn.depth import find_disparity, load_network, save_untrained_network
from learn.depth import network as network_module
from psf import InputError


def picture(height=100, width=140):
    return torch.rand((3, height, width), generator=torch.Generator().manual_seed(1))


def test_the_network_is_of_the_real_class_and_marked(network, weights):
    assert type(network.model).__name__ == "DepthAnythingForDepthEstimation"
    assert not network.is_trained
    assert not network.is_metric
    assert network.name == str(weights)
    assert len(network.weights_sha256) == 64


def test_disparity_has_the_frame_of_the_picture(network):
    for shape in ((100, 140), (140, 100)):
        found = find_disparity(network, picture(*shape))
        assert found.dtype == torch.float32
        assert found.isfinite().all()
        # Sides are rounded to multiples of 14 at some 56 px.
        assert abs(found.shape[1] / found.shape[0] - shape[1] / shape[0]) < 0.25
    assert find_disparity(network, picture()).equal(find_disparity(network, picture()))


def test_random_weights_come_from_their_generator(weights, network, tmp_path):
    save_untrained_network(tmp_path / "same", generator=torch.Generator().manual_seed(0))
    save_untrained_network(tmp_path / "other", generator=torch.Generator().manual_seed(1))
    assert load_network(tmp_path / "same").weights_sha256 == network.weights_sha256
    assert load_network(tmp_path / "other").weights_sha256 != network.weights_sha256


def copy_with(weights, folder, change):
    folder.mkdir()
    for path in weights.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_network_that_measures_metres_gives_dioptres(weights, tmp_path):
    def measure(config):
        config["depth_estimation_type"], config["max_depth"] = "metric", 80

    metric = load_network(copy_with(weights, tmp_path / "metric", measure))
    found = find_disparity(metric, picture())
    assert metric.is_metric
    assert (found >= 1 / 80).all()


def test_weights_that_do_not_fit_are_refused(weights, tmp_path):
    def widen(config):
        config["fusion_hidden_size"] = 12

    with pytest.raises((InputError, FileNotFoundError)) as caught:
        load_network(copy_with(weights, tmp_path / "wide", widen))
    assert "\n" not in str(caught.value)


def test_missing_weights_say_where_they_belong(weights, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        load_network("nobody/no-such-network")
    said = str(caught.value)
    assert said.startswith("nobody/no-such-network: no such depth network in ")
    assert "hf download nobody/no-such-network --local-dir FOLDER" in said
    with pytest.raises(FileNotFoundError, match=r"config\.json, preprocessor_config\.json, model\.safetensors missing"):
        load_network(tmp_path)


def test_a_device_that_is_not_there_is_named(weights):
    with pytest.raises(InputError, match=r"load_network\(device\): found nonsense"):
        load_network(weights, device="nonsense")


def test_a_picture_of_another_shape_is_refused(network):
    with pytest.raises(InputError, match="find_disparity"):
        find_disparity(network, torch.zeros(1, 20, 20))


def test_without_transformers_the_line_says_how_to_get_it(monkeypatch):
    def refuse(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(ImportError, match=r"transformers is not installed; this needs: pip install 'psfield\[depth\]'"):
        network_module.load_network("x")
