import io

import numpy as np
import pytest
from PIL import Image

from learn.photos.fingerprints import NEAR_BITS, find_fingerprint, find_lookalikes


def small(image):
    copy = image.copy()
    copy.thumbnail((64, 64), Image.Resampling.BOX)
    return np.asarray(copy)


def differ(one, other):
    return (find_fingerprint(small(one)) ^ find_fingerprint(small(other))).bit_count()


def recompress(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=30)
    return Image.open(file)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.resize((200, 150), Image.Resampling.BICUBIC),
        recompress,
        lambda p: p.point(lambda v: min(int(1.25 * v), 255)),
        lambda p: p.crop((4, 3, p.width - 4, p.height - 3)),
        lambda p: p.convert("L").convert("RGB"),
    ],
    ids=["smaller", "compressed", "brighter", "cropped", "grey"],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_copies_of_a_picture_look_alike(picture, change, seed):
    image = Image.fromarray(picture(300, 400, seed=seed, smooth=20))
    assert differ(image, change(image)) <= NEAR_BITS


def test_other_scenes_do_not(picture):
    images = [Image.fromarray(picture(150, 200, seed=seed, smooth=10)) for seed in range(12)]
    assert min(differ(a, b) for n, a in enumerate(images) for b in images[:n]) > NEAR_BITS + 4


def test_lookalikes_are_all_pairs_within_reach():
    rng = np.random.default_rng(0)
    codes = [int(code) for code in rng.integers(0, 2**63, 1500, dtype=np.uint64)]
    codes[900] = codes[3] ^ 0b111
    codes[1400] = codes[1401] ^ (1 << 63)
    codes[700] = codes[20] ^ (2**9 - 1)
    want = {(i, j) for j in range(1500) for i in (3, 20, 1400) if i < j and (codes[i] ^ codes[j]).bit_count() <= 8}
    assert set(find_lookalikes(codes)) == want == {(3, 900), (1400, 1401)}
    assert list(find_lookalikes([])) == []


def test_thousands_of_equal_pictures_are_not_millions_of_pairs():
    far = (2**30 - 1) << 20
    pairs = list(find_lookalikes([7, far] + [7] * 3000 + [6]))
    assert pairs == [(0, n) for n in range(2, 3002)] + [(0, 3002)]
