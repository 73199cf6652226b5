import json

import numpy as np
import pytest
import torch

from learn.network_files import find_network_file, name_result, read_network_file, write_network_file
from psf import InputError

FACTS = {
    "network": "some/network",
    "weights_sha256": "ab" * 32,
    "is_trained": True,
    "is_metric": False,
    "photo_bytes": 10,
    "photo_modified_ns": 20,
}


def disparity():
    return 3 + 40 * torch.rand((30, 40), generator=torch.Generator().manual_seed(0))


def test_results_come_back_to_a_step(tmp_path):
    photo = tmp_path / "a.jpg"
    written = write_network_file(photo, disparity(), FACTS)
    facts = find_network_file(photo)
    depth = read_network_file(facts)
    assert depth.inverse_depth.shape == (1, 30, 40)
    assert (depth.inverse_depth[0] - disparity()).abs().max() <= (written.high - written.low) / 65535
    assert (depth.source, depth.is_metric) == ("network", False)
    assert depth.detail == "some/network (abababababab)"
    assert {path.name for path in tmp_path.iterdir()} == {"a.jpg.network_depth.npy", "a.jpg.network_depth.json"}


def test_a_flat_result_comes_back(tmp_path):
    write_network_file(tmp_path / "a.jpg", torch.full((4, 5), 2.5), FACTS)
    assert (read_network_file(find_network_file(tmp_path / "a.jpg")).inverse_depth == 2.5).all()


def test_random_weights_are_told(tmp_path):
    write_network_file(tmp_path / "a.jpg", disparity(), {**FACTS, "is_trained": False})
    assert read_network_file(find_network_file(tmp_path / "a.jpg")).source == "untrained network"


def test_results_may_lie_elsewhere_and_need_both_files(tmp_path):
    photo = tmp_path / "a.jpg"
    write_network_file(photo, disparity(), FACTS, tmp_path / "maps" / "deep")
    assert find_network_file(photo) is None
    assert find_network_file(photo, tmp_path / "maps" / "deep")
    name_result(photo, tmp_path / "maps" / "deep")[1].unlink()
    assert find_network_file(photo, tmp_path / "maps" / "deep") is None


def test_steps_without_facts_do_not_outlive_a_killed_run(tmp_path, monkeypatch):
    photo = tmp_path / "a.jpg"
    write_network_file(photo, disparity(), FACTS)

    def die(path, content):
        raise KeyboardInterrupt

    monkeypatch.setattr("learn.network_files.write_whole", die)
    with pytest.raises(KeyboardInterrupt):
        write_network_file(photo, 2 * disparity(), FACTS)
    assert find_network_file(photo) is None


def test_what_is_broken_is_named(tmp_path):
    photo = tmp_path / "a.jpg"
    write_network_file(photo, disparity(), FACTS)
    steps, facts = name_result(photo)
    steps.write_bytes(b"x")
    with pytest.raises(InputError, match=r"network_depth\.npy: found no readable content"):
        read_network_file(facts)
    np.save(steps, np.zeros((3, 4)))
    with pytest.raises(InputError, match="uint16 of shape"):
        read_network_file(facts)
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "version": 9}))
    with pytest.raises(InputError, match="version 9"):
        read_network_file(facts)
    facts.write_text("{}")
    with pytest.raises(InputError, match="no facts of a depth network"):
        read_network_file(facts)
    with pytest.raises(InputError, match="finite depth"):
        write_network_file(photo, disparity() * torch.nan, FACTS)
