import json

import pytest
import torch

from learn.networks import NAFNetConfig, hash_weights, load_network, make_network, save_network
from learn.networks.checkpoints import read_weights_file
from learn.networks.nafnet import NAFNet
from psf import InputError

CONFIG = NAFNetConfig(4, (1, 1), 1, (1, 1))


@pytest.fixture
def network():
    return make_network(CONFIG, generator=torch.Generator().manual_seed(0))


def test_a_network_comes_back_with_its_configuration_and_notes(network, tmp_path):
    notes = {"field_sha256": "ab12", "patch_cells": 48, "rate": 1e-4, "is_average": True, "nothing": None}
    save_network(network, tmp_path / "a.pt", notes=notes)
    saved = load_network(tmp_path / "a.pt", config=CONFIG)
    assert saved.network.config == CONFIG
    assert dict(saved.notes) == notes
    assert not saved.network.training
    assert hash_weights(saved.network) == hash_weights(network)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_double_precision_is_kept(network, tmp_path):
    save_network(network.double(), tmp_path / "a.pt")
    assert load_network(tmp_path / "a.pt").network.intro.weight.dtype == torch.float64


def test_the_hash_tells_weights_and_shapes_apart(network):
    before = hash_weights(network)
    assert before != hash_weights(NAFNet(CONFIG))
    with torch.no_grad():
        network.ending.bias[0] += 1e-6
    assert before != hash_weights(network)


def test_a_write_that_fails_leaves_the_old_file(network, tmp_path, monkeypatch):
    save_network(network, tmp_path / "a.pt")
    old = (tmp_path / "a.pt").read_bytes()

    def fail(content, file):
        file.write(b"half of")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_network(network, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 5}, "config.width: found 4, expected 5"),
        ({"encoder_blocks": (1, 2)}, "config.encoder_blocks: found (1, 1), expected (1, 2)"),
        ({"in_planes": 4}, "config.in_planes: found 6, expected 4"),
    ],
)
def test_another_network_is_refused(network, tmp_path, change, words):
    save_network(network, tmp_path / "a.pt")
    wanted = NAFNetConfig(**{**json.loads(json.dumps(CONFIG.__dict__)), **change})
    with pytest.raises(InputError) as caught:
        load_network(tmp_path / "a.pt", config=wanted)
    assert words in str(caught.value)
    assert "a.pt" in str(caught.value)


def spoil(**changes):
    def change(content):
        content.update(changes)

    return change


def drop_weight(content):
    del content["weights"]["intro.bias"]


def add_weight(content):
    content["weights"]["extra"] = torch.zeros(1)


def bend_weight(content):
    content["weights"]["intro.bias"] = torch.zeros(3)


def break_weight(content):
    content["weights"]["intro.bias"][0] = torch.nan


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (spoil(format="other"), "format: found 'other'"),
        (spoil(format_version=9), "format_version: found 9"),
        (spoil(kind="unet"), "kind: found 'unet'"),
        (spoil(config="{"), "config: found '{'"),
        (spoil(config='{"width": 0}'), "width: found 0"),
        (spoil(weights=3), "weights: found int"),
        (drop_weight, "no intro.bias"),
        (add_weight, "extra, which no part has"),
        (bend_weight, "intro.bias: found shape (3,), expected shape (4,)"),
        (break_weight, "intro.bias: found values that are NaN"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(network, tmp_path, change, words):
    path = tmp_path / "a.pt"
    save_network(network, path)
    content = read_weights_file(path)
    change(content)
    torch.save(content, path)
    with pytest.raises(InputError) as caught:
        load_network(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a network", b"PK\x03\x04 cut short"])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.pt: found a file that torch cannot read"):
        load_network(tmp_path / "a.pt")


def test_missing_files_and_folders_are_named(network, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"b\.pt"):
        load_network(tmp_path / "b.pt")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        save_network(network, tmp_path / "none" / "a.pt")


def test_notes_are_plain(network, tmp_path):
    with pytest.raises(InputError, match="notes"):
        save_network(network, tmp_path / "a.pt", notes={"field": torch.zeros(2)})
    with pytest.raises(InputError, match="network"):
        save_network(torch.nn.Identity(), tmp_path / "a.pt")


@pytest.mark.parametrize("notes", ["{", "[1]", 3])
def test_notes_that_are_none_are_named(network, tmp_path, notes):
    save_network(network, tmp_path / "a.pt")
    torch.save(read_weights_file(tmp_path / "a.pt") | {"notes": notes}, tmp_path / "b.pt")
    with pytest.raises(InputError, match=r"b\.pt: notes: found"):
        load_network(tmp_path / "b.pt")
