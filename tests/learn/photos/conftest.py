"""Pictures for the tests of photographs, made here."""

import numpy as np
import pytest
from PIL import Image


def make_picture(height=90, width=130, seed=0, smooth=1.5):
    """Random clouds with edges, uint8 (height, width, 3)."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    clouds = gaussian_filter(rng.normal(size=(height, width, 3)), (smooth, smooth, 0))
    clouds = 128 + 60 * clouds / clouds.std() + 40 * np.sign(gaussian_filter(clouds.sum(-1), 4))[..., None]
    return clouds.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def picture():
    """Makes a picture with detail, uint8 (height, width, 3)."""
    return make_picture


@pytest.fixture
def save(tmp_path):
    """Writes samples under a name in a folder of pictures; the path."""

    def write(name, samples, **options):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = samples if isinstance(samples, Image.Image) else Image.fromarray(samples)
        image.save(path, **options)
        return path

    return write


@pytest.fixture
def pictures(tmp_path):
    """The folder that `save` writes to."""
    folder = tmp_path / "pictures"
    folder.mkdir(exist_ok=True)
    return folder
