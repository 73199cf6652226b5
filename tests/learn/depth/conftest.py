"""Photographs and a depth network for the tests, both tiny."""

import numpy as np
import pytest
import torch
from PIL import Image

from learn.depth import load_network, save_untrained_network
from learn.photos import open_photos


@pytest.fixture(autouse=True)
def one_thread():
    """Layers this small are slower in two threads, much slower where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A folder with a random Depth Anything network of the real class."""
    pytest.importorskip("transformers")
    pytest.importorskip("torchvision")
    folder = tmp_path_factory.mktemp("network")
    save_untrained_network(folder, generator=torch.Generator().manual_seed(0))
    return folder


@pytest.fixture(scope="session")
def network(weights):
    return load_network(weights)


@pytest.fixture
def photos(tmp_path):
    """Three photographs of noise, one of them upright."""
    rng = np.random.default_rng(0)
    for n, size in enumerate([(90, 130), (90, 130), (140, 80)]):
        path = tmp_path / "pictures" / "sub" / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).save(path)
    return open_photos(tmp_path / "pictures")
